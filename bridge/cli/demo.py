"""`bridge demo`: both vendors simulated, a real receiver and worker, webhooks sent, each outcome
checked. What `make demo` runs."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.processes import PARENT
from bridge.domain.events import CLAIMABLE, EventStatus
from bridge.domain.orders import normalize_reference
from bridge.domain.reasons import MEANINGS, Reason
from bridge.domain.text import format_lines

if TYPE_CHECKING:
    from bridge.simulator import Label, MarkedShipped, Simulator, World
    from bridge.store.engine.database import Database

Json = dict[str, Any]
_QUICK_SETTINGS = (
    "CONFIRM_SCHEDULE=500ms,1s",
    "RETRY_SCHEDULE=1s,1s",
    "WAIT_SCHEDULE=1s,1s",
    "RECONCILE_EVERY=0",
    "LOG_FORMAT=console",
)
_RUN = (sys.executable, "-m", "bridge", "run")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_START_SECONDS, _ACT_SECONDS, _WIDTH = 60, 20, 100


@dataclass(frozen=True, slots=True)
class Act:
    """`stage` makes the things and returns the webhook; `ends` is how it must end: the event's
    status, then its deliveries'. `fault` is what Purple Dot does to the request meanwhile."""

    title: str
    stage: "Callable[[World], Json]"
    ends: tuple[str, ...]
    reason: Reason | None = None
    fault: str | None = None

    delivered = property(
        lambda act: act.ends.count("delivered") if act.ends[0] == EventStatus.PROCESSED else 0
    )


def _story(name: str) -> "Callable[[World], Json]":
    def stage(world: "World") -> Json:
        from bridge.simulator import SCENARIOS

        return SCENARIOS[name].play(world)[0]

    return stage


def _replaced(world: "World") -> Json:
    return world.label_created_v2(world.replace_label(world.labels[0]))


_DELIVERED, _KNOWN = ("processed", "delivered"), ("ignored", "delivered", "delivered")
ACTS = (
    Act(
        "A split order leaves in two parcels",
        _story("v2_split"),
        ("processed", "delivered", "delivered"),
    ),
    Act(
        "An order is marked as shipped, with outside tracking",
        _story("v2_mark_shipped"),
        _DELIVERED,
    ),
    Act("A label is bought, and the old API (V1) reports it", _story("v1_label"), _DELIVERED),
    Act(
        "A parcel of an ordinary order",
        _story("v2_foreign"),
        ("ignored",),
        Reason.NOT_A_PURPLE_DOT_ORDER,
    ),
    Act(
        "A label that is void by the time we look", _story("v2_voided"), ("ignored",), Reason.VOIDED
    ),
    Act(
        "The first webhook comes once more",
        lambda world: world.label_created_v2(world.labels[0]),
        _KNOWN,
        Reason.ALREADY_DELIVERED,
    ),
    Act(
        "Purple Dot takes a fulfillment, but its answer is lost",
        _story("v1_mark_shipped"),
        _DELIVERED,
        fault="drop_after_commit",
    ),
    Act(
        "A label is replaced after its parcel was posted",
        _replaced,
        ("processed", "held"),
        Reason.TRACKING_CHANGED_AFTER_DELIVERY,
    ),
)


@click.command(
    epilog="""\b
    Example:
      bridge demo --keep     and look around in the console
    """
)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, to look around.")
@click.pass_obj
def demo(vendors: "Simulator | None", keep: bool) -> None:
    """Show the journey with simulated vendors and check every outcome: exit 0 only if all came out
    right."""
    from bridge.simulator import Simulator

    # A shell's background job would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    click.echo("Starting the receiver and the worker ...")
    password = secrets.token_urlsafe(12)
    with vendors or Simulator() as simulator, _bridge_for(simulator, password) as database:
        with click.progressbar(ACTS, label="Sending webhooks", show_pos=True, width=0) as progress:
            results = [_perform(act, simulator, database) for act in progress]
        for number, (act, (lines, _)) in enumerate(zip(ACTS, results, strict=True), start=1):
            title = click.style(f"{number}. {act.title}", bold=True)
            click.echo("\n".join(["", title, *lines]))
        differences = [line for _, differing in results for line in differing]
        differences += _differences_in_all(simulator)
        _sum_up(simulator, database, differences)
        if keep:
            _keep(simulator, database, password)
        else:
            click.echo("To look around in the console: make demo KEEP=1, or bridge demo --keep.")
    sys.exit(1 if differences else 0)


def _differences_in_all(simulator: "Simulator") -> list[str]:
    """What no single act can show: nothing came besides, nothing was posted twice, no shopper got
    an e-mail."""
    world = simulator.world
    expected = sum(act.delivered for act in ACTS)
    return _compared(
        "In all",
        fulfillments=(expected, len(world.fulfillments)),
        requests=(expected, world.count("purple_dot.create_fulfillment")),
        emails=([], world.emails),
    )


@contextmanager
def _bridge_for(simulator: "Simulator", password: str) -> "Iterator[Database]":
    """`bridge run` in a folder of its own, with a `.env` there, so that no settings of this machine
    reach it. Yields its database."""
    from bridge.store.engine.database import Database

    with socket.create_server(("127.0.0.1", 0)) as free:
        address, token = f"127.0.0.1:{free.getsockname()[1]}", secrets.token_urlsafe(16)
    simulator.webhook_url = f"http://{address}/webhooks/shipstation/{token}"
    environ = {
        name: value for name, value in os.environ.items() if not name.upper().startswith("BRIDGE_")
    }
    with (
        tempfile.TemporaryDirectory(prefix="bridge-demo-") as name,
        closing(Database(f"sqlite:///{name}/bridge.db")) as database,
    ):
        own = [
            *_QUICK_SETTINGS,
            f"DATABASE_URL={database.url}",
            f"BIND={address}",
            f"WEBHOOK_TOKENS={token}",
            f"CONSOLE_PASSWORD={password}",
        ]
        settings = [
            *(f"{setting}={value}" for setting, value in simulator.env().items()),
            *(f"BRIDGE_{setting}" for setting in own),
        ]
        Path(name, ".env").write_text("\n".join(settings))
        log = Path(name, "bridge.log")
        with log.open("wb") as stream:
            process = subprocess.Popen(  # noqa: S603  # our own command
                _RUN,
                cwd=name,
                env=environ | {PARENT: str(os.getpid())},
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            until = time.monotonic() + _START_SECONDS
            while not _is_ready(address):
                if time.monotonic() > until or process.poll() is not None:
                    raise click.ClickException(
                        f"The bridge did not start. The end of its log:\n{log.read_text()[-3000:]}"
                    )
                time.sleep(0.1)
            yield database
        finally:
            process.terminate()
            process.wait()


def _is_ready(address: str) -> bool:
    with suppress(OSError), _NO_PROXY.open(f"http://{address}/readyz", timeout=5):
        return True
    return False


def _perform(act: Act, simulator: "Simulator", database: "Database") -> tuple[list[str], list[str]]:
    """What to show of it, and what differed from what must be."""
    world = simulator.world
    labels, marked = len(world.labels), len(world.marked_shipped)
    fulfillments = len(world.fulfillments)
    webhook = act.stage(world)
    if act.fault:
        simulator.inject("purple_dot.create_fulfillment", act.fault)
    status = simulator.send_webhook(simulator.webhook_url or "", webhook)
    event = _settled(database)
    sent: list[Label | MarkedShipped] = [*world.labels[labels:], *world.marked_shipped[marked:]]
    expected = [_expected(world, parcel) for parcel in sent if act.delivered]
    received = sorted(world.fulfillments[fulfillments:], key=_pretty)
    stories = (event, *event["delivery_stories"])
    differences = _compared(
        act.title,
        answer=(202, status),
        ends=(act.ends, tuple(str(story["status"]) for story in stories)),
        reasons=({act.reason} - {None}, {story["reason"] for story in stories} - {None}),
        fulfillments=(sorted(expected, key=_pretty), received),
    )
    return _lines(event, status, received), differences


def _settled(database: "Database") -> Json:
    """The newest event's story as soon as nothing of it waits for the worker, or when the time is
    up."""
    from bridge.store import reports
    from bridge.store.queries import Query

    until = time.monotonic() + _ACT_SECONDS
    while True:
        with database.read() as connection:
            newest = reports.list_events(connection, Query(limit=1))
            event = reports.event_story(connection, newest[0]["id"]) if newest else None
        event = event or {
            "event_type": "Nothing",
            "status": "stored",
            "reason": None,
            "delivery_stories": [],
        }
        is_moving = event["status"] == EventStatus.RECEIVED or any(
            story["status"] in CLAIMABLE for story in event["delivery_stories"]
        )
        if not is_moving or time.monotonic() > until:
            return event
        time.sleep(0.05)


def _expected(world: "World", sent: "Label | MarkedShipped") -> Json:
    """The exact JSON that Purple Dot must receive for one parcel, from what the warehouse put into
    it."""
    orders = {normalize_reference(order.reference): order for order in world.orders.values()}
    order = orders[normalize_reference(sent.order.shipment_number)]
    packed = {item.sku: item.quantity for item in sent.order.items}
    number, carrier = sent.tracking_number, sent.shipper
    lines = [
        {"id": line.id, "quantity": packed[line.sku]} for line in order.lines if line.sku in packed
    ]
    tracking = {
        "number": number,
        "company": carrier.friendly_name,
        "url": carrier.tracking_url.format(number),
    }
    return {
        "fulfillment": {
            "fulfillment_order_id": order.id,
            "line_items": lines,
            "notify_customer": False,
            "tracking_info": tracking,
        }
    }


def _compared(where: str, **pairs: tuple[object, object]) -> list[str]:
    return [
        f"{where}: {name}: expected {expected}, got {actual}"
        for name, (expected, actual) in pairs.items()
        if expected != actual
    ]


def _lines(event: Json, status: int, received: list[Json]) -> list[str]:
    answer = f"{event['event_type']}: answered {status}; event {event['status']}."
    sentences = [answer + _sentence(event)]
    if event["status"] == EventStatus.PROCESSED:
        by_number = sorted(
            event["delivery_stories"], key=lambda story: str(story["tracking_number"])
        )
        sentences += map(_delivery_sentence, by_number)
    sentences.append("Purple Dot received:" if received else "Purple Dot received nothing.")
    wrapped = [
        textwrap.fill(sentence, _WIDTH, initial_indent="   ", subsequent_indent="     ")
        for sentence in sentences
    ]
    return wrapped + [textwrap.indent(_pretty(body), "     ") for body in received]


def _delivery_sentence(story: Json) -> str:
    items = format_lines(story["line_items"]) or "what is in the parcel"
    outcomes = [attempt["outcome"] for attempt in story["attempt_history"]]
    outcome = ", then ".join(outcomes) or story["status"]
    reason = _sentence(story) or f" {story['detail'] or ''}"
    return f"Delivery of {items} for {story['reference']}: {outcome}.{reason}"


def _sentence(story: Json) -> str:
    return f" {MEANINGS[Reason(story['reason'])].sentence}" if story["reason"] else ""


def _pretty(body: Json) -> str:
    """Indented JSON, with a line for each line item."""
    return re.sub(
        r"\{\s+(\"id\": .+)\s+(\"quantity\": \d+)\s+\}", r"{\1 \2}", json.dumps(body, indent=2)
    )


def _sum_up(simulator: "Simulator", database: "Database", differences: list[str]) -> None:
    from bridge.store import reports

    world = simulator.world
    with database.read() as connection:
        waiting = reports.count_exceptions(connection)
    counts = f"{len(world.fulfillments)} fulfillments, {len(world.emails)} e-mails"
    click.echo(f"\n{len(ACTS)} webhooks, {counts}, {waiting} held for a person.")
    verdict = "Everything came out exactly as it must."
    if differences:
        verdict = "Not everything came out as it must:"
    click.secho("\n  ".join([verdict, *differences]), fg="red" if differences else "green")


def _address(simulator: "Simulator") -> str:
    return (simulator.webhook_url or "").partition("/webhooks")[0]


def _keep(simulator: "Simulator", database: "Database", password: str) -> None:
    """Whatever the simulator is asked to ship is posted to the bridge."""
    from bridge.simulator import SCENARIOS

    address = _address(simulator)
    folder = Path(database.url.database or "").parent
    lines = (
        f"\nThe bridge: {address}, with /webhooks/shipstation, /readyz, /metrics",
        f"The console: {address}/console/, password {password}",
        "It goes on running until Ctrl-C. In another terminal, in its folder with its .env:",
        f"  cd {folder}",
        f"  {sys.executable} -m bridge deliveries",
        f"  curl {address}/readyz",
        f"  curl {simulator.url}/_simulator",
        f"  curl -X POST {simulator.url}/_simulator/ship/v2_batch",
        f"The last ships something; likewise {', '.join(SCENARIOS)}.",
    )
    click.echo("\n".join(lines))
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
