"""`bridge ship`: mark shipments as shipped in ShipStation from a file. All mistakes first, then
chunk by chunk, nothing twice."""

import csv
import io
import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from bridge.cli.context import actor, load_settings, open_services
from bridge.cli.options import json_option
from bridge.cli.output import WHOLE, Column, emit, for_people, table, write_csv
from bridge.domain.errors import StorageError
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.store import audit, marked_shipments
from bridge.store.engine.database import Database
from bridge.vendors.shipstation.mark_shipped import LOOK_FIRST, Marker, MarkRow, read_row

_COLUMNS = (
    "row",
    "shipment_id",
    "shipment_number",
    "tracking_number",
    "carrier_code",
    "status",
    "message",
)
_NEEDED = [name for name, field in MarkRow.model_fields.items() if field.is_required()]


@dataclass(slots=True)
class Line:
    """A checked row, its number as an editor shows it (in JSON the first is 1), and what became of
    it."""

    number: int
    row: MarkRow
    status: str = "not_sent"
    message: str | None = "not sent: the run ended before it; run it again"
    shipment_number: str | None = None

    @property
    def key(self) -> marked_shipments.Key:
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


@click.command()
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
    settings = load_settings()
    lines, target = _checked(file), results or Path(f"{file}.results.csv")
    if target.resolve() == file.resolve() or not os.access(target.parent, os.W_OK):
        raise click.BadParameter(
            f"{target} is the file itself, or in a folder that can't be written to.",
            param_hint="--results",
        )
    with open_services(settings) as services:
        database, v2 = services.database, services.shipstation_v2
        if v2 is None:
            raise click.UsageError(
                "BRIDGE_SHIPSTATION_API_KEY is not set, and only V2 of ShipStation's API marks shipments."
            )
        todo = _without_skipped(database, lines, again_unclear=again_unclear)
        if todo and not dry_run:
            with database.begin() as connection:
                told, now = f"{len(todo)} rows to send", database.now(connection)
                audit.note(
                    connection,
                    actor=actor(),
                    action="ship",
                    subject=file.name,
                    outcome=told,
                    now=now,
                )
            intent = partial(
                marked_shipments.begin, file_name=file.name, again_unclear=again_unclear
            )
            _send(
                todo, chunk, partial(_send_chunk, database, v2.marker(), intent), services.stopping
            )
    if dry_run:
        for line in todo:
            line.status, line.message = "would_send", None
    _tell(lines, None if dry_run else target, as_json=as_json)
    if not dry_run and any(line.status in ("refused", "unclear", "not_sent") for line in lines):
        raise SystemExit(1)


def _checked(file: Path) -> list[Line]:
    """The rows, or every mistake in them and exit code 2."""
    lines, mistakes, columns = dict[str, Line](), list[str](), dict[str, None]()
    try:
        for number, given in _rows(file.read_bytes()):
            if isinstance(given, str):
                mistakes.append(f"row {number}: {given}")
                continue
            columns |= dict.fromkeys(given)
            row = read_row({name: value for name, value in given.items() if str(value).strip()})
            if isinstance(row, list):
                mistakes += [f"row {number}: {mistake}" for mistake in row]
            elif (first := lines.setdefault(row.shipment_id, Line(number, row)).number) != number:
                mistakes.append(
                    f"row {number}: shipment_id: stands in row {first} already, and ShipStation marks a shipment once"
                )
    except (OSError, ValueError, RecursionError) as exc:
        mistakes.append(str(exc))
    if ignored := [name for name in columns if name and name not in MarkRow.model_fields]:
        click.echo(for_people(f"Columns that mean nothing here: {', '.join(ignored)}"), err=True)
    if mistakes or not lines:
        told = [for_people(f"  {mistake}") for mistake in mistakes or ["there is no row in it"]]
        click.echo("\n".join([f"{file}: nothing was sent.", *told]), err=True)
        raise SystemExit(2)
    return list(lines.values())


def _rows(raw: bytes) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Each row with its number; a sentence in place of a row is what is wrong with it. Excel's
    "Unicode text" is UTF-16."""
    text = raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    if not text.lstrip().startswith(("[", "{")):
        yield from _csv_rows(text)
        return
    told = json.loads(text)
    rows = told.get("fulfillments") if isinstance(told, dict) else told
    if not isinstance(rows, list):
        raise ValueError('the JSON is neither a list of rows nor {"fulfillments": [...]}')
    yield from (
        (number, row if isinstance(row, dict) else "is no JSON object")
        for number, row in enumerate(rows, start=1)
    )


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Where the comma stands in numbers, spreadsheets part cells by semicolons. A quoted cell may
    go over several lines."""
    head = text.lstrip().partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True
    )
    begins, names = 1, list[str]()
    try:
        for cells in reader:
            number, begins = begins, reader.line_num + 1
            if names and any(cells[len(names) :]):
                yield (
                    number,
                    "has more cells than the first row; put quotes around a cell that holds the separator",
                )
            elif names and any(cells):
                yield number, dict(zip(names, cells, strict=False))
            elif any(cells):
                names = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in cells]
                if wrong := [
                    name
                    for name in MarkRow.model_fields
                    if names.count(name) not in ((1,) if name in _NEEDED else (0, 1))
                ]:
                    raise ValueError(
                        f"row {number}: {', '.join(wrong)}: the column is missing, or stands there twice"
                    )
    except csv.Error as exc:
        raise ValueError(f"row {begins}: can't be read as CSV: {exc}") from exc


def _without_skipped(
    database: Database, lines: Sequence[Line], *, again_unclear: bool
) -> list[Line]:
    with database.read() as connection:
        known = marked_shipments.known(connection, [line.key for line in lines])
    for line in lines:
        status, at = known.get(line.key, (None, None))
        if status == "marked":
            line.status, line.message = (
                "already_marked",
                f"skipped: marked at {at:%Y-%m-%d %H:%M} UTC",
            )
        elif status == "unclear" and not again_unclear:
            line.status = status
            line.message = f"skipped: no clear answer at {at:%Y-%m-%d %H:%M} UTC; {LOOK_FIRST}, with --again-unclear"
    return [line for line in lines if line.status == "not_sent"]


def _send(
    todo: Sequence[Line],
    chunk: int,
    send: Callable[[Sequence[Line]], bool],
    stopping: threading.Event,
) -> None:
    """Ends after the chunk that is under way on Ctrl-C, or when nothing was told of one: what fails
    whole would go on failing."""
    before = signal.signal(signal.SIGINT, lambda *_: stopping.set())
    parts = [todo[start : start + chunk] for start in range(0, len(todo), chunk)]
    try:
        with click.progressbar(parts, label="Marking", show_pos=True, file=sys.stderr) as bar:
            for part in bar:
                if stopping.is_set() or not send(part):
                    break
    except StorageError as exc:
        click.echo(f"\nStopped: {exc}. A next run will call what was under way unclear.", err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _send_chunk(
    database: Database, marker: Marker, intent: Callable[..., bool], part: Sequence[Line]
) -> bool:
    """The intent is stored before the call, and what became of it after. Was anything told of these
    rows?"""
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


def _tell(lines: Sequence[Line], target: Path | None, *, as_json: bool) -> None:
    rows, counts = [line.cells() for line in lines], Counter(line.status for line in lines)
    summary = f"{', '.join(f'{count} {status}' for status, count in counts.items())}.{f' Results: {target}' if target else ''}"
    document = {"counts": counts, "results_file": target and str(target), "rows": rows}
    columns: list[Column | str] = [*_COLUMNS[:-1], Column("message", WHOLE)]
    emit(document, [*table(rows, columns), "", summary], as_json=as_json)
    if target is None:
        return
    draft = target.with_name(
        f".{target.name}.{os.getpid()}"
    )  # First, so that nobody ever reads half a file.
    try:
        with draft.open("w", encoding="utf-8", newline="") as stream:
            write_csv(stream, _COLUMNS, rows)
        draft.replace(target)
    except OSError as exc:
        raise click.ClickException(
            f"{target} can't be written ({exc.strerror}); what is told above is remembered all the same"
        ) from exc
