"""What we ask ShipStation, V2 and V1: the rows of a list, or one record by its id.

Unknown to us: the largest page_size of V2's labels and shipments (500 is documented for
fulfillments only), and whether pages can shift while we read. So the largest page is asked for and
whatever comes is taken, paging goes by number until nothing speaks of more, and a row that comes
twice counts once. Wrong parameter names are silently ignored by V2, so nothing here relies on a
filter alone."""

import re
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import structlog

from bridge.domain.errors import (
    BridgeError,
    ForeignUrlError,
    NotFoundError,
    PayloadError,
    PermanentError,
    TemporaryError,
)
from bridge.domain.events import Record
from bridge.vendors.http import ApiClient
from bridge.vendors.shipstation.lists import AN_HOUR, Listed, Listing, read
from bridge.vendors.shipstation.mark_shipped import Marker
from bridge.vendors.shipstation.payloads import carrier_names_in, page_of, record_of, record_of_any
from bridge.vendors.shipstation.subscription_calls import SubscriptionsV1, SubscriptionsV2

log = structlog.get_logger(__name__)

MAX_PAGES = 1_000
"""Of a list that the sweep reads."""

MAX_OLD_PAGES = 10
"""Of V2's lists of voids, pages in a row without a late one. They are sorted by the last change of
any sort, so that one such page says little."""

MAX_ROWS_OF_AN_EVENT, MAX_PAGES_OF_AN_EVENT = 5_000, 200
"""What one webhook may point at: more is no batch of labels but the account's whole list."""

_SMALLER_PAGE = "100"
_CARRIERS_LAST = timedelta(days=1).total_seconds()
_CARRIERS_AGAIN = timedelta(minutes=10).total_seconds()
Query = Mapping[str, str]


@dataclass(slots=True)
class _CarrierNames:
    """The account's carriers by code, and until when they count as known."""

    by_code: Mapping[str, str] = field(default_factory=dict)
    until: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class ShipStation:
    """Reads one API version, V2 or V1; the class attributes are all that differs. A `resource` is
    "label", "fulfillment" and so on."""

    version: str
    path_prefix: str
    page_size: tuple[str, str]
    order: str
    """What this version calls an order."""
    order_id: str
    parcels: tuple[str, ...]
    """The resources that name their order by `order_id`, and can be asked for by it."""
    filters: Mapping[str, str]
    """For resources that no call gives by their id: the list's filter that does."""
    always: Mapping[str, tuple[str, str]] = {}
    """What every list of a resource is asked with."""

    def __init__(self, api: ApiClient, base_url: str) -> None:
        self._api = api
        self._base_url = f"{base_url.rstrip('/')}{self.path_prefix}"
        self._smaller_pages: set[str] = set()
        self._carriers = _CarrierNames()

    def all_rows(
        self, resource: str, query: str | Query, *, ids: Collection[str] = ()
    ) -> list[Record]:
        """All rows of all pages in the order they came, each id once; stops early when all `ids`
        have come. `query` is an absolute resource_url, whose own query is kept (one record's URL
        gives that one), or the query alone. PermanentError for a list longer than an event can
        be."""
        records: dict[str, Record] = {}
        for rows in self.pages(resource, query, max_pages=MAX_PAGES_OF_AN_EVENT):
            before = len(records)
            for row in rows:
                record = record_of_any(f"{self.version}_{resource}", row)
                records.setdefault(record.record_id, record)
            # A page that brings nothing new is one that we were given before.
            if len(records) == before or (ids and records.keys() >= set(ids)):
                break
            if len(records) > MAX_ROWS_OF_AN_EVENT:
                raise _too_long(resource, f"{MAX_ROWS_OF_AN_EVENT} rows")
        return list(records.values())

    def get(self, resource: str, record_id: str) -> Record:
        """One record as it is now; NotFoundError."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", record_id, re.ASCII):
            raise PayloadError(f"{record_id[:40]!r} is no id of a ShipStation {resource}")
        if resource in self.filters:
            return self._get_from_list(resource, record_id)
        body = self._api.get(resource, f"{self._base_url}/{resource}s/{record_id}").body
        if body is None:
            raise TemporaryError(f"ShipStation answered nothing for {resource} {record_id}")
        return record_of(f"{self.version}_{resource}", body)

    def _get_from_list(self, resource: str, record_id: str) -> Record:
        # One page only: an ignored filter must not make us read everything.
        query = {self.filters[resource]: record_id}
        for row in next(self.pages(resource, query)):
            record = record_of_any(f"{self.version}_{resource}", row)
            if record.record_id == record_id:
                return record
        raise NotFoundError(
            f"ShipStation lists no {resource} {record_id}", reason=PayloadError.reason
        )

    def recent(
        self,
        listing: Listing,
        start: datetime,
        end: datetime,
        *,
        is_voids: bool = False,
        max_pages: int | None = None,
    ) -> Iterator[list[Listed]]:
        """The rows that were created (with `is_voids`: voided) between `start` and `end`, newest
        first, page by page as they are read; each once, and rows that can't be read left out.
        Ends where everything is older, filter or no filter, and after `max_pages` in silence: what
        is then missing is older than what came."""
        url = self.list_url(listing.resource, listing.query(start, end, is_voids=is_voids))
        oldest = start - AN_HOUR
        ids: set[str] = set()
        old_pages = 0
        for rows in self.pages(listing.resource, url, max_pages=max_pages, is_cut=True):
            listed = [row for row in _read_rows(listing.kind, rows) if row.record_id not in ids]
            ids.update(row.record_id for row in listed)
            fresh = [row for row in listed if row.since(is_voids=is_voids) >= oldest]
            if fresh:
                yield fresh
            old_pages = 0 if fresh else old_pages + 1
            is_over = listing.is_over(listed, oldest=oldest, is_voids=is_voids)
            if is_over or not listed or old_pages > MAX_OLD_PAGES:
                return

    def carrier_names(self) -> Mapping[str, str]:
        """What the account calls its carriers, by carrier code; read once a day, and empty while it
        can't be read. https://docs.shipstation.com/openapi/carriers (V2),
        https://www.shipstation.com/docs/api/carriers/list/ (V1)"""
        carriers = self._carriers
        with carriers.lock:
            if time.monotonic() >= carriers.until:
                try:
                    body = self._api.get("carriers", f"{self._base_url}/carriers").body
                    carriers.by_code = carrier_names_in(body)
                    carriers.until = time.monotonic() + _CARRIERS_LAST
                except BridgeError:  # A parcel goes out under the name that its code gives.
                    carriers.until = time.monotonic() + _CARRIERS_AGAIN
            return carriers.by_code

    def list_url(self, resource: str, query: str) -> str:
        """Where a list of a resource is, narrowed to `query`."""
        return f"{self._base_url}/{resource}s?{query}"

    def sample(self, resource: str) -> object:
        """A list's first page as it came, for a look at its shape."""
        url = self._asked(resource, _with(self.list_url(resource, ""), self.page_size[0], "25"))
        return self._api.get(f"{resource}s", url).body

    def pages(
        self,
        resource: str,
        query: str | Query,
        *,
        max_pages: int | None = None,
        is_cut: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        """Page by page as they are read, each row as ShipStation writes it. After `max_pages` that
        is PermanentError, or, with `is_cut`, the end."""
        max_pages = MAX_PAGES if max_pages is None else max_pages
        url = query if isinstance(query, str) else self._url_of(resource, query)
        url = self._asked(resource, url)
        count = 0
        for number in range(1, max_pages + 1):
            page = page_of(f"{resource}s", self._page(resource, url, number))
            count += len(page.rows)
            if page.next_url:
                self._api.check_origin(urljoin(url, page.next_url))
            yield page.rows
            if page.is_last(number=number, rows_so_far=count):
                return
        if not is_cut:
            raise _too_long(resource, f"{max_pages} pages")

    def _page(self, resource: str, url: str, number: int) -> object:
        """The largest page that is documented anywhere; a smaller one where that is refused."""
        name, largest = self.page_size
        size = _SMALLER_PAGE if resource in self._smaller_pages else largest
        sized = _with(url, name, size, replace=False)
        try:
            return self._api.get(f"{resource}s", _with(sized, "page", str(number))).body
        except (NotFoundError, ForeignUrlError):
            raise
        except PermanentError as exc:
            is_too_large = exc.reason is PayloadError.reason and size != _SMALLER_PAGE
            if not is_too_large or number > 1 or sized == url:
                raise
        self._smaller_pages.add(resource)
        return self._page(resource, url, number)

    def _url_of(self, resource: str, query: Query) -> str:
        return self.list_url(resource, urlencode(query, quote_via=quote))

    def _asked(self, resource: str, url: str) -> str:
        return _with(url, *self.always[resource]) if resource in self.always else url


class ShipStationV2(ShipStation):
    """https://docs.shipstation.com/openapi/labels, /fulfillments and /shipments"""

    version, path_prefix, page_size = "v2", "/v2", ("page_size", "500")
    order, order_id, parcels = "shipment", "shipment_id", ("label", "fulfillment")
    filters: Mapping[str, str] = {"fulfillment": "fulfillment_id"}

    def marker(self) -> Marker:
        """What marks shipments as shipped, over the same connections and budget."""
        return Marker(self._api, self._base_url)

    def subscriptions(self) -> SubscriptionsV2:
        """Which events go where, over the same connections and budget."""
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
        """Which events go where, over the same connections and budget."""
        return SubscriptionsV1(self._api, self._base_url)


def _read_rows(kind: str, rows: Iterable[object]) -> Iterator[Listed]:
    """A row that can't be read must not stop the others."""
    for row in rows:
        try:
            yield read(kind, row)
        except PayloadError as exc:
            log.warning("row_unreadable", kind=kind, error=str(exc)[:300])


def _too_long(resource: str, bound: str) -> PermanentError:
    return PermanentError(
        f"ShipStation's list of {resource}s has more than {bound}", reason=PayloadError.reason
    )


def _with(url: str, name: str, value: str, *, replace: bool = True) -> str:
    """`url` with this parameter and no other of its name, whatever the case; the rest of the query
    stays byte for byte."""
    path, _, query = url.partition("?")
    parts = [part for part in query.split("&") if part]
    others = [part for part in parts if part.partition("=")[0].lower() != name.lower()]
    if len(others) < len(parts) and not replace:
        return url
    return f"{path}?{'&'.join([*others, f'{name}={value}'])}"
