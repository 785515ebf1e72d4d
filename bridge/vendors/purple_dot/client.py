"""The calls we make to Purple Dot. Only `create_fulfillment` changes anything there, and nothing
there can take it back.

Unknown to us: the sort order and paging keys of its lists, whether references ignore case or a
leading `#` (so both forms are asked for and answers are compared again here), its rate limits, and
what it answers to a fulfillment. https://docs.getpurpledot.com/docs/purple-dot-apis/private-api"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urljoin

from bridge.domain.errors import PayloadError, PermanentError, TemporaryError, UnclearError
from bridge.domain.orders import FulfillmentOrder, normalize_reference
from bridge.domain.redaction import redact
from bridge.vendors.http import Answer, ApiClient
from bridge.vendors.purple_dot.payloads import (
    fulfillment_id_in,
    next_cursor,
    next_link,
    order_rows,
    readable_order_of,
    refusal_in,
    says_done,
    single_order,
)

LIMIT = 250
REFERENCES_A_CALL = 50
MAX_PAGES = 1_000
KEPT_OF_AN_ANSWER = frozenset(
    {
        "id",
        "fulfillment_order_id",
        "reference",
        "status",
        "result",
        "success",
        "code",
        "request_id",
        "quantity",
    }
)
"""What a receipt may repeat of Purple Dot's answer, which is not documented and could name the
shopper."""


@dataclass(frozen=True, slots=True)
class FulfillmentReceipt:
    """Proof of a fulfillment: Purple Dot's id for it where it returns one, and a redacted form of
    its answer, of at most 2,000 characters."""

    purple_dot_fulfillment_id: str | None
    status: int
    answer: str


class PurpleDot:
    """`base_url` ends in `/admin/api/v1`. Errors are those of ApiClient, and PermanentError where a
    2xx says no in its `meta`."""

    def __init__(self, api: ApiClient, base_url: str) -> None:
        self._api, self._base_url = api, base_url.rstrip("/")

    def order(self, fulfillment_order_id: str) -> FulfillmentOrder:
        """One order as it is now; NotFoundError, or PayloadError if Purple Dot answers with another
        order.
        https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment-orders-id-uuid"""
        if not fulfillment_order_id.strip("."):
            # It would climb to another path.
            raise PayloadError(f"{fulfillment_order_id!r} is no id of a fulfillment order")
        url = f"{self._base_url}/fulfillment-orders/{quote(fulfillment_order_id, safe='')}"
        order = single_order(self._get("fulfillment_order", url).body)
        if order.id.lower() != fulfillment_order_id.lower():
            raise PayloadError(
                f"Purple Dot answered with order {order.id} when asked for {fulfillment_order_id}"
            )
        return order

    def orders_by_reference(self, references: Collection[str]) -> list[FulfillmentOrder]:
        """The orders of these references and no others, one call for each 50 of them; a reference
        may have none or several orders.
        https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment-orders"""
        normalized = sorted({normalize_reference(reference) for reference in references} - {""})
        orders: dict[str, FulfillmentOrder] = {}
        for start in range(0, len(normalized), REFERENCES_A_CALL):
            batch = normalized[start : start + REFERENCES_A_CALL]
            spellings = [
                spelling for reference in batch for spelling in (reference, f"#{reference}")
            ]
            joined = ",".join(quote(spelling, safe="") for spelling in spellings)
            for order in self._orders(f"references={joined}"):
                if normalize_reference(order.reference) in batch:
                    orders[order.id] = order
        return list(orders.values())

    def orders_created_since(self, since: datetime) -> Iterator[FulfillmentOrder]:
        """The orders that became ready to be fulfilled since `since` (aware), page by page as they
        are read.
        https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment-orders"""
        created_at_min = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return self._orders(f"created_at_min={quote(created_at_min, safe='')}")

    def sample(self) -> object:
        """A few orders as they came, for a look at their shape, or only at whether we are let
        in."""
        return self._get("fulfillment_orders", f"{self._base_url}/fulfillment-orders?limit=10").body

    def create_fulfillment(
        self, body: dict[str, Any], *, not_after: float | None = None
    ) -> FulfillmentReceipt:
        """Create one fulfillment, once: it is never repeated here (whether Purple Dot recognizes a
        repetition is not documented). UnclearError where it may have been created; ThrottledError,
        with nothing sent, when its turn comes after `not_after`, a moment of the monotonic clock.
        https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment"""
        answer = self._api.send(
            "create_fulfillment",
            "POST",
            f"{self._base_url}/fulfillment",
            body,
            check_answer=self._check_done,
            not_after=not_after,
        )
        text = kept_of(answer.body)
        return FulfillmentReceipt(fulfillment_id_in(answer.body), answer.status, text)

    def _check_done(self, answer: Answer) -> None:
        """A 2xx that is no clear yes, and no clear no, is unclear."""
        self._accepted("create_fulfillment", answer)
        is_plain_yes = answer.status == 204 and answer.body is None
        if not is_plain_yes and not says_done(answer.body):
            name = self._api.name_of("create_fulfillment")
            text = f"{name}: answered {answer.status} without saying yes or no"
            words = self._api.words_in(answer.body)
            raise UnclearError(f"{text}: {words}".removesuffix(": "))

    def _orders(self, query: str) -> Iterator[FulfillmentOrder]:
        """All pages, each order once; ends at an empty page, or at one that brings nothing new."""
        seen: set[str] = set()
        url = first = f"{self._base_url}/fulfillment-orders?{query}&limit={LIMIT}"
        for _ in range(MAX_PAGES):
            answer = self._get("fulfillment_orders", url)
            page = _readable_orders(order_rows(answer.body))
            fresh = [order for order in page if order.id not in seen]
            yield from fresh
            seen |= {order.id for order in fresh}
            if (linked := next_link(answer.headers.get("Link", ""))) is not None:
                self._api.check_origin(urljoin(url, linked))
            cursor = (
                next_cursor(answer.body, linked, limit=LIMIT, last_id=page[-1].id)
                if fresh
                else None
            )
            if cursor is None:
                return
            url = f"{first}&starting_after={quote(cursor, safe='')}"
        raise PermanentError(
            f"Purple Dot's list of fulfillment orders has more than {MAX_PAGES} pages",
            reason=PayloadError.reason,
        )

    def _get(self, operation: str, url: str) -> Answer:
        answer = self._accepted(operation, self._api.get(operation, url))
        if answer.body is None:
            name = self._api.name_of(operation)
            raise TemporaryError(f"{name}: answered {answer.status} without a body")
        return answer

    def _accepted(self, operation: str, answer: Answer) -> Answer:
        if refusal_in(answer.body):
            words = self._api.words_in(answer.body) or "no reason given"
            raise PermanentError(
                f"{self._api.name_of(operation)}: answered {answer.status} but refused: {words}",
                status=answer.status,
                body=answer.body,
            )
        return answer


def _readable_orders(rows: Sequence[object]) -> list[FulfillmentOrder]:
    """A row without an id is no order, and no other row's trouble; where that is all there is,
    PayloadError: then the form of the answer has changed."""
    orders: list[FulfillmentOrder] = []
    problem: PayloadError | None = None
    for row in rows:
        try:
            orders.append(readable_order_of(row))
        except PayloadError as exc:
            problem = exc
    if problem is not None and not orders:
        raise problem
    return orders


def kept_of(body: object) -> str:
    """What is kept of an answer: the fields that can't be a person's, in at most 2,000
    characters."""
    return json.dumps(redact(body, KEPT_OF_AN_ANSWER), separators=(",", ":"))[:2000]
