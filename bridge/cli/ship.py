"""`bridge ship`: mark shipments as shipped in ShipStation from a file. All mistakes first, then
chunk by chunk, nothing twice."""

import csv
import io
import json
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import actor, load_settings, open_services
from bridge.cli.options import json_option
from bridge.cli.output import (
    WHOLE,
    Column,
    emit,
    for_people,
    progress_bar,
    reason_of,
    table,
    write_csv,
)
from bridge.domain.errors import StorageError
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.store.engine.files import replaced

if TYPE_CHECKING:
    from bridge.store import marked_shipments
    from bridge.store.engine.database import Database
    from bridge.vendors.shipstation.mark_shipped import Marker, MarkRow

_COLUMNS = (
    "row",
    "shipment_id",
    "shipment_number",
    "tracking_number",
    "carrier_code",
    "status",
    "message",
)


@dataclass(slots=True)
class Line:
    """A checked row, its number as an editor shows it (in JSON the first is 1), and what became of
    it."""

    number: int
    row: "MarkRow"
    status: str = "not_sent"
    message: str | None = "not sent: the run ended before it; run it again"
    shipment_number: str | None = None

    @property
    def key(self) -> "marked_shipments.Key":
        return self.row.shipment_id, normalize_tracking(
            self.row.tracking_number
        ) or self.row.tracking_number

    def cells(self) -> dict[str, Any]:
        cells = (
            self.number,
            self.row.shipment_id,
            self.shipment_number,
            self.row.tracking_number,
            self.row.carrier_code,
        )
        return dict(zip(_COLUMNS, (*cells, self.status, self.message), strict=True))


@click.command(
    epilog="""\b
    Examples:
      bridge ship parcels.csv --dry-run
      bridge ship parcels.csv --results done.csv
    """
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--chunk", type=click.IntRange(1, 500), default=50, show_default=True, help="Rows in one call."
)
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV for the results.  [default: FILE.results.csv]",
)
@click.option(
    "--again-unclear",
    is_flag=True,
    help="Send again what may be marked already. Look in ShipStation first.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything and show what would be sent; nothing is sent or written.",
)
@json_option
def ship(
    file: Path, chunk: int, results: Path | None, again_unclear: bool, dry_run: bool, as_json: bool
) -> None:
    """Mark shipments as shipped in ShipStation from a CSV or JSON file. What an earlier run marked
    is skipped."""
    from bridge.store import marked_shipments

    if not file.is_file():
        problem = "is no file" if file.exists() else "does not exist"
        raise click.BadParameter(f"File {str(file)!r} {problem}.", param_hint="FILE")
    settings = load_settings()
    is_dry = dry_run or settings.dry_run
    lines, target = _checked(file), results or Path(f"{file}.results.csv")
    if target.resolve() == file.resolve() or not os.access(target.parent, os.W_OK):
        raise click.BadParameter(
            f"{target} is the file itself, or in a folder that can't be written to.",
            param_hint="--results",
        )
    with open_services(settings) as services:
        v2, database = services.shipstation_v2, services.database
        if v2 is None:
            raise click.UsageError(
                "BRIDGE_SHIPSTATION_API_KEY is not set, and only V2 of ShipStation's API marks"
                " shipments."
            )
        todo = _without_skipped(database, lines, again_unclear=again_unclear)
        if todo and not is_dry:
            _note(database, file, len(todo))
            intent = partial(
                marked_shipments.begin, file_name=file.name, again_unclear=again_unclear
            )
            send = partial(_send_chunk, database, v2.marker(), intent)
            _send(todo, chunk, send, services.stopping)
    if is_dry:
        for line in todo:
            line.status, line.message = "would_send", None
    _report(lines, None if is_dry else target, as_json=as_json)
    has_failed = any(line.status in ("refused", "unclear", "not_sent") for line in lines)
    if has_failed and not is_dry:
        raise SystemExit(1)


def _note(database: "Database", file: Path, count: int) -> None:
    """Who sent what."""
    from bridge.store import audit

    with database.begin() as connection:
        audit.note(
            connection,
            actor=actor(),
            action="ship",
            subject=file.name,
            outcome=f"{count} rows to send",
            now=database.now(connection),
        )


def _checked(file: Path) -> list[Line]:
    """The rows, or every mistake in them and exit code 2."""
    from bridge.vendors.shipstation.mark_shipped import MarkRow, read_row

    lines, mistakes, columns = dict[str, Line](), list[str](), dict[str, None]()
    try:
        for number, cells in _rows(file.read_bytes()):
            if isinstance(cells, str):
                mistakes.append(f"row {number}: {cells}")
                continue
            columns |= dict.fromkeys(cells)
            row = read_row({name: value for name, value in cells.items() if str(value).strip()})
            if isinstance(row, list):
                mistakes += [f"row {number}: {mistake}" for mistake in row]
                continue
            first = lines.setdefault(row.shipment_id, Line(number, row)).number
            if first != number:
                mistakes.append(
                    f"row {number}: shipment_id: is in row {first} already, and ShipStation marks a"
                    " shipment once"
                )
    except (OSError, ValueError, RecursionError) as exc:
        mistakes.append(reason_of(exc))
    unknown = [name for name in columns if name and name not in MarkRow.model_fields]
    if unknown:
        click.echo(for_people(f"Columns that mean nothing here: {', '.join(unknown)}"), err=True)
    if mistakes or not lines:
        sentences = [
            for_people(f"  {mistake}") for mistake in mistakes or ["there is no row in it"]
        ]
        click.echo("\n".join([f"{file}: nothing was sent.", *sentences]), err=True)
        raise SystemExit(2)
    return list(lines.values())


def _rows(raw: bytes) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Each row with its number; a sentence in place of a row is what is wrong with it. Excel's
    "Unicode text" is UTF-16."""
    text = raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    if not text.lstrip().startswith(("[", "{")):
        yield from _csv_rows(text)
        return
    document = json.loads(text)
    rows = document.get("fulfillments") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise ValueError('the JSON is neither a list of rows nor {"fulfillments": [...]}')
    for number, row in enumerate(rows, start=1):
        yield number, row if isinstance(row, dict) else "is no JSON object"


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Where the comma is part of numbers, spreadsheets separate cells by semicolons. A quoted cell
    may go over several lines."""
    head = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    next_number, names = 1, list[str]()
    try:
        for cells in reader:
            number, next_number = next_number, reader.line_num + 1
            if not any(cells):
                continue
            if not names:
                names = _column_names(cells, number)
            elif any(cells[len(names) :]):
                yield (
                    number,
                    "has more cells than the first row; put quotes around a cell that holds the"
                    " separator",
                )
            else:
                yield number, dict(zip(names, cells, strict=False))
    except csv.Error as exc:
        raise ValueError(f"row {next_number}: can't be read as CSV: {exc}") from exc


def _column_names(cells: Sequence[str], number: int) -> list[str]:
    from bridge.vendors.shipstation.mark_shipped import MarkRow

    names = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in cells]
    wrong = [
        name
        for name, field in MarkRow.model_fields.items()
        if names.count(name) > 1 or (field.is_required() and name not in names)
    ]
    if wrong:
        raise ValueError(
            f"row {number}: {', '.join(wrong)}: the column is missing, or is there twice"
        )
    return names


def _without_skipped(
    database: "Database", lines: Sequence[Line], *, again_unclear: bool
) -> list[Line]:
    from bridge.store import marked_shipments
    from bridge.vendors.shipstation.mark_shipped import LOOK_FIRST

    with database.read() as connection:
        earlier = marked_shipments.known(connection, [line.key for line in lines])
    for line in lines:
        status, at = earlier.get(line.key, (None, None))
        if status == "marked":
            line.status = "already_marked"
            line.message = f"skipped: marked at {at:%Y-%m-%d %H:%M} UTC"
        elif status == "unclear" and not again_unclear:
            line.status = status
            when = f"{at:%Y-%m-%d %H:%M} UTC"
            line.message = f"skipped: no clear answer at {when}; {LOOK_FIRST}, with --again-unclear"
    return [line for line in lines if line.status == "not_sent"]


def _send(
    todo: Sequence[Line],
    chunk: int,
    send: Callable[[Sequence[Line]], bool],
    stopping: threading.Event,
) -> None:
    """Ends after the chunk that is under way on Ctrl-C, or when no row of one got an answer: what
    fails whole would go on failing."""
    before = signal.signal(signal.SIGINT, lambda *_: stopping.set())
    parts = [todo[start : start + chunk] for start in range(0, len(todo), chunk)]
    try:
        with progress_bar(parts, "Marking") as bar:
            for part in bar:
                if stopping.is_set() or not send(part):
                    break
    except StorageError as exc:
        click.echo(f"\nStopped: {exc}. A next run will call what was under way unclear.", err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _send_chunk(
    database: "Database", marker: "Marker", intent: Callable[..., bool], part: Sequence[Line]
) -> bool:
    """The intent is stored before the call, and what became of it after. Did any of these rows get
    an answer?"""
    from bridge.store import marked_shipments

    with database.begin() as connection:
        now = database.now(connection)
        # In the order of their keys, so that two runs never wait for each other in a ring.
        going = [
            line
            for line in sorted(part, key=lambda line: line.key)
            if intent(connection, line.key, now=now)
        ]
    results = marker.mark([line.row for line in going]) if going else []
    for line, result in zip(going, results, strict=True):
        line.status, line.message, line.shipment_number = result
    with database.begin() as connection:
        for line, result in zip(going, results, strict=True):
            marked_shipments.end(connection, line.key, result, now=database.now(connection))
    return any(result.status in ("marked", "refused") for result in results)


def _report(lines: Sequence[Line], target: Path | None, *, as_json: bool) -> None:
    rows = [line.cells() for line in lines]
    counts = Counter(line.status for line in lines)
    columns: list[Column | str] = [*_COLUMNS[:-1], Column("message", WHOLE)]
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    results = f" Results: {target}" if target else ""
    document = {"counts": counts, "results_file": target and str(target), "rows": rows}
    emit(document, [*table(rows, columns), "", f"{summary}.{results}"], as_json=as_json)
    if target is None:
        return
    try:
        with replaced(target) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
            write_csv(stream, _COLUMNS, rows)
    except OSError as exc:
        raise click.ClickException(
            f"{target} can't be written ({exc.strerror}); what is shown above is stored all the"
            " same"
        ) from exc
