"""Webhooks a second through gunicorn: ours, with token, RSA signature and durable store, beside
bare Flask with one durable insert."""

import os
from contextlib import ExitStack
from pathlib import Path

from bridge.simulator import Simulator
from tests.benchmarks import servers
from tests.benchmarks.figures import Figure
from tests.benchmarks.servers import Request
from tests.support.waiting import wait_until

_ROUNDS = int(os.environ.get("ROUNDS", "7"))
_WEBHOOKS = 400
_BACKLOG = 120


def measure(folder: Path) -> list[Figure]:
    signed = Figure("signed webhooks acknowledged / bare", "per s", "0.8")
    unsigned = Figure("unsigned webhooks acknowledged / bare", "per s", "0.9")
    busy = Figure("signed, while a worker delivers / bare without one", "per s", "0.6")
    beside = Figure("signed, while a worker delivers / bare beside that worker", "per s")
    url, busy_url = f"sqlite:///{folder}/ours.db", f"sqlite:///{folder}/busy.db"
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator())
        port, _ = stack.enter_context(servers.receiver(simulator, url, folder))
        busy_port, _ = stack.enter_context(servers.receiver(simulator, busy_url, folder))
        base_port = stack.enter_context(servers.bare(folder))
        for turn in range(-1, _ROUNDS):
            v2, v1 = _requests(simulator, "V2", turn), _requests(simulator, "V1", turn)
            base = servers.per_second(base_port, v2)
            rates = [servers.per_second(port, v2), servers.per_second(port, v1)]
            servers.per_second(busy_port, _parcels(simulator))
            with servers.worker(simulator, busy_url, folder):
                _wait_for_deliveries(simulator)
                rates.append(servers.per_second(busy_port, v2))
                base_beside = servers.per_second(base_port, v2)
            if turn >= 0:  # The first round warms up.
                for figure, rate in zip(
                    (signed, unsigned, busy, beside), (*rates, rates[-1]), strict=True
                ):
                    figure.ours.append(rate)
                    figure.baseline.append(base_beside if figure is beside else base)
    return [signed, unsigned, busy, beside]


def _requests(simulator: Simulator, api: str, turn: int) -> list[Request]:
    """Pointers to lists that are there, each another one."""
    path, kind = (
        ("/v2/labels?batch_id=se-1", "LABEL_CREATED_V2")
        if api == "V2"
        else ("/shipments?batchId=1", "SHIP_NOTIFY")
    )
    bodies = (
        {"resource_url": f"{simulator.url}{path}&page={turn + 2}{n:03}", "resource_type": kind}
        for n in range(_WEBHOOKS)
    )
    return [simulator.webhook(body) for body in bodies]


def _parcels(simulator: Simulator) -> list[Request]:
    """Real work for the worker: each of an order of its own."""
    world = simulator.world
    labels = (
        world.buy_labels(world.add_shipstation_order(world.add_order())) for _ in range(_BACKLOG)
    )
    return [simulator.webhook(world.label_created_v2(label)) for label in labels]


def _wait_for_deliveries(simulator: Simulator) -> None:
    """Until the worker is at it."""
    before = len(simulator.world.calls)
    wait_until(
        lambda: len(simulator.world.calls) > before + 5, seconds=30, what="the worker to call"
    )
