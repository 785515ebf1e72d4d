"""One claimed delivery: look, commit the intent, POST, record. What was interrupted is settled by
reading, never posted again blindly."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from bridge.domain.actions import Held
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    LeaseLostError,
    PermanentError,
    StorageError,
    TemporaryError,
    UnclearError,
)
from bridge.domain.events import DeliveryStatus, Trigger
from bridge.domain.orders import OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment
from bridge.pipeline import preflight, settle
from bridge.pipeline.decide_again import Redecider
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.look_together import LookTogether
from bridge.pipeline.outcomes import Outcomes
from bridge.pipeline.retry import GiveUp, RetryAt, Schedules, decide, next_look
from bridge.store import attempts, deliveries
from bridge.store.engine.database import Connection, Database
from bridge.translate.plans import Policy
from bridge.vendors.purple_dot.client import FulfillmentReceipt, PurpleDot, kept_of
from bridge.vendors.purple_dot.payloads import fulfillment_body
from bridge.vendors.shipstation.fetch import Fetcher

log = structlog.get_logger(__name__)

_DRY_RUN_WAIT = timedelta(hours=1)


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
    redecider: Redecider = field(init=False)

    def __post_init__(self) -> None:
        together = LookTogether(self.database, self.purple_dot, self.fetcher)
        object.__setattr__(self, "together", together)
        redecider = Redecider(self.database, self.fetcher, self.resolver, self.policy)
        object.__setattr__(self, "redecider", redecider)

    def run(self, delivery: Delivery, *, owner: str) -> None:
        started_at = self.database.now()
        outcomes = Outcomes(self.database, delivery, owner, started_at)
        step = _Step(self, delivery, owner, started_at, outcomes)
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
    """One step of one delivery: what it reads, sends and decides; `outcomes` keeps what it came
    to."""

    job: DeliveryJob
    delivery: Delivery
    owner: str
    started_at: datetime
    outcomes: Outcomes
    intended_at: float = 0.0

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
            self.outcomes.record(
                DeliveryStatus.DELIVERED,
                number=number,
                receipt=receipt,
                purple_dot_fulfillment_id=receipt.purple_dot_fulfillment_id,
            )

    def _show_dry_run(self, number: int) -> None:
        """All is decided and read, and nothing leaves. Its first attempt shows what would; it goes
        out when the dry run is over."""
        looks = self.delivery.looks
        self.outcomes.record(
            DeliveryStatus.WAITING,
            number=number,
            detail="dry run: this would be posted now, and nothing was",
            is_attempt=looks == 0,
            looks=looks + 1,
            due_at=self.outcomes.ask(self.job.database.now) + _DRY_RUN_WAIT,
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

        self.outcomes.posting_at = self.job.database.write(write)
        return self.outcomes.posting_at is not None

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
            self.outcomes.record(DeliveryStatus.HELD, detail=verdict.detail, reason=verdict.reason)
        else:
            self._end_as_void(verdict.detail)
        return False

    def _end_as_void(self, detail: str) -> None:
        """Another record of the same parcel may say that it left all the same."""
        other = self.job.redecider.by_another_record(self.delivery)
        if other is None:
            self.outcomes.record(DeliveryStatus.CANCELLED, detail=detail, reason=Reason.VOIDED)
        else:
            self.decide_again(other)

    def _arrived_late(self) -> bool:
        """What is refused, or seems to be fulfilled elsewhere, may be there from an earlier request
        whose answer was lost."""
        delivery = self.delivery

        def read(connection: Connection) -> tuple[bool, list[Delivery]]:
            was_unclear = attempts.was_unclear(connection, delivery.id)
            return was_unclear, deliveries.others_of_order(connection, delivery)

        was_unclear, others = self.outcomes.ask(read)
        if not was_unclear:
            return False
        order = self.job.purple_dot.order(delivery.fulfillment_order_id or "")
        sent, maybe_sent = settle.units_of_others(others)
        mine = settle.units(delivery.lines)
        if order.status is not OrderStatus.FULFILLED:
            return False
        if not settle.completes(order, mine, sent, maybe_sent):
            return False
        self.outcomes.record(
            DeliveryStatus.DELIVERED,
            detail=f"{order.reference} is fulfilled: an earlier request arrived late",
        )
        return True

    def decide_again(self, shipment: Shipment | None = None) -> None:
        self.job.redecider.decide_again(self.delivery, owner=self.owner, shipment=shipment)

    # An unclear answer

    def mark_unconfirmed(self, detail: str, *, number: int) -> None:
        """The request may have arrived: from here on only reading decides, after growing delays."""
        now = self.outcomes.ask(self.job.database.now)
        first = next_look(looks=1, schedule=self.job.schedules.confirm, now=now)
        self.outcomes.record(
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
            others = deliveries.others_of_order(connection, delivery)
            now = self.job.database.now(connection)
        sent, maybe_sent = settle.units_of_others(others)
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
            self.outcomes.record(
                DeliveryStatus.UNCONFIRMED, is_attempt=False, looks=looks, due_at=settlement.at
            )
        elif isinstance(settlement, settle.Arrived):
            self.outcomes.record(DeliveryStatus.DELIVERED, detail=settlement.detail)
        elif isinstance(settlement, settle.PostAgain):
            self._post_again(settlement.detail, now)
        else:
            self.outcomes.record(
                DeliveryStatus.HELD, detail=settlement.detail, reason=settlement.reason
            )

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
            self.outcomes.record(
                DeliveryStatus.DEAD, detail=detail, reason=decision.reason, **values
            )
            return
        self.outcomes.record(
            DeliveryStatus.RETRYING,
            detail=detail,
            due_at=decision.at,
            trigger=Trigger.RETRY,
            **values,
        )

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
        now = self.outcomes.ask(self.job.database.now)
        decision = decide(error, attempt=number, schedule=self.job.schedules.retry, now=now)
        is_unclear = self.delivery.unclear_at is not None
        values: dict[str, Any] = {} if is_unclear else {"posting_at": None}
        if isinstance(decision, GiveUp):
            status = DeliveryStatus.HELD if is_unclear else DeliveryStatus.DEAD
            values["reason"] = Reason.UNCONFIRMED_PARTIAL if is_unclear else decision.reason
        else:
            status = _status_until_retry(decision, is_unclear=is_unclear)
            values["due_at"] = decision.at
            values["throttled_by"] = decision.throttled_by
            values["reason"] = error.reason if isinstance(error, CredentialsError) else None
        is_spent = isinstance(decision, GiveUp) or decision.spent
        values["attempts"] = number if is_spent else self.delivery.attempts
        self.outcomes.record(
            status,
            number=number,
            detail=str(error),
            receipt=_refusal_of(error),
            is_attempt=is_spent,
            **values,
        )


def _refusal_of(error: BridgeError) -> FulfillmentReceipt | None:
    """What a vendor answered when it refused; kept beside the attempt like any other answer."""
    if not isinstance(error, PermanentError) or error.status is None:
        return None
    return FulfillmentReceipt(None, error.status, kept_of(error.body))


def _status_until_retry(decision: RetryAt, *, is_unclear: bool) -> DeliveryStatus:
    if is_unclear:
        return DeliveryStatus.UNCONFIRMED
    return DeliveryStatus.RETRYING if decision.spent else DeliveryStatus.WAITING
