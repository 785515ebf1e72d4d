"""Claims as leases with a fencing token, the same for events and deliveries.

`due_at` is one column for two things: when work may start, and until when it is taken. A claim
moves it by the lease and counts `claims` up; an outcome is written only by the owner of the newest
claim. Work whose owner died is simply due again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Table,
    Update,
    bindparam,
    case,
    func,
    literal_column,
    select,
    union_all,
    update,
)

from bridge.domain.errors import LeaseLostError
from bridge.domain.events import DeliveryStatus, EventStatus, Lane
from bridge.domain.reasons import Reason
from bridge.store.engine import wakeup
from bridge.store.tables import deliveries, events

Queue = Table
EVENTS: Queue = events
DELIVERIES: Queue = deliveries
QUEUES = (DELIVERIES, EVENTS)
MOST_FAILED_RUNS = 5
_NAMED_IDS = 5

_DUE = {
    queue.name: select(queue.c.id)
    .where(queue.c.lane == bindparam("lane"), queue.c.due_at <= bindparam("now"))
    .order_by(queue.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    for queue in QUEUES
}
_CLAIM = {
    queue.name: update(queue)
    .where(
        queue.c.id.in_(bindparam("ids", expanding=True)),
        queue.c.due_at <= bindparam("due_by"),
    )
    .values(claims=queue.c.claims + 1)
    .returning(queue)
    for queue in QUEUES
}
WRITE: dict[str, Update] = {
    queue.name: update(queue).where(
        queue.c.id == bindparam("row_id"),
        queue.c.owner == bindparam("of_owner"),
        queue.c.claims == bindparam("of_claim"),
        queue.c.due_at.is_not(None),
    )
    for queue in QUEUES
}
"""Both set what else is given when they are executed, so that each has one text for each set of
columns."""
_HELD = {
    queue.name: select(queue.c.id, queue.c.claims)
    .where(
        queue.c.id.in_(bindparam("ids", expanding=True)),
        queue.c.owner == bindparam("of_owner"),
        queue.c.due_at.is_not(None),
    )
    .order_by(queue.c.id)
    .with_for_update()
    for queue in QUEUES
}
_EARLIEST = union_all(
    *(
        select(
            literal_column(f"'{queue.name}'").label("queue"),
            literal_column(str(int(lane))).label("lane"),
            func.min(queue.c.due_at).label("due_at"),
        ).where(queue.c.lane == literal_column(str(int(lane))))
        for queue in QUEUES
        for lane in Lane
    )
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one claimed row: columns and their new values."""

    row_id: str
    claim: int
    values: Mapping[str, Any]


def claim(
    connection: Connection,
    queue: Queue,
    *,
    owner: str,
    limit: int,
    lease: timedelta,
    now: datetime,
    also: Mapping[str, Any] | None = None,
) -> list[Row[Any]]:
    """Take up to `limit` due rows, best lane first. Rows that another transaction holds are passed
    over (PostgreSQL)."""
    ids = _due_ids(connection, queue, limit=limit, now=now) if limit > 0 else []
    if not ids:
        return []
    values = {"ids": ids, "due_by": now, "owner": owner, "due_at": now + lease, **(also or {})}
    claimed = connection.execute(_CLAIM[queue.name], values).all()
    return sorted(claimed, key=lambda row: (row.lane, row.id))


def _due_ids(connection: Connection, queue: Queue, *, limit: int, now: datetime) -> list[str]:
    ids: list[str] = []
    for lane in Lane:
        values = {"lane": int(lane), "now": now, "most": limit - len(ids)}
        ids += connection.execute(_DUE[queue.name], values).scalars()
        if len(ids) >= limit:
            break
    return ids


def write(
    connection: Connection,
    queue: Queue,
    *,
    row_id: str,
    owner: str,
    claim: int,
    values: Mapping[str, Any],
    statement: Update | None = None,
) -> None:
    """Record an outcome, fenced. Raises LeaseLostError, and writes nothing, when someone else took
    the work over. `statement` is one of WRITE, with more that it sets by itself."""
    is_mine = write_if(
        connection,
        WRITE[queue.name] if statement is None else statement,
        Outcome(row_id, claim, values),
        owner=owner,
    )
    if not is_mine:
        raise LeaseLostError(
            f"{row_id} was taken over by another worker; this outcome is not written"
        )


def write_if(connection: Connection, statement: Update, outcome: Outcome, *, owner: str) -> bool:
    """Record an outcome where `statement`, one of WRITE with further conditions, still finds its
    row; False, and nothing is written, where it doesn't."""
    return connection.execute(statement, _row(outcome, owner)).rowcount == 1


def write_all(
    connection: Connection, queue: Queue, outcomes: Sequence[Outcome], *, owner: str
) -> None:
    """Record the outcomes of several rows in one statement, each fenced; all set the same columns.
    Raises LeaseLostError, and the transaction must be rolled back, when someone else took one of
    them over."""
    if not outcomes:
        return
    rows = [_row(outcome, owner) for outcome in outcomes]
    if connection.execute(WRITE[queue.name], rows).rowcount != len(rows):
        ids = ", ".join(outcome.row_id for outcome in outcomes[:_NAMED_IDS])
        raise LeaseLostError(
            f"another worker took over at least one of these, so none is written: {ids}"
        )


def _row(outcome: Outcome, owner: str) -> dict[str, Any]:
    mine = {"row_id": outcome.row_id, "of_owner": owner, "of_claim": outcome.claim}
    return {**mine, "failed_runs": 0, "throttled_by": None, **outcome.values}


def note_failed_run(
    connection: Connection,
    queue: Queue,
    *,
    row_id: str,
    owner: str,
    claim: int,
    error: str,
    now: datetime,
) -> bool:
    """A run of this work ended by an error that nobody foresaw, such as a value that the database
    refuses: it is tried again when its lease is over, and after a few such runs it is dead, with
    `error` in its story. True when it is dead now, or held where its request may have arrived.
    Fenced."""
    mine = (queue.c.id == row_id, queue.c.owner == owner, queue.c.claims == claim)
    counted = update(queue).where(*mine).values(failed_runs=queue.c.failed_runs + 1)
    failed_runs = connection.execute(counted.returning(queue.c.failed_runs)).scalar_one_or_none()
    if failed_runs is None or failed_runs < MOST_FAILED_RUNS:
        return False
    detail = f"{failed_runs} runs ended by an error that was not foreseen: {error}"
    values: dict[str, Any] = {"due_at": None, "owner": None, "failed_runs": 0, "detail": detail}
    if queue is EVENTS:
        values |= {"status": EventStatus.DEAD, "reason": Reason.SCHEDULE_EXHAUSTED}
        values |= {"processed_at": now, "waiting_pointer": None}
    else:
        # Once its request may have left, only a person can say whether it arrived.
        may_have_arrived = deliveries.c.posting_at.is_not(None)
        held, dead = DeliveryStatus.HELD.value, DeliveryStatus.DEAD.value
        unclear, exhausted = Reason.UNCONFIRMED_PARTIAL.value, Reason.SCHEDULE_EXHAUSTED.value
        values["status"] = case((may_have_arrived, held), else_=dead)
        values["reason"] = case((may_have_arrived, unclear), else_=exhausted)
        values["updated_at"] = now
    connection.execute(update(queue).where(*mine).values(values))
    return True


def fence(connection: Connection, queue: Queue, *, row_id: str, owner: str, claim: int) -> None:
    """Make sure, at the start of a longer transaction, that the work is still ours. Raises
    LeaseLostError."""
    write(connection, queue, row_id=row_id, owner=owner, claim=claim, values={"owner": owner})


def held(
    connection: Connection, queue: Queue, *, claims: Mapping[str, int], owner: str
) -> set[str]:
    """Which of these rows, by id with their claims, are still this owner's. They stay so until the
    transaction ends."""
    mine = {"ids": list(claims), "of_owner": owner}
    rows = connection.execute(_HELD[queue.name], mine)
    return {row.id for row in rows if row.claims == claims[row.id]}


def renew(
    connection: Connection,
    queue: Queue,
    *,
    held: Collection[tuple[str, int]],
    owner: str,
    until: datetime,
) -> None:
    """Keep what really runs in this process: (id, claim) pairs."""
    if not held:
        return
    rows = [
        {"row_id": row_id, "of_owner": owner, "of_claim": claim, "due_at": until}
        for row_id, claim in held
    ]
    connection.execute(WRITE[queue.name], rows)


def end_throttled_waits(connection: Connection, *, system: str, now: datetime) -> int:
    """Make due what waits for the sake of this vendor alone, not what waits its place in a schedule
    of its own; returns how many rows."""
    count = 0
    for queue in QUEUES:
        waiting = (
            update(queue)
            .where(queue.c.lane.in_([int(lane) for lane in Lane]), queue.c.due_at > now)
            .where(queue.c.throttled_by == system, queue.c.owner.is_(None))
            .values(due_at=now, throttled_by=None)
        )
        count += connection.execute(waiting).rowcount
    if count:
        wakeup.announce(connection)
    return count


def release_claims(connection: Connection, *, owner: str, now: datetime) -> int:
    """Make due at once whatever an earlier process of this name still held; returns how many
    rows."""
    count = 0
    for queue in QUEUES:
        held = (
            update(queue)
            .where(queue.c.owner == owner, queue.c.due_at > now, queue.c.claims > 0)
            .values(due_at=now, owner=None)
        )
        count += connection.execute(held).rowcount
    return count


def clock_set_back(
    connection: Connection, *, by: timedelta, lease: timedelta, now: datetime
) -> int:
    """The clock was ahead and was set back `by`, or is behind since: what was put off to moments of
    the old clock waits no longer than it was meant to. A claim ends when a new one would. Returns
    how many rows were brought forward; said twice, it changes nothing but that an event is looked
    at too soon."""
    count = _bring_deliveries_forward(connection, now)
    for queue in QUEUES:
        is_claimed = queue.c.owner.is_not(None)
        too_long = update(queue).where(is_claimed, queue.c.due_at > now + lease)
        count += connection.execute(too_long.values(due_at=now + lease)).rowcount
    waiting = select(events.c.id, events.c.due_at).where(
        events.c.owner.is_(None), events.c.due_at > now
    )
    due_times = {row.id: max(now, row.due_at - by) for row in connection.execute(waiting)}
    return count + _set_due(connection, EVENTS, due_times)


def _bring_deliveries_forward(connection: Connection, now: datetime) -> int:
    """Those that were written at a moment to come: from now on they wait for as long as from
    then."""
    waiting = select(deliveries.c.id, deliveries.c.due_at, deliveries.c.updated_at).where(
        deliveries.c.owner.is_(None), deliveries.c.due_at > now, deliveries.c.updated_at > now
    )
    due_times = {
        row.id: now + max(row.due_at - row.updated_at, timedelta(0))
        for row in connection.execute(waiting)
    }
    return _set_due(connection, DELIVERIES, due_times, updated_at=now)


def _set_due(
    connection: Connection, queue: Queue, due_times: Mapping[str, datetime], **also: datetime
) -> int:
    """Of rows that nobody claimed meanwhile."""
    if not due_times:
        return 0
    mine = (queue.c.id == bindparam("row_id"), queue.c.owner.is_(None), queue.c.due_at.is_not(None))
    rows = [{"row_id": row_id, "due_at": due_at, **also} for row_id, due_at in due_times.items()]
    connection.execute(update(queue).where(*mine), rows)
    return len(rows)


def earliest(connection: Connection) -> dict[tuple[str, Lane], datetime]:
    """When the first row of each queue and lane becomes due, where there is one. Index look-ups
    only."""
    return {
        (row.queue, Lane(row.lane)): row.due_at
        for row in connection.execute(_EARLIEST)
        if row.due_at is not None
    }


def next_due(connection: Connection) -> datetime | None:
    """When the earliest row of either queue becomes due; None when there is nothing to wait for."""
    return min(earliest(connection).values(), default=None)
