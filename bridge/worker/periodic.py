"""What the worker does now and then, beside the journey: a table of tasks, each run by one worker
of all that share the database."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from bridge.domain.errors import BridgeError, StorageError
from bridge.store import periodic
from bridge.store.engine.database import Database

log = structlog.get_logger(__name__)

_LOOK_EVERY = 5.0
_AGAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """`run` gets the event that is set when the worker stops: long work looks at it between its
    steps, and returns."""

    name: str
    every: timedelta
    run: Callable[[threading.Event], None]
    database_failed: Callable[[StorageError], None] | None = None
    """Called every few seconds while the database fails, as nothing can be due then."""


@dataclass(slots=True)
class PeriodicTasks:
    """Each task has a thread of its own, so that a long sweep holds up neither a delivery nor an
    alert. A task that fails is tried again a minute later."""

    database: Database
    tasks: Sequence[PeriodicTask] = ()
    _running: dict[str, Future[None]] = field(default_factory=dict)

    def run(self, stopping: threading.Event) -> None:
        """Run what is due until `stopping` is set; returns when the last task has ended."""
        if not self.tasks:
            return
        with ThreadPoolExecutor(len(self.tasks), thread_name_prefix="periodic") as pool:
            while not stopping.wait(_LOOK_EVERY):
                self.start_due(pool, stopping)

    def start_due(
        self, pool: ThreadPoolExecutor, stopping: threading.Event
    ) -> Sequence[Future[None]]:
        """Start what is due and not under way here. One look is a single read, as nearly always
        nothing is due."""
        if stopping.is_set():
            return []
        try:
            due = self._due()
        except StorageError as exc:
            self._database_failed(exc)
            return []
        started = {task.name: pool.submit(self._run_if_due, task, stopping) for task in due}
        self._running |= started
        return list(started.values())

    def _due(self) -> list[PeriodicTask]:
        with self.database.read() as connection:
            now = self.database.now(connection)
            times = periodic.due_times(connection)
        due = []
        for task in self.tasks:
            # A due time beyond the interval was set under a longer one, or by a clock that was off.
            waits = now < times.get(task.name, now) <= now + task.every
            earlier = self._running.get(task.name)
            if not waits and (earlier is None or earlier.done()):
                due.append(task)
        return due

    def _run_if_due(self, task: PeriodicTask, stopping: threading.Event) -> None:
        try:
            with self.database.begin(durable=False) as connection:
                now = self.database.now(connection)
                is_ours = periodic.take(connection, task.name, every=task.every, now=now)
            if is_ours:
                self._run(task, stopping)
        except StorageError as exc:
            self._database_failed(exc)

    def _database_failed(self, error: StorageError) -> None:
        log.warning("periodic_tasks_wait_for_database", error=str(error))
        for task in self.tasks:
            if task.database_failed is not None:
                task.database_failed(error)

    def _run(self, task: PeriodicTask, stopping: threading.Event) -> None:
        try:
            task.run(stopping)
        except BridgeError as exc:
            if stopping.is_set():
                log.info("periodic_task_broken_off", task=task.name)
            else:
                log.error("periodic_task_failed", task=task.name, error=str(exc)[:300])
            self._run_again_soon(task)
        except Exception:  # A task must never end the worker; it is logged, and tried again.
            log.exception("periodic_task_failed", task=task.name)
            self._run_again_soon(task)
        else:
            with self.database.begin(durable=False) as connection:
                periodic.note_done(connection, task.name, now=self.database.now(connection))

    def _run_again_soon(self, task: PeriodicTask) -> None:
        again_after = min(task.every, _AGAIN_AFTER)
        with self.database.begin(durable=False) as connection:
            until = self.database.now(connection) + again_after
            periodic.postpone(connection, task.name, until=until)
