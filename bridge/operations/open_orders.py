"""Purple Dot's orders as a person looks through them: what was posted of each, and what is
missing."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.domain.deliveries import Delivery
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, OrderStatus
from bridge.store import sweeps
from bridge.store.engine.database import Database
from bridge.vendors.purple_dot.client import PurpleDot

_CLOSED = frozenset({OrderStatus.FULFILLED, OrderStatus.VOIDED})


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """One order of Purple Dot's with all that we know of its parcels."""

    order: FulfillmentOrder
    deliveries: tuple[Delivery, ...]

    @property
    def is_open(self) -> bool:
        """Waits at Purple Dot, and not all of it was posted by us."""
        is_closed = self.order.status in _CLOSED
        return not is_closed and any(line["missing"] for line in self.lines())

    def lines(self) -> list[dict[str, Any]]:
        """Each line with the units that were ordered, posted, are on their way or held, and are
        missing: no parcel of ours holds them."""
        lines = []
        for line in self.order.lines:
            posted = self._units(line.id, {DeliveryStatus.DELIVERED})
            waiting = self._units(line.id, None) - posted
            missing = max(0, line.quantity - posted)
            lines.append(
                {
                    "id": line.id,
                    "sku": line.sku,
                    "quantity": line.quantity,
                    "posted": posted,
                    "waiting": waiting,
                    "missing": missing,
                }
            )
        return lines

    def _units(self, line_id: str, statuses: Collection[DeliveryStatus] | None) -> int:
        """None means every status but cancelled."""
        return sum(
            line.quantity
            for delivery in self.deliveries
            for line in delivery.lines
            if line.id == line_id and self._counts(delivery, statuses)
        )

    @staticmethod
    def _counts(delivery: Delivery, statuses: Collection[DeliveryStatus] | None) -> bool:
        if statuses is None:
            return delivery.status is not DeliveryStatus.CANCELLED
        return delivery.status in statuses

    def as_json(self) -> dict[str, Any]:
        """With the ShipStation fields that lead here, on V2 and V1: any one of them is enough."""
        return {
            "id": self.order.id,
            "reference": self.order.reference,
            "status": self.order.status,
            "ready_at": self.order.created_at,
            "open": self.is_open,
            "line_items": self.lines(),
            "parcels": [_parcel(delivery) for delivery in self.deliveries],
            "shipstation_fields": {
                "shipment_number": self.order.reference,
                "orderNumber": self.order.reference,
                "custom_field1": self.order.reference,
                "external_shipment_id": self.order.id,
                "orderKey": self.order.id,
            },
        }


def _parcel(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "status": delivery.status,
        "reason": delivery.reason,
        "tracking_number": delivery.tracking.number if delivery.tracking else None,
        "shipstation_shipment_id": delivery.shipment.shipstation_shipment_id,
    }


def open_orders(
    database: Database, purple_dot: PurpleDot, *, since: datetime
) -> Iterator[OpenOrder]:
    """Purple Dot's orders that became ready since, the oldest first, asked for now. Raises what the
    client raises."""
    listed = list(purple_dot.orders_created_since(since))
    with database.read() as connection:
        ours = sweeps.all_of_orders(connection, [order.id for order in listed])
    listed.sort(key=lambda order: order.created_at or since)
    for order in listed:
        yield OpenOrder(order, tuple(ours.get(order.id, ())))
