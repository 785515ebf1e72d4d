"""What we count on in the vendors' answers: list, models and simulator say the same, and a change
is told without any value."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from bridge.operations.vendor_drift import changes, has_rows, unreadable, vendor_fields
from bridge.simulator import World
from bridge.simulator.shapes import row
from bridge.vendors.purple_dot import payloads as purple_dot
from bridge.vendors.shipstation.mark_shipped import MarkRow
from bridge.vendors.shipstation.payloads import MODELS
from bridge.vendors.shipstation.subscriptions import V1Webhook, V2Webhook

FIELDS = vendor_fields()
PAGING = {"total", "pages", "links.next.href"}
MODELLED = {kind: model for kind, model in MODELS.items() if kind != "inline_row"} | {
    "v2_webhook": V2Webhook,
    "v1_webhook": V1Webhook,
}
LISTS = {
    "v2_label": "labels",
    "v2_fulfillment": "fulfillments",
    "v2_shipment": "shipments",
    "v1_shipment": "shipments",
    "v1_fulfillment": "fulfillments",
    "v1_order": "orders",
}


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The paths of a model's fields, in the vendor's own words."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        inner = [
            one
            for one in (field.annotation, *get_args(field.annotation))
            if isinstance(one, type) and issubclass(one, BaseModel)
        ]
        if name == "headers":
            yield from (f"{path}[].key", f"{path}[].value")
        elif inner:
            yield from leaves(
                inner[0], f"{path}{'[]' if inner[0] is not field.annotation else ''}."
            )
        else:
            yield path


def listed(kind: str) -> set[str]:
    """The same paths as the list has them, from the row on."""
    return {re.sub(r"^[a-z]*\[\]\.", "", field.field) for field in FIELDS[kind]} - PAGING


@pytest.mark.parametrize("kind", MODELLED)
def test_list_names_exactly_what_the_models_read(kind: str) -> None:
    assert set(leaves(MODELLED[kind])) == listed(kind)


def test_list_names_exactly_what_the_model_of_an_order_reads() -> None:
    orders = {
        field.field.removeprefix("data.fulfillment_orders[].") for field in FIELDS["pd_order"]
    } - {
        "data.has_more",
        "data.starting_after",
    }

    assert set(leaves(purple_dot._Order)) == orders


def test_list_names_what_is_sent_when_a_row_is_marked() -> None:
    sent = {
        field.field.removeprefix("fulfillments[].")
        for field in FIELDS["sent"]
        if field.call == "POST /v2/fulfillments"
    }

    assert sent == set(MarkRow.model_fields)


def test_every_entry_says_who_told_us_and_whether_it_must_come() -> None:
    entries = [field for fields in FIELDS.values() for field in fields]

    assert {field.when for field in entries} == {"always", "sometimes", "sent"}
    assert {field.source for field in entries} == {"document", "capture", "client", "undocumented"}
    assert {field.type for field in entries} == {"string", "integer", "boolean", "list"}
    assert [
        field for field in entries if field.source == "undocumented" and field.when != "sometimes"
    ] == []


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
    page["orders"][0]["orderId"] = "Marta Solberg"
    page["orders"][0]["items"][0]["quantity"] = 1.5

    told = changes(page, FIELDS["v1_order"])

    assert told == [
        "orders[].orderId is string in 1 of 1, and was integer",
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
