"""Translation: pure. The one table of event types; one that is not in it is ignored, never an error.

A new event type is four edits: a payload file in `tests/payloads/`, its fields in `shipstation/payloads.py`, a function in `shipments.py`
with its row here, and a row in README.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.events import Record
from bridge.shipments import Shipment
from bridge.translate import shipments


@dataclass(frozen=True, slots=True)
class EventType:
    """`family` is the API whose credentials fetch its `resource_url`; `translate` is given all records of one event."""

    name: str
    family: Literal["v2", "v1", "inline"]
    translate: Callable[[Sequence[Record]], list[Shipment]]
    meaning: str


_ROWS = (
    EventType("LABEL_CREATED_V2", "v2", shipments.labels, "Labels were bought in ShipStation, one or a whole batch."),
    EventType("FULFILLMENT_SHIPPED_V2", "v2", shipments.fulfillments, "An order was marked as shipped, by a person or a provider."),
    EventType("FULFILLMENT_REJECTED_V2", "v2", shipments.rejected, "A fulfilment provider refused an order: an exception, no fulfillment."),
    EventType("SHIP_NOTIFY", "v1", shipments.v1_shipments, "Labels were bought in ShipStation."),
    EventType("ITEM_SHIP_NOTIFY", "v1", shipments.v1_shipments, "The same labels once more, with their items."),
    EventType("FULFILLMENT_SHIPPED", "v1", shipments.v1_fulfillments, "A provider shipped an order, or it was marked as shipped."),
    EventType("FULFILLMENT_REJECTED", "v1", shipments.rejected, "A fulfilment provider refused an order: an exception, no fulfillment."),
    EventType("INLINE_FULFILLMENTS", "inline", shipments.inline, "A warehouse system tells us itself what it shipped."),
)

EVENT_TYPES: dict[str, EventType] = {row.name: row for row in _ROWS}
