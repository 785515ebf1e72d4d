"""Replays as stored: what was chosen, how far a replay has come, what it led to. Every function
works inside the caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, exists, func, insert, or_, select, update

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus, EventStatus, Lane
from bridge.store import audit
from bridge.store.engine import wakeup
from bridge.store.engine.ids import new_id
from bridge.store.queries import Query, fitting_events
from bridge.store.tables import REPLAY, deliveries, event_deliveries, events, records, replays

_COPIED = ("event_type", "resource_url", "body", "headers", "remote_address", "signature")
_MOST_IDS = 500
MOST_PLANNED = 10_000
"""Events of one replay: more can neither be looked at by a person nor be read while a page
waits."""


class ReplayStatus(StrEnum):
    """`done`: each event came to its end; its deliveries may still be on their way, or held. That
    is not stored, but read off the events."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What a replay of `event_id` uses: its stored records or what ShipStation says now; and
    whether shoppers are notified."""

    replay_id: str
    event_id: str
    as_stored: bool
    notify_customer: bool
    received_at: datetime
    """When the original came: whether an old copy of the database has forgotten it depends on
    that."""


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
    query: Query | None = None,
    standing: str | None = None,
) -> list[Candidate]:
    """The events of these ids, or those that fit `query` and are no replays themselves, the oldest
    first; with `standing` only those that have that status, or of whose deliveries one has. The id
    of a replay stands for its original's. RefusedError for more than a plan can show."""
    has_records = exists(select(records.c.id).where(records.c.event_id == events.c.id))
    linked = select(deliveries.c.id).join_from(event_deliveries, deliveries)
    linked = linked.where(event_deliveries.c.event_id == events.c.id)
    # Found by the event's own deliveries: by the index of statuses, a planner would walk through
    # all that was ever delivered, once for each event.
    status_of_linked = deliveries.c.status.concat("")
    was_delivered = exists(linked.where(status_of_linked == DeliveryStatus.DELIVERED))
    chosen = select(
        events.c.id,
        events.c.event_type,
        events.c.status,
        events.c.reason,
        events.c.resource_url,
        events.c.received_at,
        has_records.label("has_records"),
        (func.length(events.c.body) > 0).label("has_body"),
        was_delivered.label("was_delivered"),
    )
    if query is None:
        chosen = chosen.where(events.c.id.in_(_originals(connection, ids)))
    else:
        chosen = chosen.where(*fitting_events(query), events.c.source != REPLAY)
    if standing is not None:
        has_status = exists(linked.where(status_of_linked == standing))
        chosen = chosen.where(or_(events.c.status == standing, has_status))
    limited = chosen.order_by(events.c.id).limit(MOST_PLANNED + 1)
    rows = connection.execute(limited).mappings().all()
    if len(rows) > MOST_PLANNED:
        raise RefusedError(
            f"more than {MOST_PLANNED} events fit; choose a shorter range, then replay the rest"
        )
    return [Candidate(**{**row, "status": EventStatus(row["status"])}) for row in rows]


def _originals(connection: Connection, ids: Collection[str]) -> set[str]:
    query = select(events.c.id, events.c.replayed_event_id).where(events.c.id.in_(ids))
    return {row.replayed_event_id or row.id for row in connection.execute(query)}


def start(
    connection: Connection,
    ids: Sequence[str],
    *,
    chosen: Mapping[str, Any],
    actor: str,
    reason: str | None,
    as_stored: bool,
    notify_customer: bool,
    now: datetime,
) -> str:
    """Begin a replay of these events, each as an event of its own; returns the replay's id.
    `chosen` is what they were chosen by, as JSON, for those who read it. RefusedError where there
    are none."""
    if not ids:
        raise RefusedError("there is nothing to replay")
    replay_id = new_id("rpl", now)
    row = {
        "id": replay_id,
        "created_at": now,
        "created_by": actor,
        "reason": reason,
        "as_stored": as_stored,
        "notify_customer": notify_customer,
        "chosen": dict(chosen),
        "status": ReplayStatus.RUNNING,
        "total": len(ids),
    }
    connection.execute(insert(replays), row)
    for at in range(0, len(ids), _MOST_IDS):
        originals = select(events).where(events.c.id.in_(ids[at : at + _MOST_IDS]))
        copies = [_copy(original, replay_id, now) for original in connection.execute(originals)]
        connection.execute(insert(events), copies)
    source = "as stored" if as_stored else "fetched again"
    notified = "notified" if notify_customer else "not notified"
    audit.note(
        connection,
        actor=actor,
        action="replay",
        subject=replay_id,
        reason=reason,
        outcome=f"{len(ids)} event(s), {source}, shoppers {notified}",
        now=now,
    )
    wakeup.announce(connection)
    return replay_id


def _copy(original: Row[Any], replay_id: str, now: datetime) -> dict[str, Any]:
    """An event of its own for the journey again; what the original holds stays as it was."""
    row: dict[str, Any] = {name: getattr(original, name) for name in _COPIED}
    row |= {
        "id": new_id("evt", now),
        "source": REPLAY,
        "replay_id": replay_id,
        "replayed_event_id": original.id,
        "status": EventStatus.RECEIVED,
        "received_at": now,
        "due_at": now,
        "lane": int(Lane.REPLAY),
        "duplicates": 0,
        "claims": 0,
        "attempts": 0,
        "waits": 0,
    }
    return row


def options_of(connection: Connection, event_id: str) -> ReplayOptions | None:
    """What the replay that an event belongs to asks for; None for any other event."""
    original = events.alias()
    columns = (
        replays.c.id.label("replay_id"),
        original.c.id.label("event_id"),
        replays.c.as_stored,
        replays.c.notify_customer,
        original.c.received_at,
    )
    joined = events.join(replays, replays.c.id == events.c.replay_id)
    joined = joined.join(original, original.c.id == events.c.replayed_event_id)
    query = select(*columns).select_from(joined).where(events.c.id == event_id)
    row = connection.execute(query).one_or_none()
    return ReplayOptions(**row._mapping) if row else None


def pause(connection: Connection, replay_id: str) -> None:
    """Let nothing more of the replay begin; what began goes on."""
    running = (replays.c.id == replay_id, replays.c.status == ReplayStatus.RUNNING)
    paused = update(replays).where(*running).values(status=ReplayStatus.PAUSED)
    if connection.execute(paused).rowcount != 1:
        return
    not_begun = (
        events.c.replay_id == replay_id,
        events.c.status == EventStatus.RECEIVED,
        events.c.owner.is_(None),
        events.c.attempts + events.c.waits == 0,
    )
    connection.execute(update(events).where(*not_begun).values(due_at=None))


def resume(connection: Connection, replay_id: str, *, now: datetime) -> None:
    """Go on with a replay that was paused; one that runs or is done is left as it is. RefusedError
    for one that was cancelled."""
    if _status(connection, replay_id) == ReplayStatus.CANCELLED:
        raise RefusedError(
            f"{replay_id} was cancelled; what it left out can be replayed by a new one"
        )
    paused = (replays.c.id == replay_id, replays.c.status == ReplayStatus.PAUSED)
    connection.execute(update(replays).where(*paused).values(status=ReplayStatus.RUNNING))
    put_off = (
        events.c.replay_id == replay_id,
        events.c.status == EventStatus.RECEIVED,
        events.c.due_at.is_(None),
    )
    connection.execute(update(events).where(*put_off).values(due_at=now))
    wakeup.announce(connection)


def cancel(connection: Connection, replay_id: str, *, actor: str, now: datetime) -> None:
    """End a replay: nothing more of it begins, and a worker that has an event of it finds its claim
    gone. Deliveries it led to go on. RefusedError once it is over."""
    status = _status(connection, replay_id)
    if status not in (ReplayStatus.RUNNING, ReplayStatus.PAUSED):
        raise RefusedError(f"{replay_id} is {status} already")
    ended = {"status": ReplayStatus.CANCELLED, "finished_at": now}
    connection.execute(update(replays).where(replays.c.id == replay_id).values(ended))
    unfinished = (events.c.replay_id == replay_id, events.c.status == EventStatus.RECEIVED)
    withdrawn = {
        "status": EventStatus.IGNORED,
        "detail": f"replay {replay_id} was cancelled",
        "processed_at": now,
        "due_at": None,
        "owner": None,
    }
    connection.execute(update(events).where(*unfinished).values(withdrawn))
    audit.note(connection, actor=actor, action="cancel_replay", subject=replay_id, now=now)


def _status(connection: Connection, replay_id: str) -> str:
    query = select(replays.c.status).where(replays.c.id == replay_id).with_for_update()
    status = connection.execute(query).scalar_one_or_none()
    if status is None:
        raise RefusedError(f"there is no replay {replay_id}")
    return _shown_status(connection, replay_id, status)


def _shown_status(connection: Connection, replay_id: str, status: str) -> str:
    if status == ReplayStatus.CANCELLED or _is_unfinished(connection, replay_id):
        return status
    return ReplayStatus.DONE


def _is_unfinished(connection: Connection, replay_id: str) -> bool:
    unfinished = (events.c.replay_id == replay_id, events.c.status == EventStatus.RECEIVED)
    return connection.execute(select(events.c.id).where(*unfinished).limit(1)).first() is not None


def runs(connection: Connection, *, limit: int = 20) -> list[dict[str, Any]]:
    """The newest replays."""
    rows = connection.execute(select(replays).order_by(replays.c.id.desc()).limit(limit)).mappings()
    return [
        {**row, "status": _shown_status(connection, row["id"], row["status"])} for row in rows.all()
    ]


def run_story(connection: Connection, replay_id: str) -> dict[str, Any] | None:
    """A replay with what came of it: how many events have `ended`, how its `events` and its
    `deliveries` stand, each as rows with a count. A delivery that Purple Dot had before the replay
    says so: a replay posts nothing twice."""
    query = select(replays).where(replays.c.id == replay_id)
    replay = connection.execute(query).mappings().one_or_none()
    if replay is None:
        return None
    by_status = _events_by_status(connection, replay_id)
    ended = sum(row["count"] for row in by_status if row["status"] != EventStatus.RECEIVED)
    return {
        **replay,
        "status": _shown_status(connection, replay_id, replay["status"]),
        "ended": ended,
        "events": by_status,
        "deliveries": _deliveries_by_status(connection, replay_id, replay["created_at"]),
    }


def _events_by_status(connection: Connection, replay_id: str) -> list[dict[str, Any]]:
    counted = select(events.c.status, events.c.reason, func.count().label("count"))
    counted = counted.where(events.c.replay_id == replay_id)
    rows = connection.execute(counted.group_by(events.c.status, events.c.reason)).mappings()
    return [dict(row) for row in rows]


def _deliveries_by_status(
    connection: Connection, replay_id: str, created_at: datetime
) -> list[dict[str, Any]]:
    led_to = select(event_deliveries.c.delivery_id).join(
        events, events.c.id == event_deliveries.c.event_id
    )
    led_to = led_to.where(events.c.replay_id == replay_id)
    before = func.coalesce(deliveries.c.delivered_at < created_at, False).label("before")
    counted = select(
        deliveries.c.status, deliveries.c.reason, before, func.count().label("count")
    ).where(deliveries.c.id.in_(led_to))
    grouped = counted.group_by(deliveries.c.status, deliveries.c.reason, before)
    rows = connection.execute(grouped).mappings()
    return [{**row, "before": bool(row["before"])} for row in rows]


def items(
    connection: Connection, replay_id: str, *, after: int = 0, limit: int = 50
) -> list[dict[str, Any]]:
    """The events of a replay, those of the oldest originals first, without the first `after`:
    event_id (the original), replay_event_id, status, reason, detail; `deliveries` are (id, status,
    reason) of each that the event led to or found."""
    columns = (
        events.c.replayed_event_id.label("event_id"),
        events.c.id.label("replay_event_id"),
        events.c.status,
        events.c.reason,
        events.c.detail,
    )
    query = select(*columns).where(events.c.replay_id == replay_id)
    page = query.order_by(events.c.replayed_event_id).offset(after).limit(limit)
    rows = [dict(row) for row in connection.execute(page).mappings()]
    linked = _linked_deliveries(connection, [row["replay_event_id"] for row in rows])
    return [row | {"deliveries": linked.get(row["replay_event_id"], [])} for row in rows]


def _linked_deliveries(
    connection: Connection, event_ids: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    columns = (
        event_deliveries.c.event_id,
        deliveries.c.id,
        deliveries.c.status,
        deliveries.c.reason,
    )
    query = select(*columns).join_from(event_deliveries, deliveries)
    query = query.where(event_deliveries.c.event_id.in_(event_ids)).order_by(deliveries.c.id)
    linked: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(query):
        delivery = {"id": row.id, "status": row.status, "reason": row.reason}
        linked.setdefault(row.event_id, []).append(delivery)
    return linked
