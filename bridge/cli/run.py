"""`bridge run`: receiver and worker together."""

import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from bridge.cli.context import load_settings
from bridge.cli.processes import (
    announce,
    bind_option,
    chosen_log_format,
    follow_parent,
    listen,
    threads_option,
    workers_option,
)
from bridge.domain.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from bridge.settings import Settings

_HEALTH_SECONDS = 1.0
_NEVER_PASSES = ("password authentication failed", "does not exist", "no pg_hba.conf entry")
"""What PostgreSQL says where waiting can't help."""


@click.command(
    epilog="""\b
    Example:
      bridge run --bind 0.0.0.0:8000

    SIGHUP reads the settings again; SIGTERM and Ctrl-C let work in flight finish.
    """
)
@bind_option
@workers_option
@threads_option
def run(**options: object) -> None:
    """Receiver and worker together, each started again if it dies, until Ctrl-C or SIGTERM. Ends
    with the reason when it can't run: a port in use, wrong settings, no such database."""
    from bridge.cli.supervisor import Child, Supervisor, bridge_command
    from bridge.logs import configure_logs
    from bridge.web import gunicorn

    follow_parent()
    settings = chosen_log_format(load_settings(**options))
    configure_logs(settings.log_format, settings.log_level)
    _prepare_database(settings)
    sockets = listen(settings)
    announce(settings, sockets)
    descriptors = [listener.fileno() for listener in sockets]
    passed = [f"--fd={descriptor}" for descriptor in descriptors]
    with gunicorn.metrics_folder():
        supervisor = Supervisor(
            [
                Child("serve", bridge_command("serve", *passed), descriptors),
                Child("work", bridge_command("work")),
            ],
            check=_settings_are_right,
            is_ready=lambda: _answers(sockets[0]),
            # gunicorn reads the settings again without closing its sockets.
            reloads={"serve": signal.SIGHUP},
        )
        exit_code = supervisor.run()
    raise SystemExit(exit_code)


def _prepare_database(settings: "Settings") -> None:
    """Find out now what no restart of a child would change."""
    import structlog

    from bridge.services import Services
    from bridge.store.engine import migrate

    try:
        # On PostgreSQL a person or a job runs `bridge migrate`; SQLite is upgraded on the way.
        with Services.open(settings) as services, services.database.read() as connection:
            migrate.current(connection)
    except StorageError as exc:
        is_sqlite = settings.database_url.startswith("sqlite:")
        if is_sqlite or any(words in str(exc) for words in _NEVER_PASSES):
            raise
        structlog.get_logger(__name__).warning("database_unavailable", error=str(exc))


def _settings_are_right() -> bool:
    """For a reload: what is wrong is logged, and the old settings stay in use."""
    import structlog

    try:
        load_settings()
    except SettingsError as exc:
        structlog.get_logger(__name__).error("reload_refused", problems=exc.problems)
        return False
    return True


def _answers(listener: socket.socket) -> bool:
    """Does the receiver answer? Asked at its own socket."""
    name = listener.getsockname()
    with suppress(OSError), socket.socket(listener.family) as client:
        client.settimeout(_HEALTH_SECONDS)
        client.connect(name)
        client.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return client.recv(32).startswith(b"HTTP/1.")
    return False
