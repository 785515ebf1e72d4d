"""A ledger that was put back from an older copy has forgotten what was told since: that goes out
only after reading, like a lost answer."""

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection, exists, select, update

from bridge.domain.deliveries import Attempt, Delivery
from bridge.domain.events import CLAIMABLE, DeliveryStatus, Trigger
from bridge.store import attempts, notes
from bridge.store.tables import deliveries, delivery_lines

_NOTE = "put_back"
_WHY = "this ledger was put back from an older copy, so it may have been told already"


def take_into_use(connection: Connection, *, now: datetime) -> int | None:
    """What a worker does before anything else: a SQLite file that bears the mark of `bridge backup`
    was just put back. Returns what `note` does, or None for any other ledger."""
    minutes = (
        connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if connection.dialect.name == "sqlite"
        else 0
    )
    if not minutes:
        return None
    connection.exec_driver_sql("PRAGMA user_version=0")
    return note(connection, copied_at=datetime.fromtimestamp(minutes * 60, UTC), now=now)


def note(connection: Connection, *, copied_at: datetime | None, now: datetime) -> int:
    """Remember that the ledger was put back now. What waits in it to be told may have been told
    meanwhile: returns how many those are."""
    notes.put(
        connection, _NOTE, {"copied_at": copied_at.isoformat() if copied_at else None}, now=now
    )
    has_lines = exists().where(delivery_lines.c.delivery_id == deliveries.c.id)
    waiting = (
        connection.execute(
            select(deliveries.c.id).where(deliveries.c.status.in_(list(CLAIMABLE)), has_lines)
        )
        .scalars()
        .all()
    )
    for delivery_id in waiting:
        _doubt(connection, delivery_id, now=now)
    return len(waiting)


def last(connection: Connection) -> datetime | None:
    """When this ledger was last put back from a copy."""
    told = notes.get(connection, _NOTE)
    return told[1] if told else None


def doubt(connection: Connection, delivery: Delivery, *, now: datetime) -> Delivery:
    """Let a delivery begin as one whose answer was lost: it is settled by reading, and only then
    posted, or held for a person."""
    _doubt(connection, delivery.id, now=now)
    return replace(delivery, posting_at=now, unclear_at=now, looks=0)


def _doubt(connection: Connection, delivery_id: str, *, now: datetime) -> None:
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id)
        .values(posting_at=now, unclear_at=now, looks=0)
    )
    attempts.add(
        connection,
        delivery_id,
        Attempt(0, Trigger.LIVE, now, now, DeliveryStatus.UNCONFIRMED, _WHY),
    )
