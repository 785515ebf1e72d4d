"""Claimed events, often one: fetch, translate, find their orders, create deliveries. What several
need is read together and written in one transaction, each event with an outcome of its own; one
that fails is none of its neighbors' trouble."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from bridge import metrics
from bridge.domain.deliveries import Claim, Delivery
from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    LeaseLostError,
    StorageError,
    TemporaryError,
    ThrottledError,
)
from bridge.domain.events import (
    DeliveryStatus,
    Event,
    EventOutcome,
    EventStatus,
    Lane,
    Trigger,
)
from bridge.domain.reasons import MEANINGS, Reason
from bridge.pipeline.create_deliveries import create_deliveries_of_pages
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.read_event import EventFacts, EventReader, Reading, short
from bridge.pipeline.retry import GiveUp, RetryAt, Schedules, decide
from bridge.store import events, leases
from bridge.store.engine.database import Connection, Database
from bridge.translate.plans import (
    ClaimAllowance,
    Decision,
    Page,
    PageContext,
    Plan,
    Policy,
    summary,
)
from bridge.vendors.shipstation.bulk import BULK_FROM, is_bulk
from bridge.vendors.shipstation.fetch import Fetcher

T = TypeVar("T")

log = structlog.get_logger(__name__)

TRIGGERS = {
    Lane.LIVE: Trigger.LIVE,
    Lane.RETRY: Trigger.RETRY,
    Lane.REPLAY: Trigger.REPLAY,
    Lane.SWEEP: Trigger.LIVE,
}
_LOGGED_IDS = 20


Gathered = tuple[Event, EventFacts]
Ended = tuple[Gathered, Plan, EventOutcome]


@dataclass(frozen=True, slots=True)
class EventJob:
    """Takes claimed events to their end, or puts them off. `run` raises nothing but LeaseLostError
    and StorageError, and LeaseLostError for a lone event only.

    It returns those of the new deliveries that are claimed for `owner` already, at most `takes`.
    """

    database: Database
    fetcher: Fetcher
    resolver: Resolver
    policy: Policy
    schedules: Schedules
    lease: timedelta
    reader: EventReader = field(init=False)
    _unknown_carriers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        reader = EventReader(self.database, self.fetcher, self.resolver, self.schedules.wait)
        object.__setattr__(self, "reader", reader)

    def run(self, *claimed: Event, owner: str, takes: int = 0) -> list[Delivery]:
        try:
            preloaded = self.reader.preload(claimed)
        except ThrottledError as exc:
            self._put_off(claimed, owner, exc)
            return []
        readings: list[Reading] = []
        for event in claimed:
            read = partial(self.reader.read, event, preloaded, is_alone=len(claimed) == 1)
            reading = self._attempt(event, owner, read)
            if reading is not None:
                readings.append(reading)
        deliveries: list[Delivery] = []
        for batch in self._look_up(readings, owner):
            self._learn_carriers(batch)
            deliveries += self._end(batch, owner, takes - len(deliveries))
        return deliveries

    def _learn_carriers(self, batch: Sequence[Gathered]) -> None:
        """A code that our table does not hold may be one of the account's own carriers. Only
        parcels that may be Purple Dot's are worth the question."""
        carriers = self.policy.carriers
        for _event, facts in batch:
            is_unknown = any(carriers.unknown(shipment) for shipment in facts.shipments)
            if is_unknown and facts.lookup.orders:
                carriers.learn(self.fetcher.carrier_names())
                return

    def _attempt(self, event: Event, owner: str, work: Callable[[], T]) -> T | None:
        """What `work` returns; None when it failed, which is recorded on this event alone."""
        try:
            return work()
        except (LeaseLostError, StorageError):
            raise
        except BridgeError as exc:
            self._failed(event, owner, exc)
        except Exception as exc:
            # A fault of ours must not lose the event: it is tried again and stays visible.
            log.exception("event_failed_unforeseen", event_id=event.id)
            self._failed(event, owner, TemporaryError(f"unforeseen {type(exc).__name__}: {exc}"))
        return None

    def _put_off(self, claimed: Sequence[Event], owner: str, error: ThrottledError) -> None:
        """There is no turn for a call that would serve them all. One for each would take more turns
        yet, so they come back at one moment, as a batch again."""
        with self.database.begin() as connection:
            now = self.database.now(connection)
            decision = decide(error, attempt=1, schedule=self.schedules.retry, now=now)
            held = _held(connection, claimed, owner)
            put_off = [
                (event, _after_failure(event, error, decision))
                for event in claimed
                if event.id in held
            ]
            events.end(connection, put_off, owner=owner, now=now)

    def _look_up(self, readings: Sequence[Reading], owner: str) -> Iterator[list[Gathered]]:
        """One order lookup for all of them, or, where that fails, one for each."""
        if len(readings) > 1:
            together = [shipment for reading in readings for shipment in reading.looked_up]
            try:
                lookup = self.resolver.find(together)
            except StorageError:
                raise
            except ThrottledError as exc:
                self._put_off([reading.event for reading in readings], owner, exc)
                return
            except Exception as exc:  # noqa: BLE001  # whose fault it is shows when each is tried alone
                log.warning("orders_not_found_together", error=short(exc))
            else:
                yield [(reading.event, reading.with_orders(lookup)) for reading in readings]
                return
        for reading in readings:
            find = partial(self.reader.find_orders, reading)
            lookup_alone = self._attempt(reading.event, owner, find)
            if lookup_alone is not None:
                yield [(reading.event, reading.with_orders(lookup_alone))]

    def _end(self, batch: Sequence[Gathered], owner: str, takes: int) -> list[Delivery]:
        """Write what a batch came to; what can't be written together is written one by one."""
        if len(batch) == 1:
            event, _ = batch[0]
            return (
                self._attempt(event, owner, partial(self._end_together, batch, owner, takes)) or []
            )
        try:
            return self._end_together(batch, owner, takes)
        except StorageError:
            raise
        except Exception as exc:  # noqa: BLE001  # whose fault it is shows when each is tried alone
            log.warning("batch_split", events=len(batch), error=short(exc))
        claimed: list[Delivery] = []
        for gathered in batch:
            try:
                claimed += self._end([gathered], owner, takes - len(claimed))
            except LeaseLostError as exc:
                log.warning("lease_lost", event_id=gathered[0].id, error=str(exc))
        return claimed

    def _end_together(self, batch: Sequence[Gathered], owner: str, takes: int) -> list[Delivery]:
        def write(connection: Connection) -> list[Ended]:
            return self._write(connection, batch, owner=owner, takes=takes)

        claimed: list[Delivery] = []
        for (event, facts), plan, outcome in self.database.write(write):
            self._report(event, plan, outcome)
            if facts.unread is not None:
                self._failed(event, owner, facts.unread)
            claimed += plan.claimed
        return claimed

    # What it comes to

    def _write(
        self, connection: Connection, batch: Sequence[Gathered], *, owner: str, takes: int
    ) -> list[Ended]:
        """One transaction: what was fetched, what was decided, and the end of each event that is
        still ours."""
        now = self.database.now(connection)
        if len(batch) > 1:
            held = _held(connection, [event for event, _ in batch], owner)
            batch = [gathered for gathered in batch if gathered[0].id in held]
        if not batch:
            return []
        plans = create_deliveries_of_pages(
            connection,
            [_page(event, facts, now) for event, facts in batch],
            batch[0][1].lookup,
            policy=self.policy,
            allowance=ClaimAllowance(Claim(owner, now + self.lease), takes),
        )
        ended: list[Ended] = []
        for gathered, plan in zip(batch, plans, strict=True):
            event, facts = gathered
            outcome = self._outcome(event, facts, plan.decisions, now)
            ended.append((gathered, plan, outcome))
        outcomes = [(event, outcome) for (event, _facts), _plan, outcome in ended]
        events.end(connection, outcomes, owner=owner, now=now)
        return ended

    def judge(
        self,
        connection: Connection,
        event: Event,
        facts: EventFacts,
        *,
        now: datetime,
    ) -> Plan:
        """Decide what was gathered, and write the deliveries that it leads to."""
        [plan] = create_deliveries_of_pages(
            connection, [_page(event, facts, now)], facts.lookup, policy=self.policy
        )
        return plan

    def _outcome(
        self, event: Event, facts: EventFacts, decisions: Sequence[Decision], now: datetime
    ) -> EventOutcome:
        """Where the event goes: to its end, or on at a later time."""
        unfinished = EventOutcome(
            status=EventStatus.RECEIVED,
            attempts=event.attempts,
            waits=event.waits,
            records=facts.records,
            fetched_at=facts.fetched_at,
            delivery_ids=_delivery_ids(decisions),
        )
        if facts.unread is not None:
            return unfinished
        due_at = None if facts.is_stored else self._look_again(event, decisions, now)
        if due_at is not None:
            detail = _why_again(decisions)
            return replace(unfinished, due_at=due_at, waits=event.waits + 1, detail=detail)
        status, reason, detail = conclude(decisions, is_again=event.waits > 0)
        return replace(
            unfinished,
            status=status,
            reason=reason,
            detail=detail,
            decisions=[decision.as_json() for decision in decisions],
        )

    def _look_again(
        self, event: Event, decisions: Sequence[Decision], now: datetime
    ) -> datetime | None:
        """An empty page may fill, a label may finish: look again without spending an attempt, until
        the schedule is over."""
        if decisions and not _waiting(decisions):
            return None
        return self.reader.next_look(event, now)

    def _failed(self, event: Event, owner: str, error: BridgeError) -> None:
        """Nothing was written. Reading can be repeated for as long as the schedule lasts, whatever
        the vendor said."""
        retriable: BridgeError = error
        if not isinstance(error, TemporaryError | CredentialsError):
            retriable = TemporaryError(str(error))
        with self.database.begin() as connection:
            now = self.database.now(connection)
            decision = decide(
                retriable, attempt=event.attempts + 1, schedule=self.schedules.retry, now=now
            )
            outcome = _after_failure(event, error, decision)
            events.end(connection, [(event, outcome)], owner=owner, now=now)
        if not isinstance(error, ThrottledError):
            log.warning(
                "event_attempt_failed",
                event_id=event.id,
                attempt=event.attempts + 1,
                error=str(error)[:300],
            )

    # What others see of it

    def _report(self, event: Event, plan: Plan, outcome: EventOutcome) -> None:
        held = [decision for decision in plan.decisions if decision.verdict == "held"]
        metrics.DELIVERIES.labels(status=DeliveryStatus.HELD).inc(len(held))
        self._warn_of_unknown_carriers(plan.decisions)
        log.info(
            "event_placed",
            event_id=event.id,
            event_type=event.event_type,
            again_at=outcome.due_at,
            delivery_ids=outcome.delivery_ids[:_LOGGED_IDS],
            **summary(plan.decisions),
        )

    def _warn_of_unknown_carriers(self, decisions: Sequence[Decision]) -> None:
        """One notice for each carrier that the table does not hold, not one for each parcel."""
        for decision in decisions:
            if decision.verdict != "delivery":
                continue
            carrier = self.policy.carriers.unknown(decision.shipment)
            if carrier is None or carrier in self._unknown_carriers:
                continue
            self._unknown_carriers.add(carrier)
            log.warning(
                "carrier_unknown",
                carrier=carrier[:60],
                next_step="name it in BRIDGE_CARRIERS_FILE; until then it goes out as written",
            )


def batches_of(claimed: Sequence[Event]) -> list[tuple[Event, ...]]:
    """Webhooks of one kind and lane that ShipStation's lists can show together; every other event
    is alone, so that it waits for no neighbor's call."""
    alone: list[tuple[Event, ...]] = []
    together: dict[tuple[Lane, str], list[Event]] = {}
    for event in claimed:
        url = event.resource_url
        if url is None or event.is_replay or not is_bulk(url):
            alone.append((event,))
        else:
            together.setdefault((event.lane, event.event_type), []).append(event)
    batches: list[tuple[Event, ...]] = []
    for alike in together.values():
        if len(alike) >= BULK_FROM:
            batches.append(tuple(alike))
        else:
            alone += [(event,) for event in alike]
    return [*alone, *batches]


def _page(event: Event, facts: EventFacts, now: datetime) -> Page:
    options = facts.options
    context = PageContext(
        lane=event.lane,
        trigger=TRIGGERS[event.lane] if options is None else Trigger.REPLAY,
        received_at=event.received_at if options is None else options.received_at,
        fetched_at=facts.fetched_at,
        now=now,
        as_stored=facts.is_stored,
        is_first_look=event.waits == 0 and not facts.is_stored,
    )
    return Page(facts.shipments, context)


def _after_failure(event: Event, error: BridgeError, decision: RetryAt | GiveUp) -> EventOutcome:
    """Where an event goes that failed and wrote nothing."""
    failed = EventOutcome(
        status=EventStatus.RECEIVED,
        attempts=event.attempts,
        waits=event.waits,
        detail=str(error)[:1000],
    )
    if isinstance(decision, GiveUp):
        return replace(failed, status=EventStatus.DEAD, reason=decision.reason)
    return replace(
        failed,
        due_at=decision.at,
        throttled_by=decision.throttled_by,
        attempts=event.attempts + decision.spent,
    )


def _held(connection: Connection, claimed: Sequence[Event], owner: str) -> set[str]:
    """The ids of those that are still ours. What another worker took over meanwhile is its own to
    end."""
    claims = {event.id: event.claim for event in claimed}
    held = leases.held(connection, leases.EVENTS, claims=claims, owner=owner)
    for event_id in claims.keys() - held:
        log.warning("lease_lost", event_id=event_id)
    return held


def conclude(
    decisions: Sequence[Decision], *, is_again: bool = False
) -> tuple[EventStatus, Reason | None, str]:
    """An event's end from what was decided for its shipments: processed when any became a delivery,
    or, for an event that `is_again` looked at, is one already; else ignored, for the reason most of
    them were."""
    counts = summary(decisions)
    detail = ", ".join(f"{count} {key}" for key, count in counts.items())
    for decision in decisions:
        is_news = is_again or decision.verdict != "ignored"
        if decision.delivery_id is not None and is_news:
            return EventStatus.PROCESSED, None, detail
    ignored = {
        Reason(key): count
        for key, count in counts.items()
        if key in set(Reason) and MEANINGS[Reason(key)].verdict == "ignored"
    }
    if not ignored:
        return EventStatus.IGNORED, Reason.NOTHING_SHIPPED, detail
    return EventStatus.IGNORED, max(ignored, key=ignored.__getitem__), detail


def _delivery_ids(decisions: Sequence[Decision]) -> list[str]:
    ids = [decision.delivery_id for decision in decisions if decision.delivery_id is not None]
    return list(dict.fromkeys(ids))


def _why_again(decisions: Sequence[Decision]) -> str:
    if not decisions:
        return "ShipStation lists nothing finished yet"
    return f"{_waiting(decisions)} label(s) not finished yet"


def _waiting(decisions: Sequence[Decision]) -> int:
    return sum(decision.verdict == "waiting" for decision in decisions)
