"""What a person does: retry, link, fulfill what is left, resolve; one delivery at a time, or many
after a look at all of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from flask import abort, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.domain.errors import BridgeError, RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.operations import repair
from bridge.services import Services
from bridge.store import repairs
from bridge.store.engine.database import Connection
from bridge.web.console import auth
from bridge.web.console.lists import chosen_deliveries
from bridge.web.console.pages import render

log = structlog.get_logger(__name__)

Act = Callable[..., str]
"""One of `operations.repair`."""

MOST_AT_ONCE = 200
_LONGEST_REASON = 1000
BULK = {"retry": "Retry", "delivered": "Resolve as delivered", "cancelled": "Resolve as cancelled"}
"""What can be done to many at once."""


def retry(services: Services, delivery_id: str) -> Response:
    """One click."""
    return _told(services, delivery_id, repair.retry, why=reason())


def retry_event(services: Services, event_id: str) -> Response:
    """One click, for a dead event."""

    def act(connection: Connection) -> str:
        return repair.retry_event(
            connection,
            event_id,
            actor=who(),
            reason=reason(),
            now=services.database.now(connection),
        )

    return _tell(services, event_id, act)


def link(services: Services, delivery_id: str) -> Response:
    """Bind it to an order, after Purple Dot has confirmed that there is exactly one of that
    name."""
    text = request.form.get("order", "").strip()[:200]
    try:
        order = repair.exactly_one(list(services.orders_named(text)), text)
    except BridgeError as exc:
        return back(f"{delivery_id} was not linked: {exc}", "bad")
    return _told(services, delivery_id, partial(repair.link, order=order), why=reason())


def fulfill_rest(services: Services, delivery_id: str) -> Response:
    """All that is left, if that is still what the page had written out."""
    agreed = request.form.get("lines", "")
    act = partial(repair.fulfill_remaining, carriers=services.carriers, agreed=agreed)
    return _told(services, delivery_id, act, why=reason() or f"all that is left: {agreed}")


def resolve(services: Services, delivery_id: str) -> Response:
    """Close what was mended outside, with a reason for those who read it later."""
    why = reason()
    if why is None:
        return back(f"{delivery_id} was not resolved: say why, for those who read it later", "bad")
    act = partial(repair.resolve, status=_outcome(request.form.get("as", "")))
    return _told(services, delivery_id, act, why=why)


def plan_many(services: Services) -> Any:
    """The exact list of what would be done to the chosen ones, and of what would be refused.
    Nothing is done yet."""
    what = _one_of_bulk()
    with services.database.read() as connection:
        found, total = chosen_deliveries(services, connection, most=MOST_AT_ONCE)
    if not found:
        return back("Nothing was chosen, or nothing fits any more.", "bad")
    refused = _rehearse(services, what, [row["id"] for row in found])
    rows = [row for row in found if row["id"] not in refused]
    return render(
        "many.html",
        what=what,
        label=BULK[what],
        rows=rows,
        refused=refused,
        total=total,
        most=MOST_AT_ONCE,
        to=_from(),
    )


def do_many(services: Services) -> Response:
    """Each of the planned ones in a transaction of its own; what has moved on since is refused and
    counted."""
    what, why, ids = _one_of_bulk(), reason(), request.form.getlist("id")[:MOST_AT_ONCE]
    if why is None:
        return back("Nothing was done: say why, for those who read it later.", "bad")
    done, first_refusal = 0, ""
    for delivery_id in ids:
        try:
            with services.database.begin() as connection:
                _do(services, connection, delivery_id, _act(what), why=why)
            done += 1
        except RefusedError as exc:
            first_refusal = first_refusal or str(exc)
    log.info("console_acted_on_many", what=what, done=done, chosen=len(ids))
    told = f"{BULK[what]}: {done} of {len(ids)} done." + (
        f" The first that was refused: {first_refusal}." if first_refusal else ""
    )
    return back(told, "bad" if first_refusal else "good")


class _TakenBackError(Exception):
    """Ends a rehearsal: nothing of it is kept."""


def _rehearse(services: Services, what: str, ids: list[str]) -> dict[str, str]:
    """Which of these would be refused, and why: told by the very code that would do it."""
    refused: dict[str, str] = {}
    try:
        with services.database.begin(durable=False) as connection:
            for delivery_id in ids:
                try:
                    _do(services, connection, delivery_id, _act(what), why="a rehearsal")
                except RefusedError as exc:
                    refused[delivery_id] = str(exc)
            raise _TakenBackError
    except _TakenBackError:
        return refused


def _act(what: str) -> Act:
    if what == "retry":
        return repair.retry
    return partial(repair.resolve, status=DeliveryStatus(what))


def _do(
    services: Services, connection: Connection, delivery_id: str, act: Act, *, why: str | None
) -> str:
    found = [
        delivery for delivery in repairs.find(connection, delivery_id) if delivery.id == delivery_id
    ]
    if not found:
        raise RefusedError(f"there is no delivery {delivery_id[:40]}")
    now = services.database.now(connection)
    return act(connection, found[0], actor=who(), reason=why, now=now)


def _told(services: Services, delivery_id: str, act: Act, *, why: str | None) -> Response:
    return _tell(
        services,
        delivery_id,
        lambda connection: _do(services, connection, delivery_id, act, why=why),
    )


def _tell(services: Services, subject: str, act: Callable[[Connection], str]) -> Response:
    try:
        with services.database.begin() as connection:
            told = act(connection)
    except RefusedError as exc:
        return back(f"Not done: {exc}.", "bad")
    log.info("console_acted", subject=subject)
    return back(f"{subject} {told}.", "good")


def back(message: str, category: str) -> Response:
    """To where the form stood, with a word of what came of it. The word travels in the cookie, so
    it is short."""
    flash(message[:600], category)
    return redirect(_from() or url_for("console.exceptions"), 303)


def _from() -> str:
    return auth.own_page(request.form.get("next", ""))


def reason() -> str | None:
    return " ".join(request.form.get("reason", "").split())[:_LONGEST_REASON] or None


def who() -> str:
    return f"{auth.person()} in the console"


def _outcome(text: str) -> DeliveryStatus:
    if text not in (DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED):
        abort(400, "A delivery is resolved as delivered or as cancelled.")
    return DeliveryStatus(text)


def _one_of_bulk() -> str:
    what = request.form.get("what", "")
    if what not in BULK:
        abort(400, "That can't be done to many at once.")
    return what
