"""Laws of the whole journey, whatever is told, how often, in what order: never more than ordered,
never blank, everything once.

Others stand beside what they are about: references match iff equal (test_translate_matching.py), a
link carries exactly its number (test_translate_carriers.py), translating is deterministic
(test_translate_shipments.py), a decision is never above what is left
(test_translate_fulfillments.py)."""

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.domain.actions import CreateFulfillment
from bridge.domain.errors import PayloadError
from bridge.domain.events import Record
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.domain.redaction import LEFT_OUT
from bridge.domain.shipments import ClueKind, Shipment
from bridge.simulator import PurpleDotOrder, ShipStationOrder, World
from bridge.store.engine.database import Database
from bridge.translate.fulfillments import decide
from bridge.translate.matching import Match, match
from bridge.translate.plans import Policy
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.webhook import storable
from tests.support import payload_files
from tests.support.fakes import Clock
from tests.support.rows import POLICY, rows
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

SLOW = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ON_SQLITE = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
"""The same journeys on PostgreSQL: test_promise.py."""

# Any split, told by anyone


@dataclass(frozen=True)
class Plan:
    """An order, the parcel of each of its units, who tells of each parcel (more than once,
    perhaps), and the order in which they do. `works` says after which webhooks the worker has a
    moment; `twins` which parcels get one more label, that nobody voids."""

    lines: list[tuple[str, int]]
    parcel_of: list[int]
    style: str
    kinds: list[str]
    tellers: list[list[int]]
    shuffle: Any
    works: list[bool]
    twins: list[bool]


TELLERS: dict[str, list[str]] = {
    "label": ["label_created_v2", "ship_notify", "item_ship_notify", "inline"],
    "mark": ["fulfillment_shipped_v2", "v1_fulfillment_shipped"],
    "inline": ["inline"],
}
THREE = {"min_size": 3, "max_size": 3}
PLANS = st.builds(
    Plan,
    lines=st.lists(
        st.tuples(st.sampled_from(["TEE", "CAP", "MUG"]), st.integers(1, 3)), min_size=1, max_size=3
    ),
    parcel_of=st.lists(st.integers(0, 2), min_size=9, max_size=9),
    style=st.sampled_from(["reference", "id"]),
    kinds=st.lists(st.sampled_from(list(TELLERS)), **THREE),
    tellers=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), **THREE),
    shuffle=st.randoms(use_true_random=False),
    works=st.lists(st.booleans(), min_size=24, max_size=24),
    twins=st.lists(st.booleans(), **THREE),
)


def _parcels(plan: Plan, world: World) -> tuple[PurpleDotOrder, list[ShipStationOrder]]:
    order = world.add_order(lines=plan.lines)
    packed = [Counter[str]() for _ in range(3)]
    for place, sku in enumerate(sku for sku, quantity in plan.lines for _ in range(quantity)):
        packed[plan.parcel_of[place]][sku] += 1
    whole = world.add_shipstation_order(order, style=plan.style)
    return order, world.split(whole, [list(part.items()) for part in packed if part])


def _webhooks(plan: Plan, world: World, parcels: list[ShipStationOrder]) -> list[Json]:
    told: list[Json] = []
    for parcel, kind, tellers, twin in zip(
        parcels, plan.kinds, plan.tellers, plan.twins, strict=False
    ):
        things: list[Any] = (
            world.buy_labels([parcel] * (1 + twin), batch=False)
            if kind == "label"
            else [world.mark_shipped(parcel)]
        )
        for thing in things:
            names = [TELLERS[kind][number % len(TELLERS[kind])] for number in tellers]
            inline = world.inline_fulfillments([world.inline_row(parcel, thing.tracking_number)])
            told += [inline if name == "inline" else getattr(world, name)(thing) for name in names]
    plan.shuffle.shuffle(told)
    return told


def _carry_out(plan: Plan, bridge: VirtualBridge) -> tuple[PurpleDotOrder, int]:
    """Everything is told and worked off; the order and how many parcels left."""
    order, parcels = _parcels(plan, bridge.world)
    for webhook, works in zip(_webhooks(plan, bridge.world, parcels), plan.works * 2, strict=False):
        bridge.send(webhook)
        if works:
            bridge.work()
    bridge.settle()
    return order, len(parcels)


def _told(bridge: VirtualBridge, order: PurpleDotOrder) -> Counter[str]:
    lines = [line for body in bridge.accepted(order) for line in body["line_items"]]
    return sum((Counter({line["id"]: line["quantity"]}) for line in lines), Counter[str]())


@pytest.fixture
def bridges(
    migrated_url: str,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Callable[[], VirtualBridge]:
    """A bridge with an empty database for each example."""

    def made() -> VirtualBridge:
        bridge = VirtualBridge(migrated_url, Clock())
        bridge.forget()
        return bridge

    return made


@ON_SQLITE
@settings(SLOW, max_examples=12)
@given(plan=PLANS)
def test_any_mix_of_events_over_any_split_delivers_everything_exactly_once(
    bridges: Callable[[], VirtualBridge], plan: Plan
) -> None:
    plan.twins[:] = [False] * 3

    with bridges() as bridge:
        order, parcels = _carry_out(plan, bridge)

        assert {(row["status"], row["reason"]) for row in bridge.deliveries()} == {
            ("delivered", None)
        }
        assert (
            len({body["tracking_info"]["number"] for body in bridge.accepted(order)})
            == len(bridge.sent)
            == parcels
        )
        assert _told(bridge, order) == {line.id: line.quantity for line in order.lines}
        assert order.status == "FULFILLED"
        assert {event["status"] for event in bridge.events()} <= {"processed", "ignored"}


@ON_SQLITE
@settings(SLOW, max_examples=12)
@given(plan=PLANS)
def test_more_labels_than_goods_never_deliver_more_than_was_ordered(
    bridges: Callable[[], VirtualBridge], plan: Plan
) -> None:
    with bridges() as bridge:
        order, parcels = _carry_out(plan, bridge)

        told, ordered = (
            _told(bridge, order),
            Counter({line.id: line.quantity for line in order.lines}),
        )
        held = [row for row in bridge.deliveries() if row["status"] == "held"]
        assert told <= ordered
        assert all(body["line_items"] for body in bridge.sent)
        assert len(bridge.sent) == len(bridge.accepted()) <= parcels
        assert held or told == ordered


@ON_SQLITE
@settings(SLOW, max_examples=3)
@given(plan=PLANS)
def test_same_story_told_twice_ends_the_same(
    bridges: Callable[[], VirtualBridge], plan: Plan
) -> None:
    ends = []
    for again in (copy.deepcopy(plan), copy.deepcopy(plan)):
        with bridges() as bridge:
            _carry_out(again, bridge)
            ends.append(
                (
                    sorted(map(str, bridge.accepted())),
                    sorted(str(row["status"]) for row in bridge.deliveries()),
                )
            )

    assert ends[0] == ends[1]


# Whatever a vendor answers


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.sampled_from(["", "se-1", "PD100/1", "ALDER", "1Z1", "N/A"])
    | st.just([])
)


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        *([path] if path else []),
        *(deeper for key, one in inside for deeper in _places(one, (*path, key))),
    ]


def _order_of(shipment: Shipment) -> FulfillmentOrder:
    """An order that the shipment names, with its items as lines."""
    ids = [clue.value for clue in shipment.clues if clue.kind is ClueKind.ORDER_ID] or [
        "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01"
    ]
    lines = [
        OrderLine(item.line_item_id or f"line-{place}", item.quantity, item.sku)
        for place, item in enumerate(shipment.items)
    ]
    return FulfillmentOrder(
        ids[0], shipment.order_number or "PD1/1", OrderStatus.UNFULFILLED, tuple(lines)
    )


@given(name=st.sampled_from(payload_files.names()), data=st.data())
def test_whatever_a_vendor_answers_is_decided_or_refused_with_our_own_error(
    name: str, data: st.DataObject
) -> None:
    payload, policy = payload_files.load(name), POLICY
    records = payload.records()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(records) - 1))
        body = copy.deepcopy(records[at].body)
        *path, last = data.draw(st.sampled_from(_places(body)))
        place: Any = body
        for key in path:
            place = place[key]
        place[last] = data.draw(ANYTHING)
        records[at] = Record(records[at].kind, records[at].record_id, body)

    try:
        shipments = EVENT_TYPES[payload.event_type].translate(records)
    except PayloadError:
        return
    for shipment in shipments:
        _check_decision(shipment, policy)


def _check_decision(shipment: Shipment, policy: Policy) -> None:
    order = _order_of(shipment)
    matched = match(shipment, orders=[order], bound=None, pattern=policy.pattern)
    for one in matched if isinstance(matched, tuple) else (Match(order, "linked", shipment.items),):
        decisions = [
            decide(shipment, one, earlier=(), notify_default=False, carriers=policy.carriers)
            for _ in range(2)
        ]
        assert decisions[0] == decisions[1]
        if isinstance(decisions[0], CreateFulfillment):
            ordered: Counter[str] = Counter()
            for line in order.lines:  # One that is named twice has the units of both.
                ordered[line.id] += line.quantity
            assert decisions[0].lines
            assert decisions[0].tracking.number
            assert all(0 < line.quantity <= ordered[line.id] for line in decisions[0].lines)


# Whatever comes in


@pytest.fixture
def door(bridges: Callable[[], VirtualBridge]) -> Iterator[VirtualBridge]:
    with bridges() as bridge:
        yield bridge


WHITE = st.text(" \t\r\n", max_size=4)
NOTES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(SLOW, max_examples=40)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_an_event_that_keeps_no_more_than_may_be_stored(
    door: VirtualBridge, raw: bytes
) -> None:
    door.forget()

    door.post(raw)

    assert [bytes(row.body) for row in _events(door.database)] == [storable(raw)]


@settings(SLOW, max_examples=40)
@given(
    before=WHITE,
    between=WHITE,
    is_ascii=st.booleans(),
    is_known=st.booleans(),
    note=NOTES | st.none(),
)
def test_any_spelling_of_a_notification_comes_back_as_it_was_unless_it_says_more_than_we_read(
    door: VirtualBridge, before: str, between: str, is_ascii: bool, is_known: bool, note: str | None
) -> None:
    door.forget()
    told = {
        "resource_type": "SHIP_NOTIFY" if is_known else "ORDER_NOTIFY",
        "resource_url": f"{door.simulator.url}/shipments?batchId=1",
    }
    more = {} if note is None else {"note": note}
    raw = (
        before
        + json.dumps(told | more, ensure_ascii=is_ascii).replace(", ", f",{between}")
        + between
    ).encode()

    answer = door.post(raw)

    assert answer.status_code == 202
    [stored] = [bytes(row.body) for row in _events(door.database)]
    assert json.loads(stored) == told | dict.fromkeys(more, LEFT_OUT)
    assert stored == raw or more


def _events(database: Database) -> list[Any]:
    return rows(database, "events")
