"""What a person does to a delivery by hand. Each act is an attempt of its own, with its reason,
beside the others; nothing is erased."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from bridge.domain.deliveries import Attempt, Delivery
from bridge.domain.errors import RefusedError
from bridge.domain.events import CLAIMABLE, DeliveryStatus, Lane, Trigger
from bridge.domain.reasons import Reason
from bridge.store import attempts
from bridge.store.deliveries import drop_lines, load
from bridge.store.engine import wakeup
from bridge.store.tables import deliveries

TOLD_ALREADY = frozenset({Reason.VOIDED_AFTER_DELIVERY, Reason.TRACKING_CHANGED_AFTER_DELIVERY})


def find(connection: Connection, text: str) -> list[Delivery]:
    """Deliveries whose id begins with `text`, or whose ShipStation shipment, record or tracking
    number it is."""
    by_id = (
        deliveries.c.id.between(text, f"{text}\U0010ffff")
        if text.startswith("dlv_")
        else deliveries.c.tracking_number == text
    )
    others = (deliveries.c.shipstation_shipment_id == text) | (
        deliveries.c.shipstation_record_id == text
    )
    return load(
        connection,
        connection.execute(
            select(deliveries).where(by_id | others).order_by(deliveries.c.id).limit(20)
        ).all(),
    )


def retry(connection: Connection, delivery: Delivery, *, now: datetime) -> None:
    """Try a delivery now. One whose order or lines are not settled is decided anew from what
    ShipStation says now; one that was held as perhaps told is sent again, since a person has
    looked. Raises RefusedError for what Purple Dot already has."""
    if (
        delivery.status in (DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED)
        or delivery.reason in TOLD_ALREADY
    ):
        raise RefusedError(
            f"{delivery.id} is {delivery.status}: retrying it would tell Purple Dot the same goods twice"
        )
    if delivery.status is DeliveryStatus.DELIVERING or (
        delivery.status in CLAIMABLE and delivery.posting_at is not None
    ):
        raise RefusedError(
            f"{delivery.id} is {delivery.status}: whether it arrived is being found out, and must not be hurried"
        )
    again: dict[str, Any] = {"lane": int(Lane.RETRY), "trigger": Trigger.MANUAL}
    if delivery.status not in CLAIMABLE:
        # Only what counted all the while may keep its lines; others may have taken the units since,
        # so they are decided anew.
        keeps_lines = (
            bool(delivery.lines)
            and delivery.status is DeliveryStatus.HELD
            and delivery.posting_at is not None
        )
        if not keeps_lines:
            drop_lines(connection, delivery.id)
        status = DeliveryStatus.PENDING if keeps_lines else DeliveryStatus.RETRYING
        again |= {
            "status": status,
            "posting_at": None,
            "unclear_at": None,
            "attempts": 0,
            "looks": 0,
            "label_seen_at": None,
        }
    _change(connection, delivery, again | {"due_at": now, "order_seen_at": None}, now=now)
    wakeup.announce(connection)


def link(
    connection: Connection,
    delivery: Delivery,
    *,
    fulfillment_order_id: str,
    reference: str,
    now: datetime,
) -> None:
    """Bind a delivery whose order was in doubt to the one a person chose, then let it go on. Raises
    RefusedError once it was placed."""
    if (
        delivery.lines
        or delivery.posting_at is not None
        or delivery.status in (DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED)
    ):
        raise RefusedError(
            f"{delivery.id} is {delivery.status} and belongs to {delivery.reference} already"
        )
    values = {
        "linked_order_id": fulfillment_order_id,
        "status": DeliveryStatus.RETRYING,
        "due_at": now,
        "attempts": 0,
    }
    _change(
        connection, delivery, values | {"lane": int(Lane.RETRY), "trigger": Trigger.MANUAL}, now=now
    )
    attempts.add(
        connection, delivery.id, _act(delivery, "linked", f"linked to {reference} by hand", now=now)
    )
    wakeup.announce(connection)


def resolve(
    connection: Connection, delivery: Delivery, *, status: DeliveryStatus, why: str, now: datetime
) -> None:
    """Close a delivery that was mended outside, as `delivered` (its lines count as told) or
    `cancelled`. Raises RefusedError while a worker may still act on it, or once it is closed."""
    if status not in (DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED):
        raise RefusedError(f"a delivery is resolved as delivered or cancelled, not as {status}")
    if delivery.status not in (DeliveryStatus.HELD, DeliveryStatus.DEAD):
        raise RefusedError(
            f"{delivery.id} is {delivery.status}; only what is held or dead waits to be resolved"
        )
    values = {
        "status": status,
        "reason": None,
        "detail": f"resolved by hand: {why}"[:1000],
        "due_at": None,
    }
    told = {"delivered_at": now} if status is DeliveryStatus.DELIVERED else {}
    _change(connection, delivery, values | told, now=now)
    attempts.add(
        connection, delivery.id, _act(delivery, status.value, f"resolved by hand: {why}", now=now)
    )


def _change(
    connection: Connection, delivery: Delivery, values: Mapping[str, Any], *, now: datetime
) -> None:
    unchanged = (
        deliveries.c.id == delivery.id,
        deliveries.c.status == delivery.status,
        deliveries.c.claims == delivery.claim,
    )
    changed = (
        update(deliveries)
        .where(*unchanged)
        .values({**values, "owner": None, "updated_at": now, "redacted_at": None})
    )
    if connection.execute(changed).rowcount != 1:
        raise RefusedError(f"{delivery.id} has just moved on; look at it again")


def _act(delivery: Delivery, outcome: str, detail: str, *, now: datetime) -> Attempt:
    return Attempt(
        number=delivery.attempts,
        trigger=Trigger.MANUAL,
        started_at=now,
        finished_at=now,
        outcome=outcome,
        detail=detail,
    )
