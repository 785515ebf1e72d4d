"""The subscriptions of both versions, under /v2/environment/webhooks and /webhooks, and who hears
of an event.

https://docs.shipstation.com/openapi/webhooks,
https://www.shipstation.com/docs/api/webhooks/subscribe/"""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import request

from bridge.simulator.model import RefusedError, Subscription
from bridge.simulator.shapes import SHAPES, Json, row
from bridge.simulator.world import World

EVENTS: dict[bool, list[str]] = {
    is_v2: SHAPES["webhook_events"][version] for is_v2, version in ((True, "v2"), (False, "v1"))
}


def listeners(world: World, resource_type: str) -> list[tuple[str, Json]]:
    """The URL and the further headers of each active subscription to this type of event, in either
    version's spelling."""
    heard = [
        one
        for one in world.subscriptions
        if one.is_active and one.event in (resource_type, resource_type.lower())
    ]
    return [(one.url, {header["key"]: header["value"] for header in one.headers}) for one in heard]


def _list(world: World, *, is_v2: bool) -> Any:
    rows = [
        row("v2_webhook" if is_v2 else "v1_webhook", one)
        for one in world.subscriptions
        if one.is_v2 == is_v2
    ]
    return rows if is_v2 else {"webhooks": rows}


def _create(world: World, *, is_v2: bool) -> Any:
    """V2 takes one URL for each event (of a store), and answers 409 to a second."""
    given = request.get_json(silent=True) or {}
    url, name, store = (
        given.get("url" if is_v2 else "target_url"),
        given.get("name" if is_v2 else "friendly_name"),
        given.get("store_id"),
    )
    event = given.get("event")
    if event not in EVENTS[is_v2] or not str(url).startswith("http") or (is_v2 and not name):
        raise RefusedError(
            400,
            "invalid_field_value",
            "A name, a known event and a URL are required.",
            kind="validation",
        )
    if is_v2 and any((one.event, one.store) == (event, store) for one in world.subscriptions):
        raise RefusedError(
            409, "webhook_event_type_conflict", "A webhook for this event already exists."
        )
    made = world.subscribe(
        event, str(url), name=name, headers=given.get("headers") or [], store=store
    )
    return row("v2_webhook", made) if is_v2 else {"id": made.number}


def _update(world: World, given: str) -> Any:
    """URL, name and headers, each as a whole; event and store stay. Answered with 204."""
    found, wanted = _find(world, given), request.get_json(silent=True) or {}
    found.url, found.name = wanted.get("url", found.url), wanted.get("name", found.name)
    found.headers = wanted.get("headers", found.headers)
    return "", 204


def _delete(world: World, given: str) -> Any:
    world.subscriptions.remove(_find(world, given))
    return "", 204


def _find(world: World, given: str) -> Subscription:
    is_v2 = request.path.startswith("/v2/")
    for found in world.subscriptions:
        if found.is_v2 == is_v2 and given == (found.webhook_id if is_v2 else str(found.number)):
            return found
    raise RefusedError(404, "not_found", "The requested webhook was not found.")


_V2, _V1 = "/v2/environment/webhooks", "/webhooks"
ROUTES: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
    ("GET", _V2, "shipstation.webhooks", partial(_list, is_v2=True)),
    ("POST", _V2, "shipstation.create_webhook", partial(_create, is_v2=True)),
    ("PUT", f"{_V2}/<given>", "shipstation.update_webhook", _update),
    ("DELETE", f"{_V2}/<given>", "shipstation.delete_webhook", _delete),
    ("GET", _V1, "shipstation_v1.webhooks", partial(_list, is_v2=False)),
    ("POST", f"{_V1}/subscribe", "shipstation_v1.create_webhook", partial(_create, is_v2=False)),
    ("DELETE", f"{_V1}/<given>", "shipstation_v1.delete_webhook", _delete),
)
"""Method, path, operation and a view of the world, as in shipstation.py."""
