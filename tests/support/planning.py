"""What becomes of a page of shipments, without a database: what goes into a plan, and what each
plan must be whole in."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Held, Tracking
from bridge.domain.deliveries import Claim, Delivery
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.orders import FulfillmentOrder, OrderLine
from bridge.domain.parcels import Parcel, parcel_of
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment
from bridge.translate.placement import plan
from bridge.translate.plans import (
    ClaimAllowance,
    Create,
    OrderLookup,
    PageContext,
    Plan,
    Policy,
    Redecide,
    Snapshot,
    Withdraw,
)
from tests.support.fakes import Clock
from tests.support.rows import ORDER_ID, OTHER_ID, POLICY, a_delivery, a_parcel, an_order, units

NOW = Clock().now
TEE, CAP = OrderLine("line-tee", 2, "TEE"), OrderLine("line-cap", 1, "CAP")
ORDER = an_order(TEE, CAP)
OTHER = an_order(OrderLine("line-tee-2", 1, "TEE"), id=OTHER_ID, reference="#PD200")
ONE_TEE, ONE_CAP = units(1, "TEE"), units(1, "CAP")
DELIVERED = {"status": DeliveryStatus.DELIVERED, "posting_at": NOW}
HELD = {"status": DeliveryStatus.HELD, "lines": ()}


def label(*items: Any, **fields: Any) -> Shipment:
    """A V2 label of a ShipStation order that names #PD100."""
    given: dict[str, Any] = {
        "record": "se-501",
        "record_kind": "v2_label",
        "shipstation_shipment_id": "se-480",
    }
    return a_parcel(*(items or (ONE_TEE,)), **(given | fields))


def v1_label(*items: Any, **fields: Any) -> Shipment:
    """The same label as V1 shows it."""
    given: dict[str, Any] = {
        "record": "501",
        "record_kind": "v1_shipment",
        "shipstation_shipment_id": "480",
    }
    return label(*items, **(given | fields))


def known(shipment: Shipment, **fields: Any) -> Delivery:
    """A delivery that this shipment led to, of one tee unless said otherwise."""
    number = shipment.tracking_number
    given: dict[str, Any] = {
        "lines": (FulfilledLine("line-tee", 1, "TEE"),),
        "status": DeliveryStatus.PENDING,
        "tracking": Tracking(number, "UPS", None) if number else None,
        "identity": f"{ORDER_ID}:{number}",
        "claim": 0,
    }
    return replace(a_delivery(shipment=shipment), **(given | fields))


def planned(
    *shipments: Shipment,
    deliveries: tuple[Delivery, ...] = (),
    parcels: dict[str, Parcel] | None = None,
    orders: tuple[FulfillmentOrder, ...] = (ORDER,),
    linked: dict[str, FulfillmentOrder] | None = None,
    bound: dict[str, FulfillmentOrder] | None = None,
    missing: frozenset[str] = frozenset(),
    limit: int = 0,
    policy: Policy = POLICY,
    restored_at: datetime | None = None,
    **context: Any,
) -> Plan:
    given: dict[str, Any] = {
        "lane": Lane.LIVE,
        "trigger": Trigger.LIVE,
        "received_at": NOW,
        "fetched_at": NOW,
        "now": NOW,
    }
    known_parcels = {delivery.id: parcel_of(delivery.shipment) for delivery in deliveries}
    numbers = count(1)
    result = plan(
        shipments,
        OrderLookup(
            orders=orders,
            fresh=orders,
            bound=bound or {},
            linked=linked or {},
            missing_ids=missing,
            seen_at=NOW,
        ),
        Snapshot(deliveries, known_parcels | (parcels or {}), restored_at),
        policy=policy,
        context=PageContext(**(given | context)),
        new_id=lambda: f"dlv_new{next(numbers)}",
        allowance=ClaimAllowance(Claim("worker-1", NOW + timedelta(seconds=60)), limit),
    )
    assert_whole(result, shipments, deliveries)
    return result


def verdicts(plan: Plan) -> list[tuple[str, Reason | None]]:
    return [(decision.verdict, decision.reason) for decision in plan.decisions]


def assert_whole(
    result: Plan, shipments: tuple[Shipment, ...], stored: tuple[Delivery, ...]
) -> None:
    """What holds of every plan: each shipment is answered, in the page's order and in words; what
    it is told to have become exists; each change says all that is to be written."""
    records = [_record(decision.shipment) for decision in result.decisions]
    assert list(dict.fromkeys(records)) == [_record(shipment) for shipment in shipments]
    created = {change.delivery.id for change in result.changes if isinstance(change, Create)}
    known_ids = {delivery.id for delivery in stored} | created
    for decision in result.decisions:
        assert isinstance(decision.detail, str)
        assert decision.detail or decision.verdict == "delivery"
        assert decision.delivery_id in known_ids or decision.verdict in ("ignored", "waiting")
    for change in result.changes:
        if isinstance(change, (Create, Redecide)):
            _assert_draft_is_whole(change)
        else:
            assert change.existing.id in known_ids
        if isinstance(change, Withdraw):
            assert (change.status, change.reason, bool(change.detail)) in _WITHDRAWN


_WITHDRAWN = (
    (DeliveryStatus.CANCELLED, Reason.VOIDED, True),
    (DeliveryStatus.HELD, Reason.VOIDED_AFTER_DELIVERY, True),
)


def _record(shipment: Shipment) -> tuple[str, str]:
    return shipment.record_kind, shipment.record_id


def _assert_draft_is_whole(change: Create | Redecide) -> None:
    draft = change.draft
    assert draft.identity.partition(":")[0] in (
        "?" + (draft.shipment.order_number or ""),
        draft.action.fulfillment_order_id if draft.action else None,
    )
    if isinstance(draft.action, Held):
        assert draft.action.detail
    if isinstance(draft.action, CreateFulfillment):
        assert draft.rule
        assert draft.contents
    assert isinstance(draft.notify_customer, bool)
