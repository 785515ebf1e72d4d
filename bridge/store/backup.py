"""A copy of a SQLite database while it is in use. It bears a mark, by which a worker knows later
that it was put back: see restores."""

import shlex
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL

from bridge.domain.errors import RefusedError, StorageError
from bridge.store.engine.database import Database
from bridge.store.engine.files import replaced

_STEP = 1000
"""Pages copied at a time; other processes read and write meanwhile."""


def dump_command(database: Database, file: Path) -> str | None:
    """The command that copies a PostgreSQL database, without its password; None for a SQLite
    file."""
    url = database.url
    shown = URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database, url.query
    ).render_as_string()
    return (
        None
        if database.is_sqlite
        else f"pg_dump --format=custom --file={shlex.quote(str(file))} {shlex.quote(shown)}"
    )


def copy(database: Database, target: Path, *, overwrite: bool) -> int:
    """One snapshot of the database in `target`, checked, readable by its owner alone, there whole
    or not at all; returns its bytes. It is marked as a copy. RefusedError for a file that can't be
    written, or that exists, unless `overwrite`; StorageError where the database can't be copied."""
    if target.exists() and not overwrite:
        raise RefusedError(f"{target} is there already; choose another name, or say --overwrite")
    try:
        with replaced(target) as draft:
            _copy(str(database.url.database), str(draft))
    except OSError as exc:
        raise RefusedError(f"{target} can't be written: {exc.strerror or exc}") from exc
    except sqlite3.Error as exc:
        raise StorageError(f"the copy could not be made, and {target} is as it was: {exc}") from exc
    return target.stat().st_size


def _copy(source: str, target: str) -> None:
    """https://www.sqlite.org/backup.html"""
    with (
        closing(
            sqlite3.connect(
                f"{Path(source).resolve().as_uri()}?mode=rw", uri=True, isolation_level=None
            )
        ) as live,
        closing(sqlite3.connect(target, isolation_level=None)) as made,
    ):
        # One snapshot for all steps: without it, each change by another process would begin the
        # copy anew.
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        live.backup(made, pages=_STEP)
        made.execute("PRAGMA journal_mode=DELETE").fetchone()  # One file, with nothing beside it.
        made.execute(f"PRAGMA user_version={int(datetime.now(UTC).timestamp()) // 60}")
        result = made.execute("PRAGMA quick_check(1)").fetchone()[0]
        if result != "ok":
            raise sqlite3.DatabaseError(f"it does not pass SQLite's own check ({result})")
