"""What exists in the simulated world: plain mutable things, written as the vendors' rows only when
someone asks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

from bridge.simulator.shapes import SHAPES, Json, pacific

CARRIERS = {row["code"]: SimpleNamespace(**row) for row in SHAPES["carriers"]}
"""The account's, by V2 code. `pattern` makes a tracking number of the carrier's look out of a
counter."""


class RefusedError(Exception):
    """A vendor says no; nothing was changed. `code` and `kind` are its words, `field` is what V2
    tells besides."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "business_rules",
        field: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.kind, self.field = status, code, kind, field or {}

    upper_code = property(lambda error: error.code.upper())


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the simulator accepts; none of it opens anything real."""

    v2_key: str = "simulator-v2-key"
    v1_key: str = "simulator-v1-key"
    v1_secret: str = "simulator-v1-secret"  # noqa: S105  # opens only the simulator
    purple_dot_token: str = "simulator-purple-dot-token"  # noqa: S105  # opens only the simulator


class Email(NamedTuple):
    """A notification that a shopper would have got."""

    order_id: str
    tracking_number: str | None


@dataclass(slots=True)
class PurpleDotLine:
    id: str
    sku: str | None
    quantity: int
    fulfilled: int = 0

    @property
    def left(self) -> int:
        return self.quantity - self.fulfilled


@dataclass(slots=True)
class PurpleDotOrder:
    """A fulfillment order."""

    id: str
    reference: str
    status: str
    created_at: datetime
    lines: list[PurpleDotLine]
    overrides: Json = field(default_factory=dict)

    units = property(lambda order: sum(line.quantity for line in order.lines))


@dataclass(frozen=True, slots=True)
class Item:
    """`line_id` and `order_id` are Purple Dot's, where whoever made the order wrote them in;
    `order_id` may be a reference as well. V1 lists an `adjustment`, which is a discount or a fee,
    among the items. A component of a bundle names it in `bundle_sku`. The world gives the number.
    A quantity may be anything that a vendor has ever sent."""

    sku: str | None
    quantity: Any
    line_id: str | None = None
    order_id: str | None = None
    name: str | None = None
    adjustment: bool = False
    number: int = 0
    bundle_sku: str | None = None
    sales_order_id: str | None = None


ItemLike: TypeAlias = Item | tuple[str | None, Any]


@dataclass(slots=True, eq=False)
class ShipStationOrder:
    """One order as the warehouse sees it: V2 calls it a shipment (`se-…`), V1 an order (an
    integer)."""

    number: int
    import_batch_id: str
    items: list[Item]
    created_at: datetime
    modified_at: datetime
    shipment_number: str
    external_shipment_id: str | None
    order_key: str
    custom_fields: tuple[str | None, str | None, str | None]
    store: int = 7310045
    status: str = "pending"
    parent_id: int | None = None
    is_split: bool = False
    batch_ids: list[str] = field(default_factory=list)
    marks: "list[MarkedShipped]" = field(default_factory=list)
    source: PurpleDotOrder | None = None
    """The fulfillment order that it was made from."""
    merged: "list[ShipStationOrder]" = field(default_factory=list)
    """The orders that were merged into this one; neither API shows them any more."""
    overrides: Json = field(default_factory=dict)
    """Fields that its rows show in place of the true ones, as a vendor's whim."""

    merged_ids = property(lambda order: [other.v1_order_id for other in order.merged])
    is_merged_or_split = property(lambda order: order.is_split or bool(order.merged))
    sales_order_id = property(lambda order: f"so-{order.number}")
    sales_order_ids = property(
        lambda order: [whole.sales_order_id for whole in (order, *order.merged)]
    )
    shipment_id = property(lambda order: f"se-{810000000 + order.number}")
    v1_order_id = property(lambda order: 810000000 + order.number)
    store_id = property(lambda order: f"se-{order.store}")
    quoted_number = property(lambda order: quote(order.shipment_number, safe=""))
    goods = property(lambda order: [item for item in order.items if not item.adjustment])
    custom_field1 = property(lambda order: order.custom_fields[0])
    custom_field2 = property(lambda order: order.custom_fields[1])
    custom_field3 = property(lambda order: order.custom_fields[2])
    # V2 has no word for an order that was marked as shipped.
    is_marked = property(
        lambda order: any(not mark.voided and not mark.rejection for mark in order.marks)
    )
    v1_status = property(
        lambda order: (
            "shipped"
            if order.is_marked or order.status == "label_purchased"
            else "awaiting_shipment"
        )
    )


@dataclass(slots=True, eq=False)
class Label:
    """A V2 label and the V1 shipment of the same number. Its master number is the first; there is
    none while it is processing. Only V1 tells what was in the parcel; `items` None is the whole
    order."""

    number: int
    order: ShipStationOrder
    batch: int
    created_at: datetime
    items: list[Item] | None
    carrier: str = "ups"
    packages: int = 1
    status: str = "completed"
    is_return: bool = False
    tracking_numbers: list[str] = field(default_factory=list)
    voided_at: datetime | None = None
    touched_at: datetime | None = None
    overrides: Json = field(default_factory=dict)

    label_id = property(lambda label: f"se-{520000000 + label.number}")
    v1_shipment_id = property(lambda label: 520000000 + label.number)
    batch_id = property(lambda label: f"se-{label.batch}")
    external_shipment_id = property(
        lambda label: label.order.external_shipment_id or f"SEAuto-Sim{label.order.number:012d}"
    )
    ship_date = property(lambda label: pacific(label.created_at).date())
    shipper = property(lambda label: CARRIERS[label.carrier])
    voided = property(lambda label: label.voided_at is not None)
    modified_at = property(lambda label: label.touched_at or label.voided_at or label.created_at)
    contents = property(lambda label: label.order.items if label.items is None else label.items)
    tracking_url = property(
        lambda label: (
            label.shipper.tracking_url.format(label.tracking_number)
            if label.tracking_numbers
            else None
        )
    )

    @property
    def tracking_number(self) -> str | None:
        return self.tracking_numbers[0] if self.tracking_numbers else None

    @property
    def parcels(self) -> list[SimpleNamespace]:
        numbers = enumerate(self.tracking_numbers or [None] * self.packages, start=1)
        return [
            SimpleNamespace(
                label=self, sequence=place, number=self.number * 100 + place, tracking_number=number
            )
            for place, number in numbers
        ]


@dataclass(slots=True, eq=False)
class MarkedShipped:
    """Marked as shipped with outside tracking, or by a provider: a V2 fulfillment and the V1
    fulfillment of the same number."""

    number: int
    order: ShipStationOrder
    carrier_name: str | None
    tracking_number: str | None
    created_at: datetime
    provider_code: str = "external"
    rejection: str | None = None
    voided_at: datetime | None = None
    void_requested: bool = False
    touched_at: datetime | None = None
    overrides: Json = field(default_factory=dict)

    fulfillment_id = property(lambda shipped: f"se-{340000000 + shipped.number}")
    v1_fulfillment_id = property(lambda shipped: 88000000 + shipped.number)
    shipper = property(
        lambda shipped: next(
            carrier
            for carrier in CARRIERS.values()
            if carrier.friendly_name == shipped.carrier_name
        )
    )
    ship_date = property(lambda shipped: pacific(shipped.created_at).date())
    voided = property(lambda shipped: shipped.voided_at is not None)
    modified_at = property(
        lambda shipped: shipped.touched_at or shipped.voided_at or shipped.created_at
    )


@dataclass(slots=True, eq=False)
class Subscription:
    """Who hears of an event, of one store or of all; the name of the event says whether it is V2's
    or V1's."""

    number: int
    event: str
    url: str
    name: str | None = None
    headers: list[Json] = field(default_factory=list)
    store: int | None = None
    is_active: bool = True

    webhook_id = property(lambda subscription: f"se-{subscription.number}")
    is_v2 = property(lambda subscription: subscription.event.islower())


def as_items(items: Sequence[ItemLike]) -> list[Item]:
    return [item if isinstance(item, Item) else Item(*item) for item in items]
