"""What becomes of a page of shipments, without a database: plans from snapshots."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.actions import FulfilledLine
from bridge.domain.events import DeliveryStatus, Trigger
from bridge.domain.reasons import Reason
from bridge.domain.shipments import UNFINISHED, Clue, ClueKind, Shipment, ShipmentState
from bridge.translate.plans import (
    Create,
    Join,
    NoteVoided,
    Redecide,
    Withdraw,
)
from tests.support.planning import (
    DELIVERED,
    HELD,
    NOW,
    ONE_CAP,
    ONE_TEE,
    ORDER,
    OTHER,
    known,
    label,
    planned,
    v1_label,
    verdicts,
)
from tests.support.rows import ORDER_ID, OTHER_ID, units


def test_new_parcel_is_created_with_its_lines() -> None:
    result = planned(label())

    assert verdicts(result) == [("delivery", None)]
    [create] = result.changes
    assert isinstance(create, Create)
    assert create.delivery.id == result.decisions[0].delivery_id == "dlv_new1"
    assert create.delivery.lines == (FulfilledLine("line-tee", 1, "TEE"),)


def test_worker_takes_no_more_than_it_may() -> None:
    parcels = [
        label(number=f"1Z{n}", record=f"se-{n}", shipstation_shipment_id=f"se-{n}") for n in (1, 2)
    ]

    result = planned(*parcels, limit=1)

    assert [delivery.id for delivery in result.claimed] == ["dlv_new1"]
    statuses = [change.delivery.status for change in result.changes if isinstance(change, Create)]
    assert statuses == ["delivering", "pending"]


def test_each_shipment_sees_what_was_decided_for_those_before_it() -> None:
    parcels = [
        label(ONE_CAP, number=f"1Z{n}", record=f"se-{n}", shipstation_shipment_id=f"se-{n}")
        for n in (1, 2)
    ]

    assert verdicts(planned(*parcels)) == [("delivery", None), ("held", Reason.NOTHING_LEFT)]


@pytest.mark.parametrize(
    "again",
    [
        v1_label(),
        label(record="se-900", record_kind="v2_fulfillment"),
        v1_label(record="77", record_kind="v1_fulfillment"),
        label(record="se-480:1Z1", record_kind="inline_row"),
        label(number=" 1z-1 "),
    ],
)
def test_other_record_of_a_delivered_parcel_is_joined_to_it(again: Shipment) -> None:
    delivered = known(label(), **DELIVERED)

    result = planned(again, deliveries=(delivered,))

    assert verdicts(result) == [("ignored", Reason.ALREADY_DELIVERED)]
    assert all(isinstance(change, Join) for change in result.changes)


def test_what_says_nothing_new_changes_nothing() -> None:
    result = planned(label(), deliveries=(known(label(), **DELIVERED),))

    assert result.changes == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (label(), label(ONE_CAP, record="se-900", record_kind="v2_fulfillment")),
        (label(record="se-900", record_kind="v2_fulfillment"), label(ONE_CAP)),
        (label(), label(ONE_CAP, record="se-481:1Z1", record_kind="inline_row")),
        (v1_label(), v1_label(ONE_CAP, record="77", record_kind="v1_fulfillment")),
        (label(), v1_label(ONE_CAP, record="502")),
        (label(), label(ONE_TEE, record="se-900", record_kind="v2_fulfillment")),
    ],
)
def test_second_part_in_the_same_box_is_a_parcel_of_its_own(
    first: Shipment, second: Shipment
) -> None:
    """Two ShipStation orders, one number."""
    order_id = "481" if second.record_kind.startswith("v1") else "se-481"
    delivered = known(first, **DELIVERED)

    result = planned(replace(second, shipstation_shipment_id=order_id), deliveries=(delivered,))

    assert verdicts(result) == [("delivery", None)]
    [create] = result.changes
    assert isinstance(create, Create)
    assert create.delivery.identity != delivered.identity


def test_same_goods_under_one_number_told_by_both_apis_as_two_orders_ask_a_person() -> None:
    mark = v1_label(record="77", record_kind="v1_fulfillment", shipstation_shipment_id="481")

    result = planned(mark, deliveries=(known(label(), **DELIVERED),))

    assert verdicts(result) == [("held", Reason.COMBINED_PARCEL)]
    assert "dlv_1" in result.decisions[0].detail


def test_same_goods_are_the_known_parcel_where_nothing_is_left_for_another() -> None:
    delivered = known(label(ONE_CAP), lines=(FulfilledLine("line-cap", 1),), **DELIVERED)
    mark = v1_label(
        ONE_CAP, record="77", record_kind="v1_fulfillment", shipstation_shipment_id="481"
    )

    result = planned(mark, deliveries=(delivered,))

    assert verdicts(result) == [("ignored", Reason.ALREADY_DELIVERED)]


@pytest.mark.parametrize("shipment", [label(number="1Z2"), v1_label(number="1Z2")])
def test_new_number_of_a_delivered_record_is_an_exception(shipment: Shipment) -> None:
    result = planned(shipment, deliveries=(known(label(), **DELIVERED),))

    assert verdicts(result) == [("held", Reason.TRACKING_CHANGED_AFTER_DELIVERY)]
    [create] = result.changes
    assert isinstance(create, Create)
    assert create.delivery.lines == ()
    assert "1Z1" in result.decisions[0].detail
    assert "1Z2" in result.decisions[0].detail


def test_old_number_that_is_replayed_as_stored_is_no_news() -> None:
    result = planned(label(number="1Z2"), deliveries=(known(label(), **DELIVERED),), as_stored=True)

    assert verdicts(result) == [("ignored", Reason.ALREADY_DELIVERED)]


@pytest.mark.parametrize("shipment", [label(number="1Z2"), v1_label(number="1Z2")])
def test_new_number_of_a_record_that_waits_replaces_the_old(shipment: Shipment) -> None:
    waiting = known(label(), status=DeliveryStatus.WAITING)

    result = planned(shipment, deliveries=(waiting,))

    assert verdicts(result) == [("delivery", None)]
    [redecide] = result.changes
    assert isinstance(redecide, Redecide)
    assert redecide.existing.id == waiting.id
    assert redecide.draft.shipment.tracking_number == "1Z2"


def test_waiting_delivery_whose_record_says_the_same_is_left_alone() -> None:
    waiting = known(label(), status=DeliveryStatus.WAITING)

    result = planned(label(), v1_label(), deliveries=(waiting,))

    assert [decision.reason for decision in result.decisions] == [Reason.ALREADY_DELIVERED] * 2
    assert [type(change) for change in result.changes] == [Join]


def test_delivered_record_that_names_another_order_is_an_exception() -> None:
    delivered = known(label(), **DELIVERED)
    corrected = label(reference="PD200")

    result = planned(corrected, deliveries=(delivered,), orders=(ORDER, OTHER))

    assert verdicts(result) == [("held", Reason.AMBIGUOUS_ORDER)]
    assert "#PD100" in result.decisions[0].detail
    assert "#PD200" in result.decisions[0].detail


def test_unsent_record_that_names_another_order_goes_there_in_the_same_row() -> None:
    held = known(label(), reason=Reason.UNKNOWN_LINE, **HELD)

    result = planned(label(reference="PD200"), deliveries=(held,), orders=(ORDER, OTHER))

    assert verdicts(result) == [("delivery", None)]
    [redecide] = result.changes
    assert isinstance(redecide, Redecide)
    assert (redecide.existing.id, redecide.draft.action.fulfillment_order_id) == (held.id, OTHER_ID)  # type: ignore[union-attr]  # it is a fulfillment


def test_what_a_person_linked_stays_linked_when_it_comes_again() -> None:
    linked = known(label(), linked_order_id=ORDER_ID, **DELIVERED)
    ambiguous = label(reference="PD200")

    result = planned(
        ambiguous,
        deliveries=(linked,),
        orders=(ORDER, OTHER),
        linked={"label:501": ORDER},
    )

    assert verdicts(result) == [("ignored", Reason.ALREADY_DELIVERED)]


@pytest.mark.parametrize("status", [DeliveryStatus.CANCELLED, DeliveryStatus.DELIVERED])
@pytest.mark.parametrize("shipment", [label(), v1_label(), label(number="1Z2")])
def test_what_a_person_closed_stays_closed(status: DeliveryStatus, shipment: Shipment) -> None:
    closed = known(label(), status=status, resolved_at=NOW, lines=())

    result = planned(shipment, deliveries=(closed,))

    assert verdicts(result) == [("ignored", Reason.ALREADY_DELIVERED)]


def test_what_a_person_closed_without_an_order_stays_closed() -> None:
    closed = known(
        label(),
        status=DeliveryStatus.DELIVERED,
        resolved_at=NOW,
        lines=(),
        fulfillment_order_id=None,
        identity="?PD100:1Z1",
    )

    assert verdicts(planned(label(), deliveries=(closed,))) == [
        ("ignored", Reason.ALREADY_DELIVERED)
    ]


def test_delivery_that_another_took_the_place_of_counts_for_nothing() -> None:
    gone = known(label(), status=DeliveryStatus.CANCELLED, superseded_by="dlv_9", lines=())

    result = planned(label(), deliveries=(gone,))

    assert verdicts(result) == [("delivery", None)]
    assert isinstance(result.changes[0], Create)


VOID: dict[str, Any] = {"state": ShipmentState.VOIDED, "items": ()}


@pytest.mark.parametrize(
    "void",
    [
        label(**VOID),
        v1_label(**VOID),
        label(**(VOID | {"record_kind": "v2_fulfillment", "record": "se-900"})),
    ],
)
def test_void_of_a_delivered_parcel_is_an_exception(void: Shipment) -> None:
    result = planned(void, deliveries=(known(label(), **DELIVERED),))

    assert verdicts(result) == [("held", Reason.VOIDED_AFTER_DELIVERY)]
    assert [type(change) for change in result.changes] == [Withdraw]


def test_void_of_a_number_that_was_used_again_withdraws_nothing() -> None:
    """Another ShipStation order, a year later."""
    mark = label(record="se-900", record_kind="v2_fulfillment")
    void = label(shipstation_shipment_id="se-999", reference="SHOP-7", **VOID)

    result = planned(void, deliveries=(known(mark, **DELIVERED),))

    assert verdicts(result) == [("ignored", Reason.VOIDED)]
    assert result.changes == ()


def test_void_of_what_is_being_sent_is_noted() -> None:
    sending = known(label(), status=DeliveryStatus.DELIVERING)

    result = planned(label(**VOID), deliveries=(sending,))

    assert result.changes == (NoteVoided(sending),)


UNKNOWN = label(reference="PD999")


def test_search_is_quiet_for_an_hour_and_then_seen_while_it_goes_on() -> None:
    """Looks after 10 s, 1 min, 5 min; the row was made `age` ago."""
    stands = []
    for age in (timedelta(0), timedelta(minutes=59), timedelta(minutes=59, seconds=1)):
        row = known(
            UNKNOWN,
            status=DeliveryStatus.RETRYING,
            reason=Reason.ORDER_NOT_FOUND,
            fulfillment_order_id=None,
            lines=(),
            created_at=NOW - age,
        )
        result = planned(UNKNOWN, deliveries=(row,), tries=1)
        [redecide] = result.changes
        assert isinstance(redecide, Redecide)
        stands.append((verdicts(result)[0], redecide.draft.due_at))

    next_look = NOW + timedelta(seconds=60)
    assert stands == [
        (("searching", Reason.ORDER_NOT_FOUND), next_look),
        (("searching", Reason.ORDER_NOT_FOUND), next_look),
        (("held", Reason.ORDER_NOT_FOUND), next_look),
    ]


def test_search_that_a_person_tried_comes_back_at_once() -> None:
    result = planned(UNKNOWN, trigger=Trigger.MANUAL, tries=1)

    assert verdicts(result) == [("held", Reason.ORDER_NOT_FOUND)]
    [create] = result.changes
    assert isinstance(create, Create)
    assert create.draft.due_at == NOW + timedelta(seconds=60)


def test_search_ends_with_the_schedule() -> None:
    result = planned(UNKNOWN, tries=3)

    [create] = result.changes
    assert isinstance(create, Create)
    assert (verdicts(result), create.draft.due_at) == ([("held", Reason.ORDER_NOT_FOUND)], None)


def test_every_unit_of_a_parcel_without_an_order_is_held_until_there_is_one() -> None:
    result = planned(label(units(2, "TEE"), units(1)), orders=(), tries=99)

    [create] = result.changes
    assert isinstance(create, Create)
    assert [(item["sku"], item["fate"], item["evidence"]) for item in create.draft.contents] == [
        ("TEE", "held", "nothing settles which order it is of"),
        (None, "held", "it has no SKU"),
    ]


def test_every_unit_of_a_parcel_is_accounted_for() -> None:
    note, socks = units(1), units(2, "SOCKS")

    result = planned(label(units(2, "TEE"), ONE_CAP, socks, note))

    fates = {(item.item.sku, item.fate.value) for item in result.decisions[0].items}
    assert fates == {
        ("TEE", "sent"),
        ("CAP", "sent"),
        ("SOCKS", "not_purple_dots"),
        (None, "not_purple_dots"),
    }
    [create] = result.changes
    assert isinstance(create, Create)
    assert create.draft.left_out == "2 x SOCKS"
    assert [item["sku"] for item in create.draft.contents] == ["TEE", "CAP", "SOCKS", None]


def test_units_of_what_is_held_are_held() -> None:
    result = planned(label(units(5, "CAP")))

    assert [item.fate.value for item in result.decisions[0].items] == ["held"]


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_what_is_not_known_yet_waits(state: ShipmentState) -> None:
    assert verdicts(planned(label(state=state))) == [("waiting", None)]


def test_what_never_settles_goes_to_a_person_where_it_may_be_purple_dots() -> None:
    unsettled = {"state": ShipmentState.UNSETTLED}
    unreadable = {"clues": (), "items": (), "order_number": None, "order_is_read": False}

    ours = planned(label(**unsettled))
    theirs = planned(label(reference="SHOP-7", **unsettled))
    unread = planned(label(problem="odd", **(unsettled | unreadable)))

    assert verdicts(ours) == verdicts(unread) == [("held", Reason.NO_ITEMS)]
    assert "odd" in unread.decisions[0].detail
    assert verdicts(theirs) == [("ignored", Reason.NOT_A_PURPLE_DOT_ORDER)]


def test_id_that_purple_dot_does_not_show_is_asked_for_once_more() -> None:
    foreign = label(clues=(Clue(ClueKind.ORDER_ID, "external_shipment_id", OTHER_ID.upper()),))
    lookup = {"orders": (), "missing": frozenset({OTHER_ID})}

    assert verdicts(planned(foreign, is_first_look=True, **lookup)) == [("waiting", None)]
    assert verdicts(planned(foreign, **lookup)) == [("ignored", Reason.NOT_A_PURPLE_DOT_ORDER)]


def test_delivered_record_that_names_two_orders_now_is_an_exception_once() -> None:
    delivered = known(label(), **DELIVERED)
    both = label(
        clues=(
            Clue(ClueKind.REFERENCE, "shipment_number", "PD100"),
            Clue(ClueKind.REFERENCE, "custom_field1", "PD200"),
        )
    )

    first = planned(both, deliveries=(delivered,), orders=(ORDER, OTHER))
    [create] = first.changes
    assert isinstance(create, Create)
    again = planned(both, deliveries=(delivered, create.delivery), orders=(ORDER, OTHER))
    stored = planned(both, deliveries=(delivered,), orders=(ORDER, OTHER), as_stored=True)

    assert verdicts(first) == verdicts(again) == [("held", Reason.AMBIGUOUS_ORDER)]
    assert [type(change) for change in again.changes] == [Redecide]
    assert verdicts(stored) == [("ignored", Reason.ALREADY_DELIVERED)]


@pytest.mark.parametrize("status", [DeliveryStatus.DELIVERING, DeliveryStatus.UNCONFIRMED])
@pytest.mark.parametrize("posting_at", [None, NOW])
def test_void_is_noted_from_the_claim_to_the_last_look(
    status: DeliveryStatus, posting_at: Any
) -> None:
    sending = known(label(), status=status, posting_at=posting_at)

    assert planned(label(**VOID), deliveries=(sending,)).changes == (NoteVoided(sending),)


def test_parcel_of_two_orders_of_which_one_is_held_keeps_a_row_for_each() -> None:
    """The other order is found later."""
    tees = units(1, None, "line-tee"), units(1, None, "line-tee-2")
    combined = label(*tees, clues=(), order_number="3PL-7")
    held = known(replace(combined, items=tees[:1]), reason=Reason.ORDER_VOIDED, **HELD)

    result = planned(combined, deliveries=(held,), orders=(ORDER, OTHER))

    kinds = [type(change) for change in result.changes]
    assert kinds == [Redecide, Create]
    assert verdicts(result) == [("delivery", None), ("delivery", None)]


def test_what_is_replayed_as_stored_never_replaces_a_waiting_newer_record() -> None:
    mark = {"record_kind": "v2_fulfillment"}
    waiting = known(label(record="se-902", **mark), status=DeliveryStatus.WAITING)

    live = planned(label(record="se-901", **mark), deliveries=(waiting,))
    stored = planned(label(record="se-901", **mark), deliveries=(waiting,), as_stored=True)

    assert verdicts(live) == [("delivery", None)]
    assert verdicts(stored) == [("ignored", Reason.ALREADY_DELIVERED)]


def test_replacement_after_a_late_void_is_an_exception_of_its_own() -> None:
    void = known(
        label(state=ShipmentState.VOIDED),
        status=DeliveryStatus.HELD,
        reason=Reason.VOIDED_AFTER_DELIVERY,
        posting_at=NOW,
    )

    result = planned(label(record="se-502", number="1Z2"), deliveries=(void,))

    assert verdicts(result) == [("held", Reason.TRACKING_CHANGED_AFTER_DELIVERY)]


def test_search_that_one_api_began_is_ended_by_the_other_in_the_same_row() -> None:
    searching = known(
        v1_label(),
        status=DeliveryStatus.RETRYING,
        reason=Reason.ORDER_NOT_FOUND,
        fulfillment_order_id=None,
        identity="?PD100:1Z1",
        lines=(),
    )

    result = planned(label(record="se-900", record_kind="v2_fulfillment"), deliveries=(searching,))

    [redecide] = result.changes
    assert isinstance(redecide, Redecide)
    assert (redecide.existing.id, verdicts(result)) == (searching.id, [("delivery", None)])
