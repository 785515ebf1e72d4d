"""`bridge doctor`: what is wrong is told with what to do, what is right is told too, and no secret
is."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import certifi
import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from bridge.cli import main
from bridge.operations import doctor
from bridge.settings import Settings
from bridge.simulator import Simulator
from bridge.simulator.shapes import SHAPES
from bridge.store import periodic, rate_limits, reports, shared_state, workers
from bridge.store.engine.database import Database
from bridge.store.queries import Query
from bridge.vendors.http import ApiClient
from bridge.web.app import create_app
from tests.support.fakes import Clock

pytest_plugins = ["tests.support.simulator_fixtures"]

Run = Callable[..., Result]

TOKEN = "a-token-of-the-tests"
HOME = "https://bridge.example.com"


@pytest.fixture
def env(simulator_env: dict[str, str]) -> dict[str, str]:
    return simulator_env | {"BRIDGE_WEBHOOK_TOKENS": TOKEN}


@pytest.fixture
def run(env: Mapping[str, str]) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=dict(env))

    return run


@pytest.fixture
def database(run: Run, env: Mapping[str, str]) -> Any:
    """A migrated database in which a worker lives and a sweep was finished just now."""
    assert run("migrate").exit_code == 0
    with closing(Database(env["BRIDGE_DATABASE_URL"])) as database:
        with database.begin() as connection:
            now = datetime.now(UTC)
            workers.beat(connection, "worker-1", started_at=now, now=now)
            periodic.take(connection, "sweep", every=timedelta(minutes=15), now=now)
            periodic.note_done(connection, "sweep", now=now)
        yield database


def findings(result: Result) -> dict[str, list[tuple[str, str, str | None]]]:
    told: dict[str, list[tuple[str, str, str | None]]] = {}
    for one in json.loads(result.stdout)["findings"]:
        told.setdefault(one["check"], []).append((one["status"], one["found"], one["to_do"]))
    return told


def status(result: Result, check: str) -> list[str]:
    return [one[0] for one in findings(result)[check]]


# What is wrong


def test_wrong_settings_are_told_and_what_is_right_is_looked_at(
    run: Run, env: dict[str, str]
) -> None:
    env |= {
        "BRIDGE_HOLD_SECONDS": "soon",
        "BRIDGE_WEBHOOK_TOKENS": "short-secret!",
        "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "",
    }

    result = run("doctor", "--json")

    told = findings(result)
    assert result.exit_code == 1
    assert [found.partition(":")[0] for _, found, _ in told["settings"]] == [
        "BRIDGE_WEBHOOK_TOKENS",
        "BRIDGE_PURPLE_DOT_ACCESS_TOKEN",
        "BRIDGE_HOLD_SECONDS",
    ]
    assert (
        status(result, "ShipStation V2"),
        status(result, "ShipStation V1"),
        "Purple Dot" in told,
    ) == (["ok"], ["ok"], False)
    assert "short-secret" not in result.output


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("setting", "check"),
    [
        ("BRIDGE_SHIPSTATION_API_KEY", "ShipStation V2"),
        ("BRIDGE_SHIPSTATION_V1_API_SECRET", "ShipStation V1"),
        ("BRIDGE_PURPLE_DOT_ACCESS_TOKEN", "Purple Dot"),
    ],
)
def test_refused_credential_is_told_with_its_setting(
    run: Run, env: dict[str, str], setting: str, check: str
) -> None:
    env[setting] = "a-secret-of-nobody"

    result = run("doctor", "--json")

    [(how, _, to_do)] = findings(result)[check]
    assert (result.exit_code, how, setting.removesuffix("_API_SECRET") in str(to_do)) == (
        1,
        "fail",
        True,
    )
    assert "a-secret-of-nobody" not in result.output


@pytest.mark.usefixtures("database")
def test_vendor_that_is_down_is_told_and_the_others_are_looked_at(
    run: Run, simulator: Simulator
) -> None:
    simulator.inject("purple_dot.orders", "status:503")
    simulator.inject("jwks", "status:503")

    result = run("doctor", "--json")

    assert (
        status(result, "Purple Dot"),
        status(result, "signature keys"),
        status(result, "ShipStation V2"),
    ) == (["fail"], ["fail"], ["ok"])


def test_nothing_that_can_be_reached_is_told_in_lines(
    run: Run, simulator: Simulator, env: dict[str, str]
) -> None:
    env["BRIDGE_DATABASE_URL"] = "postgresql+psycopg://bridge:pg-secret@127.0.0.1:1/bridge"
    simulator.stop()

    result = run("doctor")

    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines() if line[0] != " "].count(
        "fail"
    ) == 5
    assert "no vendor said what time it is" in result.stdout
    assert "pg-secret" not in result.output


def test_missing_database_is_told_and_not_made(run: Run, tmp_path: Path) -> None:
    result = run("doctor", "--json")

    assert (result.exit_code, status(result, "database"), list(tmp_path.glob("bridge.db*"))) == (
        0,
        ["warn"],
        [],
    )


def test_database_without_tables_is_told(run: Run, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "bridge.db").close()
    (tmp_path / "bridge.db").touch()

    result = run("doctor", "--json")

    assert "fail" in status(result, "database")
    assert "bridge migrate" in result.stdout


def test_file_that_is_no_database_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bridge.db").write_text("this is a shopping list, " * 100)

    assert "fail" in status(run("doctor", "--json"), "database")


def test_default_database_is_not_looked_at_when_another_was_meant(
    run: Run, env: dict[str, str]
) -> None:
    env["BRIDGE_DATABASE_URL"] = "mysql://bridge"

    result = run("doctor", "--json")

    assert (
        result.exit_code,
        "database" in findings(result),
        "ShipStation V2" in findings(result),
    ) == (1, False, True)


@pytest.mark.usefixtures("database")
def test_files_that_others_can_read_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").touch(0o644)
    (tmp_path / "bridge.db").chmod(0o640)

    result = run("doctor", "--json")

    told = [to_do for check in ("settings", "database") for _, _, to_do in findings(result)[check]]
    assert [to_do for to_do in told if to_do] == [
        "chmod 600 .env",
        f"chmod 600 {tmp_path / 'bridge.db'}",
    ]


def test_new_database_is_for_its_owner_only(run: Run, tmp_path: Path) -> None:
    run("migrate")

    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("bridge.db*")} == {0o600}


def test_silent_worker_and_sweep_are_told(run: Run) -> None:
    run("migrate")

    result = run("doctor", "--json")

    assert (status(result, "worker"), status(result, "sweep")) == (["fail"], ["warn"])


@pytest.mark.usefixtures("database")
def test_lost_subscription_is_told(run: Run, simulator: Simulator) -> None:
    run("webhooks", "ensure", HOME)
    simulator.world.subscriptions[0].url = "https://erp.example.net/s3cr3t-path"

    result = run("doctor", "--json")

    [(how, found, to_do)] = findings(result)["subscriptions"]
    assert (result.exit_code, how) == (1, "fail")
    assert "label_created_v2 goes to https://erp.example.net/***" in found
    assert "bridge webhooks ensure" in str(to_do)


@pytest.mark.usefixtures("database")
def test_subscriptions_that_nobody_watches_over_are_told(run: Run) -> None:
    assert status(run("doctor", "--json"), "subscriptions") == ["warn"]


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (0, "ok"),
        (-20, "ok"),
        (45, "warn"),
        (-45, "warn"),
        (290, "fail"),
        (-86_400, "fail"),
        (None, "warn"),
    ],
)
def test_clock_is_judged_by_the_vendors(ahead: float | None, expected: str) -> None:
    assert doctor.clock(ahead).status == expected


def test_vendor_whose_own_clock_is_wrong_does_not_count_when_another_agrees_with_us() -> None:
    api, ear, now = (
        ApiClient(system="purple_dot", origins=lambda _: True),
        doctor.ClockSkewProbe(),
        datetime.now(UTC),
    )
    ear.attach(api)

    for moment in (now + timedelta(hours=3), now, now - timedelta(hours=1)):
        api.after_call("orders", "ok", 0.1, {"Date": format_datetime(moment, usegmt=True)})
    api.after_call("orders", "ok", 0.1, {"Date": "yesterday"})
    api.after_call("orders", "network", 0.1, {})

    assert ear.skew_seconds is not None
    assert abs(ear.skew_seconds) < 10


@pytest.mark.parametrize(
    ("minutes", "expected"), [(10, "ok"), (44, "ok"), (46, "warn"), (None, "warn")]
)
def test_sweep_that_is_late_is_told(minutes: float | None, expected: str) -> None:
    now = Clock().now
    last = None if minutes is None else now - timedelta(minutes=minutes)

    assert doctor.sweep(last, interval=timedelta(minutes=15), now=now).status == expected
    assert doctor.sweep(last, interval=timedelta(0), now=now).status == "warn"


def test_paused_vendor_waiting_exceptions_and_a_backlog_are_told() -> None:
    told = {
        "database": "ok",
        "migrations": "ok",
        "worker": "ok",
        "worker_heartbeat_age_seconds": 1.0,
        "oldest_unprocessed_seconds": 1800.0,
        "exceptions_waiting": 3,
        "vendors": {
            "shipstation": {
                "state": "throttled",
                "calls_left": 0,
                "until": "2026-11-04T12:01:00+00:00",
            },
            "purple_dot": {"state": "ok", "calls_left": 12},
        },
    }

    found = {finding.check: (finding.status, finding.found) for finding in doctor.health(told)}

    assert found["backlog"] == ("warn", "the oldest work has been due for 30 min")
    assert found["exceptions"] == ("warn", "3 waiting for a person")
    assert found["ShipStation V2 budget"] == ("warn", "throttled until 2026-11-04T12:01:00+00:00")
    assert found["Purple Dot budget"][0] == "ok"


@pytest.mark.usefixtures("database")
def test_vendor_that_tells_us_to_wait_is_a_warning_and_json_stays_one_document(
    run: Run, simulator: Simulator, env: dict[str, str]
) -> None:
    del env["BRIDGE_SHIPSTATION_V1_API_KEY"], env["BRIDGE_SHIPSTATION_V1_API_SECRET"]
    simulator.inject("purple_dot.orders", "throttle:60")

    first, second = run("doctor", "--json"), run("doctor", "--json")

    assert (status(first, "Purple Dot"), status(second, "Purple Dot")) == (["warn"], ["warn"])
    assert (status(second, "Purple Dot budget"), status(second, "ShipStation V2 budget")) == (
        ["warn"],
        ["ok"],
    )
    assert "ShipStation V1 budget" not in findings(second)


# What is right


@pytest.mark.usefixtures("database")
def test_all_well_is_exit_code_0_and_changes_nothing(run: Run, simulator: Simulator) -> None:
    run("webhooks", "ensure", HOME)
    before = len(simulator.world.subscriptions)

    result = run("doctor", "--json")

    assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "ok"), result.stdout
    assert {name for _, name in simulator.world.calls} <= {
        "webhooks",
        "create_webhook",
        "jwks",
        "orders",
    }
    assert len(simulator.world.subscriptions) == before


@pytest.mark.usefixtures("database")
def test_no_secret_is_told(run: Run, env: Mapping[str, str]) -> None:
    run("webhooks", "ensure", HOME)

    outputs = "".join(run("doctor", *form).output for form in ([], ["--json"], ["--contract"]))

    secrets = [
        value for name, value in env.items() if name.endswith(("KEY", "SECRET", "TOKEN", "TOKENS"))
    ]
    assert len(secrets) == 5
    assert [secret for secret in secrets if secret in outputs] == []


# The contract


@pytest.mark.usefixtures("database")
def test_proxy_and_certificates_of_the_environment_are_shown_without_a_password(
    run: Run, env: dict[str, str]
) -> None:
    bundle = certifi.where()
    env |= {"HTTPS_PROXY": "http://user:pass-word@proxy.example:3128", "NO_PROXY": ""}
    env |= {"REQUESTS_CA_BUNDLE": bundle}

    result = run("doctor", "--json")

    lines = [
        finding["found"]
        for finding in json.loads(result.stdout)["findings"]
        if finding["check"] == "network"
    ]
    assert lines == [
        "vendors are called through the proxy proxy.example:3128",
        f"certificates are checked with {bundle}",
    ]
    assert "pass-word" not in result.output


@pytest.mark.usefixtures("database")
def test_answers_of_the_shape_that_we_know_are_ok(run: Run, simulator: Simulator) -> None:
    world = simulator.world
    world.buy_labels(world.add_shipstation_order(world.add_order()))
    world.mark_shipped(world.add_shipstation_order("1"))
    run("webhooks", "ensure", HOME)

    result = run("doctor", "--contract", "--json")

    told = {one["check"]: one["found"] for one in json.loads(result.stdout)["findings"]}
    assert result.exit_code == 0
    assert len(told) == 10
    assert {found for check, found in told.items() if check != "settings"} == {
        "has the shape that we know"
    }


@pytest.mark.usefixtures("database")
def test_changed_answers_are_told_and_not_stored(
    run: Run, simulator: Simulator, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = simulator.world
    world.buy_labels(world.add_shipstation_order(world.add_order()))
    monkeypatch.delitem(SHAPES["v2_label"], "voided")
    monkeypatch.setitem(SHAPES["v1_shipment"], "shipmentId", {"new": "Marta Solberg"})

    result = run("doctor", "--contract", "--json")

    told = findings(result)
    assert result.exit_code == 1
    assert told["GET /v2/labels"][0][:2] == ("warn", "labels[].voided is missing in 1 of 1")
    assert [how for how, _, _ in told["GET /shipments"]] == ["fail", "warn"]
    assert told["GET /v2/fulfillments"][0][1] == "answers, but has no rows yet to compare"
    assert "Marta" not in result.output
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM records").scalar_one() == 0


def test_contract_of_a_vendor_that_refuses_us_is_not_compared(
    run: Run, env: dict[str, str]
) -> None:
    env["BRIDGE_PURPLE_DOT_ACCESS_TOKEN"] = "a-secret-of-nobody"

    assert status(run("doctor", "--contract", "--json"), "GET /fulfillment-orders") == ["warn"]


# Seen from outside


@contextmanager
def receiver(env: Mapping[str, str]) -> Iterator[str]:
    """A real receiver on this machine; where it answers."""
    app = create_app(Settings.load(env))
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions["database"].close()


def subscribe(database: Database, home: str) -> None:
    value = {"url": f"{home}/webhooks/shipstation", "store": None, "apis": ["v2"]}
    with database.begin() as connection:
        shared_state.put(connection, shared_state.SUBSCRIBED, value, now=datetime.now(UTC))


def test_test_webhook_comes_through_the_public_address(
    run: Run, env: dict[str, str], database: Database
) -> None:
    with receiver(env) as home:
        subscribe(database, home)
        result = run("doctor", "--public", "--json")

    [(how, found, _)] = findings(result)["public address"]
    assert (how, found.startswith(f"a test webhook came through {home} in ")) == ("ok", True)
    with database.read() as connection:
        [event] = reports.list_events(connection, Query())
    assert (event["event_type"], event["status"]) == ("BRIDGE_TEST", "ignored")
    assert TOKEN not in result.output


def test_public_address_that_refuses_our_token_or_is_not_there_fails(
    run: Run, env: dict[str, str], database: Database
) -> None:
    with receiver(env | {"BRIDGE_WEBHOOK_TOKENS": "another-token-of-tests"}) as home:
        subscribe(database, home)
        refused = run("doctor", "--public", "--json")
    gone = run("doctor", "--public", "--json")

    [(how, found, _)] = findings(refused)["public address"]
    assert (how, "refuses our webhook token" in found) == ("fail", True)
    [(how, found, _)] = findings(gone)["public address"]
    assert (how, found.startswith("nothing listens at "), gone.exit_code) == ("fail", True, 1)


def test_another_bridge_at_the_public_address_is_a_failure(
    run: Run, env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'another.db'}"
    with receiver(env | {"BRIDGE_DATABASE_URL": elsewhere}) as home:
        subscribe(database, home)
        result = run("doctor", "--public", "--json")

    [(how, found, _)] = findings(result)["public address"]
    assert (how, "in another database" in found) == ("fail", True)


# What an operator chose


@pytest.mark.usefixtures("database")
def test_what_an_operator_chose_is_a_warning_and_no_failure(run: Run, env: dict[str, str]) -> None:
    env |= {
        "BRIDGE_RECONCILE_EVERY": "0",
        "BRIDGE_DRY_RUN": "true",
        "BRIDGE_SHIPSTATION_SIGNATURE": "log",
    }

    result = run("doctor", "--json")

    assert result.exit_code == 0
    assert [status(result, check)[0] for check in ("sweep", "dry run", "signature keys")] == [
        "warn"
    ] * 3


def test_pause_is_lifted_by_hand(run: Run, database: Database) -> None:
    with database.begin() as connection:
        rate_limits.pause(connection, "purple_dot", seconds=200, now=datetime.now(UTC))
    before = status(run("doctor", "--json"), "Purple Dot")

    after = status(run("doctor", "--lift-pauses", "--json"), "Purple Dot")

    assert (before, after) == (["warn"], ["ok"])
