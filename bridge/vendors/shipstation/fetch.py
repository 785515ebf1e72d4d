"""What to ask ShipStation for one event: the rows behind its resource_url, then what those rows
leave out, in as few calls as will do.

Neither a V2 label nor any fulfillment names the goods; those stand on the order behind it. A V1
label names them, but only its order says which other orders were merged into it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bridge.domain.errors import (
    CredentialsError,
    ForeignUrlError,
    NotFoundError,
    PermanentError,
)
from bridge.domain.events import Record
from bridge.domain.orders import UUID, is_uuid, likely_references, sure_references
from bridge.vendors.shipstation.bulk import (
    BULK_FROM,
    Pointer,
    Preloaded,
    read_orders,
    read_recent,
    read_rows,
)
from bridge.vendors.shipstation.client import ShipStation, ShipStationV1, ShipStationV2
from bridge.vendors.shipstation.lists import LISTS as LISTINGS

LISTS = {
    "/v2/labels": ("v2", "label"),
    "/v2/fulfillments": ("v2", "fulfillment"),
    "/v2/shipments": ("v2", "shipment"),
    "/shipments": ("v1", "shipment"),
    "/fulfillments": ("v1", "fulfillment"),
    "/orders": ("v1", "order"),
}
"""Each path a resource_url may have: the API version and what it lists."""
SETTINGS = {
    "v2": "BRIDGE_SHIPSTATION_API_KEY",
    "v1": "BRIDGE_SHIPSTATION_V1_API_KEY and its secret",
}
NOTHING_PRELOADED = Preloaded()
UNFINISHED_LABELS = frozenset({"voided", "error", "processing"})
RowsRead = Callable[[Sequence[Record]], None]
"""Is shown the rows of an event before the orders behind them are asked for."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Reads live data, not the state at the time of the event. A client is None where its key is
    not set. Whatever the client raises passes through; CredentialsError where the key for an API
    version is not set."""

    v2: ShipStationV2 | None
    v1: ShipStationV1 | None
    reads_custom_fields: bool = False
    """On V1 a label names its goods, but only its order holds custom fields: whether to ask for
    each order, one more call a parcel."""
    pattern: re.Pattern[str] | None = None
    """What an order number of Purple Dot's looks like. A V1 label with such a number is looked at
    with its order, if it holds more than a merge of two orders needs."""

    def preload(self, pointers: Sequence[Pointer], *, now: datetime) -> Preloaded:
        """What V2's lists show of many waiting webhooks, to be handed to `fetch`. It only spares
        calls: what it leaves out is read one by one."""
        if self.v2 is None or len(pointers) < BULK_FROM:
            return NOTHING_PRELOADED
        rows = read_rows(self.v2, pointers, now=now)
        records = [record for listed in rows.values() for record in listed]
        order_ids = dict.fromkeys(self._order_ids(self.v2, records))
        since = min(pointer.received_at for pointer in pointers)
        return Preloaded(rows, read_orders(self.v2, order_ids, since=since))

    def fetch(
        self,
        resource_url: str,
        preloaded: Preloaded = NOTHING_PRELOADED,
        *,
        on_rows: RowsRead | None = None,
    ) -> list[Record]:
        """The rows behind `resource_url` (checked before by `webhook.check_resource_url`) in their
        order, then the orders behind them; without a call for what was preloaded. `on_rows` is
        called in between, where an order has to be asked for."""
        split = urlsplit(resource_url)
        version, resource = _list_of(split.path)
        client = self._client(version)
        rows = preloaded.rows.get(resource_url)
        if rows is None:
            rows = client.all_rows(resource, resource_url)
        if resource == client.order:
            return [*rows, *_parcels_of(client, rows)]
        batch_ids = parse_qs(split.query).get("batch_id", [])
        fetched = preloaded.orders
        is_missing = any(order_id not in fetched for order_id in self._order_ids(client, rows))
        if on_rows is not None and is_missing:
            on_rows(rows)
        orders = self._orders_behind(client, rows, batch_ids=batch_ids, fetched=fetched)
        return [*rows, *orders]

    def current(self, kind: str, record_id: str) -> Record | None:
        """The same record as it is now; None where ShipStation shows no such thing, or, for an
        inline row, never had one."""
        version, _, resource = kind.partition("_")
        if version not in SETTINGS:
            return None
        with suppress(NotFoundError):
            return self._client(version).get(resource, record_id)
        return None

    def recent(
        self, kind: str, record_ids: Collection[str], *, since: datetime, now: datetime
    ) -> list[Record]:
        """Those of these records that ShipStation's list shows as made since then, as they are now,
        in as few calls as pages. Empty where the key is not set, or for a kind without a list."""
        version, _, resource = kind.partition("_")
        client = self.v2 if version == "v2" else self.v1
        listing = LISTINGS.get((version, resource))
        if client is None or listing is None:
            return []
        return read_recent(client, listing, record_ids, since=since, now=now)

    def again(self, kind: str, record_id: str) -> list[Record]:
        """The same record as it is now, and the order behind it; nothing where `current` finds
        none."""
        record = self.current(kind, record_id)
        if record is None:
            return []
        client = self._client(kind.partition("_")[0])
        return [record, *self._orders_behind(client, [record], batch_ids=[], fetched={})]

    def carrier_names(self) -> dict[str, str]:
        """What the account calls its carriers, by code; V2's name for one goes first."""
        names: dict[str, str] = {}
        for client in (self.v2, self.v1):
            if client is not None:
                for code, name in client.carrier_names().items():
                    names.setdefault(code, name)
        return names

    def v2_shipment(self, shipment_id: str) -> Record:
        """The V2 shipment that an inline row names; NotFoundError."""
        return self._client("v2").get("shipment", shipment_id)

    def _client(self, version: str) -> ShipStation:
        client = self.v2 if version == "v2" else self.v1
        if client is None:
            raise CredentialsError(
                f"this event needs ShipStation {version.upper()}: set {SETTINGS[version]}"
            )
        return client

    def _orders_behind(
        self,
        client: ShipStation,
        rows: Iterable[Record],
        *,
        batch_ids: list[str],
        fetched: Mapping[str, Record],
    ) -> list[Record]:
        """Each order once: one call for those of a whole batch where it pays, and single calls only
        for what that left out. An order that ShipStation does not show, or shows in a form that
        can't be read, leaves its row without items, which is for the translation to judge: a row's
        odd id is not its neighbors' trouble."""
        ids = list(dict.fromkeys(self._order_ids(client, rows)))
        orders = {order_id: fetched[order_id] for order_id in ids if order_id in fetched}
        if len(ids) - len(orders) > 1 and len(batch_ids) == 1:
            listed = client.all_rows(client.order, {"batch_id": batch_ids[0]}, ids=ids)
            orders |= {record.record_id: record for record in listed}
        for order_id in ids:
            if order_id not in orders:
                record = _order_if_shown(client, order_id)
                if record is not None:
                    orders[order_id] = record
        return [orders[order_id] for order_id in ids if order_id in orders]

    def _order_ids(self, client: ShipStation, rows: Iterable[Record]) -> Iterable[str]:
        """Those of the orders that are needed to judge these rows."""
        for row in rows:
            order_id = row.body.get(client.order_id)
            if order_id and self._needs_order(row.body):
                yield order_id

    def _needs_order(self, row: Mapping[str, Any]) -> bool:
        """A voided, returning, failed or unfinished row ships nothing now, and one with items of
        its own needs no order for them."""
        status = (row.get("status") or "").lower()
        is_return = row.get("is_return_label") or row.get("isReturnLabel")
        if row.get("voided") or is_return or status in UNFINISHED_LABELS:
            return False
        if not row.get("shipmentItems") or self.reads_custom_fields:
            return True
        # Without a number of its own, only its order can say which one it is.
        return not row.get("orderNumber") or self._may_be_merged(row)

    def _may_be_merged(self, row: Mapping[str, Any]) -> bool:
        """Whether a V1 label could hold goods of several orders, one of them Purple Dot's, without
        saying so. One unit is of one order; and items that all carry an id of Purple Dot's form say
        themselves whose they are."""
        items = row["shipmentItems"]
        quantities = [item.get("quantity") for item in items]
        is_one_unit = quantities == [1]
        if is_one_unit or all(is_uuid(item.get("lineItemKey")) for item in items):
            return False
        number = row.get("orderNumber") or ""
        key = row.get("orderKey") or ""
        looks_like_ours = self.pattern is not None and likely_references(number, self.pattern)
        has_our_key = UUID.search(key) is not None or bool(sure_references(key))
        return bool(looks_like_ours) or has_our_key


def _order_if_shown(client: ShipStation, order_id: str) -> Record | None:
    try:
        return client.get(client.order, order_id)
    except CredentialsError:
        raise
    except PermanentError:
        return None


def _list_of(path: str) -> tuple[str, str]:
    """The API version and the thing that a resource_url's path lists."""
    for prefix, listed in LISTS.items():
        if f"{path}/".startswith(f"{prefix}/"):
            return listed
    raise ForeignUrlError("resource_url is of no list that we know")


def _parcels_of(client: ShipStation, orders: Iterable[Record]) -> list[Record]:
    """What was shipped of each order, where an event points at orders."""
    parcels: list[Record] = []
    for order in orders:
        for resource in client.parcels:
            parcels += client.all_rows(resource, {client.order_id: order.record_id})
    return parcels
