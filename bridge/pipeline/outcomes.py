"""What became of a try to deliver, counted and recorded. What Purple Dot said must not be lost for
a database that is away."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog

from bridge import metrics
from bridge.domain.deliveries import Attempt, Delivery
from bridge.domain.errors import LeaseLostError, StorageError
from bridge.domain.events import DeliveryStatus, Trigger
from bridge.store import attempts, deliveries
from bridge.store.engine.database import Connection, Database
from bridge.vendors.purple_dot.client import FulfillmentReceipt
from bridge.vendors.purple_dot.payloads import fulfillment_body

T = TypeVar("T")

log = structlog.get_logger(__name__)

_STORE_AGAIN_AFTER = 0.5
_LOGGED_EVENTS = 5


@dataclass(slots=True)
class Outcomes:
    """Of one claimed delivery. `posting_at` is when its request was intended, once it is."""

    database: Database
    delivery: Delivery
    owner: str
    started_at: datetime
    posting_at: datetime | None = None

    def record(
        self,
        status: DeliveryStatus,
        *,
        detail: str = "",
        number: int | None = None,
        receipt: FulfillmentReceipt | None = None,
        is_attempt: bool = True,
        **values: Any,
    ) -> None:
        """Repeated until it is stored, through a database restart if need be; the lease is renewed
        meanwhile. Raises LeaseLostError."""

        def write(connection: Connection) -> tuple[datetime, list[str]]:
            now = self.database.now(connection)
            attempt = self._attempt(status, detail, number, receipt, now) if is_attempt else None
            changed: dict[str, Any] = {"detail": detail[:1000] or None, **values}
            if status is DeliveryStatus.DELIVERED:
                changed["delivered_at"] = now
            self._write(connection, status, now, attempt, changed)
            return now, deliveries.events_of(connection, self.delivery.id)

        now, event_ids = self._until_done(
            lambda: self.database.write(write), "outcome_not_stored_yet"
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

    def ask(self, question: Callable[[Connection], T]) -> T:
        """What the database answers, however long that takes."""

        def read() -> T:
            with self.database.read() as connection:
                return question(connection)

        return self._until_done(read, "database_does_not_answer_yet")

    def _until_done(self, work: Callable[[], T], notice: str) -> T:
        while True:
            try:
                return work()
            except StorageError as exc:
                log.warning(notice, delivery_id=self.delivery.id, error=str(exc))
                time.sleep(_STORE_AGAIN_AFTER)
