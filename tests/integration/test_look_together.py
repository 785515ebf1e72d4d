"""Deliveries that waited are looked at together before they are posted: in a few calls, with the
same verdicts, and what a list does not show is read by itself."""

from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest

from bridge.pipeline.look_together import TOGETHER_FROM, LookTogether
from bridge.pipeline.preflight import ORDER_IS_FRESH
from bridge.simulator import Label, PurpleDotOrder
from tests.support.fakes import Clock, FakeFetcher, FakePurpleDot, WatchedDatabase
from tests.support.rows import a_parcel, an_order, claim_delivery, put
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

PARCELS = 12
HOLD = 120


@pytest.fixture
def bridge(
    migrated_url: str,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[VirtualBridge]:
    """Each parcel waits so long before it is posted that all that was read of it is old."""
    with VirtualBridge(migrated_url, clock, BRIDGE_HOLD_SECONDS=str(HOLD)) as bridge:
        bridge.batch_size = 64
        yield bridge


def ship(
    bridge: VirtualBridge, count: int, between: Callable[[], object] = lambda: None
) -> list[tuple[PurpleDotOrder, Label]]:
    """Pre-orders, each with a label of its own, up to the moment at which they are all held;
    `between` happens after the labels were bought."""
    world = bridge.world
    shipped = []
    for _ in range(count):
        order = world.add_order(lines=[("TEE", 1)])
        [label] = world.buy_labels(world.add_shipstation_order(order))
        shipped.append((order, label))
    between()
    for _, label in shipped:
        bridge.send(world.label_created_v2(label))
    bridge.work()
    world.calls.clear()
    return shipped


def calls(bridge: VirtualBridge) -> Counter[str]:
    return Counter(f"{system}.{operation}" for system, operation in bridge.world.calls)


def assert_each_is_there_once(
    bridge: VirtualBridge, shipped: list[tuple[PurpleDotOrder, Label]]
) -> None:
    assert [len(bridge.accepted(order)) for order, _ in shipped] == [1] * len(shipped)


def test_many_that_waited_are_looked_at_in_two_calls(bridge: VirtualBridge) -> None:
    shipped = ship(bridge, PARCELS)

    bridge.settle()

    assert_each_is_there_once(bridge, shipped)
    assert calls(bridge) == {
        "shipstation.labels": 1,
        "purple_dot.orders_by_reference": 1,
        "purple_dot.create_fulfillment": PARCELS,
    }


def test_few_that_waited_are_read_one_by_one(bridge: VirtualBridge) -> None:
    few = TOGETHER_FROM - 1
    shipped = ship(bridge, few)

    bridge.settle()

    assert_each_is_there_once(bridge, shipped)
    assert calls(bridge) == {
        "shipstation.label": few,
        "purple_dot.order": few,
        "purple_dot.create_fulfillment": few,
    }


def test_label_that_was_voided_while_it_waited_is_not_posted(bridge: VirtualBridge) -> None:
    [(order, label), *others] = ship(bridge, PARCELS)
    bridge.world.void_label(label)

    bridge.settle()

    assert bridge.accepted(order) == []
    assert [row["reason"] for row in bridge.deliveries(order)] == ["voided"]
    assert_each_is_there_once(bridge, others)


def test_order_that_was_cancelled_while_it_waited_is_held(bridge: VirtualBridge) -> None:
    [(order, _), *others] = ship(bridge, PARCELS)
    order.status = "VOIDED"

    bridge.settle()

    assert bridge.accepted(order) == []
    assert [row["reason"] for row in bridge.deliveries(order)] == ["order_voided"]
    assert_each_is_there_once(bridge, others)


@pytest.mark.parametrize("operation", ["shipstation.labels", "purple_dot.orders"])
@pytest.mark.parametrize("fault", ["status:500", "status:400"])
def test_list_that_fails_is_no_parcel_s_trouble(
    bridge: VirtualBridge, operation: str, fault: str
) -> None:
    shipped = ship(bridge, PARCELS)
    bridge.simulator.inject(operation, fault, 1)

    bridge.settle()

    assert_each_is_there_once(bridge, shipped)
    stories = bridge.deliveries()
    assert {attempt["outcome"] for story in stories for attempt in story["attempt_history"]} == {
        "delivered"
    }


def test_label_that_the_list_does_not_show_is_read_by_itself(bridge: VirtualBridge) -> None:
    """It was bought long before its webhook came. The list is not asked again for the next one."""
    shipped = ship(bridge, PARCELS, between=lambda: bridge.clock.advance(5 * 3600))

    bridge.settle()

    assert_each_is_there_once(bridge, shipped)
    assert calls(bridge)["shipstation.labels"] == 1
    assert calls(bridge)["shipstation.label"] == PARCELS


def test_what_was_read_together_is_read_again_when_it_is_old(
    database: WatchedDatabase, clock: Clock
) -> None:
    orders = [an_order(id=f"order-{n}", reference=f"#PD{n}") for n in range(TOGETHER_FROM)]
    purple_dot = FakePurpleDot(*orders)
    for number, order in enumerate(orders):
        parcel = a_parcel(record=str(number), number=f"1Z{number}", reference=f"PD{number}")
        put(database, parcel, orders=[order])
    together = LookTogether(database, purple_dot, FakeFetcher())  # type: ignore[arg-type]
    clock.advance(2 * ORDER_IS_FRESH.total_seconds())
    delivery = claim_delivery(database)

    def asked_after(seconds: float) -> int:
        clock.advance(seconds)
        together.prepare(delivery, now=clock.now)
        return len(purple_dot.asked("orders_by_reference"))

    fresh = ORDER_IS_FRESH.total_seconds()
    assert [asked_after(0), asked_after(fresh), asked_after(0.001)] == [1, 1, 2]
    assert together.order("order-1") == orders[1]
    assert purple_dot.asked("order") == []
