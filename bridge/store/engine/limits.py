"""No wait for PostgreSQL without an end. Its own limits do not help where it hangs: they are
enforced by the very server that does not answer."""

import time
from collections.abc import Generator
from typing import Any

import psycopg

from bridge.store.engine.deadlines import deadline_or

_MIN_CONNECT_SECONDS = 2
"""The driver waits no shorter for a connection."""


class LimitError(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""


class LimitedConnection(psycopg.Connection[Any]):
    """Each of its waits ends at the thread's deadline, or else after `wait_limit` seconds."""

    wait_limit: float | None = None

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        deadline = deadline_or(self.wait_limit)
        if deadline is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_until(gen, deadline), *args, **options)
        except LimitError:
            # What the server may still answer belongs to nobody any more.
            self.pgconn.finish()
            raise


def connect(arguments: Any, options: dict[str, Any], *, wait_limit: float) -> LimitedConnection:
    """A connection within the thread's deadline. Raises the driver's errors and LimitError."""
    deadline = deadline_or(None)
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LimitError("no time was left to connect")
        longest = int(options.get("connect_timeout", _MIN_CONNECT_SECONDS))
        options = {**options, "connect_timeout": max(int(min(left, longest)), _MIN_CONNECT_SECONDS)}
    connection = LimitedConnection.connect(*arguments, **options)
    connection.wait_limit = wait_limit
    return connection


def _until(gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """The driver's own generator, asked at least ten times a second whether it may go on."""
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited
            if time.monotonic() >= deadline and not ready:
                raise LimitError("the server did not answer in time")
            awaited = gen.send(ready)
    except StopIteration as end:
        return end.value
