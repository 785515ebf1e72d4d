"""ShipStation V1's routes, at the root of the origin. Endpoint names are the operations that faults and counts go by."""

from collections.abc import Callable
from datetime import datetime
from hmac import compare_digest
from typing import TypeVar

from flask import Blueprint, Response, jsonify, request

from bridge.simulator import v1_shapes
from bridge.simulator.answers import BadQueryError, Filters, chosen, equals, newest_first, number_of, page_of, since, until, v1_error
from bridge.simulator.carriers import CARRIERS
from bridge.simulator.model import Credentials, Json, Label, MarkedShipped, ShipStationOrder, Subscription
from bridge.simulator.vendor_time import PACIFIC
from bridge.simulator.world import World

T = TypeVar("T")

_DEFAULT_PAGE_SIZE = 100
_MAX_PAGE_SIZE = 500
_EVENTS = frozenset({"ORDER_NOTIFY", "ITEM_ORDER_NOTIFY", "SHIP_NOTIFY", "ITEM_SHIP_NOTIFY", "FULFILLMENT_SHIPPED", "FULFILLMENT_REJECTED"})

SHIPMENT_FILTERS: Filters[Label] = {
    "shipmentId": equals(lambda label: label.v1_shipment_id, int),
    "batchId": equals(lambda label: label.batch, int),
    "orderId": equals(lambda label: label.order.v1_order_id, int),
    "orderNumber": equals(lambda label: label.order.shipment_number),
    "trackingNumber": equals(lambda label: label.tracking_number),
    "carrierCode": equals(lambda label: CARRIERS[label.carrier].v1_code),
    "storeId": equals(lambda label: label.order.store, int),
    "createDateStart": since(lambda label: label.created_at, zone=PACIFIC),
    "createDateEnd": until(lambda label: label.created_at, zone=PACIFIC),
    "voidDateStart": since(lambda label: label.voided_at, zone=PACIFIC),
    "voidDateEnd": until(lambda label: label.voided_at, zone=PACIFIC),
}
FULFILLMENT_FILTERS: Filters[MarkedShipped] = {
    "fulfillmentId": equals(lambda shipped: shipped.v1_fulfillment_id, int),
    "orderId": equals(lambda shipped: shipped.order.v1_order_id, int),
    "orderNumber": equals(lambda shipped: shipped.order.shipment_number),
    "trackingNumber": equals(lambda shipped: shipped.tracking_number),
    "createDateStart": since(lambda shipped: shipped.created_at, zone=PACIFIC),
    "createDateEnd": until(lambda shipped: shipped.created_at, zone=PACIFIC),
}
ORDER_FILTERS: Filters[ShipStationOrder] = {
    # A "starts with" search: PD5200001/1 finds PD5200001/10 as well. https://www.shipstation.com/docs/api/orders/list-orders/
    "orderNumber": lambda text: lambda order: order.shipment_number.startswith(text),
    "storeId": equals(lambda order: order.store, int),
    "createDateStart": since(lambda order: order.created_at, zone=PACIFIC),
    "createDateEnd": until(lambda order: order.created_at, zone=PACIFIC),
    "modifyDateStart": since(lambda order: order.modified_at, zone=PACIFIC),
    "modifyDateEnd": until(lambda order: order.modified_at, zone=PACIFIC),
}


def routes(world: World, credentials: Credentials) -> Blueprint:
    """Everything of V1 that the bridge calls."""
    blueprint = Blueprint("shipstation_v1", __name__)

    @blueprint.before_request
    def check_pair() -> Response | None:
        given = request.authorization
        pair = f"{given.username}:{given.password}" if given and given.type == "basic" else ""
        if compare_digest(pair.encode(), f"{credentials.v1_key}:{credentials.v1_secret}".encode()):
            return None
        return v1_error(401, "Unauthorized")

    @blueprint.after_request
    def tell_rate(response: Response) -> Response:
        """https://www.shipstation.com/docs/api/requirements/"""
        response.headers.update({"X-Rate-Limit-Limit": "40", "X-Rate-Limit-Remaining": "39", "X-Rate-Limit-Reset": "20"})
        return response

    @blueprint.errorhandler(BadQueryError)
    def bad_query(error: BadQueryError) -> Response:
        return v1_error(400, str(error))

    @blueprint.get("/shipments")
    def shipments() -> Response:
        """Marks-as-shipped are not here: https://www.shipstation.com/docs/api/shipments/list/"""
        with_items = request.args.get("includeShipmentItems", "false").lower() == "true"
        found = _sorted(chosen(world.labels, SHIPMENT_FILTERS, request.args), lambda label: label.created_at)
        return _page("shipments", found, lambda label: v1_shapes.shipment_row(label, with_items=with_items))

    @blueprint.get("/fulfillments")
    def fulfillments() -> Response:
        found = _sorted(chosen(world.marked_shipped, FULFILLMENT_FILTERS, request.args), lambda shipped: shipped.created_at)
        return _page("fulfillments", found, v1_shapes.fulfillment_row)

    @blueprint.get("/orders")
    def orders() -> Response:
        by_status: Filters[ShipStationOrder] = {"orderStatus": equals(lambda order: _order(world, order)["orderStatus"])}
        found = _sorted(chosen(world.shipstation_orders, {**ORDER_FILTERS, **by_status}, request.args), lambda order: order.created_at)
        return _page("orders", found, lambda order: _order(world, order))

    @blueprint.get("/orders/<int:order_id>")
    def order(order_id: int) -> Response:
        found = next((order for order in world.shipstation_orders if order.v1_order_id == order_id), None)
        return v1_error(404, "Order not found") if found is None else jsonify(_order(world, found))

    @blueprint.get("/carriers")
    def carriers() -> Response:
        return jsonify([v1_shapes.carrier_row(carrier) for carrier in CARRIERS.values()])

    _add_webhook_routes(blueprint, world)
    return blueprint


def _add_webhook_routes(blueprint: Blueprint, world: World) -> None:
    """https://www.shipstation.com/docs/api/webhooks/ — unlike V2, several URLs for one event are allowed."""

    @blueprint.get("/webhooks")
    def webhooks() -> Response:
        return jsonify({"webhooks": [v1_shapes.subscription_row(subscription) for subscription in world.v1_subscriptions]})

    @blueprint.post("/webhooks/subscribe")
    def subscribe() -> Response:
        asked = request.get_json(silent=True)
        if not isinstance(asked, dict) or not asked.get("target_url") or asked.get("event") not in _EVENTS:
            return v1_error(400, "The request is invalid: target_url and a known event are required.")
        number = world.next_number("V1 subscription", start=250001)
        name = asked.get("friendly_name") or ""
        world.v1_subscriptions.append(Subscription(number, asked["event"], asked["target_url"], name, store=asked.get("store_id")))
        return jsonify({"id": number})

    @blueprint.delete("/webhooks/<int:number>")
    def delete_webhook(number: int) -> Response:
        kept = [one for one in world.v1_subscriptions if one.number != number]
        if len(kept) == len(world.v1_subscriptions):
            return v1_error(404, "Webhook not found")
        world.v1_subscriptions[:] = kept
        return Response(status=200)


def _order(world: World, order: ShipStationOrder) -> Json:
    is_marked = any(shipped.order is order and shipped.voided_at is None and shipped.rejection is None for shipped in world.marked_shipped)
    return v1_shapes.order_row(order, marked_shipped=is_marked)


def _sorted(rows: list[T], read: Callable[[T], datetime]) -> list[T]:
    return newest_first(rows, read, descending=request.args.get("sortDir", "ASC").upper() == "DESC")


def _page(name: str, rows: list[T], render: Callable[[T], Json]) -> Response:
    size = min(number_of(request.args, "pageSize", _DEFAULT_PAGE_SIZE), _MAX_PAGE_SIZE)
    page = page_of(rows, number=number_of(request.args, "page", 1), size=size)
    rendered = [render(row) for row in page.rows]
    return jsonify({name: rendered, "total": page.total, "page": page.number, "pages": page.pages})
