"""What one worker carries to Purple Dot: split labels, two parcels each, in fulfillments beside
plain POSTs; and how many calls it takes."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import requests

from bridge.simulator import Simulator, World
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.engine.wakeup import announce
from bridge.store.events import Arrival, receive
from tests.benchmarks import servers
from tests.benchmarks.figures import Figure
from tests.support.waiting import wait_until

_SPLIT = [[("ALDER-TEE-S", 1)], [("ALDER-CAP", 1)]]
_ROUNDS = 5
_WEBHOOKS = 150
_POSTS = 400
_TICKS = os.sysconf("SC_CLK_TCK")


class TimedCalls(list[tuple[str, str]]):
    """The simulator's list of calls, which remembers when the last one came."""

    last = 0.0

    def append(self, call: tuple[str, str]) -> None:
        self.last = time.perf_counter()
        super().append(call)


def measure(folder: Path) -> list[Figure]:
    """On SQLite, budgets off; the worker runs already when the webhooks come, all at once."""
    rate = Figure("fulfillments posted, one worker / plain POSTs", "per s", "0.24")
    cpu = Figure("worker's CPU for a webhook of two parcels", "ms", "3.5 with receiver")
    with Simulator() as simulator:
        url = new_database(f"sqlite:///{folder}/worker.db")
        with servers.worker(simulator, url, folder) as pid:
            for turn in range(_ROUNDS + 1):
                base = plain_posts_per_second(simulator, _POSTS)
                spent = cpu_seconds(pid)
                webhooks, _ = webhooks_and_calls_per_second(simulator, url, _WEBHOOKS)
                if turn:  # The first round warms up.
                    rate.baseline.append(base)
                    rate.ours.append(2 * webhooks)
                    cpu.ours.append((cpu_seconds(pid) - spent) * 1000 / _WEBHOOKS)
    return [rate, cpu, *_counted(folder)]


def _counted(folder: Path) -> list[Figure]:
    """How many calls a batch of fifty labels takes, and one label alone."""
    batch = Figure("calls to ShipStation for a batch of 50 labels", "calls", "4")
    each = Figure("calls to Purple Dot for each fulfillment of it", "calls", "1.04")
    one = Figure("calls for one label, both vendors", "calls", "4")
    with Simulator() as simulator:
        world, url = simulator.world, new_database(f"sqlite:///{folder}/counted.db")
        with servers.worker(simulator, url, folder):
            for size in (50, 1):
                orders = [world.add_shipstation_order(world.add_order()) for _ in range(size)]
                before, told = len(world.calls), len(world.fulfillments)
                store(simulator, url, [world.label_created_v2(world.buy_labels(orders))])
                wait_until(
                    lambda told=told, size=size: len(world.fulfillments) >= told + size,
                    seconds=60,
                    what="the batch to be told",
                )
                systems = [system for system, _operation in world.calls[before:]]
                ours = systems.count("purple_dot")
                if size == 1:
                    one.ours.append(len(systems))
                else:
                    batch.ours.append(len(systems) - ours)
                    each.ours.append(ours / size)
    return [batch, each, one]


def webhooks_and_calls_per_second(
    simulator: Simulator, url: str, count: int
) -> tuple[float, float]:
    """From the moment the webhooks are stored until the last fulfillment was asked for."""
    world = simulator.world
    forget(world)
    bodies = split_labels(world, count)
    world.calls = calls = TimedCalls(world.calls)
    before, told = len(calls), len(world.fulfillments)
    store(simulator, url, bodies)
    begin = time.perf_counter()
    wait_until(
        lambda: len(world.fulfillments) >= told + 2 * count,
        seconds=120,
        what="all parcels to be told",
    )
    seconds = calls.last - begin
    return count / seconds, (len(calls) - before) / seconds


def forget(world: World) -> None:
    """The simulator looks through all that it has, and would be slower at each round."""
    for things in (world.shipstation_orders, world.labels, world.orders):
        things.clear()


def split_labels(world: World, count: int) -> list[dict[str, str]]:
    """Webhooks, each of the two labels of a split order."""
    bodies = []
    for _ in range(count):
        order = world.add_shipstation_order(
            world.add_order(lines=[("ALDER-TEE-S", 1), ("ALDER-CAP", 1)])
        )
        bodies.append(world.label_created_v2(world.buy_labels(world.split(order, _SPLIT))))
    return bodies


def store(simulator: Simulator, url: str, bodies: Sequence[dict[str, str]]) -> None:
    """All webhooks at once, as if the receiver had stored them."""
    database = Database(url)
    arrivals: Iterable[Arrival] = [
        Arrival(body["resource_type"], simulator.webhook(body)[0], body["resource_url"])
        for body in bodies
    ]
    with database.begin() as connection:
        for arrival in arrivals:
            receive(connection, arrival, now=database.now(connection))
        announce(connection)
    database.close()


def new_database(url: str) -> str:
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    return url


def plain_posts_per_second(simulator: Simulator, posts: int) -> float:
    """One thread, one session, no environment: what `requests` itself can do when it posts
    fulfillments to the same server."""
    order = simulator.world.add_order(lines=[("ALDER-TEE-S", posts)])
    lines = [{"id": order.lines[0].id, "quantity": 1}]
    body = {
        "fulfillment": {
            "fulfillment_order_id": order.id,
            "line_items": lines,
            "notify_customer": False,
        }
    }
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-Purple-Dot-Access-Token"] = simulator.credentials.purple_dot_token
        begin = time.perf_counter()
        for _ in range(posts):
            session.post(
                f"{simulator.url}/admin/api/v1/fulfillment", json=body, timeout=10
            ).raise_for_status()
        return posts / (time.perf_counter() - begin)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
