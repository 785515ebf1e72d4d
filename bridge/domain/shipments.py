"""Shipment: goods sent, with carrier and number, whichever of ShipStation's records reported it.
One shape for all of them."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal, NamedTuple


class ShipmentState(StrEnum):
    """Only `shipped` leads to a fulfillment."""

    SHIPPED = "shipped"
    PROCESSING = "processing"
    AWAITING_NUMBER = "awaiting_number"
    ORDER_MISSING = "order_missing"
    """ShipStation does not show the order behind it, so nobody can tell what it is."""
    VOID_REQUESTED = "void_requested"
    """Somebody asked for a void; the provider may still refuse it, and then the parcel leaves."""
    UNKNOWN = "unknown"
    """It has a status that we don't know, or its row can't be read."""
    UNSETTLED = "unsettled"
    """A void that was only requested, or an unknown status or row, after the last look."""
    VOIDED = "voided"
    RETURN = "return"
    REJECTED = "rejected"


UNFINISHED = frozenset(
    {
        ShipmentState.PROCESSING,
        ShipmentState.AWAITING_NUMBER,
        ShipmentState.ORDER_MISSING,
        ShipmentState.VOID_REQUESTED,
        ShipmentState.UNKNOWN,
    }
)
"""What is not known yet. Looking again may tell; if it never does, a person has to see it."""

LOOKED_UP = frozenset({ShipmentState.SHIPPED, ShipmentState.REJECTED, ShipmentState.UNSETTLED})
"""Whose order matters: goods left, or a person has to see that they may have."""

AT_LAST = {
    ShipmentState.AWAITING_NUMBER: ShipmentState.SHIPPED,
    ShipmentState.ORDER_MISSING: ShipmentState.SHIPPED,
    ShipmentState.VOID_REQUESTED: ShipmentState.UNSETTLED,
    ShipmentState.UNKNOWN: ShipmentState.UNSETTLED,
}
"""As what a shipment is judged that is still unfinished on the last look: as one that left, so that
its number, its goods or its order are missed, or as one of which nobody can tell."""


class ClueKind(StrEnum):
    """What a value may be able to name: an order's id, or an order's reference."""

    ORDER_ID = "order_id"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Clue:
    """One value on the ShipStation side that may name a Purple Dot order; `field` is the vendor's
    own field name, for `explain`."""

    kind: ClueKind
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class ShipmentItem:
    """Units of one thing in the parcel.

    `line_item_id` is what the order's creator put there: Purple Dot's line id, or another system's.
    `order_id` and `order_reference` name the order that this item alone belongs to. With a
    `bundle_sku` it is a component of that bundle. `unreadable_quantity` is what ShipStation gives
    where that is no whole number of units; `quantity` is 0 then."""

    quantity: int
    sku: str | None = None
    line_item_id: str | None = None
    order_id: str | None = None
    order_reference: str | None = None
    sales_order_id: str | None = None
    bundle_sku: str | None = None
    unreadable_quantity: str | None = None

    @property
    def is_counted(self) -> bool:
        """Whether its units are known; zero of a thing in a parcel is no less odd than a half."""
        return self.unreadable_quantity is None and self.quantity > 0

    @property
    def is_goods(self) -> bool:
        """Gift notes, fees and samples have no SKU, and are no goods of an order."""
        return bool(self.sku or self.bundle_sku)

    @property
    def label(self) -> str:
        """The item as a person reads it, with its quantity."""
        name = self.sku or "an item without SKU"
        part = f" (part of {self.bundle_sku})" if self.bundle_sku else ""
        quantity = self.quantity if self.unreadable_quantity is None else self.unreadable_quantity
        return f"{quantity} x {name}{part}"


@dataclass(frozen=True, slots=True)
class Shipment:
    """`record_kind` and `record_id` name the vendor's record it was made from;
    `shipstation_shipment_id` the ShipStation order behind it (V2 `se-…`, V1 `orderId` as text).
    `items` is empty when ShipStation names none, which never means everything.

    `order_is_read` is False where that order was not read, so that neither its custom fields nor
    what was merged into it are known. `merged_ids` are ShipStation's ids of several orders whose
    goods may be in the parcel together; empty where there is no sign of that. `problem` says why a
    row could not be read."""

    record_kind: str
    record_id: str
    state: ShipmentState
    shipstation_shipment_id: str | None = None
    order_number: str | None = None
    clues: tuple[Clue, ...] = ()
    items: tuple[ShipmentItem, ...] = ()
    tracking_number: str | None = None
    all_tracking_numbers: tuple[str, ...] = ()
    carrier_code: str | None = None
    carrier_name: str | None = None
    tracking_url: str | None = None
    ship_date: date | None = None
    notify_customer: bool | None = None
    service_code: str | None = None
    order_is_read: bool = True
    merged_ids: tuple[str, ...] = ()
    problem: str | None = None


def api_family(record_kind: str) -> str:
    """`v2` or `v1`: whose ids a record of this kind carries. An inline row speaks V2's."""
    return "v1" if record_kind.startswith("v1_") else "v2"


def plain_id(shipstation_id: str | None) -> str:
    """Equal for both APIs' ids of one thing: V2 writes `se-` before V1's digits. Evidence, no
    proof: no parcel seen through both APIs was ever published.
    https://docs.shipstation.com/orders/legacy-migration"""
    text = (shipstation_id or "").strip().lower()
    digits = text.removeprefix("se-")
    return digits if digits.isdecimal() else text


class RowResult(NamedTuple):
    """What became of a row; after `not_sent` ShipStation is as it was."""

    status: Literal["marked", "refused", "unclear", "not_sent"]
    message: str | None = None
    shipment_number: str | None = None
