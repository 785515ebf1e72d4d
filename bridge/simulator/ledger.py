"""Purple Dot's books: the fulfillment orders, and the rules by which a fulfillment is taken or refused."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bridge.simulator.ground import Ground, utc_now
from bridge.simulator.model import AnswerStyle, Email, Json, PurpleDotLine, PurpleDotOrder

_FIRST_PRE_ORDER = 5200001


class RefusedError(Exception):
    """Purple Dot says no; nothing was changed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class LateCommit:
    """A fulfillment whose connection was dropped and which takes effect only after `reads_left` further reads of its order."""

    body: Json
    order_id: str | None
    reads_left: int


class Ledger(Ground):
    """Strict, and it never de-duplicates: what is asked twice is done twice, as long as units are left."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(now=now)
        self.answers = AnswerStyle()
        self.orders: dict[str, PurpleDotOrder] = {}
        self.fulfillments: list[Json] = []
        """Each accepted body of POST /fulfillment, word for word, in order."""
        self.fulfillment_ids: list[str] = []
        self.emails: list[Email] = []
        self._late: list[LateCommit] = []

    def add_order(
        self,
        reference: str | None = None,
        lines: Sequence[tuple[str | None, int]] = (("ALDER-TEE-S", 2), ("ALDER-CAP", 1)),
        *,
        ref_style: Literal["plain", "hash"] = "plain",
        status: str = "UNFULFILLED",
    ) -> PurpleDotOrder:
        """A fulfillment order; `hash` stores its reference with a leading '#'. Without a reference it gets one like `PD5200001/1`."""
        with self.lock:
            number = self.next_number("order")
            name = reference or f"PD{_FIRST_PRE_ORDER + number - 1}/1"
            if ref_style == "hash":
                name = "#" + name.removeprefix("#")
            own_lines = [self._line(sku, quantity) for sku, quantity in lines]
            order = PurpleDotOrder(number, self.uuid("order"), name, status, self.now(), own_lines)
            if status == "FULFILLED":
                _fulfil(order, {line.id: line.quantity for line in order.lines})
            self.orders[order.id] = order
            return order

    def _line(self, sku: str | None, quantity: int) -> PurpleDotLine:
        return PurpleDotLine(self.uuid("line"), sku, quantity, name=f"Item {sku}")

    def void_order(self, order: PurpleDotOrder) -> None:
        """The shopper cancelled the pre-order."""
        with self.lock:
            order.status = "VOIDED"

    def fulfil_elsewhere(self, order: PurpleDotOrder, quantities: Mapping[str, int] | None = None) -> None:
        """Someone else fulfils the order (or `quantities` of its lines, by line id): no body and no e-mail of ours."""
        with self.lock:
            _fulfil(order, quantities or {line.id: line.left for line in order.lines})

    def accept_fulfillment(self, body: object) -> str:
        """POST /fulfillment: the new fulfillment's id, or RefusedError."""
        with self.lock:
            wanted = _fulfillment_of(body)
            order = self._fulfillable(wanted)
            quantities = _quantities(order, wanted.get("line_items"))
            _fulfil(order, quantities)
            return self._remember(order, wanted)

    def _fulfillable(self, wanted: Json) -> PurpleDotOrder:
        order = self.orders.get(str(wanted.get("fulfillment_order_id")))
        if order is None:
            raise RefusedError(404, "UNKNOWN_ORDER", "There is no such fulfillment order")
        if order.status == "VOIDED":
            raise RefusedError(409, "ORDER_VOIDED", "The order was canceled")
        if order.status == "FULFILLED":
            raise RefusedError(409, "ORDER_ALREADY_FULFILLED", "All items of the order have been fulfilled")
        return order

    def _remember(self, order: PurpleDotOrder, wanted: Json) -> str:
        fulfillment_id = self.uuid("fulfillment")
        self.fulfillments.append({"fulfillment": wanted})
        self.fulfillment_ids.append(fulfillment_id)
        if wanted.get("notify_customer"):
            tracking = wanted.get("tracking_info") or {}
            self.emails.append(Email(order.id, tracking.get("number")))
        return fulfillment_id

    def commit_late(self, body: Json, *, after_reads: int) -> None:
        """Keep a fulfillment back until its order was read so often, or until `apply_late`."""
        wanted = body.get("fulfillment")
        order_id = wanted.get("fulfillment_order_id") if isinstance(wanted, dict) else None
        with self.lock:
            self._late.append(LateCommit(body, order_id, after_reads))

    def apply_late(self) -> int:
        """Everything kept back takes effect now; returns how many were taken (what has become impossible is refused in silence)."""
        with self.lock:
            return sum(self._apply(late) for late in list(self._late))

    def note_read(self, order: PurpleDotOrder) -> None:
        """A client has just been shown this order: what waits for it comes one read nearer."""
        with self.lock:
            for late in [late for late in self._late if late.order_id == order.id]:
                late.reads_left -= 1
                if late.reads_left <= 0:
                    self._apply(late)

    def _apply(self, late: LateCommit) -> bool:
        self._late.remove(late)
        try:
            self.accept_fulfillment(late.body)
        except RefusedError:
            return False
        return True


def _fulfillment_of(body: object) -> Json:
    wanted = body.get("fulfillment") if isinstance(body, dict) else None
    if not isinstance(wanted, dict):
        raise RefusedError(400, "INVALID_FULFILLMENT_REQUEST", "The body must be an object with a fulfillment")
    if not isinstance(wanted.get("notify_customer", False), bool):
        raise RefusedError(400, "INVALID_FULFILLMENT_REQUEST", "notify_customer must be a boolean")
    tracking = wanted.get("tracking_info", {})
    if not isinstance(tracking, dict) or not all(isinstance(value, str) for value in tracking.values()):
        raise RefusedError(400, "INVALID_TRACKING_INFO", "tracking_info must be an object of strings")
    return wanted


def _quantities(order: PurpleDotOrder, line_items: object) -> dict[str, int]:
    """Units by line id. A missing or empty list is ALL that is left: https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment."""
    if not line_items and (line_items is None or isinstance(line_items, list)):
        return {line.id: line.left for line in order.lines}
    if not isinstance(line_items, list):
        raise RefusedError(400, "INVALID_LINE_ITEMS", "line_items must be a list")
    left = {line.id: line.left for line in order.lines}
    asked: dict[str, int] = {}
    for row in line_items:
        line_id, quantity = _line_and_quantity(row)
        if line_id not in left:
            raise RefusedError(404, "UNKNOWN_LINE_ITEMS", f"The order has no line item {line_id}")
        asked[line_id] = asked.get(line_id, 0) + quantity
    if any(quantity > left[line_id] for line_id, quantity in asked.items()):
        raise RefusedError(400, "NOT_ENOUGH_ITEMS_LEFT_TO_FULFILL", "A quantity is above what is left to fulfill")
    return asked


def _line_and_quantity(row: object) -> tuple[str, int]:
    line_id, quantity = (row.get("id"), row.get("quantity")) if isinstance(row, dict) else (None, None)
    if not isinstance(line_id, str) or isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
        raise RefusedError(400, "INVALID_LINE_ITEMS", "Each line item needs a string id and a quantity of at least 1")
    return line_id, quantity


def _fulfil(order: PurpleDotOrder, quantities: Mapping[str, int]) -> None:
    for line in order.lines:
        line.fulfilled += quantities.get(line.id, 0)
    if all(line.left <= 0 for line in order.lines):
        order.status = "FULFILLED"
