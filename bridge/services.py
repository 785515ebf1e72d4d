"""The wiring: settings in, running parts out. It knows no Flask, which a worker need not load."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Self

from pydantic import SecretStr

from bridge.domain.errors import SettingsError, StorageError
from bridge.domain.orders import FulfillmentOrder
from bridge.logs import mask_values
from bridge.operations import (
    alert_check,
    compare,
    health,
    heartbeat,
    lookup,
    repair_runs,
    subscriptions,
)
from bridge.operations.sweep import Sweep
from bridge.pipeline import find_orders
from bridge.pipeline.deliver import DeliveryJob
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.process_event import EventJob
from bridge.pipeline.retry import Schedules
from bridge.settings import Settings, rates
from bridge.store import retention
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.translate.carriers import Carriers, own_rows
from bridge.translate.plans import Policy
from bridge.vendors.http import ApiClient, OriginRule, origin_of
from bridge.vendors.purple_dot.client import PurpleDot
from bridge.vendors.rate_limit import Budget
from bridge.vendors.shipstation.client import ShipStationV1, ShipStationV2
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.signing_keys import KeySet, jwks_fetcher
from bridge.vendors.shipstation.webhook import is_shipstation_origin
from bridge.worker.loop import Worker
from bridge.worker.periodic import PeriodicTask, PeriodicTasks

_RETENTION_EVERY = timedelta(hours=1)


def _secrets_of(settings: Settings) -> Iterator[str]:
    for _name, value in settings:
        values = value if isinstance(value, tuple) else (value,)
        for secret in values:
            if isinstance(secret, SecretStr):
                yield secret.get_secret_value()


def _as_it_is(api: ApiClient) -> ApiClient:
    return api


@dataclass
class Services:
    """The parts of one process, each built when it is first used, and once.

    A call that waits for its rate limit gives up when `stopping` is set. `wrap` may put something
    around each vendor's client.
    """

    settings: Settings
    database: Database
    stopping: threading.Event = field(default_factory=threading.Event)
    wrap: Callable[[ApiClient], ApiClient] = _as_it_is

    @classmethod
    def open(cls, settings: Settings, *, patience: float = 30.0, pool_size: int = 4) -> Self:
        """With its database. A SQLite file is created or upgraded on the way; on PostgreSQL that is
        left to `bridge migrate`. Raises SettingsError and StorageError."""
        database = Database(settings.database_url, pool_size=pool_size, patience=patience)
        services = cls(settings, database)
        mask_values(_secrets_of(settings))
        try:
            _ = services.carriers  # A wrong carriers file is found at the start, not at a parcel.
            if database.is_sqlite:
                migrate.upgrade(database)
        except (SettingsError, StorageError):
            services.close()
            raise
        return services

    def close(self) -> None:
        """Give the database's connections back. They are opened anew when they are needed."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    # How the vendors are reached

    @cached_property
    def shipstation_origins(self) -> frozenset[str]:
        """Where a resource_url may point, besides ShipStation's own hosts."""
        v2 = origin_of(self.settings.shipstation_base_url)
        v1 = origin_of(self.settings.shipstation_v1_base_url)
        return frozenset({v2, v1})

    @cached_property
    def api_families(self) -> frozenset[str]:
        """Which of ShipStation's APIs there are credentials for."""
        settings = self.settings
        families = set()
        if settings.shipstation_api_key is not None:
            families.add("v2")
        if settings.shipstation_v1_api_key and settings.shipstation_v1_api_secret:
            families.add("v1")
        return frozenset(families)

    @cached_property
    def signing_keys(self) -> KeySet:
        """ShipStation's keys, by id."""
        return KeySet(jwks_fetcher(self.settings.shipstation_jwks_url))

    @cached_property
    def rates(self) -> dict[str, int]:
        """Calls a minute that the settings allow, by system."""
        return rates(self.settings)

    @cached_property
    def shipstation_v2(self) -> ShipStationV2 | None:
        """None without a key."""
        key = self.settings.shipstation_api_key
        if key is None:
            return None
        client = self._client("shipstation", self._is_shipstation, headers={"api-key": key})
        return ShipStationV2(client, self.settings.shipstation_base_url)

    @cached_property
    def shipstation_v1(self) -> ShipStationV1 | None:
        """None without a key and its secret."""
        key = self.settings.shipstation_v1_api_key
        secret = self.settings.shipstation_v1_api_secret
        if key is None or secret is None:
            return None
        pair = (key.get_secret_value(), secret)
        client = self._client("shipstation_v1", self._is_shipstation, auth=pair)
        return ShipStationV1(client, self.settings.shipstation_v1_base_url)

    @cached_property
    def fetcher(self) -> Fetcher:
        """Reads what ShipStation's webhooks point at, from whichever API it stands in."""
        return Fetcher(
            self.shipstation_v2,
            self.shipstation_v1,
            reads_custom_fields=self.settings.shipstation_v1_custom_fields,
            pattern=self.settings.reference_pattern,
        )

    @cached_property
    def purple_dot(self) -> PurpleDot:
        """The only way to Purple Dot."""
        origins = frozenset({origin_of(self.settings.purple_dot_base_url)})
        headers = {"X-Purple-Dot-Access-Token": self.settings.purple_dot_access_token}
        client = self._client("purple_dot", origins.__contains__, headers=headers)
        return PurpleDot(client, self.settings.purple_dot_base_url)

    @cached_property
    def subscription_check(self) -> subscriptions.SubscriptionCheck:
        """Whether the webhooks still come to us."""
        apis = (self.shipstation_v2, self.shipstation_v1)
        subscribed = [api.subscriptions() for api in apis if api is not None]
        tokens = [token.get_secret_value() for token in self.settings.webhook_tokens]
        return subscriptions.SubscriptionCheck(self.database, subscribed, tokens)

    @cached_property
    def look_up(self) -> lookup.LookUp:
        """What both vendors say now of a number that a person has."""
        return lookup.LookUp(self.database, self.fetcher, self.purple_dot)

    def orders_named(self, text: str) -> list[FulfillmentOrder]:
        """Purple Dot's orders with this id or reference, asked for now."""
        return list(find_orders.orders_named(self.purple_dot, text))

    # How parcels are decided

    @cached_property
    def carriers(self) -> Carriers:
        """The built-in table behind an operator's own rows. Raises SettingsError for a file that
        can't be used."""
        file = self.settings.carriers_file
        if file is None:
            return Carriers()
        try:
            return Carriers(own_rows(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            problem = f"BRIDGE_CARRIERS_FILE: {exc}; correct the file, or leave the setting empty"
            raise SettingsError([problem]) from exc

    @cached_property
    def policy(self) -> Policy:
        """What the settings say about which parcels go out, and how."""
        return Policy(
            pattern=self.settings.reference_pattern,
            carriers=self.carriers,
            notify_customer=self.settings.notify_customer,
            hold=timedelta(seconds=self.settings.hold_seconds),
            retry_schedule=self.settings.retry_schedule,
        )

    @cached_property
    def schedules(self) -> Schedules:
        """When to try again, by what went wrong."""
        return Schedules(
            retry=self.settings.retry_schedule,
            wait=self.settings.wait_schedule,
            confirm=self.settings.confirm_schedule,
        )

    @cached_property
    def resolver(self) -> Resolver:
        """Finds the orders that a parcel may belong to."""
        return Resolver(self.database, self.purple_dot, self.settings.reference_pattern)

    @cached_property
    def lease(self) -> timedelta:
        """A claim that is not renewed for so long may be taken over."""
        return timedelta(seconds=self.settings.lease_seconds)

    @cached_property
    def event_job(self) -> EventJob:
        """What a worker does with an event; a replay's dry run asks the same."""
        return EventJob(
            self.database, self.fetcher, self.resolver, self.policy, self.schedules, self.lease
        )

    @cached_property
    def delivery_job(self) -> DeliveryJob:
        """What a worker does with a delivery."""
        return DeliveryJob(
            self.database,
            self.purple_dot,
            self.fetcher,
            self.resolver,
            self.policy,
            self.schedules,
            self.lease,
            is_dry_run=self.settings.dry_run,
        )

    # What runs

    def readiness(self) -> dict[str, Any]:
        """Can webhooks be received and processed? What /readyz answers."""
        return health.readiness(self.database, self.settings)

    @cached_property
    def worker(self) -> Worker:
        """Ready to `run()`."""
        return Worker(
            database=self.database,
            event_job=self.event_job,
            delivery_job=self.delivery_job,
            threads=self.settings.worker_threads,
            lease=self.lease,
            periodic_tasks=PeriodicTasks(self.database, self._periodic_tasks()),
            stopping=self.stopping,
        )

    def _periodic_tasks(self) -> list[PeriodicTask]:
        keep = timedelta(days=self.settings.retention_days)
        forget = partial(retention.forget, self.database, keep)
        check = self.subscription_check.run
        tasks = [
            PeriodicTask("retention", _RETENTION_EVERY, forget),
            PeriodicTask(subscriptions.CHECK, subscriptions.CHECK_EVERY, check),
            PeriodicTask(
                repair_runs.TASK, repair_runs.EVERY, repair_runs.RepairRuns(self.database).run
            ),
        ]
        if self.settings.alert_urls:
            has_console = self.settings.console_password is not None
            check_alerts = alert_check.AlertCheck(
                self.database,
                self.settings.alert_urls,
                self.rates,
                has_console=has_console,
                digest_at=self.settings.alert_digest_at,
            )
            tasks.append(
                PeriodicTask(
                    alert_check.TASK,
                    alert_check.EVERY,
                    check_alerts.run,
                    check_alerts.database_failed,
                )
            )
        if self.settings.heartbeat_url is not None:
            beat = heartbeat.Heartbeat(self.settings.heartbeat_url, self.readiness)
            tasks.append(PeriodicTask(heartbeat.TASK, heartbeat.EVERY, beat.run))
        interval = self.settings.reconcile_every
        if interval:
            comparison = compare.Comparison(
                self.database, self.purple_dot, self.settings.reference_pattern
            )
            tasks.append(PeriodicTask(compare.TASK, compare.EVERY, comparison.run))
            sweep = Sweep(self.database, self.fetcher)
            tasks.append(PeriodicTask("sweep", interval, partial(sweep.routine, interval)))
        return tasks

    def _is_shipstation(self, origin: str) -> bool:
        return is_shipstation_origin(origin, configured=self.shipstation_origins)

    def _client(self, system: str, origins: OriginRule, **credentials: Any) -> ApiClient:
        """Under the rate limit that all processes of one database share."""
        # One vendor whose turns are rare holds a quarter of the threads at most.
        waiters = max(1, self.settings.worker_threads // 4)
        budget = Budget(self.database, system, self.rates[system], self.stopping, waiters)
        client = ApiClient(
            system=system,
            origins=origins,
            before_call=budget.before_call,
            after_call=budget.after_call,
            before_write=budget.before_write,
            after_write=budget.after_write,
            is_dry_run=self.settings.dry_run,
            **credentials,
        )
        return self.wrap(client)
