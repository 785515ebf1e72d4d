"""The one table of event types: complete, and each row shown by a payload file."""

import pytest

from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.payloads import MODELS
from tests.support import payload_files

ACCEPTED = {
    "LABEL_CREATED_V2": "v2",
    "FULFILLMENT_SHIPPED_V2": "v2",
    "FULFILLMENT_REJECTED_V2": "v2",
    "SHIP_NOTIFY": "v1",
    "ITEM_SHIP_NOTIFY": "v1",
    "FULFILLMENT_SHIPPED": "v1",
    "FULFILLMENT_REJECTED": "v1",
    "INLINE_FULFILLMENTS": "inline",
}


def test_table_holds_exactly_the_event_types_that_are_accepted() -> None:
    assert {name: row.family for name, row in EVENT_TYPES.items()} == ACCEPTED


def test_each_row_is_found_under_its_own_name_and_has_a_meaning() -> None:
    assert all(row.name == name and row.meaning.endswith(".") for name, row in EVENT_TYPES.items())


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_type_has_a_payload_file(event_type: str) -> None:
    assert any(name.startswith(f"{event_type}__") for name in payload_files.names())


@pytest.mark.parametrize("name", payload_files.names())
def test_every_payload_file_belongs_to_a_row_and_becomes_at_least_one_shipment(name: str) -> None:
    payload = payload_files.load(name)

    assert payload.event_type in EVENT_TYPES
    assert {kind for kind, _ in payload.rows} <= MODELS.keys()
    assert payload.webhook.get("resource_type", "INLINE_FULFILLMENTS") == payload.event_type
    assert payload.translated()


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_no_records_are_no_shipments(event_type: str) -> None:
    assert EVENT_TYPES[event_type].translate([]) == []
