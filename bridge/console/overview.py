"""The first page: is it healthy, and if not, what is wrong since when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Response, jsonify, url_for

from bridge.console.desk import Desk
from bridge.console.pages import page, span
from bridge.events import CLAIMABLE, EXCEPTIONS, EventStatus
from bridge.store import overview, reports, workers
from bridge.store.database import Connection

_WORKER_IS_SILENT = timedelta(seconds=30)
_IS_LATE = 300.0
_SILENT_TIMES = 4.0
"""How many usual gaps without a webhook are worth a word."""
_CHART_HEIGHT = 120


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that isn't as it should be: `bad` needs somebody now, `look` needs somebody today."""

    level: str
    sentence: str
    url: str | None = None


def show(desk: Desk) -> str:
    """Everything at a glance."""
    health = desk.health()
    with desk.database.read() as connection:
        now = desk.database.now(connection)
        hours = overview.by_hour(connection, now=now)
        last, usual = overview.last_event_at(connection), overview.usual_per_hour(connection, now=now)
        pauses, heard = overview.pauses(connection, now=now), overview.last_heard(connection)
        known = [row for row in workers.known(connection) if row.stopped_at is None]
        numbers = _numbers(connection, hours)
    concerns = judge(health, numbers, silence=(now - last) if last else None, usual=usual, pauses=pauses)
    alive = [(row, now - row.beat_at <= _WORKER_IS_SILENT) for row in known]
    facts = {"health": health, "hours": hours, "last": last, "usual": usual, "heard": heard, "pauses": pauses, "at": now}
    return page(
        "overview.html",
        concerns=concerns,
        numbers=numbers,
        alive=alive,
        bars=bars(hours),
        tallest=_tallest(hours),
        height=_CHART_HEIGHT,
        **facts,
    )


def counts(desk: Desk) -> Response:
    """The numbers that a page which is looked at keeps fresh."""
    with desk.database.read() as connection:
        hours = overview.by_hour(connection, now=desk.database.now(connection))
        return jsonify({name: f"{count:,}" for name, count in _numbers(connection, hours).items()})


def _numbers(connection: Connection, hours: Sequence[overview.Hour]) -> dict[str, int]:
    delivering, received = reports.count_deliveries(connection), reports.count_events(connection)
    return {
        "received": sum(hour.received for hour in hours),
        "delivered": sum(hour.delivered for hour in hours),
        "waiting": received.get(EventStatus.RECEIVED, 0) + sum(delivering.get(status, 0) for status in CLAIMABLE),
        "exceptions": received.get(EventStatus.DEAD, 0) + sum(delivering.get(status, 0) for status in EXCEPTIONS),
    }


def judge(
    health: Mapping[str, Any], numbers: Mapping[str, int], *, silence: timedelta | None, usual: float | None, pauses: Mapping[str, float]
) -> list[Concern]:
    """What isn't as it should be, the worst first; nothing when all is well."""
    if "worker" not in health:
        return [Concern("bad", f"The database doesn't answer: {health['database']}.")]
    late, waiting, beat = health["oldest_unprocessed_seconds"], numbers["exceptions"], health["worker_heartbeat_age_seconds"]
    since = "none was ever seen" if beat is None else f"the last sign is {span(beat)} old"
    is_silent = silence is not None and usual is not None and usual > 0 and silence.total_seconds() > _SILENT_TIMES * 3600 / usual + 3600
    found = (
        (health["worker"] != "ok", Concern("bad", f"No worker is alive ({since}): nothing goes out. Start `bridge work`.")),
        (health["migrations"] != "ok", Concern("bad", "The database is of another version. Run `bridge migrate`.")),
        (late > _IS_LATE, Concern("bad", f"The oldest notification waits for {span(late)} to be worked off.")),
        *((True, Concern("look", f"{system} asked us to wait, {span(left)} more.")) for system, left in pauses.items()),
        (is_silent, Concern("look", f"No webhook for {span(silence or 0)}, which is long for this hour of the week.")),
        (waiting > 0, Concern("look", f"Waiting for a person: {waiting:,}.", url_for("console.exceptions"))),
    )  # fmt: skip
    return [concern for stands, concern in found if stands]


def bars(hours: Sequence[overview.Hour]) -> list[dict[str, Any]]:
    """Where each part of the chart stands, in its own units: every hour is 20 wide, the tallest is as high as the chart."""
    tallest = max(1, _tallest(hours))
    drawn: list[dict[str, Any]] = []
    for place, hour in enumerate(hours):
        drawn.append({"kind": "received", "x": place * 20 + 2, "y": 0, "size": hour.received})
        below = 0
        for kind in ("delivered", "waiting", "exceptions"):
            drawn.append({"kind": kind, "x": place * 20 + 10, "y": below, "size": getattr(hour, kind)})
            below += getattr(hour, kind)
    for bar in drawn:
        bar["height"] = round(bar["size"] * _CHART_HEIGHT / tallest, 1)
        bar["y"] = round(_CHART_HEIGHT - bar["y"] * _CHART_HEIGHT / tallest - bar["height"], 1)
    return [bar for bar in drawn if bar["size"]]


def _tallest(hours: Sequence[overview.Hour]) -> int:
    return max(max(hour.received, hour.delivered + hour.waiting + hour.exceptions) for hour in hours)
