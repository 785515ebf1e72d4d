"""What bursts and backlogs take of the vendors' limited calls, and how long they last, in virtual
time.

Nothing here depends on the machine, so each figure is one round.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Column, func, select

from bridge.domain.events import DeliveryStatus, Lane
from bridge.simulator import Label, PurpleDotOrder
from bridge.store import events as event_store
from bridge.store import leases
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.events import Arrival
from bridge.store.tables import deliveries, events
from bridge.worker.loop import BATCH_SIZE
from tests.benchmarks.figures import Figure
from tests.benchmarks.paced import (
    LIMITS,
    PURPLE_DOT_A_MINUTE,
    V1_A_MINUTE,
    V2_A_MINUTE,
    PacedBridge,
)
from tests.support.fakes import Clock

_WEBHOOKS = 200
_PRE_ORDER_EVERY = 10
_BACKLOG = 1000
_MOST_MOVES = 100_000
_TRICKLE_EVERY = timedelta(seconds=3)
_TRICKLE = 40
_ONE_UNIT = [("ALDER-TEE-S", 1)]


def measure(folder: Path) -> list[Figure]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    measured = (_burst_on_v2, _burst_on_v1, _all_pre_orders, _live_beside_a_sweep)
    figures: list[Figure] = []
    for number, measure_one in enumerate(measured):
        with _bridge(f"sqlite:///{folder / f'budgets-{number}.db'}") as bridge:
            figures += measure_one(bridge)
    return figures


def _bridge(url: str) -> PacedBridge:
    with closing(Database(url)) as database:
        migrate.upgrade(database)
    clock = Clock()
    bridge = PacedBridge(url, clock, database=Database(url, clock=clock), **LIMITS)
    bridge.batch_size = BATCH_SIZE
    return bridge


def _burst_on_v2(bridge: PacedBridge) -> list[Figure]:
    """Labels bought one by one, a webhook each, a tenth of them pre-orders."""
    pre_orders = _send_singly(bridge, bridge.world.label_created_v2)
    bridge.settle(most_moves=_MOST_MOVES)
    assert len(bridge.accepted()) == pre_orders
    return [
        _figure(
            f"{_WEBHOOKS} single V2 labels: ShipStation calls a webhook",
            "calls",
            "≤ 0.2",
            bridge.world.count("shipstation") / _WEBHOOKS,
        ),
        _figure(
            f"{_WEBHOOKS} single V2 labels: Purple Dot calls a pre-order",
            "calls",
            "≤ 1.1",
            bridge.world.count("purple_dot") / pre_orders,
        ),
    ]


def _burst_on_v1(bridge: PacedBridge) -> list[Figure]:
    """The same on V1, whose list can't be tied to a webhook."""
    pre_orders = _send_singly(bridge, bridge.world.ship_notify)
    began = bridge.clock.now
    bridge.settle(most_moves=_MOST_MOVES)
    assert len(bridge.accepted()) == pre_orders
    calls = bridge.world.count("shipstation_v1")
    minutes = max(_minutes_until(_last(bridge, events.c.processed_at), began), calls / V1_A_MINUTE)
    return [
        _figure(
            f"{_WEBHOOKS} single V1 labels: ShipStation calls a webhook",
            "calls",
            "≤ 1",
            calls / _WEBHOOKS,
        ),
        _figure(
            f"{_WEBHOOKS} single V1 labels: used of {V1_A_MINUTE} calls a minute",
            "ratio",
            "≥ 0.95",
            calls / minutes / V1_A_MINUTE,
        ),
        _figure(
            f"{_WEBHOOKS} single V1 labels: Purple Dot calls a pre-order",
            "calls",
            "≤ 1.1",
            bridge.world.count("purple_dot") / pre_orders,
        ),
    ]


def _all_pre_orders(bridge: PacedBridge) -> list[Figure]:
    """A backlog of single labels, each of a pre-order: the POSTs alone take the most time."""
    world = bridge.world
    for _ in range(_BACKLOG):
        _store(bridge, _label_of(bridge, world.add_order(lines=_ONE_UNIT)), Lane.LIVE)
    world.calls.clear()
    began = bridge.clock.now
    bridge.settle(most_moves=_MOST_MOVES)
    assert len(bridge.accepted()) == _BACKLOG
    minutes = _minutes_until(_last(bridge, deliveries.c.delivered_at), began)
    share = world.count("shipstation") / V2_A_MINUTE * 100
    return [
        _figure(
            f"{_BACKLOG} single labels waiting: time over that of their POSTs",
            "ratio",
            "≤ 1.15",
            minutes / (_BACKLOG / PURPLE_DOT_A_MINUTE),
        ),
        _figure(f"{_BACKLOG} single labels waiting: of one minute's V2 calls", "%", "≤ 5", share),
    ]


def _live_beside_a_sweep(bridge: PacedBridge) -> list[Figure]:
    """Parcels that a sweep found wait for Purple Dot while live ones come in now and then."""
    world, clock = bridge.world, bridge.clock
    for _ in range(_BACKLOG):
        _store(bridge, _label_of(bridge, world.add_order(lines=_ONE_UNIT)), Lane.SWEEP)
    live: list[PurpleDotOrder] = []
    for _ in range(_TRICKLE):
        _work_until(bridge, clock.now + _TRICKLE_EVERY)
        live.append(world.add_order(lines=_ONE_UNIT))
        _store(bridge, _label_of(bridge, live[-1]), Lane.LIVE)
    bridge.settle(most_moves=_MOST_MOVES)
    assert len(bridge.accepted()) == _BACKLOG + _TRICKLE
    waits = _waits_of(bridge, live)
    return [
        _figure(
            f"{_BACKLOG} swept parcels waiting: longest wait of a live one", "s", "< 5", max(waits)
        )
    ]


def _figure(what: str, unit: str, goal: str, value: float) -> Figure:
    return Figure(what, unit, goal, [value])


def _send_singly(bridge: PacedBridge, webhook_of: Callable[[list[Label]], dict[str, str]]) -> int:
    """How many of them are pre-orders."""
    world = bridge.world
    for number in range(_WEBHOOKS):
        is_pre_order = number % _PRE_ORDER_EVERY == 0
        order = world.add_order(lines=_ONE_UNIT) if is_pre_order else str(100_000 + number)
        bridge.send(webhook_of(world.buy_labels(world.add_shipstation_order(order))))
    world.calls.clear()
    return _WEBHOOKS // _PRE_ORDER_EVERY


def _label_of(bridge: PacedBridge, order: PurpleDotOrder) -> dict[str, str]:
    world = bridge.world
    labels = world.buy_labels(world.add_shipstation_order(order))
    webhook: dict[str, str] = world.label_created_v2(labels)
    return webhook


def _store(bridge: PacedBridge, webhook: dict[str, str], lane: Lane) -> None:
    bridge.clock.advance(0.001)
    body = bridge.simulator.webhook(webhook, now=bridge.clock.now)[0]
    url = webhook["resource_url"]
    arrival = Arrival(webhook["resource_type"], body, url, lane=lane)
    with bridge.database.begin() as connection:
        event_store.receive(connection, arrival, now=bridge.clock.now)


def _work_until(bridge: PacedBridge, until: datetime) -> None:
    """What is due, and what becomes due, until then."""
    while bridge.clock.now < until:
        if bridge.step():
            bridge.clock.advance(0.001)
            continue
        with bridge.database.read() as connection:
            due = leases.next_due(connection)
        bridge.clock.now = max(bridge.clock.now, min(due or until, until))


def _last(bridge: PacedBridge, moment: Column[datetime]) -> datetime:
    with bridge.database.read() as connection:
        last: datetime = connection.execute(select(func.max(moment))).scalar_one()
    return last


def _minutes_until(end: datetime, began: datetime) -> float:
    return (end - began).total_seconds() / 60


def _waits_of(bridge: PacedBridge, orders: list[PurpleDotOrder]) -> list[float]:
    """Seconds from each one's webhook until Purple Dot's yes was recorded."""
    ids = [order.id for order in orders]
    chosen = select(deliveries.c.received_at, deliveries.c.delivered_at).where(
        deliveries.c.fulfillment_order_id.in_(ids),
        deliveries.c.status == DeliveryStatus.DELIVERED,
    )
    with bridge.database.read() as connection:
        rows = connection.execute(chosen).all()
    assert len(rows) == len(orders)
    return [(row.delivered_at - row.received_at).total_seconds() for row in rows]
