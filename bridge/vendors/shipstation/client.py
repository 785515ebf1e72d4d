"""What we ask ShipStation, V2 and V1: every page of a list, or one thing by its id, as records.

Unknown to us: the largest page_size of V2's labels and shipments (500 is documented for
fulfillments only), and whether pages can shift while we read. So paging goes by number until
nothing speaks of more, and a row that comes twice counts once. Wrong parameter names are silently
ignored by V2, so nothing here relies on a filter alone."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urljoin

from bridge.domain.errors import NotFoundError, PayloadError, PermanentError, TemporaryError
from bridge.domain.events import Record
from bridge.vendors.http import ApiClient
from bridge.vendors.shipstation.mark_shipped import Marker
from bridge.vendors.shipstation.payloads import page_of, record_of, record_of_any
from bridge.vendors.shipstation.subscriptions import SubscriptionsV1, SubscriptionsV2

MAX_PAGES = 1_000
Query = Mapping[str, str]


class ShipStation:
    """Reads one API version, V2 or V1; the class attributes are all that differs. A `thing` is
    "label", "fulfillment" and so on."""

    version: str
    path_prefix: str
    page_size: tuple[str, str]
    order: str  # what this version calls an order
    order_id: str
    parcels: tuple[
        str, ...
    ]  # the things that name their order by `order_id`, and can be asked for by it
    filters: Mapping[str, str]  # things that no call gives by their id: the list's filter that does
    always: Mapping[str, tuple[str, str]] = {}  # what every list of a thing is asked with

    def __init__(self, api: ApiClient, base_url: str) -> None:
        self._api, self._base_url = api, f"{base_url.rstrip('/')}{self.path_prefix}"

    def every(
        self, thing: str, query: str | Query, *, wanted: Collection[str] = ()
    ) -> list[Record]:
        """All rows of all pages in the order they came, each id once; stops early when all ids in
        `wanted` have come. `query` is an absolute resource_url, whose own query is kept (one
        thing's URL gives that one), or the query alone."""
        found: dict[str, Record] = {}
        for records in self._pages(thing, query):
            fresh = {
                record.record_id: record for record in records if record.record_id not in found
            }
            found |= fresh
            # A page that brings nothing new is one that we were given before.
            if not fresh or (wanted and found.keys() >= set(wanted)):
                break
        return list(found.values())

    def one(self, thing: str, record_id: str) -> Record:
        """One thing as it is now; NotFoundError."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", record_id, re.ASCII):
            raise PayloadError(f"{record_id[:40]!r} is no id of a ShipStation {thing}")
        if thing in self.filters:
            # One page only: an ignored filter must not make us read everything.
            for record in next(self._pages(thing, {self.filters[thing]: record_id})):
                if record.record_id == record_id:
                    return record
            raise NotFoundError(
                f"ShipStation lists no {thing} {record_id}", reason=PayloadError.reason
            )
        body = self._api.get(thing, f"{self._base_url}/{thing}s/{record_id}").body
        if body is None:
            raise TemporaryError(f"ShipStation answered nothing for {thing} {record_id}")
        return record_of(f"{self.version}_{thing}", body)

    def url(self, thing: str, query: str) -> str:
        """Where a list of things is, narrowed to `query`."""
        return f"{self._base_url}/{thing}s?{query}"

    def sample(self, thing: str) -> object:
        """A list's first page as it came, for a look at its shape."""
        url = _with(self.url(thing, ""), self.page_size[0], "25")
        return self._api.get(
            f"{thing}s", _with(url, *self.always[thing]) if thing in self.always else url
        ).body

    def _pages(self, thing: str, query: str | Query) -> Iterator[list[Record]]:
        return (
            [record_of_any(f"{self.version}_{thing}", row) for row in rows]
            for rows in self.rows(thing, query)
        )

    def rows(self, thing: str, query: str | Query) -> Iterator[tuple[Any, ...]]:
        """Page by page as they are read, each row as ShipStation writes it."""
        url = (
            query if isinstance(query, str) else self.url(thing, urlencode(query, quote_via=quote))
        )
        url, rows_so_far = _with(url, *self.page_size, replace=False), 0
        url = _with(url, *self.always[thing]) if thing in self.always else url
        for number in range(1, MAX_PAGES + 1):
            page = page_of(
                f"{thing}s", self._api.get(f"{thing}s", _with(url, "page", str(number))).body
            )
            rows_so_far += len(page.rows)
            if page.next_url:
                self._api.check_origin(urljoin(url, page.next_url))
            yield page.rows
            if page.is_last(number=number, rows_so_far=rows_so_far):
                return
        raise PermanentError(
            f"ShipStation's list of {thing}s has more than {MAX_PAGES} pages",
            reason=PayloadError.reason,
        )


class ShipStationV2(ShipStation):
    """https://docs.shipstation.com/openapi/labels, /fulfillments and /shipments"""

    version, path_prefix, page_size = "v2", "/v2", ("page_size", "100")
    order, order_id, parcels = "shipment", "shipment_id", ("label", "fulfillment")
    filters: Mapping[str, str] = {"fulfillment": "fulfillment_id"}

    def marker(self) -> Marker:
        """What marks shipments as shipped, over the same connections and budget."""
        return Marker(self._api, self._base_url)

    def subscriptions(self) -> SubscriptionsV2:
        """Who hears of what, over the same connections and budget."""
        return SubscriptionsV2(self._api, self._base_url)


class ShipStationV1(ShipStation):
    """https://www.shipstation.com/docs/api/shipments/list/ (undocumented: the filter; items come
    only when asked for), /docs/api/fulfillments/list-fulfillments/, /docs/api/orders/list-orders/
    and /docs/api/orders/get-order/"""

    version, path_prefix, page_size = "v1", "", ("pageSize", "500")
    order, order_id, parcels = "order", "orderId", ("fulfillment",)
    filters: Mapping[str, str] = {"shipment": "shipmentId", "fulfillment": "fulfillmentId"}
    always: Mapping[str, tuple[str, str]] = {"shipment": ("includeShipmentItems", "True")}

    def subscriptions(self) -> SubscriptionsV1:
        """Who hears of what, over the same connections and budget."""
        return SubscriptionsV1(self._api, self._base_url)


def _with(url: str, name: str, value: str, *, replace: bool = True) -> str:
    """`url` with this parameter and no other of its name, whatever the case; the rest of the query
    stays byte for byte."""
    path, _, query = url.partition("?")
    parts = [part for part in query.split("&") if part]
    others = [part for part in parts if part.partition("=")[0].lower() != name.lower()]
    return (
        url
        if len(others) < len(parts) and not replace
        else f"{path}?{'&'.join([*others, f'{name}={value}'])}"
    )
