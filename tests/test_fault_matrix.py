"""`kill -9` at each named point, through processes, on both databases: whoever is started next loses nothing and tells nothing twice."""

import http.client
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bridge.simulator import Label, Simulator, World
from tests import saboteur
from tests.balance import assert_balanced
from tests.stack import Json, Process, Stack
from tests.waiting import wait_until

POST = "purple_dot.create_fulfillment"
SETTINGS = {"BRIDGE_CONFIRM_SCHEDULE": "200ms,500ms,1s", "BRIDGE_LEASE_SECONDS": "600"}
"""A lease that no test can wait for: a worker that is started again must take back what the dead one held."""


@pytest.fixture(scope="module")
def desk(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A receiver for all tests of the module; each starts workers of its own."""
    with Simulator() as simulator, Stack(simulator, module_database_url, tmp_path_factory.mktemp("desk"), SETTINGS) as stack:
        stack.start_receiver(workers=1)
        yield stack


def dying(point: str) -> Sequence[str]:
    return str(Path(saboteur.__file__)), "die-at", point


def parcels_of_all_kinds(world: World) -> list[Label]:
    """A whole order, a part of one, and one in two parcels that are told together."""
    whole, part, split = (world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)]) for _ in range(3))
    parcels = world.buy_labels(world.add_shipstation_order(whole))
    parcels += world.buy_labels(world.add_shipstation_order(part, [("ALDER-TEE-S", 1)]))
    return parcels + world.buy_labels(world.split(world.add_shipstation_order(split), [[("ALDER-TEE-S", 2)], [("ALDER-CAP", 1)]]))


def webhooks_of(world: World, parcels: Sequence[Label]) -> list[Json]:
    """One for each batch, on both APIs in turn."""
    batches = list({label.batch: label for label in parcels}.values())
    return [world.label_created_v2(label) if place % 2 else world.ship_notify(label) for place, label in enumerate(batches)]


def is_killed(process: Process) -> bool:
    return process.exit_code == -9


@pytest.mark.parametrize("point", saboteur.WORKER)
def test_worker_killed_at_a_named_point_loses_nothing_and_tells_nothing_twice(desk: Stack, point: str) -> None:
    world, parcels = desk.world, parcels_of_all_kinds(desk.world)
    for body in webhooks_of(world, parcels):
        desk.send(body)

    dead = desk.start_worker(program=dying(point))
    wait_until(lambda: is_killed(dead), 20, f"the worker to die: {point}")
    restarted = desk.start_worker()
    desk.settle()
    restarted.kill()

    numbers = [str(label.tracking_number) for label in parcels]
    assert_balanced(world, desk.database, numbers, may_be={"unconfirmed_partial"})
    assert world.count(POST) == len(world.fulfillments), "a second POST was sent, and refused"


@pytest.mark.parametrize("point", saboteur.RECEIVER)
def test_receiver_killed_at_a_named_point_keeps_what_it_answered_and_is_sent_the_rest_again(stack: Stack, point: str) -> None:
    world, parcels = stack.world, parcels_of_all_kinds(stack.world)
    bodies = webhooks_of(world, parcels)
    dead = stack.start_receiver(workers=1, program=dying(point))

    answered = stack.send(bodies[0]).event_id
    with pytest.raises((OSError, http.client.HTTPException)):
        stack.send(bodies[1])
    wait_until(lambda: is_killed(dead), 20, f"the receiver to die: {point}")
    stored = [event["id"] for event in stack.events()]
    stack.start_receiver(workers=1)
    for body in bodies[1:]:
        stack.send(body)
    stack.start_worker()
    stack.settle()

    assert answered in stored
    assert len(stored) == (2 if point == "stored but not answered" else 1)
    assert_balanced(world, stack.database, [str(label.tracking_number) for label in parcels])
    assert world.count(POST) == len(world.fulfillments) == len(parcels)
