"""Which of the vendor's records, and which numbers, speak of the parcel of which delivery. Every
function works inside the caller's transaction."""

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    String,
    bindparam,
    select,
)

from bridge.domain.parcels import Parcel, RecordRef, numbers_of, record_of_shipment
from bridge.domain.shipments import Shipment
from bridge.store.engine.upsert import insert_on_conflict, insert_once
from bridge.store.tables import (
    deliveries,
    delivery_numbers,
    delivery_records,
)

_IDS = bindparam("ids", expanding=True, type_=String)
_RECORDS_OF = select(delivery_records).where(delivery_records.c.delivery_id.in_(_IDS))
_NUMBERS_OF = select(delivery_numbers).where(delivery_numbers.c.delivery_id.in_(_IDS))
_IDS_OF_RECORDS = select(delivery_records.c.delivery_id, delivery_records.c.record_id).where(
    delivery_records.c.record_kind == bindparam("kind"),
    delivery_records.c.record_key.in_(bindparam("keys", expanding=True, type_=String)),
)
_LINKED = (
    select(delivery_records.c.record_key, deliveries.c.linked_order_id)
    .join_from(delivery_records, deliveries)
    .where(
        delivery_records.c.record_key.in_(_IDS),
        deliveries.c.linked_order_id.is_not(None),
        deliveries.c.superseded_by.is_(None),
    )
    .order_by(deliveries.c.id)
)


def join(connection: Connection, joined: Iterable[tuple[str, Shipment]]) -> None:
    """Remember that the record of a shipment speaks of the parcel of the delivery with this id, and
    its numbers; saying it twice is harmless."""
    records: list[dict[str, Any]] = []
    numbers: list[dict[str, Any]] = []
    for delivery_id, shipment in joined:
        record = record_of_shipment(shipment)
        records.append(
            {
                "delivery_id": delivery_id,
                "record_kind": record.kind,
                "record_id": record.record_id,
                "record_key": record.key,
                "order_id": record.order_id,
                "order_key": record.order_key,
            }
        )
        keys = sorted(numbers_of(shipment))
        numbers += [{"delivery_id": delivery_id, "number_key": key} for key in keys]
    dialect = connection.dialect.name
    connection.execute(_join_record(dialect), records)
    if numbers:
        connection.execute(insert_once(dialect, delivery_numbers), numbers)


@cache
def _join_record(dialect: str) -> Executable:
    statement = insert_on_conflict(dialect, delivery_records)
    newest = {name: statement.excluded[name] for name in ("order_id", "order_key")}
    return statement.on_conflict_do_update(
        index_elements=["delivery_id", "record_kind", "record_id"], set_=newest
    )


def of_deliveries(connection: Connection, delivery_ids: Collection[str]) -> dict[str, Parcel]:
    """For each delivery, the records that spoke of its parcel, and its numbers."""
    if not delivery_ids:
        return {}
    ids = {"ids": list(delivery_ids)}
    records: dict[str, list[RecordRef]] = {}
    for row in connection.execute(_RECORDS_OF, ids):
        record = RecordRef(row.record_kind, row.record_id, row.order_id)
        records.setdefault(row.delivery_id, []).append(record)
    numbers: dict[str, set[str]] = {}
    for row in connection.execute(_NUMBERS_OF, ids):
        numbers.setdefault(row.delivery_id, set()).add(row.number_key)
    return {
        delivery_id: Parcel(
            tuple(records.get(delivery_id, ())), frozenset(numbers.get(delivery_id, ()))
        )
        for delivery_id in delivery_ids
    }


def deliveries_of_records(
    connection: Connection, kind: str, record_ids: Collection[str]
) -> list[tuple[str, str]]:
    """The id of each delivery whose parcel one of these records speaks of, and that record's id;
    the oldest delivery first."""
    keys = {RecordRef(kind, record_id).key for record_id in record_ids}
    rows = connection.execute(_IDS_OF_RECORDS, {"kind": kind, "keys": list(keys)})
    pairs = [(row.delivery_id, row.record_id) for row in rows if row.record_id in record_ids]
    return sorted(pairs)


def linked_orders(connection: Connection, record_keys: Collection[str]) -> dict[str, str]:
    """The fulfillment order that a person chose for each record, by the record's key; the newest
    choice counts."""
    rows = connection.execute(_LINKED, {"ids": list(record_keys)}) if record_keys else ()
    return {row.record_key: row.linked_order_id for row in rows}
