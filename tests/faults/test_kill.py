"""Killed at any moment, frozen, started twice: nothing is lost, nothing is told twice, and who
waits for a person has a reason."""

import signal
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import pytest

from bridge.simulator import Label, PurpleDotOrder, Simulator, World
from tests.support.postgres import Server
from tests.support.stack import Json, Process, Stack
from tests.support.waiting import wait_until

POST = "purple_dot.create_fulfillment"
SHORT_LEASE = {"BRIDGE_LEASE_SECONDS": "1"}
CONFIRM_SLOWLY = {"BRIDGE_CONFIRM_SCHEDULE": "500ms,1s,2s"}
"""Longer than any POST of these tests is under way, as a merchant's schedule is: what has not
arrived by then never will."""


def _parcels(world: World, count: int) -> list[Label]:
    """So many orders, one label each; every fifth order goes out in part only."""
    parcels = []
    for number in range(count):
        order = world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)])
        items = [("ALDER-TEE-S", 1)] if number % 5 == 4 else None
        parcels += world.buy_labels(
            world.add_shipstation_order(order, items, style="id"), batch=False
        )
    return parcels


def _webhooks(world: World, parcels: Iterable[Label]) -> list[Json]:
    """On both APIs in turn."""
    return [
        world.label_created_v2(label) if place % 2 else world.ship_notify(label)
        for place, label in enumerate(parcels)
    ]


def _order_of(world: World, label: Label) -> PurpleDotOrder:
    return world.orders[str(label.order.external_shipment_id)]


def _assert_all_told_once(stack: Stack, parcels: Iterable[Label]) -> None:
    """Each parcel was told exactly once; a part whose answer was lost may be held for a person, and
    then at most once."""
    endings: Counter[str] = Counter()
    for label in parcels:
        order = _order_of(stack.world, label)
        [delivery] = stack.deliveries(order)
        told = len(stack.fulfillments(order))
        ending = delivery["reason"] or delivery["status"]
        is_part = len(delivery["line_items"]) == 1
        assert (ending, told) in {
            ("delivered", 1),
            *([("unconfirmed_partial", 0), ("unconfirmed_partial", 1)] if is_part else []),
        }
        endings[ending] += 1
    assert stack.world.count(POST) == len(stack.world.fulfillments), (
        "a second POST was sent, and refused"
    )
    # Only the few that were in flight can be in doubt.
    assert endings["unconfirmed_partial"] <= 8


def _delivered_by(worker: Process) -> int:
    return sum(line["status"] == "delivered" for line in worker.logged("delivery_moved"))


def _wait_for_posts(stack: Stack, count: int) -> None:
    wait_until(lambda: stack.world.count(POST) >= count, 20, f"{count} fulfillments to be posted")


def test_worker_killed_again_and_again_loses_nothing_and_tells_nothing_twice(stack: Stack) -> None:
    stack.settings = CONFIRM_SLOWLY
    chance, parcels = Random(20_260_401), _parcels(stack.world, 50)
    stack.simulator.inject(POST, "delay:0.03", count=None)
    stack.simulator.inject("shipstation.labels", "delay:0.01", count=None)
    stack.start_receiver(workers=1)
    for body in _webhooks(stack.world, parcels):
        stack.send(body)

    for moment in sorted(chance.sample(range(1, 45), 3)):
        worker = stack.start_worker()
        _wait_for_posts(stack, moment)
        wait_until(lambda: chance.random() < 0.3, 5, "a random moment")
        worker.kill()
    stack.start_worker()
    stack.settle()

    _assert_all_told_once(stack, parcels)


def test_receiver_killed_while_fifty_are_sent_loses_none_that_it_accepted(stack: Stack) -> None:
    parcels = _parcels(stack.world, 50)
    stack.start_worker()
    receiver = stack.start_receiver()

    with ThreadPoolExecutor(6) as senders:
        sent = [
            senders.submit(stack.send_until_accepted, body)
            for body in _webhooks(stack.world, parcels)
        ]
        for share in (10, 25):
            wait_until(partial(_are_done, sent, share), 20, f"{share} webhooks to be accepted")
            receiver.kill()
            receiver = stack.start_receiver()
    stack.settle()

    accepted = {one.result() for one in sent}
    assert accepted <= {event["id"] for event in stack.events()}
    assert all(event["status"] != "received" for event in stack.events())
    _assert_all_told_once(stack, parcels)


def _are_done(sent: list[Future[str]], count: int) -> bool:
    return sum(one.done() for one in sent) >= count


def test_work_of_a_killed_worker_is_taken_over_by_another_within_the_lease(stack: Stack) -> None:
    stack.settings = SHORT_LEASE | CONFIRM_SLOWLY
    parcels = _parcels(stack.world, 50)
    stack.simulator.inject(POST, "delay:0.1", count=None)
    workers = [stack.start_worker(), stack.start_worker()]
    stack.start_receiver(workers=1)
    for body in _webhooks(stack.world, parcels):
        stack.send(body)

    _wait_for_posts(stack, 15)
    workers[0].kill()
    stack.settle()

    names = [worker.logged("worker_started")[0]["worker"] for worker in workers]
    assert names == ["worker-1", "worker-2"]
    assert all(_delivered_by(worker) for worker in workers)
    _assert_all_told_once(stack, parcels)


def test_parcels_told_by_every_api_at_once_to_two_workers_are_told_on_once(stack: Stack) -> None:
    world, parcels = stack.world, _parcels(stack.world, 12)
    rows = [world.inline_row(label.order, str(label.tracking_number)) for label in parcels]
    bodies = [world.inline_fulfillments(rows)]
    for label in parcels:
        bodies += [
            world.label_created_v2(label),
            world.ship_notify(label),
            world.item_ship_notify(label),
        ]
    stack.start_receiver()
    stack.start_worker()
    stack.start_worker()

    with ThreadPoolExecutor(8) as senders:
        list(senders.map(stack.send, Random(1).sample(bodies * 2, len(bodies) * 2)))
    stack.settle()

    assert {event["status"] for event in stack.events()} <= {"processed", "ignored"}
    _assert_all_told_once(stack, parcels)
    assert len(stack.world.fulfillments) == 12


def test_restarted_worker_has_its_old_name_and_takes_its_work_back_at_once(stack: Stack) -> None:
    stack.settings = {"BRIDGE_LEASE_SECONDS": "600"} | CONFIRM_SLOWLY
    [label] = _parcels(stack.world, 1)
    stack.simulator.inject(POST, "delay:1.5")
    stack.start_receiver(workers=1)
    killed = stack.start_worker()
    stack.send(stack.world.label_created_v2(label))
    _wait_for_posts(stack, 1)

    killed.kill()
    restarted = stack.start_worker()
    stack.settle(10)

    assert restarted.logged("worker_started")[0]["worker"] == "worker-1"
    assert restarted.logged("claims_released")[0]["rows"] == 1
    _assert_all_told_once(stack, [label])


def test_worker_frozen_past_its_lease_finds_what_it_comes_back_with_refused(stack: Stack) -> None:
    stack.settings = {"BRIDGE_LEASE_SECONDS": "2", "BRIDGE_CONFIRM_SCHEDULE": "1s,4s,4s"}
    world, (posted, fetched) = stack.world, _parcels(stack.world, 2)
    stack.start_receiver(workers=1)
    frozen = stack.start_worker()
    for label, operation in ((posted, POST), (fetched, "shipstation.labels")):
        stack.simulator.inject(operation, "delay:4")
        stack.send(world.label_created_v2(label) if label is fetched else world.ship_notify(label))
        wait_until(partial(world.count, operation), 10, f"{operation} to be called")
    frozen.send(signal.SIGSTOP)

    stack.start_worker()
    stack.settle()
    before = stack.deliveries()
    frozen.send(signal.SIGCONT)
    wait_until(
        lambda: len(frozen.logged("lease_lost")) == 2,
        10,
        "the late outcome and the late decision to be refused",
    )

    assert stack.deliveries() == before
    assert [[attempt["outcome"] for attempt in one["attempt_history"]] for one in before] == [
        ["unconfirmed", "delivered"],
        ["delivered"],
    ]
    _assert_all_told_once(stack, [posted, fetched])


def test_sigterm_finishes_what_is_in_flight_and_once_drains_the_rest(stack: Stack) -> None:
    stack.settings = {"BRIDGE_LEASE_SECONDS": "600", "BRIDGE_WORKER_THREADS": "2"}
    parcels = _parcels(stack.world, 8)
    stack.simulator.inject(POST, "delay:1", count=None)
    stack.start_receiver(workers=1)
    worker = stack.start_worker()
    for body in _webhooks(stack.world, parcels):
        stack.send(body)
    _wait_for_posts(stack, 1)

    exit_code = worker.stop()

    assert (exit_code, len(worker.logged("worker_stopped"))) == (0, 1)
    assert _delivered_by(worker) == stack.world.count(POST) == len(stack.world.fulfillments) < 8
    stack.simulator.faults.clear()
    rest = stack.run_worker_once()
    assert (rest.exit_code, stack.left(), len(stack.world.fulfillments)) == (0, 0, 8)
    _assert_all_told_once(stack, parcels)


def _shut_down(server: Server) -> None:
    server.stop()
    server.start()


def _kill_all(server: Server) -> None:
    server.kill(*server.processes())
    server.start()


def _kill_newest(server: Server) -> None:
    """The server notices, ends all its other processes, and recovers by itself."""
    first, *others = server.processes()
    server.kill(others[-1])
    wait_until(
        lambda: not {*others} & {*server.processes()} and server.is_ready(),
        20,
        "PostgreSQL to have recovered",
    )
    assert server.processes()[0] == first


CRASHES = {
    "immediate shutdown": _shut_down,
    "kill -9 of all of it": _kill_all,
    "kill -9 of the newest connection": _kill_newest,
}


@pytest.mark.postgres
@pytest.mark.parametrize("crash", CRASHES)
def test_postgresql_that_crashes_under_load_loses_nothing(
    postgres_server: Server, tmp_path: Path, crash: str
) -> None:
    settings = SHORT_LEASE | CONFIRM_SLOWLY
    with (
        Simulator() as simulator,
        Stack(simulator, postgres_server.url("restarted"), tmp_path, settings) as stack,
    ):
        parcels = _parcels(stack.world, 50)
        simulator.inject(POST, "delay:0.05", count=None)
        stack.start_receiver(workers=1)
        stack.start_worker()
        with ThreadPoolExecutor(6) as senders:
            sent = [
                senders.submit(stack.send_until_accepted, body)
                for body in _webhooks(stack.world, parcels)
            ]
            _wait_for_posts(stack, 10)
            CRASHES[crash](postgres_server)
        assert {one.result() for one in sent} <= {event["id"] for event in stack.events()}
        stack.settle()

        _assert_all_told_once(stack, parcels)
    postgres_server.drop("restarted")
