"""What is done now and then is done by one worker, again after a failure, and by nobody once the
worker stops."""

import threading
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.domain.errors import TemporaryError, ThrottledError
from bridge.store import periodic
from bridge.store.engine.database import Database
from bridge.worker.periodic import PeriodicTask, PeriodicTasks

pytest_plugins = ["tests.support.database_fixtures"]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def due(own_database: Database, now: datetime, *, every: timedelta = HOUR) -> bool:
    with own_database.begin() as connection:
        return periodic.take(connection, "sweep", every=every, now=now)


def run_due(
    own_database: Database,
    run: Callable[[threading.Event], None],
    *,
    stopping: threading.Event | None = None,
) -> None:
    tasks = PeriodicTasks(own_database, [PeriodicTask("sweep", HOUR, run)])
    with ThreadPoolExecutor(1) as pool:
        for task in tasks.start_due(pool, stopping or threading.Event()):
            task.result()


def test_of_many_workers_one_gets_the_task(own_database: Database) -> None:
    assert [due(own_database, NOW) for _worker in range(3)] == [True, False, False]


def test_task_comes_again_after_its_interval_and_not_before(own_database: Database) -> None:
    due(own_database, NOW)

    assert not due(own_database, NOW + HOUR - timedelta(seconds=1))
    assert due(own_database, NOW + HOUR)


def test_shorter_interval_takes_effect_at_once(own_database: Database) -> None:
    due(own_database, NOW, every=timedelta(days=1))

    assert due(own_database, NOW + timedelta(minutes=5), every=timedelta(minutes=4))


def test_what_is_done_is_remembered(own_database: Database) -> None:
    done: list[str] = []
    run_due(own_database, lambda _stopping: done.append("swept"))

    with own_database.read() as connection:
        assert periodic.last_done(connection, "sweep") is not None
    assert done == ["swept"]


def test_failed_task_ends_nothing_and_is_due_again_within_the_minute(
    own_database: Database,
) -> None:
    def fail(_stopping: threading.Event) -> None:
        raise RuntimeError("the vendor answered with a poem")

    run_due(own_database, fail)

    with own_database.read() as connection:
        assert periodic.last_done(connection, "sweep") is None
        now = own_database.now(connection)
    assert not due(own_database, now)
    assert due(own_database, now + timedelta(minutes=1))


def test_task_that_a_vendor_refuses_is_logged_in_a_sentence_and_due_again(
    own_database: Database, logged: list[MutableMapping[str, Any]]
) -> None:
    def fail(_stopping: threading.Event) -> None:
        raise TemporaryError("ShipStation V2 labels: answered 503")

    run_due(own_database, fail)

    [line] = logged
    assert (line["event"], line["log_level"]) == ("periodic_task_failed", "error")
    assert line["error"] == "ShipStation V2 labels: answered 503"
    assert "exc_info" not in line
    with own_database.read() as connection:
        now = own_database.now(connection)
    assert due(own_database, now + timedelta(minutes=1))


def test_task_that_is_broken_off_by_a_stop_is_no_failure_and_comes_again(
    own_database: Database, logged: list[MutableMapping[str, Any]]
) -> None:
    stopping = threading.Event()

    def stop_in_the_middle(stopping: threading.Event) -> None:
        stopping.set()
        raise ThrottledError("stopped before shipstation labels", retry_after=1)

    run_due(own_database, stop_in_the_middle, stopping=stopping)

    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("periodic_task_broken_off", "info")
    ]
    with own_database.read() as connection:
        now = own_database.now(connection)
    assert due(own_database, now + timedelta(minutes=1))


def test_stopping_worker_begins_no_task(own_database: Database) -> None:
    stopping, done = threading.Event(), list[str]()
    stopping.set()

    run_due(own_database, lambda _stopping: done.append("swept"), stopping=stopping)

    assert done == []


def test_task_that_takes_long_holds_up_no_other(own_database: Database) -> None:
    may_end, alerts_sent = threading.Event(), threading.Event()

    def sweep(_stopping: threading.Event) -> None:
        assert may_end.wait(60)

    tasks = PeriodicTasks(
        own_database,
        [
            PeriodicTask("sweep", HOUR, sweep),
            PeriodicTask("alerts", HOUR, lambda _stopping: alerts_sent.set()),
        ],
    )
    with ThreadPoolExecutor(2) as pool:
        tasks.start_due(pool, threading.Event())
        was_sent = alerts_sent.wait(60)
        may_end.set()

    assert was_sent


def test_task_that_is_under_way_is_not_started_beside_itself(own_database: Database) -> None:
    may_end = threading.Event()
    tasks = PeriodicTasks(
        own_database,
        [PeriodicTask("sweep", timedelta(0), lambda _stopping: bool(may_end.wait(60)) and None)],
    )
    with ThreadPoolExecutor(2) as pool:
        first = tasks.start_due(pool, threading.Event())
        second = tasks.start_due(pool, threading.Event())
        may_end.set()

    assert (len(first), len(second)) == (1, 0)
