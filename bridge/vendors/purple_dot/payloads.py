"""Purple Dot's JSON: the fulfillment as we write it, and its answers as we read them (an order's
id, reference, status and lines, and nothing about the shopper).

Unknown to us, so each form is taken: a single order wrapped or bare, `meta.success` or
`meta.result`, a missing status, a missing quantity (read as 0: then nothing is left to deliver, and
a person looks), and the paging keys of /fulfillment-orders.
https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment-orders"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from bridge.domain.actions import CreateFulfillment
from bridge.domain.errors import PayloadError
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus

DEFAULT_LIMIT = 50  # rows on a page where `limit` is not heeded


def _text(value: object) -> object:
    """Ids may come as numbers; blank means absent, and what no database can store (NUL, half a
    character) goes."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode().strip() or None
    return str(value) if type(value) is int else value


def _time(value: object) -> datetime | None:
    """Aware UTC; what can't be read, or names no zone, is not known."""
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None


class IdRow(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)
    id: Annotated[str, BeforeValidator(_text)]

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, row: object) -> object:
        return (
            {name: value for name, value in row.items() if value is not None}
            if isinstance(row, Mapping)
            else row
        )


class LineRow(IdRow):
    quantity: int = 0
    sku: Annotated[str | None, BeforeValidator(_text)] = None


class OrderRow(IdRow):
    reference: Annotated[str | None, BeforeValidator(_text)] = None
    status: Any = None
    created_at: Annotated[datetime | None, BeforeValidator(_time)] = None
    purchased_at: Annotated[datetime | None, BeforeValidator(_time)] = None
    line_items: list[LineRow] = []


def fulfillment_body(action: CreateFulfillment) -> dict[str, Any]:
    """The exact JSON of `POST /fulfillment`: every line by id and quantity, and of the tracking
    what is known. https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment"""
    tracking = {
        "number": action.tracking.number,
        "company": action.tracking.company,
        "url": action.tracking.url,
    }
    return {
        "fulfillment": {
            "fulfillment_order_id": action.fulfillment_order_id,
            "line_items": [{"id": line.id, "quantity": line.quantity} for line in action.lines],
            "notify_customer": action.notify_customer,
            "tracking_info": {name: value for name, value in tracking.items() if value},
        }
    }


def order_of(row: object) -> FulfillmentOrder:
    """One order; PayloadError names the order and the field, never a value. A status may be
    missing; one that is there and none of the documented is no open order."""
    try:
        order = OrderRow.model_validate(row)
    except ValidationError as exc:
        order_id = row.get("id") if isinstance(row, Mapping) else None
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}"
            for e in exc.errors(include_input=False)[:5]
        )
        raise PayloadError(
            f"fulfillment order {str(order_id)[:40] if order_id else 'without id'}: {problems}"
        ) from exc
    status = _status(order.status)
    lines = tuple(
        OrderLine(id=line.id, quantity=line.quantity, sku=line.sku) for line in order.line_items
    )
    return FulfillmentOrder(
        id=order.id,
        reference=order.reference or "",
        status=status,
        lines=lines,
        created_at=order.created_at,
        purchased_at=order.purchased_at,
    )


def readable_order_of(row: object) -> FulfillmentOrder:
    """As `order_of`, but an order of which a line can't be read has no lines: a person looks at its
    own parcels, and no other order's parcels wait for it. PayloadError where even its id can't be
    read."""
    try:
        return order_of(row)
    except PayloadError:
        if not isinstance(row, Mapping):
            raise
        known = {name: row.get(name) for name in ("id", "status", "created_at", "purchased_at")}
        reference = _text(row.get("reference"))
        return order_of(known | {"reference": reference if isinstance(reference, str) else None})


def _status(written: object) -> OrderStatus | None:
    if written is None:
        return None
    text = str(written).strip().upper()
    return OrderStatus(text) if text in set(OrderStatus) else OrderStatus.UNKNOWN


def single_order(body: object) -> FulfillmentOrder:
    """The order of GET /fulfillment-orders/:id, whether `data` is the order, wraps it, or is left
    out."""
    return readable_order_of(_inner(_inner(body, "data"), "fulfillment_order"))


def order_rows(body: object) -> list[Any]:
    """The rows of GET /fulfillment-orders; PayloadError when there is no list."""
    rows = _inner(body, "data")
    if isinstance(rows, Mapping):
        rows = rows.get("fulfillment_orders")
    if not isinstance(rows, list):
        raise PayloadError("Purple Dot's answer has no list of fulfillment orders")
    return rows


def next_cursor(body: object, linked: str | None, *, limit: int, last_id: str) -> str | None:
    """The `starting_after` of the page after this one, or None: as `data` says, else as the link
    does, else judged by a full page."""
    inner = _inner(body, "data")
    page: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    if "has_more" in page or "starting_after" in page:
        cursor = _text(page.get("starting_after"))
        has_more = page.get("has_more", cursor)
        return str(cursor or last_id) if has_more else None
    if linked is not None:
        return parse_qs(urlsplit(linked).query).get("starting_after", [last_id])[0]
    return last_id if len(order_rows(body)) >= min(limit, DEFAULT_LIMIT) else None


def next_link(header: str) -> str | None:
    """The target of `rel="next"`; Purple Dot also writes `rel={next}`. RFC 8288."""
    match = re.search(r'<([^<>]*)>\s*(?:;[^,<>]*)?;\s*rel\s*=\s*["{]?next(?![\w-])', header)
    return match[1] if match else None


def refusal_in(body: object) -> bool:
    """Whether a 2xx says no: `meta.success` false, or a `meta.result` that is not "success"."""
    meta = body.get("meta") if isinstance(body, Mapping) else None
    return isinstance(meta, Mapping) and (
        meta.get("success") is False or str(meta.get("result") or "success").lower() != "success"
    )


def says_done(body: object) -> bool:
    """Whether the 2xx that answers `POST /fulfillment` says yes: success in its `meta`, or what was
    created, and no word of an error beside it. Its form is not documented, and what says neither
    yes nor no must be found out by reading the order."""
    if not isinstance(body, Mapping):
        return False
    parts = [
        part for part in (body, body.get("meta"), body.get("data")) if isinstance(part, Mapping)
    ]
    if any(_speaks_of_error(part) for part in parts):
        return False
    return any(_speaks_of_success(part) or _names_what_was_made(part) for part in parts)


def _speaks_of_error(part: Mapping[str, Any]) -> bool:
    if any(part.get(name) for name in ("error", "errors", "error_code", "exception")):
        return True
    if part.get("success", True) is not True:
        return True
    return str(part.get("status")).lower() in ("error", "fail", "failed", "failure")


def _speaks_of_success(part: Mapping[str, Any]) -> bool:
    if part.get("success") is True or part.get("ok") is True:
        return True
    words = {str(part.get(name)).lower() for name in ("result", "status")}
    return not words.isdisjoint({"success", "ok"})


def _names_what_was_made(part: Mapping[str, Any]) -> bool:
    names = ("id", "fulfillment_id", "fulfillment_order_id", "fulfillment", "fulfillment_order")
    return any(part.get(name) for name in names)


def fulfillment_id_in(body: object) -> str | None:
    """Purple Dot's id of a new fulfillment, where it is returned; the answer is not documented."""
    with suppress(ValidationError):
        return IdRow.model_validate(_inner(_inner(body, "data"), "fulfillment")).id
    return None


def _inner(node: object, key: str) -> Any:
    """What stands under `key`, or the node itself where it isn't wrapped."""
    return node[key] if isinstance(node, Mapping) and node.get(key) is not None else node
