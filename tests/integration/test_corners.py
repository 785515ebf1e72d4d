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
from tests.support.jobs import Desk
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


def find(desk: Desk, delivery_id: str) -> Delivery:
    with desk.ledger.read() as connection:
        return repairs.find(connection, delivery_id)[0]


def retry(desk: Desk, delivery_id: str) -> None:
    delivery = find(desk, delivery_id)
    with desk.ledger.begin() as connection:
        repair.retry(connection, delivery, actor="alice (shell)", now=desk.clock.now)


def standing(desk: Desk) -> list[tuple[str, str | None]]:
    return sorted((stored.status, stored.reason) for stored in rows(desk.ledger))


@pytest.mark.parametrize(
    "records",
    [[label("se-9", None), order()], [v1_label(number="")]],
    ids=["v2", "v1"],
)
def test_finished_label_that_never_gets_a_number_goes_to_a_person(
    desk: Desk, records: list[Record]
) -> None:
    desk.fetcher.records = records
    desk.notify("LABEL_CREATED_V2")

    for seconds in (0, 20, 70):
        desk.process(after=seconds)

    assert standing(desk) == [("held", "no_tracking_number")]


@pytest.mark.parametrize(
    "records",
    [
        [marked("f1", voided=True), marked("f2"), order()],
        [marked("f2"), marked("f1", voided=True), order()],
    ],
)
@pytest.mark.parametrize("seen_before", ["f1", "f2", None])
def test_number_that_was_voided_and_given_anew_is_told(
    desk: Desk, records: list[Record], seen_before: str | None
) -> None:
    desk.hold(600)
    if seen_before is not None:
        desk.fetcher.records = [marked(seen_before), order()]
        desk.notify("FULFILLMENT_SHIPPED_V2")
        desk.process()
    desk.fetcher.records = records
    desk.notify("FULFILLMENT_SHIPPED_V2")

    desk.process(after=1)

    assert [status for status, _reason in standing(desk)] == ["waiting"]


def test_two_shipstation_orders_in_one_box_are_two_deliveries(desk: Desk) -> None:
    desk.fetcher.records = [
        marked("f1"),
        marked("f2", order="se-2"),
        order("se-1", GOODS[:1]),
        order("se-2", GOODS[1:]),
    ]
    desk.notify("FULFILLMENT_SHIPPED_V2")

    desk.process()
    desk.notify("FULFILLMENT_SHIPPED_V2")
    desk.process(after=1)

    assert {(line.sku, line.quantity) for line in rows(desk.ledger, "delivery_lines")} == {
        ("SHAWL-RED", 2),
        ("CAP-OAT", 1),
    }
    assert len(rows(desk.ledger)) == 2


def test_retry_of_a_dead_delivery_never_takes_units_that_another_took_since(desk: Desk) -> None:
    dead = desk.parcel(items=(units(2, "SHAWL-RED"),))
    desk.purple_dot.script("create_fulfillment", PermanentError("bad"))
    assert desk.deliver().status == "dead"
    desk.parcel(items=(units(2, "SHAWL-RED"),), number="1Z2", record="502")
    assert desk.deliver(after=1).status == "delivered"

    retry(desk, dead)
    ended = desk.deliver(after=1)

    assert (ended.status, len(desk.purple_dot.posted)) == ("held", 2)


def test_answer_that_is_being_looked_for_is_not_hurried(desk: Desk) -> None:
    delivery = desk.parcel()
    desk.purple_dot.script("create_fulfillment", UnclearError("lost"))
    assert desk.deliver().status == "unconfirmed"

    with pytest.raises(RefusedError, match="must not be hurried"):
        retry(desk, delivery)


def test_repeat_of_a_notification_starts_its_waits_anew(desk: Desk) -> None:
    desk.fetcher.records = [label("se-9", None, status="processing")]

    for _ in range(5):
        desk.notify("LABEL_CREATED_V2")
        event = desk.process(after=1)

    assert (event.status, event.duplicates, event.waits) == ("received", 4, 1)


def test_what_is_left_keeps_an_inline_rows_own_wish_about_mail(desk: Desk) -> None:
    desk.policy = replace(desk.policy, notify_customer=True)
    row = {
        "shipment_id": "se-1",
        "tracking_number": "T1",
        "carrier_code": "ups",
        "notify_customer": False,
    }
    [parcel] = shipped([record_of("inline_row", row), order(items=[])])
    held = put(desk.ledger, parcel, policy=desk.policy)[0].delivery_id or ""

    delivery = find(desk, held)
    with desk.ledger.begin() as connection:
        action = repair.remaining_for(connection, delivery, carriers=Carriers())

    assert action.notify_customer is False


def test_inline_row_is_decided_anew_from_the_order_as_it_is_now(desk: Desk) -> None:
    row = record_of(
        "inline_row", {"shipment_id": "se-1", "tracking_number": "T1", "carrier_code": "ups"}
    )
    [parcel] = shipped([row, order(items=[{"sku": "WRONG", "quantity": 1}])])
    held = put(desk.ledger, parcel)[0].delivery_id or ""
    desk.fetcher.records = [order()]

    retry(desk, held)
    desk.deliver()

    assert standing(desk) == [("pending", None)]


def test_replacement_is_decided_anew_when_the_held_back_label_turns_out_void(desk: Desk) -> None:
    desk.hold(3600)
    for number, record in (("1Z1", "se-9"), ("1Z2", "se-10")):
        desk.fetcher.records = [label(record, number), order()]
        desk.notify("LABEL_CREATED_V2")
        desk.process(after=1)
    assert ("held", "nothing_left") in standing(desk)
    desk.fetcher.records = [
        label("se-9", "1Z1", status="voided", voided=True),
        label("se-10", "1Z2"),
        order(),
    ]

    desk.deliver(after=3601)

    assert ("cancelled", "voided") in standing(desk)
    assert not [stored for stored in rows(desk.ledger) if stored.status == "held"]


def test_void_of_a_combined_parcel_ends_the_delivery_that_was_being_retried(desk: Desk) -> None:
    both = (
        an_order(OrderLine("line-a", 1, "A")),
        an_order(OrderLine("line-b", 1, "B"), id=OTHER_ID, reference="#PD200"),
    )
    desk.purple_dot.orders = {one.id: one for one in both}
    items = [{"orderItemId": 1, "sku": "A", "lineItemKey": "line-a", "quantity": 1}]
    items += [{"orderItemId": 2, "sku": "B", "lineItemKey": "line-b", "quantity": 2}]
    [parcel] = shipped([v1_label(shipmentItems=items)])
    decisions = put(desk.ledger, parcel, orders=both)
    assert desk.deliver().status == "delivered"
    desk.fetcher.records = [v1_label(shipmentItems=items, voided=True)]

    retry(desk, decisions[1].delivery_id or "")
    desk.deliver(after=61)

    assert standing(desk) == [("cancelled", "voided"), ("held", "voided_after_delivery")]


def test_void_while_the_answer_is_unclear_is_not_forgotten(desk: Desk) -> None:
    desk.notify()
    desk.process()
    desk.purple_dot.script("create_fulfillment", UnclearError("lost"))
    assert desk.deliver().status == "unconfirmed"
    desk.fetcher.records = [v1_label(voided=True)]
    desk.notify()
    desk.process(after=1)

    desk.order_becomes(status=OrderStatus.FULFILLED)
    desk.deliver(after=100)

    assert standing(desk) == [("held", "voided_after_delivery")]
