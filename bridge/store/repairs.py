"""Deliveries as a person names and changes them. Every function works inside the caller's
transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import RefusedError
from bridge.store.deliveries import load
from bridge.store.tables import deliveries

_MOST_FOUND = 20


def find(connection: Connection, text: str) -> list[Delivery]:
    """Deliveries whose id begins with `text`, or whose ShipStation shipment, record or tracking
    number it is."""
    has_id = deliveries.c.id.between(text, f"{text}\U0010ffff")
    has_number = deliveries.c.tracking_number == text
    named = has_id if text.startswith("dlv_") else has_number
    of_shipment = deliveries.c.shipstation_shipment_id == text
    of_record = deliveries.c.shipstation_record_id == text
    query = select(deliveries).where(named | of_shipment | of_record)
    rows = connection.execute(query.order_by(deliveries.c.id).limit(_MOST_FOUND)).all()
    return load(connection, rows)


def change(
    connection: Connection, delivery: Delivery, values: Mapping[str, Any], *, now: datetime
) -> None:
    """Write what a person decided, and end whatever claim there is. Raises RefusedError, and
    writes nothing, when the delivery changed since it was read."""
    as_read = (
        deliveries.c.id == delivery.id,
        deliveries.c.status == delivery.status,
        deliveries.c.claims == delivery.claim,
    )
    changed = {**values, "owner": None, "updated_at": now, "redacted_at": None}
    if connection.execute(update(deliveries).where(*as_read).values(changed)).rowcount != 1:
        raise RefusedError(f"{delivery.id} has just moved on; look at it again")
