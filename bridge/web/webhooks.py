"""ENTERS: POST /webhooks/shipstation. Raw body → authenticate → identify → store → answer; nothing
else happens before the answer."""

import hmac
import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from flask import Blueprint, Response, request
from pydantic import SecretStr
from werkzeug.exceptions import TooManyRequests

from bridge import metrics
from bridge.domain.errors import AuthenticationError, PayloadError
from bridge.domain.events import EventStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.store import events
from bridge.store.engine import wakeup
from bridge.store.engine.database import Connection, Database
from bridge.store.events import Arrival
from bridge.vendors.shipstation import webhook
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.payloads import record_of
from bridge.web.throttle import Brake

log = structlog.get_logger(__name__)

KEPT_HEADERS = ("content-type", "user-agent", *webhook.SIGNED_HEADERS)
"""The only headers that are stored: none of them holds a credential."""

_LONGEST_HEADER = 1000


@dataclass
class Door:
    """What the receiver needs: who may enter (`tokens`, `signature` mode, `key` by id), where a
    resource_url may point, where to store."""

    database: Database
    tokens: Sequence[SecretStr]
    signature: Literal["enforce", "log", "off"]
    key: Callable[[str], RSAPublicKey | None]
    origins: Collection[str]

    def __post_init__(self) -> None:
        self.brake = Brake()
        self.token_bytes = [token.get_secret_value().encode() for token in self.tokens]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the sender is told."""

    code: int
    body: Mapping[str, str]


def blueprint(door: Door) -> Blueprint:
    """The two forms of the route: the token in the path, or in the header `X-Bridge-Token`."""
    routes = Blueprint("receive", __name__)

    @routes.post("/webhooks/shipstation")
    @routes.post("/webhooks/shipstation/<token>")
    def shipstation(token: str | None = None) -> Response:
        asked = request._get_current_object()  # type: ignore[attr-defined]  # each look through the proxy would cost as much as what it finds
        try:
            _check_token(token or asked.headers.get("X-Bridge-Token", ""), door.token_bytes)
        except AuthenticationError:
            _slow_down(door.brake, asked.remote_addr or "")
            raise
        raw = asked.get_data(cache=False)
        asked.stream.read(
            1
        )  # A chunked body is cut at the limit without a word; asking for more of it is answered with 413.
        headers = {
            name: value for name in KEPT_HEADERS if (value := asked.headers.get(name)) is not None
        }
        answered = accept(door, raw, headers, remote_address=asked.remote_addr)
        return Response(
            json.dumps(answered.body) + "\n", answered.code, content_type="application/json"
        )

    return routes


def accept(
    door: Door, raw: bytes, headers: Mapping[str, str], *, remote_address: str | None
) -> Answered:
    """Authenticate, identify and store one body; `headers` by lower-case name.

    Raises AuthenticationError, KeysUnavailableError or StorageError: nothing is kept then.
    """
    signature = _check_signature(door, raw, headers)
    kept = {name: value[:_LONGEST_HEADER] for name, value in headers.items()}
    body = webhook.storable(raw)
    try:
        notification = webhook.identify(raw)
    except PayloadError as exc:
        return _reject(
            door,
            Arrival(
                "unknown", body, headers=kept, remote_address=remote_address, signature=signature
            ),
            exc,
        )
    _check_signed(door, notification.event_type, signature)
    url = notification.resource_url
    arrival = Arrival(
        notification.event_type,
        body,
        url,
        headers=kept,
        remote_address=remote_address,
        signature=signature,
    )
    if notification.event_type not in EVENT_TYPES:
        return _ignore(door, arrival)
    try:
        _check_content(notification, door.origins)
    except PayloadError as exc:
        return _reject(door, arrival, exc)
    return _receive(door, arrival)


def _check_token(given: str, tokens: Sequence[bytes]) -> None:
    """Every one of the tokens is compared, each in constant time."""
    fits = [hmac.compare_digest(given.encode(), token) for token in tokens]
    if not any(fits):
        cause = "token_wrong" if given else "token_missing"
        raise AuthenticationError("the webhook token is missing or wrong", cause=cause)


def _slow_down(brake: Brake, address: str) -> None:
    """The address is the connection's own: what a header claims, anybody can write. No line of log:
    there would be no end of them."""
    wait = brake.wait(address, now=time.monotonic())
    if wait:
        metrics.REJECTIONS.labels(cause="throttled").inc()
        raise TooManyRequests(
            "Too many wrong webhook tokens from this address.", retry_after=math.ceil(wait)
        )


def _check_signature(door: Door, raw: bytes, headers: Mapping[str, str]) -> str:
    """`verified`, `unverified` or `none`: signed bytes are judged before anything in them is
    read."""
    if door.signature == "off" or not webhook.is_signed(headers):
        return "none"
    try:
        webhook.verify(raw, headers, key=door.key, now=door.database.wall_clock())
    except AuthenticationError as exc:
        if door.signature == "enforce":
            raise
        _say_unverified(exc)
        return "unverified"
    return "verified"


def _check_signed(door: Door, event_type: str, signature: str) -> None:
    """V2 webhooks are always signed; V1 and inline ones never are.
    https://docs.shipstation.com/apis/docs/guides/webhooks-validation"""
    if signature != "none" or door.signature == "off" or not event_type.upper().endswith("_V2"):
        return
    error = AuthenticationError(f"{event_type} came without a signature", cause="signature_missing")
    if door.signature == "enforce":
        raise error
    _say_unverified(error)


def _say_unverified(error: AuthenticationError) -> None:
    metrics.REJECTIONS.labels(cause=f"log_only_{error.cause}").inc()
    log.warning(
        "signature_not_verified_but_accepted",
        cause=error.cause,
        setting="BRIDGE_SHIPSTATION_SIGNATURE=log",
    )


def _check_content(notification: webhook.Notification, origins: Collection[str]) -> None:
    if notification.inline_rows:
        for row in notification.inline_rows:
            record_of("inline_row", row)
    elif notification.resource_url is None:
        raise PayloadError(f"{notification.event_type} has no resource_url")
    else:
        webhook.check_resource_url(notification.resource_url, configured=origins)


def _receive(door: Door, arrival: Arrival) -> Answered:
    def store(connection: Connection) -> tuple[str, bool]:
        stored = events.receive(connection, arrival, now=door.database.now(connection))
        wakeup.announce(connection)
        return stored

    event_id, is_duplicate = door.database.write(store, is_one_statement=True)
    return _accepted(arrival, "duplicate" if is_duplicate else "received", event_id)


def _ignore(door: Door, arrival: Arrival) -> Answered:
    detail = f"{arrival.event_type[:64]} is not an event type of shipped goods"
    reason = Reason.EVENT_TYPE_NOT_HANDLED
    with door.database.begin() as connection:
        now = door.database.now(connection)
        event_id = events.shelve(
            connection, arrival, status=EventStatus.IGNORED, reason=reason, detail=detail, now=now
        )
    return _accepted(arrival, "ignored", event_id)


def _reject(door: Door, arrival: Arrival, error: PayloadError) -> Answered:
    with door.database.begin() as connection:
        now = door.database.now(connection)
        shelved = events.shelve(
            connection,
            arrival,
            status=EventStatus.REJECTED,
            reason=error.reason,
            detail=str(error)[:1000],
            now=now,
        )
    metrics.REJECTIONS.labels(cause=error.reason).inc()
    log.warning("event_rejected", event_id=shelved, reason=error.reason, detail=str(error)[:300])
    return Answered(
        400,
        {
            "error": str(error.reason),
            "message": f"{MEANINGS[error.reason].sentence} {str(error)[:300]}",
        },
    )


def _accepted(arrival: Arrival, status: str, event_id: str) -> Answered:
    known = arrival.event_type if arrival.event_type in EVENT_TYPES else "other"
    metrics.EVENTS.labels(event_type=known, status=status).inc()
    log.info("event_stored", event_id=event_id, event_type=arrival.event_type[:64], status=status)
    return Answered(202, {"status": status, "event_id": event_id})
