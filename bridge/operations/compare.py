"""COMPARED, by units: what left ShipStation and Purple Dot was never sent; what Purple Dot has and
we never sent; what waits there for long. Reads both sides, and writes only what it found."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import structlog

from bridge.domain.deliveries import Delivery
from bridge.domain.events import CLAIMABLE, EXCEPTIONS, DeliveryStatus, Lane
from bridge.domain.orders import FulfillmentOrder, OrderStatus, normalize_reference
from bridge.domain.shipments import Shipment, ShipmentState, api_family
from bridge.store import deliveries, orders, shared_state, sweeps
from bridge.store.engine.database import Connection, Database
from bridge.translate.contents import read_contents
from bridge.translate.matching import Wanted, match, wanted
from bridge.vendors.purple_dot.client import PurpleDot
from bridge.vendors.rate_limit import calls_in
from bridge.vendors.shipstation.event_types import EVENT_TYPES

log = structlog.get_logger(__name__)

TASK = "compare"
EVERY = timedelta(days=1)
LOOK_BACK = timedelta(days=7)
WAITS_LONG = timedelta(days=7)
_OPEN_LOOK_BACK = timedelta(days=60)
SETTLES = timedelta(hours=1)
"""So long Purple Dot may take to show what was posted."""
NOTHING_WANTED = Wanted(frozenset(), frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is so, and what a person does."""

    sentence: str
    next_step: str


MEANINGS = {
    "shipped_not_told": Meaning(
        "ShipStation shipped it, Purple Dot still waits for it, and nothing of ours is on the way.",
        "See `bridge explain EVENT`, correct the order in ShipStation if need be, then replay it.",
    ),
    "fulfilled_elsewhere": Meaning(
        "Purple Dot has the order as fulfilled, and not all of it by us.",
        "Find out who else posts fulfillments for this store.",
    ),
    "told_not_shown": Meaning(
        "We posted all of the order, and Purple Dot still shows it as unfulfilled.",
        "Open the order in Purple Dot: was a fulfillment taken back there?",
    ),
    "waits_long": Meaning(
        f"It has been ready at Purple Dot for more than {WAITS_LONG.days} days, and for some of its"
        " units no parcel is known.",
        "Look whether ShipStation has the order, and whether it names Purple Dot's reference or id:"
        " `bridge orders`.",
    ),
}
"""Of each kind of difference."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel that left, as an event reported it."""

    event_id: str
    shipment: Shipment


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is one of MEANINGS; `units` names what is concerned, where that is not the whole
    order."""

    what: str
    reference: str
    fulfillment_order_id: str
    tracking_number: str | None = None
    event_id: str | None = None
    units: str = ""

    def as_json(self) -> dict[str, Any]:
        meaning = MEANINGS[self.what]
        return asdict(self) | {"sentence": meaning.sentence, "next_step": meaning.next_step}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The worker's part: once a day, the last week. What it finds, alerts and pages read."""

    database: Database
    purple_dot: PurpleDot
    pattern: re.Pattern[str] | None

    def run(self, _stopping: object) -> None:
        """Raises what the client raises: it is tried again soon.

        What became ready before this database was born is not compared: somebody else shipped it.
        """
        with self.database.begin() as connection:
            now = self.database.now(connection)
            born = sweeps.born_at(connection, now=now)
        compared, differences = compare(
            self.database,
            self.purple_dot,
            pattern=self.pattern,
            since=max(now - LOOK_BACK, born),
            open_since=max(now - _OPEN_LOOK_BACK, born),
        )
        rows = [difference.as_json() for difference in differences]
        with self.database.begin() as connection:
            now = self.database.now(connection)
            shared_state.put(connection, shared_state.DIFFERENCES, {"found": rows}, now=now)
        log.info("compared", orders=compared, differences=len(differences))


def compare(
    database: Database,
    purple_dot: PurpleDot,
    *,
    pattern: re.Pattern[str] | None,
    since: datetime,
    open_since: datetime | None = None,
) -> tuple[int, list[Difference]]:
    """How many Purple Dot orders were looked at, and where the sides differ: the orders that became
    ready since, those we had to do with since, those that a parcel of that time names, and the
    open ones that became ready since `open_since` (the last weeks). Raises what the client
    raises."""
    with database.read() as connection:
        now = database.now(connection)
        parcels = [
            parcel
            for parcel in _parcels(sweeps.records_since(connection, since))
            if wanted(parcel.shipment, pattern=pattern) != NOTHING_WANTED
        ]
        references = {
            *sweeps.references_since(connection, since),
            *_references_of(connection, parcels, pattern),
        }
    with calls_in(Lane.SWEEP):
        named = list(purple_dot.orders_by_reference(references))
        first = open_since or now - _OPEN_LOOK_BACK
        ready = list(purple_dot.orders_created_since(min(since, first)))
    recent = {order.id: order for order in (*named, *_made_since(ready, since))}
    older = {order.id: order for order in ready if order.id not in recent}
    with database.read() as connection:
        ours = sweeps.all_of_orders(connection, [*recent, *older])
        undecided = _undecided(connection, parcels)
    decided = [parcel for parcel in parcels if parcel not in undecided]
    shipped = _by_order(decided, recent.values())
    differences = [
        *_never_sent(recent.values(), shipped, ours),
        *_of_orders(recent.values(), ours, now=now),
        *_waits_long([*recent.values(), *older.values()], ours, now=now),
    ]
    return len(recent) + len(older), differences


def _parcels(records: Iterable[sweeps.StoredRecord]) -> Iterator[Parcel]:
    """What left, by its newest event, where that is at its end. An event's records belong together:
    orders name what is in parcels."""
    newest: dict[tuple[str, str], Parcel | None] = {}
    for event_id, rows in groupby(records, key=lambda record: record.event_id):
        group = list(rows)
        event_type = EVENT_TYPES.get(group[0].event_type)
        if event_type is None:  # Of a type that we knew once.
            continue
        for shipment in event_type.translate([row.record for row in group]):
            is_at_its_end = not group[0].is_work and not shipment.problem
            parcel = Parcel(event_id, shipment) if is_at_its_end else None
            newest[shipment.record_kind, shipment.record_id] = parcel
    for parcel in newest.values():
        if parcel is not None and parcel.shipment.state is ShipmentState.SHIPPED:
            yield parcel


def _references_of(
    connection: Connection, parcels: Sequence[Parcel], pattern: re.Pattern[str] | None
) -> set[str]:
    """The references of all orders that these parcels may be of."""
    clues = [wanted(parcel.shipment, pattern=pattern) for parcel in parcels]
    order_ids = {order_id for clue in clues for order_id in clue.order_ids}
    line_ids = {line_id for clue in clues for line_id in clue.line_ids}
    known_orders = orders.known(connection, order_ids=order_ids, line_ids=line_ids)
    references = {order.reference for order in known_orders}
    for clue in clues:
        references |= clue.references
    return references


def _made_since(ready: Iterable[FulfillmentOrder], since: datetime) -> Iterator[FulfillmentOrder]:
    """An order that does not say when it became ready counts as new."""
    for order in ready:
        if order.created_at is None or order.created_at >= since:
            yield order


def _undecided(connection: Connection, parcels: Sequence[Parcel]) -> list[Parcel]:
    """Those whose order a person is asked for already."""
    undecided: list[Parcel] = []
    for parcel in parcels:
        shipment = parcel.shipment
        kind, record_id = shipment.record_kind, shipment.record_id
        same = deliveries.by_record(connection, kind, [record_id]).get(record_id, [])
        if not same and shipment.tracking_number is not None:
            same = deliveries.by_tracking(
                connection, shipment.tracking_number, order_number=shipment.order_number
            )
        if any(delivery.fulfillment_order_id is None for delivery in same):
            undecided.append(parcel)
    return undecided


def _by_order(
    parcels: Sequence[Parcel], orders: Iterable[FulfillmentOrder]
) -> dict[str, list[Parcel]]:
    """The parcels of each order, as far as they can be told apart."""
    by_name: dict[str, list[FulfillmentOrder]] = {}
    for order in orders:
        names = [order.id.lower(), normalize_reference(order.reference)]
        for name in (*names, *(line.id.lower() for line in order.lines)):
            by_name.setdefault(name, []).append(order)
    grouped: dict[str, list[Parcel]] = {}
    for parcel in parcels:
        clue = wanted(parcel.shipment, pattern=None)
        clues = clue.order_ids | clue.references | clue.line_ids
        pool = {order.id: order for name in clues for order in by_name.get(name, ())}
        matched = match(parcel.shipment, orders=list(pool.values()), bound=None, pattern=None)
        for each in matched if isinstance(matched, tuple) else ():
            grouped.setdefault(each.order.id, []).append(parcel)
    return grouped


def _never_sent(
    orders: Iterable[FulfillmentOrder],
    shipped: Mapping[str, Sequence[Parcel]],
    ours: Mapping[str, Sequence[Delivery]],
) -> Iterator[Difference]:
    """Orders of which more units left than any delivery of ours speaks of, whatever became of
    it."""
    for order in orders:
        parcels = shipped.get(order.id, ())
        if order.status is not OrderStatus.UNFULFILLED or not parcels:
            continue
        mine = ours.get(order.id, ())
        spoken_of = _spoken_of(mine, order)
        missing = _shipped_units(parcels, order) - spoken_of
        unread = [] if mine else [parcel for parcel in parcels if not _units(parcel, order)]
        if missing or unread:
            parcel = _first_without_delivery(parcels, mine)
            yield Difference(
                "shipped_not_told",
                order.reference,
                order.id,
                parcel.shipment.tracking_number,
                parcel.event_id,
                _format_units(order, missing),
            )


def _units(parcel: Parcel, order: FulfillmentOrder) -> Counter[str]:
    return _units_of(parcel.shipment, order)


def _units_of(shipment: Shipment, order: FulfillmentOrder) -> Counter[str]:
    """What of each line the parcel holds, where that is clear."""
    units = Counter[str]()
    for lines, quantity in read_contents(shipment.items, order).asks.items():
        units[lines[0].id] += quantity
    return units


def _shipped_units(parcels: Iterable[Parcel], order: FulfillmentOrder) -> Counter[str]:
    """Both APIs report one parcel: of each line, the units that the one saw which saw more."""
    by_family: dict[str, Counter[str]] = {}
    for parcel in parcels:
        family = api_family(parcel.shipment.record_kind)
        by_family.setdefault(family, Counter()).update(_units(parcel, order))
    units = Counter[str]()
    for of_family in by_family.values():
        units |= of_family
    return units


def _spoken_of(mine: Iterable[Delivery], order: FulfillmentOrder) -> Counter[str]:
    """The units that our deliveries took, or hold back for a person, or were closed with."""
    units = Counter[str]()
    for delivery in mine:
        of_lines = Counter({line.id: line.quantity for line in delivery.lines})
        units += of_lines | _units_of(delivery.shipment, order)
    return units


def _first_without_delivery(parcels: Sequence[Parcel], mine: Iterable[Delivery]) -> Parcel:
    records = {(each.shipment.record_kind, each.shipment.record_id) for each in mine}
    for parcel in parcels:
        if (parcel.shipment.record_kind, parcel.shipment.record_id) not in records:
            return parcel
    return parcels[-1]


def _of_orders(
    orders: Iterable[FulfillmentOrder], ours: Mapping[str, Sequence[Delivery]], *, now: datetime
) -> Iterator[Difference]:
    """Orders that Purple Dot shows otherwise than we left them."""
    for order in orders:
        mine = ours.get(order.id, ())
        delivered = _delivered(mine)
        # Of what is on its way, or waits for a person, somebody knows; of what a person closed
        # without lines, the lines are not known.
        is_open = _is_open(mine)
        if is_open or not all(delivery.lines for delivery in delivered):
            continue
        is_all = not _left(order, delivered)
        if order.status is OrderStatus.FULFILLED and not is_all:
            yield Difference("fulfilled_elsewhere", order.reference, order.id)
        if order.status is OrderStatus.UNFULFILLED and is_all and delivered:
            last = max(delivery.created_at for delivery in delivered)
            if now - last > SETTLES:
                yield Difference("told_not_shown", order.reference, order.id)


def _waits_long(
    orders: Iterable[FulfillmentOrder], ours: Mapping[str, Sequence[Delivery]], *, now: datetime
) -> Iterator[Difference]:
    """Open orders with units for which nothing of ours is on the way."""
    for order in orders:
        mine = ours.get(order.id, ())
        delivered = _delivered(mine)
        is_unknown = order.status is not OrderStatus.UNFULFILLED or order.created_at is None
        if is_unknown or _is_open(mine) or not all(delivery.lines for delivery in delivered):
            continue
        times = [delivery.created_at for delivery in delivered]
        last = max(times, default=order.created_at)
        left = _left(order, delivered)
        if left and last is not None and now - last > WAITS_LONG:
            units = _format_units(order, left) if delivered else ""
            yield Difference("waits_long", order.reference, order.id, units=units)


def _delivered(mine: Iterable[Delivery]) -> list[Delivery]:
    return [delivery for delivery in mine if delivery.status is DeliveryStatus.DELIVERED]


def _is_open(mine: Iterable[Delivery]) -> bool:
    return any(delivery.status in CLAIMABLE | EXCEPTIONS for delivery in mine)


def _left(order: FulfillmentOrder, delivered: Collection[Delivery]) -> Counter[str]:
    """The units of each line that were not delivered."""
    units = Counter({line.id: line.quantity for line in order.lines})
    for delivery in delivered:
        for line in delivery.lines:
            units[line.id] -= line.quantity
    return +units


def _format_units(order: FulfillmentOrder, units: Counter[str]) -> str:
    names = {line.id: line.sku or line.id for line in order.lines}
    return ", ".join(f"{count} x {names[line_id]}" for line_id, count in units.items())
