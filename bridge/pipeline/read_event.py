"""What an event is about, read from the vendors or from what was stored of it: its records, the
shipments in them, the orders that they may belong to. Writes nothing."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from bridge.domain.errors import CredentialsError, PermanentError, StorageError, ThrottledError
from bridge.domain.events import Event, Record
from bridge.domain.shipments import AT_LAST, LOOKED_UP, Shipment
from bridge.pipeline.find_orders import NO_ANSWERS, Resolver
from bridge.pipeline.look_ahead import Ahead, new_threads
from bridge.pipeline.retry import next_look
from bridge.store import events, replays
from bridge.store.engine.database import Database
from bridge.store.replays import ReplayOptions
from bridge.translate.plans import OrderLookup
from bridge.vendors.shipstation.bulk import BULK_FROM, Pointer, Preloaded
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.fetch import Fetcher, RowsRead
from bridge.vendors.shipstation.payloads import record_of
from bridge.vendors.shipstation.webhook import identify

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was fetched for an event and when, and the shipments in it; `unread` is why some of it
    could not be read, `options` what a replay asks for, `ahead` what Purple Dot was asked for
    meanwhile."""

    event: Event
    records: Sequence[Record]
    shipments: Sequence[Shipment]
    fetched_at: datetime
    unread: PermanentError | None
    options: ReplayOptions | None
    ahead: Ahead

    @property
    def looked_up(self) -> list[Shipment]:
        """Those whose orders matter."""
        return [shipment for shipment in self.shipments if shipment.state in LOOKED_UP]

    def with_orders(self, lookup: OrderLookup) -> "EventFacts":
        return EventFacts(
            records=self.records,
            shipments=self.shipments,
            lookup=lookup,
            fetched_at=self.fetched_at,
            unread=self.unread,
            options=self.options,
        )


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What an event is about: what was fetched when, the shipments in it, the orders that they may
    belong to; `unread` is why some of it could not be read, `options` what a replay asks for."""

    records: Sequence[Record]
    shipments: Sequence[Shipment]
    lookup: OrderLookup
    fetched_at: datetime
    unread: PermanentError | None
    options: ReplayOptions | None

    @property
    def is_stored(self) -> bool:
        """Old facts: looking again would change nothing."""
        return self.options is not None and self.options.as_stored


@dataclass(frozen=True, slots=True)
class EventReader:
    """Reads claimed events, one by one, with what ShipStation's lists show of many at once."""

    database: Database
    fetcher: Fetcher
    resolver: Resolver
    wait_schedule: Sequence[timedelta]
    _threads: ThreadPoolExecutor = field(default_factory=new_threads)

    def preload(self, claimed: Sequence[Event]) -> Preloaded:
        """What ShipStation's lists show of many at once; nothing where they are few, or the lists
        can't be read. Raises StorageError and ThrottledError."""
        if len(claimed) < BULK_FROM:
            return Preloaded()
        pointers = [
            Pointer(event.resource_url, event.received_at)
            for event in claimed
            if event.resource_url is not None and not event.is_replay
        ]
        try:
            return self.fetcher.preload(pointers, now=self.database.now())
        except (StorageError, ThrottledError):
            raise
        except Exception as exc:  # noqa: BLE001  # each event is read alone then, and has its own trouble
            log.warning("lists_not_read", events=len(claimed), error=short(exc))
            return Preloaded()

    def gather(self, event: Event, options: ReplayOptions | None) -> EventFacts:
        """What the vendors say now about an event, or what was stored of it where a replay asks for
        that. Writes nothing; raises what the clients raise."""
        reading = self._read(event, options, Preloaded(), is_alone=True)
        return reading.with_orders(self.find_orders(reading))

    def read(self, event: Event, preloaded: Preloaded, *, is_alone: bool) -> Reading:
        """What one event is about. `is_alone`: its orders are not looked up with those of others,
        so Purple Dot may be asked ahead. Raises what the clients raise."""
        return self._read(event, self._options(event), preloaded, is_alone=is_alone)

    def find_orders(self, reading: Reading) -> OrderLookup:
        """The orders that one event's shipments may belong to. Raises what the client raises."""
        # Where nothing is looked up, what was asked for ahead is no trouble of ours.
        answers = reading.ahead.answers() if reading.looked_up else NO_ANSWERS
        return self.resolver.find(reading.looked_up, answers=answers)

    def _options(self, event: Event) -> ReplayOptions | None:
        if not event.is_replay:
            return None
        with self.database.read() as connection:
            return replays.options_of(connection, event.id)

    def _read(
        self,
        event: Event,
        options: ReplayOptions | None,
        preloaded: Preloaded,
        *,
        is_alone: bool,
    ) -> Reading:
        ahead = Ahead(self.resolver, self._threads)
        fetched_at = self.database.now()
        unread: PermanentError | None = None
        if options is not None and options.as_stored:
            with self.database.read() as connection:
                records = events.records_of(connection, options.event_id)
                fetched_at = events.fetched_at(connection, options.event_id) or fetched_at
        else:
            with ahead:
                records, unread = self._fetch(event, preloaded, ahead.begin if is_alone else None)
        shipments = EVENT_TYPES[event.event_type].translate(records)
        shipments = [self._as_judged(shipment, event, fetched_at) for shipment in shipments]
        if options is not None:
            notify_customer = options.notify_customer
            shipments = [
                replace(shipment, notify_customer=notify_customer) for shipment in shipments
            ]
        return Reading(event, records, shipments, fetched_at, unread, options, ahead)

    def _as_judged(self, shipment: Shipment, event: Event, now: datetime) -> Shipment:
        """On the last look, what is still not known goes to a person."""
        is_last = shipment.state in AT_LAST and self.next_look(event, now) is None
        return replace(shipment, state=AT_LAST[shipment.state]) if is_last else shipment

    def next_look(self, event: Event, now: datetime) -> datetime | None:
        """When an event whose facts are not complete is read again; None when the schedule is
        over."""
        return next_look(looks=event.waits + 1, schedule=self.wait_schedule, now=now)

    def _fetch(
        self, event: Event, preloaded: Preloaded, on_rows: RowsRead | None
    ) -> tuple[list[Record], PermanentError | None]:
        """What could be read, and why a row of an inline body could not: its others go on, and the
        event is tried again for it."""
        if event.resource_url is not None:
            records = self.fetcher.fetch(event.resource_url, preloaded, on_rows=on_rows)
            return records, None
        rows = [record_of("inline_row", row) for row in identify(event.body).inline_rows]
        orders: dict[str, Record] = {}
        unread: PermanentError | None = None
        for shipment_id in dict.fromkeys(str(row.body["shipment_id"]) for row in rows):
            try:
                orders[shipment_id] = self.fetcher.v2_shipment(shipment_id)
            except CredentialsError:
                raise
            except PermanentError as exc:
                unread = exc
        readable = [row for row in rows if row.body["shipment_id"] in orders]
        return [*readable, *orders.values()], unread


def short(error: Exception) -> str:
    """An error as a line of log has it."""
    return f"{type(error).__name__}: {error}"[:300]
