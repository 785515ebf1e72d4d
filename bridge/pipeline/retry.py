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


@dataclass(frozen=True, slots=True)
class Schedules:
    """The waits that the settings name: between tries, between looks at what is not ready yet, and
    between read-backs after an unclear answer."""

    retry: tuple[timedelta, ...]
    wait: tuple[timedelta, ...]
    confirm: tuple[timedelta, ...]


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `at`; `spent` says whether this try counted."""

    at: datetime
    spent: bool


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
    random when None) so that a crowd that failed together does not come back together; the vendor's
    `retry_after` wins, clamped to a day."""
    if isinstance(error, PermanentError) and not isinstance(error, CredentialsError):
        return GiveUp(error.reason)
    requested = _requested_wait(error)
    if isinstance(error, ThrottledError):
        usual = schedule[0] if schedule else A_DAY
        wait = usual if requested is None else requested
        return RetryAt(now + _stretch(wait, jitter), spent=False)
    if attempt > len(schedule):
        if isinstance(error, CredentialsError):
            return GiveUp(error.reason)
        return GiveUp(Reason.SCHEDULE_EXHAUSTED)
    wait = schedule[attempt - 1] if requested is None else requested
    return RetryAt(now + _stretch(wait, jitter), spent=True)


def next_look(*, looks: int, schedule: Sequence[timedelta], now: datetime) -> datetime | None:
    """When to look again at something that is not ready yet, after `looks` looks; None when the
    schedule is over."""
    return now + schedule[looks - 1] if looks <= len(schedule) else None


def _requested_wait(error: BridgeError) -> timedelta | None:
    """What the vendor asked for, if it did."""
    if not isinstance(error, TemporaryError) or error.retry_after is None:
        return None
    seconds = max(0.0, error.retry_after)
    return timedelta(seconds=min(seconds, A_DAY.total_seconds()))


def _stretch(wait: timedelta, jitter: float | None) -> timedelta:
    if jitter is None:
        jitter = random.random()  # noqa: S311  # spreads load, guards nothing
    return min(wait, A_DAY) * (1 + 0.1 * jitter)
