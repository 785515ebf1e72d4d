"""One database, two engines. Hands out visible transactions; whatever the driver can't take becomes
`StorageError`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from bridge.store.engine import postgresql, sqlite
from bridge.store.engine.availability import Availability
from bridge.store.engine.deadlines import deadline_in
from bridge.store.engine.driver_errors import storage_errors
from bridge.store.engine.group_commit import GroupCommit

__all__ = ["Connection", "Database"]

T = TypeVar("T")


class Database:
    """`begin()` writes, `read()` reads; both commit at the end of their block or roll back whole.
    Neither waits for the database longer than `patience` seconds.

    On SQLite a process writes with one connection at a time, and takes nothing more once the file
    is another one than it opened."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] | None = None,
        pool_size: int = 4,
        patience: float = 30.0,
    ) -> None:
        """On PostgreSQL `pool_size` connections stay open, and twice as many may be."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.patience = patience
        self._clock = clock
        self._writing_is_possible = Availability()
        self._reading_is_possible = Availability()
        self._writers: dict[bool, Connection] = {}
        self._turn: Callable[[], AbstractContextManager[None]] = nullcontext
        self._group: GroupCommit | None = None
        self._file: sqlite.WatchedFile | None = None
        if self.is_sqlite:
            if self.url.database:
                self._file = sqlite.WatchedFile(self.url.database)
            self.engine = sqlite.create(self.url, patience=patience, file=self._file)
            self._turn = sqlite.one_writer(patience)
            self._group = GroupCommit(self._begin, patience=patience)
        else:
            self.engine = postgresql.create(self.url, pool_size=pool_size, patience=patience)
        self._writing = self.engine.execution_options(**{sqlite.WRITES: True})

    @contextmanager
    def begin(self, *, durable: bool = True, is_limited: bool = True) -> Iterator[Connection]:
        """A transaction that writes. Raises StorageError when the database can't take it; nothing
        of it is kept then.

        `durable=False` is for what may be lost in a power cut, such as a claim or a heartbeat: on
        SQLite it does not wait for the disk. `is_limited=False` is for a change of the schema,
        which takes as long as it takes."""
        with self._writing_is_possible.attempt(), self._begin(durable, is_limited) as connection:
            yield connection

    @contextmanager
    def _begin(self, durable: bool = True, is_limited: bool = True) -> Iterator[Connection]:
        self._check_file()
        with deadline_in(self.patience if is_limited else None), self._turn(), storage_errors():
            if not self.is_sqlite:
                with self._writing.begin() as connection:
                    yield connection
                return
            connection = self._writers.get(durable) or self._open_writer(durable)
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                # Whatever state it is in now, the next transaction begins on a new one.
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
        self._check_file()
        with self._reading_is_possible.attempt(), storage_errors(), ExitStack() as stack:
            with deadline_in(self.patience):
                connection = stack.enter_context(self.engine.begin())
            # What is read bit by bit may take longer in sum; each bit has its own limit.
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, once its writes are committed: on SQLite together with those of
        other threads that wait at this moment. PostgreSQL groups commits by itself, and work that
        locks rows must not wait for other work's locks in a common transaction."""
        if self._group is not None:
            with self._writing_is_possible.attempt():
                return self._group.run(work)
        with self.begin() as connection:
            return work(connection)

    def check_not_lost(self) -> None:
        """Raises StorageError where a SQLite file is gone that the bridge has used. Asked before
        one is created."""
        if self._file is not None:
            self._file.check_not_lost()

    def _check_file(self) -> None:
        if self._file is not None:
            self._file.check()

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

    def disconnect(self) -> None:
        """End all connections; a later transaction, also of a process that is forked now, opens new
        ones to the same file, and makes none anew where it was removed."""
        if self._file is not None:
            self._file.check()
        self._end_connections()

    def close(self) -> None:
        """End all connections; a later transaction opens whatever file is there then."""
        self._end_connections()
        if self._file is not None:
            self._file.forget()

    def _end_connections(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()
        self.engine.dispose()
