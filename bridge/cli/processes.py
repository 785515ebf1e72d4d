"""`bridge run`, `serve`, `work` and `migrate`: the processes."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import click
import structlog
from gunicorn.app.base import BaseApplication

from bridge.cli.context import load_settings, open_services
from bridge.logs import configure_logs
from bridge.store.engine import migrate as migrations
from bridge.store.engine.database import Database
from bridge.web import gunicorn

log = structlog.get_logger(__name__)

_RESTART_AFTER = 1.0
_PR_SET_PDEATHSIG = 1
_bind = click.option("--bind", help="Address of the receiver, host:port.")
_workers = click.option(
    "--workers", "web_workers", type=click.IntRange(1, 64), help="Processes of the receiver."
)
_threads = click.option(
    "--threads",
    "worker_threads",
    type=click.IntRange(1, 128),
    help="Threads of the worker: how many jobs at a time.",
)


@click.command()
@_bind
@_workers
@_threads
def run(**given: object) -> None:
    """Receiver and worker together, each restarted if it dies, until Ctrl-C or SIGTERM."""
    settings = load_settings(**given)
    configure_logs(settings.log_format, settings.log_level)
    with closing(Database(settings.database_url)) as database:
        if database.is_sqlite:  # On PostgreSQL a person or a job runs `bridge migrate`.
            migrations.upgrade(database)
    with gunicorn.metrics_folder():
        _supervise("serve", "work")


@click.command()
@_bind
@_workers
def serve(**given: object) -> None:
    """The receiver alone, under gunicorn."""
    settings = load_settings(**given)
    with gunicorn.metrics_folder():
        from bridge.web.app import (
            create_app,
        )  # Its counters look for that folder when they are made.

        _Gunicorn(partial(create_app, settings), gunicorn.options(settings)).run()


@click.command()
@click.option("--once", is_flag=True, help="Drain what is due now, then exit.")
@click.option(
    "--metrics-bind", help="Let Prometheus scrape this worker's own counters, at host:port."
)
@_threads
def work(once: bool, metrics_bind: str | None, **given: object) -> None:
    """The worker alone: fetches, decides and delivers until SIGTERM, then finishes what is in
    flight."""
    settings = load_settings(**given)
    configure_logs(settings.log_format, settings.log_level)
    with open_services(settings) as services, _own_metrics(metrics_bind):
        _on_signals(services.worker.stop)
        services.worker.run(once=once)


@contextmanager
def _own_metrics(bind: str | None) -> Iterator[None]:
    """While it lasts, Prometheus may scrape this process at host:port."""
    from bridge.operations.metrics_exporter import serve as serve_metrics

    host, _, port = (bind or "").rpartition(":")
    try:
        stop = serve_metrics(host.strip("[]"), int(port)) if bind else None
    except (OSError, ValueError, OverflowError) as exc:
        raise click.UsageError(
            f"--metrics-bind {bind}: {exc}; write a free host:port, like 127.0.0.1:9464"
        ) from exc
    try:
        yield
    finally:
        if stop is not None:
            stop()


@click.command()
@click.option(
    "--down-to",
    metavar="VERSION",
    help="Take it back to an older version, such as 0001, before older software runs again.",
)
def migrate(down_to: str | None) -> None:
    """Create or upgrade the database. Safe to call from several machines at once."""
    with closing(Database(load_settings().database_url)) as database:
        with database.begin() as connection:
            before, newest = migrations.current(connection), migrations.newest()
        (migrations.downgrade if down_to else migrations.upgrade)(database, down_to or "head")
        newest = down_to or newest
    click.echo(
        f"The database is at version {newest}."
        if before == newest
        else f"The database went from {before or 'empty'} to {newest}."
    )


def _on_signals(act: Callable[[], None]) -> None:
    """In a thread: a handler runs inside whatever the main thread is doing, perhaps while it holds
    the very lock that `act` needs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=act).start())


class _Gunicorn(BaseApplication):
    """gunicorn with our options, without a file of its own.
    https://docs.gunicorn.org/en/stable/custom.html"""

    def __init__(self, make_app: Callable[[], Any], options: Mapping[str, Any]) -> None:
        self._make_app, self._options = make_app, options
        super().__init__()

    def load_config(self) -> None:
        for name in self._options.keys() & self.cfg.settings.keys():
            self.cfg.set(name, self._options[name])

    def load(self) -> Any:
        return self._make_app()


def _supervise(*commands: str) -> None:
    """Each is started again when it ends; one SIGTERM or SIGINT stops all of them gently."""
    stopping = threading.Event()
    _on_signals(stopping.set)
    children = {name: _start(name) for name in commands}
    while not stopping.wait(0.2):
        for name, child in children.items():
            if child.poll() is not None:
                log.warning(
                    "process_died",
                    process=name,
                    exit_code=child.returncode,
                    restart_after=_RESTART_AFTER,
                )
                if not stopping.wait(_RESTART_AFTER):
                    children[name] = _start(name)
    deadline = time.monotonic() + 30
    for child in children.values():
        child.terminate()
    for child in children.values():
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _start(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "bridge", name],
        preexec_fn=die_with_parent,  # noqa: PLW1509  # our own command
    )


def die_with_parent() -> None:
    """A killed parent leaves nothing behind on Linux.
    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""
    if sys.platform == "linux":
        os.setsid()  # Ctrl-C reaches the parent alone; it stops its children in its own time.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
