"""A simulator whose ShipStation shows rows that were written down, in place of a world's own.

A field case holds both vendors' rows as they list them. Filters that a row has a field for are
obeyed. V1's `batchId` stands on no row, so a webhook of the case says which rows its list shows.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask, request

from bridge.simulator import PurpleDotOrder, Simulator, World
from bridge.simulator.model import PurpleDotLine, RefusedError

Json = dict[str, Any]

LISTS = {
    "/v2/labels": ("v2", "labels", "label_id"),
    "/v2/shipments": ("v2", "shipments", "shipment_id"),
    "/v2/fulfillments": ("v2", "fulfillments", "fulfillment_id"),
    "/shipments": ("v1", "shipments", "shipmentId"),
    "/fulfillments": ("v1", "fulfillments", "fulfillmentId"),
    "/orders": ("v1", "orders", "orderId"),
}
"""Each path that lists rows: the API version, the name of the list, and a row's id."""


class RecordedVendors(Simulator):
    """`rows` are ShipStation's, by API version and list; the orders are put into Purple Dot's
    book. Credentials, faults and counts are the simulator's own."""

    def __init__(self, world: World, *, rows: Json, fulfillment_orders: Iterable[Json]) -> None:
        super().__init__(world)
        self.rows = rows
        self._shown: dict[str, list[str]] = {}
        for order in fulfillment_orders:
            world.orders[order["id"]] = _order(order)

    def show(self, resource_url: str, ids: list[str]) -> None:
        """The list behind `resource_url` consists of the rows with these ids."""
        for batch in parse_qs(urlsplit(resource_url).query).get("batchId", []):
            self._shown[batch] = ids

    def _app(self) -> Flask:
        app = super()._app()
        app.before_request(self._answer)
        return app

    def _answer(self) -> Any:
        if request.method != "GET":
            return None
        if request.path in LISTS:
            return self._list(*LISTS[request.path])
        collection, _, row_id = request.path.rpartition("/")
        return self._single(*LISTS[collection], row_id) if collection in LISTS else None

    def _list(self, version: str, name: str, id_field: str) -> Json:
        rows = [row for row in self._rows(version, name) if self._is_asked_for(row, id_field)]
        if request.args.get("includeShipmentItems", "false").lower() == "false":
            rows = [row | dict.fromkeys(row.keys() & {"shipmentItems"}) for row in rows]
        answer = {name: rows, "total": len(rows), "page": 1, "pages": 1}
        here = {"href": request.url}
        return answer | {"links": {"first": here, "last": here, "prev": {}, "next": {}}}

    def _single(self, version: str, name: str, id_field: str, row_id: str) -> Json:
        for row in self._rows(version, name):
            if str(row[id_field]) == row_id:
                return row
        raise RefusedError(404, "not_found", "The requested resource was not found.")

    def _rows(self, version: str, name: str) -> list[Json]:
        rows: list[Json] = self.rows.get(version, {}).get(name, [])
        return rows

    def _is_asked_for(self, row: Mapping[str, Any], id_field: str) -> bool:
        for name, wanted in request.args.items():
            if name == "batchId":
                if str(row[id_field]) not in self._shown.get(wanted, []):
                    return False
            elif name == "batch_id" and "label_id" not in row:
                if row.get("shipment_id") not in self._shipments_of_batch(wanted):
                    return False
            elif name in row and str(row[name]) != wanted:
                return False
        return True

    def _shipments_of_batch(self, batch_id: str) -> set[str]:
        labels = self._rows("v2", "labels")
        return {label["shipment_id"] for label in labels if label["batch_id"] == batch_id}


def _order(row: Json) -> PurpleDotOrder:
    lines = [PurpleDotLine(line["id"], line["sku"], line["quantity"]) for line in row["line_items"]]
    created_at = datetime.fromisoformat(row["created_at"])
    return PurpleDotOrder(row["id"], row["reference"], row["status"], created_at, lines)
