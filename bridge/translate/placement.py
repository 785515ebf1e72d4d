"""What becomes of a page of shipments. Pure: a snapshot goes in; a decision for every shipment and
a change for every delivery come out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.domain.actions import Action, CreateFulfillment, Held, Ignored
from bridge.domain.deliveries import Claim, Delivery, Draft, begin, redecide
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.orders import FulfillmentOrder
from bridge.domain.parcels import RecordRef, joined, outlasts, record_of_shipment
from bridge.domain.reasons import Reason
from bridge.domain.shipments import UNFINISHED, ClueKind, Shipment, ShipmentState
from bridge.translate import fulfillments
from bridge.translate.contents import Fate, ItemFate, held_items, item_fates
from bridge.translate.fulfillments import identity
from bridge.translate.matching import Match, Unmatched, match
from bridge.translate.parcels import Sameness
from bridge.translate.planned_deliveries import PlannedDeliveries
from bridge.translate.plans import (
    Change,
    ClaimAllowance,
    Create,
    Decision,
    Join,
    NoteVoided,
    OrderLookup,
    Page,
    PageContext,
    Plan,
    Policy,
    Redecide,
    Snapshot,
    Withdraw,
    contents_of,
)
from bridge.translate.recognition import Recognition
from bridge.translate.standing import (
    as_earlier,
    is_being_sent,
    is_delivered_and_valid,
    is_no_pre_order,
    is_redecidable,
    is_reported_otherwise,
    is_waiting,
    stands,
)

_WEBHOOK_RETRIES = timedelta(hours=2)
_DATED_AHEAD = timedelta(days=10)
_QUIET_SEARCH = timedelta(hours=1)


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
    deliveries = PlannedDeliveries(snapshot)
    plans: list[Plan] = []
    claimed = 0
    for page in pages:
        allowed = allowance or ClaimAllowance(Claim("", page.context.now), limit=0)
        planning = _Planning(
            lookup=lookup,
            policy=policy,
            context=page.context,
            restored_at=snapshot.restored_at,
            new_id=new_id,
            allowance=replace(allowed, limit=allowed.limit - claimed),
            deliveries=deliveries,
            recognition=Recognition(deliveries, page.context),
        )
        decisions = [
            decision for shipment in page.shipments for decision in planning.decide(shipment)
        ]
        plans.append(Plan(tuple(decisions), tuple(planning.changes), tuple(planning.claimed)))
        claimed += len(planning.claimed)
    return plans


def identities_of(shipment: Shipment, order_ids: Iterable[str | None]) -> Iterator[str]:
    """Every identity under which a delivery of this shipment may be stored."""
    for order_id in order_ids:
        plain = identity(shipment, order_id)
        yield plain
        yield _of_record(plain, shipment)


@dataclass(slots=True)
class _Planning:
    """A page while it is planned."""

    lookup: OrderLookup
    policy: Policy
    context: PageContext
    restored_at: datetime | None
    new_id: Callable[[], str]
    allowance: ClaimAllowance
    deliveries: PlannedDeliveries
    recognition: Recognition
    changes: list[Change] = field(default_factory=list)
    claimed: list[Delivery] = field(default_factory=list)

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
        deliveries = self.recognition.of_record(shipment)
        for delivery in deliveries:
            if stands(delivery) and not self.recognition.names_another_order(delivery, unmatched):
                return self._seen_before(shipment, delivery)
        deliveries = [delivery for delivery in deliveries if not stands(delivery)]
        if unmatched.reason is Reason.NOT_A_PURPLE_DOT_ORDER:
            # V1 does not repeat every field, so what V2 said of the same label still counts; but
            # not what this very record was taken for, once it was read again.
            others = [
                delivery
                for delivery in deliveries
                if delivery.id != self.context.delivery_id and not is_no_pre_order(delivery)
            ]
            if others:
                return self._seen_before(shipment, others[-1])
            return self._not_ours(shipment, unmatched)
        existing = deliveries[-1] if deliveries else self.recognition.same_parcel(shipment, None)
        if existing is not None and not self.recognition.may_replace(existing, shipment):
            return self._seen_before(shipment, existing)
        action: Held | None = Held(unmatched.reason, unmatched.detail)
        due_at = self._next_search(unmatched)
        if due_at is not None and self._is_quiet(existing, due_at):
            action = None
        draft = self._draft(shipment, action, existing=existing, rule=None, due_at=due_at)
        items = held_items(shipment.items, "nothing settles which order it is of")
        draft = replace(draft, contents=tuple(contents_of(items)))
        return self._write(shipment, draft, existing=existing, detail=unmatched.detail)

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

    def _is_quiet(self, existing: Delivery | None, due_at: datetime) -> bool:
        """For about an hour nobody is asked; after that a person sees it, and the search goes on.
        What a person has tried comes back to them at once."""
        if self.context.trigger is Trigger.MANUAL:
            return False
        since = existing.created_at if existing is not None else self.context.now
        return due_at - since <= _QUIET_SEARCH

    # A shipment of an order

    def _matched(
        self, shipment: Shipment, matched: Match, verdict: Held | None, order_ids: set[str]
    ) -> Decision:
        order = matched.order
        parcel = replace(shipment, items=matched.items)
        existing = self.recognition.existing(parcel, order.id, order_ids)
        if existing is not None and self.recognition.has_left(existing, parcel):
            existing = None
        if existing is not None and not self.recognition.may_replace(existing, parcel):
            if not self.recognition.has_new_number(existing, shipment):
                return self._seen_before(shipment, existing)
            verdict = _number_changed(existing, shipment)
            existing = None
        elsewhere = self.recognition.sent_elsewhere(shipment, order_ids)
        if elsewhere is not None and not self.recognition.is_linked(existing, order.id):
            if elsewhere.fulfillment_order_id is None:
                return self._seen_before(shipment, elsewhere)
            verdict = _order_changed(elsewhere, order)
        decided = self._action(parcel, matched, verdict, existing)
        action = self._unless_unclear(decided, parcel, matched)
        if isinstance(action, Delivery):
            return self._seen_before(shipment, action)
        due_at = None
        if isinstance(action, CreateFulfillment):
            due_at = self.context.now + self.policy.hold
        draft = self._draft(parcel, action, existing=existing, rule=matched.rule, due_at=due_at)
        items = item_fates(matched, action)
        draft = replace(draft, contents=tuple(contents_of(items)), left_out=_left_out(items))
        decision = self._write(parcel, draft, existing=existing, detail=action.detail)
        return replace(decision, items=items)

    def _action(
        self, parcel: Shipment, matched: Match, verdict: Held | None, existing: Delivery | None
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
            for other in self.deliveries.of_order(order.id)
            if existing is None or other.id != existing.id
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
        for sameness, delivery in self.deliveries.related(parcel):
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

    def _identity(self, shipment: Shipment, order_id: str | None, existing: Delivery | None) -> str:
        """Unique for each delivery: the order and the number, if no other parcel of that order has
        it, else the record."""
        plain = identity(shipment, order_id)
        for candidate in (plain, _of_record(plain, shipment)):
            other = self.deliveries.with_identity(candidate)
            if other is None or (existing is not None and other.id == existing.id):
                return candidate
        return f"{plain}:{self.new_id()}"

    # What is written

    def _seen_before(self, shipment: Shipment, existing: Delivery) -> Decision:
        parcel = self.deliveries.parcel(existing)
        if joined(parcel, shipment) != parcel:
            self.changes.append(Join(existing, shipment))
            self.deliveries.join(existing, shipment)
        detail = f"it is delivery {existing.id}, {existing.status}"
        return Decision(
            shipment, "ignored", Reason.ALREADY_DELIVERED, detail, existing.rule, existing.id
        )

    def _draft(
        self,
        shipment: Shipment,
        action: CreateFulfillment | Held | None,
        *,
        existing: Delivery | None,
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
            identity=self._identity(shipment, order_id, existing),
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
        self,
        shipment: Shipment,
        draft: Draft,
        *,
        existing: Delivery | None,
        detail: str,
    ) -> Decision:
        is_doubtful = isinstance(draft.action, CreateFulfillment) and self._may_be_forgotten(
            shipment
        )
        if existing is None:
            written = self._create(draft, is_doubtful=is_doubtful)
        else:
            written = redecide(existing, draft, now=self.context.now)
            self.changes.append(Redecide(existing, draft, is_doubtful))
        if is_doubtful:
            written = replace(written, posting_at=self.context.now)
        self.deliveries.note(written)
        return _decision_of(shipment, draft, written.id, detail)

    def _create(self, draft: Draft, *, is_doubtful: bool) -> Delivery:
        claim = None if is_doubtful else self._claim(draft)
        delivery = begin(draft, delivery_id=self.new_id(), now=self.context.now, claim=claim)
        self.changes.append(Create(delivery, draft, claim, is_doubtful))
        if claim is not None:
            self.claimed.append(delivery)
        return delivery

    def _claim(self, draft: Draft) -> Claim | None:
        """What is new and due at once need not be looked for again by the worker that writes it."""
        if not isinstance(draft.action, CreateFulfillment):
            return None
        is_due = draft.due_at is None or draft.due_at <= self.context.now
        is_allowed = len(self.claimed) < self.allowance.limit
        return self.allowance.claim if is_due and is_allowed else None

    def _may_be_forgotten(self, shipment: Shipment) -> bool:
        return may_be_forgotten(shipment, self.context, restored_at=self.restored_at)

    # A label that is void

    def _withdraw(self, shipment: Shipment) -> Decision:
        """What a void label still owes is cancelled; what was sent already becomes an exception."""
        detail = "the label was voided"
        void = record_of_shipment(shipment)
        deliveries = self.recognition.of_void(shipment)
        delivered = [delivery for delivery in deliveries if is_delivered_and_valid(delivery)]
        for delivery in deliveries:
            may_have_left = self._may_have_left(delivery, void)
            if delivery in delivered:
                self._hold_voided(delivery)
            elif is_reported_otherwise(delivery, void):
                continue
            elif is_being_sent(delivery) or (may_have_left and is_waiting(delivery)):
                self.changes.append(NoteVoided(delivery))
            elif not may_have_left and (is_waiting(delivery) or is_redecidable(delivery)):
                self._change_voided(delivery, DeliveryStatus.CANCELLED, Reason.VOIDED, detail)
        if delivered:
            reason = Reason.VOIDED_AFTER_DELIVERY
            return Decision(shipment, "held", reason, detail, delivery_id=delivered[0].id)
        delivery_id = deliveries[0].id if deliveries else None
        return Decision(shipment, "ignored", Reason.VOIDED, detail, delivery_id=delivery_id)

    def _may_have_left(self, delivery: Delivery, void: RecordRef) -> bool:
        """Whether another record reports the same parcel: it is read again before the parcel is
        given up. Where that was done, this is what came of it."""
        if delivery.id == self.context.delivery_id:
            return False
        return any(outlasts(other, void) for other in self.deliveries.parcel(delivery).records)

    def _hold_voided(self, delivery: Delivery) -> None:
        number = delivery.tracking.number if delivery.tracking else "without number"
        detail = (
            f"the label {number} was voided after the fulfillment was posted; "
            f"correct the fulfillment of {delivery.reference} there"
        )
        self._change_voided(delivery, DeliveryStatus.HELD, Reason.VOIDED_AFTER_DELIVERY, detail)

    def _change_voided(
        self, delivery: Delivery, status: DeliveryStatus, reason: Reason, detail: str
    ) -> None:
        """The units of what is cancelled are free again, also for a replacement on this very
        page."""
        self.changes.append(Withdraw(delivery, status, reason, detail))
        self.deliveries.note(replace(delivery, status=status, reason=reason))


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


def _left_out(items: Iterable[ItemFate]) -> str | None:
    """The goods that are not Purple Dot's; fees and notes are none."""
    labels = [
        item.item.label
        for item in items
        if item.fate is Fate.NOT_PURPLE_DOTS and item.item.is_goods
    ]
    return ", ".join(labels) or None


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


def _number_changed(existing: Delivery, shipment: Shipment) -> Held:
    number = existing.tracking.number if existing.tracking else "without number"
    detail = (
        f"{shipment.record_kind} {shipment.record_id} has number {shipment.tracking_number} now, "
        f"but Purple Dot has its goods with number {number} (delivery {existing.id})"
    )
    return Held(Reason.TRACKING_CHANGED_AFTER_DELIVERY, detail)


def _order_changed(elsewhere: Delivery, order: FulfillmentOrder) -> Held:
    detail = (
        f"ShipStation names {order.reference} for this parcel now, but it went out for "
        f"{elsewhere.reference} already (delivery {elsewhere.id})"
    )
    return Held(Reason.AMBIGUOUS_ORDER, detail)


def _of_record(plain_identity: str, shipment: Shipment) -> str:
    return f"{plain_identity}:{shipment.record_kind}:{shipment.record_id}"
