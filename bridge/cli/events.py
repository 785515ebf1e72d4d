"""`bridge events`: the webhooks that came in."""

from typing import Any

import click

from bridge.cli.listing import print_list
from bridge.cli.options import list_options
from bridge.cli.output import Column, age_column
from bridge.domain.events import EventStatus

COLUMNS = (
    age_column("received_at"),
    Column("event_type", 10),
    Column("status", 9),
    Column("reason", 10),
    Column("parcels", 7, lambda row: len(row["deliveries"]) or "-"),
    Column("repeats", 7, lambda row: row["duplicates"] or "-"),
    Column("id", 17),
)


@click.command(
    epilog="""\b
    Examples:
      bridge events --since yesterday
      bridge events --status ignored --reason not_a_purple_dot_order
    """
)
@list_options(EventStatus)
def events(as_json: bool, **options: Any) -> None:
    """List webhooks, newest first. `bridge explain ID` says what became of one."""
    from bridge.store import reports

    print_list(reports.list_events, options, COLUMNS, as_json=as_json)
