"""One search box on every page: parcels and webhooks by any number, in any spelling; where nothing
is found, Purple Dot can be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import redirect, request, url_for

from bridge.domain.errors import BridgeError
from bridge.domain.orders import FulfillmentOrder
from bridge.services import Services
from bridge.store.search import search
from bridge.web.console.pages import render

LIMIT = 50
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """What Purple Dot has of that name; `problem` where it could not be asked."""

    orders: Sequence[FulfillmentOrder] = ()
    problem: str = ""


def show(services: Services) -> Any:
    """`q` is what is looked for; with `ask` Purple Dot is asked as well."""
    text = request.args.get("q", "").strip()[:_LONGEST]
    asks_vendor = bool(request.args.get("ask")) and bool(text)
    with services.database.read() as connection:
        result = search(connection, text, limit=LIMIT)
        now = services.database.now(connection)
    if len(result.deliveries) == 1 and not asks_vendor:
        return redirect(url_for("console.delivery", delivery_id=result.deliveries[0]["id"]), 303)
    return render(
        "search.html",
        text=text,
        parcels=result.deliveries,
        events=result.events,
        limit=LIMIT,
        answer=_ask(services, text) if asks_vendor else None,
        at=now,
    )


def _ask(services: Services, text: str) -> VendorAnswer:
    try:
        return VendorAnswer(services.orders_named(text))
    except BridgeError as exc:
        return VendorAnswer(problem=str(exc))
