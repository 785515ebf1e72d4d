"""The whole demo journey with marked secrets and a shopper's data in every vendor's answer: none of
it comes out anywhere."""

import json
import re
import sqlite3
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import main
from bridge.cli.demo import ACTS
from bridge.simulator import Simulator
from bridge.simulator.shapes import SHAPES
from bridge.store import periodic
from tests.integration.test_alert_check import listener
from tests.support.stack import TOKEN, Answer, Process, Stack
from tests.support.waiting import wait_until

PASSWORD, VIEWER = "console-passw0rd-marked", "viewer-passw0rd-marked"
MARKED = {
    "another webhook token": "another-t0ken-marked-0123456789",
    "a wrong webhook token": "wrong-t0ken-marked-0123456789",
    "an Authorization header": "authorization-marked",
    "a cookie": "cookie-marked",
    "the console's password": PASSWORD,
    "the viewer's password": VIEWER,
    "the session's key": "session-s3cret-key-marked",
    "the alert password": "alert-passw0rd-marked",
    "the alert path": "alert-path-marked",
}
SHOPPER = (
    "Marta",
    "Solberg",
    "17 Quarry Road",
    "Unit 6",
    "Portland",
    "97209",
    "555-0117",
    "5550117",
    "marta.solberg@example.com",
)
"""Who the simulator's orders and labels are for, on either side."""


class Journey:
    """What was said, by whatever way."""

    def __init__(
        self,
        stack: Stack,
        pages: Mapping[str, str],
        lines: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> None:
        self.stack, self.secrets = stack, secrets
        self.said = {
            **pages,
            **lines,
            **{f"the output of {process.name}": process.output() for process in stack.processes},
        }
        self.said["the database"] = _everything_in(Path(stack.database.url.database or ""))


def _everything_in(file: Path) -> str:
    """Each row of each table, as text."""
    with sqlite3.connect(file) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        rows = [row for name in names for row in connection.execute(f'SELECT * FROM "{name}"')]
    connection.close()
    return "\n".join(
        " ".join(
            cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell) for cell in row
        )
        for row in rows
    )


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The demo's acts with all logs on, refused requests, an alert that fails, then every page and
    every list."""
    folder = tmp_path_factory.mktemp("marked")
    with Simulator() as simulator, listener(status=403) as (port, came):
        settings = {
            "BRIDGE_WEBHOOK_TOKENS": f"{TOKEN},{MARKED['another webhook token']}",
            "BRIDGE_CONSOLE_PASSWORD": PASSWORD,
            "BRIDGE_CONSOLE_READONLY_PASSWORD": VIEWER,
            "BRIDGE_SECRET_KEY": MARKED["the session's key"],
            "BRIDGE_ALERT_URLS": f"json://me:{MARKED['the alert password']}"
            f"@127.0.0.1:{port}/{MARKED['the alert path']}",
            "BRIDGE_LOG_LEVEL": "DEBUG",
            "BRIDGE_REFERENCE_PATTERN": "^#?PD",
        }
        with Stack(simulator, f"sqlite:///{folder / 'bridge.db'}", folder, settings) as stack:
            stack.start_receiver(workers=1)
            worker = stack.start_worker()
            for act in ACTS:
                if act.fault:
                    simulator.inject("purple_dot.create_fulfillment", act.fault)
                stack.travel(act.stage(stack.world))
            _knock(stack)
            with stack.database.begin() as connection:
                periodic.postpone(
                    connection, "alerts", until=stack.database.now(connection)
                )  # Not only in a minute.
            wait_until(lambda: came, 20, "the worker to try an alert")
            wait_until(lambda: worker.logged("alert_not_sent"), 20, "its failure to be logged")
            given = {
                name: value
                for name, value in simulator.env().items()
                if re.search("KEY|SECRET|TOKEN", name)
            }
            yield Journey(
                stack, _pages(stack), _lists(stack), MARKED | given | {"the webhook token": TOKEN}
            )


def _knock(stack: Stack) -> None:
    """Requests that are refused, with secrets in each place where one can stand."""
    body, headers = stack.simulator.webhook(ACTS[0].stage(stack.world))
    telling = {
        "Authorization": f"Bearer {MARKED['an Authorization header']}",
        "Cookie": f"session={MARKED['a cookie']}",
    }
    assert stack.post(body, headers | telling, token=MARKED["a wrong webhook token"]).status == 401
    assert stack.post(body, headers | telling, token=MARKED["another webhook token"]).status == 202
    assert stack.post(b"{", telling).status == 400
    assert (
        stack.post(body, headers | telling | {"x-shipengine-rsa-sha256-signature": "AAAA"}).status
        == 401
    )
    stack.ask("GET", f"/webhooks/shipstation/{MARKED['another webhook token']}", headers=telling)
    stack.settle()


def _pages(stack: Stack) -> dict[str, str]:
    pages = {path: _text(stack.ask("GET", path)) for path in ("/healthz", "/readyz", "/metrics")}
    door = stack.ask("GET", "/console/sign-in")
    cookie = door.headers["Set-Cookie"].partition(";")[0]
    [csrf] = re.findall(r'name="csrf"[^>]*value="([^"]+)"', _text(door)) or [""]
    form = urllib.parse.urlencode(
        {"name": "Me", "password": PASSWORD, "csrf": csrf, "next": ""}
    ).encode()
    typed = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    entered = stack.ask("POST", "/console/sign-in", form, typed)
    assert entered.status in (302, 303), _text(entered)
    signed_in = {"Cookie": entered.headers["Set-Cookie"].partition(";")[0]}
    ids = [f"/console/events/{event['id']}" for event in stack.events()] + [
        f"/console/deliveries/{one['id']}" for one in stack.deliveries()
    ]
    for path in (
        "/console/",
        "/console/exceptions",
        "/console/deliveries",
        "/console/events",
        "/console/activity",
        *ids,
    ):
        answer = stack.ask("GET", path, headers=signed_in)
        assert answer.status == 200, path
        pages[path] = _text(answer)
    return pages


def _text(answer: Answer) -> str:
    return answer.raw.decode()


def _lists(stack: Stack) -> dict[str, str]:
    """What the commands print."""
    stories = [
        [name, one["id"]]
        for name in ("show", "explain")
        for one in (*stack.events(), *stack.deliveries())
    ]
    commands = [["events"], ["deliveries"], ["export"], ["audit"], ["alerts", "test"], *stories]
    environ = stack.environ
    return {
        " ".join(command): CliRunner().invoke(main, command, env=environ).output
        for command in commands
    }


def found(journey: Journey, what: str) -> list[str]:
    """Where it stands."""
    return [where for where, text in journey.said.items() if what.lower() in text.lower()]


def test_no_secret_comes_out(journey: Journey) -> None:
    assert {
        name: found(journey, secret)
        for name, secret in journey.secrets.items()
        if found(journey, secret)
    } == {}


def test_nothing_of_the_shopper_comes_out(journey: Journey) -> None:
    assert {word: found(journey, word) for word in SHOPPER if found(journey, word)} == {}


def test_vendors_did_say_it(journey: Journey) -> None:
    """Else the two tests above would show nothing."""
    assert [
        word
        for word in ("Marta", "17 Quarry Road", "marta.solberg@example.com")
        if word not in json.dumps(SHAPES)
    ] == []
    assert journey.stack.world.fulfillments
    assert {"/console/deliveries", "deliveries", "the database"} <= set(
        found(journey, "PD5200001/1")
    )


def test_each_step_has_one_line_with_the_ids_of_its_event_and_its_delivery(
    journey: Journey,
) -> None:
    receiver, worker = journey.stack.processes[:2]
    for delivery in journey.stack.deliveries():
        first = delivery["event_ids"][0]
        assert len(lines(receiver, "event_stored", event_id=first)) == 1
        [placed] = lines(worker, "event_placed", event_id=first)
        assert delivery["id"] in placed["delivery_ids"]
        if delivery["status"] == "delivered":
            [told] = lines(worker, "delivery_moved", delivery_id=delivery["id"], status="delivered")
            assert first in told["event_ids"]


def lines(process: Process, event: str, **fields: str) -> list[dict[str, object]]:
    return [line for line in process.logged(event) if fields.items() <= line.items()]
