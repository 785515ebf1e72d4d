"""Every call to a vendor: one session a thread, credentials only to known origins, each answer made a value or an error with a verdict.

Unknown to us, so treated with care: the body of ShipStation's 401 and 429, every error body of Purple Dot, and whether a vendor's words
repeat a credential (they are taken out of all texts).
"""

import base64
import json
import re
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

import requests
import urllib3
from pydantic import SecretStr

from bridge import __version__
from bridge.errors import (
    BridgeError,
    CredentialsError,
    ForeignUrlError,
    NotFoundError,
    PermanentError,
    SettingsError,
    TemporaryError,
    ThrottledError,
    UnclearError,
)
from bridge.reasons import Reason

OriginRule = Callable[[str], bool]
"""Given an exact origin such as `https://api.shipstation.com`, may our credentials go there?"""

SYSTEMS = {"shipstation": "ShipStation", "shipstation_v1": "ShipStation V1", "purple_dot": "Purple Dot"}
OUTCOMES = {401: "credentials", 403: "credentials", 404: "not_found", 408: "server_error", 429: "throttled"}
WORDS = frozenset({"code", "error", "error_code", "message", "detail", "exceptionmessage", "request_id"})
A_DAY = 86_400.0
_URL = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:[/?][!-~]*)?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx. `body` is parsed JSON, None when the answer was empty; `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: Any


class _UnreadableError(Exception):
    """An answer that can't be used; its text never quotes the answer."""


class _LateError(Exception):
    """The answer took too long as a whole."""


def origin_of(url: str) -> str:
    """`https://host[:port]` in lower case, a default port left out; ForeignUrlError for what two parsers could read differently."""
    match = _URL.fullmatch(url)
    if match is None or "\\" in url:
        raise ForeignUrlError("this is not a plain http or https URL")
    scheme, host, port = match["scheme"].lower(), match["host"].lower(), match["port"]
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


def vendor_words(body: object) -> str:
    """A vendor's codes, messages and request ids, wherever they stand in its body: one printable line of at most 500 characters."""
    told = dict.fromkeys(" ".join(word.split()) for word in islice(_words(body), 30))
    return "".join(char if char.isprintable() else " " for char in "; ".join(filter(None, told)))[:500]


def _words(node: object, key: str = "", depth: int = 0) -> Iterator[str]:
    if isinstance(node, str) and key in WORDS:
        yield node
    elif isinstance(node, Mapping) and depth < 6:
        for name, inner in node.items():
            yield from _words(inner, str(name).lower(), depth + 1)
    elif isinstance(node, list) and depth < 6:
        for inner in node:
            # A list of bare strings under `errors` holds messages.
            yield from _words(inner, "error" if key == "errors" else key, depth + 1)


def retry_after_of(headers: Mapping[str, str], *, now: datetime, throttled: bool = False) -> float | None:
    """Seconds to wait, at most a day: `Retry-After` as seconds or date; for a 429 also `X-Rate-Limit-Reset`, which V1 sends instead.

    https://www.shipstation.com/docs/api/requirements/ (V1), https://docs.shipstation.com/rate-limits (V2)
    """
    seconds = _seconds(headers.get("Retry-After", ""), now)
    if seconds is None and throttled:
        seconds = _seconds(headers.get("X-Rate-Limit-Reset", ""), now)
    return None if seconds is None else min(max(seconds, 0.0), A_DAY)


def _seconds(text: str, now: datetime) -> float | None:
    if re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,12})?\s*", text, re.ASCII):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def outcome_of(status: int) -> str:
    """The one word of the metric for an HTTP status."""
    families = {2: "ok", 3: "redirect", 4: "rejected"}
    return OUTCOMES.get(status) or families.get(status // 100, "server_error")


class ApiClient:
    """Calls one vendor. Safe to share between threads; `close` ends the kept-alive connections of all of them."""

    def __init__(
        self,
        *,
        system: str,
        origins: OriginRule,
        headers: Mapping[str, SecretStr | str] | None = None,
        auth: tuple[str, SecretStr] | None = None,
        timeout: tuple[float, float] = (5.0, 30.0),
        max_bytes: int = 20 * 1024 * 1024,
        before_call: Callable[[str], None] | None = None,
        after_call: Callable[[str, str, float, Mapping[str, str]], None] | None = None,
    ) -> None:
        """`timeout`: seconds to connect, and between bytes; a whole answer may take twice the latter. `before_call(operation)` may block
        or raise ThrottledError; `after_call(operation, outcome, seconds, headers)` runs once for each call that was made."""
        self._system, self._name, self._origins = system, SYSTEMS.get(system, system), origins
        self._timeout, self._max_bytes = timeout, max_bytes
        self._before, self._after = before_call, after_call
        self._headers, self._secrets = _sent_headers(self._name, headers or {}, auth)
        self._local, self._lock = threading.local(), threading.Lock()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()

    def get(self, operation: str, url: str) -> Answer:
        """Read `url`. Raises TemporaryError for everything that another try may mend, else PermanentError or one of its kinds."""
        return self._call(operation, "GET", url, None, safe=True)

    def send(self, operation: str, method: str, url: str, json: object, *, safe_to_repeat: bool = False) -> Answer:
        """Write `json` to `url`. Where it may have been done without our knowing, that is UnclearError, unless it is `safe_to_repeat`."""
        return self._call(operation, method, url, json, safe=safe_to_repeat)

    def check_origin(self, url: str) -> None:
        """ForeignUrlError unless our credentials may go where `url` points."""
        if not self._origins(origin_of(url)):
            raise ForeignUrlError(f"{self._name}: {origin_of(url)} is not an origin our credentials may go to")

    def close(self) -> None:
        """Close the connections of all threads; a later call opens new ones."""
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.close()

    def words_in(self, body: object) -> str:
        """What the vendor says in `body`, as `vendor_words`, without any of our credentials that it may repeat."""
        text = vendor_words(body)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _call(self, operation: str, method: str, url: str, json: object, *, safe: bool) -> Answer:
        self.check_origin(url)
        if self._before:
            self._before(operation)
        started, outcome = time.monotonic(), "network"
        headers: Mapping[str, str] = {}
        try:
            with self._open(method, url, json) as response:
                outcome, headers = outcome_of(response.status_code), response.headers
                if outcome == "ok":
                    return Answer(response.status_code, headers, self._body(response, started))
                raise self._refusal(operation, response, self._error_body(response, started), safe=safe)
        except (requests.RequestException, urllib3.exceptions.HTTPError, _LateError) as exc:
            outcome = "network"
            raise self._lost(operation, exc, safe=safe) from exc
        except _UnreadableError as exc:
            outcome = "unreadable"
            raise self._verdict(safe=safe)(f"{self._name} {operation}: {exc}") from exc
        finally:
            if self._after:
                self._after(operation, outcome, time.monotonic() - started, headers)

    def _open(self, method: str, url: str, json: object) -> requests.Response:
        """Sent once: no redirects, no retries, no proxies or .netrc of the machine, certificates checked."""
        return self._session().request(
            method, url, json=json, headers=self._headers, timeout=self._timeout, allow_redirects=False, stream=True, verify=True
        )

    def _session(self) -> requests.Session:
        # requests does not promise that one session may serve several threads. https://github.com/psf/requests/issues/2766
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            with self._lock:
                self._sessions.add(session)
        return session

    def _body(self, response: requests.Response, started: float) -> Any:
        raw = self._read(response, started, self._max_bytes)
        if not raw.strip():
            return None
        try:
            return json.loads(raw, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as exc:
            raise _UnreadableError(f"answered {response.status_code}, but not with JSON") from exc

    def _error_body(self, response: requests.Response, started: float) -> Any:
        # The status alone decides; a body that can't be read only leaves us without the vendor's words.
        try:
            return self._body(response, started)
        except (requests.RequestException, urllib3.exceptions.HTTPError, _LateError, _UnreadableError):
            return None

    def _read(self, response: requests.Response, started: float, limit: int) -> bytes:
        raw, deadline = bytearray(), started + 2 * self._timeout[1]
        # read1 hands over what has come, so an answer that drips is noticed; read would sit until its buffer is full.
        while chunk := response.raw.read1(65_536, decode_content=True):
            raw += chunk
            if len(raw) > limit:
                raise _UnreadableError(f"the answer is larger than {limit} bytes")
            if time.monotonic() > deadline:
                raise _LateError
        return bytes(raw)

    def _refusal(self, operation: str, response: requests.Response, body: object, *, safe: bool) -> BridgeError:
        """The error for an answer that is no 2xx; its status alone decides which."""
        status, outcome = response.status_code, outcome_of(response.status_code)
        said = f"{self._name} {operation}: answered {status}"
        if outcome == "redirect":
            # Purple Dot sends unknown paths to its login page, which would look like success. The target may hold a token: not told.
            return CredentialsError(f"{said}, redirected: wrong path or token")
        words = self.words_in(body)
        text = f"{said}: {words}" if words else said
        wait = retry_after_of(response.headers, now=datetime.now(UTC), throttled=status == 429)
        if outcome == "throttled":
            return ThrottledError(text, retry_after=wait)
        if outcome == "server_error":
            return TemporaryError(text, retry_after=wait) if safe else UnclearError(text)
        if outcome == "credentials":
            return CredentialsError(text)
        reason = Reason.REJECTED_BY_PURPLE_DOT if self._system == "purple_dot" else Reason.BAD_SHAPE
        return (NotFoundError if outcome == "not_found" else PermanentError)(text, reason=reason)

    def _lost(self, operation: str, exc: Exception, *, safe: bool) -> BridgeError:
        # Only the kind of fault is told: the library's own text may quote a header.
        text = f"{self._name} {operation}: no answer ({type(_root(exc)).__name__.lstrip('_')})"
        return self._verdict(safe=safe or _never_sent(exc))(text)

    def _verdict(self, *, safe: bool) -> type[TemporaryError] | type[UnclearError]:
        return TemporaryError if safe else UnclearError


def _root(exc: Exception) -> Exception:
    """What urllib3 wrapped: the reason inside a MaxRetryError, else the error itself."""
    inner = exc.args[0] if exc.args else None
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, Exception) else exc


def _never_sent(exc: Exception) -> bool:
    """No connection came about (refused, unknown host, connect timeout, bad certificate), so the vendor can't have done anything."""
    root = _root(exc)
    if isinstance(root, urllib3.exceptions.SSLError):
        return any(isinstance(arg, ssl.SSLCertVerificationError) for arg in root.args)
    return isinstance(root, requests.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _sent_headers(
    name: str, headers: Mapping[str, SecretStr | str], auth: tuple[str, SecretStr] | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What goes out with every call, and the texts that must never come out in a message."""
    secrets = [value.get_secret_value() for value in headers.values() if isinstance(value, SecretStr)]
    sent = {"Accept": "application/json", "User-Agent": f"purpledot-shipstation-bridge/{__version__}"}
    sent |= {key: value.get_secret_value() if isinstance(value, SecretStr) else value for key, value in headers.items()}
    if auth:
        pair = base64.b64encode(f"{auth[0]}:{auth[1].get_secret_value()}".encode()).decode()
        sent["Authorization"] = f"Basic {pair}"
        secrets += [auth[0], auth[1].get_secret_value(), pair]
    if not all(re.fullmatch(r"[!-~]+( [!-~]+)*", value) for value in sent.values()):
        # requests would raise with the value in its text.
        raise SettingsError([f"{name}: a key or token is empty or has a character that no HTTP header may hold; copy it again"])
    return sent, tuple(sorted(filter(None, secrets), key=len, reverse=True))
