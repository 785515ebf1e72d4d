"""The worker's two jobs on a database, one piece of work at a time, with both vendors faked."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bridge.domain.deliveries import Delivery
from bridge.pipeline.deliver import DeliveryJob
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.process_event import EventJob
from bridge.translate.plans import Policy
from tests.support.fakes import Clock, FakeFetcher, FakePurpleDot, WatchedDatabase
from tests.support.rows import (
    LEASE,
    POLICY,
    SCHEDULES,
    a_parcel,
    claim_delivery,
    claim_event,
    claim_events,
    put,
    receive,
    row,
    rows,
)


@dataclass
class Jobs:
    """Where one piece of work at a time is claimed and done."""

    database: WatchedDatabase
    clock: Clock
    purple_dot: FakePurpleDot
    fetcher: FakeFetcher
    policy: Policy = POLICY

    @property
    def resolver(self) -> Resolver:
        return Resolver(self.database, self.purple_dot, self.policy.pattern)

    def parcel(self, **fields: Any) -> str:
        """A placed delivery of a parcel with the whole order in it; its id."""
        [decision] = put(self.database, a_parcel(**fields), policy=self.policy)
        return str(decision.delivery_id)

    def deliver(self, *, after: float = 0, **fields: Any) -> Any:
        """Claim the due delivery, take it one step, and tell how it stands."""
        self.clock.advance(after)
        delivery = claim_delivery(self.database)
        self.run(delivery, **fields)
        return row(self.database, delivery.id)

    def run(self, delivery: Delivery, **fields: Any) -> None:
        job = DeliveryJob(
            self.database,
            self.purple_dot,
            self.fetcher,
            self.resolver,
            self.policy,
            SCHEDULES,
            LEASE,
            **fields,
        )
        job.run(delivery, owner="worker-1")

    def notify(self, event_type: str = "SHIP_NOTIFY", **fields: Any) -> str:
        return receive(self.database, event_type, **fields)[0]

    def process(self, *, after: float = 0) -> Any:
        """Claim the due event, do it, and tell how it stands."""
        self.clock.advance(after)
        event = claim_event(self.database)
        EventJob(self.database, self.fetcher, self.resolver, self.policy, SCHEDULES, LEASE).run(
            event, owner="worker-1"
        )
        return row(self.database, event.id)

    def process_together(self, *, after: float = 0) -> list[Any]:
        """Claim all due events, do them as one batch, and tell how they stand."""
        self.clock.advance(after)
        events = claim_events(self.database)
        EventJob(self.database, self.fetcher, self.resolver, self.policy, SCHEDULES, LEASE).run(
            *events, owner="worker-1"
        )
        return [row(self.database, event.id) for event in events]

    def attempts(self) -> list[tuple[int, str]]:
        return [(attempt.number, attempt.outcome) for attempt in rows(self.database, "attempts")]

    def order_becomes(self, **fields: Any) -> None:
        for order_id, order in self.purple_dot.orders.items():
            self.purple_dot.orders[order_id] = replace(order, **fields)

    def hold(self, seconds: float) -> None:
        self.policy = replace(self.policy, hold=timedelta(seconds=seconds))
