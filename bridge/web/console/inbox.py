"""The inbox: what waits for a person, grouped by its reason, each with the right thing to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.domain.reasons import MEANINGS, PersonAction, Reason
from bridge.services import Services
from bridge.store import audit, reports
from bridge.store.engine.database import Connection
from bridge.store.queries import Query
from bridge.web.console.actions import NOTE, SEEN
from bridge.web.console.choices import choices_for
from bridge.web.console.pages import render

SHOWN = 50
UNFOLDED = 5

_FOR_ALL = {
    PersonAction.RETRY: "Retry all {:,}",
    PersonAction.RESOLVE_DELIVERED: "Close all {:,} as delivered",
    PersonAction.RESOLVE_CANCELLED: "Close all {:,} as cancelled",
}


@dataclass(frozen=True, slots=True)
class Group:
    """All that waits for one reason; `rows` are the oldest of it."""

    status: str
    reason: str | None
    count: int
    is_of_events: bool
    rows: Sequence[Mapping[str, Any]]

    @property
    def key(self) -> str:
        """What the group is called in an address."""
        return f"{'events' if self.is_of_events else 'parcels'}-{self.reason or self.status}"

    @property
    def line(self) -> str:
        """The filter line that lists exactly this group."""
        return f"status:{self.status}" + (f" reason:{self.reason}" if self.reason else "")

    @property
    def bulk_actions(self) -> Sequence[tuple[PersonAction, str]]:
        """What may be done to all of it at once, and what its button says."""
        if self.is_of_events:
            return ()
        allowed = MEANINGS[Reason(self.reason)].bulk_actions if self.reason else tuple(_FOR_ALL)
        offered = [action for action in allowed if action in _FOR_ALL]
        return [(action, _FOR_ALL[action].format(self.count)) for action in offered]


def show(services: Services) -> str:
    """In each group the oldest first."""
    with services.database.read() as connection:
        groups = [
            Group(
                status,
                reason,
                count,
                is_of_events,
                _oldest(connection, status, reason, is_of_events),
            )
            for status, reason, count, is_of_events in reports.exceptions_by_reason(connection)
        ]
        searching = reports.count_searching(connection)
        now = services.database.now(connection)
    return render("inbox.html", groups=groups, unfolded=UNFOLDED, searching=searching, at=now)


def _oldest(
    connection: Connection, status: str, reason: str | None, is_of_events: bool
) -> list[dict[str, Any]]:
    read, prefix = reports.list_deliveries, "dlv_"
    if is_of_events:
        read, prefix = reports.list_events, "evt_"
    query = Query(status=status, reason=reason, after=prefix, limit=SHOWN, is_open=True)
    rows = read(connection, query)[::-1]
    ids = [row["id"] for row in rows]
    details = reports.details_of(connection, ids)
    remarks = remarks_on(connection, ids)
    for row in rows:
        row["detail"] = details[row["id"]]
        row["remarks"] = remarks.get(row["id"], [])
        if not is_of_events:
            row["choices"] = choices_for(row)
    return rows


def remarks_on(connection: Connection, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Notes, and who looks after it, of each of these; the newest first."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for act in audit.of_subjects(connection, ids, actions=(NOTE, SEEN)):
        grouped.setdefault(act["subject"], []).append(act)
    return grouped
