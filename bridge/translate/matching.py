"""Matching: the rules by which a shipment belongs to a fulfillment order. Exact after normalising, never by prefix, never by guess."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from bridge.orders import FulfillmentOrder, OrderLine, normalise_reference
from bridge.reasons import Reason
from bridge.shipments import Clue, ClueKind, Shipment, ShipmentItem

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

RULES: dict[str, str] = {
    "linked": "A person linked this ShipStation order to the fulfillment order.",
    "external_shipment_id": "external_shipment_id in ShipStation is the id of the fulfillment order.",
    "orderKey": "orderKey in ShipStation is the id of the fulfillment order.",
    "external_order_id": "external_order_id in ShipStation is the id or the reference of the fulfillment order.",
    "custom_field1": "Custom field 1 in ShipStation holds the id or the reference of the fulfillment order.",
    "customField1": "Custom field 1 in ShipStation holds the id or the reference of the fulfillment order.",
    "custom_field2": "Custom field 2 in ShipStation holds the id or the reference of the fulfillment order.",
    "customField2": "Custom field 2 in ShipStation holds the id or the reference of the fulfillment order.",
    "custom_field3": "Custom field 3 in ShipStation holds the id or the reference of the fulfillment order.",
    "customField3": "Custom field 3 in ShipStation holds the id or the reference of the fulfillment order.",
    "bound": "An earlier parcel of the same ShipStation order went to the fulfillment order.",
    "line_item_id": "The items carry ids of the fulfillment order's lines.",
    "item_order_id": "The items carry the id of the fulfillment order.",
    "shipment_number": "The order number in ShipStation is the reference of the fulfillment order.",
    "orderNumber": "The order number in ShipStation is the reference of the fulfillment order.",
}
"""Name of each rule → what it says, in the order in which they are asked. A clue's rule is named after its ShipStation field."""

Finding = tuple[str, tuple[FulfillmentOrder, ...]]
"""(rule, the orders it fits)."""


@dataclass(frozen=True, slots=True)
class Match:
    """`items` are those of the shipment that belong to `order`; `rule` is the row of RULES that said so."""

    order: FulfillmentOrder
    rule: str
    items: tuple[ShipmentItem, ...]


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No order, or more than one; `detail` names what was looked at."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be looked up to judge a shipment: ids in lower case, references normalised. All empty means that no call is needed."""

    order_ids: frozenset[str]
    references: frozenset[str]
    line_ids: frozenset[str]


class _AmbiguousError(Exception):
    """Stays inside this module: what was found does not name one order."""


def is_uuid(text: str | None) -> bool:
    """Purple Dot's ids look like this; ShipStation's own automatic `SEAuto-…` ids don't."""
    return text is not None and _UUID.fullmatch(text.strip()) is not None


def wanted(shipment: Shipment, *, pattern: re.Pattern[str] | None) -> Wanted:
    """`pattern` tells which numbers look like Purple Dot's; None means that any number may be one."""
    ids = [clue.value for clue in shipment.clues if clue.kind is ClueKind.ORDER_ID]
    ids += [item.order_id for item in shipment.items if item.order_id]
    line_ids = [item.line_item_id for item in shipment.items if item.line_item_id]
    return Wanted(
        order_ids=frozenset(_id(value) for value in ids if is_uuid(value)),
        references=frozenset(normalise_reference(clue.value) for clue in _promising(shipment, pattern)) - {""},
        line_ids=frozenset(_id(value) for value in line_ids if is_uuid(value)),
    )


def match(
    shipment: Shipment,
    *,
    orders: Collection[FulfillmentOrder],
    bound: FulfillmentOrder | None,
    linked: FulfillmentOrder | None = None,
    pattern: re.Pattern[str] | None,
) -> tuple[Match, ...] | Unmatched:
    """The order of this shipment, by RULES; several where the items of a combined parcel name several.

    `orders` is all that was found for `wanted`; others among them do no harm. `bound` is where our earlier delivery of that ShipStation
    order went, `linked` an operator's word, which wins over everything. Never raises.
    """
    if linked is not None:
        return (Match(linked, "linked", shipment.items),)
    pool = _distinct([*orders, *([bound] if bound else [])])
    findings = _findings(shipment, pool=pool, bound_id=bound.id if bound else None)
    try:
        named = [_named(item, pool=pool, findings=findings) for item in shipment.items]
        primary = _primary(findings, [order for _, order in filter(None, named)])
        matches = _assign(shipment.items, named, primary)
    except _AmbiguousError as exc:
        return Unmatched(Reason.AMBIGUOUS_ORDER, str(exc))
    return matches or _nothing_found(shipment, pattern)


def lines_with_sku(lines: Sequence[OrderLine], sku: str | None) -> tuple[OrderLine, ...]:
    """The lines of this SKU, trimmed; in another case only where one spelling alone can be meant. No SKU never matches no SKU."""
    sought = (sku or "").strip()
    if not sought:
        return ()
    exact = tuple(line for line in lines if (line.sku or "").strip() == sought)
    loose = tuple(line for line in lines if (line.sku or "").strip().casefold() == sought.casefold())
    return exact or (loose if len({(line.sku or "").strip() for line in loose}) == 1 else ())


def line_with_id(lines: Sequence[OrderLine], line_item_id: str | None) -> OrderLine | None:
    """The line of this id; None for an id of some other system."""
    if not line_item_id:
        return None
    return next((line for line in lines if _id(line.id) == _id(line_item_id)), None)


def _id(text: str) -> str:
    return text.strip().lower()


def _promising(shipment: Shipment, pattern: re.Pattern[str] | None) -> list[Clue]:
    references = [clue for clue in shipment.clues if clue.kind is ClueKind.REFERENCE]
    return references if pattern is None else [clue for clue in references if pattern.search(clue.value.strip())]


def _findings(shipment: Shipment, *, pool: Sequence[FulfillmentOrder], bound_id: str | None) -> list[Finding]:
    """What each clue fits, in the order of RULES. An earlier binding counts where no id speaks for the shipment itself."""
    by_id = [_fitting(clue, pool) for clue in shipment.clues if clue.kind is ClueKind.ORDER_ID]
    by_number = [_fitting(clue, pool) for clue in shipment.clues if clue.kind is ClueKind.REFERENCE]
    bound = tuple(order for order in pool if order.id == bound_id and not any(orders for _, orders in by_id))
    return [finding for finding in (*by_id, ("bound", bound), *by_number) if finding[1]]


def _fitting(clue: Clue, pool: Sequence[FulfillmentOrder]) -> Finding:
    if clue.kind is ClueKind.ORDER_ID:
        return clue.field, tuple(order for order in pool if _id(order.id) == _id(clue.value))
    reference = normalise_reference(clue.value)
    return clue.field, tuple(order for order in pool if reference and normalise_reference(order.reference) == reference)


def _named(item: ShipmentItem, *, pool: Sequence[FulfillmentOrder], findings: Sequence[Finding]) -> tuple[str, FulfillmentOrder] | None:
    """The order that the item itself names: by line id, else by order id."""
    by_order = [order for order in pool if item.order_id and _id(order.id) == _id(item.order_id)]
    by_line = [order for order in pool if line_with_id(order.lines, item.line_item_id)]
    if not by_line:
        return ("item_order_id", by_order[0]) if by_order else None
    if by_order and by_order[0] not in by_line:
        raise _AmbiguousError(f"an item's order id names {_names(by_order)} and its line id {_names(by_line)}")
    spoken_for = by_order or [order for order in by_line if any(order in orders for _, orders in findings)] or by_line
    if len(spoken_for) > 1:
        raise _AmbiguousError(f"an item's line id {item.line_item_id} stands on {_names(spoken_for)}")
    return "line_item_id", spoken_for[0]


def _primary(findings: Sequence[Finding], named: Sequence[FulfillmentOrder]) -> tuple[str, FulfillmentOrder] | None:
    """The order that the shipment as a whole names. None where it names none, or where its items settle it among several."""
    union = _distinct(order for _, orders in findings for order in orders)
    by_items = _distinct(named)
    common = [order for order in union if all(order in orders for _, orders in findings) and (not by_items or order in by_items)]
    if len(common) == 1:
        return next(rule for rule, orders in findings if common[0] in orders), common[0]
    # A combined parcel may carry the clues of each of its orders: then each item has said where it belongs.
    if not union or (len(by_items) > 1 and all(order in by_items for order in union)):
        return None
    told = "; ".join(f"{rule} fits {_names(orders)}" for rule, orders in findings)
    raise _AmbiguousError(told + (f"; the items belong to {_names(by_items)}" if by_items else ""))


def _assign(
    items: Sequence[ShipmentItem],
    named: Sequence[tuple[str, FulfillmentOrder] | None],
    primary: tuple[str, FulfillmentOrder] | None,
) -> tuple[Match, ...]:
    """One match for each order that gets items; the primary alone where no item names another."""
    involved = _distinct([*([primary[1]] if primary else []), *(found[1] for found in named if found)])
    if not involved:
        return ()
    shares: dict[str, list[ShipmentItem]] = {order.id: [] for order in involved}
    for item, found in zip(items, named, strict=True):
        order = found[1] if found else _host(item, involved, primary)
        shares[order.id].append(item)
    rules = {order.id: rule for rule, order in [*filter(None, reversed(named)), *([primary] if primary else [])]}
    return tuple(Match(order, rules[order.id], tuple(shares[order.id])) for order in involved if shares[order.id] or len(involved) == 1)


def _host(item: ShipmentItem, involved: Sequence[FulfillmentOrder], primary: tuple[str, FulfillmentOrder] | None) -> FulfillmentOrder:
    """Where an item goes that names no order: to the one that has its SKU, else to the shipment's own."""
    having = [order for order in involved if lines_with_sku(order.lines, item.sku)]
    if len(having) == 1:
        return having[0]
    if primary:
        return primary[1]
    if having:
        raise _AmbiguousError(f"an item with SKU {item.sku} names no order, though {_names(having)} have it")
    return involved[0]


def _nothing_found(shipment: Shipment, pattern: re.Pattern[str] | None) -> Unmatched:
    likely = _promising(shipment, pattern) if pattern is not None else []
    if likely:
        numbers = " and ".join(dict.fromkeys(f"{clue.field} {clue.value}" for clue in likely))
        return Unmatched(Reason.ORDER_NOT_FOUND, f"{numbers} looks like Purple Dot's, which has no such fulfillment order")
    told = ", ".join(dict.fromkeys(f"{clue.field} {clue.value}" for clue in shipment.clues)) or "ShipStation names no order"
    return Unmatched(Reason.NOT_A_PURPLE_DOT_ORDER, f"nothing on it names a fulfillment order ({told})")


def _distinct(orders: Iterable[FulfillmentOrder]) -> tuple[FulfillmentOrder, ...]:
    """The first of each id: what was looked up just now goes before what was remembered."""
    first: dict[str, FulfillmentOrder] = {}
    for order in orders:
        first.setdefault(_id(order.id), order)
    return tuple(first.values())


def _names(orders: Iterable[FulfillmentOrder]) -> str:
    return " and ".join(f"{order.reference} ({order.id})" for order in orders)
