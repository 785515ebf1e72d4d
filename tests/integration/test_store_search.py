"""Search: whatever spelling a person has finds the parcel, and the webhook of one that was
ignored."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.search import SearchResult, search
from tests.support.fakes import Clock
from tests.support.virtual_bridge import VirtualBridge


@pytest.fixture(scope="module")
def bridge(module_database_url: str) -> Iterator[VirtualBridge]:
    """PD1391279/1 is delivered, PD1391280/1 held; 100482 is another shop's and was ignored."""
    database = Database(module_database_url)
    migrate.upgrade(database)
    database.close()
    with VirtualBridge(module_database_url, Clock(datetime(2026, 11, 2, 9, tzinfo=UTC))) as bridge:
        world = bridge.world
        delivered = world.add_order("PD1391279/1", [("TOTE-ECRU", 2)])
        held = world.add_order("PD1391280/1", [("WOOL-SCARF", 1)])
        parcels = [
            world.add_shipstation_order(delivered),
            world.add_shipstation_order(held, [("SHIRT", 1)]),
            world.add_shipstation_order("100482", [("LAMP-BRASS", 1)]),
        ]
        for parcel in parcels:
            bridge.send(world.label_created_v2(world.buy_labels(parcel)))
        bridge.settle()
        yield bridge


def look(bridge: VirtualBridge, text: str) -> SearchResult:
    with bridge.database.read() as connection:
        return search(connection, text)


def references(result: SearchResult) -> list[str | None]:
    return [delivery["reference"] for delivery in result.deliveries]


@pytest.mark.parametrize(
    "text",
    [
        "PD1391279/1",
        "pd1391279/1",
        "#PD1391279/1",
        "PD1391279",
        "#pd1391279",
        " PD1391279 ",
        "PD 139 1279",
        "PD1391279 / 1",
        "tote-ecru",
        "TOTE-",
    ],
)
def test_every_spelling_finds_the_parcel_and_its_webhook(bridge: VirtualBridge, text: str) -> None:
    result = look(bridge, text)

    assert references(result) == ["PD1391279/1"]
    assert result.deliveries[0]["event_ids"] == [event["id"] for event in result.events]


def test_tracking_number_is_found_in_every_form(bridge: VirtualBridge) -> None:
    number = str(bridge.world.labels[0].tracking_number)
    spaced = " ".join(number[at : at + 4] for at in range(0, len(number), 4))

    for text in (number, number.lower(), spaced, number[:-2]):
        assert "PD1391279/1" in references(look(bridge, text))


def test_ids_are_found_and_their_beginnings(bridge: VirtualBridge) -> None:
    [delivery] = look(bridge, "PD1391279").deliveries

    for key in ("id", "shipstation_shipment_id", "shipstation_record_id", "fulfillment_order_id"):
        assert "PD1391279/1" in references(look(bridge, delivery[key]))
    assert references(look(bridge, f"{delivery['id'][:-2]}…")) == ["PD1391279/1"]
    [event_id] = delivery["event_ids"]
    assert event_id in [event["id"] for event in look(bridge, event_id[:20]).events]


def test_item_that_is_on_no_order_finds_the_held_parcel(bridge: VirtualBridge) -> None:
    assert references(look(bridge, "shirt")) == ["PD1391280/1"]


@pytest.mark.parametrize("text", ["100482", "lamp-brass"])
def test_ignored_parcel_is_found_by_its_webhook(bridge: VirtualBridge, text: str) -> None:
    result = look(bridge, text)

    assert result.deliveries == []
    assert [event["status"] for event in result.events] == ["ignored"]


@pytest.mark.parametrize("text", ["", "#", "PD", "%%%", "___", "PD999999", "'; DROP TABLE events"])
def test_text_that_fits_nothing_finds_nothing(bridge: VirtualBridge, text: str) -> None:
    assert look(bridge, text) == SearchResult([], [])
