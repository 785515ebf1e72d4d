"""Fulfillment order: Purple Dot's work to be done, and its lines. `reference` is its number."""

import re
from dataclasses import dataclass
from enum import StrEnum


class OrderStatus(StrEnum):
    """Purple Dot's own three values; there is none for partly fulfilled."""

    UNFULFILLED = "UNFULFILLED"
    FULFILLED = "FULFILLED"
    VOIDED = "VOIDED"


@dataclass(frozen=True, slots=True)
class OrderLine:
    """`id` is what POST /fulfillment needs; `quantity` is what was ordered, however much was sent
    since."""

    id: str
    quantity: int
    sku: str | None = None


@dataclass(frozen=True, slots=True)
class FulfillmentOrder:
    """`status` is None where Purple Dot does not tell it (its oldest answers)."""

    id: str
    reference: str
    status: OrderStatus | None
    lines: tuple[OrderLine, ...]


def normalize_reference(text: str) -> str:
    """Two references are the same order's exactly when this is equal for both: trimmed, any case,
    with or without one leading `#`."""
    return text.strip().upper().removeprefix("#").strip()


def is_uuid(text: str | None) -> bool:
    """Purple Dot's ids look like this; ShipStation's own automatic `SEAuto-…` ids don't."""
    return (
        re.fullmatch(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", (text or "").strip(), re.IGNORECASE
        )
        is not None
    )
