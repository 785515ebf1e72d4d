"""Webhook bodies as ShipStation sends them: pointers at the simulator's own origin, two keys and nothing else."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from bridge.simulator.ground import Ground
from bridge.simulator.model import Json, Label, MarkedShipped, ShipStationOrder

# Before a simulator serves the world, its pointers look like the vendor's own.
_V2_HOME = "https://api.shipstation.com"
_V1_HOME = "https://ssapi.shipstation.com"


class Notifications(Ground):
    """One verb an event; labels may be given as one, as a list of one batch, or as what `buy_labels` returned."""

    def label_created_v2(self, batch: Label | Sequence[Label]) -> Json:
        return self._v2("LABEL_CREATED_V2", f"labels?batch_id={_first(batch).batch_id}")

    def batch_processed_v2(self, batch: Label | Sequence[Label]) -> Json:
        return self._v2("BATCH_PROCESSED_V2", f"batches/{_first(batch).batch_id}")

    def fulfillment_shipped_v2(self, shipped: MarkedShipped) -> Json:
        return self._v2("FULFILLMENT_SHIPPED_V2", _fulfillment_query(shipped))

    def fulfillment_rejected_v2(self, shipped: MarkedShipped) -> Json:
        """Where its resource_url points is documented nowhere; this is the likeliest."""
        return self._v2("FULFILLMENT_REJECTED_V2", _fulfillment_query(shipped))

    def shipment_created_v2(self, order: ShipStationOrder) -> Json:
        return self._v2("SHIPMENT_CREATED_V2", f"shipments?import_batch_id={order.import_batch_id}")

    def track_event_v2(self, label: Label) -> Json:
        """The only V2 event that carries data."""
        told: Json = {"tracking_number": label.tracking_number, "status_code": "IT", "carrier_code": label.carrier, "events": []}
        return self._v2("TRACK_EVENT_V2", f"labels/{label.label_id}/track") | {"data": told}

    def ship_notify(self, batch: Label | Sequence[Label]) -> Json:
        return self._v1("SHIP_NOTIFY", f"shipments?batchId={_first(batch).batch}&includeShipmentItems=False")

    def item_ship_notify(self, batch: Label | Sequence[Label]) -> Json:
        return self._v1("ITEM_SHIP_NOTIFY", f"shipments?batchId={_first(batch).batch}&includeShipmentItems=True")

    def v1_fulfillment_shipped(self, shipped: MarkedShipped) -> Json:
        return self._v1("FULFILLMENT_SHIPPED", f"fulfillments?fulfillmentId={shipped.v1_fulfillment_id}")

    def v1_fulfillment_rejected(self, shipped: MarkedShipped) -> Json:
        return self._v1("FULFILLMENT_REJECTED", f"fulfillments?fulfillmentId={shipped.v1_fulfillment_id}")

    def v1_order_notify(self, order: ShipStationOrder) -> Json:
        return self._v1("ORDER_NOTIFY", f"orders?orderNumber={quote(order.shipment_number, safe='')}")

    def inline_fulfillments(self, rows: Iterable[Json]) -> Json:
        """A warehouse tells us itself, in the body of ShipStation's own POST /v2/fulfillments; `inline_row` makes a row."""
        return {"fulfillments": list(rows)}

    def inline_row(self, order: ShipStationOrder, tracking: str, carrier_code: str = "ups", **extra: object) -> Json:
        return {"shipment_id": order.shipment_id, "tracking_number": tracking, "carrier_code": carrier_code, **extra}

    def _v2(self, resource_type: str, target: str) -> Json:
        return {"resource_url": f"{self.origin or _V2_HOME}/v2/{target}", "resource_type": resource_type}

    def _v1(self, resource_type: str, target: str) -> Json:
        return {"resource_url": f"{self.origin or _V1_HOME}/{target}", "resource_type": resource_type}


def _first(batch: Label | Sequence[Label]) -> Label:
    return batch if isinstance(batch, Label) else batch[0]


def _fulfillment_query(shipped: MarkedShipped) -> str:
    return f"fulfillments?fulfillment_id={shipped.fulfillment_id}&shipment_id={shipped.order.shipment_id}"
