"""What no webhook told of is found by the sweep, once; what was told costs nothing more; a void
that came late is an exception."""

import re
import threading
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.errors import TemporaryError
from bridge.domain.events import DeliveryStatus, Lane
from bridge.operations import repair
from bridge.operations.sweep import Sweep, look_back
from bridge.simulator import PurpleDotOrder, World
from bridge.store import retention, shared_state, sweeps
from bridge.store.engine.database import Database
from bridge.vendors.shipstation.client import ShipStationV2
from tests.support.fakes import Clock
from tests.support.rows import rows
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
V1_ALONE = {"BRIDGE_SHIPSTATION_API_KEY": ""}
Made = tuple[PurpleDotOrder, Any, Json]


@pytest.fixture
def world(bridge: VirtualBridge) -> World:
    return bridge.world


class Pauses(threading.Event):
    """Never set; whoever waits for it lets the time pass."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timeout or 0)
        return False


def sweep(
    bridge: VirtualBridge,
    *,
    since: timedelta = 6 * HOUR,
    after: timedelta = 15 * MINUTE,
    dry_run: bool = False,
) -> dict[str, Json]:
    """What a sweep a while later counts, without zeros."""
    bridge.clock.advance(after.total_seconds())
    made = Sweep(bridge.database, bridge.fetcher)
    tally = made.run(
        bridge.clock.now - since, Pauses(bridge.clock), started_by="worker", dry_run=dry_run
    )
    told = {
        event_type: {name: n for name, n in counts.items() if n and name != "listed"}
        for event_type, counts in tally.by_event_type().items()
    }
    return {event_type: counts for event_type, counts in told.items() if counts}


def born_a_day_ago(bridge: VirtualBridge) -> None:
    value = {"at": (bridge.clock.now - timedelta(days=1)).isoformat()}
    with bridge.database.begin() as connection:
        shared_state.put(connection, shared_state.SWEEPS_SINCE, value, now=bridge.clock.now)


def _label(world: World) -> Made:
    order = world.add_order()
    [label] = world.buy_labels(world.add_shipstation_order(order))
    return order, label, world.label_created_v2(label)


def _mark(world: World) -> Made:
    order = world.add_order()
    mark = world.mark_shipped(world.add_shipstation_order(order))
    return order, mark, world.fulfillment_shipped_v2(mark)


def _v1_label(world: World) -> Made:
    order, label, _ = _label(world)
    return order, label, world.ship_notify(label)


def _v1_mark(world: World) -> Made:
    order, mark, _ = _mark(world)
    return order, mark, world.v1_fulfillment_shipped(mark)


SOURCES = {
    "LABEL_CREATED_V2": _label,
    "FULFILLMENT_SHIPPED_V2": _mark,
    "SHIP_NOTIFY": _v1_label,
    "FULFILLMENT_SHIPPED": _v1_mark,
}


@pytest.fixture(params=SOURCES)
def source(
    request: pytest.FixtureRequest, bridges: Callable[..., VirtualBridge]
) -> tuple[VirtualBridge, str, Callable[[World], Made]]:
    """A bridge with the keys of one API, and how something is shipped there."""
    name = request.param
    return bridges(**({} if name.endswith("V2") else V1_ALONE)), name, SOURCES[name]


# What no webhook told of


def test_lost_webhook_is_made_up_for_once(
    source: tuple[VirtualBridge, str, Callable[[World], Made]],
) -> None:
    bridge, event_type, ship = source
    order, thing, _lost = ship(bridge.world)

    counts = [sweep(bridge)]
    bridge.settle()
    counts += [sweep(bridge), sweep(bridge)]
    bridge.settle()

    assert counts == [{event_type: {"missed": 1}}, {}, {}]
    assert [body["tracking_info"]["number"] for body in bridge.accepted(order)] == [
        thing.tracking_number
    ]
    assert [
        (event["event_type"], event["source"], event["status"]) for event in bridge.events()
    ] == [(event_type, "sweep", "processed")]
    assert bridge.deliveries(order)[0]["lane"] == "sweep"


def test_webhook_that_comes_after_the_sweep_doubles_nothing(
    source: tuple[VirtualBridge, str, Callable[[World], Made]],
) -> None:
    bridge, _event_type, ship = source
    order, _thing, late = ship(bridge.world)
    sweep(bridge)
    bridge.settle()

    [event_id] = bridge.travel(late)

    assert len(bridge.accepted(order)) == len(bridge.deliveries(order)) == 1
    assert bridge.event(event_id)["reason"] == "already_delivered"
    assert sweep(bridge) == {}


def test_what_a_webhook_told_is_not_missed_and_costs_no_further_call(
    source: tuple[VirtualBridge, str, Callable[[World], Made]],
) -> None:
    bridge, _event_type, ship = source
    bridge.travel(*(ship(bridge.world)[2] for _ in range(3)))
    told = len(bridge.events())

    first = sweep(bridge)
    bridge.settle()
    before = len(bridge.world.calls)
    again = sweep(bridge)

    assert (first, again) == ({}, {})
    assert len(bridge.events()) == told
    assert all(
        name in ("labels", "fulfillments", "shipments")
        for _system, name in bridge.world.calls[before:]
    )
    assert len(bridge.world.calls) - before <= 7  # four lists, and three that tell voids


def test_what_is_younger_than_ten_minutes_is_left_to_its_webhook(
    source: tuple[VirtualBridge, str, Callable[[World], Made]],
) -> None:
    bridge, event_type, ship = source
    ship(bridge.world)

    assert sweep(bridge, after=9 * MINUTE) == {}
    assert sweep(bridge, after=2 * MINUTE) == {event_type: {"missed": 1}}


def test_parcel_that_one_api_told_is_not_missed_on_the_other(
    bridge: VirtualBridge, world: World
) -> None:
    bridge.travel(*(ship(world)[2] for ship in SOURCES.values()))

    assert sweep(bridge) == {}


def test_parcel_that_was_told_inline_is_not_missed(bridge: VirtualBridge, world: World) -> None:
    order = world.add_order()
    parcel = world.add_shipstation_order(order)
    mark = world.mark_shipped(parcel, "UPS")
    bridge.travel(world.inline_fulfillments([world.inline_row(parcel, mark.tracking_number)]))

    assert sweep(bridge) == {}


def test_second_of_two_orders_in_one_box_is_found_though_the_number_is_known(
    bridge: VirtualBridge, world: World
) -> None:
    first, second = world.add_order(), world.add_order()
    marks = [
        world.mark_shipped(world.add_shipstation_order(order), "UPS", "1ZB7X0410390000555")
        for order in (first, second)
    ]
    bridge.travel(world.fulfillment_shipped_v2(marks[0]))

    counts = sweep(bridge)
    bridge.settle()

    assert counts == {"FULFILLMENT_SHIPPED_V2": {"missed": 1}}
    assert len(bridge.accepted(first)) == len(bridge.accepted(second)) == 1


def test_what_was_delivered_is_known_though_its_records_were_redacted(
    bridge: VirtualBridge, world: World
) -> None:
    bridge.travel(_label(world)[2], _mark(world)[2])
    bridge.clock.advance(30 * 24 * 3600)
    retention.forget(bridge.database, timedelta(days=20), threading.Event())

    assert rows(bridge.database, "records") == []
    assert sweep(bridge, since=timedelta(days=31)) == {}


def test_label_that_was_not_finished_when_it_was_told_goes_in_when_it_is(
    bridges: Callable[..., VirtualBridge],
) -> None:
    bridge = bridges(BRIDGE_WAIT_SCHEDULE="15s,1m")
    order = bridge.world.add_order()
    [label] = bridge.world.buy_labels(
        bridge.world.add_shipstation_order(order), status="processing"
    )
    bridge.travel(bridge.world.label_created_v2(label))
    before = sweep(bridge)
    bridge.world.complete_label(label)

    after = sweep(bridge)
    bridge.settle()

    assert (before, after) == ({}, {"LABEL_CREATED_V2": {"finished": 1}})
    assert len(bridge.accepted(order)) == 1


# What it costs


def _calls(bridge: VirtualBridge, since: int) -> dict[str, int]:
    made = [f"{system}.{operation}" for system, operation in bridge.world.calls[since:]]
    return {name: made.count(name) for name in sorted(set(made))}


def test_batch_of_strangers_costs_two_calls_once_and_then_none(
    bridge: VirtualBridge, world: World
) -> None:
    world.buy_labels([world.add_shipstation_order(str(90_000 + n)) for n in range(60)])
    counts = sweep(bridge)
    before = len(world.calls)

    bridge.settle()
    costs = _calls(bridge, before)
    again = sweep(bridge)

    assert (counts, again) == ({"LABEL_CREATED_V2": {"missed": 60}}, {})
    assert costs == {"shipstation.labels": 1, "shipstation.shipments": 1}
    assert len(bridge.events()) == 1


def test_run_of_v1_labels_costs_one_call(bridges: Callable[..., VirtualBridge]) -> None:
    bridge = bridges(**V1_ALONE)
    orders = []
    for _ in range(10):
        orders.append(_label(bridge.world)[0])
        bridge.clock.advance(3)
    counts = sweep(bridge)
    before = len(bridge.world.calls)

    bridge.settle()

    assert counts == {"SHIP_NOTIFY": {"missed": 10}}
    assert _calls(bridge, before)["shipstation_v1.shipments"] == 1
    assert all(len(bridge.accepted(order)) == 1 for order in orders)


def test_missed_v1_label_between_known_ones_does_not_bring_them_again(
    bridges: Callable[..., VirtualBridge],
) -> None:
    bridge = bridges(**V1_ALONE)
    for place in range(5):
        _, _, told = _v1_label(bridge.world)
        bridge.clock.advance(60)
        if place != 2:
            bridge.travel(told)

    counts = sweep(bridge)
    bridge.settle()

    assert counts == {"SHIP_NOTIFY": {"missed": 1}}
    kinds = [record["kind"] for record in bridge.events()[-1]["records"]]
    assert kinds.count("v1_shipment") == 1
    assert len(bridge.accepted()) == 5


def test_everything_goes_in_through_the_lowest_lane(bridge: VirtualBridge, world: World) -> None:
    for ship in SOURCES.values():
        ship(world)
    sweep(bridge)

    assert {row.lane for row in rows(bridge.database, "events")} == {int(Lane.SWEEP)}


# Voids that came late


VOIDABLE = {"LABEL_CREATED_V2": _label, "FULFILLMENT_SHIPPED_V2": _mark, "SHIP_NOTIFY": _v1_label}


@pytest.mark.parametrize("event_type", VOIDABLE)
def test_void_after_delivery_is_found_however_old_the_label_is(
    bridges: Callable[..., VirtualBridge], event_type: str
) -> None:
    bridge = bridges(**({} if event_type.endswith("V2") else V1_ALONE))
    order, thing, told = VOIDABLE[event_type](bridge.world)
    bridge.travel(told)
    bridge.clock.advance(9 * 24 * 3600)
    (
        bridge.world.void_fulfillment
        if event_type == "FULFILLMENT_SHIPPED_V2"
        else bridge.world.void_label
    )(thing)

    counts = [sweep(bridge, since=HOUR), sweep(bridge, since=HOUR)]
    bridge.settle()
    counts.append(sweep(bridge, since=HOUR))

    assert counts == [{event_type: {"voided": 1}}, {}, {}]
    assert [(row["status"], row["reason"]) for row in bridge.deliveries(order)] == [
        ("held", "voided_after_delivery")
    ]
    assert len(bridge.accepted(order)) == 1


def test_void_of_what_v1_told_is_found_on_v2_and_goes_in_once(
    bridge: VirtualBridge, world: World
) -> None:
    order, label, told = _v1_label(world)
    bridge.travel(told)
    world.void_label(label)

    counts = sweep(bridge)
    bridge.settle()

    assert counts == {"LABEL_CREATED_V2": {"voided": 1}}
    assert [row["reason"] for row in bridge.deliveries(order)] == ["voided_after_delivery"]


def test_void_of_a_stranger_or_of_what_nobody_told_does_nothing(
    bridge: VirtualBridge, world: World
) -> None:
    [stranger] = world.buy_labels(world.add_shipstation_order("90001"))
    bridge.travel(world.label_created_v2(stranger))
    _order, untold, _ = _label(world)
    for label in (stranger, untold):
        world.void_label(label)

    assert sweep(bridge) == {}


# Lists that change, vendors that fail, sweeps that meet


def test_every_page_is_read_though_labels_are_bought_meanwhile(
    bridge: VirtualBridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(210):
        _label(world)
        bridge.clock.advance(1)
    read_pages = ShipStationV2.pages

    def busy(self: Any, resource: str, url: str, **bounds: Any) -> Iterator[Any]:
        for page in read_pages(self, resource, url, **bounds):
            yield page
            _label(world)

    monkeypatch.setattr(ShipStationV2, "pages", busy)
    monkeypatch.setattr(ShipStationV2, "page_size", ("page_size", "100"))

    assert sweep(bridge)["LABEL_CREATED_V2"] == {"missed": 210}


def test_batch_over_two_pages_is_one_event_and_counts_whole(
    bridge: VirtualBridge, world: World
) -> None:
    world.buy_labels([world.add_shipstation_order(str(90_000 + n)) for n in range(130)])

    assert sweep(bridge) == {"LABEL_CREATED_V2": {"missed": 130}}
    assert len(bridge.events()) == 1


def test_filter_that_is_not_heeded_does_not_dig_up_what_is_old(
    bridge: VirtualBridge, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        _label(world)
    bridge.clock.advance(10 * 24 * 3600)
    _label(world)
    read_pages = ShipStationV2.pages

    def unfiltered(self: Any, resource: str, url: str, **bounds: Any) -> Iterator[Any]:
        url = re.sub(r"created\w*_start=[^&]*&", "", url)
        return read_pages(self, resource, url, **bounds)

    monkeypatch.setattr(ShipStationV2, "pages", unfiltered)

    assert sweep(bridge) == {"LABEL_CREATED_V2": {"missed": 1}}


def test_error_midway_keeps_what_went_in_and_the_next_sweep_goes_on(
    bridge: VirtualBridge, world: World
) -> None:
    label_order, _, _ = _label(world)
    mark_order, _, _ = _mark(world)
    bridge.simulator.inject("shipstation.fulfillments", "status:503")

    with pytest.raises(TemporaryError):
        sweep(bridge)
    failed = _last(bridge)
    counts = sweep(bridge)
    bridge.settle()

    assert (
        failed["outcome"],
        "503" in failed["detail"],
        failed["counts"]["LABEL_CREATED_V2"]["missed"],
    ) == ("failed", True, 1)
    assert counts == {"FULFILLMENT_SHIPPED_V2": {"missed": 1}}
    assert _last(bridge)["outcome"] == "done"
    assert len(bridge.accepted(label_order)) == len(bridge.accepted(mark_order)) == 1


def test_vendor_that_says_wait_is_waited_for(bridge: VirtualBridge, world: World) -> None:
    _label(world)
    bridge.simulator.inject("shipstation.labels", "throttle:0")

    assert sweep(bridge) == {"LABEL_CREATED_V2": {"missed": 1}}


def test_row_that_can_not_be_read_stops_no_other(
    bridge: VirtualBridge, world: World, logged: list[MutableMapping[str, Any]]
) -> None:
    _label(world)
    _order, broken, _ = _label(world)
    broken.is_return = "perhaps"

    assert sweep(bridge) == {"LABEL_CREATED_V2": {"missed": 1}}
    assert any(entry["event"] == "row_unreadable" for entry in logged)


def _last(bridge: VirtualBridge) -> Json:
    with bridge.database.read() as connection:
        found = sweeps.last(connection)
    assert found is not None
    return found


def test_second_sweep_while_the_first_still_waits_feeds_nothing_again(
    source: tuple[VirtualBridge, str, Callable[[World], Made]],
) -> None:
    bridge, event_type, ship = source
    order, _, _ = ship(bridge.world)

    counts = [sweep(bridge), sweep(bridge), sweep(bridge)]
    bridge.settle()

    assert counts == [{event_type: {"missed": 1}}, {}, {}]
    assert len(bridge.events()) == len(bridge.accepted(order)) == 1


def test_two_sweeps_at_once_feed_each_parcel_in_once(
    bridge: VirtualBridge, world: World, opened: Callable[[], Database]
) -> None:
    orders = [ship(world)[0] for ship in (_label, _label, _mark)]
    bridge.clock.advance(900)
    made = [Sweep(opened(), bridge.fetcher) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(one.run, bridge.clock.now - HOUR, threading.Event(), started_by="worker")
            for one in made
        ]
        found = [run.result().enqueued for run in runs]
    bridge.settle()

    assert all(len(bridge.accepted(order)) == 1 for order in orders)
    assert len(bridge.events()) == len([*found[0], *found[1]]) == 3


def test_webhook_that_is_received_and_still_waits_is_not_missed_and_keeps_its_schedule(
    bridge: VirtualBridge, world: World
) -> None:
    for ship in (_label, _mark):
        bridge.send(ship(world)[2])

    before = rows(bridge.database, "events")
    assert sweep(bridge) == {}
    assert rows(bridge.database, "events") == before


def test_dry_run_tells_and_writes_nothing(bridge: VirtualBridge, world: World) -> None:
    for ship in (_label, _mark):
        ship(world)

    counts = sweep(bridge, dry_run=True)

    assert counts == {"LABEL_CREATED_V2": {"missed": 1}, "FULFILLMENT_SHIPPED_V2": {"missed": 1}}
    assert rows(bridge.database, "events") == rows(bridge.database, "sweeps") == []


def test_stopped_sweep_says_so_and_the_next_goes_on(bridge: VirtualBridge, world: World) -> None:
    _label(world)
    stopping = threading.Event()
    stopping.set()
    bridge.clock.advance(900)

    born_a_day_ago(bridge)
    Sweep(bridge.database, bridge.fetcher).routine(timedelta(minutes=15), stopping)

    assert _last(bridge)["outcome"] == "stopped"
    assert sweep(bridge) == {"LABEL_CREATED_V2": {"missed": 1}}


def test_missed_are_added_up_over_all_sweeps(bridge: VirtualBridge, world: World) -> None:
    for ship in (_label, _label, _mark):
        ship(world)
        sweep(bridge)

    with bridge.database.read() as connection:
        assert sweeps.missed(connection) == {
            "LABEL_CREATED_V2": 2,
            "FULFILLMENT_SHIPPED_V2": 1,
            "SHIP_NOTIFY": 0,
            "FULFILLMENT_SHIPPED": 0,
        }


def test_old_sweeps_are_forgotten_unless_they_missed_something(
    bridge: VirtualBridge, world: World
) -> None:
    sweep(bridge)
    _label(world)
    sweep(bridge)
    bridge.clock.advance(31 * 24 * 3600)
    sweep(bridge)

    assert [
        row.counts["LABEL_CREATED_V2"]["missed"] for row in rows(bridge.database, "sweeps")
    ] == [1, 0]


# How far it looks back


NOW = Clock().now


@pytest.mark.parametrize(
    ("interval", "covered", "expected"),
    [
        (15 * MINUTE, None, NOW - HOUR),
        (2 * HOUR, None, NOW - 4 * HOUR),
        (15 * MINUTE, NOW - 15 * MINUTE, NOW - HOUR),
        (15 * MINUTE, NOW - 50 * HOUR, NOW - 50 * HOUR - 10 * MINUTE),
        (15 * MINUTE, NOW - 900 * HOUR, NOW - 168 * HOUR),
        (240 * HOUR, NOW - 900 * HOUR, NOW - 480 * HOUR),
    ],
    ids=[
        "an hour",
        "twice the interval",
        "no gap",
        "over a weekend",
        "a week at most",
        "unless the interval is longer",
    ],
)
def test_looks_back_twice_the_interval_and_over_any_gap(
    interval: timedelta, covered: Any, expected: Any
) -> None:
    assert look_back(NOW, interval=interval, covered_until=covered) == expected


def test_worker_that_was_down_for_two_days_sweeps_them(bridge: VirtualBridge, world: World) -> None:
    routine = Sweep(bridge.database, bridge.fetcher).routine
    routine(15 * MINUTE, threading.Event())
    bridge.clock.advance(3600)
    order, _, _ = _label(world)
    bridge.clock.advance(47 * 3600)

    routine(15 * MINUTE, threading.Event())
    bridge.settle()

    assert len(bridge.accepted(order)) == 1


# Parcels that share a number, lists that change for other reasons


@pytest.mark.parametrize("kinds", ["marks", "label_and_mark"])
def test_second_order_in_the_same_box_is_found_with_both_apis_on(
    bridge: VirtualBridge, world: World, kinds: str
) -> None:
    first, second = world.add_order(), world.add_order()
    if kinds == "marks":
        known = world.mark_shipped(world.add_shipstation_order(first), tracking="1Z0000000001")
        bridge.travel(world.fulfillment_shipped_v2(known), world.v1_fulfillment_shipped(known))
    else:
        [label] = world.buy_labels(world.add_shipstation_order(first), tracking="1Z0000000001")
        bridge.travel(world.label_created_v2(label), world.ship_notify(label))
    world.mark_shipped(world.add_shipstation_order(second), tracking="1Z0000000001")

    counts = sweep(bridge)
    bridge.settle()

    assert counts == {"FULFILLMENT_SHIPPED_V2": {"missed": 1}}
    assert (len(bridge.accepted(first)), len(bridge.accepted(second))) == (1, 1)
    assert sweep(bridge) == {}


@pytest.mark.parametrize("old_voids", [99, 100, 250])
def test_late_void_is_found_behind_rows_that_changed_for_another_reason(
    bridges: Callable[..., VirtualBridge], old_voids: int
) -> None:
    bridge = bridges(BRIDGE_SHIPSTATION_V1_API_KEY="", BRIDGE_SHIPSTATION_V1_API_SECRET="")
    world = bridge.world
    old = [
        label
        for number in range(old_voids)
        for label in world.buy_labels(world.add_shipstation_order(str(90_000 + number)))
    ]
    for label in old:
        world.void_label(label)
    bridge.clock.advance(3 * 24 * 3600)
    _order, ours, webhook = _label(world)
    bridge.travel(webhook)
    bridge.clock.advance(3 * 24 * 3600)
    world.void_label(ours)
    bridge.clock.advance(60)
    for label in old:
        label.touched_at = bridge.clock.now

    assert sweep(bridge) == {"LABEL_CREATED_V2": {"voided": 1}}


def test_void_of_a_number_that_a_carrier_used_again_is_no_void_of_ours(
    bridge: VirtualBridge, world: World
) -> None:
    order = world.add_order()
    bridge.travel(
        world.fulfillment_shipped_v2(
            world.mark_shipped(world.add_shipstation_order(order), tracking="1Z0000000001")
        )
    )
    bridge.clock.advance(400 * 24 * 3600)
    [label] = world.buy_labels(world.add_shipstation_order("90001"), tracking="1Z0000000001")
    bridge.travel(world.label_created_v2(label))
    world.void_label(label)

    assert sweep(bridge) == {}
    assert [delivery["status"] for delivery in bridge.deliveries()] == ["delivered"]


# What goes in, and what does not


def test_new_database_posts_nothing_that_left_before_its_birth(
    bridge: VirtualBridge, world: World
) -> None:
    before, _, _ = _label(world)
    bridge.clock.advance(20 * 60)
    routine = Sweep(bridge.database, bridge.fetcher).routine
    routine(15 * MINUTE, threading.Event())
    bridge.clock.advance(60)
    after, _, _ = _label(world)
    bridge.clock.advance(20 * 60)

    routine(15 * MINUTE, threading.Event())
    bridge.settle()

    assert (len(bridge.accepted(before)), len(bridge.accepted(after))) == (0, 1)
    assert sweep(bridge) == {"LABEL_CREATED_V2": {"missed": 1}}  # A person may look further back.


def test_database_that_was_born_while_the_clock_was_ahead_is_swept_once_it_is_right(
    bridge: VirtualBridge, world: World
) -> None:
    bridge.clock.advance(86_400)
    routine = Sweep(bridge.database, bridge.fetcher).routine
    routine(15 * MINUTE, threading.Event())
    bridge.clock.advance(-86_400)
    routine(15 * MINUTE, threading.Event())
    bridge.clock.advance(60)
    order, _, _ = _label(world)
    bridge.clock.advance(20 * 60)

    routine(15 * MINUTE, threading.Event())
    bridge.settle()

    assert len(bridge.accepted(order)) == 1


def test_time_that_only_failed_sweeps_looked_at_is_swept_again(
    bridge: VirtualBridge, world: World
) -> None:
    routine = Sweep(bridge.database, bridge.fetcher).routine
    routine(15 * MINUTE, threading.Event())
    bridge.clock.advance(3600)
    order, _, _ = _label(world)
    bridge.simulator.inject("shipstation.*", "status:500", 99)
    for _ in range(2):
        bridge.clock.advance(24 * 3600)
        with pytest.raises(TemporaryError):
            routine(15 * MINUTE, threading.Event())
    bridge.simulator.faults.clear()
    bridge.clock.advance(3600)

    routine(15 * MINUTE, threading.Event())
    bridge.settle()

    assert len(bridge.accepted(order)) == 1


def test_void_that_a_person_closed_is_enqueued_in_by_no_further_sweep(
    bridge: VirtualBridge, world: World
) -> None:
    _order, label, webhook = _label(world)
    bridge.travel(webhook)
    world.void_label(label)
    counts = [sweep(bridge)]
    bridge.settle()
    [held] = bridge.deliveries()
    assert held["reason"] == "voided_after_delivery"
    bridge.repair(
        held["id"], repair.resolve, status=DeliveryStatus.DELIVERED, reason="settled by phone"
    )

    for _ in range(2):
        counts.append(sweep(bridge))
        bridge.settle()

    assert counts == [{"LABEL_CREATED_V2": {"voided": 1}}, {}, {}]


def test_what_died_is_enqueued_in_once(bridge: VirtualBridge, world: World) -> None:
    _label(world)
    counts = [sweep(bridge)]
    bridge.simulator.inject("shipstation.labels", "status:404", 99)
    bridge.settle()
    bridge.simulator.faults.clear()

    counts.append(sweep(bridge))

    assert counts == [{"LABEL_CREATED_V2": {"missed": 1}}, {}]
    assert [event["status"] for event in bridge.events()] == ["dead"]
