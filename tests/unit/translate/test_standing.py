"""What a delivery still allows: a table of how each may stand, and what follows from it."""

from typing import Any

import pytest

from bridge.domain.deliveries import Delivery
from bridge.domain.events import DeliveryStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentState
from bridge.translate.fulfillments import Earlier
from bridge.translate.standing import (
    as_earlier,
    is_being_sent,
    is_delivered_and_valid,
    is_redecidable,
    is_waiting,
    stands,
)
from tests.support.planning import NOW, known, label

S = DeliveryStatus
POSTED: dict[str, Any] = {"posting_at": NOW}
CLOSED: dict[str, Any] = {"resolved_at": NOW}
PLACELESS: dict[str, Any] = {"lines": ()}
"""Its order or its lines are not known yet."""


def delivery(status: DeliveryStatus, **fields: Any) -> Delivery:
    return known(label(), **({"status": status} | fields))


@pytest.mark.parametrize(
    ("status", "fields", "follows"),
    [
        (S.PENDING, {}, {is_waiting}),
        (S.WAITING, {}, {is_waiting}),
        (S.RETRYING, {}, {is_waiting}),
        (S.RETRYING, PLACELESS, {is_waiting, is_redecidable}),
        (S.RETRYING, POSTED, {stands, is_being_sent}),
        (S.DELIVERING, {}, {is_being_sent}),
        (S.DELIVERING, POSTED, {stands, is_being_sent}),
        (S.DELIVERING, PLACELESS, {is_redecidable}),
        (S.UNCONFIRMED, {}, {is_being_sent}),
        (S.UNCONFIRMED, POSTED, {stands, is_being_sent}),
        (S.DELIVERED, {}, {stands}),
        (S.DELIVERED, POSTED, {stands}),
        (S.DELIVERED, CLOSED | PLACELESS, {stands}),
        (S.HELD, {"reason": Reason.UNKNOWN_LINE}, {is_redecidable}),
        (S.HELD, {"reason": Reason.NOTHING_LEFT} | PLACELESS, {is_redecidable}),
        (S.HELD, {"reason": Reason.UNKNOWN_LINE} | POSTED, {stands}),
        (S.HELD, {"reason": Reason.UNKNOWN_LINE} | CLOSED, {stands}),
        (S.HELD, {"reason": Reason.UNCONFIRMED_PARTIAL}, {stands}),
        (S.HELD, {"reason": Reason.VOIDED_AFTER_DELIVERY}, {stands}),
        (S.HELD, {"reason": Reason.TRACKING_CHANGED_AFTER_DELIVERY}, {stands}),
        (S.CANCELLED, {"reason": Reason.VOIDED}, {is_redecidable}),
        (S.CANCELLED, {"reason": Reason.VOIDED} | CLOSED, {stands}),
        (S.CANCELLED, {"reason": Reason.ALREADY_DELIVERED}, set()),
        (S.CANCELLED, CLOSED, {stands}),
        (S.DEAD, {"reason": Reason.SCHEDULE_EXHAUSTED}, set()),
        (S.DEAD, {"reason": Reason.SCHEDULE_EXHAUSTED} | PLACELESS, set()),
        (S.DEAD, {"reason": Reason.REJECTED_BY_PURPLE_DOT} | CLOSED, {stands}),
    ],
)
def test_what_follows_from_how_a_delivery_stands(
    status: DeliveryStatus, fields: dict[str, Any], follows: set[Any]
) -> None:
    questions = (stands, is_redecidable, is_waiting, is_being_sent)

    assert {ask for ask in questions if ask(delivery(status, **fields))} == follows


@pytest.mark.parametrize(
    ("status", "state", "is_valid"),
    [
        (S.DELIVERED, ShipmentState.SHIPPED, True),
        (S.DELIVERED, ShipmentState.VOIDED, False),
        (S.HELD, ShipmentState.SHIPPED, False),
        (S.DELIVERING, ShipmentState.SHIPPED, False),
    ],
)
def test_late_void_matters_once_and_only_for_what_purple_dot_has(
    status: DeliveryStatus, state: ShipmentState, is_valid: bool
) -> None:
    sent = known(label(state=state), status=status)

    assert is_delivered_and_valid(sent) is is_valid


def test_earlier_delivery_tells_the_rules_its_record_number_and_units() -> None:
    sent = delivery(S.HELD, reason=Reason.VOIDED_AFTER_DELIVERY)

    assert as_earlier(sent) == Earlier(
        shipstation_shipment_id="se-480",
        record_id="se-501",
        tracking_number="1Z1",
        status=S.HELD,
        lines=sent.lines,
        reason=Reason.VOIDED_AFTER_DELIVERY,
        record_kind="v2_label",
    )
