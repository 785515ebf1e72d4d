"""Finding a page's orders: one call where one will do, none where nothing looks like Purple Dot's,
and the cache only as a hint."""

import re
from typing import Any

import pytest

from bridge.domain.errors import (
    CredentialsError,
    PayloadError,
    PermanentError,
    TemporaryError,
)
from bridge.domain.orders import OrderLine, OrderStatus
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentItem
from bridge.operations import repair
from bridge.pipeline.find_orders import Resolver, orders_named
from bridge.store import deliveries
from bridge.store import orders as order_store
from bridge.store.engine.database import Database
from bridge.translate.plans import OrderLookup
from tests.support.fakes import Clock, FakePurpleDot, WatchedDatabase
from tests.support.rows import (
    ORDER_ID,
    OTHER_ID,
    POLICY,
    a_parcel,
    an_order,
    deliver_next,
    put,
    units,
)

pytest_plugins = ["tests.support.database_fixtures"]

LINE = "e41f6a90-2c7b-4d18-b5a3-60d2c8f7b101"


def find(
    database: Database,
    purple_dot: FakePurpleDot,
    *parcels: Shipment,
    pattern: Any = POLICY.pattern,
    **options: Any,
) -> OrderLookup:
    return Resolver(database, purple_dot, pattern).find(parcels, **options)


def with_id(order_id: str = ORDER_ID, **fields: Any) -> Shipment:
    """A parcel whose ShipStation order holds the id of the fulfillment order, and a number of
    another shop."""
    clues = (
        Clue(ClueKind.ORDER_ID, "orderKey", order_id),
        Clue(ClueKind.REFERENCE, "orderNumber", "SHOP-1"),
    )
    return a_parcel(clues=clues, order_number="SHOP-1", **fields)


def remember(database: Database, *found: Any) -> None:
    with database.begin() as connection:
        order_store.remember(connection, found, now=database.now())


def test_foreign_parcels_cost_no_call(database: WatchedDatabase) -> None:
    purple_dot = FakePurpleDot(an_order())

    found = find(
        database, purple_dot, a_parcel(reference="SHOP-1"), a_parcel(reference="1002", record="2")
    )

    assert found == OrderLookup()
    assert purple_dot.calls == []


def test_empty_page_costs_no_call(database: WatchedDatabase) -> None:
    purple_dot = FakePurpleDot()

    assert find(database, purple_dot) == OrderLookup()
    assert purple_dot.calls == []


def test_batch_with_many_foreign_parcels_costs_one_call(database: WatchedDatabase) -> None:
    purple_dot = FakePurpleDot(an_order(), an_order(id=OTHER_ID, reference="PD200"))
    foreign = [a_parcel(reference=f"SHOP-{number}", record=str(number)) for number in range(40)]

    found = find(
        database, purple_dot, a_parcel(), *foreign, a_parcel(reference="#pd200", record="77")
    )

    assert {order.id for order in found.orders} == {ORDER_ID, OTHER_ID}
    assert purple_dot.calls == [("orders_by_reference", ["PD100", "PD200"])]


def test_without_a_pattern_every_number_is_looked_up(database: WatchedDatabase) -> None:
    purple_dot = FakePurpleDot(an_order(reference="1002"))

    found = find(database, purple_dot, a_parcel(reference="1002"), pattern=None)

    assert [order.reference for order in found.orders] == ["1002"]


def test_pattern_is_the_merchants(database: WatchedDatabase) -> None:
    purple_dot = FakePurpleDot()
    find(database, purple_dot, a_parcel(), pattern=re.compile("^LOOM-"))

    assert purple_dot.calls == []


def test_order_id_that_nothing_else_explains_is_asked_for_alone(database: WatchedDatabase) -> None:
    purple_dot = FakePurpleDot(an_order())

    found = find(database, purple_dot, with_id())

    assert [order.id for order in found.fresh] == [ORDER_ID]
    assert purple_dot.calls == [("order", ORDER_ID)]


def test_number_and_id_of_one_order_cost_one_call(database: WatchedDatabase) -> None:
    purple_dot = FakePurpleDot(an_order())
    clues = (
        Clue(ClueKind.ORDER_ID, "orderKey", ORDER_ID),
        Clue(ClueKind.REFERENCE, "orderNumber", "PD100"),
    )

    find(database, purple_dot, a_parcel(clues=clues))

    assert purple_dot.calls == [("orders_by_reference", ["PD100"])]


def test_id_of_another_system_of_the_same_shape_finds_nothing(database: WatchedDatabase) -> None:
    assert find(database, FakePurpleDot(), with_id()).orders == ()


def test_ids_of_another_shop_s_goods_are_asked_for_no_more_and_other_goods_are(
    database: WatchedDatabase,
) -> None:
    """Its keys have the form of Purple Dot's ids; a bundle counts by its own SKU."""
    purple_dot = FakePurpleDot(an_order())
    resolver = Resolver(database, purple_dot, POLICY.pattern)
    mugs = (units(1, "MUG"), ShipmentItem(1, sku="LID", bundle_sku="MUG-SET"))
    ids = [f"7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0b0{number}" for number in range(4)]

    for order_id in (ids[0], ids[0], ids[1]):
        found = resolver.find([with_id(order_id, items=mugs)])
    assert purple_dot.asked("order") == [ids[0], ids[0]]
    assert found.missing_ids == frozenset()

    resolver.find([with_id(ids[2], items=(units(1, "LID"),))])
    resolver.find([with_id(ids[3], items=(units(1, "SHAWL-RED"),)), with_id(ids[3], items=mugs)])
    assert purple_dot.asked("order") == [ids[0], ids[0], ids[2], ids[3]]

    linked = resolver.find([with_id(ids[1], items=mugs)], linked_order_id=ids[1])
    assert purple_dot.asked("order")[-1] == ids[1]
    assert linked.missing_ids == {ids[1]}


def test_cached_order_is_asked_for_again_in_the_same_one_call(
    database: WatchedDatabase, clock: Clock
) -> None:
    remember(database, an_order())
    purple_dot = FakePurpleDot(an_order(status=OrderStatus.VOIDED))

    found = find(database, purple_dot, with_id())

    assert purple_dot.calls == [("orders_by_reference", ["PD100"])]
    assert [order.status for order in found.orders] == [OrderStatus.VOIDED]
    assert found.is_fresh(ORDER_ID)
    assert found.seen_at == clock.now


def test_order_of_a_cached_line_is_found(database: WatchedDatabase) -> None:
    order = an_order(OrderLine(LINE, 1, "X"))
    remember(database, order)
    purple_dot = FakePurpleDot(order)

    found = find(database, purple_dot, a_parcel(units(1, None, LINE), clues=(), reference="SHOP-1"))

    assert [order.id for order in found.orders] == [ORDER_ID]
    assert purple_dot.calls == [("orders_by_reference", ["PD100"])]


def test_cached_order_that_purple_dot_replaced_is_no_order_of_the_parcel(
    database: WatchedDatabase,
) -> None:
    """Its reference belongs to a new order, and its id is gone."""
    remember(database, an_order())

    found = find(database, FakePurpleDot(an_order(id=OTHER_ID)), a_parcel())

    assert [order.id for order in found.orders] == [OTHER_ID]


def test_cached_order_that_the_list_leaves_out_is_asked_for_by_its_id(
    database: WatchedDatabase,
) -> None:
    remember(database, an_order())
    purple_dot = FakePurpleDot(an_order())
    purple_dot.script("orders_by_reference", lambda: [])

    found = find(database, purple_dot, a_parcel())

    assert [order.id for order in found.orders] == [ORDER_ID]
    assert found.is_fresh(ORDER_ID)


@pytest.mark.parametrize(
    "error", [PermanentError("400"), CredentialsError("302"), PayloadError("data is null")]
)
def test_odd_answer_to_a_foreign_id_is_not_its_neighbors_trouble(
    database: WatchedDatabase, error: Exception
) -> None:
    purple_dot = FakePurpleDot(an_order())
    purple_dot.script("order", error)
    foreign = a_parcel(
        record="502",
        number="1Z2",
        clues=(Clue(ClueKind.ORDER_ID, "external_shipment_id", OTHER_ID),),
    )

    found = find(database, purple_dot, a_parcel(), foreign)

    assert [order.id for order in found.orders] == [ORDER_ID]


def test_earlier_parcel_binds_the_shipstation_order(database: WatchedDatabase) -> None:
    put(database, a_parcel(units(1, "SHAWL-RED")))
    deliver_next(database)

    found = find(
        database,
        FakePurpleDot(an_order()),
        a_parcel(number="1Z2", record="502", reference="SHOP-1"),
    )

    assert {key: order.id for key, order in found.bound.items()} == {"480": ORDER_ID}


def test_shipstation_order_that_went_to_two_orders_binds_to_none(database: WatchedDatabase) -> None:
    both = (
        an_order(OrderLine("a", 1, "A")),
        an_order(OrderLine("b", 1, "B"), id=OTHER_ID, reference="PD200"),
    )
    put(database, a_parcel(units(1, None, "a"), units(1, None, "b"), clues=()), orders=both)
    deliver_next(database)
    deliver_next(database)

    assert find(database, FakePurpleDot(*both), a_parcel()).bound == {}


def test_order_that_a_person_linked_is_read_too(database: WatchedDatabase) -> None:
    found = find(
        database,
        FakePurpleDot(an_order(id=OTHER_ID)),
        a_parcel(reference="SHOP-1"),
        linked_order_id=OTHER_ID,
    )

    assert [order.id for order in found.fresh] == [OTHER_ID]


@pytest.mark.parametrize(
    ("text", "call"),
    [(ORDER_ID, ("order", ORDER_ID)), ("#PD100", ("orders_by_reference", ["#PD100"]))],
)
def test_order_is_found_by_what_a_person_calls_it(text: str, call: tuple[str, Any]) -> None:
    purple_dot = FakePurpleDot(an_order(), an_order(id=OTHER_ID, reference="#PD200"))

    assert orders_named(purple_dot, text) == [an_order()]
    assert purple_dot.calls == [call]


@pytest.mark.parametrize("text", [OTHER_ID, "#PD999"])
def test_order_that_purple_dot_does_not_know_has_no_name(text: str) -> None:
    assert orders_named(FakePurpleDot(an_order()), text) == []


def test_order_that_a_person_linked_and_that_is_gone_is_no_order_of_the_parcel(
    database: WatchedDatabase, clock: Clock
) -> None:
    """The other parcel was linked to an order that is still there."""
    parcels = [a_parcel(number=f"1Z{n}", record=f"50{n}", reference="PD300") for n in (1, 2)]
    for parcel, order_id in zip(parcels, (ORDER_ID, OTHER_ID), strict=True):
        [decision] = put(database, parcel, orders=())
        with database.begin() as connection:
            [delivery] = deliveries.by_ids(connection, [str(decision.delivery_id)])
            order = an_order(id=order_id, reference=f"#{order_id[-2:]}")
            repair.link(connection, delivery, order=order, actor="alice", now=clock.now)

    found = find(database, FakePurpleDot(an_order()), *parcels)

    assert [order.id for order in found.linked.values()] == [ORDER_ID]
    assert found.missing_ids == {OTHER_ID}


@pytest.mark.parametrize("operation", ["order", "orders_by_reference"])
@pytest.mark.parametrize("error", [TemporaryError("busy"), CredentialsError("no")])
def test_trouble_at_purple_dot_is_never_taken_for_an_answer(
    database: WatchedDatabase, operation: str, error: Exception
) -> None:
    purple_dot = FakePurpleDot()
    purple_dot.script(operation, error)
    purple_dot.script("sample", error)

    with pytest.raises(type(error)):
        find(database, purple_dot, with_id() if operation == "order" else a_parcel())
