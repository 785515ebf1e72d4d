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
    names = (resource_type, resource_type.lower())
    addressed: list[tuple[str, Json]] = []
    for subscription in world.subscriptions:
        if subscription.is_active and subscription.event in names:
            headers = {header["key"]: header["value"] for header in subscription.headers}
            addressed.append((subscription.url, headers))
    return addressed


def _list(world: World, *, is_v2: bool) -> Any:
    rows = [
        row("v2_webhook" if is_v2 else "v1_webhook", subscription)
        for subscription in world.subscriptions
        if subscription.is_v2 == is_v2
    ]
    return rows if is_v2 else {"webhooks": rows}


def _create(world: World, *, is_v2: bool) -> Any:
    """V2 takes one URL for each event (of a store), and answers 409 to a second."""
    body = request.get_json(silent=True) or {}
    url, name, store = (
        body.get("url" if is_v2 else "target_url"),
        body.get("name" if is_v2 else "friendly_name"),
        body.get("store_id"),
    )
    event = body.get("event")
    if event not in EVENTS[is_v2] or not str(url).startswith("http") or (is_v2 and not name):
        raise RefusedError(
            400,
            "invalid_field_value",
            "A name, a known event and a URL are required.",
            kind="validation",
        )
    if is_v2 and any((other.event, other.store) == (event, store) for other in world.subscriptions):
        raise RefusedError(
            409, "webhook_event_type_conflict", "A webhook for this event already exists."
        )
    subscription = world.subscribe(
        event, str(url), name=name, headers=body.get("headers") or [], store=store
    )
    return row("v2_webhook", subscription) if is_v2 else {"id": subscription.number}


def _update(world: World, given: str) -> Any:
    """URL, name and headers, each as a whole; event and store stay. Answered with 204."""
    subscription, changes = _find(world, given), request.get_json(silent=True) or {}
    subscription.url, subscription.name = (
        changes.get("url", subscription.url),
        changes.get("name", subscription.name),
    )
    subscription.headers = changes.get("headers", subscription.headers)
    return "", 204


def _delete(world: World, given: str) -> Any:
    world.subscriptions.remove(_find(world, given))
    return "", 204


def _find(world: World, given: str) -> Subscription:
    is_v2 = request.path.startswith("/v2/")
    for subscription in world.subscriptions:
        if subscription.is_v2 == is_v2 and given == (
            subscription.webhook_id if is_v2 else str(subscription.number)
        ):
            return subscription
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
