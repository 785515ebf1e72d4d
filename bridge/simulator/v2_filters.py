"""What ShipStation V2's lists can be filtered by. Source: https://docs.shipstation.com/openapi."""

import re
from collections.abc import Callable

from bridge.simulator.answers import Filter, Filters, equals, since, until
from bridge.simulator.carriers import CARRIERS
from bridge.simulator.model import Label, MarkedShipped, ShipStationOrder
from bridge.simulator.world import World

# The id's pattern in ShipStation's own specification.
ID = re.compile(r"se(-[a-z0-9]+)+")


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise ValueError(text)
    return text


# The two names for one thing, created_at_start here and create_date_start there, are the vendor's.
LABEL_FILTERS: Filters[Label] = {
    "label_status": equals(lambda label: label.status),
    "service_code": equals(lambda label: CARRIERS[label.carrier].service),
    "carrier_id": equals(lambda label: CARRIERS[label.carrier].carrier_id, _id),
    # Only the master number is found, not those of further packages.
    "tracking_number": equals(lambda label: label.tracking_number),
    "batch_id": equals(lambda label: label.batch_id, _id),
    "shipment_id": equals(lambda label: label.order.shipment_id, _id),
    "created_at_start": since(lambda label: label.created_at),
    "created_at_end": until(lambda label: label.created_at),
}
FULFILLMENT_FILTERS: Filters[MarkedShipped] = {
    "fulfillment_id": equals(lambda shipped: shipped.fulfillment_id, _id),
    "shipment_id": equals(lambda shipped: shipped.order.shipment_id, _id),
    "shipment_number": equals(lambda shipped: shipped.order.shipment_number),
    "order_source_id": equals(lambda shipped: f"se-{shipped.order.store}", _id),
    "fulfillment_provider_code": equals(lambda shipped: shipped.provider_code),
    "tracking_number": equals(lambda shipped: shipped.tracking_number),
    "create_date_start": since(lambda shipped: shipped.created_at),
    "create_date_end": until(lambda shipped: shipped.created_at),
}
SHIPMENT_FILTERS: Filters[ShipStationOrder] = {
    "shipment_status": equals(lambda order: order.status),
    "shipment_number": equals(lambda order: order.shipment_number),
    "external_shipment_id": equals(lambda order: order.external_shipment_id),
    # Not documented, but webhooks point with it.
    "import_batch_id": equals(lambda order: order.import_batch_id),
    "store_id": equals(lambda order: f"se-{order.store}", _id),
    "created_at_start": since(lambda order: order.created_at),
    "created_at_end": until(lambda order: order.created_at),
    "modified_at_start": since(lambda order: order.modified_at),
    "modified_at_end": until(lambda order: order.modified_at),
}


def in_batch(world: World) -> Filter[ShipStationOrder]:
    def make(text: str) -> Callable[[ShipStationOrder], bool]:
        numbers = {label.order.number for label in world.labels if label.batch_id == _id(text)}
        return lambda order: order.number in numbers

    return make
