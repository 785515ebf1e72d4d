"""Both sides and the database between them: what differs is named with
what to do, what is on its way
or known to a person is not."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from bridge.domain.events import DeliveryStatus
from bridge.operations import repair
from bridge.operations.alert_check import read_inputs
from bridge.operations.alerts import problems
from bridge.operations.compare import Comparison, compare
from bridge.settings import Settings
from bridge.simulator import World
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]


@pytest.fixture
def bridge(bridges: Callable[..., VirtualBridge]) -> VirtualBridge:
    return bridges(BRIDGE_RECONCILE_EVERY="0")


@pytest.fixture
def world(bridge: VirtualBridge) -> World:
    return bridge.world


def differences(
    bridge: VirtualBridge, *, days: float = 3, after_hours: float = 2
) -> list[tuple[str, str]]:
    """(what, the order's reference) of each."""
    bridge.clock.advance(after_hours * 3600)
    since = bridge.clock.now - timedelta(days=days)
    _looked_at, found = compare(
        bridge.database,
        bridge.purple_dot,
        pattern=Settings.load(bridge.environ).reference_pattern,
        since=since,
    )
    return [(one.what, one.reference) for one in found]


def test_sides_that_agree_differ_in_nothing(bridge: VirtualBridge, world: World) -> None:
    whole, part, _waiting = world.add_order(), world.add_order(), world.add_order()
    [one] = world.buy_labels(world.add_shipstation_order(whole))
    [half] = world.buy_labels(world.add_shipstation_order(part, [("ALDER-CAP", 1)]))
    [stranger] = world.buy_labels(world.add_shipstation_order("90001"))
    bridge.travel(
        *(world.label_created_v2(label) for label in (one, half, stranger)), world.ship_notify(one)
    )

    assert differences(bridge) == []


def test_parcel_that_was_ignored_before_purple_dot_had_its_order_is_told(
    bridge: VirtualBridge, world: World
) -> None:
    parcel = world.add_shipstation_order(
        "10042", [("ALDER-TEE-S", 2)], external_shipment_id="9084de1f-0de8-5636-b10e-d77e3dc811e0"
    )
    [event_id] = bridge.travel(world.label_created_v2(world.buy_labels(parcel)))
    order = world.add_order(lines=[("ALDER-TEE-S", 2)])

    assert (bridge.event(event_id)["reason"], order.id) == (
        "not_a_purple_dot_order",
        parcel.external_shipment_id,
    )
    assert differences(bridge) == [("shipped_not_told", order.reference)]


def test_parcel_that_is_on_its_way_or_held_is_no_difference(
    bridge: VirtualBridge, world: World
) -> None:
    on_its_way, held = world.add_order(), world.add_order()
    [event_id] = bridge.travel(
        world.ship_notify(world.buy_labels(world.add_shipstation_order(held, [("ALDER-CAP", 9)])))
    )
    bridge.send(world.ship_notify(world.buy_labels(world.add_shipstation_order(on_its_way))))

    assert bridge.event(event_id)["delivery_stories"][0]["status"] == "held"
    assert differences(bridge) == []


def test_order_that_someone_else_fulfilled_is_told(bridge: VirtualBridge, world: World) -> None:
    never, partly = world.add_order(), world.add_order()
    bridge.travel(
        world.label_created_v2(
            world.buy_labels(world.add_shipstation_order(partly, [("ALDER-CAP", 1)]))
        )
    )
    for order in (never, partly):
        world.fulfill_elsewhere(order)

    assert differences(bridge) == [
        ("fulfilled_elsewhere", partly.reference),
        ("fulfilled_elsewhere", never.reference),
    ]


def test_order_that_a_person_closed_as_delivered_is_no_difference(
    bridge: VirtualBridge, world: World
) -> None:
    order = world.add_order()
    bridge.travel(
        world.ship_notify(
            world.buy_labels(world.add_shipstation_order(order), items=[("OTHER-SKU", 1)])
        )
    )
    [held] = bridge.deliveries()
    world.fulfill_elsewhere(order)

    bridge.repair(
        held["id"], repair.resolve, status=DeliveryStatus.DELIVERED, reason="fulfilled by hand"
    )

    assert held["reason"] == "unknown_line"
    assert differences(bridge) == []


def test_order_that_was_told_and_is_not_shown_is_told_after_an_hour(
    bridge: VirtualBridge, world: World
) -> None:
    order = world.add_order()
    bridge.travel(world.label_created_v2(world.buy_labels(world.add_shipstation_order(order))))
    order.status = "UNFULFILLED"

    assert differences(bridge, after_hours=0.5) == []
    assert differences(bridge) == [("told_not_shown", order.reference)]


def test_older_order_is_compared_when_a_parcel_of_it_left_lately(
    bridge: VirtualBridge, world: World
) -> None:
    order, untouched = world.add_order(), world.add_order(status="FULFILLED")
    bridge.clock.advance(30 * 24 * 3600)
    bridge.travel(
        world.label_created_v2(
            world.buy_labels(world.add_shipstation_order(order, [("ALDER-CAP", 1)]))
        )
    )
    world.fulfill_elsewhere(order)

    assert differences(bridge) == [("fulfilled_elsewhere", order.reference)]
    assert untouched.reference not in dict(differences(bridge)).values()


def test_comparing_many_parcels_takes_two_calls(bridge: VirtualBridge, world: World) -> None:
    orders = [world.add_order() for _ in range(12)]
    bridge.clock.advance(30 * 24 * 3600)
    bridge.travel(
        world.label_created_v2(
            world.buy_labels([world.add_shipstation_order(order) for order in orders])
        )
    )
    before = len(world.calls)

    assert differences(bridge) == []
    assert len(world.calls) - before == 2  # all references at once, and what became ready since


def test_each_difference_says_what_is_so_and_what_to_do(
    bridge: VirtualBridge, world: World
) -> None:
    world.fulfill_elsewhere(world.add_order())
    _looked_at, [found] = compare(
        bridge.database,
        bridge.purple_dot,
        pattern=Settings.load(bridge.environ).reference_pattern,
        since=bridge.clock.now - timedelta(1),
    )

    assert found.as_json()["sentence"].startswith("Purple Dot has the order as fulfilled")
    assert found.as_json()["next_step"]


# By units


def test_part_that_nothing_speaks_of_is_told_though_another_part_has_its_number(
    bridge: VirtualBridge, world: World
) -> None:
    order_id = "9084de1f-0de8-5636-b10e-d77e3dc811e0"
    parts = [
        world.add_shipstation_order("10042", [("ALDER-TEE-S", 1)], external_shipment_id=order_id)
        for _ in range(2)
    ]
    first, second = (world.mark_shipped(part, tracking="1Z0000000000000001") for part in parts)
    bridge.travel(world.fulfillment_shipped_v2(first))  # Before Purple Dot had the order.
    order = world.add_order(lines=[("ALDER-TEE-S", 2)])
    bridge.travel(world.fulfillment_shipped_v2(second))

    bridge.clock.advance(7200)
    _compared, [found] = compare(
        bridge.database, bridge.purple_dot, pattern=None, since=bridge.clock.now - timedelta(3)
    )

    assert len(bridge.accepted(order)) == 1
    assert (found.what, found.units) == ("shipped_not_told", "1 x ALDER-TEE-S")


def test_open_order_that_nothing_is_known_of_waits_long_after_a_week(
    bridge: VirtualBridge, world: World
) -> None:
    order = world.add_order()

    assert differences(bridge, after_hours=6 * 24) == []
    assert differences(bridge, after_hours=2 * 24) == [("waits_long", order.reference)]


def test_rest_of_an_order_waits_long_and_is_named(bridge: VirtualBridge, world: World) -> None:
    order = world.add_order(lines=[("TEE", 2), ("CAP", 1)])
    bridge.travel(
        world.label_created_v2(world.buy_labels(world.add_shipstation_order(order, [("TEE", 1)])))
    )
    bridge.clock.advance(8 * 24 * 3600)

    _compared, [found] = compare(
        bridge.database, bridge.purple_dot, pattern=None, since=bridge.clock.now - timedelta(3)
    )

    assert (found.what, found.units) == ("waits_long", "1 x TEE, 1 x CAP")


def test_what_the_worker_finds_is_kept_for_alerts_and_pages(
    bridge: VirtualBridge, world: World
) -> None:
    comparison = Comparison(bridge.database, bridge.purple_dot, None)
    for _ in range(2):
        # What was ready before the first comparison is not the bridge's.
        order = world.add_order()
        world.fulfill_elsewhere(order)
        bridge.clock.advance(60)
        comparison.run(None)

    with bridge.database.read() as connection:
        inputs = read_inputs(connection, {}, now=bridge.clock.now)
    assert [problem.name for problem in problems(inputs)] == [order.reference]
