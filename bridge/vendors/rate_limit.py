"""One vendor's calls a minute, as a process keeps to them: waits for its turn, learns from answers,
stays away while the vendor fails."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from bridge import metrics
from bridge.domain.errors import StorageError, ThrottledError
from bridge.domain.events import Lane
from bridge.store import rate_limits, shared_state
from bridge.store.engine.database import Connection, Database
from bridge.vendors.http import COUNTS_IN_HEADERS, retry_after_of

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 5.0
_DEFAULT_PAUSE = 30.0
_LINE_LENGTH = 60.0
"""Seconds: nobody is sent away for longer only because others wait, too. The line of a longer
backlog begins anew at its front, so that its work comes back evenly."""

_LINE_PACE = 0.75
"""Who is sent away comes back a little late, by jitter. So the line is given out a little fast: a
turn that nobody comes for is lost."""

_REFUSED = frozenset({"credentials", "redirect"})
_FAILED = frozenset({"server_error", "network", "unreadable"})


@dataclass(slots=True)
class CallContext:
    """Whose calls these are: their lane, and how many were made so far. Work that has made none
    loses nothing by coming back later."""

    lane: Lane
    calls: int = 0


_context: ContextVar[CallContext | None] = ContextVar("call_context", default=None)


@contextmanager
def calls_in(lane: Lane) -> Iterator[None]:
    """Every call to a vendor within this block goes in `lane`."""
    token = _context.set(CallContext(lane))
    try:
        yield
    finally:
        _context.reset(token)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer says of the vendor's limits: seconds to pause, calls a minute that it allows,
    and calls that remain where they are so few that they matter."""

    pause: float | None = None
    allowed: int | None = None
    remaining: int | None = None


@dataclass(slots=True)
class Budget:
    """Shared by all processes of one database, and by the threads of this one. A 429 pauses
    everyone; so does a vendor that fails. `waiters`: how many threads may wait for work that has
    made no call yet; None is all."""

    database: Database
    system: str
    per_minute: int
    stopping: threading.Event
    waiters: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: int = 0
    _line: dict[Lane, float] = field(default_factory=dict)
    _is_failing: bool = False
    _are_writes_failing: bool = False
    _vendor_allows: int | None = None
    _is_refused: bool | None = None

    @property
    def allowed(self) -> int:
        """Calls a minute: the setting, or less where the vendor says so."""
        return min(self.per_minute, self._vendor_allows or self.per_minute)

    def before_call(self, operation: str) -> None:
        """Wait for a turn. Raises ThrottledError, which says when to come back, for a long pause,
        and where work that has made no call yet would take one thread too many."""
        self._wait_for_turn(operation, is_write=False)

    def before_write(self, operation: str) -> None:
        """The same for a write. While the answers to writes are unclear, only one is tried now and
        then; for the others, ThrottledError."""
        self._wait_for_turn(operation, is_write=True)

    def _wait_for_turn(self, operation: str, *, is_write: bool) -> None:
        context = _context.get() or CallContext(Lane.LIVE)
        wait, now = self._take(operation, context.lane, is_write=is_write)
        if wait > 0:
            self._wait(operation, context, wait, now)
        context.calls += 1

    def _wait(self, operation: str, context: CallContext, wait: float, now: float) -> None:
        with self._waiting_thread(context, wait) as may_wait:
            while wait > 0:
                if not may_wait or wait > self._longest_wait(context):
                    retry_after = self._place_in_line(context.lane, wait, now)
                    raise ThrottledError(
                        f"no budget left for {self.system} {operation}",
                        retry_after=retry_after,
                        system=self.system,
                    )
                if self.stopping.wait(wait):
                    raise ThrottledError(
                        f"stopped before {self.system} {operation}",
                        retry_after=wait,
                        system=self.system,
                    )
                wait, now = self._take(operation, context.lane)

    @contextmanager
    def _waiting_thread(self, context: CallContext, wait: float) -> Iterator[bool]:
        """Whether this thread may wait. Work that has made calls always may: come back later, it
        would make them all again, and never end."""
        if context.calls or self.waiters is None or wait > _LONGEST_WAIT:
            yield True
            return
        with self._lock:
            may_wait = self._waiting < self.waiters
            self._waiting += may_wait
        try:
            yield may_wait
        finally:
            with self._lock:
                self._waiting -= may_wait

    def _longest_wait(self, context: CallContext) -> float:
        """Work that has made calls waits for the next one of even the smallest budget."""
        if not context.calls:
            return _LONGEST_WAIT
        return max(_LONGEST_WAIT, 2 * 60 / self.allowed * (1 + context.lane))

    def _place_in_line(self, lane: Lane, wait: float, now: float) -> float:
        """Seconds until a call for each that stands in line before us will have been made. Nobody
        stands behind a lower lane."""
        if wait > _LONGEST_WAIT:
            return wait  # The vendor is paused: nobody knows yet how fast it goes on then.
        with self._lock:
            ahead = max(self._line.get(other, 0.0) for other in Lane if other <= lane)
            place = max(ahead, now + wait)
            if place > now + _LINE_LENGTH:
                place = now + wait
            interval = rate_limits.pace(self.allowed).interval
            self._line[lane] = place + interval * _LINE_PACE
        return place - now

    def _take(self, operation: str, lane: Lane, *, is_write: bool = False) -> tuple[float, float]:
        """(seconds to wait, 0.0 when the call may go; now). Where a write may not be tried at all,
        ThrottledError."""
        until_write = wait = 0.0
        with self._lock, self.database.begin(durable=False) as connection:
            now = self.database.now(connection)
            if is_write:
                until_write = self._take_write(connection, now)
            if not until_write:
                wait = self._take_call(connection, lane, now)
        if until_write:
            raise ThrottledError(
                f"{self.system} gave no clear answer to the last writes, so {operation} waits",
                retry_after=until_write,
                system=self.system,
            )
        return wait, now.timestamp()

    def _take_write(self, connection: Connection, now: datetime) -> float:
        """Seconds until a write may be tried; 0.0 when it may go."""
        grant = rate_limits.take_write(connection, self.system, now=now)
        self._are_writes_failing = grant.is_failing
        return grant.wait

    def _take_call(self, connection: Connection, lane: Lane, now: datetime) -> float:
        """Seconds to wait; 0.0 when the call may go."""
        grant = rate_limits.take(
            connection, self.system, per_minute=self.allowed, now=now, lane=lane
        )
        if grant.wait == 0:
            self._is_failing = grant.is_failing
            self._vendor_allows = grant.allowed_per_minute
        return grant.wait

    def after_call(
        self, operation: str, outcome: str, seconds: float, headers: Mapping[str, str]
    ) -> float | None:
        """Count the call, and learn from it. Returns seconds until it is worth calling again when
        the vendor fails as a whole."""
        metrics.API_REQUESTS.labels(system=self.system, operation=operation, outcome=outcome).inc()
        metrics.API_SECONDS.labels(system=self.system, operation=operation).observe(seconds)
        with suppress(StorageError):  # What could not be noted is learned from the next answer.
            if outcome in _FAILED:
                return self._note_failure()
            if self._is_failing:
                self._note_success()
            self._note_limits(outcome, headers)
            if outcome == "ok" or outcome in _REFUSED:
                self._note_credentials(is_refused=outcome in _REFUSED)
        return None

    def after_write(self, operation: str, *, is_clear: bool) -> None:
        """A write was answered; `is_clear` is whether the answer says if it was done."""
        if is_clear and not self._are_writes_failing:
            return
        wait = None
        with suppress(StorageError), self.database.begin(durable=False) as connection:
            if is_clear:
                rate_limits.write_clear(connection, self.system)
            else:
                now = self.database.now(connection)
                wait = rate_limits.write_unclear(connection, self.system, now=now)
        if wait is not None:
            log.warning(
                "writes_unclear",
                system=self.system,
                operation=operation,
                next_try_after_seconds=round(wait),
            )

    def _note_credentials(self, *, is_refused: bool) -> None:
        """Noted when it changes, and at this process's first call, for the alerts."""
        if is_refused == self._is_refused:
            return
        name = shared_state.REFUSED + self.system
        with self.database.begin(durable=False) as connection:
            if is_refused:
                shared_state.put(connection, name, True, now=self.database.now(connection))
            else:
                shared_state.drop(connection, name)
        self._is_refused = is_refused

    def _note_failure(self) -> float | None:
        self._is_failing = True
        with self.database.begin(durable=False) as connection:
            wait = rate_limits.failed(connection, self.system, now=self.database.now(connection))
        if wait is not None:
            log.warning("vendor_down", system=self.system, probe_after_seconds=round(wait))
        return wait

    def _note_success(self) -> None:
        self._is_failing = False
        with self.database.begin(durable=False) as connection:
            rate_limits.worked(connection, self.system)
        log.info("vendor_well_again", system=self.system)

    def _note_limits(self, outcome: str, headers: Mapping[str, str]) -> None:
        limits = parse_limits(
            self.system, outcome, headers, now=datetime.now(UTC), per_minute=self.allowed
        )
        is_new_rate = limits.allowed is not None and limits.allowed != self._vendor_allows
        if limits.pause is None and limits.remaining is None and not is_new_rate:
            return
        with self.database.begin(durable=False) as connection:
            now = self.database.now(connection)
            if limits.pause is not None:
                rate_limits.pause(connection, self.system, seconds=limits.pause, now=now)
            rate_limits.learn(
                connection,
                self.system,
                allowed=limits.allowed,
                remaining=limits.remaining,
                per_minute=self.allowed,
                now=now,
            )


def parse_limits(
    system: str, outcome: str, headers: Mapping[str, str], *, now: datetime, per_minute: int
) -> Limits:
    """What an answer says of the vendor's limits. Only ShipStation V1 counts in headers, for all
    programs of one key; from any other vendor the same names may mean anything.
    https://www.shipstation.com/docs/api/requirements/"""
    has_count = system in COUNTS_IN_HEADERS
    if outcome == "throttled":
        wait = retry_after_of(headers, now=now, reads_reset=has_count)
        return Limits(pause=_DEFAULT_PAUSE if wait is None else wait)
    if not has_count:
        return Limits()
    allowed = _count(headers.get("X-Rate-Limit-Limit")) or None
    remaining = _count(headers.get("X-Rate-Limit-Remaining"))
    if remaining == 0:
        reset = retry_after_of(headers, now=now, reads_reset=True)
        # A window of V1's is a minute; what says more is no number of seconds.
        return Limits(pause=None if reset is None else min(reset, 60.0), allowed=allowed)
    if remaining is not None and remaining >= max(5, per_minute // 10):
        remaining = None
    return Limits(allowed=allowed, remaining=remaining)


def _count(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) else None
