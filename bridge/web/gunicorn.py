"""gunicorn's threads, for a receiver that anyone may connect to: who dribbles a request byte by
byte holds no thread for long."""

import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

MOST_SECONDS = 5.0
"""From a connection's first byte to a request's last one. ShipStation waits ten for its answer, and
what it sends fits into one packet."""


class Log(Logger):
    """Without an access log: the receiver logs each accepted event itself, and the path may hold
    the webhook token."""

    def access(self, *_request: object) -> None:
        """Nothing; gunicorn's own would make a line, only to throw it away."""


class Threads(ThreadWorker):
    """gunicorn's own limit ends with the first byte; its `timeout` is not for threads.
    https://docs.gunicorn.org/en/stable/deploy.html"""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late_at: dict[TConn, float] = {}

    def enqueue_req(self, conn: TConn) -> None:
        self._late_at[conn] = time.monotonic() + MOST_SECONDS
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        try:
            return super().handle(conn)
        finally:
            self._late_at.pop(conn, None)

    def notify(self) -> None:
        """At least once a second. What came so far can still be read, and an answer written: only
        waiting for more is over."""
        super().notify()
        now = time.monotonic()
        for conn in [conn for conn, late_at in list(self._late_at.items()) if late_at <= now]:
            self._late_at.pop(conn, None)
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)
