"""MENDED: what a person does by hand, the same for the commands and the console. Each act has its
row in the audit list."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from bridge.domain.actions import CreateFulfillment, Tracking
from bridge.domain.deliveries import Delivery, Draft
from bridge.domain.errors import RefusedError, TemporaryError
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.orders import FulfillmentOrder
from bridge.domain.reasons import Reason
from bridge.pipeline.create_deliveries import as_earlier
from bridge.store import audit, deliveries, events, mending, orders
from bridge.store.engine import wakeup
from bridge.store.engine.database import Connection
from bridge.translate import fulfillments
from bridge.translate.carriers import Carriers

_LINES_IN_DOUBT = frozenset(
    {Reason.NO_ITEMS, Reason.UNKNOWN_LINE, Reason.OVER_QUANTITY, Reason.COMBINED_PARCEL}
)

Act: TypeAlias = Callable[[Connection, Delivery, datetime], str]
"""Changes one delivery and says in words what becomes of it; RefusedError where it must not, and
then nothing is kept."""


def on_delivery(
    connection: Connection,
    delivery: Delivery,
    what: str,
    act: Act,
    *,
    who: str,
    why: str | None,
    now: datetime,
) -> str:
    """Do one act, and write it down."""
    told = act(connection, delivery, now)
    audit.note(connection, who=who, what=what, subject=delivery.id, why=why, outcome=told, now=now)
    return told


def retry_event(
    connection: Connection, event_id: str, *, who: str, why: str | None, now: datetime
) -> str:
    """Make a dead event work again, and write it down. RefusedError for any other."""
    if not events.revive(connection, event_id, now=now):
        raise RefusedError(f"{event_id} isn't dead: only a dead event is tried again")
    wakeup.announce(connection)
    told = "is tried again now"
    audit.note(connection, who=who, what="retry", subject=event_id, why=why, outcome=told, now=now)
    return told


def retry(connection: Connection, delivery: Delivery, now: datetime) -> str:
    """Try it now, as an attempt of its own."""
    mending.retry(connection, delivery, now=now)
    return "is tried again now"


def link_to(order: FulfillmentOrder) -> Act:
    """Bind it to an order, as Purple Dot has just shown it, and let it go on."""

    def act(connection: Connection, delivery: Delivery, now: datetime) -> str:
        orders.remember(connection, [order], now=now)
        mending.link(
            connection, delivery, fulfillment_order_id=order.id, reference=order.reference, now=now
        )
        return f"is linked to {order.reference} and goes on"

    return act


def the_only(found: list[FulfillmentOrder], text: str) -> FulfillmentOrder:
    """RefusedError unless Purple Dot has exactly one order of that name: a typo must not bind a
    parcel to nothing."""
    if len(found) != 1:
        told = "no fulfillment order" if not found else f"{len(found)} fulfillment orders"
        raise RefusedError(f"Purple Dot has {told} with the reference {text}. Give the id instead.")
    return found[0]


def resolve_as(status: DeliveryStatus, why: str) -> Act:
    """Close it, as mended outside."""

    def act(connection: Connection, delivery: Delivery, now: datetime) -> str:
        mending.resolve(connection, delivery, status=status, why=why, now=now)
        return f"is closed as {status}"

    return act


def fulfill_what_is_left(carriers: Carriers, *, agrees: Callable[[str], bool], ask: str) -> Act:
    """Let it take all that is left of its order, if the person `agrees` to these lines, as `goods`
    writes them. Else RefusedError says what would go out, and asks."""

    def act(connection: Connection, delivery: Delivery, now: datetime) -> str:
        action = fulfill_rest(connection, delivery, carriers=carriers, now=now)
        if not agrees(goods(action)):  # Raising takes all of it back.
            raise RefusedError(
                f"would tell Purple Dot that {goods(action)} of {action.reference} left; {ask}"
            )
        return f"goes out now with {goods(action)} of {action.reference}"

    return act


def fulfill_rest(
    connection: Connection, delivery: Delivery, *, carriers: Carriers, now: datetime
) -> CreateFulfillment:
    """Let a held parcel whose lines can't be known take all that is left of its order, because a
    person says so. Returns what will go out. Raises RefusedError where that is not the question, or
    nothing is left."""
    orders.lock(connection, [delivery.fulfillment_order_id or ""])
    action = rest_for(connection, delivery, carriers=carriers)
    draft = Draft(
        delivery.identity,
        delivery.shipment,
        action,
        Lane.RETRY,
        delivery.received_at,
        delivery.rule,
        Trigger.MANUAL,
    )
    try:
        deliveries.place(connection, delivery, draft, now=now)
    except TemporaryError as exc:
        raise RefusedError(f"{delivery.id} has just moved on; look at it again") from exc
    wakeup.announce(connection)
    return action


def rest_for(
    connection: Connection, delivery: Delivery, *, carriers: Carriers
) -> CreateFulfillment:
    """What `fulfill_rest` would let go out; nothing is changed, and the same is refused."""
    order_id = delivery.fulfillment_order_id or ""
    order = next(iter(orders.known(connection, order_ids=[order_id])), None)
    if (
        delivery.status is not DeliveryStatus.HELD
        or delivery.reason not in _LINES_IN_DOUBT
        or order is None
        or delivery.tracking is None
    ):
        raise RefusedError(
            f"{delivery.id} is {delivery.status} ({delivery.reason}): its order, its number or its lines are not in doubt that way"
        )
    lines = fulfillments.rest_of(
        order,
        [
            as_earlier(other)
            for other in deliveries.of_orders(connection, [order_id]).get(order_id, [])
        ],
    )
    if not lines:
        raise RefusedError(f"nothing is left of {order.reference}")
    tracking = Tracking(delivery.tracking.number, *carriers.of(delivery.shipment))
    return CreateFulfillment(
        order_id,
        order.reference,
        lines,
        tracking,
        delivery.notify_customer,
        "all that is left, by hand",
    )


def goods(action: CreateFulfillment) -> str:
    """The lines of a fulfillment in words."""
    return ", ".join(f"{line.quantity} x {line.sku or line.id}" for line in action.lines)
