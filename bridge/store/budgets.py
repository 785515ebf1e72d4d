"""Requests per minute to each vendor, shared by all processes of one database: one row per vendor, moved by one atomic statement.

The generic cell rate algorithm keeps a single moment, `free_at`, when the budget would be whole again. A call moves it by one
interval, and may run ahead of now by a small burst.
https://www.rfc-editor.org/rfc/rfc2697 describes the same idea as a token bucket.
"""

from datetime import datetime

from sqlalchemy import Connection, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.store.tables import budgets

_ROUNDING = 1e-5
"""Seconds that adding intervals to a date may be off, and that must not cost the last call of a burst."""


def _pace(per_minute: int) -> tuple[float, float]:
    """(seconds between calls, how far ahead of now a burst may run). A tenth, and at least five, may start at once; the rest come
    evenly, and slower by just so many that no minute ever sees more than `per_minute` calls."""
    burst = max(1, min(max(5, per_minute // 10), per_minute // 2))
    interval = 60.0 / max(1, per_minute - burst)
    return interval, burst * interval


def take(connection: Connection, system: str, *, per_minute: int, now: datetime) -> float:
    """Take one call from a vendor's budget. Returns 0.0 when it may start now, else the seconds to wait (nothing was taken)."""
    moment, (interval, ahead) = now.timestamp(), _pace(per_minute)
    start = case((budgets.c.free_at > moment, budgets.c.free_at), else_=moment)
    free = (budgets.c.system == system, budgets.c.paused_until <= moment, start + interval <= moment + ahead + _ROUNDING)
    taken = update(budgets).where(*free).values(free_at=start + interval)
    if connection.execute(taken).rowcount:
        return 0.0
    row = connection.execute(select(budgets).where(budgets.c.system == system)).one_or_none()
    if row is None:
        _open(connection, system, moment)
        return take(connection, system, per_minute=per_minute, now=now)
    return float(max(row.paused_until - moment, row.free_at + interval - moment - ahead, 0.001))


def pause(connection: Connection, system: str, *, seconds: float, now: datetime) -> None:
    """The vendor told us to wait: nobody calls it until then. A longer pause that is set already stays."""
    _open(connection, system, now.timestamp())
    until = now.timestamp() + seconds
    longer = budgets.c.paused_until < until
    connection.execute(update(budgets).where(budgets.c.system == system, longer).values(paused_until=until))


def left(connection: Connection, system: str, *, per_minute: int, now: datetime) -> int:
    """How many calls could start right now."""
    row = connection.execute(select(budgets).where(budgets.c.system == system)).one_or_none()
    moment, (interval, ahead) = now.timestamp(), _pace(per_minute)
    if row is None:
        return round(ahead / interval)
    return 0 if row.paused_until > moment else int((max(0.0, moment + ahead - max(row.free_at, moment)) + _ROUNDING) / interval)


def _open(connection: Connection, system: str, moment: float) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(budgets).values(system=system, free_at=moment, paused_until=0.0).on_conflict_do_nothing())
