"""A delivery whose order or lines are not known, or not true any more: read from ShipStation again,
its order looked for once more, and decided anew in the same row."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import LeaseLostError
from bridge.domain.events import DeliveryStatus, Record
from bridge.domain.parcels import numbers_of, outlasts, record_of_shipment
from bridge.domain.reasons import Reason
from bridge.domain.shipments import UNFINISHED, Shipment, ShipmentState
from bridge.pipeline.create_deliveries import create_deliveries, lock_orders
from bridge.pipeline.find_orders import Resolver
from bridge.store import deliveries, leases, parcels
from bridge.store.engine.database import Connection, Database
from bridge.translate.plans import OrderLookup, PageContext, Plan, Policy
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.payloads import record_of
from bridge.vendors.shipstation.shipments import shipped

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Redecider:
    """Decides a claimed delivery anew. Posts nothing."""

    database: Database
    fetcher: Fetcher
    resolver: Resolver
    policy: Policy

    def decide_again(
        self, delivery: Delivery, *, owner: str, shipment: Shipment | None = None
    ) -> None:
        """Look for the order once more; found, the delivery is decided anew, in the same row, from
        `shipment`, or else from its own record or, where that is void or bears another number by
        now, from another one of its parcel. Raises what the clients raise, StorageError and
        LeaseLostError."""
        shipments = [shipment] if shipment else self._facts_now(delivery)
        lookup = self.resolver.find(shipments, linked_order_id=delivery.linked_order_id)
        with self.database.begin() as connection:
            plan = self._create_deliveries(connection, delivery, owner, shipments, lookup)
        log.info(
            "delivery_decided_again",
            delivery_id=delivery.id,
            verdicts=[decision.verdict for decision in plan.decisions],
        )

    def _create_deliveries(
        self,
        connection: Connection,
        delivery: Delivery,
        owner: str,
        shipments: Sequence[Shipment],
        lookup: OrderLookup,
    ) -> Plan:
        lock_orders(connection, lookup, now=self.database.now(connection))
        leases.fence(
            connection,
            leases.DELIVERIES,
            row_id=delivery.id,
            owner=owner,
            claim=delivery.claim,
        )
        context = PageContext(
            lane=delivery.lane,
            trigger=delivery.trigger,
            received_at=delivery.received_at,
            fetched_at=delivery.label_seen_at or delivery.created_at,
            now=self.database.now(connection),
            tries=delivery.attempts + 1,
            linked_order_id=delivery.linked_order_id,
            delivery_id=delivery.id,
        )
        plan = create_deliveries(connection, shipments, lookup, policy=self.policy, context=context)
        if not any(decision.delivery_id == delivery.id for decision in plan.decisions):
            _close(connection, delivery, owner, plan, now=context.now)
        return plan

    def _facts_now(self, delivery: Delivery) -> list[Shipment]:
        """What the delivery is to be decided from, first; then its own record, where that says
        something else by now than the label whose number it had."""
        own = self._as_it_is_now(delivery)
        is_void = own.state is ShipmentState.VOIDED
        numbers, numbers_now = numbers_of(delivery.shipment), numbers_of(own)
        has_new_number = bool(numbers and numbers_now) and numbers.isdisjoint(numbers_now)
        if not is_void and not has_new_number:
            return [own]
        other = self.by_another_record(delivery)
        if other is None or (has_new_number and numbers.isdisjoint(numbers_of(other))):
            return [own]
        return [other] if is_void else [other, own]

    def _as_it_is_now(self, delivery: Delivery) -> Shipment:
        """Read from ShipStation again, since a person may have corrected the order there; what it
        no longer shows stays as it was stored. So does a provider's refusal: the record alone looks
        like goods that left."""
        stored = delivery.shipment
        if stored.state is ShipmentState.REJECTED:
            return stored
        for shipment in shipped(self._records_now(stored)):
            if shipment.record_id == stored.record_id and shipment.state not in UNFINISHED:
                # Whether the shopper is notified was settled when it was first decided: a replay
                # notifies nobody, unless it was asked to.
                return replace(shipment, notify_customer=stored.notify_customer)
        return stored

    def by_another_record(self, delivery: Delivery) -> Shipment | None:
        """What ShipStation says now of another record that reported this parcel; None where none
        says that it left. Raises what the client raises, and StorageError."""
        void = record_of_shipment(delivery.shipment)
        with self.database.read() as connection:
            reported = parcels.of_deliveries(connection, [delivery.id])
        for record in reported[delivery.id].records:
            if not outlasts(record, void):
                continue
            for shipment in shipped(self.fetcher.again(record.kind, record.record_id)):
                is_it = record_of_shipment(shipment).key == record.key
                if is_it and shipment.state is ShipmentState.SHIPPED:
                    return replace(shipment, notify_customer=delivery.shipment.notify_customer)
        return None

    def _records_now(self, stored: Shipment) -> list[Record]:
        """An inline row stands nowhere at ShipStation; what it spoke of does."""
        if stored.record_kind != "inline_row":
            return self.fetcher.again(stored.record_kind, stored.record_id)
        shipment_id = stored.shipstation_shipment_id or ""
        row = {
            "shipment_id": shipment_id,
            "tracking_number": stored.tracking_number,
            "carrier_code": stored.carrier_code,
            "ship_date": stored.ship_date,
        }
        return [record_of("inline_row", row), self.fetcher.v2_shipment(shipment_id)]


def _close(
    connection: Connection, delivery: Delivery, owner: str, plan: Plan, *, now: datetime
) -> None:
    """This row was decided away: another one has taken its place, or there is nothing to do."""
    decision = plan.decisions[0]
    values: dict[str, Any] = {"reason": decision.reason, "detail": decision.detail}
    if decision.delivery_id is not None:
        values["superseded_by"] = decision.delivery_id
        values["reason"] = Reason.ALREADY_DELIVERED
        values["detail"] = f"delivery {decision.delivery_id} took its place"
    with suppress(LeaseLostError):  # Deciding may have closed this very row already.
        deliveries.record(
            connection,
            delivery,
            owner=owner,
            status=DeliveryStatus.CANCELLED,
            now=now,
            **values,
        )
