"""`bridge migrate`: create or upgrade the database."""

from contextlib import closing

import click

from bridge.cli.context import load_settings


@click.command()
@click.option(
    "--down-to",
    metavar="VERSION",
    help="Take it back to an older version, such as 0001, before older software runs again.",
)
def migrate(down_to: str | None) -> None:
    """Create or upgrade the database. Safe to call from several machines at once."""
    from bridge.store.engine import migrate as migrations
    from bridge.store.engine.database import Database

    versions = migrations.versions()
    if down_to is not None and down_to not in versions:
        raise click.UsageError(
            f"--down-to {down_to}: there is no such version; there are {', '.join(versions)}."
        )
    with closing(Database(load_settings().database_url)) as database:
        with database.read() as connection:
            before = migrations.current(connection)
        if down_to is None:
            migrations.upgrade(database)
        else:
            migrations.downgrade(database, down_to)
    after = down_to or migrations.newest()
    name = database.url.render_as_string(hide_password=True)
    if before == after:
        click.echo(f"The database {name} is at version {after}.")
    else:
        click.echo(f"The database {name} went from {before or 'empty'} to {after}.")
