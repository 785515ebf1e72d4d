"""Which order: exact after normalizing, two that fit are refused, and nothing is guessed."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.orders import (
    FulfillmentOrder,
    OrderLine,
    OrderStatus,
    likely_references,
    normalize_reference,
)
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentItem, ShipmentState
from bridge.translate.matching import (
    Match,
    Unmatched,
    Wanted,
    is_ambiguous_sku,
    lines_with_sku,
    match,
    wanted,
)
from tests.support import payload_files

PATTERN = re.compile(r"^#?PD\d", re.IGNORECASE)


def uuid(n: int) -> str:
    return f"7b0e4c52-91d3-4f6a-8a27-{n:012x}"


def an_order(n: int, reference: str, *lines: OrderLine) -> FulfillmentOrder:
    return FulfillmentOrder(
        id=uuid(n), reference=reference, status=OrderStatus.UNFULFILLED, lines=lines
    )


A1, A2, B1 = (
    OrderLine(uuid(11), 2, "SHAWL"),
    OrderLine(uuid(12), 1, "CAP"),
    OrderLine(uuid(21), 1, "SOCK"),
)
A, B = an_order(1, "PD100/1", A1, A2), an_order(2, "PD200/1", B1)


def by_id(order: FulfillmentOrder, field: str = "external_shipment_id") -> Clue:
    return Clue(ClueKind.ORDER_ID, field, order.id)


def by_number(reference: str, field: str = "shipment_number") -> Clue:
    return Clue(ClueKind.REFERENCE, field, reference)


def item(
    line: OrderLine, *, sku: str | None = None, order: FulfillmentOrder | None = None
) -> ShipmentItem:
    return ShipmentItem(
        quantity=1, sku=sku or line.sku, line_item_id=line.id, order_id=order.id if order else None
    )


def parcel(*clues: Clue, items: tuple[ShipmentItem, ...] = ()) -> Shipment:
    return Shipment(
        "v2_label",
        "se-1",
        ShipmentState.SHIPPED,
        shipstation_shipment_id="se-9",
        clues=clues,
        items=items,
    )


def found(
    shipment: Shipment,
    *orders: FulfillmentOrder,
    bound: FulfillmentOrder | None = None,
    linked: FulfillmentOrder | None = None,
    pattern: re.Pattern[str] | None = PATTERN,
) -> tuple[Match, ...] | Unmatched:
    return match(shipment, orders=orders or (A, B), bound=bound, linked=linked, pattern=pattern)


def pairs(result: tuple[Match, ...] | Unmatched) -> list[tuple[str, str]]:
    assert isinstance(result, tuple), result
    return [(one.order.reference, one.rule) for one in result]


def refusal(result: tuple[Match, ...] | Unmatched) -> Reason:
    assert isinstance(result, Unmatched), result
    return result.reason


@pytest.mark.parametrize(
    "field",
    ["external_shipment_id", "orderKey", "external_order_id", "custom_field1", "customField3"],
)
def test_id_names_its_order_and_the_field_is_the_rule(field: str) -> None:
    assert pairs(found(parcel(by_id(A, field)))) == [("PD100/1", field)]


def test_id_is_compared_in_any_case() -> None:
    assert pairs(found(parcel(Clue(ClueKind.ORDER_ID, "orderKey", A.id.upper())))) == [
        ("PD100/1", "orderKey")
    ]


@pytest.mark.parametrize("number", ["PD100/1", "#PD100/1", "pd100/1", "  #pd100/1 "])
def test_reference_is_compared_trimmed_in_any_case_with_or_without_hash(number: str) -> None:
    assert pairs(found(parcel(by_number(number)))) == [("PD100/1", "shipment_number")]


@pytest.mark.parametrize(
    "number", ["PD100/10", "PD100/", "PD100", "XPD100/1", "PD100/1x", "PD100/11", "0PD100/1"]
)
def test_reference_is_never_compared_by_prefix(number: str) -> None:
    assert isinstance(found(parcel(by_number(number))), Unmatched)


def test_all_items_go_to_the_one_order() -> None:
    items = (item(A1), ShipmentItem(1, sku="GIFT"))

    [one] = found(parcel(by_id(A), items=items))  # type: ignore[misc]  # an Unmatched would not unpack

    assert one == Match(A, "external_shipment_id", items)


def test_id_and_number_that_agree_are_one_order() -> None:
    assert pairs(found(parcel(by_id(A), by_number("#PD100/1")))) == [
        ("PD100/1", "external_shipment_id")
    ]


def test_id_and_number_that_disagree_are_refused_with_both_named() -> None:
    result = found(parcel(by_id(A), by_number("PD200/1")))

    assert refusal(result) is Reason.AMBIGUOUS_ORDER
    assert isinstance(result, Unmatched)
    assert "PD100/1" in result.detail
    assert "PD200/1" in result.detail


def test_reference_that_fits_two_orders_is_refused_with_both_named() -> None:
    twin = an_order(3, "#pd100/1")

    result = found(parcel(by_number("PD100/1")), A, twin)

    assert refusal(result) is Reason.AMBIGUOUS_ORDER
    assert isinstance(result, Unmatched)
    assert A.id in result.detail
    assert twin.id in result.detail


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"clues": (by_number("PD999/1"), by_number("#PD998", "custom_field1"))},
            "shipment_number PD999/1 and custom_field1 #PD998 looks like Purple Dot's, which has no"
            " such fulfillment order",
        ),
        (
            {"clues": (by_number("PD999/1"), by_number("SHOP-7", "custom_field1"))},
            "shipment_number PD999/1 looks like Purple Dot's, which has no such fulfillment order",
        ),
        (
            {"clues": (by_number("SHOP-7"), by_number("SHOP-8", "custom_field1"))},
            "nothing on it names a fulfillment order (shipment_number SHOP-7 and custom_field1"
            " SHOP-8)",
        ),
        ({}, "nothing on it names a fulfillment order (ShipStation names no order)"),
        ({"problem": "voided: no boolean"}, "it can't be read: voided: no boolean"),
        (
            {"order_is_read": False},
            "ShipStation does not show the order behind v2_label se-1, so whose goods it holds"
            " can't be known",
        ),
        (
            {"clues": (by_id(A), by_id(B, "orderKey"), by_number("PD200/1"))},
            f"external_shipment_id fits PD100/1 ({A.id}); orderKey fits PD200/1 ({B.id});"
            f" shipment_number fits PD200/1 ({B.id})",
        ),
        (
            {"clues": (by_id(A),), "items": (item(B1),)},
            f"external_shipment_id fits PD100/1 ({A.id}); the items belong to PD200/1 ({B.id})",
        ),
        (
            {"items": (item(A1, order=B),)},
            f"an item's own order is PD200/1 ({B.id}), and its line id stands on PD100/1 ({A.id})",
        ),
    ],
)
def test_refusal_names_what_was_looked_at(fields: dict[str, Any], sentence: str) -> None:
    result = found(replace(parcel(), **fields))

    assert isinstance(result, Unmatched)
    assert result.detail == sentence


def test_item_that_stands_on_two_orders_names_both() -> None:
    again = an_order(3, "PD300/1", A1, OrderLine(uuid(31), 1, "SOCK"))
    twin = an_order(4, "PD200/1", B1)
    by_line = found(parcel(items=(item(A1),)), A, again)
    by_reference = found(parcel(items=(of_order("SOCK", order_reference="PD200/1"),)), B, twin)
    shared = found(parcel(items=(item(again.lines[1]), item(B1), of_order("SOCK"))), again, B)

    both = f"PD100/1 ({A.id}) and PD300/1 ({again.id})"
    told = [
        result.detail for result in (by_line, by_reference, shared) if isinstance(result, Unmatched)
    ]
    assert told == [
        f"an item's line id {A1.id} stands on {both}",
        f"an item's order PD200/1 stands on PD200/1 ({B.id}) and PD200/1 ({twin.id})",
        "an item with SKU SOCK names no order, though"
        f" PD300/1 ({again.id}) and PD200/1 ({B.id}) have it",
    ]


@pytest.mark.parametrize(
    ("sku", "is_ambiguous"),
    [("cap", False), ("CAP", False), ("Cap", True), ("HAT", False), ("", False), (None, False)],
)
def test_sku_is_ambiguous_only_where_two_spellings_could_be_meant(
    sku: str | None, is_ambiguous: bool
) -> None:
    assert is_ambiguous_sku((OrderLine("1", 1, "cap"), OrderLine("2", 1, "CAP")), sku) is (
        is_ambiguous
    )


def test_id_settles_a_reference_that_fits_two_orders() -> None:
    assert pairs(found(parcel(by_id(A), by_number("PD100/1")), A, an_order(3, "#PD100/1"))) == [
        ("PD100/1", "external_shipment_id")
    ]


def test_id_of_another_system_leaves_the_number_to_decide() -> None:
    foreign = Clue(ClueKind.ORDER_ID, "orderKey", uuid(99))

    assert pairs(found(parcel(foreign, by_number("PD200/1", "orderNumber")))) == [
        ("PD200/1", "orderNumber")
    ]


def test_earlier_binding_decides_where_no_id_speaks() -> None:
    assert pairs(found(parcel(by_number("100482")), bound=A)) == [("PD100/1", "bound")]
    assert pairs(found(parcel(by_id(B)), bound=A)) == [("PD200/1", "external_shipment_id")]


def test_earlier_binding_against_the_number_is_refused() -> None:
    assert refusal(found(parcel(by_number("PD200/1")), bound=A)) is Reason.AMBIGUOUS_ORDER


def test_what_was_looked_up_goes_before_what_was_remembered_of_a_bound_order() -> None:
    stale = FulfillmentOrder(A.id, A.reference, None, ())

    [one] = found(parcel(by_number("PD100/1")), A, bound=stale)  # type: ignore[misc]  # an Unmatched would not unpack

    assert one.order == A


def test_operators_link_wins_over_everything() -> None:
    assert pairs(
        found(parcel(by_id(A), by_number("PD100/1"), items=(item(A1),)), bound=A, linked=B)
    ) == [("PD200/1", "linked")]


def test_line_ids_alone_name_the_order() -> None:
    assert pairs(found(parcel(items=(item(A1), item(A2))))) == [("PD100/1", "line_item_id")]


def test_order_id_of_the_items_alone_names_the_order() -> None:
    assert pairs(found(parcel(items=(ShipmentItem(1, sku="SHAWL", order_id=A.id),)))) == [
        ("PD100/1", "item_order_id")
    ]


def test_combined_parcel_becomes_one_match_for_each_order_with_its_items() -> None:
    result = found(parcel(by_id(A), items=(item(A1), item(B1))))

    assert result == (
        Match(A, "external_shipment_id", (item(A1),)),
        Match(B, "line_item_id", (item(B1),)),
    )


def test_combined_parcel_may_carry_the_clues_of_each_of_its_orders() -> None:
    assert pairs(found(parcel(by_id(A), by_number("PD200/1"), items=(item(A1), item(B1))))) == [
        ("PD100/1", "line_item_id"),
        ("PD200/1", "line_item_id"),
    ]


def test_item_without_line_id_goes_to_the_only_order_with_its_sku() -> None:
    loose = ShipmentItem(1, sku="sock")

    assert found(parcel(by_id(A), items=(item(A1), item(B1), loose))) == (
        Match(A, "external_shipment_id", (item(A1),)),
        Match(B, "line_item_id", (item(B1), loose)),
    )


@pytest.mark.parametrize("sku", ["SHARED", "NOWHERE", None])
def test_item_whose_sku_does_not_say_stays_with_the_shipments_own_order(sku: str | None) -> None:
    shared_a, shared_b = (
        an_order(1, "PD100/1", A1, OrderLine(uuid(13), 1, "SHARED")),
        an_order(2, "PD200/1", B1, OrderLine(uuid(22), 1, "SHARED")),
    )
    loose = ShipmentItem(1, sku=sku)

    result = found(parcel(by_id(shared_b), items=(item(A1), item(B1), loose)), shared_a, shared_b)

    assert isinstance(result, tuple)
    assert {one.order.reference: one.items for one in result} == {
        "PD100/1": (item(A1),),
        "PD200/1": (item(B1), loose),
    }


def test_item_that_two_orders_have_and_nothing_else_decides_is_refused() -> None:
    shared_a, shared_b = (
        an_order(1, "PD100/1", A1, OrderLine(uuid(13), 1, "SHARED")),
        an_order(2, "PD200/1", B1, OrderLine(uuid(22), 1, "SHARED")),
    )

    assert (
        refusal(
            found(
                parcel(items=(item(A1), item(B1), ShipmentItem(1, sku="SHARED"))),
                shared_a,
                shared_b,
            )
        )
        is Reason.AMBIGUOUS_ORDER
    )


def test_order_of_the_clues_that_none_of_the_items_belongs_to_is_refused() -> None:
    assert refusal(found(parcel(by_id(A), items=(item(B1),)))) is Reason.AMBIGUOUS_ORDER


def test_item_whose_order_id_and_line_id_disagree_is_refused() -> None:
    assert refusal(found(parcel(items=(item(A1, order=B),)))) is Reason.AMBIGUOUS_ORDER


def test_line_id_on_two_orders_is_refused_unless_a_clue_settles_it() -> None:
    again = an_order(3, "PD300/1", A1)

    assert refusal(found(parcel(items=(item(A1),)), A, again)) is Reason.AMBIGUOUS_ORDER
    assert pairs(found(parcel(by_number("PD300/1"), items=(item(A1),)), A, again)) == [
        ("PD300/1", "shipment_number")
    ]
    assert pairs(found(parcel(items=(item(A1, order=A),)), A, again)) == [
        ("PD100/1", "line_item_id")
    ]


def test_orders_of_other_parcels_do_no_harm() -> None:
    assert found(parcel(by_number("100482"), items=(ShipmentItem(1, sku="SHAWL"),))) == Unmatched(
        Reason.NOT_A_PURPLE_DOT_ORDER,
        "nothing on it names a fulfillment order (shipment_number 100482)",
    )


def test_number_that_looks_right_and_is_not_there_is_not_found() -> None:
    result = found(parcel(by_number("#pd999/1")))

    assert refusal(result) is Reason.ORDER_NOT_FOUND
    assert isinstance(result, Unmatched)
    assert "#pd999/1" in result.detail


def test_without_a_pattern_no_number_looks_like_purple_dots() -> None:
    assert (
        refusal(found(parcel(by_number("PD999/1")), pattern=None)) is Reason.NOT_A_PURPLE_DOT_ORDER
    )


@pytest.mark.parametrize("text", ["Order #PD100/1", "ACME-PD100/1", "PD100/1 / 2nd box"])
def test_reference_inside_a_longer_text_is_asked_for_and_found_without_a_pattern_too(
    text: str,
) -> None:
    shipment = parcel(by_number(text))

    assert "PD100/1" in wanted(shipment, pattern=None).references
    assert pairs(found(shipment, pattern=None)) == [("PD100/1", "shipment_number")]


def test_line_id_settles_which_of_two_orders_of_one_reference_an_item_names() -> None:
    twin = an_order(4, "PD200/1", OrderLine(uuid(41), 1, "SOCK"))
    sock = replace(item(B1), order_reference="PD200/1")

    assert pairs(found(parcel(items=(sock,)), twin, B)) == [("PD200/1", "line_item_id")]
    assert found(parcel(items=(sock,)), twin, B) == (Match(B, "line_item_id", (sock,)),)


def test_nothing_at_all_is_no_order() -> None:
    assert refusal(found(parcel())) is Reason.NOT_A_PURPLE_DOT_ORDER


def test_foreign_parcel_wants_no_lookup() -> None:
    _, automatic, other_shop = payload_files.load(
        "LABEL_CREATED_V2__batch_with_foreign_parcels"
    ).translated()

    assert (
        wanted(automatic, pattern=PATTERN)
        == wanted(other_shop, pattern=PATTERN)
        == Wanted(frozenset(), frozenset(), frozenset())
    )


def test_wanted_ids_are_lower_case_and_references_normalized() -> None:
    shipment = parcel(
        Clue(ClueKind.ORDER_ID, "orderKey", A.id.upper()),
        by_number(" #pd100/1"),
        by_number("100482"),
        items=(item(A1, order=B),),
    )

    assert wanted(shipment, pattern=PATTERN) == Wanted(
        frozenset({A.id, B.id}), frozenset({"PD100/1"}), frozenset({A1.id})
    )


def test_ids_of_another_shape_are_not_wanted() -> None:
    shipment = parcel(
        items=(ShipmentItem(1, line_item_id="14029991729169", order_id="6610002231"),)
    )

    assert wanted(shipment, pattern=PATTERN) == Wanted(frozenset(), frozenset(), frozenset())


def test_without_a_pattern_every_number_is_wanted() -> None:
    assert wanted(parcel(by_number("100482")), pattern=None).references == {"100482"}


def test_no_sku_never_matches_no_sku() -> None:
    lines = (OrderLine("1", 1, None), OrderLine("2", 1, " "))

    assert lines_with_sku(lines, None) == lines_with_sku(lines, "  ") == ()


def test_sku_in_another_case_matches_only_where_one_spelling_can_be_meant() -> None:
    lower, upper = OrderLine("1", 1, "cap"), OrderLine("2", 1, "CAP")

    assert lines_with_sku((lower, upper), " cap ") == (lower,)
    assert lines_with_sku((lower,), "CAP") == (lower,)
    assert lines_with_sku((lower, upper), "Cap") == ()


REFERENCES = st.from_regex(r"\A {0,2}#{0,2}[pP][dD]1{0,2}/?[12]{0,2} {0,2}\Z")


@given(said=REFERENCES, own=REFERENCES)
def test_references_match_exactly_when_they_are_equal_after_normalizing(
    said: str, own: str
) -> None:
    result = found(parcel(by_number(said)), an_order(1, own))

    is_there = normalize_reference(own) in {
        normalize_reference(said),
        *likely_references(said, PATTERN),
    }
    assert isinstance(result, tuple) == is_there


CLUES = st.builds(
    lambda order, number: by_number(order.reference) if number else by_id(order),
    st.sampled_from([A, B]),
    st.booleans(),
)
ITEMS = st.lists(
    st.sampled_from(
        [
            item(A1),
            item(A2),
            item(B1),
            item(A1, order=B),
            ShipmentItem(1, sku="CAP"),
            ShipmentItem(1),
        ]
    ),
    max_size=5,
)


@given(clues=st.lists(CLUES, max_size=3), items=ITEMS, bound=st.sampled_from([None, A, B]))
def test_matches_hand_out_every_item_once_and_each_order_once(
    clues: list[Clue], items: list[ShipmentItem], bound: FulfillmentOrder | None
) -> None:
    shipment = parcel(*clues, items=tuple(items))

    result = found(shipment, bound=bound)

    assert result == found(shipment, bound=bound)
    if isinstance(result, tuple):
        handed = [one for share in result for one in share.items]
        assert sorted(map(repr, handed)) == sorted(map(repr, items))
        assert len({share.order.id for share in result}) == len(result) > 0
        assert {share.rule for share in result} <= {clue.field for clue in clues} | {
            "bound",
            "line_item_id",
            "item_order_id",
        }
        assert (
            len({clue.value for clue in clues if clue.kind is ClueKind.ORDER_ID}) < 2
            or len(result) == 2
        )


def test_foreign_item_of_a_combined_parcel_without_clues_stays_to_be_left_out() -> None:
    gift = ShipmentItem(1, sku="GIFT")

    assert found(parcel(items=(item(A1), item(B1), gift))) == (
        Match(A, "line_item_id", (item(A1), gift)),
        Match(B, "line_item_id", (item(B1),)),
    )


# Combined parcels


def of_order(sku: str, **names: str) -> ShipmentItem:
    return ShipmentItem(1, sku=sku, **names)  # type: ignore[arg-type]  # names are of text fields


def merged(*clues: Clue, items: tuple[ShipmentItem, ...]) -> Shipment:
    return replace(parcel(*clues, items=items), merged_ids=("so-1", "so-2"))


@pytest.mark.parametrize("reference", ["PD200/1", "#pd200/1", "ACME-PD200/1"])
def test_item_names_its_order_by_a_reference_in_any_spelling(reference: str) -> None:
    tee = of_order("SHAWL", order_reference="PD100/1")
    sock = of_order("SOCK", order_reference=reference)

    assert found(merged(by_number("PD100/1"), items=(tee, sock))) == (
        Match(A, "shipment_number", (tee,)),
        Match(B, "item_order_reference", (sock,)),
    )


def test_items_alone_name_the_orders_of_a_parcel_with_a_number_of_the_shops_own() -> None:
    by_reference = of_order("SHAWL", order_reference="PD100/1")
    by_uuid = of_order("SOCK", order_id=B.id)

    assert pairs(found(merged(by_number("100482"), items=(by_reference, by_uuid)))) == [
        ("PD100/1", "item_order_reference"),
        ("PD200/1", "item_order_id"),
    ]


def test_goods_of_a_merged_parcel_that_name_no_order_are_doubtful() -> None:
    tied, loose, note = item(A1), of_order("CAP"), ShipmentItem(1)

    [one] = found(merged(by_id(A), items=(tied, loose, note)))  # type: ignore[misc]  # no Unmatched

    assert (one.order, one.items, one.doubtful) == (A, (tied, loose, note), (loose,))


def test_same_goods_of_a_parcel_of_one_order_are_not_doubtful() -> None:
    loose = of_order("CAP")

    assert found(parcel(by_id(A), items=(loose,))) == (Match(A, "external_shipment_id", (loose,)),)


def test_item_of_the_same_sales_order_goes_where_its_neighbor_goes() -> None:
    named = of_order("SHAWL", order_reference="PD200/1", sales_order_id="so-2")
    beside = of_order("SOCK", sales_order_id="so-2")
    other = of_order("CAP", sales_order_id="so-1", order_id=A.id)

    assert found(merged(by_id(A), items=(named, beside, other))) == (
        Match(A, "external_shipment_id", (other,)),
        Match(B, "item_order_reference", (named, beside)),
    )


def test_item_may_come_before_the_neighbor_that_names_its_order() -> None:
    beside = of_order("SOCK", sales_order_id="so-2")
    named = of_order("SHAWL", order_reference="PD200/1", sales_order_id="so-2")
    other = of_order("CAP", sales_order_id="so-1", order_id=A.id)

    assert found(merged(by_id(A), items=(beside, named, other))) == (
        Match(A, "external_shipment_id", (other,)),
        Match(B, "item_order_id", (beside, named)),
    )


def test_reference_inside_an_items_text_counts_only_where_the_pattern_knows_it() -> None:
    boxed = of_order("CAP", order_reference="box PD200/1 of 3")
    shipment = parcel(by_id(A), items=(boxed,))

    assert refusal(found(shipment)) is Reason.AMBIGUOUS_ORDER
    assert pairs(found(shipment, pattern=re.compile("^LOOM-"))) == [
        ("PD100/1", "external_shipment_id")
    ]


def test_clue_of_an_order_that_no_item_is_of_leaves_it_open() -> None:
    """Although the items name two other ones."""
    third = an_order(3, "PD300/1", OrderLine(uuid(31), 1, "MUG"))
    shipment = parcel(by_id(A), by_number("PD300/1"), items=(item(A1), item(B1)))

    assert refusal(found(shipment, A, B, third)) is Reason.AMBIGUOUS_ORDER


def test_sku_that_several_orders_of_the_parcel_have_is_doubtful() -> None:
    shared_b = an_order(2, "PD200/1", B1, OrderLine(uuid(22), 1, "CAP"))
    loose = of_order("CAP")

    result = found(parcel(by_id(A), items=(item(A1), item(B1), loose)), A, shared_b)

    assert isinstance(result, tuple)
    assert [one.doubtful for one in result] == [(loose,), ()]


def test_component_goes_where_its_bundle_is_sold() -> None:
    box = an_order(2, "PD200/1", B1, OrderLine(uuid(22), 1, "BOX"))
    piece = ShipmentItem(1, sku="CAP", bundle_sku="BOX")

    result = found(parcel(by_id(A), items=(item(A1), item(B1), piece)), A, box)

    assert isinstance(result, tuple)
    assert [one.items for one in result] == [(item(A1),), (item(B1), piece)]


def test_order_that_an_item_names_and_purple_dot_has_not_is_not_found() -> None:
    tee, lost = item(A1), of_order("CAP", order_reference="PD999/1")

    result = found(parcel(by_id(A), items=(tee, lost)))

    assert refusal(result) is Reason.ORDER_NOT_FOUND
    assert isinstance(result, Unmatched)
    assert "1 x CAP names order PD999/1" in result.detail
    assert "1 x SHAWL of PD100/1" in result.detail


def test_detail_names_each_item_whose_order_is_missing_and_those_beside_it() -> None:
    lost = (
        of_order("CAP", order_reference="PD998/1"),
        of_order("HAT", order_reference="PD999/1"),
    )
    beside = (of_order("SOCK"), ShipmentItem(2, sku="MUG"))

    alone = found(parcel(items=lost))
    among = found(parcel(items=(*lost, *beside)))
    with_clue = found(parcel(by_id(A), by_number("PD100/1"), items=(*lost, *beside)))

    missing = (
        "1 x CAP names order PD998/1; 1 x HAT names order PD999/1,"
        " and Purple Dot has no such fulfillment order"
    )
    held = f"{missing}; the parcel also holds 1 x SOCK, 2 x MUG"
    assert alone == Unmatched(Reason.ORDER_NOT_FOUND, missing)
    assert among == Unmatched(Reason.ORDER_NOT_FOUND, held)
    assert with_clue == Unmatched(Reason.ORDER_NOT_FOUND, f"{held} of PD100/1 ({A.id})")


def test_number_of_the_pre_order_on_an_item_names_no_other_order() -> None:
    tee = of_order("SHAWL", order_reference="PD100")

    assert found(parcel(by_id(A), items=(tee,))) == (Match(A, "external_shipment_id", (tee,)),)
    assert refusal(found(parcel(by_id(A), items=(of_order("SHAWL", order_reference="PD10"),)))) is (
        Reason.ORDER_NOT_FOUND
    )


def test_id_beside_ids_of_purple_dots_is_one_that_was_not_found() -> None:
    items = (of_order("SHAWL", order_id=A.id), of_order("SOCK", order_id=uuid(99)))

    assert refusal(found(parcel(items=items))) is Reason.ORDER_NOT_FOUND


@pytest.mark.parametrize("named", [{"order_id": uuid(99)}, {"order_reference": "6610002231"}])
def test_order_of_another_system_on_an_item_says_nothing(named: dict[str, str]) -> None:
    tee = of_order("SHAWL", **named)

    assert found(parcel(by_id(A), items=(tee,))) == (Match(A, "external_shipment_id", (tee,)),)
    assert refusal(found(parcel(by_number("100482"), items=(tee,)))) is (
        Reason.NOT_A_PURPLE_DOT_ORDER
    )


def test_reference_of_an_item_is_wanted_only_where_it_looks_like_purple_dots() -> None:
    items = (
        of_order("A", order_reference="#pd7/1"),
        of_order("B", order_reference="6610002231"),
        of_order("C", order_reference="SHOP-9/1"),
    )

    assert wanted(parcel(items=items), pattern=PATTERN).references == {"PD7/1"}
    assert wanted(parcel(items=items), pattern=None).references == {"PD7/1"}
    assert wanted(parcel(items=items), pattern=re.compile("^SHOP")).references == {"SHOP-9/1"}


def test_two_references_in_one_field_are_both_wanted_and_never_guessed_between() -> None:
    both = by_number("PD100/1, PD200/1", "custom_field1")

    assert wanted(parcel(both), pattern=PATTERN).references == {"PD100/1", "PD200/1"}
    assert refusal(found(parcel(both))) is Reason.AMBIGUOUS_ORDER
    assert pairs(found(parcel(both, by_id(A)))) == [("PD100/1", "external_shipment_id")]


# What ShipStation does not show


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, Reason.NO_ITEMS),
        ({"order_number": "100482"}, Reason.NOT_A_PURPLE_DOT_ORDER),
        ({"record_kind": "v1_shipment"}, Reason.NOT_A_PURPLE_DOT_ORDER),
        ({"order_is_read": True}, Reason.NOT_A_PURPLE_DOT_ORDER),
        ({"record_kind": "v1_shipment", "problem": "voided: no boolean"}, Reason.NO_ITEMS),
    ],
)
def test_label_of_an_order_that_was_not_read_is_no_label_of_no_order(
    fields: dict[str, Any], reason: Reason
) -> None:
    shipment = replace(parcel(), **({"order_is_read": False} | fields))

    assert refusal(found(shipment)) is reason
