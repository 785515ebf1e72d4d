"""What the sweep asks of the database, what it enqueues, and how each sweep ended. Every function
works inside the caller's transaction."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from bridge.domain.deliveries import Delivery
from bridge.domain.events import EventStatus, Lane, Record
from bridge.store import events, shared_state
from bridge.store.deliveries import load
from bridge.store.engine import wakeup
from bridge.store.engine.ids import new_id
from bridge.store.events import Arrival
from bridge.store.tables import deliveries, records, sweeps
from bridge.store.tables import events as event_rows

SOURCE = "sweep"
"""The source of events that the sweep enqueued."""
_UNEVENTFUL_FOR = timedelta(days=30)
_MOST_FORGOTTEN = 500
_IDS_A_STATEMENT = 400


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """An event to enqueue: it asks for `resource_url`, to have the records `about` (kind, id, and
    the parcel's key). `why` is missed (no webhook reported them), finished (they were not, when one
    did) or voided (after something of ours stood for them)."""

    why: str
    event_type: str
    resource_url: str
    about: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record that an event brought. `is_work` while that event is not at its end."""

    event_id: str
    event_type: str
    is_work: bool
    record: Record


def records_since(connection: Connection, since: datetime) -> Iterator[StoredRecord]:
    """The records of all events that came in since, event by event, each event's in the vendor's
    order."""
    chosen = select(records, event_rows.c.event_type, event_rows.c.status).join(event_rows)
    chosen = chosen.where(records.c.event_id >= new_id("evt", since)[:16]).order_by(
        records.c.event_id, records.c.id
    )  # Ids sort by time.
    for row in connection.execute(chosen, execution_options={"yield_per": 500}):
        is_work = row.status == EventStatus.RECEIVED
        yield StoredRecord(
            row.event_id, row.event_type, is_work, Record(row.kind, row.record_id, row.body)
        )


def in_work(connection: Connection, since: datetime) -> list[tuple[str, str, str]]:
    """What earlier sweeps enqueued and is still work, or waits for a person: (kind, id, key) of
    each record."""
    open_ends = event_rows.c.status.in_([EventStatus.RECEIVED, EventStatus.DEAD])
    bodies = select(event_rows.c.body).where(
        event_rows.c.id >= new_id("evt", since)[:16], event_rows.c.source == SOURCE, open_ends
    )
    about: list[tuple[str, str, str]] = []
    for body in connection.execute(bodies).scalars():
        # One that was redacted says nothing any more.
        with suppress(ValueError, LookupError, TypeError):
            records = json.loads(bytes(body))["about"]
            about += [(kind, record_id, key) for kind, record_id, key in records]
    return about


def enqueue(
    connection: Connection, missed: Sequence[FoundEvent], *, now: datetime
) -> list[FoundEvent]:
    """Let each in as if its webhook had come, in the lowest lane. What waits under the same pointer
    already is left as it is; returns the others."""
    pointers = {
        events.pointer_of(event.event_type, event.resource_url, b""): event for event in missed
    }
    query = select(event_rows.c.waiting_pointer).where(
        event_rows.c.waiting_pointer.in_(sorted(pointers))
    )
    waiting = set(connection.execute(query).scalars())
    enqueued: list[FoundEvent] = []
    for pointer, event in pointers.items():
        # Where the pointer waits after all, another sweep was faster.
        if pointer not in waiting and _receive(connection, event, now):
            enqueued.append(event)
    if enqueued:
        wakeup.announce(connection)
    return enqueued


def _receive(connection: Connection, event: FoundEvent, now: datetime) -> bool:
    body = {
        "resource_url": event.resource_url,
        "resource_type": event.event_type,
        "about": event.about,
    }
    arrival = Arrival(
        event.event_type,
        json.dumps(body).encode(),
        event.resource_url,
        source=SOURCE,
        lane=Lane.SWEEP,
    )
    _event_id, is_duplicate = events.receive(connection, arrival, now=now)
    return not is_duplicate


def start(
    connection: Connection, *, started_by: str, looked_back_to: datetime, now: datetime
) -> int:
    """A sweep begins; its number. Old ones that missed nothing are forgotten, so that adding up
    stays cheap."""
    old = connection.execute(
        select(sweeps.c.id, sweeps.c.counts).where(sweeps.c.started_at < now - _UNEVENTFUL_FOR)
    ).all()
    uneventful = [row.id for row in old if not _missed_something(row.counts)]
    connection.execute(delete(sweeps).where(sweeps.c.id.in_(uneventful[:_MOST_FORGOTTEN])))
    row = {
        "started_by": started_by,
        "started_at": now,
        "looked_back_to": looked_back_to,
        "outcome": "running",
        "counts": {},
    }
    number: int = connection.execute(insert(sweeps).values(row).returning(sweeps.c.id)).scalar_one()
    return number


def _missed_something(counts: Mapping[str, Mapping[str, int]]) -> bool:
    return any(of_type["missed"] for of_type in counts.values())


def note(connection: Connection, number: int, counts: Mapping[str, Mapping[str, int]]) -> None:
    """What was counted so far, in the transaction of what was enqueued: so each missed shipment is
    counted once, kill or no kill."""
    connection.execute(update(sweeps).where(sweeps.c.id == number).values(counts=counts))


def end(
    connection: Connection, number: int, outcome: str, *, detail: str | None, now: datetime
) -> None:
    """`outcome` is done, failed or stopped."""
    connection.execute(
        update(sweeps)
        .where(sweeps.c.id == number)
        .values(outcome=outcome, detail=detail, finished_at=now)
    )


def last(connection: Connection) -> dict[str, Any] | None:
    """The newest sweep, with its columns, times as ISO text; None when there was none."""
    newest = select(sweeps).order_by(sweeps.c.id.desc()).limit(1)
    row = connection.execute(newest).mappings().one_or_none()
    if row is None:
        return None
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def covered_until(connection: Connection, started_by: str) -> datetime | None:
    """When the newest sweep began that came to its end; None when there was none."""
    done = select(sweeps.c.started_at).where(
        sweeps.c.started_by == started_by, sweeps.c.outcome == "done"
    )
    return connection.execute(done.order_by(sweeps.c.id.desc()).limit(1)).scalar()


def born_at(connection: Connection, *, now: datetime) -> datetime:
    """When a worker first thought of sweeping this database; `now` where that was never noted, or
    by a clock that was ahead: until that moment every sweep would look at nothing."""
    noted = shared_state.get(connection, shared_state.SWEEPS_SINCE)
    born = datetime.fromisoformat(noted[0]["at"]) if noted is not None else None
    if born is not None and born <= now:
        return born
    shared_state.put(connection, shared_state.SWEEPS_SINCE, {"at": now.isoformat()}, now=now)
    return now


def missed(connection: Connection, *, since: datetime | None = None) -> Counter[str]:
    """How many shipments no webhook reported, by the event type that should have, as the sweeps
    since then found; or all sweeps."""
    query = select(sweeps.c.counts)
    if since is not None:
        query = query.where(sweeps.c.started_at >= since)
    total: Counter[str] = Counter()
    for counts in connection.execute(query).scalars():
        total.update({event_type: of_type["missed"] for event_type, of_type in counts.items()})
    return total


def references_since(connection: Connection, since: datetime) -> list[str]:
    """The references of all orders for which a delivery was made since."""
    named = (
        deliveries.c.created_at >= since,
        deliveries.c.fulfillment_order_id.is_not(None),
        deliveries.c.reference.is_not(None),
    )
    query = select(deliveries.c.reference).where(*named).distinct()
    return list(connection.execute(query).scalars())


def all_of_orders(connection: Connection, order_ids: Collection[str]) -> dict[str, list[Delivery]]:
    """Every delivery of each of these orders, whatever its status."""
    ids = sorted(order_ids)
    grouped: defaultdict[str, list[Delivery]] = defaultdict(list)
    for at in range(0, len(ids), _IDS_A_STATEMENT):
        chosen = deliveries.c.fulfillment_order_id.in_(ids[at : at + _IDS_A_STATEMENT])
        rows = connection.execute(select(deliveries).where(chosen)).all()
        for delivery in load(connection, rows):
            grouped[str(delivery.fulfillment_order_id)].append(delivery)
    return grouped
