"""Requests per minute to each vendor, shared by all processes of one database: one row per vendor,
moved by one atomic statement.

The generic cell rate algorithm keeps a single moment, `free_at`, when the budget would be whole
again. A call moves it by one interval, and may run ahead of now by a small burst. A lower lane may
run ahead less far, so while a higher one takes its turns as they come, none is left for the lower.
https://www.rfc-editor.org/rfc/rfc2697 describes the same idea as a token bucket.

The same row says whether the vendor told us to wait (`paused_until`), and whether it fails as a
whole: after failures in a row for a while nobody calls it (`opened_at`) but for a probe now and
then (`open_until` is the next one's time), until one succeeds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Float, Row, bindparam, case, not_, select, update

from bridge.domain.events import Lane
from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import rate_limits as limits

FAILURES_IN_A_ROW = 5
FAILING_SECONDS = 60.0
"""A vendor fails as a whole when so many calls in a row failed, over at least so long."""

_PROBE_SOONEST, _PROBE_LATEST = 15.0, 300.0
_ROUNDING = 1e-5
"""Seconds that adding intervals to a date may be off, and that must not cost the last call of a
burst."""

_FURTHEST = 61.0
"""Seconds: no burst runs further ahead. A later moment was written before the clock was set back,
and nobody waits for it."""

_WELL = {"failures": 0, "failing_since": 0.0, "opened_at": 0.0, "open_until": 0.0}
_now, _span, _ahead = (bindparam(name, type_=Float) for name in ("now", "span", "ahead"))
_start = case((limits.c.free_at.between(_now, _now + _FURTHEST), limits.c.free_at), else_=_now)
_is_shut = limits.c.open_until.between(_now + _ROUNDING, _now + _PROBE_LATEST)
_TAKE = (
    update(limits)
    .where(limits.c.system == bindparam("name"), limits.c.paused_until <= _now, not_(_is_shut))
    .where(_start + _span <= _now + _ahead + _ROUNDING)
    .values(
        free_at=_start + _span,
        open_until=case((limits.c.opened_at > 0, _now + _PROBE_SOONEST), else_=0.0),
    )
    .returning(limits.c.failures, limits.c.allowed_per_minute)
)
_ROW = select(limits).where(limits.c.system == bindparam("name"))


@dataclass(frozen=True, slots=True)
class Turn:
    """`wait` is 0.0 when `calls` may start now, else the seconds until it is worth asking again;
    nothing was taken then. `is_failing`: the vendor's last call failed; `allowed_per_minute` is what
    the vendor itself said that it allows."""

    wait: float
    calls: int = 0
    is_failing: bool = False
    allowed_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class VendorState:
    """For people and monitors. `state`: ok; throttled (it told us to wait); failing (its last call
    failed); down (it fails as a whole, and only probes go there). `until`: when the next call may
    go."""

    system: str
    calls_left: int
    state: str
    until: datetime | None = None
    since: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        told = {
            name: moment.isoformat()
            for name in ("until", "since")
            if (moment := getattr(self, name)) is not None
        }
        return {"state": self.state, "calls_left": self.calls_left} | told


def _pace(per_minute: int, lane: Lane = Lane.LIVE) -> tuple[float, float]:
    """(seconds between calls, how far ahead of now a burst may run). A tenth, and at least five,
    may start at once; the rest come evenly, and slower by just so many that no minute ever sees
    more than `per_minute` calls."""
    burst = max(1, min(max(5, per_minute // 10), per_minute // 2))
    interval = 60.0 / max(1, per_minute - burst)
    return interval, max(1, burst - lane * max(1, burst // 5)) * interval


def take(
    connection: Connection,
    system: str,
    *,
    per_minute: int,
    now: datetime,
    lane: Lane = Lane.LIVE,
    calls: int = 1,
) -> Turn:
    """Take `calls` from a vendor's budget, or one where so many are not left."""
    moment, (interval, ahead) = now.timestamp(), _pace(per_minute, lane)
    for count in dict.fromkeys((calls, 1)):
        values = {"name": system, "now": moment, "span": interval * count, "ahead": ahead}
        taken = connection.execute(_TAKE, values).one_or_none()
        if taken is not None:
            return Turn(0.0, count, taken.failures > 0, taken.allowed_per_minute)
    row = connection.execute(_ROW, {"name": system}).one_or_none()
    if row is None:
        _open(connection, system, moment)
        return take(connection, system, per_minute=per_minute, now=now, lane=lane, calls=calls)
    return Turn(
        float(
            max(
                row.paused_until - moment,
                row.open_until - moment,
                _free_at(row, moment) + interval - moment - ahead,
                0.001,
            )
        )
    )


def pause(connection: Connection, system: str, *, seconds: float, now: datetime) -> None:
    """The vendor told us to wait: nobody calls it until then. A longer pause that is set already
    stays."""
    _open(connection, system, now.timestamp())
    until = now.timestamp() + seconds
    longer = limits.c.paused_until < until
    connection.execute(
        update(limits).where(limits.c.system == system, longer).values(paused_until=until)
    )


def learn(
    connection: Connection,
    system: str,
    *,
    allowed: int | None,
    remaining: int | None,
    per_minute: int,
    now: datetime,
) -> None:
    """The vendor said what it allows a minute, and how many calls remain: others may use the same
    account, so the lower count wins."""
    moment, (interval, ahead) = now.timestamp(), _pace(per_minute)
    if allowed is not None:
        connection.execute(
            update(limits).where(limits.c.system == system).values(allowed_per_minute=allowed)
        )
    if remaining is not None:
        at_least = moment + ahead - remaining * interval
        lower = (limits.c.system == system, limits.c.free_at < at_least)
        connection.execute(update(limits).where(*lower).values(free_at=at_least))


def failed(connection: Connection, system: str, *, now: datetime) -> float | None:
    """A call failed on the vendor's side. Returns the seconds until the next probe when it fails as
    a whole, else None."""
    moment = now.timestamp()
    _open(connection, system, moment)
    row = connection.execute(_ROW.with_for_update(), {"name": system}).one()
    failures, since = row.failures + 1, row.failing_since or moment
    is_down = bool(row.opened_at) or (
        failures >= FAILURES_IN_A_ROW and moment - since >= FAILING_SECONDS
    )
    opened = (row.opened_at or moment) if is_down else 0.0
    wait = min(max(_PROBE_SOONEST, (moment - opened) / 4), _PROBE_LATEST)
    values = {
        "failures": failures,
        "failing_since": since,
        "opened_at": opened,
        "open_until": moment + wait if is_down else 0.0,
    }
    connection.execute(update(limits).where(limits.c.system == system).values(values))
    return wait if is_down else None


def worked(connection: Connection, system: str) -> None:
    """A call was answered: the vendor is well again."""
    connection.execute(update(limits).where(limits.c.system == system).values(_WELL))


def state(connection: Connection, system: str, *, per_minute: int, now: datetime) -> VendorState:
    """How a vendor stands, without changing anything."""
    row = connection.execute(_ROW, {"name": system}).one_or_none()
    moment = now.timestamp()
    if row is None:
        interval, ahead = _pace(per_minute)
        return VendorState(system, round(ahead / interval), "ok")
    per_minute = min(per_minute, row.allowed_per_minute or per_minute)
    return VendorState(system, _left(row, per_minute, moment), *_standing(row, moment))


def _left(row: Row[Any], per_minute: int, moment: float) -> int:
    interval, ahead = _pace(per_minute)
    is_shut = max(row.paused_until, row.open_until) > moment
    return (
        0
        if is_shut
        else int((max(0.0, moment + ahead - _free_at(row, moment)) + _ROUNDING) / interval)
    )


def _free_at(row: Row[Any], moment: float) -> float:
    return float(row.free_at) if moment < row.free_at <= moment + _FURTHEST else moment


def _standing(row: Row[Any], moment: float) -> tuple[str, datetime | None, datetime | None]:
    if row.opened_at:
        return "down", _date(row.open_until), _date(row.opened_at)
    if row.paused_until > moment:
        return "throttled", _date(row.paused_until), None
    return ("failing", None, _date(row.failing_since)) if row.failures else ("ok", None, None)


def _date(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _open(connection: Connection, system: str, moment: float) -> None:
    row = {"system": system, "free_at": moment, "paused_until": 0.0, **_WELL}
    first = insert_on_conflict(connection, limits).values(row)
    connection.execute(first.on_conflict_do_nothing())
