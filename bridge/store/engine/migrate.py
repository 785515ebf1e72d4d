"""Create or upgrade the schema, from the first version to this one. Safe to start on many machines
at once."""

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from bridge.domain.errors import StorageError
from bridge.store.engine.database import Database

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x5044534D
"""Advisory lock of PostgreSQL that one migrating process holds; the others wait and then find
nothing left to do."""
_LOCK_WAIT_SECONDS = 20


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database to `revision`, in one transaction. StorageError when it can't be reached
    or written, or is newer than we."""
    database.check_not_lost()
    with database.read() as connection:
        version = current(connection)
        if revision == "head" and version == newest():
            return  # A process that starts must not wait for whoever writes.
    if is_newer(version):
        raise StorageError(
            f"the database is at version {version}, of newer software; "
            "install that, or take the database back with it"
        )
    with database.begin(is_limited=False) as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            # A table that somebody else holds must not stand still behind us for long.
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_SECONDS}s'"))
        _alembic(connection, "upgrade", revision)


def downgrade(database: Database, revision: str) -> None:
    """Bring the database back to an older version; `base` empties it."""
    with database.begin(is_limited=False) as connection:
        _alembic(connection, "downgrade", revision)


def current(connection: Connection) -> str | None:
    """The version the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()
    return version


def newest() -> str:
    """The version this software wants."""
    return versions()[-1]


def is_newer(version: str | None) -> bool:
    """Whether a database of this version was used with newer software than ours."""
    return version is not None and version not in versions()


@cache
def versions() -> list[str]:
    """All of them, the oldest first: each migration's file begins with its version."""
    return sorted(
        file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")
    )


def _alembic(connection: Connection, command: str, revision: str) -> None:
    # In processes that run for months it would be 11 MiB of each for nothing.
    from alembic import command as commands  # noqa: PLC0415  # only where there is work for it
    from alembic.config import Config  # noqa: PLC0415  # the same

    config: Any = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    getattr(commands, command)(config, revision)
