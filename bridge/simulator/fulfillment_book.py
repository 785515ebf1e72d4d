"""Purple Dot's books: the fulfillment orders, and the rules by which a fulfillment is taken or
refused."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID, uuid5

from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr, ValidationError

from bridge.simulator.model import Email, PurpleDotLine, PurpleDotOrder, RefusedError
from bridge.simulator.shapes import Json

_FAMILY = UUID("6f1f5a3e-6f0f-4f5d-9a55-0b7f5a1f0c11")


class _Line(BaseModel):
    id: StrictStr
    quantity: StrictInt = Field(ge=1)


class _Fulfillment(BaseModel):
    """What is to be fulfilled:
    https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment."""

    fulfillment_order_id: str
    line_items: list[_Line] | None = None
    notify_customer: StrictBool = False
    tracking_info: dict[str, StrictStr] = {}


class _Body(BaseModel):
    fulfillment: _Fulfillment


_WRONG = {"line_items": "INVALID_LINE_ITEMS", "tracking_info": "INVALID_TRACKING_INFO"}
_CLOSED = {"VOIDED": "ORDER_VOIDED", "FULFILLED": "ORDER_ALREADY_FULFILLED"}
Lines: TypeAlias = Sequence[tuple[str | None, int]]
_LINES: Lines = (("ALDER-TEE-S", 2), ("ALDER-CAP", 1))


def utc_now() -> datetime:
    return datetime.now(UTC)


class FulfillmentBook:
    """Strict, and it never de-duplicates: what is asked twice is done twice, as long as units are
    left.

    Ids depend only on the order of the verbs, so the same story told twice has the same ids.
    """

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        self.lock = threading.RLock()
        self.now = now
        self.orders: dict[str, PurpleDotOrder] = {}
        self.fulfillments: list[Json] = []
        """Each accepted body of POST /fulfillment, word for word, in order."""
        self.fulfillment_ids: list[str] = []
        self.emails: list[Email] = []
        self.calls: list[tuple[str, str]] = []
        """Each call of a client, in order, as (system, operation), such as `("purple_dot",
        "create_fulfillment")`."""
        self._numbers: Counter[str] = Counter()
        self._reads: Counter[str] = Counter()
        self._late: list[tuple[str, int, Json]] = []

    def count(self, operation: str) -> int:
        """How often an operation was called; `operation` is written `purple_dot.order`, or is a
        whole system, `purple_dot`."""
        return sum(operation in (system, f"{system}.{name}") for system, name in self.calls.copy())

    def next_number(self, kind: str, above: int = 0) -> int:
        with self.lock:
            self._numbers[kind] += 1
            return above + self._numbers[kind]

    def uuid(self, kind: str) -> str:
        return str(uuid5(_FAMILY, f"{kind}:{self.next_number(f'uuid of {kind}')}"))

    def add_order(
        self,
        reference: str | None = None,
        lines: Lines = _LINES,
        *,
        ref_style: str = "plain",
        status: str = "UNFULFILLED",
    ) -> PurpleDotOrder:
        """A fulfillment order, by default like `PD5200001/1`; the `ref_style` hash stores its
        reference with a leading '#'."""
        with self.lock:
            name = reference or f"PD{self.next_number('order', above=5200000)}/1"
            order_lines = [
                PurpleDotLine(self.uuid("line"), sku, quantity, quantity * (status == "FULFILLED"))
                for sku, quantity in lines
            ]
            order = PurpleDotOrder(
                self.uuid("order"),
                f"#{name}" if ref_style == "hash" else name,
                status,
                self.now(),
                order_lines,
            )
            self.orders[order.id] = order
            return order

    def void_order(self, order: PurpleDotOrder) -> None:
        """The shopper cancelled the pre-order."""
        order.status = "VOIDED"

    def fulfill_elsewhere(
        self, order: PurpleDotOrder, quantities: Mapping[str, int] | None = None
    ) -> None:
        """Someone else fulfills the order (or `quantities` of its lines, by line id): no body and
        no e-mail of ours."""
        with self.lock:
            for line in order.lines:
                line.fulfilled += (quantities or {line.id: line.left}).get(line.id, 0)
            if all(line.left <= 0 for line in order.lines):
                order.status = "FULFILLED"

    def accept_fulfillment(self, body: Any) -> str:
        """POST /fulfillment: the new fulfillment's id, or RefusedError."""
        fulfillment = _read(body)
        with self.lock:
            order = self.orders.get(fulfillment.fulfillment_order_id)
            if order is None:
                raise RefusedError(404, "UNKNOWN_ORDER", "There is no such fulfillment order")
            if order.status in _CLOSED:
                raise RefusedError(
                    409, _CLOSED[order.status], "The order takes no fulfillment any more"
                )
            self.fulfill_elsewhere(order, _quantities(order, fulfillment.line_items or []))
            self.fulfillments.append({"fulfillment": body["fulfillment"]})
            self.fulfillment_ids.append(self.uuid("fulfillment"))
            if fulfillment.notify_customer:
                self.emails.append(Email(order.id, fulfillment.tracking_info.get("number")))
            return self.fulfillment_ids[-1]

    def commit_late(self, body: Json, *, after_reads: int) -> None:
        """Keep a fulfillment back until its order was read so often, or until `apply_late`."""
        order_id = _read(body).fulfillment_order_id
        self._late.append((order_id, self._reads[order_id] + after_reads, body))

    def apply_late(self) -> int:
        """Everything kept back takes effect now; returns how many were taken (what has become
        impossible is refused in silence)."""
        return self._apply(self._late.copy())

    def note_read(self, order: PurpleDotOrder) -> None:
        """A client has just been shown this order: what waits for it comes one read nearer."""
        self._reads[order.id] += 1
        self._apply(
            [
                late
                for late in self._late
                if late[0] == order.id and late[1] <= self._reads[order.id]
            ]
        )

    def _apply(self, due: Iterable[tuple[str, int, Json]]) -> int:
        before = len(self.fulfillments)
        for late in due:
            self._late.remove(late)
            with suppress(RefusedError):
                self.accept_fulfillment(late[2])
        return len(self.fulfillments) - before


def _read(body: Any) -> _Fulfillment:
    try:
        return _Body.model_validate(body).fulfillment
    except ValidationError as error:
        place = [*error.errors()[0]["loc"], "", ""]
        raise RefusedError(
            400, _WRONG.get(str(place[1]), "INVALID_FULFILLMENT_REQUEST"), error.errors()[0]["msg"]
        ) from error


def _quantities(order: PurpleDotOrder, requested: Sequence[_Line]) -> dict[str, int]:
    """Units by line id. An empty list is ALL that is left."""
    left = {line.id: line.left for line in order.lines}
    units = Counter({line.id: 0 for line in requested})
    for line in requested:
        units[line.id] += line.quantity
    if units.keys() - left.keys():
        raise RefusedError(404, "UNKNOWN_LINE_ITEMS", "The order has no such line item")
    if any(quantity > left[line_id] for line_id, quantity in units.items()):
        raise RefusedError(
            400, "NOT_ENOUGH_ITEMS_LEFT_TO_FULFILL", "A quantity is above what is left to fulfill"
        )
    return units or left
