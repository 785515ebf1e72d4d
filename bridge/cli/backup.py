"""`bridge backup`: a copy of the database while everything runs."""

from pathlib import Path

import click

from bridge.cli.context import open_any_database
from bridge.cli.options import json_option
from bridge.cli.output import emit


@click.command(
    epilog="""\b
    Example:
      bridge backup /mnt/backups/bridge.db --overwrite
    """
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE, once the copy is complete.")
@json_option
def backup(file: Path, overwrite: bool, as_json: bool) -> None:
    """Copy the SQLite database to FILE while everything runs: one moment of it, checked, and there
    whole or not at all."""
    from bridge.store import backup as backups

    # Of any version: before an upgrade is the time for a copy.
    with open_any_database() as database:
        if (dump := backups.dump_command(database, file)) is not None:
            raise click.UsageError(
                f"a database on PostgreSQL is copied by PostgreSQL's own tool:\n  {dump}"
            )
        if not file.parent.is_dir():
            raise click.UsageError(f"there is no folder {file.parent} to write to.")
        size = backups.copy(database, file, overwrite=overwrite)
    message = f"{file}: {size} bytes, one moment of the database, checked."
    hint = "To put it back: docs/operate.md, Backup and restore."
    emit({"file": str(file), "bytes": size}, [f"{message} {hint}"], as_json=as_json)
