"""Claims as leases with a fencing token, the same for events and deliveries.

`due_at` is one column for two things: when work may start, and until when it is taken. A claim moves it by the lease and
counts `claims` up; an outcome is written only by the owner of the newest claim. Work whose owner died is simply due again.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, func, select, union_all, update

from bridge.errors import LeaseLostError
from bridge.events import Lane
from bridge.store.tables import deliveries, events

Queue = Table
EVENTS: Queue = events
DELIVERIES: Queue = deliveries
QUEUES = (DELIVERIES, EVENTS)

# Asked at every turn of the loop, so they are built once.
_DUE = {
    queue.name: select(queue.c.id)
    .where(queue.c.lane == bindparam("lane"), queue.c.due_at <= bindparam("now"))
    .order_by(queue.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    for queue in QUEUES
}
_EARLIEST = union_all(
    *(select(func.min(q.c.due_at).label("due_at")).where(q.c.lane == int(lane)) for q in QUEUES for lane in Lane)
).subquery()
_NEXT_DUE = select(func.min(_EARLIEST.c.due_at))


def claim(
    connection: Connection, queue: Queue, *, owner: str, limit: int, lease: timedelta, now: datetime, also: Mapping[str, Any] | None = None
) -> list[Row[Any]]:
    """Take up to `limit` due rows, best lane first. Rows that another transaction holds are passed over (PostgreSQL)."""
    ids = _due_ids(connection, queue, limit=limit, now=now) if limit else []
    if not ids:
        return []
    taken = (
        update(queue)
        .where(queue.c.id.in_(ids), queue.c.due_at <= now)
        .values(owner=owner, due_at=now + lease, claims=queue.c.claims + 1, **(also or {}))
        .returning(queue)
    )
    return sorted(connection.execute(taken), key=lambda row: (row.lane, row.id))


def _due_ids(connection: Connection, queue: Queue, *, limit: int, now: datetime) -> list[str]:
    ids: list[str] = []
    for lane in Lane:
        ids += connection.execute(_DUE[queue.name], {"lane": int(lane), "now": now, "most": limit - len(ids)}).scalars()
        if len(ids) >= limit:
            break
    return ids


def write(connection: Connection, queue: Queue, *, row_id: str, owner: str, claim: int, values: Mapping[str, Any]) -> None:
    """Record an outcome, fenced. Raises LeaseLostError, and writes nothing, when someone else took the work over."""
    mine = (queue.c.id == row_id, queue.c.owner == owner, queue.c.claims == claim, queue.c.due_at.is_not(None))
    if connection.execute(update(queue).where(*mine).values(**values)).rowcount != 1:
        raise LeaseLostError(f"{row_id} was taken over by another worker; this outcome is not written")


def fence(connection: Connection, queue: Queue, *, row_id: str, owner: str, claim: int) -> None:
    """Make sure, at the start of a longer transaction, that the work is still ours. Raises LeaseLostError."""
    write(connection, queue, row_id=row_id, owner=owner, claim=claim, values={"owner": owner})


def renew(connection: Connection, queue: Queue, *, held: Collection[tuple[str, int]], owner: str, until: datetime) -> None:
    """Keep what really runs in this process: (id, claim) pairs."""
    for row_id, taken in held:
        mine = (queue.c.id == row_id, queue.c.owner == owner, queue.c.claims == taken, queue.c.due_at.is_not(None))
        connection.execute(update(queue).where(*mine).values(due_at=until))


def take_back(connection: Connection, *, owner: str, now: datetime) -> int:
    """Make due at once whatever an earlier process of this name still held; returns how many rows."""
    count = 0
    for queue in QUEUES:
        held = update(queue).where(queue.c.owner == owner, queue.c.due_at > now, queue.c.claims > 0).values(due_at=now, owner=None)
        count += connection.execute(held).rowcount
    return count


def next_due(connection: Connection) -> datetime | None:
    """When the earliest row of either queue becomes due; None when there is nothing to wait for. Index look-ups only."""
    return connection.execute(_NEXT_DUE).scalar()
