"""The receiver as a WSGI application: the door, the console where it is on, health, and what errors
are answered with."""

import threading
from functools import partial

import structlog
from flask import Flask, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr
from werkzeug.exceptions import HTTPException

from bridge import __version__, metrics
from bridge.domain.errors import AuthenticationError, KeysUnavailableError, StorageError
from bridge.logs import configure_logs
from bridge.operations import metrics_exporter
from bridge.operations.health import readiness
from bridge.pipeline.find_orders import orders_named
from bridge.services import (
    create_clients,
    create_event_job,
    known_origins,
    open_database,
    own_carriers,
)
from bridge.settings import Settings, rates
from bridge.store.engine.database import Database
from bridge.vendors.shipstation.signing_keys import KeySet, jwks_fetcher
from bridge.web import console, webhooks

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None) -> Flask:
    """The receiver as a WSGI application. Raises SettingsError when the settings are wrong."""
    settings = settings or Settings.load()
    configure_logs(settings.log_format, settings.log_level)
    # The sender gives us ten seconds; a lock that lasts longer is answered with 503, and it tries
    # again.
    database = open_database(settings, busy_timeout=5.0)
    app = Flask("bridge", static_folder=None)
    app.extensions["database"] = database
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.register_blueprint(webhooks.blueprint(_door(settings, database)))
    _add_health(app, settings, database)
    _add_error_answers(app)
    if settings.console_password is not None:
        console.add_to(app, _desk(settings, database, settings.console_password))
    # gunicorn may fork now, and a connection is for one process.
    # https://www.sqlite.org/howtocorrupt.html
    database.close()
    return app


def _door(settings: Settings, database: Database) -> webhooks.Door:
    return webhooks.Door(
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


def _add_health(app: Flask, settings: Settings, database: Database) -> None:
    ledger = metrics_exporter.Ledger(database, rates(settings))

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok", version=__version__)

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        checks = readiness(database, settings)
        return jsonify(checks), 200 if checks["status"] == "ready" else 503

    @app.get("/metrics")
    def metrics_page() -> Response:
        return Response(metrics_exporter.page(ledger), content_type=CONTENT_TYPE_LATEST)


def _add_error_answers(app: Flask) -> None:
    """Errors are JSON: a code, a sentence, never a stack trace, never a secret."""

    @app.errorhandler(AuthenticationError)
    def refused(error: AuthenticationError) -> tuple[Response, int]:
        metrics.REJECTIONS.labels(cause=error.cause).inc()
        log.warning("request_refused", cause=error.cause)
        return jsonify(error="unauthorized", message=f"Not accepted: {error}."), 401

    @app.errorhandler(StorageError)
    @app.errorhandler(KeysUnavailableError)
    def unavailable(
        error: StorageError | KeysUnavailableError,
    ) -> tuple[Response, int, dict[str, str]]:
        log.error("request_put_off", error=str(error))
        wait = str(int(error.retry_after or 5))
        return (
            jsonify(error="unavailable", message="This can't be stored now; please send it again."),
            503,
            {"Retry-After": wait},
        )

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        name = (error.name or "error").lower().replace(" ", "_")
        answer = jsonify(error=name, message=error.description or error.name)
        answer.headers.extend(
            header for header in error.get_headers() if header[0] != "Content-Type"
        )  # A 405 says what is allowed.
        return answer, error.code or 500

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> tuple[Response, int]:
        log.error("request_failed_unforeseen", exc_info=error)
        return jsonify(
            error="internal_error", message="This failed and was logged; please send it again."
        ), 500
