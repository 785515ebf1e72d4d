"""/metrics: right for the whole system, over several processes, and cheap; the dashboard and the
rules name only what is there."""

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, event

from bridge import metrics
from bridge.domain.events import DeliveryStatus, Lane
from bridge.operations import metrics_exporter
from bridge.simulator import SCENARIOS
from bridge.store import rate_limits, sweeps, workers
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import a_parcel, deliver_next, put, receive
from tests.support.stack import Json, Stack, free_port, samples
from tests.support.waiting import wait_until

pytest_plugins = ["tests.support.database_fixtures"]

RATES = {"purple_dot": 120, "shipstation": 200}


def told(database: Database) -> dict[str, float]:
    """Each gauge of the database, as `name{label}`."""
    registry = CollectorRegistry()
    registry.register(metrics_exporter.DatabaseCollector(database, RATES))
    rows = [row for family in registry.collect() for row in family.samples]
    return {
        row.name + "".join(f"{{{value}}}" for value in row.labels.values()): row.value
        for row in rows
    }


def test_gauges_tell_what_stands_in_the_database(database: WatchedDatabase, clock: Clock) -> None:
    put(database, a_parcel())
    deliver_next(database)
    put(database, a_parcel(number=None, record="2"))
    receive(database)
    clock.advance(90)
    with database.begin() as connection:
        workers.beat(
            connection, "worker-1", started_at=clock.now, now=clock.now - timedelta(seconds=7)
        )

    page = told(database)

    assert {
        name: value
        for name, value in page.items()
        if name.startswith("bridge_deliveries") and value
    } == {
        "bridge_deliveries{delivered}": 1,
        "bridge_deliveries{held}": 1,
    }
    assert len([name for name in page if name.startswith("bridge_deliveries")]) == len(
        DeliveryStatus
    )
    assert page["bridge_exceptions"] == 1
    assert page["bridge_oldest_unprocessed_seconds"] == page["bridge_last_event_age_seconds"] == 90
    assert page["bridge_worker_heartbeat_age_seconds"] == 7


def test_empty_database_tells_no_age_of_what_never_was(database: WatchedDatabase) -> None:
    page = told(database)

    assert page["bridge_exceptions"] == page["bridge_oldest_unprocessed_seconds"] == 0
    assert not page.keys() & {
        "bridge_last_event_age_seconds",
        "bridge_worker_heartbeat_age_seconds",
    }


def test_replay_of_an_old_event_is_no_old_work(database: WatchedDatabase, clock: Clock) -> None:
    receive(database, lane=Lane.REPLAY)
    clock.advance(3600)

    assert told(database)["bridge_oldest_unprocessed_seconds"] == 0


def test_event_that_the_bridge_fed_in_itself_is_no_sign_of_life_from_shipstation(
    database: WatchedDatabase, clock: Clock
) -> None:
    receive(database)
    clock.advance(600)
    receive(
        database, resource_url="https://ssapi.shipstation.com/shipments?batchId=8", source="sweep"
    )

    assert told(database)["bridge_last_event_age_seconds"] == 600


def test_vendor_that_is_down_or_told_us_to_wait_is_told(
    database: WatchedDatabase, clock: Clock
) -> None:
    before = told(database)
    for _ in range(rate_limits.FAILURES_IN_A_ROW):
        with database.begin() as connection:
            rate_limits.failed(connection, "shipstation", now=clock.now)
        clock.advance(rate_limits.FAILING_SECONDS)
    with database.begin() as connection:
        rate_limits.pause(connection, "purple_dot", seconds=30, now=clock.now)

    page = told(database)

    assert (
        before["bridge_rate_budget_remaining{purple_dot}"]
        > 0
        == page["bridge_rate_budget_remaining{purple_dot}"]
    )
    assert (page["bridge_vendor_down{shipstation}"], page["bridge_vendor_down{purple_dot}"]) == (
        1,
        0,
    )


def sweep(database: Database, *, missed: int) -> None:
    with database.begin() as connection:
        now = database.now(connection)
        number = sweeps.start(connection, started_by="worker", looked_back_to=now, now=now)
        sweeps.note(
            connection,
            number,
            {"LABEL_CREATED_V2": {"listed": 9, "missed": missed, "finished": 0, "voided": 0}},
        )


def test_missed_webhooks_add_up_over_all_sweeps(database: WatchedDatabase) -> None:
    for missed in (2, 0, 1):
        sweep(database, missed=missed)

    assert told(database)["bridge_missed_webhooks_total{LABEL_CREATED_V2}"] == 3


def test_counting_ends_at_a_bound(
    database: WatchedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_exporter, "COUNTED_TO", 2)
    for number in range(3):
        put(database, a_parcel(number=None, record=str(number)))

    assert told(database)["bridge_deliveries{held}"] == 2


def test_database_that_does_not_answer_leaves_the_counters(database: WatchedDatabase) -> None:
    database.fail()

    page = metrics_exporter.render(metrics_exporter.DatabaseCollector(database, RATES)).decode()

    assert "bridge_exceptions" not in page
    assert "# TYPE bridge_events_total counter" in page


@pytest.fixture
def asked(database: WatchedDatabase) -> Iterator[list[tuple[str, Any]]]:
    """Every statement that reaches the database."""
    kept: list[tuple[str, Any]] = []

    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        kept.append((statement, parameters))

    engine: Engine = database.engine
    event.listen(engine, "before_cursor_execute", keep)
    yield kept
    event.remove(engine, "before_cursor_execute", keep)


def plan(database: Database, statement: str, parameters: Any) -> str:
    with Database.read(database) as connection:
        if database.is_sqlite:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return "\n".join(row[3] for row in rows)
        connection.exec_driver_sql(
            "SET LOCAL enable_seqscan = off"
        )  # So small tables are planned like large ones.
        return "\n".join(
            row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        )


def test_scrape_reads_no_table_of_the_journey_from_end_to_end(
    database: WatchedDatabase, asked: list[tuple[str, Any]]
) -> None:
    told(database)
    questions = [
        (text, values) for text, values in asked if re.search(r"FROM (events|deliveries)", text)
    ]
    plans = [plan(database, *question) for question in questions]

    scans = [
        line
        for text in plans
        for line in text.splitlines()
        if re.search(r"Seq Scan|SCAN (events|deliveries)(?! USING)", line)
    ]
    assert len(questions) >= 4
    assert scans == []


# Through processes


def test_receiver_and_worker_count_together_under_bridge_run(stack: Stack) -> None:
    stack.start_both()
    stack.travel(SCENARIOS["v1_label"].play(stack.world)[0])

    wait_until(
        lambda: stack.metric("bridge_delivery_seconds_count") == 1,
        10,
        "the worker to have counted its delivery",
    )
    assert stack.metric("bridge_deliveries_total", status="delivered") == 1
    assert (
        stack.metric(
            "bridge_api_requests_total",
            system="purple_dot",
            operation="create_fulfillment",
            outcome="ok",
        )
        == 1
    )
    assert stack.metric("bridge_deliveries", status="delivered") == 1
    assert stack.metric("bridge_worker_heartbeat_age_seconds") < 30


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_worker_alone_tells_its_own_counters_where_it_is_told_to(stack: Stack) -> None:
    port = free_port()
    stack.start_receiver()
    worker = stack.start_worker("--metrics-bind", f"127.0.0.1:{port}")
    stack.travel(SCENARIOS["v1_label"].play(stack.world)[0])

    def counted() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return {"status": "delivered", "value": 1} in samples(
                answer.read().decode(), "bridge_deliveries_total"
            )

    wait_until(counted, 10, "the worker to have counted its delivery")
    assert stack.metric("bridge_deliveries", status="delivered") == 1
    assert {row["value"] for row in stack.metrics("bridge_deliveries_total")} == {0}
    assert worker.stop() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_worker_says_which_address_for_its_counters_is_wrong_or_taken(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for address in ("nonsense", f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:99999999"):
            worker = stack.start("worker", "work", "--once", "--metrics-bind", address)
            assert worker._child.wait(60) == 2
            assert f"--metrics-bind {address}: " in worker.output()
            assert "Traceback" not in worker.output()


# What is shipped for Prometheus and Grafana

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS_OWN = {"le", "job", "instance", "alertname", "severity"}


def known() -> dict[str, set[str]]:
    """The labels of each series that /metrics can have."""
    database = Database("sqlite:///x.db", clock=Clock())
    migrate.upgrade(database)
    receive(database)
    sweep(database, missed=1)
    with database.begin() as connection:
        workers.beat(
            connection,
            "worker-1",
            started_at=database.now(connection),
            now=database.now(connection),
        )
    families = list(metrics_exporter.DatabaseCollector(database, RATES).collect())
    names = {row.name: set(row.labels) for family in families for row in family.samples}
    for one in vars(metrics).values():
        for family in one.collect() if hasattr(one, "_labelnames") else ():
            labels = set(one._labelnames)
            suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("_total",)
            names |= {
                family.name + suffix: labels | ({"le"} if suffix == "_bucket" else set())
                for suffix in suffixes
            }
    database.close()
    return names


def expressions() -> list[str]:
    dashboard: Json = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = re.findall(
        r"^ +expr: (?:\|\n)?(.+)$", (DEPLOY / "prometheus-rules.yml").read_text(), re.MULTILINE
    )
    assert len(shown) > 8
    assert len(rules) > 6
    return [*shown, *rules]


def test_dashboard_and_rules_name_only_metrics_and_labels_that_exist() -> None:
    labels = known()
    lost: list[str] = []
    for expression in expressions():
        used = re.findall(r"\b(bridge_\w+)(?:\{([^}]*)\})?", expression)
        lost += [name for name, _ in used if name not in labels]
        asked = {label for _, chosen in used for label in re.findall(r"(\w+)\s*[=!]~?", chosen)}
        asked |= {
            label.strip()
            for group in re.findall(r"\bby \(([^)]*)\)", expression)
            for label in group.split(",")
        }
        there = set().union(*(labels.get(name, set()) for name, _ in used)) | PROMETHEUS_OWN
        lost += [f"{label} in {expression}" for label in asked - there]

    assert lost == []


def test_every_metric_stands_on_the_dashboard() -> None:
    shown = " ".join(expressions())

    assert [
        name for name in known() if not name.endswith(("_sum", "_count")) and name not in shown
    ] == []


def test_every_rule_says_what_to_do() -> None:
    rules = (DEPLOY / "prometheus-rules.yml").read_text().split("- alert: ")[1:]

    assert [
        rule.splitlines()[0]
        for rule in rules
        if "summary: " not in rule or "description: " not in rule or "severity: " not in rule
    ] == []


def test_counters_of_closed_sets_stand_at_zero_from_the_first_scrape_on(
    database: WatchedDatabase,
) -> None:
    page = metrics_exporter.render(metrics_exporter.DatabaseCollector(database, RATES)).decode()

    for sample in (
        'bridge_missed_webhooks_total{event_type="LABEL_CREATED_V2"}',
        'bridge_missed_webhooks_total{event_type="SHIP_NOTIFY"}',
        'bridge_events_total{event_type="SHIP_NOTIFY",status="duplicate"}',
        'bridge_rejections_total{cause="signature_wrong"}',
        'bridge_deliveries_total{status="dead"}',
        'operation="create_fulfillment",outcome="unclear",system="purple_dot"}',
    ):
        assert sample in page
