"""The limit on wrong webhook tokens."""

import pytest

from bridge.web.throttle import TRIES_PER_MINUTE, FailedAttemptLimiter


def test_attempts_are_counted_by_address_and_allowed_again_with_time() -> None:
    limiter = FailedAttemptLimiter()

    waits = [limiter.wait("203.0.113.5", now=1000.0) for _ in range(TRIES_PER_MINUTE + 1)]

    assert waits[:-1] == [0.0] * TRIES_PER_MINUTE
    assert waits[-1] == pytest.approx(1.0)
    assert limiter.wait("198.51.100.7", now=1000.0) == 0.0
    assert limiter.wait("203.0.113.5", now=1001.0) == 0.0
    assert limiter.wait("203.0.113.5", now=1001.5) == pytest.approx(0.5)
    later = [limiter.wait("203.0.113.5", now=1100.0) for _ in range(TRIES_PER_MINUTE)]
    assert later == [0.0] * TRIES_PER_MINUTE
