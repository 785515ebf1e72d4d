"""Many threads, one durable commit: whatever waits at that moment is written and synced together,
and its callers return only after that."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from bridge.domain.errors import StorageError
from bridge.store.engine.driver_errors import WaitedTooLongError, storage_errors

T = TypeVar("T")


class GroupCommit:
    """`run` is one transaction of SQLite's for its caller: the first of the waiting threads leads,
    and runs the work of all of them in one.
    https://www.sqlite.org/wal.html#performance_considerations"""

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[Connection]],
        *,
        patience: float,
        most: int = 64,
    ) -> None:
        """`begin()` opens a durable transaction; `patience` is how many seconds a thread waits for
        its turn. `most` is how many may share a commit; whoever is too late for one is in the next,
        in the order of coming."""
        self._begin = begin
        self._patience = patience
        self._most = most
        self._mutex = threading.Lock()
        self._waiting: deque[_QueuedWrite[Any]] = deque()
        self._is_led = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, once it is committed; or what it raised, with its own writes undone
        and nobody else's.

        Raises StorageError when the database can't take it; nothing is kept then. `work` runs in
        any of the threads, and never calls `run`."""
        write = _QueuedWrite(work)
        if not self._must_lead(write) and not write.called.acquire(timeout=self._patience):
            self._give_up(write)
        if not write.is_over:
            self._lead()
        return write.outcome()

    def waiting(self) -> int:
        """How many wait for the next commit."""
        return len(self._waiting)

    def _must_lead(self, write: "_QueuedWrite[Any]") -> bool:
        with self._mutex:
            self._waiting.append(write)
            is_first = not self._is_led
            self._is_led = True
        return is_first

    def _give_up(self, write: "_QueuedWrite[Any]") -> None:
        """Leave the queue; but whoever's work is being done by now must wait for how it ends."""
        with self._mutex:
            if write.called.acquire(blocking=False):
                return
            if write in self._waiting:
                self._waiting.remove(write)
                raise WaitedTooLongError(
                    "the database can't take it: another writer of this process holds it",
                    retry_after=5,
                )
        write.called.acquire()

    def _lead(self) -> None:
        group: list[_QueuedWrite[Any]] = []
        try:
            with self._begin() as connection:
                # Taken only now, as waiting for the database's lock may have brought more.
                group = self._take(self._most)
                for write in group:
                    write.do(connection, alone=len(group) == 1)
            for write in group:
                write.is_committed = True
        except Exception as exc:  # noqa: BLE001  # each of the group raises it in its own thread
            # Whoever stands behind one that waited in vain would do so as well.
            most = len(self._waiting) if isinstance(exc, WaitedTooLongError) else 1
            group = group or self._take(max(1, most))
            for write in group:
                write.error = exc
        finally:
            group = group or self._take(1)
            self._hand_over()
            for write in group:
                write.end()

    def _take(self, most: int) -> "list[_QueuedWrite[Any]]":
        """The next of the queue; its leader is the first of them."""
        with self._mutex:
            count = min(most, len(self._waiting))
            return [self._waiting.popleft() for _place in range(count)]

    def _hand_over(self) -> None:
        """The first who waits leads next, so that nobody works for others without end."""
        with self._mutex:
            self._is_led = bool(self._waiting)
            if self._is_led:
                self._waiting[0].called.release()


class _QueuedWrite(Generic[T]):
    """One caller's work, and how it ended."""

    __slots__ = ("called", "error", "is_committed", "is_over", "result", "work")

    result: T

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.error: Exception | None = None
        self.is_committed = False
        self.is_over = False
        self.called = threading.Lock()
        self.called.acquire()

    def do(self, connection: Connection, *, alone: bool) -> None:
        """In a savepoint of its own, so that an error undoes this work only. Work that is alone
        needs none."""
        if alone:
            self.result = self.work(connection)
            return
        driver: Any = connection.connection.driver_connection
        driver.execute("SAVEPOINT queued_write")
        self._try(connection, driver)
        if self.error is not None:
            driver.execute("ROLLBACK TO queued_write")
        driver.execute("RELEASE queued_write")

    def _try(self, connection: Connection, driver: Any) -> None:
        try:
            with storage_errors():
                self.result = self.work(connection)
        except Exception as exc:
            self.error = exc  # Its caller raises it.
            # Some errors, such as a full disk, take all of it back: then nobody may hear that it is
            # stored.
            if not driver.in_transaction:
                raise

    def end(self) -> None:
        self.is_over = True
        self.called.release()

    def outcome(self) -> T:
        if isinstance(self.error, StorageError):
            # One error may be that of many threads, so each raises its own.
            kind = type(self.error)
            raise kind(str(self.error), retry_after=self.error.retry_after) from self.error
        if self.error is not None:
            raise self.error
        if not self.is_committed:
            raise StorageError("the thread that was to commit this was broken off", retry_after=5)
        return self.result
