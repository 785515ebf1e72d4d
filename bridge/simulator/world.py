"""The simulated world: Purple Dot's books, ShipStation's warehouse, and the webhooks that
report it; safe to use from many threads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.simulator.fulfillment_book import FulfillmentBook, utc_now
from bridge.simulator.model import (
    CARRIERS,
    Item,
    ItemLike,
    Label,
    MarkedShipped,
    PurpleDotOrder,
    ShipStationOrder,
    Subscription,
    as_items,
)
from bridge.simulator.shapes import Json

_NEW_NUMBER = "new number"
_V2_FULFILLMENT = (
    "v2/fulfillments?fulfillment_id={0.fulfillment_id}&shipment_id={0.order.shipment_id}"
)


def _notifies(resource_type: str, target: str) -> Callable[["World", Any], Json]:
    """The webhook of this type, about a thing or the first of a batch. It points at the simulator,
    or, while none serves the world, at the vendor."""

    host = "api" if target.startswith("v2/") else "ssapi"

    def notify(world: "World", subject: Any) -> Json:
        home = world.origin or f"https://{host}.shipstation.com"
        first = subject[0] if isinstance(subject, list) else subject
        resource_url = f"{home}/{target.format(first)}"
        return {"resource_url": resource_url, "resource_type": resource_type}

    return notify


class World(FulfillmentBook):
    """Whatever a person in the warehouse does in ShipStation's own screens, and the body of each
    webhook."""

    label_created_v2 = _notifies("LABEL_CREATED_V2", "v2/labels?batch_id={0.batch_id}")
    batch_processed_v2 = _notifies("BATCH_PROCESSED_V2", "v2/batches/{0.batch_id}")
    fulfillment_shipped_v2 = _notifies("FULFILLMENT_SHIPPED_V2", _V2_FULFILLMENT)
    # Where this one points is documented nowhere; this is the likeliest.
    fulfillment_rejected_v2 = _notifies("FULFILLMENT_REJECTED_V2", _V2_FULFILLMENT)
    shipment_created_v2 = _notifies(
        "SHIPMENT_CREATED_V2", "v2/shipments?import_batch_id={0.import_batch_id}"
    )
    track_event_v2 = _notifies("TRACK_EVENT_V2", "v2/labels/{0.label_id}/track")
    ship_notify = _notifies("SHIP_NOTIFY", "shipments?batchId={0.batch}&includeShipmentItems=False")
    item_ship_notify = _notifies(
        "ITEM_SHIP_NOTIFY", "shipments?batchId={0.batch}&includeShipmentItems=True"
    )
    v1_fulfillment_shipped = _notifies(
        "FULFILLMENT_SHIPPED", "fulfillments?fulfillmentId={0.v1_fulfillment_id}"
    )
    v1_fulfillment_rejected = _notifies(
        "FULFILLMENT_REJECTED", "fulfillments?fulfillmentId={0.v1_fulfillment_id}"
    )
    v1_order_notify = _notifies("ORDER_NOTIFY", "orders?orderNumber={0.quoted_number}")

    known_orders = property(lambda world: list(world.orders.values()))

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(now=now)
        self.origin: str | None = None
        """Where this world is served."""
        self.shipstation_orders: list[ShipStationOrder] = []
        self.labels: list[Label] = []
        self.marked_shipped: list[MarkedShipped] = []
        self.subscriptions: list[Subscription] = []

    def subscribe(self, event: str, url: str, **named: Any) -> Subscription:
        """By whatever hand. V2's own rules are the route's: in ShipStation's screens several may
        hear of one event."""
        with self.lock:
            subscription = Subscription(
                self.next_number("webhook", above=41000000), event, url, **named
            )
            self.subscriptions.append(subscription)
            return subscription

    def inline_fulfillments(self, rows: Iterable[Json]) -> Json:
        """A warehouse tells us itself, in the body of ShipStation's own POST /v2/fulfillments."""
        return {"fulfillments": list(rows)}

    def inline_row(
        self, order: ShipStationOrder, tracking: str, carrier_code: str = "ups", **extra: object
    ) -> Json:
        return {
            "shipment_id": order.shipment_id,
            "tracking_number": tracking,
            "carrier_code": carrier_code,
            **extra,
        }

    def add_shipstation_order(
        self,
        order: PurpleDotOrder | str,
        items: Sequence[ItemLike] | None = None,
        *,
        style: str = "reference",
        with_line_ids: bool = False,
        **named: Any,
    ) -> ShipStationOrder:
        """A fulfillment order as it stands in ShipStation, or, given a text, an order of that
        number that Purple Dot knows nothing of.

        `style` says what ties it to Purple Dot: `reference` is its number only; `id` its V2
        external_shipment_id and V1 orderKey as well; `custom_field` is a shop's number with id and
        reference in custom fields 1 and 2; `none` is a shop's number and nothing else. A field
        `named` outright wins. Without `items` it holds all lines of the fulfillment order."""
        source = order if isinstance(order, PurpleDotOrder) else named.pop("source", None)
        number = order if isinstance(order, str) else order.reference
        with self.lock:
            counter = self.next_number("shipment")
            tied = _ties(source, number, counter, style, named.get("external_shipment_id"))
            lines = order.lines if isinstance(order, PurpleDotOrder) else []
            ordered: Sequence[ItemLike] = [(line.sku, line.quantity) for line in lines]
            packed = items if items is not None else ordered or [("SHOP-MUG", 1)]
            shipment = ShipStationOrder(
                counter,
                self.uuid("import"),
                self._own_items(packed, lines if with_line_ids else ()),
                self.now(),
                self.now(),
                source=source,
                **tied | named,
            )
            self.shipstation_orders.append(shipment)
            return shipment

    def _own_items(self, items: Sequence[ItemLike], lines: Iterable[Any]) -> list[Item]:
        """Two lines may have one SKU: each id is given once while others are left."""
        own: list[Item] = []
        free = list(lines)
        for item in as_items(items):
            same = [line for line in free if line.sku == item.sku]
            if len(same) > 1:
                free.remove(same[0])
            number = self.next_number("item", above=912000000)
            line_id = item.line_id or (same[0].id if same else None)
            name = item.name or f"Item {item.sku}"
            own.append(replace(item, number=number, line_id=line_id, name=name))
        return own

    def split(
        self, order: ShipStationOrder, parts: Sequence[Sequence[ItemLike]]
    ) -> list[ShipStationOrder]:
        """The first part stays in the order, each other becomes an order of the same number. Only
        the first keeps the external id."""
        with self.lock:
            same = {
                "custom_fields": order.custom_fields,
                "store": order.store,
                "parent_id": order.v1_order_id,
                "is_split": True,
                "source": order.source,
            }
            first, *others = [_like(part, order.items) for part in parts]
            order.items, order.is_split, order.modified_at = first, True, self.now()
            return [
                order,
                *(
                    self.add_shipstation_order(order.shipment_number, items, **same)
                    for items in others
                ),
            ]

    def merge(
        self,
        survivor: ShipStationOrder,
        *others: ShipStationOrder,
        names_orders: str = "",
        keeps_line_ids: bool = True,
    ) -> ShipStationOrder:
        """All goods go into the survivor, which keeps its number; the others are gone from both
        APIs. `names_orders` says how each item names the order it came from: not at all, by its
        `id`, or by its `reference`."""
        with self.lock:
            moved = [
                _moved(item, order, names_orders, keeps_line_ids)
                for order in (survivor, *others)
                for item in order.items
            ]
            survivor.items, survivor.modified_at = moved, self.now()
            survivor.merged += others
            for other in others:
                self.shipstation_orders.remove(other)
            return survivor

    def swap_line(self, order: ShipStationOrder, sku: str, other: str) -> None:
        """Somebody puts other goods into the order, in ShipStation alone."""
        with self.lock:
            order.items = [
                replace(item, sku=other, line_id=None) if item.sku == sku else item
                for item in order.items
            ]

    def correct_number(self, parcel: Label | MarkedShipped, number: str) -> None:
        """The same record gets another tracking number."""
        with self.lock:
            if isinstance(parcel, Label):
                parcel.tracking_numbers = [number, *parcel.tracking_numbers[1:]]
            else:
                parcel.tracking_number = number
            parcel.touched_at = self.now()

    def touch(self, *parcels: Label | MarkedShipped) -> None:
        """ShipStation changes something of no matter, and the rows count as modified."""
        for parcel in parcels:
            parcel.touched_at = self.now()

    def buy_labels(
        self,
        orders: ShipStationOrder | Sequence[ShipStationOrder],
        *,
        batch: bool = True,
        tracking: str | None = None,
        items: Sequence[ItemLike] | None = None,
        **named: Any,
    ) -> list[Label]:
        """One label an order, all of one batch, or with `batch=False` each of its own. `items` is
        what V1 says was in the parcel; `carrier`, `packages`, `status` and `is_return` may be named
        as well."""
        with self.lock:
            labels: list[Label] = []
            several = [orders] if isinstance(orders, ShipStationOrder) else orders
            for order in several:
                is_of_the_batch = bool(labels) and batch
                number = labels[0].batch if is_of_the_batch else self._new_batch()
                packed = None if items is None else _like(items, order.items)
                label = Label(self.next_number("label"), order, number, self.now(), packed, **named)
                if label.status != "processing":
                    self._number(label, tracking)
                if not label.is_return and label.status != "error":
                    order.status, order.modified_at = "label_purchased", self.now()
                order.batch_ids.append(label.batch_id)
                labels.append(label)
            self.labels += labels
            return labels

    def _new_batch(self) -> int:
        return self.next_number("batch", above=93000000)

    def _number(self, label: Label, first: str | None = None) -> None:
        numbers = [self._new_number(label.carrier) for _ in range(label.packages)]
        label.tracking_numbers = [first or numbers[0], *numbers[1:]]

    def _new_number(self, carrier: str) -> str:
        return str(CARRIERS[carrier].pattern.format(self.next_number("tracking")))

    def complete_label(self, label: Label) -> Label:
        """A label that was processing gets its numbers."""
        self._number(label)
        label.status = "completed"
        return label

    def void_label(self, label: Label) -> Label:
        """No webhook tells of it: https://docs.shipstation.com has no event for a void."""
        with self.lock:
            label.status, label.voided_at = "voided", self.now()
            label.order.status, label.order.modified_at = "pending", self.now()
            return label

    def replace_label(self, label: Label, *, carrier: str | None = None) -> Label:
        """The old label is void, and a new one with another number is bought for the same order."""
        self.void_label(label)
        return self.buy_labels(
            label.order,
            carrier=carrier or label.carrier,
            packages=label.packages,
            items=label.items,
        )[0]

    def mark_shipped(
        self,
        order: ShipStationOrder,
        carrier_name: str | None = "FedEx",
        tracking: str | None = _NEW_NUMBER,
        **named: Any,
    ) -> MarkedShipped:
        """Outside tracking is written in; no label exists. A `provider_code` may be named, or a
        `rejection`: then nothing goes out."""
        with self.lock:
            tracking = self._new_number("fedex") if tracking == _NEW_NUMBER else tracking
            mark = MarkedShipped(
                self.next_number("fulfillment"), order, carrier_name, tracking, self.now(), **named
            )
            order.modified_at = mark.created_at
            order.marks.append(mark)
            self.marked_shipped.append(mark)
            return mark

    def void_fulfillment(self, shipped: MarkedShipped) -> MarkedShipped:
        shipped.voided_at, shipped.void_requested = self.now(), False
        return shipped

    def request_void(self, shipped: MarkedShipped) -> MarkedShipped:
        """A provider is asked not to ship; whether it still can, nobody knows yet."""
        shipped.void_requested = True
        return shipped

    def deny_void(self, shipped: MarkedShipped) -> MarkedShipped:
        """It was too late: the parcel leaves."""
        shipped.void_requested = False
        return shipped


def _ties(
    source: PurpleDotOrder | None,
    number: str,
    counter: int,
    style: str,
    external_id: str | None,
) -> Json:
    """The fields by which a ShipStation order may be known as one of Purple Dot's."""
    is_own_number = style in ("custom_field", "none")
    if external_id is None and source and style == "id":
        external_id = source.id
    custom_fields: tuple[str | None, ...] = (None, None, None)
    if source and style == "custom_field":
        custom_fields = (source.id, source.reference, None)
    return {
        "shipment_number": f"#{1000 + counter}" if is_own_number else number,
        "order_key": external_id or f"manual-{counter:08d}",
        "external_shipment_id": external_id,
        "custom_fields": custom_fields,
    }


def _moved(item: Item, order: ShipStationOrder, names_orders: str, keeps_line_ids: bool) -> Item:
    """An item as it stands in the order that it was merged into; it keeps its first origin."""
    if item.sales_order_id:
        return item
    order_id = item.order_id
    if order.source and names_orders:
        order_id = order.source.id if names_orders == "id" else order.source.reference
    return replace(
        item,
        order_id=order_id,
        line_id=item.line_id if keeps_line_ids else None,
        sales_order_id=order.sales_order_id,
    )


def _like(items: Sequence[ItemLike], originals: Sequence[Item]) -> list[Item]:
    """Each row as the original's of that SKU, in another quantity; what is given outright stays."""
    by_sku = {item.sku: item for item in originals}
    alike: list[Item] = []
    for item in as_items(items):
        original = by_sku.get(item.sku, item)
        is_outright = item.line_id is not None
        alike.append(item if is_outright else replace(original, quantity=item.quantity))
    return alike
