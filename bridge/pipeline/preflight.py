"""The look before the POST, which uses all that it reads: does the order still wait for these
lines, is the label still valid, has it still this number? Fresh knowledge costs no call."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from bridge.domain.actions import FulfilledLine, Held, Ignored
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import CredentialsError, TemporaryError
from bridge.domain.events import DeliveryStatus, Record
from bridge.domain.orders import FulfillmentOrder, OrderStatus
from bridge.domain.parcels import record_of_shipment
from bridge.domain.reasons import Reason
from bridge.domain.shipments import UNFINISHED, Shipment, ShipmentState
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.vendors.shipstation.shipments import shipped, state_of

ORDER_IS_FRESH = timedelta(seconds=10)
LABEL_IS_FRESH = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class DecideAgain:
    """What was read is not what the delivery was made from: it must be decided anew."""

    detail: str


Verdict = Held | Ignored | DecideAgain | None


class Orders(Protocol):
    """Purple Dot's orders as they are now, as its client gives them."""

    def order(self, fulfillment_order_id: str, /) -> FulfillmentOrder: ...


class Records(Protocol):
    """ShipStation's records as they are now, as the fetcher gives them."""

    def current(self, kind: str, record_id: str, /) -> Record | None: ...


def look(
    delivery: Delivery,
    *,
    others: Sequence[Delivery] = (),
    purple_dot: Orders,
    fetcher: Records,
    now: datetime,
) -> Verdict:
    """None when it may be posted. `others` are the order's other deliveries that count. Reads the
    label again when it was fetched a while ago, and the order unless it was read just now. Raises
    what the clients raise, and TemporaryError where it can't be known."""
    if delivery.shipment.state is ShipmentState.VOIDED:
        return Ignored(Reason.VOIDED, "the label was voided before anything was sent")
    verdict: Verdict = None
    if not is_fresh(delivery.label_seen_at, now, LABEL_IS_FRESH):
        verdict = _look_at_label(delivery, fetcher)
    verdict = verdict or _look_at_twins(delivery, others, fetcher)
    if verdict is not None or is_fresh(delivery.order_seen_at, now, ORDER_IS_FRESH):
        return verdict
    return judge_order(delivery, purple_dot.order(delivery.fulfillment_order_id or ""), others)


def judge_order(
    delivery: Delivery, order: FulfillmentOrder, others: Sequence[Delivery] = ()
) -> Held | DecideAgain | None:
    """A cancelled or a fulfilled order takes no further fulfillment: a person has to see that goods
    left for it. Lines that changed are matched anew. Raises TemporaryError where there are none."""
    number = delivery.tracking.number if delivery.tracking else "without number"
    parcel = f"parcel {number}"
    if order.status is OrderStatus.VOIDED:
        return Held(
            Reason.ORDER_VOIDED, f"{order.reference} was cancelled in Purple Dot, but {parcel} left"
        )
    if order.status is OrderStatus.UNKNOWN:
        detail = (
            f"{order.reference} has a status that Purple Dot does not document, yet {parcel} left"
        )
        return Held(Reason.ORDER_VOIDED, detail)
    if order.status is OrderStatus.FULFILLED:
        detail = f"{order.reference} is fulfilled in Purple Dot, but {parcel} was not sent by us"
        return Held(Reason.ALREADY_FULFILLED_ELSEWHERE, detail)
    if not _fits(delivery, order, others):
        return DecideAgain(f"the lines of {order.reference} have changed in Purple Dot")
    return None


def _fits(delivery: Delivery, order: FulfillmentOrder, others: Sequence[Delivery]) -> bool:
    ordered: Counter[str] = Counter()
    for ordered_line in order.lines:
        ordered[ordered_line.id] += ordered_line.quantity
    if not ordered.total():
        # An answer without lines says nothing about them.
        raise TemporaryError(f"Purple Dot shows no units of {order.reference}")
    sent: Counter[str] = Counter()
    for sent_line in _lines_of(others):
        sent[sent_line.id] += sent_line.quantity
    return all(sent[line.id] + line.quantity <= ordered[line.id] for line in delivery.lines)


def _lines_of(deliveries: Sequence[Delivery]) -> list[FulfilledLine]:
    return [line for delivery in deliveries for line in delivery.lines]


def _look_at_label(delivery: Delivery, fetcher: Records) -> Ignored | DecideAgain | None:
    shipment = delivery.shipment
    if shipment.record_kind == "inline_row":
        return None  # A warehouse sent it to us itself; no record at ShipStation repeats it.
    name = f"{shipment.record_kind} {shipment.record_id}"
    record = fetcher.current(shipment.record_kind, shipment.record_id)
    if record is None:
        raise TemporaryError(
            f"ShipStation lists {name} no more; it can't be known whether it was voided"
        )
    state = state_of(record)
    if state is ShipmentState.VOIDED:
        return Ignored(Reason.VOIDED, "the label was voided before anything was sent")
    if state in UNFINISHED:
        raise TemporaryError(f"{name} is {state} at ShipStation; it can't be known whether it left")
    return _changes(shipment, record)


def _changes(shipment: Shipment, record: Record) -> DecideAgain | None:
    """Whether ShipStation says another number or carrier by now."""
    for current in shipped([record]):
        before = normalize_tracking(shipment.tracking_number)
        if normalize_tracking(current.tracking_number) != before:
            return DecideAgain(
                f"the number is {current.tracking_number} now, no more {shipment.tracking_number}"
            )
        carrier = (current.carrier_code, current.carrier_name)
        if carrier != (shipment.carrier_code, shipment.carrier_name):
            return DecideAgain("the carrier has changed in ShipStation")
    return None


def _look_at_twins(delivery: Delivery, others: Sequence[Delivery], fetcher: Records) -> Held | None:
    """A V1 label of the same goods as one that was sent before is a second box, or the other one
    replaced: that is void then."""
    for twin in others:
        if not _is_twin(delivery, twin):
            continue
        state = _state_now(twin, fetcher)
        if state is ShipmentState.SHIPPED:
            continue
        number = twin.tracking.number if twin.tracking else "without number"
        is_void = state is ShipmentState.VOIDED
        why = "is void" if is_void else "can't be read, so it may be void"
        detail = (
            f"Purple Dot has the same goods with number {number} (delivery {twin.id}), and that "
            f"label {why}: this one may have replaced it"
        )
        return Held(Reason.TRACKING_CHANGED_AFTER_DELIVERY, detail)
    return None


def _is_twin(delivery: Delivery, other: Delivery) -> bool:
    mine, theirs = delivery.shipment, other.shipment
    if mine.record_kind != "v1_shipment" or other.status is not DeliveryStatus.DELIVERED:
        return False
    if other.lines != delivery.lines or theirs.record_kind == "inline_row":
        return False
    if record_of_shipment(mine).order_key == record_of_shipment(theirs).order_key:
        return True
    is_of_other_api = not theirs.record_kind.startswith("v1_")
    has_number = mine.order_number is not None
    return is_of_other_api and has_number and mine.order_number == theirs.order_number


def _state_now(twin: Delivery, fetcher: Records) -> ShipmentState | None:
    """None where it can't be known."""
    shipment = twin.shipment
    try:
        record = fetcher.current(shipment.record_kind, shipment.record_id)
    except CredentialsError:
        return None  # The key of that API is not set any more.
    return state_of(record) if record is not None else None


def is_fresh(seen_at: datetime | None, now: datetime, age: timedelta) -> bool:
    """Whether what was seen then counts as known; what was never seen doesn't."""
    # A moment to come was written while the clock was ahead: how old it is nobody knows.
    return seen_at is not None and abs(now - seen_at) <= age
