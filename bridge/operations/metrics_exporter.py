"""/metrics: what the processes counted, and what is in the database, so that any receiver shows it
for the whole system."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
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

from bridge import __version__, metrics
from bridge.domain.errors import StorageError
from bridge.domain.events import DeliveryStatus
from bridge.store import rate_limits, reports, stats, sweeps, workers
from bridge.store.engine.database import Connection, Database
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.lists import LISTINGS

log = structlog.get_logger(__name__)

COUNTED_TO = 100_000
"""Deliveries are counted so far in each status: a scrape must stay cheap when there are
millions."""


@dataclass(frozen=True, slots=True, eq=False)
class DatabaseCollector(Collector):
    """Reads the gauges from the database. `rates` are the calls a minute by system. A database that
    can't answer has none to show."""

    database: Database
    rates: Mapping[str, int]

    def collect(self) -> Iterator[Metric]:
        try:
            with self.database.read() as connection:
                yield from list(self._metrics(connection))
        except StorageError as exc:
            log.warning("metrics_without_database", error=str(exc))

    def _metrics(self, connection: Connection) -> Iterator[Metric]:
        now = self.database.now(connection)
        counts = reports.count_deliveries(connection, most=COUNTED_TO)
        yield _gauge(
            "bridge_deliveries",
            f"Deliveries by status; {COUNTED_TO} is that many or more",
            "status",
            {status: counts.get(status, 0) for status in DeliveryStatus},
        )
        yield _gauge(
            "bridge_exceptions",
            "Deliveries and events that wait for a person",
            value=reports.count_exceptions(connection),
        )
        yield _gauge(
            "bridge_oldest_unprocessed_seconds",
            "How long the oldest work has been due, of what is not put off on purpose",
            value=reports.oldest_unprocessed(connection, now=now),
        )
        yield from _age(
            "bridge_last_event_age_seconds",
            "Since ShipStation last sent a notification",
            stats.last_event_at(connection),
            now,
        )
        yield from _age(
            "bridge_worker_heartbeat_age_seconds",
            "Since any worker last said that it lives",
            workers.last_beat(connection),
            now,
        )
        yield _missed(connection)
        yield from self._vendor_metrics(connection, now)

    def _vendor_metrics(self, connection: Connection, now: datetime) -> Iterator[Metric]:
        states = [
            rate_limits.state(connection, system, per_minute=rate, now=now)
            for system, rate in self.rates.items()
        ]
        yield _gauge(
            "bridge_rate_budget_remaining",
            "Calls that could start right now",
            "system",
            {vendor.system: vendor.calls_left for vendor in states},
        )
        yield _gauge(
            "bridge_vendor_down",
            "1 while a vendor fails as a whole, and only probes go there",
            "system",
            {vendor.system: vendor.state == "down" for vendor in states},
        )


def _age(name: str, help_text: str, time: datetime | None, now: datetime) -> Iterator[Metric]:
    """Nothing of what never was."""
    if time is not None:
        yield _gauge(name, help_text, value=max(0.0, (now - time).total_seconds()))


def _missed(connection: Connection) -> Metric:
    """Each type that the sweep looks for has its sample from the first scrape on: an increase can't
    be seen of a series that begins with it."""
    counts = dict.fromkeys((listing.event_type for listing in LISTINGS), 0)
    counts |= sweeps.missed(connection)
    missed = CounterMetricFamily(
        "bridge_missed_webhooks",
        "Shipments that no webhook reported, found by the sweep",
        labels=["event_type"],
    )
    for event_type, count in counts.items():
        missed.add_metric([event_type], count)
    return missed


class BuildInfo(Collector):
    """Which version runs, as a label of a figure that is always 1."""

    def collect(self) -> Iterator[Metric]:
        yield _gauge("bridge_build_info", "The version that runs", "version", {__version__: 1})


def _gauge(
    name: str,
    help_text: str,
    label: str | None = None,
    values: Mapping[Any, float] | None = None,
    value: float | None = None,
) -> Metric:
    labels = None if label is None else [label]
    family = GaugeMetricFamily(name, help_text, labels=labels, value=value)
    for key, number in (values or {}).items():
        family.add_metric([str(key)], number)
    return family


_STORED_AS = ("received", "duplicate", "ignored")
_OUTCOMES = ("delivered", "retrying", "waiting", "unconfirmed", "held", "dead", "cancelled")
_REFUSED_FOR = (
    "token_missing",
    "token_wrong",
    "signature_missing",
    "signature_wrong",
    "timestamp_stale",
    "timestamp_unreadable",
    "unknown_key",
    "bad_json",
    "bad_shape",
    "foreign_url",
    "throttled",
    "unknown_path",
    "password_wrong",
    "sign_in_throttled",
    "session_outdated",
)
_CALLS = {
    "purple_dot": ("create_fulfillment", "fulfillment_order", "fulfillment_orders"),
    "shipstation": ("labels", "fulfillments", "shipment"),
    "shipstation_v1": ("shipments", "fulfillments", "order"),
}
_CALLED_WITH = ("ok", "network", "unclear", "throttled", "server_error", "rejected")


def start_at_zero() -> None:
    """Let each counter of a closed set of labels have its samples before anything is counted."""
    for event_type in (*EVENT_TYPES, "other"):
        for status in _STORED_AS:
            metrics.EVENTS.labels(event_type=event_type, status=status)
    for cause in _REFUSED_FOR:
        metrics.REJECTIONS.labels(cause=cause)
    for status in _OUTCOMES:
        metrics.DELIVERIES.labels(status=status)
    for system, operations in _CALLS.items():
        for operation in operations:
            for outcome in _CALLED_WITH:
                metrics.API_REQUESTS.labels(system=system, operation=operation, outcome=outcome)


def render(collector: DatabaseCollector) -> bytes:
    """The answer to a scrape of the receiver."""
    start_at_zero()
    registry = _counted()
    registry.register(BuildInfo())
    registry.register(collector)
    return generate_latest(registry)


def serve(host: str, port: int) -> Callable[[], None]:
    """Let Prometheus scrape what this process counted, on an address of its own; returns what ends
    that. OSError when it is taken."""
    start_at_zero()
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
