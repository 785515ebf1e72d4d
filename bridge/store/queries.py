"""What a list is narrowed to, and the conditions that this becomes: for lists, counts, replays and
repairs of many alike."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Text,
    and_,
    cast,
    exists,
    func,
    or_,
    select,
    union,
)

from bridge.domain.events import EventStatus
from bridge.domain.orders import normalize_reference
from bridge.store.engine.ids import first_id
from bridge.store.tables import (
    deliveries,
    event_deliveries,
    events,
)

_USUAL = 2000
"""So many events of a type make it a usual one."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a list is narrowed to; None means any. `search` fits an id, order number, reference or
    tracking number exactly; `order` and `tracking` fit those alone, `ids` these rows. Events are
    also searched by what was decided in them, from `scan_since` on: of a parcel that was ignored
    nothing else is stored.
    `before` and `after` are ids: the page below one, or above it. `is_open`: without dead events
    that a replay brought to a good end."""

    status: str | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    search: str | None = None
    limit: int | None = 50
    reason: str | None = None
    order: str | None = None
    tracking: str | None = None
    scan_since: datetime | None = None
    before: str | None = None
    after: str | None = None
    is_open: bool = False
    ids: Collection[str] | None = None


def replayed_well() -> ColumnElement[bool]:
    """Whether an event, or the one that it is a replay of, came to a good end in a replay: then its
    death needs nobody any more."""
    replay = events.alias()
    ended_well = or_(
        replay.c.status == EventStatus.PROCESSED,
        and_(replay.c.status == EventStatus.IGNORED, replay.c.reason.is_not(None)),
    )
    original_id = func.coalesce(events.c.replayed_event_id, events.c.id)
    of_same = select(replay.c.id).where(replay.c.replayed_event_id == original_id, ended_well)
    return exists(of_same.correlate(events))


def fitting_events(query: Query) -> list[ColumnElement[bool]]:
    fitting = _narrow(events, query, at=events.c.received_at, prefix="evt") + (
        [~replayed_well()] if query.is_open else []
    )
    if query.event_type:
        fitting.append(_following(events.c.event_type, query) == query.event_type)
    for text, condition in _sought(query):
        linked = select(event_deliveries.c.event_id).join(deliveries).where(condition)
        decisions = cast(events.c.decisions, Text)
        is_mentioned = decisions.contains(text.removeprefix("#"), autoescape=True)
        since = query.scan_since or datetime.max.replace(tzinfo=UTC)
        mentioned = select(events.c.id).where(events.c.id >= first_id("evt", since), is_mentioned)
        fitting.append(
            events.c.id.in_(
                union(linked, select(events.c.id).where(events.c.id == text), mentioned)
            )
        )
    return fitting


def fitting_deliveries(connection: Connection, query: Query) -> list[ColumnElement[bool]]:
    fitting = _narrow(deliveries, query, at=deliveries.c.created_at, prefix="dlv") + [
        condition for _, condition in _sought(query)
    ]
    if query.event_type:
        fitting.append(_reported_by(connection, query.event_type))
    return fitting


def _reported_by(connection: Connection, event_type: str) -> ColumnElement[bool]:
    """That an event of this type led to a delivery. A rare type's are looked up; of a usual one
    nearly every row fits."""
    of_type = (
        select(event_deliveries.c.delivery_id).join(events).where(events.c.event_type == event_type)
    )
    first = select(events.c.id).where(events.c.event_type == event_type).limit(_USUAL).subquery()
    if connection.execute(select(func.count()).select_from(first)).scalar_one() < _USUAL:
        return deliveries.c.id.in_(of_type)
    # The type is asked of each event that is linked: joined, SQLite would go through all events of
    # the type for each delivery.
    type_of_event = (
        select(events.c.event_type)
        .where(events.c.id == event_deliveries.c.event_id)
        .scalar_subquery()
    )
    linked = event_deliveries.c.delivery_id == deliveries.c.id
    return (
        select(event_deliveries.c.delivery_id)
        .where(linked, type_of_event == event_type)
        .correlate(deliveries)
        .exists()
    )


def _narrow(
    table: Table, query: Query, *, at: ColumnElement[Any], prefix: str
) -> list[ColumnElement[bool]]:
    """Ids sort by time, so they bound what has to be looked at; the time in `at` then decides."""
    narrowed: list[ColumnElement[bool]] = []
    if query.ids is not None:
        narrowed.append(table.c.id.in_(query.ids))
    if query.status:
        # A reason belongs to few rows of a status.
        status = table.c.status.concat("") if query.reason else _following(table.c.status, query)
        narrowed.append(status == query.status)
    if query.reason:
        narrowed.append(_following(table.c.reason, query) == query.reason)
    if query.since:
        narrowed += [at >= query.since, table.c.id >= first_id(prefix, query.since)]
    if query.until:
        narrowed += [
            at < query.until,
            table.c.id < first_id(prefix, query.until + timedelta(milliseconds=1)),
        ]
    return narrowed


def _following(column: ColumnElement[str], query: Query) -> ColumnElement[str]:
    """Few rows have the number that is looked for, or these ids, and nearly all one status: where
    there is such a number, no index of what else is asked may lead."""
    is_sought = query.ids is not None or query.search or query.order or query.tracking
    return column.concat("") if is_sought else column


def _sought(query: Query) -> list[tuple[str, ColumnElement[bool]]]:
    """Each text that is looked for, with the deliveries that it fits."""
    searches = [(query.search, goes_by(query.search))] if query.search else []
    if query.order:
        forms = {
            query.order,
            query.order.upper(),
            normalize_reference(query.order),
            f"#{normalize_reference(query.order)}",
        }
        searches.append(
            (
                query.order,
                or_(deliveries.c.order_number.in_(forms), deliveries.c.reference.in_(forms)),
            )
        )
    if query.tracking:
        searches.append(
            (
                query.tracking,
                deliveries.c.tracking_number.in_({query.tracking, query.tracking.upper()}),
            )
        )
    return searches


def goes_by(text: str) -> ColumnElement[bool]:
    """That a delivery has this id or number, as it is written."""
    exact = (
        "id",
        "order_number",
        "reference",
        "tracking_number",
        "fulfillment_order_id",
        "shipstation_shipment_id",
    )
    return or_(*(deliveries.c[name] == text for name in exact))
