"""`bridge demo`: both vendors simulated, a real receiver and worker, webhooks sent, each outcome checked. What `make demo` runs."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from bridge.cli.running import die_with_parent
from bridge.events import CLAIMABLE, EventStatus
from bridge.reasons import MEANINGS, Reason
from bridge.simulator import SCENARIOS, Label, MarkedShipped, PurpleDotOrder, Simulator, World
from bridge.store import reports
from bridge.store.database import Database

Json = dict[str, Any]
Staged = tuple[Json, list[Json]]
"""A webhook's body, and what Purple Dot must receive because of it."""
_LINKS = {
    "USPS": "https://tools.usps.com/go/TrackConfirmAction?tLabels=",
    "FedEx": "https://www.fedex.com/fedextrack/?action=track&trackingnumber=",
    "DHL Express": "https://www.dhl.com/en/express/tracking.html?AWB=",
}
_QUICK = {
    "BRIDGE_RETRY_SCHEDULE": "1s,1s",
    "BRIDGE_WAIT_SCHEDULE": "1s,1s",
    "BRIDGE_CONFIRM_SCHEDULE": "500ms,1s",
    "BRIDGE_RECONCILE_EVERY": "0",
    "BRIDGE_LOG_FORMAT": "console",
}
_START_SECONDS, _ACT_SECONDS, _WIDTH = 30, 10, 100


def _told(order: PurpleDotOrder, units: Mapping[str, int], sent: Label | MarkedShipped, company: str) -> Json:
    """The exact JSON that Purple Dot must receive for one parcel."""
    lines = [{"id": line.id, "quantity": units[line.sku]} for line in order.lines if line.sku in units]
    tracking = {"number": sent.tracking_number, "company": company, "url": f"{_LINKS[company]}{sent.tracking_number}"}
    told = {"fulfillment_order_id": order.id, "line_items": lines, "notify_customer": False, "tracking_info": tracking}
    return {"fulfillment": told}


def _split(world: World) -> Staged:
    order = world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 1)])
    parts = world.split(world.add_shipstation_order(order), [[("ALDER-TEE-S", 2)], [("ALDER-CAP", 1)]])
    tee, cap = world.buy_labels(parts, carrier="stamps_com")
    return world.label_created_v2([tee, cap]), [_told(order, {"ALDER-TEE-S": 2}, tee, "USPS"), _told(order, {"ALDER-CAP": 1}, cap, "USPS")]


def _marked_shipped(world: World) -> Staged:
    order = world.add_order(lines=[("ALDER-MUG", 1)])
    shipped = world.mark_shipped(world.add_shipstation_order(order), "FedEx")
    return world.fulfillment_shipped_v2(shipped), [_told(order, {"ALDER-MUG": 1}, shipped, "FedEx")]


def _v1(world: World) -> Staged:
    order = world.add_order(lines=[("ALDER-TEE-M", 3)], ref_style="hash")
    [label] = world.buy_labels(world.add_shipstation_order(order), carrier="dhl_express")
    return world.ship_notify(label), [_told(order, {"ALDER-TEE-M": 3}, label, "DHL Express")]


def _lost(world: World) -> Staged:
    order = world.add_order(lines=[("ALDER-CAP", 2)])
    [label] = world.buy_labels(world.add_shipstation_order(order), carrier="fedex")
    return world.label_created_v2(label), [_told(order, {"ALDER-CAP": 2}, label, "FedEx")]


def _nothing(webhook: Callable[[World], Json]) -> Callable[[World], Staged]:
    """Purple Dot must hear nothing of it."""
    return lambda world: (webhook(world), [])


@dataclass(frozen=True, slots=True)
class Act:
    """`ends` is how it must end: the event's status, then its deliveries'. `fault` is what the request to Purple Dot meets."""

    title: str
    stage: Callable[[World], Staged]
    ends: tuple[str, ...]
    reason: Reason | None = None
    fault: str | None = None


ACTS = (
    Act("A split order leaves in two parcels", _split, ("processed", "delivered", "delivered")),
    Act("An order is marked as shipped, with outside tracking", _marked_shipped, ("processed", "delivered")),
    Act("A label is bought, told by the old API", _v1, ("processed", "delivered")),
    Act(
        "A parcel that is no pre-order",
        _nothing(lambda world: SCENARIOS["v2_foreign"].tell(world)[0]),
        ("ignored",),
        Reason.NOT_A_PURPLE_DOT_ORDER,
    ),
    Act("A label is void by the time we look", _nothing(lambda world: SCENARIOS["v2_voided"].tell(world)[0]), ("ignored",), Reason.VOIDED),
    Act(
        "The first webhook comes once more",
        _nothing(lambda world: world.label_created_v2(world.labels[0])),
        ("ignored", "delivered", "delivered"),
        Reason.ALREADY_DELIVERED,
    ),
    Act("Purple Dot takes a fulfillment, but its answer is lost", _lost, ("processed", "delivered"), fault="drop_after_commit"),
    Act(
        "A label of the first order is replaced when Purple Dot knows the old one",
        _nothing(lambda world: world.label_created_v2(world.replace_label(world.labels[0]))),
        ("processed", "held"),
        Reason.TRACKING_CHANGED_AFTER_DELIVERY,
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was answered, what is stored about the event, and what Purple Dot had to receive and did."""

    act: Act
    answer: tuple[int, str]
    event: Json
    wanted: list[Json]
    received: list[Json]

    def differences(self) -> list[str]:
        stories = (self.event, *self.event.get("delivery_stories", []))
        return _differences(
            self.act.title,
            answer=((202, "received"), self.answer),
            ends=(self.act.ends, tuple(str(story.get("status")) for story in stories)),
            reasons=({self.act.reason} - {None}, {story.get("reason") for story in stories} - {None}),
            fulfillments=(sorted(map(_pretty, self.wanted)), sorted(map(_pretty, self.received))),
        )


@dataclass(frozen=True, slots=True)
class Bridge:
    """A running `bridge run`. Its folder holds the ledger, the log, and a `.env` that leads any other `bridge` command there."""

    url: str
    token: str
    folder: Path
    process: subprocess.Popen[bytes]
    database: Database


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, to look around.")
def demo(keep: bool) -> None:
    """Webhooks from a simulated ShipStation, through a real bridge, to a simulated Purple Dot. Exit 0 only if all came out right."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    with Simulator() as simulator:
        sys.exit(1 if play(simulator, keep=keep) else 0)


def play(simulator: Simulator, *, keep: bool = False) -> list[str]:
    """Perform and tell every act against these vendors. Returns what differed from what must be: nothing, when all came right."""
    click.echo("Starting the receiver and the worker ...")
    with _running(simulator) as bridge:
        with click.progressbar(ACTS, label="Sending webhooks", show_pos=True) as acts:
            outcomes = [_perform(act, simulator, bridge) for act in acts]
        for number, outcome in enumerate(outcomes, start=1):
            click.echo("\n".join(["", click.style(f"{number}. {outcome.act.title}", bold=True), *_lines(outcome)]))
        differences = [line for outcome in outcomes for line in outcome.differences()]
        differences += _extras(simulator.world, sum(len(outcome.wanted) for outcome in outcomes))
        _sum_up(simulator, bridge, differences)
        if keep:
            _keep(simulator, bridge)
    return differences


@contextmanager
def _running(simulator: Simulator) -> Iterator[Bridge]:
    """`bridge run` in a folder of its own, where no settings of this machine reach it."""
    with tempfile.TemporaryDirectory(prefix="bridge-demo-") as name:
        bind, token, folder = f"127.0.0.1:{_free_port()}", secrets.token_urlsafe(16), Path(name)
        ledger = {"BRIDGE_DATABASE_URL": f"sqlite:///{folder / 'bridge.db'}", "BRIDGE_BIND": bind, "BRIDGE_WEBHOOK_TOKENS": token}
        (folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in (simulator.env() | _QUICK | ledger).items()))
        environ = {key: value for key, value in os.environ.items() if not key.upper().startswith("BRIDGE_")}
        with (folder / "bridge.log").open("wb") as log, closing(Database(ledger["BRIDGE_DATABASE_URL"])) as database:
            command = [sys.executable, "-m", "bridge", "run"]
            process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509, S603  # our own command
            try:
                bridge = Bridge(f"http://{bind}", token, folder, process, database)
                _wait_until_ready(bridge)
                yield bridge
            finally:
                process.terminate()
                process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_ready(bridge: Bridge) -> None:
    until = time.monotonic() + _START_SECONDS
    while _call("GET", f"{bridge.url}/readyz")[0] != http.client.OK:
        if time.monotonic() > until or bridge.process.poll() is not None:
            raise click.ClickException(f"The bridge did not start. Its log:\n{(bridge.folder / 'bridge.log').read_text()[-3000:]}")
        time.sleep(0.1)


def _perform(act: Act, simulator: Simulator, bridge: Bridge) -> Outcome:
    before = len(simulator.world.fulfillments)
    webhook, wanted = act.stage(simulator.world)
    if act.fault:
        simulator.inject("purple_dot.create_fulfillment", act.fault)
    raw, headers = simulator.webhook(webhook)
    status, answer = _call("POST", f"{bridge.url}/webhooks/shipstation", raw, headers | {"X-Bridge-Token": bridge.token})
    told = json.loads(answer or "{}")
    event = _settled(bridge.database, told.get("event_id", ""))
    return Outcome(act, (status, told.get("status", "nothing")), event, wanted, simulator.world.fulfillments[before:])


def _settled(database: Database, event_id: str) -> Json:
    """The event's story as soon as nothing of it waits for the worker, or when the time is up."""
    until = time.monotonic() + _ACT_SECONDS
    while True:
        with database.read() as connection:
            event = reports.event_story(connection, event_id) or {}
        is_moving = event.get("status") == EventStatus.RECEIVED or any(d["status"] in CLAIMABLE for d in event.get("delivery_stories", []))
        if not is_moving or time.monotonic() > until:
            return event
        time.sleep(0.05)


def _call(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """(status, body); (0, nothing) where nobody answers."""
    target = urlsplit(url)
    with closing(http.client.HTTPConnection(target.netloc, timeout=10)) as connection, suppress(OSError, http.client.HTTPException):
        connection.request(method, target.path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    return 0, b""


def _extras(world: World, wanted: int) -> list[str]:
    """What no single act can show: nothing came afterwards, nothing was asked twice, no shopper got an e-mail."""
    requests = world.count("purple_dot.create_fulfillment")
    counted = {"fulfillments": (wanted, len(world.fulfillments)), "requests": (wanted, requests), "emails": (0, len(world.emails))}
    return _differences("In all", **counted)


def _differences(where: str, **compared: tuple[object, object]) -> list[str]:
    return [f"{where}: {what}: expected {wanted}, got {got}" for what, (wanted, got) in compared.items() if wanted != got]


def _lines(outcome: Outcome) -> list[str]:
    event, stories = outcome.event, outcome.event.get("delivery_stories", [])
    told = [f"{event.get('event_type')}, {outcome.answer[0]} {outcome.answer[1]}; event {event.get('status')}.{_why(event)}"]
    told += [f"{_goods(story)} {story['status']}.{_why(story)}" for story in stories if event.get("status") == EventStatus.PROCESSED]
    lines = [textwrap.fill(line, _WIDTH, initial_indent="   ", subsequent_indent="   ") for line in told]
    lines += [f"   Purple Dot received {'' if outcome.received else 'nothing.'}".rstrip() + ":" * bool(outcome.received)]
    return lines + [textwrap.indent(_pretty(body), "   ") for body in outcome.received]


def _goods(story: Json) -> str:
    goods = ", ".join(f"{line['quantity']} x {line['sku']}" for line in story["line_items"])
    return f"Delivery of {goods or 'goods'} for {story['reference']}, number {story['tracking_number']}:"


def _why(story: Json) -> str:
    """The reason's sentence, else what was found out on the way."""
    return f" {MEANINGS[Reason(story['reason'])].sentence if story.get('reason') else ''}{story.get('detail') or ''}".rstrip()
