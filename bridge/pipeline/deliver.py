"""One claimed delivery: look, commit the intent, POST, record. What was interrupted is settled by
reading, never posted again blindly."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from bridge import metrics
from bridge.domain.actions import Held
from bridge.domain.deliveries import Attempt, Delivery
from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    LeaseLostError,
    PermanentError,
    StorageError,
    TemporaryError,
    UnclearError,
)
from bridge.domain.events import DeliveryStatus, Record, Trigger
from bridge.domain.orders import OrderStatus
from bridge.domain.parcels import outlasts, record_of_shipment
from bridge.domain.reasons import Reason
from bridge.domain.shipments import UNFINISHED, Shipment, ShipmentState
from bridge.pipeline import preflight, settle
from bridge.pipeline.create_deliveries import create_deliveries, lock_orders
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.look_together import LookTogether
from bridge.pipeline.retry import GiveUp, RetryAt, Schedules, decide, next_look
from bridge.store import attempts, deliveries, leases, parcels
from bridge.store.engine.database import Connection, Database
from bridge.translate.plans import OrderLookup, PageContext, Plan, Policy
from bridge.vendors.purple_dot.client import FulfillmentReceipt, PurpleDot, kept_of
from bridge.vendors.purple_dot.payloads import fulfillment_body
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.payloads import record_of
from bridge.vendors.shipstation.shipments import shipped

T = TypeVar("T")

log = structlog.get_logger(__name__)

_STORE_AGAIN_AFTER = 0.5
_DRY_RUN_WAIT = timedelta(hours=1)
_LOGGED_EVENTS = 5


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """Takes a claimed delivery one step further. `run` raises nothing but LeaseLostError and
    StorageError."""

    database: Database
    purple_dot: PurpleDot
    fetcher: Fetcher
    resolver: Resolver
    policy: Policy
    schedules: Schedules
    lease: timedelta
    monotonic: Callable[[], float] = time.monotonic
    is_dry_run: bool = False
    together: LookTogether = field(init=False)

    def __post_init__(self) -> None:
        together = LookTogether(self.database, self.purple_dot, self.fetcher)
        object.__setattr__(self, "together", together)

    def run(self, delivery: Delivery, *, owner: str) -> None:
        step = _Step(self, delivery, owner, self.database.now())
        if delivery.posting_at is not None and delivery.unclear_at is None:
            step.mark_unconfirmed(
                "a process was killed between the request and its record", number=delivery.attempts
            )
        elif delivery.unclear_at is not None:
            step.run_or_reschedule(step.read_back)
        elif not delivery.lines:
            step.run_or_reschedule(step.decide_again)
        else:
            step.deliver()


@dataclass(slots=True)
class _Step:
    job: DeliveryJob
    delivery: Delivery
    owner: str
    started_at: datetime
    intended_at: float = 0.0
    posting_at: datetime | None = None

    # The POST

    def deliver(self) -> None:
        if self.run_or_reschedule(self._may_be_posted) is not True:
            return
        number = self.delivery.attempts + 1
        if self.job.is_dry_run:
            self._show_dry_run(number)
            return
        if not self._intend():
            detail = "the label was voided before anything was sent"
            self.run_or_reschedule(lambda: self._end_as_void(detail))
            return
        try:
            receipt = self._post()
        except UnclearError as exc:
            self.mark_unconfirmed(str(exc), number=number)
        except PermanentError as exc:
            # None: whether it arrived late could not be read, and that failure is recorded already.
            if self.run_or_reschedule(self._arrived_late) is False:
                self._failed(exc, number=number)
        except BridgeError as exc:
            self._failed(exc, number=number)
        except Exception as exc:
            # Whatever it was, the request may have left: only reading can say.
            log.exception("delivery_failed_unforeseen", delivery_id=self.delivery.id)
            self.mark_unconfirmed(f"unforeseen {type(exc).__name__}", number=number)
        else:
            self._record(
                DeliveryStatus.DELIVERED,
                number=number,
                receipt=receipt,
                purple_dot_fulfillment_id=receipt.purple_dot_fulfillment_id,
            )

    def _show_dry_run(self, number: int) -> None:
        """All is decided and read, and nothing leaves. Its first attempt shows what would; it goes
        out when the dry run is over."""
        looks = self.delivery.looks
        self._record(
            DeliveryStatus.WAITING,
            number=number,
            detail="dry run: this would be posted now, and nothing was",
            is_attempt=looks == 0,
            looks=looks + 1,
            due_at=self._ask(self.job.database.now) + _DRY_RUN_WAIT,
        )

    def _intend(self) -> bool:
        """Commit that the request will leave; False, and nothing is written, where the label is
        known to be void by now."""
        self.intended_at = self.job.monotonic()

        def write(connection: Connection) -> datetime | None:
            now = self.job.database.now(connection)
            is_written = deliveries.intend(
                connection, self.delivery, owner=self.owner, now=now, lease=self.job.lease
            )
            return now if is_written else None

        self.posting_at = self.job.database.write(write)
        return self.posting_at is not None

    def _post(self) -> FulfillmentReceipt:
        """Nothing leaves when the intent is too old, also not after a wait for its turn: another
        worker may have taken the delivery over by then, and read back what has not left yet."""
        latest = self.intended_at + self.job.lease.total_seconds() / 2
        if self.job.monotonic() > latest:
            raise TemporaryError("nothing was sent: too much time had passed since the intent")
        return self.job.purple_dot.create_fulfillment(
            fulfillment_body(self.delivery.action()), not_after=latest
        )

    def _may_be_posted(self) -> bool:
        delivery = self.delivery
        with self.job.database.read() as connection:
            others = deliveries.others_of_order(connection, delivery)
        together = self.job.together
        together.prepare(delivery, now=self.started_at)
        verdict = preflight.look(
            delivery,
            others=others,
            purple_dot=together,
            fetcher=together,
            now=self.started_at,
        )
        if verdict is None:
            return True
        if isinstance(verdict, preflight.DecideAgain):
            log.info("delivery_facts_changed", delivery_id=delivery.id, detail=verdict.detail[:300])
            self.decide_again()
            return False
        is_fulfilled = verdict.reason is Reason.ALREADY_FULFILLED_ELSEWHERE
        if is_fulfilled and self._arrived_late():
            return False
        if isinstance(verdict, Held):
            self._record(DeliveryStatus.HELD, detail=verdict.detail, reason=verdict.reason)
        else:
            self._end_as_void(verdict.detail)
        return False

    def _end_as_void(self, detail: str) -> None:
        """Another record of the same parcel may say that it left all the same."""
        other = self._by_another_record()
        if other is None:
            self._record(DeliveryStatus.CANCELLED, detail=detail, reason=Reason.VOIDED)
        else:
            self.decide_again(other)

    def _arrived_late(self) -> bool:
        """What is refused, or seems to be fulfilled elsewhere, may be there from an earlier request
        whose answer was lost."""
        delivery = self.delivery
        order_id = delivery.fulfillment_order_id or ""

        def read(connection: Connection) -> tuple[bool, list[Delivery]]:
            of_orders = deliveries.of_orders(connection, [order_id])
            return attempts.was_unclear(connection, delivery.id), of_orders.get(order_id, [])

        was_unclear, of_order = self._ask(read)
        if not was_unclear:
            return False
        order = self.job.purple_dot.order(order_id)
        sent, maybe_sent = settle.units_of_others(of_order, delivery)
        mine = settle.units(delivery.lines)
        if order.status is not OrderStatus.FULFILLED:
            return False
        if not settle.completes(order, mine, sent, maybe_sent):
            return False
        self._record(
            DeliveryStatus.DELIVERED,
            detail=f"{order.reference} is fulfilled: an earlier request arrived late",
        )
        return True

    # An unclear answer

    def mark_unconfirmed(self, detail: str, *, number: int) -> None:
        """The request may have arrived: from here on only reading decides, after growing delays."""
        now = self._ask(self.job.database.now)
        first = next_look(looks=1, schedule=self.job.schedules.confirm, now=now)
        self._record(
            DeliveryStatus.UNCONFIRMED,
            number=number,
            detail=detail,
            unclear_at=now,
            looks=0,
            due_at=first or now,
        )

    def read_back(self) -> None:
        delivery = self.delivery
        order = self.job.purple_dot.order(delivery.fulfillment_order_id or "")
        with self.job.database.read() as connection:
            of_order = deliveries.of_orders(connection, [order.id]).get(order.id, [])
            now = self.job.database.now(connection)
        sent, maybe_sent = settle.units_of_others(of_order, delivery)
        looks = delivery.looks + 1
        settlement = settle.settle(
            delivery.lines,
            order,
            delivered=sent,
            unclear=maybe_sent,
            looks=looks,
            schedule=self.job.schedules.confirm,
            now=now,
        )
        if isinstance(settlement, settle.LookAgain):
            self._record(
                DeliveryStatus.UNCONFIRMED, is_attempt=False, looks=looks, due_at=settlement.at
            )
        elif isinstance(settlement, settle.Arrived):
            self._record(DeliveryStatus.DELIVERED, detail=settlement.detail)
        elif isinstance(settlement, settle.PostAgain):
            self._post_again(settlement.detail, now)
        else:
            self._record(DeliveryStatus.HELD, detail=settlement.detail, reason=settlement.reason)

    def _post_again(self, detail: str, now: datetime) -> None:
        """It did not arrive. Each POST after the first is a try of the schedule and waits its place
        in it; when the schedule is over, a person has to see it."""
        posts = self.delivery.attempts
        decision: RetryAt | GiveUp = RetryAt(now, spent=False)
        if posts:
            schedule = self.job.schedules.retry
            decision = decide(TemporaryError(detail), attempt=posts, schedule=schedule, now=now)
        values: dict[str, Any] = {"posting_at": None, "unclear_at": None, "looks": 0}
        if isinstance(decision, GiveUp):
            self._record(DeliveryStatus.DEAD, detail=detail, reason=decision.reason, **values)
            return
        self._record(
            DeliveryStatus.RETRYING,
            detail=detail,
            due_at=decision.at,
            trigger=Trigger.RETRY,
            **values,
        )

    # A delivery whose order or lines are not known yet

    def decide_again(self, shipment: Shipment | None = None) -> None:
        """Look for the order once more; found, the delivery is decided anew, in the same row, from
        its own record or, where that is void, from another one of its parcel."""
        delivery, job = self.delivery, self.job
        shipment = shipment or self._as_it_is_now()
        if shipment.state is ShipmentState.VOIDED:
            shipment = self._by_another_record() or shipment
        lookup = job.resolver.find([shipment], linked_order_id=delivery.linked_order_id)
        with job.database.begin() as connection:
            plan = self._create_deliveries(connection, shipment, lookup)
        log.info(
            "delivery_decided_again",
            delivery_id=delivery.id,
            verdicts=[decision.verdict for decision in plan.decisions],
        )

    def _create_deliveries(
        self, connection: Connection, shipment: Shipment, lookup: OrderLookup
    ) -> Plan:
        delivery, database = self.delivery, self.job.database
        lock_orders(connection, lookup, now=database.now(connection))
        leases.fence(
            connection,
            leases.DELIVERIES,
            row_id=delivery.id,
            owner=self.owner,
            claim=delivery.claim,
        )
        context = PageContext(
            lane=delivery.lane,
            trigger=delivery.trigger,
            received_at=delivery.received_at,
            fetched_at=delivery.label_seen_at or delivery.created_at,
            now=database.now(connection),
            tries=delivery.attempts + 1,
            linked_order_id=delivery.linked_order_id,
            delivery_id=delivery.id,
        )
        plan = create_deliveries(
            connection, [shipment], lookup, policy=self.job.policy, context=context
        )
        if not any(decision.delivery_id == delivery.id for decision in plan.decisions):
            self._close(connection, plan, now=context.now)
        return plan

    def _close(self, connection: Connection, plan: Plan, *, now: datetime) -> None:
        """This row was decided away: another one has taken its place, or there is nothing to do."""
        decision = plan.decisions[0]
        values: dict[str, Any] = {"reason": decision.reason, "detail": decision.detail}
        if decision.delivery_id is not None:
            values["superseded_by"] = decision.delivery_id
            values["reason"] = Reason.ALREADY_DELIVERED
            values["detail"] = f"delivery {decision.delivery_id} took its place"
        with suppress(LeaseLostError):  # Deciding may have closed this very row already.
            deliveries.record(
                connection,
                self.delivery,
                owner=self.owner,
                status=DeliveryStatus.CANCELLED,
                now=now,
                **values,
            )

    def _as_it_is_now(self) -> Shipment:
        """Read from ShipStation again, since a person may have corrected the order there; what it
        no longer shows stays as it was stored. So does a provider's refusal: the record alone looks
        like goods that left."""
        stored = self.delivery.shipment
        if stored.state is ShipmentState.REJECTED:
            return stored
        for shipment in shipped(self._records_now(stored)):
            if shipment.record_id == stored.record_id and shipment.state not in UNFINISHED:
                # Whether the shopper is notified was settled when it was first decided: a replay
                # notifies nobody, unless it was asked to.
                return replace(shipment, notify_customer=stored.notify_customer)
        return stored

    def _by_another_record(self) -> Shipment | None:
        """What ShipStation says now of another record that reported this parcel; None where none
        says that it left."""
        delivery = self.delivery
        void = record_of_shipment(delivery.shipment)
        reported = self._ask(lambda connection: parcels.of_deliveries(connection, [delivery.id]))
        for record in reported[delivery.id].records:
            if not outlasts(record, void):
                continue
            for shipment in shipped(self.job.fetcher.again(record.kind, record.record_id)):
                is_it = record_of_shipment(shipment).key == record.key
                if is_it and shipment.state is ShipmentState.SHIPPED:
                    return replace(shipment, notify_customer=delivery.shipment.notify_customer)
        return None

    def _records_now(self, stored: Shipment) -> list[Record]:
        """An inline row stands nowhere at ShipStation; what it spoke of does."""
        if stored.record_kind != "inline_row":
            return self.job.fetcher.again(stored.record_kind, stored.record_id)
        shipment_id = stored.shipstation_shipment_id or ""
        row = {
            "shipment_id": shipment_id,
            "tracking_number": stored.tracking_number,
            "carrier_code": stored.carrier_code,
            "ship_date": stored.ship_date,
            "notify_customer": stored.notify_customer,
        }
        return [record_of("inline_row", row), self.job.fetcher.v2_shipment(shipment_id)]

    # What failed

    def run_or_reschedule(self, step: Callable[[], bool | None]) -> bool | None:
        """Run a step that only reads from the vendors: whatever fails there is retried on the
        schedule. None when it failed."""
        try:
            return step()
        except (StorageError, LeaseLostError):
            raise
        except (TemporaryError, CredentialsError) as exc:
            failure: BridgeError = exc
        except BridgeError as exc:
            failure = TemporaryError(str(exc))
        except Exception as exc:
            # A fault of ours must not lose the delivery: it stays visible in its attempts.
            log.exception("delivery_failed_unforeseen", delivery_id=self.delivery.id)
            failure = TemporaryError(f"unforeseen {type(exc).__name__}: {exc}")
        self._failed(failure, number=self.delivery.attempts + 1)
        return None

    def _failed(self, error: BridgeError, *, number: int) -> None:
        """Nothing was changed at Purple Dot by this try: retry or give up, as `retry.decide` says.
        What was unclear before stays so, and when nobody could read it back a person has to
        look."""
        now = self._ask(self.job.database.now)
        decision = decide(error, attempt=number, schedule=self.job.schedules.retry, now=now)
        is_unclear = self.delivery.unclear_at is not None
        values: dict[str, Any] = {} if is_unclear else {"posting_at": None}
        if isinstance(decision, GiveUp):
            status = DeliveryStatus.HELD if is_unclear else DeliveryStatus.DEAD
            values["reason"] = Reason.UNCONFIRMED_PARTIAL if is_unclear else decision.reason
        else:
            status = _status_until_retry(decision, is_unclear=is_unclear)
            values["due_at"] = decision.at
            values["reason"] = error.reason if isinstance(error, CredentialsError) else None
        is_spent = isinstance(decision, GiveUp) or decision.spent
        values["attempts"] = number if is_spent else self.delivery.attempts
        self._record(
            status,
            number=number,
            detail=str(error),
            receipt=_refusal_of(error),
            is_attempt=is_spent,
            **values,
        )

    # What is written

    def _record(
        self,
        status: DeliveryStatus,
        *,
        detail: str = "",
        number: int | None = None,
        receipt: FulfillmentReceipt | None = None,
        is_attempt: bool = True,
        **values: Any,
    ) -> None:
        """A known outcome is repeated until it is stored, through a database restart if need be;
        the lease is renewed meanwhile."""

        def write(connection: Connection) -> tuple[datetime, list[str]]:
            now = self.job.database.now(connection)
            attempt = self._attempt(status, detail, number, receipt, now) if is_attempt else None
            changed: dict[str, Any] = {"detail": detail[:1000] or None, **values}
            if status is DeliveryStatus.DELIVERED:
                changed["delivered_at"] = now
            self._write(connection, status, now, attempt, changed)
            return now, deliveries.events_of(connection, self.delivery.id)

        now, event_ids = self._until_done(
            lambda: self.job.database.write(write), "outcome_not_stored_yet"
        )
        self._count(status, now, is_attempt=is_attempt)
        log.info(
            "delivery_moved",
            delivery_id=self.delivery.id,
            event_ids=event_ids[-_LOGGED_EVENTS:],
            status=status,
            reason=values.get("reason"),
            attempt=number,
            detail=detail[:300],
        )

    def _write(
        self,
        connection: Connection,
        status: DeliveryStatus,
        now: datetime,
        attempt: Attempt | None,
        values: Mapping[str, Any],
    ) -> None:
        delivery, posting_at = self.delivery, self.posting_at
        try:
            deliveries.record(
                connection,
                delivery,
                owner=self.owner,
                status=status,
                now=now,
                attempt=attempt,
                **values,
            )
        except LeaseLostError:
            # However late a definite answer comes, it settles what its own request left unclear.
            if posting_at is None or status is DeliveryStatus.UNCONFIRMED:
                raise
            if not deliveries.record_late(
                connection, delivery, posting_at, status=status, now=now, values=values
            ):
                raise
            if attempt is not None:
                attempts.add(connection, delivery.id, attempt)

    def _count(self, status: DeliveryStatus, now: datetime, *, is_attempt: bool) -> None:
        delivery = self.delivery
        if is_attempt:
            metrics.DELIVERIES.labels(status=status).inc()
        is_live = delivery.trigger in (Trigger.LIVE, Trigger.RETRY)
        if status is DeliveryStatus.DELIVERED and is_live:
            metrics.DELIVERY_SECONDS.observe((now - delivery.received_at).total_seconds())

    def _attempt(
        self,
        status: DeliveryStatus,
        detail: str,
        number: int | None,
        receipt: FulfillmentReceipt | None,
        now: datetime,
    ) -> Attempt:
        """A try with a number of its own names what was sent; what only looked counts on the last
        try."""
        delivery = self.delivery
        request: Mapping[str, Any] | None = None
        if number is not None and delivery.lines:
            request = fulfillment_body(delivery.action())
        return Attempt(
            number=delivery.attempts if number is None else number,
            trigger=delivery.trigger,
            started_at=self.started_at,
            finished_at=now,
            outcome=status.value,
            detail=detail,
            request=request,
            http_status=receipt.status if receipt else None,
            answer=receipt.answer if receipt else None,
        )

    def _ask(self, question: Callable[[Connection], T]) -> T:
        """What the database answers, however long that takes."""

        def ask() -> T:
            with self.job.database.read() as connection:
                return question(connection)

        return self._until_done(ask, "database_does_not_answer_yet")

    def _until_done(self, work: Callable[[], T], notice: str) -> T:
        """What Purple Dot said must not be lost for a database that is away."""
        while True:
            try:
                return work()
            except StorageError as exc:
                log.warning(notice, delivery_id=self.delivery.id, error=str(exc))
                time.sleep(_STORE_AGAIN_AFTER)


def _refusal_of(error: BridgeError) -> FulfillmentReceipt | None:
    """What a vendor answered when it refused; kept beside the attempt like any other answer."""
    if not isinstance(error, PermanentError) or error.status is None:
        return None
    return FulfillmentReceipt(None, error.status, kept_of(error.body))


def _status_until_retry(decision: RetryAt, *, is_unclear: bool) -> DeliveryStatus:
    if is_unclear:
        return DeliveryStatus.UNCONFIRMED
    return DeliveryStatus.RETRYING if decision.spent else DeliveryStatus.WAITING
