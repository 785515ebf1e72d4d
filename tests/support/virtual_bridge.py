"""A whole bridge in one thread and in virtual time: the real receiver, database and jobs, the real
simulator over HTTP, a clock that is set."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from flask import Flask

from bridge.domain.deliveries import Delivery
from bridge.domain.errors import AuthenticationError, BridgeError, ThrottledError
from bridge.domain.events import CLAIMABLE, DeliveryStatus, EventStatus
from bridge.domain.reasons import Reason
from bridge.operations import repair
from bridge.operations.sweep import Sweep
from bridge.pipeline.deliver import DeliveryJob
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.process_event import EventJob, batches_of
from bridge.pipeline.retry import Schedules
from bridge.services import Services
from bridge.settings import Settings
from bridge.simulator import PurpleDotOrder, Simulator, World
from bridge.store import deliveries, events, leases, orders, repairs, reports, tables
from bridge.store.engine.database import Database
from bridge.store.queries import Query
from bridge.translate.carriers import Carriers
from bridge.translate.plans import Policy
from bridge.web.app import add_error_answers
from bridge.web.throttle import FailedAttemptLimiter
from bridge.web.webhooks import blueprint
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.waiting import wait_until

Json = dict[str, Any]

OWNER = "worker-1"
TOKEN = "a-token-of-the-tests"
SETTINGS = {
    "BRIDGE_WEBHOOK_TOKENS": TOKEN,
    "BRIDGE_RETRY_SCHEDULE": "10s,1m,5m",
    "BRIDGE_WAIT_SCHEDULE": "15s,1m,5m,15m",
    "BRIDGE_CONFIRM_SCHEDULE": "15s,1m,5m,15m",
    "BRIDGE_SHIPSTATION_RATE_PER_MINUTE": "100000",
    "BRIDGE_SHIPSTATION_V1_RATE_PER_MINUTE": "100000",
    "BRIDGE_PURPLE_DOT_RATE_PER_MINUTE": "100000",
}
_MOST_MOVES = 2000


class Crash(BaseException):
    """The process is gone at this very point: nothing of ours may catch it."""


class Mortal:
    """A vendor's client; the process dies once, at the point that `VirtualBridge.dies_at` names.

    That is before a call of that name, or, as `posted`, when a fulfillment was accepted but nobody
    has read it yet. A call that was given up may be under way still: no virtual time passes before
    the vendor is done with it."""

    def __init__(self, client: Any, virtual_bridge: "VirtualBridge") -> None:
        self._client, self._bridge = client, virtual_bridge

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._bridge.reach(name)
            if name == "create_fulfillment":
                if self._bridge.clock.now.timestamp() > options.pop("not_after"):
                    raise ThrottledError("its turn came too late")
                self._bridge.sent.append(arguments[0]["fulfillment"])
                self._bridge.sent_at.append(self._bridge.clock.now)
            try:
                answer = getattr(self._client, name)(*arguments, **options)
            except BridgeError:
                wait_until(
                    self._bridge.simulator.is_idle,
                    60,
                    "the vendors to be done with what was given up",
                )
                raise
            if name == "create_fulfillment":
                self._bridge.reach("posted")
            return answer

        return call


POINTS = (
    "preload",
    "fetch",
    "current",
    "recent",
    "order",
    "orders_by_reference",
    "create_fulfillment",
    "posted",
)
"""Where a process may die. `create_fulfillment` is between the intent and the request, `posted`
between the request and its record."""


class VirtualBridge:
    """Everything real except the threads and the time. A `database` that is given is not watched,
    which is faster where there are many rows. `sent` are the bodies that left for Purple Dot,
    answered or not, `sent_at` when."""

    def __init__(
        self,
        database_url: str,
        clock: Clock,
        simulator: Simulator | None = None,
        *,
        database: Database | None = None,
        **settings: str,
    ) -> None:
        self.clock = clock
        self.simulator = (simulator or Simulator(World(now=clock))).start()
        self.world = self.simulator.world
        self.database = database or WatchedDatabase(database_url, clock=clock)
        self.dies_at: str | None = None
        self.batch_size = 1
        self._acts: dict[str, Callable[[], None]] = {}
        self.sent: list[Json] = []
        self.sent_at: list[datetime] = []
        self.environ = (
            self.simulator.env() | SETTINGS | {"BRIDGE_DATABASE_URL": database_url} | settings
        )
        read = Settings.load(self.environ)
        self._receiver = self._start_receiver(read)
        self._jobs = self._create_jobs(read)

    def _start_receiver(self, settings: Settings) -> Any:
        app = Flask("virtual_bridge", static_folder=None)
        app.url_map.merge_slashes = False
        app.url_map.strict_slashes = False
        app.register_error_handler(AuthenticationError, lambda _: ("", 401))
        services = Services(settings, self.database)
        limiter = FailedAttemptLimiter()
        app.register_blueprint(blueprint(services, limiter))
        add_error_answers(app, services, limiter)
        return app.test_client()

    def _services(self, settings: Settings) -> Services:
        """A call that would have to wait for the budget gives up at once, as at the end of a
        worker: virtual time passes meanwhile."""
        hurried = threading.Event()
        hurried.set()
        return Services(settings, self.database, stopping=hurried)

    def _create_jobs(self, settings: Settings) -> Mapping[Any, Any]:
        services = self._services(settings)
        self.fetcher, self.purple_dot = vendors = services.fetcher, services.purple_dot
        fetcher, purple_dot = (Mortal(client, self) for client in vendors)
        hold, pattern = timedelta(seconds=settings.hold_seconds), settings.reference_pattern
        policy = Policy(
            pattern or re.compile(""),
            Carriers(),
            settings.notify_customer,
            hold,
            settings.retry_schedule,
        )
        resolver = Resolver(self.database, purple_dot, pattern)  # type: ignore[arg-type]
        schedules = Schedules(
            retry=settings.retry_schedule,
            wait=settings.wait_schedule,
            confirm=settings.confirm_schedule,
        )
        self._lease = timedelta(seconds=settings.lease_seconds)
        delivery_job = DeliveryJob(
            self.database,
            purple_dot,  # type: ignore[arg-type]
            fetcher,  # type: ignore[arg-type]
            resolver,
            policy,
            schedules,
            self._lease,
            is_dry_run=settings.dry_run,
            monotonic=lambda: self.clock.now.timestamp(),  # noqa: PLW0108  # the clock is set anew
        )
        event_job = EventJob(self.database, fetcher, resolver, policy, schedules, self._lease)  # type: ignore[arg-type]
        return {deliveries: delivery_job, events: event_job}

    def forget(self) -> None:
        """The database is empty again."""
        with Database.begin(self.database) as connection:
            for table in reversed(tables.metadata.sorted_tables):
                connection.execute(table.delete())

    def close(self) -> None:
        self.simulator.stop()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    # What comes in

    def post(
        self,
        raw: bytes,
        headers: Mapping[str, str] | None = None,
        path: str = f"/webhooks/shipstation/{TOKEN}",
    ) -> Any:
        """Bytes for the receiver; its answer."""
        self.clock.advance(0.001)
        return self._receiver.post(path, data=raw, headers=dict(headers or {}))

    def send(self, body: Json) -> str:
        """A webhook as ShipStation sends it; the event it became."""
        answer = self.post(*self.simulator.webhook(body, now=self.clock.now))
        assert answer.status_code == 202, answer.text
        return str(answer.json["event_id"])

    def travel(self, *bodies: Json) -> list[str]:
        """Webhooks, to their end; their events."""
        event_ids = [self.send(body) for body in bodies]
        self.settle()
        return event_ids

    # What is done

    def at(self, point: str, act: Callable[[], None]) -> None:
        """Do this, once, when that point is reached."""
        self._acts[point] = act

    def reach(self, point: str) -> None:
        act = self._acts.pop(point, None)
        if act is not None:
            act()
        if self.dies_at == point:
            self.dies_at = None
            raise Crash(point)

    def work(self) -> None:
        """Do what is due now. A process that dies leaves its work to its lease, or, where another
        one of its name starts, to that."""
        while self.step():
            self.clock.advance(0.001)

    def step(self) -> bool:
        """One piece of work that is due, or up to `batch_size` events; False when there is none."""
        for queue, job in self._jobs.items():
            limit = self.batch_size if queue is events else 1
            with self.database.begin(durable=False) as connection:
                claimed = queue.claim(
                    connection, owner=OWNER, limit=limit, lease=self._lease, now=self.clock.now
                )
            if not claimed:
                continue
            tasks = batches_of(claimed) if queue is events else [(claimed[0],)]
            try:
                for task in tasks:
                    job.run(*task, owner=OWNER)
            except Crash:
                return True
            return True
        return False

    def restart(self) -> None:
        """A process of the same name starts, and takes back what the dead one held."""
        with self.database.begin() as connection:
            leases.release_claims(connection, owner=OWNER, now=self.clock.now)

    def settle(self, *, most_moves: int = _MOST_MOVES) -> None:
        """Let the time pass until nothing is work any more."""
        for _ in range(most_moves):
            self.work()
            with self.database.read() as connection:
                due = leases.next_due(connection)
            if due is None:
                return
            self.clock.now = max(self.clock.now, due)
        raise AssertionError("work without end")

    def sweep(self, *, after: float = 900, since: float = 86_400) -> dict[str, Any]:
        """What the worker's sweep a while later counts; what it found is settled."""
        self.clock.advance(after)
        looked_back_to = self.clock.now - timedelta(seconds=since)
        sweep = Sweep(self.database, self.fetcher)
        tally = sweep.run(looked_back_to, threading.Event(), started_by="worker")
        self.settle()
        return dict(tally.by_event_type())

    # What a person does

    def repair(self, delivery_id: str, act: Callable[..., str], **details: Any) -> None:
        """One of `bridge.operations.repair`, in a transaction as the commands do it."""
        with self.database.begin() as connection:
            [delivery] = repairs.find(connection, delivery_id)
            act(connection, delivery, actor="alice (shell)", now=self.clock.now, **details)

    def link(self, delivery_id: str, order: PurpleDotOrder) -> None:
        """As `bridge link` does it."""
        known = self.purple_dot.order(order.id)
        with self.database.begin() as connection:
            orders.remember(connection, [known], now=self.clock.now)
        self.repair(delivery_id, repair.link, order=known)

    # What came of it

    def event(self, event_id: str) -> Json:
        with self.database.read() as connection:
            story = reports.event_story(connection, event_id)
        assert story is not None
        return story

    def events(self) -> list[Json]:
        with self.database.read() as connection:
            return [
                self.event(row["id"])
                for row in reversed(reports.list_events(connection, Query(limit=None)))
            ]

    def deliveries(self, order: PurpleDotOrder | None = None) -> list[Json]:
        """All, or those of one order; the oldest first, each with its attempts."""
        with self.database.read() as connection:
            rows = reports.list_deliveries(
                connection, Query(search=order.id if order else None, limit=None)
            )
            stories = [reports.delivery_story(connection, row["id"]) for row in reversed(rows)]
        return [story for story in stories if story is not None]

    def newest(self, prefix: str) -> str:
        """The id of the newest `evt` or `dlv`."""
        read = reports.list_events if prefix == "evt" else reports.list_deliveries
        with self.database.read() as connection:
            [row] = read(connection, Query(limit=1))
        return str(row["id"])

    def stored(self, delivery_id: str) -> Delivery:
        with self.database.read() as connection:
            [delivery] = repairs.find(connection, delivery_id)
        return delivery

    def accepted(self, order: PurpleDotOrder | None = None) -> list[Json]:
        """The bodies that Purple Dot accepted, of all orders or of one."""
        bodies = [body["fulfillment"] for body in self.world.fulfillments]
        return [
            body for body in bodies if order is None or body["fulfillment_order_id"] == order.id
        ]

    def units(self, order: PurpleDotOrder) -> dict[str | None, int]:
        """The units of each SKU that Purple Dot accepted for an order."""
        skus = {line.id: line.sku for line in order.lines}
        units: Counter[str | None] = Counter()
        for body in self.accepted(order):
            for line in body["line_items"]:
                units[skus[line["id"]]] += line["quantity"]
        return dict(units)

    def exceptions(self) -> list[str]:
        """Why people are asked, in alphabetical order; an event counts as well as a delivery."""
        rows = [row for row in self.deliveries() if row["status"] in ("held", "dead")]
        rows += [event for event in self.events() if event["status"] == "dead"]
        return sorted(str(row["reason"]) for row in rows)

    def left_without_a_time(self) -> list[str]:
        """Rows that are work without a due time, or have one without being work: must be none,
        ever. Only a held delivery whose order is still looked for may have one."""
        works = {EventStatus.RECEIVED, *CLAIMABLE}
        with self.database.read() as connection:
            tabled = (tables.events, EventStatus), (tables.deliveries, DeliveryStatus)
            rows = [
                (kind(row.status), row)
                for table, kind in tabled
                for row in connection.execute(table.select()).all()
            ]
        searching = (DeliveryStatus.HELD, Reason.ORDER_NOT_FOUND)
        return [
            row.id
            for status, row in rows
            if (status, row.reason) != searching and (status in works) != (row.due_at is not None)
        ]
