"""What was resolved long ago is redacted: texts go; ids, mapping, counts, reasons and decisions
stay. Exceptions are never touched."""

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, delete, exists, null, select, update

from bridge.store.engine.database import Database
from bridge.store.tables import (
    RESOLVED_DELIVERY,
    RESOLVED_EVENT,
    attempts,
    deliveries,
    event_deliveries,
    events,
    records,
)

log = structlog.get_logger(__name__)

_BATCH = 100
_PAGES = 200
_PAUSE = 0.02
"""Seconds between two batches, in which whoever waits for the database has its turn."""

_OF_NO_MORE_USE: dict[str, Any] = {
    "clues": [],
    "items": [],
    "carrier_name": None,
    "tracking_url": None,
}
"""Of a shipment: what only decided its order, its lines and its link, which stand beside it. The
rest still recognizes the parcel."""


def forget(database: Database, age: timedelta, stopping: threading.Event) -> None:
    """Redact what was resolved longer than `age` ago, until nothing is left or `stopping` is set;
    then give free pages back (SQLite)."""
    redacted: Counter[str] = Counter()
    for step in (
        redact_deliveries,
        redact_events,
    ):  # In this order: an event goes once all of its deliveries have gone.
        while not stopping.wait(_PAUSE):
            with database.begin(durable=False) as connection:
                if database.is_sqlite:  # What is deleted is overwritten, also where it lay.
                    connection.exec_driver_sql("PRAGMA secure_delete=ON")
                now = database.now(connection)
                count = step(connection, now - age, now)
            redacted[step.__name__.removeprefix("redact_")] += count
            if count < _BATCH:
                break
    _shrink(database, stopping)
    if redacted.total():
        log.info("redacted", older_than_days=age.days, **redacted)


def redact_deliveries(connection: Connection, before: datetime, now: datetime) -> int:
    """One batch of deliveries that stand as delivered or cancelled since `before`, with their
    attempts; returns how many."""
    old = select(deliveries.c.id, deliveries.c.shipment).where(
        RESOLVED_DELIVERY, deliveries.c.updated_at < before
    )
    rows = connection.execute(
        old.order_by(deliveries.c.updated_at).limit(_BATCH).with_for_update(skip_locked=True)
    ).all()
    if rows:
        cut = (
            update(deliveries)
            .where(deliveries.c.id == bindparam("old"))
            .values(shipment=bindparam("kept"), detail=None, resolved_from=null(), redacted_at=now)
        )
        connection.execute(
            cut, [{"old": row.id, "kept": row.shipment | _OF_NO_MORE_USE} for row in rows]
        )
        texts = {"request": null(), "answer": None, "detail": None}
        connection.execute(
            update(attempts)
            .where(attempts.c.delivery_id.in_([row.id for row in rows]))
            .values(texts)
        )
    return len(rows)


def redact_events(connection: Connection, before: datetime, now: datetime) -> int:
    """One batch of events that ended before `before` and whose deliveries, if any, are all
    redacted; returns how many."""
    behind = event_deliveries.join(deliveries, event_deliveries.c.delivery_id == deliveries.c.id)
    is_open = (
        exists()
        .select_from(behind)
        .where(event_deliveries.c.event_id == events.c.id, deliveries.c.redacted_at.is_(None))
    )
    old = (
        select(events.c.id)
        .where(RESOLVED_EVENT, events.c.processed_at < before, ~is_open)
        .order_by(events.c.processed_at)
        .limit(_BATCH)
    )
    ids = connection.execute(old.with_for_update(skip_locked=True)).scalars().all()
    if ids:
        gone: dict[str, Any] = {
            "body": b"",
            "headers": {},
            "remote_address": None,
            "redacted_at": now,
        }
        connection.execute(update(events).where(events.c.id.in_(ids)).values(gone))
        connection.execute(delete(records).where(records.c.event_id.in_(ids)))
    return len(ids)


def _shrink(database: Database, stopping: threading.Event) -> None:
    """Hand free pages back to the disk, some at a time. A file made without auto_vacuum keeps them
    and fills them again. https://www.sqlite.org/pragma.html#pragma_incremental_vacuum"""
    while database.is_sqlite and not stopping.wait(_PAUSE):
        with database.begin(durable=False) as connection:
            mode, free = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("auto_vacuum", "freelist_count")
            )
            if not free or mode != 2:
                return
            for _page in range(
                min(free, _PAGES)
            ):  # Python's driver takes one step of this statement, which is one page.
                connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
