"""What an unclear POST came to, decided from the order as it stands now. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.actions import FulfilledLine, Held
from bridge.domain.deliveries import Delivery
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, OrderStatus
from bridge.domain.reasons import Reason
from bridge.pipeline.retry import next_look


@dataclass(frozen=True, slots=True)
class Arrived:
    """Purple Dot has it after all."""

    detail: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """It can't be known yet."""

    at: datetime


@dataclass(frozen=True, slots=True)
class PostAgain:
    """It certainly did not arrive."""

    detail: str


Settlement = Arrived | LookAgain | PostAgain | Held


def settle(
    lines: Sequence[FulfilledLine],
    order: FulfillmentOrder,
    *,
    delivered: Mapping[str, int],
    unclear: Mapping[str, int],
    looks: int,
    schedule: Sequence[timedelta],
    now: datetime,
) -> Settlement:
    """`lines` are the unclear delivery's own; `delivered` and `unclear` what the order's other
    deliveries sent for certain, and perhaps; `looks` counts this one.

    Purple Dot shows no partial state, only FULFILLED when every unit was sent. So FULFILLED settles
    it where we account for every unit; still UNFULFILLED after the last look settles it where this
    delivery would have completed the order. For a partial one nobody can know: it is held, never
    posted again."""
    if order.status is OrderStatus.VOIDED:
        return Held(
            Reason.ORDER_VOIDED,
            f"{order.reference} was cancelled in Purple Dot while an answer about it was lost",
        )
    mine = units(lines)
    if order.status is OrderStatus.FULFILLED:
        if completes(order, mine, delivered, unclear):
            return Arrived(f"{order.reference} is fulfilled, and these were its last lines")
        detail = (
            f"{order.reference} is fulfilled, with more units than we sent; "
            "see whether this parcel's number is there"
        )
        return Held(Reason.ALREADY_FULFILLED_ELSEWHERE, detail)
    # The first wait stood before the first look.
    at = next_look(looks=looks + 1, schedule=schedule, now=now)
    if at is not None:
        return LookAgain(at)
    if order.status is OrderStatus.UNFULFILLED and completes(order, mine, delivered):
        return PostAgain(
            f"{order.reference} still waits for these, its last lines: "
            "the lost request did not arrive"
        )
    detail = (
        f"the answer was lost, and {order.reference} would look the same "
        "with or without this part of it"
    )
    return Held(Reason.UNCONFIRMED_PARTIAL, detail)


def units_of_others(others: Iterable[Delivery]) -> tuple[Counter[str], Counter[str]]:
    """Units per line that the order's other deliveries sent for certain, and those that they may
    have sent."""
    sent: Counter[str] = Counter()
    maybe_sent: Counter[str] = Counter()
    for other in others:
        is_void = other.reason is Reason.VOIDED_AFTER_DELIVERY
        if other.status is DeliveryStatus.DELIVERED or is_void:
            sent.update(units(other.lines))
        elif other.posting_at is not None:
            maybe_sent.update(units(other.lines))
    return sent, maybe_sent


def units(lines: Sequence[FulfilledLine]) -> dict[str, int]:
    return {line.id: line.quantity for line in lines}


def completes(order: FulfillmentOrder, mine: Mapping[str, int], *others: Mapping[str, int]) -> bool:
    """Whether these parts together are every unit of the order. An answer that shows no units, or
    not the lines of `mine`, says nothing."""
    ordered: Counter[str] = Counter()
    for line in order.lines:
        ordered[line.id] += line.quantity
    if not ordered.total():
        return False
    if any(quantity > ordered[line_id] for line_id, quantity in mine.items()):
        return False
    parts = (mine, *others)
    return all(
        sum(part.get(line_id, 0) for part in parts) >= quantity
        for line_id, quantity in ordered.items()
    )
