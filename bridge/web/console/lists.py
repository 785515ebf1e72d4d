"""The lists: webhooks and parcels behind a filter line, page by page, and the activity log."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from flask import request

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus, EventStatus
from bridge.operations.filters import PERIODS, QUALIFIERS, read_filter, with_period
from bridge.services import Services
from bridge.store import audit, replays, reports
from bridge.store.engine.database import Connection
from bridge.store.queries import Query
from bridge.store.replays import Candidate
from bridge.web.console.pages import render, zone

Rows: TypeAlias = Sequence[dict[str, Any]]
PAGE_SIZE = 50
_COUNTED_TO = 5_000
_LONGEST_LINE = 500
_MOST_IDS = 200


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of list: what it reads, and which statuses its rows can have."""

    name: str
    title: str
    read: Callable[[Connection, Query], list[dict[str, Any]]]
    statuses: Collection[str]
    is_of_events: bool
    example: str


EVENTS = Listing(
    "events", "Webhooks", reports.list_events, tuple(EventStatus), True, "status:ignored since:2d"
)
DELIVERIES = Listing(
    "deliveries",
    "Parcels",
    reports.list_deliveries,
    tuple(DeliveryStatus),
    False,
    "status:held order:PD1389447/1 since:yesterday",
)


@dataclass(frozen=True, slots=True)
class Turned:
    """One page of a list, and the ids that lead to the newer and to the older one."""

    rows: Rows = ()
    newer: str | None = None
    older: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The ticked rows, or all that match a filter line."""

    line: str
    query: Query | None
    ids: Collection[str] = ()

    def as_query(self, *, limit: int | None = None) -> Query:
        """The chosen ones, the newest first."""
        if self.query is None:
            return Query(ids=list(self.ids), limit=limit)
        return replace(self.query, limit=limit)


def events(services: Services) -> str:
    """What came in, newest first."""
    return _list(services, EVENTS)


def deliveries(services: Services) -> str:
    """What was, or is to be, posted to Purple Dot, newest first."""
    return _list(services, DELIVERIES)


def activity(services: Services) -> str:
    """What people did, newest first."""
    before = as_number(request.args.get("before", ""))
    subject = request.args.get("subject", "").strip()[:_LONGEST_LINE] or None
    with services.database.read() as connection:
        entries = audit.entries(connection, subject=subject, before=before, limit=PAGE_SIZE + 1)
    older = entries[PAGE_SIZE - 1]["id"] if len(entries) > PAGE_SIZE else None
    return render("activity.html", rows=entries[:PAGE_SIZE], older=older, subject=subject)


def chosen_deliveries(services: Services, connection: Connection) -> Choice:
    """What a list's form has chosen: the ticked rows, or all that match its filter line."""
    line = request.form.get("q", "")[:_LONGEST_LINE]
    if request.form.get("all"):
        return Choice(line, _query_of(services, connection, DELIVERIES, line))
    return Choice(line, None, tuple(_ticked_ids(_MOST_IDS)))


def chosen_events(services: Services, connection: Connection) -> list[Candidate]:
    """Likewise for events, to replay them; here all that match are given."""
    if not request.form.get("all"):
        return replays.candidates(connection, ids=_ticked_ids(_MOST_IDS))
    query = _query_of(services, connection, EVENTS, request.form.get("q", ""))
    return replays.candidates(connection, query=query)


def as_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) else None


def _list(services: Services, listing: Listing) -> str:
    line = request.args.get("q", "")[:_LONGEST_LINE]
    problem = ""
    total: int | None = None
    turned = Turned()
    with services.database.read() as connection:
        now = services.database.now(connection)
        try:
            query = _query_of(services, connection, listing, line)
        except RefusedError as exc:
            problem = str(exc)
        else:
            turned = _turn(connection, listing, query)
            total = reports.count_fitting(
                connection, query, events_wanted=listing.is_of_events, most=_COUNTED_TO
            )
        counts = _count_by_status(connection, listing)
        parcels = _parcels_of(connection, listing, turned.rows)
    return render(
        "list.html",
        listing=listing,
        line=line,
        periods={name: with_period(line, period) for name, period in PERIODS.items()},
        problem=problem,
        qualifiers=QUALIFIERS,
        turned=turned,
        total=total,
        most_counted=_COUNTED_TO,
        counts=counts,
        parcels=parcels,
        at=now,
    )


def _query_of(services: Services, connection: Connection, listing: Listing, line: str) -> Query:
    """The query that a filter line means; its times are in the zone that the page shows."""
    now = services.database.now(connection).astimezone(zone())
    return read_filter(line[:_LONGEST_LINE], statuses=listing.statuses, now=now)


def _count_by_status(connection: Connection, listing: Listing) -> Mapping[str, int]:
    if listing.is_of_events:
        received = reports.count_events(connection, most=_COUNTED_TO)
        return {str(status): count for status, count in received.items()}
    counts = reports.count_deliveries(connection, most=_COUNTED_TO)
    return {str(status): count for status, count in counts.items()}


def _parcels_of(connection: Connection, listing: Listing, rows: Rows) -> Mapping[str, Rows]:
    """What became of the parcels of each event on a page."""
    if not listing.is_of_events:
        return {}
    return reports.parcels_of(connection, [row["id"] for row in rows])


def _turn(connection: Connection, listing: Listing, query: Query) -> Turned:
    """One row more than is shown tells whether there is a next page."""
    before = _as_id(request.args.get("before", ""))
    after = None if before else _as_id(request.args.get("after", ""))
    rows = listing.read(connection, replace(query, before=before, after=after, limit=PAGE_SIZE + 1))
    has_more = len(rows) > PAGE_SIZE
    rows = rows[-PAGE_SIZE:] if after else rows[:PAGE_SIZE]
    if not rows:
        return Turned()
    has_newer = has_more if after else before is not None
    has_older = True if after else has_more
    newer = rows[0]["id"] if has_newer else None
    older = rows[-1]["id"] if has_older else None
    return Turned(rows, newer, older)


def _ticked_ids(most: int) -> list[str]:
    ids = map(_as_id, request.form.getlist("id")[:most])
    return [row_id for row_id in ids if row_id is not None]


def _as_id(text: str) -> str | None:
    return text if re.fullmatch(r"(evt|dlv)_[0-9a-f]{1,32}", text) else None
