"""What a delivery still allows: whether it stands for good, or newer facts may decide it anew."""

from bridge.domain.deliveries import Delivery
from bridge.domain.events import CLAIMABLE, DeliveryStatus
from bridge.domain.parcels import RecordRef, outlasts, record_of_shipment
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentState
from bridge.translate.remaining import Earlier

REDECIDABLE = frozenset(Reason) - {
    Reason.UNCONFIRMED_PARTIAL,
    Reason.VOIDED_AFTER_DELIVERY,
    Reason.TRACKING_CHANGED_AFTER_DELIVERY,
}
"""Held for one of these, nothing was ever sent to Purple Dot: newer facts may decide it anew."""
_IDLE = frozenset({DeliveryStatus.PENDING, DeliveryStatus.WAITING, DeliveryStatus.RETRYING})


def as_earlier(delivery: Delivery) -> Earlier:
    """A delivery as the rules see what came before."""
    return Earlier(
        shipstation_shipment_id=delivery.shipment.shipstation_shipment_id,
        record_id=delivery.shipment.record_id,
        tracking_number=delivery.shipment.tracking_number,
        status=delivery.status,
        reason=delivery.reason,
        lines=delivery.lines,
        record_kind=delivery.shipment.record_kind,
    )


def stands(delivery: Delivery) -> bool:
    """Whether what was decided for its record stays decided, however often the record comes again:
    Purple Dot has it or may have it, or a person closed it."""
    if delivery.resolved_at is not None or delivery.posting_at is not None:
        return True
    if delivery.status is DeliveryStatus.HELD:
        return delivery.reason not in REDECIDABLE
    return delivery.status is DeliveryStatus.DELIVERED


def is_redecidable(delivery: Delivery) -> bool:
    """Whether newer facts may decide a delivery anew, since nothing of it was ever sent."""
    if delivery.posting_at is not None or delivery.resolved_at is not None:
        return False
    if delivery.status is DeliveryStatus.HELD:
        return delivery.reason in REDECIDABLE
    if delivery.status is DeliveryStatus.CANCELLED:
        # A void number that comes again was given anew, to a label or mark of its own.
        return delivery.reason is Reason.VOIDED or is_no_pre_order(delivery)
    return delivery.status in CLAIMABLE and not delivery.lines


def is_no_pre_order(delivery: Delivery) -> bool:
    """Whether its order's number was corrected, and names no order of Purple Dot's any more."""
    is_over = delivery.status is DeliveryStatus.CANCELLED
    return is_over and delivery.reason is Reason.NOT_A_PURPLE_DOT_ORDER


def is_waiting(delivery: Delivery) -> bool:
    return delivery.status in _IDLE and delivery.posting_at is None


def is_being_sent(delivery: Delivery) -> bool:
    """Or was perhaps sent, and waits to be settled by reading."""
    if delivery.status not in CLAIMABLE or not delivery.lines:
        return False
    is_under_way = delivery.status in (DeliveryStatus.DELIVERING, DeliveryStatus.UNCONFIRMED)
    return is_under_way or delivery.posting_at is not None


def is_delivered_and_valid(delivery: Delivery) -> bool:
    """What says already that it is void was held for it once: a person has closed that."""
    is_void = delivery.shipment.state is ShipmentState.VOIDED
    return delivery.status is DeliveryStatus.DELIVERED and not is_void


def is_reported_otherwise(delivery: Delivery, void: RecordRef) -> bool:
    """Whether the record that a delivery is made from stands, although another one of its parcel is
    void."""
    is_valid = delivery.shipment.state is not ShipmentState.VOIDED
    return is_valid and outlasts(record_of_shipment(delivery.shipment), void)
