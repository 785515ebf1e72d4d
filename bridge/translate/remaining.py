"""What is left of an order: the units of its lines, less those of the deliveries that stand."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bridge.domain.actions import FulfilledLine
from bridge.domain.events import COMMITTED, DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, OrderLine
from bridge.domain.reasons import Reason

Asks = Mapping[tuple[OrderLine, ...], int]
"""Units that may stand on any of these lines of one order: asks by line id come first, then by
SKU."""


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


def rest_of(order: FulfillmentOrder, earlier: Sequence[Earlier]) -> tuple[FulfilledLine, ...]:
    """All that is left of an order, as lines; empty when nothing is."""
    return as_lines(order, units_left(order, earlier))


def as_lines(order: FulfillmentOrder, units: Counter[str]) -> tuple[FulfilledLine, ...]:
    return tuple(
        FulfilledLine(id=line.id, quantity=units[line.id], sku=line.sku)
        for line in distinct_lines(order)
        if units[line.id]
    )


def is_spent(other: Earlier) -> bool:
    return other.status in COMMITTED or other.status is DeliveryStatus.HELD


def distinct_lines(order: FulfillmentOrder) -> tuple[OrderLine, ...]:
    """Each line once, should the order name one twice: units counted twice would be sent twice."""
    return tuple({line.id: line for line in order.lines}.values())


def units_by_line(lines: Iterable[OrderLine | FulfilledLine]) -> Counter[str]:
    units = Counter[str]()
    for line in lines:
        units[line.id] += line.quantity
    return +units


def units_left(order: FulfillmentOrder, spent: Sequence[Earlier]) -> Counter[str]:
    """Units of each line that no delivery took; a line without any is not among them, and counts as
    0."""
    spent_units = units_by_line(line for other in spent for line in other.lines)
    return units_by_line(order.lines) - spent_units


def allocate(asks: Asks, left: Counter[str]) -> tuple[Counter[str] | None, str]:
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
