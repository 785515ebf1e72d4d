"""Asks Purple Dot which orders a page of shipments belongs to: one call where one will do, none
where nothing looks like it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.domain.errors import NotFoundError
from bridge.domain.orders import FulfillmentOrder, is_uuid, normalize_reference
from bridge.domain.shipments import Shipment
from bridge.store import orders as order_store
from bridge.store.engine.database import Database
from bridge.translate.matching import Wanted, wanted
from bridge.vendors.purple_dot.client import PurpleDot


@dataclass(frozen=True, slots=True)
class Found:
    """`orders` are all that may matter; `stored` those of them that were known before, `fresh`
    those just read from Purple Dot, at `seen_at`; `bound` what earlier deliveries tied each
    ShipStation order to."""

    orders: tuple[FulfillmentOrder, ...] = ()
    stored: tuple[FulfillmentOrder, ...] = ()
    fresh: tuple[FulfillmentOrder, ...] = ()
    bound: Mapping[str, FulfillmentOrder] = field(default_factory=dict)
    seen_at: datetime | None = None

    def is_fresh(self, order_id: str) -> bool:
        return any(order.id == order_id for order in self.fresh)


@dataclass(frozen=True, slots=True)
class Resolver:
    """`pattern` is what an order number of Purple Dot's looks like; None looks up every number."""

    database: Database
    purple_dot: PurpleDot
    pattern: re.Pattern[str] | None

    def find(self, shipments: Sequence[Shipment], *, linked_order_id: str | None = None) -> Found:
        """Known → cached → one batched lookup → single ids that nothing else explains. Raises what
        the client raises."""
        want = _union(wanted(shipment, pattern=self.pattern) for shipment in shipments)
        if linked_order_id is not None:
            want = replace(want, order_ids=want.order_ids | {linked_order_id})
        known, bindings, seen_at = self._from_cache(want, shipments)
        ids = want.order_ids | {order_id for ids in bindings.values() for order_id in ids}
        if not (ids or want.references or known):
            return Found()
        fresh = self._ask(ids, want.references, known)
        orders = {order.id: order for order in (*known, *fresh)}
        bound = {
            key: orders[next(iter(ids))]
            for key, ids in bindings.items()
            if len(ids) == 1 and ids <= orders.keys()
        }
        return Found(tuple(orders.values()), tuple(known), tuple(fresh), bound, seen_at)

    def _from_cache(
        self, want: Wanted, shipments: Sequence[Shipment]
    ) -> tuple[list[FulfillmentOrder], dict[str, set[str]], datetime]:
        with self.database.read() as connection:
            seen_at = self.database.now(connection)
            shipstation_ids = {
                s.shipstation_shipment_id for s in shipments if s.shipstation_shipment_id
            }
            bindings = order_store.bindings(connection, shipstation_ids)
            ids = want.order_ids | {order_id for bound in bindings.values() for order_id in bound}
            known = order_store.known(
                connection, order_ids=ids, references=want.references, line_ids=want.line_ids
            )
        return known, bindings, seen_at

    def _ask(
        self, ids: Iterable[str], references: Iterable[str], known: Sequence[FulfillmentOrder]
    ) -> list[FulfillmentOrder]:
        """A cached order is asked for again, by its reference, in the same one call: its status may
        have changed."""
        numbers = set(references) | {normalize_reference(order.reference) for order in known}
        fresh = (
            {order.id: order for order in self.purple_dot.orders_by_reference(sorted(numbers))}
            if numbers
            else {}
        )
        for order_id in sorted(set(ids) - fresh.keys()):
            order = self._order(order_id)
            if order is not None:
                fresh[order.id] = order
        return list(fresh.values())

    def _order(self, order_id: str) -> FulfillmentOrder | None:
        try:
            return self.purple_dot.order(order_id)
        except NotFoundError:
            return None  # Another system's id, of the same shape.


def orders_named(purple_dot: PurpleDot, text: str) -> list[FulfillmentOrder]:
    """The orders with this id or reference as Purple Dot has them now; raises what the client
    raises."""
    if not is_uuid(text):
        return purple_dot.orders_by_reference([text])
    try:
        return [purple_dot.order(text)]
    except NotFoundError:
        return []


def _union(wants: Iterable[Wanted]) -> Wanted:
    ids: set[str] = set()
    references: set[str] = set()
    line_ids: set[str] = set()
    for want in wants:
        ids |= want.order_ids
        references |= want.references
        line_ids |= want.line_ids
    return Wanted(frozenset(ids), frozenset(references), frozenset(line_ids))
