"""What is asked of the database is found by an index, however much there is: on the SQLite that
Python came with, and on a newer one, whose planner thinks differently."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from bridge.domain.events import EventOutcome, EventStatus, Lane
from bridge.settings import Settings
from bridge.store import deliveries, events, leases, orders, rate_limits, replays, reports
from bridge.store.engine.database import Database
from bridge.store.queries import Query
from bridge.web.app import create_app
from tests.benchmarks import history
from tests.support.console_client import PASSWORDS, sign_in, token_in
from tests.support.fakes import Clock
from tests.support.jobs import Jobs
from tests.support.query_plans import (
    counted_steps,
    plans_of,
    postgresql_plans_of,
    reading_through,
)
from tests.support.rows import LEASE
from tests.support.virtual_bridge import SETTINGS, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]


@pytest.fixture(params=["sqlite3", "pysqlite3"])
def driver(request: pytest.FixtureRequest) -> Any:
    """SQLite as Python has it, and the newest as a package."""
    return sqlite3 if request.param == "sqlite3" else pytest.importorskip("pysqlite3.dbapi2")


# The way of a parcel


@pytest.fixture
def database(opened: Callable[[], Database]) -> Database:
    """One that runs the product's own statements alone."""
    return opened()


on_sqlite = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)


@on_sqlite
def test_what_a_parcel_takes_from_webhook_to_fulfillment_is_found_by_an_index(
    jobs: Jobs, driver: Any
) -> None:
    """By the row's own key, too: an index of statuses holds all that was ever delivered."""
    with plans_of(jobs.database, driver) as plans:
        jobs.notify()
        jobs.process()
        jobs.deliver()

    assert len(plans) > 20
    assert reading_through(plans) == {}
    steps = [step for steps in plans.values() for step in steps]
    assert not [step for step in steps if "MULTI-INDEX" in step or "_status" in step]


@on_sqlite
def test_what_workers_and_other_records_ask_is_found_by_an_index(jobs: Jobs, driver: Any) -> None:
    with plans_of(jobs.database, driver) as plans, jobs.database.begin() as connection:
        now = jobs.database.now(connection)
        leases.next_due(connection)
        leases.renew(connection, leases.EVENTS, held=[("evt_1", 1)], owner="worker-1", until=now)
        rate_limits.take(connection, "purple_dot", per_minute=60, now=now, lane=Lane.LIVE)
        rate_limits.failed(connection, "purple_dot", now=now)
        deliveries.by_record(connection, "v2_label", ["se-1", "se-2"])
        deliveries.by_tracking(connection, "1Z", order_number="PD1")
        deliveries.events_of(connection, "dlv_1")
        orders.known(connection, order_ids=["a"], references=["pd1"], line_ids=["l"])
        orders.bindings(connection, ["se-1"])

    assert len(plans) > 10
    assert reading_through(plans) == {}


# A batch of webhooks

_MANY = 5_000
"""So many that a planner that knows their number reads no table through for a hundred of them."""
_BATCH = 100


@pytest.fixture
def filled(migrated_url: str) -> Iterator[Database]:
    """Its planner has counted what is there. What waits are the newest three hundred events."""
    database = Database(migrated_url, clock=lambda: history.LAST + timedelta(days=1))
    history.fill(database, _MANY)
    yield database
    if not database.is_sqlite:  # The next test would have to delete it row by row.
        with database.begin() as connection:
            connection.execute(text("TRUNCATE events, deliveries CASCADE"))
    database.close()


def test_batch_is_claimed_and_ended_by_an_index_however_much_there_is(filled: Database) -> None:
    with ExitStack() as stack:
        plans = stack.enter_context(
            plans_of(filled, sqlite3) if filled.is_sqlite else postgresql_plans_of(filled)
        )
        connection = stack.enter_context(filled.begin())
        now = filled.now(connection)
        leases.next_due(connection)
        claimed = events.claim(connection, owner="w", limit=_BATCH, lease=LEASE, now=now)
        claims = {event.id: event.claim for event in claimed}
        held = leases.held(connection, leases.EVENTS, claims=claims, owner="w")
        deliveries.claim(connection, owner="w", limit=16, lease=LEASE, now=now)
        deliveries.waiting(connection, lane=Lane.LIVE, due_by=now, first="", limit=500)
        outcome = EventOutcome(EventStatus.PROCESSED, attempts=0, waits=0)
        events.end(connection, [(event, outcome) for event in claimed], owner="w", now=now)

    assert len(held) == _BATCH
    assert len(plans) >= 9
    assert reading_through(plans) == {}


# What people and monitors ask


@pytest.fixture
def bridge(_migrated_file: Path, tmp_path: Path, clock: Clock) -> Iterator[VirtualBridge]:
    shutil.copy(_migrated_file, tmp_path / "bridge.db")
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    with structlog.testing.capture_logs(), VirtualBridge(url, clock) as bridge:
        yield bridge


@pytest.fixture
def app(bridge: VirtualBridge) -> Iterator[Any]:
    """The receiver, with a parcel that went out."""
    world = bridge.world
    [label] = world.buy_labels(world.add_shipstation_order(world.add_order()))
    bridge.travel(world.label_created_v2(label))
    app = create_app(Settings.load(bridge.environ | PASSWORDS))
    app.extensions["database"]._clock = bridge.clock
    yield app
    app.extensions["database"].close()


PAGES = (
    "",
    "exceptions",
    "activity",
    "search?q=PD1",
    "search?q=1Z999",
    "search?q=se-1",
    "search?q=TEE",
    "replays",
    "events",
    "events?q=status:dead",
    "events?q=type:LABEL_CREATED_V2",
    "events?q=since:2d",
    "events?q=se-1",
    "deliveries",
    "deliveries?q=status:held",
    "deliveries?q=reason:no_items",
    "deliveries?q=PD1",
    "deliveries?q=tracking:1Z",
)


def test_no_page_and_no_monitor_reads_a_table_through(
    bridge: VirtualBridge, app: Any, driver: Any
) -> None:
    client = app.test_client()
    sign_in(client)
    ids = [f"events/{event['id']}" for event in bridge.events()]
    ids += [f"deliveries/{delivery['id']}" for delivery in bridge.deliveries()]

    with plans_of(app.extensions["database"], driver) as plans:
        answers = [client.get(f"/console/{path}").status_code for path in (*PAGES, *ids)]
        answers += [client.get(path).status_code for path in ("/readyz", "/metrics")]

    assert set(answers) <= {200, 303, 503}
    assert len(plans) > 30
    assert reading_through(plans) == {}


def test_no_plan_of_what_shall_be_done_reads_a_table_through(
    bridge: VirtualBridge, app: Any, driver: Any
) -> None:
    client = app.test_client()
    sign_in(client)
    csrf = token_in(client.get("/console/deliveries").text)
    form = {"csrf": csrf, "all": "1", "next": "/console/deliveries"}

    with plans_of(app.extensions["database"], driver) as plans:
        many = client.post("/console/many", data={**form, "what": "retry", "q": "status:delivered"})
        replay = client.post("/console/replays/plan", data={**form, "q": "type:LABEL_CREATED_V2"})
        with app.extensions["database"].read() as connection:
            replays.candidates(connection, query=Query(since=bridge.clock.now), standing="held")

    assert (many.status_code, replay.status_code) == (200, 200)
    assert reading_through(plans) == {}
    candidates = [steps for query, steps in plans.items() if "has_records" in query]
    assert candidates
    assert not [steps for steps in candidates if "ix_deliveries_status" in str(steps)]


# What it costs as a ledger grows

FEW, MANY = 6_000, 24_000
"""Both more than the newest rows that a search reads through."""
KEYS = {"BRIDGE_SHIPSTATION_API_KEY": "a", "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "b"}
RECENT_DAYS = {"events?q=se-1"}
"""Reads what was decided in the last two days, however many webhooks that were."""
NARROWED = (
    "search?q=PD5000",
    "search?q=pd5",
    "search?q=1Z5000",
    "search?q=SKU",
    "search?q=nothing-of-the-kind",
    "search?q=evt_01a",
    "events?q=status:processed reason:voided",
    "deliveries?q=status:delivered PD5000",
    "deliveries?q=status:delivered tracking:1Z5000",
    "deliveries?q=status:delivered reason:no_items",
    "deliveries?q=status:delivered since:6h",
)


@pytest.fixture(scope="module")
def grown(_migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """The receiver of a young ledger, and of one that is four times as old."""
    folder = tmp_path_factory.mktemp("grown")
    apps = []
    for rows in (FEW, MANY):
        file = shutil.copy(_migrated_file, folder / f"{rows}.db")
        database = Database(f"sqlite:///{file}", clock=lambda: history.LAST)
        history.fill(database, rows)
        history.fill_around(database, rows)
        database.close()
        environ = SETTINGS | KEYS | PASSWORDS | {"BRIDGE_DATABASE_URL": f"sqlite:///{file}"}
        app = create_app(Settings.load(environ))
        app.extensions["database"]._clock = lambda: history.LAST
        apps.append(app)
    yield apps
    for app in apps:
        app.extensions["database"].close()


def test_no_page_costs_more_as_a_ledger_grows(
    grown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the plans say: a statement that looks limited reads through where nothing fits."""
    for module in ("web.console.overview", "web.console.lists", "operations.metrics_exporter"):
        name = "COUNTED_TO" if module.startswith("operations") else "_COUNTED_TO"
        monkeypatch.setattr(f"bridge.{module}.{name}", FEW // 2)
    young, old = (_steps_of_pages(app) for app in grown)

    assert len(young) == len(old) > 30
    growing = {path: (young[path], old[path]) for path in young if old[path] > 2 * young[path]}
    assert {path: steps for path, steps in growing.items() if steps[1] > FEW} == {}


def _steps_of_pages(app: Any) -> dict[str, int]:
    """How many steps SQLite's machine takes for each page."""
    client = app.test_client()
    sign_in(client)
    database = app.extensions["database"]
    with database.read() as connection:
        newest = reports.list_deliveries(connection, Query(status="delivered", limit=1))[0]
    paths = {
        path: f"/console/{path}" for path in (*PAGES, *NARROWED) if path not in RECENT_DAYS
    } | {
        "a parcel": f"/console/deliveries/{newest['id']}",
        "a webhook": f"/console/events/{newest['event_ids'][0]}",
        "metrics": "/metrics",
    }
    steps = {}
    for name, path in paths.items():
        client.get(path)  # What is asked once and remembered is no part of it.
        with counted_steps(database) as count:
            assert client.get(path).status_code in {200, 303}
        steps[name] = count()
    return steps
