"""`bridge serve`: the receiver alone, under gunicorn."""

from functools import partial

import click

from bridge.cli.context import load_settings
from bridge.cli.processes import bind_option, workers_option


@click.command()
@bind_option
@workers_option
def serve(**options: object) -> None:
    """The receiver alone, under gunicorn."""
    from bridge.cli.server import Server
    from bridge.web import gunicorn

    settings = load_settings(**options)
    with gunicorn.metrics_folder():
        # Its counters look for that folder when they are made.
        from bridge.web.app import create_app

        Server(partial(create_app, settings), gunicorn.options(settings)).run()
