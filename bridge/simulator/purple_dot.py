"""Purple Dot's routes. Source: https://docs.getpurpledot.com/docs/purple-dot-apis/private-api."""

from typing import Any
from urllib.parse import unquote_plus

from flask import request

from bridge.simulator.model import PurpleDotOrder, RefusedError
from bridge.simulator.shapes import Json, read_instant, row
from bridge.simulator.world import World

PREFIX = "/admin/api/v1"


def _answer(**content: Any) -> Json:
    return {"meta": {"success": True}, "data": content}


def _read(world: World, order: PurpleDotOrder) -> Json:
    """Nothing in it tells how much was fulfilled already: Purple Dot documents no such field."""
    shown: Json = row("pd_order", order)
    world.note_read(order)
    return shown


def _order(world: World, order_id: str) -> Json:
    if order_id not in world.orders:
        raise RefusedError(404, "UNKNOWN_ORDER", "There is no such fulfillment order")
    return _answer(fulfillment_order=_read(world, world.orders[order_id]))


def _orders(world: World) -> Json:
    try:
        orders, limit = _found(world), int(request.args.get("limit", 50))
        if not 1 <= limit <= 250:
            raise ValueError("limit must be from 1 to 250")
    except ValueError as error:
        raise RefusedError(400, "INVALID_REQUEST", str(error)) from error
    shown, cursor = (
        [_read(world, order) for order in orders[:limit]],
        orders[:limit][-1].id if orders else None,
    )
    return _answer(fulfillment_orders=shown, has_more=len(orders) > limit, starting_after=cursor)


def _found(world: World) -> list[PurpleDotOrder]:
    """Oldest first. ValueError when something asked for can't be read."""
    references, cursor = asked_references(), request.args.get("starting_after")
    since = read_instant(request.args.get("created_at_min", "1970-01-01"))
    left = list(world.orders.values())[list(world.orders).index(cursor) + 1 if cursor else 0 :]
    return [
        order
        for order in left
        if order.created_at >= since and (references is None or order.reference in references)
    ]


def asked_references() -> set[str] | None:
    """Separated by literal commas, each URL-encoded for itself, and compared exactly: `#PD1/1` is
    not `PD1/1`."""
    parts = [
        part.removeprefix("references=")
        for part in request.query_string.decode().split("&")
        if part.startswith("references=")
    ]
    return (
        {unquote_plus(text) for part in parts for text in part.split(",") if text}
        if parts
        else None
    )


def _create_fulfillment(world: World) -> Json:
    return _answer(fulfillment={"id": world.accept_fulfillment(request.get_json(silent=True))})


ROUTES = (
    ("GET", f"{PREFIX}/fulfillment-orders", "purple_dot.orders", _orders),
    ("GET", f"{PREFIX}/fulfillment-orders/<order_id>", "purple_dot.order", _order),
    ("POST", f"{PREFIX}/fulfillment", "purple_dot.create_fulfillment", _create_fulfillment),
)
