"""PLACED: under each order's lock, decide what a shipment still owes and write it as a delivery.
The second time is harmless."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.actions import Action, CreateFulfillment, Held, Ignored
from bridge.domain.deliveries import Claim, Delivery, Draft
from bridge.domain.events import CLAIMABLE, COMMITTED, DeliveryStatus, Lane, Trigger
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentState, normalize_tracking
from bridge.pipeline.find_orders import Found
from bridge.store import deliveries, orders, restores
from bridge.store.engine.database import Connection
from bridge.translate import fulfillments
from bridge.translate.carriers import Carriers
from bridge.translate.fulfillments import Earlier, identity
from bridge.translate.matching import Match, Unmatched, match

_MENDABLE = frozenset(Reason) - {
    Reason.UNCONFIRMED_PARTIAL,
    Reason.VOIDED_AFTER_DELIVERY,
    Reason.TRACKING_CHANGED_AFTER_DELIVERY,
}
"""Held for one of these, nothing was ever told to Purple Dot: newer facts may decide it anew."""
_NEWS_AFTER, _DATED_AHEAD = timedelta(hours=2), timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Policy:
    """The merchant's choices that a decision depends on."""

    pattern: re.Pattern[str] | None
    carriers: Carriers
    notify_customer: bool
    hold: timedelta
    retry_schedule: tuple[timedelta, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page of shipments came from: its lane and trigger, when the notification came, when
    the page was fetched; `tries` counts earlier searches for an order that was not there;
    `linked_order_id` is the order that a person chose; `as_stored` says that the page is an old
    one, replayed."""

    lane: Lane
    trigger: Trigger
    received_at: datetime
    fetched_at: datetime
    now: datetime
    tries: int = 0
    linked_order_id: str | None = None
    as_stored: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one shipment, kept on its event for `explain`. `verdict`: delivery,
    looking, held, ignored or waiting."""

    shipment: Shipment
    verdict: str
    reason: Reason | None = None
    detail: str = ""
    rule: str | None = None
    delivery_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        about = (
            "record_kind",
            "record_id",
            "shipstation_shipment_id",
            "order_number",
            "tracking_number",
        )
        told = ("verdict", "reason", "detail", "rule", "delivery_id")
        return {name: getattr(self.shipment, name) for name in about} | {
            name: getattr(self, name) for name in told
        }


@dataclass(slots=True)
class Taking:
    """A worker that takes up to `most` of the new deliveries for itself at once; `taken` are those
    it got."""

    claim: Claim
    most: int
    taken: list[Delivery] = field(default_factory=list)


def place(
    connection: Connection,
    shipments: Sequence[Shipment],
    found: Found,
    *,
    policy: Policy,
    origin: Origin,
    taking: Taking | None = None,
) -> list[Decision]:
    """Decide every shipment of a page, in the vendor's order, inside the caller's transaction. Pure
    rules decide; this writes."""
    lock(connection, found, now=origin.now)
    page = _Page(connection, found, policy, origin, taking or Taking(Claim("", origin.now), most=0))
    page.prefetch(shipments)
    return [decision for shipment in shipments for decision in page.decide(shipment)]


def lock(connection: Connection, found: Found, *, now: datetime) -> None:
    """Keep what was found and hold its orders. Whoever changes deliveries as well does this first:
    in another order of locks, two workers would wait for each other in a ring."""
    ids = [order.id for order in found.orders]
    orders.remember(
        connection, found.fresh, now=found.seen_at or now, stored=found.stored, hold=ids
    )


@dataclass(slots=True)
class _Page:
    """What is known of a page's orders and parcels, read once; every write is noted here as well,
    as the next shipment must see it."""

    connection: Connection
    found: Found
    policy: Policy
    origin: Origin
    taking: Taking
    matches: dict[int, tuple[Match, ...] | Unmatched] = field(default_factory=dict)
    earlier: dict[str, list[Delivery]] = field(default_factory=dict)
    identities: dict[str, Delivery] = field(default_factory=dict)
    restored_at: datetime | None = None
    records: dict[tuple[str, str], list[Delivery]] = field(default_factory=dict)

    def prefetch(self, shipments: Sequence[Shipment]) -> None:
        self.earlier = deliveries.of_orders(
            self.connection, [order.id for order in self.found.orders]
        )
        kinds: dict[str, set[str]] = {}
        wanted: set[str] = set()
        for shipment in shipments:
            matched = self.matches[id(shipment)] = self._match(shipment)
            for order_id in (
                None,
                *(() if isinstance(matched, Unmatched) else (one.order.id for one in matched)),
            ):
                plain = identity(shipment, order_id)
                wanted |= {plain, _of_record(plain, shipment)}
            kinds.setdefault(shipment.record_kind, set()).add(shipment.record_id)
        self.identities = deliveries.by_identity(self.connection, wanted)
        self.restored_at = restores.last(self.connection) if wanted else None
        for kind, record_ids in kinds.items():
            found = deliveries.by_record(self.connection, kind, record_ids)
            self.records |= {(kind, record_id): rows for record_id, rows in found.items()}

    def decide(self, shipment: Shipment) -> list[Decision]:
        judged = fulfillments.judge_state(shipment)
        if isinstance(judged, Ignored):
            return [
                self._withdraw(shipment)
                if shipment.state is ShipmentState.VOIDED
                else Decision(shipment, "ignored", judged.reason, judged.detail)
            ]
        if shipment.state in (ShipmentState.PROCESSING, ShipmentState.AWAITING_NUMBER):
            return [
                Decision(
                    shipment,
                    "waiting",
                    detail="the label is not finished yet, or has no number yet",
                )
            ]
        matched = self.matches[id(shipment)]
        if isinstance(matched, Unmatched):
            return [self._unmatched(shipment, matched)]
        return [self._matched(shipment, one, judged) for one in matched]

    def _match(self, shipment: Shipment) -> tuple[Match, ...] | Unmatched:
        bound = self.found.bound.get(shipment.shipstation_shipment_id or "")
        linked = next(
            (order for order in self.found.orders if order.id == self.origin.linked_order_id), None
        )
        return match(
            shipment,
            orders=self.found.orders,
            bound=bound,
            linked=linked,
            pattern=self.policy.pattern,
        )

    def _unmatched(self, shipment: Shipment, unmatched: Unmatched) -> Decision:
        if unmatched.reason is Reason.NOT_A_PURPLE_DOT_ORDER:
            return Decision(shipment, "ignored", unmatched.reason, unmatched.detail)
        schedule, tries = self.policy.retry_schedule, self.origin.tries
        looking = unmatched.reason is Reason.ORDER_NOT_FOUND and tries < len(schedule)
        action = None if looking else Held(unmatched.reason, unmatched.detail)
        due = self.origin.now + schedule[tries] if looking else None
        return self._write(
            shipment,
            self._draft(shipment, action, order_id=None, rule=None, due_at=due),
            detail=unmatched.detail,
        )

    def _matched(self, shipment: Shipment, matched: Match, judged: Held | None) -> Decision:
        order_id = matched.order.id
        parcel = replace(shipment, items=matched.items)
        known = self._known(parcel, order_id)
        if known is not None and not self._may_replace(known, shipment):
            return self._seen_before(shipment, known)
        if self._may_be_forgotten(shipment):
            # Fulfilled perhaps by ourselves: that is settled by reading, when all its parcels are
            # known again.
            matched = replace(matched, order=replace(matched.order, status=None))
        action = judged and replace(
            judged, fulfillment_order_id=order_id, reference=matched.order.reference
        )
        others = [
            other
            for other in self.earlier.get(order_id, [])
            if known is None or other.id != known.id
        ]
        decided: Action = action or fulfillments.decide(
            parcel,
            matched,
            earlier=[as_earlier(other) for other in others],
            notify_default=self.policy.notify_customer,
            carriers=self.policy.carriers,
        )
        if isinstance(decided, Ignored):
            return Decision(shipment, "ignored", decided.reason, decided.detail)
        due = self.origin.now + self.policy.hold if isinstance(decided, CreateFulfillment) else None
        return self._write(
            parcel,
            self._draft(parcel, decided, order_id=order_id, rule=matched.rule, due_at=due),
            known=known,
            detail=decided.detail,
        )

    def _known(self, shipment: Shipment, order_id: str) -> Delivery | None:
        """The delivery that this shipment already is: by its identity, by one of its parcels'
        numbers, or by its own record."""
        numbers = {
            normalize_tracking(number)
            for number in (shipment.tracking_number, *shipment.all_tracking_numbers)
            if number
        }
        for other in self.earlier.get(order_id, []):
            theirs = {
                normalize_tracking(n)
                for n in (other.shipment.tracking_number, *other.shipment.all_tracking_numbers)
                if n
            }
            if numbers & theirs and not _is_of_another_order(other, shipment):
                return other
        wanted = self._identity(shipment, order_id)
        same = self.identities.get(wanted) or self.identities.get(identity(shipment, None))
        if same is not None:
            return same
        record = self.records.get((shipment.record_kind, shipment.record_id), [])
        return next(
            (d for d in record if d.fulfillment_order_id in (None, order_id) and self._is_open(d)),
            None,
        )

    def _is_open(self, delivery: Delivery) -> bool:
        """Nothing of it was told, and newer facts may decide it anew. A dead one waits for a
        person, and a replay is a person's wish."""
        is_dead = delivery.status is DeliveryStatus.DEAD and delivery.posting_at is None
        return _is_mendable(delivery) or (is_dead and self.origin.trigger is Trigger.REPLAY)

    def _may_replace(self, known: Delivery, shipment: Shipment) -> bool:
        """Before anything was told, newer facts decide anew; so does a newer record of the same
        kind, since the older may be void by now. For the same reason what is replayed as stored
        never takes the place of another record."""
        is_same = (known.shipment.record_kind, known.shipment.record_id) == (
            shipment.record_kind,
            shipment.record_id,
        )
        is_newer = known.shipment.record_kind == shipment.record_kind and not is_same
        return (self._is_open(known) and (is_same or not self.origin.as_stored)) or (
            _is_waiting(known) and is_newer and not self.origin.as_stored
        )

    def _identity(self, shipment: Shipment, order_id: str | None) -> str:
        """Two ShipStation orders can leave in one box, under one number: then the record tells
        their shipments apart."""
        plain = identity(shipment, order_id)
        other = self.identities.get(plain)
        return (
            _of_record(plain, shipment)
            if other is not None and _is_of_another_order(other, shipment)
            else plain
        )

    def _write(
        self, shipment: Shipment, draft: Draft, *, known: Delivery | None = None, detail: str = ""
    ) -> Decision:
        known = known or self.identities.get(draft.identity)
        if known is not None and not self._may_replace(known, shipment):
            return self._seen_before(shipment, known)
        if known is None:
            written = deliveries.create(
                self.connection, draft, now=self.origin.now, claim=self._claim(draft)
            )
        else:
            written = deliveries.place(self.connection, known, draft, now=self.origin.now)
        if written.lines and self._may_be_forgotten(shipment):
            written = restores.doubt(self.connection, written, now=self.origin.now)
        self._note(written)
        verdict = {CreateFulfillment: "delivery", Held: "held"}.get(type(draft.action), "looking")
        reason = (
            draft.action.reason
            if isinstance(draft.action, Held)
            else (Reason.ORDER_NOT_FOUND if draft.action is None else None)
        )
        return Decision(
            shipment, verdict, reason=reason, detail=detail, rule=draft.rule, delivery_id=written.id
        )

    def _claim(self, draft: Draft) -> Claim | None:
        """Nothing that is new and due at once needs to be looked for again by whoever writes it."""
        is_due = isinstance(draft.action, CreateFulfillment) and (
            draft.due_at is None or draft.due_at <= self.origin.now
        )
        is_mine = (
            is_due
            and len(self.taking.taken) < self.taking.most
            and not self._may_be_forgotten(draft.shipment)
        )
        return self.taking.claim if is_mine else None

    def _may_be_forgotten(self, shipment: Shipment) -> bool:
        return may_be_forgotten(shipment, self.origin, restored_at=self.restored_at)

    def _note(self, written: Delivery) -> None:
        """From here on the page sees this delivery as it was just written."""
        if written.status is DeliveryStatus.DELIVERING and written.claim == 1:
            self.taking.taken.append(written)
        self.identities = {
            key: row for key, row in self.identities.items() if row.id != written.id
        } | {written.identity: written}
        for rows in (*self.records.values(), *self.earlier.values()):
            rows[:] = [row for row in rows if row.id != written.id]
        self.records.setdefault(
            (written.shipment.record_kind, written.shipment.record_id), []
        ).append(written)
        if written.lines and written.fulfillment_order_id and written.status in COMMITTED:
            self.earlier.setdefault(written.fulfillment_order_id, []).append(written)

    def _draft(
        self,
        shipment: Shipment,
        action: CreateFulfillment | Held | None,
        *,
        order_id: str | None,
        rule: str | None,
        due_at: datetime | None,
    ) -> Draft:
        origin = self.origin
        return Draft(
            identity=self._identity(shipment, order_id),
            shipment=shipment,
            action=action,
            lane=origin.lane,
            received_at=origin.received_at,
            rule=rule,
            trigger=origin.trigger,
            due_at=due_at,
            order_seen_at=self.found.seen_at
            if order_id and self.found.is_fresh(order_id)
            else None,
            label_seen_at=None
            if self.policy.hold
            else origin.fetched_at,  # After a hold the label is looked at again.
            notify_customer=self.policy.notify_customer
            if shipment.notify_customer is None
            else shipment.notify_customer,
            attempts=origin.tries,
        )

    def _seen_before(self, shipment: Shipment, known: Delivery) -> Decision:
        detail = f"it is delivery {known.id}, {known.status}"
        return Decision(
            shipment,
            "ignored",
            reason=Reason.ALREADY_DELIVERED,
            detail=detail,
            rule=known.rule,
            delivery_id=known.id,
        )

    def _withdraw(self, shipment: Shipment) -> Decision:
        """A voided label: what it still owes is cancelled, what was told already becomes an
        exception."""
        detail = "the label was voided"
        known = self.records.get((shipment.record_kind, shipment.record_id), [])
        if not known and shipment.tracking_number:
            same_number = deliveries.by_tracking(
                self.connection, shipment.tracking_number, order_number=shipment.order_number
            )
            # Only the other API's record of the same parcel: within one kind, another record is
            # another parcel.
            known = [
                delivery
                for delivery in same_number
                if delivery.shipment.record_kind != shipment.record_kind
            ]
        # What says already that it is void was held for it once: a person has closed that, and
        # hears of it no more.
        told = [
            d
            for d in known
            if d.status is DeliveryStatus.DELIVERED and d.shipment.state is not ShipmentState.VOIDED
        ]
        for delivery in told:
            self._hold_voided(delivery)
        for delivery in known:
            if _is_waiting(delivery) or _is_mendable(delivery):
                self._cancel(delivery, detail)
            elif _is_being_told(delivery):
                deliveries.mark_voided(self.connection, delivery)
        if told:
            return Decision(
                shipment,
                "held",
                reason=Reason.VOIDED_AFTER_DELIVERY,
                detail=detail,
                delivery_id=told[0].id,
            )
        return Decision(
            shipment,
            "ignored",
            reason=Reason.VOIDED,
            detail=detail,
            delivery_id=known[0].id if known else None,
        )

    def _cancel(self, delivery: Delivery, detail: str) -> None:
        """Its units are free again, also for a replacement on this very page."""
        cancelled, reason = DeliveryStatus.CANCELLED, Reason.VOIDED
        if deliveries.void(
            self.connection,
            delivery,
            status=cancelled,
            reason=reason,
            detail=detail,
            now=self.origin.now,
        ):
            self._note(_voided(delivery, cancelled, reason))
        else:
            deliveries.mark_voided(self.connection, delivery)  # A worker has just begun to tell it.

    def _hold_voided(self, delivery: Delivery) -> None:
        number = delivery.tracking.number if delivery.tracking else "without number"
        detail = f"the label {number} was voided after Purple Dot had been told; correct the fulfillment of {delivery.reference} there"
        held, reason = DeliveryStatus.HELD, Reason.VOIDED_AFTER_DELIVERY
        deliveries.void(
            self.connection,
            delivery,
            status=held,
            reason=reason,
            detail=detail,
            now=self.origin.now,
        )


def _voided(delivery: Delivery, status: DeliveryStatus, reason: Reason) -> Delivery:
    return replace(
        delivery,
        status=status,
        reason=reason,
        shipment=replace(delivery.shipment, state=ShipmentState.VOIDED),
    )


def may_be_forgotten(shipment: Shipment, origin: Origin, *, restored_at: datetime | None) -> bool:
    """Whether a shipment may have been told before `restored_at`, when an older copy of the ledger
    took its place: it had left by then, or no webhook of its own brought it since. ShipStation
    tries a webhook for about an hour; a label can bear a date some days ahead."""
    if restored_at is None:
        return False
    left_on = shipment.ship_date or origin.received_at.date()
    is_news = origin.lane is Lane.LIVE and origin.received_at > restored_at + _NEWS_AFTER
    return left_on < restored_at.date() or (
        not is_news and left_on <= (restored_at + _DATED_AHEAD).date()
    )


def summary(decisions: Iterable[Decision]) -> Mapping[str, int]:
    """How many shipments came to which verdict or, where ignored, for which reason."""
    counts: dict[str, int] = {}
    for decision in decisions:
        key = str(decision.reason) if decision.verdict == "ignored" else decision.verdict
        counts[key] = counts.get(key, 0) + 1
    return counts


def _is_mendable(delivery: Delivery) -> bool:
    unplaced = delivery.status in CLAIMABLE and not delivery.lines
    held = delivery.status is DeliveryStatus.HELD and delivery.reason in _MENDABLE
    # A voided number that is told of again was given anew, to a label or mark of its own.
    voided = delivery.status is DeliveryStatus.CANCELLED and delivery.reason is Reason.VOIDED
    return (unplaced or held or voided) and delivery.posting_at is None


def _is_waiting(delivery: Delivery) -> bool:
    idle = {DeliveryStatus.PENDING, DeliveryStatus.WAITING, DeliveryStatus.RETRYING}
    return delivery.status in idle and delivery.posting_at is None


def _of_record(identity_: str, shipment: Shipment) -> str:
    return f"{identity_}:{shipment.record_id}"


def _is_of_another_order(delivery: Delivery, shipment: Shipment) -> bool:
    ids = {delivery.shipment.shipstation_shipment_id, shipment.shipstation_shipment_id} - {None}
    return delivery.shipment.record_kind == shipment.record_kind and len(ids) > 1


def _is_being_told(delivery: Delivery) -> bool:
    """Or was perhaps told, and waits to be settled by reading."""
    is_begun = delivery.posting_at is not None or delivery.status in (
        DeliveryStatus.DELIVERING,
        DeliveryStatus.UNCONFIRMED,
    )
    return is_begun and delivery.status in CLAIMABLE and bool(delivery.lines)


def as_earlier(delivery: Delivery) -> Earlier:
    """A delivery as the rules see what came before."""
    return Earlier(
        shipstation_shipment_id=delivery.shipment.shipstation_shipment_id,
        record_id=delivery.shipment.record_id,
        tracking_number=delivery.shipment.tracking_number,
        status=delivery.status,
        reason=delivery.reason,
        lines=delivery.lines,
    )
