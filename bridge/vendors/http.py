"""Every call to a vendor: kept-alive connections, credentials only to known origins, each answer
made a value or an error with a verdict.

Unknown to us: the body of ShipStation's 401 and 429, every error body of Purple Dot, and whether a
vendor's words repeat a credential."""

import base64
import json
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
import urllib3
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from bridge import __version__
from bridge.domain import errors
from bridge.domain.reasons import Reason
from bridge.vendors.wording import vendor_words

OriginRule = Callable[[str], bool]
"""Given an exact origin such as `https://api.shipstation.com`, may our credentials go there?"""
OnUnclear = type[errors.TemporaryError | errors.UnclearError]
SYSTEMS = {
    "shipstation": "ShipStation V2",
    "shipstation_v1": "ShipStation V1",
    "purple_dot": "Purple Dot",
}
"""What people call each vendor's API, by the name that settings, tables and metrics have for it."""
COUNTS_IN_HEADERS = frozenset({"shipstation_v1"})
"""Who says in `X-Rate-Limit-…` headers what is left. From others they may mean anything."""
FAMILIES = {2: "ok", 3: "redirect", 4: "rejected"}
OUTCOMES = {
    401: "credentials",
    403: "credentials",
    404: "not_found",
    408: "server_error",
    429: "throttled",
}
SHIPPED_WRITES = frozenset({"create_fulfillment", "create_fulfillments"})
"""What a dry run never sends: fulfillments, to Purple Dot and to ShipStation."""
A_DAY = 86_400.0
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 300.0
"""Seconds: a vendor's wish to be left alone is kept to within these. No header stops our calls for
longer; then one of them finds out whether it still holds."""

PORTS = {"http": "80", "https": "443"}
_URL = re.compile(
    r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?:[/?][!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_LOST = (requests.RequestException, urllib3.exceptions.HTTPError)
_UNSENT = (
    requests.ConnectTimeout,
    requests.exceptions.ProxyError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    ssl.SSLCertVerificationError,
)
_CAUSES = {
    "NameResolutionError": "dns",
    "ProxyError": "proxy",
    "SSLError": "tls",
    "SSLCertVerificationError": "tls",
    "ConnectionRefusedError": "refused",
    "ConnectTimeoutError": "timeout",
    "ConnectTimeout": "timeout",
    "ReadTimeoutError": "timeout",
    "ReadTimeout": "timeout",
}
"""Why no answer came, by the name of an exception in the chain; the surest first."""
_DEEPEST_CHAIN = 10
_NO_TUNNEL = "Tunnel connection failed"
_UNREADABLE = (ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx. `body` is parsed JSON, None when the answer was empty; `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: Any


def origin_of(url: str) -> str:
    """`https://host[:port]` in lower case, a default port left out; ForeignUrlError for what two
    parsers could read differently."""
    match = _URL.fullmatch(url)
    if match is None:
        raise errors.ForeignUrlError("this is not a plain http or https URL")
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    if port in (None, PORTS[scheme]):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


def retry_after_of(
    headers: Mapping[str, str], *, now: datetime, reads_reset: bool = False
) -> float | None:
    """Seconds to wait, at most a day: `Retry-After` as seconds or date; with `reads_reset` also
    `X-Rate-Limit-Reset`, which V1 sends instead. https://www.shipstation.com/docs/api/requirements/
    (V1), https://docs.shipstation.com/rate-limits (V2)"""
    text = headers.get("Retry-After") or ""
    if not text and reads_reset:
        text = headers.get("X-Rate-Limit-Reset") or ""
    try:
        if re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,12})?\s*", text, re.ASCII):
            seconds = float(text)
        else:
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), A_DAY)


def outcome_of(status: int) -> str:
    """The one word of the metric for an HTTP status."""
    return OUTCOMES.get(status) or FAMILIES.get(status // 100, "server_error")


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url` in HTTPS_PROXY, unless NO_PROXY excepts it or
    it is on this machine; it may hold a password. http:// is only ever this machine."""
    split = urlsplit(url)
    if split.scheme != "https" or _is_this_machine(split.hostname or ""):
        return None
    return requests.utils.get_environ_proxies(url).get("https")


def ca_bundle() -> str | None:
    """The file or folder of trusted certificates that the environment names in REQUESTS_CA_BUNDLE
    or SSL_CERT_FILE; None is the built-in one. SettingsError where it isn't there."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(name)
        if path and not Path(path).exists():
            raise errors.SettingsError(
                [f"{name}: there is no {path}; correct the path, or leave the variable empty"]
            )
        if path:
            return path
    return None


class NoAnswerError(OSError):
    """No answer came from an address that the operator names. Its text names no part of the URL;
    `cause` is dns, tls, refused, timeout, proxy or lost."""

    def __init__(self, kind: str, *, cause: str) -> None:
        super().__init__(f"no answer ({kind})")
        self.cause = cause


def ask(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float,
    max_bytes: int = 65_536,
) -> tuple[int, bytes]:
    """One request to an address that the operator names and that is no vendor's: our own public
    one, a dead man's switch. Its status, and what of its body fits. It follows no redirect, so that
    no header goes further than to that address. Raises NoAnswerError."""
    sent = {"User-Agent": f"purpledot-shipstation-bridge/{__version__}", **(headers or {})}
    try:
        with requests.request(
            method,
            url,
            data=body,
            headers=sent,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            verify=ca_bundle() or True,
            proxies={"https": proxy_for(url) or ""},
        ) as response:
            return response.status_code, response.raw.read(max_bytes, decode_content=True)
    except (*_LOST, ValueError) as exc:
        raise NoAnswerError(type(exc).__name__, cause=_cause_of(exc)) from exc


def _cause_of(exc: Exception) -> str:
    """The first that fits of what requests, urllib3 and the system wrapped into each other."""
    texts = {type(link).__name__ for link in _chain(exc)}
    for name, cause in _CAUSES.items():
        if name in texts:
            return cause
    return "lost"


def _chain(error: BaseException) -> Iterator[BaseException]:
    exc: BaseException | None = error
    for _ in range(_DEEPEST_CHAIN):
        if exc is None:
            return
        yield exc
        reason = getattr(exc, "reason", None)
        wrapped = reason or (exc.args[0] if exc.args else None)
        exc = wrapped if isinstance(wrapped, BaseException) else exc.__cause__ or exc.__context__


@dataclass(slots=True)
class _Call:
    """One call under way: what it is named in errors, and what came of it so far."""

    operation: str
    name: str
    started: float
    on_unclear: OnUnclear
    check_answer: Callable[[Answer], None]
    not_after: float | None = None
    outcome: str = "network"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_write(self) -> bool:
        return self.on_unclear is errors.UnclearError


def _accept_any(_answer: Answer) -> None:
    return None


@dataclass(kw_only=True, repr=False, eq=False)
class ApiClient:
    """Calls one vendor. Safe to share between threads; `close` ends the kept-alive connections of
    all of them. `timeout`: seconds to connect, and between bytes; a whole answer may take twice the
    latter. `before_call(operation)` may block or raise ThrottledError; `after_call(operation,
    outcome, seconds, headers)` runs once for each call that was made, and returns the seconds to
    stay away when the vendor fails as a whole: a read that failed is then one that was asked to
    wait. What may not be repeated calls `before_write(operation)` instead of the first, and
    `after_write(operation, is_clear=…)` as well as the second."""

    system: str
    origins: OriginRule
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    auth: tuple[str, SecretStr] | None = None
    timeout: tuple[float, float] = (5.0, 30.0)
    max_bytes: int = 20 * 1024 * 1024
    before_call: Callable[[str], None] = lambda _: None
    after_call: Callable[[str, str, float, Mapping[str, str]], float | None] = lambda *_: None
    before_write: Callable[[str], None] = lambda _: None
    after_write: Callable[..., None] = lambda *_, **__: None
    is_dry_run: bool = False

    def __post_init__(self) -> None:
        """SettingsError for a credential that no header can hold: requests would raise with the
        value in its text."""
        # The connection pool below the adapter is made for threads.
        # https://urllib3.readthedocs.io/en/stable/advanced-usage.html
        self._adapter = HTTPAdapter(pool_maxsize=64)
        self._name = SYSTEMS[self.system]
        self._proxies: dict[str, str | None] = {}
        self._ca_bundle = ca_bundle()
        sent = {name: value.get_secret_value() for name, value in self.headers.items()}
        secrets = [*sent.values()]
        if self.auth:
            key, secret = self.auth[0], self.auth[1].get_secret_value()
            secrets += [key, secret, base64.b64encode(f"{key}:{secret}".encode()).decode()]
            sent["Authorization"] = f"Basic {secrets[-1]}"
        if not all(re.fullmatch(r"[!-~]+( [!-~]+)*", value) for value in sent.values()):
            problem = "a key or token is empty or has a character that no header can hold"
            raise errors.SettingsError([f"{self._name}: {problem}; copy it again"])
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._sent = sent | {
            "Accept": "application/json",
            "User-Agent": f"purpledot-shipstation-bridge/{__version__}",
        }

    def get(self, operation: str, url: str) -> Answer:
        """Read `url`. Raises TemporaryError for everything that another try may settle, else
        PermanentError or one of its kinds."""
        return self._call(self._new_call(operation, errors.TemporaryError), "GET", url, None)

    def send(
        self,
        operation: str,
        method: str,
        url: str,
        json: object,
        *,
        safe_to_repeat: bool = False,
        check_answer: Callable[[Answer], None] = _accept_any,
        not_after: float | None = None,
    ) -> Answer:
        """Write `json` to `url`. Where it may have been done without our knowing, that is
        UnclearError, unless it is `safe_to_repeat`; `check_answer` raises it for a 2xx that does
        not say yes. ThrottledError, with nothing sent, when its turn comes only after `not_after`,
        a moment of the monotonic clock. DryRunError for what would reach a shopper."""
        if self.is_dry_run and operation in SHIPPED_WRITES:
            raise errors.DryRunError(
                f"{self.name_of(operation)}: nothing was sent, as BRIDGE_DRY_RUN is set"
            )
        on_unclear: OnUnclear = errors.UnclearError
        if safe_to_repeat:
            on_unclear = errors.TemporaryError
        call = self._new_call(operation, on_unclear)
        call.check_answer, call.not_after = check_answer, not_after
        return self._call(call, method, url, json)

    def name_of(self, operation: str) -> str:
        """A call as people read of it, such as `Purple Dot create fulfillment`."""
        return f"{self._name} {operation.replace('_', ' ')}"

    def check_origin(self, url: str) -> None:
        """ForeignUrlError unless our credentials may go where `url` points."""
        if not self.origins(origin_of(url)):
            raise errors.ForeignUrlError(
                f"{self._name}: {origin_of(url)} is not an origin our credentials may go to"
            )

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        self._adapter.close()

    def words_in(self, body: object) -> str:
        """What the vendor says in `body`, as `vendor_words`, without any of our credentials that it
        may repeat."""
        return vendor_words(body, secrets=self._secrets)

    def without_secrets(self, text: str) -> str:
        """`text` in one printable line, without any of our credentials."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(char if char.isprintable() else " " for char in text)

    def _new_call(self, operation: str, on_unclear: OnUnclear) -> _Call:
        return _Call(operation, self.name_of(operation), time.monotonic(), on_unclear, _accept_any)

    def _call(self, call: _Call, method: str, url: str, json: object) -> Answer:
        """Sent once: no redirects, no retries."""
        self.check_origin(url)
        wait_for_turn = self.before_write if call.is_write else self.before_call
        wait_for_turn(call.operation)
        call.started = time.monotonic()
        if call.not_after is not None and call.started > call.not_after:
            raise errors.ThrottledError(
                f"{call.name}: not sent, its turn came too late",
                retry_after=SHORTEST_WAIT,
                system=self.system,
            )
        stay_away: float | None = None
        is_clear = True
        try:
            try:
                return self._exchange(call, method, url, json)
            except errors.UnclearError:
                is_clear = False
                raise
            finally:
                seconds = time.monotonic() - call.started
                stay_away = self.after_call(call.operation, call.outcome, seconds, call.headers)
                if call.is_write:
                    self.after_write(call.operation, is_clear=is_clear)
        except errors.TemporaryError as exc:
            if stay_away is None:
                raise
            raise errors.ThrottledError(
                str(exc), retry_after=stay_away, system=self.system
            ) from exc

    def _exchange(self, call: _Call, method: str, url: str, json: object) -> Answer:
        request = self._request(method, url, json)
        try:
            with self._send(request) as response:
                call.headers, call.outcome = response.headers, outcome_of(response.status_code)
                if call.outcome != "ok":
                    self._refuse(call, response)
                body = self._body(response, call.started)
                answer = Answer(response.status_code, response.headers, body)
        except _LOST as exc:
            call.outcome = "network"
            raise _lost(call, exc) from exc
        except _UNREADABLE as exc:
            call.outcome = "unreadable"
            raise call.on_unclear(
                f"{call.name}: answered, but not with JSON of at most {self.max_bytes} bytes"
            ) from exc
        try:
            call.check_answer(answer)
        except errors.UnclearError:
            call.outcome = "unclear"
            raise
        return answer

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        origin = origin_of(request.url or "")
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(origin)
        proxy = self._proxies[origin]
        return self._adapter.send(
            request,
            stream=True,
            timeout=self.timeout,
            verify=self._ca_bundle or True,
            proxies={"https": proxy} if proxy else None,
        )

    def _request(self, method: str, url: str, json: object) -> requests.PreparedRequest:
        """Made by hand: a Session would read .netrc of the machine, keep the vendor's cookies, and
        follow redirects; and it takes twice the time. `check_origin` has seen that the URL is plain
        ASCII already."""
        request = requests.PreparedRequest()
        request.method, request.url = method, url
        request.headers = CaseInsensitiveDict(self._sent)
        if json is not None:
            request.body = _json(json)
            request.headers["Content-Type"] = "application/json"
            request.headers["Content-Length"] = str(len(request.body))
        return request

    def _body(self, response: requests.Response, started: float) -> Any:
        raw = bytearray()
        # read1 hands over what has come, so an answer that drips is noticed; read would sit until
        # its buffer is full.
        while chunk := response.raw.read1(65_536, decode_content=True):
            raw += chunk
            if len(raw) > self.max_bytes:
                raw.clear()  # The error remembers this frame, and with it what was read.
                raise ValueError("too large")
            if time.monotonic() > started + 2 * self.timeout[1]:
                raise requests.ReadTimeout
        if not raw.strip():
            return None
        # `int` refuses NaN and Infinity, which are not JSON.
        return json.loads(raw, parse_constant=int)

    def _refuse(self, call: _Call, response: requests.Response) -> NoReturn:
        """The status alone decides which error; a body that can't be read only leaves us without
        the vendor's words."""
        answered = f"{call.name}: answered {response.status_code}"
        if call.outcome == "redirect":
            self._refuse_redirect(call, answered)
        body = None
        text = answered
        with suppress(*_LOST, *_UNREADABLE):
            body = self._body(response, call.started)
            text = f"{answered}: {self.words_in(body)}".removesuffix(": ")
        if call.outcome == "throttled":
            raise errors.ThrottledError(
                text, retry_after=self._retry_after(call, response), system=self.system
            )
        if call.outcome == "server_error" and call.is_write:
            raise errors.UnclearError(text)
        if call.outcome == "server_error":
            raise errors.TemporaryError(text, retry_after=self._retry_after(call, response))
        if call.outcome == "credentials":
            raise errors.CredentialsError(text, status=response.status_code)
        reason = Reason.BAD_SHAPE
        if self.system == "purple_dot":
            reason = Reason.REJECTED_BY_PURPLE_DOT
        if call.outcome == "not_found":
            raise errors.NotFoundError(text, reason=reason, status=response.status_code, body=body)
        raise errors.PermanentError(text, reason=reason, status=response.status_code, body=body)

    def _refuse_redirect(self, call: _Call, answered: str) -> NoReturn:
        # The target may hold a token, so it is not named.
        if call.is_write:
            # Whether the write was done before we were sent elsewhere, nobody says.
            call.outcome = "unclear"
            raise errors.UnclearError(f"{answered}, redirected")
        # Purple Dot sends unknown paths to its login page, which would look like success.
        raise errors.CredentialsError(f"{answered}, redirected: wrong path or token")

    def _retry_after(self, call: _Call, response: requests.Response) -> float | None:
        """Seconds, never so few that we call without a pause, nor so many that nobody finds out."""
        is_throttled = call.outcome == "throttled"
        seconds = retry_after_of(
            response.headers,
            now=datetime.now(UTC),
            reads_reset=is_throttled and self.system in COUNTS_IN_HEADERS,
        )
        return None if seconds is None else min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


def _lost(call: _Call, exc: Exception) -> errors.BridgeError:
    """urllib3 wraps the reason. Only its kind is named (a text may quote a header); without a
    connection nothing can have been done."""
    root = getattr(exc.args[0] if exc.args else None, "reason", None) or exc
    is_unsent = any(isinstance(fault, _UNSENT) for fault in (exc, root, *root.args))
    if is_unsent or _NO_TUNNEL in str(exc):
        return errors.TemporaryError(f"{call.name}: no connection ({type(root).__name__})")
    return call.on_unclear(f"{call.name}: no answer ({type(root).__name__})")


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _json(body: object) -> bytes:
    return json.dumps(body, allow_nan=False).encode()
