"""What the replay tests share: stored events of a real journey, a run over some of them, and what
stands in the database."""

from typing import Any

from bridge.store import replays
from bridge.store.engine.database import Database
from bridge.store.queries import Query
from tests.support.rows import rows
from tests.support.virtual_bridge import Json, VirtualBridge

ALWAYS = 99
ONE_TEE = [("TEE", 1)]


def start(
    bridge: VirtualBridge, *ids: str, as_stored: bool = False, notify_customer: bool = False
) -> str:
    """A run of these events, begun."""
    with bridge.database.begin() as connection:
        told = {"chosen": {"ids": list(ids)}, "actor": "alice (shell)", "reason": "after the fix"}
        return replays.start(
            connection,
            ids,
            **told,
            as_stored=as_stored,
            notify_customer=notify_customer,
            now=bridge.clock.now,
        )  # type: ignore[arg-type]


def replay(bridge: VirtualBridge, *ids: str, **how: bool) -> Json:
    """A run to its end, its deliveries included."""
    run_id = start(bridge, *ids, **how)
    bridge.settle()
    return story(bridge.database, run_id)


def story(database: Database, run_id: str) -> Json:
    with Database.read(database) as connection:
        found = replays.run_story(connection, run_id)
    assert found is not None
    return found


def items(database: Database, run_id: str) -> list[Json]:
    with Database.read(database) as connection:
        return replays.items(connection, run_id, limit=1000)


def chosen(database: Database, **query: Any) -> list[str]:
    with Database.read(database) as connection:
        return [candidate.id for candidate in replays.candidates(connection, query=Query(**query))]


def everything(database: Database) -> dict[str, list[Any]]:
    """Every row that a rehearsal must leave as it was; the budgets of calls are spent by
    reading."""
    tables = (
        "events",
        "records",
        "deliveries",
        "delivery_lines",
        "attempts",
        "fulfillment_orders",
        "replays",
        "audit",
    )
    return {table: rows(database, table) for table in tables}


def foreign(bridge: VirtualBridge) -> tuple[str, Any, Any]:
    """A parcel of a pre-order whose ShipStation order doesn't say so: ignored. The event, the order
    on both sides."""
    order = bridge.world.add_order("PD900/1", ONE_TEE)
    shipment = bridge.world.add_shipstation_order(order, shipment_number="100482")
    [event_id] = bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    return event_id, order, shipment


def dead(bridge: VirtualBridge, count: int = 1) -> list[str]:
    """Events whose delivery Purple Dot refused: dead, never told."""
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422", count)
    told = [
        bridge.world.add_shipstation_order(bridge.world.add_order(lines=ONE_TEE))
        for _ in range(count)
    ]
    ids = bridge.travel(
        *(bridge.world.label_created_v2(bridge.world.buy_labels(one)) for one in told)
    )
    assert [one["status"] for one in bridge.deliveries()].count("dead") == count
    return ids


def delivered(bridge: VirtualBridge, **named: Any) -> tuple[str, Any]:
    order = bridge.world.add_order(lines=ONE_TEE)
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order, **named))
    [event_id] = bridge.travel(bridge.world.label_created_v2(label))
    return event_id, label
