"""Secrets that we make ourselves, once for all processes of one database."""

from sqlalchemy import Connection, select

from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import secret_keys


def made_once(connection: Connection, name: str, *, candidate: str) -> str:
    """The secret of this name: the `candidate` of whoever came first."""
    first = insert_on_conflict(connection, secret_keys).values(name=name, value=candidate)
    connection.execute(first.on_conflict_do_nothing())
    value: str = connection.execute(
        select(secret_keys.c.value).where(secret_keys.c.name == name)
    ).scalar_one()
    return value
