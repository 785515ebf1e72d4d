"""For each kind of event: which rows are fetched, which orders behind them, and with how many
calls."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import responses

from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    ForeignUrlError,
    NotFoundError,
    TemporaryError,
)
from bridge.domain.events import Record
from bridge.vendors.http import ApiClient
from bridge.vendors.shipstation.client import ShipStationV1, ShipStationV2
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.shipments import shipped

V2 = "https://api.shipstation.com"
V1 = "https://ssapi.shipstation.com"


@pytest.fixture
def api() -> Iterator[ApiClient]:
    made = ApiClient(system="shipstation", origins=lambda _: True)
    yield made
    made.close()


@pytest.fixture
def fetcher(api: ApiClient) -> Fetcher:
    return Fetcher(v2=ShipStationV2(api, V2), v1=ShipStationV1(api, V1))


class Account:
    """A ShipStation account: lists filtered by what was asked, single things by their path, 404 for
    the rest."""

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self.rows, self.calls = rows, []
        responses.add_callback(
            responses.GET, re.compile(r"https://(api|ssapi)\.shipstation\.com/.*"), self.answer
        )

    def answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        split = urlsplit(request.url or "")
        query = {
            name: value
            for name, value in parse_qsl(split.query)
            if name not in {"page", "page_size", "pageSize", "includeShipmentItems"}
        }
        self.calls.append(
            split.path
            + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
        )
        key, _, wanted = split.path.removeprefix("/v2").strip("/").partition("/")
        rows = self.rows.get(key if split.path.startswith("/v2/") else f"v1_{key}", [])
        if wanted:
            found = [row for row in rows if wanted in map(str, row.values())]
            return (200, {}, json.dumps(found[0])) if found else (404, {}, "{}")
        found = [
            row for row in rows if all(str(row.get(name)) == value for name, value in query.items())
        ]
        return 200, {}, json.dumps({key: found, "pages": 1, "total": len(found)})


def label(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "label_id": f"se-8{number}",
        "status": "completed",
        "batch_id": "se-5",
        "shipment_id": f"se-7{number}",
        "tracking_number": "1Z",
    } | changes


def order(number: int, **changes: Any) -> dict[str, Any]:
    return {"shipment_id": f"se-7{number}", "items": [{"sku": "HAT", "quantity": 1}]} | changes


def told(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.kind, record.record_id) for record in records]


# V2 labels


@responses.activate
def test_one_label_needs_its_list_and_its_order(fetcher: Fetcher) -> None:
    account = Account(labels=[label(1)], shipments=[order(1)])

    records = fetcher.fetch(f"{V2}/v2/labels?batch_id=se-5")

    assert told(records) == [("v2_label", "se-81"), ("v2_shipment", "se-71")]
    assert account.calls == ["/v2/labels?batch_id=se-5", "/v2/shipments/se-71"]


@responses.activate
def test_a_batch_needs_one_call_for_all_its_orders(fetcher: Fetcher) -> None:
    account = Account(
        labels=[label(n) for n in range(5)],
        shipments=[order(n, batch_id="se-5") for n in reversed(range(5))],
    )

    records = fetcher.fetch(f"{V2}/v2/labels?batch_id=se-5")

    assert account.calls == ["/v2/labels?batch_id=se-5", "/v2/shipments?batch_id=se-5"]
    assert told(records)[5:] == [("v2_shipment", f"se-7{n}") for n in range(5)]


@responses.activate
def test_only_what_the_batch_left_out_is_asked_one_by_one(fetcher: Fetcher) -> None:
    account = Account(
        labels=[label(1), label(2), label(3)],
        shipments=[order(1, batch_id="se-5"), order(2), order(9, batch_id="se-5")],
    )

    records = fetcher.fetch(f"{V2}/v2/labels?batch_id=se-5")

    assert account.calls[2:] == ["/v2/shipments/se-72", "/v2/shipments/se-73"]
    assert told(records)[3:] == [("v2_shipment", "se-71"), ("v2_shipment", "se-72")], (
        "neither a stranger's order nor one that is gone"
    )


@responses.activate
def test_labels_of_a_split_without_a_batch_are_asked_one_by_one(fetcher: Fetcher) -> None:
    account = Account(labels=[label(1, x="y"), label(2, x="y")], shipments=[order(1), order(2)])

    fetcher.fetch(f"{V2}/v2/labels?x=y")

    assert account.calls[1:] == ["/v2/shipments/se-71", "/v2/shipments/se-72"]


@pytest.mark.parametrize(
    "change",
    [
        {"is_return_label": True},
        {"voided": True},
        {"status": "voided"},
        {"status": "error"},
        {"status": "processing"},
        {"shipment_id": None},
    ],
    ids=str,
)
@responses.activate
def test_a_label_that_ships_nothing_costs_no_further_call(
    fetcher: Fetcher, change: dict[str, Any]
) -> None:
    account = Account(labels=[label(1, **change)], shipments=[order(1)])

    assert told(fetcher.fetch(f"{V2}/v2/labels?batch_id=se-5")) == [("v2_label", "se-81")]
    assert len(account.calls) == 1


@responses.activate
def test_two_labels_of_one_order_ask_for_it_once(fetcher: Fetcher) -> None:
    account = Account(labels=[label(1), label(2, shipment_id="se-71")], shipments=[order(1)])

    fetcher.fetch(f"{V2}/v2/labels?batch_id=se-5")

    assert account.calls[1:] == ["/v2/shipments/se-71"]


@responses.activate
def test_a_url_of_one_label_is_completed_too(fetcher: Fetcher) -> None:
    Account(labels=[label(1)], shipments=[order(1)])

    assert told(fetcher.fetch(f"{V2}/v2/labels/se-81")) == [
        ("v2_label", "se-81"),
        ("v2_shipment", "se-71"),
    ]


@responses.activate
def test_a_passing_fault_behind_a_label_is_not_taken_for_an_order_that_is_gone(
    fetcher: Fetcher,
) -> None:
    responses.get(f"{V2}/v2/labels", json={"labels": [label(1)], "pages": 1, "total": 1})
    responses.get(f"{V2}/v2/shipments/se-71", status=500)

    with pytest.raises(TemporaryError):
        fetcher.fetch(f"{V2}/v2/labels?batch_id=se-5")


# The other lists


@responses.activate
def test_fulfillments_bring_each_live_order_once(fetcher: Fetcher) -> None:
    rows = [
        {"fulfillment_id": "se-1", "shipment_id": "se-71"},
        {"fulfillment_id": "se-2", "shipment_id": "se-71"},
        {"fulfillment_id": "se-3", "shipment_id": "se-72", "voided": True},
    ]
    account = Account(fulfillments=rows, shipments=[order(1), order(2)])

    records = fetcher.fetch(f"{V2}/v2/fulfillments")

    assert told(records)[3:] == [("v2_shipment", "se-71")]
    assert account.calls == ["/v2/fulfillments", "/v2/shipments/se-71"]


@responses.activate
def test_a_pointer_at_orders_brings_what_went_out_for_them(fetcher: Fetcher) -> None:
    Account(
        shipments=[order(1)],
        labels=[label(1), label(2)],
        fulfillments=[{"fulfillment_id": "se-1", "shipment_id": "se-71"}],
    )

    records = fetcher.fetch(f"{V2}/v2/shipments?shipment_id=se-71")

    assert told(records) == [
        ("v2_shipment", "se-71"),
        ("v2_label", "se-81"),
        ("v2_fulfillment", "se-1"),
    ]


def v1_row(number: int, **changes: Any) -> dict[str, Any]:
    return {"shipmentId": number, "orderId": 40 + number, "shipmentItems": None} | changes


@responses.activate
def test_v1_shipments_with_items_need_no_order(fetcher: Fetcher) -> None:
    row = v1_row(1, orderNumber="100482", shipmentItems=[{"sku": "HAT", "quantity": 1}])
    account = Account(v1_shipments=[row], v1_orders=[{"orderId": 41}])

    assert told(fetcher.fetch(f"{V1}/shipments")) == [("v1_shipment", "1")]
    assert account.calls == ["/shipments"]


@responses.activate
def test_v1_shipments_bring_their_orders_custom_fields_where_that_is_wanted(
    fetcher: Fetcher,
) -> None:
    order = {"orderId": 41, "advancedOptions": {"customField1": "PD7/1"}}
    Account(
        v1_shipments=[
            v1_row(1, shipmentItems=[{"sku": "HAT", "quantity": 1}], orderNumber="100482")
        ],
        v1_orders=[order],
    )

    records = replace(fetcher, reads_custom_fields=True).fetch(f"{V1}/shipments")

    [parcel] = shipped(records)
    assert [(clue.field, clue.value) for clue in parcel.clues] == [
        ("orderNumber", "100482"),
        ("customField1", "PD7/1"),
    ]
    assert [(item.sku, item.quantity) for item in parcel.items] == [("HAT", 1)]


@responses.activate
@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({}, True),
        ({"orderNumber": "ACME-PD7/1"}, True),
        ({"orderNumber": "100482"}, False),
        ({"orderNumber": "100482", "orderKey": "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01"}, True),
        ({"shipmentItems": [{"sku": "HAT", "quantity": 1}]}, False),
        ({"shipmentItems": [{"sku": "HAT", "quantity": 2}]}, True),
        ({"shipmentItems": [{"sku": "HAT", "quantity": "many"}]}, True),
        (
            {
                "shipmentItems": [
                    {"lineItemKey": "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a11", "quantity": 2}
                ]
            },
            False,
        ),
        ({"voided": True}, False),
    ],
)
def test_v1_label_that_may_hold_merged_orders_is_looked_at_with_its_order(
    fetcher: Fetcher, changes: dict[str, Any], asks: bool
) -> None:
    items = [{"sku": "HAT", "quantity": 1}, {"sku": "CAP", "quantity": 1}]
    row = v1_row(1, orderNumber="PD7/1", shipmentItems=items) | changes
    order = {"orderId": 41, "advancedOptions": {"mergedIds": [42]}}
    Account(v1_shipments=[row], v1_orders=[order])

    records = replace(fetcher, pattern=re.compile(r"^#?PD\d")).fetch(f"{V1}/shipments")

    [parcel] = shipped(records)
    assert parcel.order_is_read is asks
    assert parcel.merged_ids == (("41", "42") if asks else ())


@responses.activate
def test_only_v1_shipments_that_went_out_without_items_ask_for_their_order(
    fetcher: Fetcher,
) -> None:
    account = Account(
        v1_shipments=[
            v1_row(1),
            v1_row(2, voided=True),
            v1_row(3, isReturnLabel=True),
            v1_row(4, orderId=41),
            v1_row(5),
        ],
        v1_orders=[{"orderId": 41}],
    )

    records = fetcher.fetch(f"{V1}/shipments")

    assert account.calls == ["/shipments", "/orders/41", "/orders/45"]
    assert told(records)[5:] == [("v1_order", "41")]


@responses.activate
def test_v1_fulfillments_bring_their_orders(fetcher: Fetcher) -> None:
    rows = [
        {"fulfillmentId": 1, "orderId": 41},
        {"fulfillmentId": 2, "orderId": 41},
        {"fulfillmentId": 3, "orderId": 42, "voided": True},
    ]
    account = Account(v1_fulfillments=rows, v1_orders=[{"orderId": 41}, {"orderId": 42}])

    records = fetcher.fetch(f"{V1}/fulfillments")

    assert told(records)[3:] == [("v1_order", "41")]
    assert account.calls == ["/fulfillments", "/orders/41"]


@responses.activate
def test_v1_orders_bring_their_fulfillments(fetcher: Fetcher) -> None:
    Account(
        v1_orders=[{"orderId": 41}],
        v1_fulfillments=[{"fulfillmentId": 1, "orderId": 41}, {"fulfillmentId": 2, "orderId": 42}],
    )

    assert told(fetcher.fetch(f"{V1}/orders/41")) == [("v1_order", "41"), ("v1_fulfillment", "1")]


@pytest.mark.parametrize("url", [f"{V2}/v2/carriers", f"{V2}/v2/labelsx", f"{V2}/"])
def test_a_path_that_is_no_known_list_is_refused(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(ForeignUrlError):
        fetcher.fetch(url)


@pytest.mark.parametrize(
    ("url", "setting"),
    [
        (f"{V2}/v2/labels", "BRIDGE_SHIPSTATION_API_KEY"),
        (f"{V1}/shipments", "BRIDGE_SHIPSTATION_V1_API_KEY"),
    ],
)
def test_a_missing_key_is_named_by_its_setting(url: str, setting: str) -> None:
    with pytest.raises(CredentialsError, match=setting):
        Fetcher(v2=None, v1=None).fetch(url)


# As it is now

NOW: list[tuple[str, str, str]] = [
    ("v2_label", "se-81", "/v2/labels/se-81"),
    ("v2_fulfillment", "se-1", "/v2/fulfillments?fulfillment_id=se-1"),
    ("v2_shipment", "se-71", "/v2/shipments/se-71"),
    ("v1_shipment", "1", "/shipments?shipmentId=1"),
    ("v1_fulfillment", "2", "/fulfillments?fulfillmentId=2"),
    ("v1_order", "41", "/orders/41"),
]


@pytest.mark.parametrize(("kind", "record_id", "call"), NOW)
@responses.activate
def test_each_kind_of_record_can_be_looked_at_again_with_one_call(
    fetcher: Fetcher, kind: str, record_id: str, call: str
) -> None:
    account = Account(
        labels=[label(1, voided=True)],
        fulfillments=[{"fulfillment_id": "se-1", "voided": True}],
        shipments=[order(1)],
        v1_shipments=[v1_row(1, voided=True)],
        v1_fulfillments=[{"fulfillmentId": 2, "voided": True}],
        v1_orders=[{"orderId": 41}],
    )

    record = fetcher.current(kind, record_id)

    assert record is not None
    assert (record.kind, record.record_id, record.body.get("voided", True)) == (
        kind,
        record_id,
        True,
    )
    assert account.calls == [call]


@pytest.mark.parametrize(("kind", "record_id", "call"), NOW)
@responses.activate
def test_what_shipstation_no_longer_shows_is_none(
    fetcher: Fetcher, kind: str, record_id: str, call: str
) -> None:
    account = Account()

    assert fetcher.current(kind, record_id) is None
    assert account.calls == [call]


def test_an_inline_row_cannot_be_looked_at_again(fetcher: Fetcher) -> None:
    assert fetcher.current("inline_row", "se-1:1Z9") is None


@responses.activate
def test_a_passing_fault_while_looking_again_is_not_none(fetcher: Fetcher) -> None:
    responses.get(f"{V2}/v2/labels/se-81", status=502)

    with pytest.raises(BridgeError):
        fetcher.current("v2_label", "se-81")


@responses.activate
def test_an_inline_rows_order_is_asked_by_its_id(fetcher: Fetcher) -> None:
    Account(shipments=[order(1)])

    assert fetcher.v2_shipment("se-71").record_id == "se-71"
    with pytest.raises(NotFoundError):
        fetcher.v2_shipment("se-99")
