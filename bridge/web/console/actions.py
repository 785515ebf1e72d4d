"""What a person does to one delivery or event: retry, answer whether Purple Dot has it, link,
choose the items that left, close, reopen, note."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import structlog
from flask import abort, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import BridgeError, LookFirstError, RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.operations import repair
from bridge.services import Services
from bridge.store import audit, repairs
from bridge.store.engine.database import Connection
from bridge.web.console import auth

log = structlog.get_logger(__name__)

Action: TypeAlias = Callable[..., str]
"""One of `operations.repair`."""

NOTE, SEEN = "note", "seen"
"""What the activity log calls a remark, and that somebody is looking after something."""

UNDO = "undo"
"""The kind of word that names what was just closed, beside what is said about it."""

_LONGEST_REASON = 1000
_LONGEST_MESSAGE = 600
_LONGEST_ORDER = 200


def retry(services: Services, delivery_id: str) -> Response:
    """One click, where nothing can be posted twice by it."""
    return _act(services, delivery_id, repair.retry, reason=reason_given())


def confirm(services: Services, delivery_id: str) -> Response:
    """The answer to "is this number on the order in Purple Dot?": yes closes it as delivered, no
    sends it again."""
    answer = request.form.get("answer", "")
    reason = reason_given()
    if answer == "yes":
        close = partial(repair.resolve, status=DeliveryStatus.DELIVERED)
        return _act(
            services, delivery_id, close, reason=reason or "seen in Purple Dot", closes=True
        )
    if answer != "no":
        abort(400, "The answer is yes or no.")
    if reason is None:
        return back("Nothing was sent: say how you know that Purple Dot does not have it.", "bad")
    retry_after_look = partial(repair.retry, has_looked=True)
    return _act(services, delivery_id, retry_after_look, reason=reason)


def retry_event(services: Services, event_id: str) -> Response:
    """One click, for a dead event."""
    actor, reason = actor_name(), reason_given()

    def act(connection: Connection) -> str:
        now = services.database.now(connection)
        outcome = repair.retry_event(connection, event_id, actor=actor, reason=reason, now=now)
        return f"{event_id} {outcome}"

    return _report(services, act)


def link(services: Services, delivery_id: str) -> Response:
    """Bind it to an order, after Purple Dot has confirmed that there is exactly one of that
    name."""
    text = request.form.get("order", "").strip()[:_LONGEST_ORDER]
    try:
        order = repair.exactly_one(services.orders_named(text), text)
    except BridgeError as exc:
        return back(f"It was not linked: {exc}", "bad")
    return _act(services, delivery_id, partial(repair.link, order=order), reason=reason_given())


def fulfill_rest(services: Services, delivery_id: str) -> Response:
    """All that is left, if that is still what the page had written out."""
    agreed = request.form.get("lines", "")
    act = partial(repair.fulfill_remaining, carriers=services.carriers, agreed=agreed)
    reason = reason_given() or f"all that is left: {agreed}"
    return _act(services, delivery_id, act, reason=reason)


def fulfill_chosen(services: Services, delivery_id: str) -> Response:
    """The lines and quantities that a person says were in the parcel."""
    chosen = _chosen_quantities()
    if not chosen:
        return back("Nothing was sent: no item was chosen.", "bad")
    act = partial(repair.fulfill_chosen, carriers=services.carriers, chosen=chosen)
    return _act(services, delivery_id, act, reason=reason_given())


def resolve(services: Services, delivery_id: str) -> Response:
    """Close what was settled elsewhere, with a reason for those who read it later."""
    reason = reason_given()
    if reason is None:
        return back("It was not closed: say why, for those who read it later.", "bad")
    act = partial(repair.resolve, status=_closing_status(request.form.get("as", "")))
    return _act(services, delivery_id, act, reason=reason, closes=True)


def reopen(services: Services, delivery_id: str) -> Response:
    """Take back what closed it; nothing was posted by that."""
    return _act(services, delivery_id, repair.reopen, reason=reason_given() or "closed by mistake")


def remark(services: Services, subject_id: str) -> Response:
    """A note, or that somebody is looking after it; the activity log keeps both."""
    text = reason_given()
    with services.database.begin() as connection:
        audit.note(
            connection,
            actor=actor_name(),
            action=NOTE if text else SEEN,
            subject=subject_id,
            reason=text,
            now=services.database.now(connection),
        )
    return back("Noted." if text else "You are looking after it.", "good")


def find_one(connection: Connection, delivery_id: str) -> Delivery:
    """RefusedError where there is none of this id."""
    for delivery in repairs.find(connection, delivery_id):
        if delivery.id == delivery_id:
            return delivery
    raise RefusedError(f"there is no delivery {delivery_id[:40]}")


def name_of(delivery: Delivery) -> str:
    """As people know it: by its order's number."""
    return delivery.reference or delivery.shipment.order_number or delivery.id


def back(message: str, category: str, *, closed_id: str = "") -> Response:
    """To where the form stood, with a word of what came of it, and a way to undo it for what was
    closed. The word travels in the cookie, so it is short."""
    flash(message[:_LONGEST_MESSAGE], category)
    if closed_id:
        flash(closed_id, UNDO)
    return redirect(page_before() or url_for("console.exceptions"), 303)


def page_before() -> str:
    """Where the form stood; empty where it doesn't say so, or names another site."""
    return auth.own_page(request.form.get("next", ""))


def reason_given() -> str | None:
    """What was typed as a reason, on one line."""
    return " ".join(request.form.get("reason", "").split())[:_LONGEST_REASON] or None


def actor_name() -> str:
    """Who acts, for the activity log."""
    return f"{auth.person()} in the console"


def _act(
    services: Services, delivery_id: str, act: Action, *, reason: str | None, closes: bool = False
) -> Response:
    def one(connection: Connection) -> str:
        delivery = find_one(connection, delivery_id)
        name, now = name_of(delivery), services.database.now(connection)
        try:
            outcome = act(connection, delivery, actor=actor_name(), reason=reason, now=now)
        except RefusedError as exc:
            raise type(exc)(str(exc).replace(delivery.id, name)) from exc
        return f"{name} {outcome}"

    return _report(services, one, closed_id=delivery_id if closes else "")


def _report(
    services: Services, act: Callable[[Connection], str], *, closed_id: str = ""
) -> Response:
    try:
        with services.database.begin() as connection:
            message = act(connection)
    except LookFirstError as exc:
        return back(f"Not done: {exc} Open it, and answer there.", "bad")
    except RefusedError as exc:
        return back(f"Not done: {exc}.", "bad")
    log.info("console_acted", message=message)
    return back(f"{message}.", "good", closed_id=closed_id)


def _chosen_quantities() -> dict[str, int]:
    """By line id, from fields named `units-LINE`; a field that holds no number counts as none."""
    chosen = {}
    for name, text in request.form.items():
        if name.startswith("units-") and text.isascii() and text.isdigit() and len(text) < 7:
            chosen[name.removeprefix("units-")] = int(text)
    return {line_id: quantity for line_id, quantity in chosen.items() if quantity}


def _closing_status(text: str) -> DeliveryStatus:
    if text not in (DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED):
        abort(400, "A delivery is closed as delivered or as cancelled.")
    return DeliveryStatus(text)
