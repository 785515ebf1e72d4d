"""`bridge deliveries`: the parcels, each with what became of it."""

from typing import Any

import click

from bridge.cli.listing import print_list
from bridge.cli.options import list_options
from bridge.cli.output import Column, age_column
from bridge.domain.events import DeliveryStatus

COLUMNS = (
    age_column("created_at"),
    Column("status", 9),
    Column("reason", 12),
    Column("order", 11, lambda row: row["reference"] or row["order_number"]),
    Column("items", 8, lambda row: row["line_items"]),
    Column("tracking_number", 18),
    Column("id", 17, needed=False),
)


@click.command(
    epilog="""\b
    Examples:
      bridge deliveries --status held
      bridge deliveries --since today --order PD1391279/1
    """
)
@list_options(DeliveryStatus)
def deliveries(as_json: bool, **options: Any) -> None:
    """List parcels, newest first: their status, order, items and tracking number."""
    from bridge.store import reports

    print_list(reports.list_deliveries, options, COLUMNS, as_json=as_json)
