"""What a person changes: deliveries as they name them, one by one or in a run over many. Every
function works inside the caller's transaction."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, update

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import RefusedError
from bridge.domain.events import EXCEPTIONS, EventStatus
from bridge.store import audit
from bridge.store.deliveries import load
from bridge.store.engine import wakeup
from bridge.store.engine.ids import new_id
from bridge.store.queries import Query, fitting_deliveries, fitting_events
from bridge.store.tables import deliveries, events, repair_runs

_MOST_FOUND = 20
_IDS_A_STATEMENT = 500
_REFUSALS_KEPT = 20


def find(connection: Connection, text: str) -> list[Delivery]:
    """Deliveries whose id begins with `text`, or whose ShipStation shipment, record or tracking
    number it is."""
    has_id = deliveries.c.id.between(text, f"{text}\U0010ffff")
    has_number = deliveries.c.tracking_number == text
    named = has_id if text.startswith("dlv_") else has_number
    of_shipment = deliveries.c.shipstation_shipment_id == text
    of_record = deliveries.c.shipstation_record_id == text
    query = select(deliveries).where(named | of_shipment | of_record)
    rows = connection.execute(query.order_by(deliveries.c.id).limit(_MOST_FOUND)).all()
    return load(connection, rows)


def change(
    connection: Connection, delivery: Delivery, values: Mapping[str, Any], *, now: datetime
) -> None:
    """Write what a person decided, and end whatever claim there is. Raises RefusedError, and
    writes nothing, when the delivery changed since it was read."""
    as_read = (
        deliveries.c.id == delivery.id,
        deliveries.c.status == delivery.status,
        deliveries.c.claims == delivery.claim,
    )
    changed = {**values, "owner": None, "updated_at": now, "redacted_at": None}
    if connection.execute(update(deliveries).where(*as_read).values(changed)).rowcount != 1:
        raise RefusedError(f"{delivery.id} has just moved on; look at it again")


@dataclass(frozen=True, slots=True)
class Standing:
    """Why a delivery stands where it stands; and, once a person closed it, how it stood before."""

    status: str
    reason: str | None
    detail: str | None
    resolved_from: Mapping[str, str | None] | None


def standing(connection: Connection, delivery_id: str) -> Standing:
    """How a delivery stands now."""
    columns = (
        deliveries.c.status,
        deliveries.c.reason,
        deliveries.c.detail,
        deliveries.c.resolved_from,
    )
    row = connection.execute(select(*columns).where(deliveries.c.id == delivery_id)).one()
    return Standing(row.status, row.reason, row.detail, row.resolved_from)


class RunStatus(StrEnum):
    """Of a repair of many. `done`: each was tried again or closed, or refused; what was tried again
    may still be on its way."""

    RUNNING = "running"
    CANCELLED = "cancelled"
    DONE = "done"


def start_run(
    connection: Connection,
    *,
    action: str,
    actor: str,
    reason: str,
    query: Query | None = None,
    ids: Collection[str] = (),
    chosen: Mapping[str, Any],
    now: datetime,
) -> str:
    """Begin a repair of all exceptions that fit `query`, or of those with these ids (deliveries and
    dead events); returns the run's id. `chosen` is what they were chosen by, as JSON, for those who
    read it. The worker does the rest. RefusedError where there are none."""
    run_id = new_id("rep", now)
    total = _mark(connection, deliveries, run_id, query, ids)
    if action == "retry":  # A dead event can be tried again, but not closed.
        total += _mark(connection, events, run_id, query, ids)
    if not total:
        raise RefusedError("none of these waits for a person any more")
    row = {
        "id": run_id,
        "created_at": now,
        "created_by": actor,
        "action": action,
        "reason": reason,
        "chosen": dict(chosen),
        "status": RunStatus.RUNNING,
        "total": total,
        "done": 0,
        "refused": {},
        "last_id": "",
    }
    connection.execute(insert(repair_runs), row)
    audit.note(
        connection,
        actor=actor,
        action=f"{action} many",
        subject=run_id,
        reason=reason,
        outcome=f"{total} chosen",
        now=now,
    )
    wakeup.announce(connection)
    return run_id


def _mark(
    connection: Connection,
    table: Table,
    run_id: str,
    query: Query | None,
    ids: Collection[str],
) -> int:
    is_open = table.c.status.in_([EventStatus.DEAD] if table is events else list(EXCEPTIONS))
    marked = update(table).where(is_open).values(repair_run_id=run_id)
    if query is not None:
        fitting = fitting_events if table is events else _fitting_deliveries(connection)
        return connection.execute(marked.where(*fitting(query))).rowcount
    chosen = sorted(ids)
    return sum(
        connection.execute(
            marked.where(table.c.id.in_(chosen[at : at + _IDS_A_STATEMENT]))
        ).rowcount
        for at in range(0, len(chosen), _IDS_A_STATEMENT)
    )


def _fitting_deliveries(connection: Connection) -> Any:
    return lambda query: fitting_deliveries(connection, query)


def lock_running(connection: Connection) -> dict[str, Any] | None:
    """The oldest run that is not at its end, locked until the transaction ends."""
    running = select(repair_runs).where(repair_runs.c.status == RunStatus.RUNNING)
    oldest = running.order_by(repair_runs.c.id).limit(1).with_for_update()
    row = connection.execute(oldest).mappings().one_or_none()
    return dict(row) if row else None


def next_of_run(connection: Connection, run: Mapping[str, Any], *, limit: int) -> list[str]:
    """The next ids of a run, in their order."""
    ids: list[str] = []
    for table in (deliveries, events):
        mine = (table.c.repair_run_id == run["id"], table.c.id > run["last_id"])
        query = select(table.c.id).where(*mine).order_by(table.c.id).limit(limit)
        ids += connection.execute(query).scalars()
    return sorted(ids)[:limit]


def advance_run(
    connection: Connection,
    run: Mapping[str, Any],
    *,
    done: int,
    refusals: Collection[str],
    last_id: str,
) -> None:
    """Note what was done of a run, how often something was refused, and where to go on."""
    refused = Counter(run["refused"])
    for refusal in refusals:
        sentence = refusal if refusal in refused or len(refused) < _REFUSALS_KEPT else "other"
        refused[sentence] += 1
    values = {"done": run["done"] + done, "refused": dict(refused), "last_id": last_id}
    connection.execute(update(repair_runs).where(repair_runs.c.id == run["id"]).values(values))


def end_run(connection: Connection, run_id: str, status: RunStatus, *, now: datetime) -> bool:
    """Nothing more of the run is done. False where it was at its end already."""
    running = (repair_runs.c.id == run_id, repair_runs.c.status == RunStatus.RUNNING)
    values = {"status": status, "finished_at": now}
    return connection.execute(update(repair_runs).where(*running).values(values)).rowcount == 1


def runs(connection: Connection, *, limit: int = 20) -> list[dict[str, Any]]:
    """The newest runs."""
    query = select(repair_runs).order_by(repair_runs.c.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def run_story(connection: Connection, run_id: str) -> dict[str, Any] | None:
    """A run with what came of it: `ended` counts what was done or refused, `deliveries` and
    `events` say how what was chosen stands now, as rows of status, reason and count."""
    query = select(repair_runs).where(repair_runs.c.id == run_id)
    run = connection.execute(query).mappings().one_or_none()
    if run is None:
        return None
    return {
        **run,
        "ended": run["done"] + sum(run["refused"].values()),
        "deliveries": _by_status(connection, deliveries, run_id),
        "events": _by_status(connection, events, run_id),
    }


def _by_status(connection: Connection, table: Table, run_id: str) -> list[dict[str, Any]]:
    counted = select(table.c.status, table.c.reason, func.count().label("count"))
    grouped = counted.where(table.c.repair_run_id == run_id)
    rows = connection.execute(grouped.group_by(table.c.status, table.c.reason)).mappings()
    return [dict(row) for row in rows]


def run_items(
    connection: Connection, run_id: str, *, after: str = "", limit: int = 50
) -> list[dict[str, Any]]:
    """What was chosen, in the order of ids, from behind `after`: id, status, reason and detail."""
    items: list[dict[str, Any]] = []
    for table in (deliveries, events):
        columns = (table.c.id, table.c.status, table.c.reason, table.c.detail)
        mine = (table.c.repair_run_id == run_id, table.c.id > after)
        query = select(*columns).where(*mine).order_by(table.c.id).limit(limit)
        items += [dict(row) for row in connection.execute(query).mappings()]
    return sorted(items, key=lambda item: str(item["id"]))[:limit]
