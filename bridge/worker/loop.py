"""The loop: claim → do → record. Threads work, one renews leases and beats, one listens for news.
Holds no rules of its own."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import LeaseLostError, StorageError
from bridge.domain.events import Event
from bridge.pipeline.deliver import DeliveryJob
from bridge.pipeline.process_event import EventJob, batches_of
from bridge.store import deliveries, events, leases, restores, workers
from bridge.store.engine import wakeup
from bridge.store.engine.database import Connection, Database
from bridge.store.engine.sqlite import ReplacedError
from bridge.vendors.rate_limit import calls_in
from bridge.worker.periodic import PeriodicTasks

log = structlog.get_logger(__name__)

_BEAT_EVERY = 5.0
_MAX_POLL_SECONDS = 5.0
MIN_POLL_SECONDS = 0.02
_BUSY_POLL_SECONDS = 0.1
_CLAIMED_POLL_SECONDS = 0.05
_BACKLOG_SECONDS = 0.25
_DATABASE_RETRY_SECONDS = 1.0
_CLOCK_CORRECTION = timedelta(seconds=30)
"""A clock that is set back by less is only kept right."""
_DELIVERIES_A_TURN = 8
"""So many deliveries go out one after the other in one thread, claimed together."""
BATCH_SIZE = 100
"""So many waiting events are claimed at once where ShipStation's lists can show them together."""


Work = Event | Delivery
Task = tuple[Work, ...]
"""Deliveries that go out one after the other, or the events of a batch; often one."""
Key = tuple[str, str, int]
"""Queue, id and claim."""


def _shares(deliveries: Sequence[Delivery], threads: int) -> list[Task]:
    """Dealt out to so many threads, the first ones first."""
    shares = [tuple(deliveries[start::threads]) for start in range(threads)]
    return [share for share in shares if share]


def _key(work: Work) -> Key:
    queue = leases.EVENTS if isinstance(work, Event) else leases.DELIVERIES
    return queue.name, work.id, work.claim


@dataclass(slots=True)
class ClockWatch:
    """Holds the database's clock against time that only goes on."""

    _last: tuple[datetime, float] | None = None

    def set_back(self, now: datetime, *, before: float, after: float) -> timedelta:
        """By how much the clock was set back since it was last asked. It was read between `before`
        and `after`, moments of the monotonic clock. Pure but for what it remembers."""
        last, self._last = self._last, (now, after)
        if last is None:
            return timedelta(0)
        last_now, last_after = last
        at_least = last_now + timedelta(seconds=before - last_after)
        return max(at_least - now, timedelta(0))


@dataclass(slots=True)
class _Backlog:
    """The queues of which the last claim got all that it wanted: more of them is due, and the
    database is not asked before each claim what is due. It is for a moment only, as the other queue
    must not wait."""

    queues: set[str] = field(default_factory=set)
    _ask_at: float = 0.0

    def queues_that_need_no_question(self) -> set[str]:
        now = time.monotonic()
        if now < self._ask_at:
            return set(self.queues)
        self._ask_at = now + _BACKLOG_SECONDS
        return set()

    def note(self, queue: leases.Queue, claimed: int, limit: int) -> None:
        if limit and claimed >= limit:
            self.queues.add(queue.name)
        elif limit:
            self.queues.discard(queue.name)


@dataclass(slots=True)
class Worker:
    """`run()` blocks until `stop()`; with `once` it drains what is due and returns. Any number may
    share one database."""

    database: Database
    event_job: EventJob
    delivery_job: DeliveryJob
    threads: int
    lease: timedelta
    batch_size: int = BATCH_SIZE
    periodic_tasks: PeriodicTasks | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Event = field(default_factory=threading.Event)
    _tasks: dict[Key, Task] = field(default_factory=dict)
    _held: dict[Key, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _name: workers.WorkerName | None = None
    _renewed_at: datetime | None = None

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
        background = [
            threading.Thread(target=self._renew_leases, daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        if self.periodic_tasks is not None and not once:
            run_tasks = self.periodic_tasks.run
            background.append(
                threading.Thread(target=run_tasks, args=(self.stopping,), daemon=True)
            )
        for thread in background:
            thread.start()
        try:
            with ThreadPoolExecutor(self.threads, thread_name_prefix="job") as pool:
                self._loop(pool, once=once)
        finally:
            # The loop may have ended by an error; the others stop as well.
            self.stopping.set()
            self._stopped.set()
            for thread in background:
                thread.join()
            self._shut_down()

    def _loop(self, pool: ThreadPoolExecutor, *, once: bool) -> None:
        backlog = _Backlog()
        while not self.stopping.is_set():
            self._changed.clear()
            was_idle = not self._tasks
            try:
                # While all threads are busy nothing is asked: the end of a task wakes us.
                seconds_until_due: dict[str, float] = {}
                assumed_due: set[str] = set()
                if not self._is_busy():
                    assumed_due = backlog.queues_that_need_no_question()
                    seconds_until_due = dict.fromkeys(assumed_due, 0.0) or self._seconds_until_due()
                due = {queue for queue, seconds in seconds_until_due.items() if seconds <= 0}
                started = self._claim_and_submit(pool, due, backlog)
            except ReplacedError:
                raise  # Whatever this process still wrote would be lost.
            except StorageError as exc:
                log.warning("worker_waits_for_database", error=str(exc))
                self._changed.wait(_DATABASE_RETRY_SECONDS)
                continue
            if started or assumed_due - backlog.queues:
                continue
            if once and was_idle:
                return
            # What is due and yet not claimed waits for a thread of ours, whose end wakes us, or
            # another worker has it already.
            soonest = min(seconds_until_due.values(), default=_MAX_POLL_SECONDS)
            self._changed.wait(min(max(soonest, _CLAIMED_POLL_SECONDS), _MAX_POLL_SECONDS))

    def _seconds_until_due(self) -> dict[str, float]:
        """By queue, where there is anything to wait for."""
        with self.database.read() as connection:
            now = self.database.now(connection)
            earliest = leases.earliest(connection)
        seconds: dict[str, float] = {}
        for (queue, _lane), due_at in earliest.items():
            wait = (due_at - now).total_seconds()
            seconds[queue] = min(wait, seconds.get(queue, _MAX_POLL_SECONDS))
        return seconds

    def _claim_and_submit(
        self, pool: ThreadPoolExecutor, due: set[str], backlog: "_Backlog"
    ) -> int:
        """Claim more than there are threads for, so that none stands idle until the next claim:
        deliveries first, as they finish what was begun, but only for half of the threads, so that a
        backlog of them does not keep new events out."""
        with self._lock:
            room = 2 * self.threads - len(self._tasks)
            posting = sum(isinstance(task[0], Delivery) for task in self._tasks.values())
        posters = max(0, self._posters() - posting) if leases.DELIVERIES.name in due else 0
        takes_events = leases.EVENTS.name in due
        if not (posters or takes_events):
            return 0
        owner = self._name.name if self._name else ""
        with self.database.begin(durable=False) as connection:
            now = self.database.now(connection)
            self._renew_if_late(connection, now)
            due_deliveries = deliveries.claim(
                connection,
                owner=owner,
                limit=posters * _DELIVERIES_A_TURN,
                lease=self.lease,
                now=now,
            )
            tasks: list[Task] = [*_shares(due_deliveries, posters)]
            event_room = room - len(tasks) if takes_events else 0
            due_events = self._claim_events(connection, owner, event_room, now)
            tasks += batches_of(due_events)
        backlog.note(leases.DELIVERIES, len(due_deliveries), posters * _DELIVERIES_A_TURN)
        backlog.note(leases.EVENTS, len(due_events), event_room)
        for task in tasks:
            self._submit(pool, task, owner)
        return len(tasks)

    def _claim_events(
        self, connection: Connection, owner: str, room: int, now: datetime
    ) -> list[Event]:
        """One for each free thread and as many again; a whole batch where that many wait and can be
        read together."""
        limit = min(room, self.batch_size)
        claimed = events.claim(connection, owner=owner, limit=limit, lease=self.lease, now=now)
        is_backlog = len(claimed) == limit and any(len(batch) > 1 for batch in batches_of(claimed))
        if is_backlog and limit < self.batch_size:
            more = self.batch_size - limit
            claimed += events.claim(connection, owner=owner, limit=more, lease=self.lease, now=now)
        return claimed

    def _posters(self) -> int:
        """How many threads may post at a time, so that a backlog of deliveries does not keep new
        events out."""
        return max(1, self.threads // 2)

    def _is_busy(self) -> bool:
        return len(self._tasks) >= self.threads

    def _submit(self, pool: ThreadPoolExecutor, task: Task, owner: str) -> None:
        with self._lock:
            self._held.update({_key(work): owner for work in task})
            self._tasks[_key(task[0])] = task
        pool.submit(self._do_and_follow, pool, task, owner)

    def _do_and_follow(self, pool: ThreadPoolExecutor, task: Task, owner: str) -> None:
        """One task, and of the deliveries that it leaves to us those that no idle thread can do
        beside it."""
        try:
            if isinstance(task[0], Delivery):
                self._do_one_by_one(task, owner)
                return
            claimed = self._do(task, owner)
            shares = _shares(claimed, 1 if self._is_busy() else self._posters())
            for share in shares[1:]:
                self._submit(pool, share, owner)
            for share in shares[:1]:
                self._do_one_by_one(share, owner)
        finally:
            with self._lock:
                self._tasks.pop(_key(task[0]), None)
            if not self._is_busy():
                self._changed.set()

    def _do_one_by_one(self, share: Task, owner: str) -> None:
        """Each delivery is a piece of work of its own: one's trouble is not the next one's."""
        for delivery in share:
            self._do((delivery,), owner)

    def _do(self, task: Task, owner: str) -> list[Delivery]:
        claimed: list[Delivery] = []
        first = task[0]
        subject: dict[str, Any] = {"delivery_id": first.id}
        if isinstance(first, Event):
            subject = {"event_id": first.id, "events": len(task)}
        try:
            with structlog.contextvars.bound_contextvars(**subject), calls_in(first.lane):
                # What was not begun is released when we shut down.
                if not self.stopping.is_set():
                    claimed = self._run(task, owner)
        except LeaseLostError as exc:
            log.warning("lease_lost", **subject, error=str(exc))
        except StorageError as exc:
            log.warning("work_left_to_its_lease", **subject, error=str(exc))
        except Exception as exc:  # The last net: the row's lease runs out and it is tried again.
            log.exception("work_failed_unforeseen", **subject)
            if len(task) > 1:
                # Whose fault it is shows when each is tried alone.
                return [more for work in task for more in self._do((work,), owner)]
            self._note_failed_run(first, owner, exc)
        with self._lock:
            for work in task:
                self._held.pop(_key(work), None)
            self._held.update({_key(delivery): owner for delivery in claimed})
        return claimed

    def _note_failed_run(self, work: Work, owner: str, error: Exception) -> None:
        """An error that belongs to a row does not go away by waiting: after a few runs it is
        somebody's to look at."""
        queue = leases.DELIVERIES if isinstance(work, Delivery) else leases.EVENTS
        try:
            with self.database.begin() as connection:
                is_over = leases.note_failed_run(
                    connection,
                    queue,
                    row_id=work.id,
                    owner=owner,
                    claim=work.claim,
                    error=type(error).__name__,
                    now=self.database.now(connection),
                )
        except StorageError as exc:
            log.warning("work_left_to_its_lease", error=str(exc))
            return
        if is_over:
            log.error("work_given_up", id=work.id, error=type(error).__name__)

    def _run(self, task: Task, owner: str) -> list[Delivery]:
        claimed = [work for work in task if isinstance(work, Event)]
        if claimed:
            takes = _DELIVERIES_A_TURN * min(len(claimed), self._posters())
            return self.event_job.run(*claimed, owner=owner, takes=takes)
        for work in task:
            if isinstance(work, Delivery):
                self.delivery_job.run(work, owner=owner)
        return []

    def _take_name(self) -> workers.WorkerName | None:
        """Wait for the database if need be; release at once what an earlier process of this name
        held."""
        while not self.stopping.is_set():
            name = None
            try:
                name = workers.take_name(self.database)
                self._begin_as(name)
            except StorageError as exc:
                log.warning("worker_waits_for_database", error=str(exc))
                if name is not None:
                    name.release()  # Else the next round would find it taken, by ourselves.
                self._changed.wait(_DATABASE_RETRY_SECONDS)
                continue
            return name
        return None

    def _begin_as(self, name: workers.WorkerName) -> None:
        with self.database.begin() as connection:
            now = self.database.now(connection)
            unclear = restores.detect_restored_backup(connection, now=now)
            released = leases.release_claims(connection, owner=name.name, now=now)
            workers.beat(connection, name.name, started_at=now, now=now)
        if unclear is not None:
            log.warning(
                "restored_backup_found",
                unclear_deliveries=unclear,
                next_step="see docs/operate.md, After a restore",
            )
        if released:
            log.info("claims_released", worker=name.name, rows=released)

    def _renew_leases(self) -> None:
        """Renew the leases of what really runs here, say that we live, and notice when the clock is
        set back."""
        started_at: datetime | None = None
        clock = ClockWatch()
        pause = min(_BEAT_EVERY, self.lease.total_seconds() / 3)
        while not self._stopped.wait(pause):
            try:
                self._hold_name()
                name = self._name.name if self._name else ""
                with self.database.begin(durable=False) as connection:
                    before = time.monotonic()
                    now = self.database.now(connection)
                    set_back = clock.set_back(now, before=before, after=time.monotonic())
                    started_at = min(started_at or now, now)
                    self._renew(connection, now)
                    workers.beat(connection, name, started_at=started_at, now=now)
                    self._follow_clock(connection, set_back, now)
            except StorageError as exc:
                log.warning("heartbeat_failed", error=str(exc))

    def _follow_clock(self, connection: Connection, set_back: timedelta, now: datetime) -> None:
        if set_back < _CLOCK_CORRECTION:
            return
        rows = leases.clock_set_back(connection, by=set_back, lease=self.lease, now=now)
        log.warning("clock_set_back", seconds=round(set_back.total_seconds()), brought_forward=rows)

    def _renew_if_late(self, connection: Connection, now: datetime) -> None:
        # When the clock jumps ahead, or this machine slept, what we hold looks like a dead
        # worker's. Renewed before anything is claimed, it can't become due to ourselves.
        if self._renewed_at is None or now - self._renewed_at > self.lease / 2:
            self._renew(connection, now)

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
        self._renewed_at = now

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
                is_busy = len(self._tasks) > 1
                self._stopped.wait(_BUSY_POLL_SECONDS if is_busy else MIN_POLL_SECONDS)
        finally:
            waker.close()

    def _shut_down(self) -> None:
        if self._name is None:
            return
        try:
            with self.database.begin() as connection:
                now = self.database.now(connection)
                leases.release_claims(connection, owner=self._name.name, now=now)
                workers.stopped(connection, self._name.name, now=now)
        except StorageError as exc:
            log.warning("heartbeat_failed", error=str(exc))
        self._name.release()
        log.info("worker_stopped", worker=self._name.name)
