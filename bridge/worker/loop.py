"""The loop: claim → do → record. Threads work, one keeper renews leases and beats, one listener
wakes. Holds no rules of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import LeaseLostError, StorageError
from bridge.domain.events import Event
from bridge.pipeline.deliver import DeliveryJob
from bridge.pipeline.process_event import EventJob
from bridge.store import deliveries, events, leases, restores, workers
from bridge.store.engine import wakeup
from bridge.store.engine.database import Connection, Database
from bridge.vendors.rate_limit import calls_in
from bridge.worker.periodic import Chores

log = structlog.get_logger(__name__)

_BEAT_EVERY = 5.0
_LONGEST_WAIT = 5.0
_BROKEN_WAIT = 1.0
_TAKEN_WAIT = 0.05
_BREATH = 0.02
_TAKES = 4
"""How many of an event's new deliveries the worker that placed them takes at once; the others are
for whoever is free."""


Work = Event | Delivery
Key = tuple[str, str, int]
"""Queue, id and claim."""


def _key(work: Work) -> Key:
    queue = leases.EVENTS if isinstance(work, Event) else leases.DELIVERIES
    return queue.name, work.id, work.claim


@dataclass(slots=True)
class Worker:
    """`run()` blocks until `stop()`; with `once` it drains what is due and returns. Any number may
    share one database."""

    database: Database
    event_job: EventJob
    delivery_job: DeliveryJob
    threads: int
    lease: timedelta
    chores: Chores | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Event = field(default_factory=threading.Event)
    _tasks: dict[Key, Work] = field(default_factory=dict)
    _held: dict[Key, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _name: workers.WorkerName | None = None

    def stop(self) -> None:
        """Claim nothing more, finish what is in flight, then return from `run`. May be called from
        a signal handler."""
        self.stopping.set()
        self._changed.set()

    def run(self, *, once: bool = False) -> None:
        self._name = self._take_name()
        if self._name is None:
            return
        log.info("worker_started", worker=self._name.name, threads=self.threads)
        helpers = [
            threading.Thread(target=target, daemon=True) for target in (self._keep, self._listen)
        ]
        if self.chores is not None and not once:
            helpers.append(
                threading.Thread(target=self.chores.run, args=(self.stopping,), daemon=True)
            )
        for helper in helpers:
            helper.start()
        try:
            with ThreadPoolExecutor(self.threads, thread_name_prefix="job") as pool:
                self._loop(pool, once=once)
        finally:
            self._stopped.set()
            for helper in helpers:
                helper.join()
            self._leave()

    def _loop(self, pool: ThreadPoolExecutor, *, once: bool) -> None:
        while not self.stopping.is_set():
            self._changed.clear()
            idle = not self._tasks
            try:
                # While all threads are busy nothing is asked: the end of a task wakes us.
                waits = {} if self._is_busy() else self._waits()
                started = self._start(pool, {queue for queue, wait in waits.items() if wait <= 0})
            except StorageError as exc:
                log.warning("worker_waits_for_database", error=str(exc))
                self._changed.wait(_BROKEN_WAIT)
                continue
            if once and idle and not started:
                return
            if not started:
                # What is due and yet not claimed waits for a thread of ours, whose end wakes us, or
                # another worker has it already.
                self._changed.wait(
                    min(max(min(waits.values(), default=_LONGEST_WAIT), _TAKEN_WAIT), _LONGEST_WAIT)
                )

    def _waits(self) -> dict[str, float]:
        """Seconds until each queue has something due, where there is anything to wait for."""
        with self.database.read() as connection:
            now, waits = self.database.now(connection), dict[str, float]()
            for (queue, _lane), due in leases.earliest(connection).items():
                waits[queue] = min((due - now).total_seconds(), waits.get(queue, _LONGEST_WAIT))
        return waits

    def _start(self, pool: ThreadPoolExecutor, due: set[str]) -> int:
        """Claim more than there are threads for, so that none stands idle until the next claim:
        deliveries first, as they finish what was begun, but only for half of the threads, so that a
        backlog of them does not keep new events out."""
        if not due:
            return 0
        with self._lock:
            room, posting = (
                2 * self.threads - len(self._tasks),
                sum(isinstance(work, Delivery) for work in self._tasks.values()),
            )
        owner = self._name.name if self._name else ""
        with self.database.begin(durable=False) as connection:
            now = self.database.now(connection)
            most = (
                max(0, max(1, self.threads // 2) - posting) if leases.DELIVERIES.name in due else 0
            )
            due_deliveries = deliveries.claim(
                connection, owner=owner, limit=most, lease=self.lease, now=now
            )
            left = room - len(due_deliveries) if leases.EVENTS.name in due else 0
            due_events = events.claim(
                connection, owner=owner, limit=left, lease=self.lease, now=now
            )
        works: list[Work] = [*due_deliveries, *due_events]
        for work in works:
            self._submit(pool, work, owner)
        return len(works)

    def _is_busy(self) -> bool:
        return len(self._tasks) >= self.threads

    def _submit(self, pool: ThreadPoolExecutor, work: Work, owner: str) -> None:
        with self._lock:
            self._held[_key(work)] = owner
            self._tasks[_key(work)] = work
        pool.submit(self._task, pool, work, owner)

    def _task(self, pool: ThreadPoolExecutor, work: Work, owner: str) -> None:
        """One piece of work, and of the deliveries that it leaves to us those that no idle thread
        can do beside it."""
        try:
            taken = self._do(work, owner)
            here = taken if self._is_busy() else taken[:1]
            for delivery in taken[len(here) :]:
                self._submit(pool, delivery, owner)
            for delivery in here:
                self._do(delivery, owner)
        finally:
            with self._lock:
                self._tasks.pop(_key(work), None)
            if not self._is_busy():
                self._changed.set()

    def _do(self, work: Work, owner: str) -> list[Delivery]:
        taken: list[Delivery] = []
        about = {"delivery_id" if isinstance(work, Delivery) else "event_id": work.id}
        try:
            with structlog.contextvars.bound_contextvars(**about), calls_in(work.lane):
                taken = (
                    [] if self.stopping.is_set() else self._run(work, owner)
                )  # What was not begun is given back when we leave.
        except LeaseLostError as exc:
            log.warning("lease_lost", **about, error=str(exc))
        except StorageError as exc:
            log.warning("work_left_to_its_lease", **about, error=str(exc))
        except Exception:  # The last net: the row's lease runs out and it is tried again.
            log.exception("work_failed_unforeseen", **about)
        with self._lock:
            self._held.pop(_key(work), None)
            self._held.update({_key(delivery): owner for delivery in taken})
        return taken

    def _run(self, work: Work, owner: str) -> list[Delivery]:
        if isinstance(work, Event):
            return self.event_job.run(work, owner=owner, takes=_TAKES)
        self.delivery_job.run(work, owner=owner)
        return []

    def _take_name(self) -> workers.WorkerName | None:
        """Wait for the database if need be; take back at once what an earlier process of this name
        held."""
        while not self.stopping.is_set():
            name = None
            try:
                name = workers.take_name(self.database)
                with self.database.begin() as connection:
                    now = self.database.now(connection)
                    doubtful = restores.take_into_use(connection, now=now)
                    count = leases.take_back(connection, owner=name.name, now=now)
                    workers.beat(connection, name.name, started_at=now, now=now)
            except StorageError as exc:
                log.warning("worker_waits_for_database", error=str(exc))
                if name is not None:
                    name.release()  # Else the next round would find it taken, by ourselves.
                self._changed.wait(_BROKEN_WAIT)
                continue
            if doubtful is not None:
                log.warning(
                    "ledger_was_put_back",
                    in_doubt=doubtful,
                    next_step="see docs/operate.md, After a restore",
                )
            if count:
                log.info("work_taken_back", worker=name.name, rows=count)
            return name
        return None

    def _keep(self) -> None:
        """Renew the leases of what really runs here, and say that we live."""
        started_at: datetime | None = None
        pause = min(_BEAT_EVERY, self.lease.total_seconds() / 3)
        while not self._stopped.wait(pause):
            try:
                self._hold_name()
                with self.database.begin(durable=False) as connection:
                    now = self.database.now(connection)
                    started_at = started_at or now
                    self._renew(connection, now)
                    workers.beat(
                        connection,
                        self._name.name if self._name else "",
                        started_at=started_at,
                        now=now,
                    )
            except StorageError as exc:
                log.warning("heartbeat_failed", error=str(exc))

    def _renew(self, connection: Connection, now: datetime) -> None:
        with self._lock:
            held = list(self._held.items())
        for queue in leases.QUEUES:
            for owner in {owner for _key, owner in held}:
                mine = [
                    (row_id, claim)
                    for (name, row_id, claim), holder in held
                    if name == queue.name and holder == owner
                ]
                leases.renew(connection, queue, held=mine, owner=owner, until=now + self.lease)

    def _hold_name(self) -> None:
        """A database restart frees our name on PostgreSQL. Take one again; what runs keeps the old
        one, and its fencing token."""
        if self._name is not None and not self._name.is_held():
            self._name = workers.take_name(self.database)
            log.warning("worker_renamed", worker=self._name.name)

    def _listen(self) -> None:
        waker = wakeup.waker(self.database, self._stopped)
        try:
            while not self._stopped.is_set():
                waker.wait(1.0)
                self._changed.set()
                # Our own commits wake us as well: threads that spin would keep the working ones
                # from running.
                self._stopped.wait(_BREATH)
        finally:
            waker.close()

    def _leave(self) -> None:
        if self._name is None:
            return
        try:
            with self.database.begin() as connection:
                now = self.database.now(connection)
                leases.take_back(connection, owner=self._name.name, now=now)
                workers.stopped(connection, self._name.name, now=now)
        except StorageError as exc:
            log.warning("heartbeat_failed", error=str(exc))
        self._name.release()
        log.info("worker_stopped", worker=self._name.name)
