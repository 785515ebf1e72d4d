"""How many calls of the vendors' limited number a burst of single labels takes, in virtual time.

Nothing here depends on the machine, so each figure is one round.
"""

from pathlib import Path

import structlog

from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from tests.benchmarks.figures import Figure
from tests.support.fakes import Clock
from tests.support.virtual_bridge import VirtualBridge

_WEBHOOKS = 200
_PRE_ORDER_EVERY = 10
_BATCH = 64


def measure(folder: Path) -> list[Figure]:
    """200 labels bought one by one, a webhook each, a tenth of them pre-orders."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    url = f"sqlite:///{folder / 'budgets.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    with VirtualBridge(url, Clock()) as bridge:
        bridge.batch_size = _BATCH
        pre_orders = _send_singly(bridge)
        bridge.settle()
        webhook = bridge.world.count("shipstation") / _WEBHOOKS
        parcel = bridge.world.count("purple_dot") / pre_orders
        assert len(bridge.accepted()) == pre_orders
    what = f"{_WEBHOOKS} single V2 labels"
    return [
        Figure(f"{what}: ShipStation calls a webhook", "calls", "≤ 0.2", [webhook]),
        Figure(f"{what}: Purple Dot calls a pre-order", "calls", "≤ 1.1", [parcel]),
    ]


def _send_singly(bridge: VirtualBridge) -> int:
    """How many of them are pre-orders."""
    world = bridge.world
    for number in range(_WEBHOOKS):
        is_pre_order = number % _PRE_ORDER_EVERY == 0
        order = world.add_order() if is_pre_order else str(100_000 + number)
        labels = world.buy_labels(world.add_shipstation_order(order))
        bridge.send(world.label_created_v2(labels))
    world.calls.clear()
    return _WEBHOOKS // _PRE_ORDER_EVERY
