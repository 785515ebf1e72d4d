"""When each periodic task is due: one row a task, so that of many workers only one runs it, and a
restart does not run it again at once."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from bridge.store.engine.upsert import insert_on_conflict
from bridge.store.tables import periodic_tasks

_DUE_TIMES = select(periodic_tasks.c.name, periodic_tasks.c.due_at)


def take(connection: Connection, name: str, *, every: timedelta, now: datetime) -> bool:
    """True for the one worker that shall run the task now; its next time is set by the same
    statement."""
    again = now + every
    first = insert_on_conflict(connection, periodic_tasks).values(
        name=name, due_at=now, done_at=None
    )
    connection.execute(first.on_conflict_do_nothing())
    # A shorter interval in the settings brings a time forward that was set under a longer one.
    due = (periodic_tasks.c.due_at <= now) | (periodic_tasks.c.due_at > again)
    return (
        connection.execute(
            update(periodic_tasks).where(periodic_tasks.c.name == name, due).values(due_at=again)
        ).rowcount
        == 1
    )


def take_at(connection: Connection, name: str, *, now: datetime, following: datetime) -> bool:
    """True for the one worker that shall do now what is due at set times of day, however late it
    is; `following` is the next of them. The first time a name is taken, it begins with that."""
    first = insert_on_conflict(connection, periodic_tasks).values(
        name=name, due_at=following, done_at=None
    )
    connection.execute(first.on_conflict_do_nothing())
    task = update(periodic_tasks).where(periodic_tasks.c.name == name)
    # The settings may name another time by now.
    is_ahead = (periodic_tasks.c.due_at > now) & (periodic_tasks.c.due_at != following)
    connection.execute(task.where(is_ahead).values(due_at=following))
    due = task.where(periodic_tasks.c.due_at <= now).values(due_at=following)
    return connection.execute(due).rowcount == 1


def due_times(connection: Connection) -> dict[str, datetime]:
    """When each task that was ever taken is next due."""
    return {row.name: row.due_at for row in connection.execute(_DUE_TIMES)}


def note_done(connection: Connection, name: str, *, now: datetime) -> None:
    """Remember that the task came to its end."""
    connection.execute(
        update(periodic_tasks).where(periodic_tasks.c.name == name).values(done_at=now)
    )


def postpone(connection: Connection, name: str, *, until: datetime) -> None:
    """Try a task that failed again at `until`, rather than a whole interval later."""
    connection.execute(
        update(periodic_tasks).where(periodic_tasks.c.name == name).values(due_at=until)
    )


def last_done(connection: Connection, name: str) -> datetime | None:
    """When the task last came to its end, on whatever machine."""
    return connection.execute(
        select(periodic_tasks.c.done_at).where(periodic_tasks.c.name == name)
    ).scalar_one_or_none()
