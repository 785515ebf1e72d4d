"""The first page: is it healthy, and if not, what is wrong since when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import jsonify, redirect, url_for
from werkzeug.wrappers import Response

from bridge.domain.events import CLAIMABLE, EventStatus
from bridge.operations import alert_check
from bridge.operations.alerts import KINDS, Problem, problems
from bridge.services import Services
from bridge.store import reports, stats, sweeps, workers
from bridge.store.engine.database import Connection
from bridge.vendors.http import SYSTEMS
from bridge.web.console.pages import render, span

_WORKER_IS_SILENT = timedelta(seconds=30)
_CHART_HEIGHT = 120


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that isn't as it should be: `bad` needs somebody now, `look` needs somebody today.
    `leads_to` is where."""

    level: str
    sentence: str
    leads_to: str | None = None


def lead_here(services: Services) -> Response:
    """The cookie and every link are below /console/, so `/console` is not enough."""
    _ = services
    return redirect(url_for("console.overview"), 308)


def show(services: Services) -> str:
    """Everything at a glance."""
    health = services.readiness()
    with services.database.read() as connection:
        now = services.database.now(connection)
        hours = stats.by_hour(connection, now=now)
        last, usual = stats.last_event_at(connection), stats.usual_per_hour(connection, now=now)
        heard = stats.last_heard(connection)
        known = [row for row in workers.known(connection) if row.stopped_at is None]
        numbers = _numbers(connection, hours, now)
        standing = list(problems(alert_check.read_inputs(connection, services.rates, now=now)))
    sweep = health.get("last_sweep")
    swept = datetime.fromisoformat(sweep["finished_at"] or sweep["started_at"]) if sweep else None
    concerns = judge(health, standing, numbers["exceptions"])
    alive = [(row, now - row.beat_at <= _WORKER_IS_SILENT) for row in known]
    facts = {
        "health": health,
        "hours": hours,
        "last": last,
        "usual": usual,
        "heard": heard,
        "systems": SYSTEMS,
        "at": now,
    }
    return render(
        "overview.html",
        concerns=concerns,
        numbers=numbers,
        alive=alive,
        swept=swept,
        bars=bars(hours),
        tallest=_tallest(hours),
        height=_CHART_HEIGHT,
        **facts,
    )


def counts(services: Services) -> Response:
    """The numbers that a page which is looked at keeps fresh."""
    with services.database.read() as connection:
        now = services.database.now(connection)
        numbers = _numbers(connection, stats.by_hour(connection, now=now), now)
    return jsonify({name: f"{count:,}" for name, count in numbers.items()})


def _numbers(connection: Connection, hours: Sequence[stats.Hour], now: datetime) -> dict[str, int]:
    delivering, received = reports.count_deliveries(connection), reports.count_events(connection)
    return {
        "received": sum(hour.received for hour in hours),
        "delivered": sum(hour.delivered for hour in hours),
        "waiting": received.get(EventStatus.RECEIVED, 0)
        + sum(delivering.get(status, 0) for status in CLAIMABLE),
        "exceptions": reports.count_exceptions(connection),
        "missed": sweeps.missed(connection, since=now - stats.WEEK).total(),
    }


def judge(health: Mapping[str, Any], standing: Iterable[Problem], waiting: int) -> list[Concern]:
    """What isn't as it should be, the worst first; nothing when all is well. `standing` is what
    alerts speak of, too."""
    if "worker" not in health:
        return [Concern("bad", f"The database doesn't answer: {health['database']}.")]
    beat = health["worker_heartbeat_age_seconds"]
    since = "none was ever seen" if beat is None else f"the last sign is {span(beat)} old"
    found = [
        (
            health["worker"] != "ok",
            Concern("bad", f"No worker is alive ({since}): nothing goes out. Start `bridge work`."),
        ),
        (
            health["migrations"] != "ok",
            Concern("bad", "The database is of another version. Run `bridge migrate`."),
        ),
        *((True, _concern(trouble)) for trouble in standing if trouble.key.kind != "exception"),
        (waiting > 0, Concern("look", f"Waiting for a person: {waiting:,}.", "console.exceptions")),
    ]
    return sorted(
        (concern for stands, concern in found if stands), key=lambda concern: concern.level
    )  # "bad" before "look"


def _concern(trouble: Problem) -> Concern:
    kind, level = (
        KINDS[trouble.key.kind],
        "look" if trouble.key.kind in ("silence", "missed") else "bad",
    )
    return Concern(level, f"{kind.begun.format(about=trouble.key.about)}. {trouble.sentence}")


def bars(hours: Sequence[stats.Hour]) -> list[dict[str, Any]]:
    """Where each part of the chart stands, in its own units: every hour is 20 wide, the tallest is
    as high as the chart."""
    tallest = max(1, _tallest(hours))
    drawn: list[dict[str, Any]] = []
    for place, hour in enumerate(hours):
        drawn.append({"kind": "received", "x": place * 20 + 2, "y": 0, "size": hour.received})
        below = 0
        for kind in ("delivered", "waiting", "exceptions"):
            drawn.append(
                {"kind": kind, "x": place * 20 + 10, "y": below, "size": getattr(hour, kind)}
            )
            below += getattr(hour, kind)
    for bar in drawn:
        bar["height"] = round(bar["size"] * _CHART_HEIGHT / tallest, 1)
        bar["y"] = round(_CHART_HEIGHT - bar["y"] * _CHART_HEIGHT / tallest - bar["height"], 1)
    return [bar for bar in drawn if bar["size"]]


def _tallest(hours: Sequence[stats.Hour]) -> int:
    return max(
        max(hour.received, hour.delivered + hour.waiting + hour.exceptions) for hour in hours
    )
