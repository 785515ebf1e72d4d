"""docs/openapi.yaml: each route stands in it, and what the application answers is what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from bridge.settings import Settings
from bridge.web.app import create_app

Json = dict[str, Any]

DESCRIPTION: Json = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text(encoding="utf-8")
)
TOKEN = "t0ken-of-the-front-door"
WEBHOOK = {
    "resource_type": "LABEL_CREATED_V2",
    "resource_url": "https://api.shipstation.com/v2/labels?batch_id=se-1",
}
INLINE = {
    "fulfillments": [{"shipment_id": "se-1", "tracking_number": "1Z9", "carrier_code": "ups"}]
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(
        Settings.load(
            {
                "BRIDGE_WEBHOOK_TOKENS": TOKEN,
                "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
                "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
                "BRIDGE_SHIPSTATION_SIGNATURE": "off",
                "BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'bridge.db'}",
            }
        )
    )
    yield app
    app.extensions["database"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def resolved(node: Json) -> Json:
    """What a `$ref` names."""
    while "$ref" in node:
        target: Any = DESCRIPTION
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def validator(schema: Json) -> Draft202012Validator:
    resource = DRAFT202012.create_resource(DESCRIPTION)
    registry: Any = Registry().with_resource("urn:description", resource)
    pointer = json.loads(json.dumps(schema).replace('"#/', '"urn:description#/'))
    return Draft202012Validator(pointer, registry=registry)


def routes() -> Iterator[tuple[str, str]]:
    for path, operations in DESCRIPTION["paths"].items():
        for method in operations:
            yield method.upper(), path


def test_each_public_route_is_described(app: Flask) -> None:
    known = {
        (method, str(rule).replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not str(rule).startswith("/console")
    }

    assert set(routes()) <= known
    assert {path for _, path in known if path.startswith("/webhooks/shipstation")} <= {
        path.rstrip("/") for _, path in routes()
    } | {path + "/" for _, path in routes()}


def check(path: str, method: str, status: int, body: Any) -> None:
    """Fails unless this answer of this route stands in the description."""
    answers = DESCRIPTION["paths"][path][method]["responses"]
    assert str(status) in answers, (path, status)
    content = resolved(answers[str(status)])["content"]["application/json"]
    validator(content["schema"]).validate(body)


@pytest.mark.parametrize(
    ("sent", "headers", "status"),
    [
        (WEBHOOK, {"X-Bridge-Token": TOKEN}, 202),
        (INLINE, {"X-Bridge-Token": TOKEN}, 202),
        ({"resource_type": "ORDER_NOTIFY"}, {"X-Bridge-Token": TOKEN}, 202),
        ({"resource_type": "SHIP_NOTIFY"}, {"X-Bridge-Token": TOKEN}, 400),
        ([], {"X-Bridge-Token": TOKEN}, 400),
        (WEBHOOK, {}, 401),
        (WEBHOOK, {"X-Bridge-Token": "wrong"}, 401),
        ({"x": "x" * 2_000_000}, {"X-Bridge-Token": TOKEN}, 413),
    ],
    ids=["new", "inline", "not-handled", "no-url", "no-object", "no-token", "wrong-token", "large"],
)
def test_answer_to_a_notification_is_as_described(
    client: FlaskClient, sent: Any, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/webhooks/shipstation", json=sent, headers=headers)

    assert answer.status_code == status
    check("/webhooks/shipstation", "post", status, answer.json)


def test_wrong_method_is_answered_as_described(client: FlaskClient) -> None:
    answer = client.get("/webhooks/shipstation")

    check("/webhooks/shipstation", "post", answer.status_code, answer.json)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_as_described(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    check(path, "get", answer.status_code, answer.json)


@pytest.mark.parametrize("body", [WEBHOOK, INLINE], ids=["webhook", "inline"])
def test_bodies_that_are_accepted_are_described(body: Json) -> None:
    schema = DESCRIPTION["components"]["requestBodies"]["notification"]["content"]
    validator(schema["application/json"]["schema"]).validate(body)
