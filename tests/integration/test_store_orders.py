"""The cache of confirmed orders: found by id, by reference however written, and by line; bound by
what was delivered."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.store import orders
from bridge.store.engine.database import Database
from bridge.store.tables import deliveries
from tests.support.fakes import WatchedDatabase
from tests.support.rows import (
    CAP,
    ORDER_ID,
    OTHER_ID,
    SHAWL,
    a_parcel,
    an_order,
    deliver_next,
    put,
    rows,
)

pytest_plugins = ["tests.support.database_fixtures"]


def remember(database: Database, *found: FulfillmentOrder) -> None:
    with database.begin() as connection:
        orders.remember(connection, found, now=database.now())


def known(database: Database, **asked: Any) -> list[FulfillmentOrder]:
    with database.read() as connection:
        return orders.known(connection, **asked)


def bindings(database: Database, *ids: str) -> dict[str, set[str]]:
    with database.read() as connection:
        return orders.bindings(connection, ids)


def test_order_comes_back_as_purple_dot_told_it(database: WatchedDatabase) -> None:
    told = an_order(CAP, SHAWL, OrderLine("line-gift", 0, None))
    remember(database, told)

    assert known(database, order_ids=[ORDER_ID]) == [told]


def test_dates_of_an_order_are_remembered(database: WatchedDatabase) -> None:
    ordered = datetime(2026, 9, 1, 8, 30, tzinfo=UTC)
    ready = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
    remember(database, replace(an_order(), purchased_at=ordered, created_at=ready))

    [order] = known(database, order_ids=[ORDER_ID])

    assert (order.purchased_at, order.created_at) == (ordered, ready)


@pytest.mark.parametrize("status", [*OrderStatus, None])
def test_order_without_lines_or_status_is_remembered_too(
    database: WatchedDatabase, status: OrderStatus | None
) -> None:
    told = FulfillmentOrder(ORDER_ID, "PD1", status, ())
    remember(database, told)

    assert known(database, order_ids=[ORDER_ID]) == [told]


@pytest.mark.parametrize(
    "asked",
    [
        {"order_ids": [ORDER_ID]},
        {"references": ["PD100"]},
        {"line_ids": ["line-cap"]},
        {"line_ids": ["line-cap", "line-shawl"]},
    ],
)
def test_order_is_found_once_by_id_reference_or_line(
    database: WatchedDatabase, asked: dict[str, list[str]]
) -> None:
    remember(database, an_order(), an_order(OrderLine("other", 1), id=OTHER_ID, reference="PD200"))

    assert [order.id for order in known(database, **asked)] == [ORDER_ID]


def test_nothing_asked_finds_nothing(database: WatchedDatabase) -> None:
    remember(database, an_order())

    assert known(database) == []
    assert known(database, references=["PD1"], order_ids=[OTHER_ID], line_ids=["line"]) == []


def test_one_reference_may_have_two_orders(database: WatchedDatabase) -> None:
    remember(database, an_order(), an_order(OrderLine("x", 1), id=OTHER_ID, reference=" pd100 "))

    assert {order.id for order in known(database, references=["PD100"])} == {ORDER_ID, OTHER_ID}


def test_newer_word_replaces_the_older(database: WatchedDatabase) -> None:
    remember(database, an_order())
    newer = an_order(
        OrderLine("line-scarf", 4, "SCARF"), reference="#PD101", status=OrderStatus.VOIDED
    )

    remember(database, newer)

    assert known(database, order_ids=[ORDER_ID]) == [newer]
    assert known(database, line_ids=["line-cap"]) == []
    assert known(database, references=["PD100"]) == []


def test_order_that_names_a_line_twice_is_remembered_with_all_its_units(
    database: WatchedDatabase,
) -> None:
    remember(database, an_order(CAP, SHAWL, OrderLine(CAP.id, 2, CAP.sku)))

    [order] = known(database, order_ids=[ORDER_ID])
    assert {line.id: line.quantity for line in order.lines} == {"line-cap": 3, "line-shawl": 2}


def test_same_order_twice_on_a_page_is_one(database: WatchedDatabase) -> None:
    remember(database, an_order(), an_order())

    assert known(database, order_ids=[ORDER_ID]) == [an_order()]


def test_a_thousand_references_are_looked_up_at_once(database: WatchedDatabase) -> None:
    remember(database, an_order(reference="PD999"))

    found = known(
        database,
        references=[f"PD{number}" for number in range(1000)],
        line_ids=[f"l{number}" for number in range(1000)],
    )

    assert [order.id for order in found] == [ORDER_ID]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    number=st.text("pPdD0123456789/-", min_size=1, max_size=12),
    before=st.sampled_from(["", " ", "#", " #"]),
)
def test_reference_is_found_however_it_is_written(
    database: WatchedDatabase, number: str, before: str
) -> None:
    remember(database, an_order(reference=f"{before}{number}"))

    assert [order.id for order in known(database, references=[number.upper()])] == [ORDER_ID]


def test_only_what_was_delivered_or_linked_binds_a_shipstation_order(
    database: WatchedDatabase,
) -> None:
    put(database, a_parcel(shipstation_shipment_id="481"))
    assert bindings(database, "481", "999") == {}

    deliver_next(database)

    assert bindings(database, "481", "999") == {"481": {ORDER_ID}}


def test_a_persons_link_binds_before_anything_is_delivered(database: WatchedDatabase) -> None:
    put(database, a_parcel())
    with database.begin() as connection:
        connection.execute(deliveries.update().values(rule="linked"))

    assert bindings(database, "480") == {"480": {ORDER_ID}}


def test_combined_order_is_bound_to_each_of_its_orders(database: WatchedDatabase) -> None:
    for number, order_id in enumerate((ORDER_ID, OTHER_ID)):
        put(
            database,
            a_parcel(number=f"1Z{number}", record=str(number)),
            orders=(an_order(id=order_id),),
        )
        deliver_next(database)

    assert bindings(database, "480") == {"480": {ORDER_ID, OTHER_ID}}


def test_locking_orders_that_are_not_there_is_harmless(database: WatchedDatabase) -> None:
    with database.begin() as connection:
        orders.lock(connection, [])
        orders.lock(connection, [ORDER_ID])

    assert rows(database, "fulfillment_orders") == []


def test_second_decision_about_an_order_waits_for_the_first(
    database: WatchedDatabase, opened: Callable[[], Database]
) -> None:
    remember(database, an_order())
    other, order_of_things, asked = opened(), [], Event()

    def lock_too() -> None:
        asked.set()
        with other.begin() as connection:
            orders.lock(connection, [ORDER_ID])
            order_of_things.append("second")

    with Database.begin(database) as connection:
        orders.lock(connection, [ORDER_ID])
        waiting = Thread(target=lock_too)
        waiting.start()
        asked.wait(5)
        waiting.join(0.05)
        order_of_things.append("first")
    waiting.join(10)

    assert order_of_things == ["first", "second"]
