"""Deliveries as stored: the mapping log, and the units that each takes. Every function works
inside the caller's transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    Connection,
    Row,
    String,
    bindparam,
    case,
    delete,
    insert,
    not_,
    null,
    or_,
    select,
    union,
    update,
)

from bridge.domain.actions import FulfilledLine, Tracking
from bridge.domain.deliveries import (
    MAY_STAND,
    Attempt,
    Claim,
    Delivery,
    Draft,
    begin,
    redecide,
    standing_of,
)
from bridge.domain.errors import TemporaryError
from bridge.domain.events import (
    CLAIMABLE,
    COMMITTED,
    DeliveryStatus,
    Lane,
    Trigger,
    check_arrow,
)
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentState
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.store import attempts, leases, parcels
from bridge.store.engine.ids import new_id
from bridge.store.engine.upsert import insert_once
from bridge.store.tables import (
    deliveries,
    delivery_lines,
    delivery_numbers,
    delivery_records,
    event_deliveries,
)

_SHIPMENT = TypeAdapter(Shipment)
_IDS = bindparam("ids", expanding=True, type_=String)
_OF_ORDERS = (
    select(deliveries).where(deliveries.c.fulfillment_order_id.in_(_IDS)).order_by(deliveries.c.id)
)
_OTHERS_OF_ORDER = select(deliveries).where(
    deliveries.c.fulfillment_order_id == bindparam("of_order"),
    deliveries.c.id != bindparam("of_delivery"),
)
_BY_IDENTITY = select(deliveries).where(deliveries.c.identity.in_(_IDS))
_BY_IDS = select(deliveries).where(deliveries.c.id.in_(_IDS)).order_by(deliveries.c.id)
_IDS_OF_PAGE = union(
    select(deliveries.c.id).where(
        deliveries.c.fulfillment_order_id.in_(bindparam("order_ids", expanding=True, type_=String))
    ),
    select(deliveries.c.id).where(
        deliveries.c.identity.in_(bindparam("identities", expanding=True, type_=String))
    ),
    select(delivery_records.c.delivery_id).where(
        delivery_records.c.record_key.in_(bindparam("record_keys", expanding=True, type_=String))
    ),
    select(delivery_numbers.c.delivery_id).where(
        delivery_numbers.c.number_key.in_(bindparam("number_keys", expanding=True, type_=String))
    ),
)
_LINES_OF = (
    select(delivery_lines)
    .where(delivery_lines.c.delivery_id.in_(_IDS))
    .order_by(delivery_lines.c.position)
)
_IS_VOID = deliveries.c.shipment["state"].as_string() == ShipmentState.VOIDED.value
_INTEND = leases.WRITE[deliveries.name].where(not_(_IS_VOID))
_DELIVERED = {
    "status": case((_IS_VOID, DeliveryStatus.HELD.value), else_=DeliveryStatus.DELIVERED.value),
    "reason": case((_IS_VOID, Reason.VOIDED_AFTER_DELIVERY.value), else_=null()),
}
"""What was sent while its label became void is an exception. The statement itself looks, so that a
void which is being noted at this moment is seen."""
_WRITE_DELIVERED = leases.WRITE[deliveries.name].values(_DELIVERED)
_EVENTS_OF = (
    select(event_deliveries.c.event_id)
    .where(event_deliveries.c.delivery_id == bindparam("of_delivery"))
    .order_by(event_deliveries.c.event_id)
)


_TO_BE_POSTED = select(
    deliveries.c.id,
    deliveries.c.fulfillment_order_id,
    deliveries.c.reference,
    deliveries.c.record_kind,
    deliveries.c.shipstation_record_id,
    deliveries.c.received_at,
    deliveries.c.label_seen_at,
).where(deliveries.c.lane == bindparam("of_lane"))
_CLAIMED = _TO_BE_POSTED.where(deliveries.c.status == DeliveryStatus.DELIVERING).limit(
    bindparam("most")
)
_DUE = (
    _TO_BE_POSTED.where(deliveries.c.due_at <= bindparam("due_by"))
    .order_by(deliveries.c.due_at)
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of a delivery that waits to be posted, what is needed to read its order and its record."""

    id: str
    fulfillment_order_id: str
    reference: str | None
    record_kind: str
    shipstation_record_id: str
    received_at: datetime
    label_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class New:
    """A delivery to be written: its draft, its id where it has one, and whoever claims it."""

    draft: Draft
    delivery_id: str | None = None
    claim: Claim | None = None


def create(
    connection: Connection,
    draft: Draft,
    *,
    now: datetime,
    claim: Claim | None = None,
    delivery_id: str | None = None,
) -> Delivery:
    """Write a new delivery with its lines, and return it. The identity is unique: the caller has
    looked under the order's lock."""
    [delivery] = create_many(connection, [New(draft, delivery_id, claim)], now=now)
    return delivery


def create_many(
    connection: Connection, new_deliveries: Sequence[New], *, now: datetime
) -> list[Delivery]:
    """The same for several at once, in as many statements as for one."""
    written: list[Delivery] = []
    rows: list[dict[str, Any]] = []
    for new in new_deliveries:
        delivery_id = new.delivery_id or new_id("dlv", now)
        delivery = begin(new.draft, delivery_id=delivery_id, now=now, claim=new.claim)
        values = _values(delivery, new.draft, now)
        values.update(
            id=delivery.id,
            created_at=now,
            received_at=new.draft.received_at,
            claims=delivery.claim,
            owner=None,
        )
        if new.claim is not None:
            values.update(owner=new.claim.owner, due_at=new.claim.until)
        rows.append(values)
        written.append(delivery)
    if rows:
        connection.execute(insert(deliveries), rows)
        _write_lines(connection, written)
        parcels.join(connection, [(delivery.id, delivery.shipment) for delivery in written])
    return written


def decide_again(
    connection: Connection, existing: Delivery, draft: Draft, *, now: datetime
) -> Delivery:
    """Decide an existing delivery anew: its order, lines and status are replaced, its attempts stay
    unless the search goes on or a replay gives it the whole schedule once more. A claim on it is
    over. Raises TemporaryError, and writes nothing, when a worker took it up, or a person closed
    it, since it was read."""
    delivery = redecide(existing, draft, now=now)
    check_arrow(existing.status, delivery.status)
    values: dict[str, Any] = {
        **_values(delivery, draft, now),
        "posting_at": None,
        "unclear_at": None,
        "redacted_at": None,
    }
    closed = {DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED} - {existing.status}
    unchanged = (
        deliveries.c.id == existing.id,
        deliveries.c.claims == existing.claim,
        deliveries.c.posting_at.is_(None),
        deliveries.c.status.not_in(closed),
    )
    written = connection.execute(update(deliveries).where(*unchanged).values(values))
    if written.rowcount != 1:
        raise TemporaryError(
            f"{existing.id} has just moved on; what is new about it is decided after that"
        )
    drop_lines(connection, existing.id)
    _write_lines(connection, [delivery])
    parcels.join(connection, [(existing.id, draft.shipment)])
    return delivery


def drop_lines(connection: Connection, delivery_id: str) -> None:
    """Give back what a delivery took of its order."""
    connection.execute(delete(delivery_lines).where(delivery_lines.c.delivery_id == delivery_id))


def _values(delivery: Delivery, draft: Draft, now: datetime) -> dict[str, Any]:
    """The columns that a decision writes."""
    shipment, tracking = delivery.shipment, delivery.tracking
    _, due_at = standing_of(draft, now)
    return {
        "identity": delivery.identity,
        "status": delivery.status,
        "reason": delivery.reason,
        "detail": draft.action.detail if draft.action else None,
        "lane": int(delivery.lane),
        "trigger": delivery.trigger,
        "record_kind": shipment.record_kind,
        "shipstation_record_id": shipment.record_id,
        "shipstation_shipment_id": shipment.shipstation_shipment_id,
        "order_number": shipment.order_number,
        "fulfillment_order_id": delivery.fulfillment_order_id,
        "reference": delivery.reference,
        "rule": delivery.rule,
        "carrier_code": shipment.carrier_code,
        "tracking_number": tracking.number if tracking else None,
        "tracking_company": tracking.company if tracking else None,
        "tracking_url": tracking.url if tracking else None,
        "all_tracking_numbers": list(shipment.all_tracking_numbers),
        "notify_customer": delivery.notify_customer,
        "shipment": _SHIPMENT.dump_python(shipment, mode="json"),
        "contents": [dict(item) for item in draft.contents],
        "left_out": draft.left_out,
        "due_at": due_at,
        "throttled_by": None,
        "owner": None,
        "attempts": delivery.attempts,
        "looks": 0,
        "order_seen_at": delivery.order_seen_at,
        "label_seen_at": delivery.label_seen_at,
        "updated_at": now,
    }


def _write_lines(connection: Connection, written: Iterable[Delivery]) -> None:
    rows: list[dict[str, Any]] = []
    for delivery in written:
        for position, line in enumerate(delivery.lines):
            rows.append(
                {
                    "delivery_id": delivery.id,
                    "line_item_id": line.id,
                    "fulfillment_order_id": delivery.fulfillment_order_id,
                    "position": position,
                    "sku": line.sku,
                    "quantity": line.quantity,
                }
            )
    if rows:
        connection.execute(insert(delivery_lines), rows)


def link_events(connection: Connection, linked: Mapping[str, Collection[str]]) -> None:
    """Remember which event led to which deliveries, by their ids; saying it twice is harmless."""
    rows = [
        {"event_id": event_id, "delivery_id": delivery_id}
        for event_id, delivery_ids in linked.items()
        for delivery_id in dict.fromkeys(delivery_ids)
    ]
    if rows:
        connection.execute(insert_once(connection.dialect.name, event_deliveries), rows)


def claim(
    connection: Connection, *, owner: str, limit: int, lease: timedelta, now: datetime
) -> list[Delivery]:
    """Take due deliveries."""
    rows = leases.claim(
        connection,
        deliveries,
        owner=owner,
        limit=limit,
        lease=lease,
        now=now,
        also={"status": DeliveryStatus.DELIVERING},
    )
    return load(connection, rows)


def waiting(
    connection: Connection, *, lane: Lane, due_by: datetime, first: str, limit: int
) -> list[Waiting]:
    """The deliveries of a lane with an order each, as they will be posted: the one named `first`,
    the others that a worker holds, then those that are due by then, by their time."""
    values = {"of_lane": int(lane), "most": limit}
    claimed = connection.execute(_CLAIMED, values).all()
    due = connection.execute(_DUE, {**values, "due_by": due_by}).all()
    by_id = {row.id: row for row in [*claimed, *due] if row.fulfillment_order_id is not None}
    to_be_posted = [Waiting(**row._mapping) for row in by_id.values()]
    return sorted(to_be_posted, key=lambda delivery: delivery.id != first)[:limit]


def intend(
    connection: Connection, delivery: Delivery, *, owner: str, now: datetime, lease: timedelta
) -> bool:
    """Commit, before the request leaves, that it will leave: a row found with this mark is never
    simply posted again. Fenced. False, and nothing written, where its label is known to be void."""
    values = {
        "posting_at": now,
        "unclear_at": None,
        "due_at": now + lease,
        "attempts": delivery.attempts + 1,
        "looks": 0,
    }
    outcome = leases.Outcome(delivery.id, delivery.claim, values)
    if leases.write_if(connection, _INTEND, outcome, owner=owner):
        return True
    leases.fence(
        connection, leases.DELIVERIES, row_id=delivery.id, owner=owner, claim=delivery.claim
    )
    return False


def record(
    connection: Connection,
    delivery: Delivery,
    *,
    owner: str,
    status: DeliveryStatus,
    now: datetime,
    attempt: Attempt | None = None,
    **values: Any,
) -> None:
    """Write where a try led, and the attempt itself. Fenced. `values` are further columns; a due
    time only for claimable statuses."""
    if status is DeliveryStatus.CANCELLED:
        _free_held_parcels(connection, delivery.fulfillment_order_id, now=now)
    is_delivered = status is DeliveryStatus.DELIVERED
    leases.write(
        connection,
        deliveries,
        row_id=delivery.id,
        owner=owner,
        claim=delivery.claim,
        values=_outcome(delivery, status, now, values),
        statement=_WRITE_DELIVERED if is_delivered else None,
    )
    if attempt is not None:
        attempts.add(connection, delivery.id, attempt)


def record_late(
    connection: Connection,
    delivery: Delivery,
    posting_at: datetime,
    *,
    status: DeliveryStatus,
    now: datetime,
    values: Mapping[str, Any],
) -> bool:
    """Write the definite answer to the request that was intended at `posting_at`, though another
    worker has taken the delivery over since. False, and nothing written, unless it still is what
    that request left unclear."""
    is_unclear = or_(
        deliveries.c.status.in_([DeliveryStatus.UNCONFIRMED, DeliveryStatus.DELIVERING]),
        deliveries.c.reason == Reason.UNCONFIRMED_PARTIAL,
    )
    changed = _outcome(delivery, status, now, values) | {"unclear_at": None, "looks": 0}
    if status is DeliveryStatus.DELIVERED:
        changed |= _DELIVERED
    settled = (
        update(deliveries)
        .where(deliveries.c.id == delivery.id, deliveries.c.posting_at == posting_at, is_unclear)
        .values(**changed, claims=deliveries.c.claims + 1)
    )
    return connection.execute(settled).rowcount == 1


def _outcome(
    delivery: Delivery, status: DeliveryStatus, now: datetime, values: Mapping[str, Any]
) -> dict[str, Any]:
    """What a row becomes; what is delivered sets its status and reason as `_DELIVERED` says."""
    check_arrow(delivery.status, status)
    changed: dict[str, Any] = {"due_at": None, **values, "owner": None, "updated_at": now}
    if status is not DeliveryStatus.DELIVERED:
        changed["status"] = status
        changed.setdefault("reason", None)
    return changed


def events_of(connection: Connection, delivery_id: str) -> list[str]:
    """The events that led to a delivery, the first one first."""
    return list(connection.execute(_EVENTS_OF, {"of_delivery": delivery_id}).scalars())


def of_orders(connection: Connection, order_ids: Collection[str]) -> dict[str, list[Delivery]]:
    """For each fulfillment order, the deliveries that count against what is left of it: all
    committed ones, and held ones whose fulfillment may stand in Purple Dot all the same, whatever
    they are held for."""
    grouped: dict[str, list[Delivery]] = {}
    of_orders = connection.execute(_OF_ORDERS, {"ids": list(order_ids)})
    rows = [row for row in of_orders if _counts(row)]
    for delivery in load(connection, rows):
        grouped.setdefault(str(delivery.fulfillment_order_id), []).append(delivery)
    return grouped


def others_of_order(connection: Connection, delivery: Delivery) -> list[Delivery]:
    """Of `of_orders`, those of the order of this delivery, without itself."""
    order = {"of_order": delivery.fulfillment_order_id, "of_delivery": delivery.id}
    rows = connection.execute(_OTHERS_OF_ORDER, order)
    return load(connection, [row for row in rows if _counts(row)])


def _counts(row: Row[Any]) -> bool:
    may_stand = row.status == DeliveryStatus.HELD and (
        row.posting_at is not None or row.reason in MAY_STAND
    )
    return row.status in COMMITTED or may_stand


def by_identity(connection: Connection, identities: Collection[str]) -> dict[str, Delivery]:
    """Existing deliveries of these identities."""
    rows = connection.execute(_BY_IDENTITY, {"ids": list(identities)}).all()
    return {delivery.identity: delivery for delivery in load(connection, rows)}


def by_record(
    connection: Connection, kind: str, record_ids: Collection[str]
) -> dict[str, list[Delivery]]:
    """Existing deliveries whose parcel these records of the vendor speak of, the oldest first."""
    pairs = parcels.deliveries_of_records(connection, kind, record_ids)
    by_id = {
        delivery.id: delivery
        for delivery in by_ids(connection, {delivery_id for delivery_id, _ in pairs})
    }
    grouped: dict[str, list[Delivery]] = {}
    for delivery_id, record_id in pairs:
        if delivery_id in by_id:
            grouped.setdefault(record_id, []).append(by_id[delivery_id])
    return grouped


def by_ids(connection: Connection, ids: Collection[str]) -> list[Delivery]:
    """The deliveries of these ids, the oldest first."""
    if not ids:
        return []
    return load(connection, connection.execute(_BY_IDS, {"ids": list(ids)}).all())


def of_page(
    connection: Connection,
    *,
    order_ids: Collection[str],
    identities: Collection[str],
    record_keys: Collection[str],
    number_keys: Collection[str],
) -> list[Delivery]:
    """Every delivery of these orders, and of every parcel that a record or a number of these speaks
    of, the oldest first."""
    keys = {
        "order_ids": list(order_ids),
        "identities": list(identities),
        "record_keys": list(record_keys),
        "number_keys": list(number_keys),
    }
    ids = list(connection.execute(_IDS_OF_PAGE, keys).scalars())
    return by_ids(connection, ids)


def by_tracking(
    connection: Connection, tracking_number: str, *, order_number: str | None
) -> list[Delivery]:
    """Existing deliveries with this number in any spelling, and with the order number where
    known."""
    query = (
        select(deliveries)
        .join_from(delivery_numbers, deliveries)
        .where(delivery_numbers.c.number_key == normalize_tracking(tracking_number))
        .order_by(deliveries.c.id)
    )
    if order_number is not None:
        query = query.where(deliveries.c.order_number == order_number)
    return load(connection, connection.execute(query).all())


def void(
    connection: Connection,
    delivery: Delivery,
    *,
    status: DeliveryStatus,
    reason: Reason | None,
    detail: str,
    now: datetime,
) -> bool:
    """Take a delivery that nobody holds back, since its label is void: cancel it, or hold it for a
    person. Its shipment says so from then on. False, and nothing written, when it has moved on."""
    check_arrow(delivery.status, status)
    shipment = _SHIPMENT.dump_python(
        replace(delivery.shipment, state=ShipmentState.VOIDED), mode="json"
    )
    values = {
        "status": status,
        "reason": reason,
        "detail": detail,
        "due_at": None,
        "owner": None,
        "updated_at": now,
        "shipment": shipment,
    }
    values["redacted_at"] = None
    unchanged = (
        deliveries.c.id == delivery.id,
        deliveries.c.status == delivery.status,
        deliveries.c.claims == delivery.claim,
    )
    if connection.execute(update(deliveries).where(*unchanged).values(values)).rowcount != 1:
        return False
    _free_held_parcels(connection, delivery.fulfillment_order_id, now=now)
    return True


def mark_voided(connection: Connection, delivery: Delivery) -> None:
    """Remember on a delivery that is being sent that its label is void by now: once sent, it
    becomes an exception; unsent, it never leaves. Raises TemporaryError, and writes nothing, when
    that came to its end since it was read."""
    shipment = _SHIPMENT.dump_python(
        replace(delivery.shipment, state=ShipmentState.VOIDED), mode="json"
    )
    being_told = (deliveries.c.id == delivery.id, deliveries.c.status.in_(CLAIMABLE))
    if (
        connection.execute(
            update(deliveries).where(*being_told).values(shipment=shipment, label_seen_at=None)
        ).rowcount
        != 1
    ):
        raise TemporaryError(
            f"{delivery.id} has just moved on; that its label is void is decided after that"
        )


def _free_held_parcels(
    connection: Connection, fulfillment_order_id: str | None, *, now: datetime
) -> None:
    """Units of this order came free: parcels that were held for want of them are decided anew."""
    wanting = deliveries.c.reason.in_([Reason.NOTHING_LEFT, Reason.OVER_QUANTITY])
    held = (
        deliveries.c.fulfillment_order_id == fulfillment_order_id,
        deliveries.c.status == DeliveryStatus.HELD,
        wanting,
    )
    again = {"status": DeliveryStatus.RETRYING, "due_at": now, "updated_at": now}
    connection.execute(
        update(deliveries).where(*held, deliveries.c.posting_at.is_(None)).values(again)
    )


def load(connection: Connection, rows: Sequence[Row[Any]]) -> list[Delivery]:
    """Rows as deliveries, with their lines."""
    ids = [row.id for row in rows]
    lines: dict[str, list[FulfilledLine]] = {}
    if ids:
        for row in connection.execute(_LINES_OF, {"ids": ids}):
            lines.setdefault(row.delivery_id, []).append(
                FulfilledLine(id=row.line_item_id, quantity=row.quantity, sku=row.sku)
            )
    return [_delivery(row, tuple(lines.get(row.id, ()))) for row in rows]


_AS_STORED = tuple({f.name for f in fields(Delivery)} & set(deliveries.c.keys()) - {"shipment"})


def _delivery(row: Row[Any], lines: tuple[FulfilledLine, ...]) -> Delivery:
    values = {name: getattr(row, name) for name in _AS_STORED} | {
        "status": DeliveryStatus(row.status),
        "reason": Reason(row.reason) if row.reason else None,
        "lane": Lane(row.lane),
        "trigger": Trigger(row.trigger),
        "claim": row.claims,
    }
    tracking = (
        Tracking(number=row.tracking_number, company=row.tracking_company, url=row.tracking_url)
        if row.tracking_number
        else None
    )
    return Delivery(
        **values, shipment=_SHIPMENT.validate_python(row.shipment), lines=lines, tracking=tracking
    )
