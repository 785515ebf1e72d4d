"""Each try of a delivery as it happened. Append-only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from bridge.domain.events import DeliveryStatus, Trigger
from bridge.store.engine.prepared import Prepared, slots
from bridge.store.tables import attempts

_INSERT = Prepared(insert(attempts).values(slots(attempts, {*attempts.columns.keys()} - {"id"})))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try as it happened. `outcome` is delivered, retrying, unconfirmed, held, dead, waiting or cancelled: where it led."""

    number: int
    trigger: Trigger
    started_at: datetime
    finished_at: datetime
    outcome: str
    detail: str = ""
    request: Mapping[str, Any] | None = None
    http_status: int | None = None
    answer: str | None = None


def add(connection: Connection, delivery_id: str, attempt: Attempt) -> None:
    """Append one."""
    row = {name: getattr(attempt, name) for name in ("number", "trigger", "started_at", "finished_at", "outcome", "http_status", "answer")}
    request = dict(attempt.request) if attempt.request is not None else None
    _INSERT.many(connection, [row | {"delivery_id": delivery_id, "detail": attempt.detail[:2000], "request": request}])


def was_unclear(connection: Connection, delivery_id: str) -> bool:
    """Whether any earlier request for this delivery got no clear answer."""
    unclear = select(attempts.c.id).where(attempts.c.delivery_id == delivery_id, attempts.c.outcome == DeliveryStatus.UNCONFIRMED)
    return connection.execute(unclear.limit(1)).first() is not None
