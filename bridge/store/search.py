"""Search by what a person has at hand: an order number, a tracking number, a SKU or an id, in any
spelling, or the beginning of one; over parcels and webhooks."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    cast,
    func,
    or_,
    select,
    union,
)

from bridge.domain.orders import normalize_reference
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.store import reports
from bridge.store.reports import Query
from bridge.store.tables import deliveries, delivery_lines, event_deliveries, events, records

_SCANNED_ROWS = 5_000
"""So many of the newest rows are read through for what no index finds: a parcel that was ignored
left its order number and its SKUs only in the decisions and in what was fetched."""

_SHORTEST = 3
"""Fewer characters fit everything."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What fits, newest first, with the fields of the lists."""

    deliveries: list[dict[str, Any]]
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Spellings:
    """The forms in which a text may be stored. What has no digit is no tracking number."""

    order_numbers: Collection[str]
    tracking_number: str
    ids: Collection[str]
    plain: str

    @classmethod
    def of(cls, text: str) -> "Spellings":
        plain = text.strip().rstrip("…").removeprefix("#").strip()
        reference = normalize_reference(plain)
        orders = {plain, plain.lower(), reference, f"#{reference}", f"#{plain}"}
        ids = {plain, plain.lower(), f"se-{plain}"}
        number = normalize_tracking(plain)
        has_digit = any(char.isdigit() for char in number)
        return cls(sorted(orders), number if has_digit else "", sorted(ids), plain)


def searched(text: str) -> list[str]:
    """Which lists are searched for a text, and for which spellings, in words; nothing for a text
    that is too short. Pure."""
    spellings = Spellings.of(text)
    if len(spellings.plain) < _SHORTEST:
        return []
    numbers = sorted({spelling.upper() for spelling in spellings.order_numbers})
    parts = [f"order number or reference that begins with {' or '.join(numbers)}"]
    if spellings.tracking_number:
        parts.append(f"tracking number that begins with {spellings.tracking_number}")
    parts.append(f"SKU or id that begins with {spellings.plain}")
    newest = f"the newest {_SCANNED_ROWS:,}"
    return [
        f"All parcels, by {', '.join(parts)}.",
        f"{newest.capitalize()} parcels and {newest} webhooks, with what was fetched for them and"
        f" decided about them, by {spellings.plain} anywhere in it.",
    ]


def search(connection: Connection, text: str, *, limit: int = 20) -> SearchResult:
    """At most `limit` parcels and as many webhooks. Nothing for a text of fewer than three
    characters."""
    spellings = Spellings.of(text)
    if len(spellings.plain) < _SHORTEST:
        return SearchResult([], [])
    delivery_ids = _delivery_ids(connection, spellings, limit)
    event_ids = _event_ids(connection, spellings, delivery_ids, limit)
    return SearchResult(
        reports.list_deliveries(connection, Query(ids=delivery_ids, limit=limit)),
        reports.list_events(connection, Query(ids=event_ids, limit=limit)),
    )


def _delivery_ids(connection: Connection, spellings: Spellings, limit: int) -> list[str]:
    named = _newest(select(deliveries.c.id).where(_names_delivery(connection, spellings)), limit)
    ids = set(connection.execute(named).scalars())
    sku = func.lower(delivery_lines.c.sku).startswith(spellings.plain.lower(), autoescape=True)
    lines = select(delivery_lines.c.delivery_id).where(sku).distinct()
    lines = lines.order_by(delivery_lines.c.delivery_id.desc()).limit(limit)
    ids |= set(connection.execute(lines).scalars())
    if not ids:
        recent = _newest(select(deliveries.c.id), _SCANNED_ROWS)
        mentioned = or_(
            _mentions(deliveries.c.order_number, spellings.plain),
            _mentions(cast(deliveries.c.shipment, Text), spellings.plain),
        )
        scanned = select(deliveries.c.id).where(deliveries.c.id.in_(recent), mentioned)
        ids |= set(connection.execute(_newest(scanned, limit)).scalars())
    return sorted(ids, reverse=True)[:limit]


def _event_ids(
    connection: Connection, spellings: Spellings, delivery_ids: list[str], limit: int
) -> list[str]:
    linked = select(event_deliveries.c.event_id).where(
        event_deliveries.c.delivery_id.in_(delivery_ids)
    )
    named = select(events.c.id).where(_begins(connection, events.c.id, spellings.ids))
    ids = set(connection.execute(_newest(named, limit)).scalars())
    ids |= set(connection.execute(linked.distinct().limit(limit)).scalars())
    if len(ids) < limit:
        recent = _newest(select(events.c.id), _SCANNED_ROWS)
        decided = select(events.c.id).where(
            events.c.id.in_(recent), _mentions_any(cast(events.c.decisions, Text), spellings)
        )
        fetched = select(records.c.event_id).where(
            records.c.event_id.in_(recent), _mentions_any(cast(records.c.body, Text), spellings)
        )
        ids |= set(connection.execute(union(decided, fetched)).scalars())
    return sorted(ids, reverse=True)[:limit]


def _newest(query: Select[Any], limit: int) -> Select[Any]:
    [column] = query.selected_columns
    return query.order_by(column.desc()).limit(limit)


def _names_delivery(connection: Connection, spellings: Spellings) -> ColumnElement[bool]:
    def conditions() -> Iterator[ColumnElement[bool]]:
        yield _begins(connection, deliveries.c.order_number, spellings.order_numbers)
        yield _begins(connection, deliveries.c.reference, spellings.order_numbers)
        if spellings.tracking_number:
            numbers = [spellings.tracking_number]
            yield _begins(connection, deliveries.c.tracking_number, numbers)
        for name in ("id", "shipstation_shipment_id", "fulfillment_order_id"):
            yield _begins(connection, deliveries.c[name], spellings.ids)
        yield deliveries.c.tracking_number == spellings.plain
        yield deliveries.c.shipstation_record_id.in_(spellings.ids)

    return or_(*conditions())


def _begins(
    connection: Connection, column: Column[Any], texts: Collection[str]
) -> ColumnElement[bool]:
    """That the column begins with one of these. SQLite uses its index for a range, and only for
    that; PostgreSQL sorts by the rules of a language, where a range is no beginning."""
    if connection.dialect.name == "sqlite":
        ranges = [and_(column >= text, column < f"{text}\U0010ffff") for text in texts]
        return or_(*ranges)
    return or_(*(column.startswith(text, autoescape=True) for text in texts))


def _mentions(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    return func.lower(column).contains(text.lower(), autoescape=True)


def _mentions_any(column: ColumnElement[Any], spellings: Spellings) -> ColumnElement[bool]:
    texts = {spellings.plain, spellings.tracking_number or spellings.plain}
    return or_(*(_mentions(column, text) for text in sorted(texts)))
