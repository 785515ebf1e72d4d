"""One delivery, step by step: the intent is committed before the POST, and whatever goes wrong
leads to one known place."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    LeaseLostError,
    NotFoundError,
    PayloadError,
    PermanentError,
    StorageError,
    TemporaryError,
    ThrottledError,
    UnclearError,
)
from bridge.domain.events import DeliveryStatus, Record
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.domain.shipments import ShipmentState
from bridge.operations import repair
from bridge.pipeline import outcomes
from bridge.store import deliveries
from bridge.store.engine.database import Database
from bridge.vendors.purple_dot.client import FulfillmentReceipt
from bridge.vendors.shipstation.payloads import record_of
from tests.support.fakes import WatchedDatabase
from tests.support.jobs import Jobs
from tests.support.rows import (
    CONFIRM,
    LEASE,
    ORDER_ID,
    OTHER_ID,
    POLICY,
    RETRY,
    a_parcel,
    an_order,
    claim_deliveries,
    claim_delivery,
    due_in,
    put,
    record,
    row,
    rows,
    units,
    v1_label,
)

pytest_plugins = ["tests.support.database_fixtures"]

REFUSED = TemporaryError("connection refused")
LOST = UnclearError("no answer")
WHOLE = [{"id": "line-shawl", "quantity": 2}, {"id": "line-cap", "quantity": 1}]


def about(stored: Any, seconds: float) -> bool:
    """Due after `seconds`, give or take the jitter of a tenth."""
    due = (stored.due_at - stored.updated_at).total_seconds()
    return seconds <= due <= seconds * 1.1 + 0.001


def interrupted(jobs: Jobs) -> str:
    """A delivery whose process was killed after the intent was committed."""
    delivery_id = jobs.parcel()
    delivery = claim_delivery(jobs.database)
    with jobs.database.begin() as connection:
        deliveries.intend(connection, delivery, owner="worker-1", now=jobs.clock.now, lease=LEASE)
    jobs.clock.advance(61)
    return delivery_id


def test_delivery_is_posted_with_its_lines_and_recorded(jobs: Jobs) -> None:
    jobs.parcel()

    stored = jobs.deliver()

    assert [body["line_items"] for body in jobs.purple_dot.posted] == [WHOLE]
    assert (stored.status, stored.reason, stored.due_at, stored.attempts) == (
        "delivered",
        None,
        None,
        1,
    )
    assert (stored.purple_dot_fulfillment_id, stored.delivered_at) == ("ful-1", jobs.clock.now)
    [attempt] = rows(jobs.database, "attempts")
    assert (attempt.number, attempt.outcome, attempt.http_status) == (1, "delivered", 200)
    assert attempt.request == {"fulfillment": jobs.purple_dot.posted[0]}
    assert attempt.answer == '{"meta":{"result":"success"}}'


def test_intent_is_committed_before_the_request_leaves(
    jobs: Jobs, opened: Callable[[], Database]
) -> None:
    delivery_id, witness, seen = jobs.parcel(), opened(), []

    def look_from_outside() -> Any:
        seen.append(row(witness, delivery_id))
        return FulfillmentReceipt("ful-9", 200, "{}")

    jobs.purple_dot.script("create_fulfillment", look_from_outside)
    jobs.deliver()

    [during] = seen
    assert (during.posting_at, during.status, during.attempts, during.unclear_at) == (
        jobs.clock.now,
        "delivering",
        1,
        None,
    )
    assert during.due_at == jobs.clock.now + LEASE


def test_nothing_is_posted_when_the_intent_can_not_be_stored(jobs: Jobs) -> None:
    jobs.parcel()
    delivery = claim_delivery(jobs.database)
    jobs.database.fail()

    with pytest.raises(StorageError):
        jobs.run(delivery)

    assert jobs.purple_dot.posted == []


def test_nothing_is_posted_once_the_lease_is_lost(jobs: Jobs) -> None:
    jobs.parcel()
    late = claim_delivery(jobs.database)
    jobs.clock.advance(61)
    claim_delivery(jobs.database, "worker-2")

    with pytest.raises(LeaseLostError):
        jobs.run(late)

    assert jobs.purple_dot.posted == []


@pytest.mark.parametrize(
    ("error", "status", "reason", "due", "attempts"),
    [
        (REFUSED, "retrying", None, 10, [(1, "retrying")]),
        (TemporaryError("busy", retry_after=120), "retrying", None, 120, [(1, "retrying")]),
        (StorageError("no budget can be read"), "retrying", None, 10, [(1, "retrying")]),
        (ThrottledError("wait", retry_after=30), "waiting", None, 30, []),
        (ThrottledError("wait"), "waiting", None, 10, []),
        (
            CredentialsError("token refused"),
            "retrying",
            Reason.CREDENTIALS_REFUSED,
            10,
            [(1, "retrying")],
        ),
        (
            PermanentError("over quantity"),
            "dead",
            Reason.REJECTED_BY_PURPLE_DOT,
            None,
            [(1, "dead")],
        ),
        (
            NotFoundError("no such order"),
            "dead",
            Reason.REJECTED_BY_PURPLE_DOT,
            None,
            [(1, "dead")],
        ),
    ],
)
def test_post_that_clearly_did_nothing_leaves_no_mark(
    jobs: Jobs,
    error: BridgeError,
    status: str,
    reason: Reason | None,
    due: float | None,
    attempts: list[tuple[int, str]],
) -> None:
    jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", error)

    stored = jobs.deliver()

    assert (stored.status, stored.reason, stored.detail) == (status, reason, str(error))
    assert stored.posting_at is stored.unclear_at is None
    assert stored.due_at is None if due is None else about(stored, due)
    assert (stored.attempts, jobs.attempts()) == (len(attempts), attempts)


@pytest.mark.parametrize(
    "error", [LOST, ValueError("what was that"), RuntimeError(), KeyError("x")]
)
def test_post_that_may_have_arrived_is_unconfirmed(jobs: Jobs, error: Exception) -> None:
    jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", error)

    stored = jobs.deliver()

    assert (stored.status, stored.reason, stored.attempts, jobs.attempts()) == (
        "unconfirmed",
        None,
        1,
        [(1, "unconfirmed")],
    )
    assert stored.posting_at == stored.unclear_at == jobs.clock.now
    assert due_in(jobs.database, stored.id) == CONFIRM[0].total_seconds()
    assert rows(jobs.database, "attempts")[0].request == {"fulfillment": jobs.purple_dot.posted[0]}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (REFUSED, Reason.SCHEDULE_EXHAUSTED),
        (CredentialsError("token refused"), Reason.CREDENTIALS_REFUSED),
    ],
)
def test_schedule_that_is_over_leaves_it_to_a_person(
    jobs: Jobs, error: BridgeError, reason: Reason
) -> None:
    jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", *[error] * (len(RETRY) + 1))

    stands = [
        (stored.status, stored.reason)
        for stored in (jobs.deliver(after=400) for _ in range(len(RETRY) + 1))
    ]

    waiting = ("retrying", reason if isinstance(error, CredentialsError) else None)
    assert stands == [waiting] * len(RETRY) + [("dead", reason)]
    assert jobs.attempts() == [(1, "retrying"), (2, "retrying"), (3, "retrying"), (4, "dead")]
    assert claim_deliveries(jobs.database) == []


def test_being_told_to_wait_never_ends(jobs: Jobs) -> None:
    jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", *[ThrottledError("wait")] * 20)

    for _ in range(20):
        assert jobs.deliver(after=20).status == "waiting"

    assert jobs.deliver(after=20).attempts == 1


@pytest.mark.parametrize("operation", ["order", "current"])
@pytest.mark.parametrize(
    ("error", "status", "reason", "attempts"),
    [
        (REFUSED, "retrying", None, 1),
        (ThrottledError("wait"), "waiting", None, 0),
        (CredentialsError("no"), "retrying", Reason.CREDENTIALS_REFUSED, 1),
        (NotFoundError("gone"), "retrying", None, 1),
        (PayloadError("no such shape"), "retrying", None, 1),
        (PermanentError("no"), "retrying", None, 1),
        (ValueError("a fault of ours"), "retrying", None, 1),
    ],
)
def test_look_that_fails_posts_nothing_and_is_retried(
    jobs: Jobs, operation: str, error: Exception, status: str, reason: Reason | None, attempts: int
) -> None:
    jobs.parcel()
    (jobs.purple_dot if operation == "order" else jobs.fetcher).script(operation, error)

    stored = jobs.deliver(after=100)

    assert (stored.status, stored.reason, stored.attempts, stored.posting_at) == (
        status,
        reason,
        attempts,
        None,
    )
    assert about(stored, 10)
    assert stored.detail.endswith(str(error))
    assert jobs.purple_dot.posted == []


def test_look_that_fails_forever_ends_dead_for_a_reason_of_the_list(jobs: Jobs) -> None:
    jobs.parcel()
    jobs.purple_dot.script("order", *[PayloadError("no such shape")] * 9)

    for _ in range(len(RETRY) + 1):
        stored = jobs.deliver(after=400)

    assert (stored.status, stored.reason) == ("dead", Reason.SCHEDULE_EXHAUSTED)
    assert MEANINGS[Reason(stored.reason)].verdict == "dead"


@pytest.mark.parametrize(
    ("order_status", "status", "reason"),
    [
        (OrderStatus.VOIDED, "held", Reason.ORDER_VOIDED),
        (OrderStatus.FULFILLED, "held", Reason.ALREADY_FULFILLED_ELSEWHERE),
        (None, "delivered", None),
    ],
)
def test_stale_order_is_read_again_before_posting(
    jobs: Jobs, order_status: OrderStatus | None, status: str, reason: Reason | None
) -> None:
    jobs.parcel()
    jobs.order_becomes(status=order_status)

    stored = jobs.deliver(after=11)

    assert (stored.status, stored.reason) == (status, reason)
    assert len(jobs.purple_dot.posted) == (status == "delivered")


def test_label_voided_meanwhile_is_cancelled(jobs: Jobs) -> None:
    jobs.parcel()
    jobs.fetcher.records = [v1_label(voided=True)]

    stored = jobs.deliver(after=61)

    assert (stored.status, stored.reason, stored.due_at) == ("cancelled", Reason.VOIDED, None)
    assert jobs.purple_dot.posted == []


@pytest.mark.parametrize("seconds", [5, 90])
def test_hold_waits_and_then_looks_at_the_label(jobs: Jobs, seconds: float) -> None:
    jobs.hold(seconds)
    jobs.parcel()
    jobs.clock.advance(seconds - 1)
    assert claim_deliveries(jobs.database) == []
    jobs.fetcher.records = [v1_label(voided=True)]

    stored = jobs.deliver(after=1)

    assert (stored.status, jobs.purple_dot.posted) == ("cancelled", [])


def test_hold_that_passes_is_delivered(jobs: Jobs) -> None:
    jobs.hold(90)
    jobs.parcel()

    assert jobs.deliver(after=90).status == "delivered"
    assert jobs.fetcher.asked("current") == [("v1_shipment", "501")]


def test_interrupted_delivery_is_not_posted_again_but_read_back(jobs: Jobs) -> None:
    delivery_id = interrupted(jobs)

    stored = jobs.deliver()

    assert (stored.id, stored.status, stored.attempts) == (delivery_id, "unconfirmed", 1)
    assert jobs.purple_dot.calls == []
    assert jobs.attempts() == [(1, "unconfirmed")]
    assert "killed" in stored.detail


def test_interrupted_while_it_was_being_read_back_is_read_back_once_more(jobs: Jobs) -> None:
    interrupted(jobs)
    jobs.deliver()
    jobs.clock.advance(15)
    claim_delivery(jobs.database)

    jobs.order_becomes(status=OrderStatus.FULFILLED)
    assert jobs.deliver(after=61).status == "delivered"
    assert jobs.purple_dot.posted == []


def unclear(jobs: Jobs, **fields: Any) -> None:
    """A delivery whose answer was lost."""
    jobs.parcel(**fields)
    jobs.purple_dot.script("create_fulfillment", LOST)
    jobs.deliver()


def test_fulfilled_order_settles_an_unclear_post(jobs: Jobs) -> None:
    unclear(jobs)
    jobs.order_becomes(status=OrderStatus.FULFILLED)

    stored = jobs.deliver(after=15)

    assert (stored.status, stored.delivered_at, stored.purple_dot_fulfillment_id) == (
        "delivered",
        jobs.clock.now,
        None,
    )
    assert jobs.attempts() == [(1, "unconfirmed"), (1, "delivered")]
    assert len(jobs.purple_dot.posted) == 1


def test_last_lines_still_missing_after_the_last_look_are_posted_once_more(jobs: Jobs) -> None:
    unclear(jobs)

    stands = [jobs.deliver(after=400).status for _ in range(len(CONFIRM))]
    [waiting] = rows(jobs.database)
    again = jobs.deliver(after=11)

    assert stands == ["unconfirmed", "retrying"]
    assert about(waiting, 10)
    assert (waiting.posting_at, waiting.unclear_at, waiting.looks) == (None, None, 0)
    assert (again.status, again.attempts, again.trigger) == ("delivered", 2, "retry")
    assert [body["line_items"] for body in jobs.purple_dot.posted] == [WHOLE, WHOLE]
    assert jobs.attempts() == [(1, "unconfirmed"), (1, "retrying"), (2, "delivered")]


@pytest.mark.parametrize(
    ("order", "status", "reason"),
    [
        ({}, "delivered", None),
        (
            {"lines": (*an_order().lines, OrderLine("line-mug", 1, "MUG"))},
            "held",
            Reason.ALREADY_FULFILLED_ELSEWHERE,
        ),
    ],
    ids=["by exactly our units", "by more than ours"],
)
def test_order_fulfilled_between_the_last_look_and_the_second_post_stops_it(
    jobs: Jobs, order: dict[str, Any], status: str, reason: Reason | None
) -> None:
    """The lost request arrived late, unless there is more than it told."""
    unclear(jobs)
    for _ in CONFIRM:
        jobs.deliver(after=400)
    jobs.order_becomes(status=OrderStatus.FULFILLED, **order)

    stored = jobs.deliver(after=11)

    assert (stored.status, stored.reason) == (status, reason)
    assert len(jobs.purple_dot.posted) == 1


def posted_again(jobs: Jobs, answer: BridgeError) -> None:
    """Up to just before the second POST, which Purple Dot will answer so."""
    unclear(jobs)
    for _ in CONFIRM:
        jobs.deliver(after=400)
    jobs.purple_dot.script("create_fulfillment", answer)


def test_refused_second_post_of_what_arrived_late_is_delivered(jobs: Jobs) -> None:
    posted_again(jobs, PermanentError("over quantity"))
    jobs.purple_dot.script("order", lambda: jobs.purple_dot.orders[ORDER_ID])
    jobs.purple_dot.script("order", lambda: an_order(status=OrderStatus.FULFILLED))

    stored = jobs.deliver(after=11)

    assert (stored.status, len(jobs.purple_dot.posted)) == ("delivered", 2)


@pytest.mark.parametrize("answer", [None, LOST], ids=["delivered", "perhaps there"])
def test_refused_second_post_counts_what_the_other_parcels_sent_or_may_have_sent(
    jobs: Jobs, answer: BridgeError | None
) -> None:
    """A person had it posted again; the order is fulfilled by both of its parcels."""
    unclear(jobs, items=(units(2, "SHAWL-RED"),))
    for _ in CONFIRM:
        jobs.deliver(after=400)
    [shawls] = rows(jobs.database)
    assert (shawls.status, shawls.reason) == ("held", Reason.UNCONFIRMED_PARTIAL)
    jobs.parcel(items=(units(1, "CAP-OAT"),), number="1Z2", record="502")
    jobs.purple_dot.script("create_fulfillment", *[answer] * (answer is not None))
    jobs.deliver()
    with jobs.database.begin() as connection:
        [delivery] = deliveries.by_ids(connection, [shawls.id])
        repair.retry(connection, delivery, actor="alice", has_looked=True, now=jobs.clock.now)
    jobs.purple_dot.script("create_fulfillment", PermanentError("over quantity"))
    jobs.purple_dot.script("order", an_order(), an_order(status=OrderStatus.FULFILLED))

    stored = jobs.deliver()

    assert (stored.id, stored.status) == (shawls.id, "delivered")
    assert stored.detail == "#PD100 is fulfilled: an earlier request arrived late"


def test_refused_second_post_of_an_order_fulfilled_by_more_than_ours_is_dead(jobs: Jobs) -> None:
    posted_again(jobs, PermanentError("over quantity"))
    more = (*an_order().lines, OrderLine("line-mug", 1, "MUG"))
    jobs.purple_dot.script("order", an_order(), an_order(*more, status=OrderStatus.FULFILLED))

    stored = jobs.deliver(after=11)

    assert (stored.status, stored.reason) == ("dead", Reason.REJECTED_BY_PURPLE_DOT)


def test_refused_second_post_that_can_not_be_explained_is_retried(jobs: Jobs) -> None:
    posted_again(jobs, PermanentError("over quantity"))
    jobs.purple_dot.script("order", lambda: jobs.purple_dot.orders[ORDER_ID], REFUSED)

    stored = jobs.deliver(after=11)

    assert (stored.status, stored.posting_at) == ("retrying", None)


def test_refused_second_post_of_what_did_not_arrive_is_dead(jobs: Jobs) -> None:
    posted_again(jobs, PermanentError("unknown line"))

    stored = jobs.deliver(after=11)

    assert (stored.status, stored.reason) == ("dead", Reason.REJECTED_BY_PURPLE_DOT)


def test_part_of_an_order_can_not_be_known_and_is_held(jobs: Jobs) -> None:
    unclear(jobs, items=(units(1, "CAP-OAT"),))

    for _ in CONFIRM:
        stored = jobs.deliver(after=400)

    assert (stored.status, stored.reason, stored.due_at) == (
        "held",
        Reason.UNCONFIRMED_PARTIAL,
        None,
    )
    assert stored.posting_at is not None
    assert jobs.attempts() == [(1, "unconfirmed"), (1, "held")]
    assert len(jobs.purple_dot.posted) == 1


def test_other_part_told_for_certain_makes_it_the_last(jobs: Jobs) -> None:
    jobs.parcel(
        items=(units(2, "SHAWL-RED"),), number="1Z0", record="500", shipstation_shipment_id="479"
    )
    jobs.deliver()
    unclear(jobs, items=(units(1, "CAP-OAT"),))
    jobs.order_becomes(status=OrderStatus.FULFILLED)

    assert jobs.deliver(after=15).status == "delivered"


def test_order_voided_while_the_answer_was_lost_is_held(jobs: Jobs) -> None:
    unclear(jobs)
    jobs.order_becomes(status=OrderStatus.VOIDED)

    stored = jobs.deliver(after=15)

    assert (stored.status, stored.reason) == ("held", Reason.ORDER_VOIDED)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (REFUSED, 2),
        (ThrottledError("wait"), 1),
        (CredentialsError("no"), 2),
        (NotFoundError("gone"), 2),
        (ValueError("ours"), 2),
    ],
)
def test_read_back_that_fails_changes_nothing_but_its_time(
    jobs: Jobs, error: Exception, attempts: int
) -> None:
    unclear(jobs)
    jobs.purple_dot.script("order", error)

    stored = jobs.deliver(after=15)

    assert (stored.status, stored.attempts) == ("unconfirmed", attempts)
    assert stored.posting_at is not None
    assert stored.unclear_at is not None
    assert about(stored, RETRY[attempts - 1].total_seconds() if attempts > 1 else 10)


def test_nobody_who_could_read_it_back_leaves_it_held_with_its_mark(jobs: Jobs) -> None:
    unclear(jobs)
    jobs.purple_dot.script("order", *[REFUSED] * 9)

    stands = [jobs.deliver(after=400) for _ in RETRY]

    assert [stored.status for stored in stands] == ["unconfirmed", "unconfirmed", "held"]
    assert (stands[-1].reason, stands[-1].posting_at is not None) == (
        Reason.UNCONFIRMED_PARTIAL,
        True,
    )
    assert len(jobs.purple_dot.posted) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, "delivered"),
        (LOST, "unconfirmed"),
        (REFUSED, "retrying"),
        (PermanentError("no"), "dead"),
    ],
)
def test_known_outcome_is_repeated_until_it_is_stored(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, answer: BridgeError | None, status: str
) -> None:
    monkeypatch.setattr(outcomes, "_STORE_AGAIN_AFTER", 0.001)
    jobs.parcel()

    def answer_while_the_database_restarts() -> Any:
        jobs.database.fail(times=5)
        if answer is not None:
            raise answer
        return FulfillmentReceipt("ful-1", 200, "{}")

    jobs.purple_dot.script("create_fulfillment", answer_while_the_database_restarts)

    assert jobs.deliver().status == status
    assert len(jobs.attempts()) == 1


def test_known_outcome_is_stored_though_the_databases_clock_is_away_too(
    migrated_url: str, jobs: Jobs, monkeypatch: Any
) -> None:
    """Without a clock of the test's own, PostgreSQL is asked for the time; it may be restarting as
    well."""
    monkeypatch.setattr(outcomes, "_STORE_AGAIN_AFTER", 0.001)
    jobs.database.close()
    jobs.database = WatchedDatabase(migrated_url)
    jobs.parcel()

    def refuse_while_the_database_restarts() -> Any:
        jobs.database.fail(times=5)
        raise REFUSED

    jobs.purple_dot.script("create_fulfillment", refuse_while_the_database_restarts)

    stored = jobs.deliver()
    jobs.database.close()
    assert (stored.status, stored.posting_at) == ("retrying", None)


def test_unclear_answer_of_a_late_owner_overwrites_nothing(jobs: Jobs) -> None:
    delivery_id, stands = jobs.parcel(), []

    def lose_it_after_another_took_over() -> Any:
        jobs.clock.advance(61)
        claim_delivery(jobs.database, "worker-2")
        stands.append(row(jobs.database, delivery_id))
        raise LOST

    jobs.purple_dot.script("create_fulfillment", lose_it_after_another_took_over)

    with pytest.raises(LeaseLostError):
        jobs.deliver()

    assert row(jobs.database, delivery_id) == stands[0]
    assert jobs.attempts() == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [(None, "delivered"), (REFUSED, "retrying"), (PermanentError("no"), "dead")],
)
@pytest.mark.parametrize("is_read_back", [True, False])
def test_definite_answer_that_comes_late_settles_what_it_left_unclear(
    jobs: Jobs, answer: BridgeError | None, status: str, is_read_back: bool
) -> None:
    """Another worker has taken the delivery over, and perhaps begun to read back."""
    jobs.parcel()
    others = []

    def answer_after_another_took_over() -> Any:
        jobs.clock.advance(61)
        other = claim_delivery(jobs.database, "worker-2")
        others.append(other)
        if is_read_back:
            record(
                jobs.database, other, DeliveryStatus.UNCONFIRMED, "worker-2", due_at=jobs.clock.now
            )
        if answer is not None:
            raise answer
        return FulfillmentReceipt("ful-1", 200, "{}")

    jobs.purple_dot.script("create_fulfillment", answer_after_another_took_over)

    stored = jobs.deliver()

    assert stored.status == status
    with pytest.raises(LeaseLostError):
        record(jobs.database, others[0], DeliveryStatus.HELD, "worker-2")


def test_late_answer_leaves_alone_what_was_posted_anew(jobs: Jobs) -> None:
    delivery_id = jobs.parcel()

    def answer_after_another_posted() -> Any:
        jobs.clock.advance(61)
        other = claim_delivery(jobs.database, "worker-2")
        with jobs.database.begin() as connection:
            deliveries.intend(connection, other, owner="worker-2", now=jobs.clock.now, lease=LEASE)
        return FulfillmentReceipt("ful-1", 200, "{}")

    jobs.purple_dot.script("create_fulfillment", answer_after_another_posted)

    with pytest.raises(LeaseLostError):
        jobs.deliver()
    assert row(jobs.database, delivery_id).status == "delivering"


def test_nothing_leaves_when_too_much_time_has_passed_since_the_intent(jobs: Jobs) -> None:
    """A process that was frozen in between."""
    jobs.parcel()
    ticks = iter((0.0, LEASE.total_seconds() / 2 + 0.1))

    stored = jobs.deliver(monotonic=lambda: next(ticks))

    assert (stored.status, stored.posting_at, stored.attempts) == ("retrying", None, 1)
    assert jobs.purple_dot.posted == []


def test_answer_that_stays_unclear_ends_with_the_schedule(jobs: Jobs) -> None:
    jobs.purple_dot.script("create_fulfillment", *[LOST] * 20)
    jobs.parcel()

    for _ in range(40):
        if rows(jobs.database)[0].due_at is None:
            break
        stored = jobs.deliver(after=400)

    assert (stored.status, stored.reason) == ("dead", Reason.SCHEDULE_EXHAUSTED)
    assert (stored.posting_at, stored.unclear_at, stored.looks) == (None, None, 0)
    assert len(jobs.purple_dot.posted) == len(RETRY) + 1


def test_label_that_became_void_before_the_intent_is_never_posted(jobs: Jobs) -> None:
    jobs.parcel()
    delivery = claim_delivery(jobs.database)
    put(jobs.database, a_parcel(state=ShipmentState.VOIDED))

    jobs.run(delivery)

    [stored] = rows(jobs.database)
    assert (stored.status, stored.reason) == ("cancelled", Reason.VOIDED)
    assert stored.detail == "the label was voided before anything was sent"
    assert jobs.purple_dot.posted == []


def test_inline_row_whose_label_is_known_to_be_void_is_never_posted(jobs: Jobs) -> None:
    """Its POST was lost before it was done; then its label was voided."""
    jobs.parcel(record_kind="inline_row", record="480:1Z1")
    jobs.purple_dot.script("create_fulfillment", LOST)
    jobs.deliver()
    put(jobs.database, a_parcel(state=ShipmentState.VOIDED))

    stands = [jobs.deliver(after=400).status for _ in range(3)]

    assert stands == ["unconfirmed", "retrying", "cancelled"]
    assert len(jobs.purple_dot.posted) == 1


@pytest.mark.parametrize(
    "corrected",
    [{"number": "1Z2"}, {"carrierCode": "fedex"}, {"number": "1Z2", "carrierCode": "dhl"}],
)
def test_number_or_carrier_corrected_in_time_is_what_goes_out(
    jobs: Jobs, corrected: dict[str, Any]
) -> None:
    delivery_id = jobs.parcel()
    jobs.fetcher.records = [v1_label(**corrected)]

    stands = [jobs.deliver(after=after).status for after in (100, 0)]

    assert stands == ["pending", "delivered"]
    [body] = jobs.purple_dot.posted
    assert body["tracking_info"]["number"] == corrected.get("number", "1Z1")
    assert row(jobs.database, delivery_id).carrier_code == corrected.get("carrierCode", "ups")


def test_order_whose_lines_have_changed_is_matched_anew(jobs: Jobs) -> None:
    jobs.parcel()
    jobs.order_becomes(
        lines=(OrderLine("line-shawl", 1, "SHAWL-RED"), OrderLine("line-cap", 1, "CAP-OAT"))
    )

    stored = jobs.deliver(after=20)

    assert (stored.status, stored.reason) == ("held", Reason.OVER_QUANTITY)
    assert jobs.purple_dot.posted == []


def test_order_that_shrank_takes_no_more_than_its_other_parcels_leave(jobs: Jobs) -> None:
    jobs.parcel(items=(units(1, "SHAWL-RED"), units(1, "CAP-OAT")))
    jobs.deliver()
    jobs.parcel(items=(units(1, "SHAWL-RED"),), number="1Z2", record="502")
    one_shawl = [{"orderItemId": 1, "sku": "SHAWL-RED", "quantity": 1}]
    jobs.fetcher.records = [v1_label(number="1Z2", record="502", shipmentItems=one_shawl)]
    jobs.order_becomes(lines=(OrderLine("line-shawl", 1, "SHAWL-RED"), *an_order().lines[1:]))

    stored = jobs.deliver(after=20)

    assert (stored.status, stored.reason) == ("held", Reason.NOTHING_LEFT)
    assert len(jobs.purple_dot.posted) == 1


def v2_label(**fields: Any) -> Record:
    row = {"label_id": "se-9", "shipment_id": "se-480", "tracking_number": "1Z1"}
    return record_of("v2_label", row | {"carrier_code": "ups", "status": "completed"} | fields)


def with_a_label_beside_it(jobs: Jobs, orders: tuple[FulfillmentOrder, ...] | None) -> str:
    """A mark as shipped, and a label with the same number; then the mark is void."""
    mark = {"record_kind": "v2_fulfillment", "record": "se-7", "notify_customer": True}
    label = {"record_kind": "v2_label", "record": "se-9"}
    # While an order is looked for, the delivery is of what was told last.
    told = (mark, label) if orders is None else (label, mark)
    for fields in told:
        put(jobs.database, a_parcel(shipstation_shipment_id="se-480", **fields), orders=orders)
    items = [{"sku": "SHAWL-RED", "quantity": 2}, {"sku": "CAP-OAT", "quantity": 1}]
    order = {"shipment_id": "se-480", "shipment_number": "PD100", "items": items}
    void = {"fulfillment_id": "se-7", "shipment_id": "se-480", "tracking_number": "1Z1"}
    jobs.fetcher.records = [
        record_of("v2_fulfillment", void | {"voided": True}),
        v2_label(),
        record_of("v2_shipment", order),
    ]
    [stored] = rows(jobs.database)
    return str(stored.id)


@pytest.mark.parametrize("is_known", [True, False], ids=["order known", "order looked for"])
def test_parcel_whose_mark_is_void_goes_out_by_the_label_beside_it(
    jobs: Jobs, is_known: bool
) -> None:
    """What the shopper was to be told stays as it was decided."""
    delivery_id = with_a_label_beside_it(jobs, None if is_known else ())

    decided = jobs.deliver(after=61)
    delivered = jobs.deliver()

    assert (decided.id, decided.status, decided.record_kind) == (
        delivery_id,
        "pending",
        "v2_label",
    )
    assert delivered.status == "delivered"
    assert [body["notify_customer"] for body in jobs.purple_dot.posted] == [True]
    assert jobs.fetcher.asked("again")[-1] == ("v2_label", "se-9")


def test_parcel_whose_mark_and_label_are_void_is_cancelled(jobs: Jobs) -> None:
    delivery_id = with_a_label_beside_it(jobs, None)
    mark, _, order = jobs.fetcher.records
    jobs.fetcher.records = [mark, v2_label(voided=True), order]

    stored = jobs.deliver(after=61)

    assert (stored.id, stored.status, stored.reason) == (delivery_id, "cancelled", Reason.VOIDED)
    assert jobs.purple_dot.posted == []


def looking(jobs: Jobs, **fields: Any) -> str:
    [decision] = put(jobs.database, a_parcel(**fields), orders=())
    return str(decision.delivery_id)


def test_order_that_appears_is_delivered_in_the_same_row(jobs: Jobs) -> None:
    delivery_id = looking(jobs)

    placed = jobs.deliver(after=10)
    delivered = jobs.deliver()

    assert (placed.id, placed.status, placed.fulfillment_order_id is not None) == (
        delivery_id,
        "pending",
        True,
    )
    assert (delivered.id, delivered.status) == (delivery_id, "delivered")


def test_search_that_lasts_over_an_hour_is_held_and_goes_on(jobs: Jobs) -> None:
    jobs.policy = replace(
        POLICY, retry_schedule=tuple(timedelta(seconds=seconds) for seconds in (10, 7200, 21600))
    )
    [decision] = put(jobs.database, a_parcel(), orders=(), policy=jobs.policy)
    orders, jobs.purple_dot.orders = jobs.purple_dot.orders, {}

    held = jobs.deliver(after=10)
    jobs.purple_dot.orders = orders
    found = jobs.deliver(after=7200)

    assert (held.status, held.reason) == ("held", Reason.ORDER_NOT_FOUND)
    assert (found.id, found.status) == (decision.delivery_id, "pending")


def test_search_that_a_person_repeats_in_vain_comes_back_at_once(jobs: Jobs) -> None:
    delivery_id = looking(jobs)
    jobs.purple_dot.orders = {}
    with jobs.database.begin() as connection:
        [delivery] = deliveries.by_ids(connection, [delivery_id])
        repair.retry(connection, delivery, actor="alice (shell)", now=jobs.clock.now)

    stored = jobs.deliver()

    assert (stored.status, stored.reason) == ("held", Reason.ORDER_NOT_FOUND)


def test_order_that_never_appears_is_held_after_the_schedule(jobs: Jobs) -> None:
    looking(jobs)
    jobs.purple_dot.orders = {}

    stands = [
        (stored.status, stored.attempts) for stored in (jobs.deliver(after=400) for _ in RETRY)
    ]

    assert stands == [("retrying", 1), ("retrying", 2), ("held", 2)]
    assert [stored.reason for stored in rows(jobs.database)] == [Reason.ORDER_NOT_FOUND]
    assert jobs.purple_dot.posted == []


@pytest.mark.parametrize(
    ("error", "status", "attempts"),
    [
        (REFUSED, "retrying", 1),
        (ThrottledError("wait"), "waiting", 0),
        (PayloadError("?"), "retrying", 1),
        (ValueError("!"), "retrying", 1),
    ],
)
def test_search_that_fails_goes_on_later(
    jobs: Jobs, error: Exception, status: str, attempts: int
) -> None:
    looking(jobs)
    jobs.purple_dot.script("orders_by_reference", error)

    stored = jobs.deliver(after=10)

    assert (stored.status, stored.attempts) == (status, attempts)
    assert jobs.deliver(after=100).status == "pending"


def test_other_record_of_a_parcel_that_is_looked_for_finds_its_row(jobs: Jobs) -> None:
    delivery_id = looking(jobs)

    label = {"record": "502", "record_kind": "v2_label", "all_tracking_numbers": ("1Z2", "1Z1")}

    assert jobs.parcel(number="1Z2", **label) == delivery_id
    assert jobs.deliver().status == "delivered"


def test_search_that_finds_its_parcel_delivered_already_is_over(jobs: Jobs) -> None:
    delivery_id = looking(jobs)
    delivered = jobs.parcel(number="1Z9", record="502", record_kind="v2_label")
    jobs.fetcher.records = [v1_label(number="1Z9")]

    stands = {jobs.deliver(after=10).id for _ in range(2)}

    assert stands == {delivery_id, delivered}
    search = row(jobs.database, delivery_id)
    assert (search.status, search.reason) == ("cancelled", Reason.ALREADY_DELIVERED)
    assert (search.superseded_by, search.detail) == (
        delivered,
        f"delivery {delivered} took its place",
    )
    assert len(jobs.purple_dot.posted) == 1


def test_search_for_what_turns_out_to_come_back_says_so_and_ends(jobs: Jobs) -> None:
    delivery_id = looking(jobs)
    jobs.fetcher.records = [v1_label(isReturnLabel=True)]

    stored = jobs.deliver(after=10)

    assert (stored.id, stored.status, stored.reason, stored.detail) == (
        delivery_id,
        "cancelled",
        Reason.RETURN_LABEL,
        "the label brings goods back",
    )


def test_parcel_that_a_warehouse_told_of_keeps_what_it_told_while_its_order_is_looked_for(
    jobs: Jobs,
) -> None:
    """ShipStation shows the order behind it, and nothing of the parcel itself."""
    delivery_id = looking(
        jobs,
        record_kind="inline_row",
        record="se-480:1Z1",
        shipstation_shipment_id="se-480",
        carrier_code="fedex",
        ship_date=date(2026, 11, 3),
        notify_customer=True,
        items=(units(9, "OLD"),),
    )
    items = [{"sku": "SHAWL-RED", "quantity": 2}, {"sku": "CAP-OAT", "quantity": 1}]
    order = {"shipment_id": "se-480", "shipment_number": "PD100", "items": items}
    jobs.fetcher.records = [record_of("v2_shipment", order)]

    found = jobs.deliver(after=10)
    delivered = jobs.deliver()

    assert (found.id, found.status, found.shipstation_record_id) == (
        delivery_id,
        "pending",
        "se-480:1Z1",
    )
    assert (found.carrier_code, found.shipment["ship_date"]) == ("fedex", "2026-11-03")
    assert delivered.status == "delivered"
    [body] = jobs.purple_dot.posted
    assert (body["tracking_info"]["number"], body["notify_customer"]) == ("1Z1", True)
    assert body["line_items"] == WHOLE
    assert jobs.fetcher.calls == [("v2_shipment", "se-480")]


def test_search_goes_on_with_the_order_that_a_person_linked(jobs: Jobs) -> None:
    """Nothing on the parcel names that order."""
    delivery_id = looking(jobs)
    jobs.purple_dot.orders = {OTHER_ID: an_order(id=OTHER_ID, reference="#PD200")}
    with jobs.database.begin() as connection:
        [delivery] = deliveries.by_ids(connection, [delivery_id])
        other = jobs.purple_dot.orders[OTHER_ID]
        repair.link(connection, delivery, order=other, actor="alice", now=jobs.clock.now)

    stands = [jobs.deliver().status for _ in range(2)]

    assert stands == ["pending", "delivered"]
    assert [body["fulfillment_order_id"] for body in jobs.purple_dot.posted] == [OTHER_ID]


def test_search_for_a_label_that_was_voided_ends(jobs: Jobs) -> None:
    delivery_id = looking(jobs)
    jobs.fetcher.records = [v1_label(voided=True)]

    stored = jobs.deliver(after=10)

    assert (stored.id, stored.status, stored.reason) == (delivery_id, "cancelled", Reason.VOIDED)


def test_refusal_of_a_provider_never_becomes_a_parcel_while_its_order_is_looked_for(
    jobs: Jobs,
) -> None:
    looking(jobs, state=ShipmentState.REJECTED, number=None)

    stored = jobs.deliver(after=10)

    assert (stored.status, stored.reason) == ("held", Reason.REJECTED_BY_PROVIDER)


def test_label_that_is_unfinished_again_is_not_forgotten(jobs: Jobs) -> None:
    delivery_id = looking(jobs)
    jobs.fetcher.records = [v1_label(number="")]

    stored = jobs.deliver(after=10)

    assert (stored.id, stored.status) == (delivery_id, "pending")


def test_late_search_is_refused(jobs: Jobs) -> None:
    looking(jobs)
    jobs.clock.advance(10)
    late = claim_delivery(jobs.database)
    jobs.clock.advance(61)
    claim_delivery(jobs.database, "worker-2")

    with pytest.raises(LeaseLostError):
        jobs.run(late)


def test_refusal_is_kept_with_its_status_and_what_can_be_no_persons(jobs: Jobs) -> None:
    jobs.parcel()
    body = {"code": "UNKNOWN_LINE_ITEMS", "customer": {"email": "ada@private.example"}}
    jobs.purple_dot.script("create_fulfillment", PermanentError("no", status=422, body=body))

    stored = jobs.deliver()

    [attempt] = rows(jobs.database, "attempts")
    assert (stored.status, attempt.http_status) == ("dead", 422)
    assert "UNKNOWN_LINE_ITEMS" in attempt.answer
    assert "private" not in attempt.answer


def test_label_voided_while_the_answer_was_unclear_is_never_posted_again(jobs: Jobs) -> None:
    """No webhook says so: the label is read again before the second POST."""
    unclear(jobs)
    jobs.fetcher.records = [v1_label(voided=True)]

    stands = [jobs.deliver(after=400).status for _ in range(len(CONFIRM) + 1)]

    assert stands == ["unconfirmed", "retrying", "cancelled"]
    assert len(jobs.purple_dot.posted) == 1


def test_dry_run_shows_once_what_would_be_posted_and_looks_again_each_hour(jobs: Jobs) -> None:
    jobs.parcel()

    first = jobs.deliver(is_dry_run=True)
    assert jobs.attempts() == [(1, "waiting")]
    again = jobs.deliver(after=3600, is_dry_run=True)

    for looks, stored in enumerate((first, again), start=1):
        assert (stored.status, stored.reason, stored.attempts) == ("waiting", None, 0)
        assert stored.detail == "dry run: this would be posted now, and nothing was"
        assert (stored.looks, stored.due_at - stored.updated_at) == (looks, timedelta(hours=1))
    [attempt] = rows(jobs.database, "attempts")
    assert (attempt.number, attempt.outcome, attempt.http_status) == (1, "waiting", None)
    assert attempt.detail == first.detail
    assert jobs.purple_dot.posted == []

    jobs.deliver(after=3600)

    assert [attempt.request["fulfillment"]] == jobs.purple_dot.posted
