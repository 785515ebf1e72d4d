"""Fulfillments: shipment + order + what went out before → create, ignore, or hold for a person. Never blank, never more than is left."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.actions import Action, CreateFulfillment, FulfilledLine, Held, Ignored, Tracking
from bridge.events import COMMITTED, DeliveryStatus
from bridge.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.reasons import Reason
from bridge.shipments import Shipment, ShipmentItem, ShipmentState
from bridge.translate.carriers import Carriers
from bridge.translate.matching import Match, line_with_id, lines_with_sku

Quantities = Mapping[str, int]
"""Units of each Purple Dot line, by its id."""

_WHOLE_ORDER_KINDS = frozenset({"v2_label", "v2_fulfillment", "inline_row", "v1_fulfillment"})
"""Records without items of their own: theirs are those of the whole ShipStation order, however often it is shipped."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier delivery of the same fulfillment order. Its lines are spent while its status is in COMMITTED, or held: a held one that
    reached nobody has no lines. `reason` is why it is held."""

    shipstation_shipment_id: str | None
    record_id: str
    tracking_number: str | None
    status: DeliveryStatus
    lines: tuple[FulfilledLine, ...]
    reason: Reason | None = None

    @property
    def was_delivered(self) -> bool:
        return self.status is DeliveryStatus.DELIVERED or self.reason is Reason.VOIDED_AFTER_DELIVERY

    @property
    def is_spent(self) -> bool:
        return self.status in COMMITTED or self.status is DeliveryStatus.HELD

    @property
    def quantities(self) -> Counter[str]:
        units: Counter[str] = Counter()
        for line in self.lines:
            units[line.id] += line.quantity
        return units


@dataclass(frozen=True, slots=True)
class _Ask:
    """`quantity` units that may stand on any of these lines of one order."""

    lines: tuple[OrderLine, ...]
    quantity: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a parcel holds in terms of the order: asks by line id first, then by SKU; and the items that stand on no line."""

    asks: tuple[_Ask, ...]
    unknown: tuple[ShipmentItem, ...]

    @property
    def lines(self) -> tuple[OrderLine, ...]:
        return tuple({line.id: line for ask in self.asks for line in ask.lines}.values())


def identity(shipment: Shipment, fulfillment_order_id: str | None) -> str:
    """Equal for one parcel whichever event tells of it: order and normalised tracking number, else order and record."""
    number = normalise_tracking(shipment.tracking_number)
    return f"{fulfillment_order_id or '?'}:{number or f'record:{shipment.record_kind}:{shipment.record_id}'}"


def normalise_tracking(number: str | None) -> str:
    """`1z a0-0000 t03` and `1ZA00000T03` are one number."""
    return "".join(char for char in (number or "").upper() if char.isalnum())


_STATE_VERDICTS: dict[ShipmentState, Ignored | Held] = {
    ShipmentState.VOIDED: Ignored(Reason.VOIDED, "the shipment is void, or its label could not be made: it ships nothing"),
    ShipmentState.RETURN: Ignored(Reason.RETURN_LABEL, "the label brings goods back"),
    ShipmentState.REJECTED: Held(Reason.REJECTED_BY_PROVIDER, "the fulfilment provider rejected it: nothing was shipped"),
}


def judge_state(shipment: Shipment) -> Ignored | Held | None:
    """What the shipment's own state decides, whatever its order; None where goods leave or are about to."""
    return _STATE_VERDICTS.get(shipment.state)


def decide(shipment: Shipment, match: Match, *, earlier: Sequence[Earlier], notify_default: bool, carriers: Carriers) -> Action:
    """The one action for this shipment and this order. Pure, never raises; its lines are never blank and never above what is left.

    `earlier` are the other deliveries of the same order. A held answer's detail names line, SKU, what was asked and what is left.
    """
    if (verdict := judge_state(shipment)) is not None:
        return _about(match.order, verdict)
    if shipment.state is ShipmentState.PROCESSING:
        return Ignored(Reason.NOTHING_SHIPPED, f"{shipment.record_kind} {shipment.record_id} is not finished yet")
    spent = [delivery for delivery in earlier if delivery.is_spent]
    asked = _ask(match.items, _lines(match.order))
    units = (
        _judge_order(shipment, match.order, spent)
        or _judge_items(shipment, match, asked)
        or _judge_goods(shipment, match.order, asked=asked, spent=spent)
    )
    if isinstance(units, Held):
        return _about(match.order, units)
    company, url = carriers.of(shipment)
    return CreateFulfillment(
        fulfillment_order_id=match.order.id,
        reference=match.order.reference,
        lines=_fulfilled(match.order, units),
        tracking=Tracking(number=shipment.tracking_number or "", company=company, url=url),
        notify_customer=notify_default if shipment.notify_customer is None else shipment.notify_customer,
        detail=f"left out, as not on order {match.order.reference}: {_told(asked.unknown)}" if asked.unknown else "",
    )


def _judge_order(shipment: Shipment, order: FulfillmentOrder, spent: Sequence[Earlier]) -> Held | None:
    if order.status is OrderStatus.VOIDED:
        return Held(Reason.ORDER_VOIDED, f"Purple Dot voided order {order.reference}, yet number {shipment.tracking_number} left")
    if not normalise_tracking(shipment.tracking_number):
        return Held(Reason.NO_TRACKING_NUMBER, f"{shipment.record_kind} {shipment.record_id} has no tracking number")
    missing = sum(_left(order, spent).values())
    if order.status is OrderStatus.FULFILLED and missing:
        ordered = sum(line.quantity for line in order.lines)
        return Held(
            Reason.ALREADY_FULFILLED_ELSEWHERE,
            f"Purple Dot says that order {order.reference} is fulfilled, but {missing} of its {ordered} units were not told by us",
        )
    return None


def _judge_items(shipment: Shipment, match: Match, asked: _Asked) -> Held | None:
    if not match.items:
        return Held(Reason.NO_ITEMS, f"{shipment.record_kind} {shipment.record_id} names no items, so its lines can't be known")
    if not asked.asks:
        return Held(Reason.UNKNOWN_LINE, f"none of these stands on order {match.order.reference}: {_told(asked.unknown)}")
    return None


def _judge_goods(shipment: Shipment, order: FulfillmentOrder, *, asked: _Asked, spent: Sequence[Earlier]) -> Held | Quantities:
    """The units that go out; held where they went out before, or where not enough is left for them."""
    left = _left(order, spent)
    units = _allocate(asked.asks, left)
    nothing_left = not any(left[line.id] for line in asked.lines)
    told = _told_before(shipment, order, asked=asked, spent=spent) if nothing_left or shipment.record_kind in _WHOLE_ORDER_KINDS else None
    if told is not None:
        return told
    if nothing_left:
        return Held(Reason.NOTHING_LEFT, f"every unit was told to Purple Dot already: {_shortage(asked.asks, left)}")
    if units is None:
        return Held(Reason.OVER_QUANTITY, f"more units than are left: {_shortage(asked.asks, left)}")
    return units


def _told_before(shipment: Shipment, order: FulfillmentOrder, *, asked: _Asked, spent: Sequence[Earlier]) -> Held | None:
    """The same goods of the same ShipStation order with another number: a replaced label, or one more box of the same lines."""
    mine = [told for told in spent if _is_sibling(told, shipment) and any(told.quantities[line.id] for line in asked.lines)]
    twins = [
        told for told in mine if _allocate(asked.asks, _left(order, [other for other in spent if other is not told])) == told.quantities
    ]
    delivered = next((twin for twin in twins if twin.was_delivered), None)
    now = f"number {shipment.tracking_number} came for what ShipStation order {shipment.shipstation_shipment_id} holds"
    if delivered is not None:
        goods = " and ".join(f"{line.quantity} of line {line.id} (SKU {line.sku})" for line in delivered.lines)
        detail = f"{now}, but Purple Dot has {goods} with number {delivered.tracking_number} already"
        return Held(Reason.TRACKING_CHANGED_AFTER_DELIVERY, detail)
    if not mine or (not twins and shipment.record_kind not in _WHOLE_ORDER_KINDS):
        return None
    before = " and ".join(f"{told.tracking_number} ({told.status})" for told in twins or mine)
    reason = Reason.NOTHING_LEFT if twins else Reason.OVER_QUANTITY
    return Held(reason, f"{now}, of which units go out with {before} already: {_shortage(asked.asks, _left(order, spent))}")


def _is_sibling(delivery: Earlier, shipment: Shipment) -> bool:
    same_order = shipment.shipstation_shipment_id is not None and delivery.shipstation_shipment_id == shipment.shipstation_shipment_id
    return same_order and normalise_tracking(delivery.tracking_number) != normalise_tracking(shipment.tracking_number)


def _ask(items: Sequence[ShipmentItem], lines: Sequence[OrderLine]) -> _Asked:
    """Line id first, then SKU: an id of some other system leaves the SKU to decide. Rows of one line or one SKU are summed."""
    by_id: dict[tuple[OrderLine, ...], int] = {}
    by_sku: dict[tuple[OrderLine, ...], int] = {}
    unknown = []
    for item in items:
        line = line_with_id(lines, item.line_item_id)
        asks, found = (by_id, (line,)) if line else (by_sku, lines_with_sku(lines, item.sku))
        if found and item.quantity > 0:
            asks[found] = asks.get(found, 0) + item.quantity
        else:
            unknown.append(item)
    return _Asked(tuple(_Ask(found, quantity) for found, quantity in (*by_id.items(), *by_sku.items())), tuple(unknown))


def _lines(order: FulfillmentOrder) -> tuple[OrderLine, ...]:
    """Each line once, should the order name one twice: units counted twice would be sent twice."""
    return tuple({line.id: line for line in reversed(order.lines)}.values())[::-1]


def _left(order: FulfillmentOrder, spent: Sequence[Earlier]) -> dict[str, int]:
    left: Counter[str] = Counter()
    for line in order.lines:
        left[line.id] += line.quantity
    for delivery in spent:
        left.subtract({key: units for key, units in delivery.quantities.items() if key in left})
    return {key: max(0, units) for key, units in left.items()}


def _allocate(asks: Sequence[_Ask], left: Quantities) -> dict[str, int] | None:
    """Units for each line; None where they don't all fit. Asks by line id come first, so a SKU gets what those leave of its lines."""
    free = dict(left)
    for ask in asks:
        if ask.quantity > sum(free[line.id] for line in ask.lines):
            return None
        free |= _taken(ask, free)
    return {key: left[key] - units for key, units in free.items() if left[key] > units}


def _taken(ask: _Ask, free: Quantities) -> dict[str, int]:
    """What its lines have after this ask took what it could, from the first line on."""
    after, missing = {}, ask.quantity
    for line in ask.lines:
        after[line.id] = max(0, free[line.id] - missing)
        missing -= free[line.id] - after[line.id]
    return after


def _fulfilled(order: FulfillmentOrder, units: Quantities) -> tuple[FulfilledLine, ...]:
    return tuple(FulfilledLine(id=line.id, quantity=units[line.id], sku=line.sku) for line in _lines(order) if units.get(line.id))


def _shortage(asks: Sequence[_Ask], left: Quantities) -> str:
    """What was asked of each line and what it has; units that an ask before took are no longer there for the next."""
    free, told = dict(left), []
    for ask in asks:
        names = " and ".join(line.id for line in ask.lines)
        told.append(f"line {names} (SKU {ask.lines[0].sku}): {ask.quantity} asked, {sum(free[line.id] for line in ask.lines)} left")
        free |= _taken(ask, free)
    return "; ".join(told)


def _told(items: Sequence[ShipmentItem]) -> str:
    return ", ".join(f"{item.quantity} x {item.sku or item.name or 'an item without SKU'}" for item in items)


def _about(order: FulfillmentOrder, verdict: Ignored | Held) -> Ignored | Held:
    """Held answers say which order they are about."""
    return replace(verdict, fulfillment_order_id=order.id, reference=order.reference) if isinstance(verdict, Held) else verdict
