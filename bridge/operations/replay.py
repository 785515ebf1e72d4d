"""Replay by hand, before it is done: which stored events can go through the journey again, and what
each would tell Purple Dot."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from bridge.domain.errors import BridgeError, ForeignUrlError
from bridge.domain.events import Event, EventStatus, Lane
from bridge.domain.reasons import Reason
from bridge.pipeline import settle
from bridge.pipeline.process_event import EventFacts, EventJob
from bridge.store import deliveries, events, repairs, reports
from bridge.store.engine.database import Connection
from bridge.store.replays import Candidate, ReplayOptions
from bridge.translate.placement import Decision, OrderLookup
from bridge.vendors.purple_dot.payloads import fulfillment_body
from bridge.vendors.rate_limit import calls_in
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.webhook import check_resource_url

NEVER_AGAIN = "What Purple Dot has is never sent again by a replay: nothing there can be taken back. No option changes that."
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
    judged = [
        (event, _refusal(event, as_stored=as_stored, origins=origins)) for event in candidates
    ]
    return Plan(
        tuple(event for event, why in judged if not why),
        tuple((event.id, why) for event, why in judged if why),
    )


def _refusal(event: Candidate, *, as_stored: bool, origins: Collection[str]) -> str | None:
    lost = "redacted after its time" if not event.has_body else "not fetched: it never came so far"
    obstacles = (
        (
            event.status is EventStatus.REJECTED,
            f"it was refused at the door ({event.reason}): it never was work, and never becomes it",
        ),
        (event.event_type not in EVENT_TYPES, f"{event.event_type} tells nothing of shipped goods"),
        (
            event.status is EventStatus.RECEIVED,
            "it is still being worked on; `bridge explain` tells when it is tried next",
        ),
        (
            as_stored and not event.has_records,
            f"what it points at was {lost}; only --fetch-again can help",
        ),
        (
            _is_foreign(event.resource_url, origins),
            "its resource_url is not ShipStation's, so it is never fetched",
        ),
        (
            not event.resource_url and not event.has_body,
            "it was redacted after its time, and holds no pointer to fetch again",
        ),
    )
    return next((why for stands, why in obstacles if stands), None)


def _is_foreign(resource_url: str | None, origins: Collection[str]) -> bool:
    """A type that was not handled when it came was never judged at the door."""
    try:
        check_resource_url(resource_url, configured=origins) if resource_url else None
    except ForeignUrlError:
        return True
    return False


class _TakenBackError(Exception):
    """Ends a rehearsal: nothing of it is kept."""


def look(job: EventJob, event_id: str, *, as_stored: bool, notify_customer: bool) -> Look:
    """Read what a replay would read, from both vendors or from what is stored. An error is a value:
    a replay would try again."""
    with job.database.read() as connection:
        event = replace(events.load(connection, event_id), lane=Lane.REPLAY, attempts=0, waits=0)
    try:
        with calls_in(Lane.REPLAY):
            return event, job.gather(
                event, ReplayOptions("", event_id, as_stored, notify_customer, event.received_at)
            )
    except BridgeError as exc:
        return event, str(exc)


def rehearse(job: EventJob, looks: Sequence[Look]) -> list[dict[str, Any]]:
    """What a replay of these would do, decided by the very code that would do it, in one
    transaction that is taken back. For each {event_id, event_type, error, shipments: what would
    become of each}."""
    told: list[dict[str, Any]] = []
    with suppress(_TakenBackError), job.database.begin(durable=False) as connection:
        for event, facts in looks:
            rows, error = (
                [],
                facts if isinstance(facts, str) else facts.unread and str(facts.unread),
            )
            if not isinstance(facts, str):
                plan = job.judge(connection, event, facts, now=job.database.now(connection))
                rows = [_would(connection, decision, facts.lookup) for decision in plan.decisions]
            told.append(
                {
                    "event_id": event.id,
                    "event_type": event.event_type,
                    "error": error,
                    "shipments": rows,
                }
            )
        raise _TakenBackError
    return told


def plan_as_json(
    job: EventJob, plan: Plan, looks: Sequence[Look], *, as_stored: bool, notify_customer: bool
) -> dict[str, Any]:
    """The whole plan as JSON, with sentences for people."""
    count, source = (
        len(plan.events),
        "what was fetched then" if as_stored else "what ShipStation says now",
    )
    reads = f"{'no' if as_stored else 'at least 1'} ShipStation call and at most 1 Purple Dot look-up each"
    mails = "shoppers ARE e-mailed" if notify_customer else "shoppers are not e-mailed"
    counted = "1 event" if count == 1 else f"{count} events"
    head = f"{counted} would be replayed, with {source} ({reads}); {mails}. The dry run looked at {len(looks)}."
    about = {
        "count": count,
        "counted": counted,
        "as_stored": as_stored,
        "notify_customer": notify_customer,
        "needs_reason": plan.needs_reason,
    }
    refused = [{"event_id": event_id, "why": why} for event_id, why in plan.refused]
    return about | {
        "sentence": head,
        "refused": refused,
        "events": rehearse(job, looks),
        "never_again": NEVER_AGAIN,
    }


def _would(connection: Connection, decision: Decision, lookup: OrderLookup) -> dict[str, Any]:
    """One shipment: what would be sent, how that differs from what was sent before, and from what
    Purple Dot has now."""
    about = decision.as_json()
    parcel = f"order {decision.shipment.order_number or 'without number'}, tracking {decision.shipment.tracking_number or 'none'}"
    known = repairs.find(connection, decision.delivery_id)[0] if decision.delivery_id else None
    if known is None or decision.verdict != "delivery":
        verdict = f"{decision.verdict} {decision.reason or ''}".strip() + (
            f"; {decision.detail}" if decision.detail else ""
        )
        if known is not None and decision.reason is Reason.ALREADY_DELIVERED:
            verdict = f"left alone, {known.id} stays {known.status} {known.reason or ''}".rstrip()
        return about | {"sentence": f"{parcel}: {verdict}", "body": None, "beside": []}
    story = reports.delivery_story(connection, known.id) or {}
    body = fulfillment_body(known.action())
    before = next(
        (one["request"] for one in reversed(story["attempt_history"]) if one["request"]), None
    )
    changes = differences(before, body) if before else []
    same = "the same was sent before, and not taken" if before else "nothing was sent before"
    order = next(order for order in lookup.orders if order.id == known.fulfillment_order_id)
    told = deliveries.of_orders(connection, [order.id]).get(order.id, [])
    spent = sum(
        (Counter(settle.units(other.lines)) for other in told if other.id != known.id),
        Counter[str](),
    )
    now = Counter(settle.units(known.lines))
    lines = [
        f"{line.sku or line.id}: {line.quantity} ordered, {spent[line.id]} told by us, {now[line.id]} now,"
        f" {line.quantity - spent[line.id] - now[line.id]} left"
        for line in order.lines
    ]
    beside = [
        *(f"differs from what was sent before: {change}" for change in changes),
        *([] if changes else [same]),
    ]
    beside += [
        f"{order.reference} is {order.status or 'of unknown status'} in Purple Dot now",
        *lines,
    ]
    how = (
        "would be sent"
        if known.unclear_at is None
        else "would be sent only if reading shows that it never was: this ledger is an older copy"
    )
    return about | {
        "sentence": f"{parcel}: {how}",
        "body": body,
        "sent_before": before,
        "beside": beside,
    }


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
        value = {one["id"]: one["quantity"] for one in value}
    if not isinstance(value, Mapping):
        yield path, value
    else:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
