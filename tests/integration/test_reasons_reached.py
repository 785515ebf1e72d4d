"""Each reason is reached by a webhook, explained, and (where a person is needed) mended by what it
tells that person to do."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.operations import repair
from bridge.operations.explain import explain_delivery, explain_event
from tests.support import reason_stories as stories
from tests.support.fakes import Clock
from tests.support.reason_stories import STORIES, TEES_AND_CAP, Reached
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]


@pytest.fixture
def virtual_bridge(
    migrated_url: str,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[VirtualBridge]:
    with VirtualBridge(migrated_url, clock) as virtual_bridge:
        yield virtual_bridge


def test_no_reason_is_without_its_story() -> None:
    assert list(STORIES) == list(Reason)


def _stands(bridge: VirtualBridge, reached: Reached) -> Json:
    return (
        bridge.event(reached.id)
        if reached.id.startswith("evt_")
        else next(d for d in bridge.deliveries() if d["id"] == reached.id)
    )


@pytest.mark.parametrize(
    ("reason", "tell"), [(reason, tell) for reason, told in STORIES.items() for tell in told]
)
def test_reason_is_reached_by_a_webhook_and_explained(
    virtual_bridge: VirtualBridge, reason: Reason, tell: Callable[[VirtualBridge], Reached]
) -> None:
    reached = tell(virtual_bridge)

    story = _stands(virtual_bridge, reached)
    explained = "\n".join(
        (explain_event if reached.id.startswith("evt_") else explain_delivery)(story)
    )
    assert (story["reason"], story["status"]) == (reason, MEANINGS[reason].verdict)
    assert MEANINGS[reason].sentence in explained
    assert MEANINGS[reason].shell_step in explained
    assert virtual_bridge.left_without_a_time() == []


# What a person does next


def _retry(bridge: VirtualBridge, reached: Reached) -> None:
    bridge.simulator.faults.clear()
    bridge.repair(reached.id, repair.retry)


def _look_and_retry(bridge: VirtualBridge, reached: Reached) -> None:
    assert bridge.accepted(reached.order) == []
    bridge.repair(reached.id, repair.retry, has_looked=True)


def _tell_again(bridge: VirtualBridge, reached: Reached) -> None:
    assert reached.webhook
    bridge.send(reached.webhook)


def _resolve(status: str) -> Callable[[VirtualBridge, Reached], None]:
    def act(bridge: VirtualBridge, reached: Reached) -> None:
        bridge.repair(
            reached.id,
            repair.resolve,
            status=DeliveryStatus(status),
            reason="agreed with the shopper",
        )

    return act


def _link(bridge: VirtualBridge, reached: Reached) -> None:
    order = reached.order or bridge.world.add_order("PD731/1", TEES_AND_CAP)
    reached.order = order
    bridge.link(reached.id, order)


def _order_appears(bridge: VirtualBridge, reached: Reached) -> None:
    reached.order = bridge.world.add_order("PD730/1", TEES_AND_CAP)
    _retry(bridge, reached)


def _number_is_corrected(bridge: VirtualBridge, reached: Reached) -> None:
    assert reached.shipment
    reached.order = bridge.world.add_order("PD732/1", TEES_AND_CAP)
    reached.shipment.shipment_number = reached.order.reference
    _retry(bridge, reached)


def _sku_is_corrected(bridge: VirtualBridge, reached: Reached) -> None:
    assert reached.shipment
    assert reached.order
    reached.shipment.items = bridge.world.add_shipstation_order(reached.order).items
    _retry(bridge, reached)


def _number_is_added(
    act: Callable[[VirtualBridge, Reached], None],
) -> Callable[[VirtualBridge, Reached], None]:
    def add(bridge: VirtualBridge, reached: Reached) -> None:
        bridge.world.marked_shipped[-1].tracking_number = "794600000017"
        act(bridge, reached)

    return add


def _retry_is_refused(bridge: VirtualBridge, reached: Reached) -> None:
    with pytest.raises(RefusedError, match="twice"):
        _retry(bridge, reached)
    _resolve("delivered")(bridge, reached)


Act = Callable[[VirtualBridge, Reached], None]

GOES_ON: list[tuple[Callable[[VirtualBridge], Reached], Act]] = [
    (stories.ambiguous, _link),
    (stories.not_found, _order_appears),
    (stories.not_found, _number_is_corrected),
    (stories.not_found, _link),
    (stories.unknown_line, _sku_is_corrected),
    (stories.no_number, _number_is_added(_tell_again)),
    (stories.no_number, _number_is_added(_retry)),
    (stories.lost_part("drop_before"), _look_and_retry),
    (stories.broken, _retry),
    (stories.refused("status:422"), _retry),
    (stories.refused("redirect_login"), _retry),
]
"""Where the reason says to link, to correct and retry, or to tell again."""

IS_CLOSED: list[tuple[Callable[[VirtualBridge], Reached], Act, str]] = [
    (stories.cancelled, _resolve("cancelled"), "cancelled"),
    (stories.elsewhere, _resolve("delivered"), "delivered"),
    (stories.nothing_left, _resolve("cancelled"), "cancelled"),
    (stories.no_items, _resolve("delivered"), "delivered"),
    (stories.too_many, _resolve("delivered"), "delivered"),
    (stories.no_number, _resolve("delivered"), "delivered"),
    (stories.lost_part("drop_after_commit"), _resolve("delivered"), "delivered"),
    (stories.voided_late, _retry_is_refused, "delivered"),
    (stories.replaced_late, _retry_is_refused, "delivered"),
    (stories.refused_by_the_provider, _resolve("cancelled"), "cancelled"),
    (stories.refused("status:422"), _resolve("cancelled"), "cancelled"),
]
"""Where the reason says to mend it outside and resolve."""


@pytest.mark.parametrize(("tell", "act"), GOES_ON)
def test_what_a_person_mended_goes_out(
    virtual_bridge: VirtualBridge, tell: Callable[[VirtualBridge], Reached], act: Act
) -> None:
    reached = tell(virtual_bridge)

    act(virtual_bridge, reached)
    virtual_bridge.settle()

    delivery = _stands(virtual_bridge, reached)
    assert (delivery["status"], delivery["reason"]) == ("delivered", None)
    [body] = virtual_bridge.accepted(reached.order)
    assert body["line_items"] == [
        {"id": line["id"], "quantity": line["quantity"]} for line in delivery["line_items"]
    ]
    assert len(virtual_bridge.accepted()) == 1


@pytest.mark.parametrize(("tell", "act", "status"), IS_CLOSED)
def test_what_a_person_resolved_is_closed_for_good(
    virtual_bridge: VirtualBridge, tell: Callable[[VirtualBridge], Reached], act: Act, status: str
) -> None:
    reached = tell(virtual_bridge)
    before = virtual_bridge.accepted()

    act(virtual_bridge, reached)
    virtual_bridge.simulator.faults.clear()
    if reached.webhook:
        virtual_bridge.travel(reached.webhook)

    delivery = _stands(virtual_bridge, reached)
    assert (delivery["status"], delivery["reason"], delivery["next_attempt_at"]) == (
        status,
        None,
        None,
    )
    assert delivery["attempt_history"][-1]["detail"] == "resolved by hand: agreed with the shopper"
    assert virtual_bridge.accepted() == before
    with pytest.raises(RefusedError):
        virtual_bridge.repair(reached.id, repair.retry)
