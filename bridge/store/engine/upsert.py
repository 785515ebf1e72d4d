"""INSERT … ON CONFLICT, which SQLAlchemy has once for each of the two databases."""

from functools import cache

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_on_conflict(
    database: Connection | str, table: Table
) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`, for a connection's
    dialect or one that is named."""
    name = database if isinstance(database, str) else database.dialect.name
    return sqlite.insert(table) if name == "sqlite" else postgresql.insert(table)


@cache
def insert_once(dialect: str, table: Table) -> Executable:
    """An INSERT that is harmless where the row is there."""
    return insert_on_conflict(dialect, table).on_conflict_do_nothing()
