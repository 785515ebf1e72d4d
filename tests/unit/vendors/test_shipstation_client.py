"""What we ask ShipStation: all pages, each row once, and never our key to anyone else."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import responses
from pydantic import SecretStr

from bridge.domain.errors import (
    CredentialsError,
    ForeignUrlError,
    NotFoundError,
    PayloadError,
    PermanentError,
    TemporaryError,
)
from bridge.vendors.http import ApiClient
from bridge.vendors.shipstation import client
from bridge.vendors.shipstation.client import ShipStationV1, ShipStationV2
from bridge.vendors.shipstation.lists import LISTS, Listed
from bridge.vendors.shipstation.webhook import is_shipstation_origin

V2 = "https://api.shipstation.com"
V1 = "https://ssapi.shipstation.com"
BATCH = f"{V2}/v2/labels?batch_id=se-5"


@pytest.fixture
def api() -> Iterator[ApiClient]:
    made = ApiClient(
        system="shipstation",
        origins=lambda origin: is_shipstation_origin(origin, configured=()),
        headers={"API-Key": SecretStr("the-key")},
    )
    yield made
    made.close()


@pytest.fixture
def v2(api: ApiClient) -> ShipStationV2:
    return ShipStationV2(api, f"{V2}/")


@pytest.fixture
def v1(api: ApiClient) -> ShipStationV1:
    return ShipStationV1(api, V1)


def label(number: int) -> dict[str, Any]:
    return {"label_id": f"se-{number}", "shipment_id": f"se-7{number}"}


def query_of(request: requests.PreparedRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.url or "").query))


def asked() -> list[dict[str, str]]:
    return [query_of(call.request) for call in responses.calls]


def serve(path: str, key: str, pages: list[list[dict[str, Any]]], /, **head: Any) -> None:
    """Pages by their number; beyond the last an empty one, as ShipStation does."""

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        number = int(query_of(request)["page"])
        rows = pages[number - 1] if number <= len(pages) else []
        facts = {
            "page": number,
            "pages": len(pages),
            "total": sum(map(len, pages)),
            "links": {"next": {}, "prev": {}},
        } | head
        return (
            200,
            {},
            requests.compat.json.dumps(
                {key: rows} | {name: value for name, value in facts.items() if value is not None}
            ),
        )

    responses.add_callback(
        responses.GET, re.compile(r"https://[^/]+" + re.escape(path) + r"(\?|$)"), answer
    )


THREE_PAGES = [[label(1), label(2)], [label(3), label(4)], [label(5)]]
ALL_FIVE = ["se-1", "se-2", "se-3", "se-4", "se-5"]


# Paging


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"links": None},
        {"pages": None},
        {"total": None},
        {"pages": None, "total": None, "links": None},
        {"pages": 1},
        {"total": 2},
    ],
    ids=[
        "all facts",
        "no links",
        "no pages",
        "no total",
        "no facts",
        "pages too low",
        "total too low",
    ],
)
@responses.activate
def test_all_pages_are_read_whichever_facts_are_told(
    v2: ShipStationV2, head: dict[str, Any]
) -> None:
    serve("/v2/labels", "labels", THREE_PAGES, **head)

    assert [record.record_id for record in v2.all_rows("label", BATCH)] == ALL_FIVE


@responses.activate
def test_no_page_is_asked_beyond_the_last(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", THREE_PAGES)

    v2.all_rows("label", BATCH)

    assert [query["page"] for query in asked()] == ["1", "2", "3"]


@responses.activate
def test_the_query_of_a_resource_url_is_kept_byte_for_byte(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", [[label(1)]])

    v2.all_rows(
        "label",
        f"{V2}/v2/labels?batch_id=se-5&created_at_start=2026-10-14T00:00:00Z&x=a%2Fb&page=9",
    )

    assert responses.calls[0].request.url == (
        f"{V2}/v2/labels?batch_id=se-5&created_at_start=2026-10-14T00:00:00Z&x=a%2Fb&page_size=500&page=1"
    )


@responses.activate
def test_a_page_size_that_shipstation_chose_is_kept(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", [[label(1)]])

    v2.all_rows("label", f"{BATCH}&page_size=25")

    assert asked()[0]["page_size"] == "25"


@responses.activate
def test_a_query_of_our_own_is_encoded_and_asks_for_large_pages(v2: ShipStationV2) -> None:
    serve("/v2/shipments", "shipments", [[]])

    v2.all_rows("shipment", {"shipment_number": "#PD1 & co/2"})

    assert asked() == [{"shipment_number": "#PD1 & co/2", "page_size": "500", "page": "1"}]


@responses.activate
def test_an_empty_list_is_no_records(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", [])

    assert v2.all_rows("label", BATCH) == []


@responses.activate
def test_the_same_page_over_and_over_ends_the_reading(v2: ShipStationV2) -> None:
    responses.get(f"{V2}/v2/labels", json={"labels": [label(1)], "pages": 1000, "total": 1000})

    assert [record.record_id for record in v2.all_rows("label", BATCH)] == ["se-1"]
    assert len(responses.calls) == 2


@responses.activate
def test_an_empty_page_in_the_middle_ends_the_reading(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", [[label(1)], []], pages=7)

    assert len(v2.all_rows("label", BATCH)) == 1
    assert len(responses.calls) == 2


@responses.activate
def test_a_row_that_moved_to_the_next_page_counts_once(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", [[label(1), label(2)], [label(2), label(3)]])

    assert [record.record_id for record in v2.all_rows("label", BATCH)] == ["se-1", "se-2", "se-3"]


@responses.activate
def test_a_list_without_end_is_given_up(v2: ShipStationV2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_PAGES_OF_AN_EVENT", 3)
    serve("/v2/labels", "labels", [[label(number)] for number in range(9)])

    with pytest.raises(PermanentError, match="more than 3 pages"):
        v2.all_rows("label", BATCH)


@responses.activate
def test_a_next_link_to_a_stranger_is_an_error_and_never_called(v2: ShipStationV2) -> None:
    serve(
        "/v2/labels",
        "labels",
        THREE_PAGES,
        links={"next": {"href": "https://evil.example/v2/labels?page=2"}},
    )

    with pytest.raises(ForeignUrlError):
        v2.all_rows("label", BATCH)

    assert len(responses.calls) == 1


@pytest.mark.parametrize(
    "href", [f"{V2}/v2/labels?page=2", "/v2/labels?page=2"], ids=["absolute", "relative"]
)
@responses.activate
def test_a_next_link_alone_is_reason_to_go_on(v2: ShipStationV2, href: str) -> None:
    serve(
        "/v2/labels",
        "labels",
        [[label(1)], [label(2)]],
        pages=None,
        total=None,
        links={"next": {"href": href}},
    )

    assert len(v2.all_rows("label", BATCH)) == 2


@responses.activate
def test_reading_stops_when_all_that_was_wanted_has_come(v2: ShipStationV2) -> None:
    serve("/v2/shipments", "shipments", [[{"shipment_id": f"se-{n}"}] for n in range(50)])

    found = v2.all_rows("shipment", {"batch_id": "se-5"}, ids=["se-0", "se-1"])

    assert [record.record_id for record in found] == ["se-0", "se-1"]
    assert len(responses.calls) == 2


@responses.activate
def test_a_fault_on_a_later_page_is_not_half_a_success(v2: ShipStationV2) -> None:
    responses.get(f"{V2}/v2/labels", json={"labels": [label(1)], "pages": 2, "total": 2})
    responses.get(f"{V2}/v2/labels", status=503)

    with pytest.raises(TemporaryError):
        v2.all_rows("label", BATCH)


@responses.activate
def test_a_bad_row_sets_itself_aside_and_takes_no_other_along(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", [[label(1), {"shipment_id": "se-9"}, label(2)]])

    first, bad, last = v2.all_rows("label", BATCH)

    assert (first.record_id, last.record_id) == ("se-1", "se-2")
    assert "label_id" in bad.body["unreadable"]


# One thing


@responses.activate
def test_a_url_of_one_label_gives_one_record(v2: ShipStationV2) -> None:
    responses.get(f"{V2}/v2/labels/se-1", json=label(1))

    assert [record.record_id for record in v2.all_rows("label", f"{V2}/v2/labels/se-1")] == ["se-1"]


Ask = Callable[[ShipStationV2, ShipStationV1], Any]

SINGLES: list[tuple[Ask, str, dict[str, Any]]] = [
    (lambda v2, _: v2.get("label", "se-1"), f"{V2}/v2/labels/se-1", label(1)),
    (lambda v2, _: v2.get("shipment", "se-2"), f"{V2}/v2/shipments/se-2", {"shipment_id": "se-2"}),
    (lambda _, v1: v1.get("order", "47"), f"{V1}/orders/47", {"orderId": 47}),
]


@pytest.mark.parametrize(("ask", "url", "body"), SINGLES, ids=["label", "shipment", "order"])
@responses.activate
def test_one_thing_is_asked_by_its_id(
    v2: ShipStationV2, v1: ShipStationV1, ask: Ask, url: str, body: dict[str, Any]
) -> None:
    responses.get(url, json=body)

    assert ask(v2, v1).record_id in url


@pytest.mark.parametrize(("ask", "url", "body"), SINGLES, ids=["label", "shipment", "order"])
@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFoundError), (401, CredentialsError), (500, TemporaryError)]
)
@responses.activate
def test_a_failure_to_get_one_thing_carries_its_verdict(
    v2: ShipStationV2,
    v1: ShipStationV1,
    ask: Ask,
    url: str,
    body: dict[str, Any],
    status: int,
    error: type[Exception],
) -> None:
    responses.get(url, status=status, json=body)

    with pytest.raises(error):
        ask(v2, v1)


@responses.activate
def test_an_empty_answer_for_one_thing_is_worth_another_try(v2: ShipStationV2) -> None:
    responses.get(f"{V2}/v2/labels/se-1", body="")

    with pytest.raises(TemporaryError):
        v2.get("label", "se-1")


@pytest.mark.parametrize(
    "record_id",
    ["", "..", "../environment/webhooks", "se-1/void", "se-1?x=1", "se 1", "ü", "a" * 65],
)
@responses.activate
def test_an_id_that_would_change_the_path_is_refused(v2: ShipStationV2, record_id: str) -> None:
    with pytest.raises(PayloadError):
        v2.get("shipment", record_id)

    assert len(responses.calls) == 0


FILTERED: list[tuple[Ask, str, str, dict[str, Any], str]] = [
    (
        lambda v2, _: v2.get("fulfillment", "se-9"),
        f"{V2}/v2/fulfillments",
        "fulfillments",
        {"fulfillment_id": "se-9"},
        "fulfillment_id",
    ),
    (
        lambda _, v1: v1.get("shipment", "27"),
        f"{V1}/shipments",
        "shipments",
        {"shipmentId": 27},
        "shipmentId",
    ),
    (
        lambda _, v1: v1.get("fulfillment", "44"),
        f"{V1}/fulfillments",
        "fulfillments",
        {"fulfillmentId": 44},
        "fulfillmentId",
    ),
]


@pytest.mark.parametrize(
    ("ask", "url", "key", "row", "name"),
    FILTERED,
    ids=["v2 fulfillment", "v1 shipment", "v1 fulfillment"],
)
@responses.activate
def test_where_only_a_filter_exists_the_row_is_taken_by_its_id(
    v2: ShipStationV2,
    v1: ShipStationV1,
    ask: Ask,
    url: str,
    key: str,
    row: dict[str, Any],
    name: str,
) -> None:
    stranger = {name: "se-1234"}
    responses.get(url, json={key: [stranger, row], "pages": 900, "total": 90_000})

    found = ask(v2, v1)

    assert found.record_id == str(row[name]) == asked()[0][name]
    assert len(responses.calls) == 1, "an ignored filter must not make us read the whole account"


@responses.activate
def test_a_filter_that_finds_nothing_is_not_found(v2: ShipStationV2) -> None:
    responses.get(f"{V2}/v2/fulfillments", json={"fulfillments": [], "pages": 0, "total": 0})

    with pytest.raises(NotFoundError):
        v2.get("fulfillment", "se-9")


# V1


@pytest.mark.parametrize(
    "told", ["includeShipmentItems=False", "INCLUDESHIPMENTITEMS=false", "x=1"]
)
@responses.activate
def test_v1_shipments_always_come_with_items(v1: ShipStationV1, told: str) -> None:
    serve("/shipments", "shipments", [[{"shipmentId": 1}]], links=None)

    v1.all_rows("shipment", f"https://ssapi11.shipstation.com/shipments?batchId=3&{told}")

    named = [
        (name, value)
        for name, value in parse_qsl(urlsplit(responses.calls[0].request.url or "").query)
        if name.lower().startswith("include")
    ]
    assert named == [("includeShipmentItems", "True")]


@responses.activate
def test_v1_is_asked_on_the_numbered_host_that_shipstation_named(v1: ShipStationV1) -> None:
    serve("/shipments", "shipments", [[{"shipmentId": 1}], [{"shipmentId": 2}]], links=None)

    found = v1.all_rows("shipment", "https://ssapi11.shipstation.com/shipments?batchId=3")

    assert [record.record_id for record in found] == ["1", "2"]
    assert {urlsplit(call.request.url or "").hostname for call in responses.calls} == {
        "ssapi11.shipstation.com"
    }
    assert asked()[1] == {
        "batchId": "3",
        "includeShipmentItems": "True",
        "pageSize": "500",
        "page": "2",
    }


@responses.activate
def test_v1_lists_of_fulfillments_and_orders_are_read_to_the_end(v1: ShipStationV1) -> None:
    serve(
        "/fulfillments",
        "fulfillments",
        [[{"fulfillmentId": 1}], [{"fulfillmentId": 2}]],
        links=None,
    )
    serve("/orders", "orders", [[{"orderId": 5}], [{"orderId": 6}]], links=None)

    assert [record.record_id for record in v1.all_rows("fulfillment", {"orderId": "5"})] == [
        "1",
        "2",
    ]
    assert [record.record_id for record in v1.all_rows("order", {"orderNumber": "PD1"})] == [
        "5",
        "6",
    ]


# The key


@responses.activate
def test_the_key_goes_out_with_each_page_and_into_no_error(v2: ShipStationV2) -> None:
    responses.get(f"{V2}/v2/labels", json={"labels": [label(1)], "pages": 2, "total": 2})
    responses.get(
        f"{V2}/v2/labels", status=401, json={"errors": [{"message": "the-key is invalid"}]}
    )

    with pytest.raises(CredentialsError) as caught:
        v2.all_rows("label", BATCH)

    assert [call.request.headers["API-Key"] for call in responses.calls] == ["the-key", "the-key"]
    assert "the-key" not in str(caught.value)


@responses.activate
def test_a_url_of_a_stranger_is_never_called(v2: ShipStationV2) -> None:
    with pytest.raises(ForeignUrlError):
        v2.all_rows("label", "https://api.shipstation.com.evil.example/v2/labels")

    assert len(responses.calls) == 0


# The size of a page, and of what an event may point at


def serve_small_pages(largest: int) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        if int(query_of(request)["page_size"]) > largest:
            return 400, {}, '{"errors": [{"error_code": "invalid_field_value"}]}'
        return 200, {}, '{"labels": [{"label_id": "se-1"}], "pages": 1, "total": 1}'

    responses.add_callback(responses.GET, f"{V2}/v2/labels", answer)


@responses.activate
def test_smaller_page_is_asked_for_where_the_largest_is_refused_and_that_is_remembered(
    v2: ShipStationV2,
) -> None:
    serve_small_pages(100)

    for _ in range(2):
        assert len(v2.all_rows("label", {"batch_id": "se-1"})) == 1

    assert [query["page_size"] for query in asked()] == ["500", "100", "100"]


@responses.activate
def test_refusal_that_the_page_is_not_to_blame_for_stays_one(v2: ShipStationV2) -> None:
    serve_small_pages(0)

    with pytest.raises(PermanentError):
        v2.all_rows("label", {"batch_id": "se-1"})

    assert len(responses.calls) == 2


@responses.activate
def test_event_that_points_at_too_many_rows_is_given_up(
    v2: ShipStationV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_ROWS_OF_AN_EVENT", 3)
    serve("/v2/labels", "labels", [[label(number) for number in range(5)], [label(9)]])

    with pytest.raises(PermanentError, match="more than 3 rows"):
        v2.all_rows("label", BATCH)


# Lists by time


START = datetime(2026, 11, 4, 12, tzinfo=UTC)
END = START + timedelta(hours=1)


def label_at(number: int, minutes: float, **more: Any) -> dict[str, Any]:
    created_at = (START + timedelta(minutes=minutes)).isoformat()
    return label(number) | {"created_at": created_at, "batch_id": "se-7"} | more


def recent(v2: ShipStationV2, **bounds: Any) -> list[Listed]:
    pages = v2.recent(LISTS["v2", "label"], START, END, **bounds)
    return [row for page in pages for row in page]


@responses.activate
def test_recent_labels_come_newest_first_until_the_page_bound(v2: ShipStationV2) -> None:
    serve("/v2/labels", "labels", [[label_at(3, 50)], [label_at(2, 40)], [label_at(1, 30)]])

    rows = recent(v2, max_pages=2)

    assert [(row.record_id, row.batch_id) for row in rows] == [("se-3", "se-7"), ("se-2", "se-7")]
    assert asked()[0] == {
        "created_at_start": "2026-11-04T12:00:00.000Z",
        "created_at_end": "2026-11-04T13:00:00.000Z",
        "sort_dir": "desc",
        "page_size": "500",
        "page": "1",
    }


@responses.activate
def test_filter_that_is_ignored_makes_nobody_read_the_whole_account(v2: ShipStationV2) -> None:
    old = [[label_at(number, -600 - number)] for number in range(50)]
    serve("/v2/labels", "labels", [[label_at(99, 1)], *old])

    assert [row.record_id for row in recent(v2)] == ["se-99"]
    assert len(responses.calls) == 2


@responses.activate
def test_unreadable_row_of_a_list_is_left_out_and_the_others_come(v2: ShipStationV2) -> None:
    unreadable = label_at(2, 40) | {"label_id": {"not": "an id"}}
    serve("/v2/labels", "labels", [[label_at(3, 50), unreadable, label_at(1, 30)]])

    rows = recent(v2)

    assert [row.record_id for row in rows] == ["se-3", "se-1"]


@responses.activate
def test_late_void_is_found_behind_a_page_of_rows_that_changed_for_another_reason(
    v2: ShipStationV2,
) -> None:
    old = {"voided": True, "voided_at": "2026-01-01T00:00:00Z"}
    late = {"voided": True, "voided_at": (START + timedelta(minutes=5)).isoformat()}
    pages = [[label_at(number, -99_999, **old)] for number in range(3)]
    serve("/v2/labels", "labels", [*pages, [label_at(9, -99_999, **late)]])

    [[row]] = v2.recent(LISTS["v2", "label"], START, END, is_voids=True)

    assert row.record_id == "se-9"


@responses.activate
def test_voids_end_where_the_last_change_is_too_old(v2: ShipStationV2) -> None:
    old = {"voided": True, "modified_at": "2026-01-01T00:00:00Z"}
    serve("/v2/labels", "labels", [[label_at(number, -99_999, **old)] for number in range(9)])

    assert list(v2.recent(LISTS["v2", "label"], START, END, is_voids=True)) == []
    assert len(responses.calls) == 1


# Carriers


@responses.activate
def test_carriers_are_read_once_and_named_as_the_account_does(
    v2: ShipStationV2, v1: ShipStationV1
) -> None:
    ups = {"carrier_id": "se-1", "carrier_code": "ups_walleted", "friendly_name": "UPS"}
    responses.get(f"{V2}/v2/carriers", json={"carriers": [ups, None, {"carrier_code": 7}]})
    responses.get(f"{V1}/carriers", json=[{"name": "FedEx", "code": "fedex_walleted"}])

    names = [(dict(v2.carrier_names()), dict(v1.carrier_names())) for _ in range(2)]

    assert names == [({"ups_walleted": "UPS"}, {"fedex_walleted": "FedEx"})] * 2
    assert len(responses.calls) == 2


@responses.activate
def test_carriers_that_can_not_be_read_are_none_and_not_asked_for_again_at_once(
    v2: ShipStationV2,
) -> None:
    responses.get(f"{V2}/v2/carriers", status=500)

    assert [dict(v2.carrier_names()) for _ in range(3)] == [{}] * 3
    assert len(responses.calls) == 1
