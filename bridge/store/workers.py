"""Who works: a name per worker held by a lock, and its heartbeat.

A worker that is restarted gets the name of the one that died, because the lock died with it, and
takes its rows back at once instead of waiting for their leases. Two living workers never share a
name."""

import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bridge.domain.errors import StorageError
from bridge.store.engine.database import Database
from bridge.store.engine.driver_errors import not_taken
from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import workers

_MOST_WORKERS = 64
SILENT_AFTER = timedelta(seconds=30)
"""A worker that did not beat for so long is taken for dead."""
_LOCK_SPACE = 0x50445348
"""First half of the advisory lock's key on PostgreSQL, so that we never meet another program's
locks."""


@dataclass(slots=True)
class WorkerName:
    """A name that is ours while `is_held()`; `release()` gives it back."""

    name: str
    is_held: Callable[[], bool]
    release: Callable[[], None]


def take_name(database: Database) -> WorkerName:
    """The first free name, `worker-1` and so on. Raises StorageError when all are taken or the
    database can't answer."""
    take = _take_file_lock if database.is_sqlite else _take_advisory_lock
    for number in range(1, _MOST_WORKERS + 1):
        held = take(database, number)
        if held is not None:
            return held
    raise StorageError(f"{_MOST_WORKERS} workers hold a name already on this database")


def _take_file_lock(database: Database, number: int) -> WorkerName | None:
    path = Path(f"{database.url.database}.worker-{number}.lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return WorkerName(f"worker-{number}", is_held=lambda: True, release=lambda: os.close(handle))


def _take_advisory_lock(database: Database, number: int) -> WorkerName | None:
    try:
        connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        key = {"space": _LOCK_SPACE, "number": number}
        if not connection.execute(
            text("SELECT pg_try_advisory_lock(:space, :number)"), key
        ).scalar_one():
            connection.close()
            return None
    except DBAPIError as exc:
        raise not_taken(exc) from exc

    def is_held() -> bool:
        try:
            connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            # A broken connection, or the same asked once more: it never connects anew, as the lock
            # is gone.
            return False
        return True

    def release() -> None:
        with suppress(SQLAlchemyError):  # A broken one has no lock any more.
            # Closing for good frees the lock; a pooled connection would keep it.
            connection.detach()
        connection.close()

    return WorkerName(f"worker-{number}", is_held=is_held, release=release)


def beat(connection: Connection, name: str, *, started_at: datetime, now: datetime) -> None:
    """Say that this worker lives."""
    row = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": started_at,
        "beat_at": now,
        "stopped_at": None,
    }
    first = insert_on_conflict(connection, workers).values(name=name, **row)
    connection.execute(first.on_conflict_do_update(index_elements=["name"], set_=row))


def stopped(connection: Connection, name: str, *, now: datetime) -> None:
    """Say that this worker stopped on purpose."""
    connection.execute(update(workers).where(workers.c.name == name).values(stopped_at=now))


def known(connection: Connection) -> list[Row[Any]]:
    """Every worker that ever worked on this database: its name, host, pid, since when, last
    heartbeat, and when it stopped on purpose."""
    return list(connection.execute(select(workers).order_by(workers.c.name)).all())


def last_beat(connection: Connection) -> datetime | None:
    """The newest heartbeat of any worker that has not stopped; None when there is none."""
    newest = (
        select(workers.c.beat_at)
        .where(workers.c.stopped_at.is_(None))
        .order_by(workers.c.beat_at.desc())
        .limit(1)
    )
    return connection.execute(newest).scalar_one_or_none()


def is_alive(connection: Connection, *, now: datetime) -> bool:
    """Whether any worker beat lately. A beat to come was a worker's whose clock was ahead."""
    beat = last_beat(connection)
    return beat is not None and abs(now - beat) <= SILENT_AFTER
