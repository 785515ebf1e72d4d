"""`make bench`: interleaved rounds, medians, the baseline beside each figure; a table for people
and a JSON file of every round.

`make bench FULL=1` adds what takes long; `make bench ONLY=growth` measures one module alone.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from tests.benchmarks import (
    acknowledging,
    beside,
    budgets,
    delivering,
    growth,
    idle,
    light,
    memory,
    scale,
    through,
)
from tests.benchmarks.figures import Figure, save, show


def main() -> None:
    only, is_full = os.environ.get("ONLY"), bool(os.environ.get("FULL"))
    figures: list[Figure] = []
    for name, measure in (SHORT | LONG if is_full or only else SHORT).items():
        if only in (None, "", name):
            click.echo(f"{name} …", err=True)
            with tempfile.TemporaryDirectory(
                prefix="bridge-bench-", ignore_cleanup_errors=True
            ) as folder:
                figures += measure(Path(folder))
    show(figures)
    click.echo(f"\nEvery round: {save(figures, Path(__file__).parents[2] / '.bench')}")


SHORT: dict[str, Callable[[Path], list[Figure]]] = {
    "acknowledging": acknowledging.measure,
    "delivering": delivering.measure,
    "through": through.measure,
    "idle": idle.measure,
    "budgets": budgets.measure,
    "light": light.measure,
}
LONG: dict[str, Callable[[Path], list[Figure]]] = {
    "growth": growth.measure,
    "beside": beside.measure,
    "scale": scale.measure,
    "memory": memory.measure,
}

if __name__ == "__main__":
    main()
