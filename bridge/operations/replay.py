"""Replay by hand, before it is done: which stored events can go through the journey again, and what
each would post to Purple Dot."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import BridgeError, ForeignUrlError
from bridge.domain.events import Event, EventStatus, Lane
from bridge.domain.reasons import Reason
from bridge.pipeline import settle
from bridge.pipeline.process_event import EventJob
from bridge.pipeline.read_event import EventFacts
from bridge.store import deliveries, events, repairs, reports
from bridge.store.engine.database import Connection
from bridge.store.replays import Candidate, ReplayOptions
from bridge.translate.plans import Decision, OrderLookup
from bridge.vendors.purple_dot.payloads import fulfillment_body
from bridge.vendors.rate_limit import calls_in
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.webhook import check_resource_url

NEVER_AGAIN = (
    "What Purple Dot has is never sent again by a replay: nothing there can be taken back. No"
    " option changes that."
)
Look: TypeAlias = tuple[Event, EventFacts | str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What was chosen: `events` would be replayed, `refused` are (event id, why not)."""

    events: tuple[Candidate, ...]
    refused: tuple[tuple[str, str], ...]

    @property
    def needs_reason(self) -> bool:
        """One failed event is one click; many at once, or what Purple Dot has a part of, asks
        why."""
        return len(self.events) > 1 or any(event.was_delivered for event in self.events)


def plan(candidates: Sequence[Candidate], *, as_stored: bool, origins: Collection[str]) -> Plan:
    """Sort out what can't be replayed. Pure. `origins` as for `check_resource_url`."""
    chosen: list[Candidate] = []
    refused: list[tuple[str, str]] = []
    for event in candidates:
        refusal = _refusal(event, as_stored=as_stored, origins=origins)
        if refusal is None:
            chosen.append(event)
        else:
            refused.append((event.id, refusal))
    return Plan(tuple(chosen), tuple(refused))


def _refusal(event: Candidate, *, as_stored: bool, origins: Collection[str]) -> str | None:
    if event.status is EventStatus.REJECTED:
        return (
            f"it was refused when it came in ({event.reason}): it never was work, and never"
            " becomes it"
        )
    if event.event_type not in EVENT_TYPES:
        return f"{event.event_type} says nothing of shipped goods"
    if event.status is EventStatus.RECEIVED:
        return "it is still being processed; `bridge explain` shows when it is tried next"
    if as_stored and not event.has_records:
        lost = "not fetched: it never came so far" if event.has_body else "redacted after its time"
        return f"what it points at was {lost}; only --fetch-again can help"
    if _is_foreign(event.resource_url, origins):
        return "its resource_url is not ShipStation's, so it is never fetched"
    if not event.resource_url and not event.has_body:
        return "it was redacted after its time, and holds no pointer to fetch again"
    return None


def _is_foreign(resource_url: str | None, origins: Collection[str]) -> bool:
    """A type that was not handled when it came was never checked then."""
    if not resource_url:
        return False
    try:
        check_resource_url(resource_url, configured=origins)
    except ForeignUrlError:
        return True
    return False


class _RollBackError(Exception):
    """Ends a rehearsal: nothing of it is kept."""


def look(job: EventJob, event_id: str, *, as_stored: bool, notify_customer: bool) -> Look:
    """Read what a replay would read, from both vendors or from what is stored. An error is a value:
    a replay would try again."""
    with job.database.read() as connection:
        event = replace(events.load(connection, event_id), lane=Lane.REPLAY, attempts=0, waits=0)
    try:
        options = ReplayOptions("", event_id, as_stored, notify_customer, event.received_at)
        with calls_in(Lane.REPLAY):
            return event, job.reader.gather(event, options)
    except BridgeError as exc:
        return event, str(exc)


def rehearse(job: EventJob, looks: Sequence[Look]) -> list[dict[str, Any]]:
    """What a replay of these would do, decided by the very code that would do it, in one
    transaction that is rolled back. For each {event_id, event_type, error, shipments: what would
    become of each}."""
    rows: list[dict[str, Any]] = []
    with suppress(_RollBackError), job.database.begin(durable=False) as connection:
        rows += [_rehearse(job, connection, event, facts) for event, facts in looks]
        raise _RollBackError
    return rows


def _rehearse(
    job: EventJob, connection: Connection, event: Event, facts: EventFacts | str
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "event_id": event.id,
        "event_type": event.event_type,
        "error": None,
        "shipments": [],
    }
    if isinstance(facts, str):
        return row | {"error": facts}
    decided = job.judge(connection, event, facts, now=job.database.now(connection))
    row["shipments"] = [
        _would_send(connection, decision, facts.lookup) for decision in decided.decisions
    ]
    row["error"] = str(facts.unread) if facts.unread else None
    return row


def plan_as_json(
    job: EventJob, plan: Plan, looks: Sequence[Look], *, as_stored: bool, notify_customer: bool
) -> dict[str, Any]:
    """The whole plan as JSON, with sentences for people."""
    count = len(plan.events)
    counted = "1 event" if count == 1 else f"{count} events"
    source = "what was fetched then" if as_stored else "what ShipStation says now"
    calls = "no" if as_stored else "at least 1"
    mails = "shoppers ARE e-mailed" if notify_customer else "shoppers are not e-mailed"
    sentence = (
        f"{counted} would be replayed, with {source} ({calls} ShipStation call and at most 1 Purple"
        f" Dot look-up each); {mails}. The dry run looked at {len(looks)}."
    )
    return {
        "count": count,
        "counted": counted,
        "as_stored": as_stored,
        "notify_customer": notify_customer,
        "needs_reason": plan.needs_reason,
        "sentence": sentence,
        "refused": [{"event_id": event_id, "why": why} for event_id, why in plan.refused],
        "events": rehearse(job, looks),
        "never_again": NEVER_AGAIN,
    }


def _would_send(connection: Connection, decision: Decision, lookup: OrderLookup) -> dict[str, Any]:
    """One shipment: what would be sent, how that differs from what was sent before, and from what
    Purple Dot has now."""
    shipment = decision.shipment
    order_number = shipment.order_number or "without number"
    parcel = f"order {order_number}, tracking {shipment.tracking_number or 'none'}"
    delivery: Delivery | None = None
    if decision.delivery_id:
        delivery = repairs.find(connection, decision.delivery_id)[0]
    if delivery is None or decision.verdict != "delivery":
        verdict = _verdict(decision, delivery)
        return decision.as_json() | {"sentence": f"{parcel}: {verdict}", "body": None, "beside": []}
    body = fulfillment_body(delivery.action())
    before = _sent_before(connection, delivery.id)
    how = "would be sent"
    if delivery.unclear_at is not None:
        how += " only if reading shows that it never was: this database is an older copy"
    return decision.as_json() | {
        "sentence": f"{parcel}: {how}",
        "body": body,
        "sent_before": before,
        "beside": [*_compared(before, body), *_order_lines(connection, delivery, lookup)],
    }


def _verdict(decision: Decision, delivery: Delivery | None) -> str:
    if delivery is not None and decision.reason is Reason.ALREADY_DELIVERED:
        status = f"{delivery.status} {delivery.reason or ''}".rstrip()
        return f"left alone, {delivery.id} stays {status}"
    verdict = f"{decision.verdict} {decision.reason or ''}".strip()
    return f"{verdict}; {decision.detail}" if decision.detail else verdict


def _sent_before(connection: Connection, delivery_id: str) -> Any:
    """The last body that was sent, if any."""
    story = reports.delivery_story(connection, delivery_id) or {"attempt_history": []}
    for attempt in reversed(story["attempt_history"]):
        if attempt["request"]:
            return attempt["request"]
    return None


def _compared(before: Any, body: Any) -> list[str]:
    if not before:
        return ["nothing was sent before"]
    changes = differences(before, body)
    if not changes:
        return ["the same was sent before, and not taken"]
    return [f"differs from what was sent before: {change}" for change in changes]


def _order_lines(connection: Connection, delivery: Delivery, lookup: OrderLookup) -> Iterator[str]:
    """The order as Purple Dot shows it, and of each line what we sent, send now and leave."""
    [order] = [order for order in lookup.orders if order.id == delivery.fulfillment_order_id]
    yield f"{order.reference} is {order.status or 'of unknown status'} in Purple Dot now"
    sent = Counter[str]()
    for other in deliveries.of_orders(connection, [order.id]).get(order.id, []):
        if other.id != delivery.id:
            sent.update(settle.units(other.lines))
    now = Counter(settle.units(delivery.lines))
    for line in order.lines:
        left = line.quantity - sent[line.id] - now[line.id]
        yield (
            f"{line.sku or line.id}: {line.quantity} ordered, {sent[line.id]} sent by us,"
            f" {now[line.id]} now, {left} left"
        )


def differences(before: Any, after: Any) -> list[str]:
    """Each field of two JSON bodies that isn't the same, as `where: before → after`."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        f"{key}: {old.get(key, 'absent')} → {new.get(key, 'absent')}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Lines by their id, since their order means nothing."""
    if isinstance(value, list):
        value = {line["id"]: line["quantity"] for line in value}
    if not isinstance(value, Mapping):
        yield path, value
    else:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
