"""`bridge audit`: what people did by hand."""

from datetime import datetime

import click

from bridge.cli.context import open_database
from bridge.cli.options import json_option, limit_option, since_option
from bridge.cli.output import Column, age_column, emit, table

_COLUMNS = (
    age_column("at"),
    Column("actor", 10),
    Column("action", 7),
    Column("subject", 12),
    Column("reason", 10),
    Column("outcome", 12),
)


@click.command()
@since_option
@click.option("--search", "subject", metavar="ID", help="Only what was done to this.")
@limit_option
@json_option
def audit(subject: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """What people did by hand, newest first: who, when, what, to what, why."""
    from bridge.store import audit as audit_list

    with open_database() as database, database.read() as connection:
        rows = audit_list.entries(connection, subject=subject, since=since, limit=limit)
    lines = table(rows, _COLUMNS) if rows else ["Nothing was done by hand."]
    emit(rows, lines, as_json=as_json)
