"""Matching: the rules by which a shipment belongs to a fulfillment order. Exact after normalizing,
never by prefix, never by guess."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from bridge.domain.orders import FulfillmentOrder, OrderLine, is_uuid, normalize_reference
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentItem

Finding = tuple[str, tuple[FulfillmentOrder, ...]]
Named = tuple[str, FulfillmentOrder]
"""(rule, the order or orders it fits)."""


@dataclass(frozen=True, slots=True)
class Match:
    """`items` are those of the shipment that belong to `order`. `rule` says what named it: the
    ShipStation field of a clue, `linked`, `bound` (an earlier parcel of that ShipStation order went
    there), or the items' own `line_item_id` or `item_order_id`."""

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
    """What must be looked up to judge a shipment: ids in lower case, references normalized. All
    empty means that no call is needed."""

    order_ids: frozenset[str]
    references: frozenset[str]
    line_ids: frozenset[str]


class _AmbiguousError(Exception):
    """Stays inside this module: what was found does not name one order."""


def wanted(shipment: Shipment, *, pattern: re.Pattern[str] | None) -> Wanted:
    """`pattern` tells which numbers look like Purple Dot's; None means that any number may be
    one."""
    ids = [clue.value for clue in shipment.clues if clue.kind is ClueKind.ORDER_ID] + [
        item.order_id or "" for item in shipment.items
    ]
    line_ids = [item.line_item_id or "" for item in shipment.items]
    references = frozenset(
        normalize_reference(clue.value) for clue in _promising(shipment, pattern)
    ) - {""}
    uuids, line_uuids = (
        frozenset(_id(value) for value in values if is_uuid(value)) for values in (ids, line_ids)
    )
    return Wanted(order_ids=uuids, references=references, line_ids=line_uuids)


def match(
    shipment: Shipment,
    *,
    orders: Collection[FulfillmentOrder],
    bound: FulfillmentOrder | None,
    linked: FulfillmentOrder | None = None,
    pattern: re.Pattern[str] | None,
) -> tuple[Match, ...] | Unmatched:
    """The order of this shipment; several where the items of a combined parcel name several. Never
    raises. `orders` is all that was found for `wanted`, others among them do no harm; `bound` is
    where our earlier delivery of that ShipStation order went, as remembered; `linked` is an
    operator's word, which wins over everything."""
    if linked is not None:
        return (Match(linked, "linked", shipment.items),)
    pool = tuple(
        {_id(order.id): order for order in (*([bound] if bound else []), *orders)}.values()
    )
    findings = _findings(shipment, pool=pool, bound_id=bound.id if bound else None)
    try:
        named = [_named(item, pool=pool, findings=findings) for item in shipment.items]
        primary = _primary(findings, dict.fromkeys(found[1] for found in named if found))
        matches = _assign(shipment.items, named, primary)
    except _AmbiguousError as exc:
        return Unmatched(Reason.AMBIGUOUS_ORDER, str(exc))
    return matches or _nothing_found(shipment, pattern)


def lines_with_sku(lines: Sequence[OrderLine], sku: str | None) -> tuple[OrderLine, ...]:
    """The lines of this SKU, trimmed; in another case only where one spelling alone can be meant.
    No SKU never matches no SKU."""
    sought = (sku or "").strip()
    alike = [
        (line, line.sku.strip())
        for line in lines
        if sought and line.sku and line.sku.strip().casefold() == sought.casefold()
    ]
    exact = tuple(line for line, own in alike if own == sought)
    return exact or (
        tuple(line for line, _ in alike) if len({own for _, own in alike}) == 1 else ()
    )


def line_with_id(lines: Sequence[OrderLine], line_item_id: str | None) -> OrderLine | None:
    """The line of this id; None for an id of some other system."""
    return next(
        (line for line in lines if line_item_id and _id(line.id) == _id(line_item_id)), None
    )


def _id(text: str) -> str:
    return text.strip().lower()


def _promising(shipment: Shipment, pattern: re.Pattern[str] | None) -> list[Clue]:
    return [
        clue
        for clue in shipment.clues
        if clue.kind is ClueKind.REFERENCE and (not pattern or pattern.search(clue.value.strip()))
    ]


def _findings(
    shipment: Shipment, *, pool: Sequence[FulfillmentOrder], bound_id: str | None
) -> list[Finding]:
    """What each clue fits, ids before numbers. An earlier binding counts where no id speaks for the
    shipment itself."""
    by_id, by_number = (
        [clue for clue in shipment.clues if clue.kind is kind]
        for kind in (ClueKind.ORDER_ID, ClueKind.REFERENCE)
    )
    ids = [
        (clue.field, tuple(order for order in pool if _id(order.id) == _id(clue.value)))
        for clue in by_id
    ]
    bound = tuple(
        order for order in pool if order.id == bound_id and not any(orders for _, orders in ids)
    )
    references = {order: normalize_reference(order.reference) or None for order in pool}
    numbers = [
        (
            clue.field,
            tuple(order for order in pool if references[order] == normalize_reference(clue.value)),
        )
        for clue in by_number
    ]
    return [finding for finding in (*ids, ("bound", bound), *numbers) if finding[1]]


def _named(
    item: ShipmentItem, *, pool: Sequence[FulfillmentOrder], findings: Sequence[Finding]
) -> Named | None:
    """The order that the item itself names: by line id, else by order id."""
    by_order = [order for order in pool if item.order_id and _id(order.id) == _id(item.order_id)]
    by_line = [order for order in pool if line_with_id(order.lines, item.line_item_id)]
    if by_order and by_line and by_order[0] not in by_line:
        raise _AmbiguousError(
            f"an item's order id names {_names(by_order)} and its line id {_names(by_line)}"
        )
    named = (
        by_order
        or [order for order in by_line if any(order in orders for _, orders in findings)]
        or by_line
    )
    if len(named) > 1:
        raise _AmbiguousError(f"an item's line id {item.line_item_id} stands on {_names(named)}")
    return ("line_item_id" if by_line else "item_order_id", named[0]) if named else None


def _primary(findings: Sequence[Finding], by_items: Collection[FulfillmentOrder]) -> Named | None:
    """The order that the shipment as a whole names. None where it names none, or where its items
    settle it among several."""
    union = dict.fromkeys(order for _, orders in findings for order in orders)
    common = [
        order
        for order in union
        if all(order in orders for _, orders in findings) and (not by_items or order in by_items)
    ]
    if len(common) == 1:
        return next(rule for rule, orders in findings if common[0] in orders), common[0]
    # A combined parcel may carry the clues of each of its orders: then each item has said where it
    # belongs.
    if not union or (len(by_items) > 1 and all(order in by_items for order in union)):
        return None
    told = "; ".join(f"{rule} fits {_names(orders)}" for rule, orders in findings)
    raise _AmbiguousError(told + (f"; the items belong to {_names(by_items)}" if by_items else ""))


def _assign(
    items: Sequence[ShipmentItem], named: Sequence[Named | None], primary: Named | None
) -> tuple[Match, ...]:
    """One match for each order that gets items. One that names no order goes where its SKU alone
    is, else to the shipment's own order."""
    told = [found for found in (primary, *named) if found]
    rules = {order.id: rule for rule, order in reversed(told)}
    involved = list(dict.fromkeys(order for _, order in told))
    shares: dict[str, list[ShipmentItem]] = {order.id: [] for order in involved}
    for item, found in zip(items, named, strict=True) if involved else ():
        fitting = (
            [found[1]]
            if found
            else [order for order in involved if lines_with_sku(order.lines, item.sku)]
        )
        if len(fitting) > 1 and not primary:
            raise _AmbiguousError(
                f"an item with SKU {item.sku} names no order, though {_names(fitting)} have it"
            )
        order = fitting[0] if len(fitting) == 1 else primary[1] if primary else involved[0]
        shares[order.id].append(item)
    return tuple(
        Match(order, rules[order.id], tuple(shares[order.id]))
        for order in involved
        if shares[order.id] or len(involved) == 1
    )


def _nothing_found(shipment: Shipment, pattern: re.Pattern[str] | None) -> Unmatched:
    likely = _promising(shipment, pattern) if pattern else []
    told = (
        " and ".join(
            dict.fromkeys(f"{clue.field} {clue.value}" for clue in likely or shipment.clues)
        )
        or "ShipStation names no order"
    )
    if likely:
        return Unmatched(
            Reason.ORDER_NOT_FOUND,
            f"{told} looks like Purple Dot's, which has no such fulfillment order",
        )
    return Unmatched(
        Reason.NOT_A_PURPLE_DOT_ORDER, f"nothing on it names a fulfillment order ({told})"
    )


def _names(orders: Iterable[FulfillmentOrder]) -> str:
    return " and ".join(f"{order.reference} ({order.id})" for order in orders)
