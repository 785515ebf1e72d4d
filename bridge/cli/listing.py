"""What the commands that list and look have in common."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import open_database
from bridge.cli.output import Column, Rows, emit, table
from bridge.domain.errors import RefusedError

if TYPE_CHECKING:
    from bridge.store.queries import Query

EVENT_ID = "evt_"
_LONGEST_SHOWN = 100

Read = Callable[[Any, "Query"], Rows]


def check_range(query: "Query") -> None:
    """A range that is upside down is a mistake, not an empty list."""
    if query.since and query.until and query.until <= query.since:
        raise click.UsageError("--until is before --since, so nothing can be between them.")


def print_list(
    read: Read,
    options: Mapping[str, Any],
    columns: Sequence[Column | str],
    *,
    as_json: bool,
    add: Callable[[Any, Rows], Rows] = lambda _connection, rows: rows,
) -> None:
    """Rows that fit the options, as a table or JSON; a cut list and an empty one say so. `add` puts
    into them what only people are shown."""
    from bridge.store.queries import Query

    query = Query(**options)
    check_range(query)
    with open_database() as database, database.read() as connection:
        rows = read(connection, query)
        if not as_json:
            rows = add(connection, rows)
    if as_json:
        emit(rows, (), as_json=True)
        return
    emit(rows, table(rows, columns) if rows else [_nothing(query)], as_json=False)
    if len(rows) == query.limit:
        click.echo(f"(the newest {query.limit}; --limit shows more)", err=True)


def _nothing(query: "Query") -> str:
    if query.event_type is not None:
        from bridge.vendors.shipstation.event_types import EVENT_TYPES

        if query.event_type not in EVENT_TYPES:
            similar = get_close_matches(query.event_type.upper(), EVENT_TYPES, n=3, cutoff=0.3)
            names = ", ".join(similar or EVENT_TYPES)
            return f"No results. No event type is called {query.event_type}; there are {names}."
    if query.search is not None:
        return "No results. --search wants the exact text; `bridge find` takes any spelling."
    return "No results."


def story_of(text: str) -> dict[str, Any]:
    """All that is stored about the one event or delivery that `text` names."""
    from bridge.store import reports

    with open_database() as database, database.read() as connection:
        id_ = exactly_one(reports.find_ids(connection, text.rstrip("…")), text)
        read = reports.event_story if id_.startswith(EVENT_ID) else reports.delivery_story
        return read(connection, id_) or {}


def exactly_one(ids: Sequence[str], text: str) -> str:
    """RefusedError, with what to do, when it is none or several."""
    if len(ids) == 1:
        return ids[0]
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    if not ids:
        raise RefusedError(
            f"no event or delivery is {text!r}; `bridge find` searches in any spelling"
        )
    raise RefusedError(f"{text!r} fits {', '.join(ids)}: choose one")
