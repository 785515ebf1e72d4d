"""Orders by their lines' ids: listed once, remembered, and never asked for in vain twice."""

from datetime import timedelta

import pytest

from bridge.domain.errors import TemporaryError
from bridge.domain.orders import OrderLine
from bridge.pipeline.open_orders import (
    FOREIGN_FOR,
    LIST_EVERY,
    LOOK_BACK,
    MANY_SKUS,
    OpenOrders,
)
from tests.support.fakes import Clock, FakePurpleDot
from tests.support.rows import OTHER_ID, an_order

NOW = Clock().now
FIRST = an_order(OrderLine("LINE-A", 1, "A"), OrderLine("line-b", 1, "B"))
SECOND = an_order(OrderLine("line-c", 1, "C"), id=OTHER_ID, reference="#PD200")


def test_order_is_found_by_any_of_its_lines_with_one_listing() -> None:
    purple_dot, orders = FakePurpleDot(FIRST, SECOND), OpenOrders()

    assert orders.with_lines(["line-a", "line-b"], purple_dot, now=NOW) == [FIRST]
    assert orders.with_lines(["line-c"], purple_dot, now=NOW) == [SECOND]
    assert purple_dot.calls == [("orders_created_since", NOW - LOOK_BACK)]


def test_line_of_another_system_is_listed_for_once() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()

    for days in range(3):
        assert orders.with_lines(["x"], purple_dot, now=NOW + timedelta(days=days)) == []

    assert len(purple_dot.calls) == 1


def test_later_listings_read_what_is_new_and_never_follow_each_other_closely() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    orders.with_lines(["line-a"], purple_dot, now=NOW)
    purple_dot.orders[SECOND.id] = SECOND

    soon = orders.with_lines(["line-c"], purple_dot, now=NOW + LIST_EVERY / 2)
    later = orders.with_lines(["line-c"], purple_dot, now=NOW + LIST_EVERY)

    assert (soon, later) == ([], [SECOND])
    assert purple_dot.calls[1] == ("orders_created_since", NOW - timedelta(hours=1))


def test_listing_that_fails_says_nothing_about_a_line() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    purple_dot.script("orders_created_since", TemporaryError("busy"))

    with pytest.raises(TemporaryError):
        orders.with_lines(["line-a"], purple_dot, now=NOW)
    assert orders.with_lines(["line-a"], purple_dot, now=NOW) == [FIRST]


def test_order_is_named_once_however_many_of_its_lines_are_asked_for() -> None:
    purple_dot, orders = FakePurpleDot(FIRST, SECOND), OpenOrders()

    assert orders.with_lines(["line-b", "line-c", "line-a", "x"], purple_dot, now=NOW) == [
        FIRST,
        SECOND,
    ]


def test_line_that_only_a_later_listing_shows_is_found_though_it_was_not_before() -> None:
    """Between two listings nothing is said about it, so it is looked for again."""
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    orders.with_lines(["line-a"], purple_dot, now=NOW)
    moment = timedelta(microseconds=1)

    assert orders.with_lines(["line-c"], purple_dot, now=NOW + LIST_EVERY - moment) == []
    assert len(purple_dot.calls) == 1
    purple_dot.orders[SECOND.id] = SECOND
    assert orders.with_lines(["line-c"], purple_dot, now=NOW + LIST_EVERY) == [SECOND]


def test_listing_after_a_long_pause_looks_back_no_further_than_the_first() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    orders.with_lines(["line-a"], purple_dot, now=NOW)
    a_year_later = NOW + timedelta(days=365)

    orders.with_lines(["line-c"], purple_dot, now=a_year_later)

    assert purple_dot.calls[1] == ("orders_created_since", a_year_later - LOOK_BACK)


def test_what_other_systems_ids_are_is_never_forgotten() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()

    for minutes, line_id in enumerate(("x", "y", "x")):
        orders.with_lines([line_id], purple_dot, now=NOW + minutes * LIST_EVERY)

    assert len(purple_dot.calls) == 2


# Ids that only have the form of Purple Dot's


def _denied(orders: OpenOrders, *goods: str) -> None:
    """An id with these goods, for which Purple Dot has said no twice."""
    for _ in range(2):
        orders.note_denied(f"id-{goods}", goods, now=NOW)


def test_id_is_asked_for_until_its_goods_are_known_to_leave_under_other_ids() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    orders.note_denied("x", ["mug"], now=NOW)

    assert orders.worth_asking({"y": {"mug"}}, purple_dot, now=NOW) == {"y"}
    _denied(orders, "mug")
    assert orders.worth_asking({"y": {"mug"}, "z": {"mug", "a"}}, purple_dot, now=NOW) == {"z"}
    assert orders.worth_asking({"y": {"mug"}}, purple_dot, now=NOW) == set()
    assert purple_dot.calls == [("orders_created_since", NOW - LOOK_BACK)]


def test_listed_id_is_asked_for_whatever_is_in_its_parcel() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    _denied(orders, "a")
    known = FIRST.id.lower()

    assert orders.worth_asking({known: {"a"}}, purple_dot, now=NOW) == {known}
    purple_dot.orders[SECOND.id] = SECOND
    later = NOW + LIST_EVERY
    assert orders.worth_asking({OTHER_ID: {"a"}}, purple_dot, now=later) == {OTHER_ID}


def test_goods_of_each_parcel_of_another_system_count_together() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    _denied(orders, "mug")
    _denied(orders, "cap")

    assert orders.worth_asking({"x": {"mug", "cap"}, "y": {"mug"}}, purple_dot, now=NOW) == set()


def test_shop_of_many_foreign_goods_is_asked_about_no_further_ones() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    _denied(orders, *(f"mug-{number}" for number in range(MANY_SKUS)))

    assert orders.worth_asking({"x": {"another"}}, purple_dot, now=NOW) == set()


def test_goods_are_another_shops_for_a_bounded_time() -> None:
    purple_dot, orders = FakePurpleDot(FIRST), OpenOrders()
    _denied(orders, "mug")
    later = NOW + FOREIGN_FOR + timedelta(seconds=1)

    assert orders.worth_asking({"x": {"mug"}}, purple_dot, now=later) == {"x"}
    asked = []
    for _ in range(2):
        orders.note_denied("id-('mug',)", ["mug"], now=later)
        asked.append(orders.worth_asking({"x": {"mug"}}, purple_dot, now=later))
    assert asked == [{"x"}, set()]
