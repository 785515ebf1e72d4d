"""Each reason is reached by a webhook, explained, and (where a person is needed) mended by what it
tells that person to do."""

import json
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.operations import repair
from bridge.operations.explain import explain_delivery, explain_event
from bridge.simulator import PurpleDotOrder, ShipStationOrder
from tests.support.fakes import Clock
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

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
    return Reached(bridge.deliveries()[-1]["id"], webhook=webhook, **met)


def _label(
    bridge: VirtualBridge, items: Any = None, *, lines: Any = TEES_AND_CAP, **named: Any
) -> Reached:
    """A V2 label of an order; its delivery."""
    order = bridge.world.add_order(lines=lines)
    shipment = bridge.world.add_shipstation_order(order, items, **named)
    webhook = bridge.world.label_created_v2(bridge.world.buy_labels(shipment))
    return _delivery(bridge, webhook, order=order, shipment=shipment)


@pytest.fixture
def virtual_bridge(
    migrated_url: str,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[VirtualBridge]:
    with VirtualBridge(migrated_url, clock) as virtual_bridge:
        yield virtual_bridge


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


def _ambiguous(bridge: VirtualBridge) -> Reached:
    other = bridge.world.add_order(lines=TEES_AND_CAP)
    return _label(bridge, custom_fields=(other.reference, None, None))


def _not_found(bridge: VirtualBridge) -> Reached:
    shipment = bridge.world.add_shipstation_order("PD730/1", list(TEES_AND_CAP))
    return _delivery(
        bridge, bridge.world.label_created_v2(bridge.world.buy_labels(shipment)), shipment=shipment
    )


def _cancelled(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order(status="VOIDED")
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    return _delivery(bridge, bridge.world.ship_notify(labels), order=order)


def _elsewhere(bridge: VirtualBridge) -> Reached:
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


def _nothing_left(bridge: VirtualBridge) -> Reached:
    first = _label(bridge, ONE_TEE, lines=(("TEE", 1), ("CAP", 1)))
    assert first.order
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(first.order, ONE_TEE))
    return _delivery(bridge, bridge.world.label_created_v2(labels), order=first.order)


def _unknown_line(bridge: VirtualBridge) -> Reached:
    return _label(bridge, [("SHIRT", 2)])


def _no_items(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order()
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order), items=[])
    return _delivery(bridge, bridge.world.item_ship_notify(labels), order=order)


def _too_many(bridge: VirtualBridge) -> Reached:
    return _label(bridge, [("TEE", 3)])


def _no_number(bridge: VirtualBridge) -> Reached:
    order = bridge.world.add_order()
    shipment = bridge.world.add_shipstation_order(order)
    mark = bridge.world.mark_shipped(shipment, "FedEx", None)
    return _delivery(
        bridge, bridge.world.fulfillment_shipped_v2(mark), order=order, shipment=shipment
    )


def _lost_part(fault: str) -> Callable[[VirtualBridge], Reached]:
    def tell(bridge: VirtualBridge) -> Reached:
        bridge.simulator.inject("purple_dot.create_fulfillment", fault)
        return _label(bridge, ONE_TEE)

    return tell


def _voided_late(bridge: VirtualBridge) -> Reached:
    told = _label(bridge)
    bridge.world.void_label(bridge.world.labels[-1])
    assert told.webhook
    return _delivery(bridge, told.webhook, order=told.order)


def _replaced_late(bridge: VirtualBridge) -> Reached:
    told = _label(bridge)
    assert told.shipment
    return _delivery(
        bridge,
        bridge.world.label_created_v2(bridge.world.buy_labels(told.shipment)),
        order=told.order,
    )


def _refused_by_the_provider(bridge: VirtualBridge) -> Reached:
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


def _broken(bridge: VirtualBridge) -> Reached:
    """Told to wait before the POST, the label must be looked at again; that fails for as long as
    the schedule lasts."""
    bridge.simulator.inject("purple_dot.create_fulfillment", "throttle:90")
    bridge.simulator.inject("shipstation.label", "status:503", ALWAYS)
    return _label(bridge)


def _unreadable(bridge: VirtualBridge) -> Reached:
    bridge.simulator.inject("shipstation.labels", "status:503", ALWAYS)
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    return _event(bridge, bridge.world.label_created_v2(labels))


def _refused(fault: str) -> Callable[[VirtualBridge], Reached]:
    def tell(bridge: VirtualBridge) -> Reached:
        bridge.simulator.inject("purple_dot.create_fulfillment", fault, ALWAYS)
        return _label(bridge)

    return tell


# Rejected at the door


def _raw(raw: bytes) -> Callable[[VirtualBridge], Reached]:
    def tell(bridge: VirtualBridge) -> Reached:
        assert bridge.post(raw).status_code == 400
        return Reached(bridge.events()[-1]["id"])

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
    Reason.AMBIGUOUS_ORDER: [_ambiguous],
    Reason.ORDER_NOT_FOUND: [_not_found],
    Reason.ORDER_VOIDED: [_cancelled],
    Reason.ALREADY_FULFILLED_ELSEWHERE: [_elsewhere],
    Reason.NOTHING_LEFT: [_nothing_left],
    Reason.UNKNOWN_LINE: [_unknown_line],
    Reason.NO_ITEMS: [_no_items],
    Reason.OVER_QUANTITY: [_too_many],
    Reason.COMBINED_PARCEL: [_merged],
    Reason.NO_TRACKING_NUMBER: [_no_number],
    Reason.UNCONFIRMED_PARTIAL: [_lost_part("drop_before"), _lost_part("drop_after_commit")],
    Reason.VOIDED_AFTER_DELIVERY: [_voided_late],
    Reason.TRACKING_CHANGED_AFTER_DELIVERY: [_replaced_late],
    Reason.REJECTED_BY_PROVIDER: [_refused_by_the_provider],
    Reason.SCHEDULE_EXHAUSTED: [_broken, _unreadable],
    Reason.REJECTED_BY_PURPLE_DOT: [_refused("status:422"), _refused("success_false")],
    Reason.CREDENTIALS_REFUSED: [_refused("status:403"), _refused("status:401")],
    Reason.BAD_JSON: [_raw(b"{")],
    Reason.BAD_SHAPE: [_raw(b'{"resource_url": "https://api.shipstation.com/v2/labels"}')],
    Reason.FOREIGN_URL: [_raw(ABROAD.encode())],
}


def test_no_reason_is_without_its_story() -> None:
    assert list(STORIES) == list(Reason)


def _stands(bridge: VirtualBridge, reached: Reached) -> Json:
    return (
        bridge.event(reached.id)
        if reached.id.startswith("evt_")
        else next(d for d in bridge.deliveries() if d["id"] == reached.id)
    )


@pytest.mark.parametrize(
    ("reason", "tell"), [(reason, tell) for reason, stories in STORIES.items() for tell in stories]
)
def test_reason_is_reached_by_a_webhook_and_explained(
    virtual_bridge: VirtualBridge, reason: Reason, tell: Callable[[VirtualBridge], Reached]
) -> None:
    reached = tell(virtual_bridge)

    story = _stands(virtual_bridge, reached)
    explained = "\n".join(
        (explain_event if reached.id.startswith("evt_") else explain_delivery)(story)
    )
    assert (story["reason"], story["status"]) == (reason, MEANINGS[reason].verdict)
    assert MEANINGS[reason].sentence in explained
    assert MEANINGS[reason].shell_step in explained
    assert virtual_bridge.left_without_a_time() == []


# What a person does next


def _retry(bridge: VirtualBridge, reached: Reached) -> None:
    bridge.simulator.faults.clear()
    bridge.repair(reached.id, repair.retry)


def _look_and_retry(bridge: VirtualBridge, reached: Reached) -> None:
    assert bridge.accepted(reached.order) == []
    bridge.repair(reached.id, repair.retry, has_looked=True)


def _tell_again(bridge: VirtualBridge, reached: Reached) -> None:
    assert reached.webhook
    bridge.send(reached.webhook)


def _resolve(status: str) -> Callable[[VirtualBridge, Reached], None]:
    def act(bridge: VirtualBridge, reached: Reached) -> None:
        bridge.repair(
            reached.id,
            repair.resolve,
            status=DeliveryStatus(status),
            reason="agreed with the shopper",
        )

    return act


def _link(bridge: VirtualBridge, reached: Reached) -> None:
    order = reached.order or bridge.world.add_order("PD731/1", TEES_AND_CAP)
    reached.order = order
    bridge.link(reached.id, order)


def _order_appears(bridge: VirtualBridge, reached: Reached) -> None:
    reached.order = bridge.world.add_order("PD730/1", TEES_AND_CAP)
    _retry(bridge, reached)


def _number_is_corrected(bridge: VirtualBridge, reached: Reached) -> None:
    assert reached.shipment
    reached.order = bridge.world.add_order("PD732/1", TEES_AND_CAP)
    reached.shipment.shipment_number = reached.order.reference
    _retry(bridge, reached)


def _sku_is_corrected(bridge: VirtualBridge, reached: Reached) -> None:
    assert reached.shipment
    assert reached.order
    reached.shipment.items = bridge.world.add_shipstation_order(reached.order).items
    _retry(bridge, reached)


def _number_is_added(
    act: Callable[[VirtualBridge, Reached], None],
) -> Callable[[VirtualBridge, Reached], None]:
    def add(bridge: VirtualBridge, reached: Reached) -> None:
        bridge.world.marked_shipped[-1].tracking_number = "794600000017"
        act(bridge, reached)

    return add


def _retry_is_refused(bridge: VirtualBridge, reached: Reached) -> None:
    with pytest.raises(RefusedError, match="twice"):
        _retry(bridge, reached)
    _resolve("delivered")(bridge, reached)


Act = Callable[[VirtualBridge, Reached], None]

GOES_ON: list[tuple[Callable[[VirtualBridge], Reached], Act]] = [
    (_ambiguous, _link),
    (_not_found, _order_appears),
    (_not_found, _number_is_corrected),
    (_not_found, _link),
    (_unknown_line, _sku_is_corrected),
    (_no_number, _number_is_added(_tell_again)),
    (_no_number, _number_is_added(_retry)),
    (_lost_part("drop_before"), _look_and_retry),
    (_broken, _retry),
    (_refused("status:422"), _retry),
    (_refused("redirect_login"), _retry),
]
"""Where the reason says to link, to correct and retry, or to tell again."""

IS_CLOSED: list[tuple[Callable[[VirtualBridge], Reached], Act, str]] = [
    (_cancelled, _resolve("cancelled"), "cancelled"),
    (_elsewhere, _resolve("delivered"), "delivered"),
    (_nothing_left, _resolve("cancelled"), "cancelled"),
    (_no_items, _resolve("delivered"), "delivered"),
    (_too_many, _resolve("delivered"), "delivered"),
    (_no_number, _resolve("delivered"), "delivered"),
    (_lost_part("drop_after_commit"), _resolve("delivered"), "delivered"),
    (_voided_late, _retry_is_refused, "delivered"),
    (_replaced_late, _retry_is_refused, "delivered"),
    (_refused_by_the_provider, _resolve("cancelled"), "cancelled"),
    (_refused("status:422"), _resolve("cancelled"), "cancelled"),
]
"""Where the reason says to mend it outside and resolve."""


@pytest.mark.parametrize(("tell", "act"), GOES_ON)
def test_what_a_person_mended_goes_out(
    virtual_bridge: VirtualBridge, tell: Callable[[VirtualBridge], Reached], act: Act
) -> None:
    reached = tell(virtual_bridge)

    act(virtual_bridge, reached)
    virtual_bridge.settle()

    delivery = _stands(virtual_bridge, reached)
    assert (delivery["status"], delivery["reason"]) == ("delivered", None)
    [body] = virtual_bridge.accepted(reached.order)
    assert body["line_items"] == [
        {"id": line["id"], "quantity": line["quantity"]} for line in delivery["line_items"]
    ]
    assert len(virtual_bridge.accepted()) == 1


@pytest.mark.parametrize(("tell", "act", "status"), IS_CLOSED)
def test_what_a_person_resolved_is_closed_for_good(
    virtual_bridge: VirtualBridge, tell: Callable[[VirtualBridge], Reached], act: Act, status: str
) -> None:
    reached = tell(virtual_bridge)
    before = virtual_bridge.accepted()

    act(virtual_bridge, reached)
    virtual_bridge.simulator.faults.clear()
    if reached.webhook:
        virtual_bridge.travel(reached.webhook)

    delivery = _stands(virtual_bridge, reached)
    assert (delivery["status"], delivery["reason"], delivery["next_attempt_at"]) == (
        status,
        None,
        None,
    )
    assert delivery["attempt_history"][-1]["detail"] == "resolved by hand: agreed with the shopper"
    assert virtual_bridge.accepted() == before
    with pytest.raises(RefusedError):
        virtual_bridge.repair(reached.id, repair.retry)
