"""Claims: best lane first, one owner at a time, a dead owner's work is due again, and a late owner
is refused."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from bridge.domain.deliveries import Delivery, Draft
from bridge.domain.errors import LeaseLostError
from bridge.domain.events import DeliveryStatus, Event, EventStatus, Lane
from bridge.store import deliveries, events, leases
from bridge.store.engine.database import Database
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import (
    LEASE,
    POLICY,
    a_parcel,
    an_order,
    claim_deliveries,
    claim_delivery,
    claim_event,
    claim_events,
    deliver_next,
    due_in,
    end_event,
    put,
    receive,
    record,
    row,
    rows,
)

pytest_plugins = ["tests.support.database_fixtures"]


def received(database: Database, count: int, *, lane: Lane = Lane.LIVE) -> list[str]:
    urls = [
        f"https://ssapi.shipstation.com/shipments?batchId={lane}{number}" for number in range(count)
    ]
    return [receive(database, resource_url=url, lane=lane)[0] for url in urls]


def taken_back(database: Database, owner: str) -> int:
    with database.begin() as connection:
        return leases.release_claims(connection, owner=owner, now=database.now(connection))


def next_due(database: Database) -> object:
    with database.read() as connection:
        return leases.next_due(connection)


def test_nothing_due_gives_nothing(database: WatchedDatabase) -> None:
    assert claim_events(database) == []
    assert claim_deliveries(database) == []
    assert next_due(database) is None


def test_best_lane_goes_first_whatever_came_earlier(
    database: WatchedDatabase, clock: Clock
) -> None:
    came = {}
    for lane in reversed(Lane):
        came[lane] = received(database, 2, lane=lane)
        clock.advance(1)

    taken = [event.id for event in claim_events(database, limit=5)]

    assert sorted(taken[:2]) == sorted(came[Lane.LIVE])
    assert sorted(taken[2:4]) == sorted(came[Lane.RETRY])
    assert taken[4] in came[Lane.REPLAY]


def test_no_more_than_the_limit_is_claimed(database: WatchedDatabase) -> None:
    received(database, 5)

    assert len(claim_events(database, limit=3)) == 3
    assert len(claim_events(database, limit=3)) == 2


def test_within_a_lane_the_longest_due_goes_first(database: WatchedDatabase, clock: Clock) -> None:
    ids = []
    for number in range(3):
        ids.append(
            receive(
                database, resource_url=f"https://ssapi.shipstation.com/shipments?batchId={number}"
            )[0]
        )
        clock.advance(1)

    assert [claim_event(database).id for _ in ids] == ids


def test_claimed_work_is_nobody_elses_until_its_lease_ends(
    database: WatchedDatabase, clock: Clock
) -> None:
    receive(database)
    claim_event(database)

    clock.advance(59)
    assert claim_events(database, "worker-2") == []
    clock.advance(1)
    assert len(claim_events(database, "worker-2")) == 1


def test_expired_lease_is_due_again_under_a_higher_number(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    claims = []
    for owner in ("worker-1", "worker-2", "worker-1"):
        claims.append(claim_delivery(database, owner).claim)
        clock.advance(61)

    assert claims == [1, 2, 3]


@pytest.mark.parametrize("queue", ["events", "deliveries"])
def test_threads_never_own_the_same_work_at_once(
    opened: Callable[[], Database], queue: str
) -> None:
    database = opened()
    if queue == "events":
        received(database, 60)
    else:
        for number in range(60):
            put(
                database,
                a_parcel(number=f"1Z{number}", record=str(number)),
                orders=(an_order(id=f"order-{number}"),),
            )
    at_once = Barrier(4)

    def drain(owner: str) -> list[str]:
        claim = claim_events if queue == "events" else claim_deliveries
        at_once.wait(10)
        mine: list[str] = []
        while some := claim(database, owner, limit=4):
            mine += [work.id for work in some]
        return mine

    with ThreadPoolExecutor(4) as pool:
        owners = list(pool.map(drain, [f"worker-{number}" for number in range(4)]))

    counted = Counter(work for mine in owners for work in mine)
    assert len(counted) == 60
    assert set(counted.values()) == {1}


def test_late_owner_is_refused_even_under_its_own_name(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    late = claim_delivery(database)
    clock.advance(61)
    newer = claim_delivery(database)

    with pytest.raises(LeaseLostError):
        record(database, late, DeliveryStatus.DELIVERED)

    record(database, newer, DeliveryStatus.DELIVERED)
    assert row(database, newer.id).status == "delivered"


def test_what_has_ended_takes_no_second_outcome(database: WatchedDatabase) -> None:
    put(database, a_parcel())
    delivery = deliver_next(database)

    with pytest.raises(LeaseLostError), database.begin() as connection:
        leases.write(
            connection,
            leases.DELIVERIES,
            row_id=delivery.id,
            owner="worker-1",
            claim=1,
            values={"detail": "again"},
        )


def test_fence_refuses_before_anything_is_written(database: WatchedDatabase, clock: Clock) -> None:
    receive(database)
    late = claim_event(database)
    with database.begin() as connection:
        leases.fence(connection, leases.EVENTS, row_id=late.id, owner="worker-1", claim=late.claim)
    clock.advance(61)
    claim_event(database, "worker-2")

    with pytest.raises(LeaseLostError), database.begin() as connection:
        leases.fence(connection, leases.EVENTS, row_id=late.id, owner="worker-1", claim=late.claim)


def test_late_outcome_takes_its_whole_transaction_back(
    database: WatchedDatabase, clock: Clock
) -> None:
    receive(database)
    late = claim_event(database)
    clock.advance(61)
    claim_event(database, "worker-2")

    def decide_too_late() -> None:
        with database.begin() as connection:
            draft = Draft(
                identity="?:1Z",
                shipment=a_parcel(),
                action=None,
                lane=Lane.LIVE,
                received_at=clock.now,
            )
            deliveries.create(connection, draft, now=clock.now)
            end_event(connection, late, now=clock.now)

    with pytest.raises(LeaseLostError):
        decide_too_late()
    assert rows(database) == []


def test_renewing_keeps_what_runs_and_nothing_else(database: WatchedDatabase, clock: Clock) -> None:
    runs, lost, ended, foreign = received(database, 4)
    held = {event.id: event.claim for event in claim_events(database, limit=4)}
    with database.begin() as connection:
        _hand_over(connection, foreign)
    _finish(database, ended, held[ended])
    clock.advance(30)
    stale = [(lost, held[lost] - 1)]

    with database.begin() as connection:
        mine = [(runs, held[runs]), (ended, held[ended]), (foreign, held[foreign]), *stale]
        leases.renew(
            connection, leases.EVENTS, held=mine, owner="worker-1", until=clock.now + LEASE
        )

    assert [due_in(database, one) for one in (runs, lost, ended, foreign)] == [60, 30, None, 30]


def _hand_over(connection: object, event_id: str) -> None:
    connection.execute(
        events.events.update().where(events.events.c.id == event_id).values(owner="worker-2")
    )


def _finish(database: Database, event_id: str, claim: int) -> None:
    with database.begin() as connection:
        values = {"status": EventStatus.PROCESSED, "due_at": None, "owner": None}
        leases.write(
            connection, leases.EVENTS, row_id=event_id, owner="worker-1", claim=claim, values=values
        )


def test_restarted_worker_takes_its_rows_back_and_no_others(database: WatchedDatabase) -> None:
    mine, theirs = received(database, 2)
    put(database, a_parcel())
    [first] = claim_events(database, "worker-1", limit=1)
    [second] = claim_events(database, "worker-2", limit=1)
    assert {first.id, second.id} == {mine, theirs}
    delivery = claim_delivery(database, "worker-1")

    assert taken_back(database, "worker-1") == 2

    assert [due_in(database, one) for one in (first.id, second.id, delivery.id)] == [0, 60, 0]
    with pytest.raises(LeaseLostError):
        record(database, delivery, DeliveryStatus.DELIVERED)


def test_taking_back_leaves_what_waits_for_its_time(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    delivery = claim_delivery(database)
    record(database, delivery, DeliveryStatus.RETRYING, due_at=clock.now + timedelta(hours=2))

    assert taken_back(database, "worker-1") == 0
    assert due_in(database, delivery.id) == 7200


def test_next_due_is_the_earliest_of_both_queues_and_all_lanes(
    database: WatchedDatabase, clock: Clock
) -> None:
    start = clock.now
    put(database, a_parcel(), policy=replace(POLICY, hold=timedelta(seconds=90)))
    assert next_due(database) == start + timedelta(seconds=90)
    clock.advance(40)
    receive(database, lane=Lane.SWEEP)
    assert next_due(database) == start + timedelta(seconds=40)
    claim_event(database)
    assert next_due(database) == start + timedelta(seconds=90)


@pytest.mark.parametrize("limit", [0, -4])
def test_claim_asked_for_nothing_takes_nothing(database: WatchedDatabase, limit: int) -> None:
    received(database, 1)

    assert claim_events(database, limit=limit) == []


def test_two_processes_share_the_queue(
    database: WatchedDatabase, opened: Callable[[], Database]
) -> None:
    received(database, 2)
    other = opened()

    taken = [claim_event(database, "worker-1").id, claim_event(other, "worker-2").id]

    assert len(set(taken)) == 2
    assert claim_events(other) == []


# Runs that ended by an error


def intend(database: Database, delivery: Delivery) -> None:
    with database.begin() as connection:
        now = database.now(connection)
        deliveries.intend(connection, delivery, owner="worker-1", now=now, lease=LEASE)


def fail(database: Database, claimed: Delivery | Event) -> bool:
    queue = leases.DELIVERIES if isinstance(claimed, Delivery) else leases.EVENTS
    with database.begin() as connection:
        return leases.note_failed_run(
            connection,
            queue,
            row_id=claimed.id,
            owner="worker-1",
            claim=claimed.claim,
            error="DataError",
            now=database.now(connection),
        )


def test_event_whose_runs_all_fail_is_dead_after_a_few(
    database: WatchedDatabase, clock: Clock
) -> None:
    received(database, 1)

    ended = []
    for _run in range(leases.MOST_FAILED_RUNS):
        ended.append(fail(database, claim_event(database)))
        clock.advance(LEASE.total_seconds() + 1)

    assert ended == [False] * (leases.MOST_FAILED_RUNS - 1) + [True]
    assert claim_events(database) == []
    [event] = rows(database, "events")
    assert (event.status, event.reason) == ("dead", "schedule_exhausted")
    assert "DataError" in event.detail


@pytest.mark.parametrize(
    ("has_left", "end"),
    [(False, ("dead", "schedule_exhausted")), (True, ("held", "unconfirmed_partial"))],
)
def test_delivery_whose_runs_all_fail_is_dead_or_held_where_it_may_have_arrived(
    database: WatchedDatabase, clock: Clock, has_left: bool, end: tuple[str, str]
) -> None:
    put(database, a_parcel())
    for run in range(leases.MOST_FAILED_RUNS):
        delivery = claim_delivery(database)
        if has_left and run == 0:
            intend(database, delivery)
        fail(database, delivery)
        clock.advance(2 * LEASE.total_seconds() + 1)

    [delivery] = rows(database)
    assert (delivery.status, delivery.reason, delivery.due_at) == (*end, None)


def test_run_that_comes_to_its_end_forgets_the_failed_ones(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    for _run in range(leases.MOST_FAILED_RUNS - 1):
        fail(database, claim_delivery(database))
        clock.advance(LEASE.total_seconds() + 1)

    record(database, claim_delivery(database), DeliveryStatus.RETRYING, due_at=clock.now)

    assert rows(database)[0].failed_runs == 0


def test_failed_run_of_a_lease_that_was_lost_counts_nothing(
    database: WatchedDatabase, clock: Clock
) -> None:
    received(database, 1)
    late = claim_event(database)
    clock.advance(LEASE.total_seconds() + 1)
    claim_event(database, owner="worker-2")

    assert not fail(database, late)
    assert rows(database, "events")[0].failed_runs == 0


# What waits for a vendor's sake


def end_throttled_waits(database: Database, system: str = "purple_dot") -> int:
    with database.begin() as connection:
        return leases.end_throttled_waits(connection, system=system, now=database.now(connection))


def throttle(database: WatchedDatabase, clock: Clock) -> str:
    """A delivery that waits five minutes because Purple Dot asked for them."""
    delivery = claim_delivery(database)
    due_at = clock.now + timedelta(minutes=5)
    record(database, delivery, DeliveryStatus.WAITING, due_at=due_at, throttled_by="purple_dot")
    return delivery.id


def test_ended_wait_is_due_now(database: WatchedDatabase, clock: Clock) -> None:
    put(database, a_parcel())
    delivery_id = throttle(database, clock)

    assert end_throttled_waits(database, "shipstation") == 0
    assert end_throttled_waits(database) == 1
    assert (due_in(database, delivery_id), end_throttled_waits(database)) == (0, 0)


def test_what_a_worker_has_taken_up_keeps_its_lease(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    delivery_id = throttle(database, clock)
    clock.advance(300)
    claim_delivery(database)

    assert end_throttled_waits(database) == 0
    assert due_in(database, delivery_id) == LEASE.total_seconds()


def test_what_waited_for_a_vendor_once_and_failed_since_waits_its_place_in_the_schedule(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    delivery_id = throttle(database, clock)
    clock.advance(300)
    due_at = clock.now + timedelta(hours=2)
    record(database, claim_delivery(database), DeliveryStatus.RETRYING, due_at=due_at)

    assert end_throttled_waits(database) == 0
    assert due_in(database, delivery_id) == 7200


# A clock that was ahead and is set back

AN_HOUR = timedelta(hours=1)


def set_back(database: Database, clock: Clock, by: timedelta) -> int:
    clock.advance(-by.total_seconds())
    with database.begin() as connection:
        now = database.now(connection)
        return leases.clock_set_back(connection, by=by, lease=LEASE, now=now)


def test_what_was_put_off_while_the_clock_was_ahead_waits_no_longer_than_it_was_meant_to(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    event_id, _ = receive(database)
    clock.advance(AN_HOUR.total_seconds())
    event, delivery = claim_event(database), claim_delivery(database)
    with database.begin() as connection:
        soon = database.now(connection) + timedelta(seconds=20)
        events.postpone(
            connection, event, owner="worker-1", at=soon, attempts=1, waits=0, detail=""
        )
    record(database, delivery, DeliveryStatus.RETRYING, due_at=soon)

    assert set_back(database, clock, AN_HOUR) == 2

    assert due_in(database, event_id) == 20
    assert due_in(database, delivery.id) == 20


def test_claim_of_a_clock_that_was_ahead_ends_when_a_new_one_would(
    database: WatchedDatabase, clock: Clock
) -> None:
    clock.advance(AN_HOUR.total_seconds())
    event_id, _ = receive(database)
    claim_event(database)

    set_back(database, clock, AN_HOUR)

    assert due_in(database, event_id) == LEASE.total_seconds()


def test_what_waits_since_before_the_clock_was_ahead_is_not_sent_too_soon(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    delivery = claim_delivery(database)
    planned = clock.now + 2 * AN_HOUR
    record(database, delivery, DeliveryStatus.RETRYING, due_at=planned)
    clock.advance(AN_HOUR.total_seconds())

    assert set_back(database, clock, AN_HOUR) == 0

    assert row(database, delivery.id).due_at == planned
