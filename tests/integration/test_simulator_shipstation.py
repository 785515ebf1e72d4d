"""The simulated ShipStation pages, filters and words its answers as V2 and V1 do."""

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from bridge.simulator import Item, Simulator, World
from bridge.simulator.shapes import pacific, row
from tests.support import payload_files

pytest_plugins = ["tests.support.simulator_fixtures"]


def test_v2_pages_hold_25_and_the_last_has_an_empty_next_link(world: World, get: Any) -> None:
    labels = world.buy_labels([world.add_shipstation_order(world.add_order()) for _ in range(30)])
    first = get(world.label_created_v2(labels)["resource_url"])
    second = get(first["links"]["next"]["href"])

    assert [len(first["labels"]), len(second["labels"])] == [25, 5]
    assert (first["total"], first["page"], first["pages"], first["links"]["prev"]) == (30, 1, 2, {})
    assert (second["page"], second["links"]["next"]) == (2, {})
    assert len({row["label_id"] for row in first["labels"] + second["labels"]}) == 30


def test_v2_page_beyond_the_last_is_empty(world: World, get: Any) -> None:
    world.buy_labels(world.add_shipstation_order("1"))

    assert get("/v2/labels?page=9") | {"links": None} == {
        "labels": [],
        "total": 1,
        "page": 9,
        "pages": 1,
        "links": None,
    }


def test_v2_page_size_is_kept_up_to_500(world: World, get: Any) -> None:
    world.buy_labels([world.add_shipstation_order(str(number)) for number in range(510)])

    assert [len(get(f"/v2/labels?page_size={size}")["labels"]) for size in (1, 100, 9999)] == [
        1,
        100,
        500,
    ]


def test_wrong_parameter_names_are_ignored_in_silence(world: World, get: Any) -> None:
    world.buy_labels(world.add_shipstation_order("1"))

    assert get("/v2/labels?create_date_start=2099-01-01T00:00:00Z")["total"] == 1
    assert get("/v2/labels?created_at_start=2099-01-01T00:00:00Z")["total"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v2/labels?page=0",
        "/v2/labels?page_size=x",
        "/v2/fulfillments?fulfillment_id=se-A!",
        "/v2/labels/abc",
        "/v2/labels?created_at_start=x",
    ],
)
def test_unreadable_v2_query_is_told_with_its_field(
    simulator: Simulator, session: requests.Session, path: str
) -> None:
    answer = session.get(simulator.url + path, timeout=60)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["error_type"] == "validation"


def test_label_has_neither_items_nor_an_order_number(world: World, get: Any) -> None:
    [label] = world.buy_labels(world.add_shipstation_order(world.add_order()))

    row = get(f"/v2/labels/{label.label_id}")

    assert not {"items", "shipment_number"} & row.keys()
    assert row["external_shipment_id"].startswith("SEAuto-")
    assert get(f"/v2/shipments/{row['shipment_id']}")["external_shipment_id"] is None


def test_processing_label_has_no_number_until_it_is_complete(world: World, get: Any) -> None:
    [label] = world.buy_labels(world.add_shipstation_order("1"), status="processing")
    before = get(f"/v2/labels/{label.label_id}")

    world.complete_label(label)
    after = get(f"/v2/labels/{label.label_id}")

    assert (before["status"], before["tracking_number"], before["tracking_url"]) == (
        "processing",
        None,
        None,
    )
    assert after["status"] == "completed"
    assert after["tracking_url"].endswith(after["tracking_number"])


def test_label_of_several_packages_has_a_number_for_each_and_is_found_by_the_first_only(
    world: World, get: Any
) -> None:
    [label] = world.buy_labels(world.add_shipstation_order("1"), packages=3)

    row = get(f"/v2/labels/{label.label_id}")
    numbers = [package["tracking_number"] for package in row["packages"]]

    assert row["tracking_number"] == numbers[0]
    assert len(set(numbers)) == 3
    assert [get(f"/v2/labels?tracking_number={number}")["total"] for number in numbers] == [1, 0, 0]


def test_replaced_label_is_void_and_its_successor_has_another_number(
    world: World, get: Any
) -> None:
    [old] = world.buy_labels(world.add_shipstation_order("1"))

    new = world.replace_label(old)

    assert get(f"/v2/labels/{old.label_id}")["voided"] is True
    assert (
        get(f"/v2/labels?shipment_id={old.order.shipment_id}&label_status=completed")["labels"][0][
            "label_id"
        ]
        == new.label_id
    )
    assert new.tracking_number != old.tracking_number


def test_split_order_is_several_shipments_of_one_number(world: World, get: Any) -> None:
    whole = world.add_shipstation_order(
        world.add_order("PD7/1", [("A", 2), ("B", 1)]), style="id", with_line_ids=True
    )

    world.split(whole, [[("A", 1)], [("A", 1), ("B", 1)]])
    rows = get("/v2/shipments?shipment_number=PD7%2F1&sort_dir=asc")["shipments"]

    assert [[(item["sku"], item["quantity"]) for item in row["items"]] for row in rows] == [
        [("A", 1)],
        [("A", 1), ("B", 1)],
    ]
    assert [bool(row["external_shipment_id"]) for row in rows] == [True, False]
    assert (
        rows[0]["items"][0]["external_order_item_id"]
        == rows[1]["items"][0]["external_order_item_id"]
    )


def test_shipments_of_a_label_batch_are_found_in_one_call(world: World, get: Any) -> None:
    orders = [world.add_shipstation_order(str(number)) for number in range(3)]
    labels = world.buy_labels(orders[:2])

    found = get(f"/v2/shipments?batch_id={labels[0].batch_id}")

    assert {row["shipment_id"] for row in found["shipments"]} == {
        order.shipment_id for order in orders[:2]
    }


def test_mark_as_shipped_is_a_fulfillment_and_no_label(world: World, get: Any) -> None:
    shipped = world.mark_shipped(world.add_shipstation_order("1"), "FedEx", "790411112222")

    [row] = get(world.fulfillment_shipped_v2(shipped)["resource_url"])["fulfillments"]

    assert (row["fulfillment_carrier_friendly_name"], row["tracking_number"]) == (
        "FedEx",
        "790411112222",
    )
    assert not {"carrier_code", "tracking_url", "items"} & row.keys()
    assert get("/v2/labels")["total"] == 0


def test_merged_orders_are_gone_and_the_survivor_says_whom_it_took(
    world: World, session: requests.Session, simulator: Simulator, get: Any
) -> None:
    first, second = world.add_order(lines=[("TEE", 1)]), world.add_order(lines=[("CAP", 1)])
    survivor = world.add_shipstation_order(first)
    other = world.add_shipstation_order(second, with_line_ids=True)
    world.merge(survivor, other, names_orders="reference")

    v2 = get(f"/v2/shipments/{survivor.shipment_id}")
    v1 = get(f"/orders/{survivor.v1_order_id}")
    gone = [
        session.get(simulator.url + path, timeout=60).status_code
        for path in (f"/v2/shipments/{other.shipment_id}", f"/orders/{other.v1_order_id}")
    ]

    assert v1["orderNumber"] == v2["shipment_number"] == first.reference
    assert v1["advancedOptions"]["mergedIds"] == [other.v1_order_id]
    assert v1["advancedOptions"]["mergedOrSplit"] is True
    assert v2["sales_order_ids"] == [survivor.sales_order_id, other.sales_order_id]
    assert [item["external_order_id"] for item in v2["items"]] == [
        first.reference,
        second.reference,
    ]
    assert [item["sales_order_id"] for item in v2["items"]] == v2["sales_order_ids"]
    assert v1["items"][1]["lineItemKey"] == second.lines[0].id
    assert gone == [404, 404]


def test_merged_order_may_survive_under_a_number_of_the_shop(world: World, get: Any) -> None:
    shop = world.add_shipstation_order("100482")
    world.merge(shop, world.add_shipstation_order(world.add_order()), keeps_line_ids=False)

    shown = get(f"/orders/{shop.v1_order_id}")

    assert shown["orderNumber"] == "100482"
    assert len(shown["items"]) == 3
    assert {item["lineItemKey"] for item in shown["items"]} == {None}


def test_corrected_number_stands_on_the_same_record(world: World, get: Any) -> None:
    [label] = world.buy_labels(world.add_shipstation_order(world.add_order()))
    world.correct_number(label, "1ZRIGHT002")

    assert get(f"/v2/labels/{label.label_id}")["tracking_number"] == "1ZRIGHT002"
    rows = get(f"/shipments?shipmentId={label.v1_shipment_id}")["shipments"]
    assert [row["trackingNumber"] for row in rows] == ["1ZRIGHT002"]


def test_void_is_requested_and_denied_before_it_is_one(world: World, get: Any) -> None:
    mark = world.mark_shipped(world.add_shipstation_order(world.add_order()))
    path = f"/v2/fulfillments?fulfillment_id={mark.fulfillment_id}"

    world.request_void(mark)
    requested = get(path)["fulfillments"][0]
    world.deny_void(mark)
    denied = get(path)["fulfillments"][0]

    assert (requested["void_requested"], requested["voided"]) == (True, False)
    assert (denied["void_requested"], denied["voided"]) == (False, False)


def test_row_may_show_anything_in_place_of_the_truth(world: World, get: Any) -> None:
    [label] = world.buy_labels(world.add_shipstation_order(world.add_order()))
    label.overrides = {"packages": [None], "status": "in_transit"}

    shown = get(f"/v2/labels/{label.label_id}")

    assert (shown["packages"], shown["status"]) == ([None], "in_transit")
    assert shown["tracking_number"] == label.tracking_number


def test_swapped_line_is_other_goods_in_shipstation_alone(world: World, get: Any) -> None:
    order = world.add_order(lines=[("TEE", 1), ("CAP", 1)])
    shipment = world.add_shipstation_order(order, with_line_ids=True)
    world.swap_line(shipment, "TEE", "TEE-L")

    items = get(f"/v2/shipments/{shipment.shipment_id}")["items"]

    assert [item["sku"] for item in items] == ["TEE-L", "CAP"]
    assert [item["external_order_item_id"] for item in items] == [None, order.lines[1].id]


def test_touched_row_is_modified_and_nothing_else(world: World, get: Any) -> None:
    [label] = world.buy_labels(world.add_shipstation_order(world.add_order()))
    before = get(f"/v2/labels/{label.label_id}")
    world.touch(label)

    assert get(f"/v2/labels/{label.label_id}") == before
    assert label.modified_at == label.touched_at


def test_fulfillments_are_created_row_by_row(
    simulator: Simulator, world: World, session: requests.Session
) -> None:
    order = world.add_shipstation_order("1")
    rows = [
        {"shipment_id": order.shipment_id, "tracking_number": "1Z", "carrier_code": "ups"},
        {"shipment_id": order.shipment_id, "tracking_number": "1Z", "carrier_code": "ups"},
        {"shipment_id": "se-1", "tracking_number": "1Z", "carrier_code": "ups"},
    ]

    answer = session.post(
        f"{simulator.url}/v2/fulfillments", json={"fulfillments": rows}, timeout=60
    ).json()

    assert answer["has_errors"] is True
    assert [row["error_message"] for row in answer["fulfillments"]] == [
        None,
        "Shipment is already fulfilled.",
        "Shipment not found.",
    ]
    assert [shipped.tracking_number for shipped in world.marked_shipped] == ["1Z"]


def test_voided_fulfillment_says_so_in_both_generations(world: World, get: Any) -> None:
    shipped = world.void_fulfillment(world.mark_shipped(world.add_shipstation_order("1")))

    bodies = [world.fulfillment_shipped_v2(shipped), world.v1_fulfillment_shipped(shipped)]
    rows = [get(body["resource_url"])["fulfillments"][0] for body in bodies]

    assert [row["voided"] for row in rows] == [True, True]
    assert rows[0]["voided_at"].endswith("Z")


def test_unknown_carrier_is_an_error_of_its_row(
    simulator: Simulator, world: World, session: requests.Session
) -> None:
    row = {
        "shipment_id": world.add_shipstation_order("1").shipment_id,
        "tracking_number": "1",
        "carrier_code": "pigeon",
    }

    answer = session.post(
        f"{simulator.url}/v2/fulfillments", json={"fulfillments": [row]}, timeout=60
    )

    assert (answer.status_code, answer.json()["has_errors"], world.marked_shipped) == (
        200,
        True,
        [],
    )


def test_shipment_is_found_by_its_external_id(world: World, get: Any) -> None:
    order = world.add_shipstation_order(world.add_order(), style="id")

    assert (
        get(f"/v2/shipments/external_shipment_id/{order.external_shipment_id}")["shipment_id"]
        == order.shipment_id
    )


def test_shipments_are_found_by_the_import_that_brought_them(world: World, get: Any) -> None:
    order, _other = world.add_shipstation_order("1"), world.add_shipstation_order("2")

    found = get(world.shipment_created_v2(order)["resource_url"])["shipments"]

    assert [row["shipment_id"] for row in found] == [order.shipment_id]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fulfillments": []},
        {"fulfillments": [{"shipment_id": "se-1"}]},
        {"fulfillments": [None]},
    ],
)
def test_incomplete_fulfillments_are_refused_whole(
    simulator: Simulator, session: requests.Session, body: dict[str, Any]
) -> None:
    assert (
        session.post(f"{simulator.url}/v2/fulfillments", json=body, timeout=60).status_code == 400
    )


def test_v1_shipment_has_items_only_when_asked_for(world: World, get: Any) -> None:
    order = world.add_order(lines=[("A", 2)])
    labels = world.buy_labels(world.add_shipstation_order(order, style="id", with_line_ids=True))

    [without] = get(world.ship_notify(labels)["resource_url"])["shipments"]
    [with_items] = get(world.item_ship_notify(labels)["resource_url"])["shipments"]

    assert without["shipmentItems"] is None
    assert [(item["lineItemKey"], item["quantity"]) for item in with_items["shipmentItems"]] == [
        (order.lines[0].id, 2)
    ]
    assert with_items["orderKey"] == order.id


def test_v1_shipment_tells_what_was_in_the_parcel(world: World, get: Any) -> None:
    order = world.add_shipstation_order("1", [("A", 2), Item("DISCOUNT", 1, adjustment=True)])
    world.buy_labels(order, items=[("A", 1)])
    world.buy_labels(order, items=[])

    rows = get("/shipments?includeShipmentItems=true")["shipments"]

    assert [[(item["sku"], item["quantity"]) for item in row["shipmentItems"]] for row in rows] == [
        [("A", 1)],
        [],
    ]
    assert [item["adjustment"] for item in get(f"/orders/{order.v1_order_id}")["items"]] == [
        False,
        True,
    ]


def test_v1_dates_are_pacific_and_name_no_zone(session: requests.Session) -> None:
    world = World(now=lambda: datetime(2026, 11, 3, 6, 30, 0, 120000, tzinfo=UTC))
    world.buy_labels(world.add_shipstation_order("1"))

    with Simulator(world) as simulator:
        rows = [
            session.get(f"{simulator.url}/shipments?createDateStart={start}", timeout=60).json()[
                "shipments"
            ]
            for start in ("2026-11-02 22:30:00", "2026-11-02 22:30:01")
        ]

    assert [(row["createDate"], row["shipDate"]) for row in rows[0]] == [
        ("2026-11-02T22:30:00.1200000", "2026-11-02")
    ]
    assert rows[1] == []


@pytest.mark.parametrize(
    ("moment", "hour"),
    [
        (datetime(2026, 3, 8, 9, 59, tzinfo=UTC), 1),
        (datetime(2026, 3, 8, 10, 0, tzinfo=UTC), 3),
        (datetime(2026, 11, 1, 8, 59, tzinfo=UTC), 1),
        (datetime(2026, 11, 1, 9, 0, tzinfo=UTC), 1),
        (datetime(2026, 11, 1, 10, 0, tzinfo=UTC), 2),
        (datetime(2027, 3, 14, 10, 0, tzinfo=UTC), 3),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), 16),
    ],
)
def test_pacific_time_knows_when_its_summer_begins_and_ends(moment: datetime, hour: int) -> None:
    assert (pacific(moment).hour, pacific(moment)) == (hour, moment)


def test_v1_order_number_is_searched_by_its_beginning(world: World, get: Any) -> None:
    for reference in ("PD1/1", "PD1/10", "PD2/1"):
        world.add_shipstation_order(reference)

    assert [row["orderNumber"] for row in get("/orders?orderNumber=PD1%2F1")["orders"]] == [
        "PD1/1",
        "PD1/10",
    ]


def test_v1_order_has_the_custom_fields_and_turns_shipped(world: World, get: Any) -> None:
    purple_dot_order = world.add_order("PD3/1")
    order = world.add_shipstation_order(purple_dot_order, style="custom_field")
    before = get(f"/orders/{order.v1_order_id}")

    shipped = world.mark_shipped(order, "USPS", "9400")
    [row] = get(world.v1_fulfillment_shipped(shipped)["resource_url"])["fulfillments"]

    assert (
        before["advancedOptions"]["customField1"],
        before["advancedOptions"]["customField2"],
    ) == (purple_dot_order.id, "PD3/1")
    assert (before["orderStatus"], get(f"/orders/{order.v1_order_id}")["orderStatus"]) == (
        "awaiting_shipment",
        "shipped",
    )
    assert (row["carrierCode"], row["orderId"], "items" in row) == (
        "USPS",
        order.v1_order_id,
        False,
    )


def test_v1_pages_hold_100(world: World, get: Any) -> None:
    world.buy_labels([world.add_shipstation_order(str(number)) for number in range(101)])

    pages = [get(f"/shipments?page={page}") for page in (1, 2, 3)]

    assert [(len(page["shipments"]), page["pages"]) for page in pages] == [(100, 2), (1, 2), (0, 2)]


@pytest.mark.parametrize(
    "path", ["/shipments?orderId=x", "/shipments?page=0", "/shipments?createDateStart=x"]
)
def test_unreadable_v1_query_is_refused_with_a_message(
    simulator: Simulator, session: requests.Session, path: str
) -> None:
    answer = session.get(simulator.url + path, timeout=60)

    assert answer.status_code == 400
    assert answer.json().keys() == {"message"}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/labels/se-1",
        "/v2/shipments/se-1",
        "/v2/nothing",
        "/orders/1",
        "/admin/api/v1/fulfillment-orders/x",
    ],
)
def test_unknown_things_are_404(simulator: Simulator, session: requests.Session, path: str) -> None:
    assert session.get(simulator.url + path, timeout=60).status_code == 404


def test_both_generations_list_the_same_carriers(get: Any) -> None:
    v2 = [row["friendly_name"] for row in get("/v2/carriers")["carriers"]]

    assert [row["name"] for row in get("/carriers")] == v2


@pytest.mark.parametrize("name", payload_files.names())
def test_rows_hold_every_key_of_the_saved_payloads(name: str) -> None:
    world = World()
    order = world.add_shipstation_order(world.add_order(), style="id", with_line_ids=True)
    [label], marked = world.buy_labels(order), world.mark_shipped(order)
    things = {
        "v2_label": label,
        "v1_shipment": label,
        "v2_fulfillment": marked,
        "v1_fulfillment": marked,
    }

    rows = [(kind, saved) for kind, saved in payload_files.load(name).rows if kind != "inline_row"]

    assert {
        kind: saved.keys() - row(kind, things.get(kind, order)).keys() for kind, saved in rows
    } == {kind: set() for kind, _ in rows}
