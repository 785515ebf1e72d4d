"""The cache of confirmed fulfillment orders, and the row locks under which an order's quantities
are decided."""

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, String, bindparam, delete, insert, or_, select

from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus, normalize_reference
from bridge.domain.shipments import plain_id
from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import deliveries, delivery_records, fulfillment_orders, order_lines

_IDS = bindparam("ids", expanding=True, type_=String)
_FORGET_LINES = delete(order_lines).where(
    order_lines.c.fulfillment_order_id == bindparam("order_id")
)
_LOCK = (
    select(fulfillment_orders.c.id)
    .where(fulfillment_orders.c.id.in_(_IDS))
    .order_by(fulfillment_orders.c.id)
    .with_for_update()
)
_ORDERS = (
    select(
        fulfillment_orders, order_lines.c.line_item_id, order_lines.c.sku, order_lines.c.quantity
    )
    .select_from(fulfillment_orders.outerjoin(order_lines))
    .order_by(fulfillment_orders.c.id, order_lines.c.position)
)
_BY_ID = _ORDERS.where(fulfillment_orders.c.id.in_(_IDS))
_BY_REFERENCE = _ORDERS.where(fulfillment_orders.c.reference_key.in_(_IDS))
_OWNERS = select(order_lines.c.fulfillment_order_id).where(order_lines.c.line_item_id.in_(_IDS))
_BY_LINE = _ORDERS.where(fulfillment_orders.c.id.in_(_OWNERS.correlate(None)))
_BOUND = (
    select(delivery_records.c.order_key, deliveries.c.fulfillment_order_id)
    .join_from(delivery_records, deliveries)
    .where(
        delivery_records.c.order_key.in_(_IDS),
        deliveries.c.fulfillment_order_id.is_not(None),
        or_(deliveries.c.status == "delivered", deliveries.c.rule == "linked"),
    )
    .distinct()
)


def remember(
    connection: Connection,
    orders: Iterable[FulfillmentOrder],
    *,
    now: datetime,
    stored: Iterable[FulfillmentOrder] = (),
    hold: Collection[str] = (),
) -> None:
    """Keep what Purple Dot just said; `stored` are orders as they were read here a moment ago, and
    of those only what changed is written. `hold` are orders to `lock` as well. All in one pass in
    id order, so that two workers never wait for each other in a ring."""
    as_stored = {order.id: order for order in stored}
    changed = {order.id: order for order in orders if as_stored.get(order.id) != order}
    for is_changed, ids in groupby(sorted({*changed, *hold}), key=changed.__contains__):
        if is_changed:
            _upsert(connection, [_head(changed[order_id], now) for order_id in ids])
        else:
            lock(connection, list(ids))
    if not changed:
        return
    connection.execute(_FORGET_LINES, [{"order_id": order_id} for order_id in changed])
    rows = [row for order in changed.values() for row in _line_rows(order)]
    if rows:
        connection.execute(insert(order_lines), rows)


def _upsert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    first = insert_on_conflict(connection, fulfillment_orders)
    newer = {name: first.excluded[name] for name in rows[0] if name != "id"}
    connection.execute(first.on_conflict_do_update(index_elements=["id"], set_=newer), rows)


def _head(order: FulfillmentOrder, now: datetime) -> dict[str, Any]:
    return {
        "id": order.id,
        "reference": order.reference,
        "reference_key": normalize_reference(order.reference),
        "status": order.status,
        "created_at": order.created_at,
        "purchased_at": order.purchased_at,
        "seen_at": now,
    }


def _line_rows(order: FulfillmentOrder) -> Iterable[dict[str, Any]]:
    lines: dict[str, dict[str, Any]] = {}
    for place, line in enumerate(order.lines):
        head = {
            "fulfillment_order_id": order.id,
            "line_item_id": line.id,
            "position": place,
            "sku": line.sku,
            "quantity": 0,
        }
        lines.setdefault(line.id, head)["quantity"] += (
            line.quantity
        )  # A line that is named twice is one, with the units of both.
    return lines.values()


def lock(connection: Connection, order_ids: Collection[str]) -> None:
    """Hold these orders until the transaction ends, so that two decisions about one order come one
    after the other. On SQLite the whole transaction is alone already."""
    if order_ids and connection.dialect.name != "sqlite":
        connection.execute(_LOCK, {"ids": list(order_ids)}).all()


def known(
    connection: Connection,
    *,
    order_ids: Collection[str] = (),
    references: Collection[str] = (),
    line_ids: Collection[str] = (),
) -> list[FulfillmentOrder]:
    """Cached orders with any of these ids, normalized references, or lines."""
    orders: dict[str, FulfillmentOrder] = {}
    for query, values in ((_BY_ID, order_ids), (_BY_REFERENCE, references), (_BY_LINE, line_ids)):
        if values:
            rows = connection.execute(query, {"ids": list(values)})
            orders |= {order.id: order for order in _load(rows)}
    return list(orders.values())


def bindings(
    connection: Connection, shipstation_shipment_ids: Collection[str]
) -> dict[str, set[str]]:
    """Which fulfillment orders earlier deliveries bound each ShipStation order to, whichever API's
    id of it is asked for."""
    keys = {shipstation_id: plain_id(shipstation_id) for shipstation_id in shipstation_shipment_ids}
    by_key: dict[str, set[str]] = {}
    for row in connection.execute(_BOUND, {"ids": list(set(keys.values()))}):
        by_key.setdefault(row.order_key, set()).add(row.fulfillment_order_id)
    return {shipstation_id: by_key[key] for shipstation_id, key in keys.items() if key in by_key}


def _load(rows: Iterable[Row[Any]]) -> list[FulfillmentOrder]:
    lines: dict[str, list[OrderLine]] = {}
    heads: dict[str, Any] = {}
    for row in rows:
        heads[row.id] = row
        lines.setdefault(row.id, [])
        if row.line_item_id is not None:
            lines[row.id].append(OrderLine(id=row.line_item_id, quantity=row.quantity, sku=row.sku))
    return [
        FulfillmentOrder(
            id=key,
            reference=row.reference,
            status=OrderStatus(row.status) if row.status else None,
            lines=tuple(lines[key]),
            created_at=row.created_at,
            purchased_at=row.purchased_at,
        )
        for key, row in heads.items()
    ]
