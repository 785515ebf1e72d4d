"""One database, two engines. Hands out visible transactions; whatever the driver can't take becomes
`StorageError`."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url

from bridge.domain.errors import StorageError
from bridge.store.engine.driver_errors import not_taken, storage_errors
from bridge.store.engine.group_commit import GroupCommit

__all__ = ["Connection", "Database"]

T = TypeVar("T")

_WRITES = "bridge_writes"
"""Execution option: whether a transaction writes; SQLite takes its lock then at once."""
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY")


class Database:
    """`begin()` writes, `read()` reads; both commit at the end of their block or roll back whole.

    On SQLite: write-ahead log, `synchronous=FULL` (a committed row survives a power cut), `BEGIN
    IMMEDIATE` for each write so that a lock is waited for rather than failed on, and one writer at
    a time within a process, as its lock is unfair. https://www.sqlite.org/wal.html"""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] | None = None,
        pool_size: int = 12,
        busy_timeout: float = 30.0,
    ) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.busy_timeout = busy_timeout
        self._clock = clock
        self._turn: Callable[[], AbstractContextManager[None]] = (
            _one_writer(busy_timeout) if self.is_sqlite else nullcontext
        )
        self.engine = _sqlite(url, busy_timeout) if self.is_sqlite else _postgresql(url, pool_size)
        self._group = GroupCommit(self.begin, patience=busy_timeout) if self.is_sqlite else None
        self._writing = self.engine.execution_options(**{_WRITES: True})
        self._writers: dict[bool, Connection] = {}

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that writes. Raises StorageError when the database can't take it; nothing
        of it is kept then.

        `durable=False` is for what may be lost in a power cut, such as a claim or a heartbeat: on
        SQLite it does not wait for the disk."""
        with self._turn(), storage_errors():
            if not self.is_sqlite:
                with self._writing.begin() as connection:
                    yield connection
                return
            connection = self._writers.get(durable) or self._open_writer(durable)
            try:
                with connection.begin():
                    yield connection
            except (
                BaseException
            ):  # Whatever state it is in now, the next transaction begins on a new one.
                self._writers.pop(durable).close()
                raise

    def _open_writer(self, durable: bool) -> Connection:
        """One of two connections that stay open, as one writes at a time: taking one from the pool
        costs as much as writing a row."""
        connection = self._writers[durable] = self._writing.connect()
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        return connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, and never waits for a writer."""
        with storage_errors(), self.engine.begin() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, once its writes are committed: on SQLite together with those of
        other threads that wait at this moment. PostgreSQL groups commits by itself, and work that
        locks rows must not wait for other work's locks in a common transaction."""
        if self._group is not None:
            return self._group.run(work)
        with self.begin() as connection:
            return work(connection)

    def now(self, connection: Connection | None = None) -> datetime:
        """The database's clock, in the caller's transaction or in one of its own: the leases of
        many machines must not depend on whose clock is right. SQLite is one machine."""
        if self._clock is not None or self.is_sqlite:
            return self.wall_clock()
        if connection is None:
            with self.read() as own:
                return self.now(own)
        now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now.astimezone(UTC)

    def wall_clock(self) -> datetime:
        """This machine's clock: for what others wrote on theirs, such as the time of a signature.
        It costs no question."""
        return self._clock() if self._clock else datetime.now(UTC)

    def journal_mode(self) -> str:
        """SQLite's way of writing: `wal` is ours. StorageError when the file can't be read."""
        with self.read() as connection:
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())

    def close(self) -> None:
        """End all connections; a later transaction opens new ones."""
        while self._writers:
            self._writers.popitem()[1].close()
        self.engine.dispose()


def _one_writer(timeout: float) -> Callable[[], AbstractContextManager[None]]:
    """One writer at a time within this process; whoever waits longer than SQLite itself would wait
    hears a StorageError."""
    lock = threading.Lock()

    @contextmanager
    def turn() -> Iterator[None]:
        if not lock.acquire(timeout=timeout):
            raise StorageError(
                "the database can't take it: another writer of this process holds it", retry_after=5
            )
        try:
            yield
        finally:
            lock.release()

    return turn


def _sqlite(url: str, busy_timeout: float) -> Engine:
    engine = create_engine(
        url,
        pool_size=32,
        hide_parameters=True,
        connect_args={"timeout": busy_timeout, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def _make_private(
        _dialect: object, _record: object, arguments: Sequence[str], _options: object
    ) -> None:
        """A new ledger is for its owner's eyes only; SQLite gives the files beside it the same
        mode."""
        with suppress(
            OSError
        ):  # It is there already, or SQLite will say what is wrong with its place.
            os.close(os.open(arguments[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = (
            None  # SQLAlchemy says BEGIN itself, below; the driver must not.
        )
        if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
            # It can be chosen only while the file is empty.
            # https://www.sqlite.org/pragma.html#pragma_auto_vacuum
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for pragma in (*_PRAGMAS, f"busy_timeout={int(busy_timeout * 1000)}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        """Said to the driver itself, as this happens for each transaction."""
        driver: Any = connection.connection.driver_connection
        try:
            if connection.get_execution_options().get(_WRITES):
                _begin_in_turn(driver, busy_timeout)
            else:
                driver.execute("BEGIN")
        except sqlite3.Error as exc:
            raise not_taken(exc) from exc

    return engine


def _begin_in_turn(driver: Any, timeout: float) -> None:
    """Ask for the write lock every millisecond. SQLite's own waiting grows to a tenth of a second
    between two looks, and whoever writes without a pause, as a busy worker does, would leave a
    receiver hardly a gap. https://www.sqlite.org/c3ref/busy_timeout.html"""
    deadline = time.monotonic() + timeout
    driver.execute("PRAGMA busy_timeout=1")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if (
                    exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
                    or time.monotonic() >= deadline
                ):
                    raise
            else:
                return
    finally:
        driver.execute(f"PRAGMA busy_timeout={int(timeout * 1000)}")


def _postgresql(url: str, pool_size: int) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=2,
        pool_timeout=8,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": 5, "application_name": "purpledot-shipstation-bridge"},
    )
