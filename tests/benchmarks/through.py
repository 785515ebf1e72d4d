"""Webhooks of two parcels from the door to Purple Dot, receiver and worker together, limits off:
beside a plain bridge that does the same with nothing kept and nothing checked."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bridge.simulator import Simulator
from tests.benchmarks import servers
from tests.benchmarks.delivering import cpu_seconds, forget, new_database, split_labels
from tests.benchmarks.figures import Figure
from tests.benchmarks.memory import family, mebibytes
from tests.support.waiting import wait_until

_ROUNDS = 5
_WEBHOOKS = 150


def measure(folder: Path) -> list[Figure]:
    rate = Figure("webhooks of two parcels: ours / a plain bridge", "per s", "see docs")
    cpu = Figure("CPU for each, receiver and worker", "ms", "3.5")
    memory = Figure("memory of receiver and worker meanwhile (PSS)", "MiB", "220")
    url = new_database(f"sqlite:///{folder}/through.db")
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator())
        port, receiver = stack.enter_context(servers.receiver(simulator, url, folder))
        worker = stack.enter_context(servers.worker(simulator, url, folder))
        plain_port, plain = stack.enter_context(servers.plain(simulator, folder))
        for turn in range(_ROUNDS + 1):
            ours = _measure(simulator, port, [*family(receiver), worker])
            baseline = _measure(simulator, plain_port, family(plain))
            if turn:  # The first round warms up.
                for figure, mine, theirs in zip((rate, cpu, memory), ours, baseline, strict=True):
                    figure.ours.append(mine)
                    figure.baseline.append(theirs)
    return [rate, cpu, memory]


def _measure(simulator: Simulator, port: int, pids: Sequence[int]) -> tuple[float, float, float]:
    """Delivered a second, milliseconds of CPU for each, memory at the end."""
    world = simulator.world
    forget(world)
    requests = [simulator.webhook(body) for body in split_labels(world, _WEBHOOKS)]
    told = len(world.fulfillments)
    spent, begin = sum(map(cpu_seconds, pids)), time.perf_counter()
    servers.per_second(port, requests)
    wait_until(
        lambda: len(world.fulfillments) >= told + 2 * _WEBHOOKS,
        seconds=120,
        what="all parcels to be told",
    )
    seconds = time.perf_counter() - begin
    used = sum(map(cpu_seconds, pids)) - spent
    memory = sum(map(mebibytes, pids))
    return _WEBHOOKS / seconds, used * 1000 / _WEBHOOKS, memory
