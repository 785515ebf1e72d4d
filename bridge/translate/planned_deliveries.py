"""The deliveries of a snapshot as they will stand after each change that is planned."""

from collections import defaultdict

from bridge.domain.deliveries import Delivery, counts_against_order
from bridge.domain.parcels import Parcel, joined, numbers_of, record_of_shipment
from bridge.domain.shipments import Shipment
from bridge.translate.parcels import Sameness, compare
from bridge.translate.plans import Snapshot


class PlannedDeliveries:
    """The deliveries as they will stand after each change that was planned so far."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._by_id: dict[str, Delivery] = {}
        self._parcels: dict[str, Parcel] = dict(snapshot.parcels)
        # A key may still list a delivery that has left it: every look-up checks.
        self._by_order: defaultdict[str | None, dict[str, None]] = defaultdict(dict)
        self._by_key: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._by_identity: dict[str, str] = {}
        for delivery in snapshot.deliveries:
            self.note(delivery)

    def note(self, delivery: Delivery) -> None:
        self._by_id[delivery.id] = delivery
        self._by_order[delivery.fulfillment_order_id][delivery.id] = None
        self._by_identity[delivery.identity] = delivery.id
        self.join(delivery, delivery.shipment)

    def join(self, delivery: Delivery, shipment: Shipment) -> None:
        """This shipment speaks of the delivery's parcel."""
        parcel = joined(self._parcels.get(delivery.id, Parcel()), shipment)
        self._parcels[delivery.id] = parcel
        for key in (*(record.key for record in parcel.records), *parcel.numbers):
            self._by_key[key][delivery.id] = None

    def parcel(self, delivery: Delivery) -> Parcel:
        return self._parcels[delivery.id]

    def of_order(self, order_id: str) -> list[Delivery]:
        """Those that count against what is left of an order."""
        deliveries = self.all_of_order(order_id)
        return [delivery for delivery in deliveries if counts_against_order(delivery)]

    def all_of_order(self, order_id: str) -> list[Delivery]:
        deliveries = [self._by_id[delivery_id] for delivery_id in self._by_order[order_id]]
        return [delivery for delivery in deliveries if delivery.fulfillment_order_id == order_id]

    def related(self, shipment: Shipment) -> list[tuple[Sameness, Delivery]]:
        """Those that share a record or a number with a shipment, of whatever order, and how its
        parcel stands to theirs; without those that another delivery took the place of."""
        keys = (record_of_shipment(shipment).key, *sorted(numbers_of(shipment)))
        ids = dict.fromkeys(delivery_id for key in keys for delivery_id in self._by_key[key])
        related: list[tuple[Sameness, Delivery]] = []
        for delivery_id in ids:
            delivery = self._by_id[delivery_id]
            if delivery.superseded_by is None:
                sameness = compare(shipment, self._parcels[delivery_id], delivery.shipment)
                related.append((sameness, delivery))
        return related

    def with_identity(self, identity_: str) -> Delivery | None:
        delivery_id = self._by_identity.get(identity_)
        delivery = self._by_id[delivery_id] if delivery_id is not None else None
        return delivery if delivery is not None and delivery.identity == identity_ else None
