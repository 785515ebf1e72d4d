"""Fulfillments: shipment + order + what went out before → create, ignore, or hold for a person.
Never blank, never more than is left; every unit of the parcel comes to something that is said."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bridge.domain.actions import Action, CreateFulfillment, FulfilledLine, Held, Ignored, Tracking
from bridge.domain.events import COMMITTED, DeliveryStatus
from bridge.domain.orders import (
    FulfillmentOrder,
    OrderLine,
    OrderStatus,
    is_uuid,
    normalize_reference,
)
from bridge.domain.reasons import Reason
from bridge.domain.shipments import UNFINISHED, Shipment, ShipmentItem, ShipmentState, plain_id
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.translate.carriers import Carriers
from bridge.translate.matching import (
    Match,
    is_ambiguous_sku,
    line_with_id,
    lines_with_sku,
    sku_key,
)

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
    ShipmentState.UNSETTLED: Held(
        Reason.NO_ITEMS,
        "its void was requested and never decided, or ShipStation documents no such status",
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
    record_kind: str | None = None


class Fate(StrEnum):
    """What the units of an item come to; there is no fourth."""

    SENT = "sent"
    HELD = "held"
    NOT_PURPLE_DOTS = "not_purple_dots"


@dataclass(frozen=True, slots=True)
class ItemFate:
    """One item of the parcel and what its units come to; `evidence` says in words why."""

    item: ShipmentItem
    fate: Fate
    evidence: str


@dataclass(slots=True)
class Contents:
    """A parcel in terms of its order. Every item stands in exactly one of `on_lines`, `unclear` and
    `extra`.

    `asks` are the units for each line. `unclear` are items whose units can't be told, with the
    reason; `extra` stand on no line."""

    asks: Counter[tuple[OrderLine, ...]] = field(default_factory=Counter)
    on_lines: list[tuple[ShipmentItem, tuple[OrderLine, ...]]] = field(default_factory=list)
    unclear: list[tuple[ShipmentItem, Reason, str]] = field(default_factory=list)
    extra: list[ShipmentItem] = field(default_factory=list)


def identity(shipment: Shipment, fulfillment_order_id: str | None) -> str:
    """Equal for one parcel whichever event tells of it: order (until known, its number in
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
    """The one action for this shipment and this order. Pure, never raises; its lines are never
    blank and never above what is left.

    `earlier` are the other deliveries of the same order. A held answer's detail names line, SKU,
    what was asked and what is left, and the items that stand on no line."""
    order = match.order
    verdict = judge_state(shipment)
    if shipment.state in UNFINISHED:
        name = f"{shipment.record_kind} {shipment.record_id}"
        verdict = Ignored(Reason.NOTHING_SHIPPED, f"{name} is not finished yet")
    if isinstance(verdict, Ignored):
        return verdict
    spent = [other for other in earlier if _is_spent(other)]
    contents = read_contents(match.items, order)
    units = (
        verdict
        or _obstacle(shipment, match, contents, spent)
        or _units(shipment, order, contents.asks, spent)
    )
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
        lines=_as_lines(order, units),
        tracking=Tracking(number=shipment.tracking_number or "", company=company, url=url),
        notify_customer=notify_default if notify_customer is None else notify_customer,
        detail=_notes(shipment, contents, order, carriers=carriers, company=company),
    )


def item_fates(match: Match, action: Action) -> tuple[ItemFate, ...]:
    """What each item of the parcel comes to under this action: every unit is sent, held, or not
    Purple Dot's. Adjustments (fees, discounts) are no items."""
    reference = match.order.reference
    if isinstance(action, Ignored):
        why = f"the parcel is ignored: {action.reason}"
        return tuple(ItemFate(item, Fate.NOT_PURPLE_DOTS, why) for item in match.items)
    contents = read_contents(match.items, match.order)
    is_sent = isinstance(action, CreateFulfillment)
    fates = [
        ItemFate(
            item,
            Fate.SENT if is_sent else Fate.HELD,
            f"it is line {_line_names(lines)} of {reference}",
        )
        for item, lines in contents.on_lines
    ]
    fates += [ItemFate(item, Fate.HELD, why) for item, _, why in contents.unclear]
    for item in contents.extra:
        is_held = not is_sent and item.is_goods
        fate = Fate.HELD if is_held else Fate.NOT_PURPLE_DOTS
        fates.append(ItemFate(item, fate, _why_extra(item, reference)))
    return tuple(fates)


def read_contents(items: Sequence[ShipmentItem], order: FulfillmentOrder) -> Contents:
    """A parcel's items in terms of the order: line id first, then SKU, components of a bundle as
    whole sets."""
    contents = Contents()
    lines = _lines(order)
    carries_ids = any(line_with_id(lines, item.line_item_id) for item in items)
    by_id: dict[str, list[ShipmentItem]] = {}
    by_bundle: dict[str, list[ShipmentItem]] = {}
    by_sku: list[ShipmentItem] = []
    for item in items:
        line = line_with_id(lines, item.line_item_id)
        foreign_id = "" if line else _foreign_id(item, lines, neighbors_carry_ids=carries_ids)
        if line:
            by_id.setdefault(line.id, []).append(item)
        elif foreign_id:
            contents.unclear.append((item, _foreign_reason(item, lines), foreign_id))
        elif item.bundle_sku:
            by_bundle.setdefault(item.bundle_sku, []).append(item)
        else:
            by_sku.append(item)
    for line in lines:
        _add(contents, by_id.get(line.id, []), (line,))
    for item in by_sku:
        _add_by_sku(contents, [item], lines, item.sku)
    whole = {sku_key(item.sku) for item in items}
    for bundle_sku, components in by_bundle.items():
        if sku_key(bundle_sku) in whole:
            why = f"bundle {bundle_sku} stands beside its components: {_labels(components)}"
            contents.unclear += [(item, Reason.UNKNOWN_LINE, why) for item in components]
        else:
            _add_by_sku(contents, components, lines, bundle_sku)
    return contents


def _foreign_id(
    item: ShipmentItem, lines: Sequence[OrderLine], *, neighbors_carry_ids: bool
) -> str:
    """Why the SKU must not decide for an item whose line id is not on this order; blank where it
    may. An id of another system says nothing, unless its neighbors' ids are Purple Dot's."""
    if not item.line_item_id or not neighbors_carry_ids:
        return ""
    sku = item.bundle_sku or item.sku
    if not is_uuid(item.line_item_id) and not lines_with_sku(lines, sku):
        return ""
    return f"{item.label} has line id {item.line_item_id}, which is not on the order"


def _foreign_reason(item: ShipmentItem, lines: Sequence[OrderLine]) -> Reason:
    """Goods with a line id of Purple Dot's form that this order does not even sell are another
    order's."""
    is_of_this_order = bool(lines_with_sku(lines, item.bundle_sku or item.sku))
    return Reason.UNKNOWN_LINE if is_of_this_order else Reason.COMBINED_PARCEL


def _add_by_sku(
    contents: Contents, items: Sequence[ShipmentItem], lines: Sequence[OrderLine], sku: str | None
) -> None:
    """Items that are told by one SKU: a single thing's own, or their bundle's."""
    fitting = lines_with_sku(lines, sku)
    if fitting:
        _add(contents, items, fitting)
    elif is_ambiguous_sku(lines, sku):
        for item in items:
            why = f"{item.label} fits more than one SKU of the order, by its spelling"
            contents.unclear.append((item, Reason.UNKNOWN_LINE, why))
    else:
        for item in items:
            if not item.is_counted and not item.sku:
                why = "an item can't be read, so what it is can't be known"
                contents.unclear.append((item, Reason.NO_ITEMS, why))
            else:
                contents.extra.append(item)


def _add(contents: Contents, items: Sequence[ShipmentItem], lines: tuple[OrderLine, ...]) -> None:
    """Items that stand on these lines."""
    unreadable = [item for item in items if not item.is_counted]
    if unreadable:
        labels = ", ".join(item.label for item in unreadable)
        why = f"its quantity is no whole number of units: {labels}"
        contents.unclear += [(item, Reason.NO_ITEMS, why) for item in items]
        return
    units = _units_of(items, lines)
    if units is None:
        labels = ", ".join(item.label for item in items)
        why = f"how many of line {_line_names(lines)} these are can't be known: {labels}"
        contents.unclear += [(item, Reason.UNKNOWN_LINE, why) for item in items]
    elif items:
        contents.asks[lines] += units
        contents.on_lines += [(item, lines) for item in items]


def _units_of(items: Sequence[ShipmentItem], lines: tuple[OrderLine, ...]) -> int | None:
    """How many units of a line these items are: rows of one thing are summed; several things on one
    line are its components, and count where they make whole sets. None where they don't."""
    own_skus = {sku_key(line.sku) for line in lines}
    pieces = Counter[str]()
    for item in items:
        pieces[sku_key(item.sku) or sku_key(lines[0].sku)] += item.quantity
    is_component = any(item.bundle_sku and sku_key(item.sku) not in own_skus for item in items)
    if len(pieces) == 1 and not is_component:
        return pieces.total()
    is_whole = len(pieces) > 1 and len(set(pieces.values())) == 1
    return next(iter(pieces.values())) if is_whole else None


def _is_spent(other: Earlier) -> bool:
    return other.status in COMMITTED or other.status is DeliveryStatus.HELD


def _line_names(lines: Iterable[OrderLine]) -> str:
    return " and ".join(f"{line.id} (SKU {line.sku})" for line in lines)


def _labels(items: Iterable[ShipmentItem]) -> str:
    return ", ".join(item.label for item in items)


def _why_extra(item: ShipmentItem, reference: str) -> str:
    if not item.is_goods:
        return "it has no SKU, so it is no goods of an order"
    return f"its SKU is on no line of {reference}"


def _with_extra(detail: str, contents: Contents, order: FulfillmentOrder) -> str:
    extra = _labels(contents.extra)
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
    extra = _labels(contents.extra)
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
    of_order = _order_obstacle(record, match.order, _left(match.order, spent))
    if of_order:
        return of_order
    if not normalize_tracking(shipment.tracking_number):
        return Held(Reason.NO_TRACKING_NUMBER, f"{record} has no tracking number")
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
        ordered = _sum(order.lines).total()
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
    also = f"; surely of {match.order.reference}: {_labels(tied)}" if tied else ""
    return Held(
        Reason.COMBINED_PARCEL,
        f"{orders}, and nothing says whose these are: {_labels(match.doubtful)}{also}",
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
    extra = _labels(contents.extra)
    if not contents.asks:
        return Held(
            Reason.UNKNOWN_LINE, f"none of these stands on order {order.reference}: {extra}"
        )
    claimed = [item for item in contents.extra if item.is_goods and _names_order(item, order)]
    if claimed:
        detail = f"{_labels(claimed)} names order {order.reference}, but stands on no line of it"
        return Held(Reason.UNKNOWN_LINE, detail)
    left = _left(order, spent)
    touched = {line.id for lines in contents.asks for line in lines}
    ordered = _sum(order.lines)
    untouched = [
        line
        for line in _lines(order)
        if line.id not in touched and left[line.id] and left[line.id] == ordered[line.id]
    ]
    extra_goods = [item for item in contents.extra if item.is_goods]
    if not extra_goods or not untouched:
        return None
    return Held(
        Reason.UNKNOWN_LINE,
        f"{_labels(extra_goods)} stands on no line of order {order.reference}, while nothing of"
        f" line {_line_names(untouched)} was shipped yet: is it that line in another form?",
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
    left = _left(order, spent)
    line_ids = {line.id for lines in asks for line in lines}
    units, shortage = _allocate(asks, left)
    has_nothing_left = not any(left[line_id] for line_id in line_ids)
    if has_nothing_left or _is_of_a_whole_order(shipment, spent):
        repeated = _repeated(shipment, order, asks, spent, shortage=shortage)
        if repeated:
            return repeated
    if has_nothing_left:
        return Held(Reason.NOTHING_LEFT, f"every unit was posted already: {shortage}")
    if units is None:
        return Held(Reason.OVER_QUANTITY, f"more units than are left: {shortage}")
    return units


def _is_of_a_whole_order(shipment: Shipment, spent: Sequence[Earlier]) -> bool:
    """Whether this record, or one that went out before for the same ShipStation order, stands for
    all of that order's goods."""
    if shipment.record_kind in _WHOLE_ORDER_KINDS:
        return True
    return any(
        other.record_kind in _WHOLE_ORDER_KINDS and _is_sibling(other, shipment) for other in spent
    )


def _repeated(
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
        if _is_sibling(other, shipment) and line_ids & _sum(other.lines).keys()
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
    units, _ = _allocate(asks, _left(order, without_it))
    return units == _sum(other.lines)


def _as_lines(order: FulfillmentOrder, units: Counter[str]) -> tuple[FulfilledLine, ...]:
    return tuple(
        FulfilledLine(id=line.id, quantity=units[line.id], sku=line.sku)
        for line in _lines(order)
        if units[line.id]
    )


def rest_of(order: FulfillmentOrder, earlier: Sequence[Earlier]) -> tuple[FulfilledLine, ...]:
    """All that is left of an order, as lines; empty when nothing is."""
    return _as_lines(order, _left(order, earlier))


def _lines(order: FulfillmentOrder) -> tuple[OrderLine, ...]:
    """Each line once, should the order name one twice: units counted twice would be sent twice."""
    return tuple({line.id: line for line in order.lines}.values())


def _sum(lines: Iterable[OrderLine | FulfilledLine]) -> Counter[str]:
    units = Counter[str]()
    for line in lines:
        units[line.id] += line.quantity
    return +units


def _left(order: FulfillmentOrder, spent: Sequence[Earlier]) -> Counter[str]:
    """Units of each line that no delivery took; a line without any is not among them, and counts as
    0."""
    return _sum(order.lines) - _sum(line for other in spent for line in other.lines)


def _allocate(asks: Asks, left: Counter[str]) -> tuple[Counter[str] | None, str]:
    """Units for each line, None where they don't all fit; and what was asked of each and what it
    has. Asks by line id come first, so a SKU gets what those leave of its lines, from the first
    on."""
    free = Counter(left)
    fits = True
    shortages = []
    for lines, quantity in asks.items():
        available = sum(free[line.id] for line in lines)
        names = " and ".join(line.id for line in lines)
        shortages.append(f"line {names} (SKU {lines[0].sku}): {quantity} asked, {available} left")
        fits = fits and quantity <= available
        missing = quantity
        for line in lines:
            units = min(free[line.id], missing)
            free[line.id] -= units
            missing -= units
    return (left - free if fits else None), "; ".join(shortages)
