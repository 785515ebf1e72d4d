"""Posts webhooks as ShipStation does: ten seconds for an answer, no redirects followed."""

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from bridge.simulator.model import Json

# The vendor's limit, after which it gives up the try.
_ANSWER_SECONDS = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def raw_body(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def is_signed(body: Json) -> bool:
    """V2 signs; V1 can't, and an inline body comes from a warehouse."""
    return str(body.get("resource_type", "")).endswith("_V2")


def subscription_event(body: Json) -> tuple[str, bool]:
    """The event name by which a webhook was subscribed to, and whether that is V2."""
    name = str(body.get("resource_type", ""))
    return (name.lower(), True) if name.endswith("_V2") else (name, False)


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


def post(url: str, raw: bytes, headers: Mapping[str, str]) -> int:
    """The status answered; OSError or HTTPException when there is none."""
    target = urlsplit(url)
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    connection = kind(target.hostname or "", target.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", f"{target.path or '/'}{'?' + target.query if target.query else ''}", raw, dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
