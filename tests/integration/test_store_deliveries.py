"""The mapping log and its quantity database: what counts against an order, what is fenced, what a
decision anew replaces."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Held, Tracking
from bridge.domain.deliveries import Attempt, Claim, Delivery, Draft
from bridge.domain.errors import LeaseLostError, TemporaryError
from bridge.domain.events import COMMITTED, DeliveryStatus, Lane, Trigger
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentState
from bridge.operations import repair
from bridge.store import deliveries, repairs
from bridge.store.engine.database import Database
from bridge.store.tables import deliveries as table
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import (
    ORDER_ID,
    OTHER_ID,
    a_parcel,
    an_order,
    claim_deliveries,
    claim_delivery,
    deliver_next,
    due_in,
    put,
    receive,
    record,
    row,
    rows,
)

pytest_plugins = ["tests.support.database_fixtures"]

LINES = (FulfilledLine("line-shawl", 2, "SHAWL-RED"), FulfilledLine("line-cap", 1, "CAP-OAT"))
GOES_OUT = CreateFulfillment(
    ORDER_ID,
    "#PD100",
    LINES,
    Tracking("1Z1", "UPS", "https://ups.example/1Z1"),
    notify_customer=True,
)


def a_draft(
    clock: Clock, action: CreateFulfillment | Held | None = GOES_OUT, **fields: Any
) -> Draft:
    identity = f"{action.fulfillment_order_id if action else '?'}:1Z1"
    given = {
        "identity": identity,
        "shipment": a_parcel(),
        "lane": Lane.LIVE,
        "received_at": clock.now,
        "rule": "orderNumber",
    } | fields
    return Draft(action=action, **given)


def create(database: Database, draft: Draft) -> str:
    with database.begin() as connection:
        return deliveries.create(connection, draft, now=database.now()).id


def place_again(database: Database, delivery_id: str, draft: Draft, clock: Clock) -> Delivery:
    with database.begin() as connection:
        [known] = repairs.find(connection, delivery_id)
        return deliveries.decide_again(connection, known, draft, now=clock.now)


def loaded(database: Database, identity: str = f"{ORDER_ID}:1Z1") -> Delivery:
    with database.read() as connection:
        return deliveries.by_identity(connection, [identity])[identity]


def force(database: Database, delivery_id: str, **values: Any) -> None:
    """Put a row where the test wants it, past the arrows."""
    with Database.begin(database) as connection:
        connection.execute(table.update().where(table.c.id == delivery_id).values(values))


def counted(database: Database, *order_ids: str) -> dict[str, list[str]]:
    with database.read() as connection:
        found = deliveries.of_orders(connection, order_ids)
    return {order_id: [delivery.id for delivery in ones] for order_id, ones in found.items()}


def test_delivery_comes_back_as_it_was_decided(database: WatchedDatabase, clock: Clock) -> None:
    delivery_id = create(database, a_draft(clock, order_seen_at=clock.now, label_seen_at=clock.now))

    delivery = loaded(database)

    assert (delivery.id, delivery.status, delivery.reason, delivery.rule) == (
        delivery_id,
        DeliveryStatus.PENDING,
        None,
        "orderNumber",
    )
    assert delivery.action() == GOES_OUT
    assert delivery.shipment == a_parcel()
    assert (delivery.lane, delivery.trigger, delivery.claim, delivery.attempts) == (
        Lane.LIVE,
        Trigger.LIVE,
        0,
        0,
    )
    assert (delivery.created_at, delivery.order_seen_at, delivery.label_seen_at) == (clock.now,) * 3
    assert delivery.posting_at is delivery.unclear_at is None


def test_lines_keep_their_order(database: WatchedDatabase, clock: Clock) -> None:
    lines = tuple(FulfilledLine(f"line-{number}", number) for number in (9, 1, 5))
    create(database, a_draft(clock, replace(GOES_OUT, lines=lines)))

    assert loaded(database).lines == lines


def test_identity_is_unique(database: WatchedDatabase, clock: Clock) -> None:
    create(database, a_draft(clock))

    with pytest.raises(IntegrityError):
        create(database, a_draft(clock))

    assert len(rows(database)) == 1


def test_delivery_without_an_order_has_nothing_to_post(
    database: WatchedDatabase, clock: Clock
) -> None:
    create(database, a_draft(clock, None))

    with pytest.raises(ValueError, match="not placed yet"):
        loaded(database, "?:1Z1").action()


@pytest.mark.parametrize(
    ("action", "seconds", "status", "due"),
    [
        (GOES_OUT, None, "pending", 0),
        (GOES_OUT, 0, "pending", 0),
        (GOES_OUT, 90, "waiting", 90),
        (None, 10, "retrying", 10),
        (Held(Reason.NO_ITEMS, "which?", ORDER_ID, "#PD100"), None, "held", None),
    ],
)
def test_new_delivery_stands_where_its_action_puts_it(
    database: WatchedDatabase,
    clock: Clock,
    action: Any,
    seconds: float | None,
    status: str,
    due: float | None,
) -> None:
    due_at = None if seconds is None else clock.now + timedelta(seconds=seconds)

    delivery_id = create(database, a_draft(clock, action, due_at=due_at))

    assert row(database, delivery_id).status == status
    assert due_in(database, delivery_id) == due


def test_database_counts_committed_deliveries_only(database: WatchedDatabase, clock: Clock) -> None:
    expected = []
    for status in DeliveryStatus:
        delivery_id = create(database, a_draft(clock, identity=f"{ORDER_ID}:{status}"))
        force(database, delivery_id, status=status)
        expected += [delivery_id] if status in COMMITTED else []

    assert sorted(counted(database, ORDER_ID)[ORDER_ID]) == sorted(expected)


def test_held_counts_where_its_fulfillment_may_stand_all_the_same(
    database: WatchedDatabase, clock: Clock
) -> None:
    never_sent = {
        reason: create(database, a_draft(clock, identity=f"never:{reason}")) for reason in Reason
    }
    maybe_sent = {
        reason: create(database, a_draft(clock, identity=f"maybe:{reason}")) for reason in Reason
    }
    for reason in Reason:
        force(database, never_sent[reason], status="held", reason=reason)
        force(database, maybe_sent[reason], status="held", reason=reason, posting_at=clock.now)

    stands_for_sure = {
        never_sent[Reason.UNCONFIRMED_PARTIAL],
        never_sent[Reason.VOIDED_AFTER_DELIVERY],
    }
    assert set(counted(database, ORDER_ID)[ORDER_ID]) == stands_for_sure | set(maybe_sent.values())


def test_deliveries_of_other_orders_do_not_count(database: WatchedDatabase, clock: Clock) -> None:
    mine = create(database, a_draft(clock))
    theirs = create(database, a_draft(clock, replace(GOES_OUT, fulfillment_order_id=OTHER_ID)))

    assert counted(database, ORDER_ID) == {ORDER_ID: [mine]}
    assert counted(database, ORDER_ID, OTHER_ID) == {ORDER_ID: [mine], OTHER_ID: [theirs]}
    assert counted(database) == {}


def test_intent_is_marked_with_its_attempt_and_a_new_lease(
    database: WatchedDatabase, clock: Clock
) -> None:
    create(database, a_draft(clock))
    delivery = claim_delivery(database)
    clock.advance(20)

    with database.begin() as connection:
        deliveries.intend(
            connection, delivery, owner="worker-1", now=clock.now, lease=timedelta(seconds=60)
        )

    stored = row(database, delivery.id)
    assert (stored.posting_at, stored.unclear_at, stored.attempts, stored.status) == (
        clock.now,
        None,
        1,
        "delivering",
    )
    assert due_in(database, delivery.id) == 60


def test_late_owner_cannot_intend(database: WatchedDatabase, clock: Clock) -> None:
    create(database, a_draft(clock))
    late = claim_delivery(database)
    clock.advance(61)
    claim_delivery(database, "worker-2")

    with pytest.raises(LeaseLostError), database.begin() as connection:
        deliveries.intend(
            connection, late, owner="worker-1", now=clock.now, lease=timedelta(seconds=60)
        )

    assert row(database, late.id).posting_at is None


def test_lost_lease_leaves_no_attempt_behind(database: WatchedDatabase, clock: Clock) -> None:
    create(database, a_draft(clock))
    late = claim_delivery(database)
    clock.advance(61)
    claim_delivery(database, "worker-2")
    attempt = Attempt(1, Trigger.LIVE, clock.now, clock.now, "delivered")

    with pytest.raises(LeaseLostError):
        record(database, late, DeliveryStatus.DELIVERED, attempt=attempt)

    assert rows(database, "attempts") == []


def test_attempts_are_appended_whole(database: WatchedDatabase, clock: Clock) -> None:
    create(database, a_draft(clock))
    for number in (1, 2):
        delivery = claim_delivery(database)
        attempt = Attempt(
            number,
            Trigger.RETRY,
            clock.now,
            clock.advance(1),
            "retrying",
            "d" * 3000,
            {"fulfillment": {"n": number}},
            503,
            '{"e":1}',
        )
        record(database, delivery, DeliveryStatus.RETRYING, attempt=attempt, due_at=clock.now)

    first, second = rows(database, "attempts")
    assert (first.number, second.number) == (1, 2)
    assert (second.trigger, second.outcome, second.http_status, second.answer) == (
        "retry",
        "retrying",
        503,
        '{"e":1}',
    )
    assert second.request == {"fulfillment": {"n": 2}}
    assert second.finished_at - second.started_at == timedelta(seconds=1)
    assert len(second.detail) == 2000


def test_outcome_without_a_due_time_is_never_claimed_again(
    database: WatchedDatabase, clock: Clock
) -> None:
    create(database, a_draft(clock))
    deliver_next(database)

    clock.advance(1e7)

    assert claim_deliveries(database) == []


def test_reason_of_an_earlier_stretch_does_not_stay(
    database: WatchedDatabase, clock: Clock
) -> None:
    create(database, a_draft(clock))
    delivery = claim_delivery(database)
    record(
        database,
        delivery,
        DeliveryStatus.RETRYING,
        due_at=clock.now,
        reason=Reason.CREDENTIALS_REFUSED,
    )

    record(database, claim_delivery(database), DeliveryStatus.DELIVERED)

    assert row(database, delivery.id).reason is None


def test_decided_anew_keeps_row_and_attempts_and_replaces_the_rest(
    database: WatchedDatabase, clock: Clock
) -> None:
    delivery_id = create(
        database, a_draft(clock, Held(Reason.UNKNOWN_LINE, "no such SKU", ORDER_ID, "#PD100"))
    )
    force(database, delivery_id, attempts=3)

    clock.advance(5)
    place_again(database, delivery_id, a_draft(clock), clock)

    delivery = loaded(database)
    assert (delivery.id, delivery.status, delivery.reason) == (
        delivery_id,
        DeliveryStatus.PENDING,
        None,
    )
    assert (delivery.lines, delivery.attempts) == (LINES, 3)
    assert row(database, delivery_id).updated_at == clock.now


def test_search_that_goes_on_counts_its_tries(database: WatchedDatabase, clock: Clock) -> None:
    delivery_id = create(database, a_draft(clock, None, due_at=clock.now))

    place_again(
        database,
        delivery_id,
        a_draft(clock, None, attempts=2, due_at=clock.now + timedelta(seconds=60)),
        clock,
    )

    assert (row(database, delivery_id).attempts, due_in(database, delivery_id)) == (2, 60)


def test_deciding_anew_ends_a_claim(database: WatchedDatabase, clock: Clock) -> None:
    delivery_id = create(database, a_draft(clock, None, due_at=clock.now))
    late = claim_delivery(database)
    place_again(database, delivery_id, a_draft(clock), clock)

    with pytest.raises(LeaseLostError):
        record(database, late, DeliveryStatus.DEAD)


def test_lines_of_a_withdrawn_decision_are_gone(database: WatchedDatabase, clock: Clock) -> None:
    delivery_id = create(database, a_draft(clock))
    place_again(
        database, delivery_id, a_draft(clock, Held(Reason.NO_ITEMS, "", ORDER_ID, "#PD100")), clock
    )

    assert rows(database, "delivery_lines") == []


DECISIONS = {
    "create": GOES_OUT,
    "held": Held(Reason.NO_ITEMS, "no items", ORDER_ID, "#PD100"),
    "looking": None,
}


@pytest.mark.parametrize("action", DECISIONS.values(), ids=DECISIONS)
def test_what_was_just_written_is_what_will_be_read(
    database: WatchedDatabase, clock: Clock, action: CreateFulfillment | Held | None
) -> None:
    draft = a_draft(
        clock, action, order_seen_at=clock.now, label_seen_at=clock.now, due_at=clock.now
    )
    with database.begin() as connection:
        written = deliveries.create(connection, draft, now=clock.now)
    assert written == loaded(database, draft.identity)

    clock.advance(5)
    assert place_again(database, written.id, draft, clock) == loaded(database, draft.identity)


def test_delivery_taken_as_it_is_written_is_a_claim_like_any_other(
    database: WatchedDatabase, clock: Clock
) -> None:
    with database.begin() as connection:
        mine = deliveries.create(
            connection,
            a_draft(clock),
            now=clock.now,
            claim=Claim("worker-1", clock.now + timedelta(seconds=60)),
        )

    assert mine == loaded(database)
    assert claim_deliveries(database) == []
    record(database, mine, DeliveryStatus.DELIVERED)
    assert loaded(database).status is DeliveryStatus.DELIVERED


def test_delivery_that_a_worker_took_up_meanwhile_is_not_decided_anew(
    database: WatchedDatabase, clock: Clock
) -> None:
    create(database, a_draft(clock))
    as_read = loaded(database)
    claim_delivery(database)

    with database.begin() as connection, pytest.raises(TemporaryError, match="has just moved on"):
        deliveries.decide_again(connection, as_read, a_draft(clock), now=clock.now)


def test_event_is_linked_once_however_often_it_is_said(
    database: WatchedDatabase, clock: Clock
) -> None:
    event_id, _ = receive(database)
    delivery_id = create(database, a_draft(clock))

    for _ in range(2):
        with database.begin() as connection:
            deliveries.link_events(connection, {event_id: [delivery_id, delivery_id]})

    assert [(link.event_id, link.delivery_id) for link in rows(database, "event_deliveries")] == [
        (event_id, delivery_id)
    ]


def test_void_changes_only_what_nobody_moved(database: WatchedDatabase, clock: Clock) -> None:
    create(database, a_draft(clock))
    seen = loaded(database)
    cancelled = {"status": DeliveryStatus.CANCELLED, "reason": Reason.VOIDED, "detail": "voided"}
    claim_delivery(database)

    with database.begin() as connection:
        assert deliveries.void(connection, seen, now=clock.now, **cancelled) is False
    assert row(database, seen.id).status == "delivering"


def test_void_takes_back_an_idle_delivery_and_its_shipment_says_so(
    database: WatchedDatabase, clock: Clock
) -> None:
    create(database, a_draft(clock))
    cancelled = {"status": DeliveryStatus.CANCELLED, "reason": Reason.VOIDED, "detail": "voided"}

    with database.begin() as connection:
        assert deliveries.void(connection, loaded(database), now=clock.now, **cancelled) is True

    assert (loaded(database).status, loaded(database).reason) == (
        DeliveryStatus.CANCELLED,
        Reason.VOIDED,
    )
    assert loaded(database).shipment.state is ShipmentState.VOIDED
    assert claim_deliveries(database) == []


def test_deliveries_are_found_by_record_and_by_parcel(
    database: WatchedDatabase, clock: Clock
) -> None:
    mine = create(database, a_draft(clock))
    create(
        database, a_draft(clock, identity="other", shipment=a_parcel(number="1Z2", record="777"))
    )

    with database.read() as connection:
        by_record = deliveries.by_record(connection, "v1_shipment", ["501", "999"])
        of_other_kind = deliveries.by_record(connection, "v2_label", ["501"])
        by_parcel = deliveries.by_tracking(connection, "1Z1", order_number="PD100")
        of_other_order = deliveries.by_tracking(connection, "1Z1", order_number="PD200")

    assert [delivery.id for delivery in by_record["501"]] == [mine]
    assert set(by_record) == {"501"}
    assert mine in [delivery.id for delivery in by_parcel]
    assert of_other_kind == {}
    assert of_other_order == []


def test_what_a_person_closed_meanwhile_is_not_decided_anew(
    database: WatchedDatabase, clock: Clock
) -> None:
    held = a_draft(
        clock, Held(Reason.NO_ITEMS, "which?", fulfillment_order_id=ORDER_ID, reference="#PD100")
    )
    create(database, held)
    with database.read() as connection:
        [as_read] = repairs.find(connection, "dlv_")
    with database.begin() as connection:
        repair.resolve(
            connection,
            as_read,
            status=DeliveryStatus.DELIVERED,
            reason="told by hand",
            actor="alice (shell)",
            now=clock.now,
        )

    with pytest.raises(TemporaryError), database.begin() as connection:
        deliveries.decide_again(connection, as_read, a_draft(clock), now=clock.now)
    assert [stored.status for stored in rows(database)] == ["delivered"]


def test_void_that_comes_just_after_it_was_told_is_not_noted_in_silence(
    database: WatchedDatabase, clock: Clock
) -> None:
    create(database, a_draft(clock))
    as_read = claim_delivery(database)
    record(database, as_read, DeliveryStatus.DELIVERED)

    with pytest.raises(TemporaryError), database.begin() as connection:
        deliveries.mark_voided(connection, as_read)
    assert [stored.shipment["state"] for stored in rows(database)] == ["shipped"]


def test_void_that_is_noted_while_the_outcome_is_written_is_seen(
    database: WatchedDatabase, opened: Callable[[], Database], clock: Clock
) -> None:
    create(database, a_draft(clock))
    delivery, theirs = claim_delivery(database), opened()
    with ThreadPoolExecutor(1) as pool:
        with theirs.begin() as connection:
            deliveries.mark_voided(connection, delivery)
            told = pool.submit(record, opened(), delivery, DeliveryStatus.DELIVERED)
            wait([told], timeout=0.5)
        told.result(10)

    assert [(stored.status, stored.reason) for stored in rows(database)] == [
        ("held", "voided_after_delivery")
    ]


def test_what_a_worker_holds_is_posted_before_what_is_due(
    database: WatchedDatabase, clock: Clock
) -> None:
    parcels = [a_parcel(number=f"1Z{n}", record=str(n), reference=f"PD{n}") for n in range(6)]
    orders = [an_order(id=f"order-{n}", reference=f"PD{n}") for n in range(6)]
    put(database, *parcels, orders=tuple(orders))
    claimed = claim_deliveries(database, limit=2)
    later = clock.now + timedelta(seconds=1)

    with database.read() as connection:
        waiting = deliveries.waiting(
            connection, lane=Lane.LIVE, due_by=later, first=claimed[1].id, limit=4
        )

    assert [found.id for found in waiting[:2]] == [claimed[1].id, claimed[0].id]
    due = {stored.id for stored in rows(database)} - {found.id for found in claimed}
    assert len(waiting) == 4
    assert {found.id for found in waiting[2:]} < due
