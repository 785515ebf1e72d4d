"""What `bridge replay` shows before anything is done: the dry run, its plan in lines, and on stderr
what it waits for."""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import emit, is_terminal, plural, progress_bar
from bridge.domain.durations import format_age
from bridge.domain.errors import BridgeError
from bridge.domain.events import Lane

if TYPE_CHECKING:
    from bridge.operations.replay import Plan
    from bridge.services import Services
    from bridge.store.rate_limits import VendorState

Report = Mapping[str, Any]
SAY_EVERY = 10.0
"""Seconds between two words about a wait."""


def rehearse(
    services: "Services", chosen: "Plan", options: Mapping[str, Any], *, show: int, as_json: bool
) -> bool:
    """Show what would be sent. Does the person agree? Never, where nobody can be asked."""
    from bridge.operations.replay import look, plan_as_json

    event_ids = [event.id for event in chosen.events][:show]
    looked_at: list[Any] = []

    def standing() -> str:
        done = f"Dry run: {len(looked_at)} of {plural(len(event_ids), 'event')} looked at."
        return waiting_line(done, vendor_waits(services), is_bar_seen=is_terminal(sys.stderr))

    with said_while_waiting(standing), progress_bar(event_ids, "Dry run") as bar:
        looked_at.extend(look(services.event_job, event_id, **options) for event_id in bar)
    report = plan_as_json(services.event_job, chosen, looked_at, **options)
    is_asked = bool(chosen.events) and not as_json and is_terminal(sys.stdin)
    emit(report, plan_lines(report, is_asked=is_asked), as_json=as_json)
    ending = why_incomplete(report, vendor_waits(services))
    if ending:
        click.echo(ending, err=True)
    return is_asked and click.confirm(f"Replay {report['counted']}?", err=True)


@contextmanager
def said_while_waiting(line: Callable[[], str], *, every: float = SAY_EVERY) -> Iterator[None]:
    """Say `line()` on stderr every so often until the block ends; an empty one is not said."""
    has_ended = threading.Event()

    def say() -> None:
        while not has_ended.wait(every):
            with suppress(BridgeError):  # It is only a word: the work itself says what is wrong.
                text = line()
                if text:
                    click.echo(text, err=True)

    thread = threading.Thread(target=say, name="says-what-it-waits-for", daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


def waiting_line(done: str, waits: Iterable[str], *, is_bar_seen: bool) -> str:
    """How far it is and what it waits for; beside a bar, only what it waits for. Pure."""
    reasons = " ".join(waits)
    if is_bar_seen:
        return f"\n{reasons}" if reasons else ""
    return f"{done} {reasons or 'It waits for answers, or for its turn after live work.'}"


def why_incomplete(report: Report, waits: Iterable[str]) -> str:
    """What to do where a vendor could not be asked for all of it; empty where it could. Pure."""
    unread = sum(1 for event in report["events"] if event["error"])
    reasons = " ".join(waits)
    if not unread or not reasons:
        return ""
    return (
        f"{unread} of {plural(len(report['events']), 'event')} could not be looked at to the end."
        f" {reasons} Repeat it after that; nothing was changed."
    )


def vendor_waits(services: "Services") -> list[str]:
    """For each vendor that a replay can't call now, a sentence that says until when."""
    from bridge.store import rate_limits

    database = services.database
    with database.read() as connection:
        now = database.now(connection)
        states = [
            rate_limits.state(connection, system, per_minute=rate, now=now, lane=Lane.REPLAY)
            for system, rate in services.rates.items()
        ]
    named = [wait_of(state, services.rates[state.system], now=now) for state in states]
    return [sentence for sentence in named if sentence]


def wait_of(state: "VendorState", per_minute: int, *, now: datetime) -> str:
    """Empty where the vendor can be called. Pure."""
    from bridge.vendors.http import SYSTEMS

    name = SYSTEMS[state.system]
    if state.state == "throttled" and state.until:
        return f"{name} asked us to wait, for another {format_age(state.until - now)}."
    if state.state == "down" and state.until:
        return f"{name} does not answer; it is asked again in {format_age(state.until - now)}."
    if state.calls_left == 0:
        return (
            f"{name}'s limit of {per_minute} calls a minute leaves none for a replay now: live work"
            " goes first."
        )
    return ""


def plan_lines(report: Report, *, is_asked: bool) -> Iterator[str]:
    """What would be sent first: it is the number that matters."""
    sending = [shipment for event in report["events"] for shipment in event["shipments"]]
    bodies = [shipment for shipment in sending if shipment["body"]]
    looked_at = plural(len(report["events"]), "event")
    yield f"Would be posted: {plural(len(bodies), 'parcel')}, of the {looked_at} looked at."
    yield report["sentence"]
    for refused in report["refused"]:
        yield f"  left out: {refused['event_id']}: {refused['why']}"
    for event in report["events"]:
        error = f": {event['error']}" if event["error"] else ""
        yield f"{event['event_id']} {event['event_type']}{error}"
        for shipment in event["shipments"]:
            yield f"  {shipment['sentence']}"
            if shipment["body"]:
                yield f"    {json.dumps(shipment['body'])}"
                yield from (f"    {line}" for line in shipment["beside"])
    yield report["never_again"]
    if not is_asked:
        yield "Nothing was written or sent. To do it: --yes, and --reason where it is needed."
