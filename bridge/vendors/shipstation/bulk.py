"""What V2's lists show of many waiting webhooks, in as many calls as pages instead of two for each.

It only spares calls. What the lists do not surely show whole is left out, and is then read by the
webhook's own pointer: a batch that began before the stretch that was read, an order that was not
touched of late, a row that can't be read. https://docs.shipstation.com/openapi/labels"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bridge.domain.errors import PayloadError
from bridge.domain.events import Record
from bridge.vendors.shipstation import lists
from bridge.vendors.shipstation.client import ShipStation, ShipStationV2

BULK_FROM = 4
"""So many webhooks of one kind are worth a list; fewer are read one by one."""

_LOOKBACK = timedelta(hours=1)
_CLOCKS_DIFFER = timedelta(hours=1)
_BATCH_TAKES = timedelta(minutes=30)
"""The labels of one batch are made within so long; one that began less than this after the oldest
row that was read may have older rows."""
_WEBHOOKS_A_PAGE = 8
_ORDERS_A_PAGE = 4
"""A further page must spare at least so many calls, or nearly."""
_RECORDS_A_PAGE = 50
"""A further page of a list that is read for its older rows: the newest may show none of them."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a waiting webhook points, and when it was received."""

    url: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Preloaded:
    """`rows` of those pointers that the lists show whole, by URL; `orders` behind them, by id."""

    rows: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    orders: Mapping[str, Record] = field(default_factory=dict)


def is_bulk(url: str) -> bool:
    """Whether V2's lists can show what this URL points at."""
    return _batch_of(url) is not None or _fulfillment_of(url) is not None


def read_rows(
    client: ShipStationV2, pointers: Sequence[Pointer], *, now: datetime
) -> dict[str, list[Record]]:
    """The rows of each pointer that the lists show whole, by URL. Raises what the client raises."""
    rows: dict[str, list[Record]] = {}
    batches = {pointer.url: pointer for pointer in pointers if _batch_of(pointer.url)}
    if len(batches) >= BULK_FROM:
        listing = _Listing(client, "label", list(batches.values()), now)
        by_batch = listing.whole_batches()
        for url in batches:
            batch = _batch_of(url)
            if batch in by_batch:
                rows[url] = by_batch[batch]
    single = {pointer.url: pointer for pointer in pointers if _fulfillment_of(pointer.url)}
    if len(single) >= BULK_FROM:
        listing = _Listing(client, "fulfillment", list(single.values()), now)
        for url in single:
            listed = listing.rows.get(_fulfillment_of(url) or "")
            if listed is not None:
                rows[url] = [listed.record]
    return rows


def read_orders(
    client: ShipStationV2, order_ids: Collection[str], *, since: datetime
) -> dict[str, Record]:
    """Those of these orders (V2 calls them shipments) that were touched since then, as buying
    a label does. Raises what the client raises."""
    orders: dict[str, Record] = {}
    if len(order_ids) < BULK_FROM:
        return orders
    missing = set(order_ids)
    url = client.list_url(client.order, lists.v2_modified_since(since - _LOOKBACK))
    most_pages = max(1, len(order_ids) // _ORDERS_A_PAGE)
    for number, page in enumerate(client.pages(client.order, url), start=1):
        for raw in page:
            record = _readable(client.order, raw)
            if record is not None and record.record_id in missing:
                orders[record.record_id] = record
                missing.discard(record.record_id)
        if not missing or number >= most_pages:
            break
    return orders


def read_recent(
    client: ShipStation,
    listing: lists.Listing,
    wanted: Collection[str],
    *,
    since: datetime,
    now: datetime,
) -> list[Record]:
    """Those of the wanted records that a list shows, read from the newest back. Raises what the
    client raises."""
    found: dict[str, Record] = {}
    most_pages = max(1, len(wanted) // _RECORDS_A_PAGE)
    start, end = since - _LOOKBACK, now + _CLOCKS_DIFFER
    for page in client.recent(listing, start, end, max_pages=most_pages):
        found.update((row.record_id, row.record) for row in page if row.record_id in wanted)
        if len(found) == len(wanted):
            break
    return list(found.values())


class _Listing:
    """The newest rows of one list, back to an hour before the oldest of the pointers."""

    def __init__(
        self,
        client: ShipStationV2,
        resource: str,
        pointers: Sequence[Pointer],
        now: datetime,
    ) -> None:
        listing = lists.LISTS["v2", resource]
        start = min(pointer.received_at for pointer in pointers) - _LOOKBACK
        query = listing.query(start, now + _CLOCKS_DIFFER)
        most_pages = max(2, len(pointers) // _WEBHOOKS_A_PAGE)
        self.rows: dict[str, lists.Listed] = {}
        self._torn: set[str | None] = set()
        self._is_newest_first = True
        self._oldest: datetime | None = None
        self.whole_since: datetime | None = start
        url = client.list_url(listing.resource, query)
        for number, page in enumerate(client.pages(listing.resource, url), start=1):
            for raw in page:
                self._note(listing.kind, raw)
            if self._oldest is not None and self._oldest < start and self._is_newest_first:
                return
            if number >= most_pages:
                # The vendor may have more: only what is newer than the last row is surely whole.
                self.whole_since = self._oldest if self._is_newest_first else None
                return

    def _note(self, kind: str, raw: Any) -> None:
        try:
            row = lists.read(kind, raw)
        except PayloadError:
            self._torn.add(raw.get("batch_id") if isinstance(raw, dict) else None)
            return
        if row.record.record_id in self.rows:
            # Rows that came in while we read pushed this one to the next page.
            return
        self.rows[row.record.record_id] = row
        if row.created_at is None:
            self._torn.add(row.batch_id)
            return
        if self._oldest is not None and row.created_at > self._oldest:
            # The vendor does not sort as it was asked to: nothing says where the stretch ends.
            self._is_newest_first = False
        self._oldest = min(self._oldest or row.created_at, row.created_at)

    def whole_batches(self) -> dict[str, list[Record]]:
        """The rows of each batch, newest batch first, without those that may have more rows."""
        if self.whole_since is None:
            return {}
        surely_after = self.whole_since + _BATCH_TAKES
        batches: dict[str, list[Record]] = {}
        torn = set(self._torn)
        for row in self.rows.values():
            if row.batch_id is None:
                continue
            if row.created_at is None or row.created_at <= surely_after:
                torn.add(row.batch_id)
            batches.setdefault(row.batch_id, []).append(row.record)
        return {batch: records for batch, records in batches.items() if batch not in torn}


def _readable(resource: str, raw: Any) -> Record | None:
    try:
        return lists.read(f"v2_{resource}", raw).record
    except PayloadError:
        return None


def _batch_of(url: str) -> str | None:
    """The batch of labels that a URL asks for, and nothing else."""
    return _only(url, "/v2/labels", "batch_id", beside=())


def _fulfillment_of(url: str) -> str | None:
    return _only(url, "/v2/fulfillments", "fulfillment_id", beside=("shipment_id",))


def _only(url: str, path: str, name: str, *, beside: Collection[str]) -> str | None:
    split = urlsplit(url)
    query = parse_qs(split.query)
    if split.path.rstrip("/") != path or query.keys() - {name, *beside}:
        return None
    values = query.get(name, [])
    return values[0] if len(values) == 1 else None
