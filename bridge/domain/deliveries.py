"""Delivery: our duty to create one fulfillment; the draft it begins as, and the attempts made at
it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Held, Tracking
from bridge.domain.events import COMMITTED, DeliveryStatus, Lane, Trigger
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment


@dataclass(frozen=True, slots=True)
class Delivery:
    """Our duty to create one fulfillment. `lines` is empty until its order is known; `looks` counts
    waits and read-backs of the current stretch; `posting_at` is the committed intent, `unclear_at`
    when it became certain that the answer is lost; `resolved_at` is when a person closed it,
    `superseded_by` the delivery that took its place."""

    id: str
    identity: str
    status: DeliveryStatus
    reason: Reason | None
    lane: Lane
    trigger: Trigger
    shipment: Shipment
    fulfillment_order_id: str | None
    reference: str | None
    rule: str | None
    linked_order_id: str | None
    lines: tuple[FulfilledLine, ...]
    tracking: Tracking | None
    notify_customer: bool
    claim: int
    attempts: int
    looks: int
    posting_at: datetime | None
    unclear_at: datetime | None
    order_seen_at: datetime | None
    label_seen_at: datetime | None
    received_at: datetime
    created_at: datetime
    resolved_at: datetime | None = None
    superseded_by: str | None = None

    def action(self) -> CreateFulfillment:
        """What goes out. Only a placed delivery (order, lines and number known) has one."""
        if self.fulfillment_order_id is None or self.tracking is None:
            raise ValueError(f"{self.id} is not placed yet")
        return CreateFulfillment(
            fulfillment_order_id=self.fulfillment_order_id,
            reference=self.reference or "",
            lines=self.lines,
            tracking=self.tracking,
            notify_customer=self.notify_customer,
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A delivery about to be written: a decided action (create or held), or None while its order is
    still being looked for. What is held may have a due time: the search goes on meanwhile.
    `contents` is what each item of the parcel came to, `left_out` the goods that are not Purple
    Dot's, in words."""

    identity: str
    shipment: Shipment
    action: CreateFulfillment | Held | None
    lane: Lane
    received_at: datetime
    rule: str | None = None
    trigger: Trigger = Trigger.LIVE
    due_at: datetime | None = None
    order_seen_at: datetime | None = None
    label_seen_at: datetime | None = None
    notify_customer: bool = False
    attempts: int = 0
    contents: tuple[Mapping[str, Any], ...] = ()
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Who takes a delivery the moment it is written, so that it need not be claimed again: until
    when it is theirs."""

    owner: str
    until: datetime


MAY_STAND = frozenset({Reason.UNCONFIRMED_PARTIAL, Reason.VOIDED_AFTER_DELIVERY})
"""Held for one of these, Purple Dot may have the fulfillment, or has it for certain."""


def counts_against_order(delivery: Delivery) -> bool:
    """Whether its lines are taken from what is left of its order: every committed one, and a held
    one whose fulfillment may stand in Purple Dot all the same, whatever it is held for."""
    if delivery.status in COMMITTED:
        return True
    may_stand = delivery.posting_at is not None or delivery.reason in MAY_STAND
    return delivery.status is DeliveryStatus.HELD and may_stand


def standing_of(draft: Draft, now: datetime) -> tuple[DeliveryStatus, datetime | None]:
    """The status that a draft begins with, and when a worker shall come for it."""
    if isinstance(draft.action, Held):
        return DeliveryStatus.HELD, draft.due_at
    due_at = draft.due_at or now
    if draft.action is None:
        return DeliveryStatus.RETRYING, due_at
    status = DeliveryStatus.WAITING if due_at > now else DeliveryStatus.PENDING
    return status, due_at


def reason_of(draft: Draft) -> Reason | None:
    """Why a draft waits for a person, or is still being looked for; None when it can go out."""
    if isinstance(draft.action, Held):
        return draft.action.reason
    return Reason.ORDER_NOT_FOUND if draft.action is None else None


def tracking_of(draft: Draft) -> Tracking | None:
    """What would be sent; for what is held, the number that ShipStation gives."""
    if isinstance(draft.action, CreateFulfillment):
        return draft.action.tracking
    number = draft.shipment.tracking_number
    return Tracking(number, None, None) if number else None


def begin(draft: Draft, *, delivery_id: str, now: datetime, claim: Claim | None = None) -> Delivery:
    """A draft as the new delivery that it becomes, claimed for a worker where `claim` says so."""
    action = draft.action
    created = action if isinstance(action, CreateFulfillment) else None
    status, _ = standing_of(draft, now)
    return Delivery(
        id=delivery_id,
        identity=draft.identity,
        status=status if claim is None else DeliveryStatus.DELIVERING,
        reason=reason_of(draft),
        lane=draft.lane,
        trigger=draft.trigger,
        shipment=draft.shipment,
        fulfillment_order_id=action.fulfillment_order_id if action else None,
        reference=action.reference if action else None,
        rule=draft.rule,
        linked_order_id=None,
        lines=created.lines if created else (),
        tracking=tracking_of(draft),
        notify_customer=created.notify_customer if created else draft.notify_customer,
        claim=0 if claim is None else 1,
        attempts=draft.attempts,
        looks=0,
        posting_at=None,
        unclear_at=None,
        order_seen_at=draft.order_seen_at,
        label_seen_at=draft.label_seen_at,
        received_at=draft.received_at,
        created_at=now,
    )


def keeps_attempts(draft: Draft) -> bool:
    """Whether a delivery that is decided anew keeps its attempts: not where the search goes on, or
    where a replay gives it the whole schedule once more."""
    if draft.action is None or draft.trigger is Trigger.REPLAY:
        return False
    return not (isinstance(draft.action, Held) and draft.due_at is not None)


def redecide(existing: Delivery, draft: Draft, *, now: datetime) -> Delivery:
    """A delivery as it stands once it was decided anew: its order, lines and status are the
    draft's."""
    return replace(
        begin(draft, delivery_id=existing.id, now=now),
        attempts=existing.attempts if keeps_attempts(draft) else draft.attempts,
        claim=existing.claim,
        received_at=existing.received_at,
        created_at=existing.created_at,
        linked_order_id=existing.linked_order_id,
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try as it happened. `outcome` is delivered, retrying, unconfirmed, held, dead, waiting or
    cancelled: where it led."""

    number: int
    trigger: Trigger
    started_at: datetime
    finished_at: datetime
    outcome: str
    detail: str = ""
    request: Mapping[str, Any] | None = None
    http_status: int | None = None
    answer: str | None = None
