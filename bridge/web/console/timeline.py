"""A story as steps with the time that each took: received, fetched, planned, posted, delivered.
Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.web.console.pages import format_lines

Story = Mapping[str, Any]

_KINDS_OF_STATUS = {"delivered": "good", "held": "look", "dead": "bad", "unconfirmed": "look"}


@dataclass(frozen=True, slots=True)
class Step:
    """`took` is the time since the step before it; None for the first. `kind` is good, look, bad or
    plain."""

    title: str
    at: datetime
    detail: str = ""
    kind: str = "plain"
    took: timedelta | None = None


def of_event(story: Story) -> list[Step]:
    """What happened to a notification until its parcels were planned."""
    return _timed(_event_steps(story))


def of_delivery(story: Story) -> list[Step]:
    """What happened to one parcel, from its creation on."""
    return _timed(_delivery_steps(story))


def _event_steps(story: Story) -> Iterator[Step]:
    yield Step("Received", story["received_at"], story["event_type"])
    if story["records"]:
        count = len(story["records"])
        what = "1 record" if count == 1 else f"{count} records"
        yield Step("Fetched from ShipStation", story["records"][0]["fetched_at"], what)
    for delivery in story["delivery_stories"]:
        name = delivery["reference"] or delivery["order_number"] or delivery["id"]
        yield Step("Parcel planned", delivery["created_at"], name)
        if delivery["delivered_at"]:
            yield Step("Delivered to Purple Dot", delivery["delivered_at"], name, "good")


def _delivery_steps(story: Story) -> Iterator[Step]:
    known = [story["reference"] or "order not known yet", format_lines(story["line_items"])]
    yield Step("Planned", story["created_at"], ": ".join(filter(None, known)))
    for attempt in story["attempt_history"]:
        if attempt["request"]:
            yield Step("Posted to Purple Dot", attempt["started_at"])
        kind = _KINDS_OF_STATUS.get(attempt["outcome"], "plain")
        title = f"Attempt: {attempt['outcome']}"
        yield Step(title, attempt["finished_at"], attempt["detail"] or "", kind)


def _timed(steps: Iterator[Step]) -> list[Step]:
    ordered = sorted(steps, key=lambda step: step.at)
    timed: list[Step] = []
    for step in ordered:
        took = step.at - timed[-1].at if timed else None
        timed.append(Step(step.title, step.at, step.detail, step.kind, took))
    return timed
