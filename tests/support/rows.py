"""What tests put into a database and read out of it: orders, parcels, claims, rows."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from bridge.domain.actions import FulfilledLine, Tracking
from bridge.domain.deliveries import Delivery
from bridge.domain.events import (
    DeliveryStatus,
    Event,
    EventOutcome,
    EventStatus,
    Lane,
    Record,
    Trigger,
)
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentItem, ShipmentState
from bridge.pipeline.create_deliveries import create_deliveries
from bridge.pipeline.retry import Schedules
from bridge.store import deliveries, events, tables
from bridge.store.engine.database import Database
from bridge.store.events import Arrival
from bridge.translate.carriers import Carriers
from bridge.translate.plans import Decision, OrderLookup, PageContext, Policy
from bridge.vendors.shipstation.payloads import record_of
from tests.support.fakes import Clock

ORDER_ID = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01"
URL = "https://ssapi.shipstation.com/shipments?batchId=7"
OTHER_ID = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a02"
SHAWL, CAP = OrderLine("line-shawl", 2, "SHAWL-RED"), OrderLine("line-cap", 1, "CAP-OAT")
LEASE = timedelta(seconds=60)
RETRY = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300))
CONFIRM = tuple(timedelta(seconds=seconds) for seconds in (15, 60))
SCHEDULES = Schedules(
    retry=RETRY, wait=tuple(timedelta(seconds=seconds) for seconds in (15, 60)), confirm=CONFIRM
)
POLICY = Policy(
    pattern=re.compile(r"^#?PD", re.IGNORECASE),
    carriers=Carriers(),
    notify_customer=False,
    hold=timedelta(0),
    retry_schedule=RETRY,
)


def an_order(
    *lines: OrderLine,
    id: str = ORDER_ID,
    reference: str = "#PD100",
    status: OrderStatus | None = OrderStatus.UNFULFILLED,
) -> FulfillmentOrder:
    return FulfillmentOrder(id, reference, status, lines or (SHAWL, CAP))


def units(quantity: int, sku: str | None = None, line: str | None = None) -> ShipmentItem:
    return ShipmentItem(quantity=quantity, sku=sku, line_item_id=line)


def a_parcel(
    *items: ShipmentItem,
    number: str | None = "1Z1",
    record: str = "501",
    reference: str = "PD100",
    **fields: Any,
) -> Shipment:
    """A V1 label with a reference of Purple Dot's on it."""
    parcel = Shipment(
        "v1_shipment",
        record,
        ShipmentState.SHIPPED,
        shipstation_shipment_id="480",
        order_number=reference,
        clues=(Clue(ClueKind.REFERENCE, "orderNumber", reference),),
        items=items or (units(2, "SHAWL-RED"), units(1, "CAP-OAT")),
        tracking_number=number,
        all_tracking_numbers=(number,) if number else (),
        carrier_code="ups",
    )
    return replace(parcel, **fields)


def put(
    database: Database,
    *shipments: Shipment,
    orders: tuple[FulfillmentOrder, ...] | None = None,
    policy: Policy = POLICY,
    **origin: Any,
) -> list[Decision]:
    """Place a page of shipments, with `orders` just read from Purple Dot."""
    fresh = (an_order(),) if orders is None else orders
    with database.begin() as connection:
        now = database.now(connection)
        lookup = OrderLookup(orders=fresh, fresh=fresh, seen_at=now)
        moments = {"received_at": now, "fetched_at": now, "now": now}
        context = PageContext(**({"lane": Lane.LIVE, "trigger": Trigger.LIVE} | moments | origin))
        plan = create_deliveries(connection, shipments, lookup, policy=policy, context=context)
        return list(plan.decisions)


def receive(
    database: Database,
    event_type: str = "SHIP_NOTIFY",
    *,
    resource_url: str | None = URL,
    body: bytes = b"{}",
    **fields: Any,
) -> tuple[str, bool]:
    """Let a notification in, as the door does."""
    with database.begin() as connection:
        arrival = Arrival(event_type, body, resource_url, **fields)
        return events.receive(connection, arrival, now=database.now(connection))


def claim_event(database: Database, owner: str = "worker-1") -> Event:
    [event] = claim_events(database, owner, limit=1)
    return event


def claim_events(database: Database, owner: str = "worker-1", *, limit: int = 10) -> list[Event]:
    with database.begin() as connection:
        return events.claim(
            connection, owner=owner, limit=limit, lease=LEASE, now=database.now(connection)
        )


def end_event(
    connection: Connection,
    event: Event,
    *,
    now: datetime,
    owner: str = "worker-1",
    status: EventStatus = EventStatus.PROCESSED,
    **fields: Any,
) -> None:
    """One try of an event is over."""
    outcome = EventOutcome(status, attempts=event.attempts, waits=event.waits, **fields)
    events.end(connection, [(event, outcome)], owner=owner, now=now)


def claim_delivery(database: Database, owner: str = "worker-1") -> Delivery:
    [delivery] = claim_deliveries(database, owner, limit=1)
    return delivery


def claim_deliveries(
    database: Database, owner: str = "worker-1", *, limit: int = 10
) -> list[Delivery]:
    with database.begin() as connection:
        return deliveries.claim(
            connection, owner=owner, limit=limit, lease=LEASE, now=database.now(connection)
        )


def record(
    database: Database,
    delivery: Delivery,
    status: DeliveryStatus,
    owner: str = "worker-1",
    **values: Any,
) -> None:
    """Write where a claimed delivery went, as the worker does."""
    with database.begin() as connection:
        deliveries.record(
            connection, delivery, owner=owner, status=status, now=database.now(connection), **values
        )


def deliver_next(database: Database) -> Delivery:
    """Claim what is due and let it have arrived."""
    delivery = claim_delivery(database)
    with database.begin() as connection:
        deliveries.intend(
            connection, delivery, owner="worker-1", now=database.now(connection), lease=LEASE
        )
    record(database, delivery, DeliveryStatus.DELIVERED, delivered_at=database.now())
    return delivery


def rows(database: Database, table: str = "deliveries") -> list[Any]:
    """All rows of a table, in the order they were written."""
    chosen = tables.metadata.tables[table]
    with Database.read(database) as connection:
        return list(connection.execute(select(chosen).order_by(chosen.c[0])).all())


def row(database: Database, row_id: str) -> Any:
    """The stored event or delivery of this id, column by column."""
    table = tables.events if row_id.startswith("evt_") else tables.deliveries
    with Database.read(database) as connection:
        return connection.execute(select(table).where(table.c.id == row_id)).one()


def due_in(database: Database, row_id: str) -> float | None:
    """Seconds until a row is due."""
    due: datetime | None = row(database, row_id).due_at
    return None if due is None else (due - database.now()).total_seconds()


def a_delivery(*lines: FulfilledLine, shipment: Shipment | None = None, **fields: Any) -> Delivery:
    """A claimed delivery of the whole order, whose label and order were read just now."""
    now = Clock().now
    given: dict[str, Any] = dict.fromkeys(
        ("reason", "rule", "linked_order_id", "posting_at", "unclear_at")
    )
    given |= {
        "id": "dlv_1",
        "identity": f"{ORDER_ID}:1Z1",
        "status": DeliveryStatus.DELIVERING,
        "lane": Lane.LIVE,
        "trigger": Trigger.LIVE,
    }
    given |= {
        "shipment": shipment or a_parcel(),
        "fulfillment_order_id": ORDER_ID,
        "reference": "#PD100",
        "notify_customer": False,
    }
    given |= {
        "lines": lines or (FulfilledLine("line-shawl", 2), FulfilledLine("line-cap", 1)),
        "tracking": Tracking("1Z1", "UPS", None),
    }
    given |= {"claim": 1, "attempts": 0, "looks": 0}
    given |= dict.fromkeys(("order_seen_at", "label_seen_at", "received_at", "created_at"), now)
    return Delivery(**(given | fields))


def v1_label(
    *,
    number: str = "1Z1",
    record: str = "501",
    voided: bool = False,
    reference: str = "PD100",
    **fields: Any,
) -> Record:
    """The record of a label with the whole order in it, as `a_parcel()` was made from."""
    items = [
        {"orderItemId": n, "sku": line.sku, "quantity": line.quantity}
        for n, line in enumerate((SHAWL, CAP))
    ]
    row = {
        "shipmentId": record,
        "orderId": "480",
        "orderNumber": reference,
        "trackingNumber": number,
        "carrierCode": "ups",
    }
    return record_of("v1_shipment", row | {"voided": voided, "shipmentItems": items} | fields)
