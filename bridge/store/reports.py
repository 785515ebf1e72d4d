"""Read-only questions: is all well, what is there, what is its story? Nothing here writes."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Table,
    func,
    or_,
    select,
)

from bridge.domain.events import EXCEPTIONS, DeliveryStatus, EventStatus, Lane
from bridge.domain.reasons import Reason
from bridge.store import leases
from bridge.store.queries import (
    Query,
    fitting_deliveries,
    fitting_events,
    goes_by,
    replayed_well,
)
from bridge.store.tables import (
    attempts,
    deliveries,
    delivery_lines,
    delivery_records,
    event_deliveries,
    events,
    records,
)

_OF_AN_ATTEMPT = [column for column in attempts.c if column.name not in ("id", "delivery_id")]
Status = TypeVar("Status", EventStatus, DeliveryStatus)


def list_events(connection: Connection, query: Query) -> list[dict[str, Any]]:
    """Events, newest first, with the fields that `--json` prints."""
    rows = _page(connection, select(events).where(*fitting_events(query)), events, query)
    linked_ids = _links(connection, [row.id for row in rows], by="event_id", to="delivery_id")
    return [_event(row, linked_ids.get(row.id, [])) for row in rows]


def list_deliveries(connection: Connection, query: Query) -> list[dict[str, Any]]:
    """Deliveries, newest first, with the fields that `--json` prints."""
    rows = _page(
        connection,
        select(deliveries).where(*fitting_deliveries(connection, query)),
        deliveries,
        query,
    )
    ids = [row.id for row in rows]
    lines = _lines(connection, ids)
    linked_ids = _links(connection, ids, by="delivery_id", to="event_id")
    return [_delivery(row, lines.get(row.id, []), linked_ids.get(row.id, [])) for row in rows]


def count_fitting(
    connection: Connection, query: Query, *, events_wanted: bool, most: int | None = None
) -> int:
    """How many events, or deliveries, a query fits, whatever its page; with `most`, counting ends
    there."""
    table, fitting = (
        (events, fitting_events(query))
        if events_wanted
        else (deliveries, fitting_deliveries(connection, query))
    )
    matching = select(table.c.id).where(*fitting).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(matching)).scalar_one())


def count_by_reason(connection: Connection, query: Query) -> dict[tuple[str, str | None], int]:
    """How many deliveries a query fits, by their status and reason."""
    counted = (
        select(deliveries.c.status, deliveries.c.reason, func.count())
        .where(*fitting_deliveries(connection, query))
        .group_by(deliveries.c.status, deliveries.c.reason)
    )
    return {(status, reason): count for status, reason, count in connection.execute(counted)}


def parcels_of(connection: Connection, event_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The deliveries of each of these events: id, status, reason, reference, order_number."""
    chosen = (
        select(
            event_deliveries.c.event_id,
            deliveries.c.id,
            deliveries.c.status,
            deliveries.c.reason,
            deliveries.c.reference,
            deliveries.c.order_number,
        )
        .join(deliveries, deliveries.c.id == event_deliveries.c.delivery_id)
        .where(event_deliveries.c.event_id.in_(event_ids))
        .order_by(deliveries.c.id)
    )
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(chosen).mappings():
        grouped.setdefault(row["event_id"], []).append(dict(row))
    return grouped


def count_searching(connection: Connection) -> int:
    """Parcels that look like Purple Dot's, whose order is still looked for."""
    chosen = (
        select(func.count())
        .select_from(deliveries)
        .where(
            deliveries.c.status == DeliveryStatus.RETRYING,
            deliveries.c.reason == Reason.ORDER_NOT_FOUND,
        )
    )
    return int(connection.execute(chosen).scalar_one())


def details_of(connection: Connection, ids: Collection[str]) -> dict[str, str | None]:
    """What was said of each of these events and deliveries besides its reason."""
    details = [
        connection.execute(select(table.c.id, table.c.detail).where(table.c.id.in_(ids))).all()
        for table in (events, deliveries)
    ]
    return {row.id: row.detail for rows in details for row in rows}


def event_story(connection: Connection, event_id: str) -> dict[str, Any] | None:
    """Everything stored about one event: its body as text, headers, what was fetched, what was
    decided, its deliveries."""
    row = connection.execute(select(events).where(events.c.id == event_id)).one_or_none()
    if row is None:
        return None
    fetched = connection.execute(
        select(records).where(records.c.event_id == event_id).order_by(records.c.id)
    ).all()
    linked = _links(connection, [event_id], by="event_id", to="delivery_id").get(event_id, [])
    stories = (delivery_story(connection, delivery_id) for delivery_id in linked)
    return _event(row, linked) | {
        "replays": _replays_of(connection, row),
        "body": bytes(row.body).decode(errors="replace"),
        "headers": row.headers,
        "signature": row.signature,
        "detail": row.detail,
        "attempts": row.attempts,
        "next_attempt_at": row.due_at,
        "redacted_at": row.redacted_at,
        "records": [
            {"kind": r.kind, "id": r.record_id, "fetched_at": r.fetched_at, "body": r.body}
            for r in fetched
        ],
        "decisions": row.decisions or [],
        "delivery_stories": [story for story in stories if story is not None],
    }


def delivery_story(connection: Connection, delivery_id: str) -> dict[str, Any] | None:
    """Everything stored about one delivery, with each attempt."""
    row = connection.execute(select(deliveries).where(deliveries.c.id == delivery_id)).one_or_none()
    if row is None:
        return None
    of_delivery = attempts.c.delivery_id == delivery_id
    rows = connection.execute(
        select(*_OF_AN_ATTEMPT).where(of_delivery).order_by(attempts.c.id)
    ).mappings()
    linked = _links(connection, [delivery_id], by="delivery_id", to="event_id").get(delivery_id, [])
    lines = _lines(connection, [delivery_id]).get(delivery_id, [])
    return _delivery(row, lines, linked) | {
        "detail": row.detail,
        "resolved_from": row.resolved_from,
        "contents": row.contents or [],
        "rest_of_parcel": _rest_of_parcel(connection, row),
        "left_out": row.left_out,
        "rule": row.rule,
        "redacted_at": row.redacted_at,
        "shipment": row.shipment,
        "attempt_history": [dict(attempt) for attempt in rows],
    }


def _rest_of_parcel(connection: Connection, row: Row[Any]) -> list[dict[str, Any]]:
    """What deliveries of other orders have of the same parcel, where several orders' goods left in
    it. One that only says that its record changed has the same goods once more."""
    own_keys = select(delivery_records.c.record_key).where(delivery_records.c.delivery_id == row.id)
    of_parcel = select(delivery_records.c.delivery_id).where(
        delivery_records.c.record_key.in_(own_keys)
    )
    again = [Reason.AMBIGUOUS_ORDER, Reason.TRACKING_CHANGED_AFTER_DELIVERY]
    others = select(deliveries.c.id, deliveries.c.status, deliveries.c.contents).where(
        deliveries.c.id.in_(of_parcel),
        deliveries.c.fulfillment_order_id != row.fulfillment_order_id,
        deliveries.c.superseded_by.is_(None),
        or_(deliveries.c.reason.is_(None), deliveries.c.reason.not_in(again)),
    )
    return [
        {"id": other.id, "status": other.status, "contents": other.contents or []}
        for other in connection.execute(others.order_by(deliveries.c.id))
    ]


def find_ids(connection: Connection, text: str, *, most: int = 5) -> list[str]:
    """Event or delivery ids that begin with `text`, or deliveries whose order number, reference or
    tracking number it is."""
    ids: list[str] = []
    for table in (events, deliveries):
        inside = (
            (table.c.id >= text, table.c.id < f"{text}\U0010ffff")
            if text.startswith(("evt_", "dlv_"))
            else (table.c.id == text,)
        )
        ids += connection.execute(
            select(table.c.id).where(*inside).order_by(table.c.id).limit(most)
        ).scalars()
    if not ids:
        ids += connection.execute(
            select(deliveries.c.id).where(goes_by(text)).order_by(deliveries.c.id).limit(most)
        ).scalars()
    return ids


def oldest_unprocessed(connection: Connection, *, now: datetime) -> float:
    """Seconds for which the oldest work has been due and no worker took it; 0.0 when there is none.
    What is put off on purpose isn't due, and neither is what a worker has; a replay, and what the
    sweep found, may wait for the rest."""
    due_times = [
        due_at
        for (_queue, lane), due_at in leases.earliest(connection).items()
        if lane < Lane.REPLAY
    ]
    oldest = min(due_times, default=now)
    return max(0.0, (now - oldest).total_seconds())


def count_exceptions(connection: Connection) -> int:
    """Deliveries and events that wait for a person."""
    waiting = (
        select(func.count())
        .select_from(deliveries)
        .where(deliveries.c.status.in_(list(EXCEPTIONS)))
    )
    dead = (
        select(func.count())
        .select_from(events)
        .where(events.c.status == EventStatus.DEAD, ~replayed_well())
    )
    return int(connection.execute(waiting).scalar_one()) + int(
        connection.execute(dead).scalar_one()
    )


def _replays_of(connection: Connection, row: Row[Any]) -> list[dict[str, Any]]:
    """Every replay of this event; of a replay, the one that it is."""
    is_it = events.c.id == row.id
    mine = events.c.replayed_event_id == row.id
    query = select(
        events.c.replay_id.label("run_id"),
        events.c.replayed_event_id.label("event_id"),
        events.c.id.label("replay_event_id"),
    ).where(events.c.replay_id.is_not(None), is_it if row.replay_id else mine)
    return [dict(replay) for replay in connection.execute(query.order_by(events.c.id)).mappings()]


def exceptions_by_reason(connection: Connection) -> list[tuple[str, str | None, int, bool]]:
    """(status, reason, how many, whether events) of all that waits for a person, the largest group
    first."""
    groups: list[tuple[str, str | None, int, bool]] = []
    for table, statuses in ((events, [EventStatus.DEAD]), (deliveries, list(EXCEPTIONS))):
        counted = (
            select(table.c.status, table.c.reason, func.count())
            .where(table.c.status.in_(statuses), *([~replayed_well()] if table is events else []))
            .group_by(table.c.status, table.c.reason)
        )
        groups += [
            (status, reason, count, table is events)
            for status, reason, count in connection.execute(counted)
        ]
    return sorted(groups, key=lambda group: -group[2])


def count_deliveries(
    connection: Connection, *, most: int | None = None
) -> Mapping[DeliveryStatus, int]:
    """How many deliveries stand in each status; with `most`, counting ends there, so that millions
    cost no more."""
    return _count_by_status(connection, deliveries, DeliveryStatus, most)


def count_events(connection: Connection, *, most: int | None = None) -> Mapping[EventStatus, int]:
    """How many events stand in each status, likewise."""
    return _count_by_status(connection, events, EventStatus, most)


def _count_by_status(
    connection: Connection, table: Table, statuses: type[Status], most: int | None
) -> Mapping[Status, int]:
    counts = []
    for status in statuses:
        rows = select(table.c.id).where(table.c.status == status).limit(most).subquery()
        counts.append(select(func.count()).select_from(rows).scalar_subquery())
    counted = zip(statuses, connection.execute(select(*counts)).one(), strict=True)
    return {status: count for status, count in counted if count}


def count_received(connection: Connection) -> int:
    """How many events are still work: what was settled long ago costs nothing."""
    received = select(func.count()).where(events.c.status == EventStatus.RECEIVED)
    return int(connection.execute(received).scalar_one())


def _page(
    connection: Connection, chosen: Select[Any], table: Table, query: Query
) -> Sequence[Row[Any]]:
    """By ids, which sort by time: a page stays the same however many rows come in above it, and
    costs as little as the first."""
    if query.before:
        chosen = chosen.where(table.c.id < query.before)
    if query.after:
        return connection.execute(
            chosen.where(table.c.id > query.after).order_by(table.c.id).limit(query.limit)
        ).all()[::-1]
    return connection.execute(chosen.order_by(table.c.id.desc()).limit(query.limit)).all()


def _links(connection: Connection, ids: list[str], *, by: str, to: str) -> dict[str, list[str]]:
    link = event_deliveries
    grouped: dict[str, list[str]] = {}
    for key, value in connection.execute(
        select(link.c[by], link.c[to]).where(link.c[by].in_(ids)).order_by(link.c[to])
    ):
        grouped.setdefault(key, []).append(value)
    return grouped


def _lines(connection: Connection, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    chosen = (
        select(delivery_lines)
        .where(delivery_lines.c.delivery_id.in_(ids))
        .order_by(delivery_lines.c.position)
    )
    for row in connection.execute(chosen):
        grouped.setdefault(row.delivery_id, []).append(
            {"id": row.line_item_id, "quantity": row.quantity, "sku": row.sku}
        )
    return grouped


def _event(row: Row[Any], linked: list[str]) -> dict[str, Any]:
    kept = (
        "id",
        "source",
        "event_type",
        "status",
        "reason",
        "received_at",
        "duplicates",
        "resource_url",
    )
    return {name: getattr(row, name) for name in kept} | {"deliveries": linked}


_DELIVERY_FIELDS = [
    *(
        "id",
        "status",
        "reason",
        "shipstation_shipment_id",
        "shipstation_record_id",
        "order_number",
        "fulfillment_order_id",
        "reference",
    ),
    *(
        "purple_dot_fulfillment_id",
        "carrier_code",
        "tracking_number",
        "tracking_company",
        "tracking_url",
        "all_tracking_numbers",
    ),
    *("notify_customer", "attempts", "created_at", "delivered_at"),
]


def _delivery(row: Row[Any], lines: list[dict[str, Any]], linked: list[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _DELIVERY_FIELDS} | {
        "lane": Lane(row.lane).name.lower(),
        "event_ids": linked,
        "line_items": lines,
        "next_attempt_at": row.due_at,
    }
