"""Small things that one process found or was told and others want to know. One row a name; the
newest stands."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import notes

SUBSCRIBED = "webhooks_subscribed"
"""What `bridge webhooks ensure` was told last: {"url", "store", "apis"}; empty after `remove`."""
LOST = "webhooks_lost"
"""The worker's daily look at the subscriptions: {"problems": [a sentence for each]}; empty when all
is well."""
TOLD = "alerts_told_"
"""Before the hash of an alert URL: what it was told and still stands, [kind, about, subject]
each."""
REFUSED = "credentials_refused_"
"""Before a system's name: it refuses our credentials."""

_GET = select(notes.c.value, notes.c.noted_at).where(notes.c.name == bindparam("name"))


def put(connection: Connection, name: str, value: Any, *, now: datetime) -> None:
    """Write down a JSON value, over an older one."""
    row = {"value": value, "noted_at": now}
    stored = insert_on_conflict(connection, notes).values(name=name, **row)
    connection.execute(stored.on_conflict_do_update(index_elements=["name"], set_=row))


def get(connection: Connection, name: str) -> tuple[Any, datetime] | None:
    """The value and when it was written down."""
    row = connection.execute(_GET, {"name": name}).one_or_none()
    return (row.value, row.noted_at) if row else None


def drop(connection: Connection, name: str) -> None:
    connection.execute(delete(notes).where(notes.c.name == name))
