"""Replay: the plan with its dry run, the reason, the run with its progress. One failed event is one
click."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from flask import abort, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.domain.errors import RefusedError
from bridge.operations.replay import Plan, look, plan_as_json
from bridge.operations.replay import plan as make_plan
from bridge.services import Services
from bridge.store import audit, replays, reports
from bridge.web.console import actions
from bridge.web.console.lists import PAGE_SIZE, as_number, chosen_events
from bridge.web.console.pages import render

SHOWN = 100
"""Events that a page of the dry run holds."""

LOOK_SECONDS = 12.0
"""How long a page of the dry run may read from the vendors."""

_LONGEST_LINE = 500


def plan(services: Services) -> Any:
    """What would be replayed, and what each would post to Purple Dot. Nothing is done yet."""
    chosen, options = _chosen(services)
    if not (chosen.events or chosen.refused):
        flash("Nothing was chosen, or nothing matches any more.", "bad")
        return redirect(url_for("console.events", q=request.form.get("q") or None), 303)
    return _show_plan(services, chosen, options)


def start(services: Services) -> Any:
    """Begin the run, if it is still what the plan showed, and says why where that is needed; else
    the plan comes (again)."""
    chosen, options = _chosen(services)
    seen = request.form.get("seen")
    reason = actions.reason_given()
    if seen is not None and seen != _digest(chosen):
        problem = "Other events match by now than you saw. Nothing was done; this is the new plan."
        return _show_plan(services, chosen, options, problem)
    if not chosen.events or (chosen.needs_reason and reason is None):
        problem = "Say why, for those who read it later." if seen else ""
        return _show_plan(services, chosen, options, problem)
    ids = [event.id for event in chosen.events]
    chosen_by = {"q": _filter_line()} if request.form.get("all") else {"ids": ids}
    with services.database.begin() as connection:
        now = services.database.now(connection)
        run_id = replays.start(
            connection,
            ids,
            chosen=chosen_by,
            actor=actions.actor_name(),
            reason=reason,
            **options,
            now=now,
        )
    return redirect(url_for("console.replay_run", run_id=run_id), 303)


def run(services: Services, run_id: str) -> str:
    """How far it is, and what became of each event."""
    after = as_number(request.args.get("after", "")) or 0
    with services.database.read() as connection:
        story = replays.run_story(connection, run_id)
        if story is None:
            abort(404, f"There is no replay run {run_id[:40]}. It may have been typed wrongly.")
        rows = replays.items(connection, run_id, after=after, limit=PAGE_SIZE)
        replayed = [row["replay_event_id"] for row in rows if row["replay_event_id"]]
        parcels = reports.parcels_of(connection, replayed)
        entries = audit.entries(connection, subject=run_id)
    following = after + PAGE_SIZE
    return render(
        "replay_run.html",
        run=story,
        rows=rows,
        parcels=parcels,
        entries=entries,
        after=after,
        more=following if following < story["total"] else None,
    )


def runs(services: Services) -> str:
    """The newest runs."""
    with services.database.read() as connection:
        return render("replays.html", runs=replays.runs(connection))


def cancel(services: Services, run_id: str) -> Response:
    """Nothing more of it begins."""
    try:
        with services.database.begin() as connection:
            now = services.database.now(connection)
            replays.cancel(connection, run_id, actor=actions.actor_name(), now=now)
    except RefusedError as exc:
        return actions.back(f"Not done: {exc}.", "bad")
    return actions.back(
        "The run is cancelled: nothing more of it begins. Deliveries that it had led to go on.",
        "good",
    )


def resume(services: Services, run_id: str) -> Response:
    """Go on with what was paused in a shell."""
    try:
        with services.database.begin() as connection:
            replays.resume(connection, run_id, now=services.database.now(connection))
    except RefusedError as exc:
        return actions.back(f"Not done: {exc}.", "bad")
    return actions.back("The run goes on.", "good")


def _chosen(services: Services) -> tuple[Plan, dict[str, bool]]:
    options = {name: request.form.get(name) == "1" for name in ("as_stored", "notify_customer")}
    try:
        with services.database.read() as connection:
            candidates = chosen_events(services, connection)
    except RefusedError as exc:
        abort(400, f"Nothing was chosen: {exc}.")
    origins = services.shipstation_origins
    return make_plan(candidates, as_stored=options["as_stored"], origins=origins), options


def _show_plan(
    services: Services, chosen: Plan, options: dict[str, bool], problem: str = ""
) -> str:
    skip = as_number(request.form.get("skip", "")) or 0
    until = time.monotonic() + LOOK_SECONDS
    looks = []
    for event in chosen.events[skip : skip + SHOWN]:
        if time.monotonic() > until:
            break
        looks.append(look(services.event_job, event.id, **options))
    shown = plan_as_json(services.event_job, chosen, looks, **options)
    shown_to = skip + len(looks)
    return render(
        "replay_plan.html",
        plan=shown,
        sending=sum(_count_posting(event) for event in shown["events"]),
        posting=[event for event in shown["events"] if _is_of_note(event)],
        quiet=[event for event in shown["events"] if not _is_of_note(event)],
        looked_at=len(looks),
        options=options,
        seen=_digest(chosen),
        skip=skip,
        rest=shown_to if shown_to < len(chosen.events) else None,
        problem=problem,
        q=_filter_line(),
        all=request.form.get("all", ""),
        ids=request.form.getlist("id"),
    )


def _count_posting(event: Mapping[str, Any]) -> int:
    return sum(shipment["body"] is not None for shipment in event["shipments"])


def _is_of_note(event: Mapping[str, Any]) -> bool:
    """What would post something comes first, with what can't be said now."""
    return bool(_count_posting(event) or event["error"])


def _filter_line() -> str:
    return request.form.get("q", "")[:_LONGEST_LINE]


def _digest(chosen: Plan) -> str:
    return hashlib.sha256(" ".join(event.id for event in chosen.events).encode()).hexdigest()
