"""Whether a shipment is a parcel that is known already: by records, orders, numbers, goods."""

from dataclasses import replace

import pytest

from bridge.domain.parcels import RecordRef, joined, outlasts, parcel_of
from bridge.domain.shipments import Shipment, ShipmentItem
from bridge.translate.parcels import Sameness, compare
from tests.support.rows import a_parcel, units

TEE, CAP = units(1, "TEE"), units(1, "CAP")


def record(kind: str, record_id: str, order_id: str | None, number: str | None) -> Shipment:
    return a_parcel(
        TEE, record_kind=kind, record=record_id, shipstation_shipment_id=order_id, number=number
    )


LABEL = record("v2_label", "se-501", "se-480", "1Z1")


@pytest.mark.parametrize(
    ("shipment", "sameness"),
    [
        (LABEL, Sameness.SAME_RECORD),
        (record("v2_label", "se-501", "se-480", "1Z2"), Sameness.SAME_RECORD),
        (record("v1_shipment", "501", "480", "1Z1"), Sameness.SAME_RECORD),
        (record("v1_shipment", "501", "480", "1Z2"), Sameness.SAME_RECORD),
        (record("v1_shipment", "501", "481", "1Z2"), Sameness.OTHER),
        (record("v1_fulfillment", "501", "480", "1Z2"), Sameness.OTHER),
        (record("v2_fulfillment", "se-900", "se-480", "1z-1"), Sameness.SAME_PARCEL),
        (record("v1_fulfillment", "77", "480", "1Z1"), Sameness.SAME_PARCEL),
        (record("v2_fulfillment", "se-900", "se-481", "1Z1"), Sameness.OTHER),
        (record("v2_label", "se-502", "se-481", "1Z1"), Sameness.OTHER),
        (record("v2_label", "se-502", "se-480", "1Z2"), Sameness.OTHER),
        (record("v1_fulfillment", "77", "481", "1Z1"), Sameness.UNCLEAR),
        (record("v1_shipment", "502", "481", "1Z1"), Sameness.SAME_PARCEL),
        (record("v1_fulfillment", "77", None, "1Z1"), Sameness.SAME_PARCEL),
        (record("v2_fulfillment", "se-900", "se-480", None), Sameness.OTHER),
        (record("v2_fulfillment", "se-900", None, "1Z1"), Sameness.SAME_PARCEL),
    ],
)
def test_records_say_whether_it_is_the_parcel(shipment: Shipment, sameness: Sameness) -> None:
    assert compare(shipment, parcel_of(LABEL), LABEL) is sameness


@pytest.mark.parametrize(
    ("kind", "record_id", "does"),
    [
        ("v2_label", "se-501", {"label": False, "mark": True}),
        ("v1_shipment", "501", {"label": False, "mark": True}),
        ("v2_label", "se-502", {"label": True, "mark": True}),
        ("v1_shipment", "502", {"label": False, "mark": True}),
        ("v2_fulfillment", "se-900", {"label": False, "mark": False}),
        ("v2_fulfillment", "se-901", {"label": False, "mark": True}),
        ("v1_fulfillment", "77", {"label": False, "mark": False}),
        ("inline_row", "se-480:1Z1", {"label": False, "mark": False}),
    ],
)
def test_record_outlasts_a_void_that_says_less_than_it(
    kind: str, record_id: str, does: dict[str, bool]
) -> None:
    other = RecordRef(kind, record_id, "se-480")
    label = RecordRef("v2_label", "se-501", "se-480")
    mark = RecordRef("v2_fulfillment", "se-900", "se-480")

    assert {"label": outlasts(other, label), "mark": outlasts(other, mark)} == does


def test_other_goods_under_the_number_of_the_other_api_are_another_parcel() -> None:
    other = a_parcel(CAP, record_kind="v1_shipment", record="502", shipstation_shipment_id="481")

    assert compare(other, parcel_of(LABEL), LABEL) is Sameness.OTHER


@pytest.mark.parametrize(
    ("mine", "theirs", "sameness"),
    [
        ((TEE, TEE), (units(2, "TEE"),), Sameness.SAME_PARCEL),
        ((units(2, " tee "),), (units(2, "TEE"),), Sameness.SAME_PARCEL),
        ((units(2, "Bed &amp; Bath"),), (units(2, "BED & BATH"),), Sameness.SAME_PARCEL),
        ((TEE, TEE), (TEE,), Sameness.OTHER),
        ((TEE, CAP), (TEE,), Sameness.OTHER),
        ((units(1, None, "line-1"),), (units(1, None, "line-2"),), Sameness.OTHER),
        ((units(1, None, "line-1"),), (units(1, None, "line-1"),), Sameness.SAME_PARCEL),
        ((units(1),), (units(1),), Sameness.SAME_PARCEL),
        ((), (TEE,), Sameness.SAME_PARCEL),
        ((TEE,), (), Sameness.SAME_PARCEL),
    ],
)
def test_goods_decide_where_the_apis_name_two_orders(
    mine: tuple[ShipmentItem, ...], theirs: tuple[ShipmentItem, ...], sameness: Sameness
) -> None:
    by_v1 = replace(record("v1_shipment", "502", "481", "1Z1"), items=mine)

    assert compare(by_v1, parcel_of(LABEL), replace(LABEL, items=theirs)) is sameness


def test_ids_with_letters_have_no_form_in_v1_so_goods_decide() -> None:
    label = record("v2_label", "se-5a1", "se-4b0", "1Z1")
    mark = record("v1_fulfillment", "77", "481", "1Z1")

    assert compare(mark, parcel_of(label), label) is Sameness.SAME_PARCEL


def test_parcel_is_known_by_each_record_that_spoke_of_it() -> None:
    parcel = joined(parcel_of(LABEL), record("v1_fulfillment", "77", "480", "1Z1"))

    again = record("v1_fulfillment", "77", "480", "1Z8")
    assert compare(again, parcel, LABEL) is Sameness.SAME_RECORD
    assert joined(parcel, LABEL).numbers == {"1Z1"}
