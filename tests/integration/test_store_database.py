"""Transactions: whole or not at all, waited for rather than failed on, and the driver's trouble
told as one error of ours."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from bridge.domain.errors import StorageError
from bridge.store import events
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.tables import workers
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import receive, rows

pytest_plugins = ["tests.support.database_fixtures"]

Opener = Callable[[], Database]


def beat(database: Database, name: str, at: datetime) -> None:
    with database.begin() as connection:
        connection.execute(
            workers.insert().values(name=name, host="h", pid=1, started_at=at, beat_at=at)
        )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite database of one event that nobody has open."""
    path = tmp_path / "ledger.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    receive(database)
    database.close()
    return path


def trouble(url: str, *, work: Callable[[Database], Any]) -> StorageError:
    database = Database(url, patience=0.05)
    with pytest.raises(StorageError) as caught:
        work(database)
    database.close()
    return caught.value


def test_failed_transaction_leaves_nothing(database: WatchedDatabase, clock: Clock) -> None:
    def break_off() -> None:
        with database.begin() as connection:
            events.receive(connection, events.Arrival("SHIP_NOTIFY", b"{}"), now=clock.now)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        break_off()

    assert rows(database, "events") == []


def test_reading_does_not_wait_for_a_writer(opened: Opener) -> None:
    database, other = opened(), opened()

    with database.begin() as connection:
        events.receive(
            connection, events.Arrival("SHIP_NOTIFY", b"{}"), now=database.now(connection)
        )
        seen_meanwhile = rows(other, "events")

    assert seen_meanwhile == []
    assert len(rows(other, "events")) == 1


def test_four_writers_never_hear_that_the_database_is_locked(opened: Opener) -> None:
    """Two processes of two threads each, without a pause between their transactions."""
    at_once = Barrier(4)

    def write(database: Database, writer: int) -> None:
        at_once.wait(10)
        for number in range(25):
            receive(
                database,
                resource_url=f"https://ssapi.shipstation.com/shipments?n={writer}-{number}",
            )

    here, there = opened(), opened()
    with ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(write, database, writer)
            for writer, database in enumerate((here, here, there, there))
        ]
        for one in done:
            one.result(30)

    assert len(rows(here, "events")) == 100


def test_writer_waits_for_a_reader_that_became_none(opened: Opener) -> None:
    """A transaction that looks first and writes then holds the write lock from its start, so it
    can't fail in its middle."""
    database, other = opened(), opened()
    looked, go_on = Event(), Event()

    def look_then_write() -> None:
        with database.begin() as connection:
            connection.execute(text("SELECT count(*) FROM events")).all()
            looked.set()
            go_on.wait(5)
            events.receive(
                connection,
                events.Arrival("SHIP_NOTIFY", b"{}", "https://a"),
                now=database.now(connection),
            )

    first = Thread(target=look_then_write)
    first.start()
    looked.wait(5)
    second = Thread(target=receive, args=(other,))
    second.start()
    go_on.set()
    first.join(10)
    second.join(10)

    assert len(rows(database, "events")) == 2


def test_locked_database_is_a_storage_error(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as hog:
        hog.execute("BEGIN IMMEDIATE")

        error = trouble(f"sqlite:///{file}", work=receive)

    assert "locked" in str(error)
    assert error.retry_after == 5


def test_writer_of_this_process_is_not_waited_for_without_end(file: Path) -> None:
    """On SQLite, where one process writes one thing at a time."""
    with (
        closing(Database(f"sqlite:///{file}", patience=0.05)) as database,
        database.begin(),
        ThreadPoolExecutor(1) as pool,
    ):
        error = pool.submit(receive, database).exception(5)

    assert isinstance(error, StorageError)
    assert "another writer of this process" in str(error)
    assert error.retry_after == 5


def test_read_only_database_is_a_storage_error(file: Path) -> None:
    assert "readonly" in str(trouble(f"sqlite:///file:{file}?mode=ro&uri=true", work=receive))


@pytest.mark.parametrize("spoiled", [b"this is no database" * 300, b""])
def test_corrupt_or_emptied_database_is_a_storage_error(file: Path, spoiled: bytes) -> None:
    file.write_bytes(spoiled)

    assert str(trouble(f"sqlite:///{file}", work=receive))
    assert str(trouble(f"sqlite:///{file}", work=lambda database: rows(database, "events")))


def test_damaged_page_is_a_storage_error(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)

    assert str(trouble(f"sqlite:///{file}", work=receive))


def test_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    assert str(trouble(f"sqlite:///{tmp_path}/nowhere/bridge.db", work=receive))


@pytest.mark.postgres
def test_server_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    assert str(trouble(f"postgresql+psycopg://bridge@/bridge?host={tmp_path}", work=receive))


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database on a PostgreSQL of its own name, to be broken by the test."""
    running = request.getfixturevalue("postgres_server")
    database = Database(running.url("to_be_broken"))
    migrate.upgrade(database)
    yield database
    database.close()
    running.drop("to_be_broken")


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM no_such_table", "SELECT no_such_column FROM events"]
)
def test_tables_of_another_version_are_said_to_be_so_with_what_to_do(
    database: WatchedDatabase, statement: str
) -> None:
    with pytest.raises(StorageError, match="run `bridge migrate`"), database.read() as connection:
        connection.execute(text(statement))


@pytest.mark.postgres
def test_server_that_takes_no_writes_is_a_storage_error(server: Database) -> None:
    with server.begin() as connection:
        connection.execute(text("SET default_transaction_read_only = on"))

    with pytest.raises(StorageError, match="read-only"):
        receive(server)


@pytest.mark.postgres
def test_connection_that_breaks_in_the_middle_is_a_storage_error_and_the_next_works(
    server: Database,
) -> None:
    def break_it() -> None:
        with server.begin() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with server.read() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            events.receive(
                connection, events.Arrival("SHIP_NOTIFY", b"{}"), now=server.now(connection)
            )

    with pytest.raises(StorageError):
        break_it()

    receive(server)
    assert len(rows(server, "events")) == 1


@pytest.mark.postgres
def test_connection_that_broke_while_idle_is_not_noticed(server: Database) -> None:
    receive(server)
    with server.begin() as connection:
        everyone = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            "current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute(text(everyone))

    assert receive(server)[1] is True


def test_error_never_tells_statement_or_values(file: Path) -> None:
    error = trouble(
        f"sqlite:///file:{file}?mode=ro&uri=true",
        work=lambda d: receive(d, body=b"ada@example.com"),
    )

    assert "ada@example.com" not in str(error)
    assert "INSERT" not in str(error)


def test_fault_of_ours_stays_what_it_is(database: WatchedDatabase, clock: Clock) -> None:
    beat(database, "worker-1", clock.now)

    with pytest.raises(IntegrityError):
        beat(database, "worker-1", clock.now)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moment=st.datetimes(datetime(1970, 1, 2), datetime(2900, 1, 1)),  # noqa: DTZ001  # the zone is drawn beside it
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_moments_of_any_zone_come_back_as_the_same_aware_utc(
    database: WatchedDatabase, moment: datetime, offset: int
) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    with database.begin() as connection:
        connection.execute(workers.delete())
    beat(database, "worker-1", aware)

    [stored] = rows(database, "workers")

    assert stored.beat_at == aware
    assert stored.beat_at.tzinfo is UTC
    assert stored.stopped_at is None


def test_moments_sort_by_time_whatever_their_zone(database: WatchedDatabase, clock: Clock) -> None:
    east, west = timezone(timedelta(hours=9)), timezone(timedelta(hours=-7))
    for name, at in (
        ("late", clock.now.astimezone(west)),
        ("early", (clock.now - timedelta(microseconds=1)).astimezone(east)),
    ):
        beat(database, name, at)

    with database.read() as connection:
        names = connection.execute(workers.select().order_by(workers.c.beat_at)).scalars().all()
        before = (
            connection.execute(
                workers.select().where(workers.c.beat_at < clock.now.astimezone(east))
            )
            .scalars()
            .all()
        )

    assert (names, before) == (["early", "late"], ["early"])


def test_clock_given_is_the_clock_used(database: WatchedDatabase, clock: Clock) -> None:
    with database.read() as connection:
        assert database.now(connection) == database.now() == clock.now


def test_clock_of_the_database_runs_on_within_a_transaction(own_database: Database) -> None:
    with own_database.read() as connection:
        first = own_database.now(connection)
        second = own_database.now(connection)

    assert first < second <= own_database.now()
    assert first.tzinfo is UTC
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)


def test_committed_row_survives_a_power_cut_and_a_claim_may_wait_for_it(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    seen = {}
    for durable in (True, False, True):
        with database.begin(durable=durable) as connection:
            seen[durable] = connection.execute(text("PRAGMA synchronous")).scalar_one()
    with database.read() as connection:
        journal = connection.execute(text("PRAGMA journal_mode")).scalar_one()
    database.close()

    assert (seen, journal) == ({True: 2, False: 1}, "wal")


def test_file_that_is_removed_between_two_connections_is_not_made_anew(tmp_path: Path) -> None:
    """As in a process that was forked before its first transaction."""
    file = tmp_path / "bridge.db"
    database = Database(f"sqlite:///{file}")
    migrate.upgrade(database)
    database.disconnect()
    file.unlink()

    with pytest.raises(StorageError, match=r"bridge\.db was removed"), database.read():
        pass

    assert not file.exists()
    database.close()
