"""Who is signed in: a password for each role, a signed session cookie that sign-out ends, a token
in each form, and a limit on guessing."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from flask import Flask, Request, abort, current_app, flash, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature, Signer
from pydantic import SecretStr
from werkzeug.security import check_password_hash
from werkzeug.wrappers import Response

from bridge import metrics
from bridge.domain.errors import StorageError
from bridge.services import Services
from bridge.store import rate_limits, shared_state
from bridge.store.engine.database import Connection
from bridge.web.addresses import ProxyTrust, client_of
from bridge.web.console.pages import render

log = structlog.get_logger(__name__)

LIFETIME = timedelta(hours=12)
TRIES_PER_MINUTE = 10
_TRIES_AT_ONCE = 5
_BUCKETS = 256
"""Addresses share so many limits, so that somebody with many addresses fills no table."""
_LONGEST_NAME = 40
_SIGNED_OUT = "console_signed_out"
"""The note of the sessions that were ended before their time: {session's id: when it is over}."""
_DEVICE_COOKIE = "bridge_console_device"
_DEVICE_LIFETIME = timedelta(days=365)
_HASH_METHODS = ("scrypt:", "pbkdf2:")

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


def _sha256(string: bytes = b"") -> Any:
    """hashlib's own, whose signature differs between Python's versions."""
    return hashlib.sha256(string)


class Sessions(SecureCookieSessionInterface):
    """Cookies of the console alone, signed with SHA-256 and a key that is looked up when it is
    first needed."""

    digest_method = staticmethod(_sha256)

    def __init__(self, services: Services) -> None:
        self._services = services

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if not request.path.startswith("/console"):
            return None
        try:
            app.secret_key = app.secret_key or _signing_key(self._services)
        except StorageError:
            return None  # `is_signed_in` raises it, where it can be answered with a page.
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002  # the signature is Flask's
        return request.is_secure


def _signing_key(services: Services) -> str:
    """The setting, or a key that was made once and is kept in the database for all processes."""
    if services.settings.secret_key is not None:
        return services.settings.secret_key.get_secret_value()
    candidate = secrets.token_urlsafe(48)
    with services.database.begin() as connection:
        return shared_state.get_or_create_secret(connection, "console", candidate=candidate)


def is_signed_in(services: Services) -> bool:
    """Whether the session says who asks, its time lasts, nobody has signed it out, and the password
    it was opened with still holds."""
    if not current_app.secret_key:
        raise StorageError("the key of the sessions can't be read")
    role = session.get("role")
    if role not in list(Role) or session.get("until", 0) < time.time():
        return False
    if not _has_todays_proof(services, Role(role)) or _is_signed_out(services):
        session.clear()
        return False
    g.person = Person(str(session.get("name", "")), Role(role))
    return True


def person() -> Person | None:
    """Who asks, once `is_signed_in` has said so."""
    return g.get("person")  # type: ignore[no-any-return]  # Flask's `g` holds anything


def to_sign_in() -> Response:
    """Where nobody is signed in. After it comes the page that was asked for, or the one where a
    form stood."""
    page_after = own_page(request.form.get("next", "")) or None
    if request.method == "GET":
        page_after = request.full_path.rstrip("?")
    return redirect(url_for("console.sign_in", next=page_after), 303)


def token() -> str:
    """The CSRF token of this session."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


def check_token() -> None:
    """403 for a form that this session did not get from us."""
    given = request.form.get("csrf", "")
    own = session.get("csrf")
    if not own or not hmac.compare_digest(given.encode(), str(own).encode()):
        abort(
            403,
            "This form is too old, or was not opened here. Nothing was changed; open the page again"
            " and repeat it.",
        )


def check_role(least: Role | None) -> None:
    """403 for a viewer who wants to act."""
    if least is Role.OPERATOR and getattr(person(), "role", None) is not Role.OPERATOR:
        abort(
            403,
            "You are signed in as a viewer, who may look but not act. Sign in with the operator's "
            "password.",
        )


def show_sign_in(services: Services, problem: str = "") -> str:
    """The form, empty."""
    _ = services
    page_after = own_page(request.values.get("next", ""))
    return render("sign_in.html", problem=problem, next=page_after)


def sign_in(services: Services) -> Any:
    """Open a session for whoever knows a password; wrong ones are slowed down over all
    processes."""
    wait = _seconds_until_next_try(services)
    if wait:
        # Counted, not logged: there would be no end of the lines.
        metrics.REJECTIONS.labels(cause="sign_in_throttled").inc()
        problem = f"Too many tries. Wait {wait:.0f} seconds, then try again."
        return show_sign_in(services, problem), 429, {"Retry-After": f"{wait:.0f}"}
    role = _role_of(services, request.form.get("password", ""))
    if role is None:
        metrics.REJECTIONS.labels(cause="password_wrong").inc()
        log.warning("console_sign_in_refused", address=_address(services))
        answer = show_sign_in(services, "Wrong password.")
        return answer, 401, {"WWW-Authenticate": 'Form realm="console"'}
    page_after = own_page(request.form.get("next", ""))
    proof = _proof(services, role) or ""
    session.clear()
    session.permanent = True
    session.update(
        role=role,
        name=" ".join(request.form.get("name", "").split())[:_LONGEST_NAME],
        id=secrets.token_urlsafe(16),
        until=time.time() + LIFETIME.total_seconds(),
        proof=proof,
    )
    log.info("console_signed_in", role=role, address=_address(services))
    welcome = redirect(page_after or url_for("console.overview"), 303)
    return _with_device_cookie(welcome, services, proof)


def sign_out(services: Services) -> Response:
    """End the session, in this browser and for whoever may have copied its cookie."""
    with services.database.begin() as connection:
        _note_signed_out(connection, services)
    session.clear()
    flash("You are signed out.")
    return redirect(url_for("console.sign_in"), 303)


def own_page(text: str) -> str:
    """Never another site, whatever a link says."""
    is_plain = text.isascii() and text.isprintable() and "\\" not in text
    return text if is_plain and text.startswith("/console/") else ""


def _is_signed_out(services: Services) -> bool:
    with services.database.read() as connection:
        note = shared_state.get(connection, _SIGNED_OUT)
    return note is not None and session.get("id") in note[0]


def _note_signed_out(connection: Connection, services: Services) -> None:
    now = time.time()
    note = shared_state.get(connection, _SIGNED_OUT)
    ended: Mapping[str, float] = note[0] if note else {}
    standing = {name: until for name, until in ended.items() if until > now}
    standing[str(session.get("id"))] = session["until"]
    shared_state.put(connection, _SIGNED_OUT, standing, now=services.database.now(connection))


def _role_of(services: Services, password: str) -> Role | None:
    """Each role's password is compared, whichever fits first."""
    fitting = [
        role for role, own in _passwords(services).items() if _is_password(own, given=password)
    ]
    return fitting[0] if fitting else None


def _is_password(own: str, *, given: str) -> bool:
    if own.startswith(_HASH_METHODS):
        return check_password_hash(own, given)
    return hmac.compare_digest(_digest(own), _digest(given))


def _passwords(services: Services) -> dict[Role, str]:
    """As the settings have them, which may be as a hash."""
    configured: dict[Role, SecretStr | None] = {
        Role.OPERATOR: services.settings.console_password,
        Role.VIEWER: services.settings.console_readonly_password,
    }
    return {
        role: password.get_secret_value()
        for role, password in configured.items()
        if password is not None
    }


def _has_todays_proof(services: Services, role: Role) -> bool:
    """A cookie with a right signature and a wrong proof was made by somebody who has the key, or
    before the password was changed: it counts as a guess. After a few, no proof from that address
    is looked at for a while."""
    proof = _proof(services, role)
    bucket = _bucket_of("session", _address(services))
    is_right = proof is not None and hmac.compare_digest(proof, str(session.get("proof")))
    if is_right and not _seconds_until_next(services, bucket):
        return True
    metrics.REJECTIONS.labels(cause="session_outdated").inc()
    if not is_right and not _take_try(services, bucket):
        log.warning("console_session_outdated", address=_address(services))
    return False


def _proof(services: Services, role: Role) -> str | None:
    """Ties a session to the password of its day: with another one, it is over."""
    password = _passwords(services).get(role)
    if password is None:
        return None
    key = str(current_app.secret_key).encode()
    # Whoever has stolen the key must not find the password by making cookies, so it takes its time.
    material = f"{role}\n{password}".encode()
    return _slow_digest(key, material)


_PROOFS: dict[tuple[bytes, bytes], str] = {}


def _slow_digest(key: bytes, material: bytes) -> str:
    """PBKDF2, worked out once for each password of this process."""
    if (key, material) not in _PROOFS:
        _PROOFS[key, material] = hashlib.pbkdf2_hmac("sha256", material, key, 200_000).hex()
    return _PROOFS[key, material]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _seconds_until_next_try(services: Services) -> float:
    """0.0 when a password may be tried now, which counts. A browser that has signed in before has a
    limit of its own, so nobody else can use it up."""
    device = _known_device(services)
    bucket = _bucket_of("device", device) if device else _bucket_of("address", _address(services))
    return _take_try(services, bucket)


def _bucket_of(kind: str, name: str) -> str:
    return f"console:{kind}:{int.from_bytes(_digest(name)[:4]) % _BUCKETS}"


def _take_try(services: Services, bucket: str) -> float:
    """0.0 when it was taken, else the seconds until there is one."""
    with services.database.begin(durable=False) as connection:
        now = services.database.now(connection)
        return rate_limits.take(
            connection, bucket, per_minute=TRIES_PER_MINUTE, now=now, burst=_TRIES_AT_ONCE
        ).wait


def _seconds_until_next(services: Services, bucket: str) -> float:
    """The same, with nothing taken."""
    with services.database.read() as connection:
        now = services.database.now(connection)
        return rate_limits.seconds_until_next(
            connection, bucket, per_minute=TRIES_PER_MINUTE, now=now, burst=_TRIES_AT_ONCE
        )


def _device_signer(proof: str) -> Signer:
    """With the proof of a password: who has stolen the key alone must not make browsers that have
    signed in before, each with a limit of its own."""
    key = str(current_app.secret_key)
    return Signer(key + proof, salt="device", digest_method=hashlib.sha256)


def _known_device(services: Services) -> str | None:
    signed = request.cookies.get(_DEVICE_COOKIE, "")
    for role in Role if signed else ():
        proof = _proof(services, role)
        if proof is None:
            continue
        with suppress(BadSignature, UnicodeDecodeError):
            return _device_signer(proof).unsign(signed).decode("ascii")
    return None


def _with_device_cookie(response: Response, services: Services, proof: str) -> Response:
    device = _known_device(services) or secrets.token_urlsafe(16)
    response.set_cookie(
        _DEVICE_COOKIE,
        _device_signer(proof).sign(device).decode("ascii"),
        max_age=_DEVICE_LIFETIME,
        path="/console/",
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )
    return response


def _address(services: Services) -> str:
    trust = ProxyTrust.from_environment(services.settings.trusted_proxies)
    return client_of(request, trust)
