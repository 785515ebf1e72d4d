"""Vendors that are down for a day, throttle in storms or answer rubbish, and a clock that steps: in
virtual time, on both databases."""

from collections.abc import Collection, Iterator, MutableMapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from bridge.simulator import Label
from bridge.store import leases
from bridge.vendors.http import ApiClient
from tests.support.balance import balance
from tests.support.fakes import Clock
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

Json = dict[str, Any]

POST = "purple_dot.create_fulfillment"
ANY_CALL = ("shipstation.*", "purple_dot.*")
AN_HOUR = 3600.0
PART = {"unconfirmed_partial"}


@pytest.fixture
def bridge(
    migrated_url: str,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[VirtualBridge]:
    """With the schedule that is the default."""
    with VirtualBridge(
        migrated_url, Clock(), BRIDGE_RETRY_SCHEDULE="10s,1m,5m,30m,2h,6h,12h,24h"
    ) as bridge:
        yield bridge


def _parcels(bridge: VirtualBridge, count: int = 3) -> list[Label]:
    """Each of an order of its own; the last one goes out in part only."""
    world, parcels = bridge.world, []
    for number in range(count):
        items = [("ALDER-TEE-S", 1)] if number == count - 1 else None
        shipment = world.add_shipstation_order(
            world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)]), items
        )
        parcels += world.buy_labels(shipment, batch=False)
    return parcels


def _send(bridge: VirtualBridge, parcels: Sequence[Label]) -> None:
    """On both APIs in turn."""
    for place, label in enumerate(parcels):
        bridge.send(
            bridge.world.label_created_v2(label) if place % 2 else bridge.world.ship_notify(label)
        )


def _faults(
    bridge: VirtualBridge, parcels: Sequence[Label], *, may_be: Collection[str] = ()
) -> dict[str, object]:
    """What is wrong with these parcels, or with any event, by its name."""
    numbers = [str(label.tracking_number) for label in parcels]
    faults = balance(bridge.world, bridge.database, numbers).faults(may_be=may_be)
    unprocessed = [event["id"] for event in bridge.events() if event["status"] != "processed"]
    return faults | ({"unprocessed": unprocessed} if unprocessed else {})


# Vendors that are away


@pytest.mark.parametrize("how", ["refuses connections", "answers 503"])
def test_vendors_that_are_down_for_a_day_cost_nothing_but_the_day(
    bridge: VirtualBridge, how: str
) -> None:
    parcels: list[Label] = []
    begun = _parcels(bridge, 2)
    _send(bridge, begun)
    bridge.step()  # Its delivery is placed, and will meet the outage.
    if how == "answers 503":
        bridge.simulator.inject("*", "status:503", count=None)
    else:
        bridge.simulator.stop()

    for _hour in range(24):
        shipped = _parcels(bridge, 1)
        _send(bridge, shipped)
        parcels += shipped
        bridge.work()
        bridge.clock.advance(AN_HOUR)
    bridge.simulator.faults.clear()
    if how != "answers 503":
        bridge.simulator.start()
    bridge.settle()

    assert _faults(bridge, begun + parcels, may_be=PART) == {}


@pytest.mark.parametrize("fault", ["throttle:7", "throttle_date:7"])
def test_storm_of_429s_is_waited_out_and_spends_no_attempt(
    bridge: VirtualBridge, fault: str
) -> None:
    parcels = _parcels(bridge)
    _send(bridge, parcels)
    bridge.simulator.inject("*", fault, count=40)

    bridge.settle()

    assert _faults(bridge, parcels) == {}
    assert [row["attempts"] for row in bridge.deliveries()] == [1, 1, 1]
    assert {event["attempts"] for event in bridge.events()} == {0}
    assert len(bridge.accepted()) == 3


# Answers that are none


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that wait for a slow vendor only as long as a test may last."""
    defaults = ApiClient.__init__.__kwdefaults__ | {"timeout": (5.0, 0.2)}
    monkeypatch.setattr(ApiClient.__init__, "__kwdefaults__", defaults)


RUBBISH = (
    "huge",
    "truncated",
    "not_json",
    "drip:0.01",
    "drop_after_commit",
    "error_after_commit",
    "delay:0.3",
)


@pytest.mark.parametrize("fault", RUBBISH)
@pytest.mark.parametrize("operation", [*ANY_CALL, POST])
@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("impatient")
def test_answer_that_is_slow_huge_or_rubbish_loses_nothing_and_tells_nothing_twice(
    bridge: VirtualBridge, operation: str, fault: str
) -> None:
    parcels = _parcels(bridge)
    bridge.simulator.inject(operation, fault, count=2)

    _send(bridge, parcels)
    bridge.settle()

    assert _faults(bridge, parcels, may_be=PART) == {}


# A clock that steps


@pytest.mark.parametrize("step", [-AN_HOUR, AN_HOUR], ids=["an hour back", "an hour on"])
@pytest.mark.parametrize("moves", [0, 2, 4])
def test_clock_that_steps_at_any_moment_delays_at_most(
    bridge: VirtualBridge, moves: int, step: float
) -> None:
    parcels = _parcels(bridge, 2)
    bridge.simulator.inject(POST, "drop_after_commit")
    _send(bridge, parcels)
    for _ in range(moves):
        bridge.step()

    bridge.clock.advance(step)
    more = _parcels(bridge, 2)
    _send(bridge, more)
    bridge.settle()

    assert _faults(bridge, parcels + more, may_be=PART) == {}


def test_clock_set_back_holds_up_nobody_who_comes_after(
    migrated_url: str,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> None:
    """With the budgets that are the default: what a call of the lost hour took from them must not
    be waited for."""
    rates = {
        f"BRIDGE_{system}_RATE_PER_MINUTE": str(rate)
        for system, rate in (("SHIPSTATION", 200), ("PURPLE_DOT", 120))
    }
    with VirtualBridge(migrated_url, Clock(), **rates) as bridge:
        before = _parcels(bridge, 2)
        _send(bridge, before)
        bridge.settle()

        bridge.clock.advance(-AN_HOUR)
        after = _parcels(bridge, 2)[:1]
        _send(bridge, after)
        for _ in range(60):
            bridge.work()
            bridge.clock.advance(1)

        assert {str(after[0].tracking_number)} < {
            body["tracking_info"]["number"] for body in bridge.accepted()
        }


def test_label_that_was_seen_before_the_clock_was_set_back_is_looked_at_again(
    bridge: VirtualBridge,
) -> None:
    """Else it would count as seen just now, for as long as the clock was ahead."""
    [parcel] = _parcels(bridge, 1)
    bridge.simulator.inject(POST, "throttle:5", 1)
    _send(bridge, [parcel])
    bridge.work()

    bridge.clock.advance(-AN_HOUR)
    by = timedelta(seconds=AN_HOUR)
    with bridge.database.begin() as connection:
        leases.clock_set_back(connection, by=by, lease=timedelta(seconds=60), now=bridge.clock.now)
    bridge.world.void_label(parcel)
    bridge.settle()

    assert bridge.accepted() == []
    [delivery] = bridge.deliveries()
    assert (delivery["status"], delivery["reason"]) == ("cancelled", "voided")
