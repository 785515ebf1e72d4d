"""One search box on every page: parcels and webhooks by any number, in any spelling; and both
vendors, asked now, for what is not here."""

from collections.abc import Sequence
from typing import Any

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.domain.errors import BridgeError, StorageError
from bridge.operations.lookup import Answer
from bridge.services import Services
from bridge.store.search import SearchResult, search, searched
from bridge.web.console.actions import actor_name, back
from bridge.web.console.pages import render

LIMIT = 50
_LONGEST = 200


def show(services: Services) -> Any:
    """`q` is what is looked for; a parcel that alone fits is shown at once."""
    text = _text()
    result = _search(services, text)
    if len(result.deliveries) == 1:
        return redirect(url_for("console.delivery", delivery_id=result.deliveries[0]["id"]), 303)
    return _page(services, text, result)


def look_up(services: Services) -> str:
    """Ask ShipStation and Purple Dot; what they say stands on the page and nowhere else."""
    text = _text()
    answers = services.look_up.ask(text)
    return _page(services, text, _search(services, text), answers)


def process(services: Services) -> Response:
    """Let in a parcel that the vendor has and no webhook reported."""
    kind, record_id = request.form.get("kind", ""), request.form.get("record", "")
    try:
        is_found = services.look_up.process(
            _text(), kind=kind, record_id=record_id, actor=actor_name()
        )
    except StorageError:
        raise
    except BridgeError as exc:
        return back(f"It was not processed: {exc}", "bad")
    if not is_found:
        return back("It was not processed: ShipStation does not show it any more.", "bad")
    return back("It is being processed, as if its webhook had come. Search again.", "good")


def _search(services: Services, text: str) -> SearchResult:
    with services.database.read() as connection:
        return search(connection, text, limit=LIMIT)


def _page(
    services: Services,
    text: str,
    result: SearchResult,
    answers: Sequence[Answer] | None = None,
) -> str:
    return render(
        "search.html",
        text=text,
        parcels=result.deliveries,
        events=result.events,
        searched=searched(text),
        limit=LIMIT,
        answers=answers,
        can_be_asked=any(map(str.isdigit, text)),
        at=services.database.now(),
    )


def _text() -> str:
    return request.values.get("q", "").strip()[:_LONGEST]
