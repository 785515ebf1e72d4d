"""Calls a minute to each vendor, shared by all processes of one database: one row per vendor, moved
by one atomic statement.

The generic cell rate algorithm keeps a single moment, `free_at`, when the budget would be whole
again. A call moves it by one interval, and may run ahead of now by a small burst. A lower lane may
run ahead less far, so while a higher one takes its turns as they come, none is left for the lower.
https://www.rfc-editor.org/rfc/rfc2697 describes the same idea as a token bucket.

The same row says whether the vendor asked us to wait (`paused_until`), and whether only probes go
there (`opened_at`; `open_until` is when the next one may go): because it fails as a whole, or
because it asked for a longer wait than anybody should take on its word. One success ends that. A
second row of the vendor, `<system>_writes`, says the same of writes whose answers are unclear."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Float, Row, and_, bindparam, case, not_, select, update

from bridge.domain.events import Lane
from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import rate_limits as limits

FAILURES_IN_A_ROW = 5
FAILING_SECONDS = 60.0
"""A vendor fails as a whole when so many calls in a row failed, over at least so long."""

UNCLEAR_IN_A_ROW = 3
"""After so many writes in a row without a clear answer the others wait, and one is tried now and
then."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds that a vendor's wish to wait is kept to. A longer wish is probed at least so often."""

_PROBE_SOONEST, _PROBE_LATEST = 15.0, LONGEST_PAUSE
_WRITE_LASTS = 60.0
"""Seconds that a probing write may take before the next may go."""

_A_DAY = 86_400.0
_ROUNDING = 1e-5
"""Seconds that adding intervals to a date may be off, and that must not cost the last call of a
burst."""

_FURTHEST = 61.0
"""Seconds: no burst runs further ahead. A later moment was written before the clock was set back,
and nobody waits for it."""

_MINUTE = 60.001
"""Seconds: with the spare millisecond, rounding never puts one call too many into a minute."""

_WELL = {"failures": 0, "failing_since": 0.0, "opened_at": 0.0, "open_until": 0.0}
_now, _interval, _ahead = (bindparam(name, type_=Float) for name in ("now", "interval", "ahead"))
_start = case((limits.c.free_at.between(_now, _now + _FURTHEST), limits.c.free_at), else_=_now)
_is_probed = limits.c.opened_at > 0
_is_shut = limits.c.open_until.between(_now + _ROUNDING, _now + _PROBE_LATEST)
_is_paused = and_(
    not_(_is_probed), limits.c.paused_until.between(_now + _ROUNDING, _now + LONGEST_PAUSE)
)
_TAKE = (
    update(limits)
    .where(limits.c.system == bindparam("name"), not_(_is_paused), not_(_is_shut))
    .where(_start + _interval <= _now + _ahead + _ROUNDING)
    .values(
        free_at=_start + _interval,
        open_until=case((_is_probed, _now + _PROBE_SOONEST), else_=0.0),
    )
    .returning(limits.c.failures, limits.c.allowed_per_minute)
)
_TAKE_PROBE = (
    update(limits)
    .where(limits.c.system == bindparam("name"), not_(_is_shut))
    .values(open_until=_now + _WRITE_LASTS)
    .returning(limits.c.system)
)
_ROW = select(limits).where(limits.c.system == bindparam("name"))


@dataclass(frozen=True, slots=True)
class Grant:
    """`wait` is 0.0 when the call may start now, else the seconds until it is worth asking again;
    nothing was taken then. `is_failing`: the vendor's last call failed; `allowed_per_minute`: what
    the vendor itself said that it allows."""

    wait: float
    is_failing: bool = False
    allowed_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class VendorState:
    """For people and monitors. `state`: ok; throttled (it asked us to wait); failing (its last call
    failed); down (it fails as a whole, and only probes go there); unclear (so are its answers to
    writes, and only one is tried now and then). `until`: when the next call may go, or what a
    vendor that is throttled asked for."""

    system: str
    calls_left: int
    state: str
    until: datetime | None = None
    since: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"state": self.state, "calls_left": self.calls_left}
        if self.until is not None:
            fields["until"] = self.until.isoformat()
        if self.since is not None:
            fields["since"] = self.since.isoformat()
        return fields


@dataclass(frozen=True, slots=True)
class _Pace:
    """`burst` calls may start at once; the rest come evenly, one each `interval` seconds. A lower
    lane may run only `ahead` seconds ahead of now."""

    interval: float
    ahead: float


def pace(per_minute: int, lane: Lane = Lane.LIVE, *, burst: int | None = None) -> _Pace:
    """Just so slow that no minute ever sees more than `per_minute` calls. Without a wish for a
    `burst` it is small: what starts at once is missing from the even rate for ever."""
    per_minute = max(1, per_minute)
    if burst is None:
        burst = max(2, per_minute // 20 + 1)
    burst = max(1, min(burst, per_minute // 2))
    # A minute that begins with a burst holds that, and one call less than fit in evenly.
    interval = _MINUTE / (per_minute - burst + 1)
    calls_ahead = max(1, burst - lane * max(1, burst // 5))
    return _Pace(interval, calls_ahead * interval)


def take(
    connection: Connection,
    system: str,
    *,
    per_minute: int,
    now: datetime,
    lane: Lane = Lane.LIVE,
    burst: int | None = None,
) -> Grant:
    """Take one call from a vendor's budget."""
    epoch, allowed = now.timestamp(), pace(per_minute, lane, burst=burst)
    values = {
        "name": system,
        "now": epoch,
        "interval": allowed.interval,
        "ahead": allowed.ahead,
    }
    granted = connection.execute(_TAKE, values).one_or_none()
    if granted is not None:
        return Grant(0.0, granted.failures > 0, granted.allowed_per_minute)
    row = connection.execute(_ROW, {"name": system}).one_or_none()
    if row is None:
        _open(connection, system, epoch)
        return take(connection, system, per_minute=per_minute, now=now, lane=lane, burst=burst)
    until_paced = _free_at(row, epoch) + allowed.interval - epoch - allowed.ahead
    return Grant(max(_blocked_until(row, epoch) - epoch, until_paced, 0.001))


def seconds_until_next(
    connection: Connection, system: str, *, per_minute: int, now: datetime, burst: int
) -> float:
    """What `take` would say, with nothing taken: 0.0 when it would be granted now."""
    row = connection.execute(_ROW, {"name": system}).one_or_none()
    if row is None:
        return 0.0
    epoch, allowed = now.timestamp(), pace(per_minute, burst=burst)
    wait = _free_at(row, epoch) + allowed.interval - epoch - allowed.ahead
    return wait if wait > _ROUNDING else 0.0


def pause(connection: Connection, system: str, *, seconds: float, now: datetime) -> None:
    """The vendor asked us to wait. Nobody calls it for so long, at most LONGEST_PAUSE: from then on
    a probe goes now and then. A longer pause that is set already stays."""
    _open(connection, system, now.timestamp())
    epoch = now.timestamp()
    until = epoch + min(max(seconds, SHORTEST_PAUSE), _A_DAY)
    longer = case(
        (limits.c.paused_until.between(until, epoch + _A_DAY), limits.c.paused_until),
        else_=until,
    )
    values: dict[str, Any] = {"paused_until": longer}
    if seconds > LONGEST_PAUSE:
        values |= {
            "failures": case((limits.c.failures > 0, limits.c.failures), else_=1),
            "opened_at": case((_is_probed, limits.c.opened_at), else_=epoch),
            "open_until": epoch + LONGEST_PAUSE,
        }
    connection.execute(update(limits).where(limits.c.system == system).values(values))


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
    row = limits.c.system == system
    if allowed is not None:
        connection.execute(update(limits).where(row).values(allowed_per_minute=allowed))
    if remaining is not None:
        usual = pace(per_minute)
        at_least = now.timestamp() + usual.ahead - remaining * usual.interval
        is_lower = limits.c.free_at < at_least
        connection.execute(update(limits).where(row, is_lower).values(free_at=at_least))


def failed(connection: Connection, system: str, *, now: datetime) -> float | None:
    """A call failed on the vendor's side. Returns the seconds until the next probe when it fails as
    a whole, else None."""
    return _count_failure(
        connection, system, now=now, in_a_row=FAILURES_IN_A_ROW, lasting=FAILING_SECONDS
    )


def worked(connection: Connection, system: str) -> None:
    """A call was answered: the vendor is well again, however long it asked us to wait."""
    pause_ends = case((_is_probed, 0.0), else_=limits.c.paused_until)
    connection.execute(
        update(limits).where(limits.c.system == system).values(paused_until=pause_ends, **_WELL)
    )


def lift(connection: Connection, system: str, *, now: datetime) -> None:
    """A person says that the vendor may be called again, reads and writes: every pause ends now."""
    for name in (system, _writes_of(system)):
        connection.execute(
            update(limits)
            .where(limits.c.system == name)
            .values(paused_until=0.0, free_at=now.timestamp(), **_WELL)
        )


def take_write(connection: Connection, system: str, *, now: datetime) -> Grant:
    """Whether a write may leave now. While the answers to writes are unclear, only one may, now and
    then."""
    name, epoch = _writes_of(system), now.timestamp()
    row = connection.execute(_ROW, {"name": name}).one_or_none()
    if row is None or not row.opened_at:
        return Grant(0.0, is_failing=row is not None and row.failures > 0)
    is_probe = connection.execute(_TAKE_PROBE, {"name": name, "now": epoch}).one_or_none()
    if is_probe is not None:
        return Grant(0.0, is_failing=True)
    return Grant(max(_blocked_until(row, epoch) - epoch, 0.001), is_failing=True)


def write_unclear(connection: Connection, system: str, *, now: datetime) -> float | None:
    """A write got no clear answer. Returns the seconds until the next may be tried when that has
    become the rule, else None."""
    return _count_failure(
        connection, _writes_of(system), now=now, in_a_row=UNCLEAR_IN_A_ROW, lasting=0.0
    )


def write_clear(connection: Connection, system: str) -> None:
    """A write was clearly answered, yes or no: others may follow."""
    worked(connection, _writes_of(system))


def state(
    connection: Connection,
    system: str,
    *,
    per_minute: int,
    now: datetime,
    lane: Lane = Lane.LIVE,
) -> VendorState:
    """How a vendor stands, without changing anything; the calls that are left are those of
    `lane`."""
    epoch = now.timestamp()
    row = connection.execute(_ROW, {"name": system}).one_or_none()
    writes = connection.execute(_ROW, {"name": _writes_of(system)}).one_or_none()
    if row is None:
        usual = pace(per_minute, lane)
        return VendorState(system, round(usual.ahead / usual.interval), "ok")
    per_minute = min(per_minute, row.allowed_per_minute or per_minute)
    word, until, since = _standing(row, epoch)
    if word in ("ok", "failing") and writes is not None and writes.opened_at:
        word, until, since = "unclear", _date(writes.open_until), _date(writes.failing_since)
    return VendorState(system, _left(row, per_minute, epoch, lane), word, until, since)


def _count_failure(
    connection: Connection, name: str, *, now: datetime, in_a_row: int, lasting: float
) -> float | None:
    epoch = now.timestamp()
    _open(connection, name, epoch)
    row = connection.execute(_ROW.with_for_update(), {"name": name}).one()
    failures, since = row.failures + 1, row.failing_since or epoch
    is_down = bool(row.opened_at) or (failures >= in_a_row and epoch - since >= lasting)
    opened = (row.opened_at or epoch) if is_down else 0.0
    wait = min(max(_PROBE_SOONEST, (epoch - opened) / 4), _PROBE_LATEST)
    values = {
        "failures": failures,
        "failing_since": since,
        "opened_at": opened,
        "open_until": epoch + wait if is_down else 0.0,
    }
    connection.execute(update(limits).where(limits.c.system == name).values(values))
    return wait if is_down else None


def _writes_of(system: str) -> str:
    return f"{system}_writes"


def _blocked_until(row: Row[Any], epoch: float) -> float:
    """What was written before the clock was set back blocks nobody."""
    until = 0.0
    if row.open_until <= epoch + _PROBE_LATEST:
        until = float(row.open_until)
    if not row.opened_at and row.paused_until <= epoch + LONGEST_PAUSE:
        until = max(until, float(row.paused_until))
    return until


def _left(row: Row[Any], per_minute: int, epoch: float, lane: Lane) -> int:
    if _blocked_until(row, epoch) > epoch:
        return 0
    usual = pace(per_minute, lane)
    spare = max(0.0, epoch + usual.ahead - _free_at(row, epoch))
    return int((spare + _ROUNDING) / usual.interval)


def _free_at(row: Row[Any], epoch: float) -> float:
    return float(row.free_at) if epoch < row.free_at <= epoch + _FURTHEST else epoch


def _standing(row: Row[Any], epoch: float) -> tuple[str, datetime | None, datetime | None]:
    if epoch < row.paused_until <= epoch + _A_DAY:
        since = _date(row.opened_at) if row.opened_at else None
        return "throttled", _date(row.paused_until), since
    if row.opened_at:
        return "down", _date(row.open_until), _date(row.opened_at)
    if row.failures:
        return "failing", None, _date(row.failing_since)
    return "ok", None, None


def _date(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def _open(connection: Connection, system: str, epoch: float) -> None:
    row = {"system": system, "free_at": epoch, "paused_until": 0.0, **_WELL}
    first = insert_on_conflict(connection, limits).values(row)
    connection.execute(first.on_conflict_do_nothing())
