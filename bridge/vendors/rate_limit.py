"""One vendor's calls a minute, as a process keeps to them: waits for its turn, learns from answers,
stays away while the vendor fails."""

import re
import threading
import time
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
from bridge.store.engine.database import Database
from bridge.vendors.http import retry_after_of

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 5.0
_DEFAULT_PAUSE = 30.0
_BLOCK_SECONDS = 0.1
_BLOCK_LASTS = 1.0
_REFUSED = frozenset({"credentials", "redirect"})
_FAILED = frozenset({"server_error", "network", "unreadable"})


@dataclass(slots=True)
class Journey:
    """Whose calls these are: their lane, and how many were made so far. What has made none loses
    nothing by coming back later."""

    lane: Lane
    calls: int = 0


_journey: ContextVar[Journey | None] = ContextVar("journey", default=None)


@contextmanager
def calls_in(lane: Lane) -> Iterator[None]:
    """Every call to a vendor within this block goes in `lane`."""
    token = _journey.set(Journey(lane))
    try:
        yield
    finally:
        _journey.reset(token)


@dataclass(slots=True)
class WaitingRoom:
    """How many threads of a worker may wait for a turn, so that one slow vendor does not hold them
    all."""

    seats: int
    taken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class Budget:
    """Shared by all processes of one database, and by the threads of this one. A 429 pauses
    everyone; so does a vendor that fails."""

    database: Database
    system: str
    per_minute: int
    stopping: threading.Event
    room: WaitingRoom | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _block: int = 0
    _block_until: float = 0.0
    _line_until: float = 0.0
    _is_failing: bool = False
    _told: int | None = None
    _is_refused: bool | None = None

    @property
    def allowed(self) -> int:
        """Calls a minute: the setting, or less where the vendor says so."""
        return min(self.per_minute, self._told or self.per_minute)

    def before_call(self, operation: str) -> None:
        """Wait for our turn, however many go before us: giving up would waste the calls that were
        made already. Raises ThrottledError for one long pause, or when too many wait and this
        journey has made no call yet; it says when to come back."""
        journey = _journey.get() or Journey(Lane.LIVE)
        turn = self._take(journey.lane)
        if turn > 0:
            self._wait(operation, journey, turn)
        journey.calls += 1

    def _wait(self, operation: str, journey: Journey, turn: float) -> None:
        longest = self._patience(journey)
        with self._seat(operation, journey):
            while turn > 0:
                if turn > longest or self.stopping.wait(turn):
                    raise ThrottledError(
                        f"no budget left for {self.system} {operation}", retry_after=turn
                    )
                turn = self._take(journey.lane)

    def _patience(self, journey: Journey) -> float:
        """Whoever has made calls already waits for the next one of even the smallest budget: come
        back later, they would begin anew and never end."""
        return (
            max(_LONGEST_WAIT, 2 * 60 / self.allowed * (1 + journey.lane))
            if journey.calls
            else _LONGEST_WAIT
        )

    @contextmanager
    def _seat(self, operation: str, journey: Journey) -> Iterator[None]:
        room = self.room or WaitingRoom(seats=1_000_000)
        with room.lock:
            is_full = room.taken >= room.seats and not journey.calls
            room.taken += not is_full
        if is_full:
            raise ThrottledError(
                f"too many wait for {self.system} {operation} already",
                retry_after=self._place_in_line(),
            )
        try:
            yield
        finally:
            with room.lock:
                room.taken -= 1

    def _place_in_line(self) -> float:
        """Seconds until two calls for each that stood in line before us will have been made."""
        with self._lock:
            moment = time.monotonic()
            self._line_until = max(self._line_until, moment) + 2 * 60 / self.allowed
            return self._line_until - moment

    def _take(self, lane: Lane) -> float:
        """Seconds to wait, 0.0 when the call may go. At a high rate a tenth of a second's calls are
        taken at once."""
        with self._lock:
            if self._block and time.monotonic() < self._block_until:
                self._block -= 1
                return 0.0
            calls = max(1, int(self.allowed * _BLOCK_SECONDS / 60))
            with self.database.begin(durable=False) as connection:
                now = self.database.now(connection)
                turn = rate_limits.take(
                    connection,
                    self.system,
                    per_minute=self.allowed,
                    now=now,
                    lane=lane,
                    calls=calls,
                )
            if turn.calls:
                self._is_failing, self._told = turn.is_failing, turn.allowed_per_minute
                self._block, self._block_until = turn.calls - 1, time.monotonic() + _BLOCK_LASTS
            return turn.wait

    def after_call(
        self, operation: str, outcome: str, seconds: float, headers: Mapping[str, str]
    ) -> float | None:
        """Count the call, and learn from it. Returns seconds until it is worth calling again when
        the vendor fails as a whole."""
        metrics.API_REQUESTS.labels(system=self.system, operation=operation, outcome=outcome).inc()
        metrics.API_SECONDS.labels(system=self.system, operation=operation).observe(seconds)
        with suppress(StorageError):  # What could not be noted is learned from the next answer.
            if outcome in _FAILED:
                return self._failed()
            if self._is_failing:
                self._worked()
            self._learn(outcome, headers)
            if outcome == "ok" or outcome in _REFUSED:
                self._mind_credentials(is_refused=outcome in _REFUSED)
        return None

    def _mind_credentials(self, *, is_refused: bool) -> None:
        """Noted when it changes, and at this process's first call, for the alerts."""
        if is_refused == self._is_refused:
            return
        with self.database.begin(durable=False) as connection:
            if is_refused:
                shared_state.put(
                    connection,
                    shared_state.REFUSED + self.system,
                    True,
                    now=self.database.now(connection),
                )
            else:
                shared_state.drop(connection, shared_state.REFUSED + self.system)
        self._is_refused = is_refused

    def _failed(self) -> float | None:
        self._is_failing, self._block = True, 0
        with self.database.begin(durable=False) as connection:
            wait = rate_limits.failed(connection, self.system, now=self.database.now(connection))
        if wait is not None:
            log.warning("vendor_down", system=self.system, probe_after_seconds=round(wait))
        return wait

    def _worked(self) -> None:
        self._is_failing = False
        with self.database.begin(durable=False) as connection:
            rate_limits.worked(connection, self.system)
        log.info("vendor_well_again", system=self.system)

    def _learn(self, outcome: str, headers: Mapping[str, str]) -> None:
        pause, allowed, remaining = lesson(
            outcome, headers, now=datetime.now(UTC), per_minute=self.allowed
        )
        is_news = allowed is not None and allowed != self._told
        if pause is None and remaining is None and not is_news:
            return
        self._block = 0
        with self.database.begin(durable=False) as connection:
            now = self.database.now(connection)
            if pause is not None:
                rate_limits.pause(connection, self.system, seconds=pause, now=now)
            rate_limits.learn(
                connection,
                self.system,
                allowed=allowed,
                remaining=remaining,
                per_minute=self.allowed,
                now=now,
            )


def lesson(
    outcome: str, headers: Mapping[str, str], *, now: datetime, per_minute: int
) -> tuple[float | None, int | None, int | None]:
    """What an answer teaches: (seconds to pause, calls a minute that it allows, calls that remain
    where they are so few that they matter). ShipStation V1 counts in headers, for all programs of
    one key: https://www.shipstation.com/docs/api/requirements/"""
    if outcome == "throttled":
        wait = retry_after_of(headers, now=now, throttled=True)
        return (_DEFAULT_PAUSE if wait is None else wait), None, None
    allowed, remaining = (
        _count(headers.get(f"X-Rate-Limit-{name}")) for name in ("Limit", "Remaining")
    )
    if remaining == 0:
        return retry_after_of(headers, now=now, throttled=True), allowed or None, None
    return (
        None,
        allowed or None,
        remaining if remaining is not None and remaining < max(5, per_minute // 10) else None,
    )


def _count(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) else None
