"""What a person does to many deliveries: first what exactly would be done and what would be
refused, then a run of the worker, with its progress and its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.domain.errors import RefusedError
from bridge.domain.events import EXCEPTIONS, DeliveryStatus
from bridge.domain.reasons import PersonAction, Reason
from bridge.operations import repair_runs
from bridge.services import Services
from bridge.store import audit, repairs, reports
from bridge.store.engine.database import Connection
from bridge.store.queries import Query
from bridge.web.console import actions
from bridge.web.console.lists import Choice, chosen_deliveries
from bridge.web.console.pages import render

log = structlog.get_logger(__name__)

LABELS = {
    PersonAction.RETRY: "Retry",
    PersonAction.RESOLVE_DELIVERED: "Close as delivered",
    PersonAction.RESOLVE_CANCELLED: "Close as cancelled",
}
"""What can be done to many at once."""

SHOWN = 50
_OUTCOMES = {DeliveryStatus.DELIVERED: "delivered", DeliveryStatus.CANCELLED: "closed"}
_NO_ACTION_NEEDED = "it needs nobody, so there is nothing to do"


@dataclass(frozen=True, slots=True)
class Standing:
    """So many of the chosen stand so; `refusal` says why the action is not done to them, None where
    it is."""

    status: str
    reason: str | None
    count: int
    refusal: str | None


def plan(services: Services) -> Any:
    """Nothing is done yet."""
    action = _action_given()
    with services.database.read() as connection:
        choice = chosen_deliveries(services, connection)
        standings = _standings(connection, action, choice)
        if not standings:
            return actions.back("Nothing was chosen, or nothing matches any more.", "bad")
        return _show_plan(connection, action, choice, standings)


def start(services: Services) -> Any:
    """Begin a run, if as many can be treated so as the plan showed; else the plan comes again."""
    action = _action_given()
    reason = actions.reason_given()
    if reason is None:
        return actions.back("Nothing was done: say why, for those who read it later.", "bad")
    with services.database.begin() as connection:
        choice = chosen_deliveries(services, connection)
        standings = _standings(connection, action, choice)
        if request.form.get("seen") != str(_allowed(standings)):
            problem = "Other parcels match by now than you saw. Nothing was done; look again."
            return _show_plan(connection, action, choice, standings, problem)
        try:
            run_id = repair_runs.start(
                connection,
                action=str(action),
                actor=actions.actor_name(),
                reason=reason,
                query=choice.query,
                ids=choice.ids,
                chosen={"q": choice.line} if choice.query else {"ids": list(choice.ids)},
                now=services.database.now(connection),
            )
        except RefusedError as exc:
            return actions.back(f"Not done: {exc}.", "bad")
    log.info("console_acted_on_many", action=action, run_id=run_id)
    return redirect(url_for("console.bulk_run", run_id=run_id), 303)


def run(services: Services, run_id: str) -> str:
    """How far it is, and what became of each parcel since."""
    after = request.args.get("after", "")[:40]
    with services.database.read() as connection:
        story = repairs.run_story(connection, run_id)
        if story is None:
            abort(404, f"There is no run {run_id[:40]}. It may have been typed wrongly.")
        items = repairs.run_items(connection, run_id, after=after, limit=SHOWN)
        ids = [item["id"] for item in items if item["id"].startswith("dlv_")]
        rows = reports.list_deliveries(connection, Query(ids=ids, limit=SHOWN))
        entries = audit.entries(connection, subject=run_id)
        now = services.database.now(connection)
    outcomes = _count_outcomes(story["deliveries"])
    return render(
        "bulk_run.html",
        run=story,
        label=LABELS[PersonAction(story["action"])],
        outcomes=outcomes,
        is_moving=story["status"] == "running" or outcomes["under_way"] > 0,
        rows=rows,
        after=items[-1]["id"] if len(items) == SHOWN else None,
        entries=entries,
        at=now,
    )


def cancel(services: Services, run_id: str) -> Response:
    """Do nothing more of it; what was done stays."""
    try:
        with services.database.begin() as connection:
            now = services.database.now(connection)
            repair_runs.cancel(connection, run_id, actor=actions.actor_name(), now=now)
    except RefusedError as exc:
        return actions.back(f"Not done: {exc}.", "bad")
    return actions.back("The run is cancelled: nothing more of it is done.", "good")


def _show_plan(
    connection: Connection,
    action: PersonAction,
    choice: Choice,
    standings: Sequence[Standing],
    problem: str = "",
) -> str:
    rows = reports.list_deliveries(connection, choice.as_query(limit=SHOWN))
    allowed = [row for row in rows if _refusal(action, row["status"], row["reason"]) is None]
    return render(
        "bulk_plan.html",
        action=action,
        label=LABELS[action],
        choice=choice,
        allowed=_allowed(standings),
        total=sum(standing.count for standing in standings),
        refused=[standing for standing in standings if standing.refusal is not None],
        rows=allowed,
        problem=problem,
        before=actions.page_before(),
    )


def _standings(connection: Connection, action: PersonAction, choice: Choice) -> list[Standing]:
    counts = reports.count_by_reason(connection, choice.as_query())
    return [
        Standing(status, reason, count, _refusal(action, status, reason))
        for (status, reason), count in counts.items()
    ]


def _refusal(action: PersonAction, status: str, reason: str | None) -> str | None:
    """Why the worker will not do this to a delivery that stands so."""
    if DeliveryStatus(status) not in EXCEPTIONS:
        return _NO_ACTION_NEEDED
    return repair_runs.bulk_refusal(str(action), Reason(reason) if reason else None)


def _allowed(standings: Sequence[Standing]) -> int:
    return sum(standing.count for standing in standings if standing.refusal is None)


def _count_outcomes(deliveries: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How the chosen deliveries stand now, in four words."""
    counts = {"delivered": 0, "under_way": 0, "exceptions": 0, "closed": 0}
    for row in deliveries:
        status = DeliveryStatus(row["status"])
        name = "exceptions" if status in EXCEPTIONS else _OUTCOMES.get(status, "under_way")
        counts[name] += row["count"]
    return counts


def _action_given() -> PersonAction:
    text = request.form.get("what", "")
    if text not in list(LABELS):
        abort(400, "That can't be done to many at once.")
    return PersonAction(text)
