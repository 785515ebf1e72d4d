"""`make bench`: interleaved rounds, medians, the baseline beside each figure; a table for people and a JSON file of every round.

`make bench FULL=1` adds what takes long; `make bench ONLY=growth` measures one module alone.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from bridge.simulator import Simulator
from tests.benchmarks import acknowledging, delivering, growth, idle, light, memory
from tests.benchmarks.figures import Figure, save, show

_ROUNDS = 5
_JOURNEYS = 60


def main() -> None:
    only, is_full = os.environ.get("ONLY"), bool(os.environ.get("FULL"))
    figures: list[Figure] = []
    for name, measure in (SHORT | LONG if is_full or only else SHORT).items():
        if only in (None, "", name):
            click.echo(f"{name} …", err=True)
            with tempfile.TemporaryDirectory(prefix="bridge-bench-", ignore_cleanup_errors=True) as folder:
                figures += measure(Path(folder))
    show(figures)
    click.echo(f"\nEvery round: {save(figures, Path(__file__).parents[2] / '.bench')}")


def _delivering(folder: Path) -> list[Figure]:
    calls, spent = (
        Figure("calls to vendors, one worker / plain POSTs", "per s", "0.6"),
        Figure("worker's CPU for two parcels", "ms", "4, with the receiver"),
    )
    with Simulator() as simulator:
        for turn in range(_ROUNDS + 1):
            base = delivering.plain_posts_per_second(simulator, 300)
            ours, cpu = delivering.calls_per_second(simulator, folder, _JOURNEYS, turn)
            if turn:  # The first round warms up.
                calls.baseline.append(base)
                calls.ours.append(ours)
                spent.ours.append(cpu)
    return [calls, spent]


SHORT: dict[str, Callable[[Path], list[Figure]]] = {
    "acknowledging": acknowledging.measure,
    "delivering": _delivering,
    "idle": idle.measure,
}
LONG: dict[str, Callable[[Path], list[Figure]]] = {
    "light": light.measure,
    "growth": growth.measure,
    "memory": memory.measure,
}

if __name__ == "__main__":
    main()
