"""`bridge run`: receiver and worker together."""

from contextlib import closing

import click

from bridge.cli.context import load_settings
from bridge.cli.processes import (
    bind_option,
    supervise,
    threads_option,
    workers_option,
)


@click.command()
@bind_option
@workers_option
@threads_option
def run(**options: object) -> None:
    """Receiver and worker together, each restarted if it dies, until Ctrl-C or SIGTERM."""
    from bridge.logs import configure_logs
    from bridge.store.engine import migrate
    from bridge.store.engine.database import Database
    from bridge.web import gunicorn

    settings = load_settings(**options)
    configure_logs(settings.log_format, settings.log_level)
    with closing(Database(settings.database_url)) as database:
        if database.is_sqlite:  # On PostgreSQL a person or a job runs `bridge migrate`.
            migrate.upgrade(database)
    with gunicorn.metrics_folder():
        supervise("serve", "work")
