"""The loop: drains and returns, finishes what is in flight, keeps all threads busy, and outlives
whatever a job throws."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import LeaseLostError, StorageError
from bridge.domain.events import DeliveryStatus
from bridge.store import deliveries, events, workers
from bridge.store.engine import wakeup
from bridge.store.engine.database import Database
from bridge.worker import loop
from bridge.worker.loop import ClockWatch, Worker
from tests.support.fakes import WatchedDatabase
from tests.support.rows import URL, a_parcel, an_order, claim_event, end_event, put, receive, rows
from tests.support.waiting import wait_until

pytest_plugins = ["tests.support.database_fixtures"]

SOON = 60.0
"""Seconds after which a test gives up; nothing here takes as long."""


class Job:
    """Does `work` with what is claimed, then ends it; remembers what it saw."""

    def __init__(self, database: Database, work: Callable[[Any], None] = lambda _: None) -> None:
        self.database, self.work = database, work
        self.seen: list[str] = []
        self._lock = threading.Lock()

    def run(self, claimed: Any, *, owner: str, **_more: Any) -> list[Delivery]:
        with self._lock:
            self.seen.append(claimed.id)
        self.work(claimed)
        with self.database.begin() as connection:
            now = self.database.now(connection)
            if claimed.id.startswith("evt_"):
                end_event(connection, claimed, owner=owner, now=now)
            else:
                deliveries.record(
                    connection, claimed, owner=owner, status=DeliveryStatus.DELIVERED, now=now
                )
        return []


@pytest.fixture
def real(migrated_url: str, logged: list[Any]) -> Iterator[Database]:  # noqa: ARG001  # keeps the log quiet
    """The database under its own clock, as a worker has it."""
    database = Database(migrated_url)
    yield database
    database.close()


def a_worker(
    database: Database,
    *,
    work: Callable[[Any], None] = lambda _: None,
    threads: int = 2,
    lease: float = 60,
) -> Worker:
    event_job, delivery_job = Job(database, work), Job(database, work)
    return Worker(
        database, event_job, delivery_job, threads=threads, lease=timedelta(seconds=lease)
    )  # type: ignore[arg-type]


@contextmanager
def running(worker: Worker) -> Iterator[threading.Thread]:
    """The worker in a thread, stopped at the end."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join(SOON)
        assert not thread.is_alive()


def received(database: Database, count: int) -> set[str]:
    return {receive(database, resource_url=f"{URL}{number}")[0] for number in range(count)}


def statuses(database: Database, table: str = "events") -> list[str]:
    return [stored.status for stored in rows(database, table)]


def test_once_drains_events_and_deliveries_and_returns(real: Database) -> None:
    expected = received(real, 7)
    put(
        real,
        *(a_parcel(number=f"1Z{n}", record=str(n), reference=f"PD{n}") for n in range(5)),
        orders=tuple(_orders(5)),
    )

    worker = a_worker(real)
    worker.run(once=True)

    assert set(worker.event_job.seen) == expected
    assert len(worker.event_job.seen) == 7
    assert statuses(real) == ["processed"] * 7
    assert statuses(real, "deliveries") == ["delivered"] * 5


def test_backlog_of_one_queue_hides_nothing_that_is_due_in_the_other(real: Database) -> None:
    received(real, 40)

    def also_deliveries(claimed: Any) -> None:
        if claimed.id == first:
            numbers = range(20)
            parcels = [
                a_parcel(number=f"1Z{n}", record=str(n), reference=f"PD{n}") for n in numbers
            ]
            put(real, *parcels, orders=tuple(_orders(20)))

    first = min(stored.id for stored in rows(real, "events"))
    worker = a_worker(real, work=also_deliveries)
    worker.batch_size = 4
    worker.run(once=True)

    assert statuses(real) == ["processed"] * 40
    assert statuses(real, "deliveries") == ["delivered"] * 20


def _orders(count: int) -> Iterator[Any]:
    return (an_order(id=f"order-{number}", reference=f"PD{number}") for number in range(count))


def test_once_with_nothing_to_do_returns(real: Database) -> None:
    a_worker(real).run(once=True)

    [worker] = rows(real, "workers")
    assert worker.stopped_at is not None


def test_once_leaves_what_is_due_later(real: Database) -> None:
    received(real, 1)
    with real.begin() as connection:
        later = real.now(connection) + timedelta(hours=1)
        connection.execute(events.events.update().values(due_at=later))

    a_worker(real).run(once=True)

    assert statuses(real) == ["received"]


def test_one_thread_is_enough_for_both_queues(real: Database) -> None:
    received(real, 3)
    put(real, a_parcel())

    a_worker(real, threads=1).run(once=True)

    assert statuses(real) + statuses(real, "deliveries") == ["processed"] * 3 + ["delivered"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("!"),
        LeaseLostError("late"),
        StorageError("gone"),
        RecursionError(),
        AssertionError(),
        SystemExit(1),
    ],
)
def test_job_that_raises_anything_never_stops_the_loop(
    real: Database, logged: list[Any], error: BaseException
) -> None:
    received(real, 6)
    thrown = iter([error] * 3)

    def throw(_: Any) -> None:
        for one in thrown:
            raise one

    worker = a_worker(real, work=throw)
    worker.run(once=True)

    assert sorted(statuses(real)) == ["processed"] * 3 + ["received"] * 3
    assert len(worker.event_job.seen) == 6
    assert any(
        entry["event_id"] for entry in logged if entry["log_level"] in ("error", "warning")
    ) == isinstance(error, Exception)


def test_all_threads_work_at_once(real: Database) -> None:
    received(real, 8)
    together = threading.Barrier(4)

    a_worker(real, threads=4, work=lambda _: together.wait(SOON)).run(once=True)

    assert statuses(real) == ["processed"] * 8


def test_deliveries_never_take_all_threads(real: Database) -> None:
    """With a backlog of slow ones, a new event still gets in."""
    put(
        real,
        *(a_parcel(number=f"1Z{n}", record=str(n), reference=f"PD{n}") for n in range(6)),
        orders=tuple(_orders(6)),
    )
    go_on, got_in = threading.Event(), threading.Event()

    def slow(claimed: Any) -> None:
        if claimed.id.startswith("evt_"):
            got_in.set()
        else:
            go_on.wait(SOON)

    with running(a_worker(real, threads=4, work=slow)):
        received(real, 1)
        assert got_in.wait(SOON)
        go_on.set()


def test_event_that_arrives_wakes_the_waiting_worker(real: Database, migrated_url: str) -> None:
    done = threading.Event()
    with running(a_worker(real, work=lambda _: done.set())):
        outside = Database(migrated_url)
        with outside.begin() as connection:
            arrival = events.Arrival("SHIP_NOTIFY", b"{}", URL)
            events.receive(connection, arrival, now=outside.now(connection))
            wakeup.announce(connection)
        outside.close()

        assert done.wait(SOON)


def test_stop_finishes_what_is_in_flight_and_claims_nothing_more(real: Database) -> None:
    received(real, 5)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(_: Any) -> None:
        begun.release()
        go_on.wait(SOON)

    worker = a_worker(real, threads=2, work=slow)
    with running(worker) as thread:
        for _ in range(2):
            assert begun.acquire(timeout=SOON)
        worker.stop()
        assert thread.is_alive()
        go_on.set()

    assert sorted(statuses(real)) == ["processed"] * 2 + ["received"] * 3
    assert len(worker.event_job.seen) == 2


def test_stop_before_the_start_does_nothing(real: Database) -> None:
    received(real, 1)
    worker = a_worker(real)
    worker.stop()

    worker.run()

    assert statuses(real) == ["received"]


def test_stopped_worker_gives_its_name_back(real: Database) -> None:
    for _ in range(2):
        a_worker(real).run(once=True)

    assert [worker.name for worker in rows(real, "workers")] == ["worker-1"]
    free = workers.take_name(real)
    assert free.name == "worker-1"
    free.release()


def test_work_of_a_dead_worker_of_the_same_name_is_done_at_once(real: Database) -> None:
    received(real, 1)
    claim_event(real, "worker-1")

    a_worker(real).run(once=True)

    assert statuses(real) == ["processed"]


def test_work_of_another_worker_is_left_to_it(real: Database) -> None:
    received(real, 1)
    claim_event(real, "worker-2")

    a_worker(real).run(once=True)

    assert statuses(real) == ["received"]


def test_lease_of_what_runs_is_renewed(real: Database) -> None:
    received(real, 1)
    [before] = rows(real, "events")

    def until_renewed_twice(_: Any) -> None:
        seen = {before.due_at}
        wait_until(
            lambda: seen.add(rows(real, "events")[0].due_at) or len(seen) > 3,
            SOON,
            "the lease to be renewed",
        )

    a_worker(real, work=until_renewed_twice, lease=0.3).run(once=True)

    assert statuses(real) == ["processed"]


def test_two_workers_share_the_work_and_do_each_piece_once(
    real: Database, migrated_url: str
) -> None:
    expected = received(real, 24)
    other = Database(migrated_url)
    both = [a_worker(real, threads=3), a_worker(other, threads=3)]
    threads = [threading.Thread(target=worker.run, kwargs={"once": True}) for worker in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    other.close()

    done = [event_id for worker in both for event_id in worker.event_job.seen]
    assert sorted(done) == sorted(expected)
    assert {worker.name for worker in rows(real, "workers")} <= {"worker-1", "worker-2"}


def test_database_that_is_away_at_the_start_is_waited_for(
    migrated_url: str, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_DATABASE_RETRY_SECONDS", 0.001)
    database = WatchedDatabase(migrated_url)
    received(database, 2)
    database.fail(times=3)

    a_worker(database, threads=1).run(once=True)

    assert statuses(database) == ["processed"] * 2
    assert [worker.name for worker in rows(database, "workers")] == ["worker-1"]
    assert [entry["event"] for entry in logged].count("worker_waits_for_database") == 3
    database.close()


def test_clock_that_jumps_ahead_never_makes_a_worker_claim_what_it_holds(
    migrated_url: str,
    logged: list[Any],
) -> None:
    ahead = [timedelta(0)]
    database = Database(migrated_url, clock=lambda: datetime.now(UTC) + ahead[0])
    is_running, may_end = threading.Event(), threading.Event()
    [first] = received(database, 1)

    def work(claimed: Any) -> None:
        if claimed.id == first:
            is_running.set()
            assert may_end.wait(SOON)

    worker = a_worker(database, work=work, threads=2, lease=60)
    with running(worker):
        assert is_running.wait(SOON)
        ahead[0] = timedelta(hours=1)
        second, _ = receive(database, resource_url=f"{URL}second")
        wait_until(lambda: second in worker.event_job.seen, SOON, "the second event")
        third, _ = receive(database, resource_url=f"{URL}third")
        wait_until(lambda: third in worker.event_job.seen, SOON, "the third event")
        may_end.set()
        wait_until(
            lambda: statuses(database) == ["processed"] * 3, SOON, "all three to be processed"
        )
    database.close()

    assert worker.event_job.seen.count(first) == 1
    assert not [entry for entry in logged if entry["event"] == "lease_lost"]


def test_clock_that_is_set_back_makes_nobody_wait_for_the_moments_of_the_old_one(
    migrated_url: str, logged: list[Any]
) -> None:
    """An event that failed while the clock was a day ahead, to be tried again in a moment."""
    ahead = [timedelta(days=1)]
    database = Database(migrated_url, clock=lambda: datetime.now(UTC) + ahead[0])
    received(database, 1)
    with database.begin() as connection:
        [event] = events.claim(
            connection, owner="x", limit=1, lease=timedelta(0), now=database.now(connection)
        )
        soon = database.now(connection) + timedelta(seconds=40)
        events.postpone(connection, event, owner="x", at=soon, attempts=1, waits=0, detail="")

    worker = a_worker(database, lease=0.3)
    with running(worker):
        wait_until(lambda: rows(database, "workers"), SOON, "the worker to have begun")
        first_beat = rows(database, "workers")[0].beat_at
        wait_until(
            lambda: rows(database, "workers")[0].beat_at > first_beat, SOON, "a beat of the loop"
        )
        ahead[0] = timedelta(0)

        def is_soon() -> bool:
            due_at = rows(database, "events")[0].due_at
            return due_at is None or due_at < datetime.now(UTC) + timedelta(minutes=2)

        wait_until(is_soon, SOON, "the event to be brought forward")

    [notice] = [entry for entry in logged if entry["event"] == "clock_set_back"]
    assert notice["brought_forward"] == 1
    assert abs(notice["seconds"] - 86_400) < 60
    database.close()


def test_clock_is_held_against_time_that_only_goes_on() -> None:
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    clock = ClockWatch()

    steps = [
        clock.set_back(noon, before=100.0, after=100.5),
        clock.set_back(noon + timedelta(seconds=5), before=105.0, after=105.1),
        # Asked for long, or stopped meanwhile, is no step.
        clock.set_back(noon + timedelta(seconds=6), before=106.0, after=190.0),
        clock.set_back(noon + timedelta(seconds=90), before=190.1, after=190.2),
        clock.set_back(noon + timedelta(hours=1), before=195.2, after=195.3),
        clock.set_back(noon + timedelta(seconds=101), before=200.3, after=200.4),
    ]

    assert [step.total_seconds() for step in steps[:5]] == [0] * 5
    assert steps[5] == timedelta(hours=1) + timedelta(seconds=5 - 101)


def test_work_whose_runs_all_fail_is_given_up_and_the_rest_goes_on(real: Database) -> None:
    poor, _ = receive(real, resource_url=URL)
    good, _ = receive(real, resource_url=f"{URL}1")

    def refuse(claimed: Any) -> None:
        if claimed.id == poor:
            raise ValueError("a value that no database takes")

    worker = a_worker(real, work=refuse, lease=0.3)
    with running(worker):
        wait_until(
            lambda: (
                {stored.id: stored.status for stored in rows(real, "events")}
                == {poor: "dead", good: "processed"}
            ),
            SOON,
            "the poor one to be given up",
        )
