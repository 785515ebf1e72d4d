"""A database that is full, read-only or locked for a while: the sender is told 503, the worker
waits, and afterwards nothing is missing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from sqlite3 import connect

import psycopg
import pytest

from bridge.simulator import Label, Simulator
from tests.conftest import BOTH_DATABASES
from tests.support import crash_points, small_disk
from tests.support.balance import balance
from tests.support.postgres import Server, running_server
from tests.support.stack import BRIDGE, Json, Stack
from tests.support.waiting import wait_until

POST = "purple_dot.create_fulfillment"
SETTINGS = {"BRIDGE_CONFIRM_SCHEDULE": "500ms,1s,2s", "BRIDGE_LEASE_SECONDS": "2"}


def _flagged(sickness: str) -> Callable[[Stack], AbstractContextManager[None]]:
    @contextmanager
    def sick(stack: Stack) -> Iterator[None]:
        flag = stack.folder / "sick"
        flag.write_text(sickness)
        yield
        flag.unlink()

    return sick


@contextmanager
def _locked(stack: Stack) -> Iterator[None]:
    with closing(connect(str(stack.database.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def _read_only_server(stack: Stack) -> Iterator[None]:
    """As a server that became a standby: every connection ends, and new ones may only read."""
    name = stack.database.url.database
    with psycopg.connect(
        f"dbname={name} host={stack.database.url.query['host']} user=bridge", autocommit=True
    ) as admin:
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            "current_database() AND pid <> pg_backend_pid()"
        )
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')  # type: ignore[arg-type]
        admin.execute(others)
        yield
        admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')  # type: ignore[arg-type]
        admin.execute(others)


SICKNESSES = {
    "full": _flagged("full"),
    "read-only": _flagged("read_only"),
    "locked by another program": _locked,
}


def _faults(
    stack: Stack, sickness: Callable[[Stack], AbstractContextManager[None]]
) -> dict[str, object]:
    """What went wrong, by its name, after a POST was under way when the database fell sick, more
    was sent until one was refused, and that one again when it was well."""
    program = (
        (str(Path(crash_points.__file__)), "sick-while", str(stack.folder / "sick"))
        if stack.database.is_sqlite
        else BRIDGE
    )
    stack.start_receiver(workers=1, program=program)
    worker = stack.start_worker(program=program)
    parcels, bodies = _parcels(stack, 40)
    stack.simulator.inject(POST, "delay:1")
    stack.send(bodies[0])
    wait_until(lambda: stack.world.count(POST), 10, "the first to be posted")

    with sickness(stack):
        refused = next(
            place for place, body in enumerate(bodies[1:], 1) if _is_refused(stack, body)
        )
        wait_until(lambda: len(stack.world.fulfillments), 10, "the first to be accepted")
        waiting = (
            "outcome_not_stored_yet",
            "worker_waits_for_database",
            "work_left_to_its_lease",
            "heartbeat_failed",
        )
        wait_until(
            lambda: any(worker.logged(event) for event in waiting) or sickness is _locked,
            10,
            "the worker to notice",
        )
    for body in bodies[refused : refused + 2]:
        stack.send_until_accepted(body)
    stack.settle()

    assert worker.exit_code is None
    sent = [str(label.tracking_number) for label in parcels[: refused + 2]]
    assert stack.world.count(POST) == len(stack.world.fulfillments) == len(sent)
    return balance(stack.world, stack.database, sent).faults()


def _parcels(stack: Stack, count: int) -> tuple[list[Label], list[Json]]:
    world = stack.world
    parcels = [
        world.buy_labels(world.add_shipstation_order(world.add_order()), batch=False)[0]
        for _ in range(count)
    ]
    return parcels, [
        world.label_created_v2(label) if place % 2 else world.ship_notify(label)
        for place, label in enumerate(parcels)
    ]


def _is_refused(stack: Stack, body: Json) -> bool:
    """Accepted, or 503 with the wish to be sent again: nothing else."""
    answer = stack.send(body)
    if answer.status == 503:
        assert int(answer.headers["Retry-After"]) > 0
        return True
    return not answer.event_id


@pytest.mark.parametrize("sickness", SICKNESSES)
def test_sick_sqlite_is_told_to_the_sender_and_waited_out_by_the_worker(
    tmp_path: Path, sickness: str
) -> None:
    with (
        Simulator() as simulator,
        Stack(simulator, f"sqlite:///{tmp_path / 'bridge.db'}", tmp_path, SETTINGS) as stack,
    ):
        assert _faults(stack, SICKNESSES[sickness]) == {}


@contextmanager
def _database_on(folder: Path, kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'bridge.db'}"
    else:
        with running_server(folder) as server:
            yield server.url("full")


if small_disk.can_mount():  # Elsewhere SQLite's own error, above, has to do.

    @pytest.mark.parametrize("kind", BOTH_DATABASES)
    def test_full_disk_is_told_to_the_sender_and_waited_out_by_the_worker(
        tmp_path: Path, kind: str
    ) -> None:
        with (
            small_disk.small_disk("160m") as folder,
            _database_on(folder, kind) as url,
            Simulator() as simulator,
            Stack(simulator, url, tmp_path, SETTINGS) as stack,
        ):
            assert _faults(stack, lambda _: small_disk.full(folder)) == {}

    def test_full_disk_is_named_by_readyz(tmp_path: Path) -> None:
        with (
            small_disk.small_disk("160m") as folder,
            Simulator() as simulator,
            Stack(simulator, f"sqlite:///{folder / 'bridge.db'}", tmp_path) as stack,
        ):
            stack.start_receiver(workers=1)
            stack.start_worker()
            wait_until(stack.is_ready, 20, "the bridge to be ready")

            with small_disk.full(folder):
                wait_until(lambda: not stack.is_ready(), 20, "/readyz to see it")
                answer = stack.ask("GET", "/readyz")

            assert "disk is full" in answer.json["database"]
            wait_until(stack.is_ready, 20, "the bridge to be ready again")


@pytest.mark.postgres
def test_postgresql_that_became_read_only_is_told_to_the_sender_and_waited_out_by_the_worker(
    postgres_server: Server, tmp_path: Path
) -> None:
    with (
        Simulator() as simulator,
        Stack(simulator, postgres_server.url("standby"), tmp_path, SETTINGS) as stack,
    ):
        assert _faults(stack, _read_only_server) == {}
    postgres_server.drop("standby")
