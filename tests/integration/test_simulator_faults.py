"""Every named fault shows a client what it says, does what it says, and strikes nothing else."""

from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from bridge.simulator import FAULTS, Simulator, World
from bridge.simulator.faults import FaultBox, parse_fault
from tests.support.waiting import wait_until

pytest_plugins = ["tests.support.simulator_fixtures"]


def _attempt(fulfill: Any, order_id: str) -> str:
    """What a client sees of one POST /fulfillment."""
    try:
        answer = fulfill(order_id)
        body = answer.json()
    except requests.exceptions.JSONDecodeError:
        return f"{answer.status_code} unreadable"
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        return "broken"
    return f"{answer.status_code} {'yes' if body.get('meta', {}).get('success') else 'no'}"


@pytest.mark.parametrize(
    ("fault", "seen", "done"),
    [
        ("status:503", "503 no", False),
        ("throttle", "429 no", False),
        ("throttle_date", "429 no", False),
        ("delay:0.01", "200 yes", True),
        ("drop_before", "broken", False),
        ("drop_after_commit", "broken", True),
        ("commit_late", "broken", False),
        ("error_after_commit", "500 no", True),
        ("empty_first", "200 yes", True),
        ("redirect_login", "302 unreadable", False),
        ("not_json", "200 unreadable", True),
        ("truncated", "broken", True),
        ("success_false", "200 no", False),
        ("huge", "200 no", True),
        ("drip:0.0001", "200 yes", True),
        ("unavailable:0", "503 no", False),
        ("unavailable_past", "503 no", False),
        ("spent", "200 yes", True),
        ("no_in_a_success", "200 no", False),
        ("no_in_a_success:9", "200 no", False),
        ("redirect_after_commit:302", "302 unreadable", True),
        ("no_data", "200 yes", False),
    ],
)
def test_each_fault_shows_what_it_says_and_the_next_call_is_whole(
    simulator: Simulator, world: World, fulfill: Any, fault: str, seen: str, done: bool
) -> None:
    order, next_order = world.add_order(), world.add_order()
    simulator.inject("purple_dot.create_fulfillment", fault)

    assert _attempt(fulfill, order.id) == seen
    assert (order.status == "FULFILLED", len(world.fulfillments)) == (done, int(done))
    assert _attempt(fulfill, next_order.id) == "200 yes"


def test_simulator_is_not_idle_before_it_is_done_with_what_its_client_no_longer_waits_for(
    simulator: Simulator, world: World
) -> None:
    order, body = world.add_order(), b'{"fulfillment": {"fulfillment_order_id": "%s"}}'
    simulator.inject("purple_dot.create_fulfillment", "delay:0.1")
    headers = {
        "X-Purple-Dot-Access-Token": simulator.credentials.purple_dot_token,
        "Content-Type": "application/json",
    }
    with closing(HTTPConnection("127.0.0.1", simulator.port)) as client:
        client.request("POST", "/admin/api/v1/fulfillment", body % order.id.encode(), headers)

    was_idle = simulator.is_idle()
    wait_until(simulator.is_idle, 20, "the simulator to be done")

    assert (was_idle, order.status) == (False, "FULFILLED")


@pytest.mark.parametrize(
    ("fault", "seconds"), [("unavailable:0", 0), ("throttle:315360000", 3.2e8)]
)
def test_wish_to_wait_may_be_anything(
    simulator: Simulator, world: World, fulfill: Any, fault: str, seconds: float
) -> None:
    simulator.inject("purple_dot.create_fulfillment", fault)

    wish = float(fulfill(world.add_order().id).headers["Retry-After"])

    assert wish == pytest.approx(seconds, rel=0.02)


def test_wish_to_wait_may_be_a_date_that_has_passed(
    simulator: Simulator, world: World, fulfill: Any
) -> None:
    simulator.inject("purple_dot.create_fulfillment", "unavailable_past:60")

    wish = fulfill(world.add_order().id).headers["Retry-After"]

    assert parsedate_to_datetime(wish) < datetime.now(UTC)


def test_every_fault_is_tested_above() -> None:
    marks = test_each_fault_shows_what_it_says_and_the_next_call_is_whole.pytestmark

    assert {row[0].partition(":")[0] for row in marks[0].args[1]} == set(FAULTS)


def test_late_commit_takes_effect_after_so_many_reads(
    simulator: Simulator, world: World, fulfill: Any, get: Any
) -> None:
    order, other = world.add_order(), world.add_order()
    simulator.inject("purple_dot.create_fulfillment", "commit_late:2")
    _attempt(fulfill, order.id)

    get(f"/admin/api/v1/fulfillment-orders/{other.id}")
    path = f"/admin/api/v1/fulfillment-orders/{order.id}"
    statuses = [get(path)["data"]["fulfillment_order"]["status"] for _ in range(3)]

    assert statuses == ["UNFULFILLED", "UNFULFILLED", "FULFILLED"]
    assert len(world.fulfillments) == 1


def test_late_commit_can_be_called_for_and_is_dropped_where_it_became_impossible(
    simulator: Simulator, world: World, fulfill: Any
) -> None:
    order, voided = world.add_order(), world.add_order()
    simulator.inject("purple_dot.create_fulfillment", "commit_late:99", count=2)
    for one in (order, voided):
        _attempt(fulfill, one.id)

    world.void_order(voided)

    assert [world.apply_late(), world.apply_late()] == [1, 0]
    assert [order.status, voided.status] == ["FULFILLED", "VOIDED"]


def test_throttle_says_when_to_come_back(simulator: Simulator, session: requests.Session) -> None:
    simulator.inject("shipstation.labels", "throttle:7")
    simulator.inject("shipstation.labels", "throttle_date:60")

    seconds, date = (session.get(f"{simulator.url}/v2/labels", timeout=60) for _ in range(2))

    assert (seconds.status_code, seconds.headers["Retry-After"]) == (429, "7")
    assert seconds.json()["errors"][0]["error_code"] == "rate_limit_exceeded"
    assert parsedate_to_datetime(date.headers["Retry-After"]) > datetime.now(UTC)


def test_list_is_empty_the_first_times_and_whole_after(
    simulator: Simulator, world: World, get: Any
) -> None:
    labels = world.buy_labels([world.add_shipstation_order(str(number)) for number in range(30)])
    url = world.label_created_v2(labels)["resource_url"]
    simulator.inject("shipstation.labels", "empty_first", count=2)

    pages = [get(url) for _ in range(3)]

    assert [(len(page["labels"]), page["total"]) for page in pages] == [(0, 0), (0, 0), (25, 30)]
    assert pages[0]["links"]["next"] == {}


@pytest.mark.parametrize(
    ("path", "operation"),
    [("/v2/labels", "shipstation.labels"), ("/shipments", "shipstation_v1.shipments")],
)
def test_fault_speaks_the_words_of_the_system_it_strikes(
    simulator: Simulator, session: requests.Session, path: str, operation: str
) -> None:
    simulator.inject(operation, "status:403")
    simulator.inject(operation, "status:500")

    refused, broken = (session.get(simulator.url + path, timeout=60) for _ in range(2))

    assert refused.status_code == 403
    assert "The credentials" not in refused.text
    assert ("errors" in refused.json()) == path.startswith("/v2")
    assert broken.status_code == 500
    assert (broken.content == b"") == path.startswith("/v2")


def test_fault_strikes_only_its_operation(
    simulator: Simulator, world: World, session: requests.Session
) -> None:
    world.add_order("PD1/1")
    simulator.inject("purple_dot.orders_by_reference", "status:500")
    url = f"{simulator.url}/admin/api/v1/fulfillment-orders"

    statuses = [
        session.get(url + query, timeout=60).status_code
        for query in ("", "?references=PD1%2F1", "?references=PD1%2F1")
    ]

    assert statuses == [200, 500, 200]


def test_faults_strike_in_the_order_they_were_put_in() -> None:
    box = FaultBox(["status:500:purple_dot.*", "drop_before:*:always", "delay:1:purple_dot.order"])

    taken = [
        [fault.name for fault in box.take(operation)]
        for operation in ("purple_dot.order", "purple_dot.order", "jwks")
    ]

    assert taken == [["delay", "status"], ["drop_before"], ["drop_before"]]
    assert box.waiting() == ["drop_before:*:always"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("status:503:purple_dot.order:2", "status:503:purple_dot.order:2"),
        ("throttle", "throttle:1:*:1"),
        ("delay:0.5", "delay:0.5:*:1"),
        ("drop_before:jwks", "drop_before:jwks:1"),
        (
            "commit_late:purple_dot.create_fulfillment:3",
            "commit_late:1:purple_dot.create_fulfillment:3",
        ),
        ("huge:*:always", "huge:*:always"),
    ],
)
def test_fault_is_written_as_a_text(text: str, told: str) -> None:
    assert str(parse_fault(text)) == told


@pytest.mark.parametrize("text", ["", "nothing", "huge:*:0", "huge:*:x", "huge:*:1:2"])
def test_unknown_fault_is_an_error_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"\."):
        parse_fault(text)


def test_faults_can_be_put_in_over_http(simulator: Simulator) -> None:
    url = f"{simulator.url}/_simulator/faults"

    put = requests.post(url, json={"faults": ["status:503:jwks"]}, timeout=60)
    wrong = [
        requests.post(url, json=body, timeout=60).status_code
        for body in ({"faults": ["x"]}, {}, [])
    ]

    assert put.json() == {"faults": ["status:503:jwks:1"]}
    assert wrong == [400, 400, 400]
    assert requests.get(f"{simulator.url}/jwks", timeout=60).status_code == 503
