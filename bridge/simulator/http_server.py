"""A small threaded HTTP/1.1 server with keep-alive, whose connections a handler may cut.

The development servers of Werkzeug and wsgiref close each connection after one answer. Real vendors keep it open, and a client's
pooled connection that goes stale is one of the ways in which the world fails.
"""

import io
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

SOCKET = "simulator.socket"
_MAX_BODY_BYTES = 64 * 1024 * 1024
_STOP_SECONDS = 5.0

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Server(ThreadingMixIn, WSGIServer):
    """Stops only when each of its connections has ended, so that no thread and no socket outlives it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        self._is_stopping = False
        self._accepts_no_more = threading.Event()
        self._open: set[socket.socket] = set()
        self._none_open = threading.Condition()
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        """Without the standard library's look-up of our own name, which may ask a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._none_open:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().shutdown_request(request)
        with self._none_open:
            self._open.discard(request)
            self._none_open.notify_all()

    def serve(self) -> None:
        """Until `stop`. Sleeps between connections, where the standard library's own loop wakes up to look whether it shall end."""
        while not self._is_stopping:
            self.handle_request()
        self.server_close()
        self._accepts_no_more.set()

    def stop(self) -> None:
        """Accept nothing more, cut what is open, wait for the threads to let go."""
        self._is_stopping = True
        # Wakes the loop; it is refused when the loop was awake anyway and has ended already.
        with suppress(ConnectionError):
            socket.create_connection((self.server_name, self.server_port)).close()
        self._accepts_no_more.wait(_STOP_SECONDS)
        with self._none_open:
            for connection in self._open:
                cut(connection)
            self._none_open.wait_for(lambda: not self._open, timeout=_STOP_SECONDS)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Simulator"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answers until the client, or a fault, closes the connection. A client that went away is nothing to tell of."""
        try:
            BaseHTTPRequestHandler.handle(self)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: `World.calls` is the log."""

    def serve_one(self) -> None:
        environ = self.get_environ() | {
            SOCKET: self.connection,
            "wsgi.input": io.BytesIO(self._body()),
            "wsgi.errors": self.get_stderr(),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        app = self.server.get_app()  # type: ignore[attr-defined]  # typeshed knows only the base server
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: _ExcInfo | None = None) -> Callable[[bytes], object]:
            begun[:] = [(status, headers)]
            return self.wfile.write

        pieces = app(environ, start_response)
        try:
            self._answer(*begun[0], pieces)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = serve_one  # noqa: N815 - the standard library's own names

    def _body(self) -> bytes:
        """Read whole, even where no route wants it: what is left unread would be taken for the next request."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY_BYTES or "Transfer-Encoding" in self.headers:
            raise ConnectionError("a body that no client of ours sends")
        return self.rfile.read(length)

    def _answer(self, status: str, headers: list[tuple[str, str]], pieces: Iterable[bytes]) -> None:
        code, _, phrase = status.partition(" ")
        self.send_response(int(code), phrase)
        for name, value in headers:
            self.send_header(name, value)
        is_chunked = "content-length" not in {name.lower() for name, _ in headers} and int(code) not in (204, 304)
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command != "HEAD":
            self._write(pieces, is_chunked=is_chunked)

    def _write(self, pieces: Iterable[bytes], *, is_chunked: bool) -> None:
        for piece in filter(None, pieces):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")


def cut(connection: socket.socket) -> None:
    """Close both ways at once; whoever still reads or writes it finds out."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
