"""The look before the POST: does the order still wait for goods, and is the label still valid?
Fresh knowledge costs no call."""

from datetime import datetime, timedelta

from bridge.domain.actions import Held, Ignored
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import TemporaryError
from bridge.domain.orders import FulfillmentOrder, OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentState
from bridge.vendors.purple_dot.client import PurpleDot
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.shipments import state_of

ORDER_IS_FRESH = timedelta(seconds=10)
LABEL_IS_FRESH = timedelta(seconds=60)


def look(
    delivery: Delivery, *, purple_dot: PurpleDot, fetcher: Fetcher, now: datetime
) -> Held | Ignored | None:
    """None when the way is free. Reads the label again when it was fetched a while ago (it may have
    been voided), and the order unless it was read just now. Raises what the clients raise."""
    if not _is_fresh(delivery.label_seen_at, now, LABEL_IS_FRESH):
        gone = _look_at_label(delivery, fetcher)
        if gone is not None:
            return gone
    if _is_fresh(delivery.order_seen_at, now, ORDER_IS_FRESH):
        return None
    return judge_order(delivery, purple_dot.order(delivery.fulfillment_order_id or ""))


def judge_order(delivery: Delivery, order: FulfillmentOrder) -> Held | None:
    """A cancelled or a fulfilled order takes no further fulfillment: a person has to see that goods
    left for it."""
    number = delivery.tracking.number if delivery.tracking else "without number"
    parcel = f"parcel {number}"
    if order.status is OrderStatus.VOIDED:
        return Held(
            Reason.ORDER_VOIDED, f"{order.reference} was cancelled in Purple Dot, but {parcel} left"
        )
    if order.status is OrderStatus.FULFILLED:
        detail = (
            f"{order.reference} stands as fulfilled in Purple Dot, but {parcel} was not sent by us"
        )
        return Held(Reason.ALREADY_FULFILLED_ELSEWHERE, detail)
    return None


def _look_at_label(delivery: Delivery, fetcher: Fetcher) -> Ignored | None:
    shipment = delivery.shipment
    if shipment.record_kind == "inline_row":
        return None  # A WMS told us itself; no record at ShipStation repeats it.
    record = fetcher.current(shipment.record_kind, shipment.record_id)
    if record is None:
        raise TemporaryError(
            f"ShipStation lists {shipment.record_kind} {shipment.record_id} no more; "
            "it can't be known whether it was voided"
        )
    if state_of(record) is ShipmentState.VOIDED:
        return Ignored(Reason.VOIDED, "the label was voided before anything was sent")
    return None


def _is_fresh(seen_at: datetime | None, now: datetime, age: timedelta) -> bool:
    return seen_at is not None and now - seen_at <= age
