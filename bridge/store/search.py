"""Search by what a person has at hand: an order number, a tracking number, a SKU or an id, in any
spelling, or the beginning of one; over parcels and webhooks."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Table,
    Text,
    and_,
    cast,
    func,
    or_,
    select,
    union,
)
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from bridge.domain.orders import normalize_reference
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.store import reports
from bridge.store.queries import Query
from bridge.store.tables import deliveries, delivery_lines, event_deliveries, events, records

_SCANNED_ROWS = 5_000
"""So many of the newest rows are read through for what no index finds: a parcel that was ignored
left its order number and its SKUs only in the decisions and in what was fetched."""

_CANDIDATES = 500
"""So many are taken by each field, and the newest of them shown."""

_DIGIT = re.compile(r"[0-9]")

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
        number = normalize_tracking(plain)
        has_digit = any(char.isdigit() for char in number)
        # People read a number out in groups, and write it down so.
        written = {plain, "".join(plain.split())} if _DIGIT.search(plain) else {plain}
        references = {normalize_reference(spelling) for spelling in written}
        orders = {*written, *references, plain.lower()}
        orders |= {f"#{spelling}" for spelling in (*written, *references)}
        ids = {plain, plain.lower(), f"se-{plain}"}
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
    ids = set(connection.execute(_named_deliveries(connection, spellings)).scalars())
    if not ids:
        mentioned = or_(
            _mentions(deliveries.c.order_number, spellings.plain),
            _mentions(cast(deliveries.c.shipment, Text), spellings.plain),
        )
        is_recent = deliveries.c.id >= _oldest_scanned(connection, deliveries)
        scanned = select(deliveries.c.id).where(is_recent, mentioned)
        ids |= set(connection.execute(scanned).scalars())
    return sorted(ids, reverse=True)[:limit]


def _event_ids(
    connection: Connection, spellings: Spellings, delivery_ids: list[str], limit: int
) -> list[str]:
    linked = select(event_deliveries.c.event_id).where(
        event_deliveries.c.delivery_id.in_(delivery_ids)
    )
    named = select(events.c.id).where(_id_begins(events.c.id, spellings.ids))
    ids = set(connection.execute(named.limit(limit)).scalars())
    ids |= set(connection.execute(linked.distinct().limit(limit)).scalars())
    if len(ids) < limit:
        oldest = _oldest_scanned(connection, events)
        decided = select(events.c.id).where(
            events.c.id >= oldest, _mentions_any(cast(events.c.decisions, Text), spellings)
        )
        fetched = select(records.c.event_id).where(
            records.c.event_id >= oldest, _mentions_any(cast(records.c.body, Text), spellings)
        )
        ids |= set(connection.execute(union(decided, fetched)).scalars())
    return sorted(ids, reverse=True)[:limit]


def _oldest_scanned(connection: Connection, table: Table) -> str:
    """Ids sort by time: a range of them is found by each index that begins with them."""
    newest = select(table.c.id).order_by(table.c.id.desc())
    oldest = connection.execute(newest.offset(_SCANNED_ROWS - 1).limit(1)).scalar()
    return oldest or ""


def _named_deliveries(connection: Connection, spellings: Spellings) -> CompoundSelect[Any]:
    """One look into an index for each field and spelling: asked for all at once and in order, the
    newest first, SQLite would rather read the whole table."""

    def looks() -> Iterator[Select[Any]]:
        numbers = [spellings.tracking_number] if spellings.tracking_number else []
        for name, texts in (
            ("order_number", spellings.order_numbers),
            ("reference", spellings.order_numbers),
            ("tracking_number", numbers),
            ("shipstation_shipment_id", spellings.ids),
            ("fulfillment_order_id", spellings.ids),
        ):
            for text in texts:
                yield _beginning(connection, deliveries.c[name], text, of=deliveries.c.id)
        sku, sku_of = func.lower(delivery_lines.c.sku), delivery_lines.c.delivery_id
        yield _beginning(connection, sku, spellings.plain.lower(), of=sku_of)
        yield select(deliveries.c.id).where(_id_begins(deliveries.c.id, spellings.ids))
        is_number = deliveries.c.tracking_number == spellings.plain
        yield select(deliveries.c.id).where(is_number)
        is_record = deliveries.c.shipstation_record_id.in_(spellings.ids)
        yield select(deliveries.c.id).where(is_record)

    return union(*looks())


def _beginning(
    connection: Connection, field: ColumnElement[Any], text: str, *, of: Column[Any]
) -> Select[Any]:
    """The ids `of` rows whose `field` begins with `text`: of very many the last by the alphabet,
    which are the newest among numbers that count up."""
    last = select(of.label("id")).where(_begins(connection, field, text))
    descending = field.desc()
    if connection.dialect.name != "sqlite":
        descending = UnaryExpression(field, modifier=custom_op("USING ~>~"))
    newest = last.order_by(descending, of.desc()).limit(_CANDIDATES).subquery()
    return select(newest.c.id)


def _begins(connection: Connection, field: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """The range that an index finds. PostgreSQL sorts by the rules of a language, where a range is
    no beginning; `~>=~`, `~<~` and `~>~` compare characters."""
    end = f"{text}\U0010ffff"
    if connection.dialect.name == "sqlite":
        return and_(field >= text, field < end)
    return and_(field.bool_op("~>=~")(text), field.bool_op("~<~")(end))


def _id_begins(column: Column[Any], texts: Collection[str]) -> ColumnElement[bool]:
    """Every language sorts the digits and the letters of our ids alike, and none has a z."""
    return or_(*(and_(column >= text, column < f"{text}z") for text in texts))


def _mentions(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    return func.lower(column).contains(text.lower(), autoescape=True)


def _mentions_any(column: ColumnElement[Any], spellings: Spellings) -> ColumnElement[bool]:
    texts = {spellings.plain, spellings.tracking_number or spellings.plain}
    return or_(*(_mentions(column, text) for text in sorted(texts)))
