"""`bridge tail`: what happens, as it happens."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from bridge.cli.context import open_database
from bridge.cli.output import colored
from bridge.domain.durations import local_zone
from bridge.domain.text import format_lines, printable

_POLL_SECONDS = 1.0
_WATCHED = 300
"""The newest webhooks and parcels; what is older moves seldom."""

Row = Mapping[str, Any]


@click.command(
    epilog="""\b
    Examples:
      bridge tail
      bridge tail --json | jq .status
    """
)
@click.option(
    "--last",
    type=click.IntRange(0, _WATCHED),
    default=10,
    show_default=True,
    help="Begin with so many that are there already.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
def tail(last: int, as_json: bool) -> None:
    """Webhooks and parcels as they come in and change, until Ctrl-C. Only reads."""
    seen: dict[str, str] = {}
    with open_database() as database, suppress(KeyboardInterrupt):
        rows = _rows(database)
        for row in rows[: len(rows) - last]:
            seen[row["id"]] = row["status"]
        while True:
            for row in rows:
                if seen.get(row["id"]) != row["status"]:
                    seen[row["id"]] = row["status"]
                    _print(row, as_json=as_json)
            time.sleep(_POLL_SECONDS)
            rows = _rows(database)


def _rows(database: Any) -> list[Row]:
    """The oldest first."""
    from bridge.store import reports
    from bridge.store.queries import Query

    with database.read() as connection:
        events = reports.list_events(connection, Query(limit=_WATCHED))
        deliveries = reports.list_deliveries(connection, Query(limit=_WATCHED))
    return sorted([*events, *deliveries], key=_begun_at)


def _begun_at(row: Row) -> datetime:
    at: datetime = row["received_at"] if "received_at" in row else row["created_at"]
    return at


def _print(row: Row, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(row, default=str))
    else:
        line = "  ".join(printable(cell) for cell in _cells(row))
        click.echo(colored(line, row["status"]))


def _cells(row: Row) -> Iterator[str]:
    yield f"{datetime.now(UTC).astimezone(local_zone()):%H:%M:%S %Z}"
    is_event = "event_type" in row
    yield f"{'webhook' if is_event else 'parcel':7}"
    yield f"{row['status']:11}"
    if is_event:
        yield row["event_type"]
    else:
        yield str(row["reference"] or row["order_number"] or "no order yet")
        yield format_lines(row["line_items"]) or "no items yet"
        yield str(row["tracking_number"] or "no number")
    if row["reason"]:
        yield f"({row['reason']})"
    yield row["id"]
