"""`bridge events`, `deliveries` and `show`: what is there, for people, as JSON and as CSV."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

import click

from bridge.cli.context import opened
from bridge.cli.output import MOMENT, Rows, _cell, json_option, story_of, table, tell
from bridge.domain.events import DeliveryStatus, EventStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.store import audit as audit_list
from bridge.store import reports
from bridge.store.reports import Query


def _narrowed_by(statuses: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    options = (
        json_option,
        click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True),
        click.option(
            "--search",
            metavar="TEXT",
            help="An id, order number, reference or tracking number, exactly.",
        ),
        click.option("--until", type=MOMENT, help="Likewise."),
        click.option("--since", type=MOMENT, help="An age such as 2d, or an ISO date or time."),
        click.option(
            "--type",
            "event_type",
            metavar="EVENT_TYPE",
            help="Only of (or from) this event type, such as LABEL_CREATED_V2.",
        ),
        click.option(
            "--status", type=click.Choice([str(status) for status in statuses]), help="Only these."
        ),
    )
    return lambda command: reduce(lambda made, option: option(made), options, command)


@click.command()
@_narrowed_by(EventStatus)
def events(as_json: bool, **narrowed: Any) -> None:
    """List events, newest first."""
    columns = (
        "id",
        "received_at",
        "event_type",
        "status",
        "reason",
        "duplicates",
        "source",
        "deliveries",
    )
    _list(reports.list_events, Query(**narrowed), columns, as_json=as_json)


@click.command()
@_narrowed_by(DeliveryStatus)
def deliveries(as_json: bool, **narrowed: Any) -> None:
    """List deliveries, newest first."""
    columns = (
        "id",
        "status",
        "reason",
        "reference",
        "order_number",
        "tracking_company",
        "tracking_number",
        "line_items",
        "attempts",
    )
    _list(reports.list_deliveries, Query(**narrowed), columns, as_json=as_json)


def _list(
    read: Callable[[Any, Query], Rows], query: Query, columns: Sequence[str], *, as_json: bool
) -> None:
    with opened() as database, database.read() as connection:
        rows = read(connection, query)
    tell(rows, table(rows, columns) if rows else ["Nothing fits."], as_json=as_json)
    if len(rows) == query.limit and not as_json:
        click.echo(f"(the newest {query.limit}; --limit shows more)", err=True)


@click.command()
@click.argument("id_", metavar="ID")
@json_option
def show(id_: str, as_json: bool) -> None:
    """Everything stored about one event or delivery. ID may be the beginning of an id, an order
    number or a tracking number."""
    story = story_of(id_)
    tell(story, _told(story), as_json=as_json)


@click.command()
@click.option("--since", type=MOMENT, help="An age such as 2d, or an ISO date or time.")
@click.option("--search", "subject", metavar="ID", help="Only what was done to this.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def audit(subject: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """What people did by hand, newest first: who, when, what, to what, why."""
    with opened() as database, database.read() as connection:
        rows = audit_list.entries(connection, subject=subject, since=since, limit=limit)
    columns = ("at", "actor", "action", "subject", "reason", "outcome")
    tell(rows, table(rows, columns) if rows else ["Nothing was done by hand."], as_json=as_json)


def _told(story: Mapping[str, Any], indent: str = "") -> list[str]:
    """A story for people: plain fields first, the reason with its sentence and next step, then each
    list under its heading."""
    lines = [
        f"{indent}{name.replace('_', ' '):26}{_cell(value)}"
        for name, value in story.items()
        if not isinstance(value, list | dict)
    ]
    if story.get("reason"):
        meaning = MEANINGS[Reason(story["reason"])]
        lines += [
            f"{indent}{'':26}{meaning.sentence}",
            f"{indent}{'what to do':26}{meaning.shell_step}",
        ]
    for name, value in story.items():
        if value and isinstance(value, list | dict):
            lines.append(f"{indent}{name.replace('_', ' ')}")
            for one in (
                value
                if isinstance(value, list)
                else [json.dumps(value, ensure_ascii=False, default=str)]
            ):
                lines += (
                    [*_told(one, indent + "  "), ""]
                    if isinstance(one, dict)
                    else [f"{indent}  {_cell(one)}"]
                )
    return lines
