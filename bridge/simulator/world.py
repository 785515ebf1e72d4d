"""The simulated world: both vendors' state and every verb of a scenario, safe to use from many threads."""

from bridge.simulator.ledger import Ledger
from bridge.simulator.model import Json, ShipStationOrder
from bridge.simulator.notifications import Notifications
from bridge.simulator.warehouse import Warehouse


class World(Ledger, Warehouse, Notifications):
    """Purple Dot's books, ShipStation's warehouse and its notifications, over one lock, one clock and one counter."""

    def state(self) -> Json:
        """What happened so far, for people and for scripts."""
        with self.lock:
            return {
                "orders": [
                    {
                        "id": order.id,
                        "reference": order.reference,
                        "status": order.status,
                        "lines": [
                            {"id": line.id, "sku": line.sku, "quantity": line.quantity, "fulfilled": line.fulfilled} for line in order.lines
                        ],
                    }
                    for order in self.orders.values()
                ],
                "shipments": [_shipment(order) for order in self.shipstation_orders],
                "labels": [
                    {
                        "id": label.label_id,
                        "shipment_id": label.order.shipment_id,
                        "batch_id": label.batch_id,
                        "status": label.status,
                        "tracking_number": label.tracking_number,
                    }
                    for label in self.labels
                ],
                "marked_shipped": [
                    {"id": shipped.fulfillment_id, "shipment_id": shipped.order.shipment_id, "tracking_number": shipped.tracking_number}
                    for shipped in self.marked_shipped
                ],
                "fulfillments": list(self.fulfillments),
                "emails": [email._asdict() for email in self.emails],
                "calls": [f"{system}.{operation}" for system, operation in self.calls],
            }


def _shipment(order: ShipStationOrder) -> Json:
    return {"id": order.shipment_id, "shipment_number": order.shipment_number, "status": order.status}
