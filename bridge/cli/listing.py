"""`bridge events`, `deliveries` and `show`: what is there, for people, as JSON and as CSV."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, TextIO

import click

from bridge.cli.context import opened
from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus, EventStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.operations.filters import read_moment
from bridge.store import audit as audit_list
from bridge.store import reports
from bridge.store.reports import Query

Rows = Sequence[Mapping[str, Any]]


class _Moment(click.ParamType[datetime]):
    """`2d`, `3h` and so on ago, or an ISO date or time (UTC unless it says otherwise)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return read_moment(value, now=datetime.now(UTC))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


MOMENT = _Moment()
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


def _narrowed_by(statuses: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    options = (
        json_option,
        click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True),
        click.option("--search", metavar="TEXT", help="An id, order number, reference or tracking number, exactly."),
        click.option("--until", type=MOMENT, help="Likewise."),
        click.option("--since", type=MOMENT, help="An age such as 2d, or an ISO date or time."),
        click.option("--type", "event_type", metavar="EVENT_TYPE", help="Only of (or from) this event type, such as LABEL_CREATED_V2."),
        click.option("--status", type=click.Choice([str(status) for status in statuses]), help="Only these."),
    )
    return lambda command: reduce(lambda made, option: option(made), options, command)


@click.command()
@_narrowed_by(EventStatus)
def events(as_json: bool, **narrowed: Any) -> None:
    """List events, newest first."""
    columns = ("id", "received_at", "event_type", "status", "reason", "duplicates", "source", "deliveries")
    _list(reports.list_events, Query(**narrowed), columns, as_json=as_json)


@click.command()
@_narrowed_by(DeliveryStatus)
def deliveries(as_json: bool, **narrowed: Any) -> None:
    """List deliveries, newest first."""
    columns = ("id", "status", "reason", "reference", "order_number", "tracking_company", "tracking_number", "line_items", "attempts")
    _list(reports.list_deliveries, Query(**narrowed), columns, as_json=as_json)


def _list(read: Callable[[Any, Query], Rows], query: Query, columns: Sequence[str], *, as_json: bool) -> None:
    with opened() as database, database.read() as connection:
        rows = read(connection, query)
    tell(rows, table(rows, columns) if rows else ["Nothing fits."], as_json=as_json)
    if len(rows) == query.limit and not as_json:
        click.echo(f"(the newest {query.limit}; --limit shows more)", err=True)


@click.command()
@click.argument("id_", metavar="ID")
@json_option
def show(id_: str, as_json: bool) -> None:
    """Everything stored about one event or delivery. ID may be the beginning of an id, an order number or a tracking number."""
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
        rows = audit_list.acts(connection, subject=subject, since=since, limit=limit)
    columns = ("at", "who", "what", "subject", "why", "outcome")
    tell(rows, table(rows, columns) if rows else ["Nothing was done by hand."], as_json=as_json)


def story_of(text: str) -> dict[str, Any]:
    """Of the one event or delivery that `text` names."""
    with opened() as database, database.read() as connection:
        id_ = the_one(reports.find_ids(connection, text), text)
        return (reports.event_story if id_.startswith("evt_") else reports.delivery_story)(connection, id_) or {}


def the_one(found: Sequence[str], text: str) -> str:
    """RefusedError with what to do when it is none, or several."""
    if len(found) == 1:
        return found[0]
    told = f"{text!r} fits {', '.join(found)}: choose one" if found else f"no event or delivery is {text!r}"
    raise RefusedError(f"{told}; `bridge deliveries --search` and `bridge events --since 2d` list what is there")


def tell(value: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """One JSON document, readable in any script, or lines for people. What comes from outside can't bend the terminal."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=lambda moment: moment.isoformat()) if as_json else ""
    escaped = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    click.echo(escaped or "\n".join(printable(line) for line in lines))


def printable(line: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in line)


def table(rows: Rows, columns: Sequence[str]) -> list[str]:
    cells = [[name.replace("_", " ") for name in columns], *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list) and value:
        return ", ".join(_cell(f"{one['quantity']}× {one.get('sku') or one['id']}" if isinstance(one, Mapping) else one) for one in value)
    return "-" if value in (None, []) else str(value)


def _told(story: Mapping[str, Any], indent: str = "") -> list[str]:
    """A story for people: plain fields first, the reason with its sentence and next step, then each list under its heading."""
    lines = [f"{indent}{name.replace('_', ' '):26}{_cell(value)}" for name, value in story.items() if not isinstance(value, list | dict)]
    if story.get("reason"):
        meaning = MEANINGS[Reason(story["reason"])]
        lines += [f"{indent}{'':26}{meaning.sentence}", f"{indent}{'what to do':26}{meaning.next_step}"]
    for name, value in story.items():
        if value and isinstance(value, list | dict):
            lines.append(f"{indent}{name.replace('_', ' ')}")
            for one in value if isinstance(value, list) else [json.dumps(value, ensure_ascii=False, default=str)]:
                lines += [*_told(one, indent + "  "), ""] if isinstance(one, dict) else [f"{indent}  {_cell(one)}"]
    return lines


def write_csv(stream: TextIO, columns: Sequence[str], rows: Rows) -> None:
    """A spreadsheet must not run what came from outside. https://owasp.org/www-community/attacks/CSV_Injection"""
    writer = csv.DictWriter(stream, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        risky = {name for name, value in row.items() if str(value).startswith(("=", "+", "-", "@", "\t", "\r"))}
        writer.writerow({name: f"'{value}" if name in risky else value for name, value in row.items()})
