"""The only wiring: settings in, receiver and worker out."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from flask import Flask, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr
from werkzeug.exceptions import HTTPException

from bridge import __version__, console, metrics, receive, scrape, subscribe, watch
from bridge.api_client import ApiClient, OriginRule, origin_of
from bridge.budget import Budget, WaitingRoom
from bridge.errors import AuthenticationError, KeysUnavailableError, SettingsError, StorageError
from bridge.logs import configure_logs
from bridge.place import Policy
from bridge.purple_dot.client import PurpleDot
from bridge.reconcile import Sweep
from bridge.resolve import Resolver, orders_named
from bridge.settings import Settings
from bridge.shipstation.client import ShipStationV1, ShipStationV2
from bridge.shipstation.fetch import Fetcher
from bridge.shipstation.keys import KeySet, jwks_fetcher
from bridge.shipstation.webhook import is_shipstation_origin
from bridge.store import budgets, migrate, reports, retention, sweeps, workers
from bridge.store.database import Database
from bridge.translate.carriers import Carriers, own_rows
from bridge.worker.chores import Chore, Chores
from bridge.worker.delivery_job import DeliveryJob
from bridge.worker.event_job import EventJob
from bridge.worker.loop import Worker
from bridge.worker.schedules import Schedules

log = structlog.get_logger(__name__)

_RETENTION_EVERY = timedelta(hours=1)
EachClient = Callable[[ApiClient], ApiClient]
_WORKER_IS_SILENT = 30.0


def open_database(settings: Settings, *, busy_timeout: float = 30.0) -> Database:
    """The ledger. A SQLite file is created or upgraded on the way; on PostgreSQL that is `bridge migrate`'s work."""
    database = Database(settings.database_url, pool_size=settings.worker_threads + 4, busy_timeout=busy_timeout)
    if database.is_sqlite:
        migrate.upgrade(database)
    return database


def create_app(settings: Settings | None = None) -> Flask:
    """The receiver as a WSGI application. Raises SettingsError when the settings are wrong."""
    settings = settings or Settings.load()
    configure_logs(settings.log_format, settings.log_level)
    # The sender gives us ten seconds; a lock that lasts longer is answered with 503, and it tries again.
    database = open_database(settings, busy_timeout=5.0)
    app = Flask("bridge", static_folder=None)
    app.extensions["database"] = database
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.register_blueprint(receive.blueprint(_door(settings, database)))
    _add_health(app, settings, database)
    _add_error_answers(app)
    if settings.console_password is not None:
        console.add_to(app, _desk(settings, database, settings.console_password))
    database.close()  # gunicorn may fork now, and a connection is for one process. https://www.sqlite.org/howtocorrupt.html
    return app


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
        delivery_job=DeliveryJob(database, purple_dot, fetcher, event_job.resolver, event_job.policy, event_job.schedules, lease),
        threads=settings.worker_threads,
        lease=lease,
        chores=Chores(database, table=_chores(settings, database, fetcher)),
        stopping=stopping,
    )


def create_event_job(settings: Settings, database: Database, fetcher: Fetcher, purple_dot: PurpleDot) -> EventJob:
    """What a worker does with an event; a replay's dry run asks the same."""
    policy = Policy(
        pattern=settings.reference_pattern,
        carriers=own_carriers(settings),
        notify_customer=settings.notify_customer,
        hold=timedelta(seconds=settings.hold_seconds),
        retry_schedule=settings.retry_schedule,
    )
    schedules = Schedules(retry=settings.retry_schedule, wait=settings.wait_schedule, confirm=settings.confirm_schedule)
    resolver = Resolver(database, purple_dot, settings.reference_pattern)
    return EventJob(database, fetcher, resolver, policy, schedules, timedelta(seconds=settings.lease_seconds))


def _chores(settings: Settings, database: Database, fetcher: Fetcher) -> list[Chore]:
    """What the worker does now and then."""
    every, sweep = settings.reconcile_every, Sweep(database, fetcher)
    keep = timedelta(days=settings.retention_days)
    chores = [Chore("retention", _RETENTION_EVERY, partial(retention.forget, database, keep))]
    chores += [Chore(subscribe.CHECK, subscribe.CHECK_EVERY, subscription_check(settings, database, fetcher).do)]
    if settings.alert_urls:
        told = watch.Watch(database, settings.alert_urls, rates(settings), has_console=settings.console_password is not None)
        chores.append(Chore("alerts", watch.EVERY, told.do))
    return [*chores, Chore("sweep", every, partial(sweep.routine, every))] if every else chores


def create_clients(
    settings: Settings,
    database: Database,
    *,
    stopping: threading.Event,
    room: WaitingRoom | None = None,
    each: EachClient = lambda api: api,
) -> tuple[Fetcher, PurpleDot]:
    """Both vendors' clients, each under its shared budget. A waiting call gives up when `stopping` is set, or the `room` is full.
    `each` may listen to them."""
    at_shipstation = partial(is_shipstation_origin, configured=known_origins(settings))
    at_purple_dot = frozenset({origin_of(settings.purple_dot_base_url)}).__contains__

    def client(system: str, per_minute: int, origins: OriginRule = at_shipstation, **credentials: Any) -> ApiClient:
        budget = Budget(database, system, per_minute, stopping, room)
        return each(ApiClient(system=system, origins=origins, before_call=budget.before_call, after_call=budget.after_call, **credentials))

    v2 = v1 = None
    if settings.shipstation_api_key is not None:
        api = client("shipstation", settings.shipstation_rate_per_minute, headers={"api-key": settings.shipstation_api_key})
        v2 = ShipStationV2(api, settings.shipstation_base_url)
    if settings.shipstation_v1_api_key is not None and settings.shipstation_v1_api_secret is not None:
        pair = (settings.shipstation_v1_api_key.get_secret_value(), settings.shipstation_v1_api_secret)
        v1 = ShipStationV1(client("shipstation_v1", settings.shipstation_v1_rate_per_minute, auth=pair), settings.shipstation_v1_base_url)
    headers = {"X-Purple-Dot-Access-Token": settings.purple_dot_access_token}
    purple_dot = PurpleDot(
        client("purple_dot", settings.purple_dot_rate_per_minute, at_purple_dot, headers=headers), settings.purple_dot_base_url
    )
    return Fetcher(v2, v1, settings.shipstation_v1_custom_fields), purple_dot


def subscription_check(settings: Settings, database: Database, fetcher: Fetcher) -> subscribe.SubscriptionCheck:
    """What looks whether the webhooks still come to us: a chore of the worker, and a line of `bridge doctor`."""
    every = [one.subscriptions() for one in (fetcher.v2, fetcher.v1) if one is not None]
    return subscribe.SubscriptionCheck(database, every, [token.get_secret_value() for token in settings.webhook_tokens])


def own_carriers(settings: Settings) -> Carriers:
    """The built-in table behind an operator's own rows. Raises SettingsError for a file that can't be used."""
    file = settings.carriers_file
    try:
        return Carriers(own_rows(file.read_text(encoding="utf-8")) if file else ())
    except (OSError, ValueError) as exc:
        raise SettingsError([f"BRIDGE_CARRIERS_FILE: {exc}; correct the file, or leave the setting empty"]) from exc


def _door(settings: Settings, database: Database) -> receive.Door:
    return receive.Door(
        database=database,
        tokens=settings.webhook_tokens,
        signature=settings.shipstation_signature,
        key=KeySet(jwks_fetcher(settings.shipstation_jwks_url)).key,
        origins=known_origins(settings),
    )


def _desk(settings: Settings, database: Database, operator: SecretStr) -> console.Desk:
    fetcher, purple_dot = create_clients(settings, database, stopping=threading.Event())
    return console.Desk(
        database=database,
        operator=operator,
        viewer=settings.console_readonly_password,
        secret_key=settings.secret_key,
        health=partial(readiness, database, settings),
        rates=rates(settings),
        orders_named=partial(orders_named, purple_dot),
        carriers=own_carriers(settings),
        purple_dot_url=settings.purple_dot_base_url,
        event_job=create_event_job(settings, database, fetcher, purple_dot),
        origins=known_origins(settings),
    )


def known_origins(settings: Settings) -> frozenset[str]:
    """Where a resource_url may point, besides the vendor's own hosts."""
    return frozenset({origin_of(settings.shipstation_base_url), origin_of(settings.shipstation_v1_base_url)})


def _add_health(app: Flask, settings: Settings, database: Database) -> None:
    ledger = scrape.Ledger(database, rates(settings))

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok", version=__version__)

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        checks = readiness(database, settings)
        return jsonify(checks), 200 if checks["status"] == "ready" else 503

    @app.get("/metrics")
    def metrics_page() -> Response:
        return Response(scrape.page(ledger), content_type=CONTENT_TYPE_LATEST)


def readiness(database: Database, settings: Settings) -> dict[str, Any]:
    """Can webhooks be taken and worked on? `status` is ready or not_ready; each part says what it saw."""
    try:
        with database.read() as connection:
            now = database.now(connection)
            beat = workers.last_beat(connection)
            parts: dict[str, Any] = {
                "database": "ok",
                "migrations": "ok" if migrate.current(connection) == migrate.newest() else "behind",
                "worker_heartbeat_age_seconds": round((now - beat).total_seconds(), 1) if beat else None,
                "oldest_unprocessed_seconds": round(reports.oldest_unprocessed(connection, now=now), 1),
                "exceptions_waiting": reports.count_exceptions(connection),
                "last_sweep": sweeps.last(connection),
                "vendors": {
                    system: budgets.state(connection, system, per_minute=per_minute, now=now).as_json()
                    for system, per_minute in rates(settings).items()
                },
            }
    except StorageError as exc:
        return {"status": "not_ready", "database": str(exc)}
    age = parts["worker_heartbeat_age_seconds"]
    parts["worker"] = "ok" if age is not None and age <= _WORKER_IS_SILENT else "silent"
    ready = parts["migrations"] == "ok" and parts["worker"] == "ok"
    return {"status": "ready" if ready else "not_ready"} | parts


def rates(settings: Settings) -> dict[str, int]:
    """Calls a minute that the settings allow, by system."""
    return {
        "shipstation": settings.shipstation_rate_per_minute,
        "shipstation_v1": settings.shipstation_v1_rate_per_minute,
        "purple_dot": settings.purple_dot_rate_per_minute,
    }


def _add_error_answers(app: Flask) -> None:
    """Errors are JSON: a code, a sentence, never a stack trace, never a secret."""

    @app.errorhandler(AuthenticationError)
    def refused(error: AuthenticationError) -> tuple[Response, int]:
        metrics.REJECTIONS.labels(cause=error.cause).inc()
        log.warning("request_refused", cause=error.cause)
        return jsonify(error="unauthorized", message=f"Not accepted: {error}."), 401

    @app.errorhandler(StorageError)
    @app.errorhandler(KeysUnavailableError)
    def unavailable(error: StorageError | KeysUnavailableError) -> tuple[Response, int, dict[str, str]]:
        log.error("request_put_off", error=str(error))
        wait = str(int(error.retry_after or 5))
        return jsonify(error="unavailable", message="This can't be stored now; please send it again."), 503, {"Retry-After": wait}

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        name = (error.name or "error").lower().replace(" ", "_")
        answer = jsonify(error=name, message=error.description or error.name)
        answer.headers.extend(header for header in error.get_headers() if header[0] != "Content-Type")  # A 405 says what is allowed.
        return answer, error.code or 500

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> tuple[Response, int]:
        log.error("request_failed_unforeseen", exc_info=error)
        return jsonify(error="internal_error", message="This failed and was logged; please send it again."), 500
