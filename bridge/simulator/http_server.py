"""A threaded HTTP/1.1 server with keep-alive, as real vendors have it, whose connections may be
cut.

The servers of Werkzeug and wsgiref close after each answer, so no client's pooled connection would
ever go stale."""

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from select import select
from socketserver import ThreadingTCPServer
from typing import Any
from wsgiref.types import WSGIApplication

from werkzeug.test import EnvironBuilder, run_wsgi_app

SOCKET = "simulator.socket"
_LOOK_EVERY = 0.01


class Server(ThreadingTCPServer):
    """Stops only when each of its connections has ended, so that no thread and no socket outlives
    it."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        self.app = app
        self._lock = threading.Lock()
        self._open: dict[Any, bool] = {}
        """Each connection that was taken, and whether it waits for its client's next word."""
        super().__init__((host, port), _Handler)
        threading.Thread(
            target=self.serve_forever, args=(_LOOK_EVERY,), name="simulator", daemon=True
        ).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        with self._lock:
            connection, address = super().get_request()
            self._open[connection] = False
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def wait_for_word(self, connection: socket.socket) -> None:
        """Until the client says something more, or goes."""
        self._open[connection] = True
        connection.recv(1, socket.MSG_PEEK)
        self._open[connection] = False

    def is_idle(self) -> bool:
        """Whether all that was sent so far is done with, whoever has gone meanwhile."""
        with self._lock:
            # Looked at first: who takes what came has said before that it waits no more.
            readable, _, _ = select([self.socket, *self._open], [], [], 0)
            return not readable and all(self._open.values())

    def stop(self) -> None:
        """Accept nothing more, cut what is open, wait for the threads to let go."""
        self.shutdown()
        for connection in list(self._open):
            cut(connection)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        """A client that went away is nothing to tell of."""
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def handle_one_request(self) -> None:
        self.server.wait_for_word(self.connection)
        super().handle_one_request()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: `World.calls` is the log."""

    def answer(self) -> None:
        # Read whole, even where no route wants it: what is left unread would be taken for the next
        # request.
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client died in the middle of its request")
        request = EnvironBuilder(
            self.path, method=self.command, headers=list(self.headers.items()), data=body
        )
        pieces, status, headers = run_wsgi_app(
            self.server.app, request.get_environ() | {SOCKET: self.connection}
        )
        self.send_response(int(status[:3]), status[4:])
        for name, value in headers:
            self.send_header(name, value)
        if "Content-Length" not in headers and not status.startswith("204"):
            self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815  # the standard library's own names


def cut(connection: socket.socket) -> None:
    """Close both ways at once; whoever still reads or writes it finds out."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
