"""The retry decision as a value: (error, how often tried, now) → try again then, or give up. The
worker only obeys."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    PermanentError,
    TemporaryError,
    ThrottledError,
)
from bridge.domain.reasons import Reason

A_DAY = timedelta(days=1)
SHORTEST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
"""No header stops us for longer without a probe; the schedule may."""


@dataclass(frozen=True, slots=True)
class Schedules:
    """The waits that the settings name: between tries, between looks at what is not ready yet, and
    between read-backs after an unclear answer."""

    retry: tuple[timedelta, ...]
    wait: tuple[timedelta, ...]
    confirm: tuple[timedelta, ...]


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `at`; `spent` says whether this try counted. `throttled_by`: the vendor for
    whose sake alone we wait, where it is one."""

    at: datetime
    spent: bool
    throttled_by: str | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try by itself."""

    reason: Reason


def decide(
    error: BridgeError,
    *,
    attempt: int,
    schedule: Sequence[timedelta],
    now: datetime,
    jitter: float | None = None,
) -> RetryAt | GiveUp:
    """`attempt` counts this try, from 1. Waits are stretched by up to a tenth (`jitter` in 0..1,
    random when None) so that a crowd that failed together does not come back together. The vendor's
    `retry_after` makes a wait longer, never shorter: a try that counts waits at least its place in
    the schedule, a throttled one at least a second, and no header stops us for long."""
    if isinstance(error, PermanentError) and not isinstance(error, CredentialsError):
        return GiveUp(error.reason)
    requested = _requested_wait(error)
    if isinstance(error, ThrottledError):
        usual = schedule[0] if schedule else LONGEST_PAUSE
        wait = min(usual, LONGEST_PAUSE) if requested is None else requested
        at = now + _stretch(wait, jitter)
        return RetryAt(at, spent=False, throttled_by=error.system)
    if attempt > len(schedule):
        if isinstance(error, CredentialsError):
            return GiveUp(error.reason)
        return GiveUp(Reason.SCHEDULE_EXHAUSTED)
    wait = schedule[attempt - 1]
    if requested is not None:
        wait = max(wait, requested)
    return RetryAt(now + _stretch(wait, jitter), spent=True)


def next_look(*, looks: int, schedule: Sequence[timedelta], now: datetime) -> datetime | None:
    """When to look again at something that is not ready yet, after `looks` looks; None when the
    schedule is over."""
    return now + schedule[looks - 1] if looks <= len(schedule) else None


def _requested_wait(error: BridgeError) -> timedelta | None:
    """What the vendor asked for, if it did, within bounds."""
    if not isinstance(error, TemporaryError) or error.retry_after is None:
        return None
    shortest, longest = SHORTEST_PAUSE.total_seconds(), LONGEST_PAUSE.total_seconds()
    return timedelta(seconds=min(max(shortest, error.retry_after), longest))


def _stretch(wait: timedelta, jitter: float | None) -> timedelta:
    if jitter is None:
        jitter = random.random()  # noqa: S311  # spreads load, guards nothing
    return min(wait, A_DAY) * (1 + 0.1 * jitter)
