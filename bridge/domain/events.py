"""Events, records and deliveries: what they are, the states they can be in, and the only arrows
between those states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from bridge.domain.reasons import Reason


class EventStatus(StrEnum):
    """`received` is work; the other four are ends."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    DEAD = "dead"
    REJECTED = "rejected"


class DeliveryStatus(StrEnum):
    """The life of our duty to create one fulfillment."""

    PENDING = "pending"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    RETRYING = "retrying"
    WAITING = "waiting"
    UNCONFIRMED = "unconfirmed"
    HELD = "held"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What set an attempt off."""

    LIVE = "live"
    RETRY = "retry"
    REPLAY = "replay"
    MANUAL = "manual"


class Lane(IntEnum):
    """Who goes first under the rate budget; lower goes first."""

    LIVE = 0
    RETRY = 1
    REPLAY = 2
    SWEEP = 3


_D = DeliveryStatus
EVENT_ARROWS: dict[EventStatus, frozenset[EventStatus]] = {
    EventStatus.RECEIVED: frozenset(
        {EventStatus.RECEIVED, EventStatus.PROCESSED, EventStatus.IGNORED, EventStatus.DEAD}
    ),
    EventStatus.PROCESSED: frozenset({EventStatus.RECEIVED}),
    EventStatus.IGNORED: frozenset({EventStatus.RECEIVED}),
    EventStatus.DEAD: frozenset({EventStatus.RECEIVED}),
    EventStatus.REJECTED: frozenset(),
}
"""From an end back to `received` is a replay; a rejected event was never work and never becomes
it."""

DELIVERY_ARROWS: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    _D.PENDING: frozenset({_D.DELIVERING, _D.CANCELLED, _D.HELD}),
    _D.RETRYING: frozenset({_D.DELIVERING, _D.CANCELLED, _D.PENDING, _D.WAITING, _D.HELD}),
    _D.WAITING: frozenset({_D.DELIVERING, _D.CANCELLED, _D.PENDING, _D.RETRYING, _D.HELD}),
    _D.UNCONFIRMED: frozenset(
        {_D.DELIVERING, _D.CANCELLED, _D.DELIVERED, _D.RETRYING, _D.WAITING, _D.HELD, _D.DEAD}
    ),
    _D.DELIVERING: frozenset(
        {
            _D.PENDING,
            _D.DELIVERED,
            _D.RETRYING,
            _D.WAITING,
            _D.UNCONFIRMED,
            _D.HELD,
            _D.DEAD,
            _D.CANCELLED,
            _D.DELIVERING,
        }
    ),
    _D.HELD: frozenset(
        {
            _D.HELD,
            _D.PENDING,
            _D.WAITING,
            _D.RETRYING,
            _D.DELIVERING,
            _D.DELIVERED,
            _D.DEAD,
            _D.CANCELLED,
        }
    ),
    _D.DEAD: frozenset({_D.PENDING, _D.WAITING, _D.RETRYING, _D.HELD, _D.DELIVERED, _D.CANCELLED}),
    _D.DELIVERED: frozenset({_D.HELD, _D.DEAD}),
    _D.CANCELLED: frozenset({_D.PENDING, _D.WAITING, _D.RETRYING, _D.HELD, _D.DEAD}),
}
"""`delivering → delivering` is a takeover after a crash; `unconfirmed → …` a definite answer that
comes late; `held → …` newer facts, a person, or a search that goes on, and so `retrying → …` and
`waiting → …` where the order was still looked for; `delivered → held` is a void that came too
late, and `delivered → dead` a person who reopens what they had closed."""


def check_arrow(old: DeliveryStatus, new: DeliveryStatus) -> None:
    """Raises ValueError where no arrow leads from one status to the other."""
    if old is not new and new not in DELIVERY_ARROWS[old]:
        raise ValueError(f"no delivery goes from {old} to {new}")


CLAIMABLE = frozenset({_D.PENDING, _D.RETRYING, _D.WAITING, _D.UNCONFIRMED, _D.DELIVERING})
"""Statuses that carry a due time: a worker will come for them."""

COMMITTED = frozenset({*CLAIMABLE, _D.DELIVERED})
"""Statuses whose lines count against what is left of an order. A held `unconfirmed_partial` counts
as well."""

EXCEPTIONS = frozenset({_D.HELD, _D.DEAD})
"""What a person has to see."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was fetched for a thin event: one row of the vendor's answer, cut down to the fields we
    read (no names, no addresses).

    `kind` is one of `v2_label`, `v2_fulfillment`, `v2_shipment`, `v1_shipment`, `v1_fulfillment`,
    `v1_order`, `inline_row`."""

    kind: str
    record_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One notification as received and stored, as the worker needs it."""

    id: str
    event_type: str
    resource_url: str | None
    body: bytes
    received_at: datetime
    lane: Lane
    attempts: int
    waits: int
    claim: int
    """The fencing token: an outcome is written only while this is still the newest claim."""
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """Where one try of an event led: an end, or with `received` on at `due_at`; without `due_at` it
    stays with the worker that has it. `records` replace what was fetched before, unless None;
    `throttled_by` is the vendor for whose sake alone it waits."""

    status: EventStatus
    attempts: int
    waits: int
    reason: Reason | None = None
    detail: str = ""
    due_at: datetime | None = None
    throttled_by: str | None = None
    decisions: Sequence[Mapping[str, Any]] = ()
    records: Sequence[Record] | None = None
    fetched_at: datetime | None = None
    delivery_ids: Sequence[str] = ()
