"""A replay that can't hurt: whatever is replayed, how often, from which facts, in whatever order,
no shipment goes out twice; and a process that is killed in the middle of a run takes each event
once, on both databases."""

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.store import replays
from tests.integration.test_laws import ON_SQLITE, PLANS, SLOW, Plan, _carry_out, _told, bridges
from tests.support.replays import chosen, items, start, story
from tests.support.stack import Stack
from tests.support.virtual_bridge import VirtualBridge
from tests.support.waiting import wait_until

pytest_plugins = ["tests.support.database_fixtures"]
__all__ = ["bridges"]

REPLAYS = st.lists(
    st.tuples(
        st.booleans(),
        st.booleans(),
        st.integers(0, 3),
        st.sampled_from([None, "void", "fail", "lose"]),
    ),
    min_size=1,
    max_size=3,
)


def _meanwhile(bridge: VirtualBridge, what: str | None) -> None:
    """What goes on at the vendors while a person replays."""
    if what == "void" and bridge.world.labels:
        bridge.world.void_label(bridge.world.labels[0]) if not bridge.world.labels[
            0
        ].voided else None
    elif what is not None:
        bridge.simulator.inject(
            "purple_dot.create_fulfillment", "status:422" if what == "fail" else "drop_after_commit"
        )


@ON_SQLITE
@settings(SLOW, max_examples=12)
@given(plan=PLANS, rounds=REPLAYS, first=st.sampled_from([None, "fail", "lose"]))
def test_replaying_anything_any_number_of_times_never_tells_a_shipment_twice(
    bridges: Callable[[], VirtualBridge],
    plan: Plan,
    rounds: list[tuple[bool, bool, int, str | None]],
    first: str | None,
) -> None:
    with bridges() as bridge:
        bridge.forget()
        _meanwhile(bridge, first)
        order, _parcels = _carry_out(plan, bridge)

        for as_stored, notify, skipped, what in rounds:
            _meanwhile(bridge, what)
            bridge.clock.advance(120)
            start(
                bridge,
                *(chosen(bridge.database)[skipped:] or chosen(bridge.database)),
                as_stored=as_stored,
                notify_customer=notify,
            )
            bridge.settle()

        ordered = Counter({line.id: line.quantity for line in order.lines})
        numbers = Counter(body["tracking_info"]["number"] for body in bridge.accepted(order))
        assert _told(bridge, order) <= ordered
        assert set(numbers.values()) <= {1}


def test_run_killed_midway_takes_each_event_once(stack: Stack) -> None:
    """kill -9 to the worker, twice, while thirty refused parcels are replayed."""
    stack.start_receiver()
    worker = stack.start_worker()
    stack.simulator.inject("purple_dot.create_fulfillment", "status:422", count=30)
    told = [
        stack.world.add_shipstation_order(stack.world.add_order(lines=[("TEE", 1)]))
        for _ in range(30)
    ]
    ids = stack.travel(*(stack.world.label_created_v2(stack.world.buy_labels(one)) for one in told))
    stack.simulator.inject("shipstation.labels", "delay:0.02", count=None)
    run_id = _start(stack, ids)

    for share in (5, 15):
        wait_until(
            lambda share=share: story(stack.database, run_id)["ended"] >= share,
            20,
            f"{share} replays to end",
        )  # type: ignore[misc]
        worker.send(signal.SIGKILL)
        worker = stack.start_worker()
    wait_until(lambda: story(stack.database, run_id)["status"] == "done", 30, "the run to be done")
    stack.settle()

    replayed = [item["replay_event_id"] for item in items(stack.database, run_id)]
    assert len(set(replayed)) == 30
    assert sum(event["source"] == "replay" for event in stack.events()) == 30
    accepted = Counter(
        body["fulfillment"]["tracking_info"]["number"] for body in stack.world.fulfillments
    )
    settled: dict[str, Any] = {
        one["status"]: one["count"] for one in story(stack.database, run_id)["deliveries"]
    }
    assert set(accepted.values()) == {1}
    assert settled == {"delivered": 30}


def _start(stack: Stack, ids: list[str]) -> str:
    with stack.database.begin() as connection:
        how: dict[str, Any] = {
            "as_stored": False,
            "notify_customer": False,
            "now": stack.database.now(connection),
        }
        return replays.start(
            connection,
            ids,
            chosen={"ids": ids},
            actor="alice (shell)",
            reason="after the fix",
            **how,
        )
