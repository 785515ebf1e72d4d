"""What a void label undoes: what still waits is cancelled, what went out becomes an exception."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.domain.actions import FulfilledLine
from bridge.domain.events import DeliveryStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentState
from bridge.translate.plans import Change, Create, NoteVoided, Withdraw
from tests.support.planning import (
    DELIVERED,
    HELD,
    NOW,
    ONE_CAP,
    known,
    label,
    planned,
    v1_label,
    verdicts,
)

S = DeliveryStatus
VOID = label(state=ShipmentState.VOIDED, items=())
CANCEL = (S.CANCELLED, Reason.VOIDED, "the label was voided")
HOLD = (
    S.HELD,
    Reason.VOIDED_AFTER_DELIVERY,
    "the label 1Z1 was voided after the fulfillment was posted; correct the fulfillment of #PD100"
    " there",
)


@pytest.mark.parametrize(
    ("fields", "change"),
    [
        ({"status": S.PENDING}, CANCEL),
        ({"status": S.WAITING}, CANCEL),
        ({"status": S.RETRYING}, CANCEL),
        ({"status": S.RETRYING, "lines": ()}, CANCEL),
        (HELD | {"reason": Reason.UNKNOWN_LINE}, CANCEL),
        ({"status": S.DELIVERING, "lines": ()}, CANCEL),
        ({"status": S.DELIVERING}, NoteVoided),
        ({"status": S.RETRYING, "posting_at": NOW}, NoteVoided),
        ({"status": S.UNCONFIRMED, "posting_at": NOW}, NoteVoided),
        ({"status": S.DELIVERED}, HOLD),
        (DELIVERED, HOLD),
        (HELD | {"reason": Reason.UNCONFIRMED_PARTIAL}, None),
        (HELD | {"reason": Reason.UNKNOWN_LINE, "resolved_at": NOW}, None),
        ({"status": S.DEAD}, None),
        ({"status": S.CANCELLED, "reason": Reason.ALREADY_DELIVERED}, None),
    ],
)
def test_void_of_a_delivery_as_it_stands(fields: dict[str, Any], change: Any) -> None:
    existing = known(label(), **fields)
    expected: list[Change] = []
    if change is NoteVoided:
        expected = [NoteVoided(existing)]
    elif change is not None:
        expected = [Withdraw(existing, *change)]

    result = planned(VOID, deliveries=(existing,))

    assert list(result.changes) == expected
    [decision] = result.decisions
    reason = Reason.VOIDED_AFTER_DELIVERY if change is HOLD else Reason.VOIDED
    assert (decision.verdict, decision.reason) == ("held" if change is HOLD else "ignored", reason)
    assert (decision.detail, decision.delivery_id) == ("the label was voided", "dlv_1")


def test_void_of_what_was_never_seen_is_ignored() -> None:
    [decision] = planned(VOID).decisions

    assert (decision.verdict, decision.reason) == ("ignored", Reason.VOIDED)
    assert decision.delivery_id is None


def test_void_of_what_went_out_without_a_number_says_so() -> None:
    sent = known(label(number=None), **DELIVERED)

    [withdraw] = planned(replace(VOID, tracking_number=None), deliveries=(sent,)).changes

    assert isinstance(withdraw, Withdraw)
    assert withdraw.detail.startswith("the label without number was voided after")


def test_late_void_is_an_exception_once_whichever_api_tells_it() -> None:
    sent = known(label(), **DELIVERED)
    by_v1 = v1_label(state=ShipmentState.VOIDED, items=())

    result = planned(VOID, by_v1, deliveries=(sent,))

    assert verdicts(result) == [
        ("held", Reason.VOIDED_AFTER_DELIVERY),
        ("ignored", Reason.VOIDED),
    ]
    assert [type(change) for change in result.changes] == [Withdraw]


@pytest.mark.parametrize("status", [S.PENDING, S.WAITING, S.RETRYING])
def test_units_of_a_void_label_are_free_for_its_replacement_on_the_same_page(
    status: DeliveryStatus,
) -> None:
    waiting = known(label(ONE_CAP), status=status, lines=(FulfilledLine("line-cap", 1, "CAP"),))

    result = planned(VOID, label(ONE_CAP, record="se-502", number="1Z2"), deliveries=(waiting,))

    assert verdicts(result) == [("ignored", Reason.VOIDED), ("delivery", None)]
    assert isinstance(result.changes[-1], Create)


def test_replacement_of_what_went_out_is_held_on_the_same_page() -> None:
    sent = known(label(ONE_CAP), lines=(FulfilledLine("line-cap", 1, "CAP"),), **DELIVERED)

    result = planned(VOID, label(ONE_CAP, record="se-502", number="1Z2"), deliveries=(sent,))

    assert verdicts(result) == [
        ("held", Reason.VOIDED_AFTER_DELIVERY),
        ("held", Reason.TRACKING_CHANGED_AFTER_DELIVERY),
    ]


def test_return_label_brings_goods_back() -> None:
    [decision] = planned(label(state=ShipmentState.RETURN)).decisions

    assert (decision.verdict, decision.reason) == ("ignored", Reason.RETURN_LABEL)
    assert decision.detail == "the label brings goods back"
