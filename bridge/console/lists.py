"""The lists: events and deliveries behind a filter line, page by page; and the inbox of exceptions."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from flask import request

from bridge.console.desk import Desk
from bridge.console.pages import page
from bridge.errors import RefusedError
from bridge.events import DeliveryStatus, EventStatus
from bridge.filters import QUALIFIERS, read_filter
from bridge.store import reports
from bridge.store.database import Connection
from bridge.store.reports import Query

Rows: TypeAlias = Sequence[dict[str, Any]]
Turned: TypeAlias = tuple[Rows, str | None, str | None]
A_PAGE = 50
_LONGEST_LINE = 500


def events(desk: Desk) -> str:
    """Notifications, newest first."""
    return _list(desk, "events", reports.list_events, tuple(EventStatus))


def deliveries(desk: Desk) -> str:
    """What was, or is to be, told to Purple Dot, newest first."""
    return _list(desk, "deliveries", reports.list_deliveries, tuple(DeliveryStatus))


def exceptions(desk: Desk) -> str:
    """What waits for a person, grouped by its reason, the oldest first."""
    with desk.database.read() as connection:
        return page("exceptions.html", groups=[], at=desk.database.now(connection))


def _list(desk: Desk, name: str, read: Callable[[Connection, Query], Rows], statuses: Collection[str]) -> str:
    line, problem = request.args.get("q", "")[:_LONGEST_LINE], ""
    turned: Turned = ([], None, None)
    with desk.database.read() as connection:
        now = desk.database.now(connection)
        try:
            query = read_filter(line, statuses=statuses, now=now)
        except RefusedError as exc:
            problem = str(exc)
        else:
            turned = _turned(connection, read, query)
    facts = {**dict(zip(("rows", "newer", "older"), turned, strict=True)), "at": now}
    return page("list.html", name=name, line=line, problem=problem, statuses=statuses, qualifiers=QUALIFIERS, **facts)


def _turned(connection: Connection, read: Callable[[Connection, Query], Rows], query: Query) -> Turned:
    """One page, and the ids that lead to the newer and the older one. One row more than is shown tells whether there is a next page."""
    before, after = (_id(request.args.get(name, "")) for name in ("before", "after"))
    rows = read(connection, replace(query, before=before, after=None if before else after, limit=A_PAGE + 1))
    has_more, climbs = len(rows) > A_PAGE, bool(after and not before)
    rows = rows[-A_PAGE:] if climbs else rows[:A_PAGE]
    if not rows:
        return rows, None, None
    newer, older = (has_more, True) if climbs else (bool(before), has_more)
    return rows, rows[0]["id"] if newer else None, rows[-1]["id"] if older else None


def _id(text: str) -> str | None:
    return text if re.fullmatch(r"(evt|dlv)_[0-9a-f]{1,32}", text) else None
