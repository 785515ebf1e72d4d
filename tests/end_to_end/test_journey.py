"""A webhook's whole way, through real processes: what Purple Dot gets for it, exactly, and what
stands in the mapping log."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bridge.simulator import Item, PurpleDotOrder, World
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from tests.support.stack import Json, Stack, statuses

TEES_AND_CAP = (("ALDER-TEE-S", 2), ("ALDER-CAP", 1))

UPS_LABEL = "http://wwwapps.ups.com/WebTracking/processRequest?HTMLVersion=5.0&Requester=NES&AgreeToTermsAndConditions=yes&loc=en_US&tracknum={}"
UPS = "https://www.ups.com/track?tracknum={}"
USPS = "https://tools.usps.com/go/TrackConfirmAction?tLabels={}"
FEDEX = "https://www.fedex.com/fedextrack/?action=track&trackingnumber={}"


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    return running_stack


@pytest.fixture
def world(stack: Stack) -> World:
    return stack.world


def _told(
    order: PurpleDotOrder,
    number: str | None,
    company: str,
    link: str,
    *,
    units: dict[str | None, int] | None = None,
    notify: bool = False,
) -> Json:
    """The body for this parcel: all units of the order, or those of the SKUs in `units`."""
    ids = {line.sku: line.id for line in order.lines}
    wanted = units or {line.sku: line.quantity for line in order.lines}
    return {
        "fulfillment_order_id": order.id,
        "line_items": [{"id": ids[sku], "quantity": quantity} for sku, quantity in wanted.items()],
        "notify_customer": notify,
        "tracking_info": {"number": number, "company": company, "url": link.format(number)},
    }


# Each event type


@dataclass(frozen=True)
class Story:
    """Webhooks, and the bodies that Purple Dot must get for them."""

    order: PurpleDotOrder
    webhooks: list[Json]
    bodies: list[Json]


def _v2_label(world: World) -> Story:
    order = world.add_order(lines=TEES_AND_CAP)
    [label] = world.buy_labels(world.add_shipstation_order(order))
    return Story(
        order,
        [world.label_created_v2(label)],
        [_told(order, label.tracking_number, "UPS", UPS_LABEL)],
    )


def _v2_label_tied_by_id(world: World) -> Story:
    order = world.add_order(lines=TEES_AND_CAP)
    [label] = world.buy_labels(
        world.add_shipstation_order(order, shipment_number="10042", style="id", with_line_ids=True)
    )
    return Story(
        order,
        [world.label_created_v2(label)],
        [_told(order, label.tracking_number, "UPS", UPS_LABEL)],
    )


def _v2_label_tied_by_custom_field(world: World) -> Story:
    order = world.add_order(ref_style="hash")
    [label] = world.buy_labels(
        world.add_shipstation_order(order, style="custom_field"), carrier="stamps_com"
    )
    return Story(
        order, [world.label_created_v2(label)], [_told(order, label.tracking_number, "USPS", USPS)]
    )


def _v2_label_tied_by_reference_in_lower_case(world: World) -> Story:
    order = world.add_order()
    parcel = world.add_shipstation_order(order, shipment_number=f" #{order.reference.lower()} ")
    [label] = world.buy_labels(parcel, carrier="fedex")
    return Story(
        order,
        [world.label_created_v2(label)],
        [_told(order, label.tracking_number, "FedEx", FEDEX)],
    )


def _v2_mark_as_shipped(world: World) -> Story:
    order = world.add_order()
    shipped = world.mark_shipped(world.add_shipstation_order(order), "FedEx")
    return Story(
        order,
        [world.fulfillment_shipped_v2(shipped)],
        [_told(order, shipped.tracking_number, "FedEx", FEDEX)],
    )


def _v1_label(world: World) -> Story:
    order = world.add_order()
    [label] = world.buy_labels(world.add_shipstation_order(order), carrier="ups")
    return Story(
        order, [world.ship_notify(label)], [_told(order, label.tracking_number, "UPS", UPS)]
    )


def _v1_label_of_a_part(world: World) -> Story:
    order = world.add_order(lines=TEES_AND_CAP)
    parcel = world.add_shipstation_order(order, style="id", with_line_ids=True)
    [label] = world.buy_labels(
        parcel, carrier="stamps_com", items=[("ALDER-TEE-S", 1), ("ALDER-CAP", 1)]
    )
    units: dict[str | None, int] = {"ALDER-TEE-S": 1, "ALDER-CAP": 1}
    return Story(
        order,
        [world.item_ship_notify(label)],
        [_told(order, label.tracking_number, "USPS", USPS, units=units)],
    )


def _v1_label_with_a_discount_row(world: World) -> Story:
    order = world.add_order(lines=[("ALDER-TEE-S", 2)])
    items = [
        Item("ALDER-TEE-S", 2),
        Item("ALDER-TEE-S", 1, adjustment=True),
        Item(None, 1, name="10% off", adjustment=True),
    ]
    [label] = world.buy_labels(world.add_shipstation_order(order, items))
    return Story(
        order, [world.ship_notify(label)], [_told(order, label.tracking_number, "UPS", UPS)]
    )


def _v1_mark_as_shipped(world: World) -> Story:
    order = world.add_order(ref_style="hash")
    shipped = world.mark_shipped(
        world.add_shipstation_order(order), "USPS", "9400111899223000000777"
    )
    return Story(
        order,
        [world.v1_fulfillment_shipped(shipped)],
        [_told(order, shipped.tracking_number, "USPS", USPS)],
    )


def _inline(world: World) -> Story:
    order, silent = world.add_order(), world.add_order()
    rows = [
        world.inline_row(
            world.add_shipstation_order(order),
            "1ZB7X0410390000771",
            notify_customer=True,
            ship_date="2026-11-20T00:00:00Z",
        ),
        world.inline_row(
            world.add_shipstation_order(silent), "1ZB7X0410390000772", notify_order_source=True
        ),
    ]
    return Story(
        order,
        [world.inline_fulfillments(rows)],
        [_told(order, "1ZB7X0410390000771", "UPS", UPS, notify=True)],
    )


STORIES: dict[str, list[Callable[[World], Story]]] = {
    "LABEL_CREATED_V2": [
        _v2_label,
        _v2_label_tied_by_id,
        _v2_label_tied_by_custom_field,
        _v2_label_tied_by_reference_in_lower_case,
    ],
    "FULFILLMENT_SHIPPED_V2": [_v2_mark_as_shipped],
    "SHIP_NOTIFY": [_v1_label, _v1_label_with_a_discount_row],
    "ITEM_SHIP_NOTIFY": [_v1_label_of_a_part],
    "FULFILLMENT_SHIPPED": [_v1_mark_as_shipped],
    "INLINE_FULFILLMENTS": [_inline],
}
REJECTIONS: dict[str, str] = {
    "FULFILLMENT_REJECTED_V2": "fulfillment_rejected_v2",
    "FULFILLMENT_REJECTED": "v1_fulfillment_rejected",
}


def test_every_event_type_travels_here() -> None:
    assert {*STORIES, *REJECTIONS} == set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("event_type", "tell"),
    [
        pytest.param(name, story, id=story.__name__.strip("_"))
        for name in STORIES
        for story in STORIES[name]
    ],
)
def test_purple_dot_gets_exactly_the_parcel_and_the_log_maps_it(
    stack: Stack, world: World, event_type: str, tell: Callable[[World], Story]
) -> None:
    story = tell(world)

    event_ids = stack.travel(*story.webhooks)

    assert stack.fulfillments(story.order) == story.bodies
    events = [stack.event(event_id) for event_id in event_ids]
    assert [(event["event_type"], event["status"], event["reason"]) for event in events] == [
        (event_type, "processed", None)
    ]
    [told], delivery = story.bodies, stack.delivery(story.order)
    assert delivery["event_ids"] == event_ids
    assert delivery | _mapping(world, story.order, told) == delivery


def _mapping(world: World, order: PurpleDotOrder, told: Json) -> Json:
    """What a delivered delivery says in the log."""
    place = next(n for n, body in enumerate(world.fulfillments) if body["fulfillment"] == told)
    skus = {line.id: line.sku for line in order.lines}
    return {
        "status": "delivered",
        "reason": None,
        "lane": "live",
        "fulfillment_order_id": order.id,
        "reference": order.reference,
        "purple_dot_fulfillment_id": world.fulfillment_ids[place],
        "tracking_number": told["tracking_info"]["number"],
        "tracking_company": told["tracking_info"]["company"],
        "tracking_url": told["tracking_info"]["url"],
        "line_items": [line | {"sku": skus[line["id"]]} for line in told["line_items"]],
        "notify_customer": told["notify_customer"],
        "attempts": 1,
        "next_attempt_at": None,
    }


@pytest.mark.parametrize("event_type", REJECTIONS)
def test_what_a_provider_rejected_is_held_and_nothing_goes_out(
    stack: Stack, world: World, event_type: str
) -> None:
    order = world.add_order()
    shipped = world.mark_shipped(
        world.add_shipstation_order(order),
        None,
        None,
        provider_code="acme_3pl",
        rejection="Out of stock",
    )
    webhook = getattr(world, REJECTIONS[event_type])(shipped)

    stack.travel(webhook)

    assert statuses(stack.deliveries(order)) == [("held", "rejected_by_provider")]
    assert stack.fulfillments(order) == []


def test_only_who_is_to_be_told_gets_an_email(stack: Stack, world: World) -> None:
    before = len(world.emails)

    story = _inline(world)
    stack.travel(*story.webhooks)

    assert [(email.order_id, email.tracking_number) for email in world.emails[before:]] == [
        (story.order.id, "1ZB7X0410390000771")
    ]


def test_webhook_of_another_type_causes_no_call(stack: Stack, world: World) -> None:
    [label] = world.buy_labels(world.add_shipstation_order(world.add_order()))
    before = len(world.calls)

    event_ids = stack.travel(
        world.track_event_v2(label),
        world.batch_processed_v2(label),
        world.v1_order_notify(label.order),
    )

    assert [stack.event(event_id)["reason"] for event_id in event_ids] == [
        "event_type_not_handled"
    ] * 3
    assert _calls(world, before) == {}


# Batches, splits, packages


def _calls(world: World, since: int) -> dict[str, int]:
    made = [
        f"{system}.{operation}" for system, operation in world.calls[since:] if system != "jwks"
    ]
    return {name: made.count(name) for name in sorted(set(made))}


def test_batch_of_thirty_labels_takes_few_calls(stack: Stack, world: World) -> None:
    orders = [world.add_order(lines=TEES_AND_CAP) for _ in range(30)]
    labels = world.buy_labels([world.add_shipstation_order(order) for order in orders])
    before = len(world.calls)

    stack.travel(world.label_created_v2(labels))

    assert [stack.fulfillments(order) for order in orders] == [
        [_told(order, label.tracking_number, "UPS", UPS_LABEL)]
        for order, label in zip(orders, labels, strict=True)
    ]
    assert _calls(world, before) == {
        "shipstation.labels": 1,
        "shipstation.shipments": 1,
        "purple_dot.orders_by_reference": 1,
        "purple_dot.create_fulfillment": 30,
    }


def test_fifty_parcels_of_which_forty_are_foreign_cost_one_lookup(
    stack: Stack, world: World
) -> None:
    orders = [world.add_order() for _ in range(10)]
    foreign = [world.add_shipstation_order(str(90_000 + n), [("SHOP-MUG", 1)]) for n in range(40)]
    parcels = foreign[:20] + [world.add_shipstation_order(order) for order in orders] + foreign[20:]
    before = len(world.calls)

    [event_id] = stack.travel(world.label_created_v2(world.buy_labels(parcels)))

    assert [len(stack.fulfillments(order)) for order in orders] == [1] * 10
    assert _calls(world, before) == {
        "shipstation.labels": 1,
        "shipstation.shipments": 1,
        "purple_dot.orders_by_reference": 1,
        "purple_dot.create_fulfillment": 10,
    }
    verdicts = [
        (decision["verdict"], decision["reason"]) for decision in stack.event(event_id)["decisions"]
    ]
    assert (
        sorted(verdicts, key=str)
        == [("delivery", None)] * 10 + [("ignored", "not_a_purple_dot_order")] * 40
    )


def test_foreign_parcel_costs_purple_dot_no_call(stack: Stack, world: World) -> None:
    [label] = world.buy_labels(world.add_shipstation_order("100482", [("SHOP-MUG", 1)]))
    before = world.count("purple_dot")

    event_ids = stack.travel(world.label_created_v2(label), world.ship_notify(label))

    assert [(stack.event(one)["status"], stack.event(one)["reason"]) for one in event_ids] == [
        ("ignored", "not_a_purple_dot_order")
    ] * 2
    assert world.count("purple_dot") == before


@pytest.mark.parametrize("webhook", ["label_created_v2", "ship_notify"])
def test_split_order_is_told_parcel_by_parcel(stack: Stack, world: World, webhook: str) -> None:
    order = world.add_order(lines=TEES_AND_CAP)
    parts = world.split(
        world.add_shipstation_order(order),
        [[("ALDER-TEE-S", 1)], [("ALDER-TEE-S", 1), ("ALDER-CAP", 1)]],
    )
    first, second = world.buy_labels(parts)
    link = {"label_created_v2": UPS_LABEL, "ship_notify": UPS}[webhook]

    stack.travel(getattr(world, webhook)([first, second]))

    one = _told(order, first.tracking_number, "UPS", link, units={"ALDER-TEE-S": 1})
    other = _told(
        order, second.tracking_number, "UPS", link, units={"ALDER-TEE-S": 1, "ALDER-CAP": 1}
    )
    assert sorted(stack.fulfillments(order), key=str) == sorted([one, other], key=str)
    assert order.status == "FULFILLED"


def test_references_are_told_apart_to_the_last_digit(stack: Stack, world: World) -> None:
    tenth = world.add_order("PD7300001/10")
    first = world.add_order("PD7300001/1")

    stack.travel(world.label_created_v2(world.buy_labels(world.add_shipstation_order(first))))

    assert (len(stack.fulfillments(first)), stack.fulfillments(tenth)) == (1, [])


def test_first_number_of_a_multi_package_label_goes_out_and_all_are_kept(
    stack: Stack, world: World
) -> None:
    order = world.add_order()
    [label] = world.buy_labels(world.add_shipstation_order(order), packages=3)

    stack.travel(world.label_created_v2(label))

    assert stack.fulfillments(order) == [_told(order, label.tracking_numbers[0], "UPS", UPS_LABEL)]
    assert stack.delivery(order)["all_tracking_numbers"] == label.tracking_numbers
    assert len(label.tracking_numbers) == 3


# What ships nothing, or not again


@pytest.mark.parametrize("webhook", ["label_created_v2", "ship_notify"])
def test_return_label_ships_nothing(stack: Stack, world: World, webhook: str) -> None:
    order = world.add_order()
    labels = world.buy_labels(world.add_shipstation_order(order), is_return=True)

    [event_id] = stack.travel(getattr(world, webhook)(labels))

    assert (stack.event(event_id)["status"], stack.event(event_id)["reason"]) == (
        "ignored",
        "return_label",
    )
    assert (stack.deliveries(order), stack.fulfillments(order)) == ([], [])


@pytest.mark.parametrize("webhook", ["label_created_v2", "ship_notify"])
def test_label_voided_before_it_is_fetched_ships_nothing_and_its_replacement_does(
    stack: Stack, world: World, webhook: str
) -> None:
    order = world.add_order()
    [old] = world.buy_labels(world.add_shipstation_order(order))
    new = world.replace_label(old)
    link = {"label_created_v2": UPS_LABEL, "ship_notify": UPS}[webhook]

    event_ids = stack.travel(getattr(world, webhook)(old), getattr(world, webhook)(new))

    assert stack.event(event_ids[0])["reason"] == "voided"
    assert stack.fulfillments(order) == [_told(order, new.tracking_number, "UPS", link)]


def test_label_voided_after_purple_dot_was_told_is_held_for_a_person(
    stack: Stack, world: World
) -> None:
    order = world.add_order()
    [label] = world.buy_labels(world.add_shipstation_order(order))
    stack.travel(world.label_created_v2(label))
    world.void_label(label)

    stack.travel(world.label_created_v2(label))

    assert statuses(stack.deliveries(order)) == [("held", "voided_after_delivery")]
    assert len(stack.fulfillments(order)) == 1


def test_replacement_made_before_the_void_does_not_fulfill_the_order_again(
    stack: Stack, world: World
) -> None:
    order = world.add_order(lines=[("ALDER-TEE-S", 2), ("ALDER-CAP", 2)])
    parcel = world.add_shipstation_order(order, [("ALDER-TEE-S", 1)])
    [old] = world.buy_labels(parcel)
    stack.travel(world.label_created_v2(old))
    [new] = world.buy_labels(parcel)

    stack.travel(world.label_created_v2(new))

    assert statuses(stack.deliveries(order)) == [
        ("delivered", None),
        ("held", "tracking_changed_after_delivery"),
    ]
    assert stack.fulfillments(order) == [
        _told(order, old.tracking_number, "UPS", UPS_LABEL, units={"ALDER-TEE-S": 1})
    ]


def test_replacement_without_items_is_held_and_never_means_the_whole_order(
    stack: Stack, world: World
) -> None:
    order = world.add_order(lines=TEES_AND_CAP)
    parcel = world.add_shipstation_order(order)
    [old] = world.buy_labels(parcel, items=[("ALDER-TEE-S", 1)])
    stack.travel(world.item_ship_notify(old))
    [new] = world.buy_labels(parcel, items=[])

    stack.travel(world.item_ship_notify(new))

    assert statuses(stack.deliveries(order)) == [("delivered", None), ("held", "no_items")]
    assert len(stack.fulfillments(order)) == 1
    assert order.status == "UNFULFILLED"


def test_one_parcel_told_by_every_api_is_told_on_once(stack: Stack, world: World) -> None:
    order = world.add_order()
    parcel = world.add_shipstation_order(order)
    [label] = world.buy_labels(parcel)
    row = world.inline_row(parcel, f"1z {str(label.tracking_number)[2:]}")
    before = world.count("purple_dot.create_fulfillment")

    stack.travel(
        world.ship_notify(label),
        world.item_ship_notify(label),
        world.label_created_v2(label),
        world.inline_fulfillments([row]),
    )

    assert len(stack.fulfillments(order)) == 1
    assert statuses(stack.deliveries(order)) == [("delivered", None)]
    assert world.count("purple_dot.create_fulfillment") == before + 1


def test_webhook_that_comes_again_after_all_is_done_does_nothing(
    stack: Stack, world: World
) -> None:
    order = world.add_order()
    body = world.label_created_v2(world.buy_labels(world.add_shipstation_order(order)))
    [first] = stack.travel(body)

    [second] = stack.travel(body)

    assert first != second
    assert (stack.event(second)["status"], stack.event(second)["reason"]) == (
        "ignored",
        "already_delivered",
    )
    assert len(stack.fulfillments(order)) == 1
