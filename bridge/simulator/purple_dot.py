"""Purple Dot's routes, under /admin/api/v1. Endpoint names are the operations that faults and counts go by."""

from collections.abc import Collection
from hmac import compare_digest
from urllib.parse import unquote_plus

from flask import Blueprint, Response, jsonify, request

from bridge.simulator.answers import purple_dot_error
from bridge.simulator.ledger import RefusedError
from bridge.simulator.model import Credentials, Json, PurpleDotOrder
from bridge.simulator.purple_dot_shapes import meta, order_row
from bridge.simulator.vendor_time import read_instant
from bridge.simulator.world import World

PREFIX = "/admin/api/v1"
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 250


def routes(world: World, credentials: Credentials) -> Blueprint:
    """Everything of Purple Dot's private API that the bridge calls."""
    blueprint = Blueprint("purple_dot", __name__, url_prefix=PREFIX)

    @blueprint.before_request
    def check_token() -> Response | None:
        token = request.headers.get("X-Purple-Dot-Access-Token", "")
        if compare_digest(token.encode(), credentials.purple_dot_token.encode()):
            return None
        return purple_dot_error(401, "UNAUTHORIZED", "The access token is not valid")

    @blueprint.errorhandler(ValueError)
    def bad_query(error: ValueError) -> Response:
        return purple_dot_error(400, "INVALID_REQUEST", str(error))

    @blueprint.errorhandler(RefusedError)
    def refused(error: RefusedError) -> Response:
        return purple_dot_error(error.status, error.code, str(error))

    @blueprint.get("/fulfillment-orders")
    def orders() -> Response:
        return _list(world)

    @blueprint.get("/fulfillment-orders/<order_id>")
    def order(order_id: str) -> Response:
        found = world.orders.get(order_id)
        if found is None:
            raise RefusedError(404, "UNKNOWN_ORDER", "There is no such fulfillment order")
        row = order_row(found, world.answers)
        world.note_read(found)
        return jsonify(meta(world.answers) | {"data": {"fulfillment_order": row} if world.answers.wrapped else row})

    @blueprint.post("/fulfillment")
    def create_fulfillment() -> Response:
        fulfillment_id = world.accept_fulfillment(request.get_json(silent=True))
        told: Json = {"fulfillment": {"id": fulfillment_id}} if world.answers.names_fulfillment else {}
        return jsonify(meta(world.answers) | {"data": told})

    return blueprint


def operation_of_list() -> str:
    """The one route with two operations: with references it is a look-up, without it is a listing."""
    return "purple_dot.orders_by_reference" if _references() is not None else "purple_dot.orders"


def login_page() -> Response:
    """Where an unknown path ends for whoever follows redirects: 200, and a web page."""
    return Response("<!doctype html><title>Log in</title><h1>Log in to Purple Dot</h1>", mimetype="text/html")


def _list(world: World) -> Response:
    limit = _limit(request.args.get("limit"))
    found = _after(_matching(world.orders.values()), request.args.get("starting_after"))
    shown = found[:limit]
    data: Json = {"fulfillment_orders": [order_row(order, world.answers) for order in shown]}
    has_more = len(found) > limit
    if world.answers.paging == "body":
        data |= {"has_more": has_more, "starting_after": shown[-1].id if shown else None}
    answer = jsonify(meta(world.answers) | {"data": data})
    if world.answers.paging == "link" and has_more:
        # The braces are not a mistake of ours: a public client reports this form.
        answer.headers["Link"] = f"<{request.base_url}?limit={limit}&starting_after={shown[-1].id}>; rel={{next}}"
    for order in shown:
        world.note_read(order)
    return answer


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    if not text.isdigit() or not 1 <= int(text) <= _MAX_LIMIT:
        raise ValueError(f"limit must be from 1 to {_MAX_LIMIT}")
    return int(text)


def _matching(orders: Collection[PurpleDotOrder]) -> list[PurpleDotOrder]:
    """Oldest first."""
    references = _references()
    created = request.args.get("created_at_min")
    oldest = read_instant(created) if created else None
    return [
        order
        for order in sorted(orders, key=lambda order: order.number)
        if (references is None or order.reference in references) and (oldest is None or order.created_at >= oldest)
    ]


def _references() -> set[str] | None:
    """Separated by literal commas, each URL-encoded for itself, and compared exactly: `#PD1/1` is not `PD1/1`."""
    parts = [part.removeprefix("references=") for part in request.query_string.decode().split("&") if part.startswith("references=")]
    return {unquote_plus(text) for part in parts for text in part.split(",") if text} if parts else None


def _after(orders: list[PurpleDotOrder], cursor: str | None) -> list[PurpleDotOrder]:
    if cursor is None:
        return orders
    ids = [order.id for order in orders]
    if cursor not in ids:
        raise ValueError("starting_after names no fulfillment order")
    return orders[ids.index(cursor) + 1 :]
