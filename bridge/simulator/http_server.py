"""A threaded HTTP/1.1 server with keep-alive, as real vendors have it, whose connections may be cut.

The servers of Werkzeug and wsgiref close after each answer, so no client's pooled connection would ever go stale.
"""

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any
from weakref import WeakSet
from wsgiref.types import WSGIApplication

from werkzeug.test import EnvironBuilder, run_wsgi_app

SOCKET = "simulator.socket"
_LOOK_EVERY = 0.01


class Server(ThreadingTCPServer):
    """Stops only when each of its connections has ended, so that no thread and no socket outlives it."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        self.app = app
        self._open: WeakSet[socket.socket] = WeakSet()
        super().__init__((host, port), _Handler)
        threading.Thread(target=self.serve_forever, args=(_LOOK_EVERY,), name="simulator", daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

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

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: `World.calls` is the log."""

    def answer(self) -> None:
        # Read whole, even where no route wants it: what is left unread would be taken for the next request.
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client died in the middle of its request")
        request = EnvironBuilder(self.path, method=self.command, headers=list(self.headers.items()), data=body)
        pieces, status, headers = run_wsgi_app(self.server.app, request.get_environ() | {SOCKET: self.connection})
        self.send_response(int(status[:3]), status[4:])
        for name, value in headers:
            self.send_header(name, value)
        if "Content-Length" not in headers and not status.startswith("204"):
            self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815 - the standard library's own names


def cut(connection: socket.socket) -> None:
    """Close both ways at once; whoever still reads or writes it finds out."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
