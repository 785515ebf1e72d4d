"""What an unclear POST came to: FULFILLED settles it, the order's last lines may go once more, a
part of it is for a person."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.actions import FulfilledLine, Held
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.domain.reasons import Reason
from bridge.pipeline.settle import (
    Arrived,
    LookAgain,
    PostAgain,
    Settlement,
    completes,
    settle,
    units_of_others,
)
from tests.support.fakes import Clock
from tests.support.rows import CONFIRM, a_delivery, an_order

NOW = Clock().now
LAST = 99
"""So many looks that the schedule is over."""
WHOLE = {"line-shawl": 2, "line-cap": 1}
SHAWLS, REST = {"line-shawl": 2}, {"line-cap": 1}
UNFULFILLED, FULFILLED, VOIDED = OrderStatus.UNFULFILLED, OrderStatus.FULFILLED, OrderStatus.VOIDED


def settled(
    mine: dict[str, int], status: OrderStatus | None, *, looks: int = LAST, **others: Any
) -> Settlement:
    told = {"delivered": {}, "unclear": {}} | others
    lines = [FulfilledLine(key, quantity) for key, quantity in mine.items()]
    return settle(lines, an_order(status=status), looks=looks, schedule=CONFIRM, now=NOW, **told)


@pytest.mark.parametrize(
    ("mine", "status", "others", "came"),
    [
        (WHOLE, FULFILLED, {}, Arrived),
        (REST, FULFILLED, {"delivered": SHAWLS}, Arrived),
        (REST, FULFILLED, {"unclear": SHAWLS}, Arrived),
        (REST, FULFILLED, {}, Reason.ALREADY_FULFILLED_ELSEWHERE),
        (WHOLE, VOIDED, {}, Reason.ORDER_VOIDED),
        (WHOLE, UNFULFILLED, {}, PostAgain),
        (REST, UNFULFILLED, {"delivered": SHAWLS}, PostAgain),
        (REST, UNFULFILLED, {"unclear": SHAWLS}, Reason.UNCONFIRMED_PARTIAL),
        (REST, UNFULFILLED, {}, Reason.UNCONFIRMED_PARTIAL),
        (WHOLE, None, {}, Reason.UNCONFIRMED_PARTIAL),
    ],
)
def test_after_the_last_look(
    mine: dict[str, int], status: OrderStatus | None, others: Any, came: Any
) -> None:
    answer = settled(mine, status, **others)

    assert (answer.reason if isinstance(answer, Held) else type(answer)) == came


@pytest.mark.parametrize("mine", [WHOLE, REST])
@pytest.mark.parametrize("status", [UNFULFILLED, None])
def test_while_the_schedule_lasts_it_only_looks_again(
    mine: dict[str, int], status: OrderStatus | None
) -> None:
    assert isinstance(settled(mine, status, looks=1), LookAgain)


@pytest.mark.parametrize("looks", [1, LAST])
def test_clear_word_ends_the_looking_at_once(looks: int) -> None:
    assert isinstance(settled(WHOLE, FULFILLED, looks=looks), Arrived)
    assert isinstance(settled(WHOLE, VOIDED, looks=looks), Held)


def test_each_wait_of_the_schedule_is_waited_once() -> None:
    """The first wait stands between the POST and the first look; each later one after another
    look."""
    waits, looks = [CONFIRM[0]], 1
    while isinstance(came := settled(WHOLE, UNFULFILLED, looks=looks), LookAgain):
        waits.append(came.at - NOW)
        looks += 1

    assert tuple(waits) == CONFIRM


def test_without_a_schedule_the_first_look_decides() -> None:
    lines = [FulfilledLine(key, quantity) for key, quantity in WHOLE.items()]

    assert isinstance(
        settle(lines, an_order(), delivered={}, unclear={}, looks=1, schedule=(), now=NOW),
        PostAgain,
    )


def test_held_names_the_order() -> None:
    for answer in (settled(REST, UNFULFILLED), settled(REST, FULFILLED), settled(WHOLE, VOIDED)):
        assert isinstance(answer, Held)
        assert "#PD100" in answer.detail


QUANTITIES = st.fixed_dictionaries(
    {}, optional={"line-shawl": st.integers(0, 2), "line-cap": st.integers(0, 1)}
)


@given(
    mine=QUANTITIES.filter(any),
    status=st.sampled_from([*OrderStatus, None]),
    delivered=QUANTITIES,
    unclear=QUANTITIES,
    looks=st.integers(1, 9),
)
def test_posts_again_only_where_it_can_not_have_arrived(
    mine: dict[str, int],
    status: OrderStatus | None,
    delivered: dict[str, int],
    unclear: dict[str, int],
    looks: int,
) -> None:
    """Had it arrived, the order would be complete and so FULFILLED."""
    answer = settled(mine, status, delivered=delivered, unclear=unclear, looks=looks)

    order: FulfillmentOrder = an_order()
    completes = all(
        mine.get(line.id, 0) + delivered.get(line.id, 0) >= line.quantity for line in order.lines
    )
    if isinstance(answer, PostAgain):
        assert status is UNFULFILLED
        assert completes
        assert looks >= len(CONFIRM)
    if isinstance(answer, LookAgain):
        assert timedelta(0) < answer.at - NOW <= CONFIRM[-1]


@pytest.mark.parametrize("lines", [(), (OrderLine("line-shawl", 0), OrderLine("line-cap", 0))])
def test_order_that_shows_no_units_completes_nothing(lines: tuple[OrderLine, ...]) -> None:
    order = FulfillmentOrder("id", "#PD100", OrderStatus.UNFULFILLED, lines)

    assert not completes(order, {"line-cap": 1})
    assert not completes(order, {})


def test_order_that_does_not_show_the_units_of_this_part_completes_nothing() -> None:
    order = FulfillmentOrder("id", "#PD100", OrderStatus.UNFULFILLED, (OrderLine("line-shawl", 1),))

    assert not completes(order, {"line-cap": 1}, {"line-shawl": 1})
    assert not completes(order, {"line-shawl": 2})
    assert completes(order, {"line-shawl": 1})


@pytest.mark.parametrize(
    ("fields", "is_sent", "is_maybe_sent"),
    [
        ({"status": DeliveryStatus.DELIVERED}, True, False),
        ({"status": DeliveryStatus.HELD, "reason": Reason.VOIDED_AFTER_DELIVERY}, True, False),
        ({"status": DeliveryStatus.UNCONFIRMED, "posting_at": Clock().now}, False, True),
        ({"status": DeliveryStatus.PENDING}, False, False),
        ({"status": DeliveryStatus.WAITING}, False, False),
    ],
)
def test_units_of_others_are_sent_maybe_sent_or_never_left(
    fields: dict[str, Any], is_sent: bool, is_maybe_sent: bool
) -> None:
    other = replace(a_delivery(FulfilledLine("line-cap", 1)), id="dlv_2", **fields)

    sent, maybe_sent = units_of_others([other])

    assert (sent["line-cap"], maybe_sent["line-cap"]) == (int(is_sent), int(is_maybe_sent))


@pytest.mark.parametrize(
    ("mine", "status", "told"),
    [
        (WHOLE, FULFILLED, "#PD100 is fulfilled, and these were its last lines"),
        (
            REST,
            FULFILLED,
            "#PD100 is fulfilled, with more units than we sent; see whether this parcel's"
            " number is there",
        ),
        (WHOLE, VOIDED, "#PD100 was cancelled in Purple Dot while an answer about it was lost"),
        (
            WHOLE,
            UNFULFILLED,
            "#PD100 still waits for these, its last lines: the lost request did not arrive",
        ),
        (
            REST,
            UNFULFILLED,
            "the answer was lost, and #PD100 would look the same with or without this part of it",
        ),
    ],
)
def test_what_a_person_reads_of_it(mine: dict[str, int], status: OrderStatus, told: str) -> None:
    answer = settled(mine, status)

    assert not isinstance(answer, LookAgain)
    assert answer.detail == told


@pytest.mark.parametrize(
    ("mine", "others", "is_whole"),
    [
        ({"line-shawl": 2, "line-cap": 1}, [], True),
        ({"line-shawl": 1}, [{"line-shawl": 1}, {"line-cap": 1}], True),
        ({"line-shawl": 2}, [{"line-cap": 2}], True),
        ({"line-shawl": 1}, [{"line-cap": 1}], False),
        ({"line-shawl": 2}, [], False),
        ({"line-shawl": 3, "line-cap": 1}, [], False),
    ],
)
def test_parts_complete_an_order_where_every_unit_is_among_them(
    mine: dict[str, int], others: list[dict[str, int]], is_whole: bool
) -> None:
    assert completes(an_order(), mine, *others) is is_whole


def test_line_that_an_order_names_twice_is_complete_with_both() -> None:
    tee = OrderLine("line-tee", 1, "TEE")

    assert completes(an_order(tee, tee), {"line-tee": 2})
    assert not completes(an_order(tee, tee), {"line-tee": 1})


def test_units_of_several_others_are_summed() -> None:
    sent_twice = [
        replace(a_delivery(FulfilledLine("line-shawl", 1)), id=f"dlv_{n}", status=status)
        for n, status in ((2, DeliveryStatus.DELIVERED), (3, DeliveryStatus.DELIVERED))
    ]
    unclear = [
        replace(a_delivery(FulfilledLine("line-shawl", 1)), id=f"dlv_{n}", posting_at=NOW)
        for n in (4, 5)
    ]

    sent, maybe_sent = units_of_others([*sent_twice, *unclear])

    assert (sent, maybe_sent) == ({"line-shawl": 2}, {"line-shawl": 2})
