"""For each reason of the closed list the webhooks that lead to it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.domain.reasons import Reason
from bridge.simulator import PurpleDotOrder, ShipStationOrder
from tests.support.virtual_bridge import Json, VirtualBridge

TEES_AND_CAP = (("TEE", 2), ("CAP", 1))
ONE_TEE = (("TEE", 1),)
ALWAYS = 99


@dataclass
class Reached:
    """Where a story stands: the event or the delivery that has the reason, and what was on the way
    there."""

    id: str
    order: PurpleDotOrder | None = None
    shipment: ShipStationOrder | None = None
    webhook: Json | None = None


def _event(bridge: VirtualBridge, webhook: Json, **met: Any) -> Reached:
    """The webhook's own event ends with the reason."""
    return Reached(bridge.travel(webhook)[-1], webhook=webhook, **met)


def _delivery(bridge: VirtualBridge, webhook: Json, **met: Any) -> Reached:
    """The newest delivery ends with the reason."""
    bridge.travel(webhook)
    return Reached(bridge.newest("dlv"), webhook=webhook, **met)


def _label(
    bridge: VirtualBridge, items: Any = None, *, lines: Any = TEES_AND_CAP, **named: Any
) -> Reached:
    """A V2 label of an order; its delivery."""
    order = bridge.world.add_order(lines=lines)
    shipment = bridge.world.add_shipstation_order(order, items, **named)
    webhook = bridge.world.label_created_v2(bridge.world.buy_labels(shipment))
    return _delivery(bridge, webhook, order=order, shipment=shipment)


# Ignored


def _foreign(bridge: VirtualBridge) -> Reached:
    return _event(
        bridge,
        bridge.world.ship_notify(
            bridge.world.buy_labels(bridge.world.add_shipstation_order("100482"))
        ),
    )


def _return(bridge: VirtualBridge) -> Reached:
    shipment = bridge.world.add_shipstation_order(bridge.world.add_order())
    return _event(
        bridge, bridge.world.label_created_v2(bridge.world.buy_labels(shipment, is_return=True))
    )


def _voided(bridge: VirtualBridge) -> Reached:
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    return _event(bridge, bridge.world.label_created_v2(bridge.world.void_label(label)))


def _never_finished(bridge: VirtualBridge) -> Reached:
    shipment = bridge.world.add_shipstation_order(bridge.world.add_order())
    return _event(
        bridge,
        bridge.world.label_created_v2(bridge.world.buy_labels(shipment, status="processing")),
    )


def _other_type(bridge: VirtualBridge) -> Reached:
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    return _event(bridge, bridge.world.track_event_v2(label))


def _again(bridge: VirtualBridge) -> Reached:
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    bridge.travel(bridge.world.label_created_v2(labels))
    return _event(bridge, bridge.world.ship_notify(labels))


# Held


def ambiguous(bridge: VirtualBridge) -> Reached:
    other = bridge.world.add_order(lines=TEES_AND_CAP)
    return _label(bridge, custom_fields=(other.reference, None, None))


def not_found(bridge: VirtualBridge) -> Reached:
    shipment = bridge.world.add_shipstation_order("PD730/1", list(TEES_AND_CAP))
    return _delivery(
        bridge, bridge.world.label_created_v2(bridge.world.buy_labels(shipment)), shipment=shipment
    )


def cancelled(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order(status="VOIDED")
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    return _delivery(bridge, bridge.world.ship_notify(labels), order=order)


def elsewhere(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order()
    bridge.world.fulfill_elsewhere(order)
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    return _delivery(bridge, bridge.world.label_created_v2(labels), order=order)


def _merged(bridge: VirtualBridge) -> Reached:
    world = bridge.world
    first, second = (world.add_order(lines=lines) for lines in ((("TEE", 1),), (("CAP", 1),)))
    survivor, other = (
        world.add_shipstation_order(order, with_line_ids=False) for order in (first, second)
    )
    world.merge(survivor, other, keeps_line_ids=False)
    labels = world.buy_labels(survivor)
    return _delivery(bridge, world.ship_notify(labels), order=first, shipment=survivor)


def nothing_left(bridge: VirtualBridge) -> Reached:
    first = _label(bridge, ONE_TEE, lines=(("TEE", 1), ("CAP", 1)))
    assert first.order
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(first.order, ONE_TEE))
    return _delivery(bridge, bridge.world.label_created_v2(labels), order=first.order)


def unknown_line(bridge: VirtualBridge) -> Reached:
    return _label(bridge, [("SHIRT", 2)])


def no_items(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order()
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order), items=[])
    return _delivery(bridge, bridge.world.item_ship_notify(labels), order=order)


def too_many(bridge: VirtualBridge) -> Reached:
    return _label(bridge, [("TEE", 3)])


def no_number(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order()
    shipment = bridge.world.add_shipstation_order(order)
    mark = bridge.world.mark_shipped(shipment, "FedEx", None)
    return _delivery(
        bridge, bridge.world.fulfillment_shipped_v2(mark), order=order, shipment=shipment
    )


def lost_part(fault: str) -> Callable[[VirtualBridge], Reached]:
    def tell(bridge: VirtualBridge) -> Reached:
        bridge.simulator.inject("purple_dot.create_fulfillment", fault)
        return _label(bridge, ONE_TEE)

    return tell


def voided_late(bridge: VirtualBridge) -> Reached:
    told = _label(bridge)
    bridge.world.void_label(bridge.world.labels[-1])
    assert told.webhook
    return _delivery(bridge, told.webhook, order=told.order)


def replaced_late(bridge: VirtualBridge) -> Reached:
    told = _label(bridge)
    assert told.shipment
    return _delivery(
        bridge,
        bridge.world.label_created_v2(bridge.world.buy_labels(told.shipment)),
        order=told.order,
    )


def refused_by_the_provider(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order()
    mark = bridge.world.mark_shipped(
        bridge.world.add_shipstation_order(order),
        None,
        None,
        provider_code="acme_3pl",
        rejection="No stock",
    )
    return _delivery(bridge, bridge.world.v1_fulfillment_rejected(mark), order=order)


# Dead


def broken(bridge: VirtualBridge) -> Reached:
    """Told to wait before the POST, the label must be looked at again; that fails for as long as
    the schedule lasts."""
    bridge.simulator.inject("purple_dot.create_fulfillment", "throttle:90")
    bridge.simulator.inject("shipstation.label", "status:503", ALWAYS)
    return _label(bridge)


def _unreadable(bridge: VirtualBridge) -> Reached:
    bridge.simulator.inject("shipstation.labels", "status:503", ALWAYS)
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    return _event(bridge, bridge.world.label_created_v2(labels))


def refused(fault: str) -> Callable[[VirtualBridge], Reached]:
    def tell(bridge: VirtualBridge) -> Reached:
        bridge.simulator.inject("purple_dot.create_fulfillment", fault, ALWAYS)
        return _label(bridge)

    return tell


# Rejected at the door


def _raw(raw: bytes) -> Callable[[VirtualBridge], Reached]:
    def tell(bridge: VirtualBridge) -> Reached:
        assert bridge.post(raw).status_code == 400
        return Reached(bridge.newest("evt"))

    return tell


ABROAD = json.dumps(
    {
        "resource_type": "SHIP_NOTIFY",
        "resource_url": "https://api.shipstation.com.example/v2/labels?batch_id=se-1",
    }
)

STORIES: dict[Reason, list[Callable[[VirtualBridge], Reached]]] = {
    Reason.NOT_A_PURPLE_DOT_ORDER: [_foreign],
    Reason.RETURN_LABEL: [_return],
    Reason.VOIDED: [_voided],
    Reason.NOTHING_SHIPPED: [_never_finished],
    Reason.EVENT_TYPE_NOT_HANDLED: [_other_type],
    Reason.ALREADY_DELIVERED: [_again],
    Reason.AMBIGUOUS_ORDER: [ambiguous],
    Reason.ORDER_NOT_FOUND: [not_found],
    Reason.ORDER_VOIDED: [cancelled],
    Reason.ALREADY_FULFILLED_ELSEWHERE: [elsewhere],
    Reason.NOTHING_LEFT: [nothing_left],
    Reason.UNKNOWN_LINE: [unknown_line],
    Reason.NO_ITEMS: [no_items],
    Reason.OVER_QUANTITY: [too_many],
    Reason.COMBINED_PARCEL: [_merged],
    Reason.NO_TRACKING_NUMBER: [no_number],
    Reason.UNCONFIRMED_PARTIAL: [lost_part("drop_before"), lost_part("drop_after_commit")],
    Reason.VOIDED_AFTER_DELIVERY: [voided_late],
    Reason.TRACKING_CHANGED_AFTER_DELIVERY: [replaced_late],
    Reason.REJECTED_BY_PROVIDER: [refused_by_the_provider],
    Reason.SCHEDULE_EXHAUSTED: [broken, _unreadable],
    Reason.REJECTED_BY_PURPLE_DOT: [refused("status:422"), refused("success_false")],
    Reason.CREDENTIALS_REFUSED: [refused("status:403"), refused("status:401")],
    Reason.BAD_JSON: [_raw(b"{")],
    Reason.BAD_SHAPE: [_raw(b'{"resource_url": "https://api.shipstation.com/v2/labels"}')],
    Reason.FOREIGN_URL: [_raw(ABROAD.encode())],
}
