"""All that is left of an order, by a person's word: only for a held parcel whose lines are in
doubt, and never more than is left."""

from datetime import datetime
from functools import partial
from typing import Any

import pytest

from bridge.domain.actions import CreateFulfillment
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.domain.shipments import ShipmentItem
from bridge.operations import repair
from bridge.store import repairs, tables
from bridge.store.engine.database import Connection
from bridge.translate.carriers import Carriers
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import CAP, a_parcel, put, rows, units

pytest_plugins = ["tests.support.database_fixtures"]


def fulfill_remaining(
    connection: Connection, delivery: Delivery, *, now: datetime
) -> CreateFulfillment:
    action = repair.remaining_for(connection, delivery, carriers=Carriers())
    agreed = repair.format_lines(action)
    repair.fulfill_remaining(
        connection, delivery, carriers=Carriers(), agreed=agreed, actor="alice (shell)", now=now
    )
    return action


def mend(database: WatchedDatabase, clock: Clock, delivery: Delivery) -> CreateFulfillment:
    with database.begin() as connection:
        return fulfill_remaining(connection, delivery, now=clock.now)


def held(database: WatchedDatabase, **parcel: Any) -> Delivery:
    decision = put(database, a_parcel(**parcel))[0]
    with database.read() as connection:
        return repairs.find(connection, decision.delivery_id or "")[0]


def test_parcel_without_items_takes_all_that_is_left(
    database: WatchedDatabase, clock: Clock
) -> None:
    delivery = held(database, items=())

    action = mend(database, clock, delivery)

    stored = rows(database)[0]
    assert (stored.id, stored.status, stored.reason) == (delivery.id, "pending", None)
    assert [(line.sku, line.quantity) for line in action.lines] == [
        ("SHAWL-RED", 2),
        ("CAP-OAT", 1),
    ]
    assert action.tracking.number == delivery.shipment.tracking_number


def test_what_another_parcel_took_is_not_left(database: WatchedDatabase, clock: Clock) -> None:
    put(database, a_parcel(units(2, "SHAWL-RED"), number="1Z1", record="501"))
    delivery = held(database, number="1Z2", record="502", shipstation_shipment_id="481", items=())

    action = mend(database, clock, delivery)

    assert [(line.id, line.quantity) for line in action.lines] == [(CAP.id, 1)]


def test_nothing_left_is_refused(database: WatchedDatabase, clock: Clock) -> None:
    delivery = held(database, number="1Z2", record="502", shipstation_shipment_id="481", items=())
    put(database, a_parcel(number="1Z1", record="501"))

    with pytest.raises(RefusedError, match="nothing is left"):
        mend(database, clock, delivery)


def test_delivery_that_is_not_in_doubt_is_refused(database: WatchedDatabase, clock: Clock) -> None:
    delivery = held(database)

    with pytest.raises(RefusedError, match="pending"):
        mend(database, clock, delivery)


def test_unknown_line_may_be_mended_too(database: WatchedDatabase, clock: Clock) -> None:
    delivery = held(database, items=(ShipmentItem(quantity=1, sku="NOT-THERE"),))

    assert delivery.reason == "unknown_line"
    assert mend(database, clock, delivery).lines


def test_parcel_that_a_person_closed_meanwhile_is_refused(
    database: WatchedDatabase, clock: Clock
) -> None:
    delivery = held(database, items=())
    with database.begin() as connection:
        repair.resolve(
            connection,
            delivery,
            status=DeliveryStatus.CANCELLED,
            reason="told by hand",
            actor="alice (shell)",
            now=clock.now,
        )

    with pytest.raises(RefusedError):
        mend(database, clock, delivery)
    assert [stored.status for stored in rows(database)] == ["cancelled"]


# Undone


def find(database: WatchedDatabase, delivery: Delivery) -> Delivery:
    with database.read() as connection:
        return repairs.find(connection, delivery.id)[0]


@pytest.mark.parametrize("status", [DeliveryStatus.CANCELLED, DeliveryStatus.DELIVERED])
def test_what_a_person_closed_is_open_again_with_its_first_reason(
    database: WatchedDatabase, clock: Clock, status: DeliveryStatus
) -> None:
    delivery = held(database, items=())
    [before] = rows(database)
    with database.begin() as connection:
        repair.resolve(
            connection, delivery, status=status, actor="alice (shell)", reason="x", now=clock.now
        )

    with database.begin() as connection:
        outcome = repair.reopen(
            connection,
            repairs.find(connection, delivery.id)[0],
            actor="alice (shell)",
            reason="a mistake",
            now=clock.now,
        )

    [after] = rows(database)
    assert outcome == "is open again as held no_items"
    assert (after.status, after.reason, after.detail, after.delivered_at) == (
        before.status,
        before.reason,
        before.detail,
        None,
    )
    assert fulfill_again(database, clock, delivery).lines


def test_delivery_that_had_failed_is_open_again_as_failed(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    for values in ({"status": "delivering"}, {"status": "dead", "due_at": None}):
        with database.begin() as connection:
            connection.execute(tables.deliveries.update().values(**values))
    for act in (partial(repair.resolve, status=DeliveryStatus.CANCELLED), repair.reopen):
        with database.begin() as connection:
            [delivery] = repairs.find(connection, "dlv_")
            act(connection, delivery, actor="alice (shell)", reason="x", now=clock.now)

    assert [stored.status for stored in rows(database)] == ["dead"]


def fulfill_again(database: WatchedDatabase, clock: Clock, delivery: Delivery) -> CreateFulfillment:
    return mend(database, clock, find(database, delivery))


def test_what_purple_dot_accepted_can_not_be_reopened(
    database: WatchedDatabase, clock: Clock
) -> None:
    put(database, a_parcel())
    with database.begin() as connection:
        connection.execute(tables.deliveries.update().values(status="delivering"))
    with database.begin() as connection:
        connection.execute(tables.deliveries.update().values(status="delivered", due_at=None))
        [delivery] = repairs.find(connection, "dlv_")

    with (
        pytest.raises(RefusedError, match="without a person's decision"),
        database.begin() as connection,
    ):
        repair.reopen(connection, delivery, actor="alice (shell)", reason="?", now=clock.now)
    assert [stored.status for stored in rows(database)] == ["delivered"]


def test_what_is_still_open_can_not_be_reopened(database: WatchedDatabase, clock: Clock) -> None:
    delivery = held(database, items=())

    with pytest.raises(RefusedError, match="it isn't closed"), database.begin() as connection:
        repair.reopen(connection, delivery, actor="alice (shell)", reason="x", now=clock.now)
