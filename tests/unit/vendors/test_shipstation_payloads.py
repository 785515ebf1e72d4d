"""ShipStation's rows: lenient where that does no harm, strict where a guess would, and never a
person's data."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bridge.domain.errors import PayloadError, TemporaryError
from bridge.domain.events import Record
from bridge.domain.reasons import Reason
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.payloads import (
    MODELS,
    Page,
    UnreadableRow,
    V1Fulfillment,
    V1Order,
    V1Shipment,
    V2Label,
    V2Shipment,
    page_of,
    parse,
    record_of,
    record_of_any,
)

PERSON = {
    "name": "Ada Person",
    "company": "Person Ltd",
    "street1": "1 Private Road",
    "address_line1": "1 Private Road",
    "email": "ada@private.example",
    "phone": "+1 555 0100",
    "postal_code": "99999",
}

ROWS: dict[str, dict[str, Any]] = {
    "v2_label": {
        "label_id": "se-81",
        "status": "completed",
        "shipment_id": "se-71",
        "external_shipment_id": None,
        "ship_date": "2026-10-14T07:00:00Z",
        "shipment_cost": {"currency": "usd", "amount": 11.83},
        "tracking_number": "1Z9",
        "is_return_label": False,
        "batch_id": "se-5",
        "carrier_code": "ups",
        "voided": False,
        "tracking_url": "https://carrier.example/1Z9",
        "packages": [
            {"package_id": 7, "sequence": 1, "tracking_number": "1Z9"},
            {"package_id": 8, "sequence": 2, "tracking_number": "1ZA"},
        ],
        "ship_to": PERSON,
    },
    "v2_fulfillment": {
        "fulfillment_id": "se-91",
        "shipment_id": "se-71",
        "shipment_number": "PD100/1",
        "tracking_number": "7712",
        "ship_date": "2026-10-14T07:00:00Z",
        "fulfillment_carrier_friendly_name": "FedEx",
        "fulfillment_provider_code": "external",
        "fulfillment_fee": {"currency": "usd", "amount": 1.5},
        "voided": False,
        "ship_to": PERSON,
    },
    "v2_shipment": {
        "shipment_id": "se-71",
        "shipment_number": "PD100/1",
        "external_shipment_id": "5f1c6d1e-0000-4000-8000-000000000001",
        "shipment_status": "label_purchased",
        "ship_to": PERSON,
        "amount_paid": {"currency": "usd", "amount": 186.0},
        "advanced_options": {
            "custom_field1": " PD100/1 ",
            "custom_field2": "",
            "contains_alcohol": False,
        },
        "items": [
            {
                "sku": "HAT",
                "name": "Hat",
                "quantity": 2,
                "external_order_item_id": "line-1",
                "item_id": 14,
                "unit_price": 62.0,
            }
        ],
    },
    "v1_shipment": {
        "shipmentId": 2719,
        "orderId": 4709,
        "orderKey": "key-1",
        "orderNumber": "PD100/1",
        "customerEmail": "ada@private.example",
        "shipDate": "2026-10-14",
        "shipmentCost": 11.83,
        "trackingNumber": "1Z9",
        "carrierCode": "ups_walleted",
        "isReturnLabel": False,
        "voided": False,
        "shipTo": PERSON,
        "shipmentItems": [
            {
                "orderItemId": 88,
                "lineItemKey": "line-1",
                "sku": "HAT",
                "quantity": 2,
                "adjustment": False,
                "unitPrice": 62.0,
            }
        ],
    },
    "v1_fulfillment": {
        "fulfillmentId": 4455,
        "orderId": 4709,
        "orderNumber": "PD100/1",
        "customerEmail": "ada@private.example",
        "trackingNumber": "7712",
        "shipDate": "2026-10-14T00:00:00.0000000",
        "carrierCode": "FedEx",
        "voided": False,
        "shipTo": PERSON,
    },
    "v1_order": {
        "orderId": 4709,
        "orderNumber": "PD100/1",
        "orderKey": "key-1",
        "customerEmail": "ada@private.example",
        "items": [{"orderItemId": 88, "sku": "HAT", "quantity": 2}],
        "advancedOptions": {"customField1": "PD100/1"},
        "billTo": PERSON,
    },
    "inline_row": {
        "shipment_id": "se-71",
        "tracking_number": "7712",
        "carrier_code": "fedex",
        "ship_to": PERSON,
    },
}
IDS = {
    "v2_label": "se-81",
    "v2_fulfillment": "se-91",
    "v2_shipment": "se-71",
    "v1_shipment": "2719",
    "v1_fulfillment": "4455",
    "v1_order": "4709",
    "inline_row": "se-71:7712",
}
ID_FIELD = {
    "v2_label": "label_id",
    "v2_fulfillment": "fulfillment_id",
    "v2_shipment": "shipment_id",
    "v1_shipment": "shipmentId",
    "v1_fulfillment": "fulfillmentId",
    "v1_order": "orderId",
    "inline_row": "shipment_id",
}


def model_of(kind: str, **changes: Any) -> Any:
    return parse(record_of(kind, ROWS[kind] | changes))


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_becomes_a_record_with_its_id_and_comes_back_the_same(kind: str) -> None:
    record = record_of(kind, ROWS[kind])

    assert (record.kind, record.record_id) == (kind, IDS[kind])
    assert record_of(kind, record.body) == record
    assert isinstance(parse(record), MODELS[kind])


@pytest.mark.parametrize("kind", MODELS)
def test_no_person_and_no_cost_is_kept(kind: str) -> None:
    kept = json.dumps(record_of(kind, ROWS[kind]).body)

    assert all(value not in kept for value in [*PERSON.values(), "11.83", "186", "62.0", "1.5"])


@pytest.mark.parametrize("kind", MODELS)
def test_a_record_keeps_the_vendors_own_field_names_and_ids_as_text(kind: str) -> None:
    body = record_of(kind, ROWS[kind]).body

    assert body[ID_FIELD[kind]] == str(ROWS[kind][ID_FIELD[kind]])
    assert len(body.keys() & ROWS[kind].keys()) >= 3


def test_a_label_is_read_with_all_its_packages() -> None:
    label: V2Label = model_of("v2_label")

    assert (label.tracking_number, label.carrier_code, label.ship_date) == (
        "1Z9",
        "ups",
        date(2026, 10, 14),
    )
    assert [package.tracking_number for package in label.packages] == ["1Z9", "1ZA"]


def test_a_v2_order_is_read_with_items_and_custom_fields() -> None:
    order: V2Shipment = model_of("v2_shipment")

    item = order.items[0]
    assert (item.sku, item.quantity, item.external_order_item_id) == ("HAT", 2, "line-1")
    assert (order.advanced_options.custom_field1, order.advanced_options.custom_field2) == (
        "PD100/1",
        None,
    )


def test_a_v1_label_is_read_with_items() -> None:
    row: V1Shipment = model_of("v1_shipment")

    item = row.shipment_items[0]
    assert (row.order_id, row.order_key, row.carrier_code, row.is_return_label) == (
        "4709",
        "key-1",
        "ups_walleted",
        False,
    )
    assert (item.order_item_id, item.line_item_key, item.sku, item.quantity, item.adjustment) == (
        "88",
        "line-1",
        "HAT",
        2,
        False,
    )


def test_a_v1_fulfillment_and_its_order_are_read() -> None:
    row: V1Fulfillment = model_of("v1_fulfillment")
    order: V1Order = model_of("v1_order")

    assert (row.order_id, row.tracking_number, row.ship_date) == (
        "4709",
        "7712",
        date(2026, 10, 14),
    )
    assert (order.order_number, order.advanced_options.custom_field1, order.items[0].quantity) == (
        "PD100/1",
        "PD100/1",
        2,
    )


@pytest.mark.parametrize("blank", [None, "", "   ", "\0"])
def test_a_blank_tracking_number_is_none(blank: str | None) -> None:
    assert model_of("v2_label", tracking_number=blank).tracking_number is None


@pytest.mark.parametrize(
    "absent", ["packages", "ship_date", "tracking_number", "voided", "is_return_label", "status"]
)
def test_what_a_label_leaves_out_is_no_error(absent: str) -> None:
    row = {name: value for name, value in ROWS["v2_label"].items() if name != absent}

    assert record_of("v2_label", row) == record_of("v2_label", ROWS["v2_label"] | {absent: None})


def test_lists_and_options_may_be_null() -> None:
    assert model_of("v2_shipment", items=None, advanced_options=None).items == []
    assert model_of("v1_shipment", shipmentItems=None).shipment_items == []
    assert (
        model_of("v1_order", items=None, advancedOptions=None).advanced_options.custom_field1
        is None
    )


@pytest.mark.parametrize(
    ("written", "units"),
    [
        (2, 2),
        (2.0, 2),
        ("2", 2),
        (0, 0),
        (-1, -1),
        (None, None),
        (1.5, "1.5"),
        ("1,5", "1,5"),
        ("some", "unreadable"),
        ("", "unreadable"),
        ([], "unreadable"),
        (float("inf"), "unreadable"),
        (True, "unreadable"),
    ],
)
def test_quantities_are_kept_for_the_translation_to_judge(
    written: object, units: int | str | None
) -> None:
    record = record_of("v1_shipment", {"shipmentId": 1, "shipmentItems": [{"quantity": written}]})
    again: Any = parse(record)

    assert again.shipment_items[0].quantity == units


def test_odd_quantity_takes_no_other_item_and_no_other_row_along() -> None:
    odd = [{"sku": "HAT", "quantity": 1.5}, {"sku": "CAP", "quantity": 1}]
    rows = [
        {"shipmentId": 1, "trackingNumber": "1Z1", "shipmentItems": odd},
        {"shipmentId": 2, "trackingNumber": "1Z2", "shipmentItems": odd[1:]},
    ]

    told = EVENT_TYPES["SHIP_NOTIFY"].translate([record_of("v1_shipment", row) for row in rows])

    assert [(shipment.record_id, len(shipment.items)) for shipment in told] == [("1", 2), ("2", 1)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("packages", [None]), ("external_order_id", 12.0), ("voided", ""), ("packages", None)],
)
def test_loose_value_that_does_no_harm_is_no_reason_to_refuse_a_row(
    field: str, value: object
) -> None:
    assert model_of("v2_label", **{field: value}).voided is False


def test_row_that_cannot_be_read_becomes_a_record_that_says_so() -> None:
    record = record_of_any("v2_label", ROWS["v2_label"] | {"is_return_label": "Ada Person"})
    nameless = record_of_any("v2_label", {"label_id": None, "x": "Ada Person"})

    assert record.record_id == "se-81"
    assert isinstance(parse(record), UnreadableRow)
    assert "is_return_label" in record.body["unreadable"]
    assert nameless == record_of_any("v2_label", {"label_id": None, "x": "Ada Person"})
    assert nameless.record_id.startswith("row-")
    assert "Ada" not in f"{record}{nameless}"


PERSONAL = [
    "Ada Quillmark",
    "ada.quillmark@example.com",
    "66 Quillmark Row, QM66 6QM",
    "Quillmark",
    "Happy birthday, Ada Quillmark!",
]


@pytest.mark.parametrize("text", PERSONAL)
@pytest.mark.parametrize("kind", MODELS)
def test_no_person_is_kept_in_any_field_that_holds_an_id_or_a_number(kind: str, text: str) -> None:
    """Whatever stands in such a field, only the form that belongs there is kept."""
    free = {"carrier_code", "carrierCode", "fulfillment_carrier_friendly_name", "status"}
    if " " not in text and "@" not in text:
        free |= {"shipment_id", "orderId"}  # An id may be any word.
    texts = {name for name, value in ROWS[kind].items() if isinstance(value, str)}
    row = ROWS[kind] | dict.fromkeys(texts - free - {ID_FIELD[kind]}, text)
    items = next((name for name in ("items", "shipmentItems") if name in row), None)
    if items:
        keys = ("lineItemKey", "external_order_item_id", "name", "sales_order_id", "orderItemId")
        named = dict.fromkeys(keys, f"{text} ")
        row[items] = [{"sku": "HAT", "quantity": 1} | (named if " " in text else {})]

    assert "uillmark" not in json.dumps(record_of(kind, row).body)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("PD100/1", "PD100/1"),
        ("Order #PD100/1 of Ada Quillmark", "#PD100/1"),
        ("ACME-100482", "ACME-100482"),
        ("No. 100482", "100482"),
        ("Ada Quillmark", None),
        ("020 7946 6666", None),
        ("PD1/1, PD2/1", "PD1/1 PD2/1"),
    ],
)
def test_order_number_keeps_the_number_alone(written: str, kept: str | None) -> None:
    assert model_of("v2_shipment", shipment_number=written).shipment_number == kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1Z 228 5Y8 03 0505 5914", "1Z2285Y80305055914"),
        ("DHL AWB# 7712345675", "7712345675"),
        ("1ZA0000T0386000019, 1ZA0000T0386000028", "1ZA0000T0386000019, 1ZA0000T0386000028"),
        ("N/A", "\u2026"),
        ("", None),
    ],
)
def test_tracking_number_keeps_the_numbers_alone(written: str, kept: str | None) -> None:
    label = model_of("v2_label", tracking_number=written)

    assert label.tracking_number == kept
    assert record_of("v2_label", ROWS["v2_label"] | {"tracking_number": kept}) == record_of(
        "v2_label", ROWS["v2_label"] | {"tracking_number": written}
    )


@pytest.mark.parametrize(
    ("number", "same"),
    [("77123456", "7712 3456"), ("1Z9", "1z-9"), ("N/A", "N/A"), ("1Z9", "1Z9 ")],
)
def test_inline_row_is_one_in_any_spelling_of_its_number(number: str, same: str) -> None:
    ids = {
        record_of("inline_row", ROWS["inline_row"] | {"tracking_number": text}).record_id
        for text in (number, same)
    }

    assert len(ids) == 1


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("PD100/1", "PD100/1"),
        (" #pd100/1 ", "#pd100/1"),
        ("gift for Ada, see PD100/1", "PD100/1"),
        ("PD100/1, PD200/1", "PD100/1 PD200/1"),
        (
            "order 5F1C6D1E-0000-4000-8000-000000000001 of Ada",
            "5F1C6D1E-0000-4000-8000-000000000001",
        ),
        ("020-7946-6666", None),
        ("Jane_Doe_1985", None),
        ("John-Smith-42", None),
        ("4111111111111111", None),
        ("DOB:1985-02-03", None),
        ("QM66 6QM", None),
        ("PDX-1001", None),
        ("XPD100/1", None),
        ({"a": 1}, None),
    ],
)
def test_custom_field_keeps_only_ids_and_references_of_purple_dots(
    written: object, kept: str | None
) -> None:
    fields = {"custom_field1": written}

    order: V2Shipment = model_of("v2_shipment", advanced_options=fields)

    assert order.advanced_options.custom_field1 == kept
    assert parse(record_of("v2_shipment", {"shipment_id": "se-1", "advanced_options": fields}))


def test_an_adjustment_is_kept_as_one() -> None:
    assert (
        model_of("v1_shipment", shipmentItems=[{"quantity": 1, "adjustment": True}])
        .shipment_items[0]
        .adjustment
    )


@pytest.mark.parametrize("written", ["not a date", "14.10.2026", 5, ""])
def test_an_unreadable_date_is_left_out(written: object) -> None:
    assert model_of("v2_label", ship_date=written).ship_date is None


def test_half_a_character_is_replaced_so_that_a_database_can_store_it() -> None:
    assert model_of("v2_label", tracking_number="1Z\ud8009").tracking_number == "1Z?9"


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("value", [None, "", [], {"secret": "Ada Person"}, True])
def test_a_row_without_an_id_is_refused_by_kind_and_field(kind: str, value: object) -> None:
    with pytest.raises(PayloadError) as caught:
        record_of(kind, ROWS[kind] | {ID_FIELD[kind]: value})

    assert kind in str(caught.value)
    assert ID_FIELD[kind] in str(caught.value)
    assert caught.value.reason is Reason.BAD_SHAPE


def test_an_error_quotes_no_value_of_the_row() -> None:
    with pytest.raises(PayloadError) as caught:
        record_of(
            "v2_label", ROWS["v2_label"] | {"voided": "Ada Person", "packages": "1 Private Road"}
        )

    assert "se-81: voided" in str(caught.value)
    assert "Ada" not in f"{caught.value}{caught.value.__cause__}"
    assert "Private" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize("row", [None, [], "text", 5])
def test_a_row_that_is_no_object_is_refused(row: object) -> None:
    with pytest.raises(PayloadError, match="v2_label without id"):
        record_of("v2_label", row)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(kind=st.sampled_from(sorted(MODELS)), change=st.data())
def test_any_row_is_a_storable_record_or_a_payload_error(kind: str, change: st.DataObject) -> None:
    field = change.draw(st.sampled_from(sorted(ROWS[kind])))
    try:
        record = record_of(kind, ROWS[kind] | {field: change.draw(Json)})
    except PayloadError:
        return
    assert record == Record(kind, record.record_id, json.loads(json.dumps(record.body)))
    assert isinstance(parse(record), BaseModel)
    json.dumps(record.body, ensure_ascii=False).encode()


# Pages


@pytest.mark.parametrize(
    ("page", "number", "so_far", "last"),
    [
        (Page(rows=(1,), pages=1, total=1), 1, 1, True),
        (Page(rows=(1,), pages=2, total=2), 1, 1, False),
        (Page(rows=(1,), pages=1, total=60), 1, 25, False),
        (Page(rows=(1,), pages=3, total=1), 1, 1, False),
        (Page(rows=(1,), pages=1, total=1, next_url="https://x"), 1, 1, False),
        (Page(rows=(), pages=0, total=0), 1, 0, True),
        (Page(rows=(1,)), 1, 1, False),
        (Page(rows=()), 2, 1, True),
        (Page(rows=(1,), total=2), 1, 1, False),
        (Page(rows=(1,), pages=2), 2, 2, True),
    ],
)
def test_a_page_is_the_last_only_when_nothing_speaks_of_more(
    page: Page, number: int, so_far: int, last: bool
) -> None:
    assert page.is_last(number=number, rows_so_far=so_far) is last


@pytest.mark.parametrize(
    "links", [{}, None, {"next": {}}, {"next": None}, {"prev": {"href": "https://x"}, "next": {}}]
)
def test_no_next_link_has_many_forms(links: object) -> None:
    assert (
        page_of("labels", {"labels": [], "pages": 1, "total": 0, "links": links}).next_url is None
    )


def test_a_next_link_is_read() -> None:
    assert (
        page_of("labels", {"labels": [], "links": {"next": {"href": "https://x/?page=2"}}}).next_url
        == "https://x/?page=2"
    )


def test_a_single_object_is_a_page_of_one() -> None:
    assert page_of("labels", ROWS["v2_label"]).rows == (ROWS["v2_label"],)


def test_a_null_list_is_an_empty_page() -> None:
    assert page_of("shipments", {"shipments": None, "total": 0, "pages": 0}).rows == ()


@pytest.mark.parametrize("body", [[], "text", {"labels": "none"}, {"labels": [], "pages": "many"}])
def test_what_is_no_list_answer_is_refused(body: object) -> None:
    with pytest.raises(PayloadError):
        page_of("labels", body)


def test_an_empty_answer_is_worth_another_try() -> None:
    with pytest.raises(TemporaryError):
        page_of("labels", None)
