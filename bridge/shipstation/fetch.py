"""What to ask ShipStation for one event: the rows behind its resource_url, then what those rows leave out, in as few calls as will do.

Neither a V2 label nor any fulfillment names the goods; those stand on the order behind it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from bridge.errors import CredentialsError, ForeignUrlError, NotFoundError
from bridge.events import Record
from bridge.shipstation.client import ShipStationV1, ShipStationV2

UNFINISHED_LABELS = frozenset({"voided", "error", "processing"})


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Reads live data, not the state at the time of the event. A client is None where its key is not set."""

    v2: ShipStationV2 | None
    v1: ShipStationV1 | None

    def fetch(self, resource_url: str) -> list[Record]:
        """The rows behind `resource_url` (checked before by `webhook.check_resource_url`) in their order, then the orders behind them.

        Whatever the client raises passes through; CredentialsError where the key for this API version is not set.
        """
        path = urlsplit(resource_url).path
        for prefix, ask in FETCHES.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return ask(self, resource_url)
        raise ForeignUrlError("resource_url is of no list that we know")

    def current(self, kind: str, record_id: str) -> Record | None:
        """The same record as it is now, or None where ShipStation shows no such thing or has no way to ask."""
        ask = CURRENT.get(kind)
        try:
            return ask(self, record_id) if ask else None
        except NotFoundError:
            return None

    def v2_shipment(self, shipment_id: str) -> Record:
        """The V2 shipment that an inline row names; NotFoundError."""
        return self.need_v2().shipment(shipment_id)

    def need_v2(self) -> ShipStationV2:
        """The V2 client, or CredentialsError that names the missing setting."""
        if self.v2 is None:
            raise CredentialsError("this event needs ShipStation V2: set BRIDGE_SHIPSTATION_API_KEY")
        return self.v2

    def need_v1(self) -> ShipStationV1:
        """The V1 client, or CredentialsError that names the missing setting."""
        if self.v1 is None:
            raise CredentialsError("this event needs ShipStation V1: set BRIDGE_SHIPSTATION_V1_API_KEY and its secret")
        return self.v1


def _v2_labels(fetcher: Fetcher, url: str) -> list[Record]:
    v2 = fetcher.need_v2()
    labels = v2.labels(url)
    ids = _distinct(labels, "shipment_id", only=_label_matters)
    return [*labels, *_v2_orders(v2, ids, batch_ids=parse_qs(urlsplit(url).query).get("batch_id", []))]


def _v2_orders(v2: ShipStationV2, ids: list[str], *, batch_ids: list[str]) -> list[Record]:
    """One call for a whole batch where it pays, and single calls only for what that left out."""
    found: dict[str, Record] = {}
    if len(ids) > 1 and len(batch_ids) == 1:
        found = {record.record_id: record for record in v2.shipments({"batch_id": batch_ids[0]}, wanted=ids)}
    single = {record.record_id: record for record in _existing(v2.shipment, (i for i in ids if i not in found))}
    found |= single
    return [found[i] for i in ids if i in found]


def _v2_fulfillments(fetcher: Fetcher, url: str) -> list[Record]:
    v2 = fetcher.need_v2()
    rows = v2.fulfillments(url)
    return [*rows, *_existing(v2.shipment, _distinct(rows, "shipment_id", only=_is_live))]


def _v2_shipments(fetcher: Fetcher, url: str) -> list[Record]:
    v2 = fetcher.need_v2()
    orders = v2.shipments(url)
    queries = [{"shipment_id": order.record_id} for order in orders]
    return [*orders, *(row for query in queries for row in (*v2.labels(query), *v2.fulfillments(query)))]


def _v1_shipments(fetcher: Fetcher, url: str) -> list[Record]:
    v1 = fetcher.need_v1()
    rows = v1.shipments(url)
    return [*rows, *_existing(v1.order, _distinct(rows, "orderId", only=_v1_needs_order))]


def _v1_fulfillments(fetcher: Fetcher, url: str) -> list[Record]:
    v1 = fetcher.need_v1()
    rows = v1.fulfillments(url)
    return [*rows, *_existing(v1.order, _distinct(rows, "orderId", only=_is_live))]


def _v1_orders(fetcher: Fetcher, url: str) -> list[Record]:
    v1 = fetcher.need_v1()
    orders = v1.orders(url)
    return [*orders, *(row for order in orders for row in v1.fulfillments({"orderId": order.record_id}))]


def _label_matters(label: Record) -> bool:
    """A return, a voided, failed or unfinished label ships nothing now, so its order is not asked for."""
    return _is_live(label) and not label.body["is_return_label"] and (label.body["status"] or "").lower() not in UNFINISHED_LABELS


def _v1_needs_order(row: Record) -> bool:
    return _is_live(row) and not row.body["isReturnLabel"] and not row.body["shipmentItems"]


def _is_live(row: Record) -> bool:
    return not row.body["voided"]


def _distinct(rows: Iterable[Record], field: str, *, only: Callable[[Record], bool]) -> list[str]:
    return list(dict.fromkeys(row.body[field] for row in rows if only(row) and row.body[field]))


def _existing(ask: Callable[[str], Record], ids: Iterable[str]) -> Iterator[Record]:
    """An order that ShipStation no longer has leaves its row without items, which is for the translation to judge."""
    for record_id in ids:
        try:
            record = ask(record_id)
        except NotFoundError:
            continue
        yield record


FETCHES: dict[str, Callable[[Fetcher, str], list[Record]]] = {
    "/v2/labels": _v2_labels,
    "/v2/fulfillments": _v2_fulfillments,
    "/v2/shipments": _v2_shipments,
    "/shipments": _v1_shipments,
    "/fulfillments": _v1_fulfillments,
    "/orders": _v1_orders,
}
"""Each path a resource_url may have, and how its event is completed."""

CURRENT: dict[str, Callable[[Fetcher, str], Record | None]] = {
    "v2_label": lambda fetcher, record_id: fetcher.need_v2().label(record_id),
    "v2_fulfillment": lambda fetcher, record_id: fetcher.need_v2().fulfillment(record_id),
    "v2_shipment": lambda fetcher, record_id: fetcher.need_v2().shipment(record_id),
    "v1_shipment": lambda fetcher, record_id: fetcher.need_v1().shipment(record_id),
    "v1_fulfillment": lambda fetcher, record_id: fetcher.need_v1().fulfillment(record_id),
    "v1_order": lambda fetcher, record_id: fetcher.need_v1().order(record_id),
}
"""How each kind of record is asked for again; an inline row stands nowhere but in its own event."""
