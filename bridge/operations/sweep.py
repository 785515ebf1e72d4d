"""SWEPT: what ShipStation lists as shipped and no webhook told of goes in at the top, in the lowest
lane; so do voids that came late.

The ordinary journey does the rest, and identity makes whatever was told already harmless. A parcel
of one API is known when the other API's record of it is. Once looked at, a stranger costs nothing
more."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import BridgeError, PayloadError, ThrottledError
from bridge.domain.events import COMMITTED, Lane, Record
from bridge.domain.shipments import UNFINISHED, Shipment, ShipmentState
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.store import deliveries, sweeps
from bridge.store.engine.database import Connection, Database
from bridge.store.sweeps import Found
from bridge.vendors.rate_limit import calls_in
from bridge.vendors.shipstation.client import ShipStation
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.lists import AN_HOUR, LISTINGS, Listed, Listing, read
from bridge.vendors.shipstation.shipments import shipment_of

log = structlog.get_logger(__name__)

GRACE = timedelta(minutes=10)
"""ShipStation takes minutes to tell: what is younger is left to its webhook."""
LONGEST_CATCH_UP = timedelta(days=7)
PARCELS = frozenset({*(listing.kind for listing in LISTINGS), "inline_row"})
Rows = Sequence[tuple[Listed, Shipment]]
_A_DAY, _LONGEST_PAUSE, _PAUSES = timedelta(days=1), 60.0, 4
_FAR = datetime.max.replace(tzinfo=UTC)


class StoppedError(BridgeError):
    """The process ends; the next sweep goes on, as what was fed in is known by then."""


def look_back(now: datetime, *, every: timedelta, covered_until: datetime | None) -> datetime:
    """Twice the interval, at least an hour; after a time without sweeps as far as the last, but no
    more than a week."""
    usual = now - max(2 * every, AN_HOUR)
    return (
        usual
        if covered_until is None
        else max(min(usual, covered_until - GRACE), min(usual, now - LONGEST_CATCH_UP))
    )


def mark_of(shipment: Shipment) -> str:
    """What the two APIs' records of one parcel have in common: its number, or while it has none its
    order's; else nothing."""
    number = normalize_tracking(shipment.tracking_number)
    return number or (f"#{shipment.order_number}" if shipment.order_number else "")


@dataclass(slots=True)
class Seen:
    """What the ledger knows already."""

    finished: set[tuple[str, str]] = field(default_factory=set)
    unfinished: set[tuple[str, str]] = field(default_factory=set)
    in_work: set[tuple[str, str]] = field(default_factory=set)
    marks_in_work: set[str] = field(default_factory=set)
    _versions: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def learn(
        self,
        kind: str,
        record_id: str,
        mark: str,
        *,
        is_work: bool = True,
        is_finished: bool = True,
    ) -> None:
        (self.in_work if is_work else self.finished if is_finished else self.unfinished).add(
            (kind, record_id)
        )
        if is_finished and mark:
            self._versions[mark].add(kind.partition("_")[0])
        if is_work:
            self.marks_in_work |= {mark} - {""}

    def learn_record(self, record: Record, *, is_work: bool) -> None:
        shipment = shipment_of(record)
        if shipment.problem:  # What was redacted was judged long ago.
            self.learn(record.kind, record.record_id, "", is_work=is_work)
        else:
            is_finished = shipment.state not in UNFINISHED
            self.learn(
                record.kind,
                record.record_id,
                mark_of(shipment),
                is_work=is_work,
                is_finished=is_finished,
            )

    def why(self, shipment: Shipment) -> str | None:
        """Why a listed shipment should go in, or None. A void is the caller's to judge."""
        key = (shipment.record_kind, shipment.record_id)
        if key in self.in_work or shipment.state in (ShipmentState.VOIDED, ShipmentState.RETURN):
            return None
        if key in self.unfinished and key not in self.finished:
            return "finished" if shipment.state is ShipmentState.SHIPPED else None
        others = self._versions.get(mark_of(shipment), set()) - {
            shipment.record_kind.partition("_")[0]
        }
        return None if key in self.finished or others else "missed"


@dataclass(slots=True)
class Tally:
    """What one sweep saw: `counts` by event type, `found` what went in (a dry run: what would)."""

    since: datetime
    until: datetime
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    found: list[Found] = field(default_factory=list)

    def told(self) -> dict[str, dict[str, int]]:
        return {
            event_type: {name: seen[name] for name in ("listed", "missed", "finished", "voided")}
            for event_type, seen in self.counts.items()
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """`tell` hears of progress, in sentences. Any number may run at once, and each may be stopped
    or killed at any moment."""

    database: Database
    fetcher: Fetcher
    tell: Callable[[str], None] = lambda _: None

    def routine(self, every: timedelta, stopping: threading.Event) -> None:
        """The worker's chore. Raises what the vendor raised: it is tried again soon."""
        with self.database.read() as connection:
            now, covered = self.database.now(connection), sweeps.covered_until(connection, "worker")
        since = look_back(now, every=every, covered_until=covered)
        with suppress(StoppedError):
            tally = self.run(since, stopping, started_by="worker")
            log.info("sweep_done", since=since.isoformat(), **tally.told())

    def run(
        self, since: datetime, stopping: threading.Event, *, started_by: str, dry_run: bool = False
    ) -> Tally:
        """Sweep from `since` until now. With `dry_run` nothing is written. Raises what the clients
        raise, and StoppedError."""
        now, number = self.database.now(), None
        if not dry_run:
            with self.database.begin() as connection:
                number = sweeps.start(
                    connection, started_by=started_by, looked_back_to=since, now=now
                )
        run, outcome, detail = (
            _Run(self, number, stopping, Tally(since, now - GRACE)),
            "failed",
            None,
        )
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
                with self.database.begin() as connection:
                    if outcome == "done":  # Also where a list had no row at all.
                        sweeps.note(connection, number, run.tally.told())
                    sweeps.end(
                        connection,
                        number,
                        outcome,
                        detail=detail,
                        now=self.database.now(connection),
                    )
        return run.tally


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
        since, until = self.tally.since, self.tally.until
        for listing in LISTINGS:
            client = self.at.fetcher.v2 if listing.version == "v2" else self.at.fetcher.v1
            if client is not None:
                self.tally.counts[listing.event_type] += Counter()
                for start, end in _days(since, until):
                    self._patiently(
                        client, listing, listing.asking(listing.created, start, end), start
                    )
                if listing.voided is not None:
                    self._patiently(
                        client,
                        listing,
                        listing.asking(listing.voided, since, until + GRACE),
                        since,
                        is_voids=True,
                    )

    def _recall(self) -> None:
        # What a webhook told was made before it came; the rest is for clocks that disagree.
        since = self.tally.since - 2 * AN_HOUR
        with self.at.database.read() as connection:
            for told in sweeps.told_since(connection, since):
                if told.record.kind in PARCELS:
                    self.seen.learn_record(told.record, is_work=told.is_work)
            for key in sweeps.in_work(connection, since):
                self.seen.learn(*key)

    def _patiently(
        self,
        client: ShipStation,
        listing: Listing,
        query: str,
        start: datetime,
        *,
        is_voids: bool = False,
    ) -> None:
        """One list, begun anew after each pause that we are told to make: what went in meanwhile is
        known."""
        for left in reversed(range(_PAUSES)):
            try:
                return self._list(client, listing, query, start, is_voids=is_voids)
            except ThrottledError as exc:
                seconds = min(
                    _LONGEST_PAUSE if exc.retry_after is None else exc.retry_after, _LONGEST_PAUSE
                )
                self.at.tell(f"{listing.event_type}: waits {seconds:.0f} s for its turn")
                if not left:
                    raise
                self.stopping.wait(seconds)
        return None

    def _list(
        self, client: ShipStation, listing: Listing, query: str, start: datetime, *, is_voids: bool
    ) -> None:
        ids: set[str] = set()
        for rows in client.rows(listing.thing, client.url(listing.thing, query)):
            if self.stopping.is_set():
                raise StoppedError("the sweep was stopped; the next one goes on")
            listed = (row for row in _read(listing.kind, rows) if row.record.record_id not in ids)
            fresh = [row for row in listed if _since(row, is_voids=is_voids) >= start - AN_HOUR]
            if not fresh:  # Nothing new, or all too old: the rest can only be older.
                break
            ids |= {row.record.record_id for row in fresh}
            self._take(
                client,
                listing,
                [(row, shipment_of(row.record)) for row in fresh],
                is_voids=is_voids,
            )
            self.at.tell(
                f"{listing.event_type}{', voids' * is_voids}, since {start:%Y-%m-%d %H:%M}: {len(ids)} looked at"
            )

    def _take(self, client: ShipStation, listing: Listing, about: Rows, *, is_voids: bool) -> None:
        """Feed in what of a page is news, and count it, in one transaction."""
        counts = self.tally.counts[listing.event_type]
        with (
            self.at.database.read()
            if self.number is None
            else self.at.database.begin() as connection
        ):
            found = [*self._voids(connection, client, listing, about)]
            if not is_voids:
                self._recall_delivered(connection, listing, about)
                found += self._news(client, listing, about)
            for key in (key for one in found for key in one.about):
                self.seen.learn(*key)
            more = [
                one for one in found if one.resource_url in self.pointed
            ]  # Another page of a batch that goes in already.
            fed = [one for one in found if one.resource_url not in self.pointed]
            if self.number is not None:
                fed = sweeps.feed(connection, fed, now=self.at.database.now(connection))
            for one in fed + more:
                counts[one.why] += len(one.about)
            if self.number is not None:
                sweeps.note(connection, self.number, self.tally.told())
        self.pointed |= {one.resource_url for one in fed}
        self.tally.found += fed

    def _recall_delivered(self, connection: Connection, listing: Listing, about: Rows) -> None:
        """Deliveries outlive the records they were made from."""
        unknown = {told.record_id: told for _row, told in about if self.seen.why(told) == "missed"}
        for record_id in deliveries.by_record(connection, listing.kind, unknown) if unknown else ():
            self.seen.learn(listing.kind, record_id, mark_of(unknown[record_id]), is_work=False)

    def _news(self, client: ShipStation, listing: Listing, about: Rows) -> Iterator[Found]:
        """What is older than the grace and was not told of, or not as finished."""
        ready = [
            (row, told)
            for row, told in about
            if row.created_at is None or row.created_at <= self.tally.until
        ]
        self.tally.counts[listing.event_type]["listed"] += len(ready)
        # Where both APIs are asked, what is not finished yet is V2's to tell: V1 can't say which of
        # its labels it is.
        skip = UNFINISHED if listing.version == "v1" and self.at.fetcher.v2 else frozenset()
        whys = [None if told.state in skip else self.seen.why(told) for _row, told in ready]
        for why in ("missed", "finished"):
            yield from _found(
                client,
                listing,
                why,
                [row if so == why else None for (row, _), so in zip(ready, whys, strict=True)],
            )

    def _voids(
        self, connection: Connection, client: ShipStation, listing: Listing, about: Rows
    ) -> Iterator[Found]:
        """Each void of a parcel for which something of ours still stands, whichever API told of
        it."""
        void = {
            told.record_id: (row, told) for row, told in about if told.state is ShipmentState.VOIDED
        }
        by_record = deliveries.by_record(connection, listing.kind, void) if void else {}
        for record_id, (row, told) in void.items():
            ours = by_record.get(record_id) or _of_another_kind(connection, told)
            stands = any(
                one.status in COMMITTED and one.shipment.state is not ShipmentState.VOIDED
                for one in ours
            )
            if (
                stands
                and (listing.kind, record_id) not in self.seen.in_work
                and mark_of(told) not in self.seen.marks_in_work
            ):
                yield from _found(client, listing, "voided", [replace(row, batch_id=None)])


def _read(kind: str, rows: Iterable[object]) -> Iterator[Listed]:
    """A row that can't be read must not stop the others."""
    for row in rows:
        try:
            yield read(kind, row)
        except PayloadError as exc:
            log.warning("row_unreadable", kind=kind, error=str(exc)[:300])


def _since(row: Listed, *, is_voids: bool) -> datetime:
    """When it was made, or voided; what doesn't say counts as new."""
    return max(filter(None, (row.created_at, row.voided_at if is_voids else None)), default=_FAR)


def _found(
    client: ShipStation, listing: Listing, why: str, rows: Sequence[Listed | None]
) -> Iterator[Found]:
    for query, some in listing.pointers(rows):
        about = tuple(
            (listing.kind, row.record.record_id, mark_of(shipment_of(row.record))) for row in some
        )
        yield Found(why, listing.event_type, client.url(listing.thing, query), about)


def _of_another_kind(connection: Connection, told: Shipment) -> list[Delivery]:
    """Within one kind, another record is another parcel."""
    same = (
        deliveries.by_tracking(connection, told.tracking_number, order_number=told.order_number)
        if told.tracking_number
        else []
    )
    return [one for one in same if one.shipment.record_kind != told.record_kind]


def _days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        yield since, min(since + _A_DAY, until)
        since += _A_DAY
