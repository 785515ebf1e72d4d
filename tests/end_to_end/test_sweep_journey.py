"""Every webhook is lost, the worker sweeps by itself: through a real worker, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.simulator import Simulator, World
from bridge.store import shared_state, sweeps
from bridge.store.engine.database import Database
from tests.support.stack import Json, Stack
from tests.support.waiting import wait_until


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """ShipStation's clock is half an hour slow: what is shipped there no webhook will tell of any
    more."""
    world = World(now=lambda: datetime.now(UTC) - timedelta(minutes=30))
    with Simulator(world) as simulator, Stack(simulator, database_url, tmp_path) as stack:
        yield stack


def _last(stack: Stack) -> Json:
    with stack.database.read() as connection:
        return sweeps.last(connection) or {"id": 0}


def born_two_hours_ago(database: Database) -> None:
    """A new database sweeps nothing that is older than itself."""
    now = datetime.now(UTC)
    value = {"at": (now - timedelta(hours=2)).isoformat()}
    with database.begin() as connection:
        shared_state.put(connection, shared_state.SWEEPS_SINCE, value, now=now)


@pytest.mark.parametrize(
    "keys", [{}, {"BRIDGE_SHIPSTATION_API_KEY": ""}], ids=["both APIs", "V1 alone"]
)
def test_worker_makes_up_for_all_lost_webhooks_and_tells_each_parcel_once(
    stack: Stack, keys: dict[str, str]
) -> None:
    world = stack.world
    labeled, marked = [world.add_order() for _ in range(3)], [world.add_order() for _ in range(2)]
    labels = world.buy_labels([world.add_shipstation_order(order) for order in labeled])
    marks = [world.mark_shipped(world.add_shipstation_order(order)) for order in marked]
    world.buy_labels([world.add_shipstation_order(str(90_000 + n)) for n in range(20)])

    born_two_hours_ago(stack.database)

    stack.start_worker(BRIDGE_RECONCILE_EVERY="1s", **keys)
    wait_until(
        lambda: all(order.status == "FULFILLED" for order in world.known_orders),
        30,
        "all parcels to be told",
    )
    swept = _last(stack)["id"]
    wait_until(lambda: _last(stack)["id"] >= swept + 2, 30, "two more sweeps")
    stack.settle()

    numbers = sorted(
        str(body["fulfillment"]["tracking_info"]["number"]) for body in world.fulfillments
    )
    assert numbers == sorted(str(one.tracking_number) for one in (*labels, *marks))
    assert {event["source"] for event in stack.events()} == {"sweep"}
    with stack.database.read() as connection:
        assert sorted(count for count in sweeps.missed(connection).values() if count) == [2, 23]
