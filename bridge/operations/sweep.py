"""SWEPT: what ShipStation lists as shipped and no webhook reported goes in at the top, in the
lowest lane; so do voids that came late.

The ordinary journey does the rest, and identity makes whatever was reported already harmless. A
parcel of one API is known when the other API reported as many of its number. Once looked at, an
unrelated shipment costs nothing more."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import BridgeError, ThrottledError
from bridge.domain.events import COMMITTED, Lane, Record
from bridge.domain.shipments import UNFINISHED, Shipment, ShipmentState, plain_id
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.store import deliveries, sweeps
from bridge.store.engine.database import Connection, Database
from bridge.store.sweeps import FoundEvent
from bridge.vendors.rate_limit import calls_in
from bridge.vendors.shipstation.client import ShipStation
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.lists import AN_HOUR, LISTINGS, Listed, Listing
from bridge.vendors.shipstation.shipments import shipment_of

log = structlog.get_logger(__name__)

GRACE = timedelta(minutes=10)
"""ShipStation takes minutes to send a webhook: what is younger is left to it."""
LONGEST_CATCH_UP = timedelta(days=7)
PARCELS = frozenset({*(listing.kind for listing in LISTINGS), "inline_row"})
Rows = Sequence[tuple[Listed, Shipment]]
_SOURCES = ("v2", "v1", "inline")
_A_DAY = timedelta(days=1)
_LONGEST_PAUSE = 60.0
_PAUSES = 4


class StoppedError(BridgeError):
    """The process ends; the next sweep goes on, as what was enqueued is known by then."""


def look_back(now: datetime, *, interval: timedelta, covered_until: datetime | None) -> datetime:
    """Twice the interval, at least an hour; after a time without sweeps as far as the last, but no
    more than a week."""
    routine = now - max(2 * interval, AN_HOUR)
    if covered_until is None:
        return routine
    longest = min(routine, now - LONGEST_CATCH_UP)
    return max(min(routine, covered_until - GRACE), longest)


def parcel_key(shipment: Shipment) -> str:
    """What the two APIs' records of one parcel have in common: its number, or while it has none its
    order's; else nothing. Parcels in one box share it."""
    number = normalize_tracking(shipment.tracking_number)
    if number:
        return number
    return f"#{shipment.order_number}" if shipment.order_number else ""


@dataclass(slots=True)
class Seen:
    """What the database knows already."""

    finished: set[tuple[str, str]] = field(default_factory=set)
    unfinished: set[tuple[str, str]] = field(default_factory=set)
    in_work: set[tuple[str, str]] = field(default_factory=set)
    keys_in_work: set[str] = field(default_factory=set)
    _records: defaultdict[tuple[str, str], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def learn(
        self,
        kind: str,
        record_id: str,
        key: str,
        *,
        is_work: bool = True,
        is_finished: bool = True,
    ) -> None:
        """Note a record, and the parcel's key."""
        if is_work:
            self.in_work.add((kind, record_id))
        elif is_finished:
            self.finished.add((kind, record_id))
        else:
            self.unfinished.add((kind, record_id))
        if is_finished and key:
            self._records[_source(kind), key].add(f"{kind} {record_id}")
        if is_work and key:
            self.keys_in_work.add(key)

    def learn_record(self, record: Record, *, is_work: bool) -> None:
        """Likewise, from what was fetched for an event."""
        shipment = shipment_of(record)
        if shipment.problem:  # What was redacted was judged long ago.
            self.learn(record.kind, record.record_id, "", is_work=is_work)
            return
        self.learn(
            record.kind,
            record.record_id,
            parcel_key(shipment),
            is_work=is_work,
            is_finished=shipment.state not in UNFINISHED,
        )

    def why_enqueue(self, shipment: Shipment) -> str | None:
        """Why a listed shipment should go in, or None. A void is the caller's to judge."""
        record = (shipment.record_kind, shipment.record_id)
        is_no_parcel = shipment.state in (ShipmentState.VOIDED, ShipmentState.RETURN)
        if record in self.in_work or is_no_parcel or record in self.finished:
            return None
        if record in self.unfinished:
            return "finished" if shipment.state is ShipmentState.SHIPPED else None
        return None if self._other_api_knows(shipment) else "missed"

    def _other_api_knows(self, shipment: Shipment) -> bool:
        """Whether another source reported more parcels under this number than this one did. Several
        orders in one box share it, so to know the number is not to know the parcel."""
        key = parcel_key(shipment)
        own = _source(shipment.record_kind)
        counts = [len(self._records[source, key]) for source in _SOURCES if source != own]
        return bool(key) and max(counts) > len(self._records[own, key])


def _source(record_kind: str) -> str:
    """Which API, or an inline body, a record of this kind comes from."""
    return record_kind.partition("_")[0]


@dataclass(slots=True)
class Tally:
    """What one sweep saw: `counts` by event type, `enqueued` what went in (a dry run: what
    would)."""

    since: datetime
    until: datetime
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    enqueued: list[FoundEvent] = field(default_factory=list)

    def by_event_type(self) -> dict[str, dict[str, int]]:
        """The counts as they are stored and shown."""
        return {
            event_type: {name: seen[name] for name in ("listed", "missed", "finished", "voided")}
            for event_type, seen in self.counts.items()
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """`report` gets the progress, in sentences. Any number may run at once, and each may be stopped
    or killed at any time."""

    database: Database
    fetcher: Fetcher
    report: Callable[[str], None] = lambda _: None

    def routine(self, interval: timedelta, stopping: threading.Event) -> None:
        """The worker's task. Raises what the vendor raised: it is tried again soon.

        A new database looks back to its own birth: what left before is not the bridge's to post
        unless a person says so, by `bridge reconcile`.
        """
        with self.database.begin() as connection:
            now = self.database.now(connection)
            covered = sweeps.covered_until(connection, "worker")
            born = sweeps.born_at(connection, now=now - GRACE)
        since = max(look_back(now, interval=interval, covered_until=covered), born)
        if covered is None:
            log.info(
                "first_sweep",
                since=since.isoformat(),
                next_step="`bridge reconcile --since 7d` finds what was shipped before",
            )
        with suppress(StoppedError):
            tally = self.run(since, stopping, started_by="worker")
            log.info("sweep_done", since=since.isoformat(), **tally.by_event_type())

    def run(
        self, since: datetime, stopping: threading.Event, *, started_by: str, dry_run: bool = False
    ) -> Tally:
        """Sweep from `since` until now. With `dry_run` nothing is written. Raises what the clients
        raise, and StoppedError."""
        now = self.database.now()
        number: int | None = None
        if not dry_run:
            with self.database.begin() as connection:
                number = sweeps.start(
                    connection, started_by=started_by, looked_back_to=since, now=now
                )
        run = _Run(self, number, stopping, Tally(since, now - GRACE))
        outcome = "failed"
        detail: str | None = None
        try:
            with calls_in(Lane.SWEEP):
                run.sweep()
            outcome = "done"
        except (StoppedError, KeyboardInterrupt):
            outcome = "stopped"
            raise
        except BridgeError as exc:
            detail = str(exc)[:1000]
            raise
        finally:
            if number is not None:
                self._end(number, outcome, detail, run.tally)
        return run.tally

    def _end(self, number: int, outcome: str, detail: str | None, tally: Tally) -> None:
        with self.database.begin() as connection:
            if outcome == "done":  # Also where a list had no row at all.
                sweeps.note(connection, number, tally.by_event_type())
            now = self.database.now(connection)
            sweeps.end(connection, number, outcome, detail=detail, now=now)


@dataclass(slots=True)
class _Run:
    at: Sweep
    number: int | None
    stopping: threading.Event
    tally: Tally
    seen: Seen = field(default_factory=Seen)
    pointed: set[str] = field(default_factory=set)

    def sweep(self) -> None:
        self._recall()
        for listing in LISTINGS:
            client = self.at.fetcher.v2 if listing.version == "v2" else self.at.fetcher.v1
            if client is not None:
                self.tally.counts[listing.event_type] += Counter()
                self._sweep_list(client, listing)

    def _sweep_list(self, client: ShipStation, listing: Listing) -> None:
        since, until = self.tally.since, self.tally.until
        for start, end in _days(since, until):
            self._patiently(client, listing, start, end)
        if listing.voided is not None:
            self._patiently(client, listing, since, until + GRACE, is_voids=True)

    def _recall(self) -> None:
        # What a webhook reported was made before it came; the rest is for clocks that disagree.
        since = self.tally.since - 2 * AN_HOUR
        with self.at.database.read() as connection:
            for stored in sweeps.records_since(connection, since):
                if stored.record.kind in PARCELS:
                    self.seen.learn_record(stored.record, is_work=stored.is_work)
            for about in sweeps.in_work(connection, since):
                self.seen.learn(*about)

    def _patiently(
        self,
        client: ShipStation,
        listing: Listing,
        start: datetime,
        end: datetime,
        *,
        is_voids: bool = False,
    ) -> None:
        """One list, begun anew after each pause that we are asked to make: what went in meanwhile
        is known."""
        for pauses_left in reversed(range(_PAUSES)):
            try:
                return self._list(client, listing, start, end, is_voids=is_voids)
            except ThrottledError as exc:
                seconds = _LONGEST_PAUSE
                if exc.retry_after is not None:
                    seconds = min(exc.retry_after, _LONGEST_PAUSE)
                self.at.report(f"{listing.event_type}: waits {seconds:.0f} s for its turn")
                if not pauses_left:
                    raise
                self.stopping.wait(seconds)
        return None

    def _list(
        self,
        client: ShipStation,
        listing: Listing,
        start: datetime,
        end: datetime,
        *,
        is_voids: bool,
    ) -> None:
        count = 0
        for fresh in client.recent(listing, start, end, is_voids=is_voids):
            if self.stopping.is_set():
                raise StoppedError("the sweep was stopped; the next one goes on")
            count += len(fresh)
            self._take(
                client,
                listing,
                [(row, shipment_of(row.record)) for row in fresh],
                is_voids=is_voids,
            )
            name = f"{listing.event_type}{', voids' if is_voids else ''}"
            self.at.report(f"{name}, since {start:%Y-%m-%d %H:%M}: {count} looked at")

    def _take(self, client: ShipStation, listing: Listing, rows: Rows, *, is_voids: bool) -> None:
        """Enqueue what of a page is new to us, and count it, in one transaction."""
        if self.number is None:
            with self.at.database.read() as connection:
                missed = self._found(connection, client, listing, rows, is_voids=is_voids)
                self._count(
                    listing, missed, [event for event in missed if not self._is_enqueued(event)]
                )
            return
        with self.at.database.begin() as connection:
            missed = self._found(connection, client, listing, rows, is_voids=is_voids)
            new = [event for event in missed if not self._is_enqueued(event)]
            now = self.at.database.now(connection)
            self._count(listing, missed, sweeps.enqueue(connection, new, now=now))
            sweeps.note(connection, self.number, self.tally.by_event_type())

    def _found(
        self,
        connection: Connection,
        client: ShipStation,
        listing: Listing,
        rows: Rows,
        *,
        is_voids: bool,
    ) -> list[FoundEvent]:
        missed = list(self._voids(connection, client, listing, rows))
        if not is_voids:
            self._recall_delivered(connection, listing, rows)
            missed += self._unreported(client, listing, rows)
        for event in missed:
            for about in event.about:
                self.seen.learn(*about)
        return missed

    def _is_enqueued(self, event: FoundEvent) -> bool:
        """Another page of a batch that goes in already."""
        return event.resource_url in self.pointed

    def _count(
        self, listing: Listing, missed: Sequence[FoundEvent], enqueued: Sequence[FoundEvent]
    ) -> None:
        for event in missed:
            if self._is_enqueued(event) or event in enqueued:
                self.tally.counts[listing.event_type][event.why] += len(event.about)
        self.pointed |= {event.resource_url for event in enqueued}
        self.tally.enqueued += enqueued

    def _recall_delivered(self, connection: Connection, listing: Listing, rows: Rows) -> None:
        """Deliveries outlive the records they were made from."""
        unknown: dict[str, Shipment] = {}
        for _row, shipment in rows:
            if self.seen.why_enqueue(shipment) == "missed":
                unknown[shipment.record_id] = shipment
        if not unknown:
            return
        for record_id in deliveries.by_record(connection, listing.kind, unknown):
            key = parcel_key(unknown[record_id])
            self.seen.learn(listing.kind, record_id, key, is_work=False)

    def _unreported(
        self, client: ShipStation, listing: Listing, rows: Rows
    ) -> Iterator[FoundEvent]:
        """What is older than the grace and was not reported, or not as finished."""
        until = self.tally.until
        ready = [
            (row, shipment)
            for row, shipment in rows
            if row.created_at is None or row.created_at <= until
        ]
        self.tally.counts[listing.event_type]["listed"] += len(ready)
        # Where both APIs are asked, what is not finished yet is V2's to report: V1 can't say which
        # of its labels it is.
        is_v2s = listing.version == "v1" and self.at.fetcher.v2 is not None
        whys: list[str | None] = []
        for _row, shipment in ready:
            is_skipped = is_v2s and shipment.state in UNFINISHED
            why = None if is_skipped else self.seen.why_enqueue(shipment)
            whys.append(why)
            if why is None and shipment.state not in UNFINISHED:
                # One that the other API reported stands for one of its own from here on, so that
                # the next in the same box is not taken for it.
                key = parcel_key(shipment)
                self.seen.learn(listing.kind, shipment.record_id, key, is_work=False)
        for why in ("missed", "finished"):
            chosen = [
                row if row_why == why else None
                for (row, _), row_why in zip(ready, whys, strict=True)
            ]
            yield from _events(client, listing, why, chosen)

    def _voids(
        self, connection: Connection, client: ShipStation, listing: Listing, rows: Rows
    ) -> Iterator[FoundEvent]:
        """Each void of a parcel for which something of ours still stands, whichever API reported
        it."""
        voids = {
            shipment.record_id: (row, shipment)
            for row, shipment in rows
            if shipment.state is ShipmentState.VOIDED
        }
        if not voids:
            return
        by_record = deliveries.by_record(connection, listing.kind, voids)
        for record_id, (row, shipment) in voids.items():
            ours = by_record.get(record_id) or _of_another_kind(connection, shipment)
            is_new = (listing.kind, record_id) not in self.seen.in_work and parcel_key(
                shipment
            ) not in self.seen.keys_in_work
            if is_new and any(_stands(delivery) for delivery in ours):
                yield from _events(client, listing, "voided", [replace(row, batch_id=None)])


def found_event(client: ShipStation, listing: Listing, row: Listed) -> FoundEvent | None:
    """What lets in one row of a list that somebody came upon; None where nothing points at it."""
    return next(_events(client, listing, "missed", [row]), None)


def _stands(delivery: Delivery) -> bool:
    return delivery.status in COMMITTED and delivery.shipment.state is not ShipmentState.VOIDED


def _events(
    client: ShipStation, listing: Listing, why: str, rows: Sequence[Listed | None]
) -> Iterator[FoundEvent]:
    for query, listed in listing.pointers(rows):
        about = tuple(
            (listing.kind, row.record.record_id, parcel_key(shipment_of(row.record)))
            for row in listed
        )
        yield FoundEvent(why, listing.event_type, client.list_url(listing.resource, query), about)


def _of_another_kind(connection: Connection, shipment: Shipment) -> list[Delivery]:
    """Within one kind, another record is another parcel; and a carrier uses numbers again, so that
    another order's is another parcel, too."""
    if not shipment.tracking_number:
        return []
    same_number = deliveries.by_tracking(
        connection, shipment.tracking_number, order_number=shipment.order_number
    )
    return [
        delivery
        for delivery in same_number
        if delivery.shipment.record_kind != shipment.record_kind
        and _may_be_of_one_order(delivery.shipment, shipment)
    ]


def _may_be_of_one_order(shipment: Shipment, other: Shipment) -> bool:
    if shipment.order_number and other.order_number:
        return shipment.order_number == other.order_number
    order_id = plain_id(shipment.shipstation_shipment_id)
    other_order_id = plain_id(other.shipstation_shipment_id)
    is_known_of_both = bool(order_id and other_order_id)
    return order_id == other_order_id or not is_known_of_both


def _days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        yield since, min(since + _A_DAY, until)
        since += _A_DAY
