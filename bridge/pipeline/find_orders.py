"""Asks Purple Dot which orders a page of shipments belongs to: one call where one will do, none
where nothing looks like it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.domain.errors import NotFoundError, PermanentError
from bridge.domain.orders import FulfillmentOrder, is_uuid, normalize_reference
from bridge.domain.parcels import record_keys
from bridge.domain.shipments import Shipment
from bridge.pipeline.open_orders import OpenOrders
from bridge.store import orders as order_store
from bridge.store import parcels
from bridge.store.engine.database import Database
from bridge.translate.matching import Wanted, sku_key, wanted
from bridge.translate.plans import OrderLookup
from bridge.vendors.purple_dot.client import PurpleDot


@dataclass(frozen=True, slots=True)
class _Cached:
    """What the database knew beforehand: orders; where earlier deliveries went, by ShipStation
    order; and where a person sent a record, by its key. `listed` are orders that only Purple Dot's
    list of open orders has shown."""

    orders: Sequence[FulfillmentOrder]
    bindings: Mapping[str, set[str]]
    links: Mapping[str, str]
    read_at: datetime
    listed: Sequence[FulfillmentOrder] = ()


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """What Purple Dot said already, and since `seen_at`: these orders, of these references and
    ids."""

    references: frozenset[str] = frozenset()
    order_ids: frozenset[str] = frozenset()
    orders: Sequence[FulfillmentOrder] = ()
    seen_at: datetime | None = None


NO_ANSWERS = KnownAnswers()


@dataclass(frozen=True, slots=True)
class Resolver:
    """`pattern` is what an order number of Purple Dot's looks like; None looks up every number."""

    database: Database
    purple_dot: PurpleDot
    pattern: re.Pattern[str] | None
    open_orders: OpenOrders = field(default_factory=OpenOrders)

    def names_orders(self, shipments: Sequence[Shipment]) -> bool:
        """Whether there is anything to `ask_ahead` for these."""
        want = self._wanted(shipments)
        return bool(want.order_ids or want.references)

    def ask_ahead(self, shipments: Sequence[Shipment]) -> KnownAnswers:
        """Purple Dot's orders that these name by themselves, before what stands behind them is
        known. Raises what the client raises."""
        want = self._wanted(shipments)
        cached = self._from_cache(want, shipments)
        orders, skipped = self._ask(
            want.order_ids,
            want.references,
            cached.orders,
            NO_ANSWERS,
            skus_by_id=self._skus_by_id(want, shipments),
            now=cached.read_at,
        )
        # An order that was found by its id need not be asked for by its number as well.
        found = {normalize_reference(order.reference) for order in orders}
        asked_ids = want.order_ids - skipped
        answered_ids = asked_ids | {order.id for order in [*orders, *cached.orders]}
        return KnownAnswers(
            want.references | found, frozenset(answered_ids), orders, cached.read_at
        )

    def find(
        self,
        shipments: Sequence[Shipment],
        *,
        linked_order_id: str | None = None,
        answers: KnownAnswers = NO_ANSWERS,
    ) -> OrderLookup:
        """Known → cached → one batched lookup → single ids that nothing else explains; without a
        call for what is in `answers`. Raises what the client raises."""
        want = self._wanted(shipments)
        decided_ids: set[str] = set()
        if linked_order_id is not None:
            want = replace(want, order_ids=want.order_ids | {linked_order_id})
            decided_ids.add(linked_order_id)
        cached = self._with_open_orders(want, self._from_cache(want, shipments))
        bound_ids = {order_id for ids in cached.bindings.values() for order_id in ids}
        decided_ids |= bound_ids | set(cached.links.values())
        order_ids = want.order_ids | decided_ids
        candidates = [*cached.orders, *cached.listed]
        if not (order_ids or want.references or candidates):
            return OrderLookup()
        skus_by_id = self._skus_by_id(want, shipments)
        for order_id in decided_ids:
            skus_by_id.pop(order_id, None)
        fresh, skipped = self._ask(
            order_ids,
            want.references,
            candidates,
            answers,
            skus_by_id=skus_by_id,
            now=cached.read_at,
        )
        # A cached order that Purple Dot does not know any more is no order of this parcel.
        orders = {order.id: order for order in fresh}
        missing_ids = frozenset(order_ids) - skipped - {order_id.lower() for order_id in orders}
        for order_id in missing_ids & skus_by_id.keys():
            skus = skus_by_id[order_id]
            self.open_orders.note_denied(order_id, skus, now=cached.read_at)
        return OrderLookup(
            orders=tuple(orders.values()),
            stored=tuple(cached.orders),
            fresh=tuple(fresh),
            bound=_bound(cached.bindings, orders),
            linked={
                key: orders[order_id]
                for key, order_id in cached.links.items()
                if order_id in orders
            },
            missing_ids=missing_ids,
            seen_at=min(cached.read_at, answers.seen_at or cached.read_at),
        )

    def _wanted(self, shipments: Sequence[Shipment]) -> Wanted:
        return _union(wanted(shipment, pattern=self.pattern) for shipment in shipments)

    def _skus_by_id(self, want: Wanted, shipments: Sequence[Shipment]) -> dict[str, frozenset[str]]:
        """The ids that these shipments hold, each with what is in its parcels."""
        skus_by_id: dict[str, frozenset[str]] = {}
        for shipment in shipments if want.order_ids else ():
            skus = frozenset(sku_key(item.bundle_sku or item.sku) for item in shipment.items)
            for order_id in wanted(shipment, pattern=self.pattern).order_ids:
                others = skus_by_id.get(order_id, frozenset())
                skus_by_id[order_id] = others | skus
        return skus_by_id

    def _from_cache(self, want: Wanted, shipments: Sequence[Shipment]) -> _Cached:
        shipstation_ids = {
            shipment.shipstation_shipment_id
            for shipment in shipments
            if shipment.shipstation_shipment_id
        }
        with self.database.read() as connection:
            read_at = self.database.now(connection)
            bindings = order_store.bindings(connection, shipstation_ids)
            links = parcels.linked_orders(connection, record_keys(shipments))
            bound_ids = {order_id for ids in bindings.values() for order_id in ids}
            orders = order_store.known(
                connection,
                order_ids=want.order_ids | bound_ids | set(links.values()),
                references=want.references,
                line_ids=want.line_ids,
            )
        return _Cached(orders, bindings, links, read_at)

    def _with_open_orders(self, want: Wanted, cached: _Cached) -> _Cached:
        """With the orders of lines that no cached order has, which is how a parcel of an order that
        was merged away still names it."""
        cached_ids = {line.id.lower() for order in cached.orders for line in order.lines}
        unknown = want.line_ids - cached_ids
        if not unknown:
            return cached
        orders = self.open_orders.with_lines(unknown, self.purple_dot, now=cached.read_at)
        return replace(cached, listed=orders)

    def _ask(
        self,
        order_ids: Iterable[str],
        references: Iterable[str],
        cached: Sequence[FulfillmentOrder],
        answers: KnownAnswers,
        *,
        skus_by_id: Mapping[str, frozenset[str]],
        now: datetime,
    ) -> tuple[list[FulfillmentOrder], set[str]]:
        """A cached order is asked for again, by its reference, in the same one call: its status may
        have changed. One that this answer leaves out is asked for by its id, as Purple Dot may have
        replaced it. Those of `skus_by_id` that are surely another system's are skipped, and are
        the second of what is returned."""
        numbers = {*references, *(normalize_reference(order.reference) for order in cached)}
        fresh = {order.id: order for order in answers.orders}
        if numbers - answers.references:
            by_reference = self.purple_dot.orders_by_reference(sorted(numbers - answers.references))
            fresh |= {order.id: order for order in by_reference}
        cached_ids = {order.id for order in cached}
        asked_ids = {*order_ids, *cached_ids} - fresh.keys() - answers.order_ids
        doubtful = {
            order_id: skus
            for order_id, skus in skus_by_id.items()
            if order_id in asked_ids and order_id not in cached_ids
        }
        worth_asking = self.open_orders.worth_asking(doubtful, self.purple_dot, now=now)
        skipped = doubtful.keys() - worth_asking
        for order_id in sorted(asked_ids - skipped):
            order = self._order(order_id, is_cached=order_id in cached_ids)
            if order is not None:
                fresh[order.id] = order
        return list(fresh.values()), skipped

    def _order(self, order_id: str, *, is_cached: bool) -> FulfillmentOrder | None:
        """None for another system's id of the same shape. How Purple Dot answers to one is not
        documented: a refusal counts as that where it lets us read other orders meanwhile, so that
        one parcel's odd id is not its neighbors' trouble."""
        try:
            return self.purple_dot.order(order_id)
        except NotFoundError:
            return None
        except PermanentError:
            if is_cached:
                raise
            self.purple_dot.sample()
            return None


def orders_named(purple_dot: PurpleDot, text: str) -> list[FulfillmentOrder]:
    """The orders with this id or reference as Purple Dot has them now; raises what the client
    raises."""
    if not is_uuid(text):
        return purple_dot.orders_by_reference([text])
    try:
        return [purple_dot.order(text)]
    except NotFoundError:
        return []


def _bound(
    bindings: Mapping[str, set[str]], orders: Mapping[str, FulfillmentOrder]
) -> dict[str, FulfillmentOrder]:
    """The one order of each ShipStation order whose deliveries all went to one."""
    bound: dict[str, FulfillmentOrder] = {}
    for shipstation_id, order_ids in bindings.items():
        order = orders.get(next(iter(order_ids)))
        if len(order_ids) == 1 and order is not None:
            bound[shipstation_id] = order
    return bound


def _union(wants: Iterable[Wanted]) -> Wanted:
    order_ids: set[str] = set()
    references: set[str] = set()
    line_ids: set[str] = set()
    for want in wants:
        order_ids |= want.order_ids
        references |= want.references
        line_ids |= want.line_ids
    return Wanted(frozenset(order_ids), frozenset(references), frozenset(line_ids))
