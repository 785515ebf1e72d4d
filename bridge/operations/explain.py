"""A story as sentences: why an event or a delivery stands where it stands, and what a person does
next. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.domain.reasons import MEANINGS, Reason
from bridge.vendors.shipstation.event_types import EVENT_TYPES

Story = Mapping[str, Any]

_RULES = {
    "linked": "a person chose it",
    "bound": "an earlier parcel of the same ShipStation order went there",
    "line_item_id": "the items carry ids of its lines",
    "item_order_id": "the items carry its id",
}
"""Why an order was chosen. Every other rule is named after the ShipStation field that names the
order."""

_ENDS = {
    "received": "It is still work: {waits}",
    "processed": "It was worked off.",
    "ignored": "Nothing was to be done.",
    "dead": "It was given up.",
    "rejected": "It was refused at the door and never was work.",
}


def explain_event(story: Story) -> list[str]:
    """The trail of decisions of one event, as `reports.event_story` tells it."""
    return list(_event(story))


def explain_delivery(story: Story) -> list[str]:
    """The trail of decisions of one delivery, as `reports.delivery_story` tells it."""
    return list(_delivery(story))


def rule_in_words(rule: str | None) -> str:
    """Why an order was chosen, to be said after "because"."""
    return _RULES.get(rule or "linked", f"{rule} in ShipStation names it")


def _event(story: Story) -> Iterator[str]:
    known = EVENT_TYPES.get(story["event_type"])
    meaning = known.meaning if known else "a type that tells nothing of shipped goods"
    came = (
        "was found by the sweep, not told by a webhook"
        if story.get("source") == "sweep"
        else "came in"
    )
    yield f"{_when(story['received_at'])} {story['event_type']} {came}: {meaning}"
    for one in story["replays"]:
        if one["replay_event_id"] == story["id"]:
            yield f"It is a replay of {one['event_id']}, in run {one['run_id']}."
        else:
            yield f"It was replayed as {one['replay_event_id'] or 'an event that has not begun yet'}, in run {one['run_id']}."
    if story["duplicates"]:
        yield f"The same notification came {story['duplicates']} more time(s) while it waited, and was counted on it."
    if story["resource_url"]:
        yield f"It points at {story['resource_url']}."
    if story["records"]:
        kinds = Counter(record["kind"] for record in story["records"])
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        yield f"{_when(story['records'][0]['fetched_at'])} there stood {told}."
    yield from _redacted(story, "Its body, headers and what was fetched for it")
    for decision in story["decisions"]:
        yield from _decision(decision)
    waits = f"tried {story['attempts']} time(s), next at {_when(story['next_attempt_at'])} {story['detail'] or ''}".strip()
    yield _ENDS[story["status"]].format(waits=waits)
    yield from _meaning(story, detail=story["status"] in ("dead", "rejected"))
    for delivery in story["delivery_stories"]:
        yield from ("", *explain_delivery(delivery))


def _decision(decision: Story) -> Iterator[str]:
    name = f"{decision['record_kind']} {decision['record_id']}"
    order = (
        f"order {decision['order_number']}"
        if decision["order_number"]
        else "an order without number"
    )
    number = (
        f"tracking {decision['tracking_number']}"
        if decision["tracking_number"]
        else "no tracking number"
    )
    outcome = (
        f"delivery {decision['delivery_id']}"
        if decision["verdict"] == "delivery"
        else decision["verdict"]
    )
    why = f" because {decision['reason']}" if decision["reason"] else ""
    yield f"{name} ({order}, {number}): {outcome}{why}."
    if decision["detail"]:
        yield f"  {decision['detail']}."
    if not decision["delivery_id"]:  # Else the delivery's own story says it.
        yield from _contents(decision.get("items") or [])
    if decision["reason"] and decision["verdict"] == "ignored":
        yield f"  {MEANINGS[Reason(decision['reason'])].sentence}"


def _delivery(story: Story) -> Iterator[str]:
    record = f"{story['shipment']['record_kind']} {story['shipstation_record_id']}"
    yield f"{_when(story['created_at'])} delivery {story['id']} was made from {record}."
    if story["reference"]:
        yield f"It belongs to Purple Dot's {story['reference']}, because {rule_in_words(story['rule'])}."
    if story["line_items"]:
        lines = ", ".join(
            f"{line['quantity']} × {line['sku'] or line['id']}" for line in story["line_items"]
        )
        notified = (
            "the shopper is notified" if story["notify_customer"] else "the shopper is not notified"
        )
        carrier = story["tracking_company"] or "an unnamed carrier"
        yield f"It tells of {lines}, sent with {carrier} as {story['tracking_number']}; {notified}."
    yield from _contents(story.get("contents") or [])
    for attempt in story["attempt_history"]:
        said = f": {attempt['detail']}" if attempt["detail"] else ""
        yield f"{_when(attempt['finished_at'])} attempt {attempt['number']} ({attempt['trigger']}) led to {attempt['outcome']}{said}."
    yield from _redacted(story, "What each attempt sent, and what was answered,")
    due = f", next look at {_when(story['next_attempt_at'])}" if story["next_attempt_at"] else ""
    yield f"It stands as {story['status']}{due}."
    yield from _meaning(story, detail=True)


_FATES = {
    "sent": "sent to Purple Dot",
    "held": "held for a person",
    "not_purple_dots": "not Purple Dot's",
}


def _contents(items: Sequence[Story]) -> Iterator[str]:
    """Every unit of a parcel, one line an item."""
    if items:
        yield "What was in the parcel:"
    for item in items:
        name = item["sku"] or "an item without SKU"
        bundle = f" (part of {item['bundle_sku']})" if item["bundle_sku"] else ""
        fate = _FATES[item["fate"]]
        yield f"  {item['quantity']} × {name}{bundle}: {fate}, as {item['evidence']}."


def _redacted(story: Story, what: str) -> Iterator[str]:
    if story.get("redacted_at"):
        yield f"{_when(story['redacted_at'])} {what} had been kept for as long as BRIDGE_RETENTION_DAYS says, and was redacted."


def _meaning(story: Story, *, detail: bool) -> Iterator[str]:
    if not story["reason"]:
        return
    meaning = MEANINGS[Reason(story["reason"])]
    yield f"Reason {story['reason']}: {meaning.sentence}"
    if detail and story.get("detail"):
        yield f"  {story['detail']}"
    yield f"What to do: {meaning.shell_step}"


def _when(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "never"
