"""The cache of confirmed fulfillment orders, and the row locks under which an order's quantities are decided."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from bridge.orders import FulfillmentOrder, OrderLine, OrderStatus, normalise_reference
from bridge.store.tables import deliveries, fulfillment_orders, order_lines

_CHUNK = 400
"""Bound variables of one statement stay far below SQLite's limit."""


def remember(connection: Connection, orders: Iterable[FulfillmentOrder], *, now: datetime) -> None:
    """Keep what Purple Dot just said. In id order, so that two workers never wait for each other in a ring."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    for order in sorted({order.id: order for order in orders}.values(), key=lambda order: order.id):
        key = normalise_reference(order.reference)
        row = {"id": order.id, "reference": order.reference, "reference_key": key, "status": order.status, "seen_at": now}
        upsert = dialect.insert(fulfillment_orders).values(row)
        connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_={k: v for k, v in row.items() if k != "id"}))
        connection.execute(delete(order_lines).where(order_lines.c.fulfillment_order_id == order.id))
        lines: dict[str, dict[str, Any]] = {}
        for place, line in enumerate(order.lines):
            head = {"fulfillment_order_id": order.id, "line_item_id": line.id, "position": place, "sku": line.sku, "quantity": 0}
            lines.setdefault(line.id, head)["quantity"] += line.quantity  # A line that is named twice is one, with the units of both.
        if lines:
            connection.execute(insert(order_lines), list(lines.values()))


def lock(connection: Connection, order_ids: Collection[str]) -> None:
    """Hold these orders until the transaction ends, so that two decisions about one order come one after the other.
    On SQLite the whole transaction is alone already."""
    chosen = select(fulfillment_orders.c.id).where(fulfillment_orders.c.id.in_(sorted(order_ids)))
    connection.execute(chosen.order_by(fulfillment_orders.c.id).with_for_update()).all()


def known(
    connection: Connection,
    *,
    order_ids: Collection[str] = (),
    references: Collection[str] = (),
    line_ids: Collection[str] = (),
) -> list[FulfillmentOrder]:
    """Cached orders with any of these ids, normalised references, or lines."""
    by_line = select(order_lines.c.fulfillment_order_id)
    found: dict[str, FulfillmentOrder] = {}
    for column, values in ((fulfillment_orders.c.id, order_ids), (fulfillment_orders.c.reference_key, references)):
        for chunk in _chunks(values):
            found |= {order.id: order for order in _load(connection, column.in_(chunk))}
    for chunk in _chunks(line_ids):
        owners = by_line.where(order_lines.c.line_item_id.in_(chunk))
        found |= {order.id: order for order in _load(connection, fulfillment_orders.c.id.in_(owners))}
    return list(found.values())


def bindings(connection: Connection, shipstation_shipment_ids: Collection[str]) -> dict[str, set[str]]:
    """Which fulfillment orders earlier deliveries bound each ShipStation order to."""
    bound: dict[str, set[str]] = {}
    for chunk in _chunks(shipstation_shipment_ids):
        rows = connection.execute(
            select(deliveries.c.shipstation_shipment_id, deliveries.c.fulfillment_order_id)
            .where(deliveries.c.shipstation_shipment_id.in_(chunk), deliveries.c.fulfillment_order_id.is_not(None))
            .where(or_(deliveries.c.status == "delivered", deliveries.c.rule == "linked"))
            .distinct()
        )
        for shipment_id, order_id in rows:
            bound.setdefault(shipment_id, set()).add(order_id)
    return bound


def _load(connection: Connection, condition: ColumnElement[bool]) -> list[FulfillmentOrder]:
    joined = fulfillment_orders.outerjoin(order_lines)
    query = select(fulfillment_orders, order_lines.c.line_item_id, order_lines.c.sku, order_lines.c.quantity).select_from(joined)
    lines: dict[str, list[OrderLine]] = {}
    heads: dict[str, Any] = {}
    for row in connection.execute(query.where(condition).order_by(fulfillment_orders.c.id, order_lines.c.position)):
        heads[row.id] = row
        lines.setdefault(row.id, [])
        if row.line_item_id is not None:
            lines[row.id].append(OrderLine(id=row.line_item_id, quantity=row.quantity, sku=row.sku))
    return [
        FulfillmentOrder(id=key, reference=row.reference, status=OrderStatus(row.status) if row.status else None, lines=tuple(lines[key]))
        for key, row in heads.items()
    ]


def _chunks(values: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(values)
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))
