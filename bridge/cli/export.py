"""`bridge export`: which shipment became which fulfillment, for a spreadsheet."""

import sys
from datetime import datetime

import click

from bridge.cli.context import open_database
from bridge.cli.options import TIMESTAMP
from bridge.cli.output import write_csv
from bridge.domain.text import format_lines

EXPORTED = (
    "id",
    "status",
    "reason",
    "order_number",
    "reference",
    "fulfillment_order_id",
    "purple_dot_fulfillment_id",
    "shipstation_shipment_id",
    "shipstation_record_id",
    "carrier_code",
    "tracking_company",
    "tracking_number",
    "tracking_url",
    "all_tracking_numbers",
    "line_items",
    "notify_customer",
    "attempts",
    "created_at",
    "delivered_at",
)


@click.command(
    epilog="""\b
    Example:
      bridge export --since 30d > parcels.csv
    """
)
@click.option(
    "--since", type=TIMESTAMP, help="An age such as 30d, or an ISO date or time.  [default: all]"
)
def export(since: datetime | None) -> None:
    """Which shipment became which fulfillment, as CSV on stdout."""
    from bridge.store import reports
    from bridge.store.queries import Query

    with open_database() as database, database.read() as connection:
        rows = reports.list_deliveries(connection, Query(since=since, limit=None))
    for row in rows:
        row["line_items"] = format_lines(row["line_items"]).replace(", ", "; ")
        row["all_tracking_numbers"] = " ".join(row["all_tracking_numbers"])
    write_csv(sys.stdout, EXPORTED, rows)
