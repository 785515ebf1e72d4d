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
    "item_order_reference": "the items carry its number",
}
"""Why an order was chosen. Every other rule is named after the ShipStation field that names the
order."""

_ENDS = {
    "received": "It is still work: {waits}",
    "processed": "It was processed.",
    "ignored": "Nothing was to be done.",
    "dead": "It failed.",
    "rejected": "It was refused when it came in and never was work.",
}


def explain_event(story: Story) -> list[str]:
    """The trail of decisions of one event, as `reports.event_story` returns it."""
    return list(_event(story))


def explain_delivery(story: Story) -> list[str]:
    """The trail of decisions of one delivery, as `reports.delivery_story` returns it."""
    return list(_delivery(story))


def rule_in_words(rule: str | None) -> str:
    """Why an order was chosen, to be said after "because"."""
    return _RULES.get(rule or "linked", f"{rule} in ShipStation names it")


def _event(story: Story) -> Iterator[str]:
    yield _arrival(story)
    for replay in story["replays"]:
        yield _replay(replay, story["id"])
    if story["duplicates"]:
        yield (
            f"The same notification came {story['duplicates']} more time(s) while it waited, and"
            " was counted on it."
        )
    if story["resource_url"]:
        yield f"It points at {story['resource_url']}."
    if story["records"]:
        kinds = Counter(record["kind"] for record in story["records"])
        fetched = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        yield f"{_when(story['records'][0]['fetched_at'])} {fetched} was fetched there."
    yield from _redacted(story, "Its body, headers and what was fetched for it")
    for decision in story["decisions"]:
        yield from _decision(decision)
    yield _ENDS[story["status"]].format(waits=_waits(story))
    yield from _meaning(story, with_detail=story["status"] in ("dead", "rejected"))
    for delivery in story["delivery_stories"]:
        yield from ("", *explain_delivery(delivery))


def _arrival(story: Story) -> str:
    event_type = EVENT_TYPES.get(story["event_type"])
    meaning = event_type.meaning if event_type else "a type that says nothing of shipped goods"
    arrived = "came in"
    if story.get("source") == "sweep":
        arrived = "was found by the sweep, and no webhook reported it"
    return f"{_when(story['received_at'])} {story['event_type']} {arrived}: {meaning}"


def _replay(replay: Story, event_id: str) -> str:
    if replay["replay_event_id"] == event_id:
        return f"It is a replay of {replay['event_id']}, in {replay['run_id']}."
    return f"It was replayed as {replay['replay_event_id']}, in {replay['run_id']}."


def _waits(story: Story) -> str:
    next_at = _when(story["next_attempt_at"])
    return f"tried {story['attempts']} time(s), next at {next_at} {story['detail'] or ''}".strip()


def _decision(decision: Story) -> Iterator[str]:
    name = f"{decision['record_kind']} {decision['record_id']}"
    order = "an order without number"
    if decision["order_number"]:
        order = f"order {decision['order_number']}"
    number = "no tracking number"
    if decision["tracking_number"]:
        number = f"tracking {decision['tracking_number']}"
    outcome = decision["verdict"]
    if outcome == "delivery":
        outcome = f"delivery {decision['delivery_id']}"
    because = f" because {decision['reason']}" if decision["reason"] else ""
    yield f"{name} ({order}, {number}): {outcome}{because}."
    if decision["detail"]:
        yield f"  {decision['detail']}."
    if not decision["delivery_id"]:  # Else the delivery's own story says it.
        yield from _contents(decision.get("items") or [], status=decision["verdict"])
    if decision["reason"] and decision["verdict"] == "ignored":
        yield f"  {MEANINGS[Reason(decision['reason'])].sentence}"


def _delivery(story: Story) -> Iterator[str]:
    record = f"{story['shipment']['record_kind']} {story['shipstation_record_id']}"
    yield f"{_when(story['created_at'])} delivery {story['id']} was made from {record}."
    if story["reference"]:
        why = rule_in_words(story["rule"])
        yield f"It belongs to Purple Dot's {story['reference']}, because {why}."
    if story["line_items"]:
        yield _fulfillment(story)
    yield from _parcel(story)
    for attempt in story["attempt_history"]:
        yield _attempt(attempt)
    yield from _redacted(story, "What each attempt sent, and what was answered,")
    due = f", next look at {_when(story['next_attempt_at'])}" if story["next_attempt_at"] else ""
    yield f"It is {story['status']}{due}."
    before = story.get("resolved_from")
    if before:
        was = f"{before['status']} {before['reason'] or ''}".rstrip()
        yield f"It was {was} until a person closed it; `bridge reopen` undoes that."
    yield from _meaning(story, with_detail=True)


def _fulfillment(story: Story) -> str:
    items = [f"{line['quantity']} × {line['sku'] or line['id']}" for line in story["line_items"]]
    carrier = story["tracking_company"] or "an unnamed carrier"
    notified = "notified" if story["notify_customer"] else "not notified"
    return (
        f"It holds {', '.join(items)}, sent with {carrier} as {story['tracking_number']}; the"
        f" shopper is {notified}."
    )


def _attempt(attempt: Story) -> str:
    detail = f": {attempt['detail']}" if attempt["detail"] else ""
    return (
        f"{_when(attempt['finished_at'])} attempt {attempt['number']} ({attempt['trigger']}) led to"
        f" {attempt['outcome']}{detail}."
    )


_FATES = {
    "sent": {
        "delivered": "sent to Purple Dot",
        "held": "held for a person",
        "dead": "held for a person",
        "cancelled": "not sent",
    },
    "held": {
        "delivered": "closed by a person",
        "cancelled": "closed",
        "held": "held for a person",
        "dead": "held for a person",
    },
    "not_purple_dots": {},
}
"""What an item's units came to, by what was decided and how its delivery stands by now."""
_FATES_OF_WORK = {
    "sent": "on its way to Purple Dot",
    "held": "looked at again",
    "not_purple_dots": "not Purple Dot's",
}


def _parcel(story: Story) -> Iterator[str]:
    """Every unit of a parcel, one line an item, also of what another delivery has of it."""
    own = story.get("contents") or []
    others = story.get("rest_of_parcel") or []
    yield from _contents(own, status=story["status"])
    if own:
        for other in others:
            where = f", in delivery {other['id']}"
            yield from _items(other["contents"], status=other["status"], where=where)


def _contents(items: Sequence[Story], *, status: str) -> Iterator[str]:
    if items:
        yield "What was in the parcel:"
    yield from _items(items, status=status)


def _items(items: Sequence[Story], *, status: str, where: str = "") -> Iterator[str]:
    for item in items:
        name = item["sku"] or "an item without SKU"
        bundle = f" (part of {item['bundle_sku']})" if item["bundle_sku"] else ""
        fate = _FATES[item["fate"]].get(status, _FATES_OF_WORK[item["fate"]])
        yield f"  {item['quantity']} × {name}{bundle}: {fate}, as {item['evidence']}{where}."


def _redacted(story: Story, what: str) -> Iterator[str]:
    if story.get("redacted_at"):
        yield (
            f"{_when(story['redacted_at'])} {what} had been kept for as long as"
            " BRIDGE_RETENTION_DAYS says, and was redacted."
        )


def _meaning(story: Story, *, with_detail: bool) -> Iterator[str]:
    if not story["reason"]:
        return
    meaning = MEANINGS[Reason(story["reason"])]
    yield f"{meaning.title} ({story['reason']}): {meaning.sentence}"
    if with_detail and story.get("detail"):
        yield f"  {story['detail']}"
    yield f"What to do: {meaning.shell_step}"


def _when(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC") if time else "never"
