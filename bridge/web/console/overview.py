"""The first page: is it healthy, and if not, what is wrong since when. Every number leads to a list
of exactly what it counts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.domain.events import CLAIMABLE
from bridge.operations import alert_check, public_address
from bridge.operations.alerts import KINDS, Problem, problems
from bridge.services import Services
from bridge.store import reports, stats, sweeps, workers
from bridge.store.engine.database import Connection
from bridge.vendors.http import SYSTEMS
from bridge.web.console.actions import back
from bridge.web.console.pages import render, span, zone

_CHART_HEIGHT = 120
_BAR_WIDTH = 20
_COUNTED_TO = 100_000
WINDOWS = {1: "24 hours", 7: "7 days", 30: "30 days"}
_CUT_ABOVE = 5
"""Bars over so many times the middle one are cut, so that one bad hour doesn't flatten the rest."""


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that isn't as it should be: `bad` needs somebody now, `look` needs somebody today.
    `leads_to` is where."""

    level: str
    sentence: str
    leads_to: str | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """A number, and the list of exactly what it counts."""

    name: str
    label: str
    count: int
    target: str


def lead_here(services: Services) -> Response:
    """The cookie and every link are below /console/, so `/console` is not enough."""
    _ = services
    return redirect(url_for("console.overview"), 308)


def show(services: Services) -> str:
    """Everything at a glance; `days` is how far back."""
    days = _days_wanted()
    health = services.readiness()
    with services.database.read() as connection:
        now = services.database.now(connection)
        bounds = period_bounds(now.astimezone(zone()), days)
        periods = stats.by_period(connection, bounds)
        seconds = stats.delivery_seconds(connection, since=now - timedelta(days=days))
        running = [row for row in workers.known(connection) if row.stopped_at is None]
        standing = list(problems(alert_check.read_inputs(connection, services.rates, now=now)))
        waiting = reports.count_exceptions(connection)
        searching = reports.count_searching(connection)
        missed = sweeps.missed(connection, since=now - stats.WEEK).total()
        page = {
            "under_way": _under_way(connection),
            "last": stats.last_event_at(connection),
            "typical": stats.usual_per_hour(connection, now=now),
            "last_answers": stats.last_heard(connection),
        }
    sweep = health.get("last_sweep")
    swept = datetime.fromisoformat(sweep["finished_at"] or sweep["started_at"]) if sweep else None
    return render(
        "overview.html",
        concerns=judge(health, standing, waiting),
        waiting=waiting,
        searching=searching,
        tiles=_tiles(days, periods, waiting, missed),
        workers=[(row, now - row.beat_at <= workers.SILENT_AFTER) for row in running],
        swept=swept,
        health=health,
        vendors=vendor_states(health, standing),
        periods=periods,
        bars=bars(periods),
        highest=scale_of(periods),
        height=_CHART_HEIGHT,
        days=days,
        windows=WINDOWS,
        success=success_rate(periods),
        median=median(seconds) if seconds else None,
        slow=quantiles(seconds, n=20)[-1] if len(seconds) > 1 else None,
        at=now,
        **page,
    )


def test_webhook(services: Services) -> Response:
    """Send one through the public address, and say what came of it."""
    token = services.settings.webhook_tokens[0].get_secret_value()
    outcome = public_address.send_test(services.database, token)
    if outcome.is_ok:
        return back(f"Well: {outcome.found} ({outcome.answer}).", "good")
    answer = f" ({outcome.answer} after {outcome.seconds:.1f} s)" if outcome.answer else ""
    return back(f"The public address: {outcome.found}{answer}. What to do: {outcome.to_do}.", "bad")


def _days_wanted() -> int:
    text = request.args.get("days", "")
    return int(text) if text in map(str, WINDOWS) else 1


def period_bounds(now: datetime, days: int) -> list[datetime]:
    """Hours for a day, else the days of the zone of `now`; the last period is the one that runs."""
    if days == 1:
        first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
        return [first + timedelta(hours=number) for number in range(25)]
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return [today + timedelta(days=number - days + 1) for number in range(days + 1)]


def _tiles(days: int, periods: Sequence[stats.Period], waiting: int, missed: int) -> list[Tile]:
    window = WINDOWS[days]
    since = f"since:{periods[0].start:%Y-%m-%dT%H:%M}"
    of_events = url_for("console.events", q=since)
    of_parcels = url_for("console.deliveries", q=f"status:delivered {since}")
    received = sum(period.received for period in periods)
    delivered = sum(period.delivered for period in periods)
    return [
        Tile("received", f"webhooks, {window}", received, of_events),
        Tile("delivered", f"delivered, {window}", delivered, of_parcels),
        Tile("exceptions", "need a person", waiting, url_for("console.exceptions")),
        Tile("missed", "missed webhooks, 7 days", missed, ""),
    ]


def _under_way(connection: Connection) -> list[Tile]:
    """What is not at its end and needs nobody, by status."""
    received = reports.count_received(connection)
    counts = reports.count_deliveries(connection, most=_COUNTED_TO)
    tiles = [Tile("received", "webhooks", received, url_for("console.events", q="status:received"))]
    for status in sorted(CLAIMABLE):
        target = url_for("console.deliveries", q=f"status:{status}")
        tiles.append(Tile(str(status), "parcels", counts.get(status, 0), target))
    return [tile for tile in tiles if tile.count]


def judge(health: Mapping[str, Any], standing: Iterable[Problem], waiting: int) -> list[Concern]:
    """What isn't as it should be, the worst first; nothing when all is well. `standing` is what
    alerts speak of, too."""
    if "worker" not in health:
        return [Concern("bad", f"The database doesn't answer: {health['database']}.")]
    concerns: list[Concern] = []
    if health["worker"] != "ok":
        beat = health["worker_heartbeat_age_seconds"]
        since = "none was ever seen" if beat is None else f"the last sign is {span(beat)} old"
        sentence = f"No worker is running ({since}): nothing goes out. Start `bridge work`."
        concerns.append(Concern("bad", sentence))
    if health["migrations"] != "ok":
        sentence = f"The database is of another version: {health['next_step']}."
        concerns.append(Concern("bad", sentence))
    concerns += [_concern(problem) for problem in standing if problem.key.kind != "exception"]
    if waiting:
        sentence = f"Waiting for a person: {waiting:,}."
        concerns.append(Concern("look", sentence, "console.exceptions"))
    return sorted(concerns, key=lambda concern: concern.level)  # "bad" before "look"


def _concern(problem: Problem) -> Concern:
    kind = KINDS[problem.key.kind]
    level = "look" if problem.key.kind in ("silence", "missed") else "bad"
    return Concern(level, f"{kind.begun.format(about=problem.key.about)}. {problem.sentence}")


def vendor_states(
    health: Mapping[str, Any], standing: Iterable[Problem]
) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """(system, its name, the word for its state, what /readyz says of it): the same facts as the
    concerns above."""
    refusing = {problem.key.about for problem in standing if problem.key.kind == "credentials"}
    states = []
    for system, vendor in health.get("vendors", {}).items():
        name = SYSTEMS[system]
        word = "refuses our key" if name in refusing else vendor["state"]
        states.append((system, name, word, vendor))
    return states


def success_rate(periods: Sequence[stats.Period]) -> float | None:
    """Percent of the parcels that came to an end without a person, of all that did or need one."""
    delivered = sum(period.delivered for period in periods)
    failed = sum(period.exceptions for period in periods)
    return 100.0 * delivered / (delivered + failed) if delivered + failed else None


def scale_of(periods: Sequence[stats.Period]) -> int:
    """What the height of the chart stands for."""
    heights = [height for period in periods if (height := _height(period))]
    if not heights:
        return 1
    return min(max(heights), int(max(1, _CUT_ABOVE * median(heights))))


def bars(periods: Sequence[stats.Period]) -> list[dict[str, Any]]:
    """Where each part of the chart stands, in its own units; what is higher than the chart is
    cut."""
    highest = scale_of(periods)
    drawn: list[dict[str, Any]] = []
    for place, period in enumerate(periods):
        left = place * _BAR_WIDTH
        drawn.append(_bar("received", left + 2, 0, period.received, highest))
        below = 0
        for kind in ("delivered", "waiting", "exceptions"):
            size = getattr(period, kind)
            drawn.append(_bar(kind, left + 10, below, size, highest))
            below += size
    return [bar for bar in drawn if bar["height"]]


def _bar(kind: str, x: int, below: int, size: int, highest: int) -> dict[str, Any]:
    bottom = min(below, highest)
    top = min(below + size, highest)
    height = round((top - bottom) * _CHART_HEIGHT / highest, 1)
    y = round(_CHART_HEIGHT - top * _CHART_HEIGHT / highest, 1)
    return {"kind": kind, "x": x, "y": y, "size": size, "height": height}


def _height(period: stats.Period) -> int:
    return max(period.received, period.delivered + period.waiting + period.exceptions)
