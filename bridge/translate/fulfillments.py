"""Fulfillments: shipment + order + what went out before → create, ignore, or hold for a person.
Never blank, never more than is left."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.domain.actions import Action, CreateFulfillment, FulfilledLine, Held, Ignored, Tracking
from bridge.domain.events import COMMITTED, DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentItem, ShipmentState, normalize_tracking
from bridge.translate.carriers import Carriers
from bridge.translate.matching import Match, line_with_id, lines_with_sku

Asks = Mapping[tuple[OrderLine, ...], int]
"""Units that may stand on any of these lines of one order: asks by line id come first, then by
SKU."""

_WHOLE_ORDER_KINDS = frozenset({"v2_label", "v2_fulfillment", "inline_row", "v1_fulfillment"})
"""Records without items of their own: theirs are those of the whole ShipStation order, however
often it is shipped."""


_STATE_VERDICTS: dict[ShipmentState, Ignored | Held] = {
    ShipmentState.VOIDED: Ignored(
        Reason.VOIDED, "the shipment is void, or its label could not be made: it ships nothing"
    ),
    ShipmentState.RETURN: Ignored(Reason.RETURN_LABEL, "the label brings goods back"),
    ShipmentState.REJECTED: Held(
        Reason.REJECTED_BY_PROVIDER, "the fulfillment provider rejected it: nothing was shipped"
    ),
}


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier delivery of the same fulfillment order. Its lines are spent while its status is in
    COMMITTED, or held: a held one that reached nobody has no lines. `reason` is why it is held."""

    shipstation_shipment_id: str | None
    record_id: str
    tracking_number: str | None
    status: DeliveryStatus
    lines: tuple[FulfilledLine, ...]
    reason: Reason | None = None


def identity(shipment: Shipment, fulfillment_order_id: str | None) -> str:
    """Equal for one parcel whichever event tells of it: order (until known, its number in
    ShipStation) and parcel's number, or record."""
    number = normalize_tracking(shipment.tracking_number)
    order = fulfillment_order_id or f"?{shipment.order_number or ''}"
    return f"{order}:{number or f'record:{shipment.record_kind}:{shipment.record_id}'}"


def judge_state(shipment: Shipment) -> Ignored | Held | None:
    """What the shipment's own state decides, whatever its order; None where goods leave or are
    about to."""
    return _STATE_VERDICTS.get(shipment.state)


def decide(
    shipment: Shipment,
    match: Match,
    *,
    earlier: Sequence[Earlier],
    notify_default: bool,
    carriers: Carriers,
) -> Action:
    """The one action for this shipment and this order. Pure, never raises; its lines are never
    blank and never above what is left.

    `earlier` are the other deliveries of the same order. A held answer's detail names line, SKU,
    what was asked and what is left."""
    order, verdict = match.order, judge_state(shipment)
    if shipment.state in (ShipmentState.PROCESSING, ShipmentState.AWAITING_NUMBER):
        verdict = Ignored(
            Reason.NOTHING_SHIPPED,
            f"{shipment.record_kind} {shipment.record_id} is not finished yet",
        )
    if isinstance(verdict, Ignored):
        return verdict
    spent = [
        told for told in earlier if told.status in COMMITTED or told.status is DeliveryStatus.HELD
    ]
    asks, unknown = _asked(match.items, order)
    extra = ", ".join(
        f"{item.quantity} x {item.sku or item.name or 'an item without SKU'}" for item in unknown
    )
    units = (
        verdict
        or _obstacle(shipment, match, asks, extra, _left(order, spent))
        or _units(shipment, order, asks, spent)
    )
    if isinstance(units, Held):
        return replace(units, fulfillment_order_id=order.id, reference=order.reference)
    company, url = carriers.of(shipment)
    stranger = carriers.unknown(shipment)
    notes = (
        extra and f"left out, as not on order {order.reference}: {extra}",
        stranger and f"carrier {stranger!r} is not in the carrier table, and goes out as {company}",
    )
    return CreateFulfillment(
        fulfillment_order_id=order.id,
        reference=order.reference,
        lines=tuple(
            FulfilledLine(id=line.id, quantity=units[line.id], sku=line.sku)
            for line in _lines(order)
            if units[line.id]
        ),
        tracking=Tracking(number=shipment.tracking_number or "", company=company, url=url),
        notify_customer=notify_default
        if shipment.notify_customer is None
        else shipment.notify_customer,
        detail="; ".join(filter(None, notes)),
    )


def _obstacle(
    shipment: Shipment, match: Match, asks: Asks, extra: str, left: Counter[str]
) -> Held | None:
    """The first thing that stands in the way whatever is in the parcel."""
    record, name = f"{shipment.record_kind} {shipment.record_id}", match.order.reference
    status, missing, ordered = match.order.status, left.total(), _sum(match.order.lines).total()
    elsewhere = f"Purple Dot says that order {name} is fulfilled, but {missing} of its {ordered} units were not told by us"
    obstacles = (
        (
            status is OrderStatus.VOIDED,
            Reason.ORDER_VOIDED,
            f"Purple Dot voided order {name}, yet {record} left",
        ),
        (
            not normalize_tracking(shipment.tracking_number),
            Reason.NO_TRACKING_NUMBER,
            f"{record} has no tracking number",
        ),
        (
            status is OrderStatus.FULFILLED and missing,
            Reason.ALREADY_FULFILLED_ELSEWHERE,
            elsewhere,
        ),
        (not match.items, Reason.NO_ITEMS, f"{record} names no items, so its lines can't be known"),
        (not asks, Reason.UNKNOWN_LINE, f"none of these stands on order {name}: {extra}"),
    )
    return next((Held(reason, detail) for stands, reason, detail in obstacles if stands), None)


def _units(
    shipment: Shipment, order: FulfillmentOrder, asks: Asks, spent: Sequence[Earlier]
) -> Held | Counter[str]:
    """The units that go out of each line; held where not enough is left, or the same goods of the
    same ShipStation order went out with another number: a replaced label, or one more box of the
    same lines."""
    left, lines = _left(order, spent), {line.id for lines in asks for line in lines}
    units, shortage = _allocate(asks, left)
    nothing_left, is_whole = (
        not any(left[line_id] for line_id in lines),
        shipment.record_kind in _WHOLE_ORDER_KINDS,
    )
    siblings = [
        told for told in spent if _is_sibling(told, shipment) and lines & _sum(told.lines).keys()
    ]
    twins = [
        told
        for told in siblings
        if _allocate(asks, _left(order, [one for one in spent if one is not told]))[0]
        == _sum(told.lines)
    ]
    now = f"number {shipment.tracking_number} came for what ShipStation order {shipment.shipstation_shipment_id} holds"
    before = " and ".join(f"{told.tracking_number} ({told.status})" for told in twins or siblings)
    if nothing_left or is_whole:
        for twin in twins:
            if (
                twin.status is DeliveryStatus.DELIVERED
                or twin.reason is Reason.VOIDED_AFTER_DELIVERY
            ):
                goods = " and ".join(
                    f"{line.quantity} of line {line.id} (SKU {line.sku})" for line in twin.lines
                )
                detail = (
                    f"{now}, but Purple Dot has {goods} with number {twin.tracking_number} already"
                )
                return Held(Reason.TRACKING_CHANGED_AFTER_DELIVERY, detail)
        if twins or (siblings and is_whole):
            reason = Reason.NOTHING_LEFT if twins else Reason.OVER_QUANTITY
            return Held(reason, f"{now}, of which units go out with {before} already: {shortage}")
    if nothing_left:
        return Held(Reason.NOTHING_LEFT, f"every unit was told to Purple Dot already: {shortage}")
    return (
        Held(Reason.OVER_QUANTITY, f"more units than are left: {shortage}")
        if units is None
        else units
    )


def _is_sibling(told: Earlier, shipment: Shipment) -> bool:
    same_order = (
        shipment.shipstation_shipment_id is not None
        and told.shipstation_shipment_id == shipment.shipstation_shipment_id
    )
    return same_order and normalize_tracking(told.tracking_number) != normalize_tracking(
        shipment.tracking_number
    )


def _asked(
    items: Sequence[ShipmentItem], order: FulfillmentOrder
) -> tuple[Asks, list[ShipmentItem]]:
    """What a parcel holds in terms of the order, and the items that stand on no line. Line id
    first, then SKU: an id of some other system leaves the SKU to decide. Rows of one line or one
    SKU are summed."""
    by_id, by_sku = Counter[tuple[OrderLine, ...]](), Counter[tuple[OrderLine, ...]]()
    unknown = []
    for item in items:
        line = line_with_id(_lines(order), item.line_item_id)
        asks, lines = (
            (by_id, (line,)) if line else (by_sku, lines_with_sku(_lines(order), item.sku))
        )
        if lines and item.quantity > 0:
            asks[lines] += item.quantity
        else:
            unknown.append(item)
    return by_id + by_sku, unknown


def _lines(order: FulfillmentOrder) -> tuple[OrderLine, ...]:
    """Each line once, should the order name one twice: units counted twice would be sent twice."""
    return tuple({line.id: line for line in order.lines}.values())


def _sum(lines: Iterable[OrderLine | FulfilledLine]) -> Counter[str]:
    return sum((Counter({line.id: line.quantity}) for line in lines), Counter[str]())


def rest_of(order: FulfillmentOrder, earlier: Sequence[Earlier]) -> tuple[FulfilledLine, ...]:
    """All that is left of an order, as lines; empty when nothing is."""
    left = _left(order, earlier)
    return tuple(
        FulfilledLine(id=line.id, quantity=left[line.id], sku=line.sku)
        for line in _lines(order)
        if left[line.id]
    )


def _left(order: FulfillmentOrder, spent: Sequence[Earlier]) -> Counter[str]:
    """Units of each line that no delivery took; a line without any is not among them, and counts as
    0."""
    return _sum(order.lines) - _sum(line for told in spent for line in told.lines)


def _allocate(asks: Asks, left: Counter[str]) -> tuple[Counter[str] | None, str]:
    """Units for each line, None where they don't all fit; and what was asked of each and what it
    has. Asks by line id come first, so a SKU gets what those leave of its lines, from the first
    on."""
    free, told, fits = Counter(left), [], True
    for lines, quantity in asks.items():
        there = sum(free[line.id] for line in lines)
        names = " and ".join(line.id for line in lines)
        told.append(f"line {names} (SKU {lines[0].sku}): {quantity} asked, {there} left")
        fits, missing = fits and quantity <= there, quantity
        for line in lines:
            taken = min(free[line.id], missing)
            free[line.id], missing = free[line.id] - taken, missing - taken
    return (left - free if fits else None), "; ".join(told)
