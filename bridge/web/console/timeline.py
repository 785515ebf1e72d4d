"""A story as steps with the time that each took: received, fetched, planned, posted, delivered.
Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.web.console.pages import format_lines, title_of

Story = Mapping[str, Any]

_TITLES = {
    "delivered": ("Delivered to Purple Dot", "good"),
    "retrying": ("This try failed", "plain"),
    "unconfirmed": ("No clear answer", "look"),
    "held": ("Needs review", "look"),
    "dead": ("Failed", "bad"),
    "rejected": ("Refused", "bad"),
    "ignored": ("Nothing to do", "plain"),
    "cancelled": ("Closed as cancelled", "plain"),
    "linked": ("Linked to an order", "plain"),
}
"""What people call an outcome, and how it looks."""

_NAMED_ALONE = 3
"""Of more parcels than so many the timeline of their webhook says only how many they are."""


@dataclass(frozen=True, slots=True)
class Step:
    """`took` is the time since the step before it; None for the first. `kind` is good, look, bad or
    plain. `at` is None where a step says only how it stands now."""

    title: str
    at: datetime | None
    detail: str = ""
    kind: str = "plain"
    took: timedelta | None = None


def of_event(story: Story) -> list[Step]:
    """What happened to a notification until its parcels were planned, or why none is."""
    return [*_timed(_event_steps(story)), *_standing(story, ("dead", "rejected", "ignored"))]


def of_delivery(story: Story) -> list[Step]:
    """What happened to one parcel, from its creation on, and what it waits for now."""
    steps = _timed(_delivery_steps(story))
    is_said = bool(steps) and steps[-1].title == _titled(story["status"])[0]
    return steps if is_said else [*steps, *_standing(story, ("held", "dead"))]


def _event_steps(story: Story) -> Iterator[Step]:
    yield Step("Received", story["received_at"], story["event_type"])
    if story["records"]:
        count = len(story["records"])
        what = "1 record" if count == 1 else f"{count} records"
        yield Step("Fetched from ShipStation", story["records"][0]["fetched_at"], what)
    parcels = story["delivery_stories"]
    if len(parcels) > _NAMED_ALONE:
        yield Step(f"{len(parcels)} parcels planned", parcels[0]["created_at"])
        return
    for delivery in parcels:
        name = delivery["reference"] or delivery["order_number"] or delivery["id"]
        yield Step("Parcel planned", delivery["created_at"], name)
        if delivery["delivered_at"]:
            yield Step("Delivered to Purple Dot", delivery["delivered_at"], name, "good")


def _delivery_steps(story: Story) -> Iterator[Step]:
    known = [story["reference"] or "order not known yet", format_lines(story["line_items"])]
    yield Step("Planned", story["created_at"], ": ".join(filter(None, known)))
    for attempt in story["attempt_history"]:
        if _was_posted(attempt):
            yield Step("Posted to Purple Dot", attempt["started_at"])
        title, kind = _titled(attempt["outcome"])
        yield Step(title, attempt["finished_at"], attempt["detail"] or "", kind)


def _was_posted(attempt: Story) -> bool:
    """Whether its request left: Purple Dot answered it, or nobody knows. What a look at
    ShipStation or at the order had stopped before did not leave."""
    has_left = attempt["http_status"] is not None or attempt["outcome"] == "unconfirmed"
    return bool(attempt["request"]) and has_left


def _standing(story: Story, statuses: Collection[str]) -> list[Step]:
    """How it stands, where it stands in one of these."""
    if story["status"] not in statuses:
        return []
    title, kind = _titled(story["status"])
    return [Step(title, None, title_of(story["reason"]) if story["reason"] else "", kind)]


def _titled(outcome: str) -> tuple[str, str]:
    return _TITLES.get(outcome, (outcome.capitalize(), "plain"))


def _timed(steps: Iterator[Step]) -> list[Step]:
    dated = [(step.at, step) for step in steps if step.at is not None]
    dated.sort(key=lambda pair: pair[0])
    timed: list[Step] = []
    before: datetime | None = None
    for at, step in dated:
        timed.append(replace(step, took=at - before if before else None))
        before = at
    return timed
