"""Many threads, one durable commit: whoever waits at that moment is written and synced together,
and hears of it only after that."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from bridge.domain.errors import StorageError
from bridge.store.engine.driver_errors import storage_errors

T = TypeVar("T")


class GroupCommit:
    """`run` is one transaction of SQLite's for its caller: the first of the waiting threads leads,
    and runs the work of all of them in one.
    https://www.sqlite.org/wal.html#performance_considerations"""

    def __init__(
        self,
        begin: Callable[..., AbstractContextManager[Connection]],
        *,
        patience: float,
        most: int = 64,
    ) -> None:
        """`begin(durable=…)` opens a transaction; `patience` is how many seconds a thread waits for
        its turn. `most` is how many may share a commit; whoever is too late for one is in the next,
        in the order of coming."""
        self._begin, self._patience, self._most = begin, patience, most
        self._mutex, self._waiting, self._is_led = threading.Lock(), deque["_Turn[Any]"](), False

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        durable: bool = True,
        is_one_statement: bool = False,
    ) -> T:
        """What `work` returns, once it is committed; or what it raised, with its own writes undone
        and nobody else's.

        Raises StorageError when the database can't take it; nothing is kept then. `work` runs in
        any of the threads, and never calls `run`."""
        turn = _Turn(work, durable, is_one_statement)
        if not self._must_lead(turn) and not turn.called.acquire(timeout=self._patience):
            self._give_up(turn)
        if not turn.is_over:
            self._lead()
        return turn.outcome()

    def waiting(self) -> int:
        """How many wait for the next commit."""
        return len(self._waiting)

    def _must_lead(self, turn: "_Turn[Any]") -> bool:
        with self._mutex:
            self._waiting.append(turn)
            is_first, self._is_led = not self._is_led, True
        return is_first

    def _give_up(self, turn: "_Turn[Any]") -> None:
        """Out of the queue; but whose work is being done by now must hear how it ends."""
        with self._mutex:
            if turn.called.acquire(blocking=False):
                return
            if turn in self._waiting:
                self._waiting.remove(turn)
                raise StorageError(
                    "the database can't take it: another writer of this process holds it",
                    retry_after=5,
                )
        turn.called.acquire()

    def _lead(self) -> None:
        group: list[_Turn[Any]] = []
        try:
            with self._mutex:
                durable = any(turn.durable for turn in self._waiting)
            with self._begin(durable=durable) as connection:
                group = self._take(
                    self._most, durable
                )  # Now, as waiting for the database's lock may have brought more.
                for turn in group:
                    turn.do(connection, alone=len(group) == 1)
            for turn in group:
                turn.is_committed = True
        except Exception as exc:  # noqa: BLE001  # each of the group raises it in its own thread
            group = group or self._take(1)
            for turn in group:
                turn.error = exc
        finally:
            group = group or self._take(1)
            self._hand_over()
            for turn in group:
                turn.end()

    def _take(self, most: int, durable: bool = True) -> "list[_Turn[Any]]":
        """Who leads is the first in the queue. What must be durable is not taken into a commit that
        isn't."""
        group: list[_Turn[Any]] = []
        with self._mutex:
            while self._waiting and len(group) < most and (durable or not self._waiting[0].durable):
                group.append(self._waiting.popleft())
        return group

    def _hand_over(self) -> None:
        """The first who waits leads next, so that nobody works for others without end."""
        with self._mutex:
            self._is_led = bool(self._waiting)
            if self._is_led:
                self._waiting[0].called.release()


class _Turn(Generic[T]):
    """One caller's work, and how it ended."""

    __slots__ = (
        "called",
        "durable",
        "error",
        "is_committed",
        "is_one_statement",
        "is_over",
        "result",
        "work",
    )

    result: T

    def __init__(
        self, work: Callable[[Connection], T], durable: bool, is_one_statement: bool
    ) -> None:
        self.work, self.durable, self.is_one_statement = work, durable, is_one_statement
        self.error: Exception | None = None
        self.is_committed = self.is_over = False
        self.called = threading.Lock()
        self.called.acquire()

    def do(self, connection: Connection, *, alone: bool) -> None:
        """In a savepoint of its own, so that an error undoes this work only. Work that is alone
        needs none, nor does a single statement, which SQLite undoes by itself when it fails."""
        if alone:
            self.result = self.work(connection)
        elif self.is_one_statement:
            self._try(connection)
        else:
            connection.exec_driver_sql("SAVEPOINT turn")
            self._try(connection)
            if self.error is not None:
                connection.exec_driver_sql("ROLLBACK TO turn")
            connection.exec_driver_sql("RELEASE turn")

    def _try(self, connection: Connection) -> None:
        try:
            with storage_errors():
                self.result = self.work(connection)
        except Exception as exc:
            self.error = exc  # Its caller raises it.
            driver: Any = connection.connection.driver_connection
            # Some errors, such as a full disk, take all of it back: then nobody may hear that it is
            # stored.
            if not driver.in_transaction:
                raise

    def end(self) -> None:
        self.is_over = True
        self.called.release()

    def outcome(self) -> T:
        if isinstance(
            self.error, StorageError
        ):  # One error may be that of many threads, so each raises its own.
            raise StorageError(str(self.error), retry_after=self.error.retry_after) from self.error
        if self.error is not None:
            raise self.error
        if not self.is_committed:
            raise StorageError("the thread that was to commit this was broken off", retry_after=5)
        return self.result
