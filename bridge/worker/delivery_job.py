"""One claimed delivery: look, commit the intent, POST, record. What was interrupted is settled by reading, never posted again blindly."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from bridge.actions import Held, Ignored
from bridge.deliver import look, settle
from bridge.errors import (
    BridgeError,
    CredentialsError,
    LeaseLostError,
    PermanentError,
    StorageError,
    TemporaryError,
    ThrottledError,
    UnclearError,
)
from bridge.events import DeliveryStatus, Trigger
from bridge.place import Origin, Policy, place
from bridge.purple_dot.client import FulfillmentReceipt, PurpleDot
from bridge.reasons import Reason
from bridge.resolve import Resolver
from bridge.retry import GiveUp, RetryAt, decide
from bridge.shipstation.fetch import Fetcher
from bridge.store import deliveries, leases
from bridge.store.database import Database
from bridge.store.deliveries import Attempt, Delivery
from bridge.worker.schedules import Schedules

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """Takes a claimed delivery one step further. `run` raises nothing but LeaseLostError and StorageError."""

    database: Database
    purple_dot: PurpleDot
    fetcher: Fetcher
    resolver: Resolver
    policy: Policy
    schedules: Schedules
    lease: timedelta

    def run(self, delivery: Delivery, *, owner: str) -> None:
        step = _Step(self, delivery, owner, self.database.moment())
        if delivery.posting_at is not None and delivery.unclear_at is None:
            step.mark_unconfirmed("a process was killed between the request and its record", number=delivery.attempts)
        elif delivery.unclear_at is not None:
            step.guarded(step.read_back)
        elif not delivery.lines:
            step.guarded(step.place_again)
        else:
            step.deliver()


@dataclass(slots=True)
class _Step:
    job: DeliveryJob
    delivery: Delivery
    owner: str
    started_at: datetime

    def deliver(self) -> None:
        verdict = self.guarded(self._look)
        if verdict is False:
            return
        number = self.delivery.attempts + 1
        with self.job.database.begin() as connection:
            now = self.job.database.now(connection)
            deliveries.intend(connection, self.delivery, owner=self.owner, now=now, lease=self.job.lease)
        try:
            receipt = self.job.purple_dot.create_fulfillment(self.delivery.action().body())
        except UnclearError as exc:
            self.mark_unconfirmed(str(exc), number=number)
        except BridgeError as exc:
            self._failed(exc, number=number)
        except Exception as exc:  # Whatever it was, the request may have left: only reading can tell.
            log.exception("delivery_failed_unforeseen", delivery_id=self.delivery.id)
            self.mark_unconfirmed(f"unforeseen {type(exc).__name__}", number=number)
        else:
            self._delivered(receipt, number=number)

    def guarded(self, step: Callable[[], bool | None]) -> bool | None:
        """Run a step that only reads from the vendors: whatever fails there is retried on the schedule. False when it failed or ended."""
        try:
            return step()
        except (StorageError, LeaseLostError):
            raise
        except BridgeError as exc:
            self._failed(exc, number=self.delivery.attempts + 1)
        except Exception as exc:  # A fault of ours must not lose the delivery; it stays visible in its attempts.
            log.exception("delivery_failed_unforeseen", delivery_id=self.delivery.id)
            self._failed(TemporaryError(f"unforeseen {type(exc).__name__}: {exc}"), number=self.delivery.attempts + 1)
        return False

    def _look(self) -> bool:
        verdict = look.look(self.delivery, purple_dot=self.job.purple_dot, fetcher=self.job.fetcher, now=self.started_at)
        if isinstance(verdict, Held):
            self._end(DeliveryStatus.HELD, verdict.reason, verdict.detail)
        elif isinstance(verdict, Ignored):
            self._end(DeliveryStatus.CANCELLED, verdict.reason, verdict.detail)
        return verdict is None

    def read_back(self) -> None:
        delivery, job = self.delivery, self.job
        order = job.purple_dot.order(delivery.fulfillment_order_id or "")
        with job.database.read() as connection:
            others = deliveries.of_orders(connection, [order.id]).get(order.id, [])
            now = job.database.now(connection)
        told, perhaps = _others(others, delivery)
        looks = delivery.looks + 1
        came = settle.settle(delivery.lines, order, delivered=told, unclear=perhaps, looks=looks, schedule=job.schedules.confirm, now=now)
        self._settled(came, looks=looks)

    def _settled(self, came: settle.Settlement, *, looks: int) -> None:
        if isinstance(came, settle.LookAgain):
            self._record(DeliveryStatus.UNCONFIRMED, looks=looks, due_at=came.at, reason=None)
        elif isinstance(came, settle.Arrived):
            self._record(DeliveryStatus.DELIVERED, self._attempt("delivered", came.detail), delivered_at=self._now(), detail=came.detail)
        elif isinstance(came, settle.PostAgain):
            again = {"posting_at": None, "unclear_at": None, "looks": 0, "due_at": self._now(), "trigger": Trigger.RETRY}
            self._record(DeliveryStatus.RETRYING, self._attempt("retrying", came.detail), **again)
        else:
            self._end(DeliveryStatus.HELD, came.reason, came.detail)

    def place_again(self) -> None:
        """Look for the order once more; found, the delivery is decided anew, in the same row."""
        delivery, job = self.delivery, self.job
        found = job.resolver.find([delivery.shipment])
        with job.database.begin() as connection:
            leases.fence(connection, leases.DELIVERIES, row_id=delivery.id, owner=self.owner, claim=delivery.claim)
            origin = Origin(
                lane=delivery.lane,
                trigger=delivery.trigger,
                received_at=delivery.received_at,
                fetched_at=delivery.label_seen_at or delivery.created_at,
                now=job.database.now(connection),
                tries=delivery.attempts + 1,
            )
            decisions = place(connection, [delivery.shipment], found, policy=job.policy, origin=origin)
            if not any(decision.delivery_id == delivery.id for decision in decisions):
                reason, detail = decisions[0].reason, decisions[0].detail
                cancelled = DeliveryStatus.CANCELLED
                deliveries.record(connection, delivery, owner=self.owner, status=cancelled, now=origin.now, reason=reason, detail=detail)
        log.info("delivery_placed_again", delivery_id=delivery.id, verdicts=[decision.verdict for decision in decisions])

    def mark_unconfirmed(self, detail: str, *, number: int) -> None:
        now = self._now()
        first = self.job.schedules.confirm[0] if self.job.schedules.confirm else timedelta(0)
        attempt = self._attempt("unconfirmed", detail, number=number, request=self.delivery.action().body())
        values = {"unclear_at": now, "looks": 0, "due_at": now + first, "detail": detail[:1000]}
        self._record(DeliveryStatus.UNCONFIRMED, attempt, **values)
        log.warning("delivery_unconfirmed", delivery_id=self.delivery.id, detail=detail)

    def _delivered(self, receipt: FulfillmentReceipt, *, number: int) -> None:
        attempt = self._attempt("delivered", "", number=number, request=self.delivery.action().body(), receipt=receipt)
        fulfillment_id = receipt.purple_dot_fulfillment_id
        self._record(DeliveryStatus.DELIVERED, attempt, delivered_at=self._now(), purple_dot_fulfillment_id=fulfillment_id, detail=None)
        log.info("delivery_delivered", delivery_id=self.delivery.id, attempt=number, reference=self.delivery.reference)

    def _failed(self, error: BridgeError, *, number: int) -> None:
        """Nothing was changed at Purple Dot. Retry or give up, as `retry.decide` says."""
        came = decide(error, attempt=number, schedule=self.job.schedules.retry, now=self._now())
        request = self.delivery.action().body() if self.delivery.lines else None
        settling = self.delivery.unclear_at is not None
        kept = {} if settling else {"posting_at": None}
        if isinstance(came, RetryAt):
            status = DeliveryStatus.UNCONFIRMED if settling else DeliveryStatus.WAITING if not came.spent else DeliveryStatus.RETRYING
            reason = error.reason if isinstance(error, CredentialsError) else None
            spent = number if came.spent else self.delivery.attempts
            attempt = self._attempt(status.value, str(error), number=number, request=request) if came.spent else None
            self._record(status, attempt, attempts=spent, due_at=came.at, reason=reason, detail=str(error)[:1000], **kept)
        else:
            self._give_up(came, error, number=number, settling=settling, request=request)
        if not isinstance(error, ThrottledError):
            log.warning("delivery_attempt_failed", delivery_id=self.delivery.id, attempt=number, error=str(error)[:300])

    def _give_up(self, came: GiveUp, error: BridgeError, *, number: int, settling: bool, request: Mapping[str, Any] | None) -> None:
        """After an unclear POST nobody could read back it stays unknown: that is held for a person, with the mark kept."""
        attempt = self._attempt("held" if settling else "dead", str(error), number=number, request=request)
        if settling:
            self._record(DeliveryStatus.HELD, attempt, reason=Reason.UNCONFIRMED_PARTIAL, attempts=number, detail=str(error)[:1000])
        else:
            reason = came.reason if isinstance(error, PermanentError) else Reason.SCHEDULE_EXHAUSTED
            self._record(DeliveryStatus.DEAD, attempt, reason=reason, attempts=number, posting_at=None, detail=str(error)[:1000])

    def _end(self, status: DeliveryStatus, reason: Reason, detail: str) -> None:
        self._record(status, self._attempt(status.value, detail), reason=reason, detail=detail)
        log.info("delivery_ended", delivery_id=self.delivery.id, status=status, reason=reason)

    def _attempt(
        self,
        outcome: str,
        detail: str,
        *,
        number: int | None = None,
        request: Mapping[str, Any] | None = None,
        receipt: FulfillmentReceipt | None = None,
    ) -> Attempt:
        return Attempt(
            number=self.delivery.attempts if number is None else number,
            trigger=self.delivery.trigger,
            started_at=self.started_at,
            finished_at=self._now(),
            outcome=outcome,
            detail=detail,
            request=request,
            http_status=receipt.status if receipt else None,
            answer=receipt.answer if receipt else None,
        )

    def _record(self, status: DeliveryStatus, attempt: Attempt | None = None, **values: Any) -> None:
        """A known outcome is repeated until it is stored, through a database restart if need be; the lease is renewed meanwhile."""
        while True:
            try:
                with self.job.database.begin() as connection:
                    now = self.job.database.now(connection)
                    deliveries.record(connection, self.delivery, owner=self.owner, status=status, now=now, attempt=attempt, **values)
            except StorageError as exc:
                log.warning("outcome_not_stored_yet", delivery_id=self.delivery.id, status=status, error=str(exc))
                time.sleep(0.5)
            else:
                return

    def _now(self) -> datetime:
        return self.job.database.moment()


def _others(others: list[Delivery], mine: Delivery) -> tuple[Counter[str], Counter[str]]:
    """Units per line that the order's other deliveries told for certain, and those that they perhaps told."""
    told: Counter[str] = Counter()
    perhaps: Counter[str] = Counter()
    for other in others:
        units = {line.id: line.quantity for line in other.lines}
        if other.id == mine.id:
            continue
        if other.status is DeliveryStatus.DELIVERED or other.reason is Reason.VOIDED_AFTER_DELIVERY:
            told.update(units)
        elif other.posting_at is not None:
            perhaps.update(units)
    return told, perhaps
