"""One origin serves both vendors, signs for real, lets stories happen, and starts and stops
cleanly."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bridge.cli import main
from bridge.settings import Settings
from bridge.simulator import FAULTS, SCENARIOS, Credentials, Simulator, World

pytest_plugins = ["tests.support.simulator_fixtures"]


@pytest.mark.parametrize(
    "path",
    ["/v2/labels", "/v2/carriers", "/shipments", "/orders/1", "/admin/api/v1/fulfillment-orders"],
)
@pytest.mark.parametrize(
    "wrong", [{}, {"api-key": "x", "Authorization": "Basic eDp5", "X-Purple-Dot-Access-Token": "x"}]
)
def test_wrong_credentials_are_refused(
    simulator: Simulator, path: str, wrong: dict[str, str]
) -> None:
    assert requests.get(simulator.url + path, headers=wrong, timeout=60).status_code == 401


def test_v2_refusal_has_the_documented_body(simulator: Simulator) -> None:
    body = requests.get(f"{simulator.url}/v2/labels", timeout=60).json()

    assert body.keys() == {"request_id", "errors"}
    assert body["errors"][0] | {"message": ""} == {
        "error_source": "ShipStation",
        "error_type": "security",
        "error_code": "unauthorized",
        "message": "",
    }


def test_simulator_takes_the_credentials_it_was_made_with() -> None:
    with Simulator(credentials=Credentials(v2_key="other")) as simulator:
        keys = [{"api-key": key} for key in ("other", "simulator-v2-key")]
        statuses = [
            requests.get(f"{simulator.url}/v2/labels", headers=key, timeout=60).status_code
            for key in keys
        ]

    assert statuses == [200, 401]


def _verify(headers: dict[str, str], raw: bytes, jwks: dict[str, Any]) -> None:
    key = next(
        key for key in jwks["keys"] if key["kid"] == headers["x-shipengine-rsa-sha256-key-id"]
    )
    n, e = (
        int.from_bytes(base64.urlsafe_b64decode(key[name] + "=="), "big") for name in ("n", "e")
    )
    signature = base64.b64decode(headers["x-shipengine-rsa-sha256-signature"])
    signed = headers["x-shipengine-timestamp"].encode() + b"." + raw
    rsa.RSAPublicNumbers(e, n).public_key().verify(
        signature, signed, padding.PKCS1v15(), hashes.SHA256()
    )


def test_v2_webhook_verifies_against_the_published_keys(
    simulator: Simulator, world: World, get: Any
) -> None:
    raw, headers = simulator.webhook(
        world.label_created_v2(world.buy_labels(world.add_shipstation_order("1")))
    )

    _verify(headers, raw, get("/jwks"))

    assert {key["kty"] for key in get("/jwks")["keys"]} == {"EC", "RSA"}
    with pytest.raises(InvalidSignature):
        _verify(headers, raw + b" ", get("/jwks"))


def test_rotated_key_has_another_id_and_the_old_one_stays_published(
    simulator: Simulator, get: Any
) -> None:
    old = simulator.signer.key_id

    new = simulator.signer.rotate()
    both = [key["kid"] for key in get("/jwks")["keys"]]
    simulator.signer.rotate(keep_old=False)

    assert both[1:] == [old, new]
    assert len(get("/jwks")["keys"]) == 2


def test_v1_and_inline_webhooks_are_not_signed(simulator: Simulator, world: World) -> None:
    order = world.add_shipstation_order("1")
    bodies = [
        world.ship_notify(world.buy_labels(order)),
        world.inline_fulfillments([world.inline_row(order, "1Z", notify_customer=True)]),
    ]

    assert all("x-shipengine-timestamp" not in simulator.webhook(body)[1] for body in bodies)
    assert "x-shipengine-timestamp" in simulator.webhook(bodies[0], signed=True)[1]


def test_pointers_of_every_event_lead_to_the_simulator_or_before_to_the_vendor(
    simulator: Simulator,
) -> None:
    def pointers(world: World) -> dict[str, str]:
        order = world.add_shipstation_order("PD1/1")
        labels, shipped = world.buy_labels(order), world.mark_shipped(order)
        bodies = [
            world.batch_processed_v2(labels),
            world.track_event_v2(labels[0]),
            world.shipment_created_v2(order),
            world.fulfillment_rejected_v2(shipped),
            world.v1_order_notify(order),
            world.v1_fulfillment_rejected(shipped),
        ]
        return {body["resource_type"]: body["resource_url"] for body in bodies}

    served, unserved = pointers(simulator.world), pointers(World())

    assert all(url.startswith(simulator.url) for url in served.values())
    assert unserved["TRACK_EVENT_V2"] == "https://api.shipstation.com/v2/labels/se-520000001/track"
    assert unserved["ORDER_NOTIFY"] == "https://ssapi.shipstation.com/orders?orderNumber=PD1%2F1"
    assert unserved["BATCH_PROCESSED_V2"].startswith("https://api.shipstation.com/v2/batches/se-")


def test_webhook_can_be_sent_to_any_address(
    simulator: Simulator, world: World, subscriber: tuple[str, list[Any]]
) -> None:
    url, got = subscriber
    body = world.ship_notify(world.buy_labels(world.add_shipstation_order("1")))

    assert simulator.send_webhook(url, body) == 202
    assert json.loads(got[0][2]) == body


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_story_gives_webhooks_that_lead_somewhere(
    simulator: Simulator, name: str, get: Any
) -> None:
    answer = requests.post(f"{simulator.url}/_simulator/ship/{name}", timeout=60).json()

    for webhook in answer["webhooks"]:
        url = webhook["body"].get("resource_url")
        assert url is None or (url.startswith(simulator.url) and get(url)["total"] > 0)
    assert answer["webhooks"]


def test_unknown_story_names_those_there_are(simulator: Simulator) -> None:
    answer = requests.post(f"{simulator.url}/_simulator/ship/nothing", timeout=60)

    assert (answer.status_code, "v2_label" in answer.json()["message"]) == (404, True)


@pytest.fixture
def subscriber() -> Iterator[tuple[str, list[Any]]]:
    """A loopback receiver that keeps what it gets."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(
                (
                    self.path,
                    dict(self.headers),
                    self.rfile.read(int(self.headers["Content-Length"])),
                )
            )
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook?token=t", got
        server.shutdown()
        thread.join()


def test_story_is_posted_to_the_configured_url(subscriber: tuple[str, list[Any]]) -> None:
    url, got = subscriber

    with Simulator(webhook_url=url) as simulator:
        answer = requests.post(f"{simulator.url}/_simulator/ship/v2_label", timeout=60).json()
        [(path, headers, raw)] = got
        _verify(
            {name.lower(): value for name, value in headers.items()}, raw, simulator.signer.jwks()
        )

    assert path == "/hook?token=t"
    assert json.loads(raw) == answer["webhooks"][0]["body"]
    assert answer["webhooks"][0]["answers"] == [{"status": 202}]


def test_receiver_that_is_down_is_told_and_nothing_breaks() -> None:
    with Simulator(webhook_url="http://127.0.0.1:1/hook") as simulator:
        answer = requests.post(f"{simulator.url}/_simulator/ship/v2_label", timeout=60).json()

    assert "ConnectionRefusedError" in answer["webhooks"][0]["answers"][0]["error"]


def test_connection_is_kept_open_between_calls(
    simulator: Simulator, session: requests.Session
) -> None:
    ports = {_local_port(session, f"{simulator.url}/v2/carriers") for _ in range(3)}

    assert len(ports) == 1


def _local_port(session: requests.Session, url: str) -> int:
    with session.get(url, timeout=60, stream=True) as answer:
        port = int(answer.raw.connection.sock.getsockname()[1])
        answer.json()
        return port


def test_pooled_connection_breaks_when_the_simulator_stops_and_it_can_start_again(
    session: requests.Session,
) -> None:
    simulator = Simulator()
    simulator.start()
    url = f"{simulator.url}/v2/carriers"
    session.get(url, timeout=60)

    simulator.stop()
    with pytest.raises(requests.ConnectionError):
        session.get(url, timeout=60)
    with simulator:
        assert session.get(url, timeout=60).status_code == 200


def test_stopping_does_not_wait_for_a_delay() -> None:
    with Simulator(faults=["delay:600"]) as simulator, ThreadPoolExecutor(1) as pool:
        call = pool.submit(requests.get, f"{simulator.url}/jwks", timeout=30)
        while not simulator.world.calls:
            assert not call.done()
        simulator.stop()
        call.exception(timeout=60)


def test_taken_port_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(OSError, match="in use"):
        Simulator(port=simulator.port).start()


def test_parallel_calls_are_all_counted_and_none_is_fulfilled_twice(
    simulator: Simulator, world: World
) -> None:
    order = world.add_order(lines=[("A", 5)])
    body = {
        "fulfillment": {
            "fulfillment_order_id": order.id,
            "line_items": [{"id": order.lines[0].id, "quantity": 1}],
        }
    }
    url = f"{simulator.url}/admin/api/v1/fulfillment"

    token = {"X-Purple-Dot-Access-Token": simulator.credentials.purple_dot_token}

    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: requests.post(url, json=body, headers=token, timeout=10).status_code,
                range(20),
            )
        )

    assert sorted(answers) == [200] * 5 + [409] * 15
    assert world.count("purple_dot.create_fulfillment") == 20
    assert world.calls[0] == ("purple_dot", "create_fulfillment")


def test_same_story_has_the_same_ids() -> None:
    def tell(world: World) -> list[Any]:
        labels = world.buy_labels(
            [world.add_shipstation_order(world.add_order(), with_line_ids=True) for _ in range(3)]
        )
        return [
            (label.label_id, label.tracking_number, label.order.shipment_id, label.order.items)
            for label in labels
        ]

    assert tell(World()) == tell(World())


def test_lines_of_one_sku_get_each_its_own_line_id() -> None:
    world = World()
    order = world.add_order(lines=[("A", 1), ("A", 2)])

    made = world.add_shipstation_order(order, with_line_ids=True)

    assert [item.line_id for item in made.items] == [line.id for line in order.lines]


def test_state_tells_what_happened(simulator: Simulator, world: World, fulfill: Any) -> None:
    order = world.add_order("PD9/1", [("A", 1)])
    world.mark_shipped(world.add_shipstation_order(order))
    fulfill(order.id, notify_customer=True)

    state = requests.get(f"{simulator.url}/_simulator", timeout=60).json()

    assert [(row["reference"], row["status"]) for row in state["orders"]] == [
        ("PD9/1", "FULFILLED")
    ]
    assert state["emails"] == [{"order_id": order.id, "tracking_number": None}]
    assert state["calls"] == ["purple_dot.create_fulfillment"]


# The command


def test_command_lists_the_faults() -> None:
    result = CliRunner().invoke(main, ["simulator", "--list-faults"])

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(FAULTS)


def test_command_refuses_an_unknown_fault() -> None:
    result = CliRunner().invoke(main, ["simulator", "--fault", "nothing"])

    assert result.exit_code == 2
    assert "drop_after_commit" in result.output


def test_command_says_when_its_port_is_taken(simulator: Simulator) -> None:
    result = CliRunner().invoke(main, ["simulator", "--port", str(simulator.port)])

    assert result.exit_code == 1
    assert "--port" in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_serves_until_it_is_asked_to_stop(number: int) -> None:
    code = (
        "from bridge.cli.simulator import simulator; simulator(['--port', '0', '--fault', "
        "'status:503:jwks'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout
        settings = {}
        for line in process.stdout:
            name, _, value = line.strip().partition("=")
            if name.startswith("BRIDGE_"):
                settings[name] = value
            if line.startswith("Ship something"):
                break
        statuses = [
            requests.get(settings["BRIDGE_SHIPSTATION_JWKS_URL"], timeout=60).status_code
            for _ in range(2)
        ]
        process.send_signal(number)
        process.stdout.read()

    assert statuses == [503, 200]
    assert process.returncode == 0
    assert settings["BRIDGE_PURPLE_DOT_BASE_URL"].endswith("/admin/api/v1")
    assert Settings.load(settings).webhook_tokens, (
        "a bridge starts with what was printed, and nothing else"
    )
