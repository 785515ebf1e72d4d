"""What we count on in the vendors' answers: list, models and simulator say the same, and a change
is told without any value."""

from typing import Any

import pytest

from bridge.operations.vendor_drift import _LISTS, changes, has_rows, unreadable, vendor_fields
from bridge.simulator import World
from bridge.simulator.shapes import row

FIELDS = vendor_fields()
LISTS = {
    "v2_label": "labels",
    "v2_fulfillment": "fulfillments",
    "v2_shipment": "shipments",
    "v1_shipment": "shipments",
    "v1_fulfillment": "fulfillments",
    "v1_order": "orders",
}


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_has_the_path_that_the_vendor_gives_it(kind: str) -> None:
    paths = [field.field for field in FIELDS[kind]]

    assert len(set(paths)) == len(paths) > 3
    assert len({field.call for field in FIELDS[kind]}) == 1


def test_fields_are_those_of_the_models_in_the_words_and_types_of_the_vendor() -> None:
    fields = {field.field: field for field in FIELDS["v1_shipment"]}

    assert fields["shipments[].shipmentItems[].quantity"].types == ("integer",)
    assert fields["shipments[].shipmentId"].types == ("string", "integer")
    assert fields["shipments[].voided"].types == ("boolean",)
    assert not fields["shipments[].voided"].may_be_left_out
    assert fields["shipments[].voidRequested"].may_be_left_out


def test_field_that_may_be_left_out_is_one_that_is_read() -> None:
    for kind, listed in _LISTS.items():
        paths = {field.field for field in FIELDS[kind]}
        left_out = {f"{listed.rows}{path}" for path in listed.may_be_left_out.split()}
        assert left_out <= paths


@pytest.fixture
def pages() -> dict[str, Any]:
    """A page of each list as the simulator writes it."""
    world = World()
    order = world.add_shipstation_order(world.add_order())
    things = {
        "label": world.buy_labels(order),
        "order": [order],
        "fulfillment": [world.mark_shipped(world.add_shipstation_order("1"))],
    }
    of = {"v2_shipment": "order", "v1_shipment": "label"}
    rows = {kind: [row(kind, one) for one in things[of.get(kind, kind[3:])]] for kind in LISTS}
    return {
        kind: {key: rows[kind], "total": 1, "page": 1, "pages": 1, "links": {"next": {}}}
        for kind, key in LISTS.items()
    }


@pytest.mark.parametrize("kind", LISTS)
def test_simulator_has_the_shape_of_the_list(pages: dict[str, Any], kind: str) -> None:
    assert (
        changes(pages[kind], FIELDS[kind]),
        unreadable(kind, pages[kind]),
        has_rows(pages[kind], FIELDS[kind]),
    ) == ([], [], True)


def test_field_that_is_gone_is_told(pages: dict[str, Any]) -> None:
    page = pages["v2_label"]
    del page["labels"][0]["voided"]
    page["labels"][0]["packages"] = [{"package_id": 1}]

    assert changes(page, FIELDS["v2_label"]) == [
        "labels[].voided is missing in 1 of 1",
        "labels[].packages[].tracking_number is missing in 1 of 1",
    ]


def test_field_of_another_type_is_told_and_its_value_is_not(pages: dict[str, Any]) -> None:
    page = pages["v1_order"]
    page["orders"][0]["orderId"] = 1.5
    page["orders"][0]["orderNumber"] = ["Marta Solberg"]
    page["orders"][0]["items"][0]["quantity"] = 1.5

    told = changes(page, FIELDS["v1_order"])

    assert told == [
        "orders[].orderId is number in 1 of 1, and was string or integer",
        "orders[].orderNumber is list in 1 of 1, and was string or integer",
        "orders[].items[].quantity is number in 1 of 2, and was integer",
    ]


def test_null_and_what_may_be_left_out_are_no_change(pages: dict[str, Any]) -> None:
    page = pages["v2_label"]
    page["labels"][0] |= {"tracking_number": None, "packages": None}
    del page["labels"][0]["external_order_id"]
    page["labels"][0]["something_new"] = {"of": "theirs"}

    assert changes(page, FIELDS["v2_label"]) == []


@pytest.mark.parametrize(
    "body", [None, [], {}, "text", {"labels": "text"}, {"labels": [None]}, {"labels": [[]]}]
)
def test_answer_of_any_shape_is_told_and_breaks_nothing(body: object) -> None:
    assert changes(body, FIELDS["v2_label"])


def test_row_that_our_model_can_not_read_is_told_without_its_value(pages: dict[str, Any]) -> None:
    page = pages["v2_shipment"]
    page["shipments"][0]["shipment_id"] = {"name": "Marta Solberg"}

    [told] = unreadable("v2_shipment", page)

    assert "shipment_id" in told
    assert "Marta" not in told


def test_list_without_rows_is_nothing_to_compare(pages: dict[str, Any]) -> None:
    assert not has_rows(pages["v2_label"] | {"labels": []}, FIELDS["v2_label"])
    assert not has_rows([], FIELDS["v2_webhook"])
