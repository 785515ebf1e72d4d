"""The audit log: what a person did, when, to what, why, and what came of it. Written in the same
transaction; never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from bridge.store.tables import audit


def note(
    connection: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    now: datetime,
    reason: str | None = None,
    outcome: str | None = None,
) -> None:
    """Append one entry. `actor` is a person and the way in (`alice (shell)`, `operator (console)`),
    `action` one word such as retry, link, resolve, replay, reconcile or ship, `subject` the id of
    what it was done to, or a file's name."""
    row = {
        "at": now,
        "actor": _storable(actor)[:128],
        "action": action,
        "subject": _storable(subject)[:128],
        "reason": _storable(reason)[:1000] if reason else None,
        "outcome": _storable(outcome)[:1000] if outcome else None,
    }
    connection.execute(insert(audit), row)


def entries(
    connection: Connection,
    *,
    subject: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """The newest first: id, at, actor, action, subject, reason, outcome. `before` is the last id of
    the page before this one."""
    chosen = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        chosen = chosen.where(audit.c.subject == subject)
    if since is not None:
        chosen = chosen.where(audit.c.at >= since)
    if before is not None:
        chosen = chosen.where(audit.c.id < before)
    return [dict(row) for row in connection.execute(chosen).mappings()]


def of_subjects(
    connection: Connection, subjects: Sequence[str], *, actions: Sequence[str]
) -> list[dict[str, Any]]:
    """What was done of these kinds to any of these, the newest first."""
    chosen = (
        select(audit)
        .where(audit.c.subject.in_(subjects), audit.c.action.in_(actions))
        .order_by(audit.c.id.desc())
    )
    return [dict(row) for row in connection.execute(chosen).mappings()]


def _storable(text: str) -> str:
    """No database stores a NUL or half a character; for such a text nothing must fail."""
    return text.encode(errors="replace").decode().replace("\0", "")
