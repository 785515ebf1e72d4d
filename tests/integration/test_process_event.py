"""One event, from its pointer to its deliveries: in one transaction, however often and whatever
goes wrong on the way."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    ForeignUrlError,
    LeaseLostError,
    NotFoundError,
    PayloadError,
    PermanentError,
    StorageError,
    TemporaryError,
    ThrottledError,
)
from bridge.domain.events import EventStatus, Lane, Record
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment
from bridge.pipeline.process_event import EventJob, batches_of, conclude
from bridge.store import events, replays
from bridge.translate.carriers import Carriers
from bridge.translate.plans import Decision
from bridge.vendors.shipstation.payloads import record_of
from tests.support.jobs import Jobs
from tests.support.rows import (
    LEASE,
    OTHER_ID,
    POLICY,
    RETRY,
    SCHEDULES,
    URL,
    a_parcel,
    claim_event,
    claim_events,
    due_in,
    row,
    rows,
    v1_label,
)

pytest_plugins = ["tests.support.database_fixtures"]

INLINE = {"shipment_id": "se-480", "tracking_number": "1Z1", "carrier_code": "ups"}


def v2_order() -> Record:
    items = [{"sku": "SHAWL-RED", "quantity": 2}, {"sku": "CAP-OAT", "quantity": 1}]
    return record_of(
        "v2_shipment", {"shipment_id": "se-480", "shipment_number": "PD100", "items": items}
    )


def verdicts(stored: Any) -> list[str]:
    return [decision["verdict"] for decision in stored.decisions]


def test_event_becomes_a_delivery_and_remembers_why(jobs: Jobs) -> None:
    event_id = jobs.notify()

    stored = jobs.process()

    assert (stored.id, stored.status, stored.reason, stored.detail, stored.due_at) == (
        event_id,
        "processed",
        None,
        "1 delivery",
        None,
    )
    [delivery] = rows(jobs.database)
    assert (delivery.status, delivery.tracking_number, delivery.received_at) == (
        "pending",
        "1Z1",
        stored.received_at,
    )
    assert [
        (link.event_id, link.delivery_id) for link in rows(jobs.database, "event_deliveries")
    ] == [(event_id, delivery.id)]
    assert [(one["verdict"], one["rule"], one["delivery_id"]) for one in stored.decisions] == [
        ("delivery", "orderNumber", delivery.id)
    ]
    assert [kept.record_id for kept in rows(jobs.database, "records")] == ["501"]
    assert stored.processed_at == jobs.clock.now
    assert jobs.fetcher.calls == [("fetch", URL)]


def test_what_was_fetched_is_as_old_as_its_question(jobs: Jobs) -> None:
    """So that whoever posts later looks again in time."""
    jobs.notify()
    asked_at = jobs.clock.now

    def answer_slowly() -> list[Record]:
        jobs.clock.advance(20)
        return [v1_label()]

    jobs.fetcher.script("fetch", answer_slowly)
    jobs.process()

    [kept] = rows(jobs.database, "records")
    [delivery] = rows(jobs.database)
    assert (kept.fetched_at, delivery.label_seen_at) == (asked_at, asked_at)


def test_same_shipment_told_again_makes_nothing_new(jobs: Jobs) -> None:
    jobs.notify()
    jobs.process()
    jobs.notify("ITEM_SHIP_NOTIFY")

    stored = jobs.process()

    assert (stored.status, stored.reason) == ("ignored", Reason.ALREADY_DELIVERED)
    assert len(rows(jobs.database)) == 1
    assert len(rows(jobs.database, "event_deliveries")) == 2


def test_foreign_parcel_is_ignored_without_a_call_to_purple_dot(jobs: Jobs) -> None:
    jobs.fetcher.records = [v1_label(reference="SHOP-1")]
    jobs.notify()

    stored = jobs.process()

    assert (stored.status, stored.reason, verdicts(stored)) == (
        "ignored",
        Reason.NOT_A_PURPLE_DOT_ORDER,
        ["ignored"],
    )
    assert jobs.purple_dot.calls == []
    assert rows(jobs.database) == []


@pytest.mark.parametrize("fields", [{"voided": True}, {"isReturnLabel": True}])
def test_what_ships_nothing_costs_no_call_to_purple_dot(
    jobs: Jobs, fields: dict[str, bool]
) -> None:
    jobs.fetcher.records = [v1_label(**fields)]
    jobs.notify()

    assert jobs.process().status == "ignored"
    assert jobs.purple_dot.calls == []


def test_inline_event_needs_only_the_order_behind_it(jobs: Jobs) -> None:
    jobs.fetcher.records = [v2_order()]
    body = json.dumps({"fulfillments": [INLINE, INLINE | {"tracking_number": "1Z2"}]}).encode()
    jobs.notify("INLINE_FULFILLMENTS", resource_url=None, body=body)

    stored = jobs.process()

    assert jobs.fetcher.calls == [("v2_shipment", "se-480")]
    assert verdicts(stored) == ["delivery", "held"]
    assert {delivery.record_kind for delivery in rows(jobs.database)} == {"inline_row"}


@pytest.mark.parametrize(
    "refusal", [NotFoundError("no such shipment"), PayloadError("no id"), PermanentError("400")]
)
def test_inline_row_of_an_unknown_order_keeps_no_other_row_back_and_waits_for_a_person(
    jobs: Jobs, refusal: BridgeError
) -> None:
    jobs.fetcher.records = [v2_order()]
    body = json.dumps(
        {"fulfillments": [INLINE | {"shipment_id": "se-404", "tracking_number": "1Z2"}, INLINE]}
    ).encode()
    jobs.notify("INLINE_FULFILLMENTS", resource_url=None, body=body)

    stands = []
    for _ in range(len(RETRY) + 1):
        jobs.fetcher.script("v2_shipment", refusal)
        stored = jobs.process(after=400)
        stands.append(
            (stored.status, [delivery.tracking_number for delivery in rows(jobs.database)])
        )

    assert stands == [("received", ["1Z1"])] * len(RETRY) + [("dead", ["1Z1"])]
    assert stored.detail == str(refusal)


def test_inline_row_whose_order_is_found_later_is_placed_then(jobs: Jobs) -> None:
    jobs.fetcher.records = [v2_order()]
    body = json.dumps({"fulfillments": [INLINE]}).encode()
    jobs.notify("INLINE_FULFILLMENTS", resource_url=None, body=body)
    jobs.fetcher.script("v2_shipment", NotFoundError("not yet"))

    assert (jobs.process().status, rows(jobs.database)) == ("received", [])
    assert jobs.process(after=20).status == "processed"


def test_refusal_of_a_provider_is_an_exception_and_no_post(jobs: Jobs) -> None:
    jobs.notify(
        "FULFILLMENT_REJECTED",
        resource_url="https://ssapi.shipstation.com/fulfillments?fulfillmentId=7",
    )
    row_of_it = {
        "fulfillmentId": 7,
        "orderId": 480,
        "orderNumber": "PD100",
        "trackingNumber": "1Z1",
    }
    jobs.fetcher.records = [record_of("v1_fulfillment", row_of_it)]

    stored = jobs.process()

    assert (stored.status, verdicts(stored)) == ("processed", ["held"])
    assert [delivery.reason for delivery in rows(jobs.database)] == [Reason.REJECTED_BY_PROVIDER]


@pytest.mark.parametrize(
    ("lane", "trigger"),
    [
        (Lane.LIVE, "live"),
        (Lane.RETRY, "retry"),
        (Lane.REPLAY, "replay"),
        (Lane.SWEEP, "live"),
    ],
)
def test_event_hands_its_lane_on_and_what_set_it_off(jobs: Jobs, lane: Lane, trigger: str) -> None:
    jobs.notify(lane=lane)
    jobs.process()

    assert [(delivery.lane, delivery.trigger) for delivery in rows(jobs.database)] == [
        (lane, trigger)
    ]


def test_empty_page_is_looked_at_again_without_spending_an_attempt_and_then_ignored(
    jobs: Jobs,
) -> None:
    jobs.fetcher.records = []
    event_id = jobs.notify()

    stands = []
    for _ in range(len(SCHEDULES.wait) + 1):
        stored = jobs.process(after=100)
        stands.append(
            (
                stored.status,
                stored.reason,
                stored.attempts,
                stored.waits,
                due_in(jobs.database, event_id),
            )
        )

    assert stands == [
        ("received", None, 0, 1, 15),
        ("received", None, 0, 2, 60),
        ("ignored", Reason.NOTHING_SHIPPED, 0, 2, None),
    ]


@pytest.mark.parametrize(
    ("records", "detail"),
    [
        ([], "ShipStation lists nothing finished yet"),
        ([v1_label(), v1_label(number="", record="502")], "1 label(s) not finished yet"),
    ],
)
def test_event_that_waits_says_what_for(jobs: Jobs, records: list[Record], detail: str) -> None:
    jobs.fetcher.records = records
    jobs.notify()

    assert jobs.process().detail == detail


def test_order_id_that_purple_dot_does_not_show_is_asked_for_once_more(jobs: Jobs) -> None:
    """It may be another system's, or an order that is not there yet."""
    jobs.fetcher.records = [v1_label(reference="SHOP-1", orderKey=OTHER_ID)]
    jobs.notify()

    first, second = jobs.process(), jobs.process(after=15)

    assert (first.status, first.detail) == ("received", "1 label(s) not finished yet")
    assert (second.status, second.reason) == ("ignored", Reason.NOT_A_PURPLE_DOT_ORDER)
    assert jobs.purple_dot.asked("order") == [OTHER_ID, OTHER_ID]


def test_page_that_fills_is_placed(jobs: Jobs) -> None:
    jobs.fetcher.records = []
    jobs.notify()
    jobs.process()
    jobs.fetcher.records = [v1_label()]

    assert jobs.process(after=15).status == "processed"


def test_finished_label_is_placed_while_the_other_is_waited_for(jobs: Jobs) -> None:
    jobs.fetcher.records = [v1_label(), v1_label(number="", record="502")]
    jobs.notify()

    first = jobs.process()
    assert (first.status, first.waits, len(rows(jobs.database))) == ("received", 1, 1)
    for _ in SCHEDULES.wait:
        last = jobs.process(after=100)

    assert verdicts(last) == ["ignored", "held"]
    assert [stored.reason for stored in rows(jobs.database)] == [None, "no_tracking_number"]


@pytest.mark.parametrize("where", ["fetch", "orders_by_reference"])
@pytest.mark.parametrize(
    ("error", "attempts", "seconds"),
    [
        (TemporaryError("busy"), 1, 10),
        (TemporaryError("busy", retry_after=120), 1, 120),
        (ThrottledError("wait", retry_after=30), 0, 30),
        (CredentialsError("no"), 1, 10),
        (NotFoundError("gone"), 1, 10),
        (PayloadError("no such shape"), 1, 10),
        (ForeignUrlError("elsewhere"), 1, 10),
        (ValueError("a fault of ours"), 1, 10),
        (RecursionError(), 1, 10),
    ],
)
def test_whatever_fails_is_tried_again_with_nothing_written(
    jobs: Jobs, where: str, error: Exception, attempts: int, seconds: float
) -> None:
    event_id = jobs.notify()
    (jobs.fetcher if where == "fetch" else jobs.purple_dot).script(where, error)

    stored = jobs.process()

    assert (stored.status, stored.reason, stored.attempts, stored.owner) == (
        "received",
        None,
        attempts,
        None,
    )
    assert seconds <= (due_in(jobs.database, event_id) or 0) <= seconds * 1.1
    assert rows(jobs.database) == rows(jobs.database, "records") == []
    assert jobs.process(after=200).status == "processed"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TemporaryError("busy"), Reason.SCHEDULE_EXHAUSTED),
        (NotFoundError("gone"), Reason.SCHEDULE_EXHAUSTED),
        (CredentialsError("no"), Reason.CREDENTIALS_REFUSED),
    ],
)
def test_event_whose_schedule_is_over_is_dead_and_says_why(
    jobs: Jobs, error: BridgeError, reason: Reason
) -> None:
    jobs.notify()
    jobs.fetcher.script("fetch", *[error] * 9)

    for _ in range(len(RETRY) + 1):
        stored = jobs.process(after=400)

    assert (stored.status, stored.reason, stored.detail) == ("dead", reason, str(error))
    assert stored.processed_at == jobs.clock.now
    assert claim_events(jobs.database) == []


def test_being_told_to_wait_never_kills_an_event(jobs: Jobs) -> None:
    jobs.notify()
    jobs.fetcher.script("fetch", *[ThrottledError("wait")] * 20)

    for _ in range(20):
        assert jobs.process(after=20).status == "received"


def job_of(jobs: Jobs) -> EventJob:
    return EventJob(jobs.database, jobs.fetcher, jobs.resolver, jobs.policy, SCHEDULES, LEASE)


def test_database_that_can_not_take_the_outcome_leaves_the_event_to_its_lease(jobs: Jobs) -> None:
    jobs.notify()
    event = claim_event(jobs.database)

    def fetch_while_the_database_goes() -> list[Record]:
        jobs.database.fail(times=9)
        return [v1_label()]

    jobs.fetcher.script("fetch", fetch_while_the_database_goes)
    with pytest.raises(StorageError):
        job_of(jobs).run(event, owner="worker-1")

    jobs.database.fail(times=0)
    assert row(jobs.database, event.id).status == "received"
    assert jobs.process(after=61).status == "processed"


def test_late_owner_leaves_nothing_behind(jobs: Jobs) -> None:
    jobs.notify()
    late = claim_event(jobs.database)
    jobs.clock.advance(61)
    claim_event(jobs.database, "worker-2")

    with pytest.raises(LeaseLostError):
        job_of(jobs).run(late, owner="worker-1")
    jobs.fetcher.script("fetch", TemporaryError("busy"))
    with pytest.raises(LeaseLostError):
        job_of(jobs).run(late, owner="worker-1")

    assert rows(jobs.database) == rows(jobs.database, "records") == []
    assert row(jobs.database, late.id).owner == "worker-2"


def test_event_taken_over_in_the_middle_is_placed_once(jobs: Jobs) -> None:
    """Killed after its deliveries were committed with its end, there is nothing to take over;
    before, nothing was written."""
    jobs.notify()
    late = claim_event(jobs.database)
    jobs.clock.advance(61)
    jobs.process()

    with pytest.raises(LeaseLostError):
        job_of(jobs).run(late, owner="worker-1")

    assert len(rows(jobs.database)) == 1


def test_newer_event_of_the_same_pointer_is_done_beside_one_put_off(jobs: Jobs) -> None:
    jobs.notify()
    jobs.fetcher.script("fetch", TemporaryError("busy"))
    first = claim_event(jobs.database)
    newer = jobs.notify()
    job_of(jobs).run(first, owner="worker-1")

    assert jobs.process().id == newer
    assert jobs.process(after=20).status == "ignored"
    assert len(rows(jobs.database)) == 1


@pytest.mark.parametrize(
    ("decisions", "status", "reason"),
    [
        ([], EventStatus.IGNORED, Reason.NOTHING_SHIPPED),
        ([("waiting", None, None)], EventStatus.IGNORED, Reason.NOTHING_SHIPPED),
        (
            [("delivery", None, "dlv_1"), ("ignored", Reason.VOIDED, None)],
            EventStatus.PROCESSED,
            None,
        ),
        ([("held", Reason.NO_ITEMS, "dlv_1")], EventStatus.PROCESSED, None),
        ([("searching", Reason.ORDER_NOT_FOUND, "dlv_1")], EventStatus.PROCESSED, None),
        (
            [("ignored", Reason.ALREADY_DELIVERED, "dlv_1")],
            EventStatus.IGNORED,
            Reason.ALREADY_DELIVERED,
        ),
        (
            [("ignored", Reason.VOIDED, None)]
            + [("ignored", Reason.NOT_A_PURPLE_DOT_ORDER, None)] * 2,
            EventStatus.IGNORED,
            Reason.NOT_A_PURPLE_DOT_ORDER,
        ),
    ],
)
def test_end_of_an_event_is_what_most_of_its_shipments_came_to(
    decisions: list[tuple[str, Reason | None, str | None]],
    status: EventStatus,
    reason: Reason | None,
) -> None:
    taken = [
        Decision(a_parcel(), verdict, why, delivery_id=delivery_id)
        for verdict, why, delivery_id in decisions
    ]

    assert conclude(taken)[:2] == (status, reason)


def test_stored_records_are_those_of_the_last_fetch(jobs: Jobs) -> None:
    jobs.fetcher.records = [v1_label(number="", record="502")]
    event_id = jobs.notify()
    jobs.process()
    jobs.fetcher.records = [v1_label(), v1_label(record="502", number="1Z2")]
    jobs.process(after=15)

    with jobs.database.read() as connection:
        assert [kept.record_id for kept in events.records_of(connection, event_id)] == [
            "501",
            "502",
        ]


def test_carrier_that_only_the_account_knows_has_the_accounts_name(jobs: Jobs) -> None:
    item = {"orderItemId": "501", "sku": "SHAWL-RED", "quantity": 2}
    jobs.fetcher.records = [v1_label(carrierCode="carrier_4711", shipmentItems=[item])]
    jobs.fetcher.account_carriers = {"carrier_4711": "Planet Courier by ShipStation"}
    jobs.notify()

    jobs.process()

    [delivery] = rows(jobs.database)
    assert delivery.tracking_company == "Planet Courier"


def test_unknown_carrier_raises_one_notice_for_all_its_parcels(
    jobs: Jobs, logged: list[Any]
) -> None:
    parcels = {"501": {"sku": "SHAWL-RED", "quantity": 2}, "502": {"sku": "CAP-OAT", "quantity": 1}}
    stranger = {"carrierCode": "planet_courier"}
    jobs.fetcher.records = [
        v1_label(
            record=record,
            number=f"T{record}",
            shipmentItems=[{"orderItemId": record, **item}],
            **stranger,
        )
        for record, item in parcels.items()
    ]
    jobs.notify()

    jobs.process()

    assert [delivery.tracking_company for delivery in rows(jobs.database)] == ["Planet Courier"] * 2
    notices = [line for line in logged if line["event"] == "carrier_unknown"]
    assert [notice["carrier"] for notice in notices] == ["planet_courier"]


def three_parcels(jobs: Jobs) -> list[str]:
    """Three webhooks, each of one box of the same order."""
    goods = [("SHAWL-RED", "501"), ("SHAWL-RED", "502"), ("CAP-OAT", "503")]
    for sku, record in goods:
        item = {"orderItemId": record, "sku": sku, "quantity": 1}
        box = v1_label(record=record, number=f"1Z{record}", orderId=record, shipmentItems=[item])
        jobs.fetcher.script("fetch", [box])
    event_ids = []
    for _, record in goods:
        jobs.clock.advance(1)
        event_ids.append(jobs.notify(resource_url=f"{URL}{record}"))
    return event_ids


def numbers(jobs: Jobs) -> list[str]:
    return sorted(delivery.tracking_number for delivery in rows(jobs.database))


def test_events_of_a_batch_share_one_look_for_their_orders(jobs: Jobs, logged: list[Any]) -> None:
    event_ids = three_parcels(jobs)

    stored = jobs.process_together()

    assert [(one.id, one.status) for one in stored] == [(id_, "processed") for id_ in event_ids]
    assert numbers(jobs) == ["1Z501", "1Z502", "1Z503"]
    assert len(jobs.purple_dot.asked("orders_by_reference")) == 1
    assert [line for line in logged if line["log_level"] != "info"] == []


@pytest.mark.parametrize("error", [TemporaryError("busy"), ValueError("a fault of ours")])
def test_batch_whose_orders_can_not_be_found_together_looks_for_each_alone(
    jobs: Jobs, logged: list[Any], error: Exception
) -> None:
    three_parcels(jobs)
    jobs.purple_dot.script("orders_by_reference", error)

    stored = jobs.process_together()

    assert [one.status for one in stored] == ["processed"] * 3
    assert len(jobs.purple_dot.asked("orders_by_reference")) == 4
    [line] = [line for line in logged if line["event"] == "orders_not_found_together"]
    assert line["error"] == f"{type(error).__name__}: {error}"


def test_event_of_a_batch_that_fails_is_no_trouble_of_its_neighbors(jobs: Jobs) -> None:
    first = jobs.notify(resource_url=f"{URL}9")
    jobs.fetcher.script("fetch", PermanentError("no such batch"))
    three_parcels(jobs)

    failed, *others = jobs.process_together()

    assert (failed.id, failed.status, failed.attempts) == (first, "received", 1)
    assert failed.detail == "no such batch"
    assert [one.status for one in others] == ["processed"] * 3


def test_event_of_a_batch_that_another_worker_took_over_is_left_to_it(
    jobs: Jobs, logged: list[Any]
) -> None:
    three_parcels(jobs)
    taken: list[str] = []

    def too_late() -> Any:
        jobs.clock.advance(61)
        taken.append(claim_event(jobs.database, "worker-2").id)
        return list(jobs.purple_dot.orders.values())

    jobs.purple_dot.script("orders_by_reference", too_late)
    stored = jobs.process_together()

    stands = {one.id: (one.status, one.owner) for one in stored}
    assert stands.pop(taken[0]) == ("received", "worker-2")
    assert list(stands.values()) == [("processed", None)] * 2
    assert len(numbers(jobs)) == 2
    lost = [line for line in logged if line["event"] == "lease_lost"]
    assert [line["event_id"] for line in lost] == taken


class CarriersWithAFault(Carriers):
    """A fault of ours in the parcel of one number."""

    def of(self, shipment: Shipment) -> tuple[str | None, str | None]:
        if shipment.tracking_number == "1Z502":
            raise ValueError("a fault of ours")
        return super().of(shipment)


def test_event_that_can_not_be_written_with_others_is_no_trouble_of_theirs(
    jobs: Jobs, logged: list[Any]
) -> None:
    jobs.policy = replace(jobs.policy, carriers=CarriersWithAFault())
    event_ids = three_parcels(jobs)

    first, failed, last = jobs.process_together()

    assert (first.status, last.status) == ("processed", "processed")
    assert (failed.id, failed.status, failed.attempts) == (event_ids[1], "received", 1)
    assert failed.detail == "unforeseen ValueError: a fault of ours"
    assert numbers(jobs) == ["1Z501", "1Z503"]
    [line] = [line for line in logged if line["event"] == "batch_split"]
    assert (line["events"], line["error"]) == (3, "ValueError: a fault of ours")


def test_event_that_was_taken_over_meanwhile_is_left_to_its_owner_when_a_batch_is_split(
    jobs: Jobs, logged: list[Any]
) -> None:
    jobs.policy = replace(jobs.policy, carriers=CarriersWithAFault())
    taken, *_ = three_parcels(jobs)

    def too_late() -> Any:
        jobs.clock.advance(61)
        assert claim_event(jobs.database, "worker-2").id == taken
        return list(jobs.purple_dot.orders.values())

    jobs.purple_dot.script("orders_by_reference", too_late)
    stored = jobs.process_together()

    assert [(one.status, one.owner) for one in stored] == [
        ("received", "worker-2"),
        ("received", None),
        ("processed", None),
    ]
    lost = [line for line in logged if line["event"] == "lease_lost"]
    assert {line["event_id"] for line in lost} == {taken}
    assert taken in lost[-1]["error"]


def together(jobs: Jobs) -> list[Delivery]:
    return job_of(jobs).run(*claim_events(jobs.database), owner="worker-1", takes=2)


def looked_up_one_by_one(jobs: Jobs) -> list[Delivery]:
    jobs.purple_dot.script("orders_by_reference", TemporaryError("busy"))
    return together(jobs)


def written_one_by_one(jobs: Jobs) -> list[Delivery]:
    jobs.policy = replace(jobs.policy, carriers=CarriersWithAFault())
    return together(jobs)


@pytest.mark.parametrize(
    ("run", "taken", "left"),
    [
        (together, ["1Z501", "1Z502"], ["pending"]),
        (looked_up_one_by_one, ["1Z501", "1Z502"], ["pending"]),
        (written_one_by_one, ["1Z501", "1Z503"], []),
    ],
)
def test_worker_takes_no_more_of_the_new_deliveries_than_it_has_room_for(
    jobs: Jobs, run: Callable[[Jobs], list[Delivery]], taken: list[str], left: list[str]
) -> None:
    """Those are its own until their lease is over; the others wait for whoever comes."""
    three_parcels(jobs)

    claimed = run(jobs)

    stored = [row(jobs.database, delivery.id) for delivery in claimed]
    assert [one.tracking_number for one in stored] == taken
    assert {(one.owner, one.due_at) for one in stored} == {("worker-1", jobs.clock.now + LEASE)}
    for delivery in claimed:
        jobs.run(delivery)
    assert len(jobs.purple_dot.posted) == 2
    others = [one for one in rows(jobs.database) if one.tracking_number not in taken]
    assert [one.status for one in others] == left


Throttle = Callable[[Jobs, Any], None]


def throttle_the_lists(jobs: Jobs, answer: Any) -> None:
    jobs.fetcher.script("preload", answer)


def throttle_the_look_for_orders(jobs: Jobs, answer: Any) -> None:
    jobs.purple_dot.script("orders_by_reference", answer)


def four_that_waited_and_failed_once(jobs: Jobs) -> None:
    """Each has waited for its label and failed for its vendor, once."""
    jobs.fetcher.records = []
    for number in range(4):
        jobs.notify(resource_url=f"{URL}{number}")
    jobs.process_together()
    jobs.fetcher.script("fetch", *[TemporaryError("busy")] * 4)
    jobs.process_together(after=15)
    jobs.fetcher.records = [v1_label()]


@pytest.mark.parametrize("throttle", [throttle_the_lists, throttle_the_look_for_orders])
@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 10), (30, 30)])
def test_batch_without_a_turn_comes_back_as_a_batch_and_has_spent_nothing(
    jobs: Jobs, throttle: Throttle, retry_after: float | None, seconds: float
) -> None:
    four_that_waited_and_failed_once(jobs)
    throttle(jobs, ThrottledError("wait", retry_after=retry_after))

    stored = jobs.process_together(after=60)

    assert {(one.status, one.attempts, one.waits, one.detail) for one in stored} == {
        ("received", 1, 1, "wait")
    }
    [wait] = {due_in(jobs.database, one.id) for one in stored}
    assert seconds <= (wait or 0) <= seconds * 1.1
    assert {one.status for one in jobs.process_together(after=40)} == {"processed"}


@pytest.mark.parametrize("throttle", [throttle_the_lists, throttle_the_look_for_orders])
def test_event_of_a_batch_without_a_turn_is_left_to_whoever_took_it_over(
    jobs: Jobs, throttle: Throttle
) -> None:
    four_that_waited_and_failed_once(jobs)
    taken: list[str] = []

    def too_late() -> Any:
        jobs.clock.advance(61)
        taken.append(claim_event(jobs.database, "worker-2").id)
        raise ThrottledError("wait")

    throttle(jobs, too_late)
    stored = jobs.process_together(after=60)

    stands = {one.id: (one.owner, one.detail) for one in stored}
    assert stands.pop(taken[0]) == ("worker-2", "busy")
    assert list(stands.values()) == [(None, "wait")] * 3


def test_lists_that_can_not_be_read_are_no_event_s_trouble(jobs: Jobs, logged: list[Any]) -> None:
    for number in range(4):
        jobs.notify(resource_url=f"{URL}{number}")
    jobs.fetcher.script("preload", PayloadError("data is null"))

    stored = jobs.process_together()

    assert {one.status for one in stored} == {"processed", "ignored"}
    [line] = [line for line in logged if line["event"] == "lists_not_read"]
    assert (line["events"], line["error"]) == (4, "PayloadError: data is null")


def test_lists_are_read_for_what_they_can_show(jobs: Jobs) -> None:
    """Neither an inline event nor a replay, which reads what its own options say."""
    jobs.fetcher.records = [v2_order()]
    replayed = jobs.notify()
    jobs.process(after=1)
    replay(jobs, replayed)
    for number in range(3):
        jobs.notify(resource_url=f"{URL}{number}")
    body = json.dumps({"fulfillments": [INLINE]}).encode()
    jobs.notify("INLINE_FULFILLMENTS", resource_url=None, body=body)

    jobs.process_together()

    assert jobs.fetcher.asked("preload") == [(3, jobs.clock.now)]


V2_LABELS = "https://api.shipstation.com/v2/labels?batch_id=se-"


def test_webhooks_of_one_kind_that_a_list_can_show_are_one_batch(jobs: Jobs) -> None:
    """A V1 pointer, an inline event, a replay, and what is too few of its kind or lane are each
    alone, in front."""
    replayed = jobs.notify("LABEL_CREATED_V2", resource_url=f"{V2_LABELS}0")
    jobs.process()
    many = [jobs.notify("LABEL_CREATED_V2", resource_url=f"{V2_LABELS}{n}") for n in range(4)]
    alone = [jobs.notify(resource_url=f"{URL}{n}") for n in range(4)]
    alone += [jobs.notify("INLINE_FULFILLMENTS", resource_url=None, body=b"{}")]
    few = [
        jobs.notify("LABEL_CREATED_V2", resource_url=f"{V2_LABELS}{n}", lane=Lane.SWEEP)
        for n in range(5, 8)
    ]
    replay(jobs, replayed)

    *singles, batch = batches_of(claim_events(jobs.database, limit=20))

    assert {event.id for event in batch} == set(many)
    assert {len(single) for single in singles} == {1}
    ids = [single[0].id for single in singles]
    assert set(ids) > {*alone, *few}
    assert len(ids) == len(alone) + len(few) + 1


# Replays


def replay(
    jobs: Jobs, event_id: str, *, as_stored: bool = False, notify_customer: bool = False
) -> None:
    """Begin a replay of one event."""
    with jobs.database.begin() as connection:
        replays.start(
            connection,
            [event_id],
            chosen={"ids": [event_id]},
            actor="alice (shell)",
            reason="after the fix",
            as_stored=as_stored,
            notify_customer=notify_customer,
            now=jobs.clock.now,
        )


def told_before_the_pattern_was_right(jobs: Jobs) -> Any:
    """A parcel that was ignored, since nothing on it looked like Purple Dot's then; the event."""
    jobs.policy = replace(jobs.policy, pattern=re.compile("^LOOM-"))
    jobs.notify()
    ignored = jobs.process()
    assert ignored.status == "ignored"
    jobs.policy = POLICY
    return ignored


@pytest.mark.parametrize("notify_customer", [True, False])
def test_replay_from_what_was_stored_asks_shipstation_for_nothing(
    jobs: Jobs, notify_customer: bool
) -> None:
    """What it finds is as old as it was read then, and came when the original came."""
    event = told_before_the_pattern_was_right(jobs)
    then = jobs.clock.now
    jobs.clock.advance(3600)
    replay(jobs, event.id, as_stored=True, notify_customer=notify_customer)

    assert jobs.process().status == "processed"

    assert jobs.fetcher.calls == [("fetch", URL)]
    [delivery] = rows(jobs.database)
    assert (delivery.trigger, delivery.lane) == ("replay", Lane.REPLAY)
    assert (delivery.label_seen_at, delivery.received_at) == (then, event.received_at)
    assert delivery.notify_customer is notify_customer


def test_replay_of_what_is_there_now_reads_it_again(jobs: Jobs) -> None:
    event = told_before_the_pattern_was_right(jobs)
    jobs.clock.advance(3600)
    jobs.fetcher.records = [v1_label(number="1Z9")]
    replay(jobs, event.id)

    assert jobs.process().status == "processed"

    [delivery] = rows(jobs.database)
    assert (delivery.tracking_number, delivery.label_seen_at) == ("1Z9", jobs.clock.now)
    assert (delivery.trigger, delivery.received_at) == ("replay", event.received_at)
    assert delivery.notify_customer is False


def test_replay_of_stored_facts_that_name_nothing_is_over_at_once(jobs: Jobs) -> None:
    """Looking at them again would change nothing."""
    jobs.fetcher.records = [v1_label(number="", reference="SHOP-1", orderKey=OTHER_ID)]
    event_id = jobs.notify()
    assert jobs.process().status == "received"
    replay(jobs, event_id, as_stored=True)

    replayed = [one for one in jobs.process_together() if one.id != event_id]

    assert [(one.status, one.waits) for one in replayed] == [("ignored", 0)]


def test_rehearsal_decides_what_is_there_now_and_leaves_the_event_alone(jobs: Jobs) -> None:
    event = told_before_the_pattern_was_right(jobs)
    jobs.fetcher.records = [v1_label(number="1Z9")]
    replay(jobs, event.id)
    claimed = claim_event(jobs.database)
    with jobs.database.read() as connection:
        options = replays.options_of(connection, claimed.id)
    before = row(jobs.database, claimed.id)
    jobs.clock.advance(30)

    facts = job_of(jobs).reader.gather(claimed, options)
    with jobs.database.begin() as connection:
        plan = job_of(jobs).judge(connection, claimed, facts, now=jobs.clock.now)

    assert [decision.verdict for decision in plan.decisions] == ["delivery"]
    assert plan.claimed == ()
    [delivery] = rows(jobs.database)
    assert (delivery.tracking_number, delivery.trigger) == ("1Z9", "replay")
    assert (delivery.label_seen_at, delivery.created_at) == (jobs.clock.now, jobs.clock.now)
    assert row(jobs.database, claimed.id) == before
