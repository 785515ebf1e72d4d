"""What a command prints: tables, JSON and CSV; and the options that every list shares."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

import click

from bridge.cli.context import opened
from bridge.domain.durations import read_timestamp
from bridge.domain.errors import RefusedError
from bridge.store import reports

Rows = Sequence[Mapping[str, Any]]


class _Moment(click.ParamType[datetime]):
    """`2d`, `3h` and so on ago, or an ISO date or time (UTC unless it says otherwise)."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return read_timestamp(value, now=datetime.now(UTC))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


MOMENT = _Moment()


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


def story_of(text: str) -> dict[str, Any]:
    """Of the one event or delivery that `text` names."""
    with opened() as database, database.read() as connection:
        id_ = the_one(reports.find_ids(connection, text), text)
        return (reports.event_story if id_.startswith("evt_") else reports.delivery_story)(
            connection, id_
        ) or {}


def the_one(found: Sequence[str], text: str) -> str:
    """RefusedError with what to do when it is none, or several."""
    if len(found) == 1:
        return found[0]
    told = (
        f"{text!r} fits {', '.join(found)}: choose one"
        if found
        else f"no event or delivery is {text!r}"
    )
    raise RefusedError(
        f"{told}; `bridge deliveries --search` and `bridge events --since 2d` list what is there"
    )


def tell(value: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """One JSON document, readable in any script, or lines for people. What comes from outside can't
    bend the terminal."""
    text = (
        json.dumps(value, indent=2, ensure_ascii=False, default=lambda moment: moment.isoformat())
        if as_json
        else ""
    )
    escaped = "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )
    click.echo(escaped or "\n".join(printable(line) for line in lines))


def printable(line: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in line)


def table(rows: Rows, columns: Sequence[str]) -> list[str]:
    cells = [
        [name.replace("_", " ") for name in columns],
        *([_cell(row.get(name)) for name in columns] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list) and value:
        return ", ".join(
            _cell(
                f"{one['quantity']}× {one.get('sku') or one['id']}"
                if isinstance(one, Mapping)
                else one
            )
            for one in value
        )
    return "-" if value in (None, []) else str(value)


def write_csv(stream: TextIO, columns: Sequence[str], rows: Rows) -> None:
    """A spreadsheet must not run what came from outside.
    https://owasp.org/www-community/attacks/CSV_Injection"""
    writer = csv.DictWriter(stream, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        risky = {
            name
            for name, value in row.items()
            if str(value).startswith(("=", "+", "-", "@", "\t", "\r"))
        }
        writer.writerow(
            {name: f"'{value}" if name in risky else value for name, value in row.items()}
        )
