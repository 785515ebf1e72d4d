"""Health: can webhooks be received and processed? The same for /readyz, the console and the
doctor."""

from typing import Any

from bridge.domain.errors import StorageError
from bridge.settings import Settings, rates
from bridge.store import rate_limits, reports, sweeps, workers
from bridge.store.engine import migrate
from bridge.store.engine.database import Database

_WORKER_IS_SILENT = 30.0


def readiness(database: Database, settings: Settings) -> dict[str, Any]:
    """Can webhooks be taken and worked on? `status` is ready or not_ready; each part says what it
    saw."""
    try:
        with database.read() as connection:
            now = database.now(connection)
            beat = workers.last_beat(connection)
            parts: dict[str, Any] = {
                "database": "ok",
                "migrations": "ok" if migrate.current(connection) == migrate.newest() else "behind",
                "worker_heartbeat_age_seconds": round((now - beat).total_seconds(), 1)
                if beat
                else None,
                "oldest_unprocessed_seconds": round(
                    reports.oldest_unprocessed(connection, now=now), 1
                ),
                "exceptions_waiting": reports.count_exceptions(connection),
                "last_sweep": sweeps.last(connection),
                "vendors": {
                    system: rate_limits.state(
                        connection, system, per_minute=per_minute, now=now
                    ).as_json()
                    for system, per_minute in rates(settings).items()
                },
            }
    except StorageError as exc:
        return {"status": "not_ready", "database": str(exc)}
    age = parts["worker_heartbeat_age_seconds"]
    parts["worker"] = "ok" if age is not None and age <= _WORKER_IS_SILENT else "silent"
    ready = parts["migrations"] == "ok" and parts["worker"] == "ok"
    return {"status": "ready" if ready else "not_ready"} | parts
