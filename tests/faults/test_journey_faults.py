"""When a parcel is not ready, a vendor fails or an answer is lost: what is tried again, what is
settled, what waits for a person."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bridge.simulator import PurpleDotOrder, World
from tests.support.stack import Stack, statuses
from tests.support.waiting import wait_until

TEES_AND_CAP = (("ALDER-TEE-S", 2), ("ALDER-CAP", 1))


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    return running_stack


@pytest.fixture
def world(stack: Stack) -> World:
    return stack.world


def _numbers(stack: Stack, order: PurpleDotOrder) -> list[str]:
    """The tracking numbers that Purple Dot accepted for an order."""
    return [body["tracking_info"]["number"] for body in stack.fulfillments(order)]


# What is not ready yet


def _postponed(stack: Stack, event_id: str) -> Callable[[], bool]:
    return lambda: (
        stack.event(event_id)["next_attempt_at"] is not None
        and bool(stack.event(event_id)["detail"])
    )


def test_label_still_processing_is_looked_at_again_until_it_is_finished(
    stack: Stack, world: World
) -> None:
    order = world.add_order()
    [label] = world.buy_labels(world.add_shipstation_order(order), status="processing")
    event_id = stack.send(world.label_created_v2(label)).event_id
    wait_until(_postponed(stack, event_id), 5, "the first look to be over")

    world.complete_label(label)
    stack.settle()

    assert _numbers(stack, order) == [label.tracking_number]
    assert stack.event(event_id)["attempts"] == 0


def test_label_that_never_finishes_ends_as_nothing_shipped(stack: Stack, world: World) -> None:
    labels = world.buy_labels(world.add_shipstation_order(world.add_order()), status="processing")

    [event_id] = stack.travel(world.label_created_v2(labels))

    assert (stack.event(event_id)["status"], stack.event(event_id)["reason"]) == (
        "ignored",
        "nothing_shipped",
    )


@pytest.mark.parametrize(
    ("webhook", "operation"),
    [("label_created_v2", "shipstation.labels"), ("ship_notify", "shipstation_v1.shipments")],
)
def test_page_that_is_empty_at_first_is_looked_at_again(
    stack: Stack, world: World, webhook: str, operation: str
) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    stack.simulator.inject(operation, "empty_first", count=2)

    [event_id] = stack.travel(getattr(world, webhook)(labels))

    assert len(stack.fulfillments(order)) == 1
    assert stack.event(event_id)["attempts"] == 0


@pytest.mark.parametrize("fault", ["throttle:0.3", "throttle_date:1"])
@pytest.mark.parametrize(
    "operation",
    ["shipstation.labels", "purple_dot.orders_by_reference", "purple_dot.create_fulfillment"],
)
def test_throttled_call_is_made_again_when_the_vendor_wishes_and_spends_no_attempt(
    stack: Stack, world: World, operation: str, fault: str
) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    stack.simulator.inject(operation, fault)
    before = world.count(operation)

    [event_id] = stack.travel(world.label_created_v2(labels))

    assert len(stack.fulfillments(order)) == 1
    assert world.count(operation) == before + 2
    assert (stack.event(event_id)["attempts"], stack.delivery(order)["attempts"]) == (0, 1)


@pytest.mark.parametrize(
    "fault", ["status:500", "drop_before", "not_json", "truncated", "redirect_login"]
)
@pytest.mark.parametrize(
    "operation", ["shipstation.labels", "shipstation.shipment", "purple_dot.orders_by_reference"]
)
def test_read_that_fails_is_tried_again(
    stack: Stack, world: World, operation: str, fault: str
) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    stack.simulator.inject(operation, fault, count=2)

    [event_id] = stack.travel(world.label_created_v2(labels))

    assert len(stack.fulfillments(order)) == 1
    assert (stack.event(event_id)["status"], stack.event(event_id)["attempts"]) == ("processed", 2)


def test_read_that_fails_to_the_end_of_the_schedule_leaves_a_dead_event(
    stack: Stack, world: World
) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    stack.simulator.inject("shipstation.labels", "status:503", count=5)

    [event_id] = stack.travel(world.label_created_v2(labels))

    assert (stack.event(event_id)["status"], stack.event(event_id)["reason"]) == (
        "dead",
        "schedule_exhausted",
    )
    assert stack.fulfillments(order) == []


def test_order_that_is_not_there_yet_is_looked_for_again(stack: Stack, world: World) -> None:
    order = world.add_order()
    [label] = world.buy_labels(world.add_shipstation_order(order))
    stack.simulator.inject("purple_dot.orders_by_reference", "empty_first", count=3)

    stack.travel(world.label_created_v2(label))

    assert _numbers(stack, order) == [label.tracking_number]
    assert statuses(stack.deliveries(order)) == [("delivered", None)]


def test_order_that_never_appears_is_held(stack: Stack, world: World) -> None:
    parcel = world.add_shipstation_order("PD7300003/1", [("ALDER-TEE-S", 2)])

    [event_id] = stack.travel(world.label_created_v2(world.buy_labels(parcel)))

    [delivery] = stack.event(event_id)["delivery_stories"]
    assert (delivery["status"], delivery["reason"], delivery["order_number"]) == (
        "held",
        "order_not_found",
        "PD7300003/1",
    )


# What a person has to see


def test_parcel_of_a_voided_order_is_held(stack: Stack, world: World) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    world.void_order(order)

    stack.travel(world.label_created_v2(labels))

    assert statuses(stack.deliveries(order)) == [("held", "order_voided")]
    assert stack.fulfillments(order) == []


def test_parcel_of_an_order_that_someone_else_fulfilled_is_held(stack: Stack, world: World) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    world.fulfill_elsewhere(order)

    stack.travel(world.label_created_v2(labels))

    assert statuses(stack.deliveries(order)) == [("held", "already_fulfilled_elsewhere")]
    assert stack.fulfillments(order) == []


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([("SHOP-MUG", 1)], "unknown_line"),
        ([("ALDER-TEE-S", 3)], "over_quantity"),
        ([("ALDER-TEE-S", 2), ("ALDER-CAP", 2)], "over_quantity"),
    ],
)
def test_parcel_that_does_not_fit_its_order_is_held_and_not_cut_to_size(
    stack: Stack, world: World, items: list[tuple[str, int]], reason: str
) -> None:
    order = world.add_order(lines=TEES_AND_CAP)
    labels = world.buy_labels(world.add_shipstation_order(order, items))

    stack.travel(world.label_created_v2(labels))

    assert statuses(stack.deliveries(order)) == [("held", reason)]
    assert stack.fulfillments(order) == []


def test_shipment_without_a_number_is_held(stack: Stack, world: World) -> None:
    order = world.add_order()

    stack.travel(
        world.fulfillment_shipped_v2(
            world.mark_shipped(world.add_shipstation_order(order), "FedEx", None)
        )
    )

    assert statuses(stack.deliveries(order)) == [("held", "no_tracking_number")]


def test_clues_that_name_two_orders_are_held(stack: Stack, world: World) -> None:
    order, other = world.add_order(), world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order, external_shipment_id=other.id))

    [event_id] = stack.travel(world.label_created_v2(labels))

    assert statuses(stack.event(event_id)["delivery_stories"]) == [("held", "ambiguous_order")]
    assert stack.fulfillments(order) + stack.fulfillments(other) == []


# Answers that say no, or nothing


@dataclass(frozen=True)
class Ending:
    """Where a delivery ends, how often it was posted, and whether Purple Dot has it."""

    status: str
    reason: str | None
    posts: int
    accepted: int


DONE_AT_ONCE = Ending("delivered", None, posts=1, accepted=1)
POSTED_AGAIN = Ending("delivered", None, posts=2, accepted=1)


@pytest.mark.parametrize(
    ("fault", "whole", "part"),
    [
        ("drop_before", POSTED_AGAIN, Ending("held", "unconfirmed_partial", posts=1, accepted=0)),
        (
            "drop_after_commit",
            DONE_AT_ONCE,
            Ending("held", "unconfirmed_partial", posts=1, accepted=1),
        ),
        (
            "error_after_commit",
            DONE_AT_ONCE,
            Ending("held", "unconfirmed_partial", posts=1, accepted=1),
        ),
        ("commit_late:1", DONE_AT_ONCE, Ending("held", "unconfirmed_partial", posts=1, accepted=1)),
        ("commit_late:2", DONE_AT_ONCE, Ending("held", "unconfirmed_partial", posts=1, accepted=1)),
        ("not_json", DONE_AT_ONCE, Ending("held", "unconfirmed_partial", posts=1, accepted=1)),
        ("truncated", DONE_AT_ONCE, Ending("held", "unconfirmed_partial", posts=1, accepted=1)),
        ("status:503", POSTED_AGAIN, Ending("held", "unconfirmed_partial", posts=1, accepted=0)),
        ("status:408", POSTED_AGAIN, Ending("held", "unconfirmed_partial", posts=1, accepted=0)),
        (
            "redirect_login",
            POSTED_AGAIN,
            Ending("held", "unconfirmed_partial", posts=1, accepted=0),
        ),
        ("status:401", POSTED_AGAIN, POSTED_AGAIN),
        ("success_false", Ending("dead", "rejected_by_purple_dot", posts=1, accepted=0), None),
        ("status:422", Ending("dead", "rejected_by_purple_dot", posts=1, accepted=0), None),
    ],
)
@pytest.mark.parametrize("units", ["whole", "part"])
def test_answer_that_is_no_yes_is_settled_without_ever_posting_twice(
    stack: Stack, world: World, units: str, fault: str, whole: Ending, part: Ending | None
) -> None:
    order = world.add_order(lines=TEES_AND_CAP)
    parcel = world.add_shipstation_order(order, None if units == "whole" else [("ALDER-TEE-S", 1)])
    labels = world.buy_labels(parcel)
    stack.simulator.inject("purple_dot.create_fulfillment", fault)
    before = world.count("purple_dot.create_fulfillment")

    stack.travel(world.label_created_v2(labels))

    delivery = stack.delivery(order)
    posts = world.count("purple_dot.create_fulfillment") - before
    ending = Ending(
        delivery["status"], delivery["reason"], posts=posts, accepted=len(stack.fulfillments(order))
    )
    assert ending == (whole if units == "whole" else part or whole)


@pytest.mark.parametrize(
    ("fault", "posts"),
    [("drop_before", 2), ("drop_after_commit", 1), ("error_after_commit", 1), ("commit_late:1", 1)],
)
def test_unclear_answer_about_an_orders_last_parcel_is_settled_by_its_status(
    stack: Stack, world: World, fault: str, posts: int
) -> None:
    order = world.add_order(lines=TEES_AND_CAP)
    parts = world.split(
        world.add_shipstation_order(order), [[("ALDER-TEE-S", 2)], [("ALDER-CAP", 1)]]
    )
    first, last = world.buy_labels(parts, batch=False)
    stack.travel(world.label_created_v2(first))
    stack.simulator.inject("purple_dot.create_fulfillment", fault)
    before = world.count("purple_dot.create_fulfillment")

    stack.travel(world.label_created_v2(last))

    assert statuses(stack.deliveries(order)) == [("delivered", None)] * 2
    assert (
        len(stack.fulfillments(order)),
        world.count("purple_dot.create_fulfillment") - before,
    ) == (2, posts)


def test_refused_credentials_are_tried_to_the_end_of_the_schedule_and_then_held_up_to_a_person(
    stack: Stack, world: World
) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    stack.simulator.inject("purple_dot.create_fulfillment", "status:401", count=5)

    stack.travel(world.label_created_v2(labels))

    assert statuses(stack.deliveries(order)) == [("dead", "credentials_refused")]
    assert [attempt["outcome"] for attempt in stack.delivery(order)["attempt_history"]] == [
        "retrying"
    ] * 4 + ["dead"]


def test_each_attempt_keeps_what_was_sent_and_what_was_answered(stack: Stack, world: World) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order))
    stack.simulator.inject("purple_dot.create_fulfillment", "drop_before")

    stack.travel(world.label_created_v2(labels))

    history = stack.delivery(order)["attempt_history"]
    assert [(attempt["number"], attempt["outcome"]) for attempt in history] == [
        (1, "unconfirmed"),
        (1, "retrying"),
        (2, "delivered"),
    ]
    sent = [attempt["request"] for attempt in history if attempt["request"]]
    assert sent == [{"fulfillment": body} for body in stack.fulfillments(order)] * 2
    assert (history[-1]["http_status"], "fulfillment" in history[-1]["answer"]) == (200, True)
