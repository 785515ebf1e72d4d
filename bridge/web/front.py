"""Around every request, before any page is looked for: which address answers which path, and how
long an answer took."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from bridge import metrics

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_HEALTH = "/healthz"
_WEBHOOKS = "/webhooks/"
_ROUTES = (
    ("/webhooks/shipstation", "/webhooks/shipstation"),
    (_HEALTH, _HEALTH),
    ("/readyz", "/readyz"),
    ("/metrics", "/metrics"),
    ("/console/static/", "/console/static/"),
    ("/console/", "/console/"),
)
"""What a path begins with, and what the metric calls it: never a part that a sender chose."""

_NOT_HERE = json.dumps({"error": "not_found", "message": "There is nothing at this address."})
_HSTS = ("Strict-Transport-Security", "max-age=31536000")


class Front:
    """`operations_port` is that of BRIDGE_OPERATIONS_BIND; without one every path is answered on
    every address."""

    def __init__(self, application: Application, operations_port: str | None) -> None:
        self._application = application
        self._operations_port = operations_port

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        path = environ.get("PATH_INFO", "")
        status = "500"

        def start(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = line[:3]
            if environ.get("wsgi.url_scheme") == "https":
                headers.append(_HSTS)
            return start_response(line, headers, exc_info)

        try:
            if self._is_answered_here(path, environ.get("SERVER_PORT", "")):
                return self._application(environ, start)
            return _not_found(start)
        finally:
            seconds = time.perf_counter() - started
            metrics.HTTP_SECONDS.labels(route=route_of(path), status=status).observe(seconds)

    def _is_answered_here(self, path: str, port: str) -> bool:
        if self._operations_port is None or path == _HEALTH:
            return True
        is_webhook = path.startswith(_WEBHOOKS)
        return is_webhook != (port == self._operations_port)


def route_of(path: str) -> str:
    """One of a few names, whatever the path."""
    for beginning, route in _ROUTES:
        if path.startswith(beginning):
            return route
    return "other"


def _not_found(start: StartResponse) -> Iterable[bytes]:
    body = f"{_NOT_HERE}\n".encode()
    start(
        "404 NOT FOUND",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
    )
    return [body]
