"""Replay runs as stored: what was chosen, how far a run has come, what it led to. Every function
works inside the caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, insert, or_, select, update

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus, EventStatus, Lane
from bridge.store import audit, reports
from bridge.store.engine import wakeup
from bridge.store.engine.ids import new_id
from bridge.store.tables import (
    REPLAY,
    deliveries,
    event_deliveries,
    events,
    records,
    replay_items,
    replay_runs,
)

AT_ONCE = 4
"""How many of a run's events may stand in the queue untried: the worker's other threads stay free
for what comes in."""
_LOOK_BACK = 50


class RunStatus(StrEnum):
    """`done`: each event came to its end; its deliveries may still be on their way, or held."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a replay of `event_id` shall use: its stored records or what ShipStation says now; and
    whether shoppers are told."""

    run_id: str
    event_id: str
    as_stored: bool
    notify_customer: bool
    received_at: datetime
    """When the original came: what is asked of it since, such as whether an old copy of the ledger
    has forgotten it, depends on that."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored event that may be replayed. `was_delivered`: Purple Dot has a parcel of it
    already."""

    id: str
    event_type: str
    status: EventStatus
    reason: str | None
    resource_url: str | None
    received_at: datetime
    has_records: bool
    has_body: bool
    was_delivered: bool


def candidates(
    connection: Connection,
    *,
    ids: Collection[str] = (),
    query: reports.Query | None = None,
    standing: str | None = None,
) -> list[Candidate]:
    """The events of these ids, or those that fit `query` and are no replays themselves, the oldest
    first; with `standing` only those that stand so themselves, or of whose deliveries one does. The
    id of a replay stands for its original's."""
    stored = exists(select(records.c.id).where(records.c.event_id == events.c.id)).label(
        "has_records"
    )
    linked = (
        select(deliveries.c.id)
        .join_from(event_deliveries, deliveries)
        .where(event_deliveries.c.event_id == events.c.id)
    )
    told = exists(linked.where(deliveries.c.status == DeliveryStatus.DELIVERED)).label(
        "was_delivered"
    )
    head = (
        events.c[name]
        for name in ("id", "event_type", "status", "reason", "resource_url", "received_at")
    )
    found = select(*head, stored, (func.length(events.c.body) > 0).label("has_body"), told)
    if query is None:
        again = select(replay_items.c.replay_event_id, replay_items.c.event_id).where(
            replay_items.c.replay_event_id.in_(ids)
        )
        originals = {row.replay_event_id: row.event_id for row in connection.execute(again)}
        found = found.where(events.c.id.in_({originals.get(id_, id_) for id_ in ids}))
    else:
        found = found.where(*reports.fitting_events(query), events.c.source != REPLAY)
    if standing is not None:
        found = found.where(
            or_(events.c.status == standing, exists(linked.where(deliveries.c.status == standing)))
        )
    rows = connection.execute(found.order_by(events.c.id)).mappings()
    return [Candidate(**{**row, "status": EventStatus(row["status"])}) for row in rows]


def start(
    connection: Connection,
    ids: Sequence[str],
    *,
    chosen: Mapping[str, Any],
    who: str,
    why: str | None,
    as_stored: bool,
    notify_customer: bool,
    now: datetime,
) -> str:
    """Write a run of these events and begin it; returns its id. `chosen` is what they were chosen
    by, as JSON, for those who read it. RefusedError where there are none."""
    if not ids:
        raise RefusedError("there is nothing to replay")
    run_id = new_id("rpl", now)
    run = {
        "id": run_id,
        "created_at": now,
        "created_by": who,
        "reason": why,
        "as_stored": as_stored,
        "notify_customer": notify_customer,
    }
    began = {"chosen": dict(chosen), "status": RunStatus.RUNNING, "total": len(ids), "fed": 0}
    connection.execute(insert(replay_runs).values(run | began))
    connection.execute(
        insert(replay_items),
        [{"run_id": run_id, "position": n, "event_id": id_} for n, id_ in enumerate(ids)],
    )
    outcome = f"{len(ids)} event(s), {'as stored' if as_stored else 'fetched again'}, shoppers {'told' if notify_customer else 'not told'}"
    audit.note(
        connection, actor=who, action="replay", subject=run_id, reason=why, outcome=outcome, now=now
    )
    feed(connection, run_id, now=now)
    return run_id


def feed(connection: Connection, run_id: str, *, now: datetime) -> None:
    """Let as many of the run's events begin as there is room for, and end the run with its last
    one. Called whenever one of them moved, in the same transaction, so a run goes on wherever a
    worker does."""
    run = connection.execute(
        select(replay_runs).where(replay_runs.c.id == run_id).with_for_update()
    ).one()
    fed, mine = run.fed, replay_items.c.run_id == run_id
    if run.status == RunStatus.RUNNING:
        untried = (events.c.status == EventStatus.RECEIVED, events.c.attempts + events.c.waits == 0)
        recent = select(func.count()).select_from(
            replay_items.join(events, events.c.id == replay_items.c.replay_event_id)
        )
        waiting = connection.execute(
            recent.where(mine, replay_items.c.position >= fed - _LOOK_BACK, *untried)
        ).scalar_one()
        joined = select(events, replay_items.c.position).join(
            replay_items, replay_items.c.event_id == events.c.id
        )
        for original in connection.execute(
            joined.where(mine, replay_items.c.position >= fed)
            .order_by("position")
            .limit(AT_ONCE - waiting)
        ).all():
            item = (mine, replay_items.c.position == original.position)
            connection.execute(
                update(replay_items)
                .where(*item)
                .values(replay_event_id=_begin(connection, original, now))
            )
            fed += 1
        wakeup.announce(connection)
        connection.execute(update(replay_runs).where(replay_runs.c.id == run_id).values(fed=fed))
    if (
        run.status in (RunStatus.RUNNING, RunStatus.PAUSED)
        and fed == run.total
        and not _is_moving(connection, run_id)
    ):
        connection.execute(
            update(replay_runs)
            .where(replay_runs.c.id == run_id)
            .values(status=RunStatus.DONE, finished_at=now)
        )


def _begin(connection: Connection, original: Row[Any], now: datetime) -> str:
    """An event of its own for the journey again; what the original holds stays as it was."""
    kept = ("event_type", "resource_url", "body", "headers", "remote_address", "signature")
    began = {
        "id": new_id("evt", now),
        "source": REPLAY,
        "status": EventStatus.RECEIVED,
        "received_at": now,
        "due_at": now,
    }
    zeros = dict.fromkeys(("duplicates", "claims", "attempts", "waits"), 0) | {
        "lane": int(Lane.REPLAY)
    }
    connection.execute(
        insert(events).values({name: getattr(original, name) for name in kept} | began | zeros)
    )
    return str(began["id"])


def _is_moving(connection: Connection, run_id: str) -> bool:
    moving = select(events.c.id).join(replay_items, replay_items.c.replay_event_id == events.c.id)
    return (
        connection.execute(
            moving.where(
                replay_items.c.run_id == run_id, events.c.status == EventStatus.RECEIVED
            ).limit(1)
        ).first()
        is not None
    )


def wish_of(connection: Connection, event_id: str) -> Wish | None:
    """What the run of a replay asks for; None for any other event."""
    told = (
        replay_items.c.run_id,
        replay_items.c.event_id,
        replay_runs.c.as_stored,
        replay_runs.c.notify_customer,
        events.c.received_at,
    )
    joined = select(*told).select_from(
        replay_items.join(replay_runs).join(events, events.c.id == replay_items.c.event_id)
    )
    row = connection.execute(joined.where(replay_items.c.replay_event_id == event_id)).one_or_none()
    return Wish(**row._mapping) if row else None


def pause(connection: Connection, run_id: str) -> None:
    """Let nothing more of the run begin; what began goes on."""
    running = (replay_runs.c.id == run_id, replay_runs.c.status == RunStatus.RUNNING)
    connection.execute(update(replay_runs).where(*running).values(status=RunStatus.PAUSED))


def resume(connection: Connection, run_id: str, *, now: datetime) -> None:
    """Go on with a run that was paused; one that runs or is done is left as it is. RefusedError for
    one that was cancelled."""
    if _standing(connection, run_id) == RunStatus.CANCELLED:
        raise RefusedError(f"{run_id} was cancelled; what it left out can be replayed by a new run")
    paused = (replay_runs.c.id == run_id, replay_runs.c.status == RunStatus.PAUSED)
    connection.execute(update(replay_runs).where(*paused).values(status=RunStatus.RUNNING))
    feed(connection, run_id, now=now)


def cancel(connection: Connection, run_id: str, *, who: str, now: datetime) -> None:
    """End a run: nothing more of it begins. RefusedError once it is over. Then, in a transaction of
    its own, `withdraw`."""
    if (stands := _standing(connection, run_id)) not in (RunStatus.RUNNING, RunStatus.PAUSED):
        raise RefusedError(f"{run_id} is {stands} already")
    connection.execute(
        update(replay_runs)
        .where(replay_runs.c.id == run_id)
        .values(status=RunStatus.CANCELLED, finished_at=now)
    )
    audit.note(connection, actor=who, action="cancel_replay", subject=run_id, now=now)


def withdraw(connection: Connection, run_id: str, *, now: datetime) -> None:
    """What a cancelled run began and did not end is ended; a worker that has it finds its claim
    gone. Deliveries it led to go on."""
    began = select(replay_items.c.replay_event_id).where(replay_items.c.run_id == run_id)
    ended = {
        "status": EventStatus.IGNORED,
        "detail": f"replay run {run_id} was cancelled",
        "processed_at": now,
    }
    moving = and_(events.c.id.in_(began), events.c.status == EventStatus.RECEIVED)
    connection.execute(update(events).where(moving).values(ended | {"due_at": None, "owner": None}))


def _standing(connection: Connection, run_id: str) -> str:
    status = connection.execute(
        select(replay_runs.c.status).where(replay_runs.c.id == run_id).with_for_update()
    ).scalar_one_or_none()
    if status is None:
        raise RefusedError(f"there is no replay run {run_id}")
    return str(status)


def runs(connection: Connection, *, limit: int = 20) -> list[dict[str, Any]]:
    """The newest runs."""
    return [
        dict(row)
        for row in connection.execute(
            select(replay_runs).order_by(replay_runs.c.id.desc()).limit(limit)
        ).mappings()
    ]


def run_story(connection: Connection, run_id: str) -> dict[str, Any] | None:
    """A run with what came of it: how many events have `ended`, how its `events` and its
    `deliveries` stand, each as rows with a count. A delivery that Purple Dot had before the run
    says so: a replay sends nothing twice."""
    run = (
        connection.execute(select(replay_runs).where(replay_runs.c.id == run_id))
        .mappings()
        .one_or_none()
    )
    if run is None:
        return None
    began = replay_items.c.replay_event_id
    stand = select(events.c.status, events.c.reason, func.count().label("count")).join(
        replay_items, began == events.c.id
    )
    ends = stand.where(replay_items.c.run_id == run_id).group_by(events.c.status, events.c.reason)
    mine = (
        select(event_deliveries.c.delivery_id)
        .join(replay_items, began == event_deliveries.c.event_id)
        .where(replay_items.c.run_id == run_id)
    )
    before = func.coalesce(deliveries.c.delivered_at < run["created_at"], False).label("before")
    led = select(
        deliveries.c.status, deliveries.c.reason, before, func.count().label("count")
    ).where(deliveries.c.id.in_(mine))
    stands = [dict(row) for row in connection.execute(ends).mappings()]
    told = connection.execute(
        led.group_by(deliveries.c.status, deliveries.c.reason, before)
    ).mappings()
    ended = sum(row["count"] for row in stands if row["status"] != EventStatus.RECEIVED)
    return {
        **run,
        "ended": ended,
        "events": stands,
        "deliveries": [{**row, "before": bool(row["before"])} for row in told],
    }


def items(
    connection: Connection, run_id: str, *, after: int = -1, limit: int = 50
) -> list[dict[str, Any]]:
    """A run's events in their order: position, event_id (the original), replay_event_id, status,
    reason, detail; `deliveries` are (id, status, reason) of each that its replay led to or
    found."""
    item, event = replay_items.c, events.c
    told = select(
        item.position, item.event_id, item.replay_event_id, event.status, event.reason, event.detail
    )
    joined = told.join_from(replay_items, events, event.id == item.replay_event_id, isouter=True)
    chosen = (
        joined.where(item.run_id == run_id, item.position > after)
        .order_by(item.position)
        .limit(limit)
    )
    rows = [dict(row) for row in connection.execute(chosen).mappings()]
    link = select(
        event_deliveries.c.event_id, deliveries.c.id, deliveries.c.status, deliveries.c.reason
    ).join(deliveries)
    begun = link.where(event_deliveries.c.event_id.in_([row["replay_event_id"] for row in rows]))
    led: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(begun.order_by(deliveries.c.id)).all():
        led.setdefault(row.event_id, []).append(
            {"id": row.id, "status": row.status, "reason": row.reason}
        )
    return [row | {"deliveries": led.get(row["replay_event_id"], [])} for row in rows]
