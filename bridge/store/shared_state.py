"""What one process learned and others want to know: one row a name, the newest stands. And secrets
that the bridge makes itself."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from bridge.domain.errors import StorageError
from bridge.store.engine.database import Database
from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import secret_keys, shared_state

SUBSCRIBED = "webhooks_subscribed"
"""What the last `bridge webhooks ensure` asked for: {"url", "store", "apis"}; empty after
`remove`."""
LOST = "webhooks_lost"
"""What the worker's daily check of the subscriptions found: {"problems": [a sentence for each]};
empty when all is well."""
SWEEPS_SINCE = "sweeps_since"
"""The database's birth, {"at": ISO}: no sweep of the worker looks back further."""
DIFFERENCES = "differences"
"""What the worker's daily comparison of both sides found: {"found": [a difference as JSON]}."""
NOTIFIED = "alerts_notified_"
"""Before the hash of an alert URL: which of the problems that it was sent still stand, [kind,
about, subject] each."""
REFUSED = "credentials_refused_"
"""Before a system's name: it refuses our credentials."""
_WRITE_PROBE = "write_probe"

_GET = select(shared_state.c.value, shared_state.c.noted_at).where(
    shared_state.c.name == bindparam("name")
)


def put(connection: Connection, name: str, value: Any, *, now: datetime) -> None:
    """Store a JSON value, over an older one."""
    row = {"value": value, "noted_at": now}
    first = insert_on_conflict(connection, shared_state).values(name=name, **row)
    connection.execute(first.on_conflict_do_update(index_elements=["name"], set_=row))


def get(connection: Connection, name: str) -> tuple[Any, datetime] | None:
    """The value, and when it was stored; None where there is none."""
    row = connection.execute(_GET, {"name": name}).one_or_none()
    return (row.value, row.noted_at) if row else None


def drop(connection: Connection, name: str) -> None:
    """Remove a value; where there is none, nothing happens."""
    connection.execute(delete(shared_state).where(shared_state.c.name == name))


def write_problem(database: Database) -> str | None:
    """Why the database can't be written, as where its disk is full or read-only; None where it
    can."""
    try:
        with database.begin(durable=False) as connection:
            put(connection, _WRITE_PROBE, True, now=database.now(connection))
    except StorageError as exc:
        return str(exc)
    return None


def get_or_create_secret(connection: Connection, name: str, *, candidate: str) -> str:
    """The secret of this name, the same for all processes of one database: the `candidate` of
    whoever came first."""
    first = insert_on_conflict(connection, secret_keys).values(name=name, value=candidate)
    connection.execute(first.on_conflict_do_nothing())
    stored = select(secret_keys.c.value).where(secret_keys.c.name == name)
    value: str = connection.execute(stored).scalar_one()
    return value
