"""What goes into a plan and what comes out of it: plain values."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.deliveries import Claim, Delivery, Draft
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.orders import FulfillmentOrder
from bridge.domain.parcels import Parcel
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment
from bridge.translate.carriers import Carriers
from bridge.translate.contents import ItemFate


@dataclass(frozen=True, slots=True)
class Policy:
    """The merchant's choices that a decision depends on."""

    pattern: re.Pattern[str] | None
    carriers: Carriers
    notify_customer: bool
    hold: timedelta
    retry_schedule: tuple[timedelta, ...]


@dataclass(frozen=True, slots=True)
class OrderLookup:
    """`orders` are all that may matter; `stored` those of them that were known before, `fresh`
    those just read from Purple Dot, at `seen_at`; `bound` what earlier deliveries tied each
    ShipStation order to, and `linked` what a person tied each record to, by the record's key.
    `missing_ids` were asked for, and Purple Dot does not show them."""

    orders: tuple[FulfillmentOrder, ...] = ()
    stored: tuple[FulfillmentOrder, ...] = ()
    fresh: tuple[FulfillmentOrder, ...] = ()
    bound: Mapping[str, FulfillmentOrder] = field(default_factory=dict)
    linked: Mapping[str, FulfillmentOrder] = field(default_factory=dict)
    missing_ids: frozenset[str] = frozenset()
    seen_at: datetime | None = None

    def is_fresh(self, order_id: str) -> bool:
        return any(order.id == order_id for order in self.fresh)


@dataclass(frozen=True, slots=True)
class PageContext:
    """Where a page of shipments came from: its lane and trigger, when the notification came, when
    the page was fetched; `tries` counts earlier searches for an order that was not there;
    `linked_order_id` is the order that a person chose; `as_stored` says that the page is an old
    one, replayed; `delivery_id` is the delivery that a worker holds to decide it anew. On the
    first look, what Purple Dot does not show is asked for once more."""

    lane: Lane
    trigger: Trigger
    received_at: datetime
    fetched_at: datetime
    now: datetime
    tries: int = 0
    linked_order_id: str | None = None
    as_stored: bool = False
    delivery_id: str | None = None
    is_first_look: bool = False


@dataclass(frozen=True, slots=True)
class ClaimAllowance:
    """Up to `limit` of the new deliveries begin as claimed by the worker that writes them."""

    claim: Claim
    limit: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the database holds about a page, read under the locks of its orders: every delivery of
    those orders and of the page's parcels; by its id, the parcel of each; and when an older copy of
    the database was restored."""

    deliveries: tuple[Delivery, ...] = ()
    parcels: Mapping[str, Parcel] = field(default_factory=dict)
    restored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one shipment, kept on its event for `explain`. `verdict`: delivery,
    searching, held, ignored or waiting. `items` says what each item of the parcel came to."""

    shipment: Shipment
    verdict: str
    reason: Reason | None = None
    detail: str = ""
    rule: str | None = None
    delivery_id: str | None = None
    items: tuple[ItemFate, ...] = ()

    def as_json(self) -> dict[str, Any]:
        shipment = self.shipment
        return {
            "record_kind": shipment.record_kind,
            "record_id": shipment.record_id,
            "shipstation_shipment_id": shipment.shipstation_shipment_id,
            "order_number": shipment.order_number,
            "tracking_number": shipment.tracking_number,
            "verdict": self.verdict,
            "reason": self.reason,
            "detail": self.detail,
            "rule": self.rule,
            "delivery_id": self.delivery_id,
            "items": contents_of(self.items),
        }


@dataclass(frozen=True, slots=True)
class Create:
    """A delivery that is new. `is_doubtful`: it may have been sent before an older copy of the
    database was restored, so it begins as one whose answer was lost."""

    delivery: Delivery
    draft: Draft
    claim: Claim | None = None
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Redecide:
    """A delivery of which nothing was sent yet, decided anew."""

    existing: Delivery
    draft: Draft
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A delivery whose label is void and that nobody is sending: cancelled, or held for a person
    where Purple Dot has it."""

    existing: Delivery
    status: DeliveryStatus
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class NoteVoided:
    """A delivery whose label is void while a worker is sending it, or has perhaps sent it, or
    whose parcel another record reports as well: the worker reads that one then."""

    existing: Delivery


@dataclass(frozen=True, slots=True)
class Join:
    """A delivery whose parcel this shipment speaks of as well: its record and its numbers."""

    existing: Delivery
    shipment: Shipment


Change = Create | Redecide | Withdraw | NoteVoided | Join


@dataclass(frozen=True, slots=True)
class Plan:
    """Decisions in the page's order; changes in the order in which they are to be written;
    `claimed` are the new deliveries that begin as claimed."""

    decisions: tuple[Decision, ...]
    changes: tuple[Change, ...]
    claimed: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The shipments that one event is about, and where they came from."""

    shipments: Sequence[Shipment]
    context: PageContext


def summary(decisions: Iterable[Decision]) -> Mapping[str, int]:
    """How many shipments came to which verdict or, where ignored, for which reason."""
    counts: dict[str, int] = {}
    for decision in decisions:
        key = str(decision.reason) if decision.verdict == "ignored" else decision.verdict
        counts[key] = counts.get(key, 0) + 1
    return counts


def contents_of(items: Iterable[ItemFate]) -> list[dict[str, Any]]:
    """What each item came to, as JSON. Only a SKU is kept of it: a name may be a person's words."""
    return [
        {
            "sku": item.item.sku,
            "bundle_sku": item.item.bundle_sku,
            "quantity": item.item.unreadable_quantity or item.item.quantity,
            "fate": item.fate,
            "evidence": item.evidence if item.item.is_goods else "it has no SKU",
        }
        for item in items
    ]
