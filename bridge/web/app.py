"""The receiver as a WSGI application: webhooks, health, the console where it is on, and how errors
are answered."""

import structlog
from flask import Flask, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException

from bridge import __version__, metrics
from bridge.domain.errors import AuthenticationError, KeysUnavailableError, StorageError
from bridge.logs import configure_logs
from bridge.operations import metrics_exporter
from bridge.services import Services
from bridge.settings import Settings
from bridge.web import console, webhooks

log = structlog.get_logger(__name__)

_BUSY_TIMEOUT = 5.0
"""ShipStation waits ten seconds for its answer; a lock that lasts longer is answered with 503, and
it sends the webhook again."""


def create_app(settings: Settings | None = None) -> Flask:
    """The receiver as a WSGI application. Raises SettingsError when the settings are wrong."""
    settings = settings or Settings.load()
    configure_logs(settings.log_format, settings.log_level)
    services = Services.open(settings, busy_timeout=_BUSY_TIMEOUT)
    # Built before there are threads, as two of them might build it twice.
    _ = (services.signing_keys, services.event_job)
    app = Flask("bridge", static_folder=None)
    app.extensions["database"] = services.database
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.register_blueprint(webhooks.blueprint(services))
    _add_health(app, services)
    _add_error_answers(app)
    if settings.console_password is not None:
        console.add_to(app, services)
    # gunicorn may fork now, and a connection is for one process.
    # https://www.sqlite.org/howtocorrupt.html
    services.close()
    return app


def _add_health(app: Flask, services: Services) -> None:
    ledger = metrics_exporter.Ledger(services.database, services.rates)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok", version=__version__)

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        checks = services.readiness()
        code = 200 if checks["status"] == "ready" else 503
        return jsonify(checks), code

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
