"""`bridge work`: the worker alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bridge.cli.context import load_settings, open_services
from bridge.cli.output import reason_of
from bridge.cli.processes import (
    PARENT,
    announce,
    chosen_log_format,
    follow_parent,
    give_memory_back,
    on_signals,
    threads_option,
)


@click.command(
    epilog="""\b
    Example:
      bridge work --once     drain what is due, such as from cron
    """
)
@click.option("--once", is_flag=True, help="Drain what is due now, then exit.")
@click.option(
    "--metrics-bind", help="Let Prometheus scrape this worker's own counters, at host:port."
)
@threads_option
def work(once: bool, metrics_bind: str | None, **options: object) -> None:
    """The worker alone: fetches, decides and delivers until SIGTERM, then finishes what is in
    flight."""
    from bridge.logs import configure_logs

    is_child = PARENT in os.environ
    follow_parent()
    give_memory_back()
    settings = chosen_log_format(load_settings(**options))
    configure_logs(settings.log_format, settings.log_level)
    if not (once or is_child):
        announce(settings)
    with open_services(settings) as services, _own_metrics(metrics_bind):
        on_signals(services.worker.stop)
        services.worker.run(once=once)


@contextmanager
def _own_metrics(bind: str | None) -> Iterator[None]:
    """While it lasts, Prometheus may scrape this process at host:port."""
    if bind is None:
        yield
        return
    from bridge.operations.metrics_exporter import serve as serve_metrics

    host, _, port = bind.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise _no_bind(bind, "has no port")
    try:
        stop = serve_metrics(host.strip("[]"), int(port))
    except (OSError, ValueError, OverflowError) as exc:
        raise _no_bind(bind, reason_of(exc)) from exc
    try:
        yield
    finally:
        stop()


def _no_bind(bind: str, problem: str) -> click.UsageError:
    return click.UsageError(
        f"--metrics-bind {bind}: {problem}; write a free host:port, like 127.0.0.1:9464"
    )
