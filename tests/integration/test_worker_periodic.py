"""What is done now and then is done by one worker, again after a failure, and by nobody once the
worker stops."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bridge.store import periodic
from bridge.store.engine.database import Database
from bridge.worker.periodic import Chore, Chores

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def due(database: Database, now: datetime, *, every: timedelta = HOUR) -> bool:
    with database.begin() as connection:
        return periodic.take(connection, "sweep", every=every, now=now)


def chores_of(database: Database, do: Callable[[threading.Event], None]) -> Chores:
    return Chores(database, [Chore("sweep", HOUR, do)])


def test_of_many_workers_one_gets_the_chore(own_database: Database) -> None:
    assert [due(own_database, NOW) for _worker in range(3)] == [True, False, False]


def test_chore_comes_again_after_its_interval_and_not_before(own_database: Database) -> None:
    due(own_database, NOW)

    assert not due(own_database, NOW + HOUR - timedelta(seconds=1))
    assert due(own_database, NOW + HOUR)


def test_shorter_interval_takes_effect_at_once(own_database: Database) -> None:
    due(own_database, NOW, every=timedelta(days=1))

    assert due(own_database, NOW + timedelta(minutes=5), every=timedelta(minutes=4))


def test_what_is_done_is_remembered(own_database: Database) -> None:
    done: list[str] = []
    chores_of(own_database, lambda _stopping: done.append("swept")).do_due(threading.Event())

    with own_database.read() as connection:
        assert periodic.last_done(connection, "sweep") is not None
    assert done == ["swept"]


def test_failed_chore_ends_nothing_and_is_due_again_within_the_minute(
    own_database: Database,
) -> None:
    def fail(_stopping: threading.Event) -> None:
        raise RuntimeError("the vendor answered with a poem")

    chores_of(own_database, fail).do_due(threading.Event())

    with own_database.read() as connection:
        assert periodic.last_done(connection, "sweep") is None
        now = own_database.now(connection)
    assert not due(own_database, now)
    assert due(own_database, now + timedelta(minutes=1))


def test_stopping_worker_begins_no_chore(own_database: Database) -> None:
    stopping, done = threading.Event(), list[str]()
    stopping.set()

    chores_of(own_database, lambda _stopping: done.append("swept")).do_due(stopping)

    assert done == []
