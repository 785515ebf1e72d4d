"""Only ShipStation's own signature, a body of the right shape, and a URL at ShipStation that
the event may point at are accepted."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import (
    AuthenticationError,
    ForeignUrlError,
    KeysUnavailableError,
    PayloadError,
)
from bridge.domain.reasons import Reason
from bridge.vendors.shipstation.webhook import (
    INLINE_FULFILLMENTS,
    MAX_INLINE_ROWS,
    Notification,
    check_pointer,
    check_resource_url,
    identify,
    is_shipstation_origin,
    is_signed,
    storable,
    storable_url,
    verify,
)

NOW = datetime(2026, 10, 14, 16, 20, 42, tzinfo=UTC)
TIMESTAMP = "2026-10-14T16:20:41.553Z"
KID = "key-2026"
BODY = (
    b'{"resource_url": "https://api.shipstation.com/v2/labels?batch_id=se-1", '
    b'"resource_type": "LABEL_CREATED_V2"}'
)
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {KID: PRIVATE.public_key()}


def signed(
    body: bytes = BODY,
    timestamp: str = TIMESTAMP,
    *,
    kid: str = KID,
    private: rsa.RSAPrivateKey = PRIVATE,
    digest: HashAlgorithm | None = None,
) -> dict[str, str]:
    signature = private.sign(
        timestamp.encode() + b"." + body, padding.PKCS1v15(), digest or SHA256()
    )
    return {
        "x-shipengine-rsa-sha256-key-id": kid,
        "x-shipengine-rsa-sha256-signature": base64.b64encode(signature).decode(),
        "x-shipengine-timestamp": timestamp,
    }


def cause_of(
    body: bytes,
    headers: dict[str, str],
    *,
    key: Callable[[str], RSAPublicKey | None] = KEYS.get,
    now: datetime = NOW,
) -> str | None:
    try:
        verify(body, headers, key=key, now=now)
    except AuthenticationError as exc:
        return exc.cause
    return None


# Signature


def test_a_body_signed_by_shipstation_passes() -> None:
    assert cause_of(BODY, signed()) is None


@pytest.mark.parametrize("body", [b"", b"\x00\xff not text", "grüße".encode(), b"a" * 100_000])
def test_the_raw_bytes_are_signed_whatever_they_are(body: bytes) -> None:
    assert cause_of(body, signed(body)) is None


@pytest.mark.parametrize("missing", list(signed()))
@pytest.mark.parametrize("how", ["absent", "blank"])
def test_each_of_the_three_headers_is_needed(missing: str, how: str) -> None:
    headers = signed()
    if how == "absent":
        del headers[missing]
    else:
        headers[missing] = "  "

    assert cause_of(BODY, headers) == "signature_missing"


@pytest.mark.parametrize("position", [0, len(BODY) // 2, len(BODY) - 1])
def test_one_changed_byte_of_the_body_is_noticed(position: int) -> None:
    changed = bytearray(BODY)
    changed[position] ^= 1

    assert cause_of(bytes(changed), signed()) == "signature_wrong"


def test_the_same_json_written_differently_is_noticed() -> None:
    assert (
        cause_of(json.dumps(json.loads(BODY), separators=(",", ":")).encode(), signed())
        == "signature_wrong"
    )


def test_a_changed_timestamp_is_noticed_though_it_means_the_same_moment() -> None:
    headers = signed() | {"x-shipengine-timestamp": TIMESTAMP.replace("Z", "+00:00")}

    assert cause_of(BODY, headers) == "signature_wrong"


def test_a_body_byte_cannot_be_moved_into_the_timestamp() -> None:
    headers = signed(b"5.rest", "1760458842")

    assert (
        cause_of(
            b"rest",
            headers | {"x-shipengine-timestamp": "1760458842.5"},
            now=datetime.fromtimestamp(1760458842, UTC),
        )
        is None
    )
    assert (
        cause_of(
            b"rest",
            headers | {"x-shipengine-timestamp": "1760458842"},
            now=datetime.fromtimestamp(1760458842, UTC),
        )
        == "signature_wrong"
    )


def test_another_key_cannot_sign() -> None:
    assert cause_of(BODY, signed(private=OTHER)) == "signature_wrong"


def test_another_digest_does_not_count() -> None:
    assert cause_of(BODY, signed(digest=SHA1())) == "signature_wrong"  # noqa: S303  # the attack itself


def test_an_elliptic_curve_signature_does_not_count() -> None:
    signature = ec.generate_private_key(ec.SECP256R1()).sign(
        TIMESTAMP.encode() + b"." + BODY, ec.ECDSA(SHA256())
    )
    headers = signed() | {"x-shipengine-rsa-sha256-signature": base64.b64encode(signature).decode()}

    assert cause_of(BODY, headers) == "signature_wrong"


def test_a_key_that_is_not_published_is_its_own_cause() -> None:
    assert cause_of(BODY, signed(kid="someone-else")) == "unknown_key"


def test_missing_keys_are_not_the_senders_fault() -> None:
    def no_keys(_: str) -> RSAPublicKey | None:
        raise KeysUnavailableError("not fetched yet")

    with pytest.raises(KeysUnavailableError):
        verify(BODY, signed(), key=no_keys, now=NOW)


@pytest.mark.parametrize(
    "form",
    [lambda text: text.translate(str.maketrans("+/", "-_")), lambda text: text.rstrip("=")],
    ids=["url-safe", "unpadded"],
)
def test_base64_may_be_url_safe_or_unpadded(form: Callable[[str], str]) -> None:
    headers = signed()
    headers["x-shipengine-rsa-sha256-signature"] = form(
        headers["x-shipengine-rsa-sha256-signature"]
    )

    assert cause_of(BODY, headers) is None


@pytest.mark.parametrize(
    "signature", ["%%%", "a", "ünï", "AAAA", base64.b64encode(b"\0" * 256).decode()]
)
def test_a_signature_that_is_none_is_wrong(signature: str) -> None:
    assert (
        cause_of(BODY, signed() | {"x-shipengine-rsa-sha256-signature": signature})
        == "signature_wrong"
    )


@pytest.mark.parametrize(
    "written",
    [
        "2026-10-14T16:20:41Z",
        "2026-10-14T16:20:41.5530000Z",
        "2026-10-14T18:20:41+02:00",
        "2026-10-14T16:20:41",
        "1791994841",
        "1791994841.5",
        "1791994841553",
    ],
)
def test_the_timestamp_is_read_in_all_likely_forms(written: str) -> None:
    assert cause_of(BODY, signed(timestamp=written)) is None


@pytest.mark.parametrize(
    "written",
    [
        "yesterday",
        "12",
        "16:20",
        "2026-13-40T00:00:00Z",
        "9" * 17,
        "１７９１９９４８４１",
        "nan",
        "-1791994841",
    ],
)
def test_a_timestamp_that_is_no_time_is_its_own_cause(written: str) -> None:
    assert cause_of(BODY, signed(timestamp=written)) == "timestamp_unreadable"


@pytest.mark.parametrize("away", [timedelta(minutes=5), -timedelta(minutes=5), timedelta(0)])
def test_five_minutes_either_way_are_allowed(away: timedelta) -> None:
    assert cause_of(BODY, signed(timestamp=(NOW + away).isoformat())) is None


@pytest.mark.parametrize(
    "away",
    [
        timedelta(minutes=5, milliseconds=1),
        -timedelta(minutes=5, milliseconds=1),
        -timedelta(days=9000),
    ],
)
def test_more_than_five_minutes_either_way_is_stale(away: timedelta) -> None:
    assert cause_of(BODY, signed(timestamp=(NOW + away).isoformat())) == "timestamp_stale"


def test_a_stale_timestamp_causes_no_search_for_its_key() -> None:
    asked: list[str] = []

    cause_of(BODY, signed(timestamp="2020-01-01T00:00:00Z"), key=asked.append)

    assert asked == []


def test_our_clock_may_stand_in_any_time_zone() -> None:
    assert cause_of(BODY, signed(), now=NOW.astimezone(timezone(timedelta(hours=-8)))) is None


@given(
    raw=st.binary(max_size=200),
    values=st.tuples(
        *[
            st.text(max_size=40)
            | st.sampled_from(
                [TIMESTAMP, KID, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "AAAA"]
            )
        ]
        * 3
    ),
)
def test_whatever_the_headers_hold_only_our_own_error_comes_out(
    raw: bytes, values: tuple[str, str, str]
) -> None:
    causes = {
        "signature_missing",
        "signature_wrong",
        "unknown_key",
        "timestamp_stale",
        "timestamp_unreadable",
    }

    assert cause_of(raw, dict(zip(signed(), values, strict=True))) in causes


@given(st.text(max_size=60))
def test_no_error_repeats_what_was_sent(secret: str) -> None:
    headers = signed() | {"x-shipengine-rsa-sha256-signature": f"sig-{secret}"}

    with pytest.raises(AuthenticationError) as caught:
        verify(BODY, headers, key=KEYS.get, now=NOW)

    assert f"sig-{secret}" not in str(caught.value)


def test_one_header_is_enough_to_claim_a_signature() -> None:
    assert is_signed({"x-shipengine-timestamp": "x"})
    assert not is_signed({"x-other": "x"})


# What a body says


def test_a_pointer_names_its_event_type_and_url() -> None:
    assert identify(BODY) == Notification(
        "LABEL_CREATED_V2", "https://api.shipstation.com/v2/labels?batch_id=se-1"
    )


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert identify(b"\xef\xbb\xbf" + BODY).event_type == "LABEL_CREATED_V2"


def test_further_fields_are_ignored_and_a_url_may_be_absent() -> None:
    assert identify(b'{"resource_type": "API_TRACK", "data": {"a": [1]}}') == Notification(
        "API_TRACK", None
    )


def test_an_event_type_we_do_not_know_is_still_a_notification() -> None:
    assert (
        identify(
            b'{"resource_type": "SOMETHING_NEW_V3", "resource_url": "ftp://anywhere"}'
        ).resource_url
        == "ftp://anywhere"
    )


def test_rows_told_inline_are_read_whole_and_cut_down() -> None:
    row = {
        "shipment_id": "se-1",
        "tracking_number": " 1Z9 ",
        "carrier_code": "ups",
        "notify_customer": True,
        "ship_to": {"name": "Ada"},
    }

    found = identify(json.dumps({"fulfillments": [row]}).encode())

    assert (found.event_type, found.resource_url) == (INLINE_FULFILLMENTS, None)
    assert found.inline_rows == (
        {
            "shipment_id": "se-1",
            "tracking_number": "1Z9",
            "carrier_code": "ups",
            "ship_date": None,
            "notify_customer": True,
        },
    )


def test_a_resource_type_beside_fulfillments_makes_it_a_pointer() -> None:
    assert (
        identify(b'{"resource_type": "FULFILLMENT_SHIPPED_V2", "fulfillments": []}').event_type
        == "FULFILLMENT_SHIPPED_V2"
    )


@pytest.mark.parametrize("field", ["shipment_id", "tracking_number", "carrier_code"])
@pytest.mark.parametrize("value", [None, "", "  ", [], {}, True])
def test_an_inline_row_without_a_required_field_is_refused_by_name(
    field: str, value: object
) -> None:
    row = {"shipment_id": "se-1", "tracking_number": "1Z9", "carrier_code": "ups"} | {field: value}

    with pytest.raises(PayloadError, match=field):
        identify(json.dumps({"fulfillments": [row]}).encode())


BAD_BODIES = {
    b"": Reason.BAD_JSON,
    b"resource_type=LABEL_CREATED_V2": Reason.BAD_JSON,
    b"\xff\xfe{}": Reason.BAD_JSON,
    b'{"resource_type": "A", "resource_type": "B"}': Reason.BAD_JSON,
    b'{"resource_type": "A", "x": {"u": 1, "u": 2}}': Reason.BAD_JSON,
    b'{"resource_type": "A", "x": NaN}': Reason.BAD_JSON,
    b'{"resource_type": "A", "x": -Infinity}': Reason.BAD_JSON,
    b'{"resource_type": "A", "x": ' + b"9" * 10_000 + b"}": Reason.BAD_JSON,
    b"[" * 200_000: Reason.BAD_JSON,
    b'{"a":' * 100_000: Reason.BAD_JSON,
    b'{"resource_type": "A"} x': Reason.BAD_JSON,
    b"[]": Reason.BAD_SHAPE,
    b"null": Reason.BAD_SHAPE,
    b'"text"': Reason.BAD_SHAPE,
    b"{}": Reason.BAD_SHAPE,
    b'{"resource_type": null}': Reason.BAD_SHAPE,
    b'{"resource_type": ""}': Reason.BAD_SHAPE,
    b'{"resource_type": 5}': Reason.BAD_SHAPE,
    b'{"resource_type": "LABEL CREATED"}': Reason.BAD_SHAPE,
    b'{"resource_type": "A\\u0000"}': Reason.BAD_SHAPE,
    (
        b'{"resource_type": "A", "resource_url": ["https://api.shipstation.com/v2/labels"]}'
    ): Reason.BAD_SHAPE,
    b'{"resource_type": "A", "resource_url": "https://x/\\u0000"}': Reason.BAD_SHAPE,
    b'{"resource_type": "A", "resource_url": "https://x/\\ud800"}': Reason.BAD_SHAPE,
    b'{"fulfillments": []}': Reason.BAD_SHAPE,
    b'{"fulfillments": {"shipment_id": "se-1"}}': Reason.BAD_SHAPE,
    b'{"fulfillments": ["se-1"]}': Reason.BAD_SHAPE,
    (
        b'{"fulfillments": [{"shipment_id": "\\u0000", "tracking_number": "1", "carrier_code": '
        b'"ups"}]}'
    ): Reason.BAD_SHAPE,
}


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_bad_body_is_refused_with_its_reason(body: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        identify(body)

    assert caught.value.reason is BAD_BODIES[body]


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resource_type",
                    "resource_url",
                    "fulfillments",
                    "shipment_id",
                    "tracking_number",
                    "carrier_code",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=300) | Json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_notification_or_a_payload_error(raw: bytes) -> None:
    try:
        found = identify(raw)
    except PayloadError:
        return
    assert found.event_type
    assert (found.resource_url or "").isprintable()


# Where a URL may point

CONFIGURED = frozenset({"https://api.shipstation.com", "http://127.0.0.1:8123"})

GOOD_URLS = [
    "https://api.shipstation.com/v2/labels?batch_id=se-55500017",
    "https://api.shipstation.com/v2/labels/se-88800051",
    "https://api.shipstation.com/v2/fulfillments?fulfillment_id=se-90110042&shipment_id=se-700200301",
    "https://api.shipstation.com/v2/shipments?import_batch_id=3f6c0a52-7f1e-4a1b-9a77-5d1c2b8e9f01",
    "https://ssapi.shipstation.com/shipments?batchId=301445566&includeShipmentItems=False",
    "https://ssapi11.shipstation.com/shipments?batchId=301445566",
    "https://ssapi12.shipstation.com/orders/470900001",
    "https://ssapi.shipstation.com/fulfillments?fulfillmentId=44556677",
    "https://SSAPI.shipstation.com/orders",
    "http://127.0.0.1:8123/v2/labels?batch_id=se-1",
    "http://127.0.0.1:8123/shipments?batchId=1",
]

BAD_URLS = [
    "",
    "api.shipstation.com/v2/labels",
    "//api.shipstation.com/v2/labels",
    "http://api.shipstation.com/v2/labels",
    "ftp://api.shipstation.com/v2/labels",
    "https://evil.example/v2/labels",
    "https://api.shipstation.com.evil.example/v2/labels",
    "https://evil-api.shipstation.com/v2/labels",
    "https://xapi.shipstation.com/v2/labels",
    "https://apiXshipstation.com/v2/labels",
    "https://api.shipstation.com./v2/labels",
    "https://ssapi-1.shipstation.com/shipments",
    "https://ssapi1.evil.shipstation.com/shipments",
    "https://ssapi١.shipstation.com/shipments",
    "https://аpi.shipstation.com/v2/labels",
    "https://api.shipstation.com@evil.example/v2/labels",
    "https://user:pass@api.shipstation.com/v2/labels",
    "https://@api.shipstation.com/v2/labels",
    "https://evil.example\\@api.shipstation.com/v2/labels",
    "https://api.shipstation.com\\.evil.example/v2/labels",
    "https://api.shipstation.com:8443/v2/labels",
    "https://api.shipstation.com:/v2/labels",
    "http://127.0.0.1/v2/labels",
    "http://127.0.0.1:8124/v2/labels",
    "https://127.0.0.1:8123/v2/labels",
    "http://2130706433:8123/v2/labels",
    "http://0x7f.1:8123/v2/labels",
    "http://localhost:8123/v2/labels",
    "http://[::1]:8123/v2/labels",
    "http://169.254.169.254/v2/labels",
    "https://api.shipstation.com/v2/labels#x",
    "https://api.shipstation.com/v2/labels?a=b#x",
    "https://api.shipstation.com/v2/labels\n",
    "https://api.shipstation.com/v2/labels?a=b c",
    "https://api.shipstation.com/v2/labels?a=b\r\nX-Evil: 1",
    "https://api.shipstation.com/v2/labels?a=\x00",
    "https://api.shipstation.com/v2/labels?a=ü",
    " https://api.shipstation.com/v2/labels",
    "https://api.shipstation.com",
    "https://api.shipstation.com/",
    "https://api.shipstation.com/v2",
    "https://api.shipstation.com/v2/carriers",
    "https://api.shipstation.com/v2/labelsx",
    "https://api.shipstation.com/V2/labels",
    "https://api.shipstation.com/v2//labels",
    "https://api.shipstation.com//v2/labels",
    "https://api.shipstation.com/v2/labels/",
    "https://api.shipstation.com/v2/labels/se-1/void",
    "https://api.shipstation.com/v2/labels/..",
    "https://api.shipstation.com/v2/labels/../environment/webhooks",
    "https://api.shipstation.com/v2/labels/%2e%2e/environment",
    "https://api.shipstation.com/v2%2flabels",
    "https://api.shipstation.com/v2/labels%2fse-1",
    "https://api.shipstation.com/v2/labels;x=1",
    "https://api.shipstation.com/x/v2/labels",
    "https://ssapi.shipstation.com/orders/abc",
    "https://ssapi.shipstation.com/orders/1/2",
    "https://ssapi.shipstation.com/webhooks",
    "https://api.shipstation.com/v2/labels?a=" + "b" * 2000,
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_shipstations_own_lists_may_be_fetched(url: str) -> None:
    check_resource_url(url, configured=CONFIGURED)

    assert is_shipstation_origin(
        url.lower().split("/v2")[0].split("/sh")[0].split("/or")[0].split("/ful")[0],
        configured=CONFIGURED,
    )


@pytest.mark.parametrize("url", BAD_URLS)
def test_nothing_else_may_be_fetched(url: str) -> None:
    with pytest.raises(ForeignUrlError) as caught:
        check_resource_url(url, configured=CONFIGURED)

    assert caught.value.reason is Reason.FOREIGN_URL


def test_a_configured_origin_counts_only_where_it_is_configured() -> None:
    with pytest.raises(ForeignUrlError):
        check_resource_url("http://127.0.0.1:8123/v2/labels", configured=())


Piece = st.sampled_from(
    [
        "https://",
        "http://",
        "api.shipstation.com",
        "ssapi7.shipstation.com",
        "@",
        ":",
        "/v2/labels",
        "/..",
        "\\",
        "%2f",
        "?a=b",
        "#",
        "evil.example",
    ]
)


@given(st.text() | st.lists(Piece | st.text(max_size=3), max_size=7).map("".join))
def test_any_text_is_allowed_or_foreign_and_what_is_allowed_begins_at_shipstation(url: str) -> None:
    try:
        check_resource_url(url, configured=())
    except ForeignUrlError:
        return
    assert url.lower().startswith(("https://api.shipstation.com/", "https://ssapi"))
    assert ".shipstation.com/" in url.lower()
    assert "@" not in url.partition("?")[0]


# What an event may point at

BOTH = ("v2", "v1")
V2_URL = "https://api.shipstation.com/v2"
V1_URL = "https://ssapi7.shipstation.com"


def refusal(url: str, family: str, families: tuple[str, ...] = BOTH) -> str | None:
    try:
        check_pointer(url, family=family, families=families, configured=())
    except PayloadError as exc:
        return str(exc)
    return None


@pytest.mark.parametrize(
    ("family", "url"),
    [
        ("v2", f"{V2_URL}/labels?batch_id=se-1"),
        ("v2", f"{V2_URL}/labels/se-1"),
        ("v2", f"{V2_URL}/fulfillments?fulfillment_id=se-1&shipment_id=se-2"),
        ("v2", f"{V2_URL}/shipments?import_batch_id=6b0d"),
        ("v1", f"{V1_URL}/shipments?batchId=144015674&includeShipmentItems=False"),
        ("v1", f"{V1_URL}/shipments?batchID=1"),
        ("v1", f"{V1_URL}/fulfillments?fulfillmentId=4"),
        ("v1", f"{V1_URL}/fulfillments/4"),
        ("v1", f"{V1_URL}/orders?orderNumber=PD1"),
    ],
)
def test_event_points_at_a_narrow_list_of_its_own_api(family: str, url: str) -> None:
    assert refusal(url, family) is None
    assert refusal(url, "v1" if family == "v2" else "v2") is not None


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?page=1&page_size=500",
        "?storeID=17&includeShipmentItems=True",
        "?sort_by=created_at",
        "?batch_id=",
        "?batch_id",
        "?x_batch_id=1",
        "?created_at_start=2000-01-01T00:00:00Z",
    ],
)
def test_list_without_a_filter_that_we_know_is_refused(query: str) -> None:
    assert refusal(f"{V2_URL}/labels{query}", "v2") is not None
    assert refusal(f"{V1_URL}/shipments{query}", "v1") is not None


def test_v1_event_is_refused_where_no_v1_key_is_set() -> None:
    url = f"{V1_URL}/shipments?batchId=1"

    assert "not set" in (refusal(url, "v1", ("v2",)) or "")


# What is kept of a URL and a body that nobody checked


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://x.example/a?batch_id=se-1&page=2", "https://x.example/a?batch_id=se-1&page=2"),
        ("https://x.example/a?customerName=Jane%20Doe&email=j@x.example", "https://x.example/a"),
        ("https://x.example/a?batchId=1&name=Jane", "https://x.example/a?batchId=1"),
        ("https://x.example/a?batchId=Jane%20Doe", "https://x.example/a"),
        ("https://x.example/a", "https://x.example/a"),
        ("https://jane@mail.example:1@x.example/a", "https://x.example/a"),
        ("https://x.example/a/Jane%20Doe/b", "https://x.example/a/…/b"),
        ("https://x.example/a/jane@mail.example", "https://x.example/a/…"),
        ("https://x.example/a#Jane", "https://x.example/a"),
        ("https://Jane Doe/a", "https://…/a"),
        ("Jane Doe", "…"),
    ],
)
def test_what_nobody_needs_of_a_url_is_not_stored(url: str, kept: str) -> None:
    assert storable_url(url) == kept
    body = json.dumps({"resource_type": "SHIP_NOTIFY", "resource_url": url}).encode()
    assert json.loads(storable(body))["resource_url"] == kept


def test_type_that_is_none_is_not_stored() -> None:
    body = json.dumps({"resource_type": "Jane Doe", "resource_url": None}).encode()

    assert json.loads(storable(body)) == {"resource_type": "…", "resource_url": None}


def test_what_is_left_of_a_body_is_not_longer_than_the_body() -> None:
    raw = json.dumps({"unknown": [1] * 10_000}).encode()

    assert len(storable(raw)) <= len(raw)


# Bounds of an inline body


def inline(count: int = 1, **fields: str) -> bytes:
    row = {"shipment_id": "se-1", "tracking_number": "1Z1", "carrier_code": "ups"} | fields
    return json.dumps({"fulfillments": [row] * count}).encode()


def test_inline_body_has_a_bounded_number_of_rows() -> None:
    assert len(identify(inline(MAX_INLINE_ROWS)).inline_rows) == MAX_INLINE_ROWS
    with pytest.raises(PayloadError, match="send at most 500"):
        identify(inline(MAX_INLINE_ROWS + 1))


@pytest.mark.parametrize("name", ["shipment_id", "tracking_number", "carrier_code"])
def test_field_that_is_too_long_is_refused_by_name(name: str) -> None:
    with pytest.raises(PayloadError, match=rf"fulfillments\[0\]\.{name}: has more than"):
        identify(inline(**{name: "9" * 101}))
