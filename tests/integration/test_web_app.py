"""What the receiver answers on which address and path, and what its refusals leave in log and
metrics."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from flask import Flask
from prometheus_client import REGISTRY

from bridge.settings import Settings
from bridge.web.app import create_app
from bridge.web.throttle import TRIES_PER_MINUTE

TOKEN = "t0ken-of-the-web-app"
PUBLIC, OPERATIONS = "8000", "9000"
Open = Callable[..., Flask]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    apps: list[Flask] = []

    def open_it(**settings: str) -> Flask:
        necessary = {
            "BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'bridge.db'}",
            "BRIDGE_WEBHOOK_TOKENS": TOKEN,
            "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
            "BRIDGE_SHIPSTATION_V1_API_KEY": "v1-key",
            "BRIDGE_SHIPSTATION_V1_API_SECRET": "v1-secret",
            "BRIDGE_CONSOLE_PASSWORD": "the-operators-password",
        }
        app = create_app(Settings.load(necessary | settings))
        apps.append(app)
        return app

    yield open_it
    for app in apps:
        app.extensions["database"].close()


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


SHIPPED = {
    "resource_type": "SHIP_NOTIFY",
    "resource_url": "https://ssapi.shipstation.com/shipments?batchId=1",
}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/webhooks/shipstation/{TOKEN}", {}),
        (f"/webhooks/shipstation/{TOKEN}/", {}),
        ("/webhooks/shipstation", {"X-Bridge-Token": TOKEN}),
        ("/webhooks/shipstation/", {"X-Bridge-Token": TOKEN}),
    ],
)
def test_slash_at_the_end_of_the_address_loses_no_webhook(
    opened: Open, path: str, headers: dict[str, str]
) -> None:
    answer = opened().test_client().post(path, json=SHIPPED, headers=headers)

    assert (answer.status_code, answer.json["status"]) == (202, "received")


@pytest.mark.parametrize("path", ["/webhooks/shipstation/a-wrong-token/", "/webhooks/shipstation/"])
def test_slash_at_the_end_of_the_address_lets_nobody_in(opened: Open, path: str) -> None:
    answer = opened().test_client().post(path, json=SHIPPED)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("X-Bridge-Token ")


@pytest.mark.parametrize(
    "path",
    [
        f"/webhooks/Shipstation/{TOKEN}",
        f"/webhooks/shipstation/{TOKEN}/more",
        f"/webhooks//shipstation/{TOKEN}",
        "/webhooks/",
        "/webhooks/shopify",
    ],
)
def test_other_paths_below_webhooks_are_counted_and_never_logged(
    opened: Open, capfd: pytest.CaptureFixture[str], path: str
) -> None:
    client = opened().test_client()
    before = counted("bridge_rejections_total", cause="unknown_path")

    answer = client.post(path, json=SHIPPED)

    assert (answer.status_code, answer.json["error"]) == (404, "not_found")
    assert counted("bridge_rejections_total", cause="unknown_path") == before + 1
    logged = capfd.readouterr().err
    assert "webhook_at_unknown_path" in logged
    assert TOKEN not in logged


def test_addresses_that_guess_paths_without_end_fill_no_log(
    opened: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    client = opened().test_client()

    statuses = {client.post(f"/webhooks/{number}").status_code for number in range(100)}

    assert statuses == {404, 429}
    assert capfd.readouterr().err.count("webhook_at_unknown_path") == TRIES_PER_MINUTE


@pytest.mark.parametrize(
    "path", [f"//webhooks//shipstation/{TOKEN}", "//console/", "/console//", "/webhooks%2Fx"]
)
def test_untidy_path_redirects_nowhere(opened: Open, path: str) -> None:
    answer = opened().test_client().get(path, headers={"Host": "evil.example"})

    assert answer.status_code in (303, 404)
    assert "evil.example" not in str(answer.headers)


def test_console_without_its_slash_leads_to_it_by_a_relative_address(opened: Open) -> None:
    answer = opened().test_client().get("/console", headers={"Host": "evil.example"})

    assert (answer.status_code, answer.headers["Location"]) == (308, "/console/")


@pytest.mark.parametrize(
    ("port", "method", "path", "status"),
    [
        (PUBLIC, "GET", "/healthz", 200),
        (PUBLIC, "GET", "/readyz", 404),
        (PUBLIC, "GET", "/metrics", 404),
        (PUBLIC, "GET", "/console/sign-in", 404),
        (PUBLIC, "GET", "/console/static/console.css", 404),
        (PUBLIC, "GET", "/", 404),
        (PUBLIC, "POST", f"/webhooks/shipstation/{TOKEN}", 202),
        (OPERATIONS, "GET", "/healthz", 200),
        (OPERATIONS, "GET", "/readyz", 503),
        (OPERATIONS, "GET", "/metrics", 200),
        (OPERATIONS, "GET", "/console/sign-in", 200),
        (OPERATIONS, "POST", f"/webhooks/shipstation/{TOKEN}", 404),
    ],
)
def test_operations_address_alone_answers_what_is_not_for_the_public(
    opened: Open, port: str, method: str, path: str, status: int
) -> None:
    app = opened(BRIDGE_OPERATIONS_BIND=f"127.0.0.1:{OPERATIONS}")

    answer = app.test_client().open(
        path, method=method, json=SHIPPED, environ_overrides={"SERVER_PORT": port}
    )

    assert answer.status_code == status


def test_readyz_tells_strangers_no_host_user_or_file_of_the_database(
    opened: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql+psycopg://the-user:the-password@127.0.0.1:1/the-database"
    client = opened(BRIDGE_DATABASE_URL=url).test_client()

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json == {"status": "not_ready", "database": "unavailable; the log says why"}
    assert "127.0.0.1" in capfd.readouterr().err


def test_refusals_name_the_address_that_a_trusted_proxy_saw(
    opened: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    client = opened().test_client()

    client.post(
        "/webhooks/shipstation/wrong", headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.4"}
    )

    assert '"address": "198.51.100.4"' in capfd.readouterr().err


def test_own_secrets_are_masked_in_whatever_form_they_are_logged(
    opened: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    opened()

    log = structlog.get_logger("gunicorn.error")
    log.warning(f"Invalid HTTP request line: 'POST //webhooks%2Fshipstation%2F{TOKEN} HTTP/9'")

    logged = capfd.readouterr().err
    assert "Invalid HTTP request line" in logged
    assert TOKEN not in logged


@pytest.mark.parametrize(("scheme", "is_told"), [("https", True), ("http", False)])
def test_browsers_are_held_to_https_where_it_is_spoken(
    opened: Open, scheme: str, is_told: bool
) -> None:
    answer = opened().test_client().get("/healthz", base_url=f"{scheme}://bridge.example.com")

    assert ("Strict-Transport-Security" in answer.headers) is is_told


def test_requests_are_timed_by_route_and_status_never_by_path(opened: Open) -> None:
    client = opened().test_client()
    name = "bridge_http_request_seconds_count"
    labels = {"route": "/webhooks/shipstation", "status": "401"}
    before = counted(name, **labels)

    client.post("/webhooks/shipstation/guess-1")
    client.post("/webhooks/shipstation/guess-2")
    client.get("/some/path/of/a/stranger")

    assert counted(name, **labels) == before + 2
    page = client.get("/metrics").text
    assert "guess" not in page
    assert "stranger" not in page
    assert 'bridge_build_info{version="' in page
