"""The receiver as a WSGI application: webhooks, health, the console where it is on, and how errors
are answered."""

from collections.abc import Mapping
from typing import TypeAlias

import structlog
from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    NotFound,
    RequestTimeout,
    TooManyRequests,
)

from bridge import __version__, metrics
from bridge.domain.errors import AuthenticationError, KeysUnavailableError, StorageError
from bridge.logs import configure_logs
from bridge.operations import metrics_exporter
from bridge.services import Services
from bridge.settings import Settings
from bridge.web import console, webhooks
from bridge.web.addresses import ProxyTrust, client_of
from bridge.web.front import Front
from bridge.web.throttle import FailedAttemptLimiter

log = structlog.get_logger(__name__)

Answer: TypeAlias = tuple[Response, int, Mapping[str, str]]

_PATIENCE = 4.5
"""ShipStation waits ten seconds for its answer. A database that does not answer for so many seconds
is answered with 503, and ShipStation sends the webhook again."""
_CONNECTIONS = 2
"""To PostgreSQL, for each process that answers HTTP; twice as many while many webhooks come."""


def create_app(settings: Settings | None = None) -> Flask:
    """The receiver as a WSGI application. Raises SettingsError when the settings are wrong."""
    settings = settings or Settings.load()
    configure_logs(settings.log_format, settings.log_level)
    services = Services.open(settings, patience=_PATIENCE, pool_size=_CONNECTIONS)
    # Built before there are threads, as two of them might build it twice.
    _ = (services.signing_keys, services.event_job)
    app = Flask("bridge", static_folder=None)
    app.extensions["database"] = services.database
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # Flask would redirect to a tidier path, by a page in HTML and before it knows who asks.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    limiter = FailedAttemptLimiter()
    app.register_blueprint(webhooks.blueprint(services, limiter))
    _add_health(app, services)
    add_error_answers(app, services, limiter)
    if settings.console_password is not None:
        console.add_to(app, services)
    operations_port = (settings.operations_bind or "").rpartition(":")[2] or None
    app.wsgi_app = Front(app.wsgi_app, operations_port)  # type: ignore[method-assign]  # Flask's own way to put something around it
    # gunicorn may fork now, and a connection is for one process.
    # https://www.sqlite.org/howtocorrupt.html
    services.database.disconnect()
    return app


def _add_health(app: Flask, services: Services) -> None:
    collector = metrics_exporter.DatabaseCollector(services.database, services.rates)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok", version=__version__)

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        checks = services.readiness()
        if "migrations" not in checks:
            # The driver's words name hosts, users and files, and anybody may ask here.
            log.error("database_unavailable", error=checks["database"])
            checks = {"status": "not_ready", "database": "unavailable; the log says why"}
        code = 200 if checks["status"] == "ready" else 503
        return jsonify(checks), code

    @app.get("/metrics")
    def metrics_page() -> Response:
        return Response(metrics_exporter.render(collector), content_type=CONTENT_TYPE_LATEST)


def add_error_answers(app: Flask, services: Services, limiter: FailedAttemptLimiter) -> None:
    """Errors are JSON: a code, a sentence, never a stack trace, never a secret."""
    trust = ProxyTrust.from_environment(services.settings.trusted_proxies)

    @app.errorhandler(AuthenticationError)
    def refused(error: AuthenticationError) -> Answer:
        metrics.REJECTIONS.labels(cause=error.cause).inc()
        log.warning("request_refused", cause=error.cause, address=client_of(request, trust))
        answer = jsonify(error="unauthorized", message=f"Not accepted: {error}.")
        return answer, 401, {"WWW-Authenticate": 'X-Bridge-Token realm="webhooks"'}

    @app.errorhandler(StorageError)
    @app.errorhandler(KeysUnavailableError)
    def unavailable(error: StorageError | KeysUnavailableError) -> Answer:
        log.error("request_put_off", error=str(error))
        message = "This can't be stored now; please send it again."
        wait = str(int(error.retry_after or 5))
        return jsonify(error="unavailable", message=message), 503, {"Retry-After": wait}

    @app.errorhandler(ParseException)
    def unreadable(error: ParseException) -> Answer:
        # gunicorn reads a chunked body while we ask for it, and what it quotes may be a token.
        log.warning("request_unreadable", problem=type(error).__name__)
        message = "The body's chunks are not as HTTP has them."
        return jsonify(error="bad_request", message=message), 400, {"Connection": "close"}

    # One handler for all of them: one for a code of its own would come before the console's pages.
    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Answer:
        if isinstance(error, ClientDisconnected):
            error = RequestTimeout("The body ended before it was complete; send it again.")
        if isinstance(error, NotFound) and request.path.startswith("/webhooks/"):
            error = _note_unknown_path(error)
        return _http_answer(error)

    def _note_unknown_path(error: NotFound) -> HTTPException:
        try:
            webhooks.limit_failed_attempts(limiter, request.remote_addr or "")
        except TooManyRequests as exc:
            return exc
        # A slip in a subscription's address. The path may hold the token, so it isn't logged.
        metrics.REJECTIONS.labels(cause="unknown_path").inc()
        log.warning("webhook_at_unknown_path", address=client_of(request, trust))
        return error

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Answer:
        log.error("request_failed_unforeseen", exc_info=error)
        message = "This failed and was logged; please send it again."
        return jsonify(error="internal_error", message=message), 500, {}


def _http_answer(error: HTTPException) -> Answer:
    name = (error.name or "error").lower().replace(" ", "_")
    answer = jsonify(error=name, message=error.description or error.name)
    # A 405 says what is allowed.
    headers = {key: value for key, value in error.get_headers() if key != "Content-Type"}
    return answer, error.code or 500, headers
