"""What becomes of a page of shipments. Pure: a snapshot goes in; a decision for every shipment and
a change for every delivery come out."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.actions import Action, CreateFulfillment, Held, Ignored
from bridge.domain.deliveries import (
    Claim,
    Delivery,
    Draft,
    begin,
    counts_against_order,
    redecide,
)
from bridge.domain.events import CLAIMABLE, DeliveryStatus, Lane, Trigger
from bridge.domain.orders import FulfillmentOrder
from bridge.domain.parcels import Parcel, joined, numbers_of, record_of_shipment
from bridge.domain.reasons import Reason
from bridge.domain.shipments import UNFINISHED, ClueKind, Shipment, ShipmentState
from bridge.translate import fulfillments
from bridge.translate.carriers import Carriers
from bridge.translate.fulfillments import Earlier, Fate, ItemFate, identity
from bridge.translate.matching import Match, Unmatched, match
from bridge.translate.parcels import Sameness, compare

REDECIDABLE = frozenset(Reason) - {
    Reason.UNCONFIRMED_PARTIAL,
    Reason.VOIDED_AFTER_DELIVERY,
    Reason.TRACKING_CHANGED_AFTER_DELIVERY,
}
"""Held for one of these, nothing was ever sent to Purple Dot: newer facts may decide it anew."""


_SAME = frozenset({Sameness.SAME_RECORD, Sameness.SAME_PARCEL})
_IDLE = frozenset({DeliveryStatus.PENDING, DeliveryStatus.WAITING, DeliveryStatus.RETRYING})
_WEBHOOK_RETRIES = timedelta(hours=2)
_DATED_AHEAD = timedelta(days=10)
_QUIET_SEARCH = timedelta(hours=1)


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

    known: Delivery
    draft: Draft
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A delivery whose label is void and that nobody is sending: cancelled, or held for a person
    where Purple Dot has it."""

    known: Delivery
    status: DeliveryStatus
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class NoteVoided:
    """A delivery whose label is void while a worker is sending it, or has perhaps sent it."""

    known: Delivery


@dataclass(frozen=True, slots=True)
class Join:
    """A delivery whose parcel this shipment speaks of as well: its record and its numbers."""

    known: Delivery
    shipment: Shipment


Change = Create | Redecide | Withdraw | NoteVoided | Join


@dataclass(frozen=True, slots=True)
class Plan:
    """Decisions in the page's order; changes in the order in which they are to be written; `taken`
    are the new deliveries that begin as claimed."""

    decisions: tuple[Decision, ...]
    changes: tuple[Change, ...]
    taken: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The shipments that one event is about, and where they came from."""

    shipments: Sequence[Shipment]
    context: PageContext


def plan(
    shipments: Sequence[Shipment],
    lookup: OrderLookup,
    snapshot: Snapshot,
    *,
    policy: Policy,
    context: PageContext,
    new_id: Callable[[], str],
    allowance: ClaimAllowance | None = None,
) -> Plan:
    """Decide every shipment of a page, in the vendor's order; each sees what was decided for those
    before it. `new_id` names a new delivery. Never raises."""
    page = Page(shipments, context)
    [planned] = plan_pages(
        [page], lookup, snapshot, policy=policy, new_id=new_id, allowance=allowance
    )
    return planned


def plan_pages(
    pages: Sequence[Page],
    lookup: OrderLookup,
    snapshot: Snapshot,
    *,
    policy: Policy,
    new_id: Callable[[], str],
    allowance: ClaimAllowance | None = None,
) -> list[Plan]:
    """The same for several pages that share a lookup and a snapshot: a plan for each, in their
    order, and each sees what was planned for those before it."""
    book = _Book(snapshot)
    plans: list[Plan] = []
    taken = 0
    for page in pages:
        allowed = allowance or ClaimAllowance(Claim("", page.context.now), limit=0)
        planning = _Planning(
            lookup=lookup,
            policy=policy,
            context=page.context,
            restored_at=snapshot.restored_at,
            new_id=new_id,
            allowance=replace(allowed, limit=allowed.limit - taken),
            book=book,
        )
        decisions = [
            decision for shipment in page.shipments for decision in planning.decide(shipment)
        ]
        plans.append(Plan(tuple(decisions), tuple(planning.changes), tuple(planning.taken)))
        taken += len(planning.taken)
    return plans


def identities_of(shipment: Shipment, order_ids: Iterable[str | None]) -> Iterator[str]:
    """Every identity under which a delivery of this shipment may be stored."""
    for order_id in order_ids:
        plain = identity(shipment, order_id)
        yield plain
        yield _of_record(plain, shipment)


class _Book:
    """The deliveries as they will stand after each change that was planned so far."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._by_id: dict[str, Delivery] = {}
        self._parcels: dict[str, Parcel] = {}
        # A key may still list a delivery that has left it: every look-up checks.
        self._by_order: defaultdict[str | None, dict[str, None]] = defaultdict(dict)
        self._by_key: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._by_identity: dict[str, str] = {}
        for delivery in snapshot.deliveries:
            self._parcels[delivery.id] = snapshot.parcels.get(delivery.id, Parcel())
            self.note(delivery)

    def note(self, delivery: Delivery) -> None:
        self._by_id[delivery.id] = delivery
        self._by_order[delivery.fulfillment_order_id][delivery.id] = None
        self._by_identity[delivery.identity] = delivery.id
        self.join(delivery, delivery.shipment)

    def join(self, delivery: Delivery, shipment: Shipment) -> None:
        """This shipment speaks of the delivery's parcel."""
        parcel = joined(self._parcels.get(delivery.id, Parcel()), shipment)
        self._parcels[delivery.id] = parcel
        for key in (*(record.key for record in parcel.records), *parcel.numbers):
            self._by_key[key][delivery.id] = None

    def parcel(self, delivery: Delivery) -> Parcel:
        return self._parcels[delivery.id]

    def of_order(self, order_id: str) -> list[Delivery]:
        """Those that count against what is left of an order."""
        deliveries = [self._by_id[delivery_id] for delivery_id in self._by_order[order_id]]
        return [
            delivery
            for delivery in deliveries
            if delivery.fulfillment_order_id == order_id and counts_against_order(delivery)
        ]

    def related(self, shipment: Shipment) -> list[tuple[Sameness, Delivery]]:
        """Those that share a record or a number with a shipment, of whatever order, and how its
        parcel stands to theirs; without those that another delivery took the place of."""
        keys = (record_of_shipment(shipment).key, *sorted(numbers_of(shipment)))
        ids = dict.fromkeys(delivery_id for key in keys for delivery_id in self._by_key[key])
        related: list[tuple[Sameness, Delivery]] = []
        for delivery_id in ids:
            delivery = self._by_id[delivery_id]
            if delivery.superseded_by is None:
                sameness = compare(shipment, self._parcels[delivery_id], delivery.shipment)
                related.append((sameness, delivery))
        return related

    def with_identity(self, wanted: str) -> Delivery | None:
        delivery_id = self._by_identity.get(wanted)
        delivery = self._by_id[delivery_id] if delivery_id is not None else None
        return delivery if delivery is not None and delivery.identity == wanted else None


@dataclass(slots=True)
class _Planning:
    """A page while it is planned."""

    lookup: OrderLookup
    policy: Policy
    context: PageContext
    restored_at: datetime | None
    new_id: Callable[[], str]
    allowance: ClaimAllowance
    book: _Book
    changes: list[Change] = field(default_factory=list)
    taken: list[Delivery] = field(default_factory=list)

    def decide(self, shipment: Shipment) -> list[Decision]:
        verdict = fulfillments.judge_state(shipment)
        if shipment.state is ShipmentState.VOIDED:
            return [self._withdraw(shipment)]
        if isinstance(verdict, Ignored):
            return [Decision(shipment, "ignored", verdict.reason, verdict.detail)]
        if shipment.state in UNFINISHED:
            return [_waiting(shipment)]
        matches = match_of(shipment, self.lookup, policy=self.policy, context=self.context)
        if isinstance(matches, Unmatched):
            return [self._unmatched(shipment, matches)]
        order_ids = {matched.order.id for matched in matches}
        return [self._matched(shipment, matched, verdict, order_ids) for matched in matches]

    # A shipment of no order, or of one that can't be known

    def _unmatched(self, shipment: Shipment, unmatched: Unmatched) -> Decision:
        deliveries = self._of_record(shipment)
        for delivery in deliveries:
            if stands(delivery) and not self._names_another_order(delivery, unmatched):
                return self._seen_before(shipment, delivery)
        deliveries = [delivery for delivery in deliveries if not stands(delivery)]
        if unmatched.reason is Reason.NOT_A_PURPLE_DOT_ORDER:
            # V1 does not repeat every field, so what V2 said of the same label still counts.
            if deliveries:
                return self._seen_before(shipment, deliveries[-1])
            return self._not_ours(shipment, unmatched)
        known = deliveries[-1] if deliveries else self._same_parcel(shipment, None)
        if known is not None and not self._may_replace(known, shipment):
            return self._seen_before(shipment, known)
        action: Held | None = Held(unmatched.reason, unmatched.detail)
        due_at = self._next_search(unmatched)
        if due_at is not None and self._is_quiet(known, due_at):
            action = None
        draft = self._draft(shipment, action, known=known, rule=None, due_at=due_at)
        return self._write(shipment, draft, known=known, detail=unmatched.detail)

    def _names_another_order(self, delivery: Delivery, unmatched: Unmatched) -> bool:
        """Whether ShipStation names another order now beside the one that has this record. What a
        person decided stands, and so does what is told anew from an old page."""
        is_decided = delivery.resolved_at is not None or delivery.linked_order_id is not None
        if is_decided or self.context.as_stored:
            return False
        return unmatched.reason is Reason.AMBIGUOUS_ORDER

    def _not_ours(self, shipment: Shipment, unmatched: Unmatched) -> Decision:
        """An id that Purple Dot does not show is asked for once more before it counts as another
        system's: an order that is not shown is not certainly absent."""
        ids = {
            clue.value.strip().lower() for clue in shipment.clues if clue.kind is ClueKind.ORDER_ID
        }
        if self.context.is_first_look and not ids.isdisjoint(self.lookup.missing_ids):
            return Decision(shipment, "waiting", detail=unmatched.detail)
        return Decision(shipment, "ignored", unmatched.reason, unmatched.detail)

    def _next_search(self, unmatched: Unmatched) -> datetime | None:
        """When to look again for an order that is not there; None where looking can't help, or
        when the schedule is over."""
        schedule, tries = self.policy.retry_schedule, self.context.tries
        if unmatched.reason is not Reason.ORDER_NOT_FOUND or tries >= len(schedule):
            return None
        return self.context.now + schedule[tries]

    def _is_quiet(self, known: Delivery | None, due_at: datetime) -> bool:
        """For about an hour nobody is asked; after that a person sees it, and the search goes on.
        What a person has tried comes back to them at once."""
        if self.context.trigger is Trigger.MANUAL:
            return False
        since = known.created_at if known is not None else self.context.now
        return due_at - since <= _QUIET_SEARCH

    # A shipment of an order

    def _matched(
        self, shipment: Shipment, matched: Match, verdict: Held | None, order_ids: set[str]
    ) -> Decision:
        order = matched.order
        parcel = replace(shipment, items=matched.items)
        known = self._known(parcel, order.id, order_ids)
        if known is not None and not self._may_replace(known, parcel):
            if not self._has_new_number(known, shipment):
                return self._seen_before(shipment, known)
            verdict = _number_changed(known, shipment)
            known = None
        elsewhere = self._sent_elsewhere(shipment, order_ids)
        if elsewhere is not None and not self._is_linked(known, order.id):
            if elsewhere.fulfillment_order_id is None:
                return self._seen_before(shipment, elsewhere)
            verdict = _order_changed(elsewhere, order)
        decided = self._action(parcel, matched, verdict, known)
        action = self._unless_unclear(decided, parcel, matched)
        if isinstance(action, Delivery):
            return self._seen_before(shipment, action)
        if isinstance(action, Ignored):
            return Decision(shipment, "ignored", action.reason, action.detail)
        due_at = None
        if isinstance(action, CreateFulfillment):
            due_at = self.context.now + self.policy.hold
        draft = self._draft(parcel, action, known=known, rule=matched.rule, due_at=due_at)
        items = fulfillments.item_fates(matched, action)
        draft = replace(draft, contents=tuple(contents_of(items)), left_out=_left_out(items))
        decision = self._write(parcel, draft, known=known, detail=action.detail)
        return replace(decision, items=items)

    def _action(
        self, parcel: Shipment, matched: Match, verdict: Held | None, known: Delivery | None
    ) -> Action:
        order = matched.order
        if verdict is not None:
            return replace(verdict, fulfillment_order_id=order.id, reference=order.reference)
        if self._may_be_forgotten(parcel):
            # Fulfilled perhaps by ourselves: that is settled by reading, when all its parcels are
            # known again.
            matched = replace(matched, order=replace(order, status=None))
        earlier = [
            as_earlier(other)
            for other in self.book.of_order(order.id)
            if known is None or other.id != known.id
        ]
        return fulfillments.decide(
            parcel,
            matched,
            earlier=earlier,
            notify_default=self.policy.notify_customer,
            carriers=self.policy.carriers,
        )

    def _unless_unclear(
        self, action: Action, parcel: Shipment, matched: Match
    ) -> Action | Delivery:
        """One number for what may be one parcel or two: where nothing is left for a second one, it
        is the one that is known; else a person has to say."""
        order = matched.order
        for sameness, delivery in self.book.related(parcel):
            is_of_order = delivery.fulfillment_order_id == order.id
            if sameness is not Sameness.UNCLEAR or not is_of_order:
                continue
            if isinstance(action, Held):
                return delivery
            detail = (
                f"number {parcel.tracking_number} belongs to delivery {delivery.id} already, and "
                f"ShipStation names another order ({parcel.shipstation_shipment_id}) with the same "
                "goods: it can't be known whether they left once or twice"
            )
            return Held(Reason.COMBINED_PARCEL, detail, order.id, order.reference)
        return action

    # Which delivery a shipment is already

    def _known(self, shipment: Shipment, order_id: str, order_ids: set[str]) -> Delivery | None:
        """The delivery of this order that this shipment already is; or one of its own record that
        has no order yet, or an order that the record names no more while nothing was sent."""
        same = self._same_parcel(shipment, order_id)
        if same is not None:
            return same
        for delivery in reversed(self._of_record(shipment)):
            if delivery.fulfillment_order_id == order_id:
                return delivery
        orderless = self._same_parcel(shipment, None)
        if orderless is not None:
            return orderless
        for delivery in reversed(self._of_record(shipment)):
            if delivery.fulfillment_order_id is None:
                return delivery
            is_unsent = self._is_open(delivery) or _is_waiting(delivery)
            if is_unsent and delivery.fulfillment_order_id not in order_ids:
                return delivery
        return None

    def _same_parcel(self, shipment: Shipment, order_id: str | None) -> Delivery | None:
        """The delivery of this order whose parcel has the shipment's number; the one that Purple
        Dot has, if there is one."""
        numbers = numbers_of(shipment)
        candidates = [
            delivery
            for sameness, delivery in self.book.related(shipment)
            if sameness in _SAME
            and delivery.fulfillment_order_id == order_id
            and (not numbers or not numbers.isdisjoint(self.book.parcel(delivery).numbers))
        ]
        standing = [delivery for delivery in candidates if stands(delivery)]
        counting = [delivery for delivery in candidates if counts_against_order(delivery)]
        return next(iter((*standing, *counting, *reversed(candidates))), None)

    def _of_record(self, shipment: Shipment) -> list[Delivery]:
        return [
            delivery
            for sameness, delivery in self.book.related(shipment)
            if sameness is Sameness.SAME_RECORD
        ]

    def _sent_elsewhere(self, shipment: Shipment, order_ids: set[str]) -> Delivery | None:
        """What was decided for good for this very record, of an order that it names no more."""
        for delivery in self._of_record(shipment):
            is_dropped = delivery.status is DeliveryStatus.CANCELLED
            has_order = delivery.fulfillment_order_id is not None
            if not stands(delivery) or (is_dropped and has_order):
                continue
            if delivery.fulfillment_order_id not in order_ids:
                return delivery
        return None

    def _is_linked(self, known: Delivery | None, order_id: str) -> bool:
        """Whether a person has said that it belongs to this order."""
        linked = known.linked_order_id if known is not None else None
        return order_id in (self.context.linked_order_id, linked)

    def _has_new_number(self, known: Delivery, shipment: Shipment) -> bool:
        """Whether Purple Dot has a number for this record that ShipStation says no more."""
        numbers = numbers_of(shipment)
        if self.context.as_stored or not numbers or known.resolved_at is not None:
            return False
        is_sent = stands(known) or known.status is DeliveryStatus.DELIVERING
        return is_sent and numbers.isdisjoint(self.book.parcel(known).numbers)

    def _is_open(self, delivery: Delivery) -> bool:
        """Nothing of it was sent, and newer facts may decide it anew: the delivery that a worker
        holds for just that, or one that waits for it. A dead one waits for a person, and a replay
        is a person's wish."""
        if delivery.resolved_at is not None or delivery.posting_at is not None:
            return False
        if delivery.id == self.context.delivery_id:
            return True
        is_dead = delivery.status is DeliveryStatus.DEAD
        return is_redecidable(delivery) or (is_dead and self.context.trigger is Trigger.REPLAY)

    def _may_replace(self, known: Delivery, shipment: Shipment) -> bool:
        """Before anything was sent, newer facts decide anew; so does a newer record of the same
        kind, since the older may be void by now. For the same reason what is replayed as stored
        never takes the place of another record, nor an old number that of a newer one."""
        is_same = record_of_shipment(known.shipment) == record_of_shipment(shipment)
        has_number = not self.book.parcel(known).numbers or not numbers_of(
            known.shipment
        ).isdisjoint(numbers_of(shipment))
        if self.context.as_stored and not (is_same and has_number):
            return False
        if self._is_open(known):
            return True
        if not _is_waiting(known):
            return False
        if is_same:
            return _facts(known.shipment) != _facts(shipment)
        is_newer = known.shipment.record_kind == shipment.record_kind
        return is_newer or not has_number

    def _identity(self, shipment: Shipment, order_id: str | None, known: Delivery | None) -> str:
        """Unique for each delivery: the order and the number, if no other parcel of that order has
        it, else the record."""
        plain = identity(shipment, order_id)
        for wanted in (plain, _of_record(plain, shipment)):
            other = self.book.with_identity(wanted)
            if other is None or (known is not None and other.id == known.id):
                return wanted
        return f"{plain}:{self.new_id()}"

    # What is written

    def _seen_before(self, shipment: Shipment, known: Delivery) -> Decision:
        parcel = self.book.parcel(known)
        if joined(parcel, shipment) != parcel:
            self.changes.append(Join(known, shipment))
            self.book.join(known, shipment)
        detail = f"it is delivery {known.id}, {known.status}"
        return Decision(shipment, "ignored", Reason.ALREADY_DELIVERED, detail, known.rule, known.id)

    def _draft(
        self,
        shipment: Shipment,
        action: CreateFulfillment | Held | None,
        *,
        known: Delivery | None,
        rule: str | None,
        due_at: datetime | None,
    ) -> Draft:
        context, lookup = self.context, self.lookup
        order_id = action.fulfillment_order_id if action is not None else None
        is_fresh = order_id is not None and lookup.is_fresh(order_id)
        notify_customer = shipment.notify_customer
        if notify_customer is None:
            notify_customer = self.policy.notify_customer
        return Draft(
            identity=self._identity(shipment, order_id, known),
            shipment=shipment,
            action=action,
            lane=context.lane,
            received_at=context.received_at,
            rule=rule,
            trigger=context.trigger,
            due_at=due_at,
            order_seen_at=lookup.seen_at if is_fresh else None,
            # After a hold the label is looked at again.
            label_seen_at=None if self.policy.hold else context.fetched_at,
            notify_customer=notify_customer,
            attempts=context.tries,
        )

    def _write(
        self, shipment: Shipment, draft: Draft, *, known: Delivery | None = None, detail: str = ""
    ) -> Decision:
        is_doubtful = isinstance(draft.action, CreateFulfillment) and self._may_be_forgotten(
            shipment
        )
        if known is None:
            written = self._create(draft, is_doubtful=is_doubtful)
        else:
            written = redecide(known, draft, now=self.context.now)
            self.changes.append(Redecide(known, draft, is_doubtful))
        if is_doubtful:
            now = self.context.now
            written = replace(written, posting_at=now, unclear_at=now, looks=0)
        self.book.note(written)
        return _decision_of(shipment, draft, written.id, detail)

    def _create(self, draft: Draft, *, is_doubtful: bool) -> Delivery:
        claim = None if is_doubtful else self._claim(draft)
        delivery = begin(draft, delivery_id=self.new_id(), now=self.context.now, claim=claim)
        self.changes.append(Create(delivery, draft, claim, is_doubtful))
        if claim is not None:
            self.taken.append(delivery)
        return delivery

    def _claim(self, draft: Draft) -> Claim | None:
        """What is new and due at once need not be looked for again by the worker that writes it."""
        if not isinstance(draft.action, CreateFulfillment):
            return None
        is_due = draft.due_at is None or draft.due_at <= self.context.now
        is_allowed = len(self.taken) < self.allowance.limit
        return self.allowance.claim if is_due and is_allowed else None

    def _may_be_forgotten(self, shipment: Shipment) -> bool:
        return may_be_forgotten(shipment, self.context, restored_at=self.restored_at)

    # A label that is void

    def _withdraw(self, shipment: Shipment) -> Decision:
        """What a void label still owes is cancelled; what was sent already becomes an exception."""
        detail = "the label was voided"
        deliveries = self._of_void(shipment)
        delivered = [delivery for delivery in deliveries if _is_delivered_and_valid(delivery)]
        for delivery in deliveries:
            if delivery in delivered:
                self._hold_voided(delivery)
            elif _is_waiting(delivery) or is_redecidable(delivery):
                self._change_voided(delivery, DeliveryStatus.CANCELLED, Reason.VOIDED, detail)
            elif _is_being_sent(delivery):
                self.changes.append(NoteVoided(delivery))
        if delivered:
            reason = Reason.VOIDED_AFTER_DELIVERY
            return Decision(shipment, "held", reason, detail, delivery_id=delivered[0].id)
        delivery_id = deliveries[0].id if deliveries else None
        return Decision(shipment, "ignored", Reason.VOIDED, detail, delivery_id=delivery_id)

    def _of_void(self, shipment: Shipment) -> list[Delivery]:
        """Its own record's deliveries; else those of another record of the same parcel. Within one
        kind, another record is another parcel, and a number alone may have been used again."""
        own = [
            delivery
            for delivery in self._of_record(shipment)
            if not _is_replaced(delivery, shipment)
        ]
        return own or [
            delivery
            for sameness, delivery in self.book.related(shipment)
            if sameness is Sameness.SAME_PARCEL
            and delivery.shipment.record_kind != shipment.record_kind
            and self._has_same_order(delivery, shipment)
        ]

    def _has_same_order(self, delivery: Delivery, shipment: Shipment) -> bool:
        record = record_of_shipment(shipment)
        keys = {known.order_key for known in self.book.parcel(delivery).records}
        if record.order_key in keys - {None}:
            return True
        number = shipment.order_number
        return number is not None and number == delivery.shipment.order_number

    def _hold_voided(self, delivery: Delivery) -> None:
        number = delivery.tracking.number if delivery.tracking else "without number"
        detail = (
            f"the label {number} was voided after Purple Dot had been told; "
            f"correct the fulfillment of {delivery.reference} there"
        )
        self._change_voided(delivery, DeliveryStatus.HELD, Reason.VOIDED_AFTER_DELIVERY, detail)

    def _change_voided(
        self, delivery: Delivery, status: DeliveryStatus, reason: Reason, detail: str
    ) -> None:
        """The units of what is cancelled are free again, also for a replacement on this very
        page."""
        self.changes.append(Withdraw(delivery, status, reason, detail))
        shipment = replace(delivery.shipment, state=ShipmentState.VOIDED)
        self.book.note(replace(delivery, status=status, reason=reason, shipment=shipment))


def match_of(
    shipment: Shipment, lookup: OrderLookup, *, policy: Policy, context: PageContext
) -> tuple[Match, ...] | Unmatched:
    """The order, or the orders, of one shipment of a page."""
    linked = next((order for order in lookup.orders if order.id == context.linked_order_id), None)
    linked = linked or lookup.linked.get(record_of_shipment(shipment).key)
    return match(
        shipment,
        orders=lookup.orders,
        bound=lookup.bound.get(shipment.shipstation_shipment_id or ""),
        linked=linked,
        pattern=policy.pattern,
    )


def may_be_forgotten(
    shipment: Shipment, context: PageContext, *, restored_at: datetime | None
) -> bool:
    """Whether a shipment may have been sent before `restored_at`, when an older copy of the
    database took its place: it had left by then, or no webhook of its own brought it since.
    ShipStation tries a webhook for about an hour; a label can bear a date some days ahead."""
    if restored_at is None:
        return False
    left_on = shipment.ship_date or context.received_at.date()
    if left_on < restored_at.date():
        return True
    is_news = context.lane is Lane.LIVE and context.received_at > restored_at + _WEBHOOK_RETRIES
    return not is_news and left_on <= (restored_at + _DATED_AHEAD).date()


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


def _left_out(items: Iterable[ItemFate]) -> str | None:
    """The goods that are not Purple Dot's; fees and notes are none."""
    labels = [
        item.item.label
        for item in items
        if item.fate is Fate.NOT_PURPLE_DOTS and item.item.is_goods
    ]
    return ", ".join(labels) or None


def as_earlier(delivery: Delivery) -> Earlier:
    """A delivery as the rules see what came before."""
    return Earlier(
        shipstation_shipment_id=delivery.shipment.shipstation_shipment_id,
        record_id=delivery.shipment.record_id,
        tracking_number=delivery.shipment.tracking_number,
        status=delivery.status,
        reason=delivery.reason,
        lines=delivery.lines,
        record_kind=delivery.shipment.record_kind,
    )


def stands(delivery: Delivery) -> bool:
    """Whether what was decided for its record stays decided, however often the record comes again:
    Purple Dot has it or may have it, or a person closed it."""
    if delivery.resolved_at is not None or delivery.posting_at is not None:
        return True
    if delivery.status is DeliveryStatus.HELD:
        return delivery.reason not in REDECIDABLE
    return delivery.status is DeliveryStatus.DELIVERED


def is_redecidable(delivery: Delivery) -> bool:
    """Whether newer facts may decide a delivery anew, since nothing of it was ever sent."""
    if delivery.posting_at is not None or delivery.resolved_at is not None:
        return False
    if delivery.status is DeliveryStatus.HELD:
        return delivery.reason in REDECIDABLE
    if delivery.status is DeliveryStatus.CANCELLED:
        # A void number that comes again was given anew, to a label or mark of its own.
        return delivery.reason is Reason.VOIDED
    return delivery.status in CLAIMABLE and not delivery.lines


def _waiting(shipment: Shipment) -> Decision:
    detail = shipment.problem or f"the shipment is {shipment.state.replace('_', ' ')} still"
    return Decision(shipment, "waiting", detail=detail)


def _decision_of(shipment: Shipment, draft: Draft, delivery_id: str, detail: str) -> Decision:
    verdict, reason = "searching", Reason.ORDER_NOT_FOUND
    if isinstance(draft.action, Held):
        verdict, reason = "held", draft.action.reason
    elif draft.action is not None:
        return Decision(
            shipment, "delivery", detail=detail, rule=draft.rule, delivery_id=delivery_id
        )
    return Decision(shipment, verdict, reason, detail, draft.rule, delivery_id)


def _number_changed(known: Delivery, shipment: Shipment) -> Held:
    number = known.tracking.number if known.tracking else "without number"
    detail = (
        f"{shipment.record_kind} {shipment.record_id} has number {shipment.tracking_number} now, "
        f"but Purple Dot has its goods with number {number} (delivery {known.id})"
    )
    return Held(Reason.TRACKING_CHANGED_AFTER_DELIVERY, detail)


def _order_changed(elsewhere: Delivery, order: FulfillmentOrder) -> Held:
    detail = (
        f"ShipStation names {order.reference} for this parcel now, but it went out for "
        f"{elsewhere.reference} already (delivery {elsewhere.id})"
    )
    return Held(Reason.AMBIGUOUS_ORDER, detail)


def _is_replaced(delivery: Delivery, shipment: Shipment) -> bool:
    """Whether a newer record of the same kind is what the delivery is made from by now."""
    is_same_kind = delivery.shipment.record_kind == shipment.record_kind
    return is_same_kind and delivery.shipment.record_id != shipment.record_id


def _facts(shipment: Shipment) -> tuple[Any, ...]:
    """What a fulfillment is made of; while nothing was sent, a change in it decides anew."""
    return (
        numbers_of(shipment),
        shipment.carrier_code,
        shipment.carrier_name,
        shipment.shipstation_shipment_id,
        frozenset(shipment.items),
    )


def _is_waiting(delivery: Delivery) -> bool:
    return delivery.status in _IDLE and delivery.posting_at is None


def _is_being_sent(delivery: Delivery) -> bool:
    """Or was perhaps sent, and waits to be settled by reading."""
    if delivery.status not in CLAIMABLE or not delivery.lines:
        return False
    is_under_way = delivery.status in (DeliveryStatus.DELIVERING, DeliveryStatus.UNCONFIRMED)
    return is_under_way or delivery.posting_at is not None


def _is_delivered_and_valid(delivery: Delivery) -> bool:
    """What says already that it is void was held for it once: a person has closed that."""
    is_void = delivery.shipment.state is ShipmentState.VOIDED
    return delivery.status is DeliveryStatus.DELIVERED and not is_void


def _of_record(plain_identity: str, shipment: Shipment) -> str:
    return f"{plain_identity}:{shipment.record_kind}:{shipment.record_id}"
