"""Each try of a delivery as it happened. Append-only."""

from sqlalchemy import Connection, insert, select

from bridge.domain.deliveries import Attempt
from bridge.domain.events import DeliveryStatus
from bridge.store.engine.prepared import Prepared, slots
from bridge.store.tables import attempts

_INSERT = Prepared(insert(attempts).values(slots(attempts, {*attempts.columns.keys()} - {"id"})))


def add(connection: Connection, delivery_id: str, attempt: Attempt) -> None:
    """Append one."""
    row = {
        name: getattr(attempt, name)
        for name in (
            "number",
            "trigger",
            "started_at",
            "finished_at",
            "outcome",
            "http_status",
            "answer",
        )
    }
    request = dict(attempt.request) if attempt.request is not None else None
    _INSERT.many(
        connection,
        [row | {"delivery_id": delivery_id, "detail": attempt.detail[:2000], "request": request}],
    )


def was_unclear(connection: Connection, delivery_id: str) -> bool:
    """Whether any earlier request for this delivery got no clear answer."""
    unclear = select(attempts.c.id).where(
        attempts.c.delivery_id == delivery_id, attempts.c.outcome == DeliveryStatus.UNCONFIRMED
    )
    return connection.execute(unclear.limit(1)).first() is not None
