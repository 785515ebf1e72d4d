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
from typing import Any

import click

from bridge.cli.processes import PARENT
from bridge.domain.events import CLAIMABLE, EventStatus
from bridge.domain.orders import normalize_reference
from bridge.domain.reasons import MEANINGS, Reason
from bridge.simulator import SCENARIOS, Label, MarkedShipped, Simulator, World
from bridge.store import reports
from bridge.store.engine.database import Database

Json = dict[str, Any]
_QUICK = "CONFIRM_SCHEDULE=500ms,1s RETRY_SCHEDULE=1s,1s WAIT_SCHEDULE=1s,1s RECONCILE_EVERY=0 LOG_FORMAT=console"
_RUN = (sys.executable, "-m", "bridge", "run")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_START_SECONDS, _ACT_SECONDS, _WIDTH = 60, 20, 100


@dataclass(frozen=True, slots=True)
class Act:
    """`stage` makes the things and returns the webhook; `ends` is how it must end: the event's
    status, then its deliveries'. `fault` is what Purple Dot does to the request meanwhile."""

    title: str
    stage: Callable[[World], Json]
    ends: tuple[str, ...]
    reason: Reason | None = None
    fault: str | None = None

    delivered = property(
        lambda act: act.ends.count("delivered") if act.ends[0] == EventStatus.PROCESSED else 0
    )


def _story(name: str) -> Callable[[World], Json]:
    return lambda world: SCENARIOS[name].play(world)[0]


def _replaced(world: World) -> Json:
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
    Act("A label is bought, and the old API (V1) tells it", _story("v1_label"), _DELIVERED),
    Act(
        "A parcel that is no pre-order",
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
        "A label is replaced after Purple Dot was told",
        _replaced,
        ("processed", "held"),
        Reason.TRACKING_CHANGED_AFTER_DELIVERY,
    ),
)


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, to look around.")
@click.pass_obj
def demo(vendors: Simulator | None, keep: bool) -> None:
    """Show the journey with simulated vendors and check every outcome: exit 0 only if all came out
    right."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # A shell's background job would ignore it.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    click.echo("Starting the receiver and the worker ...")
    password = secrets.token_urlsafe(9)
    with vendors or Simulator() as simulator, _bridge_for(simulator, password) as ledger:
        with click.progressbar(ACTS, label="Sending webhooks", show_pos=True) as acts:
            performed = [_perform(act, simulator, ledger) for act in acts]
        for number, (act, (told, _)) in enumerate(zip(ACTS, performed, strict=True), start=1):
            click.echo("\n".join(["", click.style(f"{number}. {act.title}", bold=True), *told]))
        differences = [line for _, differing in performed for line in differing]
        wanted, world, asked = (
            sum(act.delivered for act in ACTS),
            simulator.world,
            simulator.world.count("purple_dot.create_fulfillment"),
        )
        # What no single act can show: nothing came besides, nothing was asked twice, no shopper got
        # an e-mail.
        differences += _compared(
            "In all",
            fulfillments=(wanted, len(world.fulfillments)),
            requests=(wanted, asked),
            emails=([], world.emails),
        )
        _sum_up(simulator, ledger, differences, password)
        if keep:
            _keep(simulator, ledger)
    sys.exit(1 if differences else 0)


@contextmanager
def _bridge_for(simulator: Simulator, password: str) -> Iterator[Database]:
    """`bridge run` in a folder of its own, with a `.env` there, so that no settings of this machine
    reach it. Yields its ledger."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address, token = f"127.0.0.1:{free.getsockname()[1]}", secrets.token_urlsafe(16)
    simulator.webhook_url = f"http://{address}/webhooks/shipstation/{token}"
    environ = {
        name: value for name, value in os.environ.items() if not name.upper().startswith("BRIDGE_")
    }
    with (
        tempfile.TemporaryDirectory(prefix="bridge-demo-") as name,
        closing(Database(f"sqlite:///{name}/bridge.db")) as ledger,
    ):
        own = [
            *_QUICK.split(),
            f"DATABASE_URL={ledger.url}",
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
            yield ledger
        finally:
            process.terminate()
            process.wait()


def _is_ready(address: str) -> bool:
    with suppress(OSError), _NO_PROXY.open(f"http://{address}/readyz", timeout=5):
        return True
    return False


def _perform(act: Act, simulator: Simulator, ledger: Database) -> tuple[list[str], list[str]]:
    """What to tell about it, and what differed from what must be."""
    world = simulator.world
    labels, marked, known = len(world.labels), len(world.marked_shipped), len(world.fulfillments)
    webhook = act.stage(world)
    if act.fault:
        simulator.inject("purple_dot.create_fulfillment", act.fault)
    status = simulator.send_webhook(simulator.webhook_url or "", webhook)
    event = _settled(ledger)
    sent: list[Label | MarkedShipped] = [*world.labels[labels:], *world.marked_shipped[marked:]]
    wanted = [_wanted(world, one) for one in sent if act.delivered]
    received = sorted(world.fulfillments[known:], key=_pretty)
    stories = (event, *event["delivery_stories"])
    return _told(event, status, received), _compared(
        act.title,
        answer=(202, status),
        ends=(act.ends, tuple(str(story["status"]) for story in stories)),
        reasons=({act.reason} - {None}, {story["reason"] for story in stories} - {None}),
        fulfillments=(sorted(wanted, key=_pretty), received),
    )


def _settled(ledger: Database) -> Json:
    """The newest event's story as soon as nothing of it waits for the worker, or when the time is
    up."""
    until = time.monotonic() + _ACT_SECONDS
    while True:
        with ledger.read() as connection:
            newest = reports.list_events(connection, reports.Query(limit=1))
            event = reports.event_story(connection, newest[0]["id"]) if newest else None
        event = event or {
            "event_type": "Nothing",
            "status": "stored",
            "reason": None,
            "delivery_stories": [],
        }
        is_moving = event["status"] == EventStatus.RECEIVED or any(
            one["status"] in CLAIMABLE for one in event["delivery_stories"]
        )
        if not is_moving or time.monotonic() > until:
            return event
        time.sleep(0.05)


def _wanted(world: World, sent: Label | MarkedShipped) -> Json:
    """The exact JSON that Purple Dot must receive for one parcel, from what the warehouse put into
    it."""
    orders = {normalize_reference(order.reference): order for order in world.orders.values()}
    order, packed = (
        orders[normalize_reference(sent.order.shipment_number)],
        {item.sku: item.quantity for item in sent.order.items},
    )
    number, carrier = sent.tracking_number, sent.shipper
    told = {
        "fulfillment_order_id": order.id,
        "line_items": [
            {"id": line.id, "quantity": packed[line.sku]}
            for line in order.lines
            if line.sku in packed
        ],
        "notify_customer": False,
        "tracking_info": {
            "number": number,
            "company": carrier.friendly_name,
            "url": carrier.tracking_url.format(number),
        },
    }
    return {"fulfillment": told}


def _compared(where: str, **pairs: tuple[object, object]) -> list[str]:
    return [
        f"{where}: {what}: expected {wanted}, got {got}"
        for what, (wanted, got) in pairs.items()
        if wanted != got
    ]


def _told(event: Json, status: int, received: list[Json]) -> list[str]:
    told = [f"{event['event_type']}: answered {status}; event {event['status']}.{_sentence(event)}"]
    stories = sorted(event["delivery_stories"], key=lambda story: str(story["tracking_number"]))
    for story in stories if event["status"] == EventStatus.PROCESSED else []:
        goods = (
            ", ".join(f"{line['quantity']} x {line['sku']}" for line in story["line_items"])
            or "what is in the parcel"
        )
        tries = (
            ", then ".join(attempt["outcome"] for attempt in story["attempt_history"])
            or story["status"]
        )
        told.append(
            f"Delivery of {goods} for {story['reference']}: {tries}.{_sentence(story) or ' ' + (story['detail'] or '')}"
        )
    told.append("Purple Dot received:" if received else "Purple Dot received nothing.")
    lines = [
        textwrap.fill(line, _WIDTH, initial_indent="   ", subsequent_indent="     ")
        for line in told
    ]
    return lines + [textwrap.indent(_pretty(body), "     ") for body in received]


def _sentence(story: Json) -> str:
    return f" {MEANINGS[Reason(story['reason'])].sentence}" if story["reason"] else ""


def _pretty(body: Json) -> str:
    """Indented JSON, with a line for each line item."""
    return re.sub(
        r"\{\s+(\"id\": .+)\s+(\"quantity\": \d+)\s+\}", r"{\1 \2}", json.dumps(body, indent=2)
    )


def _sum_up(simulator: Simulator, ledger: Database, differences: list[str], password: str) -> None:
    with ledger.read() as connection:
        waiting, world = reports.count_exceptions(connection), simulator.world
    click.echo(
        f"\n{len(ACTS)} webhooks, {len(world.fulfillments)} fulfillments, {len(world.emails)} e-mails, {waiting} held for a person."
    )
    click.echo(f"The bridge: {_home(simulator)}, with /webhooks/shipstation, /readyz, /metrics")
    click.echo(f"The console: {_home(simulator)}/console/, password {password}")
    verdict = (
        "Not everything came out as it must:"
        if differences
        else "Everything came out exactly as it must."
    )
    click.secho("\n  ".join([verdict, *differences]), fg="red" if differences else "green")


def _home(simulator: Simulator) -> str:
    return (simulator.webhook_url or "").partition("/webhooks")[0]


def _keep(simulator: Simulator, ledger: Database) -> None:
    """Whatever the simulator is asked to ship is posted to the bridge."""
    click.echo(
        "\nIt goes on running until Ctrl-C. In another terminal, in its folder, whose .env leads to this bridge:"
    )
    click.echo(
        f"  cd {Path(ledger.url.database or '').parent}\n  {sys.executable} -m bridge deliveries\n  curl {_home(simulator)}/readyz"
    )
    click.echo(
        f"  curl {simulator.url}/_simulator\n  curl -X POST {simulator.url}/_simulator/ship/v2_batch"
    )
    click.echo(f"The last lets something be shipped; likewise {', '.join(SCENARIOS)}.")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
