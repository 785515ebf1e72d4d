"""What a webhook says: who sent it (signature), what it is (event type), and whether its URL may be
fetched. Pure.

Unknown to us: the exact format of the timestamp header (so the raw text is signed over and read
leniently), the resource_url of FULFILLMENT_REJECTED_V2 and of V1's FULFILLMENT_SHIPPED (so any
listed path of its API will do), and any other host than those below."""

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
from bridge.domain.redaction import redact
from bridge.vendors.shipstation.fields import number_field
from bridge.vendors.shipstation.payloads import InlineRow, record_of

SIGNED_HEADERS = (
    "x-shipengine-rsa-sha256-key-id",
    "x-shipengine-rsa-sha256-signature",
    "x-shipengine-timestamp",
)
TOLERANCE = timedelta(minutes=5)
INLINE_FULFILLMENTS = "INLINE_FULFILLMENTS"
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_KEPT_FIELDS = {"resource_type", "resource_url", "notify_order_source", *InlineRow.model_fields}
_VENDOR_ORIGIN = re.compile(r"https://(api|ssapi[0-9]*)\.shipstation\.com", re.ASCII)
_PATHS = {
    "v2": r"/v2/(?:labels|fulfillments|shipments)(?P<v2_id>/[A-Za-z0-9-]+)?",
    "v1": r"/(?:shipments|fulfillments|orders)(?P<v1_id>/[0-9]+)?",
}
_FILTERS = frozenset(
    {
        "batchid",
        "importbatch",
        "importbatchid",
        "shipmentid",
        "labelid",
        "fulfillmentid",
        "orderid",
        "orderkey",
        "ordernumber",
        "salesorderid",
        "externalshipmentid",
        "shipmentnumber",
        "trackingnumber",
    }
)
"""Parameters that narrow a list to what one webhook is about, without case and underscores. Others
narrow nothing that matters, or are ignored by the vendor, which then lists the whole account."""

_STORED_PARAMETERS = _FILTERS | {"includeshipmentitems", "storeid", "page", "pagesize"}
_LONG_BODY = 4096
MAX_INLINE_ROWS = 500
"""As many as ShipStation takes in one page of fulfillments."""

_LONGEST_FIELDS = {"shipment_id": 64, "tracking_number": 100, "carrier_code": 64}
_PADDING = PKCS1v15()
_SHA256 = SHA256()
_STANDARD_BASE64 = str.maketrans("-_", "+/")
# The query: printable, without `"`, `#`, `<`, `>`, `\` and the backtick, which two parsers could
# read differently.
_RESOURCE_URL = re.compile(
    r"(?P<origin>https?://[A-Za-z0-9.:\[\]-]+)"
    rf"(?:(?P<v2>{_PATHS['v2']})|(?P<v1>{_PATHS['v1']}))"
    r"(?:\?(?P<query>[!$-;=?-\[\]-_a-~]*))?",
    re.ASCII,
)
_ANY_URL = re.compile(
    r"(?P<scheme>https?://)(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,253}", re.ASCII)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9._~-]{0,64}", re.ASCII)


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
    rows = body.get("fulfillments")
    if "resource_type" not in body and isinstance(rows, list) and rows:
        return Notification(INLINE_FULFILLMENTS, None, _inline_rows(rows))
    event_type, url = body.get("resource_type"), body.get("resource_url")
    if not isinstance(event_type, str) or not _EVENT_TYPE.fullmatch(event_type):
        raise PayloadError(
            "the body has no resource_type of at most 64 letters, digits and underscores, nor a"
            " list of fulfillments"
        )
    # No database stores a NUL or half a character, and no URL has one.
    if url is not None and not (isinstance(url, str) and url.isprintable()):
        raise PayloadError("resource_url is not a plain text")
    return Notification(event_type, url)


def _inline_rows(rows: list[Any]) -> tuple[dict[str, Any], ...]:
    """Each row in full or none at all: the sender hears of a bad row while it can still correct
    it."""
    if len(rows) > MAX_INLINE_ROWS:
        raise PayloadError(f"fulfillments: has {len(rows)} rows; send at most {MAX_INLINE_ROWS}")
    for number, row in enumerate(rows):
        for name, longest in _LONGEST_FIELDS.items():
            if isinstance(row, dict) and len(str(row.get(name, ""))) > longest:
                raise PayloadError(
                    f"fulfillments[{number}].{name}: has more than {longest} characters"
                )
    return tuple(record_of("inline_row", row).body for row in rows)


def storable(raw: bytes) -> bytes:
    """What of a body may be stored: its very bytes where it holds only fields that we read, else
    their values and the shape of the rest; of what is not JSON, nothing. A sender that adds an
    address leaves no trace of it."""
    try:
        body = json.loads(raw.decode("utf-8-sig"))
        kept = redact(body, _KEPT_FIELDS)
        if isinstance(kept, dict):
            _clean(kept)
        if kept == body:
            return raw
        text = json.dumps(kept, ensure_ascii=False).encode(errors="replace")
        is_long = len(text) > max(len(raw), _LONG_BODY)
        if not is_long or not isinstance(kept, dict):
            return text
        # What is left of many small values can be longer than they were.
        kept = {name: value for name, value in kept.items() if name in _KEPT_FIELDS}
        return json.dumps(kept, ensure_ascii=False).encode(errors="replace")
    except (ValueError, RecursionError):
        return b""


def _clean(body: dict[str, Any]) -> None:
    """Take out of the fields that we read what no such field needs: people write names into them
    too."""
    if isinstance(body.get("resource_url"), str):
        body["resource_url"] = storable_url(body["resource_url"])
    event_type = body.get("resource_type")
    if isinstance(event_type, str) and not _EVENT_TYPE.fullmatch(event_type):
        body["resource_type"] = "…"
    rows = body.get("fulfillments")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and "tracking_number" in row:
            row["tracking_number"] = number_field(row["tracking_number"])


def storable_url(url: str) -> str:
    """A URL that nobody checked, as it may be stored: its host without a user's name, of its path
    plain words, of its query only parameters that we know, with values that can be an id. `…`
    stands for the rest, and for a text that is no URL."""
    match = _ANY_URL.fullmatch(url)
    if match is None:
        return "…"
    host = match["authority"].rpartition("@")[2]
    words = [word if _PLAIN_WORD.fullmatch(word) else "…" for word in match["path"].split("/")]
    address = f"{match['scheme']}{host if _PLAIN_HOST.fullmatch(host) else '…'}{'/'.join(words)}"
    kept = [part for part in (match["query"] or "").split("&") if _is_storable(part)]
    return f"{address}?{'&'.join(kept)}" if kept else address


def _is_storable(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    is_id = re.fullmatch(r"[A-Za-z0-9-]{0,64}", value, re.ASCII)
    return _plain_name(name) in _STORED_PARAMETERS and is_id is not None


def _plain_name(parameter: str) -> str:
    return parameter.replace("_", "").lower()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # With one name twice, two readers could act on two different URLs.
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


# `int` refuses NaN and Infinity, which are not JSON.
_STRICT = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=int)


def is_shipstation_origin(origin: str, *, configured: Collection[str]) -> bool:
    """ShipStation's own hosts, V1's with or without a number, and exactly the configured origins;
    the rule for every ShipStation client."""
    return origin in configured or _VENDOR_ORIGIN.fullmatch(origin) is not None


def check_resource_url(url: str, *, configured: Collection[str]) -> None:
    """ForeignUrlError unless `url` is a plain address of a list we know, at ShipStation or at an
    origin in `configured` (`https://host[:port]`): our credentials may go there."""
    _match(url, configured)


def check_pointer(
    url: str, *, family: str, families: Collection[str], configured: Collection[str]
) -> None:
    """PayloadError unless a webhook of the API `family` (`v2`, `v1`) may point at `url`: we have
    credentials for V1 where it is V1's (`families`), the URL is a list of that very API, and
    narrowed to what a webhook is about. V1's webhooks are unsigned, so their name must not open
    V2's lists, nor the whole account's."""
    match = _match(url, configured)
    if family == "v1" and family not in families:
        raise PayloadError("this event needs ShipStation V1, whose key and secret are not set")
    if match[family] is None:
        raise ForeignUrlError(f"resource_url is of no list of ShipStation {family.upper()}")
    names = {_plain_name(part.partition("=")[0]) for part in _filled(match["query"] or "")}
    if match[f"{family}_id"] is None and names.isdisjoint(_FILTERS):
        raise ForeignUrlError("resource_url is a list without a filter that we know")


def _match(url: str, configured: Collection[str]) -> re.Match[str]:
    match = _RESOURCE_URL.fullmatch(url) if len(url) <= 2000 else None
    if match is None or not is_shipstation_origin(match["origin"].lower(), configured=configured):
        raise ForeignUrlError(
            "resource_url is not a plain URL of a list that we know at ShipStation"
        )
    return match


def _filled(query: str) -> list[str]:
    return [part for part in query.split("&") if part.partition("=")[2]]


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
    key_id, signature, timestamp = [headers.get(name, "").strip() for name in SIGNED_HEADERS]
    if not (key_id and signature and timestamp):
        raise AuthenticationError("a signature header is missing", cause="signature_missing")
    if abs(now - _time_of(timestamp)) > TOLERANCE:
        raise AuthenticationError(
            "the signed timestamp is more than five minutes away from our clock",
            cause="timestamp_stale",
        )
    public_key = key(key_id)
    if public_key is None:
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


def _time_of(text: str) -> datetime:
    """ISO 8601 (UTC where it names no zone), or seconds or milliseconds since 1970."""
    try:
        if re.fullmatch(r"[0-9]{9,16}(\.[0-9]{1,9})?", text, re.ASCII):
            seconds = float(text)
            # From 10^11 on it must be milliseconds: as seconds that would be the year 5138.
            return datetime.fromtimestamp(seconds / 1000 if seconds >= 1e11 else seconds, UTC)
        signed_at = datetime.fromisoformat(text)
        return signed_at if signed_at.tzinfo else signed_at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise AuthenticationError(
            "the timestamp header is not a time", cause="timestamp_unreadable"
        ) from exc
