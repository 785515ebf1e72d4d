"""Two workers over one PostgreSQL beside one, while the vendors take 50 ms: waiting is what
scales."""

from contextlib import ExitStack
from pathlib import Path

from bridge.simulator import Simulator
from bridge.simulator.faults import parse_fault
from tests.benchmarks import servers
from tests.benchmarks.delivering import new_database, webhooks_and_calls_per_second
from tests.benchmarks.figures import Figure
from tests.support import postgres

_ROUNDS = 4
_WEBHOOKS = 100


def measure(folder: Path) -> list[Figure]:
    figure = Figure("webhooks of two parcels: two workers / one, PostgreSQL", "per s", "1.6")
    with postgres.running_server(folder) as server, Simulator() as simulator:
        url = server.url("scale")
        new_database(url)
        simulator.faults.append(parse_fault("delay:0.05:*:always"))
        for turn in range(_ROUNDS + 1):
            rates = []
            for workers in (1, 2):
                with ExitStack() as running:
                    for _ in range(workers):
                        running.enter_context(servers.worker(simulator, url, folder))
                    webhooks_and_calls_per_second(
                        simulator, url, 10
                    )  # Until all are up and connected.
                    rates.append(webhooks_and_calls_per_second(simulator, url, _WEBHOOKS)[0])
            if turn:
                figure.baseline.append(rates[0])
                figure.ours.append(rates[1])
    return [figure]
