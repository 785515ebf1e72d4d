"""Which delivery a shipment is already, and whether newer facts may take its place."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.domain.actions import FulfilledLine
from bridge.domain.events import DeliveryStatus, Trigger
from bridge.domain.parcels import joined, parcel_of
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentState
from bridge.translate.plans import Create, Decision, Join, Redecide
from tests.support.planning import (
    DELIVERED,
    HELD,
    NOW,
    ONE_CAP,
    ORDER,
    OTHER,
    known,
    label,
    planned,
    v1_label,
    verdicts,
)
from tests.support.rows import ORDER_ID, OTHER_ID, units

S = DeliveryStatus
SEEN_BEFORE = [("ignored", Reason.ALREADY_DELIVERED)]
BOTH_ORDERS = label(
    clues=(
        Clue(ClueKind.REFERENCE, "shipment_number", "PD100"),
        Clue(ClueKind.REFERENCE, "custom_field1", "PD200"),
    )
)
OF_OTHER: dict[str, Any] = {"fulfillment_order_id": OTHER_ID, "identity": f"{OTHER_ID}:1Z1"}


@pytest.mark.parametrize(
    "decided", [{"resolved_at": NOW}, {"linked_order_id": ORDER_ID}], ids=["closed", "linked"]
)
def test_what_a_person_decided_stands_when_the_record_names_two_orders(
    decided: dict[str, Any],
) -> None:
    delivered = known(label(), **(DELIVERED | decided))

    result = planned(BOTH_ORDERS, deliveries=(delivered,), orders=(ORDER, OTHER))

    assert verdicts(result) == SEEN_BEFORE


def test_unsent_delivery_whose_record_names_two_orders_is_held_in_the_same_row() -> None:
    held = known(label(), reason=Reason.UNKNOWN_LINE, **HELD)

    result = planned(BOTH_ORDERS, deliveries=(held,), orders=(ORDER, OTHER))

    assert verdicts(result) == [("held", Reason.AMBIGUOUS_ORDER)]
    [redecide] = result.changes
    assert isinstance(redecide, Redecide)
    assert redecide.existing == held
    assert redecide.draft.action.detail == result.decisions[0].detail  # type: ignore[union-attr]  # it is held
    assert "#PD200" in result.decisions[0].detail


@pytest.mark.parametrize(
    ("person", "verdict"),
    [(ORDER_ID, ("delivery", None)), (None, ("held", Reason.AMBIGUOUS_ORDER))],
)
def test_only_a_person_sends_a_record_to_a_second_order(person: str | None, verdict: Any) -> None:
    """It went out for the other order already."""
    elsewhere = known(label(), id="dlv_0", **(DELIVERED | OF_OTHER))
    asked = known(label(), linked_order_id=person, reason=Reason.AMBIGUOUS_ORDER, **HELD)

    result = planned(label(), deliveries=(elsewhere, asked), orders=(ORDER, OTHER))

    assert verdicts(result) == [verdict]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (S.DELIVERING, ("held", Reason.TRACKING_CHANGED_AFTER_DELIVERY)),
        (S.DELIVERED, ("held", Reason.TRACKING_CHANGED_AFTER_DELIVERY)),
        (S.DEAD, ("ignored", Reason.ALREADY_DELIVERED)),
    ],
)
def test_new_number_is_an_exception_where_the_old_one_may_have_gone_out(
    status: DeliveryStatus, verdict: Any
) -> None:
    existing = known(label(), status=status)

    assert verdicts(planned(label(number="1Z2"), deliveries=(existing,))) == [verdict]


def test_shipment_without_a_number_is_no_news_of_a_sent_one() -> None:
    delivered = known(label(), **DELIVERED)

    assert verdicts(planned(label(number=None), deliveries=(delivered,))) == SEEN_BEFORE


def test_number_of_what_was_sent_without_one_is_an_exception() -> None:
    """A person sent it, say."""
    delivered = known(label(number=None), **DELIVERED)

    result = planned(label(), deliveries=(delivered,))

    assert verdicts(result) == [("held", Reason.TRACKING_CHANGED_AFTER_DELIVERY)]
    assert result.decisions[0].detail == (
        "v2_label se-501 has number 1Z1 now, but Purple Dot has its goods with number without"
        " number (delivery dlv_1)"
    )


@pytest.mark.parametrize(
    ("fields", "context", "is_anew"),
    [
        ({"status": S.DEAD}, {"trigger": Trigger.REPLAY}, True),
        ({"status": S.DEAD}, {"trigger": Trigger.LIVE}, False),
        ({"status": S.DEAD, "resolved_at": NOW}, {"trigger": Trigger.REPLAY}, False),
        ({"status": S.DEAD, "posting_at": NOW}, {"trigger": Trigger.REPLAY}, False),
        ({"status": S.WAITING}, {"trigger": Trigger.REPLAY}, False),
        ({"status": S.DELIVERING}, {"delivery_id": "dlv_1"}, True),
        ({"status": S.DELIVERING}, {"delivery_id": "dlv_2"}, False),
        ({"status": S.DELIVERING, "posting_at": NOW}, {"delivery_id": "dlv_1"}, False),
        ({"status": S.RETRYING, "lines": ()}, {}, True),
        ({"status": S.HELD, "reason": Reason.NO_ITEMS}, {}, True),
        ({"status": S.CANCELLED, "reason": Reason.VOIDED}, {}, True),
        ({"status": S.CANCELLED, "reason": Reason.ALREADY_DELIVERED}, {}, False),
    ],
)
def test_same_facts_decide_anew_only_what_waits_for_that(
    fields: dict[str, Any], context: dict[str, Any], is_anew: bool
) -> None:
    result = planned(label(), deliveries=(known(label(), **fields),), **context)

    assert verdicts(result) == ([("delivery", None)] if is_anew else SEEN_BEFORE)
    assert [type(change) for change in result.changes] == ([Redecide] if is_anew else [])


@pytest.mark.parametrize(
    "change",
    [
        {"carrier_code": "fedex"},
        {"carrier_name": "DPD"},
        {"items": (units(2, "TEE"),)},
        {"number": "1Z2"},
        {"shipstation_shipment_id": "se-481"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_waiting_delivery_whose_record_was_corrected_is_decided_anew(
    change: dict[str, Any],
) -> None:
    waiting = known(label(), status=S.WAITING)

    result = planned(label(**change), deliveries=(waiting,))

    [redecide] = result.changes
    assert isinstance(redecide, Redecide)
    assert (verdicts(result), redecide.existing.id) == ([("delivery", None)], "dlv_1")


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        (({"status": S.CANCELLED}, DELIVERED), "dlv_2"),
        ((DELIVERED, {"status": S.DEAD}), "dlv_1"),
        (({"status": S.WAITING}, {"status": S.DEAD}), "dlv_1"),
        (({"status": S.DEAD}, {"status": S.DEAD}), "dlv_2"),
        (({"status": S.WAITING}, DELIVERED), "dlv_2"),
    ],
)
def test_of_several_rows_for_one_parcel_what_purple_dot_has_goes_first(
    rows: tuple[dict[str, Any], dict[str, Any]], chosen: str
) -> None:
    """Then what counts, then the newest."""
    deliveries = tuple(
        known(label(), **(fields | {"id": f"dlv_{n}", "identity": f"{ORDER_ID}:1Z1:{n}"}))
        for n, fields in enumerate(rows, start=1)
    )

    [decision] = planned(label(), deliveries=deliveries).decisions

    assert decision.delivery_id == chosen


def test_parcel_that_was_seen_before_says_what_it_became_and_by_which_rule() -> None:
    delivered = known(label(), rule="custom_field1", **DELIVERED)

    assert planned(label(), deliveries=(delivered,)).decisions == (
        Decision(
            label(),
            "ignored",
            Reason.ALREADY_DELIVERED,
            "it is delivery dlv_1, delivered",
            "custom_field1",
            "dlv_1",
        ),
    )


def test_what_v1_does_not_repeat_still_counts_as_v2_said_it() -> None:
    """V1 shows the label under the shop's own number alone."""
    waiting = known(label(), status=S.WAITING)
    bare = v1_label(reference="SHOP-7", number="1Z8")

    result = planned(bare, deliveries=(waiting,))

    assert verdicts(result) == SEEN_BEFORE
    assert result.decisions[0].delivery_id == waiting.id
    assert result.changes == (Join(waiting, bare),)


def test_search_that_is_replayed_as_stored_stays_where_a_newer_number_took_it() -> None:
    searching = known(
        label(reference="PD999", number="1Z2"),
        status=S.RETRYING,
        reason=Reason.ORDER_NOT_FOUND,
        fulfillment_order_id=None,
        lines=(),
        identity="?PD999:1Z2",
    )
    old = label(reference="PD999")

    result = planned(old, deliveries=(searching,), as_stored=True)

    assert verdicts(result) == SEEN_BEFORE
    assert result.changes == (Join(searching, old),)
    assert result.decisions[0].detail == "it is delivery dlv_1, retrying"


def test_replay_as_stored_finds_its_number_where_none_was_known_before() -> None:
    numberless = known(label(number=None), reason=Reason.NO_TRACKING_NUMBER, **HELD)

    result = planned(label(), deliveries=(numberless,), as_stored=True)

    assert verdicts(result) == [("delivery", None)]
    assert [type(change) for change in result.changes] == [Redecide]


def test_replay_as_stored_of_the_same_record_decides_anew() -> None:
    held = known(label(), reason=Reason.UNKNOWN_LINE, **HELD)

    result = planned(label(), deliveries=(held,), as_stored=True)

    assert verdicts(result) == [("delivery", None)]


def test_record_that_went_out_for_another_order_is_found_behind_rows_that_did_not() -> None:
    dead = known(label(), status=S.DEAD, **(OF_OTHER | {"id": "dlv_0", "identity": "an old one"}))
    elsewhere = known(label(), **(DELIVERED | OF_OTHER))

    result = planned(label(), deliveries=(dead, elsewhere), orders=(ORDER, OTHER))

    assert verdicts(result)[0] == ("held", Reason.AMBIGUOUS_ORDER)


def test_parcel_that_may_be_one_or_two_is_found_behind_one_that_is_neither() -> None:
    other_part = label(ONE_CAP, record="se-900", record_kind="v2_fulfillment")
    cap = known(other_part, lines=(FulfilledLine("line-cap", 1, "CAP"),), **DELIVERED)
    cap = replace(cap, id="dlv_0", identity=f"{ORDER_ID}:1Z1:0")
    mark = v1_label(record="77", record_kind="v1_fulfillment", shipstation_shipment_id="481")

    result = planned(mark, deliveries=(cap, known(label(), **DELIVERED)))

    assert verdicts(result) == [("held", Reason.COMBINED_PARCEL)]
    assert "delivery dlv_1 " in result.decisions[0].detail


def test_units_of_what_was_held_before_it_was_sent_are_free() -> None:
    """Its lines stand in the row, for a person to see."""
    of_cap = {"lines": (FulfilledLine("line-cap", 1, "CAP"),), "reason": Reason.ORDER_VOIDED}
    held = known(label(ONE_CAP), status=S.HELD, **of_cap)
    other = label(ONE_CAP, record="se-502", number="1Z2", shipstation_shipment_id="se-481")

    assert verdicts(planned(other, deliveries=(held,))) == [("delivery", None)]


def test_parcel_that_moved_to_another_order_leaves_its_name_free() -> None:
    held = known(label(), reason=Reason.UNKNOWN_LINE, **HELD)
    moved = label(reference="PD200")
    second = label(ONE_CAP, record="se-502", shipstation_shipment_id="se-481")

    result = planned(moved, second, deliveries=(held,), orders=(ORDER, OTHER))

    [redecide, create] = result.changes
    assert isinstance(redecide, Redecide)
    assert isinstance(create, Create)
    assert redecide.draft.identity == f"{OTHER_ID}:1Z1"
    assert create.draft.identity == f"{ORDER_ID}:1Z1"


def test_what_a_person_closed_without_an_order_closes_what_is_held_beside_it() -> None:
    orderless = {"fulfillment_order_id": None, "identity": "?PD100:1Z1"}
    closed = known(label(), **(DELIVERED | orderless | {"resolved_at": NOW, "lines": ()}))
    held = known(label(), reason=Reason.UNKNOWN_LINE, **(HELD | {"id": "dlv_2"}))

    result = planned(label(), deliveries=(closed, held))

    assert verdicts(result) == SEEN_BEFORE
    assert (result.decisions[0].delivery_id, result.changes) == ("dlv_1", ())


def test_parcel_is_known_by_a_record_that_joined_it_before() -> None:
    """Its number was another one, which only the parcel still knows."""
    mark = v1_label(record="77", record_kind="v1_fulfillment", number="1Z8")
    delivered = known(label(), **DELIVERED)
    parcels = {"dlv_1": joined(parcel_of(label()), mark)}

    result = planned(mark, deliveries=(delivered,), parcels=parcels)

    assert (verdicts(result), result.changes) == (SEEN_BEFORE, ())
    assert verdicts(planned(mark, deliveries=(delivered,)))[0][0] == "held"


def test_changed_number_is_one_exception_however_often_it_is_told() -> None:
    delivered = known(label(), **DELIVERED)
    first = planned(label(number="1Z2"), deliveries=(delivered,)).changes[0]
    assert isinstance(first, Create)
    exception = replace(first.delivery, id="dlv_2")

    again = planned(label(number="1Z2"), deliveries=(delivered, exception))

    assert verdicts(again) == SEEN_BEFORE
    assert (again.decisions[0].delivery_id, again.changes) == ("dlv_2", ())


@pytest.mark.parametrize(
    ("known_before", "rule"),
    [
        ({"linked_order_id": ORDER_ID}, "linked"),
        ({"linked": {"label:501": ORDER}}, "linked"),
        ({"bound": {"se-480": ORDER}}, "bound"),
    ],
)
def test_order_that_nothing_on_the_parcel_names_is_known_from_before(
    known_before: dict[str, Any], rule: str
) -> None:
    nameless = label(clues=(), order_number="SHOP-7")

    [decision] = planned(nameless, orders=(OTHER, ORDER), **known_before).decisions

    assert (decision.verdict, decision.rule) == ("delivery", rule)
    assert verdicts(planned(nameless, bound={"se-481": ORDER})) == [
        ("ignored", Reason.NOT_A_PURPLE_DOT_ORDER)
    ]


def test_refused_parcel_that_was_cancelled_for_its_order_is_sent_for_another() -> None:
    """What was cancelled with an order of its own is no word about this one."""
    cancelled = known(label(), status=S.CANCELLED, resolved_at=NOW, **OF_OTHER)

    result = planned(label(), deliveries=(cancelled,), orders=(ORDER, OTHER))

    assert verdicts(result) == [("delivery", None)]
    assert [type(change) for change in result.changes] == [Create]


def test_what_a_person_cancelled_without_an_order_stays_cancelled() -> None:
    cancelled = known(
        label(),
        status=S.CANCELLED,
        resolved_at=NOW,
        fulfillment_order_id=None,
        identity="?PD100:1Z1",
        lines=(),
    )

    assert verdicts(planned(label(), deliveries=(cancelled,))) == SEEN_BEFORE


def test_goods_of_another_record_under_the_same_number_count_as_sent() -> None:
    delivered = known(label(ONE_CAP), **DELIVERED)
    mark = label(ONE_CAP, record="se-900", record_kind="v2_fulfillment")

    result = planned(mark, deliveries=(delivered,))

    assert verdicts(result) == SEEN_BEFORE
    assert result.changes == (Join(delivered, mark),)


def void(**fields: Any) -> Shipment:
    return label(**({"state": ShipmentState.VOIDED, "items": ()} | fields))


WITHOUT_IDS: dict[str, Any] = {"shipstation_shipment_id": None}


@pytest.mark.parametrize(
    ("shipment", "is_withdrawn"),
    [
        (void(), True),
        (void(reference="SHOP-7"), False),
        (void(order_number=None), False),
        (void(number="1Z2"), False),
    ],
)
def test_void_of_another_kind_of_record_needs_the_same_order(
    shipment: Shipment, is_withdrawn: bool
) -> None:
    """Neither says of which ShipStation order it is, so the order's number tells."""
    mark = label(record="se-900", record_kind="v2_fulfillment", **WITHOUT_IDS)
    waiting = known(mark, status=S.WAITING)

    result = planned(replace(shipment, **WITHOUT_IDS), deliveries=(waiting,))

    assert bool(result.changes) is is_withdrawn
    assert result.decisions[0].delivery_id == ("dlv_1" if is_withdrawn else None)


def test_two_records_without_an_order_share_none() -> None:
    mark = label(record="se-900", record_kind="v2_fulfillment", order_number=None, **WITHOUT_IDS)

    result = planned(void(order_number=None, **WITHOUT_IDS), deliveries=(known(mark, **DELIVERED),))

    assert result.changes == ()


@pytest.mark.parametrize(
    "other",
    [
        void(record="se-502"),
        void(shipstation_shipment_id="se-481", record_kind="v2_fulfillment", record="se-900"),
    ],
    ids=["another label of the order", "another part of the order"],
)
def test_void_of_another_parcel_withdraws_nothing(other: Shipment) -> None:
    result = planned(other, deliveries=(known(label(), **DELIVERED),))

    assert verdicts(result) == [("ignored", Reason.VOIDED)]
    assert result.changes == ()


def test_void_of_a_mark_that_a_newer_mark_replaced_withdraws_nothing() -> None:
    old = label(record="se-900", record_kind="v2_fulfillment")
    new = replace(old, record_id="se-901")
    waiting = known(old, status=S.WAITING)

    page = planned(new, replace(old, state=ShipmentState.VOIDED, items=()), deliveries=(waiting,))

    assert verdicts(page) == [("delivery", None), ("ignored", Reason.VOIDED)]
    assert [type(change) for change in page.changes] == [Redecide]
