"""Stand-ins with the public methods of the real things: scripted answers, recorded calls, and a
clock that moves only when told."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, select

from bridge.domain.errors import NotFoundError, StorageError
from bridge.domain.events import DELIVERY_ARROWS, EVENT_ARROWS, DeliveryStatus, EventStatus, Record
from bridge.domain.orders import FulfillmentOrder, normalize_reference
from bridge.store.engine.database import Database
from bridge.store.tables import deliveries, events
from bridge.vendors.purple_dot.client import FulfillmentReceipt
from bridge.vendors.shipstation.bulk import Pointer, Preloaded
from bridge.vendors.shipstation.fetch import NOTHING_PRELOADED, RowsRead


class Clock:
    """A database's clock: `Database(url, clock=Clock())`."""

    def __init__(self, start: datetime = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


class WatchedDatabase(Database):
    """A database whose every transaction is held against the arrows of `bridge/events.py`, and that
    fails when told.

    For tests of one thread: what others commit meanwhile would look like a jump.
    """

    def __init__(self, url: str, *, clock: Callable[[], datetime] | None = None) -> None:
        super().__init__(url, clock=clock)
        self._failures = 0

    def fail(self, times: int = 1) -> None:
        """Refuse the next transactions, as a database does that is being restarted."""
        self._failures = times

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Connection]:
        self._refuse()
        with super().begin(durable=durable) as connection:
            before = _statuses(connection)
            yield connection
            moved = [
                (table.name, row_id, was, now)
                for table, arrows, kind in _DRAWN
                for row_id, now in _statuses(connection)[table].items()
                if (was := before[table].get(row_id, now)) != now
                and kind(now) not in arrows[kind(was)]
            ]
            assert not moved, f"arrows that events.py does not draw: {moved}"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._refuse()
        with super().read() as connection:
            yield connection

    def _refuse(self) -> None:
        if self._failures:
            self._failures -= 1
            raise StorageError("the database is being restarted")


_DRAWN: tuple[tuple[Table, Any, Any], ...] = (
    (events, EVENT_ARROWS, EventStatus),
    (deliveries, DELIVERY_ARROWS, DeliveryStatus),
)


def _statuses(connection: Connection) -> dict[Table, dict[str, str]]:
    return {
        table: {
            row.id: row.status for row in connection.execute(select(table.c.id, table.c.status))
        }
        for table, _, _ in _DRAWN
    }


class _Scripted:
    """Each call answers with the next of its script: an error is raised, a function is called,
    anything else is the answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._scripts: dict[str, deque[Any]] = {}

    def script(self, operation: str, *answers: Any) -> None:
        self._scripts.setdefault(operation, deque()).extend(answers)

    def asked(self, operation: str) -> list[Any]:
        """The arguments of each call of this operation, in order."""
        return [argument for name, argument in self.calls if name == operation]

    def _answer(self, operation: str, argument: Any, otherwise: Callable[[], Any]) -> Any:
        self.calls.append((operation, argument))
        script = self._scripts.get(operation)
        answer = script.popleft() if script else otherwise
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer


class FakePurpleDot(_Scripted):
    """Purple Dot with these orders; it accepts every fulfillment and does not change an order's
    status by itself."""

    def __init__(self, *orders: FulfillmentOrder) -> None:
        super().__init__()
        self.orders = {order.id: order for order in orders}

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [body["fulfillment"] for body in self.asked("create_fulfillment")]

    def order(self, fulfillment_order_id: str) -> FulfillmentOrder:
        def found() -> FulfillmentOrder:
            if fulfillment_order_id not in self.orders:
                raise NotFoundError(f"no order {fulfillment_order_id}")
            return self.orders[fulfillment_order_id]

        return self._answer("order", fulfillment_order_id, found)

    def orders_by_reference(self, references: Collection[str]) -> list[FulfillmentOrder]:
        keys = {normalize_reference(reference) for reference in references}
        found = [
            order for order in self.orders.values() if normalize_reference(order.reference) in keys
        ]
        return self._answer("orders_by_reference", list(references), lambda: found)

    def orders_created_since(self, since: datetime) -> Iterator[FulfillmentOrder]:
        yield from self._answer("orders_created_since", since, lambda: list(self.orders.values()))

    def sample(self) -> object:
        return self._answer("sample", None, lambda: {"data": []})

    def create_fulfillment(
        self,
        body: dict[str, Any],
        *,
        not_after: float | None = None,  # noqa: ARG002  # the signature is the client's
    ) -> FulfillmentReceipt:
        receipt = FulfillmentReceipt(
            f"ful-{len(self.posted) + 1}", 200, '{"meta":{"result":"success"}}'
        )
        return self._answer("create_fulfillment", body, lambda: receipt)


ORDER_KINDS = frozenset({"v2_shipment", "v1_order"})


class FakeFetcher(_Scripted):
    """ShipStation with these records: `fetch` answers all of them, whatever the URL."""

    v2 = v1 = None

    def __init__(self, *records: Record) -> None:
        super().__init__()
        self.records = list(records)
        self.account_carriers: dict[str, str] = {}

    def preload(self, pointers: Sequence[Pointer], *, now: datetime) -> Preloaded:
        return self._answer("preload", (len(pointers), now), lambda: NOTHING_PRELOADED)

    def fetch(
        self,
        resource_url: str,
        preloaded: Preloaded = NOTHING_PRELOADED,
        *,
        on_rows: RowsRead | None = None,
    ) -> list[Record]:
        orders = [record for record in self.records if record.kind in ORDER_KINDS]
        if on_rows is not None and orders:
            on_rows([record for record in self.records if record not in orders])
        return self._answer(
            "fetch", resource_url, lambda: list(preloaded.rows.get(resource_url, self.records))
        )

    def current(self, kind: str, record_id: str) -> Record | None:
        return self._answer("current", (kind, record_id), lambda: self._stored(kind, record_id))

    def recent(
        self, kind: str, record_ids: Collection[str], *, since: datetime, now: datetime
    ) -> list[Record]:
        return self._answer(
            "recent",
            (kind, sorted(record_ids), since, now),
            lambda: [
                record
                for record in self.records
                if record.kind == kind and record.record_id in record_ids
            ],
        )

    def carrier_names(self) -> dict[str, str]:
        return self._answer("carrier_names", None, lambda: dict(self.account_carriers))

    def v2_shipment(self, shipment_id: str) -> Record:
        return self._answer(
            "v2_shipment", shipment_id, lambda: self._need("v2_shipment", shipment_id)
        )

    def again(self, kind: str, record_id: str) -> list[Record]:
        return self._answer(
            "again",
            (kind, record_id),
            lambda: list(self.records) if self._stored(kind, record_id) else [],
        )

    def _stored(self, kind: str, record_id: str) -> Record | None:
        return next(
            (
                record
                for record in self.records
                if (record.kind, record.record_id) == (kind, record_id)
            ),
            None,
        )

    def _need(self, kind: str, record_id: str) -> Record:
        record = self._stored(kind, record_id)
        if record is None:
            raise NotFoundError(f"no {kind} {record_id}")
        return record
