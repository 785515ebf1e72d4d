"""WATCHED FROM OUTSIDE: while the bridge is ready, a URL elsewhere is asked for each minute. Who is
behind it raises the alarm when that stops, even when this machine is gone."""

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from pydantic import SecretStr

log = structlog.get_logger(__name__)

TASK = "heartbeat"
EVERY = timedelta(minutes=1)
_TIMEOUT_SECONDS = 10.0


def get(url: str) -> None:
    """Ask for it, through the proxy of the environment if there is one. Raises OSError where no
    answer, or none of success, came."""
    request = urllib.request.Request(url, headers={"User-Agent": "purpledot-shipstation-bridge"})  # noqa: S310  # the settings allow https and http alone
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310  # as above
        pass


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
            # The URL is a secret, and an error of urllib names the host at most by its reason.
            log.warning("heartbeat_not_sent", error=type(exc).__name__)
