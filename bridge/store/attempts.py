"""Each try of a delivery as it happened. Append-only."""

from sqlalchemy import Connection, insert, select

from bridge.domain.deliveries import Attempt
from bridge.domain.events import DeliveryStatus
from bridge.store.tables import attempts

_LONGEST_DETAIL = 2000


def add(connection: Connection, delivery_id: str, attempt: Attempt) -> None:
    """Append one."""
    row = {
        "delivery_id": delivery_id,
        "number": attempt.number,
        "trigger": attempt.trigger,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "outcome": attempt.outcome,
        "detail": attempt.detail[:_LONGEST_DETAIL],
        "request": dict(attempt.request) if attempt.request is not None else None,
        "http_status": attempt.http_status,
        "answer": attempt.answer,
    }
    connection.execute(insert(attempts), row)


def was_unclear(connection: Connection, delivery_id: str) -> bool:
    """Whether any earlier request for this delivery got no clear answer."""
    unclear = select(attempts.c.id).where(
        attempts.c.delivery_id == delivery_id, attempts.c.outcome == DeliveryStatus.UNCONFIRMED
    )
    return connection.execute(unclear.limit(1)).first() is not None
