"""The audit list: who did what by hand, when, on what, why, and what came of it. Written in the
act's own transaction; never changed."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from bridge.store.tables import audit


def note(
    connection: Connection,
    *,
    who: str,
    what: str,
    subject: str,
    now: datetime,
    why: str | None = None,
    outcome: str | None = None,
) -> None:
    """Append one act. `who` is a person and the way in (`alice (shell)`, `operator (console)`),
    `what` one word such as retry, link, resolve, replay, reconcile or ship, `subject` the id of
    what it was done to, or a file's name."""
    told = {"why": why and _storable(why)[:1000], "outcome": outcome and _storable(outcome)[:1000]}
    row = {
        "at": now,
        "who": _storable(who)[:128],
        "what": what,
        "subject": _storable(subject)[:128],
    } | told
    connection.execute(insert(audit).values(row))


def acts(
    connection: Connection,
    *,
    subject: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """The newest first: id, at, who, what, subject, why, outcome. `before` is the last id of the
    page before this one."""
    chosen = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        chosen = chosen.where(audit.c.subject == subject)
    if since is not None:
        chosen = chosen.where(audit.c.at >= since)
    if before is not None:
        chosen = chosen.where(audit.c.id < before)
    return [dict(row) for row in connection.execute(chosen).mappings()]


def _storable(text: str) -> str:
    """No database stores a NUL or half a character; for such a text an act must not fail."""
    return text.encode(errors="replace").decode().replace("\0", "")
