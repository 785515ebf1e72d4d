"""What a parcel holds, in terms of its order's lines, and what each of its items comes to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.domain.actions import Action, CreateFulfillment
from bridge.domain.orders import FulfillmentOrder, OrderLine, is_uuid
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentItem
from bridge.translate.matching import (
    Match,
    is_ambiguous_sku,
    line_with_id,
    lines_with_sku,
    sku_key,
)
from bridge.translate.remaining import distinct_lines


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


def item_fates(match: Match, action: Action) -> tuple[ItemFate, ...]:
    """What each item of the parcel comes to under this action: every unit is sent, held, or not
    Purple Dot's. Adjustments (fees, discounts) are no items."""
    reference = match.order.reference
    contents = read_contents(match.items, match.order)
    is_sent = isinstance(action, CreateFulfillment)
    fates = [
        ItemFate(
            item,
            Fate.SENT if is_sent else Fate.HELD,
            f"it is line {line_names(lines)} of {reference}",
        )
        for item, lines in contents.on_lines
    ]
    fates += [ItemFate(item, Fate.HELD, why) for item, _, why in contents.unclear]
    has_nameless_line = any(not line.sku for line in match.order.lines)
    for item in contents.extra:
        is_held = not is_sent and (item.is_goods or has_nameless_line)
        fate = Fate.HELD if is_held else Fate.NOT_PURPLE_DOTS
        fates.append(ItemFate(item, fate, _why_extra(item, reference)))
    return tuple(fates)


def held_items(items: Iterable[ShipmentItem], why: str) -> tuple[ItemFate, ...]:
    """Items of a parcel whose order can't be told: each waits for that."""
    return tuple(ItemFate(item, Fate.HELD, why) for item in items)


def read_contents(items: Sequence[ShipmentItem], order: FulfillmentOrder) -> Contents:
    """A parcel's items in terms of the order: line id first, then SKU, components of a bundle as
    whole sets."""
    contents = Contents()
    lines = distinct_lines(order)
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
            by_bundle.setdefault(sku_key(item.bundle_sku), []).append(item)
        else:
            by_sku.append(item)
    for line in lines:
        _add(contents, by_id.get(line.id, []), (line,))
    for item in by_sku:
        _add_by_sku(contents, [item], lines, item.sku)
    whole = {sku_key(item.sku) for item in items}
    for bundle_key, components in by_bundle.items():
        bundle_sku = components[0].bundle_sku
        if bundle_key in whole:
            why = f"bundle {bundle_sku} stands beside its components: {labels_of(components)}"
            contents.unclear += [(item, Reason.UNKNOWN_LINE, why) for item in components]
        else:
            _add_by_sku(contents, components, lines, bundle_sku)
    return contents


def line_names(lines: Iterable[OrderLine]) -> str:
    return " and ".join(
        f"{line.id} (SKU {line.sku})" if line.sku else f"{line.id} (without SKU)" for line in lines
    )


def labels_of(items: Iterable[ShipmentItem]) -> str:
    return ", ".join(item.label for item in items)


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
    """Items that one SKU names: a single thing's own, or their bundle's."""
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
                why = f"{item.label} can't be read, so what it is can't be known"
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
        why = f"how many of line {line_names(lines)} these are can't be known: {labels}"
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


def _why_extra(item: ShipmentItem, reference: str) -> str:
    if not item.is_goods:
        return "it has no SKU, so it is no goods of an order"
    return f"its SKU is on no line of {reference}"
