"""A test webhook through the public address, as ShipStation's come: whether it arrived here, how
long it took, and if it did not, who stands in the way. It is stored as ignored."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from bridge.store import reports, shared_state
from bridge.store.engine.database import Database
from bridge.vendors import http

_TIMEOUT = 10.0
_BODY = json.dumps({"resource_type": "BRIDGE_TEST"}).encode()
_WEBHOOKS = "/webhooks/shipstation"

Post = Callable[..., tuple[int, bytes]]
"""As `vendors.http.ask`."""

_NO_ANSWER = {
    "dns": (
        "the name {host} is not known",
        "correct the DNS record, or the address: `bridge webhooks ensure URL`",
    ),
    "tls": (
        "{host} shows a certificate that is not trusted",
        "renew the proxy's certificate, or correct the name it is made for; ShipStation refuses"
        " it, too",
    ),
    "refused": (
        "nothing listens at {host}",
        "start the reverse proxy, or open its port in the firewall",
    ),
    "timeout": (
        "{host} did not answer within 10 s",
        "see the firewall, and whether the reverse proxy reaches `bridge serve`; some networks"
        " can't reach their own public address, so try from outside, too",
    ),
    "proxy": (
        "this machine's own proxy (HTTPS_PROXY) does not lead to {host}",
        "name the host in NO_PROXY, or test from outside",
    ),
    "lost": (
        "{host} closed the connection without an answer",
        "see the reverse proxy's log; it may expect https where http comes, or the other way round",
    ),
}
"""By the cause of `http.NoAnswerError`: what it means, and what to do."""

_ELSEWHERE = "see which program answers there, and lead {path} to `bridge serve`"
_ANSWERED = {
    "ours": (
        "{host} refuses our webhook token",
        "see whether the proxy drops X-Bridge-Token, or another bridge answers there",
    ),
    401: (
        "{host} asks for a sign-in before our receiver",
        "let {path} through without a sign-in: ShipStation has none",
    ),
    403: (
        "{host} forbids it before our receiver",
        "see the firewall's or the proxy's rules: {path} must be open to POST",
    ),
    404: (
        "{host} answers, but knows no {path}",
        "pass {path} on to `bridge serve`; if it is passed on, see whether its path is cut",
    ),
    405: ("{host} takes no POST at {path}", _ELSEWHERE),
    413: ("{host} takes no body of this size", "raise the proxy's limit to BRIDGE_MAX_BODY_BYTES"),
    "redirect": (
        "{host} redirects, and a webhook that is redirected is lost",
        "subscribe the address that it leads to (https, with or without www): `bridge webhooks"
        " ensure URL`",
    ),
    "gateway": (
        "{host} answers, but does not reach our receiver",
        "start `bridge serve` or `bridge run`, and see to which port the proxy passes on",
    ),
    "busy": ("our receiver can't take it now", "see `bridge doctor` and the receiver's log"),
    "other": ("{host} answers, but it is not our receiver", _ELSEWHERE),
}
"""By the status, or what it amounts to."""


@dataclass(frozen=True, slots=True)
class PublicTest:
    """`answer` is what came back, `seconds` how long it took; `event_id` is the stored webhook
    where it arrived. Without an `address`, none is known."""

    found: str
    to_do: str | None = None
    address: str = ""
    answer: str = ""
    seconds: float = 0.0
    event_id: str = ""

    @property
    def is_ok(self) -> bool:
        return bool(self.event_id)

    @property
    def is_unknown(self) -> bool:
        return not self.address


def send_test(database: Database, token: str, *, post: Post = http.ask) -> PublicTest:
    """Send one to the address that the webhooks are subscribed to. Raises StorageError."""
    address = address_of(database)
    if address is None:
        to_do = "bridge webhooks ensure https://YOUR-ADDRESS"
        return PublicTest("not known: no subscription was made yet", to_do)
    headers = {"X-Bridge-Token": token, "Content-Type": "application/json"}
    started = time.monotonic()
    try:
        status, body = post(
            "POST", f"{address}{_WEBHOOKS}", body=_BODY, headers=headers, timeout=_TIMEOUT
        )
    except http.NoAnswerError as exc:
        seconds = time.monotonic() - started
        return _outcome(_NO_ANSWER[exc.cause], address, str(exc), seconds)
    seconds = time.monotonic() - started
    answer = f"{status} {_phrase(status)}".strip()
    content = _json(body)
    if status == HTTPStatus.ACCEPTED and "event_id" in content:
        return _arrived(database, str(content["event_id"]), address, answer, seconds)
    return _outcome(_ANSWERED[meaning_of(status, content)], address, answer, seconds)


def address_of(database: Database) -> str | None:
    """The public address, from where `bridge webhooks ensure` was told that webhooks come in."""
    with database.read() as connection:
        subscribed = shared_state.get(connection, shared_state.SUBSCRIBED)
    url = str(subscribed[0].get("url") or "") if subscribed else ""
    return url.partition(_WEBHOOKS)[0] or None


def meaning_of(status: int, content: Mapping[str, object]) -> int | str:
    """The row of the table for an answer. Pure: our own answers name an `error`."""
    is_ours = "error" in content
    if status == HTTPStatus.UNAUTHORIZED and is_ours:
        return "ours"
    if status == HTTPStatus.SERVICE_UNAVAILABLE and is_ours:
        return "busy"
    if status in _ANSWERED:
        return status
    families = {3: "redirect", 5: "gateway"}
    return families.get(status // 100, "other")


def _arrived(
    database: Database, event_id: str, address: str, answer: str, seconds: float
) -> PublicTest:
    with database.read() as connection:
        is_here = reports.event_story(connection, event_id) is not None
    if not is_here:
        return PublicTest(
            f"{address} stores webhooks in another database",
            "see whose bridge it is; each needs an address of its own",
            address,
            answer,
            seconds,
        )
    sentence = f"a test webhook came through {address} in {seconds:.1f} s"
    return PublicTest(sentence, None, address, answer, seconds, event_id)


def _outcome(row: tuple[str, str], address: str, answer: str, seconds: float) -> PublicTest:
    sentence, to_do = row
    return PublicTest(
        sentence.format(host=address, path=_WEBHOOKS),
        to_do.format(path=_WEBHOOKS),
        address,
        answer,
        seconds,
    )


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _json(body: bytes) -> Mapping[str, object]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
