"""What the look before a POST reads again of the deliveries that wait: where many do, it is read
for all of them in a few calls, so that a backlog takes hardly more calls than its POSTs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import BridgeError, StorageError, ThrottledError
from bridge.domain.events import Record
from bridge.domain.orders import FulfillmentOrder
from bridge.pipeline.preflight import LABEL_IS_FRESH, ORDER_IS_FRESH, is_fresh
from bridge.store import deliveries
from bridge.store.deliveries import Waiting
from bridge.store.engine.database import Database
from bridge.vendors.purple_dot.client import REFERENCES_A_CALL, PurpleDot
from bridge.vendors.shipstation.fetch import Fetcher

T = TypeVar("T")

log = structlog.get_logger(__name__)

TOGETHER_FROM = 4
"""So many waiting deliveries are worth a list; what fewer need is read one by one."""

_MOST_LABELS = 500
_DUE_WITHIN = timedelta(minutes=1)
_LONGEST_WAIT = 5.0
"""Seconds that a thread waits for another one, which may be reading what it needs as well."""
_NEVER = (None, None)


@dataclass(slots=True)
class LookTogether:
    """Purple Dot's `order` and ShipStation's `current` record, as the clients give them; what
    `prepare` has read for several within the last seconds costs no call again. What a list did not
    show is None here, and is read by itself. Shared by the threads of a process."""

    database: Database
    purple_dot: PurpleDot
    fetcher: Fetcher
    _orders: dict[str, tuple[datetime, FulfillmentOrder | None]] = field(default_factory=dict)
    _records: dict[tuple[str, str], tuple[datetime, Record | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, delivery: Delivery, *, now: datetime) -> None:
        """Read what this delivery and those that wait beside it need, if it needs anything. Raises
        ThrottledError where there is no turn for that; what else fails is read one by one."""
        with self._turn():
            self._forget(now)
            needs_order = not self._has_order(delivery, now)
            needs_record = not self._has_record(delivery, now)
            if not (needs_order or needs_record):
                return
            waiting = self._waiting(delivery, now)
            if len(waiting) < TOGETHER_FROM:
                return
            if needs_record:
                self._read_records(waiting, now)
            if needs_order:
                self._read_orders(waiting[:REFERENCES_A_CALL], now)

    def order(self, fulfillment_order_id: str) -> FulfillmentOrder:
        """Raises what the client raises."""
        _, order = self._orders.get(fulfillment_order_id, _NEVER)
        return order or self.purple_dot.order(fulfillment_order_id)

    def current(self, kind: str, record_id: str) -> Record | None:
        """Raises what the client raises."""
        _, record = self._records.get((kind, record_id), _NEVER)
        return record or self.fetcher.current(kind, record_id)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        is_ours = self._lock.acquire(timeout=_LONGEST_WAIT)
        try:
            yield
        finally:
            if is_ours:
                self._lock.release()

    def _forget(self, now: datetime) -> None:
        self._orders = {
            order_id: seen
            for order_id, seen in list(self._orders.items())
            if is_fresh(seen[0], now, ORDER_IS_FRESH)
        }
        self._records = {
            key: seen
            for key, seen in list(self._records.items())
            if is_fresh(seen[0], now, LABEL_IS_FRESH)
        }

    def _has_order(self, delivery: Delivery, now: datetime) -> bool:
        is_seen = is_fresh(delivery.order_seen_at, now, ORDER_IS_FRESH)
        return is_seen or delivery.fulfillment_order_id in self._orders

    def _has_record(self, delivery: Delivery, now: datetime) -> bool:
        shipment = delivery.shipment
        is_seen = is_fresh(delivery.label_seen_at, now, LABEL_IS_FRESH)
        return is_seen or (shipment.record_kind, shipment.record_id) in self._records

    def _waiting(self, delivery: Delivery, now: datetime) -> list[Waiting]:
        """This delivery, then those of its lane that are due soon, the first ones first."""
        with self.database.read() as connection:
            return deliveries.waiting(
                connection,
                lane=delivery.lane,
                due_by=now + _DUE_WITHIN,
                first=delivery.id,
                limit=_MOST_LABELS,
            )

    def _read_orders(self, waiting: Sequence[Waiting], now: datetime) -> None:
        references = {delivery.reference for delivery in waiting if delivery.reference}
        order_ids = {delivery.fulfillment_order_id for delivery in waiting}
        orders = _unless_it_fails(lambda: self.purple_dot.orders_by_reference(references))
        self._orders.update((order_id, (now, None)) for order_id in order_ids)
        for order in orders:
            if order.id in order_ids:
                self._orders[order.id] = (now, order)

    def _read_records(self, waiting: Sequence[Waiting], now: datetime) -> None:
        stale = [d for d in waiting if not is_fresh(d.label_seen_at, now, LABEL_IS_FRESH)]
        by_kind: dict[str, set[str]] = {}
        for delivery in stale:
            by_kind.setdefault(delivery.record_kind, set()).add(delivery.shipstation_record_id)
        for kind, record_ids in by_kind.items():
            since = min(d.received_at for d in stale if d.record_kind == kind)
            recent = partial(self.fetcher.recent, kind, record_ids, since=since, now=now)
            records = _unless_it_fails(recent) if len(record_ids) >= TOGETHER_FROM else []
            self._records.update(((kind, record_id), (now, None)) for record_id in record_ids)
            for record in records:
                self._records[kind, record.record_id] = (now, record)


def _unless_it_fails(read: Callable[[], list[T]]) -> list[T]:
    """What fails for all is read one by one. Where there is no turn for it, all of them wait."""
    try:
        return read()
    except (StorageError, ThrottledError):
        raise
    except BridgeError as exc:
        log.warning("not_read_together", error=f"{type(exc).__name__}: {exc}"[:300])
        return []
