"""One claimed event: fetch, translate, resolve, place. Its outcome is written in one transaction
with the deliveries it led to."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from bridge import metrics
from bridge.domain.deliveries import Claim, Delivery
from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    LeaseLostError,
    PermanentError,
    StorageError,
    TemporaryError,
    ThrottledError,
)
from bridge.domain.events import DeliveryStatus, Event, EventStatus, Lane, Record, Trigger
from bridge.domain.reasons import MEANINGS, Reason
from bridge.domain.shipments import Shipment, ShipmentState
from bridge.pipeline.create_deliveries import Decision, Origin, Policy, Taking, place, summary
from bridge.pipeline.find_orders import Found, Resolver
from bridge.pipeline.retry import RetryAt, decide, next_look
from bridge.pipeline.schedules import Schedules
from bridge.store import deliveries, events, leases, replays
from bridge.store.engine import wakeup
from bridge.store.engine.database import Connection, Database
from bridge.store.replays import Wish
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.payloads import record_of
from bridge.vendors.shipstation.webhook import identify

log = structlog.get_logger(__name__)

_SHIPPED = ShipmentState.SHIPPED
TRIGGERS = {
    Lane.LIVE: Trigger.LIVE,
    Lane.RETRY: Trigger.RETRY,
    Lane.REPLAY: Trigger.REPLAY,
    Lane.SWEEP: Trigger.LIVE,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an event speaks of: what was fetched when, the shipments in it, the orders that they may
    belong to; `unread` is why some of it could not be read, `wish` what a replay asks for."""

    records: Sequence[Record]
    shipments: Sequence[Shipment]
    found: Found
    fetched_at: datetime
    unread: PermanentError | None
    wish: Wish | None

    @property
    def is_stored(self) -> bool:
        """Old facts: looking again would change nothing."""
        return self.wish is not None and self.wish.as_stored


@dataclass(frozen=True, slots=True)
class EventJob:
    """Takes a claimed event to its end, or puts it off. `run` raises nothing but LeaseLostError and
    StorageError.

    It returns those of the new deliveries that are claimed for `owner` already, at most `takes`.
    """

    database: Database
    fetcher: Fetcher
    resolver: Resolver
    policy: Policy
    schedules: Schedules
    lease: timedelta
    _strangers: set[str] = field(default_factory=set)

    def run(self, event: Event, *, owner: str, takes: int = 0) -> list[Delivery]:
        try:
            return self._run(event, owner, takes)
        except (LeaseLostError, StorageError):
            raise
        except BridgeError as exc:
            self._failed(event, owner, exc)
        except (
            Exception
        ) as exc:  # A fault of ours must not lose the event; it is tried again and stays visible.
            log.exception("event_failed_unforeseen", event_id=event.id)
            self._failed(event, owner, TemporaryError(f"unforeseen {type(exc).__name__}: {exc}"))
        return []

    def _run(self, event: Event, owner: str, takes: int) -> list[Delivery]:
        facts = self.gather(event, self._wish(event))
        decisions, taken, again = self.database.write(
            lambda connection: self._place(connection, event, owner, facts, takes)
        )
        metrics.DELIVERIES.labels(status=DeliveryStatus.HELD).inc(
            sum(decision.verdict == "held" for decision in decisions)
        )
        self._say_strangers(decisions)
        made = [decision.delivery_id for decision in decisions if decision.delivery_id is not None]
        told = {
            "event_id": event.id,
            "event_type": event.event_type,
            "again_at": again,
            "delivery_ids": made[:20],
        }
        log.info("event_placed", **told, **summary(decisions))
        if facts.unread is not None:
            self._failed(event, owner, facts.unread)
        return taken

    def _wish(self, event: Event) -> Wish | None:
        if not event.is_replay:
            return None
        with self.database.read() as connection:
            return replays.wish_of(connection, event.id)

    def gather(self, event: Event, wish: Wish | None) -> Facts:
        """What an event speaks of, as the vendors tell it now, or as it was stored where a replay
        wants that. Writes nothing."""
        fetched_at, unread = self.database.moment(), None
        if wish is not None and wish.as_stored:
            with self.database.read() as connection:
                records, fetched_at = (
                    events.records_of(connection, wish.event_id),
                    events.fetched_at(connection, wish.event_id) or fetched_at,
                )
        else:
            records, unread = self._fetch(event)
        shipments = EVENT_TYPES[event.event_type].translate(records)
        if next_look(looks=event.waits + 1, schedule=self.schedules.wait, now=fetched_at) is None:
            # The last look: what is finished and still has no number goes to a person.
            shipments = [
                replace(s, state=_SHIPPED) if s.state is ShipmentState.AWAITING_NUMBER else s
                for s in shipments
            ]
        if wish is not None:
            shipments = [replace(s, notify_customer=wish.notify_customer) for s in shipments]
        found = self.resolver.find(
            [s for s in shipments if s.state in (_SHIPPED, ShipmentState.REJECTED)]
        )
        return Facts(records, shipments, found, fetched_at, unread, wish)

    def _fetch(self, event: Event) -> tuple[list[Record], PermanentError | None]:
        """What could be read, and why a row of an inline body could not: its others are placed, and
        the event is tried again for it."""
        if event.resource_url is not None:
            return self.fetcher.fetch(event.resource_url), None
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
        return [
            *(row for row in rows if row.body["shipment_id"] in orders),
            *orders.values(),
        ], unread

    def _place(
        self, connection: Connection, event: Event, owner: str, facts: Facts, takes: int
    ) -> tuple[list[Decision], list[Delivery], datetime | None]:
        """One transaction: what was fetched, what was decided, and the event's end; that is
        fenced."""
        now = self.database.now(connection)
        taking = Taking(Claim(owner, now + self.lease), takes)
        events.save_records(connection, event.id, facts.records, now=facts.fetched_at)
        decisions = self.judge(connection, event, facts, now=now, taking=taking)
        deliveries.link_event(
            connection, event.id, [d.delivery_id for d in decisions if d.delivery_id is not None]
        )
        again = None
        if facts.unread is None:
            again = self._end(connection, event, owner, decisions, now, facts)
        else:
            leases.fence(connection, leases.EVENTS, row_id=event.id, owner=owner, claim=event.claim)
        if facts.wish is not None:
            replays.feed(connection, facts.wish.run_id, now=now)
        wakeup.announce(connection)
        return decisions, taking.taken, again

    def judge(
        self,
        connection: Connection,
        event: Event,
        facts: Facts,
        *,
        now: datetime,
        taking: Taking | None = None,
    ) -> list[Decision]:
        """Decide what was gathered, and write the deliveries that it leads to."""
        origin = Origin(
            lane=event.lane,
            trigger=TRIGGERS[event.lane] if facts.wish is None else Trigger.REPLAY,
            received_at=event.received_at if facts.wish is None else facts.wish.received_at,
            fetched_at=facts.fetched_at,
            now=now,
            as_stored=facts.is_stored,
        )
        return place(
            connection,
            facts.shipments,
            facts.found,
            policy=self.policy,
            origin=origin,
            taking=taking,
        )

    def _end(
        self,
        connection: Connection,
        event: Event,
        owner: str,
        decisions: Sequence[Decision],
        now: datetime,
        facts: Facts,
    ) -> datetime | None:
        """Finish the event, or put it off until the moment that is told."""
        again = None if facts.is_stored else self._look_again(event, decisions, now)
        if again is not None:
            detail = (
                "ShipStation lists nothing finished yet"
                if not decisions
                else f"{_waiting(decisions)} label(s) not finished yet"
            )
            events.postpone(
                connection,
                event,
                owner=owner,
                at=again,
                attempts=event.attempts,
                waits=event.waits + 1,
                detail=detail,
            )
        else:
            status, reason, detail = conclude(decisions, is_again=event.waits > 0)
            rows = [decision.as_json() for decision in decisions]
            events.finish(
                connection,
                event,
                owner=owner,
                status=status,
                now=now,
                reason=reason,
                detail=detail,
                decisions=rows,
            )
        return again

    def _say_strangers(self, decisions: Sequence[Decision]) -> None:
        """One notice for each carrier that the table does not hold, not one for each parcel."""
        told = (
            self.policy.carriers.unknown(decision.shipment)
            for decision in decisions
            if decision.verdict == "delivery"
        )
        for carrier in {carrier for carrier in told if carrier is not None} - self._strangers:
            self._strangers.add(carrier)
            log.warning(
                "carrier_unknown",
                carrier=carrier[:60],
                next_step="name it in BRIDGE_CARRIERS_FILE; until then it goes out as written",
            )

    def _look_again(
        self, event: Event, decisions: Sequence[Decision], now: datetime
    ) -> datetime | None:
        """An empty page may fill, a label may finish: look again without spending an attempt, until
        the schedule is over."""
        if decisions and not _waiting(decisions):
            return None
        return next_look(looks=event.waits + 1, schedule=self.schedules.wait, now=now)

    def _failed(self, event: Event, owner: str, error: BridgeError) -> None:
        """Nothing was written. Reading can be repeated for as long as the schedule lasts, whatever
        the vendor said."""
        retriable = (
            error
            if isinstance(error, TemporaryError | CredentialsError)
            else TemporaryError(str(error))
        )
        with self.database.begin() as connection:
            now = self.database.now(connection)
            came = decide(
                retriable, attempt=event.attempts + 1, schedule=self.schedules.retry, now=now
            )
            if isinstance(came, RetryAt):
                spent = event.attempts + came.spent
                events.postpone(
                    connection,
                    event,
                    owner=owner,
                    at=came.at,
                    attempts=spent,
                    waits=event.waits,
                    detail=str(error),
                )
            else:
                events.finish(
                    connection,
                    event,
                    owner=owner,
                    status=EventStatus.DEAD,
                    now=now,
                    reason=came.reason,
                    detail=str(error)[:1000],
                )
            if event.is_replay and (wish := replays.wish_of(connection, event.id)) is not None:
                replays.feed(connection, wish.run_id, now=now)
        if not isinstance(error, ThrottledError):
            log.warning(
                "event_attempt_failed",
                event_id=event.id,
                attempt=event.attempts + 1,
                error=str(error)[:300],
            )


def conclude(
    decisions: Sequence[Decision], *, is_again: bool = False
) -> tuple[EventStatus, Reason | None, str]:
    """An event's end from what was decided for its shipments: processed when any became a delivery,
    or, for an event that `is_again` looked at, is one already; else ignored, for the reason most of
    them were."""
    counts = dict(summary(decisions))
    told = ", ".join(f"{count} {key}" for key, count in counts.items())
    if any(
        decision.delivery_id is not None and (is_again or decision.verdict != "ignored")
        for decision in decisions
    ):
        return EventStatus.PROCESSED, None, told
    ignored = {
        key: count
        for key, count in counts.items()
        if key in set(Reason) and MEANINGS[Reason(key)].verdict == "ignored"
    }
    most = Reason(max(ignored, key=lambda key: ignored[key])) if ignored else Reason.NOTHING_SHIPPED
    return EventStatus.IGNORED, most, told


def _waiting(decisions: Sequence[Decision]) -> int:
    return sum(decision.verdict == "waiting" for decision in decisions)
