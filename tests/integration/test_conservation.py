"""Every unit that leaves is accounted for: posted once, waiting for a person, or nobody's.

A state machine packs boxes as warehouses do: parts of orders, several orders merged, two parts
under one number, labels replaced, numbers corrected. Both APIs report them, in any order and again
and again, while vendors fail, sweeps and replays run and people decide. In the end each box is held
against what Purple Dot accepted. `CONSERVATION_EXAMPLES=2000` looks longer, elsewhere each time.
"""

import os
from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.operations import repair
from bridge.simulator import Label, MarkedShipped, PurpleDotOrder, ShipStationOrder
from tests.support.fakes import Clock
from tests.support.state_machines import accepted_in
from tests.support.virtual_bridge import POINTS, Json, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

EXAMPLES = int(os.environ.get("CONSERVATION_EXAMPLES", "0"))

Units = Counter[tuple[str, str | None]]
"""How many of each (fulfillment order id, SKU)."""

READ_TROUBLE = ["status:404", "status:503", "unavailable:0", "unavailable_past:60", "not_json"]
POST_TROUBLE = [
    "status:500",
    "drop_before",
    "drop_after_commit",
    "error_after_commit",
    "commit_late:1",
    "no_in_a_success:9",
    "redirect_after_commit:302",
    "throttle:0",
]
READS = [
    "shipstation.labels",
    "shipstation.shipment",
    "shipstation.fulfillments",
    "shipstation_v1.shipments",
    "shipstation_v1.order",
    "purple_dot.orders_by_reference",
]


@dataclass(eq=False)
class Box:
    """What is really in it, the records that report it, and every number they ever had."""

    units: Units
    records: list[Label | MarkedShipped] = field(default_factory=list)
    numbers: set[str] = field(default_factory=set)
    order_numbers: set[str] = field(default_factory=set)
    is_reported: bool = False


class Conservation(RuleBasedStateMachine):
    url: ClassVar[str]
    shipments: Bundle[ShipStationOrder] = Bundle("shipments")
    boxes: Bundle[Box] = Bundle("boxes")

    def begin(self, hold: int) -> None:
        self.bridge = VirtualBridge(
            self.url,
            Clock(),
            BRIDGE_HOLD_SECONDS=str(hold),
            BRIDGE_SHIPSTATION_V1_CUSTOM_FIELDS="true",
        )
        self.bridge.forget()
        self.world = self.bridge.world
        self.contents: dict[ShipStationOrder, Units] = {}
        self.packed: list[Box] = []

    @initialize(target=shipments, hold=st.sampled_from([0, 600]))
    def two_orders(self, *, hold: int) -> Any:
        self.begin(hold)
        return multiple(*self._order("TEE", "CAP"), *self._order("MUG"))

    @rule(target=shipments, goods=st.sampled_from([("TEE",), ("TEE", "CAP"), ("CAP", "MUG")]))
    def order(self, *, goods: tuple[str, ...]) -> Any:
        return multiple(*self._order(*goods))

    def _order(self, *skus: str) -> list[ShipStationOrder]:
        """An order of two units of each SKU, split in ShipStation into two equal parts."""
        order = self.world.add_order(lines=[(sku, 2) for sku in skus])
        whole = self.world.add_shipstation_order(order)
        half = [(sku, 1) for sku in skus]
        parts = self.world.split(whole, [half, half])
        for part in parts:
            self.contents[part] = Counter({(order.id, sku): 1 for sku in skus})
        return parts

    @rule(
        target=shipments,
        first=consumes(shipments),
        second=consumes(shipments),
        names_orders=st.sampled_from(["", "id", "reference"]),
    )
    def merge(
        self, *, first: ShipStationOrder, second: ShipStationOrder, names_orders: str
    ) -> ShipStationOrder:
        self.world.merge(first, second, names_orders=names_orders)
        self.contents[first] = self.contents[first] + self.contents[second]
        return first

    # The warehouse

    @rule(target=boxes, shipment=consumes(shipments), is_label=st.booleans())
    def pack(self, *, shipment: ShipStationOrder, is_label: bool) -> Box:
        box = Box(self.contents[shipment])
        self._add_record(box, shipment, is_label=is_label, number=None)
        self.packed.append(box)
        return box

    @rule(
        target=boxes,
        first=consumes(shipments),
        second=consumes(shipments),
        kinds=st.tuples(st.booleans(), st.booleans()),
    )
    def pack_two_in_one_box(
        self, *, first: ShipStationOrder, second: ShipStationOrder, kinds: tuple[bool, bool]
    ) -> Box:
        """Both under the one number that is on the box."""
        number = f"1ZBOX{self.world.next_number('box'):09d}"
        box = Box(self.contents[first] + self.contents[second])
        for shipment, is_label in zip((first, second), kinds, strict=True):
            self._add_record(box, shipment, is_label=is_label, number=number)
        self.packed.append(box)
        return box

    def _add_record(
        self, box: Box, shipment: ShipStationOrder, *, is_label: bool, number: str | None
    ) -> None:
        record: Label | MarkedShipped
        if is_label:
            [record] = self.world.buy_labels(shipment, tracking=number)
        elif number:
            record = self.world.mark_shipped(shipment, "UPS", number)
        else:
            record = self.world.mark_shipped(shipment)
        box.records.append(record)
        box.numbers.add(normalize_tracking(record.tracking_number))
        box.order_numbers.add(shipment.shipment_number)

    @rule(box=boxes)
    def correct_number(self, *, box: Box) -> None:
        record = box.records[-1]
        number = f"1ZRIGHT{self.world.next_number('right'):07d}"
        self.world.correct_number(record, number)
        box.numbers.add(normalize_tracking(number))

    @rule(box=boxes)
    def replace_label(self, *, box: Box) -> None:
        record = box.records[-1]
        if isinstance(record, Label) and not record.voided:
            self.bridge.clock.advance(60)
            replacement = self.world.replace_label(record)
            box.records.append(replacement)
            box.numbers.add(normalize_tracking(replacement.tracking_number))

    # Who reports it

    @rule(box=boxes, is_v2=st.booleans(), which=st.integers(0, 2), works=st.booleans())
    def report(self, *, box: Box, is_v2: bool, which: int, works: bool) -> None:
        record = box.records[which % len(box.records)]
        box.is_reported = True
        self.bridge.send(self._webhook(record, is_v2=is_v2))
        if works:
            self.bridge.work()

    def _webhook(self, record: Label | MarkedShipped, *, is_v2: bool) -> Json:
        world = self.world
        if isinstance(record, Label):
            return world.label_created_v2(record) if is_v2 else world.ship_notify(record)
        if is_v2:
            return world.fulfillment_shipped_v2(record)
        return world.v1_fulfillment_shipped(record)

    @rule()
    def sweep(self) -> None:
        faults = list(self.bridge.simulator.faults)
        self.bridge.simulator.faults.clear()
        for box in self.packed:
            box.is_reported = True
        self.bridge.sweep()
        self.bridge.simulator.faults += faults

    # What goes wrong

    @rule(operation=st.sampled_from(READS), fault=st.sampled_from(READ_TROUBLE))
    def read_fails(self, *, operation: str, fault: str) -> None:
        self.bridge.simulator.inject(operation, fault, 1)

    @rule(fault=st.sampled_from(POST_TROUBLE))
    def post_fails(self, *, fault: str) -> None:
        self.bridge.simulator.inject("purple_dot.create_fulfillment", fault, 1)

    @rule(point=st.sampled_from(POINTS))
    def process_dies(self, *, point: str) -> None:
        self.bridge.dies_at = point

    @rule(seconds=st.sampled_from([1, 61, 901]))
    def time_passes(self, *, seconds: int) -> None:
        self.bridge.clock.advance(seconds)
        self.bridge.work()

    # People

    @rule(which=st.integers(0, 5), closes=st.booleans())
    def person_decides(self, *, which: int, closes: bool) -> None:
        """Closes an exception after a look into Purple Dot, or tries again."""
        self.world.apply_late()
        rows = [row for row in self.bridge.deliveries() if row["status"] in ("held", "dead")]
        if not rows:
            return
        row = rows[which % len(rows)]
        try:
            if closes:
                self._close(row)
            else:
                self._retry(row)
        except RefusedError:
            pass

    def _close(self, row: Json) -> None:
        number = normalize_tracking(row["tracking_number"])
        is_there = any(_number(body) == number for body in self.bridge.accepted())
        status = DeliveryStatus.DELIVERED if is_there else DeliveryStatus.CANCELLED
        self.bridge.repair(row["id"], repair.resolve, status=status, reason="seen")

    def _retry(self, row: Json) -> None:
        number = normalize_tracking(row["tracking_number"])
        if not any(_number(body) == number for body in self.bridge.accepted()):
            self.bridge.repair(row["id"], repair.retry, has_looked=True)

    # The law

    @invariant()
    def no_more_is_posted_than_a_box_holds(self) -> None:
        if not hasattr(self, "bridge"):
            return
        assert self.bridge.left_without_a_time() == []
        for box in self.packed:
            too_much = self._posted(box) - box.units
            assert not too_much, f"{dict(too_much)} of box {sorted(box.numbers)} was never in it"

    def teardown(self) -> None:
        if not hasattr(self, "bridge"):
            return
        try:
            self.bridge.simulator.faults.clear()
            self.bridge.dies_at = None
            self.bridge.settle()
            for box in self.packed:
                box.is_reported = True
            self.bridge.sweep()
            self.no_more_is_posted_than_a_box_holds()
            for box in self.packed:
                self._account_for(box)
        finally:
            self.bridge.close()

    def _account_for(self, box: Box) -> None:
        missing = box.units - self._posted(box)
        asks = [row for row in self.bridge.deliveries() if self._is_about(row, box)]
        asks += [event for event in self.bridge.events() if event["status"] == "dead"]
        assert not missing or asks, f"{dict(missing)} of box {sorted(box.numbers)} is lost"

    def _is_about(self, row: Json, box: Box) -> bool:
        """A delivery that stands before a person, or that one has closed."""
        is_by_hand = any("by hand" in str(attempt["detail"]) for attempt in row["attempt_history"])
        if row["status"] not in ("held", "dead") and not is_by_hand:
            return False
        numbers = {normalize_tracking(number) for number in row["all_tracking_numbers"]}
        return bool(numbers & box.numbers) or row["order_number"] in box.order_numbers

    def _posted(self, box: Box) -> Units:
        """The units that Purple Dot accepted under any number of the box."""
        units: Units = Counter()
        for body in self.bridge.accepted():
            if _number(body) not in box.numbers:
                continue
            order: PurpleDotOrder = self.world.orders[body["fulfillment_order_id"]]
            skus = {line.id: line.sku for line in order.lines}
            for line in body["line_items"]:
                units[order.id, skus[line["id"]]] += line["quantity"]
        return units


def _number(body: Json) -> str:
    return normalize_tracking(body["tracking_info"]["number"])


def test_every_unit_is_accounted_for(
    migrated_url: str,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> None:
    few = 20 if migrated_url.startswith("sqlite") else 5

    accepted = accepted_in(Conservation, migrated_url, few=few, steps=20, asked_for=EXAMPLES)

    assert accepted > 0, "no law was tried: nothing was ever posted"
