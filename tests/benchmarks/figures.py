"""A figure: rounds of ours, beside rounds of a baseline measured in turn with them, and the goal it
is held against."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click


@dataclass
class Figure:
    """`ours` and `baseline` hold one value a round, in `unit`; a ratio is of one round, whose
    halves share the machine's noise."""

    what: str
    unit: str
    goal: str = ""
    ours: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)

    def ratios(self) -> list[float]:
        return (
            [our / base for our, base in zip(self.ours, self.baseline, strict=True)]
            if self.baseline
            else []
        )


def show(figures: Sequence[Figure]) -> None:
    """A table: medians, and in brackets the middle half of the rounds, which is how much this
    machine wavers."""
    click.echo(f"\n{'what':58}{'unit':>9}  {'ours':>22}{'baseline':>22}{'ratio':>20}  goal")
    for figure in figures:
        cells = f"{_cell(figure.ours):>22}{_cell(figure.baseline):>22}{_cell(figure.ratios()):>20}"
        click.echo(f"{figure.what:58}{figure.unit:>9}  {cells}  {figure.goal}")


def save(figures: Sequence[Figure], folder: Path) -> Path:
    """Every round of every figure, as JSON."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    rows = [asdict(figure) | {"ratios": figure.ratios()} for figure in figures]
    file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return file


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = _short(statistics.median(values))
    if len(values) < 4:
        return middle
    low, _, high = statistics.quantiles(values, n=4)
    return f"{middle} ({_short(low)}–{_short(high)})"


def _short(value: float) -> str:
    return (
        f"{value:.0f}"
        if abs(value) >= 100
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
    )
