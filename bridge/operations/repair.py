"""REPAIRED: what a person does by hand, the same for the commands and the console. Each act is an
attempt of its own beside the others and a row of the audit list; nothing is erased."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.domain.actions import CreateFulfillment, Tracking
from bridge.domain.deliveries import Attempt, Delivery, Draft
from bridge.domain.errors import LookFirstError, RefusedError, TemporaryError
from bridge.domain.events import CLAIMABLE, EXCEPTIONS, DeliveryStatus, Lane, Trigger
from bridge.domain.orders import FulfillmentOrder
from bridge.domain.reasons import Reason
from bridge.store import attempts, audit, deliveries, events, orders, repairs
from bridge.store.engine import wakeup
from bridge.store.engine.database import Connection
from bridge.translate.carriers import Carriers
from bridge.translate.remaining import rest_of
from bridge.translate.standing import as_earlier

CLOSED = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED})
AFTER_DELIVERY = frozenset({Reason.VOIDED_AFTER_DELIVERY, Reason.TRACKING_CHANGED_AFTER_DELIVERY})
"""Purple Dot has these parcels already, whatever a person thinks of them."""
LINES_UNCLEAR = frozenset(
    {Reason.NO_ITEMS, Reason.UNKNOWN_LINE, Reason.OVER_QUANTITY, Reason.COMBINED_PARCEL}
)
_LONGEST_DETAIL = 1000


def retry_event(
    connection: Connection, event_id: str, *, actor: str, reason: str | None, now: datetime
) -> str:
    """Process a dead event again. RefusedError for any other."""
    if not events.revive(connection, event_id, now=now):
        raise RefusedError(f"{event_id} isn't dead: only a dead event is tried again")
    wakeup.announce(connection)
    outcome = "is tried again now"
    audit.note(
        connection,
        actor=actor,
        action="retry",
        subject=event_id,
        reason=reason,
        outcome=outcome,
        now=now,
    )
    return outcome


def retry(
    connection: Connection,
    delivery: Delivery,
    *,
    actor: str,
    reason: str | None = None,
    has_looked: bool = False,
    now: datetime,
) -> str:
    """Try a delivery now, as an attempt of its own. One whose order or lines are not settled is
    decided anew from what ShipStation says now; one that may be posted already is posted again
    only where `has_looked`: a person has seen that its number is not on the order in Purple Dot.

    Raises RefusedError for what Purple Dot already has, and LookFirstError where nobody has
    looked."""
    _refuse(retry_refusal(delivery))
    if may_be_posted(delivery) and not has_looked:
        raise LookFirstError(_question(delivery))
    keeps_lines = _keeps_lines(delivery)
    repairs.change(connection, delivery, _tried_now(delivery, keeps_lines, now), now=now)
    if delivery.status not in CLAIMABLE and not keeps_lines:
        deliveries.drop_lines(connection, delivery.id)
    wakeup.announce(connection)
    return _noted(
        connection, delivery, "retry", "is tried again now", actor=actor, reason=reason, now=now
    )


def link(
    connection: Connection,
    delivery: Delivery,
    *,
    order: FulfillmentOrder,
    actor: str,
    reason: str | None = None,
    now: datetime,
) -> str:
    """Bind a delivery whose order was unclear to the one a person chose, as Purple Dot has just
    shown it, and let it go on. Raises RefusedError once its lines are decided."""
    _refuse(link_refusal(delivery))
    orders.remember(connection, [order], now=now)
    values = {
        "linked_order_id": order.id,
        "status": DeliveryStatus.RETRYING,
        "due_at": now,
        "attempts": 0,
        "lane": int(Lane.RETRY),
        "trigger": Trigger.MANUAL,
    }
    repairs.change(connection, delivery, values, now=now)
    _add_attempt(connection, delivery, "linked", f"linked to {order.reference} by hand", now)
    wakeup.announce(connection)
    outcome = f"is linked to {order.reference} and goes on"
    return _noted(connection, delivery, "link", outcome, actor=actor, reason=reason, now=now)


def resolve(
    connection: Connection,
    delivery: Delivery,
    *,
    status: DeliveryStatus,
    actor: str,
    reason: str,
    now: datetime,
) -> str:
    """Close an exception that was repaired outside, as `delivered` (its lines count as fulfilled)
    or `cancelled`. Raises RefusedError while a worker may still act on it, or once it is
    closed."""
    if status not in CLOSED:
        raise RefusedError(f"a delivery is resolved as delivered or cancelled, not as {status}")
    _refuse(resolve_refusal(delivery))
    before = repairs.standing(connection, delivery.id)
    detail = f"resolved by hand: {reason}"
    values: dict[str, Any] = {
        "status": status,
        "reason": None,
        "detail": detail[:_LONGEST_DETAIL],
        "due_at": None,
        "resolved_from": {
            "status": before.status,
            "reason": before.reason,
            "detail": before.detail,
        },
        "resolved_at": now,
    }
    if status is DeliveryStatus.DELIVERED:
        values["delivered_at"] = now
    repairs.change(connection, delivery, values, now=now)
    _add_attempt(connection, delivery, status.value, detail, now)
    outcome = f"is closed as {status}"
    return _noted(connection, delivery, "resolve", outcome, actor=actor, reason=reason, now=now)


def reopen(
    connection: Connection, delivery: Delivery, *, actor: str, reason: str, now: datetime
) -> str:
    """Undo a resolve: the exception is back as it was, with its first reason. Nothing is posted, as
    closing posted nothing. Raises RefusedError for what no person closed."""
    before = repairs.standing(connection, delivery.id).resolved_from
    if delivery.status not in CLOSED:
        raise RefusedError(f"{delivery.id} is {delivery.status}: it isn't closed")
    if before is None:
        raise RefusedError(
            f"{delivery.id} became {delivery.status} without a person's decision, so there is none "
            "to undo"
        )
    values = {
        "status": before["status"],
        "reason": before["reason"],
        "detail": before["detail"],
        "delivered_at": None,
        "resolved_from": None,
        "resolved_at": None,
    }
    repairs.change(connection, delivery, values, now=now)
    _add_attempt(connection, delivery, str(before["status"]), f"reopened by hand: {reason}", now)
    outcome = f"is open again as {before['status']} {before['reason'] or ''}".rstrip()
    return _noted(connection, delivery, "reopen", outcome, actor=actor, reason=reason, now=now)


def fulfill_remaining(
    connection: Connection,
    delivery: Delivery,
    *,
    carriers: Carriers,
    agreed: str | None,
    actor: str,
    reason: str | None = None,
    now: datetime,
) -> str:
    """Let a held parcel whose lines can't be known take all that is left of its order, because a
    person says so: `agreed` is what they saw and agreed to, as `format_lines` writes it, or None
    for whatever is left. Raises RefusedError, which names the lines, where that is not the
    question, where they have changed, or where nothing is left."""
    orders.lock(connection, [delivery.fulfillment_order_id or ""])
    action = remaining_for(connection, delivery, carriers=carriers)
    lines = format_lines(action)
    if agreed is not None and agreed != lines:
        raise RefusedError(
            f"{lines} of {action.reference} would be fulfilled by now; that is not what you saw, "
            "so nothing was sent: look again"
        )
    return _send_lines(connection, delivery, action, actor=actor, reason=reason, now=now)


def fulfill_chosen(
    connection: Connection,
    delivery: Delivery,
    *,
    carriers: Carriers,
    chosen: Mapping[str, int],
    actor: str,
    reason: str | None = None,
    now: datetime,
) -> str:
    """Let a held parcel whose lines can't be known take the units of each line (by line id) that a
    person says were in it. Raises RefusedError where that is not the question, or where fewer are
    left."""
    orders.lock(connection, [delivery.fulfillment_order_id or ""])
    action = with_chosen(remaining_for(connection, delivery, carriers=carriers), chosen)
    return _send_lines(connection, delivery, action, actor=actor, reason=reason, now=now)


def with_chosen(remaining: CreateFulfillment, chosen: Mapping[str, int]) -> CreateFulfillment:
    """Of all that is left only these units of each line (by line id). RefusedError where fewer are
    left. Pure."""
    left = {line.id: line.quantity for line in remaining.lines}
    too_many = [line_id for line_id, quantity in chosen.items() if quantity > left.get(line_id, 0)]
    if too_many or not chosen:
        raise RefusedError(
            f"not so many are left of {remaining.reference}: {format_lines(remaining)} can go out; "
            "nothing was sent, look again"
        )
    lines = [
        replace(line, quantity=chosen[line.id]) for line in remaining.lines if chosen.get(line.id)
    ]
    return replace(remaining, lines=tuple(lines), detail="the items that a person chose")


def named_lines(remaining: CreateFulfillment, named: Mapping[str, int]) -> dict[str, int]:
    """By line id the quantities that a person gave by line id or SKU. RefusedError for a name that
    is none of what is left, or a SKU that several lines have. Pure."""
    chosen: dict[str, int] = {}
    for name, quantity in named.items():
        lines = [line for line in remaining.lines if name in (line.id, line.sku)]
        if len(lines) != 1:
            count = f"{len(lines)} lines" if lines else "no line"
            left = ", ".join(
                f"{line.quantity} x {line.sku} ({line.id})" for line in remaining.lines
            )
            raise RefusedError(
                f"{count} of what is left of {remaining.reference} is called {name}; left are"
                f" {left}"
            )
        chosen[lines[0].id] = chosen.get(lines[0].id, 0) + quantity
    return chosen


def _send_lines(
    connection: Connection,
    delivery: Delivery,
    action: CreateFulfillment,
    *,
    actor: str,
    reason: str | None,
    now: datetime,
) -> str:
    draft = Draft(
        delivery.identity,
        delivery.shipment,
        action,
        Lane.RETRY,
        delivery.received_at,
        delivery.rule,
        Trigger.MANUAL,
    )
    try:
        deliveries.decide_again(connection, delivery, draft, now=now)
    except TemporaryError as exc:
        raise RefusedError(f"{delivery.id} has just moved on; look at it again") from exc
    wakeup.announce(connection)
    outcome = f"goes out now with {format_lines(action)} of {action.reference}"
    return _noted(connection, delivery, "retry", outcome, actor=actor, reason=reason, now=now)


def remaining_for(
    connection: Connection, delivery: Delivery, *, carriers: Carriers
) -> CreateFulfillment:
    """What `fulfill_remaining` would let go out; nothing is changed, and the same is refused.
    LookFirstError where it may be posted already: which lines is not the question there."""
    if may_be_posted(delivery):
        raise LookFirstError(_question(delivery))
    order_id = delivery.fulfillment_order_id or ""
    order = next(iter(orders.known(connection, order_ids=[order_id])), None)
    lines_unclear = delivery.status is DeliveryStatus.HELD and delivery.reason in LINES_UNCLEAR
    if not lines_unclear or order is None or delivery.tracking is None:
        reason = delivery.reason
        raise RefusedError(
            f"{delivery.id} is {delivery.status}{f' ({reason})' if reason else ''}: the question"
            " there is not which lines were in the parcel"
        )
    others = deliveries.of_orders(connection, [order_id]).get(order_id, [])
    lines = rest_of(order, [as_earlier(other) for other in others])
    if not lines:
        raise RefusedError(f"nothing is left of {order.reference}")
    tracking = Tracking(delivery.tracking.number, *carriers.of(delivery.shipment))
    return CreateFulfillment(
        order_id,
        order.reference,
        lines,
        tracking,
        delivery.notify_customer,
        "all that is left, by hand",
    )


def retry_refusal(delivery: Delivery) -> str | None:
    """Why this delivery can't be tried again; None when it can. Pure."""
    if delivery.status is DeliveryStatus.CANCELLED:
        return f"{delivery.id} is cancelled; if a person closed it, reopen it first"
    if delivery.status is DeliveryStatus.DELIVERED or delivery.reason in AFTER_DELIVERY:
        return (
            f"{delivery.id} is {delivery.status}: retrying it would post the same goods to Purple"
            " Dot twice"
        )
    is_posting = delivery.status in CLAIMABLE and delivery.posting_at is not None
    if is_posting or delivery.status is DeliveryStatus.DELIVERING:
        return (
            f"{delivery.id} is {delivery.status}: whether it arrived is being found out, and must "
            "not be hurried"
        )
    return None


def may_be_posted(delivery: Delivery) -> bool:
    """Whether only a look into Purple Dot can show that it was not posted yet. Pure."""
    return delivery.reason is Reason.UNCONFIRMED_PARTIAL


def link_refusal(delivery: Delivery) -> str | None:
    """Why this delivery can't be linked to an order; None when it can. Pure."""
    is_decided = bool(delivery.lines) or delivery.posting_at is not None
    if is_decided or delivery.status in CLOSED:
        return f"{delivery.id} is {delivery.status} and belongs to {delivery.reference} already"
    return None


def resolve_refusal(delivery: Delivery) -> str | None:
    """Why this delivery can't be closed; None when it can. Pure."""
    if delivery.status not in EXCEPTIONS:
        return f"{delivery.id} is {delivery.status}; only what is held or dead waits to be resolved"
    return None


def exactly_one(orders: list[FulfillmentOrder], text: str) -> FulfillmentOrder:
    """RefusedError unless Purple Dot has exactly one order of that name: a typo must not bind a
    parcel to nothing."""
    if len(orders) == 1:
        return orders[0]
    count = f"{len(orders)} fulfillment orders" if orders else "no fulfillment order"
    raise RefusedError(f"Purple Dot has {count} with the reference {text}. Give the id instead.")


def format_lines(action: CreateFulfillment) -> str:
    """The lines of a fulfillment in words."""
    return ", ".join(f"{line.quantity} x {line.sku or line.id}" for line in action.lines)


def _refuse(refusal: str | None) -> None:
    if refusal is not None:
        raise RefusedError(refusal)


def _question(delivery: Delivery) -> str:
    number = delivery.tracking.number if delivery.tracking else "its number"
    return (
        f"{delivery.id} may be posted already. Is {number} on {delivery.reference} in Purple Dot?"
    )


def _keeps_lines(delivery: Delivery) -> bool:
    # Only what counted all the while may keep its lines. Others may have taken the units of
    # anything else since, so that is decided anew.
    was_posted = delivery.status is DeliveryStatus.HELD and delivery.posting_at is not None
    return was_posted and bool(delivery.lines)


def _tried_now(delivery: Delivery, keeps_lines: bool, now: datetime) -> dict[str, Any]:
    """The columns of a delivery that is due now."""
    values: dict[str, Any] = {
        "lane": int(Lane.RETRY),
        "trigger": Trigger.MANUAL,
        "due_at": now,
        "order_seen_at": None,
    }
    if delivery.status not in CLAIMABLE:
        values |= {
            "status": DeliveryStatus.PENDING if keeps_lines else DeliveryStatus.RETRYING,
            "posting_at": None,
            "unclear_at": None,
            "attempts": 0,
            "looks": 0,
            "label_seen_at": None,
        }
    return values


def _add_attempt(
    connection: Connection, delivery: Delivery, outcome: str, detail: str, now: datetime
) -> None:
    attempt = Attempt(
        number=delivery.attempts,
        trigger=Trigger.MANUAL,
        started_at=now,
        finished_at=now,
        outcome=outcome,
        detail=detail,
    )
    attempts.add(connection, delivery.id, attempt)


def _noted(
    connection: Connection,
    delivery: Delivery,
    action: str,
    outcome: str,
    *,
    actor: str,
    reason: str | None,
    now: datetime,
) -> str:
    audit.note(
        connection,
        actor=actor,
        action=action,
        subject=delivery.id,
        reason=reason,
        outcome=outcome,
        now=now,
    )
    return outcome
