"""Matching: the rules by which a shipment belongs to a fulfillment order. Exact after normalizing,
never by prefix, never by guess."""

import html
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bridge.domain.orders import (
    FulfillmentOrder,
    OrderLine,
    is_uuid,
    likely_references,
    normalize_reference,
    reference_words,
)
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentItem

Pattern = re.Pattern[str] | None
Finding = tuple[str, tuple[FulfillmentOrder, ...]]
"""A rule, and the orders that fit by it."""
Named = tuple[str, FulfillmentOrder]
"""A rule, and the one order that it names."""


@dataclass(frozen=True, slots=True)
class Match:
    """`items` are those of the shipment that belong to `order`. `rule` says what named it: the
    ShipStation field of a clue, `linked`, `bound` (an earlier parcel of that ShipStation order went
    there), or the items' own `line_item_id`, `item_order_id` or `item_order_reference`.

    `doubtful` are those of `items` that may be another order's, since the parcel holds goods of
    several orders and nothing says whose they are."""

    order: FulfillmentOrder
    rule: str
    items: tuple[ShipmentItem, ...]
    doubtful: tuple[ShipmentItem, ...] = ()


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


def wanted(shipment: Shipment, *, pattern: Pattern) -> Wanted:
    """`pattern` tells which numbers look like Purple Dot's; None means that any number may be
    one."""
    clue_ids = [clue.value for clue in shipment.clues if clue.kind is ClueKind.ORDER_ID]
    item_ids = [item.order_id for item in shipment.items]
    references = set[str]()
    for clue in _reference_clues(shipment):
        references |= likely_references(clue.value, pattern)
    for item in shipment.items:
        references |= _item_references(item, pattern)
    return Wanted(
        order_ids=_uuids([*clue_ids, *item_ids]),
        references=frozenset(references),
        line_ids=_uuids(item.line_item_id for item in shipment.items),
    )


def match(
    shipment: Shipment,
    *,
    orders: Collection[FulfillmentOrder],
    bound: FulfillmentOrder | None,
    linked: FulfillmentOrder | None = None,
    pattern: Pattern,
) -> tuple[Match, ...] | Unmatched:
    """The order of this shipment; several where the items of a combined parcel name several. Never
    raises. `orders` is all that was found for `wanted`, others among them do no harm; `bound` is
    where our earlier delivery of that ShipStation order went, as remembered; `linked` is an
    operator's word, which wins over everything."""
    if linked is not None:
        return (Match(linked, "linked", shipment.items),)
    remembered = [bound] if bound else []
    pool = tuple({_id(order.id): order for order in (*remembered, *orders)}.values())
    findings = _findings(shipment, pool=pool, bound_id=bound.id if bound else None, pattern=pattern)
    missing = _items_of_missing_orders(shipment, pool, pattern)
    if missing:
        return Unmatched(Reason.ORDER_NOT_FOUND, _missing_detail(shipment, missing, findings))
    try:
        named = _named_items(shipment.items, pool=pool, findings=findings, pattern=pattern)
        primary = _primary(findings, dict.fromkeys(order for _, order in filter(None, named)))
        matches = _assign(shipment, named, primary)
    except _AmbiguousError as exc:
        return Unmatched(Reason.AMBIGUOUS_ORDER, str(exc))
    return matches or _nothing_found(shipment, pattern)


def lines_with_sku(lines: Sequence[OrderLine], sku: str | None) -> tuple[OrderLine, ...]:
    """The lines of this SKU: as it is written, else however another system spells it (HTML
    entities, composed characters, blanks, dashes), else in another case. A looser spelling counts
    only where one SKU of the order alone can be meant. No SKU never matches no SKU."""
    for fitting in _by_spelling(lines, sku):
        if fitting:
            is_one_sku = len({_trimmed(line.sku) for line in fitting}) == 1
            return fitting if is_one_sku else ()
    return ()


def is_ambiguous_sku(lines: Sequence[OrderLine], sku: str | None) -> bool:
    """Whether several SKUs of the order differ from this one only in their spelling."""
    fits_some = any(_by_spelling(lines, sku))
    return fits_some and not lines_with_sku(lines, sku)


def line_with_id(lines: Sequence[OrderLine], line_item_id: str | None) -> OrderLine | None:
    """The line of this id; None for an id of some other system."""
    if not line_item_id:
        return None
    sought = _id(line_item_id)
    return next((line for line in lines if _id(line.id) == sought), None)


def sku_key(sku: str | None) -> str:
    """Equal for all spellings of one SKU: by other systems, and in any case."""
    return _canonical(sku).casefold()


def _by_spelling(lines: Sequence[OrderLine], sku: str | None) -> Iterable[tuple[OrderLine, ...]]:
    spellings: tuple[Callable[[str | None], str], ...] = (_trimmed, _canonical, sku_key)
    for spelling in spellings:
        sought = spelling(sku)
        yield tuple(line for line in lines if sought and spelling(line.sku) == sought)


def _trimmed(sku: str | None) -> str:
    return (sku or "").strip()


@lru_cache(maxsize=4096)  # A shop has few SKUs, and each is compared with every line.
def _canonical(sku: str | None) -> str:
    plain = unicodedata.normalize("NFC", html.unescape(sku or ""))
    visible = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    dashes = "".join("-" if unicodedata.category(char) == "Pd" else char for char in visible)
    return " ".join(dashes.split())


def _id(text: str) -> str:
    return text.strip().lower()


def _uuids(values: Iterable[str | None]) -> frozenset[str]:
    return frozenset(_id(value) for value in values if value and is_uuid(value))


def _reference_clues(shipment: Shipment) -> list[Clue]:
    return [clue for clue in shipment.clues if clue.kind is ClueKind.REFERENCE]


def _item_references(item: ShipmentItem, pattern: Pattern) -> frozenset[str]:
    """An item's order number counts only where it looks like Purple Dot's: most hold a shop's."""
    text = item.order_reference or ""
    if pattern is None:
        return frozenset(normalize_reference(word) for word in reference_words(text))
    return likely_references(text, pattern)


def _promising(shipment: Shipment, pattern: Pattern) -> list[Clue]:
    if pattern is None:
        return []
    clues = _reference_clues(shipment)
    return [clue for clue in clues if likely_references(clue.value, pattern)]


def _findings(
    shipment: Shipment,
    *,
    pool: Sequence[FulfillmentOrder],
    bound_id: str | None,
    pattern: Pattern,
) -> list[Finding]:
    """What each clue fits, ids before numbers. An earlier binding counts where no id speaks for the
    shipment itself."""
    by_id: list[Finding] = []
    by_number: list[Finding] = []
    for clue in shipment.clues:
        is_id = clue.kind is ClueKind.ORDER_ID
        if is_id:
            orders = _orders_with_id(pool, clue.value)
        else:
            orders = _orders_with_reference(pool, clue.value, pattern)
        if orders:
            (by_id if is_id else by_number).append((clue.field, tuple(orders)))
    bound = tuple(order for order in pool if order.id == bound_id and not by_id)
    by_binding: list[Finding] = [("bound", bound)] if bound else []
    return [*by_id, *by_binding, *by_number]


def _orders_with_id(pool: Sequence[FulfillmentOrder], text: str | None) -> list[FulfillmentOrder]:
    sought = _id(text or "")
    return [order for order in pool if sought and _id(order.id) == sought]


def _orders_with_reference(
    pool: Sequence[FulfillmentOrder], text: str | None, pattern: Pattern
) -> list[FulfillmentOrder]:
    """Those that a text names. A reference inside a longer text counts where it is a word of its
    own."""
    whole = normalize_reference(text or "")
    if not whole:
        return []
    inside = likely_references(text or "", pattern)
    return [
        order
        for order in pool
        if (reference := normalize_reference(order.reference))
        and (reference == whole or reference in inside)
    ]


def _items_of_missing_orders(
    shipment: Shipment, pool: Sequence[FulfillmentOrder], pattern: Pattern
) -> list[ShipmentItem]:
    """Items that name an order of Purple Dot's which was not found: by its reference, or by an id
    where their neighbors' ids are Purple Dot's."""
    if not any(item.order_id or item.order_reference for item in shipment.items):
        return []
    references = {normalize_reference(order.reference) for order in pool}
    # `PD100` is the pre-order of `PD100/1`: it names no other order, though it settles nothing.
    references |= {reference.partition("/")[0] for reference in references}
    ids = {_id(order.id) for order in pool}
    has_known_ids = any(item.order_id and _id(item.order_id) in ids for item in shipment.items)
    missing = []
    for item in shipment.items:
        named = _item_references(item, pattern)
        is_lost_id = (
            has_known_ids and is_uuid(item.order_id) and _id(item.order_id or "") not in ids
        )
        if is_lost_id or (named and references.isdisjoint(named)):
            missing.append(item)
    return missing


def _missing_detail(
    shipment: Shipment, missing: Sequence[ShipmentItem], findings: Sequence[Finding]
) -> str:
    lost = "; ".join(
        f"{item.label} names order {item.order_reference or item.order_id}" for item in missing
    )
    detail = f"{lost}, and Purple Dot has no such fulfillment order"
    others = ", ".join(item.label for item in shipment.items if item not in missing)
    if others:
        named = dict.fromkeys(order for _, orders in findings for order in orders)
        whose = f" of {_names(named)}" if named else ""
        detail += f"; the parcel also holds {others}{whose}"
    return detail


def _named_items(
    items: Sequence[ShipmentItem],
    *,
    pool: Sequence[FulfillmentOrder],
    findings: Sequence[Finding],
    pattern: Pattern,
) -> list[Named | None]:
    """The order that each item names: itself, or through another item of the same sales order."""
    named = [_named(item, pool=pool, findings=findings, pattern=pattern) for item in items]
    by_sales_order: dict[str, set[str]] = {}
    orders = {order.id: order for order in pool}
    for item, item_order in zip(items, named, strict=True):
        if item.sales_order_id and item_order:
            by_sales_order.setdefault(item.sales_order_id, set()).add(item_order[1].id)
    for place, item in enumerate(items):
        order_ids = by_sales_order.get(item.sales_order_id or "", set())
        if named[place] is None and len(order_ids) == 1:
            named[place] = ("item_order_id", orders[next(iter(order_ids))])
    return named


def _named(
    item: ShipmentItem,
    *,
    pool: Sequence[FulfillmentOrder],
    findings: Sequence[Finding],
    pattern: Pattern,
) -> Named | None:
    """The order that the item itself names: by line id, else by order id or reference."""
    by_order = _orders_with_id(pool, item.order_id)
    by_number = _orders_with_reference(pool, item.order_reference, pattern)
    by_line = [order for order in pool if line_with_id(order.lines, item.line_item_id)]
    own = by_order or by_number
    if own and by_line and not any(order in by_line for order in own):
        raise _AmbiguousError(
            f"an item's own order is {_names(own)}, and its line id stands on {_names(by_line)}"
        )
    named = [order for order in own if order in by_line] or own or _settled(by_line, findings)
    if len(named) > 1:
        what = f"line id {item.line_item_id}" if by_line else f"order {item.order_reference}"
        raise _AmbiguousError(f"an item's {what} stands on {_names(named)}")
    if not named:
        return None
    by_own = "item_order_id" if by_order else "item_order_reference"
    return ("line_item_id" if by_line else by_own, named[0])


def _settled(
    orders: Sequence[FulfillmentOrder], findings: Sequence[Finding]
) -> Sequence[FulfillmentOrder]:
    """Those of the orders that a clue names as well; all of them where none is."""
    clued = [order for order in orders if any(order in fitting for _, fitting in findings)]
    return clued or orders


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
    clues = "; ".join(f"{rule} fits {_names(orders)}" for rule, orders in findings)
    belongs = f"; the items belong to {_names(by_items)}" if by_items else ""
    raise _AmbiguousError(clues + belongs)


def _assign(
    shipment: Shipment, named: Sequence[Named | None], primary: Named | None
) -> tuple[Match, ...]:
    """One match for each order that gets items. One that names no order goes where its SKU alone
    is, else to the shipment's own order."""
    findings = list(filter(None, (primary, *named)))
    rules = {order.id: rule for rule, order in reversed(findings)}
    involved = list(dict.fromkeys(order for _, order in findings))
    if not involved:
        return ()
    shares: dict[str, list[ShipmentItem]] = {order.id: [] for order in involved}
    doubtful: dict[str, list[ShipmentItem]] = {order.id: [] for order in involved}
    for item, item_order in zip(shipment.items, named, strict=True):
        fitting = _orders_with_sku(involved, item)
        order = item_order[1] if item_order else _order_for(item, fitting, primary, involved)
        shares[order.id].append(item)
        may_be_goods = item.is_goods or bool(item.line_item_id)
        is_untied = item_order is None and may_be_goods
        if is_untied and (shipment.merged_ids or len(fitting) > 1):
            doubtful[order.id].append(item)
    return tuple(
        Match(order, rules[order.id], tuple(shares[order.id]), tuple(doubtful[order.id]))
        for order in involved
        if shares[order.id] or len(involved) == 1
    )


def _orders_with_sku(
    orders: Sequence[FulfillmentOrder], item: ShipmentItem
) -> list[FulfillmentOrder]:
    sku = item.bundle_sku or item.sku
    return [order for order in orders if lines_with_sku(order.lines, sku)]


def _order_for(
    item: ShipmentItem,
    fitting: Sequence[FulfillmentOrder],
    primary: Named | None,
    involved: Sequence[FulfillmentOrder],
) -> FulfillmentOrder:
    if len(fitting) == 1:
        return fitting[0]
    if primary:
        return primary[1]
    if fitting:
        raise _AmbiguousError(
            f"an item with SKU {item.sku} names no order, though {_names(fitting)} have it"
        )
    return involved[0]


def _nothing_found(shipment: Shipment, pattern: Pattern) -> Unmatched:
    promising = _promising(shipment, pattern)
    clues = dict.fromkeys(f"{clue.field} {clue.value}" for clue in promising or shipment.clues)
    if promising:
        return Unmatched(
            Reason.ORDER_NOT_FOUND,
            f"{' and '.join(clues)} looks like Purple Dot's, which has no such fulfillment order",
        )
    if shipment.problem:
        return Unmatched(Reason.NO_ITEMS, f"it can't be read: {shipment.problem}")
    if _is_of_a_missing_order(shipment):
        return Unmatched(
            Reason.NO_ITEMS,
            f"ShipStation does not show the order behind {shipment.record_kind}"
            f" {shipment.record_id}, so whose goods it holds can't be known",
        )
    seen = " and ".join(clues) or "ShipStation names no order"
    return Unmatched(
        Reason.NOT_A_PURPLE_DOT_ORDER, f"nothing on it names a fulfillment order ({seen})"
    )


def _is_of_a_missing_order(shipment: Shipment) -> bool:
    """A label of an order that nobody could read is not a label of no Purple Dot order. A number of
    the shop's own, on the record itself, is evidence enough."""
    has_own_number = shipment.order_number is not None or shipment.record_kind == "v1_shipment"
    return not shipment.order_is_read and not has_own_number


def _names(orders: Iterable[FulfillmentOrder]) -> str:
    return " and ".join(f"{order.reference} ({order.id})" for order in orders)
