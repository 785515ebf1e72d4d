"""What exists in the simulated world: plain mutable things, rendered as the vendors' rows by the shapes only when someone asks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]

DEFAULT_STORE = 7310045


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the simulator accepts; none of it opens anything real."""

    v2_key: str = "simulator-v2-key"
    v1_key: str = "simulator-v1-key"
    v1_secret: str = "simulator-v1-secret"  # noqa: S105 - opens only the simulator
    purple_dot_token: str = "simulator-purple-dot-token"  # noqa: S105 - opens only the simulator


@dataclass(slots=True)
class AnswerStyle:
    """Where Purple Dot's documentation leaves the shape of an answer open, each plausible one can be switched on."""

    wrapped: bool = True
    """A single order comes as `data.fulfillment_order`, or as `data` itself."""
    meta: Literal["success", "result", "none"] = "success"
    """`{"success": true}`, `{"result": "success"}`, or no meta at all."""
    paging: Literal["body", "link", "bare"] = "body"
    """How a list tells that there is more: `has_more` in the body, a `Link` header, or not at all."""
    names_fulfillment: bool = True
    """Whether the answer to a fulfillment holds its id."""
    tells_status: bool = True
    """The oldest answers hold no `status`."""


class Email(NamedTuple):
    """A notification that a shopper would have got."""

    order_id: str
    tracking_number: str | None


@dataclass(slots=True)
class PurpleDotLine:
    id: str
    sku: str | None
    quantity: int
    name: str
    fulfilled: int = 0

    @property
    def left(self) -> int:
        return self.quantity - self.fulfilled


@dataclass(slots=True)
class PurpleDotOrder:
    """A fulfillment order; `number` is its place in the list, oldest first."""

    number: int
    id: str
    reference: str
    status: str
    created_at: datetime
    lines: list[PurpleDotLine]


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a ShipStation order. `line_id` and `order_id` are Purple Dot's, where whoever made the order wrote them in."""

    sku: str | None
    quantity: float
    line_id: str | None = None
    order_id: str | None = None
    name: str | None = None
    adjustment: bool = False
    """A discount or fee row: V1 lists it among the items."""
    number: int = 0
    """Given by the world."""


ItemLike: TypeAlias = Item | tuple[str, int]


@dataclass(slots=True)
class ShipStationOrder:
    """One order as the warehouse sees it: V2 calls it a shipment (`se-…`), V1 an order (an integer)."""

    number: int
    shipment_id: str
    v1_order_id: int
    shipment_number: str
    external_shipment_id: str | None
    order_key: str
    items: list[Item]
    custom_fields: tuple[str | None, str | None, str | None]
    store: int
    created_at: datetime
    modified_at: datetime
    import_batch_id: str
    status: str = "pending"
    parent: "ShipStationOrder | None" = None
    is_split: bool = False


@dataclass(slots=True)
class Label:
    """One bought label: a V2 label and the V1 shipment of the same number."""

    number: int
    label_id: str
    v1_shipment_id: int
    batch: int
    order: ShipStationOrder
    carrier: str
    tracking_numbers: list[str]
    """The master number first, then one for each further package; empty while processing."""
    packages: int
    created_at: datetime
    ship_date: date
    status: str = "completed"
    is_return: bool = False
    voided_at: datetime | None = None
    items: list[Item] | None = None
    """Only V1 tells what was in the parcel; None is the whole order."""

    @property
    def batch_id(self) -> str:
        return f"se-{self.batch}"

    @property
    def tracking_number(self) -> str | None:
        return self.tracking_numbers[0] if self.tracking_numbers else None


@dataclass(slots=True)
class MarkedShipped:
    """Marked as shipped with outside tracking, or by a provider: a V2 fulfillment and the V1 fulfillment of the same number."""

    number: int
    fulfillment_id: str
    v1_fulfillment_id: int
    order: ShipStationOrder
    carrier_name: str | None
    tracking_number: str | None
    created_at: datetime
    ship_date: date
    provider_code: str = "external"
    voided_at: datetime | None = None
    rejection: str | None = None


@dataclass(slots=True)
class Subscription:
    """A webhook subscription, on V2 or on V1."""

    number: int
    event: str
    url: str
    name: str
    headers: list[Json] = field(default_factory=list)
    store: int | None = None


def as_items(items: Sequence[ItemLike]) -> list[Item]:
    return [item if isinstance(item, Item) else Item(sku=item[0], quantity=item[1]) for item in items]
