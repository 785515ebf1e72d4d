"""The wiring: settings in, the ledger, the vendors' clients and the worker out. It knows no Flask,
which a worker needs not load."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from bridge.domain.errors import SettingsError, StorageError
from bridge.operations import alert_check, subscriptions
from bridge.operations.sweep import Sweep
from bridge.pipeline.create_deliveries import Policy
from bridge.pipeline.deliver import DeliveryJob
from bridge.pipeline.find_orders import Resolver
from bridge.pipeline.process_event import EventJob
from bridge.pipeline.schedules import Schedules
from bridge.settings import Settings, rates
from bridge.store import retention
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.translate.carriers import Carriers, own_rows
from bridge.vendors.http import ApiClient, OriginRule, origin_of
from bridge.vendors.purple_dot.client import PurpleDot
from bridge.vendors.rate_limit import Budget, WaitingRoom
from bridge.vendors.shipstation.client import ShipStationV1, ShipStationV2
from bridge.vendors.shipstation.fetch import Fetcher
from bridge.vendors.shipstation.webhook import is_shipstation_origin
from bridge.worker.loop import Worker
from bridge.worker.periodic import Chore, Chores

_RETENTION_EVERY = timedelta(hours=1)
EachClient = Callable[[ApiClient], ApiClient]


def open_database(settings: Settings, *, busy_timeout: float = 30.0) -> Database:
    """The ledger. A SQLite file is created or upgraded on the way; on PostgreSQL that is `bridge
    migrate`'s work."""
    database = Database(
        settings.database_url, pool_size=settings.worker_threads + 4, busy_timeout=busy_timeout
    )
    if database.is_sqlite:
        try:
            migrate.upgrade(database)
        except StorageError:
            database.close()
            raise
    return database


def create_worker(settings: Settings) -> Worker:
    """The worker, ready to `run()`."""
    database = open_database(settings)
    stopping = threading.Event()
    room = WaitingRoom(seats=max(1, settings.worker_threads // 2))
    fetcher, purple_dot = create_clients(settings, database, stopping=stopping, room=room)
    event_job = create_event_job(settings, database, fetcher, purple_dot)
    lease = timedelta(seconds=settings.lease_seconds)
    return Worker(
        database=database,
        event_job=event_job,
        delivery_job=DeliveryJob(
            database,
            purple_dot,
            fetcher,
            event_job.resolver,
            event_job.policy,
            event_job.schedules,
            lease,
        ),
        threads=settings.worker_threads,
        lease=lease,
        chores=Chores(database, table=_chores(settings, database, fetcher)),
        stopping=stopping,
    )


def create_event_job(
    settings: Settings, database: Database, fetcher: Fetcher, purple_dot: PurpleDot
) -> EventJob:
    """What a worker does with an event; a replay's dry run asks the same."""
    policy = Policy(
        pattern=settings.reference_pattern,
        carriers=own_carriers(settings),
        notify_customer=settings.notify_customer,
        hold=timedelta(seconds=settings.hold_seconds),
        retry_schedule=settings.retry_schedule,
    )
    schedules = Schedules(
        retry=settings.retry_schedule,
        wait=settings.wait_schedule,
        confirm=settings.confirm_schedule,
    )
    resolver = Resolver(database, purple_dot, settings.reference_pattern)
    return EventJob(
        database, fetcher, resolver, policy, schedules, timedelta(seconds=settings.lease_seconds)
    )


def _chores(settings: Settings, database: Database, fetcher: Fetcher) -> list[Chore]:
    """What the worker does now and then."""
    every, sweep = settings.reconcile_every, Sweep(database, fetcher)
    keep = timedelta(days=settings.retention_days)
    chores = [Chore("retention", _RETENTION_EVERY, partial(retention.forget, database, keep))]
    chores += [
        Chore(
            subscriptions.CHECK,
            subscriptions.CHECK_EVERY,
            subscription_check(settings, database, fetcher).do,
        )
    ]
    if settings.alert_urls:
        told = alert_check.Watch(
            database,
            settings.alert_urls,
            rates(settings),
            has_console=settings.console_password is not None,
        )
        chores.append(Chore("alerts", alert_check.EVERY, told.do))
    return [*chores, Chore("sweep", every, partial(sweep.routine, every))] if every else chores


def create_clients(
    settings: Settings,
    database: Database,
    *,
    stopping: threading.Event,
    room: WaitingRoom | None = None,
    each: EachClient = lambda api: api,
) -> tuple[Fetcher, PurpleDot]:
    """Both vendors' clients, each under its shared budget. A waiting call gives up when `stopping`
    is set, or the `room` is full. `each` may listen to them."""
    at_shipstation = partial(is_shipstation_origin, configured=known_origins(settings))
    at_purple_dot = frozenset({origin_of(settings.purple_dot_base_url)}).__contains__

    def client(
        system: str, per_minute: int, origins: OriginRule = at_shipstation, **credentials: Any
    ) -> ApiClient:
        budget = Budget(database, system, per_minute, stopping, room)
        return each(
            ApiClient(
                system=system,
                origins=origins,
                before_call=budget.before_call,
                after_call=budget.after_call,
                **credentials,
            )
        )

    v2 = v1 = None
    if settings.shipstation_api_key is not None:
        api = client(
            "shipstation",
            settings.shipstation_rate_per_minute,
            headers={"api-key": settings.shipstation_api_key},
        )
        v2 = ShipStationV2(api, settings.shipstation_base_url)
    if (
        settings.shipstation_v1_api_key is not None
        and settings.shipstation_v1_api_secret is not None
    ):
        pair = (
            settings.shipstation_v1_api_key.get_secret_value(),
            settings.shipstation_v1_api_secret,
        )
        v1 = ShipStationV1(
            client("shipstation_v1", settings.shipstation_v1_rate_per_minute, auth=pair),
            settings.shipstation_v1_base_url,
        )
    headers = {"X-Purple-Dot-Access-Token": settings.purple_dot_access_token}
    purple_dot = PurpleDot(
        client("purple_dot", settings.purple_dot_rate_per_minute, at_purple_dot, headers=headers),
        settings.purple_dot_base_url,
    )
    return Fetcher(v2, v1, settings.shipstation_v1_custom_fields), purple_dot


def subscription_check(
    settings: Settings, database: Database, fetcher: Fetcher
) -> subscriptions.SubscriptionCheck:
    """What looks whether the webhooks still come to us: a chore of the worker, and a line of
    `bridge doctor`."""
    every = [one.subscriptions() for one in (fetcher.v2, fetcher.v1) if one is not None]
    return subscriptions.SubscriptionCheck(
        database, every, [token.get_secret_value() for token in settings.webhook_tokens]
    )


def own_carriers(settings: Settings) -> Carriers:
    """The built-in table behind an operator's own rows. Raises SettingsError for a file that can't
    be used."""
    file = settings.carriers_file
    try:
        return Carriers(own_rows(file.read_text(encoding="utf-8")) if file else ())
    except (OSError, ValueError) as exc:
        raise SettingsError(
            [f"BRIDGE_CARRIERS_FILE: {exc}; correct the file, or leave the setting empty"]
        ) from exc


def known_origins(settings: Settings) -> frozenset[str]:
    """Where a resource_url may point, besides the vendor's own hosts."""
    return frozenset(
        {origin_of(settings.shipstation_base_url), origin_of(settings.shipstation_v1_base_url)}
    )
