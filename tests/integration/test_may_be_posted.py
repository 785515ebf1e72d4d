"""A parcel that may be posted already is posted again only where a person has looked: whichever
act leads to the POST, and whoever calls it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bridge.domain.errors import LookFirstError, RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.operations import repair
from bridge.translate.carriers import Carriers
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]


@pytest.fixture
def held(bridge: VirtualBridge) -> Json:
    """Part of an order that Purple Dot took, and whose answer was lost."""
    order = bridge.world.add_order("PD880/1", [("TEE", 3)])
    bridge.simulator.inject("purple_dot.create_fulfillment", "drop_after_commit")
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    [delivery] = bridge.deliveries()
    assert delivery["reason"] == "unconfirmed_partial"
    return delivery


def act_of(act: Callable[..., str], **details: Any) -> Callable[[VirtualBridge, str], None]:
    def do(bridge: VirtualBridge, delivery_id: str) -> None:
        bridge.repair(delivery_id, act, **details)

    return do


def reopen(bridge: VirtualBridge, delivery_id: str, *, closed_as: DeliveryStatus) -> None:
    bridge.repair(delivery_id, repair.resolve, status=closed_as, reason="by mistake")
    bridge.repair(delivery_id, repair.reopen, reason="closed by mistake")


def _link_to_another(bridge: VirtualBridge, delivery_id: str) -> None:
    bridge.link(delivery_id, bridge.world.add_order("PD881/1", [("TEE", 1)]))


ACTS = {
    "retry": act_of(repair.retry),
    "link": _link_to_another,
    "what is left": act_of(repair.fulfill_remaining, carriers=Carriers(), agreed=None),
    "chosen lines": act_of(repair.fulfill_chosen, carriers=Carriers(), chosen={"line": 1}),
}


@pytest.mark.parametrize("act", ACTS)
def test_no_act_repeats_what_nobody_has_looked_for(
    bridge: VirtualBridge, held: Json, act: str
) -> None:
    with pytest.raises(RefusedError):
        ACTS[act](bridge, held["id"])
    bridge.settle()

    assert len(bridge.accepted()) == 1
    assert bridge.deliveries() == [held]


@pytest.mark.parametrize("closed_as", [DeliveryStatus.CANCELLED, DeliveryStatus.DELIVERED])
def test_what_was_closed_and_reopened_is_asked_about_as_before(
    bridge: VirtualBridge, held: Json, closed_as: DeliveryStatus
) -> None:
    reopen(bridge, held["id"], closed_as=closed_as)

    with pytest.raises(LookFirstError):
        bridge.repair(held["id"], repair.retry)
    bridge.settle()

    assert len(bridge.accepted()) == 1
    assert bridge.deliveries()[0]["reason"] == "unconfirmed_partial"


def test_refusal_asks_for_the_number_on_its_order(bridge: VirtualBridge, held: Json) -> None:
    question = f"Is {held['tracking_number']} on PD880/1 in Purple Dot?"

    with pytest.raises(LookFirstError) as refused:
        bridge.repair(held["id"], repair.retry)

    assert str(refused.value) == f"{held['id']} may be posted already. {question}"


def test_webhook_that_comes_again_repeats_nothing(bridge: VirtualBridge, held: Json) -> None:
    bridge.travel(bridge.world.label_created_v2(bridge.world.labels))

    assert len(bridge.accepted()) == 1
    assert [(row["id"], row["status"]) for row in bridge.deliveries()] == [(held["id"], "held")]


def test_who_has_looked_may_send_it_again(bridge: VirtualBridge, held: Json) -> None:
    bridge.repair(held["id"], partial(repair.retry, has_looked=True))
    bridge.settle()

    assert len(bridge.accepted()) == 2
    assert [delivery["status"] for delivery in bridge.deliveries()] == ["delivered"]
