"""Each line of the door's answers, given by a real gunicorn: who may enter, what is stored, what is
told."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from sqlalchemy import select

from bridge.simulator import Signer, Simulator
from bridge.store.tables import events
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from tests.support.postgres import Server
from tests.support.stack import TOKEN, WEBHOOKS, Answer, Json, Stack
from tests.support.waiting import wait_until

SECOND_TOKEN = "another-token-of-the-tests"
MOST_BYTES = 2048
KEY_ID, SIGNATURE, TIMESTAMP = (
    "x-shipengine-rsa-sha256-key-id",
    "x-shipengine-rsa-sha256-signature",
    "x-shipengine-timestamp",
)


@contextmanager
def _open_door(folder: Path, database_url: str | None = None, **settings: str) -> Iterator[Stack]:
    """A receiver without a worker: what is stored stays as it was stored."""
    own = {
        "BRIDGE_WEBHOOK_TOKENS": f"{TOKEN},{SECOND_TOKEN}",
        "BRIDGE_MAX_BODY_BYTES": str(MOST_BYTES),
    }
    url = database_url or f"sqlite:///{folder / 'bridge.db'}"
    with Simulator() as simulator, Stack(simulator, url, folder, own | settings) as stack:
        stack.start_receiver()
        yield stack


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """On SQLite: for what is decided before anything is stored."""
    with _open_door(tmp_path_factory.mktemp("door")) as stack:
        yield stack


@pytest.fixture(scope="module")
def each_door(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """On each kind of database: for what is stored."""
    with _open_door(tmp_path_factory.mktemp("door"), module_database_url) as stack:
        yield stack


@pytest.fixture(scope="module", params=["log", "off"])
def lenient_door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Doesn't insist on signatures."""
    with _open_door(
        tmp_path_factory.mktemp("door"), BRIDGE_SHIPSTATION_SIGNATURE=request.param
    ) as stack:
        yield stack


def _v2(stack: Stack, query: str = "batch_id=se-1") -> Json:
    return {
        "resource_url": f"{stack.simulator.url}/v2/labels?{query}",
        "resource_type": "LABEL_CREATED_V2",
    }


def _v1(stack: Stack, query: str = "batchId=1") -> Json:
    return {
        "resource_url": f"{stack.simulator.url}/shipments?{query}&includeShipmentItems=False",
        "resource_type": "SHIP_NOTIFY",
    }


def _inline(row: str = "se-1") -> Json:
    return {
        "fulfillments": [
            {"shipment_id": row, "tracking_number": "1ZB7X0410390000001", "carrier_code": "ups"}
        ]
    }


def _post(stack: Stack, body: Any) -> Answer:
    """As a sender that signs nothing."""
    return stack.post(json.dumps(body).encode())


def _refusal(answer: Answer) -> tuple[int, str]:
    """The status and the word of an error, which is JSON of two keys: that word, and a sentence
    that says no more than it must."""
    assert set(answer.json) == {"error", "message"}
    assert answer.headers["Content-Type"] == "application/json"
    assert not any(
        word in answer.raw.decode() for word in ("Traceback", 'File "', TOKEN, SECOND_TOKEN)
    )
    return answer.status, answer.json["error"]


def _stored(stack: Stack, event_id: str) -> Any:
    """The row itself."""
    with stack.database.read() as connection:
        return connection.execute(select(events).where(events.c.id == event_id)).one()


# What is accepted


@pytest.mark.parametrize("family", ["v2", "v1", "inline"])
def test_new_webhook_is_stored_as_work(each_door: Stack, family: str) -> None:
    body = {
        "v2": _v2(each_door, "batch_id=new"),
        "v1": _v1(each_door, "batchId=1001"),
        "inline": _inline("se-new"),
    }[family]

    answer = each_door.send(body)

    assert (answer.status, answer.json) == (
        202,
        {"status": "received", "event_id": answer.event_id},
    )
    event = each_door.event(answer.event_id)
    assert (event["status"], event["resource_url"]) == ("received", body.get("resource_url"))
    assert event["event_type"] == body.get("resource_type", "INLINE_FULFILLMENTS")
    assert event["signature"] == ("verified" if family == "v2" else "none")


@pytest.mark.parametrize("family", ["v2", "v1", "inline"])
def test_same_pointer_while_the_first_waits_is_counted_on_the_first(
    each_door: Stack, family: str
) -> None:
    body = {
        "v2": _v2(each_door, "batch_id=twice"),
        "v1": _v1(each_door, "batchId=1002"),
        "inline": _inline("se-twice"),
    }[family]
    first = each_door.send(body)

    again = [each_door.send(body) for _ in range(3)]

    assert [answer.json for answer in again] == [
        {"status": "duplicate", "event_id": first.event_id}
    ] * 3
    assert each_door.event(first.event_id)["duplicates"] == 3


def test_another_pointer_or_another_type_is_no_duplicate(each_door: Stack) -> None:
    bodies = [
        _v1(each_door, "batchId=1003"),
        _v1(each_door, "batchId=10030"),
        _v1(each_door, "batchId=1003") | {"resource_type": "ITEM_SHIP_NOTIFY"},
    ]

    answers = [each_door.send(body) for body in bodies]

    assert [answer.json["status"] for answer in answers] == ["received"] * 3
    assert len({answer.event_id for answer in answers}) == 3


def test_fifty_copies_at_once_are_one_event(each_door: Stack) -> None:
    raw, headers = each_door.simulator.webhook(_v2(each_door, "batch_id=fifty"))

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: each_door.post(raw, headers), range(50)))

    assert len({answer.event_id for answer in answers}) == 1
    assert sorted(answer.json["status"] for answer in answers) == ["duplicate"] * 49 + ["received"]
    assert each_door.event(answers[0].event_id)["duplicates"] == 49


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://elsewhere.example/v2/batches/1", "https://elsewhere.example/v2/batches/1"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
        ("not a url", "…"),
        (None, None),
    ],
)
def test_event_type_that_is_not_handled_is_stored_as_ignored_whatever_its_url(
    each_door: Stack, url: str | None, stored: str | None
) -> None:
    calls = each_door.world.calls.copy()

    answer = _post(each_door, {"resource_url": url, "resource_type": "ORDER_NOTIFY"})

    assert (answer.status, answer.json) == (202, {"status": "ignored", "event_id": answer.event_id})
    event = each_door.event(answer.event_id)
    assert (event["status"], event["reason"], event["resource_url"]) == (
        "ignored",
        "event_type_not_handled",
        stored,
    )
    assert each_door.world.calls == calls


def test_of_fields_that_nobody_reads_only_the_shape_is_stored(each_door: Stack) -> None:
    url = f"{each_door.simulator.url}/shipments?batchId=1005"
    extra = {
        "data": {
            "ship_to": {"name": "Ada Quill", "phones": ["+44 20 7946 0000"], "residential": True},
            "ada@quill.example": 1,
        }
    }

    answer = _post(each_door, {"resource_type": "SHIP_NOTIFY", "resource_url": url} | extra)

    shape = {"data": {"ship_to": {"name": "…", "phones": ["…"], "residential": True}, "…": "…"}}
    assert (
        json.loads(_stored(each_door, answer.event_id).body)
        == {"resource_type": "SHIP_NOTIFY", "resource_url": url} | shape
    )


def test_event_types_from_outside_make_no_new_metrics(door: Stack) -> None:
    for number in range(3):
        _post(door, {"resource_type": f"INVENTED_{number}"})

    told = {row["event_type"] for row in door.metrics("bridge_events_total")}

    assert told <= {*EVENT_TYPES, "other"}


def test_body_is_stored_byte_for_byte(each_door: Stack) -> None:
    url = f"{each_door.simulator.url}/shipments?batchId=1004"
    raw = f'\n {{ "resource_type":"SHIP_N\\u004fTIFY" ,\t\r\n "resource_url" : "{url}"}}\n'.encode()

    answer = each_door.post(raw)

    assert bytes(_stored(each_door, answer.event_id).body) == raw


def test_no_credential_is_stored(each_door: Stack) -> None:
    secret = {
        "Authorization": "Bearer s3cret",
        "Cookie": "session=s3cret",
        "X-Bridge-Token": TOKEN,
        "api-key": "s3cret",
    }
    raw, headers = each_door.simulator.webhook(_v2(each_door, "batch_id=headers"))

    answer = each_door.post(raw, headers | secret | {"User-Agent": "ShipStation"}, token=None)

    row = _stored(each_door, answer.event_id)
    assert set(row.headers) == {"content-type", "user-agent", KEY_ID, SIGNATURE, TIMESTAMP}
    assert not any(word in str(row) for word in ("s3cret", TOKEN))


# Who may enter


@pytest.mark.parametrize("token", [TOKEN, SECOND_TOKEN])
def test_any_of_the_tokens_opens_by_path_and_by_header(door: Stack, token: str) -> None:
    raw = json.dumps(_inline(f"se-{token}")).encode()

    answers = [door.post(raw, token=token), door.post(raw, {"X-Bridge-Token": token}, token=None)]

    assert [answer.status for answer in answers] == [202, 202]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (WEBHOOKS, {}),
        (WEBHOOKS, {"X-Bridge-Token": ""}),
        (WEBHOOKS, {"X-Bridge-Token": f"{TOKEN}x"}),
        (WEBHOOKS, {"Authorization": f"Bearer {TOKEN}"}),
        (f"{WEBHOOKS}?token={TOKEN}", {}),
        (f"{WEBHOOKS}/{TOKEN[:-1]}", {}),
        (f"{WEBHOOKS}/{TOKEN},{SECOND_TOKEN}", {}),
        (f"{WEBHOOKS}/%C3%BC%00", {}),
        (f"{WEBHOOKS}/wrong", {"X-Bridge-Token": TOKEN}),
    ],
)
def test_missing_or_wrong_token_is_refused(door: Stack, path: str, headers: dict[str, str]) -> None:
    stored = len(door.events())
    raw, signed = door.simulator.webhook(_v2(door, "batch_id=token"))

    answer = door.ask("POST", path, raw, signed | headers)

    assert _refusal(answer) == (401, "unauthorized")
    assert len(door.events()) == stored


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
def test_names_of_the_signatures_headers_are_read_in_any_case(
    door: Stack, change: Callable[[str], str]
) -> None:
    raw, _ = door.simulator.webhook(_v2(door, "batch_id=case"))
    signed = door.simulator.signer.headers(raw)

    answer = door.post(raw, {change(name): value for name, value in signed.items()})

    assert door.event(answer.event_id)["signature"] == "verified"


def _ago(**age: float) -> datetime:
    return datetime.now(UTC) - timedelta(**age)


WRONG_SIGNATURES: dict[str, Callable[[Signer, bytes], dict[str, str]]] = {
    "signature_missing": lambda _signer, _raw: {},
    "signature_missing in part": lambda signer, raw: {
        k: v for k, v in signer.headers(raw).items() if k != SIGNATURE
    },
    "signature_wrong": lambda signer, raw: signer.headers(raw + b" "),
    "signature_wrong as no base64": lambda signer, raw: (
        signer.headers(raw) | {SIGNATURE: "no base64!"}
    ),
    "signature_wrong for another moment": lambda signer, raw: (
        signer.headers(raw) | {TIMESTAMP: _ago(seconds=9).isoformat()}
    ),
    "unknown_key": lambda signer, raw: signer.headers(raw, key_id="simulator-rsa-unknown"),
    "unknown_key that is no RSA key": lambda signer, raw: signer.headers(
        raw, key_id="simulator-ec"
    ),
    "timestamp_stale by age": lambda signer, raw: signer.headers(
        raw, now=_ago(minutes=5, seconds=5)
    ),
    "timestamp_stale by future": lambda signer, raw: signer.headers(
        raw, now=_ago(minutes=-5, seconds=-5)
    ),
    "timestamp_unreadable": lambda signer, raw: signer.headers(raw, timestamp="yesterday"),
}
"""Cause, and how it comes to be."""


@pytest.mark.parametrize("wrong", WRONG_SIGNATURES)
def test_wrong_signature_is_refused_counted_and_nothing_is_stored(door: Stack, wrong: str) -> None:
    raw, _ = door.simulator.webhook(_v2(door, "batch_id=signature"))
    stored, cause = len(door.events()), wrong.partition(" ")[0]
    counted = door.metric("bridge_rejections_total", cause=cause)

    answer = door.post(raw, WRONG_SIGNATURES[wrong](door.simulator.signer, raw))

    assert _refusal(answer) == (401, "unauthorized")
    assert len(door.events()) == stored
    assert door.metric("bridge_rejections_total", cause=cause) == counted + 1


@pytest.mark.parametrize("wrong", WRONG_SIGNATURES)
def test_wrong_signature_is_accepted_where_it_is_not_enforced_and_log_mode_counts_it(
    lenient_door: Stack, wrong: str
) -> None:
    raw, _ = lenient_door.simulator.webhook(
        _v2(lenient_door, f"batch_id={list(WRONG_SIGNATURES).index(wrong)}")
    )
    is_log = lenient_door.settings["BRIDGE_SHIPSTATION_SIGNATURE"] == "log"
    cause = f"log_only_{wrong.partition(' ')[0]}"
    counted = lenient_door.metric("bridge_rejections_total", cause=cause)

    answer = lenient_door.post(raw, WRONG_SIGNATURES[wrong](lenient_door.simulator.signer, raw))

    assert (answer.status, answer.json["status"]) == (202, "received")
    assert lenient_door.event(answer.event_id)["signature"] == (
        "unverified" if is_log and wrong != "signature_missing" else "none"
    )
    assert lenient_door.metric("bridge_rejections_total", cause=cause) == counted + is_log


def test_lenient_door_still_knows_a_right_signature_and_still_wants_a_token(
    lenient_door: Stack,
) -> None:
    raw, headers = lenient_door.simulator.webhook(_v2(lenient_door, "batch_id=right"))
    is_log = lenient_door.settings["BRIDGE_SHIPSTATION_SIGNATURE"] == "log"

    event = lenient_door.event(lenient_door.post(raw, headers).event_id)

    assert event["signature"] == ("verified" if is_log else "none")
    assert _refusal(lenient_door.post(raw, headers, token="wrong")) == (401, "unauthorized")


def test_signed_body_is_judged_before_it_is_read(door: Stack) -> None:
    answer = door.post(b"{", door.simulator.signer.headers(b"{}"))

    assert _refusal(answer) == (401, "unauthorized")


def test_without_any_key_nothing_can_be_judged_so_the_sender_is_asked_to_come_again(
    tmp_path: Path,
) -> None:
    with _open_door(tmp_path, BRIDGE_SHIPSTATION_JWKS_URL="http://127.0.0.1:9/jwks") as stack:
        answers = [stack.send(_v2(stack)), stack.send(_v2(stack)), stack.send(_v1(stack))]

        assert [answer.status for answer in answers] == [503, 503, 202]
        assert _refusal(answers[0]) == (503, "unavailable")
        assert int(answers[0].headers["Retry-After"]) > 0
        assert [event["event_type"] for event in stack.events()] == ["SHIP_NOTIFY"]


# What is refused


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"resource_type=SHIP_NOTIFY", "bad_json"),
        (b"\xff\xfe{\x00}\x00", "bad_json"),
        (b'{"resource_type": "SHIP_NOTIFY", "resource_type": "SHIP_NOTIFY"}', "bad_json"),
        (b'{"resource_type": NaN}', "bad_json"),
        (b"[" * 2000, "bad_json"),
        (b"[]", "bad_shape"),
        (b'"SHIP_NOTIFY"', "bad_shape"),
        (b"null", "bad_shape"),
        (b"{}", "bad_shape"),
        (b'{"resource_url": "https://ssapi.shipstation.com/shipments?batchId=1"}', "bad_shape"),
        (b'{"resource_type": 7}', "bad_shape"),
        (b'{"resource_type": "SHIP_NOTIFY"}', "bad_shape"),
        (
            b'{"resource_type": "SHIP_NOTIFY", "resource_url": ["https://ssapi.shipstation.com/shipments"]}',
            "bad_shape",
        ),
        (b'{"fulfillments": []}', "bad_shape"),
        (b'{"fulfillments": [{"shipment_id": "se-1", "tracking_number": "1Z"}]}', "bad_shape"),
        (b'{"fulfillments": [{"shipment_id": "\\ud800"}]}', "bad_shape"),
        (b'{"fulfillments": [{"shipment_id": "a\\u0000b"}]}', "bad_shape"),
    ],
)
def test_body_that_is_no_notification_is_rejected_and_only_what_we_read_is_kept(
    each_door: Stack, raw: bytes, reason: str
) -> None:
    before = {event["id"] for event in each_door.events()}

    answer = each_door.post(raw)

    assert _refusal(answer) == (400, reason)
    [event] = [event for event in each_door.events() if event["id"] not in before]
    row = _stored(each_door, event["id"])
    assert (row.status, row.reason, row.due_at) == ("rejected", reason, None)
    assert bytes(row.body) in (raw, b"", '"…"'.encode())


FOREIGN_URLS = [
    "http://api.shipstation.com/v2/labels?batch_id=1",
    "https://api.shipstation.com.elsewhere.example/v2/labels",
    "https://elsewhere.example/v2/labels",
    "https://elsewhere.example/?https://api.shipstation.com/v2/labels",
    "https://api.shipstation.com@elsewhere.example/v2/labels",
    "https://user:word@api.shipstation.com/v2/labels",
    "https://api.shipstation.com:8443/v2/labels",
    "https://api.shipstation.com/v2/labels/../../admin",
    "https://api.shipstation.com/v2/webhooks",
    "https://api.shipstation.com/v2/labels#fragment",
    "https://api.shipstation.com\\@elsewhere.example/v2/labels",
    "https://ssapix.shipstation.com/shipments?batchId=1",
    "https://127.0.0.1/v2/labels",
    "http://127.0.0.1:1/v2/labels",
    "http://169.254.169.254/v2/labels",
    "file:///etc/passwd",
    "//api.shipstation.com/v2/labels",
    "/v2/labels",
    "",
]


@pytest.mark.parametrize("url", FOREIGN_URLS)
def test_pointer_to_elsewhere_is_kept_as_rejected_and_never_fetched(door: Stack, url: str) -> None:
    before, calls = {event["id"] for event in door.events()}, door.world.count("shipstation")

    answer = door.send({"resource_url": url, "resource_type": "LABEL_CREATED_V2"})

    assert _refusal(answer) == (400, "foreign_url")
    [event] = [event for event in door.events() if event["id"] not in before]
    assert (event["status"], event["reason"]) == ("rejected", "foreign_url")
    assert door.world.count("shipstation") == calls


@pytest.mark.parametrize(
    ("event_type", "url"),
    [
        ("LABEL_CREATED_V2", "https://api.shipstation.com/v2/labels?batch_id=se-1"),
        ("SHIP_NOTIFY", "https://ssapi.shipstation.com/shipments?batchId=1"),
        ("SHIP_NOTIFY", "https://ssapi12.shipstation.com/shipments?batchId=1"),
    ],
)
def test_shipstations_own_hosts_are_accepted_with_or_without_a_number(
    door: Stack, event_type: str, url: str
) -> None:
    answer = door.send({"resource_url": url, "resource_type": event_type})

    assert (answer.status, answer.json["status"]) == (202, "received")


@pytest.mark.parametrize(
    "path", ["/v2/labels", "/v2/labels?batch_id=se-1", "/shipments", "/shipments?page=2"]
)
def test_v1_event_opens_no_list_of_v2_and_no_whole_list(door: Stack, path: str) -> None:
    url = f"{door.simulator.url}{path}"

    answer = _post(door, {"resource_url": url, "resource_type": "SHIP_NOTIFY"})

    assert _refusal(answer) == (400, "foreign_url")


def test_body_over_the_limit_is_refused_with_its_length_told_and_in_chunks(door: Stack) -> None:
    whole, stored = b" " * (MOST_BYTES + 1), len(door.events())

    answers = [door.post(whole), door.post(iter([whole[:MOST_BYTES], whole[MOST_BYTES:]]))]

    for answer in answers:
        assert _refusal(answer) == (413, "request_entity_too_large")
    assert len(door.events()) == stored


def test_body_just_under_the_limit_is_taken_with_its_length_told_and_in_chunks(door: Stack) -> None:
    raw = json.dumps(_v1(door, "batchId=1005")).encode().ljust(MOST_BYTES - 1)

    answers = [door.post(raw), door.post(iter([raw[:7], raw[7:]]))]

    assert [answer.json["status"] for answer in answers] == ["received", "duplicate"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [WEBHOOKS, f"{WEBHOOKS}/{TOKEN}"])
def test_other_methods_are_not_allowed(door: Stack, method: str, path: str) -> None:
    answer = door.ask(method, path)

    assert _refusal(answer) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/", "/webhooks", "/webhooks/shopify/x", f"{WEBHOOKS}/{TOKEN}/more", "/console/"]
)
def test_unknown_path_is_not_found(door: Stack, path: str) -> None:
    assert _refusal(door.ask("GET", path)) == (404, "not_found")


# When the database can't take it


def test_locked_sqlite_is_told_as_503_and_nothing_is_half_stored(tmp_path: Path) -> None:
    with _open_door(tmp_path) as stack:
        with closing(connect(tmp_path / "bridge.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            answer = stack.send(_v1(stack))

            other.execute("ROLLBACK")
        assert _refusal(answer) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert stack.events() == []
        assert stack.send(_v1(stack)).json["status"] == "received"


def test_gunicorns_processes_come_up_again_while_sqlite_is_locked(tmp_path: Path) -> None:
    with (
        _open_door(tmp_path) as stack,
        closing(connect(tmp_path / "bridge.db", isolation_level=None)) as other,
    ):
        [receiver] = stack.processes
        booted = [
            line for line in receiver.output().splitlines() if "Booting worker with pid" in line
        ]
        other.execute("BEGIN IMMEDIATE")

        for line in booted:
            os.kill(int(json.loads(line)["event"].rpartition(" ")[2]), signal.SIGKILL)
        wait_until(stack.is_alive, 10, "new processes to answer")

        assert receiver.exit_code is None


@pytest.mark.postgres
def test_stopped_postgresql_is_told_as_503_and_taken_again_when_it_is_back(
    postgres_server: Server, tmp_path: Path
) -> None:
    with (
        Simulator() as simulator,
        Stack(simulator, postgres_server.url("stopped"), tmp_path) as stack,
    ):
        stack.start_receiver()
        postgres_server.stop()
        try:
            answer, ready = stack.send(_v2(stack)), stack.ask("GET", "/readyz")
        finally:
            postgres_server.start()

        assert _refusal(answer) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert (ready.status, ready.json["status"]) == (503, "not_ready")
        assert stack.send(_v2(stack)).json["status"] == "received"
    postgres_server.drop("stopped")


@pytest.mark.postgres
@pytest.mark.parametrize(
    "sql",
    ["ALTER DATABASE unfit SET default_transaction_read_only = on", "DROP TABLE events CASCADE"],
)
def test_postgresql_that_can_not_be_written_is_told_as_503(
    postgres_server: Server, tmp_path: Path, sql: str
) -> None:
    with (
        Simulator() as simulator,
        Stack(simulator, postgres_server.url("unfit"), tmp_path) as stack,
    ):
        with stack.database.begin() as connection:
            connection.exec_driver_sql(sql)
        stack.start_receiver()

        answer = stack.send(_v2(stack))

    postgres_server.drop("unfit")
    assert _refusal(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
