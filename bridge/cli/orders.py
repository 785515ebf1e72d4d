"""`bridge orders`: Purple Dot's open orders, and what is missing."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from bridge.cli.context import open_existing_services
from bridge.cli.options import TIMESTAMP, json_option
from bridge.cli.output import Column, age_column, emit, plural, table
from bridge.domain.text import format_lines

_PARCEL_WORDS = {"delivered": "posted", "held": "held", "dead": "failed"}


def _line(line: Mapping[str, Any]) -> str:
    name = line["sku"] or line["id"]
    return f"{line['posted']} of {line['quantity']} x {name}"


def _parcels(order: Mapping[str, Any]) -> str:
    return ", ".join(map(_parcel, order["parcels"])) or "none"


def _parcel(parcel: Mapping[str, Any]) -> str:
    word = _PARCEL_WORDS.get(parcel["status"], parcel["status"])
    return f"{parcel['tracking_number'] or 'no number'} {word}"


_COLUMNS = (
    age_column("ready_at", "ready"),
    Column("reference", 12),
    Column("posted", 20, lambda order: ", ".join(map(_line, order["line_items"]))),
    Column("parcels", 25, _parcels),
    Column("id", 12, needed=False),
)


@click.command(
    epilog="""\b
    Examples:
      bridge orders
      bridge orders --since 90d --open --json
    """
)
@click.option(
    "--since",
    type=TIMESTAMP,
    default="30d",
    show_default=True,
    help="Orders that became ready since then: an age such as 30d, or an ISO date or time.",
)
@click.option("--open", "only_open", is_flag=True, help="Only those of which something is missing.")
@json_option
def orders(since: datetime, only_open: bool, as_json: bool) -> None:
    """Purple Dot's orders that became ready to ship: how many units of each line were posted, by
    which parcels, and what a ShipStation order must carry to be found. Asks Purple Dot, and writes
    nothing."""
    from bridge.operations.open_orders import open_orders

    with open_existing_services() as services:
        listed = list(open_orders(services.database, services.purple_dot, since=since))
    rows = [order.as_json() for order in listed if order.is_open or not only_open]
    emit(rows, _lines(rows), as_json=as_json)


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "No order became ready in that time."
        return
    yield from table(rows, _COLUMNS)
    waiting = [row for row in rows if row["open"]]
    yield ""
    yield f"{plural(len(rows), 'order')}, {plural(len(waiting), 'of them open', 'of them open')}."
    if not waiting:
        return
    example = waiting[0]
    missing = [line | {"quantity": line["missing"]} for line in example["line_items"]]
    items = format_lines(line for line in missing if line["quantity"])
    yield f"{example['reference']} lacks {items}. To be found, its ShipStation order must carry"
    yield f"  {example['reference']} as order number or in custom field 1, 2 or 3, or"
    yield f"  {example['id']} as external shipment id (V2), order key (V1) or in a custom field."
