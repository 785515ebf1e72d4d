"""What the sweep asks of the ledger, what it feeds in, and how each sweep ended. Every function works inside the caller's transaction."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from bridge.events import CLAIMABLE, EXCEPTIONS, DeliveryStatus, EventStatus, Lane, Record
from bridge.store import events, wake
from bridge.store.events import Arrival
from bridge.store.ids import new_id
from bridge.store.tables import deliveries, delivery_lines, records, sweeps
from bridge.store.tables import events as event_rows

SOURCE = "sweep"
"""The source of events that the sweep fed in."""
Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """An event to feed in: it asks for `resource_url`, to have the records `about` (kind, id, and the parcel's mark). `why` is missed (no
    webhook told of them), finished (they were not, when one told of them) or voided (after something of ours stood for them)."""

    why: str
    event_type: str
    resource_url: str
    about: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A record that an event brought. `is_work` while that event is not at its end."""

    event_id: str
    event_type: str
    is_work: bool
    record: Record


def told_since(connection: Connection, since: datetime) -> Iterator[Told]:
    """The records of all events that came in since, event by event, each event's in the vendor's order."""
    chosen = select(records, event_rows.c.event_type, event_rows.c.status).join(event_rows)
    chosen = chosen.where(records.c.event_id >= new_id("evt", since)[:16]).order_by(records.c.event_id, records.c.id)  # Ids sort by time.
    for row in connection.execute(chosen, execution_options={"yield_per": 500}):
        is_work = row.status == EventStatus.RECEIVED
        yield Told(row.event_id, row.event_type, is_work, Record(row.kind, row.record_id, row.body))


def in_work(connection: Connection, since: datetime) -> list[tuple[str, str, str]]:
    """What earlier sweeps fed in and is still work, or waits for a person: (kind, id, mark) of each record."""
    open_ends = event_rows.c.status.in_([EventStatus.RECEIVED, EventStatus.DEAD])
    fed = select(event_rows.c.body).where(event_rows.c.id >= new_id("evt", since)[:16], event_rows.c.source == SOURCE, open_ends)
    about: list[tuple[str, str, str]] = []
    for body in connection.execute(fed).scalars():
        with suppress(ValueError, LookupError, TypeError):  # One that was redacted tells nothing any more.
            about += [(kind, record_id, mark) for kind, record_id, mark in json.loads(bytes(body))["about"]]
    return about


def feed(connection: Connection, found: Sequence[Found], *, now: datetime) -> list[Found]:
    """Let each in as if its webhook had come, in the lowest lane. What waits under the same pointer already is left as it is; returns
    the others."""
    pointers = {events.pointer_of(one.event_type, one.resource_url, b""): one for one in found}
    waiting = select(event_rows.c.waiting_pointer).where(event_rows.c.waiting_pointer.in_(sorted(pointers)))
    there = set(connection.execute(waiting).scalars())
    fed = [one for pointer, one in pointers.items() if pointer not in there]
    for one in fed:
        body = json.dumps({"resource_url": one.resource_url, "resource_type": one.event_type, "about": one.about}).encode()
        events.receive(connection, Arrival(one.event_type, body, one.resource_url, source=SOURCE, lane=Lane.SWEEP), now=now)
    if fed:
        wake.announce(connection)
    return fed


def start(connection: Connection, *, started_by: str, looked_back_to: datetime, now: datetime) -> int:
    """A sweep begins; its number."""
    row = {"started_by": started_by, "started_at": now, "looked_back_to": looked_back_to, "outcome": "running", "counts": {}}
    number: int = connection.execute(insert(sweeps).values(row).returning(sweeps.c.id)).scalar_one()
    return number


def note(connection: Connection, number: int, counts: Counts) -> None:
    """What was counted so far, in the transaction of what was fed in: so each missed shipment is counted once, kill or no kill."""
    connection.execute(update(sweeps).where(sweeps.c.id == number).values(counts=counts))


def end(connection: Connection, number: int, outcome: str, *, detail: str | None, now: datetime) -> None:
    """`outcome` is done, failed or stopped."""
    connection.execute(update(sweeps).where(sweeps.c.id == number).values(outcome=outcome, detail=detail, finished_at=now))


def last(connection: Connection) -> dict[str, Any] | None:
    """The newest sweep, with its columns; None when there was none."""
    row = connection.execute(select(sweeps).order_by(sweeps.c.id.desc()).limit(1)).mappings().one_or_none()
    return dict(row) if row else None


def brief(connection: Connection) -> dict[str, Any] | None:
    """How the newest sweep stands, for JSON; None when there was none."""
    row = last(connection)
    return row and {name: str(row[name]) if row[name] else None for name in ("outcome", "started_at", "finished_at", "detail")}


def covered_until(connection: Connection, started_by: str) -> datetime | None:
    """When the newest sweep began that came to its end; None when there was none."""
    done = select(sweeps.c.started_at).where(sweeps.c.started_by == started_by, sweeps.c.outcome == "done")
    return connection.execute(done.order_by(sweeps.c.id.desc()).limit(1)).scalar()


def missed(connection: Connection) -> Mapping[str, int]:
    """How many shipments no webhook told of, by the event type that should have, since the first sweep."""
    total: Counter[str] = Counter()
    for counts in connection.execute(select(sweeps.c.counts)).scalars():
        total.update({event_type: told["missed"] for event_type, told in counts.items() if told["missed"]})
    return total


@dataclass(frozen=True, slots=True)
class Standing:
    """How one fulfillment order stands in the ledger: `units` that were delivered of each line, and what they can't tell."""

    units: Mapping[str, int]
    is_open: bool
    is_settled_by_hand: bool
    delivered_at: datetime | None


def references_since(connection: Connection, since: datetime) -> list[str]:
    """The references of all orders for which a delivery was made since."""
    named = deliveries.c.created_at >= since, deliveries.c.fulfillment_order_id.is_not(None), deliveries.c.reference.is_not(None)
    return list(connection.execute(select(deliveries.c.reference).where(*named).distinct()).scalars())


def standings(connection: Connection, order_ids: Collection[str]) -> dict[str, Standing]:
    """Of each of these orders that has any delivery."""
    ids, rows = sorted(order_ids), list[Row[Any]]()
    for at in range(0, len(ids), 400):
        chosen = select(deliveries, delivery_lines.c.line_item_id, delivery_lines.c.quantity).outerjoin(delivery_lines)
        rows += connection.execute(chosen.where(deliveries.c.fulfillment_order_id.in_(ids[at : at + 400]))).all()
    by_order: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_order[row.fulfillment_order_id].append(row)
    return {order_id: _standing(of_order) for order_id, of_order in by_order.items()}


def _standing(rows: Sequence[Row[Any]]) -> Standing:
    delivered, units = [row for row in rows if row.status == DeliveryStatus.DELIVERED], Counter[str]()
    for row in delivered:
        units[row.line_item_id or ""] += row.quantity or 0
    is_open = any(row.status in CLAIMABLE | EXCEPTIONS for row in rows)
    last = max((row.delivered_at for row in delivered if row.delivered_at), default=None)
    return Standing(units, is_open, any(row.line_item_id is None for row in delivered), last)
