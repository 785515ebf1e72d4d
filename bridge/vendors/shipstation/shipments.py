"""Shipments: what ShipStation says of a parcel, on either API or inline, in one shape. Nothing is
guessed, nothing fetched.

Every record of a parcel becomes one Shipment, in the records' order; the others (V2's "shipment",
V1's order) lend their clues and items. A record that can't be read becomes a Shipment whose state
is unknown; nothing is raised. V2: https://docs.shipstation.com/openapi/labels and /fulfillments ·
V1: https://www.shipstation.com/docs/api/shipments/list/"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.domain.errors import PayloadError
from bridge.domain.events import Record
from bridge.domain.orders import UUID, sure_references
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentItem, ShipmentState
from bridge.domain.tracking_numbers import tracking_numbers
from bridge.vendors.shipstation.payloads import (
    InlineRow,
    Row,
    UnreadableRow,
    V1Fulfillment,
    V1Item,
    V1Order,
    V1Shipment,
    V2Fulfillment,
    V2Item,
    V2Label,
    V2Shipment,
    parse,
)

Order = V2Shipment | V1Order
Parcel = V2Label | V2Fulfillment | InlineRow | V1Shipment | V1Fulfillment

_ORDER_KINDS = frozenset({"v2_shipment", "v1_order"})
"""Kinds of records that are no parcels themselves."""

_ID, _REFERENCE = ClueKind.ORDER_ID, ClueKind.REFERENCE
_CLUES: dict[str, tuple[ClueKind, ...]] = {
    "external_shipment_id": (_ID, _REFERENCE),
    "orderKey": (_ID, _REFERENCE),
    "shipment_number": (_REFERENCE,),
    "orderNumber": (_REFERENCE,),
    "external_order_id": (_ID, _REFERENCE),
    "custom_field1": (_ID, _REFERENCE),
    "custom_field2": (_ID, _REFERENCE),
    "custom_field3": (_ID, _REFERENCE),
    "customField1": (_ID, _REFERENCE),
    "customField2": (_ID, _REFERENCE),
    "customField3": (_ID, _REFERENCE),
}
"""ShipStation's fields that may name an order, and what a value there can be; the surest first."""
_NUMBERS = frozenset({"shipment_number", "orderNumber", "external_order_id"})
"""Numbers of orders. What stands in another field was written there for whatever purpose, so that
only what surely is a reference counts: `PD15` may be a coupon or a shelf."""


def shipped(records: Sequence[Record]) -> list[Shipment]:
    """Labels, and what was marked as shipped; also those that were voided or come back, as their
    state says."""
    orders = _orders(records)
    return [_parcel(record, orders) for record in records if record.kind not in _ORDER_KINDS]


def rejected(records: Sequence[Record]) -> list[Shipment]:
    """What a fulfillment provider refused, on either API. Nothing left, so it has no number: a
    parcel that leaves later is another shipment.

    Among several rows, one with a number is no refused one, and keeps its own state. Where
    ShipStation lists no fulfillment, its order itself is what was refused."""
    orders = _orders(records)
    rows = [
        _parcel(record, orders)
        for record in records
        if record.kind in {"v2_fulfillment", "v1_fulfillment"}
    ]
    if len(rows) > 1:
        return [row if row.tracking_number else _refused(row) for row in rows]
    if not rows:
        rows = [
            _shipment(record, orders[record.record_id], orders)
            for record in records
            if record.record_id in orders
        ]
    return [_refused(row) for row in rows]


def shipment_of(record: Record) -> Shipment:
    """One record of a parcel by itself, whose order nobody asked for: without goods, and with its
    own state."""
    shipment = _parcel(record, {})
    return replace(shipment, state=state_of(record))


def state_of(record: Record) -> ShipmentState:
    """The state of one record of a parcel by itself, such as a label that was just read again."""
    row = _readable(record)
    return _own_state(row) if isinstance(row, Parcel) else ShipmentState.UNKNOWN


def _refused(shipment: Shipment) -> Shipment:
    return replace(
        shipment,
        state=ShipmentState.REJECTED,
        tracking_number=None,
        all_tracking_numbers=(),
    )


def _readable(record: Record) -> Row:
    try:
        return parse(record)
    except PayloadError as exc:
        return UnreadableRow(unreadable=str(exc))


def _orders(records: Sequence[Record]) -> dict[str, Order]:
    orders: dict[str, Order] = {}
    for record in records:
        row = _readable(record) if record.kind in _ORDER_KINDS else None
        if isinstance(row, Order):
            orders[record.record_id] = row
    return orders


def _parcel(record: Record, orders: Mapping[str, Order]) -> Shipment:
    row = _readable(record)
    if not isinstance(row, Parcel):
        problem = row.unreadable if isinstance(row, UnreadableRow) else "it is no parcel"
        return Shipment(
            record_kind=record.kind,
            record_id=record.record_id,
            state=ShipmentState.UNKNOWN,
            order_is_read=False,
            problem=problem,
        )
    numbers = _numbers(row)
    # What somebody wrote instead of a number is not for a package's number to mend.
    has_words = row.tracking_number is not None and not tracking_numbers(row.tracking_number)
    return replace(
        _shipment(record, row, orders),
        tracking_number=None if has_words else next(iter(numbers), None),
        all_tracking_numbers=numbers,
        carrier_code=None if isinstance(row, V2Fulfillment) else row.carrier_code,
        carrier_name=_carrier_name(row),
        tracking_url=row.tracking_url if isinstance(row, V2Label) else None,
        ship_date=row.ship_date,
        notify_customer=row.notify_customer if isinstance(row, InlineRow) else None,
        service_code=_service_code(row),
    )


def _numbers(row: Parcel) -> tuple[str, ...]:
    """The parcel's own numbers, then those of its packages."""
    texts = [row.tracking_number]
    if isinstance(row, V2Label):
        texts += [package.tracking_number for package in row.packages]
    return tuple(dict.fromkeys(number for text in texts for number in tracking_numbers(text)))


def _carrier_name(row: Parcel) -> str | None:
    return row.fulfillment_carrier_friendly_name if isinstance(row, V2Fulfillment) else None


def _service_code(row: Parcel) -> str | None:
    if isinstance(row, V2Label | V1Shipment):
        return row.service_code
    return row.fulfillment_service_code if isinstance(row, V2Fulfillment | V1Fulfillment) else None


def _shipment(record: Record, row: Parcel | Order, orders: Mapping[str, Order]) -> Shipment:
    """What parcels and orders have in common."""
    order_id = _order_id(row)
    order = orders.get(order_id or "")
    items = _items(row, order)
    return Shipment(
        record_kind=record.kind,
        record_id=record.record_id,
        state=_state(row, order),
        shipstation_shipment_id=order_id,
        order_number=_order_number(row) or _order_number(order),
        clues=_clues(order, row),
        items=items,
        order_is_read=order is not None,
        merged_ids=_merged_ids(order, items),
    )


def _order_id(row: Parcel | Order) -> str | None:
    if isinstance(row, V1Shipment | V1Fulfillment | V1Order):
        return row.order_id
    return row.shipment_id


def _order_number(row: Parcel | Order | None) -> str | None:
    if isinstance(row, V1Shipment | V1Fulfillment | V1Order):
        return row.order_number
    return row.shipment_number if isinstance(row, V2Fulfillment | V2Shipment) else None


def _state(row: Parcel | Order, order: Order | None) -> ShipmentState:
    if not isinstance(row, Parcel):
        return ShipmentState.SHIPPED
    state = _own_state(row)
    is_over = state in {ShipmentState.VOIDED, ShipmentState.RETURN}
    if not is_over and isinstance(order, V2Shipment) and order.is_return:
        return ShipmentState.RETURN
    # A V1 label names its goods itself; for every other record only the order does.
    if state is ShipmentState.SHIPPED and order is None and not isinstance(row, V1Shipment):
        return ShipmentState.ORDER_MISSING
    return state


def _own_state(row: Parcel) -> ShipmentState:
    if isinstance(row, InlineRow):
        return ShipmentState.SHIPPED
    status = (row.status or "completed").casefold() if isinstance(row, V2Label) else "completed"
    if row.voided or status in {"voided", "error"}:
        return ShipmentState.VOIDED
    if row.is_return_label:
        return ShipmentState.RETURN
    if row.void_requested:
        return ShipmentState.VOID_REQUESTED
    if status != "completed":
        # A status that we don't know is no promise that goods leave.
        is_processing = status == "processing"
        return ShipmentState.PROCESSING if is_processing else ShipmentState.UNKNOWN
    # The number can come a moment after the label.
    is_unnumbered = row.tracking_number is None and not _numbers(row)
    is_awaited = isinstance(row, V2Label | V1Shipment) and is_unnumbered
    return ShipmentState.AWAITING_NUMBER if is_awaited else ShipmentState.SHIPPED


def _clues(*rows: Parcel | Order | None) -> tuple[Clue, ...]:
    """Each value once, under the surest field that holds it, the order's own word before what a
    parcel repeats of it."""
    bodies = [row.model_dump(by_alias=True) for row in rows if row]
    for body in bodies:
        body.update(body.pop("advanced_options", None) or body.pop("advancedOptions", None) or {})
    values = [(field, str(body[field])) for field in _CLUES for body in bodies if body.get(field)]
    clues: dict[tuple[ClueKind, str], Clue] = {}
    for kind in ClueKind:
        for field, value in values:
            if kind in _CLUES[field]:
                for text in _texts_of(kind, field, value):
                    clues.setdefault((kind, text), Clue(kind, field, text))
    return tuple(clues.values())


def _texts_of(kind: ClueKind, field: str, value: str) -> Sequence[str]:
    if kind is _ID:
        return UUID.findall(value)
    return _references_in(value) if field in _NUMBERS else sure_references(value)


def _references_in(value: str) -> list[str]:
    """ShipStation's automatic `SEAuto-…` names nobody."""
    is_automatic = value.casefold().startswith("seauto-")
    text = UUID.sub("", value).strip()
    return [text] if text and not is_automatic else []


def _merged_ids(order: Order | None, items: Sequence[ShipmentItem]) -> tuple[str, ...]:
    """Ids of the orders whose goods may be in the parcel together; empty for a single one.
    https://docs.shipstation.com/split-merge-shipments"""
    if isinstance(order, V1Order):
        merged = [order_id for order_id in order.advanced_options.merged_ids if order_id]
        return tuple(dict.fromkeys([order.order_id, *merged])) if merged else ()
    named = [item.sales_order_id for item in items]
    in_items = {sales_order_id for sales_order_id in named if sales_order_id}
    if in_items and all(named):
        # Each item says whose it is, so what else the shipment is linked to left elsewhere.
        return tuple(sorted(in_items)) if len(in_items) > 1 else ()
    of_order = order.sales_order_ids if isinstance(order, V2Shipment) else []
    ids = dict.fromkeys([*filter(None, of_order), *sorted(in_items)])
    return tuple(ids) if len(ids) > 1 else ()


def _items(row: Parcel | Order, order: Order | None) -> tuple[ShipmentItem, ...]:
    """A V1 label's own items, never its order's: one that names none (a replacement, say) would
    then ship the whole order."""
    if isinstance(row, V1Shipment):
        return _v1_items(row.shipment_items)
    if isinstance(order, V1Order):
        return _v1_items(order.items)
    return tuple(_v2_item(item) for item in order.items) if order else ()


def _v2_item(item: V2Item) -> ShipmentItem:
    order = item.external_order_id or ""
    order_ids = UUID.findall(order)
    is_bundled = item.bundle_sku is not None and item.bundle_sku != item.sku
    quantity, unreadable = _units(item.quantity)
    return ShipmentItem(
        quantity=quantity,
        sku=item.sku,
        line_item_id=_line_id(item.external_order_item_id),
        order_id=order_ids[0] if len(order_ids) == 1 else None,
        order_reference=order if order and not order_ids else None,
        sales_order_id=item.sales_order_id,
        bundle_sku=item.bundle_sku if is_bundled else None,
        unreadable_quantity=unreadable,
    )


def _v1_items(items: Sequence[V1Item]) -> tuple[ShipmentItem, ...]:
    """V1's discounts and fees stand among the items as adjustments, and are no goods. A row can
    come twice under one orderItemId: that is one row, if nothing in it differs."""
    rows: dict[tuple[str | int, str | None, str | None], ShipmentItem] = {}
    for place, item in enumerate(items):
        if item.adjustment:
            continue
        key = (item.order_item_id or place, item.sku, item.line_item_key)
        read = _v1_item(item)
        rows[key] = _one_of_two(rows.get(key, read), read)
    return tuple(rows.values())


def _v1_item(item: V1Item) -> ShipmentItem:
    quantity, unreadable = _units(item.quantity)
    return ShipmentItem(
        quantity=quantity,
        sku=item.sku,
        line_item_id=_line_id(item.line_item_key),
        unreadable_quantity=unreadable,
    )


def _line_id(key: str | None) -> str | None:
    """A line's id, without what some system wrote beside one of Purple Dot's form."""
    ids = UUID.findall(key or "")
    return ids[0] if len(ids) == 1 else key


def _one_of_two(first: ShipmentItem, second: ShipmentItem) -> ShipmentItem:
    """One row of two that claim to be the same: where their quantities differ, neither is known."""
    written = [_written(item) for item in (first, second)]
    if written[0] == written[1]:
        return first
    return replace(first, quantity=0, unreadable_quantity=" or ".join(written))


def _written(item: ShipmentItem) -> str:
    return item.unreadable_quantity or str(item.quantity)


def _units(quantity: int | str | None) -> tuple[int, str | None]:
    """Whole units, or 0 and what ShipStation gives instead."""
    if isinstance(quantity, int) and quantity > 0:
        return quantity, None
    return 0, "no quantity" if quantity is None else str(quantity)
