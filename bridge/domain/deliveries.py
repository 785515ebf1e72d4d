"""Delivery: our duty to create one fulfillment; the draft it begins as, and the attempts made at
it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Held, Tracking
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment


@dataclass(frozen=True, slots=True)
class Delivery:
    """Our duty to create one fulfillment. `lines` is empty until its order is known; `looks` counts
    waits and read-backs of the current stretch; `posting_at` is the committed intent, `unclear_at`
    when it became certain that the answer is lost."""

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
    still being looked for."""

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


@dataclass(frozen=True, slots=True)
class Claim:
    """Who takes a delivery the moment it is written, so that it need not be claimed again: until
    when it is theirs."""

    owner: str
    until: datetime


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
