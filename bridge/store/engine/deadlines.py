"""When the transaction of this thread must be over, whatever it waits for in between."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Deadline(threading.local):
    at: float | None = None


_deadline = _Deadline()


@contextmanager
def deadline_in(seconds: float | None) -> Iterator[None]:
    """All waits within the block end after so many seconds in sum; None lifts the limit."""
    before = _deadline.at
    _deadline.at = float("inf") if seconds is None else time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline.at = before


def deadline_or(seconds: float | None) -> float | None:
    """The thread's deadline by the monotonic clock; where it has none, so many seconds from now."""
    if _deadline.at is None and seconds is not None:
        return time.monotonic() + seconds
    return _deadline.at
