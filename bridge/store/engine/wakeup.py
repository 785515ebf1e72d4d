"""How a worker learns at once that there is work: SQLite's change counter, or LISTEN/NOTIFY on
PostgreSQL. Nothing polls for seconds."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bridge.store.engine.database import Database

_CHANNEL = "bridge_work"
_LOOK_EVERY = 0.025
"""Seconds between two looks at SQLite's `data_version`, which costs microseconds."""


class Waker(Protocol):
    """`wait(seconds)` returns early when another connection committed (SQLite) or said so
    (PostgreSQL), or `stop` was set."""

    def wait(self, seconds: float) -> None: ...
    def close(self) -> None: ...


def announce(connection: Connection) -> None:
    """Wake the workers when this transaction commits. SQLite needs no word: its change counter
    tells."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"NOTIFY {_CHANNEL}"))


def waker(database: Database, stop: threading.Event) -> Waker:
    return _SqliteWaker(database, stop) if database.is_sqlite else _PostgresWaker(database, stop)


class _SqliteWaker:
    """`PRAGMA data_version` changes when another connection has committed.
    https://www.sqlite.org/pragma.html#pragma_data_version"""

    def __init__(self, database: Database, stop: threading.Event) -> None:
        self._connection: Any = database.engine.raw_connection()
        self._stop = stop
        self._seen = self._version()

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._version() == self._seen and not self._stop.is_set():
            left = until - time.monotonic()
            if left <= 0:
                break
            self._stop.wait(min(_LOOK_EVERY, left))
        self._seen = self._version()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self._connection.close()


class _PostgresWaker:
    """A connection of its own that listens; while it is broken, waiting is a short sleep and the
    next wait connects anew."""

    def __init__(self, database: Database, stop: threading.Event) -> None:
        self._database, self._stop = database, stop
        self._connection: Connection | None = None

    def wait(self, seconds: float) -> None:
        try:
            listen = self._listening()
            until = time.monotonic() + seconds
            while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
                if any(True for _ in listen(timeout=min(left, 0.5), stop_after=1)):
                    return
        except Exception as exc:
            if not _is_driver_error(exc):
                raise
            self.close()
            self._stop.wait(min(seconds, 1.0))

    def _listening(self) -> Callable[..., Any]:
        if self._connection is None:
            self._connection = self._database.engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            )
            self._connection.execute(text(f"LISTEN {_CHANNEL}"))
        driver: Any = self._connection.connection.driver_connection
        notifies: Callable[..., Any] = driver.notifies
        return notifies

    def close(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.detach()
                self._connection.close()
            self._connection = None


def _is_driver_error(exc: Exception) -> bool:
    return isinstance(exc, DBAPIError) or type(exc).__module__.startswith("psycopg")
