"""Which lines: never blank, never more than is left, and whatever can't be known is held with
numbers in its sentence."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Held, Tracking
from bridge.domain.events import COMMITTED, DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentItem, ShipmentState
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.translate.contents import Fate, item_fates
from bridge.translate.fulfillments import decide, identity, judge_state
from bridge.translate.matching import Match
from bridge.translate.remaining import Earlier
from tests.support import payload_files
from tests.support.decisions import (
    CAP,
    CARRIERS,
    ID,
    an_order,
    decided,
    earlier,
    held,
    lines,
    parcel,
    units,
)

PLACEHOLDERS = [
    "N/A",
    "none",
    "null",
    "Unknown",
    "no tracking",
    "No tracking number",
    "tbd",
    "0",
    "00",
    "0000-0000",
    "XXXX",
    "-",
    "?",
]


def test_whole_order_in_one_parcel() -> None:
    action = decided(units(2, "SHAWL-RED"), units(1, "CAP-OAT"))

    assert action == CreateFulfillment(
        fulfillment_order_id=ID,
        reference="PD100/1",
        lines=(
            FulfilledLine("line-shawl", 2, "SHAWL-RED"),
            FulfilledLine("line-cap", 1, "CAP-OAT"),
        ),
        tracking=Tracking("1Z1", "UPS", "https://www.ups.com/track?tracknum=1Z1"),
        notify_customer=False,
    )


def test_part_of_an_order_names_only_its_lines() -> None:
    assert lines(decided(units(1, "SHAWL-RED"))) == {"line-shawl": 1}


def test_line_id_goes_before_the_sku() -> None:
    assert lines(decided(units(1, "SHAWL-RED", "line-cap"))) == {"line-cap": 1}


def test_id_of_another_system_leaves_the_sku_to_decide() -> None:
    assert lines(decided(units(1, "CAP-OAT", "14029991729169"))) == {"line-cap": 1}


def test_rows_of_one_sku_are_summed() -> None:
    assert lines(decided(units(1, "SHAWL-RED"), units(1, "shawl-red "))) == {"line-shawl": 2}


def test_same_sku_on_two_lines_is_allocated_by_what_is_left() -> None:
    order = an_order(OrderLine("first", 2, "CAP-OAT"), OrderLine("second", 2, "CAP-OAT"))

    assert lines(decided(units(3, "CAP-OAT"), order=order)) == {"first": 2, "second": 1}
    assert lines(
        decided(units(2, "CAP-OAT"), order=order, before=(earlier(FulfilledLine("first", 1)),))
    ) == {"first": 1, "second": 1}


def test_sku_gets_what_line_ids_leave() -> None:
    order = an_order(OrderLine("first", 1, "CAP-OAT"), OrderLine("second", 1, "CAP-OAT"))

    assert lines(decided(units(1, "CAP-OAT"), units(1, None, "first"), order=order)) == {
        "first": 1,
        "second": 1,
    }


def test_extra_items_beside_the_whole_order_are_left_out_and_said() -> None:
    action = decided(
        units(2, "SHAWL-RED"), units(1, "CAP-OAT"), units(3, "GIFT-NOTE"), units(1, None)
    )

    assert lines(action) == {"line-shawl": 2, "line-cap": 1}
    assert isinstance(action, CreateFulfillment)
    assert (
        action.detail == "left out, as not on order PD100/1: 3 x GIFT-NOTE, 1 x an item without SKU"
    )


def test_items_without_a_sku_are_left_out_in_any_parcel() -> None:
    assert lines(decided(units(1, "CAP-OAT"), units(1, None))) == {"line-cap": 1}


def test_unknown_sku_while_a_whole_line_is_open_asks_a_person_and_names_both() -> None:
    answer = held(decided(units(1, "CAP-OAT"), units(2, "SHAWL-BLUE")))

    assert answer.reason is Reason.UNKNOWN_LINE
    assert "2 x SHAWL-BLUE" in answer.detail
    assert "line-shawl (SKU SHAWL-RED)" in answer.detail


def test_unknown_sku_is_quiet_where_every_line_was_shipped_at_least_in_part() -> None:
    before = (earlier(FulfilledLine("line-shawl", 1), order="481"),)

    assert lines(decided(units(1, "CAP-OAT"), units(2, "MUG"), before=before)) == {"line-cap": 1}


@pytest.mark.parametrize(
    ("ordered", "written"),
    [
        ("TEE&CAP", "TEE&amp;CAP"),
        ("TEE & CAP", "TEE  &amp;  CAP"),
        ("CAF\u00c9-1", "CAFE\u0301-1"),
        ("TEE CAP", "TEE\u00a0CAP"),
        ("TEE-CAP", "TEE\u2013CAP"),
        ("TEE-CAP", "TEE\u200b-CAP"),
        ("TEE-CAP", " tee-cap "),
    ],
)
def test_sku_is_known_however_another_system_spells_it(ordered: str, written: str) -> None:
    order = an_order(OrderLine("set", 1, ordered), CAP)

    assert lines(decided(units(1, written), units(1, "CAP-OAT"), order=order)) == {
        "set": 1,
        "line-cap": 1,
    }


@pytest.mark.parametrize("one", ["TEE&CAP", "TEE-CAP", "TEE CAP", "CAF\u00c9"])
def test_two_skus_that_differ_in_their_spelling_alone_are_two_lines(one: str) -> None:
    other = {
        "TEE&CAP": "TEE&amp;CAP",
        "TEE-CAP": "TEE\u2013CAP",
        "TEE CAP": "TEE  CAP",
        "CAF\u00c9": "CAFE\u0301",
    }[one]
    order = an_order(OrderLine("one", 1, one), OrderLine("other", 1, other))

    assert lines(decided(units(1, other), order=order)) == {"other": 1}
    assert lines(decided(units(1, one), order=order)) == {"one": 1}


def test_sku_that_fits_two_spellings_asks_a_person() -> None:
    order = an_order(OrderLine("lower", 1, "abc"), OrderLine("upper", 1, "ABC"), CAP)

    answer = held(decided(units(1, "Abc"), units(1, "CAP-OAT"), order=order))

    assert answer.reason is Reason.UNKNOWN_LINE
    assert "1 x Abc" in answer.detail


@pytest.mark.parametrize("written", ["0.375", "-1", "0", "no quantity", "1 or 2", "unreadable"])
def test_quantity_that_is_no_number_of_units_is_held_with_item_and_quantity(written: str) -> None:
    odd = ShipmentItem(0, sku="SHAWL-RED", unreadable_quantity=written)

    answer = held(decided(odd, units(1, "CAP-OAT")))

    assert answer.reason is Reason.NO_ITEMS
    assert f"{written} x SHAWL-RED" in answer.detail


def test_item_of_which_nothing_can_be_read_is_held() -> None:
    answer = held(decided(ShipmentItem(0, unreadable_quantity="unreadable"), units(1, "CAP-OAT")))

    assert answer.reason is Reason.NO_ITEMS


def test_odd_quantity_of_what_is_on_no_line_is_left_out() -> None:
    ribbon = ShipmentItem(0, sku="RIBBON", unreadable_quantity="0.5")

    action = decided(units(2, "SHAWL-RED"), units(1, "CAP-OAT"), ribbon)

    assert lines(action) == {"line-shawl": 2, "line-cap": 1}
    assert "0.5 x RIBBON" in action.detail


def test_unit_with_a_line_id_of_another_order_is_never_counted_by_its_sku() -> None:
    other = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a99"

    answer = held(decided(units(1, "SHAWL-RED", "line-shawl"), units(1, "SHAWL-RED", other)))

    assert answer.reason is Reason.UNKNOWN_LINE
    assert other in answer.detail


def test_goods_with_a_line_id_of_another_order_that_this_order_does_not_sell_are_combined() -> None:
    other = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a99"

    answer = held(decided(units(1, "SHAWL-RED", "line-shawl"), units(1, "MUG", other)))

    assert answer.reason is Reason.COMBINED_PARCEL
    assert "1 x MUG" in answer.detail


def test_id_of_another_system_beside_ids_of_this_order_is_never_counted_by_its_sku() -> None:
    answer = held(decided(units(1, "CAP-OAT", "line-cap"), units(1, "SHAWL-RED", "13857240000001")))

    assert answer.reason is Reason.UNKNOWN_LINE


def test_gift_note_with_an_id_of_another_system_stays_quiet() -> None:
    action = decided(
        units(1, "CAP-OAT", "line-cap"),
        units(2, "SHAWL-RED", "line-shawl"),
        units(1, "GIFT-NOTE", "13857240000001"),
    )

    assert lines(action) == {"line-cap": 1, "line-shawl": 2}


BOX = OrderLine("line-box", 2, "GIFT-BOX")


def piece(quantity: int, sku: str, *, line: str | None = None) -> ShipmentItem:
    return ShipmentItem(quantity, sku=sku, bundle_sku="GIFT-BOX", line_item_id=line)


@pytest.mark.parametrize("line", [None, "line-box"])
@pytest.mark.parametrize("sets", [1, 2])
def test_whole_sets_of_components_count_as_the_bundle(sets: int, line: str | None) -> None:
    order = an_order(BOX, CAP)

    action = decided(piece(sets, "TEE", line=line), piece(sets, "CAP-OAT", line=line), order=order)

    assert lines(action) == {"line-box": sets}


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(2, "TEE"), piece(1, "CAP-OAT")],
        [piece(2, "TEE", line="line-box"), piece(1, "CAP-OAT", line="line-box")],
        [piece(1, "CAP-OAT")],
        [piece(1, "CAP-OAT", line="line-box")],
    ],
)
def test_components_that_make_no_whole_sets_ask_a_person(pieces: list[ShipmentItem]) -> None:
    answer = held(decided(*pieces, order=an_order(BOX, CAP)))

    assert answer.reason is Reason.UNKNOWN_LINE
    assert "part of GIFT-BOX" in answer.detail


def test_bundle_is_one_in_every_spelling() -> None:
    order = an_order(OrderLine("line-box", 1, "BED & BATH"), CAP)
    pieces = [
        ShipmentItem(1, sku="TEE", bundle_sku="Bed &amp; Bath"),
        ShipmentItem(1, sku="CAP-OAT", bundle_sku="BED  & BATH"),
    ]

    action = decided(*pieces, order=order)

    assert lines(action) == {"line-box": 1}


def test_component_is_never_counted_as_the_line_of_its_own_sku() -> None:
    order = an_order(CAP, OrderLine("line-tee", 1, "TEE"))

    answer = held(decided(piece(1, "TEE"), piece(1, "CAP-OAT"), order=order))

    assert answer.reason is Reason.UNKNOWN_LINE


def test_bundle_and_a_single_piece_of_the_same_sku_are_both_sent() -> None:
    order = an_order(BOX, CAP)

    action = decided(piece(1, "TEE"), piece(1, "CAP-OAT"), units(1, "CAP-OAT"), order=order)

    assert lines(action) == {"line-box": 1, "line-cap": 1}


def test_bundle_listed_beside_its_components_is_never_counted_twice() -> None:
    answer = held(
        decided(units(1, "GIFT-BOX"), piece(1, "TEE"), piece(1, "CAP-OAT"), order=an_order(BOX))
    )

    assert answer.reason is Reason.UNKNOWN_LINE


def test_component_with_a_line_of_its_own_is_that_line() -> None:
    order = an_order(BOX, CAP)

    assert lines(decided(piece(1, "CAP-OAT", line="line-cap"), order=order)) == {"line-cap": 1}


def test_rows_of_one_line_id_are_summed_in_any_spelling() -> None:
    action = decided(units(1, "SHAWL-RED", "line-shawl"), units(1, "shawl-red ", "line-shawl"))

    assert lines(action) == {"line-shawl": 2}


def test_row_without_a_sku_counts_as_the_line_whose_id_it_has() -> None:
    action = decided(units(1, "SHAWL-RED", "line-shawl"), units(1, None, "line-shawl"))

    assert lines(action) == {"line-shawl": 2}


def test_shipment_that_could_not_be_read_is_held_with_the_reason_it_gave() -> None:
    unread = replace(parcel(state=ShipmentState.UNSETTLED), problem="voided: no boolean")

    assert judge_state(unread) == Held(Reason.NO_ITEMS, "voided: no boolean")
    assert judge_state(replace(parcel(), problem="voided: no boolean")) is None


def test_goods_that_may_be_another_orders_are_held_and_named() -> None:
    shawl, cap = units(1, "SHAWL-RED", "line-shawl"), units(1, "CAP-OAT")
    match = Match(an_order(), "orderNumber", (shawl, cap), doubtful=(cap,))
    merged = replace(parcel(), merged_ids=("480", "481"))

    answer = held(decide(merged, match, earlier=(), notify_default=False, carriers=CARRIERS))

    assert answer.reason is Reason.COMBINED_PARCEL
    assert answer.fulfillment_order_id == ID
    assert "480 and 481" in answer.detail
    assert "1 x CAP-OAT" in answer.detail
    assert "1 x SHAWL-RED" in answer.detail


def test_held_detail_names_what_is_not_on_the_order_as_well() -> None:
    answer = held(
        decided(
            units(1, "CAP-OAT"),
            units(1, "MUG"),
            before=(earlier(FulfilledLine("line-cap", 1), FulfilledLine("line-shawl", 2)),),
        )
    )

    assert "not on order PD100/1: 1 x MUG" in answer.detail
    whole = held(decided(units(3, "SHAWL-RED")))
    assert "not on order" not in whole.detail
    named_once = held(decided(units(1, "MUG")))
    assert named_once.detail.count("1 x MUG") == 1


def test_status_that_nobody_documented_is_no_open_order() -> None:
    order = an_order(status=OrderStatus.UNKNOWN)

    assert held(decided(units(1, "CAP-OAT"), order=order)).reason is Reason.ORDER_VOIDED


def test_no_item_on_the_order_is_held() -> None:
    answer = held(decided(units(3, "GIFT-NOTE")))

    assert (answer.reason, answer.fulfillment_order_id, answer.reference) == (
        Reason.UNKNOWN_LINE,
        ID,
        "PD100/1",
    )
    assert "3 x GIFT-NOTE" in answer.detail


def test_item_without_sku_never_stands_for_a_line_without_sku() -> None:
    assert (
        held(decided(units(1), order=an_order(OrderLine("bare", 1)))).reason is Reason.UNKNOWN_LINE
    )


def test_no_items_is_held_and_never_the_whole_order() -> None:
    assert held(decided()).reason is Reason.NO_ITEMS


def test_more_than_is_left_is_held_with_the_numbers() -> None:
    answer = held(
        decided(
            units(2, "SHAWL-RED"),
            units(1, "CAP-OAT"),
            before=(earlier(FulfilledLine("line-shawl", 1)),),
        )
    )

    assert answer.reason is Reason.OVER_QUANTITY
    assert "line line-shawl (SKU SHAWL-RED): 2 asked, 1 left" in answer.detail
    assert "line line-cap (SKU CAP-OAT): 1 asked, 1 left" in answer.detail


def test_more_than_was_ever_ordered_is_held() -> None:
    assert held(decided(units(3, "SHAWL-RED"))).reason is Reason.OVER_QUANTITY


def test_nothing_left_is_held() -> None:
    answer = held(
        decided(units(1, "CAP-OAT"), before=(earlier(FulfilledLine("line-cap", 1), order="481"),))
    )

    assert answer.reason is Reason.NOTHING_LEFT
    assert "1 asked, 0 left" in answer.detail


@pytest.mark.parametrize("status", DeliveryStatus)
def test_units_of_an_earlier_delivery_are_spent_while_they_may_reach_purple_dot(
    status: DeliveryStatus,
) -> None:
    action = decided(
        units(1, "CAP-OAT"),
        before=(earlier(FulfilledLine("line-cap", 1), status=status, order="481"),),
    )

    assert isinstance(action, Held) == (status in COMMITTED or status is DeliveryStatus.HELD)


def test_second_parcel_of_an_order_is_a_delivery_of_its_own() -> None:
    assert lines(
        decided(units(1, "CAP-OAT"), before=(earlier(FulfilledLine("line-shawl", 2)),))
    ) == {"line-cap": 1}


def test_two_v1_parcels_of_equal_goods_are_two_deliveries() -> None:
    assert lines(
        decided(units(1, "SHAWL-RED"), before=(earlier(FulfilledLine("line-shawl", 1)),))
    ) == {"line-shawl": 1}


def test_new_number_for_delivered_goods_is_told_with_both_numbers() -> None:
    answer = held(decided(units(2, "SHAWL-RED"), before=(earlier(FulfilledLine("line-shawl", 2)),)))

    assert answer.reason is Reason.TRACKING_CHANGED_AFTER_DELIVERY
    assert "1Z0" in answer.detail
    assert "1Z1" in answer.detail
    assert "2 of line line-shawl" in answer.detail


def test_new_number_after_a_void_after_delivery_is_a_changed_number() -> None:
    voided = earlier(
        FulfilledLine("line-shawl", 2),
        status=DeliveryStatus.HELD,
        reason=Reason.VOIDED_AFTER_DELIVERY,
    )

    assert (
        held(decided(units(2, "SHAWL-RED"), before=(voided,))).reason
        is Reason.TRACKING_CHANGED_AFTER_DELIVERY
    )


def test_new_number_for_goods_that_are_still_on_their_way_is_nothing_left() -> None:
    pending = earlier(FulfilledLine("line-shawl", 2), status=DeliveryStatus.PENDING)

    assert held(decided(units(2, "SHAWL-RED"), before=(pending,))).reason is Reason.NOTHING_LEFT


WHOLE_ORDER_KINDS = ["v2_label", "v2_fulfillment", "inline_row", "v1_fulfillment"]


@pytest.mark.parametrize("kind", WHOLE_ORDER_KINDS)
def test_second_number_for_one_shipstation_order_never_takes_the_units_of_another(
    kind: str,
) -> None:
    """Such a record's items are all that its ShipStation order holds, so its second number is for
    the same goods, though Purple Dot's order has more of them."""
    again = parcel(kind=kind)
    first = FulfilledLine("line-shawl", 1)
    pending = earlier(first, status=DeliveryStatus.PENDING)
    elsewhere = earlier(first, order="481")

    changed = held(decided(units(1, "SHAWL-RED"), shipment=again, before=(earlier(first),)))
    waiting = held(decided(units(1, "SHAWL-RED"), shipment=again, before=(pending,)))
    another = decided(units(1, "SHAWL-RED"), shipment=again, before=(elsewhere,))

    assert changed.reason is Reason.TRACKING_CHANGED_AFTER_DELIVERY
    assert waiting.reason is Reason.NOTHING_LEFT
    assert lines(another) == {"line-shawl": 1}


def test_number_told_by_the_other_api_is_for_the_same_shipstation_order() -> None:
    label = replace(parcel(kind="v2_label"), shipstation_shipment_id="se-480")

    answer = held(
        decided(
            units(1, "SHAWL-RED"),
            shipment=label,
            before=(earlier(FulfilledLine("line-shawl", 1), order="480"),),
        )
    )

    assert answer.reason is Reason.TRACKING_CHANGED_AFTER_DELIVERY


def test_whole_order_of_which_a_part_went_out_before_is_over_quantity() -> None:
    order = an_order(OrderLine("line-shawl", 4, "SHAWL-RED"))

    answer = held(
        decided(
            units(2, "SHAWL-RED"),
            order=order,
            shipment=parcel(kind="v1_fulfillment"),
            before=(earlier(FulfilledLine("line-shawl", 1)),),
        )
    )

    assert answer.reason is Reason.OVER_QUANTITY
    assert "1Z0 (delivered)" in answer.detail


def test_voided_order_is_held() -> None:
    assert (
        held(decided(units(1, "CAP-OAT"), order=an_order(status=OrderStatus.VOIDED))).reason
        is Reason.ORDER_VOIDED
    )


def test_order_fulfilled_by_somebody_else_is_held_with_what_is_missing() -> None:
    answer = held(
        decided(
            units(1, "CAP-OAT"),
            order=an_order(status=OrderStatus.FULFILLED),
            before=(earlier(FulfilledLine("line-shawl", 2)),),
        )
    )

    assert answer.reason is Reason.ALREADY_FULFILLED_ELSEWHERE
    assert "1 of its 3 units" in answer.detail


def test_order_that_we_fulfilled_ourselves_has_nothing_left() -> None:
    all_of_it = earlier(FulfilledLine("line-shawl", 2), FulfilledLine("line-cap", 1), order="481")

    assert (
        held(
            decided(
                units(1, "CAP-OAT"),
                order=an_order(status=OrderStatus.FULFILLED),
                before=(all_of_it,),
            )
        ).reason
        is Reason.NOTHING_LEFT
    )


def test_order_whose_status_is_not_told_is_taken_as_open() -> None:
    assert lines(decided(units(1, "CAP-OAT"), order=an_order(status=None))) == {"line-cap": 1}


@pytest.mark.parametrize("number", [None, "", " - "])
def test_no_tracking_number_is_held(number: str | None) -> None:
    assert (
        held(decided(units(1, "CAP-OAT"), shipment=parcel(number=number))).reason
        is Reason.NO_TRACKING_NUMBER
    )


@pytest.mark.parametrize(
    ("own", "default", "said"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_shipments_own_notify_wins_over_the_default(
    own: bool | None, default: bool, said: bool
) -> None:
    action = decided(units(1, "CAP-OAT"), shipment=parcel(notify=own), notify=default)

    assert isinstance(action, CreateFulfillment)
    assert action.notify_customer is said


def test_line_that_the_order_names_twice_is_counted_once_and_its_units_together() -> None:
    order = an_order(OrderLine("twice", 1, "CAP-OAT"), OrderLine("twice", 1, "CAP-OAT"))

    assert lines(decided(units(2, "CAP-OAT"), order=order)) == {"twice": 2}
    assert held(decided(units(3, "CAP-OAT"), order=order)).reason is Reason.OVER_QUANTITY


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ShipmentState.VOIDED, Reason.VOIDED),
        (ShipmentState.RETURN, Reason.RETURN_LABEL),
        (ShipmentState.REJECTED, Reason.REJECTED_BY_PROVIDER),
    ],
)
def test_state_decides_before_anything_else(state: ShipmentState, reason: Reason) -> None:
    verdict = judge_state(parcel(state=state))

    assert verdict is not None
    assert verdict.reason is reason


@pytest.mark.parametrize("state", [ShipmentState.SHIPPED, ShipmentState.PROCESSING])
def test_goods_that_leave_are_not_decided_by_their_state(state: ShipmentState) -> None:
    assert judge_state(parcel(state=state)) is None


def test_one_parcel_has_one_identity_whichever_api_tells_of_it() -> None:
    tellers = [
        "LABEL_CREATED_V2__whole_order",
        "SHIP_NOTIFY__whole_order",
        "ITEM_SHIP_NOTIFY__repeated_rows",
        "INLINE_FULFILLMENTS__two_rows",
    ]

    assert {identity(payload_files.load(name).translated()[0], ID) for name in tellers} == {
        f"{ID}:1ZB7700T0412345678"
    }


@pytest.mark.parametrize("number", ["1za0-0000 t03", "1ZA00000T03", " 1Z.A0.0000/t03 "])
def test_number_is_one_in_any_case_and_punctuation(number: str) -> None:
    assert normalize_tracking(number) == "1ZA00000T03"


def test_shipment_without_number_is_known_by_its_record() -> None:
    assert identity(parcel(number=None), ID) == f"{ID}:record:v1_shipment:7"
    assert identity(parcel(number=" - "), None) == "?:record:v1_shipment:7"


def test_while_the_order_is_unknown_the_same_number_on_two_orders_is_two_parcels() -> None:
    first, second = (
        replace(parcel(number="1z-1"), order_number=number) for number in ("100517", "100518")
    )

    assert identity(first, None) == "?100517:1Z1"
    assert identity(second, None) == "?100518:1Z1"
    assert identity(first, ID) == identity(second, ID) == f"{ID}:1Z1"


@pytest.mark.parametrize("number", PLACEHOLDERS)
def test_placeholder_counts_as_no_tracking_number(number: str) -> None:
    assert normalize_tracking(number) == ""
    assert identity(parcel(number=number), ID) == f"{ID}:record:v1_shipment:7"
    assert (
        held(decided(units(1, "CAP-OAT"), shipment=parcel(number=number))).reason
        is Reason.NO_TRACKING_NUMBER
    )


def test_identity_of_an_unknown_order_still_tells_parcels_apart() -> None:
    assert identity(parcel(number="1Z1"), None) != identity(parcel(number="1Z2"), None)


SKUS = st.sampled_from(["A", "B", "b", None])
ORDER_LINES = st.lists(
    st.builds(lambda quantity, sku: (quantity, sku), st.integers(0, 4), SKUS),
    min_size=1,
    max_size=4,
).map(
    lambda rows: tuple(
        OrderLine(f"l{place}", quantity, sku) for place, (quantity, sku) in enumerate(rows)
    )
)
LINE_IDS = st.sampled_from(["l0", "l1", "l2", "l3", "x"])
PARCEL_ITEMS = st.lists(
    st.builds(ShipmentItem, st.integers(-1, 4), SKUS, st.none() | LINE_IDS), max_size=4
)
EARLIER = st.lists(
    st.builds(
        Earlier,
        st.sampled_from([None, "480", "481"]),
        st.just("6"),
        st.sampled_from([None, "1Z0", "1Z1"]),
        st.sampled_from(DeliveryStatus),
        st.lists(st.builds(FulfilledLine, LINE_IDS, st.integers(1, 3)), max_size=3).map(tuple),
    ),
    max_size=3,
)
KINDS = st.sampled_from(
    ["v2_label", "v2_fulfillment", "v1_shipment", "v1_fulfillment", "inline_row"]
)


@given(
    ordered=ORDER_LINES,
    items=PARCEL_ITEMS,
    before=EARLIER,
    kind=KINDS,
    status=st.none() | st.sampled_from(OrderStatus),
)
def test_no_decision_is_blank_or_above_what_is_left(
    ordered: tuple[OrderLine, ...],
    items: list[ShipmentItem],
    before: list[Earlier],
    kind: str,
    status: OrderStatus | None,
) -> None:
    order = FulfillmentOrder(ID, "PD100/1", status, ordered)

    action = decided(*items, order=order, shipment=parcel(kind=kind), before=tuple(before))

    if isinstance(action, CreateFulfillment):
        spent = [
            line
            for told in before
            if told.status in COMMITTED or told.status is DeliveryStatus.HELD
            for line in told.lines
        ]
        assert action.lines
        for line in action.lines:
            gone = sum(other.quantity for other in spent if other.id == line.id)
            assert (
                0
                < line.quantity
                <= sum(one.quantity for one in ordered if one.id == line.id) - gone
            )
        assert sum(line.quantity for line in action.lines) <= sum(
            max(0, item.quantity) for item in items
        )
    else:
        assert action.detail


@given(
    data=st.data(),
    ordered=ORDER_LINES.filter(lambda rows: all(row.sku and row.quantity for row in rows)),
)
def test_any_split_of_an_order_is_delivered_whole_and_exactly(
    data: st.DataObject, ordered: tuple[OrderLine, ...]
) -> None:
    """Each unit goes into some parcel, named by its line id: the fulfillments of the parcels add up
    to the order."""
    order = FulfillmentOrder(ID, "PD100/1", OrderStatus.UNFULFILLED, ordered)
    parcels: dict[int, list[ShipmentItem]] = {}
    for line in ordered:
        for _ in range(line.quantity):
            parcels.setdefault(data.draw(st.integers(0, 2)), []).append(units(1, line.sku, line.id))
    before: list[Earlier] = []

    for place, items in parcels.items():
        action = decided(
            *items, order=order, shipment=parcel(number=f"N{place}"), before=tuple(before)
        )
        assert isinstance(action, CreateFulfillment), action
        before.append(earlier(*action.lines, number=f"N{place}"))

    told = [(line.id, line.quantity) for delivery in before for line in delivery.lines]
    assert {
        line.id: sum(quantity for key, quantity in told if key == line.id) for line in ordered
    } == {line.id: line.quantity for line in ordered}
    assert isinstance(
        decided(
            *parcels[min(parcels)],
            order=order,
            shipment=parcel(number="again"),
            before=tuple(before),
        ),
        Held,
    )


ITEMS = st.lists(
    st.builds(
        ShipmentItem,
        quantity=st.integers(0, 3),
        sku=st.sampled_from(["SHAWL-RED", "cap-oat", "MUG", None]),
        line_item_id=st.sampled_from([None, "line-shawl", "line-cap", "other"]),
        bundle_sku=st.sampled_from([None, "CAP-OAT", "KIT"]),
        unreadable_quantity=st.sampled_from([None, None, "0.5"]),
    ),
    max_size=5,
)


@given(items=ITEMS, sent_before=st.integers(0, 2))
def test_every_item_of_a_parcel_comes_to_exactly_one_end(
    items: list[ShipmentItem], sent_before: int
) -> None:
    """Conservation: an item is sent, held, or not Purple Dot's with its evidence; and what is sent
    adds up to the lines of the fulfillment."""
    before = (earlier(FulfilledLine("line-shawl", sent_before), order="481"),) * (sent_before > 0)
    match = Match(an_order(), "orderKey", tuple(items))

    action = decided(*items, before=before)
    fates = item_fates(match, action)

    assert sorted(repr(fate.item) for fate in fates) == sorted(map(repr, items))
    assert all(fate.evidence for fate in fates)
    is_sent = isinstance(action, CreateFulfillment)
    kinds = {fate.fate for fate in fates}
    assert Fate.HELD not in kinds if is_sent else Fate.SENT not in kinds
    if isinstance(action, CreateFulfillment):
        loose = [f.item.quantity for f in fates if f.fate is Fate.SENT and not f.item.bundle_sku]
        assert sum(line.quantity for line in action.lines) >= max(loose, default=0)
    else:
        quiet = [fate.item for fate in fates if fate.fate is Fate.NOT_PURPLE_DOTS]
        assert not any(item.is_goods for item in quiet)
