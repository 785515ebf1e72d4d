"""WATCHED FROM OUTSIDE: while the bridge is ready, a URL elsewhere is asked for each minute. Who is
behind it raises the alarm when that stops, even when this machine is gone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import SecretStr

from bridge.vendors import http

log = structlog.get_logger(__name__)

TASK = "heartbeat"
EVERY = timedelta(minutes=1)
_TIMEOUT_SECONDS = 10.0


def get(url: str) -> None:
    """Ask for it, through the proxy of the environment if there is one. Raises OSError where no
    answer, or none of success, came."""
    status, _body = http.ask("GET", url, timeout=_TIMEOUT_SECONDS)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise OSError(f"answered {status}")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`readiness` is what /readyz answers."""

    url: SecretStr
    readiness: Callable[[], Mapping[str, Any]]
    get: Callable[[str], None] = get

    def run(self, _stopping: object) -> None:
        """One beat, or none while something keeps webhooks from being received or processed."""
        ready = self.readiness()
        if ready["status"] != "ready":
            log.warning("heartbeat_withheld", reason="not ready", database=ready["database"])
            return
        try:
            self.get(self.url.get_secret_value())
        except (OSError, ValueError) as exc:
            # The URL is a secret: the error says no word of it.
            log.warning("heartbeat_not_sent", error=type(exc).__name__)
