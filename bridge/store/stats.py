"""Read-only questions of one glance: what came and went by the hour, how often webhooks usually
come, whether the vendors answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    func,
    literal,
    select,
    true,
    union_all,
)

from bridge.domain.events import CLAIMABLE, EXCEPTIONS, DeliveryStatus
from bridge.store.engine.ids import first_id
from bridge.store.tables import attempts, deliveries, events, records

HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)
_PREFIX = {events.name: "evt", deliveries.name: "dlv"}
_A_WEBHOOK = events.c.source == "shipstation"
"""Not what the sweep fed in, nor what a person replays."""


@dataclass(frozen=True, slots=True)
class Hour:
    """Notifications that came within it, and how the deliveries that were made within it stand
    now."""

    start: datetime
    received: int
    delivered: int
    waiting: int
    exceptions: int


def by_hour(connection: Connection, *, now: datetime, hours: int = 24) -> list[Hour]:
    """The last hours, the oldest first. Counted in the ids, which sort by time: millions of older
    rows cost nothing."""
    first = now.replace(minute=0, second=0, microsecond=0) - (hours - 1) * HOUR
    starts = [first + number * HOUR for number in range(hours)]
    came, made = (_counted(connection, table, starts) for table in (events, deliveries))
    return [
        Hour(
            start=start,
            received=sum(came.get(place, {}).values()),
            delivered=made.get(place, {}).get(DeliveryStatus.DELIVERED, 0),
            waiting=sum(made.get(place, {}).get(status, 0) for status in CLAIMABLE),
            exceptions=sum(made.get(place, {}).get(status, 0) for status in EXCEPTIONS),
        )
        for place, start in enumerate(starts)
    ]


def _counted(
    connection: Connection, table: Table, starts: list[datetime]
) -> Mapping[int, Mapping[str, int]]:
    hours = [
        select(literal(place).label("place"), table.c.status, func.count())
        .where(_within(table, start, start + HOUR))
        .group_by(table.c.status)
        for place, start in enumerate(starts)
    ]
    counted: dict[int, dict[str, int]] = {}
    for place, status, count in connection.execute(union_all(*hours)):
        counted.setdefault(place, {})[status] = count
    return counted


def _within(table: Table, start: datetime, end: datetime) -> ColumnElement[bool]:
    prefix = _PREFIX[table.name]
    own = _A_WEBHOOK if table is events else true()
    return and_(table.c.id >= first_id(prefix, start), table.c.id < first_id(prefix, end), own)


def last_event_at(connection: Connection) -> datetime | None:
    """When the newest notification came."""
    return connection.execute(
        select(events.c.received_at).where(_A_WEBHOOK).order_by(events.c.id.desc()).limit(1)
    ).scalar_one_or_none()


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
    back = [
        number * WEEK
        for number in range(1, weeks + 1)
        if end > start and oldest is not None and start - number * WEEK >= oldest
    ]
    spans = [
        select(events.c.id).where(_within(events, start - one, end - one)).limit(most).subquery()
        for one in back
    ]
    return [
        connection.execute(select(func.count()).select_from(some)).scalar_one() for some in spans
    ]


def last_heard(connection: Connection) -> Mapping[str, datetime | None]:
    """When each vendor last gave us what we asked for."""
    fetched = select(records.c.fetched_at).order_by(records.c.id.desc()).limit(1)
    accepted = (
        select(deliveries.c.order_seen_at)
        .where(deliveries.c.order_seen_at.is_not(None))
        .order_by(deliveries.c.id.desc())
        .limit(1)
    )
    told = (
        select(attempts.c.finished_at)
        .where(attempts.c.http_status < 300)
        .order_by(attempts.c.id.desc())
        .limit(1)
    )
    seen = [
        moment
        for question in (accepted, told)
        if (moment := connection.execute(question).scalar_one_or_none())
    ]
    return {
        "shipstation": connection.execute(fetched).scalar_one_or_none(),
        "purple_dot": max(seen, default=None),
    }
