"""COMPARED: what left ShipStation and Purple Dot doesn't have; what Purple Dot has and we never
told. Reads both sides, writes nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import PayloadError
from bridge.domain.events import CLAIMABLE, EXCEPTIONS, DeliveryStatus, Lane
from bridge.domain.orders import FulfillmentOrder, OrderStatus, normalize_reference
from bridge.domain.shipments import Shipment, ShipmentState
from bridge.settings import Settings
from bridge.store import deliveries, orders, sweeps
from bridge.store.engine.database import Connection, Database
from bridge.translate.matching import Wanted, match, wanted
from bridge.vendors.purple_dot.client import PurpleDot
from bridge.vendors.rate_limit import calls_in
from bridge.vendors.shipstation.event_types import EVENT_TYPES

WHAT = {
    "shipped_not_told": ("ShipStation shipped it, Purple Dot still waits for it, and nothing of ours is on the way.",
                         "See `bridge explain EVENT`, correct the order in ShipStation if need be, then tell it once more."),
    "fulfilled_elsewhere": ("Purple Dot has the order as fulfilled, and not all of it by us.",
                            "Find out who else posts fulfillments for this store."),
    "told_not_shown": ("We told all of the order, and Purple Dot still shows it as unfulfilled.",
                       "Open the order in Purple Dot: was a fulfillment taken back there?"),
}  # fmt: skip
"""Each difference: what is so, and what a person does."""
NOTHING = Wanted(frozenset(), frozenset(), frozenset())
SETTLES = timedelta(hours=1)
"""So long Purple Dot may take to show what it was told."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel that left, as an event told of it."""

    event_id: str
    shipment: Shipment


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is one of WHAT."""

    what: str
    reference: str
    fulfillment_order_id: str
    tracking_number: str | None = None
    event_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        sentence, next_step = WHAT[self.what]
        return asdict(self) | {"sentence": sentence, "next_step": next_step}


def compare(
    database: Database, purple_dot: PurpleDot, settings: Settings, *, since: datetime
) -> tuple[int, list[Difference]]:
    """How many Purple Dot orders were looked at, and where the sides differ: the orders that became
    ready since, those we had to do with since, and those that a parcel of that time names. Raises
    what the client raises."""
    pattern = settings.reference_pattern
    with database.read() as connection:
        now = database.now(connection)
        told = [
            one
            for one in _parcels(sweeps.told_since(connection, since))
            if wanted(one.shipment, pattern=pattern) != NOTHING
        ]
        untold = list(_untold(connection, told))
        wants = [wanted(parcel.shipment, pattern=pattern) for parcel in untold]
        ids, line_ids = (
            {one for want in wants for one in want.order_ids},
            {one for want in wants for one in want.line_ids},
        )
        known = orders.known(connection, order_ids=ids, line_ids=line_ids)
        references = {
            *sweeps.references_since(connection, since),
            *(order.reference for order in known),
        }
    references |= {reference for want in wants for reference in want.references}
    with calls_in(Lane.SWEEP):
        there = {
            order.id: order
            for order in (
                *purple_dot.orders_by_reference(references),
                *purple_dot.orders_created_since(since),
            )
        }
    with database.read() as connection:
        ours = sweeps.all_of_orders(connection, there)
    return len(there), [
        *_shipped(untold, there.values()),
        *_orders_told(there.values(), ours, now=now),
    ]


def _parcels(told: Iterable[sweeps.Told]) -> Iterator[Parcel]:
    """What left, by its newest event, where that is at its end. An event's records belong together:
    orders name what is in parcels."""
    newest: dict[tuple[str, str], Parcel | None] = {}
    for event_id, rows in groupby(told, key=lambda one: one.event_id):
        group = list(rows)
        try:
            shipments = EVENT_TYPES[group[0].event_type].translate([one.record for one in group])
        except (PayloadError, KeyError):  # Redacted, or of a type that we knew once.
            continue
        newest |= {
            (one.record_kind, one.record_id): None if group[0].is_work else Parcel(event_id, one)
            for one in shipments
        }
    return (
        parcel
        for parcel in newest.values()
        if parcel is not None and parcel.shipment.state is ShipmentState.SHIPPED
    )


def _untold(connection: Connection, parcels: Iterable[Parcel]) -> Iterator[Parcel]:
    """Those for which we never had a delivery, whatever became of it."""
    for parcel in parcels:
        told = parcel.shipment
        if not deliveries.by_record(connection, told.record_kind, [told.record_id]):
            number = told.tracking_number
            if number is None or not deliveries.by_tracking(connection, number, order_number=None):
                yield parcel


def _shipped(untold: Sequence[Parcel], there: Iterable[FulfillmentOrder]) -> Iterator[Difference]:
    by_name: dict[str, list[FulfillmentOrder]] = {}
    for order in there:
        for name in (
            order.id.lower(),
            normalize_reference(order.reference),
            *(line.id.lower() for line in order.lines),
        ):
            by_name.setdefault(name, []).append(order)
    for parcel in untold:
        want = wanted(parcel.shipment, pattern=None)
        pool = {
            order.id: order
            for name in want.order_ids | want.references | want.line_ids
            for order in by_name.get(name, ())
        }
        matched = match(parcel.shipment, orders=list(pool.values()), bound=None, pattern=None)
        for order in [one.order for one in matched] if isinstance(matched, tuple) else ():
            if order.status is OrderStatus.UNFULFILLED:
                yield Difference(
                    "shipped_not_told",
                    order.reference,
                    order.id,
                    parcel.shipment.tracking_number,
                    parcel.event_id,
                )


def _orders_told(
    there: Iterable[FulfillmentOrder], ours: Mapping[str, Sequence[Delivery]], *, now: datetime
) -> Iterator[Difference]:
    for order in there:
        mine = ours.get(order.id, ())
        delivered = [one for one in mine if one.status is DeliveryStatus.DELIVERED]
        if any(one.status in CLAIMABLE | EXCEPTIONS for one in mine) or not all(
            one.lines for one in delivered
        ):
            continue  # It is on its way; or a person hears of it already, or has closed it.
        units = sum(
            (Counter({line.id: line.quantity}) for one in delivered for line in one.lines),
            Counter[str](),
        )
        is_all = all(units[line.id] >= line.quantity for line in order.lines)
        if order.status is OrderStatus.FULFILLED and not is_all:
            yield Difference("fulfilled_elsewhere", order.reference, order.id)
        if (
            order.status is OrderStatus.UNFULFILLED
            and is_all
            and delivered
            and now - max(one.created_at for one in delivered) > SETTLES
        ):
            yield Difference("told_not_shown", order.reference, order.id)
