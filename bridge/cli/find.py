"""`bridge find`: search parcels and webhooks by whatever a person has."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bridge.cli import deliveries, events
from bridge.cli.context import open_database, open_existing_services
from bridge.cli.options import json_option
from bridge.cli.output import Rows, emit, is_terminal, plural, table

if TYPE_CHECKING:
    from bridge.operations.lookup import Answer


@click.command(
    epilog="""\b
    Examples:
      bridge find PD1391279
      bridge find "1Z B7X 041 036 666 6666"
      bridge find tote-ecru
      bridge find PD1391279 --look-up
    """
)
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@click.option(
    "--look-up", is_flag=True, help="Also ask ShipStation and Purple Dot now. It only reads."
)
@json_option
def find(text: str, limit: int, look_up: bool, as_json: bool) -> None:
    """Search parcels and webhooks: an order number with or without `#` and `/1`, a tracking number
    with or without blanks, a SKU, an id, or the beginning of one. Exit code 1 when nothing fits,
    here or where it was looked up."""
    from bridge.store.search import search

    with open_database() as database, database.read() as connection:
        result = search(connection, text, limit=limit)
        webhooks = events.with_parcels(connection, result.events)
    is_here = bool(result.deliveries or result.events)
    lines = list(_lines(text, result.deliveries, webhooks))
    if not is_here and not look_up and not as_json and _is_at_terminal():
        emit(None, lines, as_json=False)
        lines = []
        look_up = click.confirm("Look it up at ShipStation and Purple Dot now?", err=True)
    answers = _look_up(text) if look_up else None
    value = {
        "deliveries": result.deliveries,
        "events": result.events,
        "vendors": None if answers is None else [answer.as_json() for answer in answers],
    }
    if answers is not None:
        lines += _lines_of_vendors(text, answers)
    if lines or as_json:
        emit(value, lines, as_json=as_json)
    if not is_here and not any(answer.findings for answer in answers or []):
        raise SystemExit(1)


def _is_at_terminal() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)


def _look_up(text: str) -> "list[Answer]":
    with open_existing_services() as services:
        return services.look_up.ask(text)


def _lines(text: str, parcels: Rows, webhooks: Rows) -> Iterator[str]:
    if not (parcels or webhooks):
        yield f"No results for {text!r}."
        yield from _searched(text)
        return
    if parcels:
        yield f"{plural(len(parcels), 'parcel')}:"
        yield from table(parcels, deliveries.COLUMNS)
        yield ""
    if webhooks:
        yield f"{plural(len(webhooks), 'webhook')}:"
        yield from table(webhooks, events.COLUMNS)
        yield ""
    yield "`bridge explain ID` says why."


def _searched(text: str) -> Iterator[str]:
    from bridge.store.search import searched

    sentences = searched(text)
    if not sentences:
        yield "Write at least three characters."
        return
    yield "Searched:"
    for sentence in sentences:
        yield f"- {sentence}"
    yield "`bridge find TEXT --look-up` asks ShipStation and Purple Dot."


def _lines_of_vendors(text: str, answers: "list[Answer]") -> Iterator[str]:
    if not answers:
        yield (
            "ShipStation and Purple Dot can be asked for order numbers and tracking numbers, which"
            f" have digits; {text!r} has none."
        )
    for answer in answers:
        yield ""
        yield f"{answer.vendor}, asked for {answer.asked}:"
        if answer.problem:
            yield f"  It could not be asked to the end: {answer.problem}"
        elif not answer.findings:
            yield f"  {answer.nothing}"
        for finding in answer.findings:
            yield f"  {finding.sentence}"
            if finding.next_step:
                yield f"    → {finding.next_step}"
