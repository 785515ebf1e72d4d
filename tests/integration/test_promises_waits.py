"""Waits and repetitions have a floor and a ceiling, whatever a vendor wishes or leaves unclear."""

from collections.abc import Iterator, MutableMapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from bridge.operations import doctor
from bridge.store import leases
from tests.support.fakes import Clock
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

POST = "purple_dot.create_fulfillment"
HOURS = timedelta(hours=1).total_seconds()


@pytest.fixture
def bridge(
    migrated_url: str,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[VirtualBridge]:
    """With the schedules that are the default."""
    defaults = {
        "BRIDGE_RETRY_SCHEDULE": "10s,1m,5m,30m,2h,6h,12h,24h",
        "BRIDGE_CONFIRM_SCHEDULE": "15s,1m,5m,15m",
    }
    with VirtualBridge(migrated_url, Clock(), **defaults) as bridge:
        yield bridge


def _next_due(bridge: VirtualBridge) -> datetime | None:
    with bridge.database.read() as connection:
        return leases.next_due(connection)


def _let_pass(bridge: VirtualBridge, seconds: float) -> None:
    """So much virtual time, with all work that falls due in it."""
    until = bridge.clock.now + timedelta(seconds=seconds)
    for _ in range(2000):
        bridge.work()
        due = _next_due(bridge)
        if due is None or due > until:
            bridge.clock.now = until
            return
        bridge.clock.now = max(bridge.clock.now, due)
    raise AssertionError("work without a pause")


@pytest.mark.parametrize("fault", ["unavailable:0", "unavailable:1", "unavailable_past:60"])
@pytest.mark.parametrize("operation", ["shipstation.labels", "purple_dot.orders_by_reference"])
def test_outage_of_two_minutes_loses_nothing_whatever_it_wishes(
    bridge: VirtualBridge, operation: str, fault: str
) -> None:
    orders = [bridge.world.add_order() for _ in range(3)]
    bridge.simulator.inject(operation, fault, None)
    for order in orders:
        labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
        bridge.send(bridge.world.label_created_v2(labels))
    _let_pass(bridge, 120)

    bridge.simulator.faults.clear()
    bridge.settle()

    assert [len(bridge.accepted(order)) for order in orders] == [1, 1, 1]
    assert bridge.exceptions() == []


def test_throttled_call_waits_at_least_a_second(bridge: VirtualBridge) -> None:
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    bridge.simulator.inject("shipstation.labels", "throttle:0", None)
    bridge.send(bridge.world.label_created_v2(labels))

    _let_pass(bridge, 20)

    assert bridge.world.count("shipstation.labels") <= 21


@pytest.mark.parametrize("fault", ["status:500", "no_in_a_success:9"])
def test_post_that_stays_unclear_comes_to_an_end(bridge: VirtualBridge, fault: str) -> None:
    order = bridge.world.add_order()
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    bridge.simulator.inject(POST, fault, None)

    bridge.travel(bridge.world.label_created_v2(labels))

    assert bridge.exceptions() == ["schedule_exhausted"]
    assert 1 < len(bridge.sent) <= 9
    pauses = [later - earlier for earlier, later in pairwise(bridge.sent_at)]
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("fault", ["throttle:315360000", "spent:86400"])
def test_one_odd_header_stops_no_vendor_for_a_day(bridge: VirtualBridge, fault: str) -> None:
    orders = [bridge.world.add_order() for _ in range(3)]
    bridge.simulator.inject("shipstation.labels", fault, 1)
    for order in orders:
        labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
        bridge.send(bridge.world.label_created_v2(labels))

    _let_pass(bridge, 1 * HOURS)

    assert [len(bridge.accepted(order)) for order in orders] == [1, 1, 1]


def _lift_pause(bridge: VirtualBridge, system: str) -> list[str]:
    return [finding.found for finding in doctor.lift_pauses(bridge.database, [system])]


@pytest.mark.parametrize(
    ("system", "operation"),
    [
        ("shipstation", "shipstation.labels"),
        ("purple_dot", "purple_dot.orders_by_reference"),
        ("purple_dot", POST),
    ],
)
@pytest.mark.parametrize("wish", ["throttle:200", "throttle:3600"])
def test_what_met_a_wish_goes_on_at_once_when_the_pause_is_lifted(
    bridge: VirtualBridge, system: str, operation: str, wish: str
) -> None:
    order = bridge.world.add_order()
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    bridge.simulator.inject(operation, wish, 1)
    bridge.send(bridge.world.label_created_v2(labels))
    bridge.work()
    waiting = len(bridge.accepted(order))

    found = _lift_pause(bridge, system)
    bridge.work()

    assert found == ["no pause any more; of what waited for it, due now: 1"]
    assert (waiting, len(bridge.accepted(order))) == (0, 1)


@pytest.mark.parametrize("fault", ["unavailable:200", "status:500"])
def test_lifted_pause_leaves_what_waits_its_place_in_the_schedule(
    bridge: VirtualBridge, fault: str
) -> None:
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    bridge.simulator.inject("shipstation.labels", fault, 1)
    bridge.send(bridge.world.label_created_v2(labels))
    bridge.work()
    before = _next_due(bridge)

    found = _lift_pause(bridge, "shipstation")

    assert found == ["no pause any more; of what waited for it, due now: 0"]
    assert before is not None
    assert _next_due(bridge) == before


def test_lifted_pause_leaves_what_waits_for_another_vendor(bridge: VirtualBridge) -> None:
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(bridge.world.add_order()))
    bridge.simulator.inject(POST, "throttle:200", 1)
    bridge.send(bridge.world.label_created_v2(labels))
    bridge.work()

    assert _lift_pause(bridge, "shipstation") == [
        "no pause any more; of what waited for it, due now: 0"
    ]


def test_request_that_was_held_up_for_long_is_sent_once(bridge: VirtualBridge) -> None:
    """A process is frozen between intent and request, and others have given its answer up for lost
    when it wakes: it sends nothing, and since that is certain, the delivery goes on."""
    order = bridge.world.add_order(lines=[("TEE", 2), ("CAP", 1)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    labels = bridge.world.buy_labels(shipment)
    frozen: list[str] = []

    def freeze(point: str) -> None:
        if point == "create_fulfillment" and not frozen:
            frozen.append(point)
            bridge.clock.advance(3 * HOURS)
            bridge.settle()

    bridge.reach = freeze  # type: ignore[method-assign]  # the one place where time can pass

    bridge.travel(bridge.world.label_created_v2(labels))

    assert len(bridge.accepted(order)) == 1
    assert bridge.exceptions() == []
