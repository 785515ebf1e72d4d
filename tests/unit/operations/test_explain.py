"""A story in sentences: what came in, what stood there, what was decided for each parcel and why,
what a person does next. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.domain.events import EventStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.operations.explain import explain_delivery, explain_event
from bridge.vendors.shipstation.event_types import EVENT_TYPES

NOON = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(seconds=75)
AT_NOON, AT_LATER = "2026-11-04 12:00:00 UTC", "2026-11-04 12:01:15 UTC"
LABEL = {
    "record_kind": "v2_label",
    "record_id": "se-520000001",
    "order_number": "PD800/1",
    "tracking_number": "1Z1",
    "verdict": "delivery",
    "reason": None,
    "detail": "",
    "delivery_id": "dlv_1",
}


def an_event(**fields: Any) -> list[str]:
    story: dict[str, Any] = {
        "received_at": NOON,
        "event_type": "SHIP_NOTIFY",
        "duplicates": 0,
        "replays": [],
        "resource_url": "https://ssapi.shipstation.com/shipments?batchId=7",
        "records": [],
        "decisions": [],
        "attempts": 0,
        "next_attempt_at": None,
        "detail": None,
        "status": "processed",
        "reason": None,
        "delivery_stories": [],
    }
    return explain_event(story | fields)


def a_delivery_story(**fields: Any) -> dict[str, Any]:
    return {
        "id": "dlv_1",
        "created_at": NOON,
        "shipment": {"record_kind": "v2_label"},
        "shipstation_record_id": "se-520000001",
        "reference": "#PD800/1",
        "rule": "shipment_number",
        "line_items": [
            {"id": "line-1", "quantity": 2, "sku": "TEE"},
            {"id": "line-2", "quantity": 1, "sku": None},
        ],
        "tracking_company": "UPS",
        "tracking_number": "1Z1",
        "notify_customer": False,
        "attempt_history": [],
        "next_attempt_at": None,
        "status": "delivered",
        "reason": None,
        "detail": None,
    } | fields


def a_delivery(**fields: Any) -> list[str]:
    return explain_delivery(a_delivery_story(**fields))


# Events


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_event_says_when_it_came_what_it_means_and_where_it_points(name: str) -> None:
    sentences = an_event(event_type=name)

    assert sentences[0] == f"{AT_NOON} {name} came in: {EVENT_TYPES[name].meaning}"
    assert sentences[1] == "It points at https://ssapi.shipstation.com/shipments?batchId=7."
    assert sentences[-1] == "It was processed."


def test_event_of_a_type_that_is_not_handled_says_why_nothing_happened() -> None:
    sentences = an_event(
        event_type="TRACK",
        resource_url=None,
        status="ignored",
        reason="event_type_not_handled",
        detail="TRACK is none",
    )

    meaning = MEANINGS[Reason.EVENT_TYPE_NOT_HANDLED]
    assert sentences == [
        f"{AT_NOON} TRACK came in: a type that says nothing of shipped goods",
        "Nothing was to be done.",
        f"{meaning.title} (event_type_not_handled): {meaning.sentence}",
        f"What to do: {meaning.shell_step}",
    ]


def test_copies_that_came_while_it_waited_are_told() -> None:
    assert (
        "The same notification came 2 more time(s) while it waited, and was counted on it."
        in an_event(duplicates=2)
    )
    assert not any("more time(s)" in sentence for sentence in an_event())


def test_what_was_fetched_is_counted_by_kind() -> None:
    records = [
        {"kind": kind, "fetched_at": LATER} for kind in ("v2_label", "v2_shipment", "v2_label")
    ]

    assert f"{AT_LATER} 2 v2_label, 1 v2_shipment was fetched there." in an_event(records=records)


def test_event_that_is_still_work_says_how_often_it_was_tried_and_when_it_is_next() -> None:
    sentences = an_event(
        status="received",
        attempts=3,
        next_attempt_at=LATER,
        detail="ShipStation labels: answered 503",
    )

    assert (
        sentences[-1]
        == f"It is still work: tried 3 time(s), next at {AT_LATER} ShipStation labels: answered 503"
    )


@pytest.mark.parametrize("status", EventStatus)
def test_every_status_of_an_event_has_its_sentence(status: EventStatus) -> None:
    assert an_event(status=status.value)[-1].endswith((".", "never"))


@pytest.mark.parametrize(
    ("status", "reason"), [("dead", Reason.SCHEDULE_EXHAUSTED), ("rejected", Reason.FOREIGN_URL)]
)
def test_event_that_failed_says_why_in_the_words_of_the_error(status: str, reason: Reason) -> None:
    sentences = an_event(status=status, reason=reason.value, detail="labels: answered 503")

    assert sentences[-3:] == [
        f"{MEANINGS[reason].title} ({reason}): {MEANINGS[reason].sentence}",
        "  labels: answered 503",
        f"What to do: {MEANINGS[reason].shell_step}",
    ]


def test_each_parcel_has_its_decision() -> None:
    held = LABEL | {
        "record_id": "se-2",
        "verdict": "held",
        "reason": "no_items",
        "detail": "it names none",
    }
    ignored = LABEL | {
        "record_id": "se-3",
        "order_number": None,
        "tracking_number": None,
        "verdict": "ignored",
        "reason": "voided",
    }
    waiting = LABEL | {
        "record_id": "se-4",
        "verdict": "waiting",
        "detail": "the label is not finished yet",
    }

    sentences = an_event(decisions=[LABEL, held, ignored, waiting])

    assert sentences[2:-1] == [
        "v2_label se-520000001 (order PD800/1, tracking 1Z1): delivery dlv_1.",
        "v2_label se-2 (order PD800/1, tracking 1Z1): held because no_items.",
        "  it names none.",
        "v2_label se-3 (an order without number, no tracking number): ignored because voided.",
        f"  {MEANINGS[Reason.VOIDED].sentence}",
        "v2_label se-4 (order PD800/1, tracking 1Z1): waiting.",
        "  the label is not finished yet.",
    ]


def test_deliveries_of_an_event_follow_it() -> None:
    story = a_delivery_story()

    sentences = an_event(delivery_stories=[story])

    assert sentences[-len(explain_delivery(story)) - 1 :] == ["", *explain_delivery(story)]


# Deliveries


def test_delivery_says_what_it_was_made_from_and_what_it_tells() -> None:
    assert a_delivery() == [
        f"{AT_NOON} delivery dlv_1 was made from v2_label se-520000001.",
        "It belongs to Purple Dot's #PD800/1, because shipment_number in ShipStation names it.",
        "It holds 2 × TEE, 1 × line-2, sent with UPS as 1Z1; the shopper is not notified.",
        "It is delivered.",
    ]


@pytest.mark.parametrize(
    ("rule", "because"),
    [
        ("linked", "a person chose it"),
        ("bound", "an earlier parcel of the same ShipStation order went there"),
        ("line_item_id", "the items carry ids of its lines"),
        ("item_order_id", "the items carry its id"),
        ("customField2", "customField2 in ShipStation names it"),
    ],
)
def test_rule_that_found_the_order_is_told(rule: str, because: str) -> None:
    assert a_delivery(rule=rule)[1] == f"It belongs to Purple Dot's #PD800/1, because {because}."


def test_shopper_who_is_told_and_carrier_without_a_name_are_told() -> None:
    [sentence] = [
        told
        for told in a_delivery(notify_customer=True, tracking_company=None)
        if told.startswith("It holds")
    ]

    assert sentence.endswith("sent with an unnamed carrier as 1Z1; the shopper is notified.")


def test_each_attempt_is_told_with_what_set_it_off_and_where_it_led() -> None:
    first = {
        "finished_at": NOON,
        "number": 1,
        "trigger": "live",
        "outcome": "unconfirmed",
        "detail": "no answer (ReadTimeout)",
    }
    second = {
        "finished_at": LATER,
        "number": 2,
        "trigger": "manual",
        "outcome": "delivered",
        "detail": None,
    }

    sentences = a_delivery(attempt_history=[first, second])

    assert sentences[3:5] == [
        f"{AT_NOON} attempt 1 (live) led to unconfirmed: no answer (ReadTimeout).",
        f"{AT_LATER} attempt 2 (manual) led to delivered.",
    ]


def test_delivery_whose_order_is_looked_for_says_only_what_is_known() -> None:
    fields = {
        "reference": None,
        "rule": None,
        "line_items": [],
        "status": "retrying",
        "reason": "order_not_found",
        "next_attempt_at": LATER,
    }

    sentences = a_delivery(**fields, detail="shipment_number PD800/1 looks like Purple Dot's")

    meaning = MEANINGS[Reason.ORDER_NOT_FOUND]
    assert sentences[1:] == [
        f"It is retrying, next look at {AT_LATER}.",
        f"{meaning.title} (order_not_found): {meaning.sentence}",
        "  shipment_number PD800/1 looks like Purple Dot's",
        f"What to do: {meaning.shell_step}",
    ]


@pytest.mark.parametrize(
    "reason",
    [reason for reason, meaning in MEANINGS.items() if meaning.verdict in ("held", "dead")],
)
def test_every_exception_is_explained_with_its_next_step(reason: Reason) -> None:
    sentences = a_delivery(status=MEANINGS[reason].verdict, reason=reason.value)

    assert sentences[-2:] == [
        f"{MEANINGS[reason].title} ({reason}): {MEANINGS[reason].sentence}",
        f"What to do: {MEANINGS[reason].shell_step}",
    ]
