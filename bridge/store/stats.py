"""Read-only questions of one glance: what came and went by the hour, how often webhooks usually
come, whether the vendors answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    func,
    select,
    true,
)

from bridge.domain.events import CLAIMABLE, EXCEPTIONS, DeliveryStatus, EventStatus, Lane
from bridge.store import shared_state
from bridge.store.engine.ids import first_id
from bridge.store.queries import replayed_well
from bridge.store.tables import attempts, deliveries, events, records

HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)
_MOST = 1000
_NEWEST = 1000
"""Rows that are looked at for the newest answer, so that an outage does not make that slow."""
_NEXT_WORK = "next_in_line"
_PREFIX = {events.name: "evt", deliveries.name: "dlv"}
_A_WEBHOOK = events.c.source == "shipstation"
"""Not what the sweep enqueued, nor what a person replays."""


@dataclass(frozen=True, slots=True)
class Period:
    """Notifications that came within it, and how the deliveries that were made within it stand
    now."""

    start: datetime
    received: int
    delivered: int
    waiting: int
    exceptions: int


def by_period(connection: Connection, bounds: Sequence[datetime]) -> list[Period]:
    """What came and went between each bound and the next, the oldest first. Counted in an index of
    status and id, and ids sort by time: the rows themselves are not read."""
    return [
        Period(
            start=start,
            received=sum(_count(connection, events, status, start, end) for status in EventStatus),
            delivered=_count(connection, deliveries, DeliveryStatus.DELIVERED, start, end),
            waiting=_count_all(connection, CLAIMABLE, start, end),
            exceptions=_count_all(connection, EXCEPTIONS, start, end),
        )
        for start, end in pairwise(bounds)
    ]


def _count_all(
    connection: Connection, statuses: Iterable[DeliveryStatus], start: datetime, end: datetime
) -> int:
    return sum(_count(connection, deliveries, status, start, end) for status in statuses)


def _count(
    connection: Connection, table: Table, status: str, start: datetime, end: datetime
) -> int:
    prefix = _PREFIX[table.name]
    values = {
        "status": status,
        "first": first_id(prefix, start),
        "end": first_id(prefix, end),
    }
    return int(connection.execute(_COUNTS[table.name], values).scalar_one())


def _counting(table: Table) -> Select[Any]:
    inside = (table.c.id >= bindparam("first"), table.c.id < bindparam("end"))
    chosen = select(func.count()).select_from(table)
    return chosen.where(table.c.status == bindparam("status"), *inside)


_COUNTS = {table.name: _counting(table) for table in (events, deliveries)}


def _within(table: Table, start: datetime, end: datetime) -> ColumnElement[bool]:
    prefix = _PREFIX[table.name]
    own = _A_WEBHOOK if table is events else true()
    return and_(table.c.id >= first_id(prefix, start), table.c.id < first_id(prefix, end), own)


def delivery_seconds(connection: Connection, *, since: datetime, most: int = 2000) -> list[float]:
    """From the notification to Purple Dot's answer, for the newest parcels that were delivered
    since."""
    chosen = (
        select(deliveries.c.received_at, deliveries.c.delivered_at)
        .where(
            deliveries.c.id >= first_id("dlv", since),
            deliveries.c.status == DeliveryStatus.DELIVERED,
            deliveries.c.delivered_at.is_not(None),
        )
        .order_by(deliveries.c.id.desc())
        .limit(most)
    )
    rows = connection.execute(chosen).all()
    return [(row.delivered_at - row.received_at).total_seconds() for row in rows]


def last_event_at(connection: Connection) -> datetime | None:
    """When the newest notification came."""
    columns = (events.c.received_at, events.c.source)
    newest = select(*columns).order_by(events.c.id.desc()).limit(_NEWEST).subquery()
    # Some planners would rather read the whole table than walk back over a few rows.
    of_newest = select(func.max(newest.c.received_at)).where(newest.c.source == "shipstation")
    last: datetime | None = connection.execute(of_newest).scalar_one()
    if last is not None:
        return last
    every_one = select(events.c.received_at).where(_A_WEBHOOK).order_by(events.c.id.desc())
    return connection.execute(every_one.limit(1)).scalar_one_or_none()


def usual_per_hour(connection: Connection, *, now: datetime, weeks: int = 4) -> float | None:
    """How many notifications came in an hour, at this hour of the week, on average over the last
    weeks that are known whole (an hour before and after count in). None before the first whole
    week."""
    counts = in_earlier_weeks(connection, now - HOUR, now + HOUR, weeks=weeks)
    return sum(counts) / (2.0 * len(counts)) if counts else None


def in_earlier_weeks(
    connection: Connection, start: datetime, end: datetime, *, weeks: int, most: int | None = None
) -> list[int]:
    """How many notifications came between the same hours of each earlier week that lies wholly
    within what we know; with `most`, counting ends there."""
    oldest = connection.execute(
        select(events.c.received_at).order_by(events.c.id).limit(1)
    ).scalar_one_or_none()
    ages = [
        number * WEEK
        for number in range(1, weeks + 1)
        if end > start and oldest is not None and start - number * WEEK >= oldest
    ]
    spans = [
        select(events.c.id).where(_within(events, start - age, end - age)).limit(most).subquery()
        for age in ages
    ]
    return [
        connection.execute(select(func.count()).select_from(span)).scalar_one() for span in spans
    ]


def last_heard(connection: Connection) -> Mapping[str, datetime | None]:
    """When each vendor last gave us what we asked for, as far as the newest rows say."""
    fetched = select(records.c.fetched_at).order_by(records.c.id.desc()).limit(1)
    newest = select(deliveries.c.order_seen_at.label("seen_at")).order_by(deliveries.c.id.desc())
    tried = select(attempts.c.finished_at, attempts.c.http_status).order_by(attempts.c.id.desc())
    looked_up, posted = newest.limit(_NEWEST).subquery(), tried.limit(_NEWEST).subquery()
    accepted = select(func.max(posted.c.finished_at)).where(posted.c.http_status < 300)
    answers = (
        connection.execute(select(func.max(looked_up.c.seen_at))).scalar_one(),
        connection.execute(accepted).scalar_one(),
    )
    return {
        "shipstation": connection.execute(fetched).scalar_one_or_none(),
        "purple_dot": max((answer for answer in answers if answer), default=None),
    }


def open_exceptions(connection: Connection) -> list[tuple[str, str, str]]:
    """(id, reason, name) of what waits for a person, the newest thousand deliveries and events; the
    name is the order's, or else the tracking number."""
    name = func.coalesce(
        deliveries.c.reference, deliveries.c.order_number, deliveries.c.tracking_number, ""
    )
    query = select(deliveries.c.id, deliveries.c.reason, name.label("name"))
    dead = (events.c.status == EventStatus.DEAD, ~replayed_well())
    dead_events = select(events.c.id, events.c.reason, events.c.event_type.label("name"))
    queries = [query.where(deliveries.c.status == status) for status in sorted(EXCEPTIONS)]
    exceptions: list[tuple[str, str, str]] = []
    for newest in (*queries, dead_events.where(*dead)):
        rows = connection.execute(newest.order_by(newest.selected_columns.id.desc()).limit(_MOST))
        exceptions += [(row.id, row.reason or "", row.name) for row in rows]
    return exceptions


def note_next_work(connection: Connection, *, now: datetime) -> None:
    """Remember which live work is due and first in line, and since when that is so: while work
    moves it is another one each time."""
    first = _next_work(connection, now)
    noted = shared_state.get(connection, _NEXT_WORK)
    if first is None and noted is not None:
        shared_state.drop(connection, _NEXT_WORK)
    elif first is not None and (noted is None or noted[0] != first):
        shared_state.put(connection, _NEXT_WORK, first, now=now)


def next_work_since(connection: Connection) -> tuple[str, datetime] | None:
    """What `note_next_work` saw, and since when."""
    return shared_state.get(connection, _NEXT_WORK)


def _next_work(connection: Connection, now: datetime) -> str | None:
    for lane in (Lane.LIVE, Lane.RETRY):
        for table in (deliveries, events):
            due = select(table.c.id).where(table.c.lane == lane, table.c.due_at <= now)
            first = connection.execute(due.order_by(table.c.due_at).limit(1)).scalar_one_or_none()
            if first is not None:
                return str(first)
    return None
