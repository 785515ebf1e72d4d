"""`bridge run`, `serve`, `work` and `migrate`: the processes."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

import click
import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from bridge.cli.settings import load_settings, mistakes_told
from bridge.logs import configure_logs, gunicorn_logging
from bridge.store import migrate as migrations
from bridge.store.database import Database

log = structlog.get_logger(__name__)

_RESTART_AFTER = 1.0
_PR_SET_PDEATHSIG = 1


@click.command()
@click.option("--bind", help="Address of the receiver, host:port.")
@click.option("--workers", "web_workers", type=click.IntRange(1, 64), help="Processes of the receiver.")
@click.option("--threads", "worker_threads", type=click.IntRange(1, 128), help="Threads of the worker.")
def run(bind: str | None, web_workers: int | None, worker_threads: int | None) -> None:
    """Receiver and worker together, each restarted if it dies, until Ctrl-C or SIGTERM."""
    given = _given(bind=bind, web_workers=web_workers, worker_threads=worker_threads)
    settings = load_settings(given)
    configure_logs(settings.log_format, settings.log_level)
    with tempfile.TemporaryDirectory(prefix="bridge-metrics-") as shared:
        environ = os.environ | {f"BRIDGE_{name.upper()}": value for name, value in given.items()}
        environ.setdefault("PROMETHEUS_MULTIPROC_DIR", shared)
        _migrate_first(settings.database_url)
        Supervisor({name: [sys.executable, "-m", "bridge", name] for name in ("serve", "work")}, environ).run()


@click.command()
@click.option("--bind", help="Address to listen on, host:port.")
@click.option("--workers", "web_workers", type=click.IntRange(1, 64), help="Processes.")
def serve(bind: str | None, web_workers: int | None) -> None:
    """The receiver alone, under gunicorn."""
    settings = load_settings(_given(bind=bind, web_workers=web_workers))
    with tempfile.TemporaryDirectory(prefix="bridge-metrics-") as shared:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", shared)
        from bridge.app import create_app  # Its counters look for that folder when they are made.

        options = {
            "bind": settings.bind,
            "workers": settings.web_workers,
            "worker_class": "gthread",
            "threads": 8,
            "timeout": 30,
            "graceful_timeout": 25,
            "keepalive": 5,
            "logger_class": _NoAccessLog,
            "logconfig_dict": gunicorn_logging(settings.log_format, settings.log_level),
            "control_socket_disable": True,
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108, PTH112  # shared memory, as gunicorn advises
        }
        _Gunicorn(lambda: create_app(settings), options).run()


@click.command()
@click.option("--once", is_flag=True, help="Drain what is due now, then exit.")
@click.option("--threads", "worker_threads", type=click.IntRange(1, 128), help="How many jobs at a time.")
def work(once: bool, worker_threads: int | None) -> None:
    """The worker alone: fetches, decides and delivers until SIGTERM, then finishes what is in flight."""
    from bridge.app import create_worker

    settings = load_settings(_given(worker_threads=worker_threads))
    configure_logs(settings.log_format, settings.log_level)
    _migrate_first(settings.database_url)
    with mistakes_told():
        worker = create_worker(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _in_a_thread(worker.stop))
    worker.run(once=once)


@click.command()
def migrate() -> None:
    """Create or upgrade the database. Safe to call from several machines at once."""
    settings = load_settings()
    database = Database(settings.database_url)
    try:
        with database.begin() as connection:
            before = migrations.current(connection)
        migrations.upgrade(database)
    finally:
        database.close()
    newest = migrations.newest()
    click.echo(f"The database is at version {newest}." if before == newest else f"The database went from {before or 'empty'} to {newest}.")


def _given(**options: Any) -> dict[str, str]:
    return {name: str(value) for name, value in options.items() if value is not None}


def _migrate_first(url: str) -> None:
    """On SQLite the processes bring the schema along; on PostgreSQL a person or a job runs `bridge migrate`."""
    if url.startswith("sqlite"):
        database = Database(url)
        migrations.upgrade(database)
        database.close()


def _in_a_thread(act: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    """A signal handler runs inside whatever the main thread is doing, perhaps while it holds the very lock that `act` needs."""
    return lambda _number, _frame: threading.Thread(target=act).start()


class _NoAccessLog(Logger):
    """The receiver logs each accepted event itself; an access log would say it twice, with the token's path."""

    def access(self, *_args: Any) -> None:
        return


class _Gunicorn(BaseApplication):
    """gunicorn with our options, without a file of its own. https://docs.gunicorn.org/en/stable/custom.html"""

    def __init__(self, make_app: Callable[[], Any], options: Mapping[str, Any]) -> None:
        self._make_app, self._options = make_app, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            if name in self.cfg.settings and value is not None:
                self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make_app()


class Supervisor:
    """Keeps the named commands running, each in a process of its own; one SIGTERM or SIGINT stops all of them gently.

    On Linux a child is told to stop when we are killed, so that a killed parent leaves nothing behind.
    """

    def __init__(self, commands: Mapping[str, list[str]], environ: Mapping[str, str]) -> None:
        self._commands, self._environ = commands, dict(environ)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _in_a_thread(self._stopping.set))
        for name in self._commands:
            self._start(name)
        while not self._stopping.wait(0.2):
            for name, child in list(self._children.items()):
                if child.poll() is not None:
                    log.warning("process_died", process=name, exit_code=child.returncode, restart_after=_RESTART_AFTER)
                    self._stopping.wait(_RESTART_AFTER)
                    self._start(name)
        self._end()

    def _start(self, name: str) -> None:
        if not self._stopping.is_set():
            self._children[name] = subprocess.Popen(self._commands[name], env=self._environ, preexec_fn=die_with_parent)  # noqa: PLW1509, S603  # our own command

    def _end(self) -> None:
        for child in self._children.values():
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def die_with_parent() -> None:
    """https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html; elsewhere than on Linux nothing happens."""
    if sys.platform == "linux":
        os.setsid()  # Ctrl-C reaches us alone; we stop the children in our own time.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
