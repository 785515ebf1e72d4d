"""Writes what `translate.placement` plans for a page of shipments: locks their orders, reads the
snapshot, plans, writes. The second time is harmless."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import groupby

from bridge.domain.errors import TemporaryError
from bridge.domain.parcels import numbers_of, record_keys
from bridge.domain.shipments import Shipment
from bridge.store import deliveries, orders, parcels, restores
from bridge.store.engine.database import Connection
from bridge.store.engine.ids import new_id
from bridge.translate.matching import Unmatched
from bridge.translate.placement import identities_of, match_of, plan_pages
from bridge.translate.plans import (
    Change,
    ClaimAllowance,
    Create,
    Join,
    NoteVoided,
    OrderLookup,
    Page,
    PageContext,
    Plan,
    Policy,
    Redecide,
    Snapshot,
)


def create_deliveries(
    connection: Connection,
    shipments: Sequence[Shipment],
    lookup: OrderLookup,
    *,
    policy: Policy,
    context: PageContext,
) -> Plan:
    """Decide every shipment of a page, inside the caller's transaction, and write what follows.
    Raises TemporaryError, and the transaction must be rolled back, when a delivery has moved on
    since it was read."""
    [planned] = create_deliveries_of_pages(
        connection, [Page(shipments, context)], lookup, policy=policy
    )
    return planned


def create_deliveries_of_pages(
    connection: Connection,
    pages: Sequence[Page],
    lookup: OrderLookup,
    *,
    policy: Policy,
    allowance: ClaimAllowance | None = None,
) -> list[Plan]:
    """The same for the pages of several events at once: one lock, one snapshot, a plan for each."""
    now = pages[0].context.now
    lock_orders(connection, lookup, now=now)
    plans = plan_pages(
        pages,
        lookup,
        read_snapshot(connection, pages, lookup, policy=policy),
        policy=policy,
        new_id=partial(new_id, "dlv", now),
        allowance=allowance,
    )
    changes = [change for planned in plans for change in planned.changes]
    for is_new, alike in groupby(changes, key=_is_plainly_new):
        if is_new:
            _write_new(connection, [change for change in alike if isinstance(change, Create)], now)
            continue
        for change in alike:
            _write(connection, change, now=now)
    return plans


def _is_plainly_new(change: Change) -> bool:
    return isinstance(change, Create) and not change.is_doubtful


def _write_new(connection: Connection, changes: Sequence[Create], now: datetime) -> None:
    new = [deliveries.New(change.draft, change.delivery.id, change.claim) for change in changes]
    deliveries.create_many(connection, new, now=now)


def lock_orders(connection: Connection, lookup: OrderLookup, *, now: datetime) -> None:
    """Keep what was read of the orders, and lock them. Whoever changes deliveries as well does this
    first: in another order of locks, two workers would wait for each other in a ring."""
    orders.remember(
        connection,
        lookup.fresh,
        now=lookup.seen_at or now,
        stored=lookup.stored,
        hold=[order.id for order in lookup.orders],
    )


def read_snapshot(
    connection: Connection, pages: Sequence[Page], lookup: OrderLookup, *, policy: Policy
) -> Snapshot:
    """What the database holds about these shipments and the orders that they may belong to."""
    identities: set[str] = set()
    number_keys: set[str] = set()
    shipments: list[Shipment] = []
    for page in pages:
        shipments += page.shipments
        for shipment in page.shipments:
            matches = match_of(shipment, lookup, policy=policy, context=page.context)
            order_ids: list[str | None] = [None]
            if not isinstance(matches, Unmatched):
                order_ids += [matched.order.id for matched in matches]
            identities.update(identities_of(shipment, order_ids))
            number_keys |= numbers_of(shipment)
    existing = deliveries.of_page(
        connection,
        order_ids=[order.id for order in lookup.orders],
        identities=identities,
        record_keys=record_keys(shipments),
        number_keys=number_keys,
    )
    return Snapshot(
        deliveries=tuple(existing),
        parcels=parcels.of_deliveries(connection, [delivery.id for delivery in existing]),
        restored_at=restores.last(connection) if shipments else None,
    )


def _write(connection: Connection, change: Change, *, now: datetime) -> None:
    if isinstance(change, Create):  # In doubt: what is plainly new was written with others.
        written = deliveries.create(
            connection, change.draft, now=now, delivery_id=change.delivery.id
        )
        restores.mark_unclear(connection, written, now=now)
    elif isinstance(change, Redecide):
        written = deliveries.decide_again(connection, change.existing, change.draft, now=now)
        if change.is_doubtful:
            restores.mark_unclear(connection, written, now=now)
    elif isinstance(change, Join):
        parcels.join(connection, [(change.existing.id, change.shipment)])
    elif isinstance(change, NoteVoided):
        deliveries.mark_voided(connection, change.existing)
    else:
        is_written = deliveries.void(
            connection,
            change.existing,
            status=change.status,
            reason=change.reason,
            detail=change.detail,
            now=now,
        )
        if not is_written:
            raise TemporaryError(
                f"{change.existing.id} has just moved on; "
                "that its label is void is decided after that"
            )
