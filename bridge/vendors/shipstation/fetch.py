"""What to ask ShipStation for one event: the rows behind its resource_url, then what those rows
leave out, in as few calls as will do.

Neither a V2 label nor any fulfillment names the goods; those stand on the order behind it.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bridge.domain.errors import CredentialsError, ForeignUrlError, NotFoundError
from bridge.domain.events import Record
from bridge.vendors.shipstation.client import ShipStation, ShipStationV1, ShipStationV2

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
UNFINISHED_LABELS = frozenset({"voided", "error", "processing"})


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

    def fetch(self, resource_url: str) -> list[Record]:
        """The rows behind `resource_url` (checked before by `webhook.check_resource_url`) in their
        order, then the orders behind them."""
        split = urlsplit(resource_url)
        version, thing = next(
            (told for prefix, told in LISTS.items() if f"{split.path}/".startswith(f"{prefix}/")),
            ("", ""),
        )
        if not thing:
            raise ForeignUrlError("resource_url is of no list that we know")
        client = self._client(version)
        rows = client.every(thing, resource_url)
        if thing != client.order:
            return [
                *rows,
                *self._orders_behind(
                    client, rows, batch_ids=parse_qs(split.query).get("batch_id", [])
                ),
            ]
        queries = [
            (parcel, {client.order_id: order.record_id})
            for order in rows
            for parcel in client.parcels
        ]
        return [*rows, *(row for parcel, query in queries for row in client.every(parcel, query))]

    def current(self, kind: str, record_id: str) -> Record | None:
        """The same record as it is now; None where ShipStation shows no such thing, or, for an
        inline row, never had one."""
        version, _, thing = kind.partition("_")
        with suppress(NotFoundError):
            return self._client(version).one(thing, record_id) if version in SETTINGS else None
        return None

    def again(self, kind: str, record_id: str) -> list[Record]:
        """The same record as it is now, and the order behind it; nothing where `current` finds
        none."""
        record = self.current(kind, record_id)
        return (
            [
                record,
                *self._orders_behind(self._client(kind.partition("_")[0]), [record], batch_ids=[]),
            ]
            if record
            else []
        )

    def v2_shipment(self, shipment_id: str) -> Record:
        """The V2 shipment that an inline row names; NotFoundError."""
        return self._client("v2").one("shipment", shipment_id)

    def _client(self, version: str) -> ShipStation:
        client = self.v2 if version == "v2" else self.v1
        if client is None:
            raise CredentialsError(
                f"this event needs ShipStation {version.upper()}: set {SETTINGS[version]}"
            )
        return client

    def _orders_behind(
        self, client: ShipStation, rows: Iterable[Record], *, batch_ids: list[str]
    ) -> list[Record]:
        """Each order once: one call for those of a whole batch where it pays, and single calls only
        for what that left out. An order that ShipStation no longer has leaves its row without
        items, which is for the translation to judge."""
        ids = list(
            dict.fromkeys(
                row.body[client.order_id]
                for row in rows
                if _needs_order(row.body, even_with_items=self.reads_custom_fields)
                and row.body[client.order_id]
            )
        )
        found: dict[str, Record] = {}
        if len(ids) > 1 and len(batch_ids) == 1:
            found = {
                record.record_id: record
                for record in client.every(client.order, {"batch_id": batch_ids[0]}, wanted=ids)
            }
        for missing in [order_id for order_id in ids if order_id not in found]:
            with suppress(NotFoundError):
                found[missing] = client.one(client.order, missing)
        return [found[order_id] for order_id in ids if order_id in found]


def _needs_order(row: Mapping[str, Any], *, even_with_items: bool) -> bool:
    """A voided, returning, failed or unfinished row ships nothing now, and one with items of its
    own needs no order for them."""
    enough = () if even_with_items else ("shipmentItems",)
    is_over = any(
        row.get(field) for field in ("voided", "is_return_label", "isReturnLabel", *enough)
    )
    return not is_over and (row.get("status") or "").lower() not in UNFINISHED_LABELS
