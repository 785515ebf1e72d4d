"""REPAIRED, many at once: a person chooses and says why, the worker does it step by step, and the
run shows how far it is and what came of it."""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.domain.reasons import MEANINGS, PersonAction, Reason
from bridge.operations import repair
from bridge.store import audit, repairs
from bridge.store.engine.database import Connection, Database
from bridge.store.queries import Query
from bridge.store.repairs import RunStatus

TASK = "repair_runs"
EVERY = timedelta(seconds=5)
_AT_ONCE = 50

ACTIONS: Mapping[str, Callable[..., str]] = {
    "retry": repair.retry,
    "delivered": partial(repair.resolve, status=DeliveryStatus.DELIVERED),
    "cancelled": partial(repair.resolve, status=DeliveryStatus.CANCELLED),
}
"""What can be done to many at once: the contract's word for it, and how each is done."""


def start(
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
    """Begin a run, as `repairs.start_run` says. RefusedError also for an action that can't be done
    to many, and without a reason."""
    if action not in ACTIONS:
        raise RefusedError(f"{action} can't be done to many at once")
    if not reason.strip():
        raise RefusedError("say why, for those who read it later")
    return repairs.start_run(
        connection,
        action=action,
        actor=actor,
        reason=reason,
        query=query,
        ids=ids,
        chosen=chosen,
        now=now,
    )


def cancel(connection: Connection, run_id: str, *, actor: str, now: datetime) -> None:
    """Do nothing more of a run; what was done stays. RefusedError once it is over."""
    if not repairs.end_run(connection, run_id, RunStatus.CANCELLED, now=now):
        raise RefusedError(f"{run_id} is over already")
    audit.note(connection, actor=actor, action="cancel_repair", subject=run_id, now=now)


@dataclass(frozen=True, slots=True)
class RepairRuns:
    """The worker's part. Killed at any moment, it goes on where it stopped: what a step did, and
    how far the run is, are one transaction."""

    database: Database

    def run(self, stopping: threading.Event) -> None:
        """Do what was begun, until nothing is left of it or the worker stops."""
        while not stopping.is_set() and self.has_work():
            self.step()

    def has_work(self) -> bool:
        """Whether a run is not at its end."""
        with self.database.read() as connection:
            return any(run["status"] == RunStatus.RUNNING for run in repairs.runs(connection))

    def step(self) -> None:
        """The next few of the oldest run."""
        with self.database.begin() as connection:
            now = self.database.now(connection)
            run = repairs.lock_running(connection)
            if run is None:
                return
            ids = repairs.next_of_run(connection, run, limit=_AT_ONCE)
            if not ids:
                repairs.end_run(connection, run["id"], RunStatus.DONE, now=now)
                return
            refusals = []
            for id_ in ids:
                refusal = _repair(connection, id_, run, now)
                if refusal is not None:
                    refusals.append(refusal.replace(id_, "it"))
            repairs.advance_run(
                connection,
                run,
                done=len(ids) - len(refusals),
                refusals=refusals,
                last_id=ids[-1],
            )


def _repair(connection: Connection, id_: str, run: Mapping[str, Any], now: datetime) -> str | None:
    """Why one was refused; None when it was done."""
    actor = run["created_by"]
    reason = run["reason"]
    try:
        # What a refusal leaves half written must not stay.
        with connection.begin_nested():
            if id_.startswith("evt_"):
                repair.retry_event(connection, id_, actor=actor, reason=reason, now=now)
                return None
            [delivery] = repairs.find(connection, id_)
            _refuse_in_bulk(run["action"], delivery.reason)
            ACTIONS[run["action"]](connection, delivery, actor=actor, reason=reason, now=now)
    except RefusedError as exc:
        return str(exc)
    return None


def bulk_refusal(action: str, reason: Reason | None) -> str | None:
    """Why an exception held for this reason is never repaired together with others; None when it
    may be. Pure."""
    if reason is None or PersonAction(action) in MEANINGS[reason].bulk_actions:
        return None
    return f"{MEANINGS[reason].title}: each needs a look of its own, so not together with others"


def _refuse_in_bulk(action: str, reason: Reason | None) -> None:
    refusal = bulk_refusal(action, reason)
    if refusal is not None:
        raise RefusedError(refusal)
