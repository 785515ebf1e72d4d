"""Goods that went out before with another number: a replaced label, or one more box of the
same lines."""

from collections.abc import Sequence

from bridge.domain.actions import Held
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, plain_id
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.translate.remaining import Asks, Earlier, allocate, units_by_line, units_left

_WHOLE_ORDER_KINDS = frozenset({"v2_label", "v2_fulfillment", "inline_row", "v1_fulfillment"})
"""Records without items of their own: theirs are those of the whole ShipStation order, however
often it is shipped."""


def is_of_a_whole_order(shipment: Shipment, spent: Sequence[Earlier]) -> bool:
    """Whether this record, or one that went out before for the same ShipStation order, stands for
    all of that order's goods."""
    if shipment.record_kind in _WHOLE_ORDER_KINDS:
        return True
    return any(
        other.record_kind in _WHOLE_ORDER_KINDS and _is_sibling(other, shipment) for other in spent
    )


def judge_closed(shipment: Shipment, spent: Sequence[Earlier]) -> Held | None:
    """Held where a person closed another parcel of this ShipStation order as delivered: which of
    its goods those were, nobody wrote down, so they may be these."""
    for other in spent:
        is_closed = other.status is DeliveryStatus.DELIVERED and not other.lines
        if is_closed and _is_sibling(other, shipment):
            number = other.tracking_number or "without number"
            detail = (
                f"number {shipment.tracking_number} came for what ShipStation order"
                f" {shipment.shipstation_shipment_id} holds, of which parcel {number} was closed by"
                " hand as delivered: whether these goods are among its own can't be known"
            )
            return Held(Reason.OVER_QUANTITY, detail)
    return None


def judge_repeat(
    shipment: Shipment,
    order: FulfillmentOrder,
    asks: Asks,
    spent: Sequence[Earlier],
    *,
    shortage: str,
) -> Held | None:
    """Held where the goods of this ShipStation order went out with another number."""
    line_ids = {line.id for lines in asks for line in lines}
    siblings = [
        other
        for other in spent
        if _is_sibling(other, shipment) and line_ids & units_by_line(other.lines).keys()
    ]
    twins = [other for other in siblings if _is_twin(other, order, asks, spent)]
    now = (
        f"number {shipment.tracking_number} came for what ShipStation order"
        f" {shipment.shipstation_shipment_id} holds"
    )
    posted = next((twin for twin in twins if _is_posted(twin)), None)
    if posted:
        lines = " and ".join(
            f"{line.quantity} of line {line.id} (SKU {line.sku})" for line in posted.lines
        )
        detail = f"{now}, but Purple Dot has {lines} with number {posted.tracking_number} already"
        return Held(Reason.TRACKING_CHANGED_AFTER_DELIVERY, detail)
    is_whole = shipment.record_kind in _WHOLE_ORDER_KINDS
    if not twins and not (siblings and is_whole):
        return None
    before = " and ".join(
        f"{other.tracking_number} ({other.status})" for other in twins or siblings
    )
    reason = Reason.NOTHING_LEFT if twins else Reason.OVER_QUANTITY
    return Held(reason, f"{now}, of which units go out with {before} already: {shortage}")


def _is_posted(other: Earlier) -> bool:
    is_voided_since = other.reason is Reason.VOIDED_AFTER_DELIVERY
    return other.status is DeliveryStatus.DELIVERED or is_voided_since


def _is_sibling(other: Earlier, shipment: Shipment) -> bool:
    """Of the same ShipStation order, in either API's spelling of its id, with another number."""
    order_id = plain_id(shipment.shipstation_shipment_id)
    if not order_id or plain_id(other.shipstation_shipment_id) != order_id:
        return False
    number = normalize_tracking(shipment.tracking_number)
    return normalize_tracking(other.tracking_number) != number


def _is_twin(other: Earlier, order: FulfillmentOrder, asks: Asks, spent: Sequence[Earlier]) -> bool:
    """Whether it holds exactly the goods that are asked for now."""
    without_it = [delivery for delivery in spent if delivery is not other]
    units, _ = allocate(asks, units_left(order, without_it))
    return units == units_by_line(other.lines)
