"""Every call to a vendor: kept-alive connections, credentials only to known origins, each answer
made a value or an error with a verdict.

Unknown to us: the body of ShipStation's 401 and 429, every error body of Purple Dot, and whether a
vendor's words repeat a credential."""

import base64
import json
import re
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import requests
import urllib3
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from bridge import __version__
from bridge.domain import errors
from bridge.domain.reasons import Reason

OriginRule = Callable[[str], bool]
"""Given an exact origin such as `https://api.shipstation.com`, may our credentials go there?"""
Doubt = type[errors.TemporaryError | errors.UnclearError]
SYSTEMS = {
    "shipstation": "ShipStation V2",
    "shipstation_v1": "ShipStation V1",
    "purple_dot": "Purple Dot",
}
"""What people call each vendor's API, by the name that settings, tables and metrics have for it."""
FAMILIES = {2: "ok", 3: "redirect", 4: "rejected"}
OUTCOMES = {
    401: "credentials",
    403: "credentials",
    404: "not_found",
    408: "server_error",
    429: "throttled",
}
WORDS = frozenset(
    {"code", "error", "errors", "error_code", "message", "detail", "exceptionmessage", "request_id"}
)
A_DAY = 86_400.0
PORTS = {"http": "80", "https": "443"}
_URL = re.compile(
    r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?:[/?][!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_LOST = (requests.RequestException, urllib3.exceptions.HTTPError)
_UNSENT = (
    requests.ConnectTimeout,
    urllib3.exceptions.ConnectTimeoutError,
    ssl.SSLCertVerificationError,
)
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
    scheme, host = match[1].lower(), match[2].lower()
    return (
        f"{scheme}://{host}"
        if match[3] in (None, PORTS[scheme])
        else f"{scheme}://{host}:{match[3]}"
    )


def vendor_words(body: object, *, secrets: Collection[str] = ()) -> str:
    """A vendor's codes, messages and request ids, wherever they stand in its body: one printable
    line of at most 500 characters."""
    told = "; ".join(filter(None, dict.fromkeys(" ".join(word.split()) for word in _words(body))))
    for secret in secrets:
        told = told.replace(secret, "***")
    told = re.sub(r"[^\s\"'<>(),;:=]+@[\w.-]+", "***", told)  # an e-mail address is somebody's
    return "".join(char if char.isprintable() else " " for char in told[:500])


def _words(node: object, key: str = "", depth: int = 0) -> Iterator[str]:
    if isinstance(node, str) and key in WORDS:
        yield node
    elif isinstance(node, Mapping | list) and depth < 6:
        for name, inner in (
            node.items() if isinstance(node, Mapping) else ((key, inner) for inner in node)
        ):
            yield from _words(inner, str(name).lower(), depth + 1)


def retry_after_of(
    headers: Mapping[str, str], *, now: datetime, throttled: bool = False
) -> float | None:
    """Seconds to wait, at most a day: `Retry-After` as seconds or date; for a 429 also
    `X-Rate-Limit-Reset`, which V1 sends instead. https://www.shipstation.com/docs/api/requirements/
    (V1), https://docs.shipstation.com/rate-limits (V2)"""
    text = (
        headers.get("Retry-After")
        or (headers.get("X-Rate-Limit-Reset") if throttled else None)
        or ""
    )
    try:
        is_number = re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,12})?\s*", text, re.ASCII)
        seconds = float(text) if is_number else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), A_DAY)


def _json(body: object) -> bytes:
    return json.dumps(body, allow_nan=False).encode()


def outcome_of(status: int) -> str:
    """The one word of the metric for an HTTP status."""
    return OUTCOMES.get(status) or FAMILIES.get(status // 100, "server_error")


@dataclass(slots=True)
class _Call:
    """One call under way: what it is named in errors, and what came of it so far."""

    operation: str
    said: str
    started: float
    doubt: Doubt
    outcome: str = "network"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True, repr=False, eq=False)
class ApiClient:
    """Calls one vendor. Safe to share between threads; `close` ends the kept-alive connections of
    all of them. `timeout`: seconds to connect, and between bytes; a whole answer may take twice the
    latter. `before_call(operation)` may block or raise ThrottledError; `after_call(operation,
    outcome, seconds, headers)` runs once for each call that was made, and returns the seconds to
    stay away when the vendor fails as a whole: a read that failed is then one that was told to
    wait."""

    system: str
    origins: OriginRule
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    auth: tuple[str, SecretStr] | None = None
    timeout: tuple[float, float] = (5.0, 30.0)
    max_bytes: int = 20 * 1024 * 1024
    before_call: Callable[[str], None] = lambda _: None
    after_call: Callable[[str, str, float, Mapping[str, str]], float | None] = lambda *_: None

    def __post_init__(self) -> None:
        """SettingsError for a credential that no header can hold: requests would raise with the
        value in its text."""
        # The connection pool below the adapter is made for threads.
        # https://urllib3.readthedocs.io/en/stable/advanced-usage.html
        self._name, self._adapter = SYSTEMS[self.system], HTTPAdapter(pool_maxsize=64)
        sent = {name: value.get_secret_value() for name, value in self.headers.items()}
        secrets = [*sent.values()]
        if self.auth:
            key, secret = self.auth[0], self.auth[1].get_secret_value()
            secrets += [key, secret, base64.b64encode(f"{key}:{secret}".encode()).decode()]
            sent["Authorization"] = f"Basic {secrets[-1]}"
        if not all(re.fullmatch(r"[!-~]+( [!-~]+)*", value) for value in sent.values()):
            raise errors.SettingsError(
                [
                    f"{self._name}: a key or token is empty or has a character that no header can hold; copy it again"
                ]
            )
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._sent = sent | {
            "Accept": "application/json",
            "User-Agent": f"purpledot-shipstation-bridge/{__version__}",
        }

    def get(self, operation: str, url: str) -> Answer:
        """Read `url`. Raises TemporaryError for everything that another try may mend, else
        PermanentError or one of its kinds."""
        return self._call(operation, "GET", url, None, errors.TemporaryError)

    def send(
        self, operation: str, method: str, url: str, json: object, *, safe_to_repeat: bool = False
    ) -> Answer:
        """Write `json` to `url`. Where it may have been done without our knowing, that is
        UnclearError, unless it is `safe_to_repeat`."""
        return self._call(
            operation,
            method,
            url,
            json,
            errors.TemporaryError if safe_to_repeat else errors.UnclearError,
        )

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

    def _call(self, operation: str, method: str, url: str, json: object, doubt: Doubt) -> Answer:
        """Sent once: no redirects, no retries. `doubt` is raised where it may have been done
        without our knowing."""
        self.check_origin(url)
        self.before_call(operation)
        call = _Call(operation, f"{self._name} {operation}", time.monotonic(), doubt)
        stay_away: float | None = None
        try:
            try:
                return self._exchange(call, method, url, json)
            finally:
                stay_away = self.after_call(
                    operation, call.outcome, time.monotonic() - call.started, call.headers
                )
        except errors.TemporaryError as exc:
            if stay_away is None:
                raise
            raise errors.ThrottledError(str(exc), retry_after=stay_away) from exc

    def _exchange(self, call: _Call, method: str, url: str, json: object) -> Answer:
        try:
            with self._adapter.send(
                self._request(method, url, json), stream=True, timeout=self.timeout
            ) as response:
                call.headers, call.outcome = response.headers, outcome_of(response.status_code)
                if call.outcome != "ok":
                    self._refuse(call, response)
                return Answer(
                    response.status_code, response.headers, self._body(response, call.started)
                )
        except _LOST as exc:
            call.outcome = "network"
            # urllib3 wraps the reason. Only its kind is told (a text may quote a header); without a
            # connection nothing can have been done.
            root = getattr(exc.args[0] if exc.args else None, "reason", None) or exc
            is_unsent = any(isinstance(fault, _UNSENT) for fault in (root, *root.args))
            raise (errors.TemporaryError if is_unsent else call.doubt)(
                f"{call.said}: no answer ({type(root).__name__})"
            ) from exc
        except _UNREADABLE as exc:
            call.outcome = "unreadable"
            raise call.doubt(
                f"{call.said}: answered, but not with JSON of at most {self.max_bytes} bytes"
            ) from exc

    def _request(self, method: str, url: str, json: object) -> requests.PreparedRequest:
        """Made by hand: a Session would read proxies and .netrc of the machine, keep the vendor's
        cookies, and follow redirects; and it takes twice the time. `check_origin` has seen that the
        URL is plain ASCII already."""
        request = requests.PreparedRequest()
        request.method, request.url, request.headers = method, url, CaseInsensitiveDict(self._sent)
        if json is not None:
            request.body = _json(json)
            request.headers.update(
                {"Content-Type": "application/json", "Content-Length": str(len(request.body))}
            )
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
        return (
            json.loads(raw, parse_constant=int) if raw.strip() else None
        )  # `int` refuses NaN and Infinity, which are not JSON

    def _refuse(self, call: _Call, response: requests.Response) -> NoReturn:
        """The status alone decides which error; a body that can't be read only leaves us without
        the vendor's words."""
        outcome, doubt, body = call.outcome, call.doubt, None
        said = text = f"{call.said}: answered {response.status_code}"
        if outcome == "redirect":
            # Purple Dot sends unknown paths to its login page, which would look like success. The
            # target may hold a token: not told.
            raise errors.CredentialsError(f"{said}, redirected: wrong path or token")
        with suppress(*_LOST, *_UNREADABLE):
            body = self._body(response, call.started)
            text = f"{said}: {self.words_in(body)}".removesuffix(": ")
        wait = retry_after_of(
            response.headers, now=datetime.now(UTC), throttled=outcome == "throttled"
        )
        if outcome == "throttled":
            raise errors.ThrottledError(text, retry_after=wait)
        if outcome == "server_error":
            raise (
                errors.TemporaryError(text, retry_after=wait)
                if doubt is errors.TemporaryError
                else doubt(text)
            )
        if outcome == "credentials":
            raise errors.CredentialsError(text)
        reason = Reason.REJECTED_BY_PURPLE_DOT if self.system == "purple_dot" else Reason.BAD_SHAPE
        raise (errors.NotFoundError if outcome == "not_found" else errors.PermanentError)(
            text, reason=reason, body=body
        )
