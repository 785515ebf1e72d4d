"""Which delivery a shipment is already: by its record or its parcel, never by a number alone."""

from dataclasses import dataclass
from typing import Any

from bridge.domain.deliveries import Delivery, counts_against_order
from bridge.domain.events import DeliveryStatus, Trigger
from bridge.domain.parcels import LABEL_KINDS, numbers_of, record_of_shipment
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentState
from bridge.translate.matching import Unmatched
from bridge.translate.parcels import Sameness
from bridge.translate.planned_deliveries import PlannedDeliveries
from bridge.translate.plans import PageContext
from bridge.translate.standing import is_redecidable, is_waiting, stands

_SAME = frozenset({Sameness.SAME_RECORD, Sameness.SAME_PARCEL})


@dataclass(frozen=True, slots=True)
class Recognition:
    """Compares the shipments of one page with the deliveries that are stored or planned."""

    deliveries: PlannedDeliveries
    context: PageContext

    def names_another_order(self, delivery: Delivery, unmatched: Unmatched) -> bool:
        """Whether ShipStation names another order now beside the one that has this record. What a
        person decided stands, and so does what an old page says again."""
        is_decided = delivery.resolved_at is not None or delivery.linked_order_id is not None
        if is_decided or self.context.as_stored:
            return False
        return unmatched.reason is Reason.AMBIGUOUS_ORDER

    def existing(self, shipment: Shipment, order_id: str, order_ids: set[str]) -> Delivery | None:
        """The delivery of this order that this shipment already is; or one of its own record that
        has no order yet, or an order that the record names no more while nothing was sent."""
        same = self.same_parcel(shipment, order_id)
        if same is not None:
            return same
        for delivery in reversed(self.of_record(shipment)):
            if delivery.fulfillment_order_id == order_id:
                return delivery
        orderless = self.same_parcel(shipment, None)
        if orderless is not None:
            return orderless
        for delivery in reversed(self.of_record(shipment)):
            if delivery.fulfillment_order_id is None:
                return delivery
            is_unsent = self._is_open(delivery) or is_waiting(delivery)
            if is_unsent and delivery.fulfillment_order_id not in order_ids:
                return delivery
        return self._same_mark(shipment, order_id)

    def _same_mark(self, shipment: Shipment, order_id: str) -> Delivery | None:
        """What the other API said of the same ShipStation order that was marked as shipped, where
        one of the two lacks a number: a mark stands for all of the order's goods."""
        record = record_of_shipment(shipment)
        if record.kind in LABEL_KINDS or record.order_key is None:
            return None
        for delivery in self.deliveries.all_of_order(order_id):
            other = record_of_shipment(delivery.shipment)
            is_mark = other.kind not in LABEL_KINDS and other.family != record.family
            is_unnumbered = delivery.reason is Reason.NO_TRACKING_NUMBER or not numbers_of(shipment)
            if is_mark and is_unnumbered and other.order_key == record.order_key:
                return delivery
        return None

    def same_parcel(self, shipment: Shipment, order_id: str | None) -> Delivery | None:
        """The delivery of this order whose parcel has the shipment's number; the one that Purple
        Dot has, if there is one."""
        numbers = numbers_of(shipment)
        candidates = [
            delivery
            for sameness, delivery in self.deliveries.related(shipment)
            if sameness in _SAME
            and delivery.fulfillment_order_id == order_id
            and (not numbers or not numbers.isdisjoint(self.deliveries.parcel(delivery).numbers))
        ]
        standing = [delivery for delivery in candidates if stands(delivery)]
        counting = [delivery for delivery in candidates if counts_against_order(delivery)]
        return next(iter((*standing, *counting, *reversed(candidates))), None)

    def of_record(self, shipment: Shipment) -> list[Delivery]:
        return [
            delivery
            for sameness, delivery in self.deliveries.related(shipment)
            if sameness is Sameness.SAME_RECORD
        ]

    def sent_elsewhere(self, shipment: Shipment, order_ids: set[str]) -> Delivery | None:
        """What was decided for good for this very record, of an order that it names no more."""
        for delivery in self.of_record(shipment):
            is_dropped = delivery.status is DeliveryStatus.CANCELLED
            has_order = delivery.fulfillment_order_id is not None
            if not stands(delivery) or (is_dropped and has_order):
                continue
            if delivery.fulfillment_order_id not in order_ids:
                return delivery
        return None

    def is_linked(self, existing: Delivery | None, order_id: str) -> bool:
        """Whether a person has said that it belongs to this order."""
        linked = existing.linked_order_id if existing is not None else None
        return order_id in (self.context.linked_order_id, linked)

    def has_new_number(self, existing: Delivery, shipment: Shipment) -> bool:
        """Whether Purple Dot has a number for this record that ShipStation says no more."""
        numbers = numbers_of(shipment)
        if self.context.as_stored or not numbers or existing.resolved_at is not None:
            return False
        is_sent = stands(existing) or existing.status is DeliveryStatus.DELIVERING
        return is_sent and numbers.isdisjoint(self.deliveries.parcel(existing).numbers)

    def has_left(self, existing: Delivery, shipment: Shipment) -> bool:
        """Whether a label and the mark that repeated its number say different numbers by now, while
        nothing was sent. Which of them is right can't be known, so the one that comes later is no
        fact about that parcel any more."""
        numbers, known_numbers = numbers_of(shipment), numbers_of(existing.shipment)
        is_void = existing.shipment.state is ShipmentState.VOIDED
        if stands(existing) or is_void or not numbers or not known_numbers:
            return False
        is_label = shipment.record_kind in LABEL_KINDS
        is_made_from_label = existing.shipment.record_kind in LABEL_KINDS
        if is_label != is_made_from_label:
            return numbers.isdisjoint(known_numbers)
        parcel = self.deliveries.parcel(existing)
        has_label = any(record.kind in LABEL_KINDS for record in parcel.records)
        return has_label and not is_label and numbers.isdisjoint(parcel.numbers)

    def _is_open(self, delivery: Delivery) -> bool:
        """Nothing of it was sent, and newer facts may decide it anew: the delivery that a worker
        holds for just that, or one that waits for it. A dead one waits for a person, and a replay
        is a person's wish."""
        if delivery.resolved_at is not None or delivery.posting_at is not None:
            return False
        if delivery.id == self.context.delivery_id:
            return True
        is_dead = delivery.status is DeliveryStatus.DEAD
        return is_redecidable(delivery) or (is_dead and self.context.trigger is Trigger.REPLAY)

    def may_replace(self, existing: Delivery, shipment: Shipment) -> bool:
        """Before anything was sent, newer facts decide anew; so does a newer record of the same
        kind, since the older may be void by now. For the same reason what is replayed as stored
        never takes the place of another record, nor an old number that of a newer one."""
        is_same = record_of_shipment(existing.shipment) == record_of_shipment(shipment)
        has_number = not self.deliveries.parcel(existing).numbers or not numbers_of(
            existing.shipment
        ).isdisjoint(numbers_of(shipment))
        if self.context.as_stored and not (is_same and has_number):
            return False
        if self._is_open(existing):
            return True
        if not is_waiting(existing):
            return False
        if is_same:
            return _facts(existing.shipment) != _facts(shipment)
        is_newer = existing.shipment.record_kind == shipment.record_kind
        return is_newer or not has_number

    def of_void(self, shipment: Shipment) -> list[Delivery]:
        """Its own record's deliveries; else those of another record of the same parcel. Within one
        kind, another record is another parcel, and a number alone may have been used again."""
        own = [
            delivery
            for delivery in self.of_record(shipment)
            if not _is_replaced(delivery, shipment)
        ]
        return own or [
            delivery
            for sameness, delivery in self.deliveries.related(shipment)
            if sameness is Sameness.SAME_PARCEL
            and delivery.shipment.record_kind != shipment.record_kind
            and self._has_same_order(delivery, shipment)
        ]

    def _has_same_order(self, delivery: Delivery, shipment: Shipment) -> bool:
        record = record_of_shipment(shipment)
        keys = {existing.order_key for existing in self.deliveries.parcel(delivery).records}
        if record.order_key in keys - {None}:
            return True
        number = shipment.order_number
        return number is not None and number == delivery.shipment.order_number


def _is_replaced(delivery: Delivery, shipment: Shipment) -> bool:
    """Whether a newer record of the same kind is what the delivery is made from by now."""
    is_same_kind = delivery.shipment.record_kind == shipment.record_kind
    return is_same_kind and delivery.shipment.record_id != shipment.record_id


def _facts(shipment: Shipment) -> tuple[Any, ...]:
    """What a fulfillment is made of; while nothing was sent, a change in it decides anew."""
    return (
        numbers_of(shipment),
        shipment.carrier_code,
        shipment.carrier_name,
        shipment.shipstation_shipment_id,
        frozenset(shipment.clues),
        frozenset(shipment.items),
    )
