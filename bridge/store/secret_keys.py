"""Secrets that we make ourselves, once for all processes of one database."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from bridge.store.tables import secret_keys


def made_once(connection: Connection, name: str, *, candidate: str) -> str:
    """The secret of this name: the `candidate` of whoever came first."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        dialect.insert(secret_keys).values(name=name, value=candidate).on_conflict_do_nothing()
    )
    value: str = connection.execute(
        select(secret_keys.c.value).where(secret_keys.c.name == name)
    ).scalar_one()
    return value
