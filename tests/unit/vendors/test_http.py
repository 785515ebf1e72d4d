"""The client both vendors share: what goes out, what comes back, and the verdict of each thing that
can go wrong."""

import datetime as dt
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from ipaddress import ip_address
from pathlib import Path
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import responses
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from urllib3.exceptions import MaxRetryError, NameResolutionError

from bridge.domain.errors import (
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
from bridge.domain.reasons import Reason
from bridge.vendors.http import (
    A_DAY,
    LONGEST_WAIT,
    SHORTEST_WAIT,
    ApiClient,
    NoAnswerError,
    ask,
    origin_of,
    outcome_of,
    proxy_for,
    retry_after_of,
)
from bridge.vendors.wording import vendor_words

BASE = "https://vendor.example"
URL = f"{BASE}/things"
SECRET = "s3cr3t-k3y-0123456789"
NOW = dt.datetime(2026, 10, 14, 16, 0, tzinfo=dt.UTC)

Make = Callable[..., ApiClient]


@pytest.fixture
def make() -> Iterator[Make]:
    """Clients that may call any origin, closed when the test is over."""
    made: list[ApiClient] = []

    def build(**settings: Any) -> ApiClient:
        made.append(
            ApiClient(
                **(
                    {
                        "system": "purple_dot",
                        "origins": lambda _: True,
                        "headers": {"X-Token": SecretStr(SECRET)},
                    }
                    | settings
                )
            )
        )
        return made[-1]

    yield build
    for api in made:
        api.close()


class RawServer:
    """Answers each connection with the bytes it was given, then closes or keeps still: faults that
    no HTTP library would produce."""

    def __init__(
        self, *parts: bytes, end: str = "close", context: ssl.SSLContext | None = None
    ) -> None:
        self._parts, self._end, self._context = parts, end, context
        self.over = threading.Event()
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        with suppress(OSError), closing(socket.create_connection(self._listener.getsockname())):
            pass
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self.over.is_set():
            connection, _ = self._listener.accept()
            with connection:
                if not self.over.is_set():
                    with suppress(OSError):
                        self._answer(connection)

    def _answer(self, plain: socket.socket) -> None:
        connection = self._context.wrap_socket(plain, server_side=True) if self._context else plain
        with connection:
            self.requests.append(connection.recv(65_536))
            for part in self._parts:
                connection.sendall(part)
                if self._end == "drip":
                    self.over.wait(0.05)
            if self._end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif self._end == "silence":
                self.over.wait(30)


class ConnectProxy(RawServer):
    """A proxy of HTTP's CONNECT that reaches one server, whatever name is asked for; it keeps what
    it could read."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__()
        self._target = target

    def _answer(self, plain: socket.socket) -> None:
        self.requests.append(plain.recv(65_536))
        with socket.create_connection(self._target) as onward:
            plain.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pass, args=(onward, plain))
            back.start()
            self._pass(plain, onward)
            back.join()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.requests.append(data)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def ok_answer(body: bytes, *headers: str) -> bytes:
    return (
        "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]).encode()
        + body
    )


# What goes out


@responses.activate
def test_credentials_and_json_go_out_and_parsed_json_comes_back(make: Make) -> None:
    responses.post(URL, json={"done": True}, status=201, headers={"X-Seen": "yes"})

    answer = make().send("create", "POST", URL, {"a": 1})

    sent = responses.calls[0].request
    assert (answer.status, answer.body, answer.headers["x-seen"]) == (201, {"done": True}, "yes")
    assert (sent.headers["X-Token"], json.loads(sent.body)) == (SECRET, {"a": 1})


@responses.activate
def test_a_key_and_its_secret_go_out_as_basic_authorization(make: Make) -> None:
    responses.get(URL, json={})

    make(headers={}, auth=("key", SecretStr("geheim-ß"))).get("read", URL)

    assert responses.calls[0].request.headers["Authorization"] == "Basic a2V5OmdlaGVpbS3Dnw=="


@responses.activate
def test_a_foreign_origin_is_refused_before_the_budget_is_asked_or_anything_sent(
    make: Make,
) -> None:
    asked: list[str] = []
    api = make(origins=lambda origin: origin == BASE, before_call=asked.append)

    with pytest.raises(ForeignUrlError):
        api.get("read", "https://vendor.example.evil.example/things")

    assert (asked, len(responses.calls)) == ([], 0)


@responses.activate
def test_a_spent_budget_stops_the_call_before_it_is_made(make: Make) -> None:
    def refuse(operation: str) -> None:
        raise ThrottledError(f"no budget for {operation}", retry_after=3)

    told: list[str] = []
    with pytest.raises(ThrottledError, match="no budget for read"):
        make(before_call=refuse, after_call=lambda *args: told.append(args[1])).get("read", URL)

    assert (told, len(responses.calls)) == ([], 0)


def test_netrc_of_the_machine_is_not_used_nor_a_proxy_for_this_machine(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with RawServer(ok_answer(b"{}")) as server:
        make().get("read", server.url)

    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxy"),
    [
        ("https://api.shipstation.com/v2/labels", "", "http://proxy.example:3128"),
        ("https://api.shipstation.com/v2/labels", "other.example", "http://proxy.example:3128"),
        ("https://api.shipstation.com/v2/labels", "shipstation.com", None),
        ("https://api.shipstation.com/v2/labels", "*", None),
        ("https://127.0.0.1:8443/v2/labels", "", None),
        ("https://localhost/v2/labels", "", None),
        ("http://127.0.0.1:8123/v2/labels", "", None),
    ],
)
def test_proxy_of_the_environment_is_used_but_for_what_no_proxy_excepts_and_this_machine(
    monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str, proxy: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)

    assert proxy_for(url) == proxy


def test_call_goes_through_the_proxy_and_a_proxy_that_refuses_has_done_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/x"))
        error = caught(lambda: make().send("create", "POST", "https://vendor.example/x", {}))

    assert type(error) is TemporaryError
    assert proxy.requests[0].startswith(b"CONNECT vendor.example:443 ")
    assert SECRET.encode() not in proxy.requests[0]


def test_proxy_that_is_not_there_has_done_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@127.0.0.1:9")

    error = caught(lambda: make().send("create", "POST", "https://vendor.example/x", {}))

    assert type(error) is TemporaryError
    assert "word" not in str(error)


def test_proxy_carries_a_call_that_it_can_not_read_under_a_company_certificate(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = self_signed(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "self-signed.pem"))
    monkeypatch.setenv("NO_PROXY", "")
    with (
        RawServer(ok_answer(b'{"found": 1}'), context=context) as vendor,
        ConnectProxy(("127.0.0.1", urlsplit(vendor.url).port or 0)) as proxy,
    ):
        address = proxy.url.removesuffix("/x").removeprefix("http://")
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:word@{address}")
        with closing(make()) as api:
            answer = api.get("read", "https://vendor.example/x")

    seen = b"".join(proxy.requests)
    assert answer.body == {"found": 1}
    assert SECRET.encode() in vendor.requests[0]
    assert seen.startswith(b"CONNECT vendor.example:443 ")
    assert b"Proxy-Authorization: Basic " in seen
    assert SECRET.encode() not in seen


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_of_the_environment_are_trusted(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    context = self_signed(tmp_path)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(name, str(tmp_path / "self-signed.pem"))
    with RawServer(ok_answer(b"{}"), context=context) as server:
        assert make().get("read", server.url).body == {}


def test_certificates_that_are_not_there_are_named_at_the_start(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")

    with pytest.raises(SettingsError, match=r"REQUESTS_CA_BUNDLE: there is no /nowhere/ca\.pem"):
        make()


def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(
    make: Make, tmp_path: Path
) -> None:
    with (
        RawServer(ok_answer(b"{}"), context=self_signed(tmp_path)) as server,
        pytest.raises(TemporaryError),
    ):
        make().send("create", "POST", server.url, {})

    assert server.requests == []


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        NOW - dt.timedelta(days=1),
        NOW.replace(year=2099),
    ).add_extension(
        x509.SubjectAlternativeName(
            [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("vendor.example")]
        ),
        critical=False,
    )
    path = folder / "self-signed.pem"
    path.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize("value", ["", "two\nlines", "\N{BULLET}dots", " space before"])
def test_a_credential_no_header_can_hold_is_refused_at_once_and_not_shown(
    make: Make, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        make(headers={"X-Token": SecretStr(value)})

    assert value == "" or value not in str(caught.value)


# What comes back: one row for each status

VERDICTS = [
    # status, error of a read, error of a write, outcome
    (301, CredentialsError, UnclearError, "redirect"),
    (302, CredentialsError, UnclearError, "redirect"),
    (303, CredentialsError, UnclearError, "redirect"),
    (400, PermanentError, PermanentError, "rejected"),
    (401, CredentialsError, CredentialsError, "credentials"),
    (403, CredentialsError, CredentialsError, "credentials"),
    (404, NotFoundError, NotFoundError, "not_found"),
    (408, TemporaryError, UnclearError, "server_error"),
    (409, PermanentError, PermanentError, "rejected"),
    (422, PermanentError, PermanentError, "rejected"),
    (429, ThrottledError, ThrottledError, "throttled"),
    (500, TemporaryError, UnclearError, "server_error"),
    (502, TemporaryError, UnclearError, "server_error"),
    (503, TemporaryError, UnclearError, "server_error"),
    (504, TemporaryError, UnclearError, "server_error"),
]


@pytest.mark.parametrize(("status", "read_error", "write_error", "outcome"), VERDICTS)
@responses.activate
def test_each_status_has_one_verdict(
    make: Make,
    status: int,
    read_error: type[BridgeError],
    write_error: type[BridgeError],
    outcome: str,
) -> None:
    responses.add(responses.GET, URL, status=status)
    responses.add(responses.POST, URL, status=status)
    told: list[tuple[str, str]] = []
    api = make(after_call=lambda operation, word, *_: told.append((operation, word)))

    errors = [
        caught(lambda: api.get("read", URL)),
        caught(lambda: api.send("create", "POST", URL, {})),
    ]

    assert [type(error) for error in errors] == [read_error, write_error]
    # Of a write that was redirected nobody knows whether it was done.
    write_outcome = "unclear" if outcome == "redirect" else outcome
    assert told == [("read", outcome), ("create", write_outcome)]


def caught(call: Callable[[], object]) -> BridgeError:
    with pytest.raises(BridgeError) as info:
        call()
    return info.value


@pytest.mark.parametrize("status", [408, 500, 503])
@responses.activate
def test_a_write_that_may_be_repeated_is_never_unclear(make: Make, status: int) -> None:
    responses.put(URL, status=status)

    error = caught(lambda: make().send("update", "PUT", URL, {}, safe_to_repeat=True))

    assert type(error) is TemporaryError


@responses.activate
def test_a_redirect_is_not_followed_and_its_target_not_told(make: Make) -> None:
    responses.get(URL, status=302, headers={"Location": f"{BASE}/login?token=abc"})

    error = caught(lambda: make().get("read", URL))

    assert len(responses.calls) == 1
    assert "redirected: wrong path or token" in str(error)
    assert "abc" not in str(error)
    assert "login" not in str(error)


@responses.activate
def test_an_empty_success_has_no_body(make: Make) -> None:
    responses.put(URL, status=204)

    assert make().send("update", "PUT", URL, {}).body is None


@pytest.mark.parametrize(
    "body", ["<html>Sign in</html>", '{"a": ', '{"a": NaN}', "[" * 100_000, b"\xff\xfe\xfd"]
)
@responses.activate
def test_a_success_that_is_no_json_is_unreadable(make: Make, body: str | bytes) -> None:
    responses.add(responses.GET, URL, body=body)
    responses.add(responses.POST, URL, body=body)
    told: list[str] = []
    api = make(after_call=lambda *args: told.append(args[1]))

    errors = [
        caught(lambda: api.get("read", URL)),
        caught(lambda: api.send("create", "POST", URL, {})),
    ]

    assert [type(error) for error in errors] == [TemporaryError, UnclearError]
    assert told == ["unreadable", "unreadable"]


@pytest.mark.parametrize(
    ("system", "reason"),
    [("purple_dot", Reason.REJECTED_BY_PURPLE_DOT), ("shipstation", Reason.BAD_SHAPE)],
)
@responses.activate
def test_only_purple_dot_can_be_the_one_that_rejected(
    make: Make, system: str, reason: Reason
) -> None:
    responses.get(URL, status=400)

    error = caught(lambda: make(system=system).get("read", URL))

    assert isinstance(error, PermanentError)
    assert error.reason is reason


@responses.activate
def test_the_vendors_words_are_told(make: Make) -> None:
    told = {
        "request_id": "0d9c-1",
        "errors": [
            {
                "error_code": "invalid_field_value",
                "message": "Invalid fulfillment_id.",
                "field_value": "Ada",
            }
        ],
    }
    responses.get(URL, status=400, json=told)

    error = caught(lambda: make(system="shipstation").get("fulfillments", URL))

    assert str(error) == (
        "ShipStation V2 fulfillments: answered 400: 0d9c-1; invalid_field_value; Invalid "
        "fulfillment_id."
    )


@responses.activate
def test_a_refusal_with_an_unreadable_body_is_still_that_refusal(make: Make) -> None:
    responses.post(URL, status=400, body="<h1>Bad Request</h1>")

    assert (
        str(caught(lambda: make().send("create", "POST", URL, {})))
        == "Purple Dot create: answered 400"
    )


@responses.activate
def test_a_credential_that_the_vendor_repeats_is_taken_out(make: Make) -> None:
    responses.get(URL, status=401, json={"message": f"token {SECRET} is unknown"})

    assert str(caught(lambda: make().get("read", URL))).endswith("token … is unknown")


@responses.activate
def test_a_credential_is_taken_out_before_the_words_are_cut_to_length(make: Make) -> None:
    responses.get(URL, status=401, json={"message": "x" * 495 + SECRET})

    assert SECRET[:3] not in str(caught(lambda: make().get("read", URL)))


@responses.activate
def test_no_part_of_basic_authorization_comes_out_in_a_message(make: Make) -> None:
    api = make(headers={}, auth=("public-part", SecretStr(SECRET)))
    responses.get(
        URL,
        status=403,
        json={"message": f"public-part:{SECRET} cHVibGljLXBhcnQ6czNjcjN0LWszeS0wMTIzNDU2Nzg5"},
    )

    message = str(caught(lambda: api.get("read", URL)))

    assert message.endswith("answered 403: …:…")


# Waiting as long as the vendor asks


@pytest.mark.parametrize(
    ("headers", "reads_reset", "seconds"),
    [
        ({"Retry-After": "30"}, True, 30.0),
        ({"Retry-After": "1.5"}, True, 1.5),
        ({"Retry-After": "Wed, 14 Oct 2026 16:02:00 GMT"}, True, 120.0),
        ({"Retry-After": "Wed, 14 Oct 2026 15:00:00 GMT"}, True, 0.0),
        ({"Retry-After": "999999999999"}, True, A_DAY),
        ({"Retry-After": "soon"}, True, None),
        ({"Retry-After": "-5"}, True, None),
        ({"Retry-After": "nan"}, True, None),
        ({"X-Rate-Limit-Reset": "17"}, True, 17.0),
        ({"X-Rate-Limit-Reset": "17"}, False, None),
        ({"Retry-After": "3", "X-Rate-Limit-Reset": "17"}, True, 3.0),
        ({}, True, None),
    ],
)
def test_the_wish_to_wait_is_read_in_all_its_forms(
    headers: dict[str, str], reads_reset: bool, seconds: float | None
) -> None:
    assert retry_after_of(headers, now=NOW, reads_reset=reads_reset) == seconds


@given(st.text(max_size=60))
def test_whatever_retry_after_says_it_is_a_day_at_most(text: str) -> None:
    seconds = retry_after_of({"Retry-After": text}, now=NOW)

    assert seconds is None or 0 <= seconds <= A_DAY


@pytest.mark.parametrize("status", [429, 503])
@responses.activate
def test_the_wish_to_wait_reaches_the_error(make: Make, status: int) -> None:
    responses.get(URL, status=status, headers={"Retry-After": "12"})

    error = caught(lambda: make().get("read", URL))

    assert isinstance(error, TemporaryError)
    assert error.retry_after == 12.0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ("0", SHORTEST_WAIT),
        ("Wed, 14 Oct 2020 15:00:00 GMT", SHORTEST_WAIT),
        ("315360000", LONGEST_WAIT),
    ],
)
@responses.activate
def test_no_wish_is_kept_to_for_less_than_a_second_or_more_than_some_minutes(
    make: Make, status: int, wish: str, kept: float
) -> None:
    responses.get(URL, status=status, headers={"Retry-After": wish})

    error = caught(lambda: make().get("read", URL))

    assert isinstance(error, TemporaryError)
    assert error.retry_after == kept


@responses.activate
def test_reset_header_counts_for_v1_alone(make: Make) -> None:
    responses.get(URL, status=429, headers={"X-Rate-Limit-Reset": "17"})

    waits = []
    for system in ("shipstation_v1", "shipstation", "purple_dot"):
        with pytest.raises(ThrottledError) as told:
            make(system=system).get("read", URL)
        waits.append(told.value.retry_after)

    assert waits == [17.0, None, None]


@responses.activate
def test_a_write_is_announced_and_its_answer_judged_clear_or_not(make: Make) -> None:
    seen: list[object] = []
    api = make(
        before_write=seen.append,
        after_write=lambda operation, *, is_clear: seen.append((operation, is_clear)),
    )
    responses.post(URL, json={})
    responses.post(URL, status=500)
    responses.post(URL, status=400)
    responses.put(URL, status=500)

    for _ in range(3):
        with suppress(BridgeError):
            api.send("create", "POST", URL, {})
    with suppress(BridgeError):
        api.send("update", "PUT", URL, {}, safe_to_repeat=True)

    assert seen == [
        "create",
        ("create", True),
        "create",
        ("create", False),
        "create",
        ("create", True),
    ]


# Faults of the network


def both_verdicts(api: ApiClient, url: str) -> list[type[BridgeError]]:
    return [
        type(caught(lambda: api.get("read", url))),
        type(caught(lambda: api.send("create", "POST", url, {}))),
    ]


LOST = [TemporaryError, UnclearError]
NOT_SENT = [TemporaryError, TemporaryError]

BROKEN_ANSWERS = {
    "closed without a word": (b"", "close"),
    "reset without a word": (b"", "reset"),
    "half a status line": (b"HTTP/1.1 20", "close"),
    "not HTTP": (b"SSH-2.0-OpenSSH\r\n", "close"),
    "half of the promised length": (
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a": 1}',
        "close",
    ),
    "reset in the middle": (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":', "reset"),
    "a chunk too few": (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"a": 1}\r\n',
        "close",
    ),
    "chunks of no length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        "close",
    ),
    "not the promised compression": (ok_answer(b"{}", "Content-Encoding: gzip"), "close"),
    "silence": (b"", "silence"),
    "silence in the middle": (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":', "silence"),
    "an open end": (b'HTTP/1.1 200 OK\r\n\r\n{"a": ', "close"),
}


@pytest.mark.parametrize("fault", BROKEN_ANSWERS)
def test_an_answer_that_breaks_off_leaves_a_write_unclear(make: Make, fault: str) -> None:
    answer, end = BROKEN_ANSWERS[fault]
    with RawServer(answer, end=end) as server:
        verdicts = both_verdicts(make(timeout=(1.0, 0.2)), server.url)

    assert verdicts == LOST


def test_an_answer_that_drips_is_cut_off_after_twice_the_timeout(make: Make) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with RawServer(head, *[b" "] * 1000, end="drip") as server:
        verdicts = both_verdicts(make(timeout=(1.0, 0.2)), server.url)

    assert verdicts == LOST


def test_nobody_listening_means_that_nothing_was_sent(make: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"

    assert both_verdicts(make(), url) == NOT_SENT


@pytest.mark.parametrize(
    "fault",
    [
        requests.ConnectTimeout("too slow"),
        requests.ConnectionError(
            MaxRetryError(
                None, "/", NameResolutionError("vendor.example", None, socket.gaierror("unknown"))
            )
        ),  # type: ignore[arg-type]
    ],
    ids=["connect timeout", "unknown host"],
)
@responses.activate
def test_no_connection_means_that_nothing_was_sent(make: Make, fault: Exception) -> None:
    responses.add(responses.GET, URL, body=fault)
    responses.add(responses.POST, URL, body=fault)

    assert both_verdicts(make(), URL) == NOT_SENT


@responses.activate
def test_what_a_library_says_about_a_fault_is_not_repeated(make: Make) -> None:
    responses.get(URL, body=requests.exceptions.InvalidHeader(f"bad header {SECRET}"))

    error = caught(lambda: make().get("read", URL))

    assert str(error) == "Purple Dot read: no answer (InvalidHeader)"


def test_a_fault_is_counted_as_network_once(make: Make) -> None:
    told: list[tuple[str, bool]] = []
    with RawServer(b"", end="reset") as server:
        caught(
            lambda: make(
                after_call=lambda _, word, seconds, __: told.append((word, seconds >= 0))
            ).get("read", server.url)
        )

    assert told == [("network", True)]


# Size


def test_a_compressed_answer_is_read(make: Make) -> None:
    packed = gzip.compress(json.dumps({"rows": ["x" * 50] * 5000}).encode())
    with RawServer(ok_answer(packed, "Content-Encoding: gzip")) as server:
        body = make().get("read", server.url).body

    assert len(body["rows"]) == 5000


def test_a_chunked_answer_is_read(make: Make) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with RawServer(head, b'4\r\n{"a"\r\n', b"4\r\n: 1}\r\n", b"0\r\n\r\n") as server:
        assert make().get("read", server.url).body == {"a": 1}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
def test_an_answer_over_the_limit_is_unreadable_however_it_was_packed(
    make: Make, packed: bool
) -> None:
    body = b'"' + b"a" * 500_000 + b'"'
    answer = ok_answer(gzip.compress(body), "Content-Encoding: gzip") if packed else ok_answer(body)
    with RawServer(answer) as server:
        verdicts = both_verdicts(make(max_bytes=100_000), server.url)

    assert verdicts == LOST


def test_error_of_an_answer_over_the_limit_does_not_keep_what_was_read(make: Make) -> None:
    """Errors live on, in the cycles of their tracebacks, until the collector finds them: of 20 MiB
    each, a worker grew by half a GiB."""
    with (
        RawServer(ok_answer(b'"' + b"a" * 500_000 + b'"')) as server,
        pytest.raises(TemporaryError) as told,
    ):
        make(max_bytes=200_000).get("read", server.url)

    cause = told.value.__cause__
    assert isinstance(cause, ValueError), "an error must not be its own cause"
    frames = [frame for frame, _line in walk_tb(cause.__traceback__)]
    kept = [
        value
        for frame in frames
        for value in frame.f_locals.values()
        if isinstance(value, bytes | bytearray)
    ]
    assert sum(map(len, kept)) <= 65_536, "more than the last piece"


# Pure parts


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.Vendor.example/a?b=c", "https://api.vendor.example"),
        ("https://vendor.example", "https://vendor.example"),
        ("https://vendor.example:443/a", "https://vendor.example"),
        ("http://127.0.0.1:8123/a", "http://127.0.0.1:8123"),
        ("http://[::1]:80/a", "http://[::1]"),
        ("https://vendor.example?x", "https://vendor.example"),
    ],
)
def test_an_origin_is_scheme_host_and_unusual_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://user@vendor.example/",
        "https://vendor.example\\@evil.example/",
        "https://vendor.example/\\evil",
        "https://vendor.example /",
        "https://vendor.example/a b",
        "https://vendor.example/\n",
        "https:///nowhere",
        "https://vendor.example:port/",
        "https://vendør.example/",
        "ftp://vendor.example/",
        "//vendor.example/",
        "vendor.example",
        "",
    ],
)
def test_what_two_parsers_could_read_differently_has_no_origin(url: str) -> None:
    with pytest.raises(ForeignUrlError):
        origin_of(url)


@given(st.text() | st.builds("https://{}".format, st.text()))
def test_any_text_has_an_origin_or_is_foreign(url: str) -> None:
    try:
        origin = origin_of(url)
    except ForeignUrlError:
        return
    assert url.lower().startswith(origin)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["message", "errors", "data", "code"]) | st.text(max_size=5), inner
        )
    ),
    max_leaves=20,
)


@given(Json)
def test_words_of_any_body_are_one_short_printable_line(body: object) -> None:
    words = vendor_words(body)

    assert len(words) <= 500
    assert words == "" or words.isprintable()


def test_errors_that_are_bare_texts_are_words_too() -> None:
    assert (
        vendor_words({"errors": ["no such line", "no such order"]}) == "no such line; no such order"
    )


@given(st.integers(min_value=100, max_value=999))
def test_every_status_has_an_outcome(status: int) -> None:
    assert outcome_of(status) in {
        "ok",
        "redirect",
        "credentials",
        "not_found",
        "throttled",
        "rejected",
        "server_error",
    }


# An address that the operator names


def test_address_without_an_answer_says_why_and_not_where() -> None:
    # A port that is taken and not listened at refuses, and nobody else gets it meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/s3cret"
        with pytest.raises(NoAnswerError) as refused:
            ask("POST", url, body=b"{}", timeout=5)

    assert refused.value.cause == "refused"
    assert str(refused.value) == "no answer (ConnectionError)"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (requests.ConnectionError(NameResolutionError("x", None, OSError())), "dns"),  # type: ignore[arg-type]  # no connection is made
        (requests.exceptions.SSLError("certificate verify failed"), "tls"),
        (requests.exceptions.ProxyError("no tunnel"), "proxy"),
        (requests.ReadTimeout("slow"), "timeout"),
        (requests.ConnectTimeout("slow"), "timeout"),
        (requests.ConnectionError("closed"), "lost"),
        (ValueError("no host"), "lost"),
    ],
)
def test_cause_is_read_from_what_the_libraries_wrapped(
    monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(requests, "request", fail)

    with pytest.raises(NoAnswerError) as no_answer:
        ask("GET", "https://hooks.example.com", timeout=5)

    assert no_answer.value.cause == cause
