"""What arrives at the door: who sent it (signature), what it is (event type), and whether its URL
may be fetched. Pure.

Unknown to us: the exact format of the timestamp header (so the raw text is signed over and read
leniently), the resource_url of FULFILLMENT_REJECTED_V2 and of V1's FULFILLMENT_SHIPPED (so any
listed path will do), and any other host than those below."""

import base64
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from bridge.domain.errors import AuthenticationError, ForeignUrlError, PayloadError
from bridge.domain.reasons import Reason
from bridge.domain.redaction import outline
from bridge.vendors.shipstation.payloads import InlineRow, record_of

SIGNED_HEADERS = (
    "x-shipengine-rsa-sha256-key-id",
    "x-shipengine-rsa-sha256-signature",
    "x-shipengine-timestamp",
)
TOLERANCE = timedelta(minutes=5)
INLINE_FULFILLMENTS = "INLINE_FULFILLMENTS"
_KEPT_FIELDS = {"resource_type", "resource_url", "notify_order_source", *InlineRow.model_fields}
_VENDOR_ORIGIN = re.compile(r"https://(api|ssapi[0-9]*)\.shipstation\.com", re.ASCII)
_PATHS = r"/v2/(?:labels|fulfillments|shipments)(?:/[A-Za-z0-9-]+)?|/(?:shipments|fulfillments|orders)(?:/[0-9]+)?"
_PADDING, _SHA256 = PKCS1v15(), SHA256()
_STANDARD_BASE64 = str.maketrans("-_", "+/")
# The query: printable, without `"`, `#`, `<`, `>`, `\` and the backtick, which two parsers could
# read differently.
_RESOURCE_URL = re.compile(
    rf"(?P<origin>https?://[A-Za-z0-9.:\[\]-]+)(?:{_PATHS})(?:\?[!$-;=?-\[\]-_a-~]*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Notification:
    """What a body says of itself. Either a pointer (`resource_url`) or, for INLINE_FULFILLMENTS,
    the rows themselves."""

    event_type: str
    resource_url: str | None
    inline_rows: tuple[dict[str, Any], ...] = ()


def identify(raw: bytes) -> Notification:
    """Read one body. PayloadError with reason BAD_JSON or BAD_SHAPE; whatever the bytes, nothing
    else is raised."""
    try:
        body = _STRICT.decode(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise PayloadError("the body is not JSON", reason=Reason.BAD_JSON) from exc
    if not isinstance(body, dict):
        raise PayloadError("the body is not a JSON object")
    if "resource_type" not in body and isinstance(rows := body.get("fulfillments"), list) and rows:
        # Each row in full or none at all: the sender hears of a bad row while it can still mend it.
        return Notification(
            INLINE_FULFILLMENTS, None, tuple(record_of("inline_row", row).body for row in rows)
        )
    event_type, url = body.get("resource_type"), body.get("resource_url")
    if not isinstance(event_type, str) or not re.fullmatch(
        r"[A-Za-z0-9_]{1,64}", event_type, re.ASCII
    ):
        raise PayloadError(
            "the body has no resource_type of letters, digits and underscores, nor a list of fulfillments"
        )
    # No database stores a NUL or half a character, and no URL has one.
    if url is not None and not (isinstance(url, str) and url.isprintable()):
        raise PayloadError("resource_url is not a plain text")
    return Notification(event_type, url)


def storable(raw: bytes) -> bytes:
    """What of a body may be stored: its very bytes where it holds only fields that we read, else
    their values and the shape of the rest; of what is not JSON, nothing. A sender that adds an
    address leaves no trace of it."""
    try:
        body = json.loads(raw.decode("utf-8-sig"))
        kept = outline(body, _KEPT_FIELDS)
        return raw if kept == body else json.dumps(kept).encode()
    except (ValueError, RecursionError):
        return b""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # With one name twice, two readers could act on two different URLs.
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


_STRICT = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_constant=int
)  # `int` refuses NaN and Infinity, which are not JSON.


def is_shipstation_origin(origin: str, *, configured: Collection[str]) -> bool:
    """ShipStation's own hosts, V1's with or without a number, and exactly the configured origins;
    the rule for every ShipStation client."""
    return origin in configured or _VENDOR_ORIGIN.fullmatch(origin) is not None


def check_resource_url(url: str, *, configured: Collection[str]) -> None:
    """ForeignUrlError unless `url` is a plain address of a list we know, at ShipStation or at an
    origin in `configured` (`https://host[:port]`)."""
    match = _RESOURCE_URL.fullmatch(url) if len(url) <= 2000 else None
    if match is None or not is_shipstation_origin(match["origin"].lower(), configured=configured):
        raise ForeignUrlError(
            "resource_url is not a plain URL of a list that we know at ShipStation"
        )


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether the sender claims to have signed, by any of the three headers; `headers` are by
    lower-case name."""
    return any(name in headers for name in SIGNED_HEADERS)


def verify(
    raw: bytes,
    headers: Mapping[str, str],
    *,
    key: Callable[[str], RSAPublicKey | None],
    now: datetime,
) -> None:
    """Return if `raw` was signed by ShipStation within five minutes of `now`, else
    AuthenticationError whose `cause` says what is wrong. `key` may raise KeysUnavailableError.
    https://docs.shipstation.com/apis/docs/guides/webhooks-validation"""
    key_id, signature, timestamp = (headers.get(name, "").strip() for name in SIGNED_HEADERS)
    if not (key_id and signature and timestamp):
        raise AuthenticationError("a signature header is missing", cause="signature_missing")
    if abs(now - _moment(timestamp)) > TOLERANCE:
        raise AuthenticationError(
            "the signed timestamp is more than five minutes away from our clock",
            cause="timestamp_stale",
        )
    if (public_key := key(key_id)) is None:
        raise AuthenticationError(
            "the signature names a key that ShipStation does not publish", cause="unknown_key"
        )
    try:
        # RSA-SHA256 (PKCS#1 v1.5) over the timestamp header as it came, a full stop, and the raw
        # body.
        signed = base64.b64decode(signature.translate(_STANDARD_BASE64) + "==")
        public_key.verify(signed, timestamp.encode() + b"." + raw, _PADDING, _SHA256)
    except (InvalidSignature, ValueError) as exc:
        raise AuthenticationError(
            "the signature does not fit the body", cause="signature_wrong"
        ) from exc


def _moment(text: str) -> datetime:
    """ISO 8601 (UTC where it names no zone), or seconds or milliseconds since 1970."""
    try:
        if re.fullmatch(r"[0-9]{9,16}(\.[0-9]{1,9})?", text, re.ASCII):
            seconds = float(text)
            # From 10^11 on it must be milliseconds: as seconds that would be the year 5138.
            return datetime.fromtimestamp(seconds / 1000 if seconds >= 1e11 else seconds, UTC)
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise AuthenticationError(
            "the timestamp header is not a time", cause="timestamp_unreadable"
        ) from exc
