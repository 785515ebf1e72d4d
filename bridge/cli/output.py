"""What a command prints: lines for people, tables that fit the terminal, JSON and CSV. Nothing from
outside can move the cursor, set a title or run in a spreadsheet."""

import csv
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from bridge.cli.commands import COMMANDS
from bridge.domain.durations import format_age, local_zone
from bridge.domain.text import format_lines, printable

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

T = TypeVar("T")

WHOLE = 10_000
"""For a column of sentences, which is never cut: the terminal wraps it."""

Rows = Sequence[Mapping[str, Any]]

_COLORS: Mapping[str, str] = {
    "ok": "green",
    "delivered": "green",
    "processed": "green",
    "pending": "cyan",
    "delivering": "cyan",
    "received": "cyan",
    "waiting": "cyan",
    "retrying": "yellow",
    "unconfirmed": "yellow",
    "warn": "yellow",
    "held": "yellow",
    "dead": "red",
    "fail": "red",
    "rejected": "red",
}
"""What a status looks like on a terminal."""

_COMMAND_LINE = re.compile(rf"(?<![\w./-])bridge (?=(?:{'|'.join(COMMANDS)})\b)")
_NARROWEST = 4


class Safe(str):
    """A line with nothing from outside in it that a terminal could obey; it may have colors."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: `read` makes its cell from a row, by default what the row has under
    `name`. It is cut to `narrowest` characters before it makes a table too wide; one that is not
    `needed` is then left out. `status_of` says whose color it has, by default its own if it is a
    status."""

    name: str
    narrowest: int = 8
    read: Callable[[Mapping[str, Any]], Any] | None = None
    status_of: Callable[[Mapping[str, Any]], str] | None = None
    needed: bool = True

    def cell(self, row: Mapping[str, Any]) -> str:
        return printable(cell_text(row.get(self.name) if self.read is None else self.read(row)))


def age_column(name: str, title: str = "age") -> Column:
    """How long ago `name` was."""

    def read(row: Mapping[str, Any]) -> str:
        at: datetime | None = row[name]
        return "-" if at is None else format_age(datetime.now(UTC) - at)

    return Column(title, 6, read)


def emit(value: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """`value` as one JSON document that any script can read, or `lines` for people."""
    if not as_json:
        click.echo(
            "\n".join(line if isinstance(line, Safe) else for_people(line) for line in lines)
        )
        return
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
        )
    click.echo(text)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def for_people(text: str) -> str:
    """Safe on a terminal, and with hints that name this command as it was called."""
    return "\n".join(printable(line) for line in own_name(text).split("\n"))


def reason_of(error: Exception) -> str:
    """Why a file or an address could not be used, without Python's own words around it."""
    if isinstance(error, UnicodeError):
        return "it is no text in UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def own_name(text: str) -> str:
    """`bridge retry` as the person must write it: some systems have another program of that
    name."""
    ctx = click.get_current_context(silent=True)
    name = ctx.find_root().info_name if ctx else None
    return text if name in (None, "bridge") else _COMMAND_LINE.sub(f"{name} ", text)


def colored(text: str, status: str) -> Safe:
    """The text in the color of a status, where a person looks at it."""
    color = _COLORS.get(status)
    if color is None or not has_colors():
        return Safe(printable(text))
    return Safe(click.style(printable(text), fg=color))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at it. A program may be started with its output closed."""
    return stream is not None and stream.isatty()


def has_colors() -> bool:
    """https://no-color.org"""
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_wanted and is_terminal(sys.stdout)


def table(rows: Rows, columns: Sequence[Column | str]) -> list[str]:
    """Under their names, as wide as the terminal allows; not cut where nobody looks at it."""
    chosen = [column if isinstance(column, Column) else Column(column) for column in columns]
    chosen = _affordable(rows, chosen, terminal_width())
    head = [column.name.replace("_", " ") for column in chosen]
    body = [[column.cell(row) for column in chosen] for row in rows]
    natural = [max(map(len, cells)) for cells in zip(head, *body, strict=True)]
    widths = _fit(natural, [column.narrowest for column in chosen], terminal_width())
    lines: list[str] = [_line(head, head, widths)]
    for row, cells in zip(rows, body, strict=True):
        statuses = [
            cell if column.status_of is None else column.status_of(row)
            for column, cell in zip(chosen, cells, strict=True)
        ]
        lines.append(_line(cells, statuses, widths))
    return lines


def _affordable(rows: Rows, columns: list[Column], available: int | None) -> list[Column]:
    """Without the columns that say nothing, and those that are not needed, as far as the rest could
    not be read beside them."""
    empty = [column for column in columns if _is_empty(rows, column)]
    spare = [column for column in columns if not column.needed]
    for column in [*reversed(empty), *reversed(spare)]:
        if available is None or _least_width(rows, columns) <= available:
            return columns
        columns = [other for other in columns if other is not column]
    return columns


def _is_empty(rows: Rows, column: Column) -> bool:
    return all(column.cell(row) == "-" for row in rows)


def _least_width(rows: Rows, columns: Sequence[Column]) -> int:
    widths = []
    for column in columns:
        natural = max([len(column.name), *(len(column.cell(row)) for row in rows)])
        widths.append(min(natural, column.narrowest))
    return sum(widths) + 2 * (len(widths) - 1)


def terminal_width() -> int | None:
    """Columns of the terminal, or of COLUMNS; None where the output goes elsewhere."""
    if os.environ.get("COLUMNS", "").isdigit() or is_terminal(sys.stdout):
        return shutil.get_terminal_size().columns
    return None


def _fit(natural: Sequence[int], narrowest: Sequence[int], available: int | None) -> list[int]:
    """The widest column gives first, down to its narrowest, then to the least that says
    anything."""
    widths = list(natural)
    if available is None:
        return widths
    space = available - 2 * (len(widths) - 1)
    least = [floor if floor == WHOLE else _NARROWEST for floor in narrowest]
    for floors in (narrowest, least):
        while sum(widths) > space:
            give = [
                index for index, width in enumerate(widths) if width > min(floors[index], width)
            ]
            if not give:
                break
            widths[max(give, key=widths.__getitem__)] -= 1
    return widths


def _line(cells: Sequence[str], statuses: Sequence[str], widths: Sequence[int]) -> Safe:
    shown = []
    for cell, status, width in zip(cells, statuses, widths, strict=True):
        text = cell if len(cell) <= width else f"{cell[: width - 1]}…"
        shown.append(colored(text, status) + " " * (width - len(text)))
    return Safe("  ".join(shown).rstrip())


def cell_text(value: Any) -> str:
    """Any value of a row as people read it."""
    if isinstance(value, datetime):
        return timestamp_text(value)
    if isinstance(value, list) and value:
        if isinstance(value[0], Mapping):
            return format_lines(value)
        return ", ".join(map(cell_text, value))
    return "-" if value in (None, "", []) else str(value)


def timestamp_text(at: datetime) -> str:
    """In the machine's zone, which is named."""
    return f"{at.astimezone(local_zone()):%Y-%m-%d %H:%M:%S %Z}"


def progress_bar(steps: Sequence[T], label: str) -> "ProgressBar[T]":
    """On stderr, as wide as the terminal, and nothing where nobody looks."""
    return click.progressbar(steps, label=label, show_pos=True, width=0, file=sys.stderr)


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """`1 parcel`, `2 parcels`, `no parcels`."""
    nouns = plural_noun or f"{noun}s"
    return f"{count or 'no'} {noun if count == 1 else nouns}"


def write_csv(stream: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A spreadsheet must not run what came from outside, nor a terminal obey it.
    https://owasp.org/www-community/attacks/CSV_Injection"""
    writer = csv.DictWriter(stream, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_cell(row.get(name)) for name in columns})


def _csv_cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    # Looked at before control characters become marks: a tab and a return begin a formula, too.
    is_risky = text.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{printable(text)}" if is_risky else printable(text)
