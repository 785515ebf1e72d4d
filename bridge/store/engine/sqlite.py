"""SQLite: how its file is opened, locked and watched."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from bridge.domain.errors import StorageError
from bridge.store.engine.deadlines import deadline_or
from bridge.store.engine.driver_errors import WaitedTooLongError, not_taken

WRITES = "bridge_writes"
"""Execution option: whether a transaction writes; it takes SQLite's lock at once then."""
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY")
_MOST_CONNECTIONS = 32


def create(url: URL, *, patience: float, file: "WatchedFile | None") -> Engine:
    """Write-ahead log, `synchronous=FULL` (a committed row survives a power cut), and BEGIN
    IMMEDIATE for each write, so that a lock is waited for rather than failed on.
    https://www.sqlite.org/wal.html"""
    engine = create_engine(
        url,
        pool_size=_MOST_CONNECTIONS,
        hide_parameters=True,
        connect_args={"timeout": patience, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def _make_private(
        _dialect: object, _record: object, arguments: Sequence[str], _options: object
    ) -> None:
        """A new database is for its owner's eyes only; SQLite gives the files beside it the same
        mode. One that was removed is not made anew."""
        if file is not None:
            file.check()
        # It is there already, or SQLite will say what is wrong with its place.
        with suppress(OSError):
            os.close(os.open(arguments[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # SQLAlchemy says BEGIN itself, below; the driver must not.
        connection.isolation_level = None
        if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
            # It can be chosen only while the file is empty.
            # https://www.sqlite.org/pragma.html#pragma_auto_vacuum
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for pragma in (*_PRAGMAS, f"busy_timeout={int(patience * 1000)}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        """Said to the driver itself, as this happens for each transaction."""
        driver: Any = connection.connection.driver_connection
        try:
            if connection.get_execution_options().get(WRITES):
                _begin_in_turn(driver, patience)
            else:
                driver.execute("BEGIN")
        except sqlite3.Error as exc:
            raise not_taken(exc) from exc

    return engine


def _begin_in_turn(driver: Any, patience: float) -> None:
    """Ask for the write lock every millisecond. SQLite's own waiting grows to a tenth of a second
    between two looks, and whoever writes without a pause, as a busy worker does, would leave a
    receiver hardly a gap. https://www.sqlite.org/c3ref/busy_timeout.html"""
    deadline = deadline_or(patience) or 0
    driver.execute("PRAGMA busy_timeout=1")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                is_busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() >= deadline:
                    raise
            else:
                return
    finally:
        driver.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")


def one_writer(patience: float) -> Callable[[], AbstractContextManager[None]]:
    """One writer at a time within this process, as SQLite's own lock is unfair. WaitedTooLongError
    after as long as SQLite itself would wait."""
    lock = threading.Lock()

    @contextmanager
    def turn() -> Iterator[None]:
        seconds = (deadline_or(patience) or 0) - time.monotonic()
        if not lock.acquire(timeout=min(max(seconds, 0), threading.TIMEOUT_MAX)):
            raise WaitedTooLongError(
                "the database can't take it: another writer of this process holds it", retry_after=5
            )
        try:
            yield
        finally:
            lock.release()

    return turn


class ReplacedError(StorageError):
    """The database's file is another one than this process opened, or is gone. What the process
    writes would go into a file without a name, so it takes nothing more."""


class WatchedFile:
    """Whether the file is still the one that was opened first."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._opened: tuple[int, int] | None = None

    def check(self) -> None:
        """Raises ReplacedError. It costs one look at the folder, so each transaction can."""
        if self._opened is None:
            with suppress(OSError):  # Not created yet, or SQLite will say what is wrong.
                self._opened = self._identity()
            return
        try:
            is_same = self._identity() == self._opened
        except FileNotFoundError:
            raise ReplacedError(
                f"{self.path} was removed while this process used it; stop the bridge, put the "
                "file or a backup back, and start it again",
                retry_after=60,
            ) from None
        except OSError as exc:
            raise not_taken(exc) from exc
        if not is_same:
            raise ReplacedError(
                f"{self.path} was replaced by another file while this process used it; "
                "restart the bridge to use the new one",
                retry_after=60,
            )

    def forget(self) -> None:
        """No connection to the file is open any more, so the next one may be to another."""
        self._opened = None

    def check_not_lost(self) -> None:
        """Raises ReplacedError where there is no file although the bridge has used one here: to
        begin with an empty one would hide that all is gone."""
        if self.path.exists():
            return
        traces = sorted(self.path.parent.glob(f"{self.path.name}.worker-*.lock"))
        if traces:
            raise ReplacedError(
                f"{self.path} is gone, though the bridge has used it; put the file or a backup "
                f"back, or remove {traces[0]} to begin with an empty one",
                retry_after=60,
            )

    def _identity(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_dev, stat.st_ino
