"""The promise of the design, held against whatever a warehouse, two failing vendors, dying
processes and a person may do, in any order.

A state machine drives the real door, database and jobs against the real simulator, in virtual time.
After each run all faults are over, every schedule has passed, and each shipment must be accounted
for. `PROMISE_EXAMPLES=2000 pytest tests/integration/test_promise.py` looks longer, and
elsewhere each time; without it the same few runs are made, in seconds."""

import os
from collections import Counter
from collections.abc import Iterable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
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

from bridge.domain.errors import PermanentError, RefusedError, TemporaryError
from bridge.domain.events import COMMITTED, DeliveryStatus
from bridge.domain.reasons import MEANINGS, Reason
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.operations import repair
from bridge.pipeline.preflight import LABEL_IS_FRESH
from bridge.simulator import FAULTS, Label, MarkedShipped, PurpleDotOrder, ShipStationOrder
from bridge.simulator.faults import NO_IN_A_SUCCESS
from tests.support.fakes import Clock
from tests.support.state_machines import accepted_in
from tests.support.virtual_bridge import POINTS, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

Json = dict[str, Any]

EXAMPLES = int(os.environ.get("PROMISE_EXAMPLES", "0"))

BEFORE_IT_IS_DONE = [
    "status:500",
    "status:503",
    "status:408",
    "status:401",
    "drop_before",
    "redirect_login",
    "throttle:2",
    "throttle_date:3",
]
AFTER_IT_IS_DONE = [
    "error_after_commit",
    "drop_after_commit",
    "not_json",
    "truncated",
    "huge",
    "drip:0",
    "delay:0.01",
]
BEFORE_IT_IS_DONE += ["unavailable:0", "unavailable:5", "unavailable_past:60"]
AFTER_IT_IS_DONE += ["spent:60"]
NO_OR_YES = [f"no_in_a_success:{number}" for number in range(len(NO_IN_A_SUCCESS))]
NO_OR_YES += ["redirect_after_commit:302", "redirect_after_commit:303"]
REFUSALS = ["status:422", "status:404", "success_false"]
ON_ANY = [*BEFORE_IT_IS_DONE, *AFTER_IT_IS_DONE, *REFUSALS]
ON_READS = [*ON_ANY, "empty_first", "no_data"]
ON_POSTS = [*ON_ANY, "commit_late:1", "commit_late:2"]
"""`NO_OR_YES` joins them when the bridge takes neither for an answer. `no_data` says yes to a POST
and does nothing: nobody can know."""
LISTS = [
    "shipstation.labels",
    "shipstation.fulfillments",
    "shipstation_v1.shipments",
    "shipstation_v1.fulfillments",
]
LISTS += ["shipstation.shipments", "purple_dot.orders_by_reference"]
SINGLES = ["shipstation.label", "shipstation.shipment", "shipstation_v1.order", "purple_dot.order"]
ORDERS = ["shipstation.shipment", "shipstation_v1.order"]

MAY_STAND = {Reason.UNCONFIRMED_PARTIAL, Reason.VOIDED_AFTER_DELIVERY, Reason.ORDER_VOIDED}
"""Held for one of these, Purple Dot may have the fulfillment all the same."""

Lines = Sequence[tuple[str, int]]


@dataclass(eq=False)
class InlineParcel:
    """What a warehouse system told itself; no record at ShipStation repeats it."""

    order: ShipStationOrder
    tracking_number: str
    voided = is_return = False


Parcel = Label | MarkedShipped | InlineParcel

SKUS = st.sampled_from(["TEE", "CAP", "MUG"])
ORDERED = st.lists(st.tuples(SKUS, st.integers(1, 3)), min_size=1, max_size=3)
FAMILY = st.sampled_from(["label_created_v2", "ship_notify", "item_ship_notify", "inline"])
FAMILIES = st.lists(FAMILY, min_size=1, max_size=3)
TROUBLE = st.just("") | st.sampled_from(ON_POSTS) | st.sampled_from(POINTS)
RARELY = st.integers(0, 4).map(lambda n: n == 4)
SECONDS = st.sampled_from([1, 11, 16, 61, 301, 901, 90_000])


class Promise(RuleBasedStateMachine):
    """`owners` says which fulfillment orders a ShipStation order may belong to; `webhooks`
    what was sent of each parcel."""

    url: ClassVar[str]
    packed: Bundle[ShipStationOrder] = Bundle("packed")
    labels: Bundle[Label] = Bundle("labels")
    marks: Bundle[MarkedShipped] = Bundle("marks")

    def begin(self) -> None:
        self.bridge = VirtualBridge(self.url, Clock(), BRIDGE_SHIPSTATION_V1_CUSTOM_FIELDS="true")
        self.bridge.forget()
        self.world = self.bridge.world
        self.owners: dict[ShipStationOrder, list[PurpleDotOrder]] = {}
        self.webhooks: dict[Parcel, list[Json]] = {}
        self.injected: set[str] = set()
        self.by_hand: set[str] = set()

    # The shop

    @initialize(target=packed)
    def orders_to_begin_with(self) -> Any:
        """One in three parcels, one in a single one: enough for all else to happen to."""
        self.begin()
        split = self._order([("TEE", 2), ("CAP", 1)], [0, 1, 2])
        return multiple(*split, *self._order([("MUG", 2)], [0, 0]))

    @rule(
        target=packed,
        lines=ORDERED,
        hashed=st.booleans(),
        style=st.sampled_from(["reference", "reference", "id", "custom_field"]),
        ids=st.booleans(),
        gift=RARELY,
        parts=st.lists(st.integers(0, 2), min_size=9, max_size=9),
    )
    def order(
        self, *, lines: Lines, hashed: bool, style: str, ids: bool, gift: bool, parts: list[int]
    ) -> Any:
        """A pre-order in up to three parcels; a gift that is none may lie in the first."""
        with_ids = ids and len({sku for sku, _ in lines}) == len(lines)
        made = self._order(
            lines,
            parts,
            ref_style="hash" if hashed else "plain",
            style=style,
            with_line_ids=with_ids,
        )
        made[0].items += self.world.add_shipstation_order("gift", [("GIFT", 1)]).items * gift
        return multiple(*made)

    def _order(
        self, lines: Lines, parts: list[int], *, ref_style: str = "plain", **tied: Any
    ) -> list[ShipStationOrder]:
        order = self.world.add_order(lines=lines, ref_style=ref_style)
        parcels = [Counter[str]() for _ in range(3)]
        for place, sku in enumerate(sku for sku, quantity in lines for _ in range(quantity)):
            parcels[parts[place]][sku] += 1
        whole = self.world.add_shipstation_order(order, **tied)
        made = self.world.split(whole, [list(parcel.items()) for parcel in parcels if parcel])
        self.owners |= {shipment: [order] for shipment in made}
        return made

    @rule(
        target=packed,
        lines=ORDERED,
        kind=st.sampled_from(["packed as more", "names two", "of the shop"]),
    )
    def odd_order(self, *, lines: Lines, kind: str) -> ShipStationOrder:
        """More in the parcel than was ordered, two orders on one label, or no pre-order at all."""
        owners = [
            self.world.add_order(lines=lines)
            for _ in range(["of the shop", "packed as more", "names two"].index(kind))
        ]
        (sku, quantity), *others = lines
        if kind == "packed as more":
            made = self.world.add_shipstation_order(owners[0], [(sku, quantity + 1), *others])
        elif kind == "names two":
            made = self.world.add_shipstation_order(
                owners[0], custom_fields=(owners[1].reference, None, None)
            )
        else:
            made = self.world.add_shipstation_order(str(100_000 + self.world.next_number("shop")))
        self.owners[made] = owners
        return made

    @rule(label=labels, really=RARELY)
    def shopper_cancels(self, *, label: Label, really: bool) -> None:
        for order in self.owners[label.order] if really else ():
            if order.status == "UNFULFILLED":
                self.world.void_order(order)

    # The warehouse, and the webhooks that tell of it

    @rule(
        target=labels,
        shipment=consumes(packed),
        families=FAMILIES,
        packages=st.integers(1, 2),
        trouble=TROUBLE,
        works=st.booleans(),
    )
    def parcel_leaves(
        self,
        *,
        shipment: ShipStationOrder,
        families: list[str],
        packages: int,
        trouble: str,
        works: bool,
    ) -> Label:
        """Told at once, perhaps by several, while Purple Dot fails in some way or the process
        dies."""
        [label] = self.world.buy_labels(shipment, packages=packages)
        for family in families:
            self._tell_label(label, family)
        self._make(trouble)
        if works:
            self.bridge.work()
        return label

    @rule(
        target=labels,
        first=consumes(packed),
        second=consumes(packed),
        families=FAMILIES,
        trouble=TROUBLE,
    )
    def batch_leaves(
        self,
        *,
        first: ShipStationOrder,
        second: ShipStationOrder,
        families: list[str],
        trouble: str,
    ) -> Any:
        made = self.world.buy_labels([first, second], carrier="stamps_com")
        for family in families:
            self._tell_label(made[0], family)
        self._make(trouble)
        return multiple(*made)

    def _make(self, trouble: str) -> None:
        if trouble in POINTS:
            self.bridge.dies_at = trouble
        elif trouble:
            self._inject("purple_dot.create_fulfillment", trouble, 1)

    @rule(
        target=labels,
        label=labels,
        kind=st.sampled_from(["another", "return", "processing"]),
        family=FAMILY,
    )
    def other_label(self, *, label: Label, kind: str, family: str) -> Label:
        """For an order that has one: it should have been split, or the old one was forgotten."""
        status = "processing" if kind == "processing" else "completed"
        [other] = self.world.buy_labels(label.order, status=status, is_return=kind == "return")
        self._tell_label(other, family)
        return other

    @rule(label=labels)
    def label_is_finished(self, *, label: Label) -> None:
        if label.status == "processing":
            self.world.complete_label(label)

    @rule(
        target=labels, label=labels, families=st.lists(FAMILY, max_size=2), replaced=st.booleans()
    )
    def label_is_void(self, *, label: Label, families: list[str], replaced: bool) -> Any:
        """ShipStation tells of it only if it tells of the label again."""
        new = [self.world.replace_label(label, carrier="fedex")] if replaced else []
        self.world.void_label(label)
        for family in families:
            self._tell_label(label, family)
        for other in new:
            self._tell_label(other, "label_created_v2")
        return multiple(*new)

    @rule(label=labels, family=FAMILY, copies=st.integers(1, 3))
    def label_is_told(self, *, label: Label, family: str, copies: int) -> None:
        for _ in range(copies):
            self._tell_label(label, family)

    @rule(
        target=marks,
        shipment=consumes(packed),
        kind=st.sampled_from(["", "", "no number", "refused"]),
        is_v2=st.booleans(),
    )
    def marked_as_shipped(
        self, *, shipment: ShipStationOrder, kind: str, is_v2: bool
    ) -> MarkedShipped:
        given: Json = {
            "no number": {"tracking": None},
            "refused": {"tracking": None, "rejection": "Out of stock"},
        }.get(kind, {})
        mark = self.world.mark_shipped(shipment, **given)
        self.mark_is_told(mark, is_v2=is_v2)
        return mark

    @rule(mark=marks, is_v2=st.booleans(), void=RARELY)
    def mark_is_told_again(self, *, mark: MarkedShipped, is_v2: bool, void: bool) -> None:
        if void:
            self.world.void_fulfillment(mark)
        self.mark_is_told(mark, is_v2=is_v2)

    def mark_is_told(self, mark: MarkedShipped, *, is_v2: bool) -> None:
        name = "rejected" if mark.rejection else "shipped"
        self._tell(
            [mark],
            getattr(self.world, f"fulfillment_{name}_v2" if is_v2 else f"v1_fulfillment_{name}")(
                mark
            ),
        )

    @rule(shipment=consumes(packed))
    def warehouse_tells_itself(self, *, shipment: ShipStationOrder) -> None:
        parcel = InlineParcel(shipment, f"1ZB7X041{self.world.next_number('inline'):010d}")
        self._tell(
            [parcel],
            self.world.inline_fulfillments(
                [self.world.inline_row(shipment, parcel.tracking_number)]
            ),
        )

    def _tell_label(self, label: Label, family: str) -> None:
        if family != "inline":
            together = [other for other in self.world.labels if other.batch == label.batch]
            self._tell(together, getattr(self.world, family)(label))
        elif label.tracking_numbers and not label.is_return and not label.voided:
            row = self.world.inline_row(label.order, label.tracking_numbers[0], label.carrier)
            self._tell([label], self.world.inline_fulfillments([row]))

    def _tell(self, parcels: Iterable[Parcel], webhook: Json) -> None:
        for parcel in parcels:
            self.webhooks.setdefault(parcel, []).append(webhook)
        self.bridge.send(webhook)

    # What goes wrong

    @rule(
        operation=st.sampled_from(LISTS + SINGLES),
        fault=st.sampled_from(ON_READS),
        count=st.integers(1, 5),
    )
    def read_fails(self, *, operation: str, fault: str, count: int) -> None:
        """A vendor who says that there is no such order is believed: what only that order names is
        nobody's then."""
        is_possible = (
            operation in LISTS
            if fault == "empty_first"
            else fault != "status:404" or operation not in ORDERS
        )
        if is_possible:
            self._inject(operation, fault, count)

    @rule(fault=st.sampled_from(ON_POSTS), count=st.integers(1, 3))
    def post_fails(self, *, fault: str, count: int) -> None:
        self._inject("purple_dot.create_fulfillment", fault, count)

    def _inject(self, operation: str, fault: str, count: int) -> None:
        self.injected.add(fault)
        self.bridge.simulator.inject(operation, fault, count)

    @rule(point=st.sampled_from(POINTS))
    def die_at(self, *, point: str) -> None:
        self.bridge.dies_at = point

    # Time and work

    @rule(restart=st.booleans())
    def work(self, *, restart: bool) -> None:
        if restart:
            self.bridge.restart()
        self.bridge.work()

    @rule(seconds=SECONDS)
    def wait(self, *, seconds: int) -> None:
        self.bridge.clock.advance(seconds)
        self.bridge.work()

    # The person

    @rule(which=st.integers(0, 5), act=st.sampled_from(["mend", "mend", "retry"]))
    def person(self, *, which: int, act: str) -> None:
        """Does what the reason says is next; or tries any delivery again, once they know that
        Purple Dot has it not."""
        rows = self.bridge.deliveries()
        open_rows = (
            [row for row in rows if row["status"] in ("held", "dead")] if act == "mend" else rows
        )
        if open_rows:
            self._handle(open_rows[which % len(open_rows)], act)

    def _handle(self, row: Json, act: str) -> None:
        self.world.apply_late()
        is_there = bool(self._accepted([row["tracking_number"]]))
        try:
            if row["status"] in ("held", "dead") and (
                is_there or row["reason"] == Reason.REJECTED_BY_PROVIDER
            ):
                self._resolve(row, "delivered" if is_there else "cancelled")
            elif row["reason"] == Reason.AMBIGUOUS_ORDER:
                self._link(row)
            elif row["reason"] == Reason.TRACKING_CHANGED_AFTER_DELIVERY:
                self._resolve(row, "delivered")
            else:
                self.bridge.repair(row["id"], repair.retry, has_looked=True)
        except RefusedError:
            assert (
                act == "retry"
                or row["reason"] not in MEANINGS
                or "retry" not in MEANINGS[Reason(row["reason"])].shell_step
            )

    def _resolve(self, row: Json, status: str) -> None:
        self.bridge.repair(
            row["id"], repair.resolve, status=DeliveryStatus(status), reason="seen in Purple Dot"
        )
        self.by_hand.add(row["id"])

    def _link(self, row: Json) -> None:
        numbers = {
            shipment.shipment_number: owners for shipment, owners in self.owners.items() if owners
        }
        with suppress(TemporaryError, PermanentError):
            self.bridge.link(row["id"], numbers[row["order_number"]][0])

    # What holds at each moment

    @invariant()
    def what_holds_at_each_moment_holds(self) -> None:
        """What is work has a time; nothing blank ever left; no line is promised twice."""
        if not hasattr(self, "bridge"):
            return
        assert self.bridge.left_without_a_time() == []
        for body in self.bridge.sent:
            assert body["line_items"]
            assert all(line["quantity"] > 0 for line in body["line_items"])
        for order_id, taken in self._taken().items():
            assert all(
                taken[line.id] <= line.quantity for line in self.world.orders[order_id].lines
            )

    def _taken(self) -> dict[str, Counter[str]]:
        """Units of each line that some delivery has told, or may tell."""
        taken: dict[str, Counter[str]] = {}
        for row in self.bridge.deliveries():
            if DeliveryStatus(row["status"]) in COMMITTED or row["reason"] in MAY_STAND:
                for line in row["line_items"]:
                    taken.setdefault(row["fulfillment_order_id"], Counter())[line["id"]] += line[
                        "quantity"
                    ]
        return taken

    # What holds in the end

    def teardown(self) -> None:
        if not hasattr(self, "bridge"):
            return
        try:
            self.bridge.simulator.faults.clear()
            self.bridge.dies_at = None
            self.bridge.settle()
            self._check(is_told_again=False)
            for webhook in chain.from_iterable(self.webhooks.values()):
                self.bridge.send(webhook)
            self.bridge.settle()
            self._check(is_told_again=True)
        finally:
            self.bridge.close()

    def _check(self, *, is_told_again: bool) -> None:
        self.what_holds_at_each_moment_holds()
        rows, events = self.bridge.deliveries(), self.bridge.events()
        assert {event["status"] for event in events} <= {"processed", "ignored", "dead"}
        for event in events:
            for decision in event["decisions"]:
                assert decision["verdict"] != "ignored" or self._is_true(decision), decision
        for row in rows:
            assert row["status"] in ("delivered", "held", "dead", "cancelled")
            assert self._is_justified(row), (row["status"], row["reason"], row["detail"])
        for parcel in {*self.world.labels, *self.world.marked_shipped, *self.webhooks}:
            self._account_for(parcel, rows, events, is_told_again=is_told_again)
        self._check_that_voids_were_seen()
        known = {
            normalize_tracking(number) for parcel in self.webhooks for number in numbers_of(parcel)
        }
        assert {
            normalize_tracking(body["tracking_info"]["number"]) for body in self.bridge.accepted()
        } <= known

    def _check_that_voids_were_seen(self) -> None:
        """What left was not void, as far as a look of a minute ago can tell; a warehouse system's
        own word is not looked at again."""
        is_looked_at = [
            label
            for label in self.webhooks
            if isinstance(label, Label)
            and all("resource_url" in webhook for webhook in self.webhooks[label])
        ]
        voided = {
            label.tracking_number: label.voided_at for label in is_looked_at if label.voided_at
        }
        for body, at in zip(self.bridge.sent, self.bridge.sent_at, strict=True):
            voided_at = voided.get(body["tracking_info"]["number"])
            assert voided_at is None or at <= voided_at + LABEL_IS_FRESH, body

    def _is_true(self, decision: Json) -> bool:
        """Whether what was said to be nothing is nothing."""
        kind, record_id, reason = decision["record_kind"], decision["record_id"], decision["reason"]
        parcels = {key: parcel for parcel in self.webhooks for key in records_of(parcel)}
        parcel = parcels[kind, record_id]
        if reason == Reason.VOIDED:
            return parcel.voided
        if reason == Reason.RETURN_LABEL:
            return bool(getattr(parcel, "is_return", False))
        if reason == Reason.NOT_A_PURPLE_DOT_ORDER:
            return not self.owners[parcel.order] or self._is_unnamed(parcel)
        return reason == Reason.ALREADY_DELIVERED and decision["delivery_id"] in {
            row["id"] for row in self.bridge.deliveries()
        }

    def _is_unnamed(self, parcel: Parcel) -> bool:
        """Custom fields stand on ShipStation's order, which is not read for what is void."""
        return parcel.voided and not parcel.order.shipment_number.strip("#").startswith("PD")

    def _is_justified(self, row: Json) -> bool:
        """Whether a delivery's end is so in the world as well."""
        status, reason = row["status"], row["reason"]
        accepted = self._accepted([row["tracking_number"]], row["fulfillment_order_id"])
        if row["id"] in self.by_hand:
            return True
        if status == "delivered":
            told = [{key: line[key] for key in ("id", "quantity")} for line in row["line_items"]]
            return [body["line_items"] for body in accepted] == [told]
        if status == "cancelled":
            return reason in (
                Reason.VOIDED,
                Reason.ALREADY_DELIVERED,
                Reason.NOT_A_PURPLE_DOT_ORDER,
            )
        if reason in (Reason.ORDER_VOIDED,):
            return bool(self.world.orders[row["fulfillment_order_id"]].status == "VOIDED")
        if reason == Reason.REJECTED_BY_PURPLE_DOT:
            is_void = self.world.orders[row["fulfillment_order_id"]].status == "VOIDED"
            return is_void or bool(self.injected & set(REFUSALS))
        # Nobody else fulfills here.
        return (
            reason is not None
            and reason != Reason.ALREADY_FULFILLED_ELSEWHERE
            and MEANINGS[Reason(reason)].verdict in ("held", "dead")
        )

    def _account_for(
        self, parcel: Parcel, rows: list[Json], events: list[Json], *, is_told_again: bool
    ) -> None:
        numbers, records = numbers_of(parcel), records_of(parcel)
        mine = [
            row
            for row in rows
            if (row["shipment"]["record_kind"], row["shipstation_record_id"]) in records
        ]
        mine += [
            row
            for row in rows
            if {*map(normalize_tracking, numbers)}
            & {*map(normalize_tracking, row["all_tracking_numbers"])}
        ]
        accepted = self._accepted(numbers)
        assert len(accepted) <= 1, accepted
        if (
            parcel not in self.webhooks
            or not self.owners[parcel.order]
            or getattr(parcel, "is_return", False)
        ):
            assert not accepted
            assert not mine
            return
        for body in accepted:
            self._check_body(parcel, body)
            assert any(
                row["status"] == "delivered"
                or row["reason"] in MAY_STAND
                or row["id"] in self.by_hand
                for row in mine
            )
            if (
                is_told_again
                and parcel.voided
                and any("resource_url" in webhook for webhook in self.webhooks[parcel])
            ):
                assert any(
                    row["reason"] in MAY_STAND or row["id"] in self.by_hand for row in mine
                ), "a void was overlooked"
        is_open = any(
            row["status"] in ("held", "dead", "delivered") or row["id"] in self.by_hand
            for row in mine
        )
        is_nothing = parcel.voided or getattr(parcel, "status", "") == "processing"
        assert (
            accepted
            or is_open
            or is_nothing
            or (not is_told_again and self._is_excused(parcel, events))
        ), f"{numbers} is lost"

    def _is_excused(self, parcel: Parcel, events: list[Json]) -> bool:
        """It stands on an event that was given up, or that was shown nothing: named, and seen by a
        person or found when told again."""
        urls = {webhook.get("resource_url") for webhook in self.webhooks[parcel]}
        ends = [event for event in events if event["resource_url"] in urls]
        return any(
            event["status"] == "dead" or event["reason"] == Reason.NOTHING_SHIPPED for event in ends
        )

    def _check_body(self, parcel: Parcel, body: Json) -> None:
        """The order is the parcel's own, the lines are what was in it."""
        order = self.world.orders[body["fulfillment_order_id"]]
        assert order in self.owners[parcel.order]
        skus = {line.id: line.sku for line in order.lines}
        told = sum(
            (Counter({skus[line["id"]]: line["quantity"]}) for line in body["line_items"]),
            Counter[str | None](),
        )
        packed = sum(
            (
                Counter({item.sku: int(item.quantity)})
                for item in parcel.order.items
                if item.sku in skus.values()
            ),
            Counter(),
        )
        assert told == packed

    def _accepted(self, numbers: Iterable[str | None], order_id: str | None = None) -> list[Json]:
        wanted = {normalize_tracking(number) for number in numbers} - {""}
        bodies = self.bridge.accepted(self.world.orders[order_id] if order_id else None)
        return [
            body for body in bodies if normalize_tracking(body["tracking_info"]["number"]) in wanted
        ]


def numbers_of(parcel: Parcel) -> list[str]:
    return (
        list(parcel.tracking_numbers)
        if isinstance(parcel, Label)
        else [parcel.tracking_number]
        if parcel.tracking_number
        else []
    )


def records_of(parcel: Parcel) -> set[tuple[str, str]]:
    """(kind, id) of each record in which ShipStation, or a warehouse system, tells of it."""
    inline = {
        ("inline_row", f"{parcel.order.shipment_id}:{number}") for number in numbers_of(parcel)
    }
    if isinstance(parcel, Label):
        return inline | {("v2_label", parcel.label_id), ("v1_shipment", str(parcel.v1_shipment_id))}
    if isinstance(parcel, MarkedShipped):
        return {
            ("v2_fulfillment", parcel.fulfillment_id),
            ("v1_fulfillment", str(parcel.v1_fulfillment_id)),
        }
    return inline


def test_promise_is_kept(
    migrated_url: str,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> None:
    few = 35 if migrated_url.startswith("sqlite") else 10

    accepted = accepted_in(Promise, migrated_url, few=few, steps=25, asked_for=EXAMPLES)

    assert accepted > 0, "no law was tried: nothing was ever posted"


def test_every_named_fault_is_among_them() -> None:
    assert {fault.partition(":")[0] for fault in (*ON_READS, *ON_POSTS, *NO_OR_YES)} == set(FAULTS)
