"""What a person asks: lists, stories and counts say what is stored, and nothing that is not asked
for."""

from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.actions import Held
from bridge.domain.deliveries import Attempt
from bridge.domain.events import DeliveryStatus, EventStatus, Lane, Record, Trigger
from bridge.domain.reasons import Reason
from bridge.store import reports, tables
from bridge.store.engine.database import Database
from bridge.store.queries import Query
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import (
    ORDER_ID,
    URL,
    a_parcel,
    an_order,
    claim_delivery,
    claim_event,
    deliver_next,
    end_event,
    put,
    receive,
    record,
)

pytest_plugins = ["tests.support.database_fixtures"]


def ask(database: Database, question: Any, *arguments: Any, **options: Any) -> Any:
    with database.read() as connection:
        return question(connection, *arguments, **options)


@pytest.fixture
def told(database: WatchedDatabase, clock: Clock) -> tuple[str, str]:
    """An event that led to a delivered fulfillment: their ids."""
    event_id, _ = receive(database, lane=Lane.RETRY)
    event = claim_event(database)
    [decision] = put(database, a_parcel(all_tracking_numbers=("1Z1", "1Z2")))
    with database.begin() as connection:
        end_event(
            connection,
            event,
            now=clock.now,
            records=[Record("v1_shipment", "501", {"shipmentId": "501"})],
            delivery_ids=[decision.delivery_id],
            decisions=[decision.as_json()],
            detail="1 delivery",
        )
    clock.advance(5)
    delivery = claim_delivery(database)
    attempt = Attempt(
        1,
        Trigger.LIVE,
        clock.now,
        clock.now,
        "delivered",
        request={"fulfillment": {}},
        http_status=200,
        answer="{}",
    )
    record(
        database,
        delivery,
        DeliveryStatus.DELIVERED,
        attempt=attempt,
        delivered_at=clock.now,
        purple_dot_fulfillment_id="ful-1",
    )
    return event_id, delivery.id


def test_event_has_just_the_fields_of_the_contract(
    database: WatchedDatabase, told: tuple[str, str]
) -> None:
    [event] = ask(database, reports.list_events, Query())

    fields = {
        "id",
        "source",
        "event_type",
        "status",
        "reason",
        "received_at",
        "duplicates",
        "deliveries",
        "resource_url",
    }
    assert set(event) == fields
    assert (event["id"], event["deliveries"], event["status"], event["resource_url"]) == (
        told[0],
        [told[1]],
        "processed",
        URL,
    )


def test_delivery_has_just_the_fields_of_the_contract(
    database: WatchedDatabase, clock: Clock, told: tuple[str, str]
) -> None:
    [delivery] = ask(database, reports.list_deliveries, Query())

    assert delivery == {
        "id": told[1],
        "status": "delivered",
        "reason": None,
        "lane": "live",
        "event_ids": [told[0]],
        "shipstation_shipment_id": "480",
        "shipstation_record_id": "501",
        "order_number": "PD100",
        "fulfillment_order_id": ORDER_ID,
        "reference": "#PD100",
        "purple_dot_fulfillment_id": "ful-1",
        "carrier_code": "ups",
        "tracking_number": "1Z1",
        "tracking_company": "UPS",
        "tracking_url": "https://www.ups.com/track?tracknum=1Z1",
        "all_tracking_numbers": ["1Z1", "1Z2"],
        "line_items": [
            {"id": "line-shawl", "quantity": 2, "sku": "SHAWL-RED"},
            {"id": "line-cap", "quantity": 1, "sku": "CAP-OAT"},
        ],
        "notify_customer": False,
        "attempts": 0,
        "created_at": clock.now - timedelta(seconds=5),
        "delivered_at": clock.now,
        "next_attempt_at": None,
    }


def test_story_of_an_event_tells_everything(
    database: WatchedDatabase, told: tuple[str, str]
) -> None:
    story = ask(database, reports.event_story, told[0])

    assert story["body"] == "{}"
    assert [one["kind"] for one in story["records"]] == ["v1_shipment"]
    assert [one["verdict"] for one in story["decisions"]] == ["delivery"]
    assert [one["id"] for one in story["delivery_stories"]] == [told[1]]


def test_story_of_a_delivery_has_its_attempts_and_its_rule(
    database: WatchedDatabase, told: tuple[str, str]
) -> None:
    story = ask(database, reports.delivery_story, told[1])

    [attempt] = story["attempt_history"]
    assert (attempt["outcome"], attempt["http_status"], attempt["request"]) == (
        "delivered",
        200,
        {"fulfillment": {}},
    )
    assert "delivery_id" not in attempt
    assert (story["rule"], story["event_ids"]) == ("orderNumber", [told[0]])


def test_body_that_is_no_text_is_shown_all_the_same(database: WatchedDatabase) -> None:
    event_id, _ = receive(database, body=b"\xff{")

    assert ask(database, reports.event_story, event_id)["body"] == "\N{REPLACEMENT CHARACTER}{"


def test_unknown_id_has_no_story(database: WatchedDatabase) -> None:
    assert ask(database, reports.event_story, "evt_x") is None
    assert ask(database, reports.delivery_story, "dlv_x") is None
    assert ask(database, reports.find_ids, "evt_x") == []


@pytest.mark.parametrize("text", ["PD100", "#PD100", "1Z1", ORDER_ID, "480"])
def test_delivery_is_found_by_whatever_a_person_has(
    database: WatchedDatabase, told: tuple[str, str], text: str
) -> None:
    assert ask(database, reports.find_ids, text) == [told[1]]
    assert [one["id"] for one in ask(database, reports.list_deliveries, Query(search=text))] == [
        told[1]
    ]
    assert [one["id"] for one in ask(database, reports.list_events, Query(search=text))] == [
        told[0]
    ]


def test_id_is_found_by_its_beginning(database: WatchedDatabase, told: tuple[str, str]) -> None:
    event_id, delivery_id = told

    assert ask(database, reports.find_ids, event_id[:10]) == [event_id]
    assert ask(database, reports.find_ids, delivery_id) == [delivery_id]


def test_beginning_of_many_ids_gives_the_first_few(database: WatchedDatabase) -> None:
    ids = sorted(receive(database, resource_url=f"{URL}{number}")[0] for number in range(7))

    assert ask(database, reports.find_ids, "evt_", most=3) == ids[:3]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (Query(), 3),
        (Query(limit=2), 2),
        (Query(status="received"), 3),
        (Query(status="processed"), 0),
        (Query(event_type="SHIP_NOTIFY"), 2),
        (Query(event_type="LABEL_CREATED_V2"), 1),
        (Query(search="nothing"), 0),
    ],
)
def test_list_of_events_is_narrowed(database: WatchedDatabase, query: Query, count: int) -> None:
    for number, event_type in enumerate(("SHIP_NOTIFY", "SHIP_NOTIFY", "LABEL_CREATED_V2")):
        receive(database, event_type, resource_url=f"{URL}{number}")

    assert len(ask(database, reports.list_events, query)) == count


def test_since_is_included_until_is_not_and_the_newest_is_first(
    database: WatchedDatabase, clock: Clock
) -> None:
    moments, ids = [], []
    for number in range(3):
        moments.append(clock.now)
        ids.append(receive(database, resource_url=f"{URL}{number}")[0])
        clock.advance(60)

    listed = ask(database, reports.list_events, Query(since=moments[0], until=moments[2]))

    assert [event["id"] for event in listed] == [ids[1], ids[0]]


def test_deliveries_are_narrowed_by_the_type_of_their_event(
    database: WatchedDatabase, told: tuple[str, str]
) -> None:
    put(database, a_parcel(number="1Z9", record="9"), orders=(an_order(id="another"),))

    assert [
        one["id"] for one in ask(database, reports.list_deliveries, Query(event_type="SHIP_NOTIFY"))
    ] == [told[1]]
    assert len(ask(database, reports.list_deliveries, Query())) == 2
    assert len(ask(database, reports.list_deliveries, Query(status="pending"))) == 1


def test_oldest_unprocessed_is_the_age_of_the_first_that_still_is_work(
    database: WatchedDatabase, clock: Clock
) -> None:
    assert ask(database, reports.oldest_unprocessed, now=clock.now) == 0.0
    receive(database)
    clock.advance(30)
    receive(database, resource_url=f"{URL}2")
    clock.advance(12)

    assert ask(database, reports.oldest_unprocessed, now=clock.now) == 42.0
    _finish(database, claim_event(database))
    assert ask(database, reports.oldest_unprocessed, now=clock.now) == 12.0


def test_what_is_put_off_on_purpose_or_being_done_is_not_due(
    database: WatchedDatabase, clock: Clock
) -> None:
    receive(database)
    claim_event(database)
    put(database, a_parcel())
    with database.begin() as connection:
        later = clock.now + timedelta(hours=2)
        connection.execute(tables.deliveries.update().values(due_at=later))
    clock.advance(30)

    assert ask(database, reports.oldest_unprocessed, now=clock.now) == 0.0
    clock.advance(2 * 3600)
    assert ask(database, reports.oldest_unprocessed, now=clock.now) > 30


def _finish(database: Database, event: Any, status: EventStatus = EventStatus.PROCESSED) -> None:
    with database.begin() as connection:
        end_event(connection, event, status=status, now=database.now())


def test_exceptions_are_what_waits_for_a_person(database: WatchedDatabase) -> None:
    put(database, a_parcel(), a_parcel(number=None, record="2"))
    put(database, a_parcel(number="1Z3", record="3"), orders=(an_order(id="another"),))
    record(
        database, claim_delivery(database), DeliveryStatus.DEAD, reason=Reason.SCHEDULE_EXHAUSTED
    )
    deliver_next(database)
    receive(database)
    _finish(database, claim_event(database), EventStatus.DEAD)
    receive(database)

    assert ask(database, reports.count_exceptions) == 3
    assert ask(database, reports.count_deliveries) == {
        DeliveryStatus.HELD: 1,
        DeliveryStatus.DEAD: 1,
        DeliveryStatus.DELIVERED: 1,
    }
    assert ask(database, reports.count_events) == {EventStatus.DEAD: 1, EventStatus.RECEIVED: 1}


def test_held_is_not_a_fault_of_the_report(database: WatchedDatabase) -> None:
    [decision] = put(database, a_parcel(number=None))

    [listed] = ask(database, reports.list_deliveries, Query(status="held"))

    assert (listed["id"], listed["reason"], listed["line_items"]) == (
        decision.delivery_id,
        Reason.NO_TRACKING_NUMBER,
        [],
    )
    assert Held(Reason.NO_TRACKING_NUMBER).reason == listed["reason"]
