"""What a vendor leaves out is not known, what it says is used, one row's trouble is its own."""

from typing import Any

import pytest

from bridge.operations import repair
from bridge.operations.explain import explain_delivery
from bridge.simulator import Item, PurpleDotOrder
from bridge.simulator.faults import NO_IN_A_SUCCESS
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]


TEES_AND_CAP = [("TEE", 2), ("CAP", 1)]
QUARTER = 900
POST = "purple_dot.create_fulfillment"


# An order that ShipStation does not show


def test_order_that_is_missing_once_loses_no_parcel(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order()
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    bridge.simulator.inject("shipstation.shipment", "status:404", 1)

    bridge.travel(bridge.world.label_created_v2(labels))
    bridge.sweep(after=QUARTER)

    assert len(bridge.accepted(order)) == 1
    assert bridge.exceptions() == []


def test_order_that_stays_missing_is_an_exception(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order()
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    bridge.simulator.inject("shipstation.shipment", "status:404", None)

    bridge.travel(bridge.world.label_created_v2(labels))
    for _ in range(3):
        bridge.sweep(after=QUARTER)

    assert bridge.accepted(order) == []
    assert len(bridge.exceptions()) == 1


def test_v1_order_that_is_missing_once_needs_no_person(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order()
    mark = bridge.world.mark_shipped(bridge.world.add_shipstation_order(order))
    bridge.simulator.inject("shipstation_v1.order", "status:404", 1)

    bridge.travel(bridge.world.v1_fulfillment_shipped(mark))

    assert len(bridge.accepted(order)) == 1
    assert bridge.exceptions() == []


def test_order_of_purple_dot_that_is_missing_once_by_its_id_loses_no_parcel(
    bridge: VirtualBridge,
) -> None:
    order = bridge.world.add_order()
    shipment = bridge.world.add_shipstation_order(order, style="id", shipment_number="100482")
    labels = bridge.world.buy_labels(shipment)
    bridge.simulator.inject("purple_dot.order", "status:404", 1)

    bridge.travel(bridge.world.label_created_v2(labels))

    assert len(bridge.accepted(order)) == 1 or bridge.exceptions()


# What was just read


@pytest.mark.parametrize("kind", ["label_created_v2", "ship_notify", "fulfillment_shipped_v2"])
def test_number_corrected_before_the_post_is_the_one_that_is_posted(
    patient: VirtualBridge, kind: str
) -> None:
    order = patient.world.add_order()
    shipment = patient.world.add_shipstation_order(order)
    if kind == "fulfillment_shipped_v2":
        parcel: Any = patient.world.mark_shipped(shipment)
    else:
        [parcel] = patient.world.buy_labels(shipment)
    patient.send(getattr(patient.world, kind)(parcel))
    patient.work()
    patient.world.correct_number(parcel, "1ZRIGHT002")

    patient.settle()

    [body] = patient.accepted(order)
    assert body["tracking_info"]["number"] == "1ZRIGHT002"


@pytest.mark.parametrize("is_retried", [False, True])
def test_number_that_is_corrected_to_an_ordinary_one_ends_the_search(
    bridge: VirtualBridge, *, is_retried: bool
) -> None:
    """It was looked for as an order of Purple Dot's; a person, or the next look, reads that it is
    none. Corrected once more, it goes out."""
    order = bridge.world.add_order("PD7654321/1", lines=[("TEE", 1)])
    shipment = bridge.world.add_shipstation_order("PD7654312/1", [("TEE", 1)])
    labels = bridge.world.buy_labels(shipment)
    bridge.send(bridge.world.label_created_v2(labels))
    bridge.work()
    if is_retried:
        bridge.settle()
    shipment.shipment_number = "#1001"
    if is_retried:
        bridge.repair(bridge.newest("dlv"), repair.retry)

    bridge.settle()
    bridge.travel(bridge.world.label_created_v2(labels), bridge.world.ship_notify(labels))

    [row] = bridge.deliveries()
    assert (row["status"], row["reason"]) == ("cancelled", "not_a_purple_dot_order")
    assert {event["reason"] for event in bridge.events()[1:]} == {"not_a_purple_dot_order"}
    shipment.shipment_number = order.reference
    bridge.travel(bridge.world.label_created_v2(labels))
    assert bridge.units(order) == {"TEE": 1}


def test_order_number_corrected_before_the_post_is_the_one_that_counts(
    patient: VirtualBridge,
) -> None:
    wrong, right = (patient.world.add_order(lines=[("TEE", 1)]) for _ in range(2))
    shipment = patient.world.add_shipstation_order(wrong)
    labels = patient.world.buy_labels(shipment)
    patient.send(patient.world.label_created_v2(labels))
    patient.work()
    shipment.shipment_number = right.reference

    patient.travel(patient.world.label_created_v2(labels))

    assert patient.units(wrong) == {}
    assert patient.units(right) == {"TEE": 1} or patient.exceptions()


def test_label_known_to_be_void_is_not_posted_for_an_inline_row(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order()
    shipment = bridge.world.add_shipstation_order(order)
    [label] = bridge.world.buy_labels(shipment)
    bridge.simulator.inject(POST, "drop_before", 1)
    row = bridge.world.inline_row(shipment, str(label.tracking_number))
    bridge.send(bridge.world.inline_fulfillments([row]))
    bridge.work()
    bridge.world.void_label(label)

    bridge.travel(bridge.world.label_created_v2(label))

    assert bridge.accepted(order) == []


def test_order_that_purple_dot_replaced_is_not_ambiguous(bridge: VirtualBridge) -> None:
    old = bridge.world.add_order("PD7/1", [("TEE", 2)])
    shipment = bridge.world.add_shipstation_order(old, [("TEE", 1)])
    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    del bridge.world.orders[old.id]
    new = bridge.world.add_order("PD7/1", [("TEE", 2)])
    other = bridge.world.add_shipstation_order(new, [("TEE", 1)])

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(other)))

    assert len(bridge.accepted(new)) == 1
    assert bridge.exceptions() == []


# Voids


@pytest.mark.parametrize("kind", ["label", "mark"])
def test_late_void_is_found_behind_any_number_of_touched_rows(
    bridge: VirtualBridge, kind: str
) -> None:
    order = bridge.world.add_order()
    shipment = bridge.world.add_shipstation_order(order)
    old: list[Any] = []
    for _ in range(100):
        shop = bridge.world.add_shipstation_order("100482")
        if kind == "label":
            old.append(bridge.world.void_label(bridge.world.buy_labels(shop)[0]))
        else:
            old.append(bridge.world.void_fulfillment(bridge.world.mark_shipped(shop)))
    if kind == "label":
        [label] = bridge.world.buy_labels(shipment)
        bridge.travel(bridge.world.label_created_v2(label))
    else:
        mark = bridge.world.mark_shipped(shipment)
        bridge.travel(bridge.world.fulfillment_shipped_v2(mark))
    bridge.clock.advance(3 * 86_400)
    if kind == "label":
        bridge.world.void_label(label)
    else:
        bridge.world.void_fulfillment(mark)
    bridge.clock.advance(1)
    bridge.world.touch(*old)

    for _ in range(3):
        bridge.sweep(after=QUARTER)

    assert bridge.exceptions() == ["voided_after_delivery"]


@pytest.mark.parametrize("family", ["fulfillment_shipped_v2", "v1_fulfillment_shipped"])
def test_void_that_was_only_requested_is_no_void(bridge: VirtualBridge, family: str) -> None:
    order = bridge.world.add_order()
    mark = bridge.world.mark_shipped(bridge.world.add_shipstation_order(order))
    bridge.world.request_void(mark)
    bridge.send(getattr(bridge.world, family)(mark))
    bridge.work()
    bridge.world.deny_void(mark)

    bridge.settle()
    bridge.sweep(after=QUARTER)

    assert len(bridge.accepted(order)) == 1 or bridge.exceptions()


# Items that can't be read

SHOP_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
ODD_ITEMS: dict[str, tuple[str, list[Item]]] = {
    "no quantity": ("v2", [Item("TEE", None), Item("CAP", 1)]),
    "no quantity on V1": ("v1", [Item("TEE", None), Item("CAP", 1)]),
    "a unit taken back": ("v2", [Item("TEE", 2), Item("TEE", -1)]),
    "half a unit in words": ("v2", [Item("TEE", "1/2"), Item("CAP", 1)]),
    "no unit": ("v2", [Item("TEE", 0), Item("CAP", 1)]),
    "units in words": ("v1", [Item("TEE", "one"), Item("CAP", 1)]),
    "a list for a number": ("v2", [Item("TEE", []), Item("CAP", 1)]),
    "nothing that could be read": ("v2", [Item(None, -1), Item("CAP", 1)]),
    "half a set of a kit": (
        "v2",
        [Item("CAP", 1, bundle_sku="TEE"), Item("PIN", 2, bundle_sku="TEE")],
    ),
}


@pytest.mark.parametrize("name", ODD_ITEMS)
def test_items_that_can_not_be_placed_hold_the_parcel(bridge: VirtualBridge, name: str) -> None:
    family, items = ODD_ITEMS[name]
    order = bridge.world.add_order(lines=TEES_AND_CAP)
    shipment = bridge.world.add_shipstation_order(order, items)
    labels = bridge.world.buy_labels(shipment)
    notify = bridge.world.label_created_v2 if family == "v2" else bridge.world.ship_notify

    bridge.travel(notify(labels))

    assert "CAP" not in bridge.units(order)
    assert bridge.units(order) in ({}, {"TEE": 1})
    assert len(bridge.exceptions()) == 1 or name == "half a set of a kit"


@pytest.mark.parametrize("family", ["label_created_v2", "ship_notify"])
def test_unit_with_the_line_id_of_another_pre_order_is_not_counted(
    bridge: VirtualBridge, family: str
) -> None:
    order = bridge.world.add_order(lines=TEES_AND_CAP)
    items = [Item("TEE", 1, line_id=order.lines[0].id), Item("TEE", 1, line_id=SHOP_ID)]
    shipment = bridge.world.add_shipstation_order(order, items)

    bridge.travel(getattr(bridge.world, family)(bridge.world.buy_labels(shipment)))

    assert bridge.units(order) in ({}, {"TEE": 1})
    assert len(bridge.exceptions()) == 1


@pytest.mark.parametrize("by", ["id", "reference"])
def test_goods_that_name_the_order_and_stand_on_no_line_hold_the_parcel(
    bridge: VirtualBridge, by: str
) -> None:
    order = bridge.world.add_order(lines=[("MUG", 1)])
    name = order.id if by == "id" else order.reference
    items = [Item("MUG", 1, order_id=name), Item("TEE", 1, order_id=name)]
    shipment = bridge.world.add_shipstation_order(order, items)

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))

    assert bridge.units(order) == {}
    assert bridge.exceptions() == ["unknown_line"]


@pytest.mark.parametrize("sku", ["TEE@M", "T" * 200])
def test_sku_of_any_form_is_read(bridge: VirtualBridge, sku: str) -> None:
    for notify in (bridge.world.label_created_v2, bridge.world.ship_notify):
        order = bridge.world.add_order(lines=[(sku, 1), ("CAP", 1)])
        labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))

        bridge.travel(notify(labels))

        assert bridge.units(order) == {sku: 1, "CAP": 1}


@pytest.mark.parametrize("sku", ["ada@example.com", "T" * 300, None])
def test_goods_whose_sku_is_not_kept_or_missing_on_both_sides_ask_a_person(
    bridge: VirtualBridge, sku: str | None
) -> None:
    order = bridge.world.add_order(lines=[(sku, 1), ("CAP", 1)])
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))

    bridge.travel(bridge.world.label_created_v2(labels))

    assert bridge.units(order) == {}
    [row] = bridge.deliveries()
    assert row["reason"] == "unknown_line"
    assert [item["fate"] for item in row["contents"]] == ["held", "held"]


def test_sku_that_two_spellings_fit_holds_the_parcel(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order(lines=[("abc", 1), ("ABC", 1), ("CAP", 1)])
    shipment = bridge.world.add_shipstation_order(order, [("Abc", 1), ("CAP", 1)])

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))

    assert bridge.exceptions() == ["unknown_line"]


# Purple Dot's answers


def _part(bridge: VirtualBridge) -> tuple[PurpleDotOrder, Any]:
    """An order of which one unit leaves; its label's webhook."""
    order = bridge.world.add_order(lines=TEES_AND_CAP)
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    return order, bridge.world.label_created_v2(bridge.world.buy_labels(shipment))


@pytest.mark.parametrize("lines", [[], [{"id": "x", "sku": "TEE"}]], ids=["none", "no quantities"])
def test_order_without_units_completes_nothing(bridge: VirtualBridge, lines: list[Any]) -> None:
    order, webhook = _part(bridge)
    bridge.simulator.inject(POST, "drop_after_commit", 1)
    bridge.send(webhook)
    while not bridge.world.fulfillments and bridge.step():
        pass
    order.overrides = {"line_items": lines}

    bridge.settle()

    assert len(bridge.sent) == 1
    assert bridge.exceptions() == ["unconfirmed_partial"]


@pytest.mark.parametrize("number", range(len(NO_IN_A_SUCCESS)))
def test_no_in_a_success_is_not_taken_for_a_yes(bridge: VirtualBridge, number: int) -> None:
    order, webhook = _part(bridge)
    bridge.simulator.inject(POST, f"no_in_a_success:{number}", 1)

    bridge.travel(webhook)

    assert bridge.accepted(order) == []
    assert bridge.exceptions() in (["unconfirmed_partial"], ["rejected_by_purple_dot"])


@pytest.mark.parametrize("code", [301, 302, 303, 307])
def test_redirect_of_a_post_is_no_refusal(bridge: VirtualBridge, code: int) -> None:
    order = bridge.world.add_order(lines=[("TEE", 9)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    bridge.simulator.inject(POST, f"redirect_after_commit:{code}", None)

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))

    assert bridge.units(order) == {"TEE": 1}
    assert bridge.exceptions() == ["unconfirmed_partial"]


def test_unknown_status_of_an_order_holds_the_parcel(bridge: VirtualBridge) -> None:
    order, webhook = _part(bridge)
    order.overrides = {"status": "CANCELED"}

    bridge.travel(webhook)

    assert bridge.accepted(order) == []
    assert len(bridge.exceptions()) == 1


# One row's trouble


UNREADABLE: list[Any] = [
    {"packages": [None]},
    {"external_order_id": 12.0},
    {"is_return_label": "n/a"},
    {"voided": ""},
    {"shipment_id": "se-?"},
    {"shipment_id": None},
    {"label_id": None},
    {"tracking_number": {"value": 1}},
    {"packages": "none", "ship_date": 20261129, "carrier_code": 5},
]


@pytest.mark.parametrize("fields", UNREADABLE, ids=str)
def test_row_that_can_not_be_read_is_set_aside_alone(
    bridge: VirtualBridge, fields: dict[str, Any]
) -> None:
    orders = [bridge.world.add_order() for _ in range(3)]
    labels = bridge.world.buy_labels([bridge.world.add_shipstation_order(o) for o in orders])
    labels[1].overrides = fields

    bridge.travel(bridge.world.label_created_v2(labels))

    assert len(bridge.accepted(orders[0])) == 1
    assert len(bridge.accepted(orders[2])) == 1
    assert len(bridge.accepted(orders[1])) == 1 or bridge.exceptions()


@pytest.mark.parametrize("lines", [[{"quantity": 1}], [{"id": "x", "quantity": 1.5}], "none"])
def test_order_of_purple_dot_that_can_not_be_read_is_set_aside_alone(
    bridge: VirtualBridge, lines: Any
) -> None:
    """Two orders in one look-up, and one that only Purple Dot's list of orders shows."""
    odd, order, listed = (bridge.world.add_order(lines=[("TEE", 1)]) for _ in range(3))
    odd.overrides = {"line_items": lines}
    shipments = [bridge.world.add_shipstation_order(each) for each in (odd, order)]
    items = [Item("TEE", 1, line_id=listed.lines[0].id)]
    shipments.append(bridge.world.add_shipstation_order("#1001", items))

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipments)))

    assert [bridge.units(each) for each in (odd, order, listed)] == [{}, {"TEE": 1}, {"TEE": 1}]
    assert bridge.exceptions() == ["unknown_line"]


def test_v1_label_without_an_order_number_is_looked_at_with_its_order(
    bridge: VirtualBridge,
) -> None:
    order = bridge.world.add_order(lines=[("TEE", 1)])
    shipments = [bridge.world.add_shipstation_order(order), bridge.world.add_shipstation_order("7")]
    labels = bridge.world.buy_labels(shipments)
    for label in labels:
        label.overrides = {"orderNumber": None}

    bridge.travel(bridge.world.ship_notify(labels))

    assert bridge.units(order) == {"TEE": 1}
    assert bridge.exceptions() == []


ODD_FIELDS: list[dict[str, Any]] = [
    {"packages": "none"},
    {"carrier_code": ["ups"]},
    {"service_code": {"name": "ground"}},
    {"tracking_number": {"value": "1Z"}},
    {"external_order_id": 5.5},
]


@pytest.mark.parametrize("odd", ODD_FIELDS)
def test_odd_field_makes_no_exception_of_an_ordinary_parcel(
    bridge: VirtualBridge, odd: dict[str, Any]
) -> None:
    order = bridge.world.add_order(lines=[("TEE", 1)])
    ordinary = bridge.world.add_shipstation_order("#1001")
    labels = bridge.world.buy_labels([ordinary, bridge.world.add_shipstation_order(order)])
    for label in labels:
        label.overrides = odd

    bridge.travel(bridge.world.label_created_v2(labels))

    assert bridge.units(order) == {"TEE": 1} or bridge.exceptions() == ["no_tracking_number"]
    assert len(bridge.deliveries()) == 1


@pytest.mark.parametrize("family", ["label_created_v2", "ship_notify"])
def test_order_that_is_an_empty_object_is_set_aside_alone(
    bridge: VirtualBridge, family: str
) -> None:
    orders = [bridge.world.add_order(lines=TEES_AND_CAP) for _ in range(3)]
    shipments = [bridge.world.add_shipstation_order(order) for order in orders]
    labels = bridge.world.buy_labels(shipments)
    shipments[1].overrides = dict.fromkeys(
        ("shipment_id", "orderId", "items", "advanced_options", "advancedOptions")
    )

    bridge.travel(getattr(bridge.world, family)(labels))

    assert len(bridge.accepted(orders[0])) == 1
    assert len(bridge.accepted(orders[2])) == 1
    assert bridge.accepted(orders[1]) or bridge.exceptions() == ["no_items"]


@pytest.mark.parametrize(
    "fault", ["status:400", "status:403", "redirect_login", "no_data", "success_false"]
)
def test_id_of_another_system_fails_none_of_its_neighbors(
    bridge: VirtualBridge, fault: str
) -> None:
    order = bridge.world.add_order()
    other_system = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    shipments = [
        bridge.world.add_shipstation_order(order),
        bridge.world.add_shipstation_order("100482", external_shipment_id=other_system),
    ]
    labels = bridge.world.buy_labels(shipments)
    bridge.simulator.inject("purple_dot.order", fault, None)

    bridge.travel(bridge.world.label_created_v2(labels))

    assert len(bridge.accepted(order)) == 1
    assert "credentials_refused" not in bridge.exceptions()


# What a person reads


def test_each_unit_of_a_merged_parcel_stands_in_one_table(bridge: VirtualBridge) -> None:
    first = bridge.world.add_order(lines=[("TEE", 1)])
    second = bridge.world.add_order(lines=[("CAP", 2)])
    shipments = [bridge.world.add_shipstation_order(order) for order in (first, second)]
    bridge.world.merge(*shipments, names_orders="id")

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipments[0])))

    for row in bridge.deliveries():
        story = "\n".join(explain_delivery(row))
        assert "1 × TEE: sent to Purple Dot" in story
        assert "2 × CAP: sent to Purple Dot" in story


def test_units_of_a_parcel_of_no_known_order_are_named(bridge: VirtualBridge) -> None:
    shipment = bridge.world.add_shipstation_order("PD9999999/1", [("MUG", 3), ("TEE", 1)])
    bridge.send(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    bridge.work()
    [searched] = bridge.deliveries()
    bridge.settle()
    [held] = bridge.deliveries()

    assert "3 × MUG: looked at again" in "\n".join(explain_delivery(searched))
    assert "3 × MUG: held for a person" in "\n".join(explain_delivery(held))
    assert "1 × TEE: held for a person" in "\n".join(explain_delivery(held))


def test_units_that_purple_dot_refused_are_not_called_sent(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order(lines=[("TEE", 1)])
    bridge.simulator.inject(POST, "status:422", None)
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))

    bridge.travel(bridge.world.label_created_v2(labels))

    [row] = bridge.deliveries()
    assert "1 × TEE: held for a person" in "\n".join(explain_delivery(row))


def test_goods_left_out_stay_named_on_the_delivered_parcel(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order(lines=[("TEE", 1)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1), ("SHOP-SOCKS", 1)])

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))

    [row] = bridge.deliveries(order)
    assert row["status"] == "delivered"
    assert "SHOP-SOCKS" in str(row)
