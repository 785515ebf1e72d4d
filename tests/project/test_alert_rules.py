"""deploy/prometheus-rules.yml, as Prometheus's own checker reads and runs it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bridge.operations import metrics_exporter
from bridge.store.engine import migrate
from bridge.store.engine.database import Database

PROJECT = Path(__file__).parents[2]
RULES = PROJECT / "deploy" / "prometheus-rules.yml"
TOOLS = PROJECT / "build" / "tools" / "usr" / "bin"
MINUTES = 120

CALM = {
    "bridge_exceptions": "0",
    "bridge_worker_heartbeat_age_seconds": "5",
    "bridge_oldest_unprocessed_seconds": "10",
    "bridge_last_event_age_seconds": "600",
    'bridge_vendor_down{system="purple_dot"}': "0",
    'bridge_api_requests_total{system="purple_dot",outcome="ok"}': "0+20",
    'bridge_api_requests_total{system="purple_dot",outcome="credentials"}': "0",
    'bridge_missed_webhooks_total{event_type="SHIP_NOTIFY"}': "0",
    'bridge_rejections_total{cause="token_wrong"}': "0",
    'bridge_rejections_total{cause="log_only_signature_wrong"}': "0+20",
    'bridge_http_request_seconds_bucket{route="/webhooks/shipstation",le="0.005"}': "0+100",
    'bridge_http_request_seconds_bucket{route="/webhooks/shipstation",le="5.0"}': "0+100",
    'bridge_http_request_seconds_bucket{route="/webhooks/shipstation",le="+Inf"}': "0+100",
}
"""What is scraped each minute while all is well: a value, or where it starts and by how much it
grows."""

FIRES = {
    "BridgeReceiverDown": dict.fromkeys(CALM),
    "BridgeWorkerSilent": {"bridge_worker_heartbeat_age_seconds": None},
    "BridgeOldestUnprocessed": {"bridge_oldest_unprocessed_seconds": "1900"},
    "BridgeExceptions": {"bridge_exceptions": "3"},
    "BridgeVendorDown": {'bridge_vendor_down{system="purple_dot"}': "1"},
    "BridgeCredentialsRefused": {
        'bridge_api_requests_total{system="purple_dot",outcome="credentials"}': "0+1"
    },
    "BridgeWebhooksMissed": {'bridge_missed_webhooks_total{event_type="SHIP_NOTIFY"}': "0+1"},
    "BridgeNoWebhooks": {"bridge_last_event_age_seconds": "300000"},
    "BridgeWebhooksRefused": {'bridge_rejections_total{cause="token_wrong"}': "0+2"},
    "BridgeSlowAnswers": {
        'bridge_http_request_seconds_bucket{route="/webhooks/shipstation",le="0.005"}': "0"
    },
}
"""What is scraped otherwise while one of the rules must fire, and no other; None: no such
series."""


def promtool(*arguments: str, given: bytes = b"") -> str:
    """What it prints; an assertion that fails where it finds something."""
    program = shutil.which("promtool", path=f"{os.environ['PATH']}:{TOOLS}")
    if program is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [program, *arguments], input=given, capture_output=True, timeout=120, check=False
    )
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output


def case(alert: str | None, changed: dict[str, str | None]) -> dict[str, object]:
    """Two hours of scrapes, and the one alert that fires at their end."""
    series = {name: value for name, value in (CALM | changed).items() if value is not None}
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": f"{value}{'' if '+' in value else '+0'}x{MINUTES}"}
            for name, value in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{MINUTES}m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
                if alert
                else [],
            }
        ],
    }


def run_cases(folder: Path, *cases: dict[str, object]) -> None:
    file = folder / "cases.yml"
    described = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [*cases]}
    file.write_text(json.dumps(described))
    promtool("test", "rules", str(file))


def test_prometheus_understands_every_rule() -> None:
    assert f"{len(FIRES)} rules found" in promtool("check", "rules", str(RULES))


def test_each_rule_fires_at_what_it_is_for_and_no_other_does(tmp_path: Path) -> None:
    run_cases(tmp_path, *(case(alert, changed) for alert, changed in FIRES.items()))


def test_no_rule_fires_while_all_is_well(tmp_path: Path) -> None:
    run_cases(tmp_path, case(None, {}))


def test_prometheus_has_nothing_to_say_against_the_page_of_metrics(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'bridge.db'}")
    migrate.upgrade(database)
    rates = dict.fromkeys(("shipstation", "shipstation_v1", "purple_dot"), 60)

    page = metrics_exporter.render(metrics_exporter.DatabaseCollector(database, rates))
    database.close()

    assert promtool("check", "metrics", given=page) == ""
