"""What we ask ShipStation, V2 and V1: every page of a list, or one thing by its id, as records.

Unknown to us: the largest page_size of V2's labels and shipments (500 is documented for fulfillments only), and whether pages can shift
while we read. So paging goes by number until nothing speaks of more, and a row that comes twice counts once. Wrong parameter names are
silently ignored by V2, so nothing here relies on a filter alone.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import quote, urlencode, urljoin

from bridge.api_client import ApiClient
from bridge.errors import PayloadError, PermanentError, TemporaryError
from bridge.events import Record
from bridge.shipstation.payloads import page_of, record_of

MAX_PAGES = 1_000
Query = Mapping[str, str]


class _Lists:
    """Reads lists of one API version; `path_prefix`, `size_name` and `size` are all that differ between the two."""

    path_prefix: str
    size_name: str
    size: int

    def __init__(self, api: ApiClient, base_url: str) -> None:
        self._api, self._base_url = api, base_url.rstrip("/")

    def _url(self, key: str, query: str | Query) -> str:
        if isinstance(query, str):
            return query
        return f"{self._base_url}{self.path_prefix}/{key}?{urlencode(query, quote_via=quote)}"

    def _records(self, key: str, kind: str, url: str, *, wanted: Collection[str] = ()) -> list[Record]:
        """All rows of all pages in the order they came, each id once; stops early when all ids in `wanted` have come."""
        found: dict[str, Record] = {}
        for records in self._pages(key, kind, _with_default(url, self.size_name, str(self.size))):
            fresh = {record.record_id: record for record in records if record.record_id not in found}
            found |= fresh
            # A page that brings nothing new is one that we were given before.
            if not fresh or (wanted and found.keys() >= set(wanted)):
                break
        return list(found.values())

    def _pages(self, key: str, kind: str, url: str) -> Iterator[list[Record]]:
        rows_so_far = 0
        for number in range(1, MAX_PAGES + 1):
            page = page_of(key, self._api.get(key, _with(url, "page", str(number))).body)
            rows_so_far += len(page.rows)
            if page.next_url:
                self._api.check_origin(urljoin(url, page.next_url))
            yield [record_of(kind, row) for row in page.rows]
            if page.is_last(number=number, rows_so_far=rows_so_far):
                return
        raise PermanentError(f"ShipStation's list of {key} has more than {MAX_PAGES} pages", reason=PayloadError.reason)

    def _one(self, operation: str, kind: str, key: str, record_id: str) -> Record:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", record_id, re.ASCII):
            raise PayloadError(f"{record_id[:40]!r} is no id of a ShipStation {operation}")
        body = self._api.get(operation, f"{self._base_url}{self.path_prefix}/{key}/{record_id}").body
        if body is None:
            raise TemporaryError(f"ShipStation answered nothing for {operation} {record_id}")
        return record_of(kind, body)

    def _on_first_page(self, key: str, kind: str, query: Query) -> Record | None:
        """The row that `query` (one name, one id) asks for, on one page only: an ignored filter must not make us read everything."""
        (record_id,) = query.values()
        url = _with_default(self._url(key, query), self.size_name, str(self.size))
        records = next(self._pages(key, kind, url))
        return next((record for record in records if record.record_id == record_id), None)


class ShipStationV2(_Lists):
    """https://docs.shipstation.com/openapi · lists take an absolute resource_url (its own query is kept) or a query as a dict."""

    path_prefix = "/v2"
    size_name = "page_size"
    size = 100

    def labels(self, url_or_query: str | Query) -> list[Record]:
        """`v2_label` records, all pages; a URL of one label gives one. https://docs.shipstation.com/openapi/labels"""
        return self._records("labels", "v2_label", self._url("labels", url_or_query))

    def label(self, label_id: str) -> Record:
        """One `v2_label` as it is now; NotFoundError. https://docs.shipstation.com/openapi/labels"""
        return self._one("label", "v2_label", "labels", label_id)

    def fulfillments(self, url_or_query: str | Query) -> list[Record]:
        """`v2_fulfillment` records, all pages. https://docs.shipstation.com/openapi/fulfillments"""
        return self._records("fulfillments", "v2_fulfillment", self._url("fulfillments", url_or_query))

    def fulfillment(self, fulfillment_id: str) -> Record | None:
        """One `v2_fulfillment` as it is now; the API has no call for one, only a filter. https://docs.shipstation.com/openapi/fulfillments"""
        return self._on_first_page("fulfillments", "v2_fulfillment", {"fulfillment_id": fulfillment_id})

    def shipments(self, url_or_query: str | Query, *, wanted: Collection[str] = ()) -> list[Record]:
        """`v2_shipment` records, all pages or until all ids in `wanted` have come. https://docs.shipstation.com/openapi/shipments"""
        return self._records("shipments", "v2_shipment", self._url("shipments", url_or_query), wanted=wanted)

    def shipment(self, shipment_id: str) -> Record:
        """One `v2_shipment` with its items; NotFoundError. https://docs.shipstation.com/openapi/shipments"""
        return self._one("shipment", "v2_shipment", "shipments", shipment_id)


class ShipStationV1(_Lists):
    """https://www.shipstation.com/docs/api/ · lists take an absolute resource_url, on whichever numbered host, or a query as a dict."""

    path_prefix = ""
    size_name = "pageSize"
    size = 500

    def shipments(self, url_or_query: str | Query) -> list[Record]:
        """`v1_shipment` records with their items, which V1 leaves out unless told. https://www.shipstation.com/docs/api/shipments/list/"""
        url = _with(self._url("shipments", url_or_query), "includeShipmentItems", "True")
        return self._records("shipments", "v1_shipment", url)

    def shipment(self, shipment_id: str) -> Record | None:
        """One `v1_shipment` as it is now, by a filter that V1 does not document. https://www.shipstation.com/docs/api/shipments/list/"""
        return self._on_first_page("shipments", "v1_shipment", {"shipmentId": shipment_id})

    def fulfillments(self, url_or_query: str | Query) -> list[Record]:
        """`v1_fulfillment` records, all pages; they never have items. https://www.shipstation.com/docs/api/fulfillments/list-fulfillments/"""
        return self._records("fulfillments", "v1_fulfillment", self._url("fulfillments", url_or_query))

    def fulfillment(self, fulfillment_id: str) -> Record | None:
        """One `v1_fulfillment` as it is now. https://www.shipstation.com/docs/api/fulfillments/list-fulfillments/"""
        return self._on_first_page("fulfillments", "v1_fulfillment", {"fulfillmentId": fulfillment_id})

    def orders(self, url_or_query: str | Query) -> list[Record]:
        """`v1_order` records, all pages. https://www.shipstation.com/docs/api/orders/list-orders/"""
        return self._records("orders", "v1_order", self._url("orders", url_or_query))

    def order(self, order_id: str) -> Record:
        """One `v1_order` with items and custom fields; NotFoundError. https://www.shipstation.com/docs/api/orders/get-order/"""
        return self._one("order", "v1_order", "orders", order_id)


def _with(url: str, name: str, value: str) -> str:
    """`url` with this parameter and no other of its name, whatever the case; the rest of the query stays byte for byte."""
    path, _, query = url.partition("?")
    kept = [part for part in query.split("&") if part and part.partition("=")[0].lower() != name.lower()]
    return f"{path}?{'&'.join([*kept, f'{name}={value}'])}"


def _with_default(url: str, name: str, value: str) -> str:
    query = url.partition("?")[2]
    has_own = any(part.partition("=")[0].lower() == name.lower() for part in query.split("&"))
    return url if has_own else _with(url, name, value)
