"""Deliveries that waited are looked at together before they are posted: in a few calls, with the
same verdicts, and what a list does not show is read by itself."""

from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest

from bridge.domain.errors import TemporaryError, ThrottledError
from bridge.pipeline.look_together import TOGETHER_FROM, LookTogether
from bridge.pipeline.preflight import LABEL_IS_FRESH, ORDER_IS_FRESH
from bridge.simulator import Label, PurpleDotOrder
from tests.support.fakes import Clock, FakeFetcher, FakePurpleDot, WatchedDatabase
from tests.support.rows import a_parcel, an_order, claim_delivery, put, v1_label
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


def waiting_together(
    database: WatchedDatabase, count: int = TOGETHER_FROM
) -> tuple[LookTogether, FakePurpleDot, FakeFetcher]:
    """Parcels of an order each, and both vendors, who know them."""
    orders = [an_order(id=f"order-{n}", reference=f"#PD{n}") for n in range(count)]
    for number, order in enumerate(orders):
        parcel = a_parcel(record=str(number), number=f"1Z{number}", reference=f"PD{number}")
        put(database, parcel, orders=[order])
    labels = [v1_label(record=str(n), number=f"1Z{n}", reference=f"PD{n}") for n in range(count)]
    purple_dot, fetcher = FakePurpleDot(*orders), FakeFetcher(*labels)
    return LookTogether(database, purple_dot, fetcher), purple_dot, fetcher  # type: ignore[arg-type]


def test_what_was_read_just_now_is_not_read_for_the_others_either(
    database: WatchedDatabase, clock: Clock
) -> None:
    together, purple_dot, fetcher = waiting_together(database)
    delivery = claim_delivery(database)

    clock.advance(ORDER_IS_FRESH.total_seconds())
    together.prepare(delivery, now=clock.now)
    assert (purple_dot.calls, fetcher.calls) == ([], [])

    clock.advance(1)
    together.prepare(delivery, now=clock.now)
    assert len(purple_dot.asked("orders_by_reference")) == 1
    assert fetcher.calls == []

    clock.advance(LABEL_IS_FRESH.total_seconds())
    together.prepare(delivery, now=clock.now)
    together.prepare(delivery, now=clock.now)
    assert [name for name, _ in fetcher.calls] == ["recent"]
    assert len(purple_dot.asked("orders_by_reference")) == 2


@pytest.mark.parametrize("is_of_labels", [True, False])
def test_list_that_can_not_be_read_says_why_and_is_asked_once(
    database: WatchedDatabase,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],
    is_of_labels: bool,
) -> None:
    together, purple_dot, fetcher = waiting_together(database)
    clock.advance(2 * LABEL_IS_FRESH.total_seconds())
    trouble = TemporaryError("busy " * 99)
    if is_of_labels:
        fetcher.script("recent", trouble)
    else:
        purple_dot.script("orders_by_reference", trouble)
    delivery = claim_delivery(database)

    together.prepare(delivery, now=clock.now)
    together.prepare(delivery, now=clock.now)

    assert [dict(line) for line in logged] == [
        {
            "event": "not_read_together",
            "log_level": "warning",
            "error": f"TemporaryError: {trouble}"[:300],
        }
    ]
    assert together.current("v1_shipment", "0") == fetcher.records[0]
    assert together.order("order-0").reference == "#PD0"


def test_list_without_a_turn_makes_all_of_them_wait(
    database: WatchedDatabase, clock: Clock
) -> None:
    together, purple_dot, _ = waiting_together(database)
    clock.advance(2 * LABEL_IS_FRESH.total_seconds())
    purple_dot.script("orders_by_reference", ThrottledError("wait"))

    with pytest.raises(ThrottledError):
        together.prepare(claim_delivery(database), now=clock.now)


def test_labels_are_listed_since_the_oldest_that_waits_was_told_of(
    database: WatchedDatabase, clock: Clock
) -> None:
    together, _, fetcher = waiting_together(database)
    oldest = clock.now
    clock.advance(2 * LABEL_IS_FRESH.total_seconds())

    together.prepare(claim_delivery(database), now=clock.now)

    records = [str(number) for number in range(TOGETHER_FROM)]
    assert fetcher.asked("recent") == [("v1_shipment", records, oldest, clock.now)]


def test_what_was_read_together_is_read_again_when_it_is_old(
    database: WatchedDatabase, clock: Clock
) -> None:
    together, purple_dot, _ = waiting_together(database)
    clock.advance(2 * ORDER_IS_FRESH.total_seconds())
    delivery = claim_delivery(database)

    def asked_after(seconds: float) -> int:
        clock.advance(seconds)
        together.prepare(delivery, now=clock.now)
        return len(purple_dot.asked("orders_by_reference"))

    fresh = ORDER_IS_FRESH.total_seconds()
    assert [asked_after(0), asked_after(fresh), asked_after(0.001)] == [1, 1, 2]
    assert together.order("order-1").reference == "#PD1"
    assert purple_dot.asked("order") == []
