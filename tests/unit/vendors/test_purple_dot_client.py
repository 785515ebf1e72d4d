"""Purple Dot: every documented or seen form of its answers, all pages, exactly the references asked
for, and one clear verdict per POST."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    ForeignUrlError,
    NotFoundError,
    PayloadError,
    PermanentError,
    TemporaryError,
    ThrottledError,
    UnclearError,
)
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus, normalize_reference
from bridge.domain.reasons import Reason
from bridge.vendors.http import ApiClient
from bridge.vendors.purple_dot import client
from bridge.vendors.purple_dot.client import FulfillmentReceipt, PurpleDot
from bridge.vendors.purple_dot.payloads import (
    fulfillment_id_in,
    next_link,
    order_of,
    refusal_in,
    single_order,
)

BASE = "https://purple.example/admin/api/v1"
ID = "5f1c6d1e-0000-4000-8000-000000000001"
LIST = f"{BASE}/fulfillment-orders"
SUCCESS = {"success": True}


@pytest.fixture
def purple_dot() -> Iterator[PurpleDot]:
    api = ApiClient(
        system="purple_dot",
        origins=lambda origin: origin == "https://purple.example",
        headers={"X-Purple-Dot-Access-Token": SecretStr("the-token")},
    )
    yield PurpleDot(api, f"{BASE}/")
    api.close()


def order(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": ID[:-1] + str(number) if number < 10 else f"order-{number}",
        "status": "UNFULFILLED",
        "reference": f"PD100/{number}",
        "customer": {"email": "ada@private.example"},
        "total_price": "198.60",
        "line_items": [{"id": f"line-{number}", "quantity": 2, "sku": "HAT", "price": "62.00"}],
    } | changes


def many(first: int, count: int) -> list[dict[str, Any]]:
    return [order(number) for number in range(first, first + count)]


# One order


@pytest.mark.parametrize(
    "body",
    [
        {"meta": SUCCESS, "data": order()},
        {"meta": SUCCESS, "data": {"fulfillment_order": order()}},
        {"meta": {"result": "success"}, "data": order()},
        {"data": order()},
        order(),
        {"fulfillment_order": order()},
    ],
    ids=["bare", "wrapped", "meta.result", "no meta", "no envelope", "wrapped without envelope"],
)
@responses.activate
def test_one_order_is_read_in_every_form_it_may_come(
    purple_dot: PurpleDot, body: dict[str, Any]
) -> None:
    responses.get(f"{LIST}/{ID}", json=body)

    found = purple_dot.order(ID)

    assert found == FulfillmentOrder(
        ID, "PD100/1", OrderStatus.UNFULFILLED, (OrderLine("line-1", 2, "HAT"),)
    )
    assert responses.calls[0].request.headers["X-Purple-Dot-Access-Token"] == "the-token"


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("FULFILLED", OrderStatus.FULFILLED),
        ("voided", OrderStatus.VOIDED),
        ("CANCELED", OrderStatus.UNKNOWN),
        ("", OrderStatus.UNKNOWN),
        (None, None),
    ],
)
def test_a_status_that_nobody_documented_is_not_the_same_as_none(
    written: str | None, status: OrderStatus | None
) -> None:
    assert order_of(order(status=written)).status is status


def test_a_missing_status_is_none_and_missing_lines_are_none() -> None:
    assert order_of({"id": ID}) == FulfillmentOrder(ID, "", None, ())
    assert order_of({"id": ID, "line_items": None}).lines == ()


def test_dates_are_read_where_they_name_a_zone() -> None:
    dated = order_of(order(purchased_at="2026-09-01T10:30:00+02:00", created_at="2026-11-02"))

    assert dated.purchased_at == datetime(2026, 9, 1, 8, 30, tzinfo=UTC)
    assert dated.created_at is None


def test_loose_values_are_read() -> None:
    line = order_of(order(line_items=[{"id": 7, "quantity": "3", "sku": "  "}])).lines[0]

    assert line == OrderLine("7", 3, None)


def test_a_missing_quantity_leaves_nothing_to_deliver() -> None:
    assert order_of(order(line_items=[{"id": "line-1", "quantity": None}])).lines == (
        OrderLine("line-1", 0),
    )


@pytest.mark.parametrize(
    "line",
    [
        {"quantity": 1},
        {"id": "", "quantity": 1},
        {"id": None},
        {"id": "x", "quantity": 1.5},
        "text",
    ],
)
def test_a_line_without_id_or_whole_quantity_is_refused_by_order(line: object) -> None:
    with pytest.raises(PayloadError, match=rf"{ID}: line_items\.0"):
        order_of(order(line_items=[line]))


@pytest.mark.parametrize(
    "odd",
    [
        {"line_items": [{"id": "line-1", "quantity": 1}, {"quantity": 1}]},
        {"line_items": [{"id": "line-1", "quantity": 1.5}]},
        {"line_items": {"0": {"id": "line-1"}}},
        {"reference": {"text": "#PD1"}},
    ],
)
@responses.activate
def test_order_that_can_not_be_read_whole_has_no_lines_and_holds_up_no_other(
    purple_dot: PurpleDot, odd: dict[str, Any]
) -> None:
    rows = [order(**odd), {"id": None}, order(2)]
    responses.get(LIST, json={"data": {"fulfillment_orders": rows}})
    responses.get(f"{LIST}/{ID}", json={"data": rows[0]})

    listed = list(purple_dot.orders_created_since(datetime(2026, 1, 1, tzinfo=UTC)))

    assert [(each.id, bool(each.lines)) for each in listed] == [(ID, False), (order(2)["id"], True)]
    assert purple_dot.order(ID).lines == ()


@responses.activate
def test_list_of_which_no_row_can_be_read_is_no_empty_list(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json={"data": {"fulfillment_orders": [{"uuid": ID}]}})

    with pytest.raises(PayloadError):
        list(purple_dot.orders_created_since(datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("row", [None, [], "text", {}, {"id": ""}])
def test_what_is_no_order_is_refused(row: object) -> None:
    with pytest.raises(PayloadError):
        order_of(row)


@responses.activate
def test_another_order_than_the_one_asked_for_is_refused(purple_dot: PurpleDot) -> None:
    responses.get(f"{LIST}/{ID}", json={"data": order(2)})

    with pytest.raises(PayloadError, match="when asked for"):
        purple_dot.order(ID)


@pytest.mark.parametrize("order_id", ["", ".", ".."])
def test_an_id_that_would_climb_the_path_is_refused(purple_dot: PurpleDot, order_id: str) -> None:
    with pytest.raises(PayloadError):
        purple_dot.order(order_id)


@responses.activate
def test_an_id_is_encoded_into_the_path(purple_dot: PurpleDot) -> None:
    responses.get(f"{LIST}/a%2Fb%3Fc", json={"data": order(id="a/b?c")})

    assert purple_dot.order("a/b?c").id == "a/b?c"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFoundError),
        (401, CredentialsError),
        (302, CredentialsError),
        (429, ThrottledError),
        (500, TemporaryError),
        (400, PermanentError),
    ],
)
@responses.activate
def test_a_failed_look_carries_its_verdict(
    purple_dot: PurpleDot, status: int, error: type[BridgeError]
) -> None:
    responses.get(
        f"{LIST}/{ID}",
        status=status,
        json={"message": "no"},
        headers={"Location": "https://purple.example/login"},
    )

    with pytest.raises(BridgeError) as caught:
        purple_dot.order(ID)

    assert type(caught.value) is error


@pytest.mark.parametrize("body", ["", "null"])
@responses.activate
def test_an_empty_answer_to_a_look_is_worth_another_try(purple_dot: PurpleDot, body: str) -> None:
    responses.get(f"{LIST}/{ID}", body=body)

    with pytest.raises(TemporaryError):
        purple_dot.order(ID)


# By reference


def page(*rows: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"meta": SUCCESS, "data": {"fulfillment_orders": list(rows)} | data}


def sent_references(call: int = 0) -> list[str]:
    """The references of one call, decoded as a server would: split at the literal commas first."""
    query = urlsplit(responses.calls[call].request.url or "").query
    joined = next(
        part.removeprefix("references=")
        for part in query.split("&")
        if part.startswith("references=")
    )
    return [requests.compat.unquote(form) for form in joined.split(",")]


@responses.activate
def test_each_reference_is_asked_with_and_without_its_hash_in_one_call(
    purple_dot: PurpleDot,
) -> None:
    responses.get(LIST, json=page(order(1, reference="#PD100/1"), order(2, reference="pd100/2")))

    found = purple_dot.orders_by_reference(["#pd100/1", "PD100/2", " PD100/2 ", ""])

    assert [one.reference for one in found] == ["#PD100/1", "pd100/2"]
    assert sent_references() == ["PD100/1", "#PD100/1", "PD100/2", "#PD100/2"]
    assert len(responses.calls) == 1
    assert "limit=250" in (responses.calls[0].request.url or "")


@responses.activate
def test_a_comma_in_a_reference_does_not_make_two(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page())

    purple_dot.orders_by_reference(["PD1,PD2 & #3"])

    assert sent_references() == ["PD1,PD2 & #3", "#PD1,PD2 & #3"]


@responses.activate
def test_orders_that_were_not_asked_for_are_left_out(purple_dot: PurpleDot) -> None:
    responses.get(
        LIST,
        json=page(
            order(1, reference="PD100/1"),
            order(2, reference="PD100/10"),
            order(3, reference="PD100"),
            order(4, reference=""),
        ),
    )

    assert [one.reference for one in purple_dot.orders_by_reference(["PD100/1"])] == ["PD100/1"]


@responses.activate
def test_two_orders_of_one_reference_are_both_told(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(order(1, reference="PD7"), order(2, reference="#PD7")))

    assert len(purple_dot.orders_by_reference(["PD7"])) == 2


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (50, 1), (51, 2), (120, 3)])
@responses.activate
def test_fifty_references_go_into_one_call(purple_dot: PurpleDot, count: int, calls: int) -> None:
    responses.get(LIST, json=page())

    purple_dot.orders_by_reference([f"PD{number}" for number in range(count)])

    assert len(responses.calls) == calls
    assert all(len(call.request.url or "") < 4000 for call in responses.calls)


@given(st.text())
def test_a_normalized_reference_ignores_case_space_and_hash(text: str) -> None:
    once = normalize_reference(text)

    assert once == normalize_reference(f"  {text.lower().upper()} ") or "#" in text
    assert once == once.strip()


# Paging


def cursors() -> list[str | None]:
    return [
        parse_qs(urlsplit(call.request.url or "").query).get("starting_after", [None])[0]
        for call in responses.calls
    ]


def since(purple_dot: PurpleDot) -> list[str]:
    return [one.id for one in purple_dot.orders_created_since(datetime(2026, 10, 14, tzinfo=UTC))]


@responses.activate
def test_pages_follow_the_cursor_in_the_data(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(order(1), has_more=True, starting_after="c1"))
    responses.get(LIST, json=page(order(2), has_more=True, starting_after=None))
    responses.get(LIST, json=page(order(3), has_more=False, starting_after="c3"))

    assert len(since(purple_dot)) == 3
    assert cursors() == [None, "c1", order(2)["id"]]


@responses.activate
def test_a_cursor_without_has_more_is_followed_until_it_is_null(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(order(1), starting_after="c1"))
    responses.get(LIST, json=page(order(2), starting_after=None))

    assert len(since(purple_dot)) == 2


@pytest.mark.parametrize("rel", ['"next"', "{next}", "next"])
@responses.activate
def test_pages_follow_the_link_header_in_both_its_forms(purple_dot: PurpleDot, rel: str) -> None:
    link = f'<{LIST}?page=0>; rel="prev", <{LIST}?starting_after=c1&limit=9>; rel={rel}'
    responses.get(LIST, json=page(order(1)), headers={"Link": link})
    responses.get(LIST, json=page(order(2)))

    assert len(since(purple_dot)) == 2
    assert cursors() == [None, "c1"]


@responses.activate
def test_a_link_to_a_stranger_is_an_error(purple_dot: PurpleDot) -> None:
    responses.get(
        LIST,
        json=page(order(1)),
        headers={"Link": '<https://evil.example/?starting_after=c1>; rel="next"'},
    )

    with pytest.raises(ForeignUrlError):
        since(purple_dot)


@responses.activate
def test_without_any_hint_a_full_page_is_followed_by_the_last_id(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(*many(1000, 250)))
    responses.get(LIST, json=page(*many(2000, 3)))

    assert len(since(purple_dot)) == 253
    assert cursors() == [None, "order-1249"]


@responses.activate
def test_a_limit_that_is_not_heeded_loses_no_page(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(*many(1000, 50)))
    responses.get(LIST, json=page())

    assert len(since(purple_dot)) == 50
    assert cursors() == [None, "order-1049"]


@responses.activate
def test_a_short_page_without_any_hint_is_the_last(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(*many(1000, 49)))

    since(purple_dot)

    assert len(responses.calls) == 1


@responses.activate
def test_an_empty_page_ends_the_reading_whatever_it_promises(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(has_more=True, starting_after="c1"))

    assert since(purple_dot) == []
    assert len(responses.calls) == 1


@responses.activate
def test_a_repeated_page_ends_the_reading(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(order(1), has_more=True, starting_after="c1"))

    assert len(since(purple_dot)) == 1
    assert len(responses.calls) == 2


@responses.activate
def test_a_list_without_end_is_given_up(
    purple_dot: PurpleDot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_PAGES", 3)
    for number in range(1, 5):
        responses.get(LIST, json=page(order(number), has_more=True))

    with pytest.raises(PermanentError, match="more than 3 pages"):
        since(purple_dot)


@responses.activate
def test_reading_is_lazy(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page(order(1), has_more=True, starting_after="c1"))

    next(purple_dot.orders_created_since(datetime(2026, 10, 14, tzinfo=UTC)))

    assert len(responses.calls) == 1


@responses.activate
def test_the_time_asked_for_is_utc(purple_dot: PurpleDot) -> None:
    responses.get(LIST, json=page())

    list(
        purple_dot.orders_created_since(
            datetime(2026, 10, 14, 2, tzinfo=timezone(timedelta(hours=2)))
        )
    )

    assert parse_qs(urlsplit(responses.calls[0].request.url or "").query)["created_at_min"] == [
        "2026-10-14T00:00:00.000000Z"
    ]


@pytest.mark.parametrize(
    "body",
    [{"data": {}}, {"data": {"fulfillment_orders": None}}, {"meta": SUCCESS}, {"data": "none"}],
)
@responses.activate
def test_an_answer_without_a_list_is_refused(purple_dot: PurpleDot, body: dict[str, Any]) -> None:
    responses.get(LIST, json=body)

    with pytest.raises(PayloadError):
        since(purple_dot)


def test_a_relation_that_only_begins_like_next_is_none() -> None:
    assert next_link('<https://x/>; rel="nextest"') is None
    assert next_link("") is None


# Creating a fulfillment

BODY = {
    "fulfillment": {"fulfillment_order_id": ID, "line_items": [{"id": "line-1", "quantity": 1}]}
}
POST = f"{BASE}/fulfillment"


@pytest.mark.parametrize(
    ("answer", "fulfillment_id"),
    [
        ({"meta": SUCCESS, "data": {"fulfillment": {"id": "f-1"}}}, "f-1"),
        ({"meta": {"result": "success"}, "data": {"id": 7}}, "7"),
        ({"fulfillment": {"id": "f-2"}}, "f-2"),
        ({"meta": SUCCESS, "data": {}}, None),
        ({"meta": SUCCESS, "data": None}, None),
        ({"data": {"fulfillment_order_id": ID}}, None),
    ],
)
@responses.activate
def test_what_says_yes_or_names_what_was_made_is_a_receipt(
    purple_dot: PurpleDot, answer: dict[str, Any], fulfillment_id: str | None
) -> None:
    responses.post(POST, status=201, json=answer)

    receipt = purple_dot.create_fulfillment(BODY)

    assert (receipt.purple_dot_fulfillment_id, receipt.status, json.loads(receipt.answer)) == (
        fulfillment_id,
        201,
        answer,
    )
    assert json.loads(responses.calls[0].request.body) == BODY


@responses.activate
def test_no_content_is_a_receipt_without_an_answer(purple_dot: PurpleDot) -> None:
    responses.post(POST, status=204)

    assert purple_dot.create_fulfillment(BODY) == FulfillmentReceipt(None, 204, "null")


@responses.activate
def test_a_long_answer_is_trimmed(purple_dot: PurpleDot) -> None:
    responses.post(POST, json={"data": {"id": "f-1", "lines": [{"id": "x" * 100}] * 90}})

    assert len(purple_dot.create_fulfillment(BODY).answer) == 2000


@responses.activate
def test_shopper_in_the_answer_is_not_kept(purple_dot: PurpleDot) -> None:
    shopper = {
        "name": "Ada Quill",
        "email": "ada@quill.example",
        "address": {"line_1": "66 Row", "id": "a-1"},
    }
    responses.post(
        POST,
        json={
            "meta": SUCCESS,
            "data": {"fulfillment": {"id": "f-1", "shopper": shopper, "tags": ["Ada"]}},
        },
    )

    answer = json.loads(purple_dot.create_fulfillment(BODY).answer)

    kept = {"name": "…", "email": "…", "address": {"line_1": "…", "id": "a-1"}}
    assert answer["data"] == {"fulfillment": {"id": "f-1", "shopper": kept, "tags": ["…"]}}


@responses.activate
def test_half_a_character_in_the_answer_loses_no_receipt(purple_dot: PurpleDot) -> None:
    responses.post(
        POST,
        body=b'{"data": {"id": "f-1", "title": "Alder \\ud83d"}}',
        content_type="application/json",
    )

    receipt = purple_dot.create_fulfillment(BODY)

    assert receipt.purple_dot_fulfillment_id == "f-1"
    assert receipt.answer.encode().isascii()


@pytest.mark.parametrize(
    "meta",
    [
        {"success": False},
        {"success": False, "result": "success"},
        {"result": "error"},
        {"result": "failure", "success": True},
    ],
)
@responses.activate
def test_a_success_status_that_says_no_is_a_clear_no(
    purple_dot: PurpleDot, meta: dict[str, Any]
) -> None:
    responses.post(
        POST, json={"meta": meta | {"code": "UNKNOWN_LINE_ITEMS", "message": "the-token: no line"}}
    )

    with pytest.raises(PermanentError) as caught:
        purple_dot.create_fulfillment(BODY)

    assert caught.value.reason is Reason.REJECTED_BY_PURPLE_DOT
    assert "UNKNOWN_LINE_ITEMS; …: no line" in str(caught.value)


@responses.activate
def test_a_look_that_says_no_is_a_no_as_well(purple_dot: PurpleDot) -> None:
    responses.get(f"{LIST}/{ID}", json={"meta": {"success": False}})

    with pytest.raises(PermanentError, match="no reason given"):
        purple_dot.order(ID)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"meta": None},
        {"meta": {}},
        {"message": "Unauthorized"},
        {"error": "no such order"},
        {"errors": [{"message": "no such line"}]},
        {"success": False},
        {"success": "false"},
        {"meta": {"success": "false"}},
        {"meta": {"success": 0}},
        {"meta": {"error": "NOT_ENOUGH_ITEMS"}},
        {"meta": {"status": "error"}},
        {"meta": SUCCESS, "data": {"error": "NOT_ENOUGH_ITEMS"}},
        {"data": {"success": False}},
        {"data": {"id": "f-1", "errors": ["no line"]}},
        {"something": "else"},
    ],
)
@responses.activate
def test_a_success_status_with_words_of_error_or_of_no_known_shape_is_unclear(
    purple_dot: PurpleDot, answer: dict[str, Any]
) -> None:
    responses.post(POST, status=200, json=answer)

    with pytest.raises(UnclearError):
        purple_dot.create_fulfillment(BODY)


@responses.activate
def test_a_fulfillment_whose_turn_comes_too_late_is_not_sent(purple_dot: PurpleDot) -> None:
    with pytest.raises(ThrottledError):
        purple_dot.create_fulfillment(BODY, not_after=time.monotonic() - 1)

    assert len(responses.calls) == 0


@pytest.mark.parametrize("body", ["", "null", "[]", '"ok"', "<html>", '{"meta": {"succ'])
@responses.activate
def test_a_success_status_without_a_json_object_is_unclear(
    purple_dot: PurpleDot, body: str
) -> None:
    responses.post(POST, status=200, body=body)

    with pytest.raises(UnclearError):
        purple_dot.create_fulfillment(BODY)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, UnclearError),
        (303, UnclearError),
        (400, PermanentError),
        (401, CredentialsError),
        (404, NotFoundError),
        (409, PermanentError),
        (429, ThrottledError),
        (408, UnclearError),
        (500, UnclearError),
        (503, UnclearError),
    ],
)
@responses.activate
def test_each_status_of_a_post_has_one_verdict_and_is_sent_once(
    purple_dot: PurpleDot, status: int, error: type[BridgeError]
) -> None:
    responses.post(POST, status=status, json={"meta": {"success": False}})

    with pytest.raises(BridgeError) as caught:
        purple_dot.create_fulfillment(BODY)

    assert type(caught.value) is error
    assert len(responses.calls) == 1


@responses.activate
def test_a_lost_answer_to_a_post_is_unclear(purple_dot: PurpleDot) -> None:
    responses.post(POST, body=requests.ReadTimeout("too slow"))

    with pytest.raises(UnclearError):
        purple_dot.create_fulfillment(BODY)


# Any shape

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "meta",
                    "data",
                    "fulfillment_order",
                    "fulfillment",
                    "id",
                    "line_items",
                    "success",
                    "result",
                ]
            ),
            inner,
        )
    ),
    max_leaves=10,
)


@given(Json)
def test_any_json_is_an_order_or_a_payload_error(body: object) -> None:
    try:
        found = single_order(body)
    except PayloadError:
        return
    assert found.id


@given(Json)
def test_any_json_can_be_asked_for_a_refusal_and_an_id(body: object) -> None:
    assert refusal_in(body) in {True, False}
    assert fulfillment_id_in(body) is None or fulfillment_id_in(body)
