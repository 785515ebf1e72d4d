"""`kill -9` at each named point, through processes, on both databases: whoever is started next
loses nothing and tells nothing twice."""

import http.client
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from bridge.simulator import Label, World
from tests.support import crash_points
from tests.support.balance import balance
from tests.support.stack import Json, Process, Stack
from tests.support.waiting import wait_until

POST = "purple_dot.create_fulfillment"
SETTINGS = {"BRIDGE_CONFIRM_SCHEDULE": "200ms,500ms,1s", "BRIDGE_LEASE_SECONDS": "600"}
"""A lease that no test can wait for: a worker that is started again must take back what the dead
one held."""


def dying(point: str) -> Sequence[str]:
    return str(Path(crash_points.__file__)), "die-at", point


def parcels_of_all_kinds(world: World) -> list[Label]:
    """A whole order, a part of one, and one in two parcels that are told together."""
    whole, part, split = (
        world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)]) for _ in range(3)
    )
    parcels = world.buy_labels(world.add_shipstation_order(whole))
    parcels += world.buy_labels(world.add_shipstation_order(part, [("ALDER-TEE-S", 1)]))
    return parcels + world.buy_labels(
        world.split(world.add_shipstation_order(split), [[("ALDER-TEE-S", 2)], [("ALDER-CAP", 1)]])
    )


def webhooks_of(world: World, parcels: Sequence[Label]) -> list[Json]:
    """One for each batch, on both APIs in turn."""
    batches = list({label.batch: label for label in parcels}.values())
    return [
        world.label_created_v2(label) if place % 2 else world.ship_notify(label)
        for place, label in enumerate(batches)
    ]


def is_killed(process: Process) -> bool:
    return process.exit_code == -9


def numbers_of(parcels: Sequence[Label]) -> list[str]:
    return [str(label.tracking_number) for label in parcels]


def test_worker_killed_at_each_named_point_loses_nothing_and_tells_nothing_twice(
    stack: Stack,
) -> None:
    """A life for each point; each takes back at once what the one before it held, as no test could
    wait for the lease."""
    stack.settings = SETTINGS
    world, parcels = stack.world, []
    stack.start_receiver(workers=1)
    for point in crash_points.WORKER:
        told = parcels_of_all_kinds(world)
        for body in webhooks_of(world, told):
            stack.send(body)
        parcels += told
        dead = stack.start("worker", "work", program=dying(point))
        wait_until(partial(is_killed, dead), 30, f"the worker to die: {point}")
    last = stack.start_worker()
    stack.settle(60)

    assert last.logged("claims_released")
    came_to = balance(world, stack.database, numbers_of(parcels))
    assert came_to.faults(may_be={"unconfirmed_partial"}) == {}
    assert len(came_to.excepted) <= len(crash_points.WORKER), (
        "more is in doubt than the parts that were in flight"
    )
    assert world.count(POST) == len(world.fulfillments), "a second POST was sent, and refused"


def test_receiver_killed_at_each_named_point_keeps_what_it_answered_and_is_sent_the_rest_again(
    stack: Stack,
) -> None:
    world = stack.world
    parcels = [label for _ in crash_points.RECEIVER for label in parcels_of_all_kinds(world)]
    bodies, answered, unanswered = webhooks_of(world, parcels), set(), []
    for point in crash_points.RECEIVER:
        dead = stack.start_receiver(workers=1, program=dying(point))
        answered.add(stack.send(bodies.pop()).event_id)
        stored = {event["id"] for event in stack.events()}
        with pytest.raises((OSError, http.client.HTTPException)):
            stack.send(bodies[-1])
        unanswered.append(bodies.pop())
        wait_until(partial(is_killed, dead), 30, f"the receiver to die: {point}")
        assert (len(stack.events()) > len(stored)) == (point == "stored but not answered")
    stack.start_receiver(workers=1)
    for body in bodies + unanswered:
        stack.send(body)
    stack.start_worker()
    stack.settle(60)

    assert answered <= {event["id"] for event in stack.events()}
    assert balance(world, stack.database, numbers_of(parcels)).faults() == {}
    assert world.count(POST) == len(world.fulfillments) == len(parcels)
