"""What a person reads of a parcel that is held, and of what was left out of one that went: each
names the thing, whole."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.domain.actions import FulfilledLine
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import OrderLine, OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentItem, ShipmentState
from bridge.translate.contents import Fate, item_fates
from bridge.translate.fulfillments import decide, judge_state
from bridge.translate.matching import Match
from bridge.translate.remaining import rest_of
from tests.support.decisions import (
    CAP,
    CARRIERS,
    SHAWL,
    an_order,
    decided,
    earlier,
    held,
    lines,
    parcel,
    units,
)

S = DeliveryStatus
A_SHAWL, TWO_SHAWLS, A_CAP = units(1, "SHAWL-RED"), units(2, "SHAWL-RED"), units(1, "CAP-OAT")
MUG, SOCKS, NOTE = units(1, "MUG"), units(2, "SOCKS"), units(1)
OTHER_LINE = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a99"
KIT = OrderLine("line-kit", 2, "KIT")


def piece(quantity: int, sku: str, line: str | None = None) -> ShipmentItem:
    return ShipmentItem(quantity, sku=sku, bundle_sku="KIT", line_item_id=line)


@pytest.mark.parametrize(
    ("items", "given", "reason", "sentence"),
    [
        (
            [A_CAP],
            {"order": an_order(status=OrderStatus.VOIDED)},
            Reason.ORDER_VOIDED,
            "Purple Dot voided order PD100/1, yet v1_shipment 7 left",
        ),
        (
            [A_CAP],
            {"order": an_order(status=OrderStatus.UNKNOWN)},
            Reason.ORDER_VOIDED,
            "Purple Dot gives order PD100/1 a status that is none of those it documents, yet"
            " v1_shipment 7 left",
        ),
        (
            [A_CAP],
            {
                "order": an_order(status=OrderStatus.FULFILLED),
                "before": (earlier(FulfilledLine("line-shawl", 1)),),
            },
            Reason.ALREADY_FULFILLED_ELSEWHERE,
            "Purple Dot says that order PD100/1 is fulfilled, but 2 of its 3 units were not posted"
            " by us",
        ),
        (
            [A_CAP],
            {"shipment": parcel(number=None)},
            Reason.NO_TRACKING_NUMBER,
            "v1_shipment 7 has no tracking number, or none that can be made out for certain",
        ),
        ([], {}, Reason.NO_ITEMS, "v1_shipment 7 names no items, so its lines can't be known"),
        (
            [MUG, SOCKS],
            {},
            Reason.UNKNOWN_LINE,
            "none of these stands on order PD100/1: 1 x MUG, 2 x SOCKS",
        ),
        (
            [A_CAP, MUG, NOTE],
            {},
            Reason.UNKNOWN_LINE,
            "1 x MUG stands on no line of order PD100/1, while nothing of line line-shawl (SKU"
            " SHAWL-RED) was shipped yet: is it that line in another form?; not on order PD100/1:"
            " 1 x MUG, 1 x an item without SKU",
        ),
        (
            [TWO_SHAWLS, A_CAP, replace(MUG, order_reference="#pd100/1")],
            {},
            Reason.UNKNOWN_LINE,
            "1 x MUG names order PD100/1, but stands on no line of it",
        ),
        (
            [units(3, "SHAWL-RED"), MUG],
            {"before": (earlier(FulfilledLine("line-cap", 1)),)},
            Reason.OVER_QUANTITY,
            "more units than are left: line line-shawl (SKU SHAWL-RED): 3 asked, 2 left; not on"
            " order PD100/1: 1 x MUG",
        ),
        (
            [A_CAP],
            {"before": (earlier(FulfilledLine("line-cap", 1), order="481"),)},
            Reason.NOTHING_LEFT,
            "every unit was posted already: line line-cap (SKU CAP-OAT): 1 asked, 0 left",
        ),
        (
            [TWO_SHAWLS, A_CAP],
            {"before": (earlier(FulfilledLine("line-cap", 1), order="481"),)},
            Reason.OVER_QUANTITY,
            "more units than are left: line line-shawl (SKU SHAWL-RED): 2 asked, 2 left; line"
            " line-cap (SKU CAP-OAT): 1 asked, 0 left",
        ),
        (
            [TWO_SHAWLS, A_CAP],
            {
                "before": (
                    earlier(
                        FulfilledLine("line-shawl", 2, "SHAWL-RED"),
                        FulfilledLine("line-cap", 1, "CAP-OAT"),
                    ),
                )
            },
            Reason.TRACKING_CHANGED_AFTER_DELIVERY,
            "number 1Z1 came for what ShipStation order 480 holds, but Purple Dot has 2 of line"
            " line-shawl (SKU SHAWL-RED) and 1 of line line-cap (SKU CAP-OAT) with number 1Z0"
            " already",
        ),
        (
            [A_CAP],
            {"before": (earlier(FulfilledLine("line-cap", 1), status=S.PENDING),)},
            Reason.NOTHING_LEFT,
            "number 1Z1 came for what ShipStation order 480 holds, of which units go out with 1Z0"
            " (pending) already: line line-cap (SKU CAP-OAT): 1 asked, 0 left",
        ),
        (
            [units(4, "KIT")],
            {
                "order": an_order(OrderLine("line-kit", 9, "KIT")),
                "shipment": parcel(kind="v2_label"),
                "before": (
                    earlier(FulfilledLine("line-kit", 1), number="1Z8", status=S.WAITING),
                    earlier(FulfilledLine("line-kit", 2), number="1Z9"),
                ),
            },
            Reason.OVER_QUANTITY,
            "number 1Z1 came for what ShipStation order 480 holds, of which units go out with 1Z8"
            " (waiting) and 1Z9 (delivered) already: line line-kit (SKU KIT): 4 asked, 6 left",
        ),
        (
            [A_CAP, ShipmentItem(0, "SHAWL-RED", unreadable_quantity="half")],
            {},
            Reason.NO_ITEMS,
            "its quantity is no whole number of units: half x SHAWL-RED",
        ),
        (
            [A_CAP, ShipmentItem(0, unreadable_quantity="?")],
            {},
            Reason.NO_ITEMS,
            "? x an item without SKU can't be read, so what it is can't be known",
        ),
        (
            [units(1, "Kit")],
            {"order": an_order(OrderLine("a", 1, "KIT"), OrderLine("b", 1, "kit"))},
            Reason.UNKNOWN_LINE,
            "1 x Kit fits more than one SKU of the order, by its spelling",
        ),
        (
            [units(1, "CAP-OAT", "line-cap"), units(1, "MUG", OTHER_LINE)],
            {},
            Reason.COMBINED_PARCEL,
            f"1 x MUG has line id {OTHER_LINE}, which is not on the order",
        ),
        (
            [piece(1, "TEE"), piece(2, "HAT")],
            {"order": an_order(KIT)},
            Reason.UNKNOWN_LINE,
            "how many of line line-kit (SKU KIT) these are can't be known: 1 x TEE (part of KIT),"
            " 2 x HAT (part of KIT)",
        ),
        (
            [units(1, "kit"), piece(1, "TEE"), piece(1, "HAT")],
            {"order": an_order(KIT)},
            Reason.UNKNOWN_LINE,
            "bundle KIT stands beside its components: 1 x TEE (part of KIT), 1 x HAT (part of KIT)",
        ),
        (
            [
                units(1, "CAP-OAT", "line-cap"),
                units(1, "MUG", OTHER_LINE),
                ShipmentItem(0, "SHAWL-RED", unreadable_quantity="half"),
            ],
            {},
            Reason.NO_ITEMS,
            f"1 x MUG has line id {OTHER_LINE}, which is not on the order; its quantity is no whole"
            " number of units: half x SHAWL-RED",
        ),
    ],
)
def test_held_parcel_says_what_is_so(
    items: list[ShipmentItem], given: dict[str, Any], reason: Reason, sentence: str
) -> None:
    answer = held(decided(*items, **given))

    assert (answer.reason, answer.detail) == (reason, sentence)


@pytest.mark.parametrize(
    ("doubtful", "merged_ids", "sentence"),
    [
        (
            (A_CAP,),
            ("480", "481"),
            "ShipStation orders 480 and 481 were merged, and nothing says whose these are:"
            " 1 x CAP-OAT; surely of PD100/1: 2 x SHAWL-RED",
        ),
        (
            (TWO_SHAWLS, A_CAP),
            (),
            "it holds several orders, and nothing says whose these are: 2 x SHAWL-RED, 1 x CAP-OAT",
        ),
    ],
)
def test_combined_parcel_says_which_goods_are_whose(
    doubtful: tuple[ShipmentItem, ...], merged_ids: tuple[str, ...], sentence: str
) -> None:
    match = Match(an_order(), "orderNumber", (TWO_SHAWLS, A_CAP), doubtful)
    merged = replace(parcel(), merged_ids=merged_ids)

    answer = held(decide(merged, match, earlier=(), notify_default=False, carriers=CARRIERS))

    assert (answer.reason, answer.detail) == (Reason.COMBINED_PARCEL, sentence)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (
            ShipmentState.VOIDED,
            "the shipment is void, or its label could not be made: it ships nothing",
        ),
        (ShipmentState.RETURN, "the label brings goods back"),
        (ShipmentState.REJECTED, "the fulfillment provider rejected it: nothing was shipped"),
        (
            ShipmentState.UNSETTLED,
            "its void was requested and never decided, or ShipStation documents no such status",
        ),
    ],
)
def test_state_that_ships_nothing_says_so(state: ShipmentState, sentence: str) -> None:
    verdict = judge_state(parcel(state=state))

    assert verdict is not None
    assert verdict.detail == sentence


def test_what_went_out_names_what_did_not_and_a_carrier_that_nobody_knows() -> None:
    van = replace(parcel(), carrier_code="my_van")
    both = decided(TWO_SHAWLS, A_CAP, SOCKS, NOTE, shipment=van)

    assert both.detail == (
        "left out, as not on order PD100/1: 2 x SOCKS, 1 x an item without SKU; carrier 'my_van'"
        " is not in the carrier table, and goes out as My Van"
    )
    assert decided(TWO_SHAWLS, A_CAP).detail == ""


def fates(*items: ShipmentItem, **given: Any) -> list[tuple[Fate, str]]:
    """What each item comes to and why."""
    order = given.get("order", an_order())
    action = decided(*items, **given)
    found = item_fates(Match(order, "x", items), action)
    assert sorted(map(repr, items)) == sorted(repr(fate.item) for fate in found)
    return [(fate.fate, fate.evidence) for fate in found]


def test_each_item_says_what_its_units_come_to() -> None:
    assert fates(TWO_SHAWLS, A_CAP, SOCKS, NOTE) == [
        (Fate.SENT, "it is line line-shawl (SKU SHAWL-RED) of PD100/1"),
        (Fate.SENT, "it is line line-cap (SKU CAP-OAT) of PD100/1"),
        (Fate.NOT_PURPLE_DOTS, "its SKU is on no line of PD100/1"),
        (Fate.NOT_PURPLE_DOTS, "it has no SKU, so it is no goods of an order"),
    ]
    assert fates(units(9, "CAP-OAT"), SOCKS, NOTE) == [
        (Fate.HELD, "it is line line-cap (SKU CAP-OAT) of PD100/1"),
        (Fate.HELD, "its SKU is on no line of PD100/1"),
        (Fate.NOT_PURPLE_DOTS, "it has no SKU, so it is no goods of an order"),
    ]
    assert fates(A_CAP, ShipmentItem(0, "SHAWL-RED", unreadable_quantity="half")) == [
        (Fate.HELD, "it is line line-cap (SKU CAP-OAT) of PD100/1"),
        (Fate.HELD, "its quantity is no whole number of units: half x SHAWL-RED"),
    ]


def test_sku_of_two_lines_says_both() -> None:
    order = an_order(OrderLine("a", 1, "CAP-OAT"), OrderLine("b", 1, "CAP-OAT"))

    assert fates(A_CAP, order=order) == [
        (Fate.SENT, "it is line a (SKU CAP-OAT) and b (SKU CAP-OAT) of PD100/1")
    ]
    answer = held(decided(units(3, "CAP-OAT"), order=order))
    assert answer.detail == "more units than are left: line a and b (SKU CAP-OAT): 3 asked, 2 left"


def test_rest_of_an_order_is_what_no_delivery_took() -> None:
    """What a person fulfills by hand."""
    whole = (FulfilledLine("line-shawl", 2, "SHAWL-RED"), FulfilledLine("line-cap", 1, "CAP-OAT"))
    a_shawl = earlier(FulfilledLine("line-shawl", 1))

    assert rest_of(an_order(), []) == whole
    assert rest_of(an_order(), [a_shawl]) == (replace(whole[0], quantity=1), whole[1])
    assert rest_of(an_order(), [a_shawl, a_shawl]) == (whole[1],)
    assert rest_of(an_order(), [earlier(*whole)]) == ()


@pytest.mark.parametrize(
    ("names", "is_held"),
    [
        ({"order_id": f" {an_order().id.upper()} "}, True),
        ({"order_reference": "#PD100/1"}, True),
        ({"order_reference": "PD200/1"}, False),
        ({"order_id": OTHER_LINE}, False),
        ({}, False),
    ],
)
def test_goods_that_name_the_order_are_never_left_out(names: dict[str, str], is_held: bool) -> None:
    """Though every line of it is in the parcel already."""
    action = decided(TWO_SHAWLS, A_CAP, replace(MUG, **names))

    assert isinstance(action, type(held(decided()))) is is_held


@pytest.mark.parametrize(
    ("before", "is_open"),
    [
        ((), True),
        ((earlier(FulfilledLine("line-shawl", 1), order="481"),), False),
        ((earlier(FulfilledLine("line-shawl", 2), order="481"),), False),
    ],
)
def test_unknown_goods_may_be_only_a_line_of_which_nothing_left(
    before: tuple[Any, ...], is_open: bool
) -> None:
    action = decided(A_CAP, MUG, before=before)

    assert (getattr(action, "reason", None) is Reason.UNKNOWN_LINE) is is_open


def test_line_of_no_units_is_open_for_nothing() -> None:
    order = an_order(CAP, OrderLine("line-free", 0, "FREE"))

    assert lines(decided(A_CAP, MUG, order=order)) == {"line-cap": 1}


@pytest.mark.parametrize(
    ("number", "order", "is_repeat"),
    [
        ("1Z0", "480", True),
        ("1Z0", "se-480", True),
        (" 1z-1", "480", False),
        ("1Z0", "481", False),
        ("1Z0", None, False),
    ],
)
def test_same_goods_are_repeated_by_another_number_of_the_same_shipstation_order(
    number: str, order: str | None, is_repeat: bool
) -> None:
    sent = earlier(FulfilledLine("line-cap", 1, "CAP-OAT"), number=number, order=order)

    answer = held(decided(A_CAP, before=(sent,)))

    assert (answer.reason is Reason.TRACKING_CHANGED_AFTER_DELIVERY) is is_repeat


def test_parcels_without_a_shipstation_order_repeat_nothing() -> None:
    orderless = replace(parcel(), shipstation_shipment_id=None)
    sent = earlier(FulfilledLine("line-cap", 1), order=None)

    assert held(decided(A_CAP, shipment=orderless, before=(sent,))).reason is Reason.NOTHING_LEFT


def test_whole_order_record_that_went_out_makes_the_next_of_its_order_a_repeat() -> None:
    """A V2 label stands for all goods of its ShipStation order, so V1's next one repeats them."""
    label = replace(earlier(FulfilledLine("line-shawl", 1, SHAWL.sku)), record_kind="v2_label")
    elsewhere = replace(label, shipstation_shipment_id="481")

    answer = held(decided(A_SHAWL, before=(label,)))

    assert answer.reason is Reason.TRACKING_CHANGED_AFTER_DELIVERY
    assert lines(decided(A_SHAWL, before=(elsewhere,))) == {"line-shawl": 1}


def test_other_goods_of_the_same_shipstation_order_repeat_nothing() -> None:
    sent = earlier(FulfilledLine("line-shawl", 2))

    assert lines(decided(A_CAP, shipment=parcel(kind="v2_label"), before=(sent,))) == {
        "line-cap": 1
    }


def test_part_of_a_repeated_order_that_is_no_record_of_the_whole_is_sent() -> None:
    label = replace(earlier(FulfilledLine("line-shawl", 1)), record_kind="v2_label")
    order = an_order(OrderLine("line-shawl", 4, "SHAWL-RED"))

    assert lines(decided(TWO_SHAWLS, order=order, before=(label,))) == {"line-shawl": 2}


def test_sku_that_no_line_has_a_bundle_of_is_left_to_its_own_line() -> None:
    """A component of a bundle that the order does not sell is not goods of it."""
    assert lines(decided(TWO_SHAWLS, A_CAP, piece(1, "CAP-OAT"))) == {
        "line-shawl": 2,
        "line-cap": 1,
    }
