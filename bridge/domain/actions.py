"""What was decided for one shipment: create a fulfillment, ignore it, or hold it for a person."""

from dataclasses import dataclass

from bridge.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class FulfilledLine:
    """Units of one Purple Dot line that go out; never zero, never more than is left."""

    id: str
    quantity: int
    sku: str | None = None


@dataclass(frozen=True, slots=True)
class Tracking:
    """Carrier name that shoppers know, its number, and a link that opens (or none)."""

    number: str
    company: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class CreateFulfillment:
    """Report to Purple Dot that these lines went out. `lines` is never empty: blank means
    everything there."""

    fulfillment_order_id: str
    reference: str
    lines: tuple[FulfilledLine, ...]
    tracking: Tracking
    notify_customer: bool
    detail: str = ""

    def __post_init__(self) -> None:
        if not self.lines or any(line.quantity < 1 for line in self.lines):
            raise ValueError(f"a fulfillment of {self.reference} must name its lines")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Waits for a person, and why. `fulfillment_order_id` where the order at least is known."""

    reason: Reason
    detail: str = ""
    fulfillment_order_id: str | None = None
    reference: str | None = None


Action = CreateFulfillment | Held
