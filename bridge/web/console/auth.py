"""Who comes in: a password for each role, a signed session cookie, a token in each form, and a
brake on guessing."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from flask import Flask, Request, abort, current_app, flash, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.wrappers import Response

from bridge.domain.errors import StorageError
from bridge.services import Services
from bridge.store import rate_limits, secret_keys
from bridge.web.console.pages import page

log = structlog.get_logger(__name__)

LIFETIME = timedelta(hours=12)
TRIES_PER_MINUTE = 10
_BUCKETS = 64
"""Addresses share so many brakes, so that a stranger with many addresses fills no table."""
_LONGEST_NAME = 40

COOKIE = {
    "SESSION_COOKIE_NAME": "bridge_console",
    "SESSION_COOKIE_PATH": "/console/",
    "SESSION_COOKIE_HTTPONLY": True,
    # A link in an alert opens the page; a form of another site posts nothing.
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_REFRESH_EACH_REQUEST": False,
    "PERMANENT_SESSION_LIFETIME": LIFETIME,
}


class Role(StrEnum):
    """A viewer sees everything; an operator also acts."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in. The name is what they say of themselves."""

    name: str
    role: Role

    def __str__(self) -> str:
        return f"{self.name} ({self.role})" if self.name else str(self.role)


class Sessions(SecureCookieSessionInterface):
    """Cookies of the console alone, signed with SHA-256 and a key that is looked up when it is
    first needed."""

    digest_method = staticmethod(hashlib.sha256)

    def __init__(self, services: Services) -> None:
        self._services = services

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if not request.path.startswith("/console"):
            return None
        try:
            app.secret_key = app.secret_key or _key(self._services)
        except StorageError:
            return None  # `enter` tells it, where it can be answered with a page.
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002  # the signature is Flask's
        return request.is_secure


def _key(services: Services) -> str:
    """The setting, or a key that was made once and is kept in the database for all processes."""
    if services.settings.secret_key is not None:
        return services.settings.secret_key.get_secret_value()
    with services.database.begin() as connection:
        return secret_keys.made_once(connection, "console", candidate=secrets.token_urlsafe(48))


def enter(services: Services) -> bool:
    """Let in whom the session says it is, while its time lasts and the password it was opened with
    still holds."""
    if not current_app.secret_key:
        raise StorageError("the key of the sessions can't be read")
    role = session.get("role")
    if role not in list(Role) or session.get("until", 0) < time.time():
        return False
    proof = _proof(services, Role(role))
    if proof is None or not hmac.compare_digest(proof, str(session.get("proof"))):
        return False
    g.person = Person(str(session.get("name", "")), Role(role))
    return True


def person() -> Person | None:
    """Who asks, once `enter` has let them in."""
    return g.get("person")  # type: ignore[no-any-return]  # Flask's `g` holds anything


def to_sign_in() -> Response:
    """Where nobody is signed in; a page that was asked for comes after it."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("console.sign_in", next=wanted), 303)


def token() -> str:
    """The CSRF token of this session."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


def check_token() -> None:
    """403 for a form that this session did not get from us."""
    given, own = request.form.get("csrf", ""), session.get("csrf")
    if not own or not hmac.compare_digest(given.encode(), str(own).encode()):
        abort(
            403,
            "This form is too old, or was not opened here. Nothing was changed; open the page again and repeat it.",
        )


def check_role(least: Role | None) -> None:
    """403 for a viewer who wants to act."""
    if least is Role.OPERATOR and getattr(person(), "role", None) is not Role.OPERATOR:
        abort(
            403,
            "You are signed in as a viewer, who may look but not act. Sign in with the operator's password.",
        )


def show_sign_in(services: Services, problem: str = "") -> str:
    """The form, empty."""
    _ = services
    return page("sign_in.html", problem=problem, next=own_page(request.values.get("next", "")))


def sign_in(services: Services) -> Any:
    """Open a session for whoever knows a password; wrong ones are slowed down over all
    processes."""
    wait = _brake(services)
    if wait:
        log.warning("console_sign_in_throttled")
        sentence = f"Too many tries. Wait {wait:.0f} seconds, then try again."
        return show_sign_in(services, sentence), 429, {"Retry-After": f"{wait:.0f}"}
    role = _role_of(services, request.form.get("password", ""))
    if role is None:
        log.warning("console_sign_in_refused")
        return show_sign_in(services, "This password opens nothing here."), 401
    name = " ".join(request.form.get("name", "").split())[:_LONGEST_NAME]
    wanted = own_page(request.form.get("next", ""))
    session.clear()
    session.permanent = True
    session.update(
        role=role,
        name=name,
        until=time.time() + LIFETIME.total_seconds(),
        proof=_proof(services, role),
    )
    log.info("console_signed_in", role=role)
    return redirect(wanted or url_for("console.overview"), 303)


def sign_out(services: Services) -> Response:
    """Forget the session in this browser."""
    _ = services
    session.clear()
    flash("You are signed out.")
    return redirect(url_for("console.sign_in"), 303)


def own_page(text: str) -> str:
    """Never another site, whatever a link says."""
    return (
        text
        if text.startswith("/console/")
        and text.isascii()
        and text.isprintable()
        and "\\" not in text
        else ""
    )


def _role_of(services: Services, password: str) -> Role | None:
    """Both are compared, each in constant time."""
    given = _digest(password)
    fits = [
        role
        for role, own in _passwords(services).items()
        if hmac.compare_digest(_digest(own), given)
    ]
    return fits[0] if fits else None


def _passwords(services: Services) -> dict[Role, str]:
    own = {
        Role.OPERATOR: services.settings.console_password,
        Role.VIEWER: services.settings.console_readonly_password,
    }
    return {
        role: password.get_secret_value() for role, password in own.items() if password is not None
    }


def _proof(services: Services, role: Role) -> str | None:
    """Ties a session to the password of its day: with another one, it is over."""
    password = _passwords(services).get(role)
    key = str(current_app.secret_key).encode()
    return (
        hmac.new(key, f"{role}\n{password}".encode(), "sha256").hexdigest()
        if password is not None
        else None
    )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _brake(services: Services) -> float:
    """Seconds to wait before the next try from this address; 0.0 when it may be made."""
    bucket = int.from_bytes(_digest(_address())[:4]) % _BUCKETS
    with services.database.begin(durable=False) as connection:
        now = services.database.now(connection)
        return rate_limits.take(
            connection, f"console:{bucket}", per_minute=TRIES_PER_MINUTE, now=now
        ).wait


def _address() -> str:
    """The sender's; behind a proxy on this machine, what that proxy says it was."""
    told, direct = (
        request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip(),
        request.remote_addr or "",
    )
    return told if told and direct in ("127.0.0.1", "::1") else direct
