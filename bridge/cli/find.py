"""`bridge find`: search parcels and webhooks by whatever a person has."""

from collections.abc import Iterator

import click

from bridge.cli import deliveries, events
from bridge.cli.context import open_database
from bridge.cli.options import json_option
from bridge.cli.output import Rows, emit, plural, table

_SEARCHED = (
    "Searched: order numbers, references, tracking numbers, SKUs and ids of all parcels, and the"
    " newest webhooks. If it should be here: `bridge reconcile --since 3d` looks for what no"
    " webhook reported."
)


@click.command(
    epilog="""\b
    Examples:
      bridge find PD1391279
      bridge find "1Z B7X 041 036 666 6666"
      bridge find tote-ecru
    """
)
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@json_option
def find(text: str, limit: int, as_json: bool) -> None:
    """Search parcels and webhooks: an order number with or without `#` and `/1`, a tracking number
    with or without blanks, a SKU, an id, or the beginning of one. Exit code 1 when nothing
    fits."""
    from bridge.store.search import search

    with open_database() as database, database.read() as connection:
        result = search(connection, text, limit=limit)
        webhooks = events.with_parcels(connection, result.events)
    value = {"deliveries": result.deliveries, "events": result.events}
    emit(value, _lines(text, result.deliveries, webhooks), as_json=as_json)
    if not (result.deliveries or result.events):
        raise SystemExit(1)


def _lines(text: str, parcels: Rows, webhooks: Rows) -> Iterator[str]:
    if not (parcels or webhooks):
        yield f"No results for {text!r}. {_SEARCHED}"
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
