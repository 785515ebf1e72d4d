"""`bridge reconcile`: the sweep now, then both sides compared. For people, and for cron by its exit
code."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from bridge.cli.context import actor, load_settings, open_services
from bridge.cli.options import TIMESTAMP, json_option
from bridge.cli.output import emit, table
from bridge.logs import configure_logs
from bridge.store import audit, reports

_COUNTS = ("event_type", "listed", "missed", "finished", "voided")


@click.command()
@click.option(
    "--since",
    type=TIMESTAMP,
    default="1d",
    show_default=True,
    help="An age such as 3d, or an ISO date or time.",
)
@click.option("--dry-run", is_flag=True, help="Only look: nothing is fed in, nothing written.")
@json_option
def reconcile(since: datetime, dry_run: bool, as_json: bool) -> None:
    """Find what no webhook told of and let it go its way, then compare ShipStation, Purple Dot and
    the ledger. Exit 1: see to something."""
    from bridge.operations.compare import compare
    from bridge.operations.sweep import Sweep

    if since >= datetime.now(UTC):
        raise click.BadParameter("lies in the future.", param_hint="--since")
    settings = load_settings()
    configure_logs(settings.log_format, settings.log_level)
    with open_services(settings) as services:
        database = services.database
        if not dry_run:
            with database.begin() as connection:
                audit.note(
                    connection,
                    actor=actor(),
                    action="reconcile",
                    subject=f"since {since:%Y-%m-%d %H:%M}",
                    now=database.now(connection),
                )
        tally = Sweep(database, services.fetcher, _progress).run(
            since, services.stopping, started_by="person", dry_run=dry_run
        )
        _progress("Purple Dot: orders are compared")
        orders, differences = compare(
            database, services.purple_dot, pattern=settings.reference_pattern, since=since
        )
        with database.read() as connection:
            waiting = reports.count_exceptions(connection)
    _progress("")
    told = {
        "since": tally.since,
        "until": tally.until,
        "dry_run": dry_run,
        "swept": [
            {"event_type": event_type} | counts
            for event_type, counts in tally.by_event_type().items()
        ],
        "fed_in": [
            {"why": one.why, "event_type": one.event_type, "resource_url": one.resource_url}
            for one in tally.fed_in
        ],
        "orders_compared": orders,
        "differences": [difference.as_json() for difference in differences],
        "exceptions_waiting": waiting,
    }
    emit(told, _report(told), as_json=as_json)
    if differences or waiting:
        raise SystemExit(1)


def _progress(text: str) -> None:
    """One line that changes, on a terminal only."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", err=True, nl=False)


def _report(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"ShipStation, from {told['since']:%Y-%m-%d %H:%M} to {told['until']:%Y-%m-%d %H:%M} UTC:"
    yield from table(told["swept"], _COUNTS)
    found = len(told["fed_in"])
    if found and told["dry_run"]:
        yield "A dry run: nothing of it was fed in. Without --dry-run it would be."
    elif found:
        yield f"Fed in as {found} event(s) of the sweep; the worker takes them from here: `bridge events --since 1h`."
    yield ""
    yield f"Purple Dot: {told['orders_compared']} order(s) compared, {len(told['differences']) or 'no'} difference(s)."
    for difference in told["differences"]:
        yield from _difference(difference)
    if told["exceptions_waiting"]:
        yield f"{told['exceptions_waiting']} exception(s) wait for a person: `bridge deliveries --status held`, `--status dead`, and"
        yield "`bridge events --status dead`."
    if not (told["differences"] or told["exceptions_waiting"]):
        yield "Nothing needs a person so far." if found else "All is well."


def _difference(difference: Mapping[str, Any]) -> Sequence[str]:
    named = [f"{difference['reference']} ({difference['fulfillment_order_id']})"]
    named += [f"parcel {difference['tracking_number']}"] if difference["tracking_number"] else []
    named += [f"event {difference['event_id']}"] if difference["event_id"] else []
    return ["", ", ".join(named), f"  {difference['sentence']}", f"  {difference['next_step']}"]
