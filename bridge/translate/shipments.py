"""Shipments: what ShipStation told us, on either API or inline, in one shape. Nothing is guessed, nothing fetched.

Each function is given all records of one event and makes one Shipment of every record that tells of a parcel, in the records' order;
the others (V2's "shipment", V1's order) lend their clues and items. PayloadError for a record not of its shape, and no other error.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from bridge.errors import PayloadError
from bridge.events import Record
from bridge.shipments import Clue, ClueKind, Shipment, ShipmentItem, ShipmentState
from bridge.shipstation.payloads import (
    InlineRow,
    Row,
    V1Fulfillment,
    V1Item,
    V1Order,
    V1Shipment,
    V2Fulfillment,
    V2Label,
    V2Shipment,
    parse,
)
from bridge.translate.matching import is_uuid

R = TypeVar("R", bound=Row)
Named = tuple[str, str | None]
"""(ShipStation's field, its value)."""


def labels(records: Sequence[Record]) -> list[Shipment]:
    """V2 labels, with the items of their V2 shipments. https://docs.shipstation.com/openapi/labels"""
    orders = _by_id(records, "v2_shipment", V2Shipment)
    return [_label(label, orders.get(label.shipment_id or "")) for label in _rows(records, "v2_label", V2Label)]


def fulfillments(records: Sequence[Record]) -> list[Shipment]:
    """V2 orders that were marked as shipped, with the items of their V2 shipments. https://docs.shipstation.com/openapi/fulfillments"""
    orders = _by_id(records, "v2_shipment", V2Shipment)
    rows = _rows(records, "v2_fulfillment", V2Fulfillment)
    return [_fulfillment(row, orders.get(row.shipment_id or "")) for row in rows]


def v1_shipments(records: Sequence[Record]) -> list[Shipment]:
    """V1 labels, with their own items only. https://www.shipstation.com/docs/api/shipments/list/"""
    orders = _by_id(records, "v1_order", V1Order)
    return [_v1_shipment(row, orders.get(row.order_id or "")) for row in _rows(records, "v1_shipment", V1Shipment)]


def v1_fulfillments(records: Sequence[Record]) -> list[Shipment]:
    """V1 orders that were marked as shipped, with the order's items. https://www.shipstation.com/docs/api/fulfillments/list-fulfillments/"""
    orders = _by_id(records, "v1_order", V1Order)
    return [_v1_fulfillment(row, orders.get(row.order_id or "")) for row in _rows(records, "v1_fulfillment", V1Fulfillment)]


def inline(records: Sequence[Record]) -> list[Shipment]:
    """Rows that a warehouse system told us itself, with the items of their V2 shipments."""
    orders = _by_id(records, "v2_shipment", V2Shipment)
    return [_inline(row, orders.get(row.shipment_id)) for row in _rows(records, "inline_row", InlineRow)]


def rejected(records: Sequence[Record]) -> list[Shipment]:
    """What a fulfilment provider refused, on either API. Nothing left, so it has no number: a parcel that leaves later is another shipment.
    Where ShipStation lists no fulfillment, its order itself is what was refused."""
    refused = [*fulfillments(records), *v1_fulfillments(records)] or [
        *(_v2_order(order) for order in _rows(records, "v2_shipment", V2Shipment)),
        *(_v1_order(order) for order in _rows(records, "v1_order", V1Order)),
    ]
    return [replace(row, state=ShipmentState.REJECTED, tracking_number=None, all_tracking_numbers=()) for row in refused]


_OF_KIND: dict[str, Callable[[Sequence[Record]], list[Shipment]]] = {
    "v2_label": labels,
    "v2_fulfillment": fulfillments,
    "v1_shipment": v1_shipments,
    "v1_fulfillment": v1_fulfillments,
    "inline_row": inline,
}


def state_of(record: Record) -> ShipmentState:
    """The state of one record that tells of a parcel, such as a label that was just read again."""
    return _OF_KIND[record.kind]([record])[0].state


def _label(label: V2Label, order: V2Shipment | None) -> Shipment:
    status = (label.status or "completed").casefold()
    return Shipment(
        record_kind="v2_label",
        record_id=label.label_id,
        state=_state(
            is_void=label.voided or status in {"voided", "error"},
            is_return=label.is_return_label or (order is not None and order.is_return),
            # The number can come a moment after the label; a status that we don't know is no promise that goods leave.
            is_finished=status == "completed" and label.tracking_number is not None,
        ),
        shipstation_shipment_id=label.shipment_id,
        order_number=order.shipment_number if order else None,
        clues=_v2_clues(order, ids=[("external_shipment_id", label.external_shipment_id), ("external_order_id", label.external_order_id)]),
        items=_v2_items(order),
        tracking_number=label.tracking_number,
        all_tracking_numbers=_numbers(label.tracking_number, *(package.tracking_number for package in label.packages)),
        carrier_code=label.carrier_code,
        tracking_url=label.tracking_url,
        ship_date=label.ship_date,
    )


def _fulfillment(row: V2Fulfillment, order: V2Shipment | None) -> Shipment:
    return Shipment(
        record_kind="v2_fulfillment",
        record_id=row.fulfillment_id,
        state=_state(is_void=row.voided or row.void_requested, is_return=order is not None and order.is_return),
        shipstation_shipment_id=row.shipment_id,
        order_number=row.shipment_number or (order.shipment_number if order else None),
        clues=_v2_clues(order, number=row.shipment_number),
        items=_v2_items(order),
        tracking_number=row.tracking_number,
        all_tracking_numbers=_numbers(row.tracking_number),
        carrier_name=row.fulfillment_carrier_friendly_name,
        ship_date=row.ship_date,
    )


def _inline(row: InlineRow, order: V2Shipment | None) -> Shipment:
    return Shipment(
        record_kind="inline_row",
        record_id=f"{row.shipment_id}:{row.tracking_number}",
        state=_state(is_return=order is not None and order.is_return),
        shipstation_shipment_id=row.shipment_id,
        order_number=order.shipment_number if order else None,
        clues=_v2_clues(order),
        items=_v2_items(order),
        tracking_number=row.tracking_number,
        all_tracking_numbers=_numbers(row.tracking_number),
        carrier_code=row.carrier_code,
        ship_date=row.ship_date,
        notify_customer=row.notify_customer,
    )


def _v1_shipment(row: V1Shipment, order: V1Order | None) -> Shipment:
    return Shipment(
        record_kind="v1_shipment",
        record_id=row.shipment_id,
        state=_state(is_void=row.voided, is_return=row.is_return_label, is_finished=row.tracking_number is not None),
        shipstation_shipment_id=row.order_id,
        order_number=row.order_number or (order.order_number if order else None),
        clues=_v1_clues(order, key=row.order_key, number=row.order_number),
        # Never the order's items: a label that names none (a replacement, say) would then ship the whole order.
        items=_v1_items(row.shipment_items),
        tracking_number=row.tracking_number,
        all_tracking_numbers=_numbers(row.tracking_number),
        carrier_code=row.carrier_code,
        ship_date=row.ship_date,
    )


def _v1_fulfillment(row: V1Fulfillment, order: V1Order | None) -> Shipment:
    return Shipment(
        record_kind="v1_fulfillment",
        record_id=row.fulfillment_id,
        state=_state(is_void=row.voided or row.void_requested),
        shipstation_shipment_id=row.order_id,
        order_number=row.order_number or (order.order_number if order else None),
        clues=_v1_clues(order, number=row.order_number),
        items=_v1_items(order.items if order else []),
        tracking_number=row.tracking_number,
        all_tracking_numbers=_numbers(row.tracking_number),
        carrier_code=row.carrier_code,
        ship_date=row.ship_date,
    )


def _v2_order(order: V2Shipment) -> Shipment:
    return Shipment(
        record_kind="v2_shipment",
        record_id=order.shipment_id,
        state=_state(),
        shipstation_shipment_id=order.shipment_id,
        order_number=order.shipment_number,
        clues=_v2_clues(order),
        items=_v2_items(order),
    )


def _v1_order(order: V1Order) -> Shipment:
    return Shipment(
        record_kind="v1_order",
        record_id=order.order_id,
        state=_state(),
        shipstation_shipment_id=order.order_id,
        order_number=order.order_number,
        clues=_v1_clues(order),
        items=_v1_items(order.items),
    )


def _state(*, is_void: bool = False, is_return: bool = False, is_finished: bool = True) -> ShipmentState:
    if is_void:
        return ShipmentState.VOIDED
    if is_return:
        return ShipmentState.RETURN
    return ShipmentState.SHIPPED if is_finished else ShipmentState.PROCESSING


def _v2_clues(order: V2Shipment | None, *, ids: Iterable[Named] = (), number: str | None = None) -> tuple[Clue, ...]:
    """The order's own word goes before what a label (`ids`) or a fulfillment (`number`) repeats of it."""
    if order is None:
        return _clues(ids=ids, references=[("shipment_number", number)])
    options = order.advanced_options
    custom = [("custom_field1", options.custom_field1), ("custom_field2", options.custom_field2), ("custom_field3", options.custom_field3)]
    own = [("external_shipment_id", order.external_shipment_id), ("external_order_id", order.external_order_id)]
    return _clues(
        ids=[*sorted([*own, *ids], key=lambda named: named[0] != "external_shipment_id"), *custom],
        references=[("shipment_number", order.shipment_number), ("shipment_number", number), *custom, own[1]],
    )


def _v1_clues(order: V1Order | None, *, key: str | None = None, number: str | None = None) -> tuple[Clue, ...]:
    """Custom fields stand on the V1 order alone, never on its shipments."""
    if order is None:
        return _clues(ids=[("orderKey", key)], references=[("orderNumber", number)])
    options = order.advanced_options
    custom = [("customField1", options.custom_field1), ("customField2", options.custom_field2), ("customField3", options.custom_field3)]
    return _clues(
        ids=[("orderKey", key), ("orderKey", order.order_key), *custom],
        references=[("orderNumber", number), ("orderNumber", order.order_number), *custom],
    )


def _clues(*, ids: Iterable[Named], references: Iterable[Named]) -> tuple[Clue, ...]:
    """Each value once, under the first field that holds it. An id must look like one; ShipStation's automatic `SEAuto-…` names nobody."""
    told = [Clue(ClueKind.ORDER_ID, field, value) for field, value in ids if value and is_uuid(value)]
    told += [Clue(ClueKind.REFERENCE, field, value) for field, value in references if value and _may_be_reference(value)]
    first: dict[tuple[ClueKind, str], Clue] = {}
    for clue in told:
        first.setdefault((clue.kind, clue.value), clue)
    return tuple(first.values())


def _may_be_reference(value: str) -> bool:
    return not is_uuid(value) and not value.casefold().startswith("seauto-")


def _v2_items(order: V2Shipment | None) -> tuple[ShipmentItem, ...]:
    return tuple(
        ShipmentItem(
            quantity=item.quantity,
            sku=item.sku,
            line_item_id=item.external_order_item_id,
            order_id=item.external_order_id,
            name=item.name,
        )
        for item in (order.items if order else [])
        if item.quantity > 0
    )


def _v1_items(items: Iterable[V1Item]) -> tuple[ShipmentItem, ...]:
    """Discounts and fees stand among the items as adjustments; and a row can come twice under one orderItemId."""
    return tuple(
        ShipmentItem(quantity=item.quantity, sku=item.sku, line_item_id=item.line_item_key, name=item.name)
        for item in _once(items)
        if item.quantity > 0 and not item.adjustment
    )


def _once(items: Iterable[V1Item]) -> Iterator[V1Item]:
    seen: set[str] = set()
    for item in items:
        if item.order_item_id is None or item.order_item_id not in seen:
            seen.add(item.order_item_id or "")
            yield item


def _numbers(*numbers: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(number for number in numbers if number))


def _by_id(records: Sequence[Record], kind: str, model: type[R]) -> dict[str, R]:
    rows = ((record.record_id, _parsed(record, model)) for record in records if record.kind == kind)
    return dict(rows)


def _rows(records: Sequence[Record], kind: str, model: type[R]) -> list[R]:
    return [_parsed(record, model) for record in records if record.kind == kind]


def _parsed(record: Record, model: type[R]) -> R:
    row = parse(record)
    if not isinstance(row, model):
        raise PayloadError(f"{record.kind} {record.record_id} is no {model.__name__}")
    return row
