"""gunicorn for the receiver: its options, the folder where its processes count together, and
threads that slow senders don't hold."""

import fcntl
import gc
import inspect
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from gunicorn import __version__ as gunicorn_version
from gunicorn.glogging import Logger
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from bridge import __version__
from bridge.domain.errors import BridgeError
from bridge.logs import gunicorn_logging
from bridge.settings import Settings

MAX_REQUEST_SECONDS = 5.0
"""From a connection's first byte to a request's last one. ShipStation waits ten for its answer, and
what it sends fits into one packet."""

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_FOLDER_PREFIX = "bridge-metrics-"
_CLOSING_THREADS = 4
_LOOK_EVERY = 0.25
"""Seconds between two looks at who is late, and who only asks whether the process lives."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # gunicorn makes its file there unlinked, nobody else can open it
_HEALTH_REQUEST = b"GET /healthz HTTP/1."
_HEALTH_BODY = b'{"status":"ok","version":"%s"}\n' % __version__.encode()
_HEALTH_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_HEALTH_BODY), _HEALTH_BODY)
)

_EXTENDED = {
    "enqueue_req": ["self", "conn"],
    "finish_request": ["self", "conn", "fs"],
    "handle": ["self", "conn"],
    "handle_request": ["self", "req", "conn"],
    "init_process": ["self"],
    "notify": ["self"],
}
"""The methods of gunicorn's worker that `Threads` extends, none of which gunicorn promises."""

_USED = {"method_queue", "tpool"}
"""The attributes of gunicorn's worker that `Threads` uses, likewise."""


def options(settings: Settings) -> dict[str, Any]:
    """gunicorn's settings. Receiving is short work: store, answer. Raises BridgeError where
    gunicorn isn't one that `Threads` fits."""
    check_insides(ThreadWorker)
    chosen: dict[str, Any] = {
        "bind": settings.bind,
        "workers": settings.web_workers,
        "worker_class": "bridge.web.gunicorn.Threads",
        "threads": 8,
        # What is loaded before gunicorn forks is in memory once.
        "preload_app": True,
        "timeout": 30,
        # Docker, systemd and Kubernetes are usually told to wait for 30 seconds.
        "graceful_timeout": 25,
        # Longer than the pause between two webhooks of a batch, shorter than a proxy's idle limit.
        "keepalive": 5,
        # ShipStation's requests are small; what is larger is not from there.
        "limit_request_line": 2048,
        "limit_request_fields": 64,
        "limit_request_field_size": 8190,
        # gunicorn lets a proxy that it trusts set SCRIPT_NAME and PATH_INFO, and proxies pass on
        # what a client sent: a header would make another path of the one that the proxy allowed.
        "forwarder_headers": "",
        "control_socket_disable": True,
        "logger_class": "bridge.web.gunicorn.Log",
        "logconfig_dict": gunicorn_logging(settings.log_format, settings.log_level),
    }
    if settings.operations_bind is not None:
        chosen["bind"] = [settings.bind, settings.operations_bind]
    if _SHARED_MEMORY.is_dir():
        # A heartbeat file on a slow disk can get a healthy worker killed.
        # https://docs.gunicorn.org/en/stable/faq.html#blocking-os-fchmod
        chosen["worker_tmp_dir"] = str(_SHARED_MEMORY)
    return chosen


def check_insides(worker: type) -> None:
    """BridgeError when `worker` isn't what `Threads` extends. If gunicorn renamed a method, nothing
    would fail: ours would never be called, and slow senders would hold every thread."""
    changed = [
        name for name, parameters in _EXTENDED.items() if _parameters(worker, name) != parameters
    ]
    changed += sorted(_USED - set(worker.__init__.__code__.co_names))  # type: ignore[misc]  # written in Python, so it has code
    if changed:
        [allowed] = [
            line
            for line in requires("purpledot-shipstation-bridge") or []
            if line.startswith("gunicorn")
        ]
        raise BridgeError(
            f"gunicorn {gunicorn_version} is not one that this receiver was made for (changed:"
            f" {', '.join(changed)}); install {allowed}"
        )


def _parameters(worker: type, method: str) -> list[str]:
    function = getattr(worker, method, None)
    return list(inspect.signature(function).parameters) if function else []


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Where all processes count together; without it /metrics has one process's share. It must be
    known before the counters are made, which is when the application is loaded."""
    if METRICS_FOLDER in os.environ:
        yield
        return
    folder, lock = make_metrics_folder()
    owner = os.getpid()
    try:
        yield
    finally:
        # A worker that gunicorn forked leaves this block, too.
        if os.getpid() == owner:
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)


def make_metrics_folder() -> tuple[Path, int]:
    """A new folder, and the lock that says that it is in use for as long as it is open. Folders
    whose owner was killed are removed on the way."""
    for old in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with suppress(OSError):
            os.close(_locked(old))
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    os.environ[METRICS_FOLDER] = str(folder)
    return folder, _locked(folder)


def _locked(folder: Path) -> int:
    """OSError where another process has it, or another user."""
    descriptor = os.open(folder / "in-use", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


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
        self._queued: dict[TConn, Future[Any]] = {}
        self._thread_count: int = self.cfg.threads
        self._look_at = 0.0
        self._closing = ThreadPoolExecutor(_CLOSING_THREADS, thread_name_prefix="close")

    def init_process(self) -> None:
        """What was loaded before the fork stays in memory once: Python's collector would write to
        every object of it, and so copy 16 MiB and more for each process.
        https://docs.python.org/3/library/gc.html#gc.freeze"""
        gc.freeze()
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        self._late_at[conn] = time.monotonic() + MAX_REQUEST_SECONDS
        future = self.tpool.submit(self.handle, conn)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )
        self._queued[conn] = future
        # One for each connection that waits or is handled.
        if len(self._late_at) > self._thread_count:
            self._answer_health_check(conn, future)

    def handle(self, conn: TConn) -> Any:
        self._queued.pop(conn, None)
        try:
            return super().handle(conn)
        finally:
            self._late_at.pop(conn, None)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        # A client that doesn't close its side is waited for, up to two seconds: not in the thread
        # that accepts for everybody.
        conn.close = partial(self._close, conn)  # type: ignore[method-assign]  # gunicorn makes the connections itself
        super().finish_request(conn, fs)

    def _close(self, conn: TConn, *, graceful: bool = False) -> None:
        if graceful:
            self._closing.submit(TConn.close, conn, graceful=True)
        else:
            TConn.close(conn)

    def handle_request(self, req: Request, conn: TConn) -> Any:
        if isinstance(conn.server, str):
            # gunicorn takes SERVER_PORT from the Host header on a Unix socket, and it decides which
            # pages may be asked for.
            conn.server = ("unix", 0)
        return super().handle_request(req, conn)

    def notify(self) -> None:
        """At least once a second, and beside each request under load. What came so far can still be
        read, and an answer written: only waiting for more is over."""
        super().notify()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        late = [conn for conn, late_at in list(self._late_at.items()) if late_at <= now]
        for conn in late:
            self._late_at.pop(conn, None)
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)
        for conn, future in list(self._queued.items()):
            self._answer_health_check(conn, future)

    def _answer_health_check(self, conn: TConn, future: Future[Any]) -> None:
        """While every thread is busy, say that the process lives from the thread that accepts."""
        if future.running() or future.done():
            self._queued.pop(conn, None)
        elif _asks_for_health(conn.sock) and future.cancel():
            self._queued.pop(conn, None)
            self._late_at.pop(conn, None)
            # The end of the future closes the connection.
            with suppress(OSError):
                conn.sock.send(_HEALTH_ANSWER)


def _asks_for_health(sock: socket.socket) -> bool:
    try:
        begun = sock.recv(len(_HEALTH_REQUEST), socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    return begun == _HEALTH_REQUEST
