"""Waiting webhooks are processed together: few calls, one transaction, and each event ends as it
would alone, whatever becomes of its neighbors."""

from collections import Counter
from datetime import timedelta

import pytest

from bridge.simulator import Label, PurpleDotOrder
from bridge.store.tables import events
from bridge.worker.loop import BATCH_SIZE
from tests.support.virtual_bridge import OWNER, POINTS, VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]

SIZES = [1, 7, 64]


class Warehouse:
    """Labels bought one by one, each with a webhook of its own; every tenth is a pre-order."""

    def __init__(self, bridge: VirtualBridge) -> None:
        self.bridge = bridge
        self.orders: list[PurpleDotOrder] = []
        self.labels: list[Label] = []

    def ship(self, count: int) -> None:
        world = self.bridge.world
        for number in range(count):
            self.bridge.clock.advance(1)
            if number % 10 == 0:
                order = world.add_order(lines=[("TEE", 1), ("CAP", 2)])
                self.orders.append(order)
                at_shipstation = world.add_shipstation_order(order)
            else:
                at_shipstation = world.add_shipstation_order(f"SHOP-{1000 + number}", [("MUG", 1)])
            [label] = world.buy_labels(at_shipstation)
            self.labels.append(label)
            self.bridge.send(world.label_created_v2(label))

    def is_there_once(self) -> bool:
        """Whether Purple Dot has each parcel once, and nothing else."""
        counts = [len(self.bridge.accepted(order)) for order in self.orders]
        return set(counts) == {1} and len(self.bridge.accepted()) == len(self.orders)


def calls(bridge: VirtualBridge) -> Counter[str]:
    return Counter(system for system, *_ in bridge.world.calls)


@pytest.mark.parametrize("size", SIZES)
def test_each_event_of_a_backlog_ends_as_it_would_alone(bridge: VirtualBridge, size: int) -> None:
    bridge.batch_size = size
    warehouse = Warehouse(bridge)
    warehouse.ship(25)

    bridge.settle()

    assert warehouse.is_there_once()
    ends = Counter((event["status"], event["reason"]) for event in bridge.events())
    assert ends == {("processed", None): 3, ("ignored", "not_a_purple_dot_order"): 22}
    assert bridge.left_without_a_time() == []


def test_backlog_of_two_hundred_labels_takes_a_fifth_of_a_call_for_each(
    bridge: VirtualBridge,
) -> None:
    bridge.batch_size = BATCH_SIZE
    warehouse = Warehouse(bridge)
    warehouse.ship(200)
    bridge.world.calls.clear()

    bridge.settle()

    assert warehouse.is_there_once()
    made = calls(bridge)
    assert made["shipstation"] <= 0.2 * 200
    assert made["purple_dot"] <= 1.1 * len(warehouse.orders)


def test_batch_older_than_the_list_is_read_by_its_own_pointer(bridge: VirtualBridge) -> None:
    """Its label was bought hours before its webhook came."""
    bridge.batch_size = 64
    order = bridge.world.add_order(lines=[("TEE", 1)])
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    bridge.clock.advance(timedelta(hours=5).total_seconds())
    warehouse = Warehouse(bridge)
    warehouse.ship(12)
    bridge.send(bridge.world.label_created_v2(label))

    bridge.settle()

    assert len(bridge.accepted(order)) == 1


def test_parcels_of_one_batch_are_never_taken_apart(bridge: VirtualBridge) -> None:
    """A batch of three labels beside webhooks of single ones: all three are there, once."""
    bridge.batch_size = 64
    orders = [bridge.world.add_order(lines=[("TEE", 1)]) for _ in range(3)]
    labels = bridge.world.buy_labels([bridge.world.add_shipstation_order(o) for o in orders])
    Warehouse(bridge).ship(8)
    bridge.send(bridge.world.label_created_v2(labels[0]))

    bridge.settle()

    assert [len(bridge.accepted(order)) for order in orders] == [1, 1, 1]


@pytest.mark.parametrize("operation", ["shipstation.labels", "shipstation.shipments"])
def test_list_that_fails_leaves_each_event_to_its_own_pointer(
    bridge: VirtualBridge, operation: str
) -> None:
    bridge.batch_size = 64
    warehouse = Warehouse(bridge)
    warehouse.ship(12)
    bridge.simulator.inject(operation, "status:500", 1)

    bridge.settle()

    assert warehouse.is_there_once()


def test_lookup_that_fails_for_all_is_made_for_each(bridge: VirtualBridge) -> None:
    bridge.batch_size = 64
    warehouse = Warehouse(bridge)
    warehouse.ship(21)
    bridge.simulator.inject("purple_dot.orders", "status:500", 1)

    bridge.settle()

    assert warehouse.is_there_once()
    ignored = [event for event in bridge.events() if event["status"] == "ignored"]
    assert len(ignored) == 18


@pytest.mark.parametrize("operation", ["shipstation.labels", "purple_dot.orders"])
def test_batch_without_a_turn_comes_back_as_a_batch(bridge: VirtualBridge, operation: str) -> None:
    """One call for each of its events would take more turns yet."""
    bridge.batch_size = 64
    warehouse = Warehouse(bridge)
    warehouse.ship(21)
    bridge.world.calls.clear()
    bridge.simulator.inject(operation, "status:429", 1)

    bridge.settle()

    assert warehouse.is_there_once()
    assert {event["attempts"] for event in bridge.events()} == {0}
    made = calls(bridge)
    assert made["shipstation"] <= 6
    assert made["purple_dot"] <= len(warehouse.orders) + 3


def test_event_that_another_worker_took_over_keeps_no_neighbor(bridge: VirtualBridge) -> None:
    bridge.batch_size = 64
    warehouse = Warehouse(bridge)
    warehouse.ship(12)
    stolen: list[str] = []

    def steal() -> None:
        with bridge.database.begin() as connection:
            stolen.append(connection.execute(events.select().limit(1)).one().id)
            connection.execute(
                events.update()
                .where(events.c.id == stolen[0])
                .values(owner="worker-2", claims=events.c.claims + 1)
            )

    bridge.at("fetch", steal)
    bridge.step()

    waiting = [event["id"] for event in bridge.events() if event["status"] == "received"]
    assert waiting == stolen


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("point", POINTS)
def test_process_that_dies_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    bridge: VirtualBridge, point: str, size: int
) -> None:
    bridge.batch_size = size
    warehouse = Warehouse(bridge)
    warehouse.ship(11)
    bridge.dies_at = point

    bridge.work()
    bridge.restart()
    bridge.settle()

    assert Counter(event["status"] for event in bridge.events())["received"] == 0
    for order in warehouse.orders:
        assert len(bridge.accepted(order)) <= 1
    held = [row for row in bridge.deliveries() if row["status"] == "held"]
    assert len(bridge.accepted()) + len(held) >= len(warehouse.orders)
    assert {row["reason"] for row in held} <= {"unconfirmed_partial"}
    with bridge.database.read() as connection:
        assert connection.execute(events.select().where(events.c.owner == OWNER)).all() == []
