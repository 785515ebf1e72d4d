"""Which order a text names, however people and systems write it; and what names none costs no
call."""

import uuid
from collections.abc import Callable

import pytest

from bridge.simulator import Item
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]


@pytest.fixture
def bridge(bridges: Callable[..., VirtualBridge]) -> VirtualBridge:
    return bridges(BRIDGE_SHIPSTATION_V1_CUSTOM_FIELDS="true")


TOLD = [
    "ACME-{reference}",
    "ACME{reference}",
    "EXCH-{reference}",
    "Order #{reference}",
    "{reference} (replacement)",
    "{reference}-1",
    "PD {digits}/1",
    "PD-{digits}/1",
    "PD#{digits}/1",
    "ＰＤ{digits}／1",
    "%23PD{digits}%2F1",
    "\u200b{reference}\u200b",
]
ASKED = ["PD{digits}", "#PD {digits}", "PD{digits}-1", "{reference}R", "{reference}2"]


def _ship(bridge: VirtualBridge, text: str) -> tuple[dict[str | None, int], str | None]:
    """A parcel whose order number is this text; what was told of its order, and why a person is
    asked."""
    order = bridge.world.add_order(lines=[("TEE", 1)])
    digits = order.reference.removeprefix("PD").removesuffix("/1")
    number = text.format(reference=order.reference, digits=digits)
    shipment = bridge.world.add_shipstation_order(number, [("TEE", 1)])
    labels = bridge.world.buy_labels(shipment)
    bridge.travel(bridge.world.label_created_v2(labels), bridge.world.ship_notify(labels))
    asked = {
        row["reason"]
        for row in bridge.deliveries()
        if row["status"] == "held" and row["tracking_number"] == labels[0].tracking_number
    }
    return bridge.units(order), next(iter(asked), None)


def test_order_number_that_surely_names_an_order_is_told(bridge: VirtualBridge) -> None:
    outcomes = {text: _ship(bridge, text) for text in TOLD}

    assert outcomes == {text: ({"TEE": 1}, None) for text in TOLD}


def test_order_number_that_may_name_an_order_is_asked(bridge: VirtualBridge) -> None:
    outcomes = {text: _ship(bridge, text) for text in ASKED}

    assert outcomes == {text: ({}, "order_not_found") for text in ASKED}


@pytest.mark.parametrize(
    "text",
    [
        "{number}/1 & 2",
        "{number}/1+2",
        "{number}/1, {number}/2",
        "{number}/1;2",
        "{number}/1|2",
        "{number}/1/2",
        "{number}/1-2",
    ],
)
def test_number_that_names_two_orders_tells_neither_the_others_units(
    bridge: VirtualBridge, text: str
) -> None:
    orders = [bridge.world.add_order(f"PD7/{index}", lines=[("TEE", 2)]) for index in (1, 2)]
    shipment = bridge.world.add_shipstation_order(
        text.format(number="PD7"), [("TEE", 1), ("TEE", 1)]
    )

    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))

    assert [bridge.units(order) for order in orders] == [{}, {}]
    [row] = bridge.deliveries()
    assert row["reason"] == "ambiguous_order"
    assert [item["fate"] for item in row["contents"]] == ["held", "held"]


KEYS = ["{id}", "{id}-1", "PD-{id}", "purpledot:{id}", "{{{id}}}", "{reference}", "fo_{reference}"]


@pytest.mark.parametrize("key", KEYS)
def test_key_that_surely_names_an_order_is_told(bridge: VirtualBridge, key: str) -> None:
    """A key must be unique in ShipStation, so who writes an order again writes something beside
    Purple Dot's id or reference."""
    for notify in (bridge.world.label_created_v2, bridge.world.ship_notify):
        order = bridge.world.add_order(lines=[("TEE", 1)])
        shipment = bridge.world.add_shipstation_order(
            "#1001",
            [("TEE", 1)],
            external_shipment_id=key.format(id=order.id, reference=order.reference),
        )

        bridge.travel(notify(bridge.world.buy_labels(shipment)))

        assert bridge.units(order) == {"TEE": 1}
    assert bridge.exceptions() == []


@pytest.mark.parametrize("key", ["{id}", "{{{id}}}", "{id}-1", "line_{id}"])
def test_line_id_with_something_beside_it_still_names_its_line(
    bridge: VirtualBridge, key: str
) -> None:
    for notify in (bridge.world.label_created_v2, bridge.world.ship_notify):
        order = bridge.world.add_order(lines=[("TEE", 1)])
        items = [Item("SHOP-TEE", 1, line_id=key.format(id=order.lines[0].id))]
        shipment = bridge.world.add_shipstation_order("#1001", items)
        bridge.clock.advance(60)

        bridge.travel(notify(bridge.world.buy_labels(shipment)))

        assert bridge.units(order) == {"TEE": 1}


ORDINARY = [
    "#1001",
    "1001-A",
    "PDX-1001",
    "PDX1001",
    "PD-1001",
    "EB-1001",
    "UPD1234567",
    "S-PD-2024-11",
    "pd-invoice-2026",
    "114-1234567-1234567",
    "550e8400-e29b-41d4-a716-446655440000",
]


NO_KEYS = ["550e8400-e29b-41d4-a716-446655440000"]


def test_ordinary_order_number_costs_neither_a_call_nor_a_person(bridge: VirtualBridge) -> None:
    for number in ORDINARY:
        notes = ("gift for Ada PD15", "PD 15% off, shelf PD12", number[:8])
        shipment = bridge.world.add_shipstation_order(
            number,
            [Item("TEE", 1, order_id=number[-6:])],
            custom_fields=notes,
            external_shipment_id=None if number in NO_KEYS else number,
        )
        labels = bridge.world.buy_labels(shipment)
        bridge.travel(bridge.world.label_created_v2(labels), bridge.world.ship_notify(labels))

    assert bridge.world.count("purple_dot") == 0
    assert bridge.deliveries() == []
    assert {event["reason"] for event in bridge.events()} == {"not_a_purple_dot_order"}


def _ship_with_key(bridge: VirtualBridge, key: str, sku: str, *, is_v1: bool) -> None:
    shipment = bridge.world.add_shipstation_order("#1001", [(sku, 1)], external_shipment_id=key)
    notify = bridge.world.ship_notify if is_v1 else bridge.world.label_created_v2
    bridge.travel(notify(bridge.world.buy_labels(shipment)))


@pytest.mark.parametrize("is_v1", [False, True])
@pytest.mark.parametrize("skus", [("MUG",), tuple(f"MUG-{number}" for number in range(12))])
def test_ids_of_another_system_cost_few_calls_and_hide_no_order(
    bridge: VirtualBridge, skus: tuple[str, ...], *, is_v1: bool
) -> None:
    """Another system's keys have the form of Purple Dot's ids, parcel after parcel; then one of its
    own comes, of the very same goods."""
    older = bridge.world.add_order(lines=[(skus[-1], 1)])
    for number in range(12):
        key = str(uuid.UUID(int=number + 1, version=4))
        _ship_with_key(bridge, key, skus[number % len(skus)], is_v1=is_v1)
    calls = bridge.world.count("purple_dot")

    _ship_with_key(bridge, older.id, skus[-1], is_v1=is_v1)
    bridge.clock.advance(60)
    newer = bridge.world.add_order(lines=[(skus[0], 1)])
    _ship_with_key(bridge, newer.id, skus[0], is_v1=is_v1)

    assert calls <= 16
    assert bridge.units(older) == {skus[-1]: 1}
    assert bridge.units(newer) == {skus[0]: 1}
    assert bridge.exceptions() == []
