"""What `bridge ship` marked in ShipStation, so that a second run of a file marks nothing twice."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, or_, select, update

from bridge.domain.shipments import RowResult
from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import marked_shipments as table

Key = tuple[str, str]
"""A shipment's id, and its tracking number as `normalize_tracking` writes it."""


def known(connection: Connection, keys: Sequence[Key]) -> dict[Key, tuple[str, datetime]]:
    """(marked, refused or unclear; since when) of those that an earlier run sent. One that it was
    interrupted over is unclear."""
    results: dict[Key, tuple[str, datetime]] = {}
    for start in range(0, len(keys), 400):
        chosen = select(table).where(
            table.c.shipment_id.in_([shipment_id for shipment_id, _ in keys[start : start + 400]])
        )
        rows = [row for row in connection.execute(chosen) if row.sending_at or row.status]
        results |= {
            (row.shipment_id, row.tracking_key): (
                "unclear" if row.sending_at else row.status,
                row.updated_at,
            )
            for row in rows
        }
    return {key: results[key] for key in keys if key in results}


def begin(
    connection: Connection, key: Key, *, file_name: str, again_unclear: bool, now: datetime
) -> bool:
    """Note that a row is about to be sent. False when it must not be: marked already, unclear, or
    another run is sending it."""
    intent = {"file_name": file_name, "sending_at": now, "updated_at": now}
    # An interrupted one that goes again, and then is not sent after all, must not look as if it had
    # never gone.
    was = {"status": case((table.c.sending_at.is_not(None), "unclear"), else_=table.c.status)}
    may_go = or_(
        table.c.status.is_(None),
        table.c.status.in_(["refused", "unclear"] if again_unclear else ["refused"]),
    )
    may_go = may_go if again_unclear else may_go & table.c.sending_at.is_(None)
    first = insert_on_conflict(connection, table).values(
        shipment_id=key[0], tracking_key=key[1], **intent
    )
    upsert = first.on_conflict_do_update(
        index_elements=["shipment_id", "tracking_key"], set_=intent | was, where=may_go
    )
    return connection.execute(upsert.returning(table.c.shipment_id)).first() is not None


def end(connection: Connection, key: Key, result: RowResult, *, now: datetime) -> None:
    """Keep what became of a row. One that was not sent after all stays what it was before."""
    values: dict[str, Any] = {"sending_at": None, "updated_at": now}
    if result.status != "not_sent":
        values |= {"status": result.status, "message": result.message}
    row = (table.c.shipment_id == key[0], table.c.tracking_key == key[1])
    connection.execute(update(table).where(*row).values(values))
