"""The operator's pages under /console/: one table of routes, each with who may use it. Off without
a password.

auth (who is signed in) · pages (how anything from outside is shown) · overview, inbox, lists,
search, story, timeline (what is there) · choices (what can be done) · actions, bulk, replay (what a
person does)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import structlog
from flask import Blueprint, Flask, Response, abort, request, url_for
from gunicorn.http.errors import ParseException
from jinja2 import StrictUndefined
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.wrappers import Response as BaseResponse

from bridge import __version__
from bridge.domain.errors import StorageError
from bridge.domain.reasons import PersonAction
from bridge.services import Services
from bridge.web.console import (
    actions,
    auth,
    bulk,
    inbox,
    lists,
    overview,
    pages,
    replay,
    search,
    story,
)
from bridge.web.console.auth import Role
from bridge.web.console.pages import render

__all__ = ["add_to"]

log = structlog.get_logger(__name__)

Answer: TypeAlias = BaseResponse | str | tuple[Any, ...]
View: TypeAlias = Callable[..., Answer]

_OPERATOR = Role.OPERATOR


@dataclass(frozen=True, slots=True)
class Route:
    """`view(services, **parts of the path)` answers; `role` is the least that may ask, None for who
    has not signed in yet."""

    name: str
    method: str
    path: str
    view: View
    role: Role | None = Role.VIEWER


ROUTES = (
    Route("sign_in", "GET", "/sign-in", auth.show_sign_in, None),
    Route("sign_in_with", "POST", "/sign-in", auth.sign_in, None),
    Route("sign_out", "POST", "/sign-out", auth.sign_out),
    Route("overview", "GET", "/", overview.show),
    Route("overview_without_slash", "GET", "", overview.lead_here, None),
    Route("test_webhook", "POST", "/test-webhook", overview.test_webhook, _OPERATOR),
    Route("search", "GET", "/search", search.show),
    Route("look_up", "POST", "/search", search.look_up, _OPERATOR),
    Route("process_found", "POST", "/search/process", search.process, _OPERATOR),
    Route("event", "GET", "/events/<event_id>", story.event),
    Route("delivery", "GET", "/deliveries/<delivery_id>", story.delivery),
    Route("retry_event", "POST", "/events/<event_id>/retry", actions.retry_event, _OPERATOR),
    Route("retry", "POST", "/deliveries/<delivery_id>/retry", actions.retry, _OPERATOR),
    Route("confirm", "POST", "/deliveries/<delivery_id>/confirm", actions.confirm, _OPERATOR),
    Route("link", "POST", "/deliveries/<delivery_id>/link", actions.link, _OPERATOR),
    Route(
        "fulfill_rest", "POST", "/deliveries/<delivery_id>/rest", actions.fulfill_rest, _OPERATOR
    ),
    Route(
        "fulfill_chosen",
        "POST",
        "/deliveries/<delivery_id>/lines",
        actions.fulfill_chosen,
        _OPERATOR,
    ),
    Route("resolve", "POST", "/deliveries/<delivery_id>/resolve", actions.resolve, _OPERATOR),
    Route("reopen", "POST", "/deliveries/<delivery_id>/reopen", actions.reopen, _OPERATOR),
    Route("remark", "POST", "/remarks/<subject_id>", actions.remark, _OPERATOR),
    Route("plan_many", "POST", "/many", bulk.plan, _OPERATOR),
    Route("do_many", "POST", "/many/go", bulk.start, _OPERATOR),
    Route("bulk_run", "GET", "/many/<run_id>", bulk.run),
    Route("cancel_many", "POST", "/many/<run_id>/cancel", bulk.cancel, _OPERATOR),
    Route("plan_replay", "POST", "/replays/plan", replay.plan, _OPERATOR),
    Route("start_replay", "POST", "/replays", replay.start, _OPERATOR),
    Route("cancel_replay", "POST", "/replays/<run_id>/cancel", replay.cancel, _OPERATOR),
    Route("resume_replay", "POST", "/replays/<run_id>/resume", replay.resume, _OPERATOR),
    Route("replay_run", "GET", "/replays/<run_id>", replay.run),
    Route("replays", "GET", "/replays", replay.runs),
    Route("activity", "GET", "/activity", lists.activity),
    Route("exceptions", "GET", "/exceptions", inbox.show),
    Route("deliveries", "GET", "/deliveries", lists.deliveries),
    Route("events", "GET", "/events", lists.events),
    Route("not_found", "GET", "/<path:rest>", pages.not_found),
)
"""Every page and every form. What is posted carries a CSRF token, and what acts needs an
operator."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def add_to(app: Flask, services: Services) -> None:
    """Register the pages with their sessions."""
    app.session_interface = auth.Sessions(services)
    app.config.update(auth.COOKIE)
    app.jinja_options = {
        "undefined": StrictUndefined,
        "finalize": pages.sanitize,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    routes = Blueprint(
        "console",
        __name__,
        url_prefix="/console",
        template_folder="templates",
        static_folder="static",
    )
    for route in ROUTES:
        routes.add_url_rule(
            route.path, route.name, partial(_answer, route, services), methods=[route.method]
        )
    routes.after_request(_protect)
    routes.register_error_handler(HTTPException, _http_problem)
    routes.register_error_handler(ParseException, _unreadable)
    routes.register_error_handler(StorageError, _storage_problem)
    routes.register_error_handler(Exception, _unforeseen)
    routes.context_processor(partial(_common, services))
    routes.record_once(lambda state: state.app.jinja_env.filters.update(pages.FILTERS))
    app.register_blueprint(routes)


def _answer(route: Route, services: Services, **parts: str) -> Answer:
    """Who asks, with which token, and may they? Only then the view."""
    if not auth.is_signed_in(services) and route.role is not None:
        return auth.to_sign_in()
    if any("\0" in text for text in (*parts.values(), *request.values.values())):
        abort(
            400, "There is a character in this that nothing here is named with."
        )  # Nor does a database take it.
    if route.method == "POST":
        auth.check_token()
    auth.check_role(route.role)
    return route.view(services, **parts)


def _common(services: Services) -> dict[str, Any]:
    """What every page knows."""
    files = {"css": "console.css", "js": "console.js", "icon": "icon.svg"}
    assets = {
        name: url_for("console.static", filename=file, v=__version__)
        for name, file in files.items()
    }
    return {
        "person": auth.person(),
        "token": auth.token,
        "assets": assets,
        "version": __version__,
        "zone": pages.zone_name(),
        "is_dry_run": services.settings.dry_run,
        "actions": PersonAction,
    }


def _protect(response: Response) -> Response:
    response.headers.update(HEADERS)
    if request.endpoint == "console.static":
        response.headers["Cache-Control"] = "no-cache"
    return response


def _http_problem(error: HTTPException) -> Answer:
    if error.code is not None and error.code < 400:
        return error.get_response()
    return _problem_page(error.name or "Error", error.description or ""), error.code or 500


def _unreadable(error: ParseException) -> Answer:
    log.warning("request_unreadable", problem=type(error).__name__)
    return _http_problem(BadRequest("The form's chunks are not as HTTP has them."))


def _storage_problem(error: StorageError) -> Answer:
    log.error("console_without_database", error=str(error))
    # The driver's words name hosts, users and files: they are for whoever is signed in.
    cause = str(error) if auth.person() else "The log says why"
    title = "The database can't be reached"
    return _problem_page(title, f"{cause}. Try again in a moment."), 503


def _unforeseen(error: Exception) -> Answer:
    log.error("console_failed_unforeseen", exc_info=error)
    sentence = "It was logged, and nothing was changed. Try again."
    return _problem_page("This went wrong", sentence), 500


def _problem_page(title: str, sentence: str) -> str:
    """With the way back to where a form stood."""
    return render("problem.html", title=title, sentence=sentence, came_from=actions.page_before())
