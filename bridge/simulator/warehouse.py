"""ShipStation's side of the world: orders, labels and marks-as-shipped, each at once a V2 and a V1 thing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, TypeAlias

from bridge.simulator.carriers import CARRIERS
from bridge.simulator.ground import Ground, utc_now
from bridge.simulator.model import (
    DEFAULT_STORE,
    Item,
    ItemLike,
    Label,
    MarkedShipped,
    PurpleDotLine,
    PurpleDotOrder,
    ShipStationOrder,
    Subscription,
    as_items,
)
from bridge.simulator.vendor_time import pacific_date

NEW_NUMBER = "new number"
"""Stands for a tracking number that no other parcel of the world has."""
LinkStyle: TypeAlias = Literal["reference", "id", "custom_field", "none"]


class Warehouse(Ground):
    """Whatever a person in the warehouse does in ShipStation's own screens."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(now=now)
        self.shipstation_orders: list[ShipStationOrder] = []
        self.labels: list[Label] = []
        self.marked_shipped: list[MarkedShipped] = []
        self.subscriptions: list[Subscription] = []
        self.v1_subscriptions: list[Subscription] = []

    def add_shipstation_order(
        self,
        order: PurpleDotOrder | str,
        items: Sequence[ItemLike] | None = None,
        *,
        style: LinkStyle = "reference",
        with_line_ids: bool = False,
        shipment_number: str | None = None,
        external_shipment_id: str | None = None,
        order_key: str | None = None,
        custom_fields: tuple[str | None, str | None, str | None] | None = None,
        store: int = DEFAULT_STORE,
    ) -> ShipStationOrder:
        """A fulfillment order as it stands in ShipStation, or, given a text, an order of that number that Purple Dot knows nothing of.

        `style` says what ties it to Purple Dot: `reference` is its number only; `id` its V2 external_shipment_id and V1 orderKey as well;
        `custom_field` is a shop's number with id and reference in custom fields 1 and 2; `none` is a shop's number and nothing else.
        Anything named outright wins. Without `items` it holds all lines of the fulfillment order.
        """
        with self.lock:
            number = self.next_number("shipment")
            known = order if isinstance(order, PurpleDotOrder) else None
            key = known.id if known and style == "id" else None
            shop_number = f"#{1000 + number}" if known and style in ("custom_field", "none") else None
            fields = (known.id, known.reference, None) if known and style == "custom_field" else (None, None, None)
            made = ShipStationOrder(
                number=number,
                shipment_id=f"se-{810000000 + number}",
                v1_order_id=660000000 + number,
                shipment_number=shipment_number or shop_number or (known.reference if known else str(order)),
                external_shipment_id=external_shipment_id or key,
                order_key=order_key or external_shipment_id or key or f"manual-{number:08d}",
                items=self._own_items(known, items, with_line_ids=with_line_ids),
                custom_fields=custom_fields or fields,
                store=store,
                created_at=self.now(),
                modified_at=self.now(),
                import_batch_id=self.uuid("import"),
            )
            self.shipstation_orders.append(made)
            return made

    def _own_items(self, order: PurpleDotOrder | None, items: Sequence[ItemLike] | None, *, with_line_ids: bool) -> list[Item]:
        lines = order.lines if order else [PurpleDotLine("", "SHOP-MUG", 1, "Mug")]
        given = [Item(line.sku, line.quantity, name=line.name) for line in lines] if items is None else as_items(items)
        if order and with_line_ids:
            given = list(_with_line_ids(given, order))
        return [replace(item, number=self.next_number("item")) for item in given]

    def split(self, order: ShipStationOrder, parts: Sequence[Sequence[ItemLike]]) -> list[ShipStationOrder]:
        """The first part stays in the order, each other becomes an order of the same number. Only the first keeps the external id."""
        with self.lock:
            known = {item.sku: item for item in order.items}
            first, *others = [[_like(item, known) for item in as_items(part)] for part in parts]
            order.items, order.is_split, order.modified_at = first, True, self.now()
            return [order, *(self._part(order, items) for items in others)]

    def _part(self, parent: ShipStationOrder, items: list[Item]) -> ShipStationOrder:
        part = self.add_shipstation_order(
            parent.shipment_number, [replace(item, number=0) for item in items], custom_fields=parent.custom_fields, store=parent.store
        )
        part.parent, part.is_split = parent, True
        return part

    def buy_labels(
        self,
        orders: ShipStationOrder | Sequence[ShipStationOrder],
        *,
        batch: bool = True,
        packages: int = 1,
        is_return: bool = False,
        status: Literal["completed", "processing", "error"] = "completed",
        carrier: str = "ups",
        tracking: str | None = None,
        items: Sequence[ItemLike] | None = None,
    ) -> list[Label]:
        """One label an order, all of one batch, or with `batch=False` each of its own. `items` is what V1 says was in the parcel."""
        with self.lock:
            wanted = [orders] if isinstance(orders, ShipStationOrder) else list(orders)
            shared = self.next_number("batch", start=93000001) if batch else None
            made = []
            for order in wanted:
                number = self.next_number("label")
                contents = None if items is None else [_like(item, {own.sku: own for own in order.items}) for item in as_items(items)]
                label = Label(
                    number=number,
                    label_id=f"se-{520000000 + number}",
                    v1_shipment_id=770000000 + number,
                    batch=shared or self.next_number("batch", start=93000001),
                    order=order,
                    carrier=carrier,
                    tracking_numbers=[] if status == "processing" else self._tracking_numbers(carrier, packages, tracking),
                    packages=packages,
                    created_at=self.now(),
                    ship_date=pacific_date(self.now()),
                    status=status,
                    is_return=is_return,
                    items=contents,
                )
                self.labels.append(label)
                made.append(label)
                if not is_return and status != "error":
                    order.status, order.modified_at = "label_purchased", self.now()
            return made

    def _tracking_numbers(self, carrier: str, packages: int, first: str | None = None) -> list[str]:
        made = [CARRIERS[carrier].tracking_number(self.next_number("tracking")) for _ in range(packages)]
        return [first or made[0], *made[1:]]

    def complete_label(self, label: Label) -> Label:
        """A label that was processing gets its numbers."""
        with self.lock:
            label.status = "completed"
            label.tracking_numbers = self._tracking_numbers(label.carrier, label.packages)
            return label

    def void_label(self, label: Label) -> Label:
        """No webhook tells of it: https://docs.shipstation.com has no event for a void."""
        with self.lock:
            label.status, label.voided_at = "voided", self.now()
            label.order.status, label.order.modified_at = "pending", self.now()
            return label

    def replace_label(self, label: Label, *, carrier: str | None = None) -> Label:
        """The old label is void, and a new one with another number is bought for the same order."""
        with self.lock:
            self.void_label(label)
            [new] = self.buy_labels(label.order, carrier=carrier or label.carrier, packages=label.packages, items=label.items)
            return new

    def mark_shipped(
        self,
        order: ShipStationOrder,
        carrier_name: str | None = "FedEx",
        tracking: str | None = NEW_NUMBER,
        *,
        provider_code: str = "external",
        rejection: str | None = None,
    ) -> MarkedShipped:
        """Outside tracking is written in; no label exists. With `rejection` the provider refused it instead and nothing goes out."""
        with self.lock:
            number = self.next_number("fulfillment")
            made = MarkedShipped(
                number=number,
                fulfillment_id=f"se-{340000000 + number}",
                v1_fulfillment_id=88000000 + number,
                order=order,
                carrier_name=carrier_name,
                tracking_number=CARRIERS["fedex"].tracking_number(self.next_number("tracking")) if tracking == NEW_NUMBER else tracking,
                created_at=self.now(),
                ship_date=pacific_date(self.now()),
                provider_code=provider_code,
                rejection=rejection,
            )
            self.marked_shipped.append(made)
            order.modified_at = self.now()
            return made

    def void_fulfillment(self, shipped: MarkedShipped) -> MarkedShipped:
        with self.lock:
            shipped.voided_at = self.now()
            return shipped


def _with_line_ids(items: Iterable[Item], order: PurpleDotOrder) -> Iterator[Item]:
    free = list(order.lines)
    for item in items:
        same = [line for line in free if line.sku == item.sku]
        if len(same) > 1:
            # Two lines may have one SKU: each is used once while others are left.
            free.remove(same[0])
        yield replace(item, line_id=item.line_id or (same[0].id if same else None))


def _like(item: Item, known: dict[str | None, Item]) -> Item:
    """The same row as the original's of that SKU, in another quantity; what is given outright stays."""
    return replace(known[item.sku], quantity=item.quantity) if item.line_id is None and item.sku in known else item
