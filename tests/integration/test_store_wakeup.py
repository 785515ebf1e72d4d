"""A waiting worker learns of a commit at once, is not held up when told to stop, and outlives a
broken connection."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from bridge.store.engine import wakeup
from bridge.store.engine.database import Database
from tests.support.rows import receive

pytest_plugins = ["tests.support.database_fixtures"]

Opener = Callable[[], Database]
LONG, SOON = 3600.0, 60.0
"""Seconds that a wait lasts unless something ends it, and within which something must."""


@contextmanager
def waiting(waker: wakeup.Waker, seconds: float = LONG) -> Iterator[threading.Thread]:
    """A thread inside `wait`, and at the end the proof that it came out early."""
    started = threading.Event()

    def wait() -> None:
        started.set()
        waker.wait(seconds)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    started.wait(SOON)
    yield thread
    thread.join(SOON)
    assert not thread.is_alive()


def tell(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DELETE FROM workers WHERE name = 'nobody'"))
        wakeup.announce(connection)
    receive(database)


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def waker(opened: Opener, stop: threading.Event) -> Iterator[wakeup.Waker]:
    listening = wakeup.waker(opened(), stop)
    listening.wait(0.001)  # From here on it listens.
    yield listening
    listening.close()


def test_another_process_that_commits_ends_the_wait(opened: Opener, waker: wakeup.Waker) -> None:
    with waiting(waker):
        tell(opened())


def test_what_was_committed_between_two_waits_ends_the_next(
    opened: Opener, waker: wakeup.Waker
) -> None:
    tell(opened())

    with waiting(waker):
        pass


def test_stop_ends_the_wait(waker: wakeup.Waker, stop: threading.Event) -> None:
    with waiting(waker):
        stop.set()


def test_quiet_wait_ends_by_itself(waker: wakeup.Waker) -> None:
    with waiting(waker, 0.01):
        pass


def test_transaction_that_was_rolled_back_wakes_nobody_up_for_good(
    opened: Opener, waker: wakeup.Waker
) -> None:
    def break_off() -> None:
        with opened().begin() as connection:
            wakeup.announce(connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()

    with waiting(waker, 0.01):
        pass


def cut_all_connections(database: Database) -> None:
    others = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = "
        "current_database() AND pid <> pg_backend_pid()"
    )
    with database.read() as connection:
        connection.execute(text(others)).all()


def test_broken_connection_is_replaced(opened: Opener, waker: wakeup.Waker) -> None:
    database = opened()
    if database.is_sqlite:
        return  # A file has no connection to break.
    cut_all_connections(database)
    waker.wait(0.05)  # Notices it.
    waker.wait(0.001)  # Listens anew.

    with waiting(waker):
        tell(database)


def test_closing_twice_is_harmless(opened: Opener, stop: threading.Event) -> None:
    database = opened()
    listening = wakeup.waker(database, stop)
    listening.wait(0.001)
    if not database.is_sqlite:
        cut_all_connections(opened())

    listening.close()


def test_server_that_is_gone_is_waited_for(
    opened: Opener, stop: threading.Event, tmp_path: object
) -> None:
    if opened().is_sqlite:
        return
    stop.set()
    listening = wakeup.waker(Database(f"postgresql+psycopg://bridge@/bridge?host={tmp_path}"), stop)

    listening.wait(5)

    listening.close()
