"""A stored event through the journey again: what was never told goes out, what Purple Dot has never
does, the original stays as it was."""

from collections.abc import Callable

import pytest

from bridge.domain.errors import LeaseLostError, RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.operations import repair
from bridge.store import events, replays, reports, restores, tables
from bridge.store.queries import Query
from tests.support.replays import (
    ALWAYS,
    ONE_TEE,
    chosen,
    dead,
    delivered,
    foreign,
    items,
    replay,
    start,
    story,
)
from tests.support.rows import row, rows
from tests.support.virtual_bridge import OWNER, VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]


@pytest.fixture
def bridge(bridges: Callable[..., VirtualBridge]) -> VirtualBridge:
    return bridges(BRIDGE_NOTIFY_CUSTOMER="true")


# What was never told goes out


def test_ignored_parcel_goes_out_once_its_order_was_mended_in_shipstation(
    bridge: VirtualBridge,
) -> None:
    event_id, order, shipment = foreign(bridge)
    shipment.shipment_number = order.reference

    run = replay(bridge, event_id)

    assert (run["status"], run["total"], run["ended"]) == ("done", 1, 1)
    assert run["events"] == [{"status": "processed", "reason": None, "count": 1}]
    assert run["deliveries"] == [
        {"status": "delivered", "reason": None, "before": False, "count": 1}
    ]
    assert len(bridge.accepted(order)) == 1


def test_replayed_as_stored_it_is_decided_from_what_was_fetched_then(bridge: VirtualBridge) -> None:
    event_id, order, shipment = foreign(bridge)
    shipment.shipment_number = order.reference

    run = replay(bridge, event_id, as_stored=True)

    assert run["events"] == [{"status": "ignored", "reason": "not_a_purple_dot_order", "count": 1}]
    assert bridge.accepted() == []


def test_dead_delivery_is_not_taken_for_one_that_was_told(bridge: VirtualBridge) -> None:
    """A replay must not be swallowed by the check that keeps parcels from going out twice."""
    [event_id] = dead(bridge)

    run = replay(bridge, event_id)

    assert run["deliveries"] == [
        {"status": "delivered", "reason": None, "before": False, "count": 1}
    ]
    assert [attempt["trigger"] for attempt in bridge.deliveries()[0]["attempt_history"]] == [
        "live",
        "replay",
    ]
    assert len(bridge.accepted()) == 1


def test_replay_of_a_dead_delivery_has_the_whole_schedule_again(bridge: VirtualBridge) -> None:
    bridge.simulator.inject("purple_dot.order", "status:503", ALWAYS)
    order = bridge.world.add_order(lines=ONE_TEE)
    bridge.clock.advance(60)
    event_id = bridge.send(
        bridge.world.label_created_v2(
            bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
        )
    )
    bridge.step()
    bridge.clock.advance(60)
    bridge.settle()
    assert [(one["status"], one["attempts"]) for one in bridge.deliveries()] == [("dead", 4)]
    bridge.simulator.faults.clear()
    start(bridge, event_id)
    bridge.step()
    bridge.clock.advance(60)
    bridge.simulator.inject("purple_dot.order", "status:503", 3)

    bridge.settle()

    assert [(one["status"], one["attempts"]) for one in bridge.deliveries()] == [("delivered", 4)]


def test_dead_event_is_replayed_and_no_longer_waits_for_a_person(bridge: VirtualBridge) -> None:
    bridge.simulator.inject("shipstation.labels", "status:404", ALWAYS)
    [label] = bridge.world.buy_labels(
        bridge.world.add_shipstation_order(bridge.world.add_order(lines=ONE_TEE))
    )
    [event_id] = bridge.travel(bridge.world.label_created_v2(label))
    assert bridge.event(event_id)["status"] == "dead"
    first = replay(bridge, event_id)
    assert first["events"] == [{"status": "dead", "reason": "schedule_exhausted", "count": 1}]
    assert waiting(bridge) == 2
    bridge.simulator.faults.clear()

    run = replay(bridge, event_id)

    assert run["deliveries"] == [
        {"status": "delivered", "reason": None, "before": False, "count": 1}
    ]
    assert waiting(bridge) == 0
    assert bridge.event(event_id)["status"] == "dead"


def waiting(bridge: VirtualBridge) -> int:
    with bridge.database.read() as connection:
        return reports.count_exceptions(connection)


def test_held_parcel_is_decided_anew(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order(lines=ONE_TEE)
    shipment = bridge.world.add_shipstation_order(order, [("SHIRT", 1)])
    [event_id] = bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    shipment.items = bridge.world.add_shipstation_order(order).items

    replay(bridge, event_id)

    assert [one["status"] for one in bridge.deliveries()] == ["delivered"]


# What Purple Dot has is never sent again


@pytest.mark.parametrize("as_stored", [False, True])
def test_delivered_parcel_is_left_alone_however_often_it_is_replayed(
    bridge: VirtualBridge, as_stored: bool
) -> None:
    event_id, _ = delivered(bridge)
    before = bridge.deliveries()

    runs = [replay(bridge, event_id, as_stored=as_stored, notify_customer=True) for _ in range(3)]

    assert [run["deliveries"] for run in runs] == [
        [{"status": "delivered", "reason": None, "before": True, "count": 1}]
    ] * 3
    assert [run["events"][0]["reason"] for run in runs] == ["already_delivered"] * 3
    assert len(bridge.sent) == 1
    assert [{**one, "event_ids": []} for one in bridge.deliveries()] == [
        {**one, "event_ids": []} for one in before
    ]


def test_what_a_person_closed_or_perhaps_arrived_stays_as_it_stands_and_is_told_so(
    bridge: VirtualBridge,
) -> None:
    [event_id] = dead(bridge)
    bridge.repair(
        bridge.deliveries()[0]["id"],
        repair.resolve,
        status=DeliveryStatus.CANCELLED,
        reason="never left",
    )

    run = replay(bridge, event_id)

    assert run["deliveries"] == [
        {"status": "cancelled", "reason": None, "before": False, "count": 1}
    ]
    assert len(bridge.sent) == 1


def test_label_that_was_voided_since_does_not_go_out_as_stored(bridge: VirtualBridge) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422")
    event_id, label = delivered(bridge)
    bridge.world.void_label(label)
    bridge.clock.advance(3600)

    replay(bridge, event_id, as_stored=True)

    assert [(one["status"], one["reason"]) for one in bridge.deliveries()] == [
        ("cancelled", "voided")
    ]
    assert bridge.accepted() == []


def test_what_is_stored_never_takes_the_place_of_a_newer_label_of_the_same_number(
    bridge: VirtualBridge,
) -> None:
    """The older may be void by now: in its place, the newer parcel would be lost."""
    order = bridge.world.add_order(lines=ONE_TEE)
    shipment = bridge.world.add_shipstation_order(order, [("SHIRT", 1)])
    [old] = bridge.world.buy_labels(shipment)
    [event_id] = bridge.travel(bridge.world.label_created_v2(old))
    bridge.world.void_label(old)
    [new] = bridge.world.buy_labels(shipment)
    new.tracking_numbers = list(old.tracking_numbers)
    bridge.travel(bridge.world.label_created_v2(new))
    record = bridge.deliveries()[0]["shipstation_record_id"]

    replay(bridge, event_id, as_stored=True)

    assert [(one["shipstation_record_id"], one["status"]) for one in bridge.deliveries()] == [
        (record, "held")
    ]


# The original is never changed


@pytest.mark.parametrize("as_stored", [False, True])
def test_original_stays_to_the_last_byte(bridge: VirtualBridge, as_stored: bool) -> None:
    event_id, order, shipment = foreign(bridge)
    shipment.shipment_number = order.reference
    before = (
        row(bridge.database, event_id),
        [one for one in rows(bridge.database, "records") if one.event_id == event_id],
    )

    replay(bridge, event_id, as_stored=as_stored)

    assert (
        row(bridge.database, event_id),
        [one for one in rows(bridge.database, "records") if one.event_id == event_id],
    ) == before


def test_both_tell_of_each_other(bridge: VirtualBridge) -> None:
    event_id, *_ = foreign(bridge)
    run = replay(bridge, event_id)
    [item] = items(bridge.database, run["id"])

    assert bridge.event(event_id)["replays"] == bridge.event(item["replay_event_id"])["replays"]
    assert row(bridge.database, item["replay_event_id"]).source == "replay"
    assert item["event_id"] == event_id


def test_replay_of_a_replay_is_one_of_its_original_and_a_range_holds_no_replays(
    bridge: VirtualBridge,
) -> None:
    event_id, *_ = foreign(bridge)
    [item] = items(bridge.database, replay(bridge, event_id)["id"])

    with bridge.database.read() as connection:
        found = replays.candidates(connection, ids=[item["replay_event_id"], event_id])

    assert [candidate.id for candidate in found] == chosen(bridge.database) == [event_id]


@pytest.mark.parametrize("days", [0, 30])
def test_database_that_was_put_back_from_an_old_copy_sends_nothing_by_replay_without_reading(
    bridge: VirtualBridge, days: int
) -> None:
    """However long ago it was put back: the original came before that, and was perhaps told."""
    order = bridge.world.add_order(lines=[("TEE", 2)])
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order, [("TEE", 1)]))
    row_ = bridge.world.inline_row(label.order, str(label.tracking_number))
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422")
    [event_id] = bridge.travel(bridge.world.inline_fulfillments([row_]))
    with bridge.database.begin() as connection:
        restores.note(connection, copied_at=None, now=bridge.clock.now)
    bridge.clock.advance(days * 86_400)

    run = replay(bridge, event_id)

    assert run["deliveries"] == [
        {"status": "held", "reason": "unconfirmed_partial", "before": False, "count": 1}
    ]
    assert bridge.accepted() == []


# Nobody is e-mailed


def test_replay_asks_for_an_email_only_where_that_was_said(bridge: VirtualBridge) -> None:
    first, second = dead(bridge, 2)

    replay(bridge, first)
    replay(bridge, second, notify_customer=True)

    assert [body["notify_customer"] for body in bridge.accepted()] == [False, True]


def test_wish_of_an_inline_body_is_not_repeated_by_a_replay(bridge: VirtualBridge) -> None:
    order = bridge.world.add_order(lines=ONE_TEE)
    row_ = bridge.world.inline_row(
        bridge.world.add_shipstation_order(order), "1ZA00000T03", notify_customer=True
    )
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422")
    [event_id] = bridge.travel(bridge.world.inline_fulfillments([row_]))

    replay(bridge, event_id)

    assert [body["notify_customer"] for body in bridge.accepted(order)] == [False]


def test_order_that_is_found_later_is_told_without_an_email(bridge: VirtualBridge) -> None:
    event_id, order, shipment = foreign(bridge)
    shipment.shipment_number = "PD900/2"
    start(bridge, event_id)
    bridge.work()
    assert [one["reason"] for one in bridge.deliveries()] == ["order_not_found"]
    shipment.shipment_number = order.reference

    bridge.settle()

    assert [body["notify_customer"] for body in bridge.accepted(order)] == [False]


# Paced, interruptible, cancellable


def test_live_events_go_before_a_replay_of_many(bridge: VirtualBridge) -> None:
    ids = dead(bridge, 12)
    run_id = start(bridge, *ids)
    live = bridge.send(
        bridge.world.ship_notify(
            bridge.world.buy_labels(bridge.world.add_shipstation_order("100483"))
        )
    )

    with bridge.database.begin() as connection:
        taken = events.claim(
            connection, owner=OWNER, limit=1, lease=bridge._lease, now=bridge.clock.now
        )
    assert [event.id for event in taken] == [live]

    bridge.restart()
    bridge.work()
    assert story(bridge.database, run_id)["ended"] == 12


def test_events_that_fail_do_not_hold_up_the_others(bridge: VirtualBridge) -> None:
    ids = dead(bridge, 8)
    bridge.simulator.inject("shipstation.labels", "status:500", 4)
    start(bridge, *ids)

    bridge.work()

    assert len(bridge.accepted()) == 8 - 4


def test_paused_run_goes_on_where_it_stopped_and_takes_each_once(bridge: VirtualBridge) -> None:
    ids = dead(bridge, 10)
    run_id = start(bridge, *ids)
    bridge.step()
    with bridge.database.begin() as connection:
        replays.pause(connection, run_id)
    bridge.settle()
    paused = story(bridge.database, run_id)

    with bridge.database.begin() as connection:
        replays.resume(connection, run_id, now=bridge.clock.now)
    bridge.settle()

    assert (paused["status"], paused["ended"]) == ("paused", 1)
    assert len({item["replay_event_id"] for item in items(bridge.database, run_id)}) == 10
    assert (
        sum(one.source == "replay" for one in rows(bridge.database, "events"))
        == len(bridge.accepted())
        == 10
    )
    assert story(bridge.database, run_id)["status"] == "done"


def test_cancelled_run_stops_and_what_a_worker_has_of_it_comes_to_nothing(
    bridge: VirtualBridge,
) -> None:
    run_id = start(bridge, *dead(bridge, 10))
    with bridge.database.begin() as connection:
        [held] = events.claim(
            connection, owner=OWNER, limit=1, lease=bridge._lease, now=bridge.clock.now
        )
    cancel(bridge, run_id)

    with pytest.raises(RefusedError):
        cancel(bridge, run_id)
    with pytest.raises(LeaseLostError, match=held.id):
        bridge._jobs[events].run(held, owner=OWNER)
    bridge.settle()

    run = story(bridge.database, run_id)
    assert (run["status"], run["deliveries"]) == ("cancelled", [])
    assert bridge.accepted() == []
    with pytest.raises(RefusedError, match="cancelled"), bridge.database.begin() as connection:
        replays.resume(connection, run_id, now=bridge.clock.now)


def cancel(bridge: VirtualBridge, run_id: str) -> None:
    with bridge.database.begin() as connection:
        replays.cancel(connection, run_id, actor="alice (shell)", now=bridge.clock.now)


def test_cancelled_replay_of_a_dead_event_leaves_it_waiting_for_a_person(
    bridge: VirtualBridge,
) -> None:
    bridge.simulator.inject("shipstation.labels", "status:404", ALWAYS)
    [label] = bridge.world.buy_labels(
        bridge.world.add_shipstation_order(bridge.world.add_order(lines=ONE_TEE))
    )
    [event_id] = bridge.travel(bridge.world.label_created_v2(label))

    cancel(bridge, start(bridge, event_id))

    assert waiting(bridge) == 1


def test_process_that_dies_in_the_middle_of_a_replay_does_it_once(bridge: VirtualBridge) -> None:
    run_id = start(bridge, *dead(bridge, 6))
    for point in ("fetch", "create_fulfillment", "posted"):
        bridge.dies_at = point
        bridge.work()
        bridge.restart()
    bridge.settle()

    run = story(bridge.database, run_id)
    assert (run["status"], run["ended"]) == ("done", 6)
    assert len({body["tracking_info"]["number"] for body in bridge.accepted()}) == len(
        bridge.accepted()
    )


def test_live_notification_is_never_counted_on_a_replay(bridge: VirtualBridge) -> None:
    """What is stored can't answer for what comes in now."""
    bridge.simulator.inject("shipstation.labels", "status:404", ALWAYS)
    [label] = bridge.world.buy_labels(
        bridge.world.add_shipstation_order(bridge.world.add_order(lines=ONE_TEE))
    )
    [event_id] = bridge.travel(bridge.world.label_created_v2(label))
    start(bridge, event_id)
    bridge.work()

    again = bridge.send(bridge.world.label_created_v2(label))

    assert row(bridge.database, again).source == "shipstation"
    assert tables.REPLAY in {one.source for one in rows(bridge.database, "events")}


def test_more_events_than_a_plan_can_show_are_refused(
    bridge: VirtualBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        bridge.post(b'{"resource_type": "ORDER_NOTIFY", "resource_url": "https://x/%d"}' % number)
    monkeypatch.setattr(replays, "MOST_PLANNED", 1)

    with (
        bridge.database.read() as connection,
        pytest.raises(RefusedError, match="choose a shorter range"),
    ):
        replays.candidates(connection, query=Query())
