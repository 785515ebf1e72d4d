"""Whether a shipment is a parcel that is known already: decided by the vendor's records, never by a
number alone."""

from collections import Counter
from enum import StrEnum

from bridge.domain.parcels import LABEL_KINDS, Parcel, RecordRef, numbers_of, record_of_shipment
from bridge.domain.shipments import Shipment, plain_id
from bridge.translate.matching import sku_key


class Sameness(StrEnum):
    """How a shipment stands to a known parcel."""

    SAME_RECORD = "same_record"
    """The very record, or the other API's record of the same label; its number may be new."""
    SAME_PARCEL = "same_parcel"
    """Another record of the same parcel."""
    UNCLEAR = "unclear"
    """One number for what may be one parcel or two; nothing says which."""
    OTHER = "other"


def compare(shipment: Shipment, parcel: Parcel, contents: Shipment) -> Sameness:
    """`contents` is what the known parcel held when it was decided.

    V1's orderId N is V2's `se-N`, and V1's shipmentId its label_id: that is documented, but no
    parcel seen through both APIs was ever published. So these ids count as evidence, and only
    beside other evidence."""
    record = record_of_shipment(shipment)
    if any(_is_same_record(record, other) for other in parcel.records):
        return Sameness.SAME_RECORD
    if parcel.numbers.isdisjoint(numbers_of(shipment)):
        return Sameness.OTHER
    return _by_orders(record, parcel) or _by_contents(shipment, contents)


def _is_same_record(record: RecordRef, other: RecordRef) -> bool:
    if record.kind == other.kind:
        return record.record_id == other.record_id
    # One label seen through both APIs: the id of its order must agree as well.
    has_order = record.order_key is not None
    return record.key == other.key and has_order and record.order_key == other.order_key


def _by_orders(record: RecordRef, parcel: Parcel) -> Sameness | None:
    """What the ShipStation orders of both say; None where they say nothing for certain."""
    others = [other for other in parcel.records if other.order_key is not None]
    if record.order_key is None or not others:
        return None
    if any(other.order_key == record.order_key for other in others):
        return Sameness.SAME_PARCEL
    if any(other.family == record.family for other in others):
        # Two ShipStation orders in one box, under one number.
        return Sameness.OTHER
    return None


def _by_contents(shipment: Shipment, contents: Shipment) -> Sameness:
    """What the contents of both say, where their orders are of two APIs and don't agree."""
    mine, theirs = _units_of(shipment), _units_of(contents)
    if mine and theirs and mine != theirs:
        return Sameness.OTHER
    if {shipment.record_kind, contents.record_kind} <= LABEL_KINDS:
        return Sameness.SAME_PARCEL  # No two labels were ever sold with one number.
    ids = (shipment.shipstation_shipment_id, contents.shipstation_shipment_id)
    # V2's ids with letters have no form in V1, so there is nothing that could agree.
    are_comparable = all(plain_id(shipstation_id).isdecimal() for shipstation_id in ids)
    return Sameness.UNCLEAR if are_comparable else Sameness.SAME_PARCEL


def _units_of(shipment: Shipment) -> Counter[str]:
    units: Counter[str] = Counter()
    for item in shipment.items:
        name = item.sku or item.line_item_id
        units[sku_key(name)] += item.quantity
    return units
