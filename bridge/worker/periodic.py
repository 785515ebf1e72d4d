"""What the worker does now and then, beside the journey: a table of chores, each done by one worker
of all that share the database."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from bridge.domain.errors import StorageError
from bridge.store import periodic
from bridge.store.engine.database import Database

log = structlog.get_logger(__name__)

_LOOK_EVERY = 5.0
_AGAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Chore:
    """`do` gets the event that is set when the worker stops: long work looks at it between its
    steps, and returns."""

    name: str
    every: timedelta
    do: Callable[[threading.Event], None]


@dataclass(frozen=True, slots=True)
class Chores:
    """Runs in a thread of its own, so that a long sweep holds up no delivery. A chore that fails is
    tried again a minute later."""

    database: Database
    table: Sequence[Chore] = ()

    def run(self, stopping: threading.Event) -> None:
        """Do what is due until `stopping` is set."""
        while self.table and not stopping.wait(_LOOK_EVERY):
            self.do_due(stopping)

    def do_due(self, stopping: threading.Event) -> None:
        """One look at the table: a single read, as nearly always nothing is due."""
        try:
            with self.database.read() as connection:
                now, times = self.database.now(connection), periodic.due_times(connection)
            for chore in self.table:
                is_due = not now < times.get(chore.name, now) <= now + chore.every
                if is_due and not stopping.is_set():
                    self._do_if_due(chore, stopping)
        except StorageError as exc:
            log.warning("chores_wait_for_database", error=str(exc))

    def _do_if_due(self, chore: Chore, stopping: threading.Event) -> None:
        with self.database.begin(durable=False) as connection:
            if not periodic.take(
                connection, chore.name, every=chore.every, now=self.database.now(connection)
            ):
                return
        try:
            chore.do(stopping)
        except Exception:  # A chore must never end the worker; it is logged, and tried again.
            log.exception("chore_failed", chore=chore.name)
            with self.database.begin(durable=False) as connection:
                periodic.put_off(
                    connection,
                    chore.name,
                    until=self.database.now(connection) + min(chore.every, _AGAIN_AFTER),
                )
        else:
            with self.database.begin(durable=False) as connection:
                periodic.done(connection, chore.name, now=self.database.now(connection))
