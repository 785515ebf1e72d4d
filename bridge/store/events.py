"""Events as stored: what came in, what was fetched for it, what was decided. Every function works
inside the caller's transaction."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Row,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from bridge.domain.events import Event, EventOutcome, EventStatus, Lane, Record
from bridge.domain.reasons import Reason
from bridge.store import deliveries, leases
from bridge.store.engine import wakeup
from bridge.store.engine.ids import new_id
from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import REPLAY, events, records


@dataclass(frozen=True, slots=True)
class Arrival:
    """One notification as it came in. `headers` are from an allow-list; `signature` is verified,
    unverified or none."""

    event_type: str
    body: bytes
    resource_url: str | None = None
    headers: Mapping[str, str] | None = None
    remote_address: str | None = None
    signature: str = "none"
    source: str = "shipstation"
    lane: Lane = Lane.LIVE


def pointer_of(event_type: str, resource_url: str | None, body: bytes) -> str:
    """What makes two notifications the same while the first still waits: the type and where it
    points, or else its very bytes."""
    return hashlib.sha256(
        event_type.encode() + b"\n" + (resource_url.encode() if resource_url else body)
    ).hexdigest()


def receive(connection: Connection, arrival: Arrival, *, now: datetime) -> tuple[str, bool]:
    """Store work. Returns (event id, False), or (the first's id, True) when the same pointer still
    waits: counted there, and due anew."""
    row = _row(arrival, EventStatus.RECEIVED, now)
    row["due_at"] = now
    row["waiting_pointer"] = pointer_of(arrival.event_type, arrival.resource_url, arrival.body)
    stored_id: str = connection.execute(_store_or_count(connection.dialect.name), row).scalar_one()
    return stored_id, stored_id != row["id"]


@cache
def _store_or_count(dialect_name: str) -> Executable:
    first = insert_on_conflict(dialect_name, events)
    again = {
        "duplicates": events.c.duplicates + 1,
        "last_duplicate_at": first.excluded.received_at,
        "due_at": first.excluded.due_at,
        "attempts": 0,
        "waits": 0,
    }
    upsert = first.on_conflict_do_update(index_elements=[events.c.waiting_pointer], set_=again)
    return upsert.returning(events.c.id)


def store_closed(
    connection: Connection,
    arrival: Arrival,
    *,
    status: EventStatus,
    reason: Reason,
    detail: str,
    now: datetime,
) -> str:
    """Store what is no work: an ignored type, or a body that was rejected as it came in."""
    row = _row(arrival, status, now)
    row |= {"reason": reason, "detail": _storable(detail), "processed_at": now}
    connection.execute(insert(events), row)
    return str(row["id"])


def _storable(text: str) -> str:
    """What no database stores (NUL, half a character) must not cost us the event that it is said
    of."""
    return text.encode(errors="replace").decode().replace("\0", "")


def _row(arrival: Arrival, status: EventStatus, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id("evt", now),
        "source": arrival.source,
        "event_type": arrival.event_type[:64],
        "status": status,
        "received_at": now,
        "resource_url": arrival.resource_url,
        "body": arrival.body,
        "headers": arrival.headers or {},
        "remote_address": arrival.remote_address,
        "signature": arrival.signature,
        "lane": int(arrival.lane),
        "duplicates": 0,
        "claims": 0,
        "attempts": 0,
        "waits": 0,
    }


def claim(
    connection: Connection, *, owner: str, limit: int, lease: timedelta, now: datetime
) -> list[Event]:
    """Take due events. From here on the same pointer is a new event, since its answer may be
    another one by then."""
    rows = leases.claim(
        connection,
        events,
        owner=owner,
        limit=limit,
        lease=lease,
        now=now,
        also={"waiting_pointer": None},
    )
    return [_event(row) for row in rows]


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        event_type=row.event_type,
        resource_url=row.resource_url,
        body=bytes(row.body),
        received_at=row.received_at,
        lane=Lane(row.lane),
        attempts=row.attempts,
        waits=row.waits,
        claim=row.claims,
        is_replay=row.source == REPLAY,
    )


def end(
    connection: Connection,
    ended: Sequence[tuple[Event, EventOutcome]],
    *,
    owner: str,
    now: datetime,
) -> None:
    """Write all that one try of these events led to: what was fetched, their deliveries, the end of
    each or its next time; then wake whoever waits for work. Fenced: raises LeaseLostError, and the
    transaction must be rolled back, when another worker took one over."""
    _save_records(connection, ended, now=now)
    linked = {event.id: outcome.delivery_ids for event, outcome in ended}
    deliveries.link_events(connection, linked)
    over = [
        leases.Outcome(event.id, event.claim, _ending(outcome, now))
        for event, outcome in ended
        if outcome.status is not EventStatus.RECEIVED
    ]
    leases.write_all(connection, leases.EVENTS, over, owner=owner)
    for event, outcome in ended:
        if outcome.status is EventStatus.RECEIVED:
            _go_on(connection, event, outcome, owner=owner)
    wakeup.announce(connection)


def _ending(outcome: EventOutcome, now: datetime) -> dict[str, Any]:
    """The columns of an event that is over, with every decision that was taken in it."""
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "detail": _storable(outcome.detail),
        "decisions": list(outcome.decisions),
        "processed_at": now,
        "due_at": None,
        "owner": None,
        "waiting_pointer": None,
    }


def _go_on(connection: Connection, event: Event, outcome: EventOutcome, *, owner: str) -> None:
    """At its next time, or with the worker that has it."""
    if outcome.due_at is None:
        leases.fence(connection, leases.EVENTS, row_id=event.id, owner=owner, claim=event.claim)
        return
    postpone(
        connection,
        event,
        owner=owner,
        at=outcome.due_at,
        throttled_by=outcome.throttled_by,
        attempts=outcome.attempts,
        waits=outcome.waits,
        detail=outcome.detail,
    )


def revive(connection: Connection, event_id: str, *, now: datetime) -> bool:
    """Make a dead event work again, from its first try on; False, and nothing is changed, for an
    event that isn't dead."""
    values = {
        "status": EventStatus.RECEIVED,
        "reason": None,
        "detail": None,
        "processed_at": None,
        "attempts": 0,
        "waits": 0,
    }
    dead = (events.c.id == event_id, events.c.status == EventStatus.DEAD)
    again = update(events).where(*dead).values(values | {"due_at": now, "lane": int(Lane.RETRY)})
    return connection.execute(again).rowcount == 1


def postpone(
    connection: Connection,
    event: Event,
    *,
    owner: str,
    at: datetime,
    attempts: int,
    waits: int,
    detail: str,
    throttled_by: str | None = None,
) -> None:
    """Put an event off until `at`. The same pointer counts on it again, unless a newer event
    already waits for that. Fenced."""
    values = {
        "due_at": at,
        "throttled_by": throttled_by,
        "owner": None,
        "attempts": attempts,
        "waits": waits,
        "detail": _storable(detail)[:1000],
    }
    leases.write(connection, events, row_id=event.id, owner=owner, claim=event.claim, values=values)
    pointer = pointer_of(event.event_type, event.resource_url, event.body)
    other = events.alias()
    free = ~exists(select(other.c.id).where(other.c.waiting_pointer == pointer))
    live = (
        events.c.source != REPLAY
    )  # What comes in meanwhile is work of its own: a replay may be at work with what is stored.
    with (
        suppress(IntegrityError),
        connection.begin_nested(),
    ):  # Raised on PostgreSQL where the newer one comes in at this very moment.
        connection.execute(
            update(events)
            .where(events.c.id == event.id, live, free)
            .values(waiting_pointer=pointer)
        )


def _save_records(
    connection: Connection, ended: Sequence[tuple[Event, EventOutcome]], *, now: datetime
) -> None:
    """Keep what was fetched beside its event; a newer fetch replaces the older."""
    fetched_for: list[str] = []
    rows: list[dict[str, Any]] = []
    for event, outcome in ended:
        if outcome.records is None:
            continue
        fetched_for.append(event.id)
        rows += [
            {
                "event_id": event.id,
                "fetched_at": outcome.fetched_at or now,
                "kind": record.kind,
                "record_id": record.record_id,
                "body": record.body,
            }
            for record in outcome.records
        ]
    if fetched_for:
        connection.execute(_FORGET_RECORDS, {"ids": fetched_for})
    if rows:
        connection.execute(insert(records), rows)


_FORGET_RECORDS = delete(records).where(records.c.event_id.in_(bindparam("ids", expanding=True)))


def load(connection: Connection, event_id: str) -> Event:
    """One event as the worker would get it."""
    return _event(connection.execute(select(events).where(events.c.id == event_id)).one())


def fetched_at(connection: Connection, event_id: str) -> datetime | None:
    """When the records of an event were fetched; None where there are none."""
    return connection.execute(
        select(records.c.fetched_at).where(records.c.event_id == event_id).limit(1)
    ).scalar_one_or_none()


def records_of(connection: Connection, event_id: str) -> list[Record]:
    """What was fetched for an event, in the vendor's order."""
    rows = connection.execute(
        select(records).where(records.c.event_id == event_id).order_by(records.c.id)
    )
    return [Record(kind=row.kind, record_id=row.record_id, body=row.body) for row in rows]
