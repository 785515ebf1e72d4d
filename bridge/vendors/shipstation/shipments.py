"""Shipments: what ShipStation told us, on either API or inline, in one shape. Nothing is guessed,
nothing fetched.

Every record that tells of a parcel becomes one Shipment, in the records' order; the others (V2's
"shipment", V1's order) lend their clues and items. PayloadError for a record not of its shape, and
no other error. V2: https://docs.shipstation.com/openapi/labels and /fulfillments · V1:
https://www.shipstation.com/docs/api/shipments/list/"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.domain.errors import PayloadError
from bridge.domain.events import Record
from bridge.domain.orders import is_uuid
from bridge.domain.shipments import (
    Clue,
    ClueKind,
    Shipment,
    ShipmentItem,
    ShipmentState,
    normalize_tracking,
)
from bridge.vendors.shipstation.payloads import (
    InlineRow,
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

_ORDERS = frozenset({"v2_shipment", "v1_order"})
"""Kinds of records that tell of no parcel themselves."""

_ID, _REFERENCE = ClueKind.ORDER_ID, ClueKind.REFERENCE
_CLUES: dict[str, tuple[ClueKind, ...]] = {
    "external_shipment_id": (_ID,),
    "orderKey": (_ID,),
    "shipment_number": (_REFERENCE,),
    "orderNumber": (_REFERENCE,),
    "external_order_id": (_ID, _REFERENCE),
    **{
        f"{field}{n}": (_ID, _REFERENCE)
        for field in ("custom_field", "customField")
        for n in (1, 2, 3)
    },
}
"""ShipStation's fields that may name an order, and what a value there can be; the surest first."""


def shipped(records: Sequence[Record]) -> list[Shipment]:
    """Labels, and what was marked as shipped; also those that were voided or come back, as their
    state says."""
    orders = _orders(records)
    return [_parcel(record, orders) for record in records if record.kind not in _ORDERS]


def rejected(records: Sequence[Record]) -> list[Shipment]:
    """What a fulfillment provider refused, on either API. Nothing left, so it has no number: a
    parcel that leaves later is another shipment. Where ShipStation lists no fulfillment, its order
    itself is what was refused."""
    orders = _orders(records)
    refused = [
        _parcel(record, orders)
        for record in records
        if record.kind in {"v2_fulfillment", "v1_fulfillment"}
    ]
    refused = refused or [
        _shipment(record, orders[record.record_id], orders)
        for record in records
        if record.kind in _ORDERS
    ]
    return [
        replace(row, state=ShipmentState.REJECTED, tracking_number=None, all_tracking_numbers=())
        for row in refused
    ]


def state_of(record: Record) -> ShipmentState:
    """The state of one record that tells of a parcel, such as a label that was just read again."""
    return _parcel(record, {}).state


def _orders(records: Sequence[Record]) -> dict[str, Order]:
    rows = {record.record_id: parse(record) for record in records if record.kind in _ORDERS}
    return {record_id: row for record_id, row in rows.items() if isinstance(row, Order)}


def _parcel(record: Record, orders: Mapping[str, Order]) -> Shipment:
    row = parse(record)
    if not isinstance(row, Parcel):
        raise PayloadError(f"{record.kind} {record.record_id} tells of no parcel")
    # A placeholder is no number: two parcels with "N/A" are two.
    told = [
        row.tracking_number,
        *(
            package.tracking_number
            for package in (row.packages if isinstance(row, V2Label) else ())
        ),
    ]
    numbers = tuple(
        dict.fromkeys(number for number in told if number and normalize_tracking(number))
    )
    return replace(
        _shipment(record, row, orders),
        tracking_number=row.tracking_number if row.tracking_number in numbers else None,
        all_tracking_numbers=numbers,
        carrier_code=None if isinstance(row, V2Fulfillment) else row.carrier_code,
        carrier_name=row.fulfillment_carrier_friendly_name
        if isinstance(row, V2Fulfillment)
        else None,
        tracking_url=row.tracking_url if isinstance(row, V2Label) else None,
        ship_date=row.ship_date,
        notify_customer=row.notify_customer if isinstance(row, InlineRow) else None,
    )


def _shipment(record: Record, row: Parcel | Order, orders: Mapping[str, Order]) -> Shipment:
    """What parcels and orders have in common."""
    order_id = (
        row.order_id if isinstance(row, V1Shipment | V1Fulfillment | V1Order) else row.shipment_id
    )
    order = orders.get(order_id or "")
    numbers = [
        getattr(told, field, None)
        for told in (row, order)
        for field in ("shipment_number", "order_number")
    ]
    # Never the order's items for a V1 label: one that names none (a replacement, say) would then
    # ship the whole order.
    items: Sequence[V2Item | V1Item] = (
        row.shipment_items if isinstance(row, V1Shipment) else order.items if order else ()
    )
    return Shipment(
        record_kind=record.kind,
        record_id=record.record_id,
        state=_state(row, order),
        shipstation_shipment_id=order_id,
        order_number=next(filter(None, numbers), None),
        clues=_clues(order, row),
        items=_items(items),
    )


def _state(row: Parcel | Order, order: Order | None) -> ShipmentState:
    status = (row.status or "completed").casefold() if isinstance(row, V2Label) else "completed"
    if (
        getattr(row, "voided", False)
        or getattr(row, "void_requested", False)
        or status in {"voided", "error"}
    ):
        return ShipmentState.VOIDED
    if getattr(row, "is_return_label", False) or getattr(order, "is_return", False):
        return ShipmentState.RETURN
    if status != "completed":  # A status that we don't know is no promise that goods leave.
        return ShipmentState.PROCESSING
    # The number can come a moment after the label.
    is_awaited = isinstance(row, V2Label | V1Shipment) and row.tracking_number is None
    return ShipmentState.AWAITING_NUMBER if is_awaited else ShipmentState.SHIPPED


def _clues(*rows: Parcel | Order | None) -> tuple[Clue, ...]:
    """Each value once, under the surest field that holds it, the order's own word before what a
    parcel repeats of it. An id must look like one; ShipStation's automatic `SEAuto-…` names
    nobody."""
    bodies = [row.model_dump(by_alias=True) for row in rows if row]
    told = [
        body | (body.get("advanced_options") or body.get("advancedOptions") or {})
        for body in bodies
    ]
    named = [(field, str(body[field])) for field in _CLUES for body in told if body.get(field)]
    clues: dict[tuple[ClueKind, str], Clue] = {}
    for kind in ClueKind:
        for field, value in named:
            is_likely = (
                is_uuid(value)
                if kind is _ID
                else not is_uuid(value) and not value.casefold().startswith("seauto-")
            )
            if kind in _CLUES[field] and is_likely:
                clues.setdefault((kind, value), Clue(kind, field, value))
    return tuple(clues.values())


def _items(items: Sequence[V2Item | V1Item]) -> tuple[ShipmentItem, ...]:
    """V1's discounts and fees stand among the items as adjustments; and a row can come twice under
    one orderItemId."""
    told: dict[str | int, ShipmentItem] = {}
    for place, item in enumerate(items):
        if isinstance(item, V2Item):
            line_id, order_id = item.external_order_item_id, item.external_order_id
            told[place] = ShipmentItem(
                quantity=item.quantity,
                sku=item.sku,
                line_item_id=line_id,
                order_id=order_id,
                name=item.name,
            )
        else:
            units = 0 if item.adjustment else item.quantity
            ours = ShipmentItem(
                quantity=units, sku=item.sku, line_item_id=item.line_item_key, name=item.name
            )
            told.setdefault(item.order_item_id or place, ours)
    return tuple(item for item in told.values() if item.quantity > 0)
