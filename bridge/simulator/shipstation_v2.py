"""ShipStation V2's routes, under /v2. Endpoint names are the operations that faults and counts go by."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hmac import compare_digest
from typing import TypeVar

from flask import Blueprint, Response, jsonify, request

from bridge.simulator import v2_label_shapes, v2_shapes
from bridge.simulator.answers import (
    BadQueryError,
    chosen,
    newest_first,
    number_of,
    page_of,
    v2_error,
    v2_links,
)
from bridge.simulator.carriers import CARRIERS
from bridge.simulator.model import Credentials, Json, ShipStationOrder, Subscription
from bridge.simulator.v2_filters import FULFILLMENT_FILTERS, ID, LABEL_FILTERS, SHIPMENT_FILTERS, in_batch
from bridge.simulator.world import World

T = TypeVar("T")

_DEFAULT_PAGE_SIZE = 25
_MAX_PAGE_SIZE = 500
_NEW_EVENTS = ("label_created", "fulfillment_shipped", "fulfillment_rejected", "shipment_created", "batch_processed", "track_event")
_OLD_EVENTS = ("batch", "carrier_connected", "order_source_refresh_complete", "rate", "report_complete", "sales_orders_imported", "track")
_EVENTS = frozenset({*_OLD_EVENTS, *(f"{name}_v2" for name in _NEW_EVENTS)})


def routes(world: World, credentials: Credentials) -> Blueprint:
    """Everything of V2 that the bridge calls."""
    blueprint = Blueprint("shipstation", __name__, url_prefix="/v2")

    @blueprint.before_request
    def check_key() -> Response | None:
        if compare_digest(request.headers.get("api-key", "").encode(), credentials.v2_key.encode()):
            return None
        return v2_error(401, "unauthorized", "The API key is invalid. Please see https://docs.shipstation.com", kind="security")

    @blueprint.errorhandler(BadQueryError)
    def bad_query(error: BadQueryError) -> Response:
        field = {"field_name": error.parameter, "field_value": error.value}
        return v2_error(400, "invalid_field_value", str(error), kind="validation", field=field)

    @blueprint.get("/labels")
    def labels() -> Response:
        found = chosen(world.labels, LABEL_FILTERS, request.args)
        return _page("labels", _sorted(found, {"created_at": lambda label: label.created_at}, "desc"), v2_label_shapes.label_row)

    @blueprint.get("/labels/<label_id>")
    def label(label_id: str) -> Response:
        return _single((v2_label_shapes.label_row(one) for one in world.labels if one.label_id == label_id), label_id)

    @blueprint.get("/shipments")
    def shipments() -> Response:
        found = chosen(world.shipstation_orders, {**SHIPMENT_FILTERS, "batch_id": in_batch(world)}, request.args)
        keys = {"created_at": lambda order: order.created_at, "modified_at": lambda order: order.modified_at}
        return _page("shipments", _sorted(found, keys, "desc"), v2_shapes.shipment_row)

    @blueprint.get("/shipments/<shipment_id>")
    def shipment(shipment_id: str) -> Response:
        return _single((v2_shapes.shipment_row(one) for one in world.shipstation_orders if one.shipment_id == shipment_id), shipment_id)

    @blueprint.get("/shipments/external_shipment_id/<external_id>")
    def shipment_by_external_id(external_id: str) -> Response:
        found = (v2_shapes.shipment_row(order) for order in world.shipstation_orders if order.external_shipment_id == external_id)
        return _first_or_404(next(found, None))

    @blueprint.get("/fulfillments")
    def fulfillments() -> Response:
        found = chosen(world.marked_shipped, FULFILLMENT_FILTERS, request.args)
        return _page("fulfillments", _sorted(found, {"created_at": lambda shipped: shipped.created_at}, "asc"), v2_shapes.fulfillment_row)

    @blueprint.post("/fulfillments")
    def create_fulfillments() -> Response:
        return _create_fulfillments(world, request.get_json(silent=True))

    @blueprint.get("/carriers")
    def carriers() -> Response:
        return jsonify({"carriers": [v2_shapes.carrier_row(carrier) for carrier in CARRIERS.values()]})

    _add_webhook_routes(blueprint, world)
    return blueprint


def _add_webhook_routes(blueprint: Blueprint, world: World) -> None:
    """https://docs.shipstation.com/openapi/webhooks"""
    home = "/environment/webhooks"

    @blueprint.get(home)
    def webhooks() -> Response:
        return jsonify([v2_shapes.subscription_row(subscription) for subscription in world.subscriptions])

    @blueprint.post(home)
    def create_webhook() -> Response:
        return _subscribe(world, request.get_json(silent=True))

    @blueprint.get(f"{home}/<webhook_id>")
    def webhook(webhook_id: str) -> Response:
        subscription = _subscription(world, webhook_id)
        return _first_or_404(v2_shapes.subscription_row(subscription) if subscription else None)

    @blueprint.put(f"{home}/<webhook_id>")
    def update_webhook(webhook_id: str) -> Response:
        subscription = _subscription(world, webhook_id)
        wanted = request.get_json(silent=True) or {}
        if subscription is None:
            return _first_or_404(None)
        subscription.name = wanted.get("name", subscription.name)
        subscription.url = wanted.get("url", subscription.url)
        subscription.headers = wanted.get("headers", subscription.headers)
        return Response(status=204)

    @blueprint.delete(f"{home}/<webhook_id>")
    def delete_webhook(webhook_id: str) -> Response:
        subscription = _subscription(world, webhook_id)
        if subscription is None:
            return _first_or_404(None)
        world.subscriptions.remove(subscription)
        return Response(status=204)


def _subscription(world: World, webhook_id: str) -> Subscription | None:
    return next((one for one in world.subscriptions if f"se-{one.number}" == webhook_id), None)


def _subscribe(world: World, wanted: object) -> Response:
    """One URL for each event: a second subscription is a conflict, whoever owns the first."""
    asked = wanted if isinstance(wanted, dict) else {}
    missing = next((name for name in ("name", "event", "url") if not isinstance(asked.get(name), str) or not asked[name]), None)
    if missing or asked["event"] not in _EVENTS:
        field = {"field_name": missing or "event", "field_value": str(asked.get(missing or "event"))}
        return v2_error(400, "invalid_field_value", f"Invalid {missing or 'event'}.", kind="validation", field=field)
    if any(one.event == asked["event"] for one in world.subscriptions):
        return v2_error(409, "webhook_event_type_conflict", "A webhook for this event already exists.")
    number = world.next_number("subscription", start=44000001)
    subscription = Subscription(number, asked["event"], asked["url"], asked["name"], asked.get("headers") or [], asked.get("store_id"))
    world.subscriptions.append(subscription)
    return jsonify(v2_shapes.subscription_row(subscription))


def _create_fulfillments(world: World, body: object) -> Response:
    """A row that can't be done says so and holds none of the others back: https://docs.shipstation.com/openapi/create-fulfillments."""
    rows = body.get("fulfillments") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not rows:
        return v2_error(400, "field_value_required", "fulfillments is required.", kind="validation", field={"field_name": "fulfillments"})
    for index, row in enumerate(rows):
        missing = [name for name in ("shipment_id", "tracking_number", "carrier_code") if not isinstance(row, dict) or not row.get(name)]
        if missing:
            field = {"field_name": f"fulfillments[{index}].{missing[0]}"}
            return v2_error(400, "field_value_required", f"{missing[0]} is required.", kind="validation", field=field)
    results = [_mark_shipped(world, row) for row in rows]
    return jsonify({"has_errors": any(result["error_message"] for result in results), "fulfillments": results})


def _mark_shipped(world: World, row: Json) -> Json:
    order = next((order for order in world.shipstation_orders if order.shipment_id == row["shipment_id"]), None)
    problem = _problem(world, order, row)
    if order and problem is None:
        world.mark_shipped(order, CARRIERS[row["carrier_code"]].friendly_name, str(row["tracking_number"]))
    return {
        "shipment_id": row["shipment_id"],
        "shipment_number": order.shipment_number if order else None,
        "error_message": problem,
    }


def _problem(world: World, order: ShipStationOrder | None, row: Json) -> str | None:
    if order is None:
        return "Shipment not found."
    if any(shipped.order is order and shipped.voided_at is None for shipped in world.marked_shipped):
        return "Shipment is already fulfilled."
    if row["carrier_code"] not in CARRIERS:
        return "carrier_code does not match a configured carrier."
    return None


def _sorted(rows: list[T], keys: Mapping[str, Callable[[T], datetime]], default: str) -> list[T]:
    read = keys.get(request.args.get("sort_by", ""), keys["created_at"])
    return newest_first(rows, read, descending=request.args.get("sort_dir", default) == "desc")


def _page(name: str, rows: list[T], render: Callable[[T], Json]) -> Response:
    size = min(number_of(request.args, "page_size", _DEFAULT_PAGE_SIZE), _MAX_PAGE_SIZE)
    page = page_of(rows, number=number_of(request.args, "page", 1), size=size)
    rendered = [render(row) for row in page.rows]
    return jsonify({name: rendered, "total": page.total, "page": page.number, "pages": page.pages, "links": v2_links(page, size)})


def _single(found: Iterator[Json], vendor_id: str) -> Response:
    if not ID.fullmatch(vendor_id):
        raise BadQueryError("id", vendor_id)
    return _first_or_404(next(found, None))


def _first_or_404(row: Json | None) -> Response:
    return v2_error(404, "not_found", "The requested resource was not found.") if row is None else jsonify(row)
