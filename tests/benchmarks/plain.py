"""The baseline bridge: bare Flask that stores a webhook in one durable insert and then, before it
answers, reads the labels and their orders and posts a fulfillment for each: without token,
signature, rules, limits, second looks or retries. What it holds at a kill is lost."""

import json
import os
import threading
from typing import Any

import requests
from flask import Flask, request

from tests.benchmarks import bare

_V2 = f"{os.environ.get('BRIDGE_SHIPSTATION_BASE_URL')}/v2"
_PURPLE_DOT = os.environ.get("BRIDGE_PURPLE_DOT_BASE_URL")
_local = threading.local()


def _session() -> requests.Session:
    if not hasattr(_local, "session"):
        session = _local.session = requests.Session()
        session.trust_env = False
        session.headers["api-key"] = os.environ["BRIDGE_SHIPSTATION_API_KEY"]
        token = os.environ["BRIDGE_PURPLE_DOT_ACCESS_TOKEN"]
        session.headers["X-Purple-Dot-Access-Token"] = token
    session = _local.session
    assert isinstance(session, requests.Session)
    return session


def _get(url: str, **query: str) -> Any:
    answer = _session().get(url, params=query, timeout=30)
    answer.raise_for_status()
    return answer.json()


def _post(label: Any) -> None:
    shipment = _get(f"{_V2}/shipments/{label['shipment_id']}")
    found = _get(f"{_PURPLE_DOT}/fulfillment-orders", references=shipment["shipment_number"])
    [order] = found["data"]["fulfillment_orders"]
    ids = {line["sku"]: line["id"] for line in order["line_items"]}
    lines = [{"id": ids[item["sku"]], "quantity": item["quantity"]} for item in shipment["items"]]
    body = {
        "fulfillment_order_id": order["id"],
        "line_items": lines,
        "notify_customer": False,
        "tracking_number": label["tracking_number"],
        "tracking_company": label["carrier_code"],
    }
    url = f"{_PURPLE_DOT}/fulfillment"
    _session().post(url, json={"fulfillment": body}, timeout=30).raise_for_status()


def create_app() -> Flask:
    app = Flask("plain")

    @app.post("/webhooks/shipstation/<token>")
    def deliver(token: str) -> tuple[dict[str, str], int]:  # noqa: ARG001  # the same route as ours
        body = request.get_data(cache=False)
        bare.store(body)
        for label in _get(json.loads(body)["resource_url"])["labels"]:
            _post(label)
        return {"status": "delivered"}, 202

    return app
