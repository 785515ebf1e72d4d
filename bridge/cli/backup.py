"""`bridge backup` and `bridge restored`: a copy of the ledger, and what to say when an old one was
put back."""

from contextlib import closing
from pathlib import Path

import click

from bridge.cli.context import load_settings, opened, who
from bridge.cli.output import json_option, tell
from bridge.store import audit, restores
from bridge.store import backup as backups
from bridge.store.engine.database import Database


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE, once the copy is complete.")
@json_option
def backup(file: Path, overwrite: bool, as_json: bool) -> None:
    """Copy the SQLite ledger to FILE while everything runs: one moment of it, checked, and there
    whole or not at all."""
    with closing(
        Database(load_settings().database_url)
    ) as database:  # Not brought up to date: before an upgrade is the time for a copy.
        if (dump := backups.dump_command(database, file)) is not None:
            raise click.UsageError(
                f"a ledger on PostgreSQL is copied by PostgreSQL's own tool:\n  {dump}"
            )
        size = backups.copy(database, file, overwrite=overwrite)
    told = f"{file}: {size} bytes, one moment of the ledger, checked. To put it back: docs/operate.md, Backup and restore."
    tell({"file": str(file), "bytes": size}, [told], as_json=as_json)


@click.command()
@json_option
def restored(as_json: bool) -> None:
    """Say that this ledger was just put back from an older copy or snapshot, before a worker runs
    on it. Files of `bridge backup` say it themselves."""
    with opened() as database, database.begin() as connection:
        count = restores.note(connection, copied_at=None, now=database.now(connection))
        audit.note(
            connection,
            actor=who(),
            action="restored",
            subject="the ledger",
            now=database.now(connection),
        )
    told = f"Noted. What left before now and is not known here goes out only after reading; {count} waiting deliveries are read first as well."
    tell({"in_doubt": count}, [told], as_json=as_json)
