"""The simulated ShipStation keeps subscriptions as its documents say, and tells who subscribed."""

from typing import Any

import pytest
import requests

from bridge.simulator import Simulator, World

pytest_plugins = ["tests.support.simulator_fixtures"]

V2 = "/v2/environment/webhooks"
LABELS = {"name": "labels", "event": "label_created_v2", "url": "https://bridge.example.com/in"}


@pytest.fixture
def call(simulator: Simulator, session: requests.Session) -> Any:
    def call(method: str, path: str, body: object = None) -> requests.Response:
        return session.request(method, simulator.url + path, json=body, timeout=60)

    return call


def test_v2_lists_a_bare_array_and_takes_one_url_for_each_event(call: Any, get: Any) -> None:
    made = call("POST", V2, LABELS | {"headers": [{"key": "X", "value": "y"}]})
    second = call("POST", V2, LABELS | {"url": "https://elsewhere.example.com/in"})

    assert (made.status_code, made.json()["webhook_id"][:3]) == (200, "se-")
    assert (second.status_code, second.json()["errors"][0]["error_code"]) == (
        409,
        "webhook_event_type_conflict",
    )
    assert [(row["url"], row["headers"]) for row in get(V2)] == [
        (LABELS["url"], [{"key": "X", "value": "y"}])
    ]


def test_v2_changes_url_and_headers_and_answers_nothing(call: Any, get: Any) -> None:
    one = call("POST", V2, LABELS).json()["webhook_id"]

    changed = call("PUT", f"{V2}/{one}", {"url": "https://new.example.com/in", "event": "batch"})

    assert (changed.status_code, changed.content) == (204, b"")
    assert [(row["url"], row["event"]) for row in get(V2)] == [
        ("https://new.example.com/in", "label_created_v2")
    ]


def test_v1_takes_several_urls_and_gives_a_number(call: Any, get: Any) -> None:
    bodies = [
        {
            "target_url": f"https://{host}.example.com/in",
            "event": "SHIP_NOTIFY",
            "friendly_name": host,
        }
        for host in ("one", "two")
    ]
    numbers = [call("POST", "/webhooks/subscribe", body).json()["id"] for body in bodies]

    rows = get("/webhooks")["webhooks"]
    assert [(row["WebHookID"], row["HookType"], row["Name"], row["Active"]) for row in rows] == [
        (numbers[0], "SHIP_NOTIFY", "one", True),
        (numbers[1], "SHIP_NOTIFY", "two", True),
    ]


def test_what_is_removed_is_gone_and_each_version_sees_its_own(
    call: Any, get: Any, world: World
) -> None:
    v2, v1 = (
        world.subscribe("label_created_v2", "https://a.example.com"),
        world.subscribe("SHIP_NOTIFY", "https://b.example.com"),
    )

    assert (
        call("DELETE", f"{V2}/se-{v1.number}").status_code
        == call("DELETE", f"/webhooks/{v2.number}").status_code
        == 404
    )
    assert (
        call("DELETE", f"{V2}/{v2.webhook_id}").status_code
        == call("DELETE", f"/webhooks/{v1.number}").status_code
        == 204
    )
    assert (get(V2), get("/webhooks")) == ([], {"webhooks": []})


@pytest.mark.parametrize(
    "wrong",
    [{}, LABELS | {"event": "label_voided_v2"}, LABELS | {"url": None}, LABELS | {"name": ""}],
)
def test_v2_refuses_what_it_does_not_know(call: Any, wrong: object) -> None:
    assert call("POST", V2, wrong).status_code == 400


def test_whoever_subscribed_hears_of_a_story(simulator: Simulator, call: Any) -> None:
    simulator.world.subscribe("label_created_v2", "http://127.0.0.1:9/one")
    simulator.world.subscribe("fulfillment_shipped_v2", "http://127.0.0.1:9/two")
    simulator.world.subscribe("label_created_v2", "http://127.0.0.1:9/three", is_active=False)

    [told] = call("POST", "/_simulator/ship/v2_label").json()["webhooks"]

    assert len(told["answers"]) == 1
