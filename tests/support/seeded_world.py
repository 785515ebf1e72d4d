"""A week of a merchant in one SQLite file, with the simulator that it belongs to: 700 webhooks,
each reason of the closed list, one mass failure, and the longest texts. Made in seconds by the
real pipeline, in virtual time that ends an hour ago."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog

from bridge.simulator import PurpleDotOrder, Simulator, World
from bridge.simulator.fulfillment_book import utc_now
from bridge.store import rate_limits, reports
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.vendors.http import SYSTEMS
from tests.support.fakes import Clock
from tests.support.reason_stories import STORIES, ambiguous
from tests.support.virtual_bridge import Json, VirtualBridge

WEBHOOKS = 700
MASS_FAILURE = 240
YESTERDAY, TODAY = 24, 12
"""Webhooks of parcels that were delivered a day ago, and an hour ago."""

_DAYS = 6
_LABELS_A_BATCH = 10
_ORDINARY = ("TEE-OAT-M", 1), ("CAP-SAND", 2)
LONG = "EXTRA-LONG-LINEN-OVERSHIRT-WITH-A-NAME-THAT-DOES-NOT-END-IN-ECRU-XXL-2026-PREORDER"
LONG_ORDER, FORTY_LINES = f"PD{'9' * 40}-{LONG}/1", "PD4040404/1"
"""Orders whose pages have the longest texts, and the most of them."""

_ALWAYS = None
_SCHEDULES = {"BRIDGE_RETRY_SCHEDULE": "10s"}


@contextmanager
def seeded_world(folder: Path) -> Iterator[tuple[Simulator, Path]]:
    """The simulator, served, and the database's file."""
    clock = Clock(utc_now() - timedelta(days=_DAYS))
    file = folder / "bridge.db"
    url = f"sqlite:///{file}"
    database = Database(url, clock=clock)
    migrate.upgrade(database)
    with VirtualBridge(url, clock, database=database, **_SCHEDULES) as bridge:
        with structlog.testing.capture_logs():
            _live_through_the_week(bridge)
        _lift_limits(database)
        bridge.world.now = utc_now
        yield bridge.simulator, file


def _live_through_the_week(bridge: VirtualBridge) -> None:
    _go_to(bridge, days_ago=_DAYS)
    bridge.batch_size = 50
    bridge.travel(*(_delivered(bridge.world) for _ in range(60)))
    _go_to(bridge, days_ago=5)
    bridge.batch_size = 1
    for told in STORIES.values():
        for tell in told:
            tell(bridge)
            bridge.simulator.faults.clear()
    for _ in range(3):
        ambiguous(bridge)
    _tell_the_longest(bridge)
    bridge.batch_size = 50
    _go_to(bridge, days_ago=3)
    _refuse_the_key(bridge)
    _go_to(bridge, days_ago=2)
    others = WEBHOOKS - YESTERDAY - TODAY - _count(bridge)
    bridge.travel(*(_foreign(bridge.world) for _ in range(others)))
    _go_to(bridge, days_ago=1)
    bridge.travel(*(_delivered(bridge.world) for _ in range(YESTERDAY)))
    _go_to(bridge, days_ago=1 / 24)
    bridge.travel(*(_delivered(bridge.world) for _ in range(TODAY)))


def _go_to(bridge: VirtualBridge, *, days_ago: float) -> None:
    """Never backwards: what was waited for may have taken longer."""
    moment = utc_now() - timedelta(days=days_ago)
    assert bridge.clock.now <= moment
    bridge.clock.now = moment


def _count(bridge: VirtualBridge) -> int:
    with bridge.database.read() as connection:
        return sum(reports.count_events(connection).values())


def _delivered(world: World) -> Json:
    return world.label_created_v2(world.buy_labels(world.add_shipstation_order(_order(world))))


def _foreign(world: World) -> Json:
    number = str(100_000 + len(world.shipstation_orders))
    return world.ship_notify(world.buy_labels(world.add_shipstation_order(number)))


def _order(world: World) -> PurpleDotOrder:
    return world.add_order(lines=_ORDINARY)


def _refuse_the_key(bridge: VirtualBridge) -> None:
    """Purple Dot's key was changed, and nobody told the bridge."""
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:401", _ALWAYS)
    world = bridge.world
    for _ in range(MASS_FAILURE // _LABELS_A_BATCH):
        orders = [world.add_shipstation_order(_order(world)) for _ in range(_LABELS_A_BATCH)]
        bridge.send(world.label_created_v2(world.buy_labels(orders)))
    bridge.settle()
    bridge.simulator.faults.clear()


def _tell_the_longest(bridge: VirtualBridge) -> None:
    """An order of forty lines, and a parcel whose every text is long and fits nothing."""
    world = bridge.world
    many = world.add_order(FORTY_LINES, [(f"{LONG}-{number}", 2) for number in range(40)])
    odd = world.add_order(LONG_ORDER, [(LONG, 999_999)])
    parcels = [
        world.buy_labels(world.add_shipstation_order(many)),
        world.buy_labels(
            world.add_shipstation_order(odd, [(f"{LONG}-{'X' * 60}", 999_999)], style="id"),
            tracking=f"1Z{'8' * 60}",
        ),
    ]
    bridge.travel(*(world.label_created_v2(labels) for labels in parcels))


def _lift_limits(database: Database) -> None:
    """What the vendors were made to do must not make anybody wait."""
    with database.begin() as connection:
        for system in SYSTEMS:
            rate_limits.lift(connection, system, now=database.now(connection))
