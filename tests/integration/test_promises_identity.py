"""One parcel is one fulfillment, whichever records, numbers and APIs it is reported by; and what
a person decided about a record stays decided."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.domain.events import DeliveryStatus
from bridge.operations import repair
from bridge.simulator import Label, ShipStationOrder
from bridge.translate.carriers import Carriers
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]


NUMBER = "1Z7X0410010000016A"
TEE_AND_CAP = [("TEE", 1), ("CAP", 1)]


# Two parts in one box

Webhooks = Callable[[VirtualBridge, ShipStationOrder, ShipStationOrder], list[Json]]


def _v2_label_then_mark(
    bridge: VirtualBridge, first: ShipStationOrder, second: ShipStationOrder
) -> list[Json]:
    label = bridge.world.buy_labels(first, tracking=NUMBER)
    mark = bridge.world.mark_shipped(second, "UPS", NUMBER)
    return [bridge.world.label_created_v2(label), bridge.world.fulfillment_shipped_v2(mark)]


def _mark_then_v2_label(
    bridge: VirtualBridge, first: ShipStationOrder, second: ShipStationOrder
) -> list[Json]:
    return list(reversed(_v2_label_then_mark(bridge, first, second)))


def _v1_label_then_mark(
    bridge: VirtualBridge, first: ShipStationOrder, second: ShipStationOrder
) -> list[Json]:
    label = bridge.world.buy_labels(first, tracking=NUMBER)
    mark = bridge.world.mark_shipped(second, "UPS", NUMBER)
    return [bridge.world.ship_notify(label), bridge.world.v1_fulfillment_shipped(mark)]


def _v2_label_then_inline_row(
    bridge: VirtualBridge, first: ShipStationOrder, second: ShipStationOrder
) -> list[Json]:
    label = bridge.world.buy_labels(first, tracking=NUMBER)
    row = bridge.world.inline_row(second, NUMBER)
    return [bridge.world.label_created_v2(label), bridge.world.inline_fulfillments([row])]


def _labels_on_both_apis(
    bridge: VirtualBridge, first: ShipStationOrder, second: ShipStationOrder
) -> list[Json]:
    one = bridge.world.buy_labels(first, tracking=NUMBER)
    other = bridge.world.buy_labels(second, tracking=NUMBER)
    return [bridge.world.label_created_v2(one), bridge.world.ship_notify(other)]


@pytest.mark.parametrize(
    "webhooks",
    [
        _v2_label_then_mark,
        _mark_then_v2_label,
        _v1_label_then_mark,
        _v2_label_then_inline_row,
        _labels_on_both_apis,
    ],
)
def test_two_parts_in_one_box_are_both_accounted_for(
    bridge: VirtualBridge, webhooks: Webhooks
) -> None:
    order = bridge.world.add_order(lines=TEE_AND_CAP)
    whole = bridge.world.add_shipstation_order(order)
    first, second = bridge.world.split(whole, [[("TEE", 1)], [("CAP", 1)]])

    for webhook in webhooks(bridge, first, second):
        bridge.travel(webhook)

    is_whole = bridge.units(order) == {"TEE": 1, "CAP": 1}
    assert is_whole or bridge.exceptions(), bridge.units(order)
    assert len(bridge.accepted(order)) <= 2


def test_sweep_finds_the_second_order_in_one_box_with_both_apis_on(bridge: VirtualBridge) -> None:
    first, second = bridge.world.add_order(), bridge.world.add_order()
    marks = [
        bridge.world.mark_shipped(bridge.world.add_shipstation_order(order), "UPS", NUMBER)
        for order in (first, second)
    ]
    bridge.travel(
        bridge.world.fulfillment_shipped_v2(marks[0]), bridge.world.v1_fulfillment_shipped(marks[0])
    )

    bridge.sweep()
    bridge.sweep()

    assert len(bridge.accepted(first)) == 1
    assert len(bridge.accepted(second)) == 1


@pytest.mark.parametrize("is_v1_first", [False, True])
@pytest.mark.parametrize("is_numbered_first", [False, True])
def test_mark_without_a_number_is_one_exception_whichever_apis_report_it(
    bridge: VirtualBridge, *, is_v1_first: bool, is_numbered_first: bool
) -> None:
    order = bridge.world.add_order(lines=[("TEE", 1)])
    shipment = bridge.world.add_shipstation_order(order)
    mark = bridge.world.mark_shipped(shipment, "UPS", None)
    reports = [bridge.world.fulfillment_shipped_v2(mark), bridge.world.v1_fulfillment_shipped(mark)]
    first, second = reversed(reports) if is_v1_first else reports
    bridge.travel(first)
    if not is_numbered_first:
        bridge.travel(second)
    assert bridge.exceptions() == ["no_tracking_number"]
    bridge.world.correct_number(mark, NUMBER)

    bridge.travel(second, first)

    assert len(bridge.accepted(order)) == 1
    assert bridge.exceptions() == []


# One record, another number


@pytest.mark.parametrize("family", ["v1", "v2"])
def test_record_that_was_told_under_another_number_is_not_told_again(
    bridge: VirtualBridge, family: str
) -> None:
    order = bridge.world.add_order(lines=[("TEE", 2)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    [label] = bridge.world.buy_labels(shipment)
    notify = bridge.world.ship_notify if family == "v1" else bridge.world.label_created_v2
    bridge.travel(notify(label))
    bridge.world.correct_number(label, "1ZRIGHT002")

    bridge.travel(notify(label))

    assert bridge.units(order) == {"TEE": 1}
    assert bridge.exceptions() == ["tracking_changed_after_delivery"]


@pytest.mark.parametrize(
    ("reported", "is_corrected"),
    [("label mark new", False), ("mark label new", False), ("mark new label", True)],
)
@pytest.mark.parametrize("is_v1", [False, True])
def test_mark_that_was_corrected_is_not_taken_for_its_labels_number(
    patient: VirtualBridge, reported: str, *, is_corrected: bool, is_v1: bool
) -> None:
    """A mark repeated the label's number, and says another one before anything was posted: the
    number that was known of both goes out, and a person is asked about the other."""
    world = patient.world
    order = world.add_order(lines=[("TEE", 2)])
    shipment = world.add_shipstation_order(order, [("TEE", 1)])
    [label] = world.buy_labels(shipment)
    mark = world.mark_shipped(shipment, "UPS", label.tracking_number)
    report_mark = world.v1_fulfillment_shipped if is_v1 else world.fulfillment_shipped_v2
    for what in reported.split():
        if what == "new":
            world.correct_number(mark, NUMBER)
        if what != "label":
            patient.send(report_mark(mark))
        else:
            patient.send(world.ship_notify(label) if is_v1 else world.label_created_v2(label))
        patient.work()

    patient.settle()

    [body] = patient.accepted(order)
    number = NUMBER if is_corrected else label.tracking_number
    assert body["tracking_info"]["number"] == number
    assert patient.units(order) == {"TEE": 1}
    assert patient.exceptions() == ["nothing_left"]


@pytest.mark.parametrize(
    "families",
    [
        ("v1", "v1"),
        ("v2", "v2"),
        ("v1", "v2"),
        ("v2", "v1"),
    ],
)
def test_number_corrected_while_the_delivery_waits_takes_its_place(
    patient: VirtualBridge, families: tuple[str, str]
) -> None:
    order = patient.world.add_order()
    [label] = patient.world.buy_labels(patient.world.add_shipstation_order(order))
    notify = {"v1": patient.world.ship_notify, "v2": patient.world.label_created_v2}
    patient.send(notify[families[0]](label))
    patient.work()
    patient.world.correct_number(label, "1ZRIGHT002")

    patient.travel(notify[families[1]](label))

    [body] = patient.accepted(order)
    assert body["tracking_info"]["number"] == "1ZRIGHT002"
    assert patient.exceptions() == []


@pytest.mark.parametrize("first_to_report", ["label_created_v2", "ship_notify"])
def test_second_label_of_one_parcel_is_held_whichever_api_reports_it_first(
    bridge: VirtualBridge, first_to_report: str
) -> None:
    order = bridge.world.add_order(lines=[("TEE", 2), ("CAP", 2)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    first = bridge.world.buy_labels(shipment)
    bridge.travel(bridge.world.label_created_v2(first), bridge.world.ship_notify(first))
    second = bridge.world.buy_labels(shipment)
    both = [bridge.world.label_created_v2(second), bridge.world.ship_notify(second)]
    if first_to_report == "ship_notify":
        both.reverse()

    for webhook in both:
        bridge.travel(webhook)

    assert bridge.units(order) == {"TEE": 1}
    assert set(bridge.exceptions()) == {"tracking_changed_after_delivery"}


def test_replaced_part_on_v1_leaves_the_other_part_its_unit(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order(lines=[("TEE", 2)])
    whole = bridge.world.add_shipstation_order(order)
    first, second = bridge.world.split(whole, [[("TEE", 1)], [("TEE", 1)]])
    [label] = bridge.world.buy_labels(first)
    bridge.travel(bridge.world.ship_notify(label))
    bridge.clock.advance(3600)
    replacement = bridge.world.replace_label(label)
    bridge.travel(bridge.world.ship_notify(replacement))
    other = bridge.world.buy_labels(second)

    bridge.travel(bridge.world.ship_notify(other))

    numbers = [body["tracking_info"]["number"] for body in bridge.accepted(order)]
    assert numbers == [label.tracking_number, other[0].tracking_number]
    assert "tracking_changed_after_delivery" in bridge.exceptions()


SPELLINGS = {
    "USPS, as it is scanned": ("9400111899223100001234", "420972099400111899223100001234"),
    "USPS, ZIP code set apart": ("9400111899223100001234", "420972091234 9400111899223100001234"),
    "UPS, in groups and small": ("1Z999AA10123456784", "1z 999 aa1 01 2345 6784\t"),
    "UPS, O for 0": ("1Z999AA10123456784", "1Z999AA1O123456784"),
    "UPS, dash of a word processor": ("1Z999AA10123456784", "1Z999AA1\u20100123456784"),
    "UPS, with the count of boxes": ("1Z999AA10123456784", "1Z999AA10123456784 (1 of 2)"),
    "FedEx, from a spreadsheet": ("771234567890", "771234567890.0"),
    "FedEx, as it is scanned": ("771234567890", "1019213455990987654300771234567890"),
    "Amazon, in two words": ("TBA123456789000", "tba 123456789000"),
    "post, full-width": ("RX123456785GB", "ＲＸ１２３４５６７８５ＧＢ"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_number_in_another_spelling_makes_no_second_parcel(
    bridge: VirtualBridge, name: str
) -> None:
    printed, written = SPELLINGS[name]
    order = bridge.world.add_order(lines=[("TEE", 2)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    [label] = bridge.world.buy_labels(shipment, tracking=printed)
    mark = bridge.world.mark_shipped(shipment, "UPS", written)

    bridge.travel(bridge.world.fulfillment_shipped_v2(mark))
    bridge.travel(bridge.world.label_created_v2(label), bridge.world.ship_notify(label))

    [body] = bridge.accepted(order)
    assert body["tracking_info"]["number"].upper() == printed
    assert bridge.units(order) == {"TEE": 1}
    assert bridge.exceptions() == []


# One of several records is void


def _mark_and_label(bridge: VirtualBridge, shipment: ShipStationOrder) -> tuple[list[Json], Any]:
    mark = bridge.world.mark_shipped(shipment, "UPS", NUMBER)
    [label] = bridge.world.buy_labels(shipment, tracking=NUMBER)
    world = bridge.world
    return [world.fulfillment_shipped_v2(mark), world.label_created_v2(label)], mark


def _label_and_mark(bridge: VirtualBridge, shipment: ShipStationOrder) -> tuple[list[Json], Any]:
    webhooks, mark = _mark_and_label(bridge, shipment)
    return list(reversed(webhooks)), mark


def _mark_and_label_of_v1(
    bridge: VirtualBridge, shipment: ShipStationOrder
) -> tuple[list[Json], Any]:
    mark = bridge.world.mark_shipped(shipment, "UPS", NUMBER)
    [label] = bridge.world.buy_labels(shipment, tracking=NUMBER)
    return [bridge.world.v1_fulfillment_shipped(mark), bridge.world.ship_notify(label)], mark


def _two_marks(bridge: VirtualBridge, shipment: ShipStationOrder) -> tuple[list[Json], Any]:
    marks = [bridge.world.mark_shipped(shipment, "UPS", NUMBER) for _ in range(2)]
    return [bridge.world.fulfillment_shipped_v2(mark) for mark in marks], marks[1]


def _two_labels(bridge: VirtualBridge, shipment: ShipStationOrder) -> tuple[list[Json], Any]:
    labels = [bridge.world.buy_labels(shipment, tracking=NUMBER)[0] for _ in range(2)]
    return [bridge.world.label_created_v2(label) for label in labels], labels[1]


@pytest.mark.parametrize("is_told", [True, False], ids=["void told", "void only read"])
@pytest.mark.parametrize(
    "records",
    [_mark_and_label, _label_and_mark, _mark_and_label_of_v1, _two_marks, _two_labels],
)
def test_parcel_outlasts_the_void_of_one_of_its_records(
    patient: VirtualBridge, records: Callable[..., tuple[list[Json], Any]], *, is_told: bool
) -> None:
    order = patient.world.add_order(lines=TEE_AND_CAP)
    webhooks, void = records(patient, patient.world.add_shipstation_order(order))
    for webhook in webhooks:
        patient.send(webhook)
        patient.work()
    if isinstance(void, Label):
        patient.world.void_label(void)
    else:
        patient.world.void_fulfillment(void)

    if is_told:
        patient.sweep(after=300)
    patient.settle()
    patient.sweep()

    assert patient.units(order) == {"TEE": 1, "CAP": 1}
    # What was told is not taken back; that a mark of it is void by now may be asked about.
    assert set(patient.exceptions()) <= {"voided_after_delivery"}


def test_parcel_of_which_every_record_is_void_is_not_told(patient: VirtualBridge) -> None:
    order = patient.world.add_order(lines=TEE_AND_CAP)
    shipment = patient.world.add_shipstation_order(order)
    [label] = patient.world.buy_labels(shipment, tracking=NUMBER)
    mark = patient.world.mark_shipped(shipment, "UPS", NUMBER)
    patient.send(patient.world.fulfillment_shipped_v2(mark))
    patient.work()
    patient.send(patient.world.label_created_v2(label))
    patient.work()
    patient.world.void_label(label)
    patient.world.void_fulfillment(mark)

    patient.settle()
    patient.sweep()

    assert patient.accepted(order) == []
    assert patient.exceptions() == []
    assert patient.left_without_a_time() == []


# What a person decided


def _ambiguous(bridge: VirtualBridge) -> tuple[Any, Any, Json]:
    """A parcel that names two orders; both, and its webhook."""
    first, second = bridge.world.add_order(), bridge.world.add_order()
    shipment = bridge.world.add_shipstation_order(
        first, custom_fields=(second.reference, None, None)
    )
    webhook = bridge.world.label_created_v2(bridge.world.buy_labels(shipment))
    bridge.travel(webhook)
    return first, second, webhook


def test_linked_parcel_that_is_reported_again_tells_nothing_new(bridge: VirtualBridge) -> None:
    first, second, webhook = _ambiguous(bridge)
    bridge.link(bridge.deliveries()[0]["id"], first)
    bridge.settle()

    bridge.travel(webhook)

    assert len(bridge.accepted(first)) == 1
    assert bridge.accepted(second) == []
    assert bridge.exceptions() == []


def test_link_outlasts_a_failure_and_a_repetition(bridge: VirtualBridge) -> None:
    first, _, webhook = _ambiguous(bridge)
    bridge.link(bridge.deliveries()[0]["id"], first)
    bridge.simulator.inject("purple_dot.*", "status:503", 1)
    bridge.work()

    bridge.send(webhook)
    bridge.settle()

    assert len(bridge.accepted(first)) == 1
    assert bridge.exceptions() == []


def test_wrong_link_that_was_corrected_leaves_no_exception(bridge: VirtualBridge) -> None:
    wrong = bridge.world.add_order(lines=[("MUG", 1)])
    right = bridge.world.add_order(lines=[("TEE", 1)])
    shipment = bridge.world.add_shipstation_order("PD9999999/1", [("TEE", 1)])
    webhook = bridge.world.label_created_v2(bridge.world.buy_labels(shipment))
    bridge.travel(webhook)
    for order in (wrong, right):
        open_rows = [row for row in bridge.deliveries() if row["status"] == "held"]
        bridge.link(open_rows[0]["id"], order)
        bridge.settle()

    bridge.travel(webhook)

    assert bridge.units(right) == {"TEE": 1}
    assert bridge.exceptions() == []
    assert all(row["reason"] for row in bridge.deliveries() if row["status"] == "cancelled")


@pytest.mark.parametrize("family", ["label_created_v2", "ship_notify"])
def test_told_record_that_names_another_order_now_is_an_exception(
    bridge: VirtualBridge, family: str
) -> None:
    first, second = bridge.world.add_order(), bridge.world.add_order()
    shipment = bridge.world.add_shipstation_order(first)
    label = bridge.world.buy_labels(shipment)
    bridge.travel(bridge.world.label_created_v2(label))
    shipment.shipment_number = second.reference

    bridge.travel(getattr(bridge.world, family)(label))

    assert len(bridge.accepted(first)) == 1
    assert bridge.accepted(second) == []
    assert len(bridge.exceptions()) == 1


def test_closed_parcel_that_is_reported_again_stays_closed(bridge: VirtualBridge) -> None:
    _, _, webhook = _ambiguous(bridge)
    bridge.repair(
        bridge.deliveries()[0]["id"],
        repair.resolve,
        status=DeliveryStatus.CANCELLED,
        reason="the shopper took the parcel at the counter",
    )

    bridge.travel(webhook)

    assert bridge.exceptions() == []
    assert bridge.accepted() == []


# A number that a carrier uses again


@pytest.mark.parametrize("is_v1", [False, True])
def test_label_after_a_parcel_that_was_closed_by_hand_asks_whose_goods_it_holds(
    bridge: VirtualBridge, *, is_v1: bool
) -> None:
    """A person fulfilled in Purple Dot what the first parcel held; which goods, nobody wrote
    down."""
    order = bridge.world.add_order(lines=[("TEE", 2)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 3)])
    [label] = bridge.world.buy_labels(shipment)
    notify = bridge.world.ship_notify if is_v1 else bridge.world.label_created_v2
    bridge.travel(notify(label))
    closed = {"status": DeliveryStatus.DELIVERED, "reason": "fulfilled there"}
    bridge.repair(bridge.newest("dlv"), repair.resolve, **closed)

    bridge.travel(notify(bridge.world.buy_labels(shipment, items=[("TEE", 1)])))

    assert bridge.units(order) == {}
    assert bridge.exceptions() == ["over_quantity"]
    bridge.repair(
        bridge.newest("dlv"),
        repair.fulfill_chosen,
        carriers=Carriers(),
        chosen={order.lines[0].id: 1},
    )
    bridge.settle()
    assert bridge.units(order) == {"TEE": 1}


@pytest.mark.parametrize("found_by", ["webhook", "sweep"])
def test_void_of_a_number_used_again_leaves_the_old_delivery_alone(
    bridge: VirtualBridge, found_by: str
) -> None:
    order = bridge.world.add_order()
    mark = bridge.world.mark_shipped(bridge.world.add_shipstation_order(order), "UPS", NUMBER)
    bridge.travel(bridge.world.fulfillment_shipped_v2(mark))
    bridge.clock.advance(400 * 86_400)
    shop = bridge.world.add_shipstation_order("100482")
    [label] = bridge.world.buy_labels(shop, tracking=NUMBER)
    bridge.world.void_label(label)

    if found_by == "webhook":
        bridge.travel(bridge.world.label_created_v2(label))
    else:
        bridge.sweep()

    assert [row["status"] for row in bridge.deliveries(order)] == ["delivered"]
