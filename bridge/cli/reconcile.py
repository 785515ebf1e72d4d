"""`bridge reconcile`: the sweep now, then both sides compared. For people, and for cron."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import actor, load_settings, open_services
from bridge.cli.options import TIMESTAMP, json_option
from bridge.cli.output import emit, is_terminal, plural, table, timestamp_text

if TYPE_CHECKING:
    from bridge.store.engine.database import Database

_COUNTS = ("event_type", "listed", "missed", "finished", "voided")


@click.command(
    epilog="""\b
    Examples:
      bridge reconcile --since 3d
      bridge reconcile --since yesterday --dry-run
    """
)
@click.option(
    "--since",
    type=TIMESTAMP,
    default="1d",
    show_default=True,
    help="An age such as 3d, today, yesterday, or an ISO date or time.",
)
@click.option("--dry-run", is_flag=True, help="Only look: nothing is processed or written.")
@json_option
def reconcile(since: datetime, dry_run: bool, as_json: bool) -> None:
    """Look for what no webhook reported and process it, then compare ShipStation, Purple Dot and
    the database. Exit code 1 while something needs a person."""
    from bridge.logs import configure_logs
    from bridge.operations.compare import compare
    from bridge.operations.sweep import Sweep
    from bridge.store import reports

    if since >= datetime.now(UTC):
        raise click.BadParameter("lies in the future.", param_hint="--since")
    settings = load_settings()
    configure_logs(settings.log_format, settings.log_level)
    with open_services(settings) as services:
        database = services.database
        if not dry_run:
            _note(database, since)
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
    counts = tally.by_event_type().items()
    report = {
        "since": tally.since,
        "until": tally.until,
        "dry_run": dry_run,
        "swept": [{"event_type": event_type} | count for event_type, count in counts],
        "enqueued": list(map(_missed, tally.enqueued)),
        "orders_compared": orders,
        "differences": [difference.as_json() for difference in differences],
        "exceptions_waiting": waiting,
    }
    emit(report, _lines(report), as_json=as_json)
    if differences or waiting:
        raise SystemExit(1)


def _note(database: "Database", since: datetime) -> None:
    """Who looked."""
    from bridge.store import audit

    with database.begin() as connection:
        audit.note(
            connection,
            actor=actor(),
            action="reconcile",
            subject=f"since {since:%Y-%m-%d %H:%M}",
            now=database.now(connection),
        )


def _missed(row: Any) -> dict[str, Any]:
    return {"why": row.why, "event_type": row.event_type, "resource_url": row.resource_url}


def _progress(text: str) -> None:
    """One line that changes, on a terminal only."""
    if is_terminal(sys.stderr):
        click.echo(f"\r\033[K{text}", err=True, nl=False)


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    since, until = timestamp_text(report["since"]), timestamp_text(report["until"])
    yield f"ShipStation, from {since} to {until}:"
    yield from table(report["swept"], _COUNTS)
    missed, differences = len(report["enqueued"]), report["differences"]
    if missed and report["dry_run"]:
        yield "A dry run: nothing of it was processed. Without --dry-run it would be."
    elif missed:
        events = plural(missed, "event")
        yield f"{events} of the sweep: the worker goes on, `bridge events --since 1h`."
    yield ""
    compared = plural(report["orders_compared"], "order")
    yield f"Purple Dot: {compared} compared, {plural(len(differences), 'difference')}."
    for difference in differences:
        yield from _difference(difference)
    if report["exceptions_waiting"]:
        yield f"{plural(report['exceptions_waiting'], 'exception')} waiting: `bridge exceptions`."
    if not (differences or report["exceptions_waiting"]):
        yield "Nothing needs a person so far." if missed else "All is well."


def _difference(difference: Mapping[str, Any]) -> Sequence[str]:
    subjects = [f"{difference['reference']} ({difference['fulfillment_order_id']})"]
    if difference["tracking_number"]:
        subjects.append(f"parcel {difference['tracking_number']}")
    if difference["event_id"]:
        subjects.append(f"event {difference['event_id']}")
    sentences = (f"  {difference['sentence']}", f"  {difference['next_step']}")
    return ["", ", ".join(subjects), *sentences]
