"""`bridge restored`: an older copy of the database was put back."""

import click

from bridge.cli.context import actor, open_database
from bridge.cli.options import json_option
from bridge.cli.output import emit


@click.command()
@json_option
def restored(as_json: bool) -> None:
    """Say that this database was just put back from an older copy or snapshot, before a worker runs
    on it. Files of `bridge backup` say it themselves."""
    from bridge.store import audit, restores

    with open_database() as database, database.begin() as connection:
        now = database.now(connection)
        count = restores.note(connection, copied_at=None, now=now)
        audit.note(connection, actor=actor(), action="restored", subject="the database", now=now)
    message = (
        "Noted. What left before now and is not known here is posted only after a look at Purple"
        f" Dot; {count} waiting deliveries are looked at first as well."
    )
    emit({"in_doubt": count}, [message], as_json=as_json)
