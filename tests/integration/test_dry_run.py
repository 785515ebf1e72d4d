"""A dry run decides and shows everything, and no fulfillment leaves; once it is over, what waited
goes out."""

from collections.abc import Callable

import pytest

from bridge.domain.errors import DryRunError
from bridge.settings import Settings
from bridge.vendors.http import ApiClient
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]

HOUR = 3600


def test_nothing_is_posted_and_what_would_be_is_shown_once(
    bridges: Callable[..., VirtualBridge],
) -> None:
    bridge = bridges(BRIDGE_DRY_RUN="true")
    world = bridge.world
    order = world.add_order(lines=[("TEE", 1)])
    bridge.send(world.label_created_v2(world.buy_labels(world.add_shipstation_order(order))))
    for _ in range(3):
        bridge.work()
        bridge.clock.advance(HOUR + 1)

    [delivery] = bridge.deliveries()
    [attempt] = delivery["attempt_history"]
    assert (bridge.sent, bridge.accepted(order)) == ([], [])
    assert (delivery["status"], delivery["attempts"]) == ("waiting", 0)
    assert attempt["request"]["fulfillment"]["fulfillment_order_id"] == order.id
    assert "dry run" in attempt["detail"]


def test_what_waited_goes_out_once_the_dry_run_is_over(
    bridges: Callable[..., VirtualBridge],
) -> None:
    bridge = bridges(BRIDGE_DRY_RUN="true")
    world = bridge.world
    order = world.add_order(lines=[("TEE", 1)])
    bridge.send(world.label_created_v2(world.buy_labels(world.add_shipstation_order(order))))
    bridge.work()

    bridge._jobs = bridge._create_jobs(Settings.load(bridge.environ | {"BRIDGE_DRY_RUN": "false"}))
    bridge.clock.advance(HOUR + 1)
    bridge.settle()

    assert len(bridge.accepted(order)) == 1
    assert [delivery["status"] for delivery in bridge.deliveries()] == ["delivered"]


@pytest.mark.parametrize("operation", ["create_fulfillment", "create_fulfillments"])
def test_client_itself_refuses_to_send_a_fulfillment(operation: str) -> None:
    """Whatever asks it to."""
    client = ApiClient(system="purple_dot", origins=lambda _: True, is_dry_run=True)

    with pytest.raises(DryRunError, match="nothing was sent"):
        client.send(operation, "POST", "http://127.0.0.1:1/fulfillment", {})
