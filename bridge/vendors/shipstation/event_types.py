"""The one table of event types. A type that is not in it is ignored, never an error."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from bridge.domain.events import Record
from bridge.domain.shipments import Shipment
from bridge.vendors.shipstation.shipments import rejected, shipped


class EventType(NamedTuple):
    """`family` is the API whose credentials fetch its `resource_url`; `translate` is given all
    records of one event."""

    name: str
    family: Literal["v2", "v1", "inline"]
    translate: Callable[[Sequence[Record]], list[Shipment]]
    meaning: str


_TABLE = (
    EventType(
        "LABEL_CREATED_V2",
        "v2",
        shipped,
        "Labels were bought in ShipStation, one or a whole batch.",
    ),
    EventType(
        "FULFILLMENT_SHIPPED_V2",
        "v2",
        shipped,
        "An order was marked as shipped, by a person or a provider.",
    ),
    EventType(
        "FULFILLMENT_REJECTED_V2",
        "v2",
        rejected,
        "A fulfillment provider refused an order: an exception, no fulfillment.",
    ),
    EventType("SHIP_NOTIFY", "v1", shipped, "Labels were bought in ShipStation."),
    EventType("ITEM_SHIP_NOTIFY", "v1", shipped, "The same labels once more, with their items."),
    EventType(
        "FULFILLMENT_SHIPPED",
        "v1",
        shipped,
        "A provider shipped an order, or it was marked as shipped.",
    ),
    EventType(
        "FULFILLMENT_REJECTED",
        "v1",
        rejected,
        "A fulfillment provider refused an order: an exception, no fulfillment.",
    ),
    EventType(
        "INLINE_FULFILLMENTS",
        "inline",
        shipped,
        "A warehouse system reports to the bridge what it shipped.",
    ),
)


EVENT_TYPES = {row.name: row for row in _TABLE}
