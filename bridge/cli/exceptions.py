"""`bridge exceptions`: what waits for a person, by reason, each with what to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from bridge.cli import deliveries, events
from bridge.cli.context import open_database
from bridge.cli.options import json_option
from bridge.cli.output import Rows, colored, emit, plural, table
from bridge.domain.events import EventStatus
from bridge.domain.reasons import MEANINGS, Reason

Group = dict[str, Any]


@click.command(
    epilog="""\b
    Examples:
      bridge exceptions
      bridge exceptions --limit 100 --json
    """
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=5,
    show_default=True,
    help="How many of each reason.",
)
@json_option
def exceptions(limit: int, as_json: bool) -> None:
    """What waits for a person, the largest group first, each with what to do about it. Exit code 1
    while anything waits."""
    from bridge.store import reports
    from bridge.store.queries import Query

    groups: list[Group] = []
    with open_database() as database, database.read() as connection:
        for status, reason, count, is_events in reports.exceptions_by_reason(connection):
            query = Query(status=status, reason=reason, limit=limit, is_open=True)
            read = reports.list_events if is_events else reports.list_deliveries
            newest: Rows = read(connection, query)
            if is_events and not as_json:
                newest = events.with_parcels(connection, newest)
            groups.append({"status": status, "reason": reason, "count": count, "newest": newest})
    emit(groups, _lines(groups), as_json=as_json)
    if groups:
        raise SystemExit(1)


def _lines(groups: Sequence[Group]) -> Iterator[str]:
    if not groups:
        yield colored("Nothing waits for a person.", "ok")
    for group in groups:
        yield from _group_lines(group)
        yield ""


def _group_lines(group: Mapping[str, Any]) -> Iterator[str]:
    is_events = "event_type" in group["newest"][0]
    count = plural(group["count"], "webhook" if is_events else "parcel")
    meaning = MEANINGS[Reason(group["reason"])] if group["reason"] else None
    title = meaning.title if meaning else "Failed"
    yield colored(f"{title}: {count} ({group['status']}, {group['reason']})", group["status"])
    if meaning:
        yield f"{meaning.sentence} {meaning.shell_step}"
    yield from table(group["newest"], events.COLUMNS if is_events else deliveries.COLUMNS)
    more = group["count"] - len(group["newest"])
    if more > 0:
        command = "events" if is_events else "deliveries"
        status = EventStatus.DEAD if is_events else group["status"]
        yield f"… and {more} more: `bridge {command} --status {status} --reason {group['reason']}`"
