"""`bridge events`, `deliveries` and `show`: what is there, for people and as JSON."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bridge.cli.settings import load_settings
from bridge.events import DeliveryStatus, EventStatus
from bridge.reasons import MEANINGS, Reason
from bridge.store import reports
from bridge.store.reports import Query

Rows = list[dict[str, Any]]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, *, now: datetime) -> datetime:
    """`2d`, `3h` and so on ago, or an ISO date or time (UTC unless it says otherwise). ValueError says what is wrong."""
    ago = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if ago:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise ValueError(f"{text!r} is neither an age such as 2d or 3h nor an ISO date such as 2026-11-02") from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Moment(click.ParamType[datetime]):
    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return parse_moment(value, now=datetime.now(UTC))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


MOMENT = _Moment()


def _list_options(statuses: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    options = (
        click.option("--status", type=click.Choice(list(statuses)), help="Only these."),
        click.option("--type", "event_type", metavar="EVENT_TYPE", help="Only of (or from) this event type, such as LABEL_CREATED_V2."),
        click.option("--since", type=MOMENT, help="An age such as 2d, or an ISO date or time."),
        click.option("--until", type=MOMENT, help="Likewise."),
        click.option("--search", metavar="TEXT", help="An id, order number, reference or tracking number, exactly."),
        click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True),
        click.option("--json", "as_json", is_flag=True, help="One JSON document."),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command()
@_list_options([status.value for status in EventStatus])
def events(as_json: bool, **narrowed: Any) -> None:
    """List events, newest first."""
    columns = ("id", "received_at", "event_type", "status", "reason", "duplicates", "deliveries")
    _list(reports.list_events, Query(**narrowed), columns, as_json=as_json)


@click.command()
@_list_options([status.value for status in DeliveryStatus])
def deliveries(as_json: bool, **narrowed: Any) -> None:
    """List deliveries, newest first."""
    columns = ("id", "status", "reason", "reference", "order_number", "tracking_company", "tracking_number", "line_items", "attempts")
    _list(reports.list_deliveries, Query(**narrowed), columns, as_json=as_json)


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show(id_: str, as_json: bool) -> None:
    """Everything stored about one event or delivery. ID may be the beginning of an id, an order number or a tracking number."""
    whole = story_of(find_one(id_))
    click.echo(to_json(whole) if as_json else "\n".join(_told(whole)))


def find_one(text: str) -> str:
    """The id of the one event or delivery that `text` names; a message with what to do when it is none, or several."""
    found: list[str] = ask(lambda connection: reports.find_ids(connection, text))
    if len(found) == 1:
        return found[0]
    told = f"No event or delivery is {text!r}." if not found else f"{text!r} fits {', '.join(found)}: choose one."
    raise click.ClickException(f"{told} `bridge deliveries --search` and `bridge events --since 2d` list what is there.")


def story_of(id_: str) -> dict[str, Any]:
    story = reports.event_story if id_.startswith("evt_") else reports.delivery_story
    return ask(lambda connection: story(connection, id_)) or {}


def _list(read: Callable[[Any, Query], Rows], query: Query, columns: tuple[str, ...], *, as_json: bool) -> None:
    rows = ask(lambda connection: read(connection, query))
    if as_json:
        click.echo(to_json(rows))
        return
    click.echo(table(rows, columns) if rows else "Nothing fits.")
    if len(rows) == query.limit:
        click.echo(f"(the newest {query.limit}; --limit shows more)", err=True)


def ask(question: Callable[[Any], Any]) -> Any:
    from bridge.app import open_database

    database = open_database(load_settings())
    try:
        with database.read() as connection:
            return question(connection)
    finally:
        database.close()


def to_json(value: Any) -> str:
    """Readable in any script, but what could bend a terminal is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=lambda moment: moment.isoformat())
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def table(rows: Rows, columns: tuple[str, ...]) -> str:
    """Plain columns; what comes from outside can't bend the terminal."""
    cells = [[name.replace("_", " ") for name in columns], *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list):
        return ", ".join(_cell(f"{one['quantity']}× {one.get('sku') or one['id']}" if isinstance(one, Mapping) else one) for one in value)
    return printable(str(value))


def printable(text: str) -> str:
    """What comes from outside can't bend the terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)


def _told(story: Mapping[str, Any], indent: str = "") -> list[str]:
    """A story for people: plain fields first, then each list under its heading, the reason with its sentence and next step."""
    lines = [f"{indent}{name.replace('_', ' '):26}{_cell(value)}" for name, value in story.items() if not isinstance(value, list | dict)]
    if story.get("reason"):
        meaning = MEANINGS[Reason(story["reason"])]
        lines += [f"{indent}{'':26}{meaning.sentence}", f"{indent}{'what to do':26}{meaning.next_step}"]
    for name, value in story.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name.replace('_', ' ')}", f"{indent}  {printable(json.dumps(value, ensure_ascii=False, default=str))}"]
        elif value and isinstance(value, list):
            lines.append(f"{indent}{name.replace('_', ' ')}")
            for one in value:
                lines += [*_told(one, indent + "  "), ""] if isinstance(one, dict) else [f"{indent}  {_cell(one)}"]
    return lines
