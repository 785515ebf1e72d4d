"""How the database itself is, for `bridge doctor`."""

from sqlalchemy import text

from bridge.store.engine.database import Database


def journal_mode(database: Database) -> str:
    """SQLite's way of writing: `wal` is ours. StorageError when the database can't be read."""
    with database.read() as connection:
        return str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
