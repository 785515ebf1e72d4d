"""`make bench`: interleaved rounds, medians, the baseline beside each figure; a table for people and one JSON document at the end."""

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bridge.simulator import Simulator
from tests.benchmarks import acknowledging, delivering

_ROUNDS = 5
_WEBHOOKS = 400
_JOURNEYS = 60


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name, Simulator() as simulator:
        rows = [_acknowledging(simulator, Path(name)), *_delivering(simulator, Path(name))]
    click.echo(f"\n{'what':42}{'ours':>10}{'baseline':>10}{'ratio':>8}   spread of the rounds")
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if row["ratio"] is not None else "-"
        base = f"{row['baseline']:.0f}" if row["baseline"] is not None else "-"
        click.echo(f"{row['what']:42}{row['ours']:>10.1f}{base:>10}{ratio:>8}   {row['least']:.1f} to {row['most']:.1f}")
    click.echo(json.dumps(rows))


def _acknowledging(simulator: Simulator, folder: Path) -> dict[str, object]:
    world = simulator.world
    label = world.buy_labels(world.add_shipstation_order(world.add_order()))
    url = world.label_created_v2(label)["resource_url"]
    ours: list[float] = []
    base: list[float] = []
    with acknowledging.ours(simulator, folder) as our_port, acknowledging.bare(folder) as bare_port, _progress("acknowledging") as rounds:
        for turn in rounds:
            bodies = [{"resource_url": f"{url}&n={turn}-{n}", "resource_type": "LABEL_CREATED_V2"} for n in range(_WEBHOOKS)]
            requests = [simulator.webhook(body) for body in bodies]
            base.append(acknowledging.per_second(bare_port, requests))
            ours.append(acknowledging.per_second(our_port, requests))
    return _row("signed webhooks acknowledged a second", ours, base)


def _delivering(simulator: Simulator, folder: Path) -> list[dict[str, object]]:
    ours: list[float] = []
    base: list[float] = []
    cpu: list[float] = []
    with _progress("delivering") as rounds:
        for turn in rounds:
            base.append(delivering.plain_posts_per_second(simulator, 300))
            calls, spent = delivering.calls_per_second(simulator, folder, _JOURNEYS, turn)
            ours.append(calls)
            cpu.append(spent)
    return [_row("calls to vendors a second, one worker", ours, base), _row("worker's CPU ms a webhook of two parcels", cpu, [])]


def _progress(what: str) -> Any:
    return click.progressbar(range(_ROUNDS + 1), label=what.ljust(14))


def _row(what: str, ours: Sequence[float], base: Sequence[float]) -> dict[str, object]:
    """Medians; the first round warms up and is left out."""
    ours, base = ours[1:], base[1:]
    middle = statistics.median(ours)
    baseline = statistics.median(base) if base else None
    return {
        "what": what,
        "ours": middle,
        "baseline": baseline,
        "ratio": middle / baseline if baseline else None,
        "least": min(ours),
        "most": max(ours),
    }


if __name__ == "__main__":
    main()
