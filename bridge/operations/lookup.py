"""LOOKED UP: what both vendors say now of a number that a person has, each with the next step. It
only reads, keeps nothing, and names nobody."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from bridge.domain.errors import BridgeError, NotFoundError, PayloadError, StorageError
from bridge.domain.events import Record
from bridge.domain.orders import (
    FulfillmentOrder,
    OrderStatus,
    is_uuid,
    normalize_reference,
    reference_words,
)
from bridge.domain.shipments import Shipment, ShipmentState
from bridge.domain.text import format_lines
from bridge.domain.tracking_numbers import normalize_tracking, tracking_numbers
from bridge.operations.sweep import found_event
from bridge.pipeline.find_orders import orders_named
from bridge.store import audit, sweeps
from bridge.store.engine.database import Database
from bridge.store.search import search
from bridge.store.sweeps import FoundEvent
from bridge.vendors.http import SYSTEMS
from bridge.vendors.purple_dot.client import PurpleDot
from bridge.vendors.shipstation import lists
from bridge.vendors.shipstation.client import ShipStation
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.lists import LISTINGS, LISTS, Listed
from bridge.vendors.shipstation.payloads import V1Order, V2Shipment, parse, record_of_any
from bridge.vendors.shipstation.shipments import shipment_of

_LONGEST = 100
_SHORTEST_TRACKING = 8
_MOST_ORDERS = 5
"""So many ShipStation orders are followed to their parcels: a number that fits more is too short to
say anything."""

_FILTERS = {"v2": ("shipment_number", "tracking_number"), "v1": ("orderNumber", "trackingNumber")}
"""What each API's lists call an order's number and a tracking number. V1 compares the beginning of
an order's number, V2 all of it, and a filter of the wrong name is ignored: so whatever comes is
compared again here. https://docs.shipstation.com/openapi/labels, /shipments and /fulfillments,
https://www.shipstation.com/docs/api/orders/list-orders/"""

_NOTHING_SHIPPED = {
    ShipmentState.VOIDED: "It was voided, so nothing of it is posted.",
    ShipmentState.RETURN: "It is a return label, so nothing of it is posted.",
    ShipmentState.PROCESSING: "ShipStation is still working on it; look again in a minute.",
    ShipmentState.VOID_REQUESTED: "Somebody asked for a void; look again when it is decided.",
}
_PARCEL_WORDS = {"label": "label", "shipment": "label", "fulfillment": "mark-as-shipped"}
_NOTHING_IN_SHIPSTATION = (
    "It has nothing of that name: see in ShipStation whether the order arrived there, and under"
    " which number."
)
_NOTHING_IN_PURPLE_DOT = (
    "It has no fulfillment order of that name: a pre-order becomes one when it is ready to ship."
    " See its number in Purple Dot's merchant portal."
)
_ORDER_NOTES = {
    OrderStatus.UNFULFILLED: "It waits to be fulfilled.",
    OrderStatus.FULFILLED: "All of it is fulfilled already.",
    OrderStatus.VOIDED: "It was canceled: nothing more can be posted to it.",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a text may be: order numbers in each spelling that is asked for, and a tracking
    number."""

    order_numbers: tuple[str, ...] = ()
    tracking: tuple[str, ...] = ()
    order_id: str = ""

    @property
    def keys(self) -> frozenset[str]:
        """Of the order numbers: equal for all spellings of one."""
        return frozenset(map(normalize_reference, self.order_numbers))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a vendor has, in a sentence. `known_as` is our delivery or event of it; `kind`
    and `record_id` name a parcel that no webhook reported."""

    sentence: str
    next_step: str = ""
    known_as: str = ""
    kind: str = ""
    record_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one API said. `nothing` is what it means where it found nothing, `problem` why it could
    not be asked to the end."""

    vendor: str
    asked: str
    nothing: str
    findings: Sequence[Finding] = ()
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        findings = [
            {
                "found": finding.sentence,
                "next_step": finding.next_step or None,
                "known_as": finding.known_as or None,
            }
            for finding in self.findings
        ]
        problem = self.problem or None
        return {"vendor": self.vendor, "asked": self.asked, "findings": findings} | {
            "problem": problem
        }


def wanted(text: str) -> Wanted:
    """What to ask for. Pure. A text without a digit is neither kind of number; one of Purple Dot's
    form is no tracking number. Purple Dot adds an index to its order's number, which nobody
    types."""
    plain = " ".join(text.strip().rstrip("…").removeprefix("#").split())[:_LONGEST]
    if is_uuid(plain):
        return Wanted(order_id=plain.lower())
    if not any(char.isdigit() for char in plain):
        return Wanted()
    key = normalize_reference(plain)
    is_reference = (
        reference_words(plain) != () and normalize_reference(reference_words(plain)[0]) == key
    )
    numbers = [plain, f"#{plain}"]
    if is_reference:
        numbers = [key, f"#{key}"]
    if is_reference and "/" not in key:
        numbers += [f"{key}/1", f"#{key}/1"]
    return Wanted(tuple(numbers), () if is_reference else _tracking_spellings(plain))


def _tracking_spellings(text: str) -> tuple[str, ...]:
    """As ShipStation's labels have it, and as a person may have typed it there."""
    number = normalize_tracking(text)
    if len(number) < _SHORTEST_TRACKING:
        return ()
    return tuple(dict.fromkeys((number, *tracking_numbers(text), text)))


@dataclass(frozen=True, slots=True)
class LookUp:
    """Asks every API there is a key for. Under the rate limits, like any live work; a vendor that
    can't be asked says so in its own answer."""

    database: Database
    fetcher: Fetcher
    purple_dot: PurpleDot

    def ask(self, text: str) -> list[Answer]:
        """ShipStation first, then Purple Dot, which is asked for the orders that ShipStation named
        as well. Raises StorageError."""
        want = wanted(text)
        if not (want.order_numbers or want.order_id):
            return []
        answers = []
        numbers = set(want.order_numbers)
        for client in self._clients():
            lookup = _VendorLookup(client, want)
            problem = _problem_of(lookup.read)
            numbers |= lookup.order_numbers()
            system = "shipstation" if client.version == "v2" else "shipstation_v1"
            findings = list(self._parcels(lookup))
            answers.append(
                Answer(SYSTEMS[system], lookup.asked(), _NOTHING_IN_SHIPSTATION, findings, problem)
            )
        answers.append(self._ask_purple_dot(want, numbers))
        return answers

    def process(self, text: str, *, kind: str, record_id: str, actor: str) -> bool:
        """Let a parcel in that no webhook reported, as the sweep does; False where the vendor shows
        it no more. Raises what the client raises, and StorageError."""
        event = self._event_of(text, kind, record_id)
        if event is None:
            return False
        with self.database.begin() as connection:
            now = self.database.now(connection)
            is_enqueued = bool(sweeps.enqueue(connection, [event], now=now))
            outcome = "it was let in" if is_enqueued else "it waits already"
            audit.note(
                connection,
                actor=actor,
                action="reconcile",
                subject=record_id,
                outcome=outcome,
                now=now,
            )
        return True

    def _event_of(self, text: str, kind: str, record_id: str) -> FoundEvent | None:
        for client in self._clients():
            if not kind.startswith(f"{client.version}_"):
                continue
            lookup = _VendorLookup(client, wanted(text))
            lookup.read()
            for row in lookup.parcels.values():
                if (row.record.kind, row.record_id) == (kind, record_id):
                    return found_event(client, LISTS[_list_of(kind)], row)
        return None

    def _clients(self) -> Iterator[ShipStation]:
        for client in (self.fetcher.v2, self.fetcher.v1):
            if client is not None:
                yield client

    def _parcels(self, lookup: "_VendorLookup") -> Iterator[Finding]:
        now = self.database.now()
        for row in lookup.parcels.values():
            shipment = shipment_of(row.record)
            yield self._parcel(lookup, row, shipment, now)
        with_parcels = {_order_id_of(lookup.client, row.record) for row in lookup.parcels.values()}
        for order in lookup.orders.values():
            if order.record_id not in with_parcels:
                yield Finding(
                    f"Order {_named(order)}: nothing was shipped of it.",
                    "Buy the label, or mark it as shipped, in ShipStation.",
                )

    def _parcel(
        self, lookup: "_VendorLookup", row: Listed, shipment: Shipment, now: datetime
    ) -> Finding:
        order = lookup.orders.get(_order_id_of(lookup.client, row.record) or "")
        of_order = f" of order {_named(order)}" if order else ""
        word = _PARCEL_WORDS[row.record.kind.partition("_")[2]]
        number = shipment.tracking_number or "no tracking number"
        shipped = f", shipped {shipment.ship_date:%Y-%m-%d}" if shipment.ship_date else ""
        sentence = f"A {word}{of_order}: {number}{shipped}."
        known_as = self._known_as(shipment)
        if known_as:
            return Finding(sentence, f"Its webhook came: see {known_as}.", known_as)
        note = _NOTHING_SHIPPED.get(shipment.state)
        if note:
            return Finding(sentence, note)
        days = 1 if row.created_at is None else max(1, (now - row.created_at).days + 1)
        step = (
            f"No webhook of it came. `bridge reconcile --since {days}d` finds it and what else was"
            " missed."
        )
        return Finding(sentence, step, kind=row.record.kind, record_id=row.record_id)

    def _known_as(self, shipment: Shipment) -> str:
        text = shipment.tracking_number or shipment.record_id
        with self.database.read() as connection:
            result = search(connection, text, limit=1)
        ids = [row["id"] for row in (*result.deliveries, *result.events)]
        return str(ids[0]) if ids else ""

    def _ask_purple_dot(self, want: Wanted, numbers: Iterable[str]) -> Answer:
        references = sorted(set(map(normalize_reference, numbers)))
        names = [want.order_id] if want.order_id else references
        findings: list[Finding] = []

        def read() -> None:
            orders = (
                orders_named(self.purple_dot, want.order_id)
                if want.order_id
                else self.purple_dot.orders_by_reference(references)
            )
            findings.extend(map(_of_purple_dot, orders))

        problem = _problem_of(read)
        asked = f"fulfillment orders named {', '.join(names)}"
        return Answer(SYSTEMS["purple_dot"], asked, _NOTHING_IN_PURPLE_DOT, findings, problem)


@dataclass(slots=True)
class _VendorLookup:
    """What ShipStation's lists show for a number, by id."""

    client: ShipStation
    want: Wanted
    orders: dict[str, Record] = field(default_factory=dict)
    parcels: dict[str, Listed] = field(default_factory=dict)

    def asked(self) -> str:
        parts = []
        if self.want.order_numbers:
            parts.append(f"orders with the number {' or '.join(self._asked_numbers())}")
        if self.want.tracking:
            parts.append(f"parcels with the tracking number {self.want.tracking[0]}")
        if self.want.order_id and not parts:
            parts.append("nothing: it can't be asked for an id of Purple Dot's")
        return ", ".join(parts)

    def order_numbers(self) -> set[str]:
        return {number for order in self.orders.values() if (number := _number_of(order))}

    def read(self) -> None:
        """Raises what the client raises; what came before stays."""
        number_filter, tracking_filter = _FILTERS[self.client.version]
        for number in self._asked_numbers():
            self._read_orders({number_filter: number})
        for number in self.want.tracking:
            for resource in self._resources():
                self._read_parcels(resource, {tracking_filter: number}, self._has_number)
        self._read_orders_behind()
        for order_id in list(self.orders)[:_MOST_ORDERS]:
            for resource in self._resources():
                query = {self.client.order_id: order_id}
                self._read_parcels(resource, query, self._is_of_an_order)

    def _asked_numbers(self) -> list[str]:
        """V1 brings what begins with a number, so the longer of two are not asked for."""
        numbers = self.want.order_numbers
        if self.client.version == "v2":
            return list(numbers)
        return [
            number
            for number in numbers
            if not any(number != other and number.startswith(other) for other in numbers)
        ]

    def _resources(self) -> list[str]:
        version = self.client.version
        return [listing.resource for listing in LISTINGS if listing.version == version]

    def _read_orders(self, query: dict[str, str]) -> None:
        resource = self.client.order
        for row in self._first_page(resource, query):
            record = record_of_any(f"{self.client.version}_{resource}", row)
            number = _number_of(record)
            if number and _is_named(number, self.want.keys):
                self.orders.setdefault(record.record_id, record)

    def _read_orders_behind(self) -> None:
        ids = dict.fromkeys(_order_id_of(self.client, row.record) for row in self.parcels.values())
        for order_id in list(filter(None, ids))[:_MOST_ORDERS]:
            if order_id not in self.orders:
                with suppress(NotFoundError):
                    self.orders[order_id] = self.client.get(self.client.order, order_id)

    def _read_parcels(
        self, resource: str, query: dict[str, str], is_wanted: Callable[[Listed], bool]
    ) -> None:
        for row in self._first_page(resource, query):
            with suppress(PayloadError):
                listed = lists.read(f"{self.client.version}_{resource}", row)
                if is_wanted(listed):
                    self.parcels.setdefault(f"{resource} {listed.record_id}", listed)

    def _has_number(self, row: Listed) -> bool:
        shipment = shipment_of(row.record)
        numbers = {shipment.tracking_number, *shipment.all_tracking_numbers}
        keys = {normalize_tracking(number) for number in numbers}
        return normalize_tracking(self.want.tracking[0]) in keys

    def _is_of_an_order(self, row: Listed) -> bool:
        return _order_id_of(self.client, row.record) in self.orders

    def _first_page(self, resource: str, query: dict[str, str]) -> Sequence[Any]:
        """One page is enough for what fits one number; an ignored filter must not make us read
        everything."""
        return next(self.client.pages(resource, query, max_pages=1, is_cut=True), ())


def _problem_of(read: Callable[[], None]) -> str:
    try:
        read()
    except StorageError:
        raise
    except BridgeError as exc:
        return str(exc)
    return ""


def _of_purple_dot(order: FulfillmentOrder) -> Finding:
    lines = format_lines(map(asdict, order.lines))
    ordered = f", ordered {order.purchased_at:%Y-%m-%d}" if order.purchased_at else ""
    ready = f", ready since {order.created_at:%Y-%m-%d}" if order.created_at else ""
    status = f" {order.status}" if order.status else ""
    note = _ORDER_NOTES.get(order.status, "") if order.status else ""
    return Finding(
        f"{order.reference}{status}: {lines or 'no lines'}{ordered}{ready}. Id {order.id}.", note
    )


def _list_of(kind: str) -> tuple[str, str]:
    version, _, resource = kind.partition("_")
    return version, resource


def _named(order: Record) -> str:
    return _number_of(order) or order.record_id


def _number_of(order: Record) -> str | None:
    row = parse(order)
    if isinstance(row, V2Shipment):
        return row.shipment_number
    return row.order_number if isinstance(row, V1Order) else None


def _order_id_of(client: ShipStation, parcel: Record) -> str | None:
    order_id = parcel.body.get(client.order_id)
    return str(order_id) if order_id else None


def _is_named(number: str, keys: Iterable[str]) -> bool:
    """The number itself, or a part of that order: Purple Dot writes `PD1389447/1`."""
    key = normalize_reference(number)
    return any(key == wanted_key or key.startswith(f"{wanted_key}/") for wanted_key in keys)
