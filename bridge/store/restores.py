"""A database that was restored from an older copy has forgotten what was posted since: that goes
out only after reading, like a lost answer."""

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection, exists, select, update

from bridge.domain.deliveries import Attempt, Delivery
from bridge.domain.events import CLAIMABLE, DeliveryStatus, Trigger
from bridge.store import attempts, shared_state
from bridge.store.tables import deliveries, delivery_lines

_NOTE = "put_back"
_WHY = "this database was restored from an older copy, so it may have been posted already"


def detect_restored_backup(connection: Connection, *, now: datetime) -> int | None:
    """What a worker does before anything else: a SQLite file that bears the stamp of `bridge
    backup` was just restored. Returns what `note` does, or None for any other database."""
    if connection.dialect.name != "sqlite":
        return None
    minutes = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if not minutes:
        return None
    connection.exec_driver_sql("PRAGMA user_version=0")
    return note(connection, copied_at=datetime.fromtimestamp(minutes * 60, UTC), now=now)


def note(connection: Connection, *, copied_at: datetime | None, now: datetime) -> int:
    """Remember that the database was restored now. What waits in it to be posted may have been
    posted meanwhile: returns how many those are."""
    value = {"copied_at": copied_at.isoformat() if copied_at else None}
    shared_state.put(connection, _NOTE, value, now=now)
    has_lines = exists().where(delivery_lines.c.delivery_id == deliveries.c.id)
    query = select(deliveries.c.id).where(deliveries.c.status.in_(list(CLAIMABLE)), has_lines)
    waiting = connection.execute(query).scalars().all()
    for delivery_id in waiting:
        _mark_unclear(connection, delivery_id, now=now)
    return len(waiting)


def last(connection: Connection) -> datetime | None:
    """When this database was last restored from a copy."""
    restored = shared_state.get(connection, _NOTE)
    return restored[1] if restored else None


def mark_unclear(connection: Connection, delivery: Delivery, *, now: datetime) -> Delivery:
    """Let a delivery begin as one whose answer was lost: it is settled by reading, and only then
    posted, or held for a person."""
    _mark_unclear(connection, delivery.id, now=now)
    return replace(delivery, posting_at=now, unclear_at=now, looks=0)


def _mark_unclear(connection: Connection, delivery_id: str, *, now: datetime) -> None:
    values = {"posting_at": now, "unclear_at": now, "looks": 0}
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))
    attempt = Attempt(0, Trigger.LIVE, now, now, DeliveryStatus.UNCONFIRMED, _WHY)
    attempts.add(connection, delivery_id, attempt)
