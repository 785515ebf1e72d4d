"""A label that names its order itself: Purple Dot is asked while ShipStation is, for no call more,
and its trouble is that of whoever needs the answer."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from bridge.domain.errors import TemporaryError
from bridge.domain.events import Record
from bridge.domain.shipments import Clue, ClueKind
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.look_ahead import new_threads
from bridge.vendors.shipstation.payloads import record_of
from tests.support.fakes import Clock, FakePurpleDot, WatchedDatabase
from tests.support.jobs import Jobs
from tests.support.rows import ORDER_ID, OTHER_ID, POLICY, a_parcel, an_order, rows
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]

NEVER = 60
"""Seconds: only a test that fails waits so long."""


def label(**fields: Any) -> Record:
    row = {"label_id": "se-9", "shipment_id": "se-480", "tracking_number": "1Z1"}
    return record_of("v2_label", row | {"carrier_code": "ups", "status": "completed"} | fields)


def order(**fields: Any) -> Record:
    items = [{"sku": "SHAWL-RED", "quantity": 2}, {"sku": "CAP-OAT", "quantity": 1}]
    row = {"shipment_id": "se-480", "shipment_number": "PD100", "items": items}
    return record_of("v2_shipment", row | fields)


@pytest.fixture
def ships(jobs: Jobs) -> Jobs:
    """ShipStation has one label, which names the fulfillment order by its id."""
    jobs.fetcher.records = [label(external_shipment_id=ORDER_ID), order()]
    jobs.notify("LABEL_CREATED_V2")
    return jobs


@pytest.mark.parametrize("named", ["#PD100", ORDER_ID])
def test_both_vendors_are_asked_at_the_same_time(jobs: Jobs, named: str) -> None:
    records = [label(external_order_id=named), order()]
    both = threading.Barrier(2)

    def answer(value: Any) -> Any:
        both.wait(NEVER)
        return value

    jobs.fetcher.records = records
    jobs.fetcher.script("fetch", lambda: answer(records))
    jobs.purple_dot.script("order", lambda: answer(an_order()))
    jobs.purple_dot.script("orders_by_reference", lambda: answer([an_order()]))
    jobs.notify("LABEL_CREATED_V2")

    assert jobs.process().status == "processed"
    assert len(jobs.purple_dot.calls) == 1


@pytest.mark.parametrize("error", [TemporaryError("is busy"), RuntimeError("is busy")])
def test_trouble_at_purple_dot_is_the_event_s_and_is_asked_for_once(
    ships: Jobs, error: Exception
) -> None:
    ships.purple_dot.script("order", error)

    stored = ships.process()

    assert (stored.status, stored.attempts) == ("received", 1)
    assert "is busy" in stored.detail
    assert len(ships.purple_dot.calls) == 1
    assert ships.process(after=15).status == "processed"


def test_trouble_at_purple_dot_is_nobody_s_where_nothing_was_shipped(ships: Jobs) -> None:
    """Only the order behind the label says that the parcel comes back."""
    ships.fetcher.records = [ships.fetcher.records[0], order(is_return=True)]
    ships.purple_dot.script("order", TemporaryError("is busy"))

    stored = ships.process()

    assert (stored.status, stored.attempts) == ("ignored", 0)


def test_trouble_at_shipstation_waits_for_what_was_asked_of_purple_dot(ships: Jobs) -> None:
    ships.fetcher.script("fetch", TemporaryError("is busy"))

    stored = ships.process()

    assert (stored.status, stored.attempts) == ("received", 1)
    assert ships.purple_dot.asked("order") == [ORDER_ID]
    assert ships.process(after=15).status == "processed"


def test_id_that_purple_dot_does_not_know_is_asked_for_once(ships: Jobs) -> None:
    ships.fetcher.records = [label(external_shipment_id=OTHER_ID), order()]

    assert ships.process().status == "processed"
    assert [name for name, _ in ships.purple_dot.calls] == ["order", "orders_by_reference"]
    assert [delivery.rule for delivery in rows(ships.database)] == ["shipment_number"]


@pytest.mark.parametrize("row", [{"voided": True}, {"external_shipment_id": "SEAuto-Zz0"}])
def test_label_that_ships_or_names_nothing_asks_for_nothing_ahead(
    jobs: Jobs, row: dict[str, Any]
) -> None:
    jobs.fetcher.records = [label(**row), order(shipment_number="SHOP-1")]
    jobs.notify("LABEL_CREATED_V2")

    jobs.process()

    assert jobs.purple_dot.calls == []


def test_what_is_asked_ahead_says_in_the_log_which_event_it_is_for(ships: Jobs) -> None:
    seen: list[Any] = []

    def answer() -> Any:
        seen.append(structlog.contextvars.get_contextvars())
        return an_order()

    ships.purple_dot.script("order", answer)
    with structlog.contextvars.bound_contextvars(event_id="evt_7"):
        ships.process()

    assert seen == [{"event_id": "evt_7"}]


def test_as_many_labels_are_asked_ahead_at_once_as_a_worker_has_events() -> None:
    """Each by a thread whose name says what it is there for."""
    all_at_once = threading.Barrier(32)

    def ask() -> str:
        all_at_once.wait(NEVER)
        return threading.current_thread().name

    with new_threads() as threads:
        tasks = [threads.submit(ask) for _ in range(32)]
        names = {task.result(NEVER) for task in tasks}

    assert {name.rpartition("_")[0] for name in names} == {"ahead"}


# What was asked already


def test_only_what_was_not_asked_for_is_asked_for(database: WatchedDatabase) -> None:
    """The order behind the label names another one as well."""
    purple_dot = FakePurpleDot(an_order(), an_order(id=OTHER_ID, reference="#PD200"))
    resolver = Resolver(database, purple_dot, POLICY.pattern)
    clues = [
        Clue(ClueKind.ORDER_ID, "external_shipment_id", ORDER_ID),
        Clue(ClueKind.REFERENCE, "shipment_number", "PD100"),
        Clue(ClueKind.REFERENCE, "custom_field1", "PD200"),
    ]

    answers = resolver.ask_ahead([a_parcel(clues=(clues[0],))])
    found = resolver.find([a_parcel(clues=tuple(clues))], answers=answers)

    assert purple_dot.calls == [("order", ORDER_ID), ("orders_by_reference", ["PD200"])]
    assert {order.reference for order in found.orders} == {"#PD100", "#PD200"}


def test_what_was_asked_ahead_is_as_old_as_its_question(
    database: WatchedDatabase, clock: Clock
) -> None:
    """So that whoever posts much later looks again."""
    resolver = Resolver(database, FakePurpleDot(an_order()), POLICY.pattern)
    clock.now = before = datetime(2026, 3, 1, 12, tzinfo=UTC)
    answers = resolver.ask_ahead([a_parcel()])
    clock.advance(40)

    assert resolver.find([a_parcel()], answers=answers).seen_at == before


# Against the real clients


@pytest.mark.parametrize("style", ["id", "reference", "custom_field"])
def test_label_takes_no_call_more_however_it_names_its_order(
    bridge: VirtualBridge, style: str
) -> None:
    world = bridge.world
    known = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(known, style=style))

    bridge.travel(world.label_created_v2(labels))

    assert len(bridge.accepted(known)) == 1
    assert (world.count("shipstation"), world.count("purple_dot")) == (2, 2)
