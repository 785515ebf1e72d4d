"""The simulated Purple Dot is as strict as the real one may be, and answers in each shape that its
documentation leaves open."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator import Email, Simulator, World
from bridge.simulator.model import RefusedError

pytest_plugins = ["tests.support.simulator_fixtures"]


def _code(answer: requests.Response) -> str:
    return str(answer.json()["meta"]["error"]["code"])


def test_fulfillment_without_line_items_fulfills_all_that_is_left(
    world: World, fulfill: Any
) -> None:
    order = world.add_order(lines=[("A", 2), ("B", 3)])
    fulfill(order.id, line_items=[{"id": order.lines[0].id, "quantity": 1}])

    answer = fulfill(order.id, line_items=[])

    assert answer.json()["meta"] == {"success": True}
    assert [line.fulfilled for line in order.lines] == [2, 3]
    assert order.status == "FULFILLED"


def test_partly_fulfilled_order_stays_unfulfilled_and_shows_nothing_of_it(
    world: World, fulfill: Any, get: Any
) -> None:
    order = world.add_order(lines=[("A", 2)])
    before = get(f"/admin/api/v1/fulfillment-orders/{order.id}")

    fulfill(order.id, line_items=[{"id": order.lines[0].id, "quantity": 1}])

    assert get(f"/admin/api/v1/fulfillment-orders/{order.id}") == before


def test_purple_dot_never_deduplicates(world: World, fulfill: Any) -> None:
    order = world.add_order(lines=[("A", 2)])
    lines = [{"id": order.lines[0].id, "quantity": 1}]

    first, second = (
        fulfill(order.id, line_items=lines, tracking_info={"number": "1Z"}) for _ in range(2)
    )

    assert first.json()["data"]["fulfillment"]["id"] != second.json()["data"]["fulfillment"]["id"]
    assert len(world.fulfillments) == 2


def test_accepted_body_is_remembered_word_for_word(world: World, fulfill: Any) -> None:
    order = world.add_order(lines=[("A", 1)])
    fields = {
        "line_items": [{"id": order.lines[0].id, "quantity": 1}],
        "notify_customer": False,
        "tracking_info": {"number": "1Z"},
    }

    fulfill(order.id, **fields)

    assert world.fulfillments == [{"fulfillment": {"fulfillment_order_id": order.id, **fields}}]


def test_shopper_is_mailed_only_when_asked_for(world: World, fulfill: Any) -> None:
    silent, told = world.add_order(), world.add_order()

    fulfill(silent.id, tracking_info={"number": "1Z1"})
    fulfill(told.id, notify_customer=True, tracking_info={"number": "1Z2"})

    assert world.emails == [Email(told.id, "1Z2")]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"fulfillment_order_id": "ffffffff-0000-4000-8000-000000000000"}, 404, "UNKNOWN_ORDER"),
        ({"line_items": [{"id": "nobody", "quantity": 1}]}, 404, "UNKNOWN_LINE_ITEMS"),
        ({"line_items": [{"id": "LINE", "quantity": 3}]}, 400, "NOT_ENOUGH_ITEMS_LEFT_TO_FULFILL"),
        (
            {"line_items": [{"id": "LINE", "quantity": 1}, {"id": "LINE", "quantity": 2}]},
            400,
            "NOT_ENOUGH_ITEMS_LEFT_TO_FULFILL",
        ),
        ({"line_items": [{"id": "LINE", "quantity": 0}]}, 400, "INVALID_LINE_ITEMS"),
        ({"line_items": [{"id": "LINE", "quantity": "1"}]}, 400, "INVALID_LINE_ITEMS"),
        ({"line_items": [{"id": "LINE", "quantity": True}]}, 400, "INVALID_LINE_ITEMS"),
        ({"line_items": ["LINE"]}, 400, "INVALID_LINE_ITEMS"),
        ({"line_items": "LINE"}, 400, "INVALID_LINE_ITEMS"),
        ({"tracking_info": {"number": None}}, 400, "INVALID_TRACKING_INFO"),
        ({"notify_customer": "yes"}, 400, "INVALID_FULFILLMENT_REQUEST"),
    ],
)
def test_wrong_fulfillment_is_refused_and_changes_nothing(
    world: World, fulfill: Any, fields: dict[str, Any], status: int, code: str
) -> None:
    order = world.add_order(lines=[("A", 2)])
    fields = json.loads(json.dumps(fields).replace("LINE", order.lines[0].id))

    answer = fulfill(**{"order_id": order.id, **_renamed(fields)})

    assert (answer.status_code, _code(answer)) == (status, code)
    assert (world.fulfillments, order.lines[0].fulfilled, order.status) == ([], 0, "UNFULFILLED")


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "order_id" if name == "fulfillment_order_id" else name: value
        for name, value in fields.items()
    }


@pytest.mark.parametrize(
    ("status", "code"), [("VOIDED", "ORDER_VOIDED"), ("FULFILLED", "ORDER_ALREADY_FULFILLED")]
)
def test_closed_order_takes_no_fulfillment(
    world: World, fulfill: Any, status: str, code: str
) -> None:
    order = world.add_order(status=status)

    answer = fulfill(order.id)

    assert (answer.status_code, _code(answer)) == (409, code)


def test_body_that_is_no_object_is_refused(simulator: Simulator, session: requests.Session) -> None:
    answer = session.post(f"{simulator.url}/admin/api/v1/fulfillment", data=b"[1", timeout=60)

    assert (answer.status_code, _code(answer)) == (400, "INVALID_FULFILLMENT_REQUEST")


def test_order_can_be_fulfilled_by_someone_else(world: World, fulfill: Any) -> None:
    partly, wholly = world.add_order(lines=[("A", 2)]), world.add_order()

    world.fulfill_elsewhere(partly, {partly.lines[0].id: 1})
    world.fulfill_elsewhere(wholly)

    assert [partly.status, wholly.status, world.fulfillments] == ["UNFULFILLED", "FULFILLED", []]
    assert (
        _code(fulfill(partly.id, line_items=[{"id": partly.lines[0].id, "quantity": 2}]))
        == "NOT_ENOUGH_ITEMS_LEFT_TO_FULFILL"
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 4)), max_size=12))
def test_never_more_is_fulfilled_than_was_ordered(wanted: list[tuple[int, int]]) -> None:
    world = World()
    order = world.add_order(lines=[("A", 3), ("B", 1)])
    ids = [*(line.id for line in order.lines), "unknown"]

    for index, quantity in wanted:
        body = {
            "fulfillment": {
                "fulfillment_order_id": order.id,
                "line_items": [{"id": ids[index], "quantity": quantity}],
            }
        }
        try:
            world.accept_fulfillment(body)
        except RefusedError:
            continue

    sent = [row for body in world.fulfillments for row in body["fulfillment"]["line_items"]]
    assert [
        sum(row["quantity"] for row in sent if row["id"] == line.id) for line in order.lines
    ] == [line.fulfilled for line in order.lines]
    assert all(line.left >= 0 for line in order.lines)
    assert (order.status == "FULFILLED") == all(line.left == 0 for line in order.lines)


def test_references_are_compared_exactly_and_separated_by_literal_commas(
    world: World, get: Any
) -> None:
    first, tenth, hashed = (
        world.add_order("PD1/1"),
        world.add_order("PD1/10"),
        world.add_order("PD2/1", ref_style="hash"),
    )

    plain = get("/admin/api/v1/fulfillment-orders?references=PD1%2F1,%23PD1%2F1")
    both = get("/admin/api/v1/fulfillment-orders?references=PD1%2F10,PD2%2F1,%23PD2%2F1")

    assert [row["id"] for row in plain["data"]["fulfillment_orders"]] == [first.id]
    assert (
        [row["reference"] for row in both["data"]["fulfillment_orders"]]
        == [tenth.reference, hashed.reference]
        == ["PD1/10", "#PD2/1"]
    )


def test_orders_are_paged_oldest_first_after_a_cursor(world: World, get: Any) -> None:
    ids = [world.add_order().id for _ in range(7)]

    first = get("/admin/api/v1/fulfillment-orders?limit=4")["data"]
    rest = get(
        f"/admin/api/v1/fulfillment-orders?limit=4&starting_after={first['starting_after']}"
    )["data"]

    assert [row["id"] for row in first["fulfillment_orders"] + rest["fulfillment_orders"]] == ids
    assert [page["has_more"] for page in (first, rest)] == [True, False]


def test_orders_are_listed_since_their_creation(session: requests.Session) -> None:
    moments = iter(datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=day) for day in range(3))
    world = World(now=lambda: next(moments))
    orders = [world.add_order() for _ in range(3)]

    with Simulator(world) as simulator:
        url = f"{simulator.url}/admin/api/v1/fulfillment-orders?created_at_min=2026-11-02T00:00:00Z"
        found = session.get(url, timeout=60).json()["data"]["fulfillment_orders"]

    assert [row["id"] for row in found] == [order.id for order in orders[1:]]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=251", "limit=x", "created_at_min=yesterday", "starting_after=nobody"],
)
def test_unreadable_query_is_refused_by_purple_dot(
    simulator: Simulator, session: requests.Session, query: str
) -> None:
    assert (
        session.get(
            f"{simulator.url}/admin/api/v1/fulfillment-orders?{query}", timeout=60
        ).status_code
        == 400
    )


@pytest.mark.parametrize("path", ["/admin/api/v1/fulfillment_orders", "/admin/api/v2/x"])
def test_unknown_purple_dot_path_redirects_to_a_login_page(
    simulator: Simulator, session: requests.Session, path: str
) -> None:
    redirected = session.get(simulator.url + path, timeout=60, allow_redirects=False)
    followed = session.get(simulator.url + path, timeout=60)

    assert (redirected.status_code, redirected.headers["Location"]) == (302, "/admin/login")
    assert (followed.status_code, followed.headers["Content-Type"]) == (
        200,
        "text/html; charset=utf-8",
    )
