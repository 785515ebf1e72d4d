"""/metrics: what the processes counted, and what stands in the database, so that any receiver tells
it of the whole system."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    generate_latest,
    multiprocess,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge import __version__
from bridge.domain.errors import StorageError
from bridge.domain.events import DeliveryStatus
from bridge.store import rate_limits, reports, stats, sweeps, workers
from bridge.store.engine.database import Connection, Database

log = structlog.get_logger(__name__)

COUNTED_TO = 100_000
"""Deliveries are counted so far in each status: a scrape must stay cheap when there are
millions."""


@dataclass(frozen=True, slots=True, eq=False)
class Ledger(Collector):
    """Reads the gauges from the database. `rates` are the calls a minute by system. A database that
    can't answer has none to tell."""

    database: Database
    rates: Mapping[str, int]

    def collect(self) -> Iterator[Metric]:
        try:
            with self.database.read() as connection:
                yield from list(self._told(connection))
        except StorageError as exc:
            log.warning("metrics_without_database", error=str(exc))

    def _told(self, connection: Connection) -> Iterator[Metric]:
        now = self.database.now(connection)
        last, beat = stats.last_event_at(connection), workers.last_beat(connection)
        vendors = [
            rate_limits.state(connection, system, per_minute=rate, now=now)
            for system, rate in self.rates.items()
        ]
        counts = reports.count_deliveries(connection, most=COUNTED_TO)
        told = {status: counts.get(status, 0) for status in DeliveryStatus}
        yield _gauge(
            "bridge_deliveries",
            f"Deliveries by status; {COUNTED_TO} is that many or more",
            "status",
            told,
        )
        yield _gauge(
            "bridge_exceptions",
            "Deliveries and events that wait for a person",
            value=reports.count_exceptions(connection),
        )
        oldest = reports.oldest_unprocessed(connection, now=now)
        yield _gauge(
            "bridge_oldest_unprocessed_seconds",
            "Age of the oldest notification that is still work",
            value=oldest,
        )
        if last is not None:
            age = max(0.0, (now - last).total_seconds())
            yield _gauge(
                "bridge_last_event_age_seconds",
                "Since ShipStation last sent a notification",
                value=age,
            )
        if beat is not None:
            age = max(0.0, (now - beat).total_seconds())
            yield _gauge(
                "bridge_worker_heartbeat_age_seconds",
                "Since any worker last said that it lives",
                value=age,
            )
        missed = CounterMetricFamily(
            "bridge_missed_webhooks",
            "Shipments that no webhook told of, found by the sweep",
            labels=["event_type"],
        )
        for event_type, count in sweeps.missed(connection).items():
            missed.add_metric([event_type], count)
        yield missed
        left = {vendor.system: vendor.calls_left for vendor in vendors}
        yield _gauge(
            "bridge_rate_budget_remaining", "Calls that could start right now", "system", left
        )
        down = {vendor.system: vendor.state == "down" for vendor in vendors}
        yield _gauge(
            "bridge_vendor_down",
            "1 while a vendor fails as a whole, and only probes go there",
            "system",
            down,
        )


class BuildInfo(Collector):
    """Which version runs, as a label of a figure that is always 1."""

    def collect(self) -> Iterator[Metric]:
        yield _gauge("bridge_build_info", "The version that runs", "version", {__version__: 1})


def _gauge(
    name: str,
    told: str,
    label: str | None = None,
    rows: Mapping[Any, float] | None = None,
    value: float | None = None,
) -> Metric:
    family = GaugeMetricFamily(name, told, labels=[label] if label else None, value=value)
    for key, number in (rows or {}).items():
        family.add_metric([str(key)], number)
    return family


def page(ledger: Ledger) -> bytes:
    """The answer to a scrape of the receiver."""
    registry = _counted()
    registry.register(BuildInfo())
    registry.register(ledger)
    return generate_latest(registry)


def serve(host: str, port: int) -> Callable[[], None]:
    """Let Prometheus scrape what this process counted, on an address of its own; returns what ends
    that. OSError when it is taken."""
    server, thread = start_http_server(port, host, _counted())

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _counted() -> CollectorRegistry:
    """All processes' counters where they share a folder (`bridge run` and `serve` make one), else
    this process's own."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library is untyped here
    else:
        registry.register(REGISTRY)
    return registry
