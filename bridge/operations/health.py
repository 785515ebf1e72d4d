"""Health: can webhooks be received and processed? The same for /readyz, the console and the
doctor."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.domain.errors import StorageError
from bridge.settings import Settings, rates
from bridge.store import rate_limits, reports, shared_state, sweeps, workers
from bridge.store.engine import migrate
from bridge.store.engine.database import Connection, Database

_BEHIND = ("behind", "run `bridge migrate`")
_NEWER = ("newer", "install the newer software that this database was used with")
_UNREAD: dict[str, Any] = {
    "database": "ok",
    "worker_heartbeat_age_seconds": None,
    "oldest_unprocessed_seconds": 0.0,
    "exceptions_waiting": 0,
    "last_sweep": None,
    "vendors": {},
    "worker": "unknown",
}
"""What is said of a database whose schema is another version's, or that has none."""


def readiness(database: Database, settings: Settings) -> dict[str, Any]:
    """Can webhooks be received and processed? `status` is ready or not_ready; each part says what
    it saw."""
    try:
        with database.read() as connection:
            parts = _parts(connection, database.now(connection), rates(settings))
    except StorageError as exc:
        return {"status": "not_ready", "database": str(exc)}
    # What can be read may still take nothing: a disk that is full, or became read-only.
    if parts["migrations"] == "ok":
        parts["database"] = shared_state.write_problem(database) or "ok"
    is_ready = all(parts[name] == "ok" for name in ("database", "migrations", "worker"))
    return {"status": "ready" if is_ready else "not_ready"} | parts


def _parts(connection: Connection, now: datetime, rates: Mapping[str, int]) -> dict[str, Any]:
    version = migrate.current(connection)
    if version != migrate.newest():
        word, next_step = _NEWER if migrate.is_newer(version) else _BEHIND
        # Its tables may not even be there.
        return _UNREAD | {"migrations": word, "next_step": next_step}
    beat = workers.last_beat(connection)
    oldest = reports.oldest_unprocessed(connection, now=now)
    vendors = {
        system: rate_limits.state(connection, system, per_minute=rate, now=now).as_json()
        for system, rate in rates.items()
    }
    return {
        "database": "ok",
        "migrations": "ok",
        "worker_heartbeat_age_seconds": _age(beat, now),
        "oldest_unprocessed_seconds": round(oldest, 1),
        "exceptions_waiting": reports.count_exceptions(connection),
        "last_sweep": sweeps.last(connection),
        "vendors": vendors,
        "worker": "ok" if workers.is_alive(connection, now=now) else "silent",
    }


def _age(time: datetime | None, now: datetime) -> float | None:
    return None if time is None else round((now - time).total_seconds(), 1)
