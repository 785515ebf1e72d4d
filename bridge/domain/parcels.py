"""Parcel: what the vendor's records say left together. It has every record that speaks of it, with
the ids of either API, and every spelling of its numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.domain.shipments import Shipment, api_family, plain_id
from bridge.domain.tracking_numbers import normalize_tracking

LABEL_KINDS = frozenset({"v1_shipment", "v2_label"})
"""V1 calls a label a shipment; its shipmentId is V2's label_id without `se-`.
https://docs.shipstation.com/orders/legacy-migration"""


@dataclass(frozen=True, slots=True)
class RecordRef:
    """One record of the vendor: its kind, its id, and the ShipStation order that it is of."""

    kind: str
    record_id: str
    order_id: str | None = None

    @property
    def family(self) -> str:
        return api_family(self.kind)

    @property
    def key(self) -> str:
        """Equal for both APIs' records of one label."""
        if self.kind in LABEL_KINDS:
            return f"label:{plain_id(self.record_id)}"
        return f"{self.kind}:{self.record_id}"

    @property
    def order_key(self) -> str | None:
        """Equal for both APIs' ids of one ShipStation order."""
        return plain_id(self.order_id) or None


@dataclass(frozen=True, slots=True)
class Parcel:
    """`numbers` are normalized, so that two spellings of one are one."""

    records: tuple[RecordRef, ...] = ()
    numbers: frozenset[str] = frozenset()


def record_of_shipment(shipment: Shipment) -> RecordRef:
    """The record that a shipment was made from."""
    return RecordRef(shipment.record_kind, shipment.record_id, shipment.shipstation_shipment_id)


def numbers_of(shipment: Shipment) -> frozenset[str]:
    """All numbers of a shipment, normalized; empty where it has none."""
    texts = (shipment.tracking_number, *shipment.all_tracking_numbers)
    return frozenset(normalize_tracking(text) for text in texts) - {""}


def parcel_of(shipment: Shipment) -> Parcel:
    """A parcel that only this shipment speaks of."""
    return Parcel((record_of_shipment(shipment),), numbers_of(shipment))


def joined(parcel: Parcel, shipment: Shipment) -> Parcel:
    """A parcel that this shipment speaks of as well."""
    record = record_of_shipment(shipment)
    numbers = parcel.numbers | numbers_of(shipment)
    if record in parcel.records:
        return Parcel(parcel.records, numbers)
    others = [other for other in parcel.records if not _is_same(other, record)]
    return Parcel((*others, record), numbers)


def record_keys(shipments: Iterable[Shipment]) -> set[str]:
    """Under which any delivery of these records is stored."""
    return {record_of_shipment(shipment).key for shipment in shipments}


def outlasts(record: RecordRef, void: RecordRef) -> bool:
    """Whether a parcel that `record` reports as well may have left although `void` is void: another
    one of its kind with the same number, or a label beside a mark. A mark beside a void label only
    repeats its number; and what the other API shows may be the same thing."""
    if record.kind == void.kind:
        return record.record_id != void.record_id
    return record.kind in LABEL_KINDS and void.kind not in LABEL_KINDS


def _is_same(record: RecordRef, other: RecordRef) -> bool:
    return (record.kind, record.record_id) == (other.kind, other.record_id)
