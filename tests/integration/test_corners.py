"""Corners where a parcel could be lost, or told twice: voids at the wrong moment, one number twice,
hands that hurry."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import PermanentError, RefusedError, UnclearError
from bridge.domain.events import Record
from bridge.domain.orders import OrderLine, OrderStatus
from bridge.operations import repair
from bridge.store import repairs
from bridge.translate.carriers import Carriers
from bridge.vendors.shipstation.payloads import record_of
from bridge.vendors.shipstation.shipments import shipped
from tests.support.jobs import Jobs
from tests.support.rows import OTHER_ID, an_order, put, rows, units, v1_label

pytest_plugins = ["tests.support.database_fixtures"]

GOODS = [{"sku": "SHAWL-RED", "quantity": 2}, {"sku": "CAP-OAT", "quantity": 1}]


def marked(record: str, *, order: str = "se-1", voided: bool = False) -> Record:
    row = {
        "fulfillment_id": record,
        "shipment_id": order,
        "shipment_number": "PD100",
        "tracking_number": "T100",
        "voided": voided,
    }
    return record_of("v2_fulfillment", row)


def label(record: str, number: str | None, **fields: Any) -> Record:
    row = {
        "label_id": record,
        "shipment_id": "se-1",
        "status": "completed",
        "tracking_number": number,
    }
    return record_of("v2_label", row | fields)


def order(shipment_id: str = "se-1", items: list[dict[str, Any]] | None = None) -> Record:
    return record_of(
        "v2_shipment",
        {
            "shipment_id": shipment_id,
            "shipment_number": "PD100",
            "items": GOODS if items is None else items,
        },
    )


def find(jobs: Jobs, delivery_id: str) -> Delivery:
    with jobs.database.read() as connection:
        return repairs.find(connection, delivery_id)[0]


def retry(jobs: Jobs, delivery_id: str) -> None:
    delivery = find(jobs, delivery_id)
    with jobs.database.begin() as connection:
        repair.retry(connection, delivery, actor="alice (shell)", now=jobs.clock.now)


def standing(jobs: Jobs) -> list[tuple[str, str | None]]:
    return sorted((stored.status, stored.reason) for stored in rows(jobs.database))


@pytest.mark.parametrize(
    "records",
    [[label("se-9", None), order()], [v1_label(number="")]],
    ids=["v2", "v1"],
)
def test_finished_label_that_never_gets_a_number_goes_to_a_person(
    jobs: Jobs, records: list[Record]
) -> None:
    jobs.fetcher.records = records
    jobs.notify("LABEL_CREATED_V2")

    for seconds in (0, 20, 70):
        jobs.process(after=seconds)

    assert standing(jobs) == [("held", "no_tracking_number")]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([label("se-9", "1Z1", status="odd"), order()], "status"),
        ([label("se-9", "1Z1", void_requested=True), order()], "void was requested"),
        ([label("se-9", "1Z1")], "does not show the order"),
        ([Record("v2_label", "se-9", {"unreadable": "v2_label se-9: voided"})], "voided"),
    ],
    ids=["status nobody knows", "void never decided", "order never shown", "row never readable"],
)
def test_what_is_not_known_is_looked_at_again_and_then_asked_of_a_person(
    jobs: Jobs, records: list[Record], words: str
) -> None:
    jobs.fetcher.records = records
    jobs.notify("LABEL_CREATED_V2")

    for seconds in (0, 20):
        assert jobs.process(after=seconds).status == "received"
    jobs.process(after=70)

    [stored] = rows(jobs.database)
    assert (stored.status, stored.reason) == ("held", "no_items")
    assert words in stored.detail


def test_status_that_nobody_knows_of_an_ordinary_parcel_is_no_exception(jobs: Jobs) -> None:
    ordinary = {"shipment_id": "se-1", "shipment_number": "100482", "items": GOODS}
    jobs.fetcher.records = [
        label("se-9", "1Z1", status="odd"),
        record_of("v2_shipment", ordinary),
    ]
    jobs.notify("LABEL_CREATED_V2")

    for seconds in (0, 20):
        jobs.process(after=seconds)
    event = jobs.process(after=70)

    assert (event.status, event.reason) == ("ignored", "not_a_purple_dot_order")
    assert rows(jobs.database) == []


@pytest.mark.parametrize(
    "records",
    [
        [marked("f1", voided=True), marked("f2"), order()],
        [marked("f2"), marked("f1", voided=True), order()],
    ],
)
@pytest.mark.parametrize("seen_before", ["f1", "f2", None])
def test_number_that_was_voided_and_given_anew_is_told(
    jobs: Jobs, records: list[Record], seen_before: str | None
) -> None:
    jobs.hold(600)
    if seen_before is not None:
        jobs.fetcher.records = [marked(seen_before), order()]
        jobs.notify("FULFILLMENT_SHIPPED_V2")
        jobs.process()
    jobs.fetcher.records = records
    jobs.notify("FULFILLMENT_SHIPPED_V2")

    jobs.process(after=1)

    assert [status for status, _reason in standing(jobs)] == ["waiting"]


def test_two_shipstation_orders_in_one_box_are_two_deliveries(jobs: Jobs) -> None:
    jobs.fetcher.records = [
        marked("f1"),
        marked("f2", order="se-2"),
        order("se-1", GOODS[:1]),
        order("se-2", GOODS[1:]),
    ]
    jobs.notify("FULFILLMENT_SHIPPED_V2")

    jobs.process()
    jobs.notify("FULFILLMENT_SHIPPED_V2")
    jobs.process(after=1)

    assert {(line.sku, line.quantity) for line in rows(jobs.database, "delivery_lines")} == {
        ("SHAWL-RED", 2),
        ("CAP-OAT", 1),
    }
    assert len(rows(jobs.database)) == 2


def test_retry_of_a_dead_delivery_never_takes_units_that_another_took_since(jobs: Jobs) -> None:
    dead = jobs.parcel(items=(units(2, "SHAWL-RED"),))
    jobs.purple_dot.script("create_fulfillment", PermanentError("bad"))
    assert jobs.deliver().status == "dead"
    jobs.parcel(items=(units(2, "SHAWL-RED"),), number="1Z2", record="502")
    assert jobs.deliver(after=1).status == "delivered"

    retry(jobs, dead)
    ended = jobs.deliver(after=1)

    assert (ended.status, len(jobs.purple_dot.posted)) == ("held", 2)


def test_answer_that_is_being_looked_for_is_not_hurried(jobs: Jobs) -> None:
    delivery = jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", UnclearError("lost"))
    assert jobs.deliver().status == "unconfirmed"

    with pytest.raises(RefusedError, match="must not be hurried"):
        retry(jobs, delivery)


def test_repeat_of_a_notification_starts_its_waits_anew(jobs: Jobs) -> None:
    jobs.fetcher.records = [label("se-9", None, status="processing")]

    for _ in range(5):
        jobs.notify("LABEL_CREATED_V2")
        event = jobs.process(after=1)

    assert (event.status, event.duplicates, event.waits) == ("received", 4, 1)


def test_what_is_left_keeps_an_inline_rows_own_wish_about_mail(jobs: Jobs) -> None:
    jobs.policy = replace(jobs.policy, notify_customer=True)
    row = {
        "shipment_id": "se-1",
        "tracking_number": "T1",
        "carrier_code": "ups",
        "notify_customer": False,
    }
    [parcel] = shipped([record_of("inline_row", row), order(items=[])])
    held = put(jobs.database, parcel, policy=jobs.policy)[0].delivery_id or ""

    delivery = find(jobs, held)
    with jobs.database.begin() as connection:
        action = repair.remaining_for(connection, delivery, carriers=Carriers())

    assert action.notify_customer is False


def test_inline_row_is_decided_anew_from_the_order_as_it_is_now(jobs: Jobs) -> None:
    row = record_of(
        "inline_row", {"shipment_id": "se-1", "tracking_number": "T1", "carrier_code": "ups"}
    )
    [parcel] = shipped([row, order(items=[{"sku": "WRONG", "quantity": 1}])])
    held = put(jobs.database, parcel)[0].delivery_id or ""
    jobs.fetcher.records = [order()]

    retry(jobs, held)
    jobs.deliver()

    assert standing(jobs) == [("pending", None)]


def test_replacement_is_decided_anew_when_the_held_back_label_turns_out_void(jobs: Jobs) -> None:
    jobs.hold(3600)
    for number, record in (("1Z1", "se-9"), ("1Z2", "se-10")):
        jobs.fetcher.records = [label(record, number), order()]
        jobs.notify("LABEL_CREATED_V2")
        jobs.process(after=1)
    assert ("held", "nothing_left") in standing(jobs)
    jobs.fetcher.records = [
        label("se-9", "1Z1", status="voided", voided=True),
        label("se-10", "1Z2"),
        order(),
    ]

    jobs.deliver(after=3601)

    assert ("cancelled", "voided") in standing(jobs)
    assert not [stored for stored in rows(jobs.database) if stored.status == "held"]


def test_void_of_a_combined_parcel_ends_the_delivery_that_was_being_retried(jobs: Jobs) -> None:
    both = (
        an_order(OrderLine("line-a", 1, "A")),
        an_order(OrderLine("line-b", 1, "B"), id=OTHER_ID, reference="#PD200"),
    )
    jobs.purple_dot.orders = {one.id: one for one in both}
    items = [{"orderItemId": 1, "sku": "A", "lineItemKey": "line-a", "quantity": 1}]
    items += [{"orderItemId": 2, "sku": "B", "lineItemKey": "line-b", "quantity": 2}]
    [parcel] = shipped([v1_label(shipmentItems=items)])
    decisions = put(jobs.database, parcel, orders=both)
    assert jobs.deliver().status == "delivered"
    jobs.fetcher.records = [v1_label(shipmentItems=items, voided=True)]

    retry(jobs, decisions[1].delivery_id or "")
    jobs.deliver(after=61)

    assert standing(jobs) == [("cancelled", "voided"), ("held", "voided_after_delivery")]


def test_void_while_the_answer_is_unclear_is_not_forgotten(jobs: Jobs) -> None:
    jobs.notify()
    jobs.process()
    jobs.purple_dot.script("create_fulfillment", UnclearError("lost"))
    assert jobs.deliver().status == "unconfirmed"
    jobs.fetcher.records = [v1_label(voided=True)]
    jobs.notify()
    jobs.process(after=1)

    jobs.order_becomes(status=OrderStatus.FULFILLED)
    jobs.deliver(after=100)

    assert standing(jobs) == [("held", "voided_after_delivery")]
