"""Every record that tells of a parcel becomes one shipment, with its clues, items, numbers and
state; nothing is guessed."""

import copy
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.events import Record
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentItem, ShipmentState
from bridge.vendors.shipstation import shipments
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.payloads import record_of
from tests.support import payload_files

ORDER = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01"
SHAWL, CAP = "e41f6a90-2c7b-4d18-b5a3-60d2c8f7b101", "e41f6a90-2c7b-4d18-b5a3-60d2c8f7b102"


def translated(name: str) -> list[Shipment]:
    return payload_files.load(name).translated()


def label(**fields: Any) -> Record:
    return record_of(
        "v2_label",
        {
            "label_id": "se-1",
            "shipment_id": "se-9",
            "status": "completed",
            "tracking_number": "1Z1",
            **fields,
        },
    )


def order(**fields: Any) -> Record:
    return record_of("v2_shipment", {"shipment_id": "se-9", **fields})


def of_label(*others: Record, **fields: Any) -> Shipment:
    """The shipment of a label whose order was read."""
    [shipment] = shipments.shipped([label(**fields), *(others or [order()])])
    return shipment


def values(shipment: Shipment, kind: ClueKind) -> list[tuple[str, str]]:
    return [(clue.field, clue.value) for clue in shipment.clues if clue.kind is kind]


def test_v2_label_carries_all_that_a_fulfillment_needs() -> None:
    [parcel] = translated("LABEL_CREATED_V2__whole_order")

    assert parcel == Shipment(
        record_kind="v2_label",
        record_id="se-9300041",
        state=ShipmentState.SHIPPED,
        shipstation_shipment_id="se-640500101",
        order_number="PD5520031/1",
        clues=(
            Clue(ClueKind.ORDER_ID, "external_shipment_id", ORDER),
            Clue(ClueKind.REFERENCE, "shipment_number", "PD5520031/1"),
        ),
        items=(
            ShipmentItem(quantity=2, sku="SHAWL-RED", line_item_id=SHAWL, order_id=ORDER),
            ShipmentItem(quantity=1, sku="CAP-OAT", line_item_id=CAP, order_id=ORDER),
        ),
        tracking_number="1ZB7700T0412345678",
        all_tracking_numbers=("1ZB7700T0412345678",),
        carrier_code="ups",
        tracking_url=parcel.tracking_url,
        ship_date=date(2026, 11, 4),
        service_code="ups_ground",
    )
    assert parcel.tracking_url
    assert parcel.tracking_url.endswith("tracknum=1ZB7700T0412345678")


def test_each_label_of_a_split_order_has_its_own_items() -> None:
    first, second = translated("LABEL_CREATED_V2__split_order")

    assert [item.sku for item in first.items] == ["SHAWL-RED"]
    assert [item.sku for item in second.items] == ["CAP-OAT"]
    assert first.order_number == second.order_number == "PD5520031/1"
    assert first.shipstation_shipment_id != second.shipstation_shipment_id


def test_all_labels_of_a_batch_become_shipments_in_their_order() -> None:
    assert [
        parcel.record_id for parcel in translated("LABEL_CREATED_V2__batch_with_foreign_parcels")
    ] == [
        "se-9300041",
        "se-9300042",
        "se-9300043",
    ]


def test_master_number_goes_first_and_every_package_number_is_kept() -> None:
    [parcel] = translated("LABEL_CREATED_V2__multi_package")

    assert parcel.tracking_number == "1ZB7700T0412345678"
    assert parcel.all_tracking_numbers == ("1ZB7700T0412345678", "1ZB7700T0412345687")


def test_placeholder_is_no_number_and_its_parcel_is_finished_all_the_same() -> None:
    parcel = of_label(
        tracking_number="N/A", packages=[{"tracking_number": "n/a"}, {"tracking_number": "1Z2"}]
    )

    assert (parcel.state, parcel.tracking_number, parcel.all_tracking_numbers) == (
        ShipmentState.SHIPPED,
        None,
        ("1Z2",),
    )


def test_number_of_a_package_counts_where_the_label_names_none() -> None:
    parcel = of_label(tracking_number=None, packages=[{}, {"tracking_number": "1Z2"}])

    assert (parcel.state, parcel.tracking_number) == (ShipmentState.SHIPPED, "1Z2")


def test_id_of_a_v1_parcel_is_never_taken_for_that_of_an_order() -> None:
    order_row = {"orderId": 7, "orderNumber": "PD9/1", "items": [{"sku": "A", "quantity": 1}]}
    parcel_row = {"shipmentId": 7, "orderId": 8, "trackingNumber": "1Z1"}

    [parcel] = shipments.shipped(
        [record_of("v1_order", order_row), record_of("v1_shipment", parcel_row)]
    )

    assert (parcel.record_kind, parcel.order_number, parcel.items) == ("v1_shipment", None, ())


def test_automatic_id_of_shipstation_is_no_clue() -> None:
    _, foreign, _ = translated("LABEL_CREATED_V2__batch_with_foreign_parcels")

    assert [clue.value for clue in foreign.clues] == ["100482"]
    assert of_label(external_order_id="SEAuto-8100001").clues == ()


def test_clues_stand_in_the_order_in_which_they_are_asked() -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(7)]
    options = {"custom_field1": ids[4], "custom_field2": "PD1/1", "custom_field3": ids[5]}
    records = [
        label(external_shipment_id=ids[1], external_order_id=ids[3]),
        order(
            external_shipment_id=ids[0],
            external_order_id=ids[2],
            shipment_number="PD2/1",
            advanced_options=options,
        ),
    ]

    [parcel] = shipments.shipped(records)

    assert values(parcel, ClueKind.ORDER_ID) == [
        ("external_shipment_id", ids[0]),
        ("external_shipment_id", ids[1]),
        ("external_order_id", ids[2]),
        ("external_order_id", ids[3]),
        ("custom_field1", ids[4]),
        ("custom_field3", ids[5]),
    ]
    assert values(parcel, ClueKind.REFERENCE) == [
        ("shipment_number", "PD2/1"),
        ("custom_field2", "PD1/1"),
    ]


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, ShipmentState.SHIPPED),
        ({"status": None}, ShipmentState.SHIPPED),
        ({"status": "processing"}, ShipmentState.PROCESSING),
        ({"status": "something_new"}, ShipmentState.UNKNOWN),
        ({"void_requested": True}, ShipmentState.VOID_REQUESTED),
        ({"void_requested": True, "voided": True}, ShipmentState.VOIDED),
        ({"tracking_number": None}, ShipmentState.AWAITING_NUMBER),
        ({"tracking_number": "  "}, ShipmentState.AWAITING_NUMBER),
        ({"status": "error"}, ShipmentState.VOIDED),
        ({"status": "voided"}, ShipmentState.VOIDED),
        ({"voided": True}, ShipmentState.VOIDED),
        ({"is_return_label": True}, ShipmentState.RETURN),
        ({"is_return_label": True, "voided": True}, ShipmentState.VOIDED),
        ({"is_return_label": True, "status": "processing"}, ShipmentState.RETURN),
    ],
)
def test_state_of_a_label(fields: dict[str, Any], state: ShipmentState) -> None:
    assert of_label(**fields).state is state
    assert shipments.state_of(label(**fields)) is state


def test_label_of_a_return_order_is_a_return() -> None:
    [parcel] = shipments.shipped([label(), order(is_return=True)])

    assert parcel.state is ShipmentState.RETURN


def test_label_whose_order_is_gone_keeps_its_own_clue_and_has_no_items() -> None:
    [parcel] = shipments.shipped([label(external_shipment_id=ORDER)])

    assert values(parcel, ClueKind.ORDER_ID) == [("external_shipment_id", ORDER)]
    assert parcel.items == ()
    assert (parcel.state, parcel.order_is_read) == (ShipmentState.ORDER_MISSING, False)


@pytest.mark.parametrize("kind", ["v2_fulfillment", "v1_fulfillment", "inline_row"])
def test_parcel_whose_order_could_not_be_read_is_not_finished(kind: str) -> None:
    row = {
        "fulfillment_id": "se-7",
        "fulfillmentId": 7,
        "shipment_id": "se-9",
        "orderId": 9,
        "tracking_number": "1Z1",
        "trackingNumber": "1Z1",
        "carrier_code": "ups",
    }

    [parcel] = shipments.shipped([record_of(kind, row)])

    assert parcel.state is ShipmentState.ORDER_MISSING


def test_v1_label_names_its_goods_without_its_order() -> None:
    [parcel] = shipments.shipped(
        [record_of("v1_shipment", {"shipmentId": 1, "orderId": 9, "trackingNumber": "1Z1"})]
    )

    assert (parcel.state, parcel.order_is_read) == (ShipmentState.SHIPPED, False)


def test_order_without_items_gives_none_and_never_all() -> None:
    [parcel] = translated("LABEL_CREATED_V2__no_items")

    assert parcel.items == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (0, "0"),
        (-1, "-1"),
        (None, "no quantity"),
        (0.375, "0.375"),
        ("1.5", "1.5"),
        ("some", "unreadable"),
        (True, "unreadable"),
        ({"of": 1}, "unreadable"),
    ],
)
def test_quantity_that_is_no_number_of_units_is_kept_as_it_was_written(
    written: object, said: str
) -> None:
    parcel = of_label(order(items=[{"sku": "A", "quantity": written}, {"sku": "B", "quantity": 1}]))

    assert [(item.sku, item.quantity, item.unreadable_quantity) for item in parcel.items] == [
        ("A", 0, said),
        ("B", 1, None),
    ]


@pytest.mark.parametrize("item", [None, "TEE", 5, {"sku": {"x": 1}, "quantity": 1}])
def test_item_that_cannot_be_read_stays_as_one_that_cannot_be_read(item: object) -> None:
    parcel = of_label(order(items=[item, {"sku": "B", "quantity": 1}]))

    assert [(item.sku, item.unreadable_quantity) for item in parcel.items] == [
        (None, "unreadable"),
        ("B", None),
    ]


def test_v2_item_says_whose_it_is_and_of_which_bundle() -> None:
    items = [
        {"sku": "A", "quantity": 1, "external_order_id": "PD1/1", "sales_order_id": "so-1"},
        {"sku": "B", "quantity": 1, "bundle_sku": "BOX"},
        {"sku": "BOX", "quantity": 1, "bundle_sku": "BOX"},
    ]

    first, second, third = of_label(order(items=items)).items

    assert (first.order_id, first.order_reference, first.sales_order_id) == (None, "PD1/1", "so-1")
    assert second.bundle_sku == "BOX"
    assert third.bundle_sku is None, "the bundle itself is no component of it"


@pytest.mark.parametrize(
    ("order_ids", "item_ids", "merged"),
    [
        ([], [None], ()),
        (["so-1"], ["so-1"], ()),
        (["so-1", "so-2"], [None], ("so-1", "so-2")),
        (["so-1", "so-2"], ["so-1", None], ("so-1", "so-2")),
        (["so-1", "so-2"], ["so-1", "so-1"], ()),
        ([], ["so-2", "so-1"], ("so-1", "so-2")),
    ],
)
def test_v2_shipment_of_several_sales_orders_is_merged_unless_its_items_are_of_one(
    order_ids: list[str], item_ids: list[str | None], merged: tuple[str, ...]
) -> None:
    items = [{"sku": "A", "quantity": 1, "sales_order_id": item_id} for item_id in item_ids]

    assert of_label(order(sales_order_ids=order_ids, items=items)).merged_ids == merged


@pytest.mark.parametrize(("merged", "said"), [([], ()), ([8], ("9", "8")), (None, ())])
def test_v1_order_names_the_orders_that_were_merged_into_it(
    merged: list[int] | None, said: tuple[str, ...]
) -> None:
    options = {"mergedOrSplit": True, "mergedIds": merged}

    [parcel] = shipments.shipped(
        [
            record_of("v1_shipment", {"shipmentId": 1, "orderId": 9, "trackingNumber": "1Z1"}),
            record_of("v1_order", {"orderId": 9, "advancedOptions": options}),
        ]
    )

    assert (parcel.merged_ids, parcel.order_is_read) == (said, True)


def test_several_numbers_in_the_field_are_several_numbers() -> None:
    parcel = of_label(tracking_number="1ZA0000T0386000019, 1ZA0000T0386000028")

    assert parcel.tracking_number == "1ZA0000T0386000019"
    assert parcel.all_tracking_numbers == ("1ZA0000T0386000019", "1ZA0000T0386000028")


def test_number_has_no_blanks() -> None:
    assert of_label(tracking_number="1Z 228 5Y8 03 0505 5914").tracking_number == (
        "1Z2285Y80305055914"
    )


def test_marked_as_shipped_takes_the_friendly_name_and_the_items_of_the_order() -> None:
    [parcel] = translated("FULFILLMENT_SHIPPED_V2__external")

    assert (parcel.record_kind, parcel.record_id) == ("v2_fulfillment", "se-77101")
    assert (parcel.carrier_code, parcel.carrier_name, parcel.tracking_url) == (None, "FedEx", None)
    assert parcel.tracking_number == "780055512345"
    assert parcel.state is ShipmentState.SHIPPED
    assert len(parcel.items) == 2
    assert values(parcel, ClueKind.ORDER_ID) == [("external_shipment_id", ORDER)]


def test_void_that_was_only_requested_is_no_void_yet() -> None:
    assert [parcel.state for parcel in translated("FULFILLMENT_SHIPPED_V2__voided")] == [
        ShipmentState.VOIDED,
        ShipmentState.VOID_REQUESTED,
    ]


def test_marked_as_shipped_without_number_is_shipped_without_number() -> None:
    [parcel] = translated("FULFILLMENT_SHIPPED_V2__no_tracking_number")

    assert (parcel.state, parcel.tracking_number, parcel.all_tracking_numbers) == (
        ShipmentState.SHIPPED,
        None,
        (),
    )


@pytest.mark.parametrize(
    "name",
    [
        "FULFILLMENT_REJECTED_V2__provider",
        "FULFILLMENT_REJECTED_V2__order_only",
        "FULFILLMENT_REJECTED__provider",
    ],
)
def test_rejection_keeps_the_clues_and_has_no_number(name: str) -> None:
    [parcel] = translated(name)

    assert (parcel.state, parcel.tracking_number) == (ShipmentState.REJECTED, None)
    assert parcel.order_number == "PD5520031/1"
    assert parcel.clues


def test_shipped_rows_beside_a_refused_one_keep_their_own_state() -> None:
    rows: list[dict[str, Any]] = [
        {"fulfillmentId": 1, "orderId": 9, "trackingNumber": "1Z1"},
        {"fulfillmentId": 2, "orderId": 9, "trackingNumber": None},
    ]
    records = [record_of("v1_fulfillment", row) for row in rows]

    told = shipments.rejected([*records, record_of("v1_order", {"orderId": 9})])

    assert [(parcel.state, parcel.tracking_number) for parcel in told] == [
        (ShipmentState.SHIPPED, "1Z1"),
        (ShipmentState.REJECTED, None),
    ]


def test_only_row_of_a_rejection_is_the_refused_one_and_loses_its_number() -> None:
    row = {"fulfillmentId": 1, "orderId": 9, "trackingNumber": "1Z1"}

    [parcel] = shipments.rejected([record_of("v1_fulfillment", row)])

    assert (parcel.state, parcel.tracking_number) == (ShipmentState.REJECTED, None)
    assert parcel.all_tracking_numbers == ()


def test_v1_label_has_its_key_its_number_and_its_own_items() -> None:
    [parcel] = translated("SHIP_NOTIFY__whole_order")

    assert (parcel.record_kind, parcel.record_id, parcel.shipstation_shipment_id) == (
        "v1_shipment",
        "283300001",
        "480100001",
    )
    assert parcel.clues == (
        Clue(ClueKind.ORDER_ID, "orderKey", ORDER),
        Clue(ClueKind.REFERENCE, "orderNumber", "PD5520031/1"),
    )
    assert [(item.quantity, item.line_item_id) for item in parcel.items] == [(2, SHAWL), (1, CAP)]
    assert parcel.carrier_code == "ups_walleted"


def test_two_v1_parcels_of_one_order_are_two_shipments() -> None:
    first, second = translated("SHIP_NOTIFY__two_parcels")

    assert first.shipstation_shipment_id == second.shipstation_shipment_id
    assert [item.sku for item in (*first.items, *second.items)] == ["SHAWL-RED", "CAP-OAT"]


def test_v1_label_without_items_never_takes_those_of_its_order() -> None:
    [parcel] = translated("SHIP_NOTIFY__no_items")

    assert parcel.items == ()
    assert ("customField2", "PD5520031/1") not in values(parcel, ClueKind.REFERENCE), (
        "the number says it already"
    )


def test_v1_void_and_return() -> None:
    assert [parcel.state for parcel in translated("SHIP_NOTIFY__voided_and_return")] == [
        ShipmentState.VOIDED,
        ShipmentState.RETURN,
    ]


def test_v1_label_without_number_is_not_finished() -> None:
    [parcel] = shipments.shipped(
        [record_of("v1_shipment", {"shipmentId": 1, "trackingNumber": ""})]
    )

    assert parcel.state is ShipmentState.AWAITING_NUMBER


def test_repeated_rows_and_adjustments_of_v1_are_dropped() -> None:
    [parcel] = translated("ITEM_SHIP_NOTIFY__repeated_rows")

    assert [(item.sku, item.quantity, item.unreadable_quantity) for item in parcel.items] == [
        ("SHAWL-RED", 2, None),
        ("SAMPLE-CARD", 0, "0"),
    ]


@pytest.mark.parametrize(
    ("rows", "items"),
    [
        ([("A", 1), ("A", 1)], [("A", 1, None)]),
        ([("A", 1), ("B", 1)], [("A", 1, None), ("B", 1, None)]),
        ([("A", 1), ("A", 2)], [("A", 0, "1 or 2")]),
    ],
)
def test_rows_of_one_order_item_are_one_row_only_where_nothing_differs(
    rows: list[tuple[str, int]], items: list[tuple[str, int, str | None]]
) -> None:
    listed = [{"orderItemId": 5, "sku": sku, "quantity": quantity} for sku, quantity in rows]

    [parcel] = shipments.shipped(
        [record_of("v1_shipment", {"shipmentId": 1, "shipmentItems": listed})]
    )

    assert [(item.sku, item.quantity, item.unreadable_quantity) for item in parcel.items] == items


def test_rows_without_an_id_are_not_taken_for_repeats() -> None:
    row = {"sku": "A", "quantity": 1}

    [parcel] = shipments.shipped(
        [
            record_of(
                "v1_shipment",
                {"shipmentId": 1, "trackingNumber": "1Z1", "shipmentItems": [row, row]},
            )
        ]
    )

    assert [item.quantity for item in parcel.items] == [1, 1]


def test_v1_marked_as_shipped_takes_key_and_items_from_the_order() -> None:
    [parcel] = translated("FULFILLMENT_SHIPPED__marked_as_shipped")

    assert (parcel.record_kind, parcel.carrier_code, parcel.ship_date) == (
        "v1_fulfillment",
        "FedEx",
        date(2026, 11, 4),
    )
    assert values(parcel, ClueKind.ORDER_ID) == [("orderKey", ORDER)]
    assert [item.line_item_id for item in parcel.items] == [SHAWL, CAP]


def test_custom_fields_of_a_v1_order_are_clues_of_both_kinds() -> None:
    [parcel] = translated("FULFILLMENT_SHIPPED__id_in_custom_field")

    assert values(parcel, ClueKind.ORDER_ID) == [("customField1", ORDER)]
    assert values(parcel, ClueKind.REFERENCE) == [
        ("orderNumber", "100517"),
        ("customField2", "PD5520031/1"),
    ]


def test_inline_rows_are_named_after_order_and_number_and_keep_their_own_notify() -> None:
    first, second = translated("INLINE_FULFILLMENTS__two_rows")

    assert first.record_id == "se-640500101:1ZB7700T0412345678"
    assert (first.notify_customer, second.notify_customer) == (True, None)
    assert (first.ship_date, second.ship_date) == (date(2026, 11, 4), None)
    assert [item.sku for item in second.items] == ["CAP-OAT"]


def test_record_that_cannot_be_read_sets_itself_aside_and_says_why() -> None:
    bad = Record("v2_label", "se-1", {"shipment_id": "se-9"})

    aside, read = shipments.shipped([bad, label(label_id="se-2"), order()])

    assert (aside.record_id, aside.state) == ("se-1", ShipmentState.UNKNOWN)
    assert "label_id" in (aside.problem or "")
    assert (read.record_id, read.state) == ("se-2", ShipmentState.SHIPPED)
    assert shipments.state_of(bad) is ShipmentState.UNKNOWN


def test_order_that_cannot_be_read_is_an_order_that_was_not_read() -> None:
    [parcel] = shipments.shipped([label(), Record("v2_shipment", "se-9", {"unreadable": "why"})])

    assert parcel.state is ShipmentState.ORDER_MISSING


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(deeper for key, child in children for deeper in _paths(child, (*path, key)))]


def _mutated(body: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    if not path:
        return value if isinstance(value, dict) else changed
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
) | st.dictionaries(st.text(max_size=4), st.integers(), max_size=2)


@given(name=st.sampled_from(payload_files.names()), data=st.data(), value=ANYTHING)
def test_translating_is_deterministic_and_never_raises(
    name: str, data: st.DataObject, value: object
) -> None:
    payload = payload_files.load(name)
    records = payload.records()
    at = data.draw(st.integers(0, len(records) - 1))
    path = data.draw(st.sampled_from(_paths(records[at].body)))
    records[at] = Record(
        records[at].kind, records[at].record_id, _mutated(records[at].body, path, value)
    )
    translate = EVENT_TYPES[payload.event_type].translate

    first = translate(records)

    assert translate(copy.deepcopy(records)) == first
    for parcel in first:
        for item in parcel.items:
            assert (item.quantity > 0) == (item.unreadable_quantity is None)


def test_rejected_v1_order_without_fulfillment_is_rejected_itself() -> None:
    row = {"orderId": 480, "orderNumber": "PD1/1", "items": [{"sku": "A", "quantity": 1}]}

    [parcel] = shipments.rejected([record_of("v1_order", row)])

    assert (parcel.record_kind, parcel.shipstation_shipment_id, parcel.state) == (
        "v1_order",
        "480",
        ShipmentState.REJECTED,
    )
    assert [item.sku for item in parcel.items] == ["A"]
