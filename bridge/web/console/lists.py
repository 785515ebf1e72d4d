"""The lists: events and deliveries behind a filter line, page by page; and the inbox of
exceptions."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

from flask import current_app, request, url_for

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus, EventStatus
from bridge.domain.reasons import Reason
from bridge.operations import repair
from bridge.operations.filters import QUALIFIERS, read_filter
from bridge.services import Services
from bridge.store import audit, repairs, replays, reports
from bridge.store.engine.database import Connection
from bridge.store.replays import Candidate
from bridge.store.reports import Query
from bridge.web.console.pages import render

Rows: TypeAlias = Sequence[dict[str, Any]]
Turned: TypeAlias = tuple[Rows, str | None, str | None]
A_PAGE, OLDEST = 50, 10
_LONGEST_LINE, _MOST_IDS = 500, 200


def events(services: Services) -> str:
    """Notifications, newest first."""
    return _list(services, "events", reports.list_events, tuple(EventStatus))


def deliveries(services: Services) -> str:
    """What was, or is to be, told to Purple Dot, newest first."""
    return _list(services, "deliveries", reports.list_deliveries, tuple(DeliveryStatus))


def exceptions(services: Services) -> str:
    """What waits for a person, grouped by its reason; in each group the oldest first."""
    with services.database.read() as connection:
        groups = [
            {
                "status": status,
                "reason": reason,
                "count": count,
                "events": events_wanted,
                "rows": _oldest(services, connection, status, reason, events_wanted),
            }
            for status, reason, count, events_wanted in reports.exceptions_by_reason(connection)
        ]
        return render(
            "exceptions.html",
            groups=groups,
            shown_most=OLDEST,
            at=services.database.now(connection),
        )


def _oldest(
    services: Services, connection: Connection, status: str, reason: str | None, events_wanted: bool
) -> Rows:
    """The first of a group, each with what can be done about it."""
    read, prefix = (
        (reports.list_events, "evt_") if events_wanted else (reports.list_deliveries, "dlv_")
    )
    rows = list(
        reversed(
            read(
                connection,
                Query(status=status, reason=reason, after=prefix, limit=OLDEST, is_open=True),
            )
        )
    )
    details = reports.details_of(connection, [row["id"] for row in rows])
    return [
        row
        | {"detail": details[row["id"]]}
        | ({} if events_wanted else ways(services, connection, row))
        for row in rows
    ]


def acts(services: Services) -> str:
    """What people did by hand, newest first."""
    before, subject = (
        a_number(request.args.get("before", "")),
        request.args.get("subject", "").strip()[:_LONGEST_LINE] or None,
    )
    with services.database.read() as connection:
        found = audit.entries(connection, subject=subject, before=before, limit=A_PAGE + 1)
    return render(
        "audit.html",
        rows=found[:A_PAGE],
        older=found[A_PAGE - 1]["id"] if len(found) > A_PAGE else None,
        subject=subject,
    )


def ways(services: Services, connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    """The buttons that mend a delivery, and what the last page of its story says of it. `rest` is
    what would go out, in words."""
    is_exception = row["status"] in (DeliveryStatus.HELD, DeliveryStatus.DEAD)
    may_retry = (
        row["status"] not in (DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED)
        and row["reason"] not in repair.AFTER_DELIVERY
    )
    may_link = (
        row["reason"] in (Reason.AMBIGUOUS_ORDER, Reason.ORDER_NOT_FOUND) and not row["line_items"]
    )
    rest = None
    if is_exception:
        with suppress(RefusedError):
            [delivery] = repairs.find(connection, row["id"])
            rest = repair.format_lines(
                repair.remaining_for(connection, delivery, carriers=services.carriers)
            )
    return {"may_retry": may_retry, "may_link": may_link, "may_resolve": is_exception, "rest": rest}


def chosen_deliveries(services: Services, connection: Connection, *, most: int) -> tuple[Rows, int]:
    """What a list's form has chosen, and how many: the ticked rows, or all that fit its filter
    line, of which it gives the newest."""
    if request.form.get("all"):
        now = services.database.now(connection)
        query = read_filter(
            request.form.get("q", "")[:_LONGEST_LINE], statuses=tuple(DeliveryStatus), now=now
        )
        return reports.list_deliveries(
            connection, replace(query, limit=most)
        ), reports.count_fitting(connection, query, events_wanted=False)
    ids = [id_ for text in request.form.getlist("id")[:most] if (id_ := _id(text))]
    found = [
        row
        for id_ in ids
        for row in reports.list_deliveries(connection, Query(search=id_, limit=1))
    ]
    return found, len(found)


def chosen_events(services: Services, connection: Connection) -> list[Candidate]:
    """Likewise for events, to replay them; here all that fit are given."""
    if not request.form.get("all"):
        return replays.candidates(
            connection,
            ids=[id_ for text in request.form.getlist("id")[:_MOST_IDS] if (id_ := _id(text))],
        )
    now = services.database.now(connection)
    query = read_filter(
        request.form.get("q", "")[:_LONGEST_LINE], statuses=tuple(EventStatus), now=now
    )
    return replays.candidates(connection, query=query)


def _list(
    services: Services,
    name: str,
    read: Callable[[Connection, Query], Rows],
    statuses: Collection[str],
) -> str:
    line, problem = request.args.get("q", "")[:_LONGEST_LINE], ""
    turned: Turned = ([], None, None)
    with services.database.read() as connection:
        now = services.database.now(connection)
        try:
            query = read_filter(line, statuses=statuses, now=now)
        except RefusedError as exc:
            problem = str(exc)
        else:
            turned = _turned(connection, read, query)
    facts = {**dict(zip(("rows", "newer", "older"), turned, strict=True)), "at": now}
    return render(
        "list.html",
        name=name,
        line=line,
        problem=problem,
        statuses=statuses,
        qualifiers=QUALIFIERS,
        bulk=_bulk(name),
        **facts,
    )


def _turned(
    connection: Connection, read: Callable[[Connection, Query], Rows], query: Query
) -> Turned:
    """One page, and the ids that lead to the newer and the older one. One row more than is shown
    tells whether there is a next page."""
    before, after = (_id(request.args.get(name, "")) for name in ("before", "after"))
    rows = read(
        connection, replace(query, before=before, after=None if before else after, limit=A_PAGE + 1)
    )
    has_more, climbs = len(rows) > A_PAGE, bool(after and not before)
    rows = rows[-A_PAGE:] if climbs else rows[:A_PAGE]
    if not rows:
        return rows, None, None
    newer, older = (has_more, True) if climbs else (bool(before), has_more)
    return rows, rows[0]["id"] if newer else None, rows[-1]["id"] if older else None


def a_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) else None


def _id(text: str) -> str | None:
    return text if re.fullmatch(r"(evt|dlv)_[0-9a-f]{1,32}", text) else None


def _bulk(name: str) -> str | None:
    """Where a form goes that chooses some, or all that match: `id` (each ticked), `all` and `q`."""
    target = {"deliveries": "console.plan_many", "events": "console.plan_replay"}[name]
    return url_for(target) if target in current_app.view_functions else None
