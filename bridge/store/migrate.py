"""Create or upgrade the schema, from the first version to this one. Safe to start on many machines at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from bridge.errors import StorageError
from bridge.store.database import Database

_LOCK = 0x5044534D
"""Advisory lock of PostgreSQL that one migrating process holds; the others wait and then find nothing left to do."""


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database to `revision`, in one transaction. StorageError when it can't be reached or written, or is newer than we."""
    with database.read() as connection:
        found = current(connection)
        if revision == "head" and found == newest():
            return  # A process that starts must not wait for whoever writes.
    if found and found not in {script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()}:
        raise StorageError(f"the database is at version {found}, of newer software; install that, or take the database back with it")
    with database.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Bring the database back to an older version; `base` empties it."""
    with database.begin() as connection:
        command.downgrade(_config(connection), revision)


def current(connection: Connection) -> str | None:
    """The version the database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """The version this software wants."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
