"""Shipment: goods sent, with carrier and number, whichever of ShipStation's records told us. One
shape for all of them."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal, NamedTuple


class ShipmentState(StrEnum):
    """Only `shipped` leads to a fulfillment."""

    SHIPPED = "shipped"
    PROCESSING = "processing"
    AWAITING_NUMBER = "awaiting_number"
    VOIDED = "voided"
    RETURN = "return"
    REJECTED = "rejected"


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
    """Units of one thing in the parcel. `line_item_id` is what the order's creator put there:
    Purple Dot's line id, or another system's."""

    quantity: int
    sku: str | None = None
    line_item_id: str | None = None
    order_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Shipment:
    """`record_kind` and `record_id` name the vendor's record it was made from;
    `shipstation_shipment_id` the ShipStation order behind it (V2 `se-…`, V1 `orderId` as text).
    `items` is empty when ShipStation names none, which never means everything."""

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


class RowResult(NamedTuple):
    """What became of a row; after `not_sent` ShipStation is as it was."""

    status: Literal["marked", "refused", "unclear", "not_sent"]
    message: str | None = None
    shipment_number: str | None = None


_NO_NUMBER = frozenset({"NA", "NONE", "NULL", "UNKNOWN", "NOTRACKING", "NOTRACKINGNUMBER", "TBD"})
"""What people write where there is no number; likewise one character, however often."""


def normalize_tracking(number: str | None) -> str:
    """`1z a0-0000 t03` and `1ZA00000T03` are one number; `N/A`, `0000` and the like are none."""
    told = "".join(char for char in (number or "").upper() if char.isalnum())
    return "" if told in _NO_NUMBER or len(set(told)) < 2 else told
