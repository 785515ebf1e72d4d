"""Fulfillments: shipment + order + what went out before → create, ignore, or hold for a person.
Never blank, never more than is left; every unit of the parcel comes to something that is said."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bridge.domain.actions import Action, CreateFulfillment, Held, Ignored, Tracking
from bridge.domain.orders import FulfillmentOrder, OrderStatus, normalize_reference
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentItem, ShipmentState
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.translate.carriers import Carriers
from bridge.translate.contents import Contents, labels_of, line_names, read_contents
from bridge.translate.matching import Match
from bridge.translate.remaining import (
    Asks,
    Earlier,
    allocate,
    as_lines,
    distinct_lines,
    is_spent,
    units_by_line,
    units_left,
)
from bridge.translate.repeats import is_of_a_whole_order, judge_closed, judge_repeat

_STATE_VERDICTS: dict[ShipmentState, Ignored | Held] = {
    ShipmentState.VOIDED: Ignored(
        Reason.VOIDED, "the shipment is void, or its label could not be made: it ships nothing"
    ),
    ShipmentState.RETURN: Ignored(Reason.RETURN_LABEL, "the label brings goods back"),
    ShipmentState.REJECTED: Held(
        Reason.REJECTED_BY_PROVIDER, "the fulfillment provider rejected it: nothing was shipped"
    ),
    ShipmentState.UNSETTLED: Held(
        Reason.NO_ITEMS,
        "its void was requested and never decided, or ShipStation documents no such status",
    ),
}


def identity(shipment: Shipment, fulfillment_order_id: str | None) -> str:
    """Equal for one parcel whichever event reports it: order (until known, its number in
    ShipStation) and parcel's number, or record."""
    number = normalize_tracking(shipment.tracking_number)
    order = fulfillment_order_id or f"?{shipment.order_number or ''}"
    return f"{order}:{number or f'record:{shipment.record_kind}:{shipment.record_id}'}"


def judge_state(shipment: Shipment) -> Ignored | Held | None:
    """What the shipment's own state decides, whatever its order; None where goods leave or are
    about to."""
    verdict = _STATE_VERDICTS.get(shipment.state)
    return replace(verdict, detail=shipment.problem) if verdict and shipment.problem else verdict


def decide(
    shipment: Shipment,
    match: Match,
    *,
    earlier: Sequence[Earlier],
    notify_default: bool,
    carriers: Carriers,
) -> Action:
    """The one action for a shipment whose goods left (`judge_state`) and this order. Pure, never
    raises; its lines are never blank and never above what is left.

    `earlier` are the other deliveries of the same order. A held answer's detail names line, SKU,
    what was asked and what is left, and the items that stand on no line."""
    order = match.order
    spent = [other for other in earlier if is_spent(other)]
    contents = read_contents(match.items, order)
    obstacle = _obstacle(shipment, match, contents, spent)
    units = obstacle or _units(shipment, order, contents.asks, spent)
    if isinstance(units, Held):
        detail = _with_extra(units.detail, contents, order)
        return replace(
            units, detail=detail, fulfillment_order_id=order.id, reference=order.reference
        )
    company, url = carriers.of(shipment)
    notify_customer = shipment.notify_customer
    return CreateFulfillment(
        fulfillment_order_id=order.id,
        reference=order.reference,
        lines=as_lines(order, units),
        tracking=Tracking(number=shipment.tracking_number or "", company=company, url=url),
        notify_customer=notify_default if notify_customer is None else notify_customer,
        detail=_notes(shipment, contents, order, carriers=carriers, company=company),
    )


def _with_extra(detail: str, contents: Contents, order: FulfillmentOrder) -> str:
    extra = labels_of(contents.extra)
    is_named = not extra or extra in detail
    return detail if is_named else f"{detail}; not on order {order.reference}: {extra}"


def _notes(
    shipment: Shipment,
    contents: Contents,
    order: FulfillmentOrder,
    *,
    carriers: Carriers,
    company: str | None,
) -> str:
    extra = labels_of(contents.extra)
    unknown_carrier = carriers.unknown(shipment)
    notes = []
    if extra:
        notes.append(f"left out, as not on order {order.reference}: {extra}")
    if unknown_carrier:
        notes.append(
            f"carrier {unknown_carrier!r} is not in the carrier table, and goes out as {company}"
        )
    return "; ".join(notes)


def _obstacle(
    shipment: Shipment, match: Match, contents: Contents, spent: Sequence[Earlier]
) -> Held | None:
    """The first thing that stands in the way whatever is in the parcel."""
    record = f"{shipment.record_kind} {shipment.record_id}"
    of_order = _order_obstacle(record, match.order, units_left(match.order, spent))
    if of_order:
        return of_order
    if not normalize_tracking(shipment.tracking_number):
        detail = f"{record} has no tracking number, or none that can be made out for certain"
        return Held(Reason.NO_TRACKING_NUMBER, detail)
    if not match.items:
        detail = f"{record} names no items, so its lines can't be known"
        return Held(Reason.NO_ITEMS, detail)
    if match.doubtful:
        return _combined(shipment, match)
    if contents.unclear:
        return _unclear(contents)
    return _extra_obstacle(match.order, contents, spent)


def _order_obstacle(record: str, order: FulfillmentOrder, left: Counter[str]) -> Held | None:
    if order.status is OrderStatus.VOIDED:
        return Held(
            Reason.ORDER_VOIDED, f"Purple Dot voided order {order.reference}, yet {record} left"
        )
    if order.status is OrderStatus.UNKNOWN:
        detail = (
            f"Purple Dot gives order {order.reference} a status that is none of those it"
            f" documents, yet {record} left"
        )
        return Held(Reason.ORDER_VOIDED, detail)
    if order.status is OrderStatus.FULFILLED and left:
        ordered = units_by_line(order.lines).total()
        return Held(
            Reason.ALREADY_FULFILLED_ELSEWHERE,
            f"Purple Dot says that order {order.reference} is fulfilled, but {left.total()} of its"
            f" {ordered} units were not posted by us",
        )
    return None


def _combined(shipment: Shipment, match: Match) -> Held:
    merged = " and ".join(shipment.merged_ids)
    orders = f"ShipStation orders {merged} were merged" if merged else "it holds several orders"
    tied = [item for item in match.items if item not in match.doubtful]
    also = f"; surely of {match.order.reference}: {labels_of(tied)}" if tied else ""
    return Held(
        Reason.COMBINED_PARCEL,
        f"{orders}, and nothing says whose these are: {labels_of(match.doubtful)}{also}",
    )


def _unclear(contents: Contents) -> Held:
    reasons = {reason for _, reason, _ in contents.unclear}
    by_weight = (Reason.NO_ITEMS, Reason.COMBINED_PARCEL, Reason.UNKNOWN_LINE)
    reason = next(reason for reason in by_weight if reason in reasons)
    return Held(reason, "; ".join(dict.fromkeys(why for _, _, why in contents.unclear)))


def _extra_obstacle(
    order: FulfillmentOrder, contents: Contents, spent: Sequence[Earlier]
) -> Held | None:
    """Goods that stand on no line, while a line of the order is named by nothing: that they are the
    line in another form is likelier than not."""
    extra = labels_of(contents.extra)
    if not contents.asks:
        return Held(
            Reason.UNKNOWN_LINE, f"none of these stands on order {order.reference}: {extra}"
        )
    claimed = [item for item in contents.extra if item.is_goods and _names_order(item, order)]
    if claimed:
        detail = f"{labels_of(claimed)} names order {order.reference}, but stands on no line of it"
        return Held(Reason.UNKNOWN_LINE, detail)
    left = units_left(order, spent)
    touched = {line.id for lines in contents.asks for line in lines}
    ordered = units_by_line(order.lines)
    untouched = [
        line
        for line in distinct_lines(order)
        if line.id not in touched and left[line.id] and left[line.id] == ordered[line.id]
    ]
    # An item without SKU is a note or a fee, unless a line without SKU waits for just that.
    is_any_goods = any(not line.sku for line in untouched)
    suspects = [item for item in contents.extra if item.is_goods or is_any_goods]
    if not suspects or not untouched:
        return None
    return Held(
        Reason.UNKNOWN_LINE,
        f"{labels_of(suspects)} stands on no line of order {order.reference}, while nothing of"
        f" line {line_names(untouched)} was shipped yet: is it that line in another form?",
    )


def _names_order(item: ShipmentItem, order: FulfillmentOrder) -> bool:
    """Whether the item itself says that it belongs to this order."""
    if item.order_id and item.order_id.strip().lower() == order.id.lower():
        return True
    reference = normalize_reference(item.order_reference or "")
    return bool(reference) and reference == normalize_reference(order.reference)


def _units(
    shipment: Shipment, order: FulfillmentOrder, asks: Asks, spent: Sequence[Earlier]
) -> Held | Counter[str]:
    """The units that go out of each line; held where not enough is left, or the same goods of the
    same ShipStation order went out with another number: a replaced label, or one more box of the
    same lines."""
    closed = judge_closed(shipment, spent)
    if closed:
        return closed
    left = units_left(order, spent)
    line_ids = {line.id for lines in asks for line in lines}
    units, shortage = allocate(asks, left)
    has_nothing_left = not any(left[line_id] for line_id in line_ids)
    if has_nothing_left or is_of_a_whole_order(shipment, spent):
        repeated = judge_repeat(shipment, order, asks, spent, shortage=shortage)
        if repeated:
            return repeated
    if has_nothing_left:
        return Held(Reason.NOTHING_LEFT, f"every unit was posted already: {shortage}")
    if units is None:
        return Held(Reason.OVER_QUANTITY, f"more units than are left: {shortage}")
    return units
