"""`POST /v2/fulfillments`: what goes out, and what each answer says about each row."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bridge.domain.shipments import RowResult
from bridge.vendors.http import ApiClient
from bridge.vendors.shipstation.client import ShipStationV2
from bridge.vendors.shipstation.mark_shipped import LOOK_FIRST, Marker, MarkRow, read_row

URL = "https://api.shipstation.com/v2/fulfillments"
KEY = "the-key-of-the-account"


@pytest.fixture
def marker() -> Iterator[Marker]:
    api = ApiClient(
        system="shipstation",
        origins=lambda _: True,
        headers={"api-key": SecretStr(KEY)},
        timeout=(1, 1),
    )
    yield ShipStationV2(api, "https://api.shipstation.com").marker()
    api.close()


def a_row(number: int = 1, **more: Any) -> MarkRow:
    row = read_row(
        {
            "shipment_id": f"se-{number}",
            "tracking_number": f"1Z0000000{number}",
            "carrier_code": "ups",
        }
        | more
    )
    assert isinstance(row, MarkRow)
    return row


def told(number: int = 1, error: str | None = None) -> dict[str, Any]:
    return {"shipment_id": f"se-{number}", "shipment_number": f"PD{number}", "error_message": error}


def an_error(**more: Any) -> dict[str, Any]:
    error = {
        "error_source": "ShipStation",
        "error_type": "validation",
        "error_code": "invalid_field_value",
        "message": "No such carrier.",
    }
    return error | more


def refuse(*errors: dict[str, Any], status: int = 400) -> None:
    responses.post(URL, json={"request_id": "0d9c2f0e", "errors": list(errors)}, status=status)


def statuses(results: list[RowResult]) -> list[str]:
    return [result.status for result in results]


# What goes out


@responses.activate
def test_rows_go_out_in_one_call_with_just_the_documented_fields(marker: Marker) -> None:
    responses.post(URL, json={"has_errors": False, "fulfillments": [told(1), told(2)]})
    full = a_row(
        1, ship_date="2026-11-04", notify_customer="yes", notify_order_source="0", color="red"
    )

    marker.mark([full, a_row(2)])

    [call] = responses.calls
    assert json.loads(call.request.body or b"") == {
        "fulfillments": [
            {
                "shipment_id": "se-1",
                "tracking_number": "1Z00000001",
                "carrier_code": "ups",
                "ship_date": "2026-11-04T12:00:00Z",
                "notify_customer": True,
                "notify_order_source": False,
            },
            {"shipment_id": "se-2", "tracking_number": "1Z00000002", "carrier_code": "ups"},
        ]
    }
    assert call.request.headers["api-key"] == KEY


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2026-11-04", "2026-11-04T12:00:00Z"),
        ("20261104", "2026-11-04T12:00:00Z"),
        ("2026-11-04T23:30:00-08:00", "2026-11-04T23:30:00-08:00"),
        ("2026-11-04 08:15", "2026-11-04T08:15:00Z"),
        ("2026-11-04T08:15:00.000Z", "2026-11-04T08:15:00Z"),
    ],
)
def test_date_becomes_the_date_time_that_shipstation_wants(written: str, sent: str) -> None:
    assert a_row(ship_date=written).model_dump(mode="json")["ship_date"] == sent


# Reading a row


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("true", True),
        ("YES", True),
        ("1", True),
        (1, True),
        ("False", False),
        ("no", False),
        (0, False),
    ],
)
def test_booleans_are_read_leniently(written: object, read: bool) -> None:
    assert a_row(notify_customer=written).notify_customer is read


def test_every_mistake_in_a_row_is_told_with_its_column() -> None:
    mistakes = read_row(
        {"tracking_number": "9.4001E+21", "ship_date": "11/04/2026", "notify_customer": "perhaps"}
    )

    assert isinstance(mistakes, list)
    assert sorted(mistake.partition(":")[0] for mistake in mistakes) == [
        "carrier_code",
        "notify_customer",
        "ship_date",
        "shipment_id",
        "tracking_number",
    ]
    assert "shipment_id: is missing" in mistakes
    assert "ship_date: is no ISO date such as 2026-11-04" in mistakes
    assert (
        "tracking_number: was cut short by a spreadsheet; format the column as text and fill the "
        "number in again"
    ) in mistakes


@pytest.mark.parametrize("number", ["9,4001E+21", "1e+15", 9.4001e21, True, None, " ", "1" * 201])
def test_tracking_number_that_is_not_whole_is_a_mistake(number: object) -> None:
    mistakes = read_row({"shipment_id": "se-1", "tracking_number": number, "carrier_code": "ups"})

    assert isinstance(mistakes, list)
    assert [mistake.partition(":")[0] for mistake in mistakes] == ["tracking_number"]


@given(
    st.dictionaries(
        st.sampled_from([*MarkRow.model_fields, "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    )
)
def test_reading_never_raises_and_never_repeats_a_value(given: dict[str, Any]) -> None:
    read = read_row(given | {"ship_date": "a-value-of-a-person"})

    assert isinstance(read, list)
    assert "a-value-of-a-person" not in "".join(read)


# A 200


@responses.activate
def test_partial_success_is_told_row_by_row(marker: Marker) -> None:
    answer = [told(3), told(1, "Shipment is already fulfilled."), told(2)]
    responses.post(URL, json={"has_errors": True, "fulfillments": answer})

    results = marker.mark([a_row(1), a_row(2), a_row(3)])

    assert results == [
        RowResult("refused", "Shipment is already fulfilled.", "PD1"),
        RowResult("marked", None, "PD2"),
        RowResult("marked", None, "PD3"),
    ]


@responses.activate
def test_row_that_the_answer_leaves_out_is_unclear(marker: Marker) -> None:
    responses.post(URL, json={"has_errors": False, "fulfillments": [told(1)]})

    results = marker.mark([a_row(1), a_row(2)])

    assert statuses(results) == ["marked", "unclear"]
    assert LOOK_FIRST in str(results[1].message)


@responses.activate
def test_row_that_is_answered_twice_is_unclear(marker: Marker) -> None:
    responses.post(
        URL, json={"has_errors": True, "fulfillments": [told(1), told(1, "Shipment not found.")]}
    )

    assert statuses(marker.mark([a_row(1)])) == ["unclear"]


@responses.activate
@pytest.mark.parametrize(
    "head",
    [{"has_errors": True}, {"has_errors": False, "errors": [an_error(message="Queue is full.")]}],
)
def test_errors_that_name_no_row_leave_every_row_unclear(
    marker: Marker, head: dict[str, Any]
) -> None:
    responses.post(URL, json=head | {"fulfillments": [told(1), told(2)]})

    assert statuses(marker.mark([a_row(1), a_row(2)])) == ["unclear", "unclear"]


@responses.activate
@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "done",
        {},
        {"fulfillments": None},
        {"fulfillments": "se-1"},
        {"fulfillments": ["se-1"]},
    ],
)
def test_answer_of_another_shape_leaves_rows_unclear(marker: Marker, body: object) -> None:
    responses.post(URL, json=body)

    assert statuses(marker.mark([a_row(1)])) == ["unclear"]


@responses.activate
def test_ids_answered_as_numbers_are_the_same_ids(marker: Marker) -> None:
    responses.post(
        URL,
        json={"has_errors": False, "fulfillments": [{"shipment_id": 77, "shipment_number": 1001}]},
    )

    assert marker.mark([a_row(1, shipment_id="77")]) == [RowResult("marked", None, "1001")]


# A 400


@responses.activate
def test_refusal_is_told_with_everything_that_shipstation_documents(marker: Marker) -> None:
    refuse(an_error(field_name="fulfillments[0].carrier_code", field_value="ups"))

    [result] = marker.mark([a_row(1)])

    assert result.status == "refused"
    for word in (
        "No such carrier.",
        "ShipStation",
        "validation",
        "invalid_field_value",
        "fulfillments[0].carrier_code",
        "ups",
        "0d9c2f0e",
    ):
        assert word in str(result.message)


@responses.activate
def test_codes_and_types_never_heard_of_are_values(marker: Marker) -> None:
    refuse(
        {
            "error_source": "moon",
            "error_type": 7,
            "error_code": "tide_too_high",
            "message": "Wait.",
            "field_value": {"a": 1},
            "new": [],
        }
    )

    [result] = marker.mark([a_row(1)])

    assert result.status == "refused"
    for word in ("moon", "7", "tide_too_high", "Wait."):
        assert word in str(result.message)


@responses.activate
@pytest.mark.parametrize(
    "field",
    [
        {"field_name": "fulfillments[1].carrier_code"},
        {"field_name": "$.fulfillments[1].carrier_code", "field_value": "nope"},
        {
            "field_name": "fulfillments[2].carrier_code",
            "field_value": "nope",
        },  # counted from 1: the value wins
        {"field_name": "carrier_code", "field_value": "nope"},
        {"field_name": "fulfillments.1.carrier_code"},
    ],
)
def test_error_that_names_a_row_is_told_on_that_row_and_the_others_may_go_again(
    marker: Marker, field: dict[str, str]
) -> None:
    refuse(an_error(**field))

    results = marker.mark([a_row(1), a_row(2, carrier_code="nope"), a_row(3)])

    assert statuses(results) == ["not_sent", "refused", "not_sent"]
    assert "No such carrier." in str(results[1].message)


@responses.activate
@pytest.mark.parametrize(
    "field",
    [
        {},
        {"field_name": "fulfillments"},
        {"field_name": "fulfillments[9].carrier_code"},
        {"field_name": "carrier_code", "field_value": "x"},
    ],
)
def test_error_that_names_no_known_row_is_told_on_all(
    marker: Marker, field: dict[str, str]
) -> None:
    refuse(an_error(**field))

    results = marker.mark([a_row(1), a_row(2)])

    assert statuses(results) == ["refused", "refused"]
    assert all("No such carrier." in str(result.message) for result in results)


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [
        {"body": b""},
        {"body": b"<html>"},
        {"json": []},
        {"json": {"errors": "many"}},
        {"json": {"errors": [None]}},
    ],
)
def test_refusal_without_readable_errors_is_a_refusal_all_the_same(
    marker: Marker, answer: dict[str, Any]
) -> None:
    responses.post(URL, status=400, **answer)

    [result] = marker.mark([a_row(1)])

    assert result.status == "refused"
    assert "answered 400" in str(result.message)


@responses.activate
def test_vendor_that_repeats_our_key_does_not_make_us_tell_it(marker: Marker) -> None:
    refuse(an_error(message=f"key {KEY} is not for this", field_value=KEY))

    [result] = marker.mark([a_row(1)])

    assert KEY not in str(result)
    assert "***" in str(result.message)


# No answer, or another


@responses.activate
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 502},
        {"status": 302},
        {"body": requests.ReadTimeout()},
        {"body": b"{", "status": 200},
    ],
)
def test_unclear_answer_leaves_rows_unclear_and_is_not_repeated(
    marker: Marker, fault: dict[str, Any]
) -> None:
    responses.post(URL, **fault)

    results = marker.mark([a_row(1), a_row(2)])

    assert statuses(results) == ["unclear", "unclear"]
    assert all(LOOK_FIRST in str(result.message) for result in results)
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "headers": {"Retry-After": "9"}},
        {"status": 401},
        {"body": requests.ConnectTimeout()},
    ],
)
def test_what_never_reached_shipstation_can_be_repeated(
    marker: Marker, fault: dict[str, Any]
) -> None:
    responses.post(URL, **fault)

    assert statuses(marker.mark([a_row(1), a_row(2)])) == ["not_sent", "not_sent"]


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["se-1", "carrier_code", "[0]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "fulfillments",
                    "errors",
                    "has_errors",
                    "shipment_id",
                    "error_message",
                    "field_name",
                    "message",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(body=ANY_JSON, status=st.sampled_from([200, 400, 404, 409, 422, 500]))
def test_no_answer_makes_it_raise_or_lose_a_row(body: object, status: int) -> None:
    api = ApiClient(system="shipstation", origins=lambda _: True)
    with responses.RequestsMock() as mock:
        mock.post(URL, json=body, status=status)

        results = Marker(api, URL.removesuffix("/fulfillments")).mark([a_row(1), a_row(2)])

    api.close()
    assert len(results) == 2
    assert status == 200 or all(result.status != "marked" for result in results)


def test_day_of_a_plain_date_stays_that_day_from_hawaii_to_sydney() -> None:
    moment = a_row(ship_date="2026-11-04").ship_date

    assert isinstance(moment, dt.datetime)
    assert {
        moment.astimezone(dt.timezone(dt.timedelta(hours=hours))).date() for hours in (-10, 0, 11)
    } == {dt.date(2026, 11, 4)}
