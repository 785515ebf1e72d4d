"""Replay: the plan with its dry run, the reason, the run with its progress. One failed event is one
click."""

import hashlib
import time
from typing import Any

from flask import abort, flash, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.domain.errors import RefusedError
from bridge.operations.replay import Plan, look, plan_as_json
from bridge.operations.replay import plan as make_plan
from bridge.services import Services
from bridge.store import audit, replays
from bridge.web.console import actions
from bridge.web.console.lists import A_PAGE, a_number, chosen_events
from bridge.web.console.pages import render

SHOWN, LOOK_SECONDS = 20, 12.0
"""How many events a page of the dry run holds, and how long it may read from the vendors for
one."""


def plan(services: Services) -> Any:
    """What would be replayed, and what each would tell Purple Dot. Nothing is done yet."""
    chosen, how = _chosen(services)
    if not (chosen.events or chosen.refused):
        flash("Nothing was chosen, or nothing fits any more.", "bad")
        return redirect(url_for("console.events", q=request.form.get("q") or None), 303)
    return _planned(services, chosen, how)


def start(services: Services) -> Any:
    """Begin the run, if it is still what the plan showed, and says why where that is needed; else
    the plan comes (again)."""
    chosen, how = _chosen(services)
    seen, why = request.form.get("seen"), actions.reason()
    if seen is not None and seen != _digest(chosen):
        return _planned(
            services,
            chosen,
            how,
            "Other events fit by now than you saw. Nothing was done; this is the new plan.",
        )
    if not chosen.events or (chosen.needs_reason and why is None):
        return _planned(
            services, chosen, how, "Say why, for those who read it later." if seen else ""
        )
    ids, by = (
        [event.id for event in chosen.events],
        {"q": request.form.get("q", "")[:500]} if request.form.get("all") else {},
    )
    with services.database.begin() as connection:
        now = services.database.now(connection)
        run_id = replays.start(
            connection,
            ids,
            chosen=by or {"ids": ids},
            actor=actions.who(),
            reason=why,
            **how,
            now=now,
        )
    return redirect(url_for("console.replay_run", run_id=run_id), 303)


def run(services: Services, run_id: str) -> str:
    """How far it is, and what became of each event."""
    after = a_number(request.args.get("after", "")) or 0
    with services.database.read() as connection:
        story = replays.run_story(connection, run_id)
        if story is None:
            abort(404, f"There is no replay run {run_id[:40]}. It may have been typed wrongly.")
        rows = replays.items(connection, run_id, after=after, limit=A_PAGE)
        acts = audit.entries(connection, subject=run_id)
    return render(
        "replay_run.html",
        run=story,
        rows=rows,
        acts=acts,
        after=after,
        more=after + A_PAGE if after + A_PAGE < story["total"] else None,
    )


def runs(services: Services) -> str:
    """The newest runs."""
    with services.database.read() as connection:
        return render("replays.html", runs=replays.runs(connection))


def counts(services: Services, run_id: str) -> Response:
    """What a run's page keeps fresh."""
    with services.database.read() as connection:
        story = replays.run_story(connection, run_id) or abort(404)
    return jsonify(ended=str(story["ended"]), bar=str(story["ended"]), status=story["status"])


def cancel(services: Services, run_id: str) -> Response:
    """Nothing more of it begins."""
    try:
        with services.database.begin() as connection:
            replays.cancel(
                connection, run_id, actor=actions.who(), now=services.database.now(connection)
            )
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
    how = {name: request.form.get(name) == "1" for name in ("as_stored", "notify_customer")}
    try:
        with services.database.read() as connection:
            found = chosen_events(services, connection)
    except RefusedError as exc:
        abort(400, f"Nothing was chosen: {exc}.")
    return make_plan(found, as_stored=how["as_stored"], origins=services.shipstation_origins), how


def _planned(services: Services, chosen: Plan, how: dict[str, bool], problem: str = "") -> str:
    skip, until = a_number(request.form.get("skip", "")) or 0, time.monotonic() + LOOK_SECONDS
    looks = []
    for event in chosen.events[skip : skip + SHOWN]:
        if time.monotonic() > until:
            break
        looks.append(look(services.event_job, event.id, **how))
    told = plan_as_json(services.event_job, chosen, looks, **how)
    rest = skip + len(looks) if skip + len(looks) < len(chosen.events) else None
    given = {
        "q": request.form.get("q", "")[:500],
        "all": request.form.get("all", ""),
        "ids": request.form.getlist("id"),
    }
    return render(
        "replay_plan.html",
        plan=told,
        how=how,
        seen=_digest(chosen),
        skip=skip,
        rest=rest,
        problem=problem,
        **given,
    )


def _digest(chosen: Plan) -> str:
    return hashlib.sha256(" ".join(event.id for event in chosen.events).encode()).hexdigest()
