"""Receivers and workers in any number over one database, with no other word between them: as on
many machines, or several on one file."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from random import Random

from sqlalchemy import text

from bridge.simulator import Label
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from tests.support.balance import balance
from tests.support.stack import Json, Stack, free_port
from tests.support.waiting import wait_until

POST = "purple_dot.create_fulfillment"
SETTINGS = {"BRIDGE_CONFIRM_SCHEDULE": "500ms,1s,2s", "BRIDGE_LEASE_SECONDS": "2"}
THREADS = 4


def _parcels(stack: Stack, count: int) -> tuple[list[Label], list[Json]]:
    """Each of an order of its own, and the webhook that tells of it."""
    world = stack.world
    parcels = [
        world.buy_labels(world.add_shipstation_order(world.add_order()), batch=False)[0]
        for _ in range(count)
    ]
    return parcels, [
        world.label_created_v2(label) if place % 2 else world.ship_notify(label)
        for place, label in enumerate(parcels)
    ]


def _connections(stack: Stack) -> int:
    """Of everyone to this database, this test's own included; on SQLite there is no server to
    ask."""
    if stack.database.is_sqlite:
        return 0
    with stack.database.read() as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            ).scalar_one()
        )


def _wait_for_posts(stack: Stack, count: int) -> None:
    wait_until(lambda: stack.world.count(POST) >= count, 30, f"{count} fulfillments to be posted")


def _are_done(sent: list[Future[str]], count: int) -> bool:
    return sum(one.done() for one in sent) >= count


def _said(stack: Stack) -> str:
    """All that was logged, and all that stands on an event or an attempt."""
    rows = [str(stack.event(event["id"])) for event in stack.events()]
    return "\n".join([*(process.output() for process in stack.processes), *rows])


def _empty(stack: Stack) -> None:
    """As before the very first start: no table, and on SQLite not even a file."""
    migrate.downgrade(stack.database, "base")
    if stack.database.is_sqlite:
        stack.database.close()
        for path in stack.folder.glob("bridge.db*"):
            path.unlink()
        # One that has used the old file would notice that it was replaced.
        stack.database = Database(stack.database_url)


def test_three_workers_and_two_receivers_killed_at_random_and_in_the_end_one_each_for_good(
    stack: Stack,
) -> None:
    stack.settings = SETTINGS
    (parcels, bodies), doors, chance = (
        _parcels(stack, 60),
        (stack.port, free_port()),
        Random(20_261_122),
    )
    stack.simulator.inject(POST, "delay:0.05", count=None)
    receivers = [stack.start_receiver(workers=1, port=port) for port in doors]
    workers = [stack.start_worker() for _ in range(3)]
    most = 0

    with ThreadPoolExecutor(8) as senders:
        sent = [senders.submit(stack.send_until_accepted, body, *doors) for body in bodies]
        for posts in sorted(chance.sample(range(1, 35), 3)):
            _wait_for_posts(stack, posts)
            place = chance.randrange(3)
            workers[place].kill()
            workers[place] = stack.start("worker", "work")
        wait_until(partial(_are_done, sent, 20), 30, "webhooks to be accepted")
        receivers[0].kill()
        _wait_for_posts(stack, 40)
        workers[0].kill()
        most = max(most, _connections(stack))
    stack.settle(60)
    most = max(most, _connections(stack))

    assert {one.result() for one in sent} <= {event["id"] for event in stack.events()}
    numbers = [str(label.tracking_number) for label in parcels]
    assert balance(stack.world, stack.database, numbers).faults() == {}
    assert stack.world.count(POST) <= len(parcels) + 4 * THREADS, (
        "more was posted again than the killed ones had in hand"
    )
    # Each with its threads and six more at most; and this test's own.
    assert most <= len(receivers + workers) * (8 + 6) + 2
    assert "database is locked" not in _said(stack)


def test_migrations_and_processes_that_start_at_once_on_an_empty_database_meet_one_schema(
    stack: Stack,
) -> None:
    _empty(stack)

    together = [stack.start("migrate", "migrate") for _ in range(3)] + [
        stack.start("worker", "work")
    ]
    stack.start_both()
    wait_until(
        lambda: all(process.exit_code is not None for process in together[:3]),
        30,
        "the migrations to end",
    )
    wait_until(
        lambda: all(process.logged("worker_started") for process in together[3:]),
        30,
        "the worker to have begun",
    )

    assert [process.exit_code for process in together] == [0, 0, 0, None], [
        process.output() for process in together
    ]
    parcels, bodies = _parcels(stack, 2)
    stack.travel(*bodies)
    numbers = [str(label.tracking_number) for label in parcels]
    assert balance(stack.world, stack.database, numbers).faults() == {}
    assert "database is locked" not in _said(stack)
