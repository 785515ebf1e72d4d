"""Health: can webhooks be received and processed? The same for /readyz, the console and the
doctor."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.domain.errors import StorageError
from bridge.settings import Settings, rates
from bridge.store import rate_limits, reports, sweeps, workers
from bridge.store.engine import migrate
from bridge.store.engine.database import Connection, Database


def readiness(database: Database, settings: Settings) -> dict[str, Any]:
    """Can webhooks be received and processed? `status` is ready or not_ready; each part says what
    it saw."""
    try:
        with database.read() as connection:
            parts = _parts(connection, database.now(connection), rates(settings))
    except StorageError as exc:
        return {"status": "not_ready", "database": str(exc)}
    is_ready = parts["migrations"] == "ok" and parts["worker"] == "ok"
    return {"status": "ready" if is_ready else "not_ready"} | parts


def _parts(connection: Connection, now: datetime, rates: Mapping[str, int]) -> dict[str, Any]:
    beat = workers.last_beat(connection)
    is_current = migrate.current(connection) == migrate.newest()
    oldest = reports.oldest_unprocessed(connection, now=now)
    vendors = {
        system: rate_limits.state(connection, system, per_minute=rate, now=now).as_json()
        for system, rate in rates.items()
    }
    return {
        "database": "ok",
        "migrations": "ok" if is_current else "behind",
        "worker_heartbeat_age_seconds": _age(beat, now),
        "oldest_unprocessed_seconds": round(oldest, 1),
        "exceptions_waiting": reports.count_exceptions(connection),
        "last_sweep": sweeps.last(connection),
        "vendors": vendors,
        "worker": "ok" if workers.is_alive(connection, now=now) else "silent",
    }


def _age(time: datetime | None, now: datetime) -> float | None:
    return None if time is None else round((now - time).total_seconds(), 1)
