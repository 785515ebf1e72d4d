"""ENTERS: POST /webhooks/shipstation. Raw body → authenticate → identify → store → answer; nothing
else happens before the answer."""

import hmac
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import structlog
from flask import Blueprint, Request, Response, request
from werkzeug.exceptions import ClientDisconnected, TooManyRequests

from bridge import metrics
from bridge.domain.errors import AuthenticationError, PayloadError
from bridge.domain.events import EventStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.services import Services
from bridge.store import events
from bridge.store.engine import wakeup
from bridge.store.engine.database import Connection
from bridge.store.events import Arrival
from bridge.vendors.shipstation import webhook
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.web.throttle import FailedAttemptLimiter

log = structlog.get_logger(__name__)

KEPT_HEADERS = ("content-type", "user-agent", *webhook.SIGNED_HEADERS)
"""The only headers that are stored: none of them holds a credential."""

_LONGEST_HEADER = 1000
SignatureMode: TypeAlias = Literal["enforce", "log", "off"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender gets back."""

    code: int
    body: Mapping[str, str]


def blueprint(services: Services, limiter: FailedAttemptLimiter) -> Blueprint:
    """The two forms of the route: the token in the path, or in the header `X-Bridge-Token`."""
    routes = Blueprint("receive", __name__)
    tokens = [token.get_secret_value().encode() for token in services.settings.webhook_tokens]

    @routes.post("/webhooks/shipstation", strict_slashes=False)
    @routes.post("/webhooks/shipstation/<token>", strict_slashes=False)
    def shipstation(token: str | None = None) -> Response:
        webhook_request = request._get_current_object()  # type: ignore[attr-defined]  # each look through the proxy would cost as much as what it finds
        try:
            _check_token(token or webhook_request.headers.get("X-Bridge-Token", ""), tokens)
        except AuthenticationError:
            limit_failed_attempts(limiter, webhook_request.remote_addr or "")
            raise
        raw = _body_of(webhook_request)
        headers = _kept_headers(webhook_request.headers)
        answer = accept(services, raw, headers, remote_address=webhook_request.remote_addr)
        body = json.dumps(answer.body) + "\n"
        return Response(body, answer.code, content_type="application/json")

    return routes


def _body_of(webhook_request: Request) -> bytes:
    """All of it. ClientDisconnected when the sender stopped in the middle, RequestEntityTooLarge
    past the limit."""
    raw = webhook_request.get_data(cache=False)
    length = webhook_request.content_length
    if length is not None and len(raw) < length:
        raise ClientDisconnected
    # A chunked body is cut at the limit in silence; asking for more of it is answered with 413.
    webhook_request.stream.read(1)
    return raw


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {}
    for name in KEPT_HEADERS:
        value = headers.get(name)
        if value is not None:
            kept[name] = value
    return kept


def accept(
    services: Services, raw: bytes, headers: Mapping[str, str], *, remote_address: str | None
) -> Answer:
    """Authenticate, identify and store one body; `headers` by lower-case name.

    Raises AuthenticationError, KeysUnavailableError or StorageError: nothing is kept then.
    """
    signature = _check_signature(services, raw, headers)
    unread = Arrival(
        "unknown",
        webhook.storable(raw),
        headers={name: value[:_LONGEST_HEADER] for name, value in headers.items()},
        remote_address=remote_address,
        signature=signature,
    )
    try:
        notification = webhook.identify(raw)
    except PayloadError as exc:
        return _reject(services, unread, exc)
    event_type = notification.event_type
    _check_signed(services.settings.shipstation_signature, event_type, signature)
    url = notification.resource_url
    arrival = replace(unread, event_type=event_type, resource_url=url)
    unchecked = replace(arrival, resource_url=url and webhook.storable_url(url))
    if event_type not in EVENT_TYPES:
        return _ignore(services, unchecked)
    try:
        _check_content(notification, services)
    except PayloadError as exc:
        return _reject(services, unchecked, exc)
    return _receive(services, arrival)


def _check_token(given: str, tokens: Sequence[bytes]) -> None:
    """Every one of the tokens is compared, each in constant time."""
    fits = [hmac.compare_digest(given.encode(), token) for token in tokens]
    if not any(fits):
        cause = "token_wrong" if given else "token_missing"
        raise AuthenticationError("the webhook token is missing or wrong", cause=cause)


def limit_failed_attempts(limiter: FailedAttemptLimiter, address: str) -> None:
    """TooManyRequests once an address is over the limit; without a line of log, as there would be
    no end of them."""
    wait = limiter.wait(address, now=time.monotonic())
    if wait:
        metrics.REJECTIONS.labels(cause="throttled").inc()
        raise TooManyRequests(
            "Too many wrong requests from this address.", retry_after=math.ceil(wait)
        )


def _check_signature(services: Services, raw: bytes, headers: Mapping[str, str]) -> str:
    """`verified`, `unverified` or `none`: signed bytes are judged before anything in them is
    read."""
    mode = services.settings.shipstation_signature
    if mode == "off" or not webhook.is_signed(headers):
        return "none"
    now = services.database.wall_clock()
    try:
        webhook.verify(raw, headers, key=services.signing_keys.key, now=now)
    except AuthenticationError as exc:
        if mode == "enforce":
            raise
        _note_unverified(exc)
        return "unverified"
    return "verified"


def _check_signed(mode: SignatureMode, event_type: str, signature: str) -> None:
    """V2 webhooks are always signed; V1 and inline ones never are.
    https://docs.shipstation.com/apis/docs/guides/webhooks-validation"""
    is_signed_type = event_type.upper().endswith("_V2")
    if signature != "none" or mode == "off" or not is_signed_type:
        return
    error = AuthenticationError(f"{event_type} came without a signature", cause="signature_missing")
    if mode == "enforce":
        raise error
    _note_unverified(error)


def _note_unverified(error: AuthenticationError) -> None:
    metrics.REJECTIONS.labels(cause=f"log_only_{error.cause}").inc()
    log.warning(
        "signature_not_verified_but_accepted",
        cause=error.cause,
        setting="BRIDGE_SHIPSTATION_SIGNATURE=log",
    )


def _check_content(notification: webhook.Notification, services: Services) -> None:
    if notification.inline_rows:
        return
    if notification.resource_url is None:
        raise PayloadError(f"{notification.event_type} has no resource_url")
    webhook.check_pointer(
        notification.resource_url,
        family=EVENT_TYPES[notification.event_type].family,
        families=services.api_families,
        configured=services.shipstation_origins,
    )


def _receive(services: Services, arrival: Arrival) -> Answer:
    def store(connection: Connection) -> tuple[str, bool]:
        stored = events.receive(connection, arrival, now=services.database.now(connection))
        wakeup.announce(connection)
        return stored

    event_id, is_duplicate = services.database.write(store)
    return _accepted(arrival, "duplicate" if is_duplicate else "received", event_id)


def _ignore(services: Services, arrival: Arrival) -> Answer:
    detail = f"{arrival.event_type[:64]} is not an event type of shipped goods"
    reason = Reason.EVENT_TYPE_NOT_HANDLED
    with services.database.begin() as connection:
        now = services.database.now(connection)
        event_id = events.store_closed(
            connection, arrival, status=EventStatus.IGNORED, reason=reason, detail=detail, now=now
        )
    return _accepted(arrival, "ignored", event_id)


def _reject(services: Services, arrival: Arrival, error: PayloadError) -> Answer:
    with services.database.begin() as connection:
        now = services.database.now(connection)
        event_id = events.store_closed(
            connection,
            arrival,
            status=EventStatus.REJECTED,
            reason=error.reason,
            detail=str(error)[:1000],
            now=now,
        )
    metrics.REJECTIONS.labels(cause=error.reason).inc()
    log.warning("event_rejected", event_id=event_id, reason=error.reason, detail=str(error)[:300])
    message = f"{MEANINGS[error.reason].sentence} {str(error)[:300]}"
    return Answer(400, {"error": str(error.reason), "message": message})


def _accepted(arrival: Arrival, status: str, event_id: str) -> Answer:
    event_type = arrival.event_type if arrival.event_type in EVENT_TYPES else "other"
    metrics.EVENTS.labels(event_type=event_type, status=status).inc()
    log.info("event_stored", event_id=event_id, event_type=arrival.event_type[:64], status=status)
    return Answer(202, {"status": status, "event_id": event_id})
