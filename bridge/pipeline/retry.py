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
class RetryAt:
    """Try again at `at`; `spent` tells whether this try counted."""

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
    stretch = 1 + 0.1 * (
        random.random() if jitter is None else jitter  # noqa: S311  # spreads load, guards nothing
    )
    told = error.retry_after if isinstance(error, TemporaryError) else None
    wish = None if told is None else timedelta(seconds=min(max(0.0, told), A_DAY.total_seconds()))
    if isinstance(error, ThrottledError):
        return RetryAt(
            now
            + min(wish if wish is not None else schedule[0] if schedule else A_DAY, A_DAY)
            * stretch,
            spent=False,
        )
    if attempt > len(schedule):
        return GiveUp(
            error.reason if isinstance(error, CredentialsError) else Reason.SCHEDULE_EXHAUSTED
        )
    return RetryAt(
        now + min(wish if wish is not None else schedule[attempt - 1], A_DAY) * stretch, spent=True
    )


def next_look(*, looks: int, schedule: Sequence[timedelta], now: datetime) -> datetime | None:
    """When to look again at something that is not ready yet, after `looks` looks; None when the
    schedule is over."""
    return now + schedule[looks - 1] if looks <= len(schedule) else None
