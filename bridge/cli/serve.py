"""`bridge serve`: the receiver alone, under gunicorn."""

from typing import Any

import click

from bridge.cli.context import load_settings
from bridge.cli.processes import (
    announce,
    bind_option,
    chosen_log_format,
    follow_parent,
    listen,
    workers_option,
)


@click.command(
    epilog="""\b
    Example:
      bridge serve --workers 4

    SIGHUP reads the settings again without closing the port.
    """
)
@bind_option
@workers_option
@click.option(
    "--fd",
    "descriptors",
    type=int,
    multiple=True,
    help="Serve on this socket, which is open already, instead of opening one.",
)
def serve(descriptors: tuple[int, ...], **options: object) -> None:
    """The receiver alone, under gunicorn."""
    from bridge.cli.server import Server
    from bridge.web import gunicorn

    follow_parent()
    settings = chosen_log_format(load_settings(**options))
    if not descriptors:
        from bridge.logs import configure_logs

        configure_logs(settings.log_format, settings.log_level)
        sockets = listen(settings)
        announce(settings, sockets)
        # gunicorn takes over the descriptors, which stay open.
        descriptors = tuple(listener.detach() for listener in sockets)
    bind = [f"fd://{descriptor}" for descriptor in descriptors]

    def load() -> tuple[Any, dict[str, Any]]:
        # Its counters look for their folder when they are made.
        from bridge.web.app import create_app

        current = chosen_log_format(load_settings(**options))
        return create_app(current), gunicorn.options(current) | {"bind": bind}

    with gunicorn.metrics_folder():
        Server(load).run()
