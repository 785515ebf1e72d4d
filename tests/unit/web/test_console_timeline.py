"""The steps of a story, as a page shows them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.web.console import timeline

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


def attempt(outcome: str, *, http_status: int | None = None, seconds: int = 1) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "http_status": http_status,
        "request": {"fulfillment": {}},
        "started_at": at(seconds),
        "finished_at": at(seconds + 1),
        "detail": "",
    }


def parcel(status: str, *attempts: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "id": "dlv_1",
        "reference": "PD800/1",
        "order_number": "PD800/1",
        "line_items": [{"id": "l1", "sku": "TEE", "quantity": 1}],
        "status": status,
        "reason": reason,
        "created_at": NOON,
        "delivered_at": None,
        "attempt_history": attempts,
    }


def event(status: str, *parcels: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "received_at": NOON,
        "event_type": "LABEL_CREATED_V2",
        "records": [],
        "status": status,
        "reason": reason,
        "delivery_stories": parcels,
    }


def titles(steps: list[timeline.Step]) -> list[str]:
    return [step.title for step in steps]


def test_parcel_is_posted_where_purple_dot_answered_or_nobody_knows() -> None:
    story = parcel("delivered", attempt("unconfirmed"), attempt("delivered", seconds=9))

    assert titles(timeline.of_delivery(story)) == [
        "Planned",
        "Posted to Purple Dot",
        "No clear answer",
        "Delivered to Purple Dot",
    ]


def test_try_that_shipstation_stopped_was_not_posted() -> None:
    story = parcel("dead", attempt("retrying"), attempt("dead", seconds=9))

    assert titles(timeline.of_delivery(story)) == ["Planned", "This try failed", "Failed"]


def test_parcel_that_waits_for_a_person_says_so_last_and_why() -> None:
    *_, last = timeline.of_delivery(parcel("held", reason="unknown_line"))

    assert (last.title, last.detail, last.at) == ("Needs review", "SKU not on the order", None)


def test_reason_is_not_said_twice() -> None:
    refused = attempt("dead", http_status=422)

    steps = timeline.of_delivery(parcel("dead", refused, reason="rejected_by_purple_dot"))

    assert titles(steps) == ["Planned", "Posted to Purple Dot", "Failed"]


def test_webhook_without_parcels_says_how_it_ended() -> None:
    *_, last = timeline.of_event(event("dead", reason="schedule_exhausted"))

    assert (last.title, last.detail, last.kind) == ("Failed", "Every try failed", "bad")


def test_batch_is_counted_and_a_few_parcels_are_named() -> None:
    one = parcel("delivered")

    few, many = (timeline.of_event(event("processed", *[one] * count)) for count in (2, 10))

    assert [step.detail for step in few[1:]] == ["PD800/1", "PD800/1"]
    assert titles(many) == ["Received", "10 parcels planned"]


def test_each_step_says_what_it_took_since_the_one_before() -> None:
    steps = timeline.of_delivery(parcel("delivered", attempt("delivered", http_status=200)))

    assert [step.took for step in steps] == [None, timedelta(seconds=1), timedelta(seconds=1)]
