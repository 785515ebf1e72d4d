"""Placing: one delivery per parcel and order, never more than is left, the second time harmless, a
void taken back or told."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from bridge.domain.errors import LeaseLostError
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.orders import OrderLine, OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentState
from bridge.operations import repair
from bridge.pipeline.create_deliveries import create_deliveries, lock_orders
from bridge.store import deliveries, orders, repairs, restores
from bridge.store.engine.database import Database
from bridge.store.tables import deliveries as table
from bridge.store.tables import fulfillment_orders
from bridge.translate.plans import Decision, OrderLookup, PageContext, summary
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.jobs import Jobs
from tests.support.rows import (
    CAP,
    LEASE,
    ORDER_ID,
    OTHER_ID,
    POLICY,
    RETRY,
    SHAWL,
    a_parcel,
    an_order,
    claim_delivery,
    deliver_next,
    due_in,
    put,
    record,
    row,
    rows,
    units,
)

pytest_plugins = ["tests.support.database_fixtures"]

ONE_CAP = (units(1, "CAP-OAT"),)
VOIDED = {"state": ShipmentState.VOIDED}
BOTH_ORDERS = (
    an_order(OrderLine("line-a", 1, "A")),
    an_order(OrderLine("line-b", 1, "B"), id=OTHER_ID, reference="#PD200"),
)


def combined(**fields: Any) -> Shipment:
    """One parcel with a line of each of BOTH_ORDERS."""
    return a_parcel(
        units(1, None, "line-a"), units(1, None, "line-b"), clues=(), order_number="3PL-7", **fields
    )


def only(decisions: list[Decision]) -> Decision:
    [decision] = decisions
    return decision


def taken(database: Database, order_id: str = ORDER_ID) -> dict[str, int]:
    """Units per line that count against an order."""
    with Database.read(database) as connection:
        found = deliveries.of_orders(connection, [order_id]).get(order_id, [])
    units: dict[str, int] = {}
    for line in (line for delivery in found for line in delivery.lines):
        units[line.id] = units.get(line.id, 0) + line.quantity
    return units


def force(database: Database, **values: Any) -> None:
    with Database.begin(database) as connection:
        connection.execute(table.update().values(values))


def test_parcel_becomes_a_delivery_that_is_due_at_once(
    database: WatchedDatabase, clock: Clock
) -> None:
    came = clock.now - timedelta(minutes=3)

    decision = only(
        put(
            database,
            a_parcel(),
            lane=Lane.SWEEP,
            trigger=Trigger.REPLAY,
            received_at=came,
            fetched_at=came,
        )
    )

    assert (decision.verdict, decision.rule) == ("delivery", "orderNumber")
    stored = row(database, str(decision.delivery_id))
    assert (stored.status, stored.lane, stored.trigger, stored.received_at) == (
        "pending",
        Lane.SWEEP,
        "replay",
        came,
    )
    assert (stored.label_seen_at, stored.order_seen_at, stored.due_at) == (
        came,
        clock.now,
        clock.now,
    )
    assert taken(database) == {"line-shawl": 2, "line-cap": 1}


def test_order_that_was_read_is_remembered(database: WatchedDatabase) -> None:
    put(database, a_parcel())

    with database.read() as connection:
        assert orders.known(connection, references=["PD100"]) == [an_order()]


def test_second_time_is_harmless_in_one_page_and_in_the_next(database: WatchedDatabase) -> None:
    first, again = put(database, a_parcel(), a_parcel())
    before = rows(database)

    later = only(put(database, a_parcel(), lane=Lane.SWEEP))

    assert [again.verdict, again.reason, again.delivery_id] == [
        "ignored",
        Reason.ALREADY_DELIVERED,
        first.delivery_id,
    ]
    assert [later.verdict, later.reason, later.delivery_id] == [
        "ignored",
        Reason.ALREADY_DELIVERED,
        first.delivery_id,
    ]
    assert rows(database) == before


@pytest.mark.parametrize("number", ["1Z1", "1z1", " 1Z-1 "])
def test_same_parcel_told_by_another_record_is_the_same_delivery(
    database: WatchedDatabase, number: str
) -> None:
    first = only(put(database, a_parcel()))
    label = a_parcel(
        number=number, record="se-9", record_kind="v2_label", shipstation_shipment_id="se-480"
    )

    assert only(put(database, label)).delivery_id == first.delivery_id
    assert len(rows(database)) == 1


@pytest.mark.parametrize("status", ["delivered", "dead", "cancelled", "unconfirmed", "delivering"])
def test_what_went_its_way_is_left_alone(database: WatchedDatabase, status: str) -> None:
    put(database, a_parcel())
    force(database, status=status)
    before = rows(database)

    decision = only(put(database, a_parcel()))

    assert decision.reason is Reason.ALREADY_DELIVERED
    assert rows(database) == before


def test_second_parcel_of_an_order_is_a_second_delivery(database: WatchedDatabase) -> None:
    first, second = put(
        database,
        a_parcel(units(1, "SHAWL-RED")),
        a_parcel(units(1, "SHAWL-RED"), units(1, "CAP-OAT"), number="1Z2", record="502"),
    )

    assert first.delivery_id != second.delivery_id
    assert taken(database) == {"line-shawl": 2, "line-cap": 1}


def test_child_number_of_a_multi_package_label_is_the_same_shipment(
    database: WatchedDatabase,
) -> None:
    master = a_parcel(
        record="se-1", record_kind="v2_label", all_tracking_numbers=("1Z1", "1Z1-CHILD")
    )
    first = only(put(database, master))

    child = only(put(database, a_parcel(number="1Z1-CHILD", record="502")))

    assert (child.reason, child.delivery_id) == (Reason.ALREADY_DELIVERED, first.delivery_id)


def test_master_that_comes_after_its_child_is_the_same_shipment(database: WatchedDatabase) -> None:
    child = only(put(database, a_parcel(number="1Z1-CHILD", record="502")))

    master = only(
        put(
            database,
            a_parcel(
                record="se-1", record_kind="v2_label", all_tracking_numbers=("1Z1", "1Z1-CHILD")
            ),
        )
    )

    assert (master.reason, master.delivery_id) == (Reason.ALREADY_DELIVERED, child.delivery_id)


def test_number_that_only_a_second_record_knew_is_the_parcel_s_as_well(
    database: WatchedDatabase,
) -> None:
    first = only(put(database, a_parcel()))
    label = {"record": "se-9", "record_kind": "v2_label", "shipstation_shipment_id": "se-480"}
    put(database, a_parcel(all_tracking_numbers=("1Z1", "1Z1-CHILD"), **label))

    child = only(put(database, a_parcel(number="1Z1-CHILD", record="502")))

    assert child.delivery_id == first.delivery_id
    assert len(rows(database)) == 1


def test_parcel_that_is_looked_for_is_known_by_any_number_on_a_page_of_several(
    database: WatchedDatabase,
) -> None:
    searching = only(put(database, a_parcel(), orders=()))
    label = {"record": "502", "record_kind": "v2_label", "all_tracking_numbers": ("1Z2", "1Z1")}
    other = a_parcel(number="1Z7", record="777", shipstation_shipment_id="481")

    found, _ = put(database, a_parcel(number="1Z2", **label), other)

    assert (found.verdict, found.delivery_id) == ("delivery", searching.delivery_id)


def test_combined_parcel_becomes_one_delivery_for_each_order(database: WatchedDatabase) -> None:
    decisions = put(database, combined(), orders=BOTH_ORDERS)

    assert [decision.verdict for decision in decisions] == ["delivery", "delivery"]
    assert (taken(database, ORDER_ID), taken(database, OTHER_ID)) == ({"line-a": 1}, {"line-b": 1})
    assert {stored.tracking_number for stored in rows(database)} == {"1Z1"}
    assert summary(put(database, combined(), orders=BOTH_ORDERS)) == {"already_delivered": 2}


def test_two_threads_never_send_the_last_unit_twice(opened: Callable[[], Database]) -> None:
    databases, at_once = [opened(), opened()], Barrier(2)

    def place_at_once(number: int) -> list[Decision]:
        parcel = a_parcel(
            *ONE_CAP, number=f"1Z{number}", record=str(number), shipstation_shipment_id=str(number)
        )
        at_once.wait(10)
        return put(databases[number], parcel)

    with ThreadPoolExecutor(2) as pool:
        verdicts = [only(decisions) for decisions in pool.map(place_at_once, range(2))]

    assert sorted(decision.verdict for decision in verdicts) == ["delivery", "held"]
    assert {decision.reason for decision in verdicts} == {None, Reason.NOTHING_LEFT}
    assert taken(databases[0]) == {"line-cap": 1}


@pytest.mark.parametrize(
    "migrated_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_order_that_is_unchanged_stays_locked_until_what_follows_is_written(
    opened: Callable[[], Database], clock: Clock
) -> None:
    """SQLite has one writer anyway."""
    mine, theirs, order = opened(), opened(), an_order()
    put(mine, a_parcel(), orders=(order,))
    lookup = OrderLookup(orders=(order,), stored=(order,), fresh=(order,), seen_at=clock.now)
    free = select(fulfillment_orders.c.id).with_for_update(skip_locked=True)

    def free_for_others() -> list[str]:
        with theirs.begin() as connection:
            return list(connection.execute(free).scalars())

    with mine.begin() as connection:
        lock_orders(connection, lookup, now=clock.now)
        during = free_for_others()

    assert (during, free_for_others()) == ([], [ORDER_ID])


def test_order_that_is_unchanged_is_locked_all_the_same(
    opened: Callable[[], Database], clock: Clock
) -> None:
    """Both have read it before either writes; nothing of it is new, so nothing of it is written."""
    databases, at_once = [opened(), opened()], Barrier(2)
    order = an_order()
    put(databases[0], a_parcel(reference="SHOP-7"), orders=(order,))
    lookup = OrderLookup(orders=(order,), stored=(order,), fresh=(order,), seen_at=clock.now)
    context = PageContext(
        Lane.LIVE, Trigger.LIVE, received_at=clock.now, fetched_at=clock.now, now=clock.now
    )

    def place_at_once(number: int) -> str:
        parcel = a_parcel(
            *ONE_CAP, number=f"1Z{number}", record=str(number), shipstation_shipment_id=str(number)
        )
        at_once.wait(10)
        with databases[number].begin() as connection:
            plan = create_deliveries(connection, [parcel], lookup, policy=POLICY, context=context)
        return plan.decisions[0].verdict

    with ThreadPoolExecutor(2) as pool:
        verdicts = sorted(pool.map(place_at_once, range(2)))

    assert verdicts == ["delivery", "held"]


def test_eight_tellers_of_one_parcel_make_one_delivery(opened: Callable[[], Database]) -> None:
    databases, at_once = [opened(), opened()], Barrier(8)

    def tell(number: int) -> list[Decision]:
        at_once.wait(10)
        return put(
            databases[number % 2],
            a_parcel(record=str(number), record_kind=["v1_shipment", "v2_label"][number % 2]),
        )

    with ThreadPoolExecutor(8) as pool:
        verdicts = [only(decisions) for decisions in pool.map(tell, range(8))]

    # A newer record of the same kind decides the same row anew as long as nothing was told.
    assert {decision.verdict for decision in verdicts} <= {"delivery", "ignored"}
    assert len({decision.delivery_id for decision in verdicts}) == len(rows(databases[0])) == 1


ORDER_NUMBERS = count(1)
PARCELS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=8
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told=PARCELS, page=st.integers(1, 4))
def test_no_mix_of_parcels_takes_more_than_was_ordered(
    database: WatchedDatabase, told: list[tuple[int, int, int]], page: int
) -> None:
    """Any split, any repetition, any order: (which parcel, shawls, caps) in pages of any size."""
    order = an_order(id=f"order-{next(ORDER_NUMBERS)}")
    parcels = [
        a_parcel(
            units(shawls, "SHAWL-RED"),
            units(caps, "CAP-OAT"),
            number=f"{order.id}-{which}",
            record=f"{order.id}-{which}",
        )
        for which, shawls, caps in told
    ]

    decisions = [
        one
        for start in range(0, len(parcels), page)
        for one in put(database, *parcels[start : start + page], orders=(order,))
    ]

    assert all(taken(database, order.id).get(line.id, 0) <= line.quantity for line in order.lines)
    assert len({one.delivery_id for one in decisions} - {None}) <= len(
        {which for which, _, _ in told}
    )


def test_return_and_unfinished_and_foreign_parcels_are_no_deliveries(
    database: WatchedDatabase,
) -> None:
    returned = a_parcel(state=ShipmentState.RETURN)
    unfinished = a_parcel(state=ShipmentState.PROCESSING, record="2", number="2")
    foreign = a_parcel(reference="SHOP-7", record="3", number="3")

    decisions = put(database, returned, unfinished, foreign)

    assert [(one.verdict, one.reason) for one in decisions] == [
        ("ignored", Reason.RETURN_LABEL),
        ("waiting", None),
        ("ignored", Reason.NOT_A_PURPLE_DOT_ORDER),
    ]
    assert rows(database) == []


def test_order_that_is_not_there_is_looked_for_and_then_held(database: WatchedDatabase) -> None:
    seen = []
    for tries in range(len(RETRY) + 1):
        decision = only(put(database, a_parcel(), orders=(), tries=tries))
        stored = row(database, str(decision.delivery_id))
        seen.append((decision.verdict, stored.status, stored.attempts, due_in(database, stored.id)))

    assert seen == [
        ("searching", "retrying", 0, 10),
        ("searching", "retrying", 1, 60),
        ("searching", "retrying", 2, 300),
        ("held", "held", 2, None),
    ]
    assert [stored.reason for stored in rows(database)] == ["order_not_found"]


@pytest.mark.parametrize("status", ["retrying", "waiting"])
def test_order_that_appears_is_delivered_in_the_same_row(
    database: WatchedDatabase, status: str
) -> None:
    looking = only(put(database, a_parcel(), orders=()))
    force(database, status=status)

    found = only(put(database, a_parcel()))

    assert (found.verdict, found.delivery_id) == ("delivery", looking.delivery_id)
    assert [stored.identity for stored in rows(database)] == [f"{ORDER_ID}:1Z1"]


def test_search_that_was_given_up_goes_on_with_newer_facts(database: WatchedDatabase) -> None:
    held = only(put(database, a_parcel(), orders=(), tries=len(RETRY)))

    looking = only(put(database, a_parcel(), orders=()))

    assert (held.verdict, looking.verdict, looking.delivery_id) == (
        "held",
        "searching",
        held.delivery_id,
    )


@pytest.mark.parametrize(
    ("before", "after", "first_order"),
    [
        (a_parcel(units(1, "WRONG")), a_parcel(*ONE_CAP), an_order()),
        (a_parcel(number=None), a_parcel(), an_order()),
        (a_parcel(units(5, "CAP-OAT")), a_parcel(*ONE_CAP), an_order()),
        (a_parcel(), a_parcel(), an_order(status=OrderStatus.VOIDED)),
    ],
)
def test_held_is_decided_anew_by_newer_facts_in_the_same_row(
    database: WatchedDatabase, before: Shipment, after: Shipment, first_order: Any
) -> None:
    held = only(put(database, before, orders=(first_order,)))

    mended = only(put(database, after))

    assert (held.verdict, mended.verdict) == ("held", "delivery")
    assert mended.delivery_id == held.delivery_id
    assert len(rows(database)) == 1


def test_held_that_is_still_wrong_says_so_anew(database: WatchedDatabase) -> None:
    first = only(put(database, a_parcel(units(1, "WRONG"))))

    second = only(put(database, replace(a_parcel(), items=())))

    assert (first.reason, second.reason) == (Reason.UNKNOWN_LINE, Reason.NO_ITEMS)
    assert first.delivery_id == second.delivery_id


def test_held_may_have_to_wait_once_it_is_mended(database: WatchedDatabase) -> None:
    put(database, a_parcel(units(1, "WRONG")))

    mended = only(put(database, a_parcel(), policy=replace(POLICY, hold=timedelta(seconds=90))))

    assert due_in(database, str(mended.delivery_id)) == 90


@pytest.mark.parametrize(
    "reason",
    [
        Reason.UNCONFIRMED_PARTIAL,
        Reason.VOIDED_AFTER_DELIVERY,
        Reason.TRACKING_CHANGED_AFTER_DELIVERY,
    ],
)
def test_what_purple_dot_may_know_is_never_decided_anew(
    database: WatchedDatabase, reason: Reason
) -> None:
    put(database, a_parcel())
    force(database, status="held", reason=reason)

    assert only(put(database, a_parcel())).reason is Reason.ALREADY_DELIVERED


@pytest.mark.parametrize("reason", [Reason.ORDER_VOIDED, Reason.ALREADY_FULFILLED_ELSEWHERE])
def test_unclear_post_that_ended_held_is_never_sent_again(
    database: WatchedDatabase, clock: Clock, reason: Reason
) -> None:
    put(database, a_parcel())
    force(database, status="held", reason=reason, posting_at=clock.now, unclear_at=clock.now)
    [before] = rows(database)

    again = only(put(database, a_parcel()))
    other = only(
        put(database, a_parcel(*ONE_CAP, number="1Z2", record="502", shipstation_shipment_id="481"))
    )

    assert again.reason is Reason.ALREADY_DELIVERED
    assert other.reason is Reason.NOTHING_LEFT
    assert row(database, before.id) == before


def test_hold_waits_and_leaves_the_label_to_be_read_again(database: WatchedDatabase) -> None:
    decision = only(put(database, a_parcel(), policy=replace(POLICY, hold=timedelta(seconds=30))))

    stored = row(database, str(decision.delivery_id))
    assert (stored.status, due_in(database, stored.id), stored.label_seen_at) == (
        "waiting",
        30,
        None,
    )


def test_rejected_by_the_provider_is_held_once(database: WatchedDatabase) -> None:
    refused = a_parcel(number=None, state=ShipmentState.REJECTED)

    first, second = only(put(database, refused)), only(put(database, refused))

    assert (first.verdict, first.reason) == ("held", Reason.REJECTED_BY_PROVIDER)
    assert first.delivery_id == second.delivery_id
    assert taken(database) == {}


def test_parcel_that_leaves_after_a_rejection_is_delivered(database: WatchedDatabase) -> None:
    put(database, a_parcel(number=None, state=ShipmentState.REJECTED, record_kind="v2_fulfillment"))

    assert only(put(database, a_parcel())).verdict == "delivery"


def test_number_that_fits_two_orders_is_held(database: WatchedDatabase) -> None:
    decision = only(put(database, a_parcel(), orders=(an_order(), an_order(id=OTHER_ID))))

    assert (decision.verdict, decision.reason) == ("held", Reason.AMBIGUOUS_ORDER)
    assert row(database, str(decision.delivery_id)).fulfillment_order_id is None


@pytest.mark.parametrize("hold", [0, 90])
def test_voided_before_it_was_told_is_cancelled(database: WatchedDatabase, hold: float) -> None:
    put(database, a_parcel(), policy=replace(POLICY, hold=timedelta(seconds=hold)))

    decision = only(put(database, a_parcel(**VOIDED)))

    assert (decision.verdict, decision.reason) == ("ignored", Reason.VOIDED)
    assert [(stored.status, stored.reason, stored.due_at) for stored in rows(database)] == [
        ("cancelled", "voided", None)
    ]
    assert taken(database) == {}


def test_voided_while_it_is_looked_for_is_cancelled(database: WatchedDatabase) -> None:
    put(database, a_parcel(), orders=())

    put(database, a_parcel(**VOIDED), orders=())

    assert [stored.status for stored in rows(database)] == ["cancelled"]


def test_voided_while_it_is_held_needs_nobody_any_more(database: WatchedDatabase) -> None:
    put(database, a_parcel(units(1, "WRONG")))

    put(database, a_parcel(**VOIDED))

    assert [stored.status for stored in rows(database)] == ["cancelled"]


def test_units_of_a_voided_label_are_free_for_its_replacement(database: WatchedDatabase) -> None:
    put(database, a_parcel())
    put(database, a_parcel(**VOIDED))

    assert only(put(database, a_parcel(number="1Z2", record="502"))).verdict == "delivery"


def test_replacement_on_the_page_that_voids_the_label_is_delivered_too(
    database: WatchedDatabase,
) -> None:
    put(database, a_parcel())

    voided, replaced = put(database, a_parcel(**VOIDED), a_parcel(number="1Z2", record="502"))

    assert (voided.reason, replaced.verdict) == (Reason.VOIDED, "delivery")


def test_voided_after_delivery_is_an_exception_that_says_what_to_do(
    database: WatchedDatabase,
) -> None:
    put(database, a_parcel())
    deliver_next(database)

    decision = only(put(database, a_parcel(**VOIDED)))

    assert (decision.verdict, decision.reason) == ("held", Reason.VOIDED_AFTER_DELIVERY)
    [stored] = rows(database)
    assert (stored.status, stored.reason) == ("held", "voided_after_delivery")
    assert "1Z1" in stored.detail
    assert "#PD100" in stored.detail
    assert taken(database) == {"line-shawl": 2, "line-cap": 1}


def test_void_told_twice_is_harmless(database: WatchedDatabase) -> None:
    put(database, a_parcel())
    deliver_next(database)
    put(database, a_parcel(**VOIDED))
    before = rows(database)

    assert only(put(database, a_parcel(**VOIDED))).verdict == "ignored"
    assert rows(database) == before


def test_void_that_a_person_has_dealt_with_stays_closed(database: WatchedDatabase) -> None:
    put(database, a_parcel())
    deliver_next(database)
    held = only(put(database, a_parcel(**VOIDED)))
    with database.begin() as connection:
        [delivery] = repairs.find(connection, str(held.delivery_id))
        repair.resolve(
            connection,
            delivery,
            status=DeliveryStatus.DELIVERED,
            reason="the number was replaced",
            actor="alice (shell)",
            now=database.now(),
        )

    decision = only(put(database, a_parcel(**VOIDED)))

    assert (decision.verdict, decision.reason) == ("ignored", Reason.VOIDED)
    assert [(stored.status, stored.reason) for stored in rows(database)] == [("delivered", None)]


def test_void_of_what_we_never_knew_is_ignored(database: WatchedDatabase) -> None:
    decision = only(put(database, a_parcel(**VOIDED)))

    assert (decision.verdict, decision.reason, decision.delivery_id) == (
        "ignored",
        Reason.VOIDED,
        None,
    )


def test_void_told_by_another_record_is_known_by_its_number(database: WatchedDatabase) -> None:
    put(database, a_parcel())

    put(database, a_parcel(record="se-1", record_kind="v2_label", **VOIDED))

    assert [stored.status for stored in rows(database)] == ["cancelled"]


def test_void_of_another_order_with_the_same_number_touches_nothing(
    database: WatchedDatabase,
) -> None:
    put(database, a_parcel())

    put(database, a_parcel(record="999", reference="PD999", **VOIDED))

    assert [stored.status for stored in rows(database)] == ["pending"]


def test_void_of_a_combined_parcel_reaches_each_of_its_deliveries(
    database: WatchedDatabase,
) -> None:
    put(database, combined(), orders=BOTH_ORDERS)
    told = deliver_next(database)

    decision = only(put(database, combined(**VOIDED), orders=BOTH_ORDERS))

    assert (decision.verdict, decision.reason, decision.delivery_id) == (
        "held",
        Reason.VOIDED_AFTER_DELIVERY,
        told.id,
    )
    assert sorted(stored.status for stored in rows(database)) == ["cancelled", "held"]


def test_void_of_a_combined_parcel_that_was_told_whole_is_two_exceptions(
    database: WatchedDatabase,
) -> None:
    put(database, combined(), orders=BOTH_ORDERS)
    deliver_next(database)
    deliver_next(database)

    put(database, combined(**VOIDED), orders=BOTH_ORDERS)

    assert [stored.reason for stored in rows(database)] == ["voided_after_delivery"] * 2


def test_void_of_what_is_being_told_holds_it_once_it_was_told(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    delivery = claim_delivery(database)
    with database.begin() as connection:
        deliveries.intend(connection, delivery, owner="worker-1", now=clock.now, lease=LEASE)

    put(database, a_parcel(**VOIDED))
    record(database, delivery, DeliveryStatus.DELIVERED)

    assert [(stored.status, stored.reason) for stored in rows(database)] == [
        ("held", "voided_after_delivery")
    ]


def test_void_of_what_an_older_copy_of_the_database_may_have_told_is_remembered(
    database: WatchedDatabase,
) -> None:
    put(database, a_parcel())
    with database.begin() as connection:
        restores.note(connection, copied_at=None, now=database.now(connection))

    put(database, a_parcel(state=ShipmentState.VOIDED))
    record(database, claim_delivery(database), DeliveryStatus.DELIVERED)

    assert [(stored.status, stored.reason) for stored in rows(database)] == [
        ("held", "voided_after_delivery")
    ]


@pytest.mark.parametrize("was_looked_for", [False, True])
def test_parcel_that_an_older_copy_of_the_database_may_have_told_begins_as_one_to_read_back(
    database: WatchedDatabase, clock: Clock, was_looked_for: bool
) -> None:
    """Whether it is new to the copy, or its order was not known yet when that was made."""
    parcel = a_parcel(ship_date=clock.now.date())
    if was_looked_for:
        put(database, parcel, orders=())
    with database.begin() as connection:
        restores.note(connection, copied_at=None, now=clock.now)

    decision = only(put(database, parcel, lane=Lane.SWEEP))

    [stored] = rows(database)
    assert (decision.verdict, decision.delivery_id) == ("delivery", stored.id)
    assert (stored.posting_at, stored.unclear_at, stored.looks) == (clock.now, clock.now, 0)
    [attempt] = rows(database, "attempts")
    assert (attempt.delivery_id, attempt.outcome) == (stored.id, "unconfirmed")
    assert attempt.started_at == clock.now
    assert taken(database) == {"line-shawl": 2, "line-cap": 1}


def test_search_that_goes_on_while_an_event_finds_the_order_waits_for_it(
    jobs: Jobs, opened: Callable[[], Database], clock: Clock, database: WatchedDatabase
) -> None:
    put(database, a_parcel(), orders=())
    clock.advance(10)
    looking, theirs, order = claim_delivery(database), opened(), an_order()
    jobs.database = opened()  # type: ignore[assignment]
    found = OrderLookup(orders=(order,), fresh=(order,), seen_at=clock.now)
    origin = PageContext(
        Lane.LIVE, Trigger.LIVE, received_at=clock.now, fetched_at=clock.now, now=clock.now
    )
    with ThreadPoolExecutor(1) as pool:
        with theirs.begin() as connection:
            lock_orders(connection, found, now=clock.now)
            search = pool.submit(jobs.run, looking)
            wait([search], timeout=0.5)
            create_deliveries(connection, [a_parcel()], found, policy=POLICY, context=origin)
        with pytest.raises(LeaseLostError):
            search.result(10)

    assert [stored.status for stored in rows(database)] == ["pending"]


def test_pages_that_share_orders_never_wait_for_each_other_in_a_ring(
    opened: Callable[[], Database], clock: Clock
) -> None:
    first, second = an_order(), an_order(id=OTHER_ID, reference="#PD101")
    put(opened(), orders=(first, second))
    news = replace(second, status=OrderStatus.FULFILLED)
    found = OrderLookup(
        orders=(first, news), stored=(first, second), fresh=(first, news), seen_at=clock.now
    )
    mine, theirs = opened(), opened()

    def hold_both() -> str:
        with theirs.begin() as connection:
            lock_orders(connection, found, now=clock.now)
        return "has both"

    with ThreadPoolExecutor(1) as pool:
        with mine.begin() as connection:
            orders.lock(connection, [first.id])
            other = pool.submit(hold_both)
            wait([other], timeout=0.5)
            orders.lock(connection, [second.id])
        assert other.result(10) == "has both"


def test_order_known_from_the_cache_alone_is_read_again_before_posting(
    database: WatchedDatabase,
) -> None:
    with database.begin() as connection:
        now = database.now()
        origin = PageContext(Lane.LIVE, Trigger.LIVE, received_at=now, fetched_at=now, now=now)
        create_deliveries(
            connection,
            [a_parcel()],
            OrderLookup(orders=(an_order(SHAWL, CAP),), seen_at=now),
            policy=POLICY,
            context=origin,
        )

    assert [stored.order_seen_at for stored in rows(database)] == [None]


def test_summary_counts_verdicts_and_reasons() -> None:
    decisions = [
        Decision(a_parcel(), "delivery"),
        Decision(a_parcel(), "ignored", Reason.VOIDED),
        Decision(a_parcel(), "ignored", Reason.VOIDED),
        Decision(a_parcel(), "held", Reason.NO_ITEMS),
    ]

    assert summary(decisions) == {"delivery": 1, "voided": 2, "held": 1}


def test_decision_is_kept_as_json_without_the_parcels_content() -> None:
    kept = Decision(a_parcel(), "held", Reason.NO_ITEMS, "which?", "orderNumber", "dlv_1").as_json()

    assert kept == {
        "record_kind": "v1_shipment",
        "record_id": "501",
        "shipstation_shipment_id": "480",
        "order_number": "PD100",
        "tracking_number": "1Z1",
        "verdict": "held",
        "reason": "no_items",
        "detail": "which?",
        "rule": "orderNumber",
        "delivery_id": "dlv_1",
        "items": [],
    }
