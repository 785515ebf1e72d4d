"""ShipStation's routes, of V2 under /v2 and of V1 at the root. The paths of its lists, and their
filters, are data, in shapes.json."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter, contains, eq, ge, le
from typing import Any
from urllib.parse import urlencode

from flask import request

from bridge.simulator.model import CARRIERS, RefusedError
from bridge.simulator.shapes import SHAPES, Json, read_instant, row
from bridge.simulator.world import World


def _vendor_id(text: str) -> str:
    """As ShipStation's own specification has it."""
    if not re.fullmatch(r"se(-[a-z0-9]+)+", text):
        raise ValueError(text)
    return text


_pacific = partial(read_instant, is_pacific=True)
_FILTERS: dict[str, tuple[Callable[[str], Any], Callable[[Any, Any], bool]]] = {
    "text": (str, eq),
    "id": (_vendor_id, eq),
    "number": (int, eq),
    "prefix": (str, str.startswith),
    "among": (_vendor_id, contains),
    "since": (read_instant, ge),
    "until": (read_instant, le),
    "pacific_since": (_pacific, ge),
    "pacific_until": (_pacific, le),
}
"""How a filter reads what was asked for, and compares a thing's value with it."""


def _chosen(
    records: Iterable[Any], filters: Mapping[str, str], query: Mapping[str, str]
) -> list[Any]:
    """What passes every filter asked for. Names that are no filter are ignored in silence, as the
    vendor does."""
    for name in filters.keys() & query.keys():
        kind, path = filters[name].split(":")
        read, compare = _FILTERS[kind]
        try:
            target = read(query[name])
        except ValueError as error:
            raise _invalid(name, query[name]) from error
        pairs = [(record, attrgetter(path)(record)) for record in records]
        records = [
            record for record, value in pairs if value is not None and compare(value, target)
        ]
    return list(records)


def _invalid(name: str, value: object) -> RefusedError:
    field = {"field_name": name, "field_value": value}
    return RefusedError(
        400, "invalid_field_value", f"Invalid {name}.", kind="validation", field=field
    )


def _number(name: str, default: int) -> int:
    text = request.args.get(name) or str(default)
    if not text.isdigit() or int(text) < 1:
        raise _invalid(name, text)
    return int(text)


def _list(route: Json, world: World) -> Json:
    is_v2 = route["path"].startswith("/v2/")
    records = _chosen(getattr(world, route["things"]), route["filters"], request.args)
    is_by_change = is_v2 and request.args.get("sort_by") == "modified_at"
    direction = request.args.get("sort_dir" if is_v2 else "sortDir", route["order"])
    records.sort(
        key=attrgetter("modified_at" if is_by_change else "created_at"),
        reverse=direction.lower() == "desc",
    )
    size = min(_number("page_size", 25) if is_v2 else _number("pageSize", 100), 500)
    page = _number("page", 1)
    pages = -(-len(records) // size)
    shown = records[(page - 1) * size : page * size]
    rows = [row(route["shape"], record) for record in shown]
    if request.args.get("includeShipmentItems", "false").lower() == "false":
        for filled in rows:
            filled.update(dict.fromkeys(filled.keys() & {"shipmentItems"}))
    answer = {
        route["path"].rpartition("/")[2]: rows,
        "total": len(records),
        "page": page,
        "pages": pages,
    }
    return answer | {"links": _links(page, max(pages, 1), size)} if is_v2 else answer


def _links(page: int, last: int, size: int) -> Json:
    """`prev` and `next` are empty objects where there is none:
    https://docs.shipstation.com/pagination."""
    query = {
        name: value for name, value in request.args.items() if name not in ("page", "page_size")
    }
    targets = {
        "first": 1,
        "last": last,
        "prev": page - 1 if page <= last else 0,
        "next": page + 1 if page < last else 0,
    }
    links = {
        name: f"{request.base_url}?{urlencode(query | {'page': to, 'page_size': size})}"
        for name, to in targets.items()
    }
    return {name: {"href": links[name]} if targets[name] else {} for name in targets}


def _single(route: Json, world: World, given: str) -> Json:
    for record in _chosen(getattr(world, route["things"]), {"id": route["by"]}, {"id": given}):
        filled: Json = row(route["shape"], record)
        return filled
    raise RefusedError(404, "not_found", "The requested resource was not found.")


def _create_fulfillments(world: World) -> Json:
    """A row that can't be done says so and holds none of the others back:
    https://docs.shipstation.com/openapi/create-fulfillments."""
    rows = (request.get_json(silent=True) or {}).get("fulfillments") or [None]
    for index, fulfillment in enumerate(rows):
        if not isinstance(fulfillment, dict) or not all(
            fulfillment.get(name) for name in ("shipment_id", "tracking_number", "carrier_code")
        ):
            raise _invalid(f"fulfillments[{index}]", fulfillment)
    results = [_mark_shipped(world, **fulfillment) for fulfillment in rows]
    return {
        "has_errors": any(result["error_message"] for result in results),
        "fulfillments": results,
    }


def _mark_shipped(
    world: World, shipment_id: str, tracking_number: str, carrier_code: str, **_: object
) -> Json:
    order = next(
        (order for order in world.shipstation_orders if order.shipment_id == shipment_id), None
    )
    problem = None
    if order is None:
        problem = "Shipment not found."
    elif any(not mark.voided for mark in order.marks):
        problem = "Shipment is already fulfilled."
    elif carrier_code not in CARRIERS:
        problem = "carrier_code does not match a configured carrier."
    else:
        world.mark_shipped(order, CARRIERS[carrier_code].friendly_name, tracking_number)
    return {
        "shipment_id": shipment_id,
        "shipment_number": order and order.shipment_number,
        "error_message": problem,
    }


ROUTES: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
    *(
        ("GET", about["path"], name, partial(_single if "by" in about else _list, about))
        for name, about in SHAPES["routes"].items()
    ),
    (
        "GET",
        "/v2/carriers",
        "shipstation.carriers",
        lambda _: {"carriers": [row("v2_carrier", carrier) for carrier in CARRIERS.values()]},
    ),
    (
        "GET",
        "/carriers",
        "shipstation_v1.carriers",
        lambda _: [row("v1_carrier", carrier) for carrier in CARRIERS.values()],
    ),
    ("POST", "/v2/fulfillments", "shipstation.create_fulfillments", _create_fulfillments),
)
"""Method, path, operation (by which faults and counts go), and a view of the world."""
