"""One claimed delivery: look, commit the intent, POST, record. What was interrupted is settled by
reading, never posted again blindly."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
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
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentState
from bridge.pipeline import preflight, settle
from bridge.pipeline.create_deliveries import Origin, Policy, lock, place
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.retry import GiveUp, decide, next_look
from bridge.pipeline.schedules import Schedules
from bridge.store import attempts, deliveries, leases
from bridge.store.engine.database import Connection, Database
from bridge.vendors.purple_dot.client import FulfillmentReceipt, PurpleDot
from bridge.vendors.purple_dot.payloads import fulfillment_body
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.payloads import record_of
from bridge.vendors.shipstation.shipments import shipped

T = TypeVar("T")

log = structlog.get_logger(__name__)

_S = DeliveryStatus
_STORE_AGAIN_AFTER = 0.5


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

    def run(self, delivery: Delivery, *, owner: str) -> None:
        step = _Step(self, delivery, owner, self.database.moment())
        if delivery.posting_at is not None and delivery.unclear_at is None:
            step.mark_unconfirmed(
                "a process was killed between the request and its record", number=delivery.attempts
            )
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
        if self.guarded(self._way_is_free) is not True:
            return
        number = self.delivery.attempts + 1
        self.job.database.write(self._intend)
        try:
            receipt = self.job.purple_dot.create_fulfillment(
                fulfillment_body(self.delivery.action())
            )
        except UnclearError as exc:
            self.mark_unconfirmed(str(exc), number=number)
        except BridgeError as exc:
            # None: whether it came late could not be read, and that failure is recorded already.
            if not isinstance(exc, PermanentError) or self.guarded(self._came_late) is False:
                self._failed(exc, number=number)
        except (
            Exception
        ) as exc:  # Whatever it was, the request may have left: only reading can tell.
            log.exception("delivery_failed_unforeseen", delivery_id=self.delivery.id)
            self.mark_unconfirmed(f"unforeseen {type(exc).__name__}", number=number)
        else:
            fulfillment_id = receipt.purple_dot_fulfillment_id
            self._record(
                _S.DELIVERED,
                number=number,
                receipt=receipt,
                purple_dot_fulfillment_id=fulfillment_id,
            )

    def _intend(self, connection: Connection) -> None:
        now = self.job.database.now(connection)
        deliveries.intend(
            connection, self.delivery, owner=self.owner, now=now, lease=self.job.lease
        )

    def _came_late(self) -> bool:
        """What is refused, or seems to be fulfilled elsewhere, may be there from an earlier request
        whose answer was lost."""
        if not self._ask(lambda connection: attempts.was_unclear(connection, self.delivery.id)):
            return False
        others = self._ask(
            lambda connection: deliveries.of_orders(
                connection, [self.delivery.fulfillment_order_id or ""]
            )
        )
        order = self.job.purple_dot.order(self.delivery.fulfillment_order_id or "")
        told, perhaps = _others(others.get(order.id, []), self.delivery)
        if order.status is not OrderStatus.FULFILLED or not settle.completes(
            order, settle.units(self.delivery.lines), told, perhaps
        ):
            return False
        self._record(
            _S.DELIVERED,
            detail=f"{order.reference} stands as fulfilled: an earlier request arrived late",
        )
        return True

    def guarded(self, step: Callable[[], bool | None]) -> bool | None:
        """Run a step that only reads from the vendors: whatever fails there is retried on the
        schedule. None when it failed."""
        try:
            return step()
        except (StorageError, LeaseLostError):
            raise
        except BridgeError as exc:
            passing = (
                exc
                if isinstance(exc, TemporaryError | CredentialsError)
                else TemporaryError(str(exc))
            )
            self._failed(passing, number=self.delivery.attempts + 1)
        except (
            Exception
        ) as exc:  # A fault of ours must not lose the delivery; it stays visible in its attempts.
            log.exception("delivery_failed_unforeseen", delivery_id=self.delivery.id)
            self._failed(
                TemporaryError(f"unforeseen {type(exc).__name__}: {exc}"),
                number=self.delivery.attempts + 1,
            )
        return None

    def _way_is_free(self) -> bool:
        verdict = preflight.look(
            self.delivery,
            purple_dot=self.job.purple_dot,
            fetcher=self.job.fetcher,
            now=self.started_at,
        )
        if (
            verdict is not None
            and verdict.reason is Reason.ALREADY_FULFILLED_ELSEWHERE
            and self._came_late()
        ):
            return False
        if verdict is not None:
            status = _S.HELD if isinstance(verdict, Held) else _S.CANCELLED
            self._record(status, detail=verdict.detail, reason=verdict.reason)
        return verdict is None

    def read_back(self) -> None:
        delivery, schedule = self.delivery, self.job.schedules.confirm
        order = self.job.purple_dot.order(delivery.fulfillment_order_id or "")
        with self.job.database.read() as connection:
            others = deliveries.of_orders(connection, [order.id]).get(order.id, [])
            now = self.job.database.now(connection)
        told, perhaps = _others(others, delivery)
        looks = delivery.looks + 1
        came = settle.settle(
            delivery.lines,
            order,
            delivered=told,
            unclear=perhaps,
            looks=looks,
            schedule=schedule,
            now=now,
        )
        if isinstance(came, settle.LookAgain):
            self._record(_S.UNCONFIRMED, is_attempt=False, looks=looks, due_at=came.at)
        elif isinstance(came, settle.Arrived):
            self._record(_S.DELIVERED, detail=came.detail)
        elif isinstance(came, settle.PostAgain):
            again: dict[str, Any] = {
                "posting_at": None,
                "unclear_at": None,
                "looks": 0,
                "due_at": now,
                "trigger": Trigger.RETRY,
            }
            self._record(_S.RETRYING, detail=came.detail, **again)
        else:
            self._record(_S.HELD, detail=came.detail, reason=came.reason)

    def place_again(self) -> None:
        """Look for the order once more; found, the delivery is decided anew, in the same row."""
        delivery, job = self.delivery, self.job
        shipment = self._as_it_is_now()
        found = job.resolver.find([shipment], linked_order_id=delivery.linked_order_id)
        with job.database.begin() as connection:
            lock(connection, found, now=job.database.now(connection))
            leases.fence(
                connection,
                leases.DELIVERIES,
                row_id=delivery.id,
                owner=self.owner,
                claim=delivery.claim,
            )
            origin = Origin(
                lane=delivery.lane,
                trigger=delivery.trigger,
                received_at=delivery.received_at,
                fetched_at=delivery.label_seen_at or delivery.created_at,
                now=job.database.now(connection),
                tries=delivery.attempts + 1,
                linked_order_id=delivery.linked_order_id,
            )
            decisions = place(connection, [shipment], found, policy=job.policy, origin=origin)
            if not any(decision.delivery_id == delivery.id for decision in decisions):
                told: dict[str, Any] = {
                    "reason": decisions[0].reason,
                    "detail": decisions[0].detail,
                }
                with suppress(LeaseLostError):  # Deciding may have closed this very row already.
                    deliveries.record(
                        connection,
                        delivery,
                        owner=self.owner,
                        status=_S.CANCELLED,
                        now=origin.now,
                        **told,
                    )
        log.info(
            "delivery_placed_again",
            delivery_id=delivery.id,
            verdicts=[decision.verdict for decision in decisions],
        )

    def _as_it_is_now(self) -> Shipment:
        """Read from ShipStation again, since a person may have mended the order there; what it no
        longer shows stays as it was stored. So does a provider's refusal: the record alone looks
        like goods that left."""
        known = self.delivery.shipment
        if known.state is ShipmentState.REJECTED:
            return known
        unfinished = (ShipmentState.PROCESSING, ShipmentState.AWAITING_NUMBER)
        told = [
            one
            for one in shipped(self._records_now(known))
            if one.record_id == known.record_id and one.state not in unfinished
        ]
        # Whether the shopper is told was settled when it was placed: a replay told nobody, unless
        # it was asked to.
        return replace(told[0], notify_customer=known.notify_customer) if told else known

    def _records_now(self, known: Shipment) -> list[Record]:
        """An inline row stands nowhere at ShipStation; what it spoke of does."""
        if known.record_kind != "inline_row":
            return self.job.fetcher.again(known.record_kind, known.record_id)
        shipment_id = known.shipstation_shipment_id or ""
        row = {
            "shipment_id": shipment_id,
            "tracking_number": known.tracking_number,
            "carrier_code": known.carrier_code,
        }
        said = record_of(
            "inline_row",
            row | {"ship_date": known.ship_date, "notify_customer": known.notify_customer},
        )
        return [said, self.job.fetcher.v2_shipment(shipment_id)]

    def mark_unconfirmed(self, detail: str, *, number: int) -> None:
        """The request may have arrived: from here on only reading decides, after growing delays."""
        now = self._now()
        first = next_look(looks=1, schedule=self.job.schedules.confirm, now=now) or now
        self._record(
            _S.UNCONFIRMED, number=number, detail=detail, unclear_at=now, looks=0, due_at=first
        )

    def _failed(self, error: BridgeError, *, number: int) -> None:
        """Nothing was changed at Purple Dot by this try: retry or give up, as `retry.decide` says.
        What was unclear before stays so, and when nobody could read it back a person has to
        look."""
        came = decide(error, attempt=number, schedule=self.job.schedules.retry, now=self._now())
        is_unclear = self.delivery.unclear_at is not None
        values: dict[str, Any] = {} if is_unclear else {"posting_at": None}
        if isinstance(came, GiveUp):
            status, values["reason"] = (
                (_S.HELD, Reason.UNCONFIRMED_PARTIAL) if is_unclear else (_S.DEAD, came.reason)
            )
        else:
            status = _S.UNCONFIRMED if is_unclear else _S.RETRYING if came.spent else _S.WAITING
            values |= {
                "due_at": came.at,
                "reason": error.reason if isinstance(error, CredentialsError) else None,
            }
        is_spent = isinstance(came, GiveUp) or came.spent
        spent = number if is_spent else self.delivery.attempts
        self._record(
            status, number=number, detail=str(error), is_attempt=is_spent, attempts=spent, **values
        )

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
            ended = {"delivered_at": now} if status is _S.DELIVERED else {}
            changed = {"detail": detail[:1000] or None} | ended | values
            deliveries.record(
                connection,
                self.delivery,
                owner=self.owner,
                status=status,
                now=now,
                attempt=attempt,
                **changed,
            )
            return now, deliveries.events_of(connection, self.delivery.id)

        while True:
            try:
                now, event_ids = self.job.database.write(write)
            except StorageError as exc:
                log.warning(
                    "outcome_not_stored_yet",
                    delivery_id=self.delivery.id,
                    status=status,
                    error=str(exc),
                )
                time.sleep(_STORE_AGAIN_AFTER)
            else:
                break
        self._count(status, now, is_attempt=is_attempt)
        told = {
            "status": status,
            "reason": values.get("reason"),
            "attempt": number,
            "detail": detail[:300],
        }
        log.info("delivery_moved", delivery_id=self.delivery.id, event_ids=event_ids[-5:], **told)

    def _count(self, status: DeliveryStatus, now: datetime, *, is_attempt: bool) -> None:
        if is_attempt:
            metrics.DELIVERIES.labels(status=status).inc()
        if status is _S.DELIVERED and self.delivery.trigger in (Trigger.LIVE, Trigger.RETRY):
            metrics.DELIVERY_SECONDS.observe((now - self.delivery.received_at).total_seconds())

    def _now(self) -> datetime:
        return self._ask(self.job.database.now)

    def _ask(self, question: Callable[[Connection], T]) -> T:
        """Read from the database until it answers: what Purple Dot said must not be lost for it."""
        while True:
            try:
                with self.job.database.read() as connection:
                    return question(connection)
            except StorageError as exc:
                log.warning(
                    "database_does_not_answer_yet", delivery_id=self.delivery.id, error=str(exc)
                )
                time.sleep(_STORE_AGAIN_AFTER)

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
        return Attempt(
            number=self.delivery.attempts if number is None else number,
            trigger=self.delivery.trigger,
            started_at=self.started_at,
            finished_at=now,
            outcome=status.value,
            detail=detail,
            request=fulfillment_body(self.delivery.action())
            if number is not None and self.delivery.lines
            else None,
            http_status=receipt.status if receipt else None,
            answer=receipt.answer if receipt else None,
        )


def _others(others: list[Delivery], mine: Delivery) -> tuple[Counter[str], Counter[str]]:
    """Units per line that the order's other deliveries told for certain, and those that they
    perhaps told."""
    told: Counter[str] = Counter()
    perhaps: Counter[str] = Counter()
    for other in others:
        units = settle.units(other.lines)
        if other.id == mine.id:
            continue
        if other.status is DeliveryStatus.DELIVERED or other.reason is Reason.VOIDED_AFTER_DELIVERY:
            told.update(units)
        elif other.posting_at is not None:
            perhaps.update(units)
    return told, perhaps
