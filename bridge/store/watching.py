"""What the alerts ask of the ledger, by index look-ups alone."""

from datetime import datetime

from sqlalchemy import Connection, Table, select

from bridge.domain.events import EXCEPTIONS, EventStatus, Lane
from bridge.store import shared_state
from bridge.store.reports import replayed_well
from bridge.store.tables import deliveries, events

_MOST = 1000
_NEXT = "next_in_line"


def exceptions(connection: Connection) -> list[tuple[str, str]]:
    """(id, reason) of what waits for a person, the newest thousand deliveries and events."""
    found: list[tuple[str, str]] = []
    for table, statuses in ((deliveries, EXCEPTIONS), (events, [EventStatus.DEAD])):
        for status in sorted(statuses):
            open_ = [~replayed_well()] if table is events else []
            chosen = (
                select(table.c.id, table.c.reason)
                .where(table.c.status == status, *open_)
                .order_by(table.c.id.desc())
                .limit(_MOST)
            )
            found += [(row.id, row.reason or "") for row in connection.execute(chosen)]
    return found


def note_next(connection: Connection, *, now: datetime) -> None:
    """Remember which live work is due and first in line, and since when that is so: while work
    moves it is another one each time."""
    head = next(
        (
            one
            for lane in (Lane.LIVE, Lane.RETRY)
            for table in (deliveries, events)
            if (one := _due(connection, table, lane, now))
        ),
        None,
    )
    known = shared_state.get(connection, _NEXT)
    if head is None and known is not None:
        shared_state.drop(connection, _NEXT)
    elif head is not None and (known is None or known[0] != head):
        shared_state.put(connection, _NEXT, head, now=now)


def next_since(connection: Connection) -> tuple[str, datetime] | None:
    """What `note_next` saw, and since when."""
    return shared_state.get(connection, _NEXT)


def _due(connection: Connection, table: Table, lane: Lane, now: datetime) -> str | None:
    first = (
        select(table.c.id)
        .where(table.c.lane == lane, table.c.due_at <= now)
        .order_by(table.c.due_at)
        .limit(1)
    )
    return connection.execute(first).scalar_one_or_none()
