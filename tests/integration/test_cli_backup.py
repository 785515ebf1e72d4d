"""`bridge backup` and `bridge restored`: a copy that is whole, taken while everything runs, and an
old one that tells nothing twice."""

import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.orders import OrderStatus
from bridge.domain.reasons import Reason
from bridge.store import restores
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.translate.placement import may_be_forgotten
from bridge.translate.plans import PageContext
from tests.support.jobs import Jobs
from tests.support.postgres import Server
from tests.support.rows import (
    CAP,
    SHAWL,
    a_parcel,
    an_order,
    deliver_next,
    put,
    receive,
    row,
    rows,
    units,
)

pytest_plugins = ["tests.support.database_fixtures"]

SETTINGS = {
    "BRIDGE_WEBHOOK_TOKENS": "t0ken-of-the-front-door",
    "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
    "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
}


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A database with an event in it."""
    (tmp_path / "live").mkdir()
    file = tmp_path / "live" / "bridge.db"
    database = Database(f"sqlite:///{file}")
    migrate.upgrade(database)
    receive(database)
    database.close()
    return file


def run(*arguments: str | Path, database: Path | str) -> Result:
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    return CliRunner().invoke(
        main, [str(argument) for argument in arguments], env=SETTINGS | {"BRIDGE_DATABASE_URL": url}
    )


def count_of(file: Path, table: str = "events") -> int:
    with sqlite3.connect(file) as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return count


# The copy


def test_copy_is_one_file_for_its_owner_alone_and_holds_everything(
    live: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "backup.db"

    result = run("backup", copy, database=live)

    assert result.exit_code == 0, result.output
    assert f"{copy}: {copy.stat().st_size} bytes" in result.output
    assert (stat.S_IMODE(copy.stat().st_mode), count_of(copy)) == (0o600, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"backup.db", "live"}


def test_copy_that_exists_is_replaced_only_when_told(live: Path, tmp_path: Path) -> None:
    copy = tmp_path / "backup.db"
    copy.write_bytes(b"yesterday's")

    refused = run("backup", copy, database=live)
    kept = copy.read_bytes()
    replaced = run("backup", copy, "--overwrite", database=live)

    assert (refused.exit_code, kept) == (1, b"yesterday's")
    assert "say --overwrite" in refused.output
    assert (replaced.exit_code, count_of(copy)) == (0, 1)


def test_copy_is_consistent_while_others_write(live: Path, tmp_path: Path) -> None:
    """Events are written two by two: a copy that holds half of a pair would be torn."""
    database, stop = Database(f"sqlite:///{live}"), threading.Event()
    receive(
        database,
        resource_url="https://ssapi.shipstation.com/shipments?batchId=pair",
        body=b"x" * 200_000,
    )

    def write() -> None:
        number = 0
        while not stop.is_set():
            with database.begin(durable=False) as connection:
                for half in "ab":
                    insert = (
                        "INSERT INTO shared_state (name, value, noted_at) VALUES (?, ?, "
                        "'2026-01-01')"
                    )
                    connection.exec_driver_sql(insert, (f"{number}{half}", '"' + "y" * 5_000 + '"'))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    results = [
        run("backup", tmp_path / f"backup-{number}.db", database=live) for number in range(5)
    ]
    stop.set()
    writer.join()
    database.close()

    assert [result.exit_code for result in results] == [0] * 5
    assert all(
        count_of(tmp_path / f"backup-{number}.db", "shared_state") % 2 == 0 for number in range(5)
    )
    assert count_of(live, "shared_state") > 0


def test_copy_that_can_not_be_finished_leaves_nothing_behind(live: Path, tmp_path: Path) -> None:
    missing = run("backup", tmp_path / "nowhere" / "backup.db", database=live)
    no_database = run("backup", tmp_path / "backup.db", database=tmp_path / "no.db")

    assert (missing.exit_code, no_database.exit_code) == (2, 2)
    assert f"there is no folder {tmp_path / 'nowhere'}" in missing.output
    assert {path.name for path in tmp_path.iterdir()} == {"live"}


def test_copy_that_can_not_be_written_is_refused_in_plain_words(live: Path, tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250)

    result = run("backup", target, database=live)

    assert result.exit_code == 1
    assert result.output == f"Error: {target} can't be written: File name too long\n"


def test_copy_is_taken_as_the_database_stands_before_an_upgrade(tmp_path: Path) -> None:
    older = Database(f"sqlite:///{tmp_path / 'older.db'}")
    migrate.upgrade(older, "0001")
    older.close()

    result = run("backup", tmp_path / "copy.db", database=tmp_path / "older.db")

    assert result.exit_code == 0, result.output
    for name in ("older.db", "copy.db"):
        with sqlite3.connect(tmp_path / name) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (
                "0001",
            )
        connection.close()


@pytest.mark.postgres
def test_postgresql_is_told_its_own_command_and_it_works(
    postgres_server: Server, tmp_path: Path
) -> None:
    url = postgres_server.url("kept")
    database = Database(url)
    migrate.upgrade(database)
    database.close()

    result = run(
        "backup", tmp_path / "bridge.dump", database=url.replace("bridge@", "bridge:s3cret@")
    )

    assert result.exit_code == 2
    assert "s3cret" not in result.output
    command = result.output.splitlines()[-1].strip()
    assert command.startswith(
        f"pg_dump --format=custom --file={tmp_path / 'bridge.dump'} 'postgresql://bridge@/kept?host="
    )
    assert postgres_server.shell(command) == ""
    assert (tmp_path / "bridge.dump").read_bytes().startswith(b"PGDMP")
    postgres_server.drop("kept")


# What an old copy has forgotten


def put_back(jobs: Jobs) -> int | None:
    with jobs.database.begin() as connection:
        return restores.note(connection, copied_at=None, now=jobs.clock.now)


def test_file_of_backup_is_noticed_once_by_the_first_worker_and_a_living_database_never(
    live: Path, tmp_path: Path
) -> None:
    run("backup", tmp_path / "backup.db", database=live)
    told = []
    for file in (live, tmp_path / "backup.db", tmp_path / "backup.db"):
        database = Database(f"sqlite:///{file}")
        with database.begin() as connection:
            noticed = restores.detect_restored_backup(connection, now=database.now(connection))
            told.append((noticed, restores.last(connection) is not None))
        database.close()

    assert told == [(None, False), (0, True), (None, True)]


def test_part_that_waited_in_an_old_copy_is_never_posted_again_but_held(jobs: Jobs) -> None:
    jobs.parcel(items=(units(1, CAP.sku),))

    assert put_back(jobs) == 1
    states = [jobs.deliver(), jobs.deliver(after=60)]

    assert jobs.purple_dot.posted == []
    assert (states[-1].status, states[-1].reason) == ("held", "unconfirmed_partial")
    assert "older copy" in rows(jobs.database, "attempts")[0].detail


def test_whole_order_that_waited_is_posted_after_reading_that_it_was_not_told(jobs: Jobs) -> None:
    jobs.parcel()
    put_back(jobs)

    states = [jobs.deliver(), jobs.deliver(after=60), jobs.deliver()]

    assert [state.status for state in states] == ["unconfirmed", "retrying", "delivered"]
    assert len(jobs.purple_dot.posted) == 1


def test_whole_order_that_was_told_meanwhile_is_known_by_its_status(jobs: Jobs) -> None:
    jobs.parcel()
    put_back(jobs)
    jobs.order_becomes(status=OrderStatus.FULFILLED)

    assert jobs.deliver().status == "delivered"
    assert jobs.purple_dot.posted == []


def test_parcel_that_the_sweep_brings_after_a_restore_is_read_before_it_is_told(jobs: Jobs) -> None:
    put_back(jobs)
    parcel = a_parcel(units(1, CAP.sku), ship_date=jobs.clock.now.date())

    [decision] = put(jobs.database, parcel, lane=Lane.SWEEP, received_at=jobs.clock.advance(86_400))
    states = [jobs.deliver(), jobs.deliver(after=60)]

    assert jobs.purple_dot.posted == []
    assert (states[-1].id, states[-1].reason) == (decision.delivery_id, "unconfirmed_partial")


def test_whole_order_that_was_told_meanwhile_and_comes_again_is_known_by_its_status(
    jobs: Jobs,
) -> None:
    put_back(jobs)
    jobs.order_becomes(status=OrderStatus.FULFILLED)
    told = tuple(jobs.purple_dot.orders.values())

    put(jobs.database, a_parcel(ship_date=jobs.clock.now.date()), orders=told, lane=Lane.SWEEP)

    assert jobs.deliver().status == "delivered"
    assert jobs.purple_dot.posted == []


def test_parcel_of_a_webhook_after_a_restore_is_told_at_once(jobs: Jobs) -> None:
    put_back(jobs)
    jobs.clock.advance(3 * 3600)
    put(jobs.database, a_parcel(units(1, CAP.sku), ship_date=jobs.clock.now.date()))

    assert jobs.deliver().status == "delivered"


@pytest.mark.parametrize(
    ("lane", "hours_after", "left_days_after", "in_doubt"),
    [
        (Lane.LIVE, 3, 0, False),
        (Lane.LIVE, 1, 0, True),  # a webhook that is tried again
        (Lane.LIVE, -5, 0, True),  # it stood in the copy
        (Lane.LIVE, 3, -1, True),  # it had left before, whoever tells of it
        (Lane.LIVE, 24 * 300, -1, True),
        (Lane.SWEEP, 3, 0, True),
        (Lane.REPLAY, 24 * 5, 4, True),  # a label can bear a date to come
        (Lane.SWEEP, 24 * 20, 11, False),
        (Lane.LIVE, 3, None, False),
        (Lane.SWEEP, 24, None, True),
        (Lane.SWEEP, 24 * 12, None, False),
    ],
)
def test_what_may_have_been_forgotten(
    jobs: Jobs, lane: Lane, hours_after: float, left_days_after: int | None, in_doubt: bool
) -> None:
    restored_at = jobs.clock.now
    received = restored_at + timedelta(hours=hours_after)
    left: date | None = (
        None if left_days_after is None else restored_at.date() + timedelta(days=left_days_after)
    )
    origin = PageContext(
        lane=lane, trigger=Trigger.LIVE, received_at=received, fetched_at=received, now=received
    )

    assert may_be_forgotten(a_parcel(ship_date=left), origin, restored_at=restored_at) is in_doubt
    assert may_be_forgotten(a_parcel(ship_date=left), origin, restored_at=None) is False


def test_copy_put_back_over_a_database_that_went_on_tells_no_parcel_twice(tmp_path: Path) -> None:
    """The drill: copy, go on, lose the database, put the copy back; the sweep then brings all
    parcels
    again."""
    database = Database(f"sqlite:///{tmp_path / 'bridge.db'}")
    migrate.upgrade(database)
    whole = an_order(SHAWL, id="7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a09", reference="#PD900")
    parcels = [
        a_parcel(units(1, CAP.sku), number="1Z1", record="1"),
        a_parcel(
            units(2, SHAWL.sku),
            number="1Z9",
            record="9",
            reference="PD900",
            shipstation_shipment_id="490",
        ),
    ]
    put(database, parcels[0])
    deliver_next(database)
    assert run("backup", tmp_path / "backup.db", database=tmp_path / "bridge.db").exit_code == 0
    put(database, parcels[1], orders=(whole,))
    deliver_next(database)
    database.close()

    shutil.copy(tmp_path / "backup.db", tmp_path / "bridge.db")
    for leftover in tmp_path.glob("bridge.db-*"):
        leftover.unlink()
    again = Database(f"sqlite:///{tmp_path / 'bridge.db'}")
    with again.begin() as connection:
        restores.detect_restored_backup(connection, now=again.now(connection))
    decisions = [
        *put(again, parcels[0], lane=Lane.SWEEP),
        *put(again, parcels[1], orders=(whole,), lane=Lane.SWEEP),
    ]

    assert [decision.reason or decision.verdict for decision in decisions] == [
        Reason.ALREADY_DELIVERED,
        "delivery",
    ]
    in_doubt = row(again, str(decisions[1].delivery_id))
    assert (in_doubt.status, in_doubt.unclear_at is not None) == (DeliveryStatus.PENDING, True)
    again.close()


@pytest.fixture
def said(migrated_url: str) -> Callable[..., Result]:
    return lambda *arguments: run(*arguments, database=migrated_url)


def test_restored_says_what_it_noted(jobs: Jobs, said: Callable[..., Result]) -> None:
    jobs.parcel()

    result = said("restored", "--json")

    [delivery] = rows(jobs.database)
    assert result.exit_code == 0, result.output
    assert '"in_doubt": 1' in result.output
    assert delivery.unclear_at is not None


# Older software, newer database


def test_database_is_taken_back_to_an_older_version_with_what_is_in_it(live: Path) -> None:
    result = run("migrate", "--down-to", "0001", database=live)

    assert (result.exit_code, count_of(live)) == (0, 1), result.output
    assert "at version 0001" in result.output


@pytest.mark.parametrize("command", ["events", "migrate", "restored"])
def test_database_of_newer_software_is_told_in_a_sentence_and_left_alone(
    live: Path, command: str
) -> None:
    with sqlite3.connect(live) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    result = run(command, database=live)

    assert result.exit_code == (1 if command == "migrate" else 2)
    assert "is at version 9999, of newer software" in result.output
