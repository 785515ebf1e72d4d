"""ShipStation's routes, of V2 under /v2 and of V1 at the root. The paths of its lists, and their filters, are data, in shapes.json."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter, contains, eq, ge, le
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from bridge.simulator.carriers import CARRIERS
from bridge.simulator.model import RefusedError
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


def _chosen(things: Iterable[Any], filters: Mapping[str, str], asked: Mapping[str, str]) -> list[Any]:
    """What passes every filter asked for. Names that are no filter are ignored in silence, as the vendor does."""
    for name in filters.keys() & asked.keys():
        kind, path = filters[name].split(":")
        read, compare = _FILTERS[kind]
        try:
            wanted = read(asked[name])
        except ValueError as error:
            raise _invalid(name, asked[name]) from error
        values = [(thing, attrgetter(path)(thing)) for thing in things]
        things = [thing for thing, value in values if value is not None and compare(value, wanted)]
    return list(things)


def _invalid(name: str, value: object) -> RefusedError:
    field = {"field_name": name, "field_value": value}
    return RefusedError(400, "invalid_field_value", f"Invalid {name}.", kind="validation", field=field)


def _number(name: str, default: int) -> int:
    text = request.args.get(name) or str(default)
    if not text.isdigit() or int(text) < 1:
        raise _invalid(name, text)
    return int(text)


def _list(about: Json, world: World) -> Json:
    is_v2 = about["path"].startswith("/v2/")
    found = _chosen(getattr(world, about["things"]), about["filters"], request.args)
    by = "modified_at" if request.args.get("sort_by") == "modified_at" and "modified_at_start" in about["filters"] else "created_at"
    found.sort(key=attrgetter(by), reverse=request.args.get("sort_dir" if is_v2 else "sortDir", about["order"]).lower() == "desc")
    size = min(_number("page_size", 25) if is_v2 else _number("pageSize", 100), 500)
    page, pages = _number("page", 1), -(-len(found) // size)
    rows = [row(about["shape"], thing) for thing in found[(page - 1) * size : page * size]]
    if request.args.get("includeShipmentItems", "false").lower() == "false":
        rows = [one | dict.fromkeys(one.keys() & {"shipmentItems"}) for one in rows]
    answer = {about["path"].rpartition("/")[2]: rows, "total": len(found), "page": page, "pages": pages}
    return answer | {"links": _links(page, max(pages, 1), size)} if is_v2 else answer


def _links(page: int, last: int, size: int) -> Json:
    """`prev` and `next` are empty objects where there is none: https://docs.shipstation.com/pagination."""
    asked = {name: value for name, value in request.args.items() if name not in ("page", "page_size")}
    targets = {"first": 1, "last": last, "prev": page - 1 if page <= last else 0, "next": page + 1 if page < last else 0}
    links = {name: f"{request.base_url}?{urlencode(asked | {'page': to, 'page_size': size})}" for name, to in targets.items()}
    return {name: {"href": links[name]} if targets[name] else {} for name in targets}


def _single(about: Json, world: World, given: str) -> Json:
    found: Json = row(about["shape"], _only(_chosen(getattr(world, about["things"]), {"id": about["by"]}, {"id": given})))
    return found


def _only(found: list[Any]) -> Any:
    if not found:
        raise RefusedError(404, "not_found", "The requested resource was not found.")
    return found[0]


def _asked() -> Json:
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}


def _create_fulfillments(world: World) -> Json:
    """A row that can't be done says so and holds none of the others back: https://docs.shipstation.com/openapi/create-fulfillments."""
    rows = _asked().get("fulfillments") or [None]
    for index, one in enumerate(rows):
        if not isinstance(one, dict) or not all(one.get(name) for name in ("shipment_id", "tracking_number", "carrier_code")):
            raise _invalid(f"fulfillments[{index}]", one)
    results = [_mark_shipped(world, **one) for one in rows]
    return {"has_errors": any(result["error_message"] for result in results), "fulfillments": results}


def _mark_shipped(world: World, shipment_id: str, tracking_number: str, carrier_code: str, **_: object) -> Json:
    order = next((order for order in world.shipstation_orders if order.shipment_id == shipment_id), None)
    problem = None
    if order is None:
        problem = "Shipment not found."
    elif any(not mark.voided for mark in order.marks):
        problem = "Shipment is already fulfilled."
    elif carrier_code not in CARRIERS:
        problem = "carrier_code does not match a configured carrier."
    else:
        world.mark_shipped(order, CARRIERS[carrier_code].friendly_name, tracking_number)
    return {"shipment_id": shipment_id, "shipment_number": order and order.shipment_number, "error_message": problem}


def _webhooks(world: World, given: str | None = None, *, is_v2: bool) -> list[Json]:
    """V2 names its events in small letters."""
    mine = [one for one in world.subscriptions if one["event"].islower() is is_v2]
    return mine if given is None else [_only([one for one in mine if one["webhook_id"] == (given if is_v2 else f"se-{given}")])]


def _v1_webhooks(world: World) -> Json:
    rows = [{"WebHookID": int(one["webhook_id"][3:]), "HookType": one["event"], "Url": one["url"]} for one in _webhooks(world, is_v2=False)]
    return {"webhooks": [SHAPES["v1_subscription"] | one for one in rows]}


def _subscribe(world: World, *, is_v2: bool) -> Json:
    """V2 has one URL for each event: a second subscription is a conflict, whoever owns the first. V1 allows several."""
    asked, names = _asked(), SHAPES["subscriptions"]["v2" if is_v2 else "v1"]
    for field in names["needs"]:
        if not asked.get(field) or (field == "event" and asked[field] not in names["events"]):
            raise _invalid(field, asked.get(field))
    if is_v2 and any(one["event"] == asked["event"] for one in world.subscriptions):
        raise RefusedError(409, "webhook_event_type_conflict", "A webhook for this event already exists.")
    number = world.next_number("subscription", above=44000000)
    given = {name: asked[field] for name, field in names["fields"].items() if field in asked}
    world.subscriptions.append({"webhook_id": f"se-{number}", "headers": [], **given})
    return world.subscriptions[-1] if is_v2 else {"id": number}


def _change(world: World, given: str) -> Response:
    [subscription], asked = _webhooks(world, given, is_v2=True), _asked()
    subscription |= {name: asked[name] for name in ("name", "url", "headers") if name in asked}
    return Response(status=204)


def _unsubscribe(world: World, given: str, *, is_v2: bool) -> Response:
    world.subscriptions.remove(*_webhooks(world, given, is_v2=is_v2))
    return Response(status=204 if is_v2 else 200)


_HOME = "/v2/environment/webhooks"
ROUTES: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
    *(("GET", about["path"], name, partial(_single if "by" in about else _list, about)) for name, about in SHAPES["routes"].items()),
    ("GET", "/v2/carriers", "shipstation.carriers", lambda _: {"carriers": [row("v2_carrier", one) for one in CARRIERS.values()]}),
    ("GET", "/carriers", "shipstation_v1.carriers", lambda _: [row("v1_carrier", one) for one in CARRIERS.values()]),
    ("POST", "/v2/fulfillments", "shipstation.create_fulfillments", _create_fulfillments),
    ("GET", _HOME, "shipstation.webhooks", partial(_webhooks, is_v2=True)),
    ("POST", _HOME, "shipstation.create_webhook", partial(_subscribe, is_v2=True)),
    ("GET", f"{_HOME}/<given>", "shipstation.webhook", lambda world, given: _webhooks(world, given, is_v2=True)[0]),
    ("PUT", f"{_HOME}/<given>", "shipstation.update_webhook", _change),
    ("DELETE", f"{_HOME}/<given>", "shipstation.delete_webhook", partial(_unsubscribe, is_v2=True)),
    ("GET", "/webhooks", "shipstation_v1.webhooks", _v1_webhooks),
    ("POST", "/webhooks/subscribe", "shipstation_v1.subscribe", partial(_subscribe, is_v2=False)),
    ("DELETE", "/webhooks/<given>", "shipstation_v1.delete_webhook", partial(_unsubscribe, is_v2=False)),
)
"""Method, path, operation (by which faults and counts go), and a view of the world."""
