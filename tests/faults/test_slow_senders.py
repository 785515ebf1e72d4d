"""A real gunicorn among strangers: who sends slowly, who sends wrong tokens without end, and what a
proxy's headers do."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bridge.simulator import Simulator
from bridge.web.throttle import TRIES_PER_MINUTE
from tests.support.stack import TOKEN, WEBHOOKS, Json, Stack
from tests.support.waiting import wait_until

CONSOLE = {"BRIDGE_CONSOLE_PASSWORD": "the-operators-password"}
THREADS = 8
"""Of one process of the receiver."""

HEADERS_FOR_EVER = f"POST {WEBHOOKS}/a-guess HTTP/1.1\r\nHost: x\r\nX-More: "
BODY_FOR_EVER = (
    f"POST {WEBHOOKS}/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Type: "
    "application/json\r\nContent-Length: 2000\r\n\r\n"
)
UNREAD_BODY_FOR_EVER = BODY_FOR_EVER.replace(TOKEN, "a-guess")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One process of the receiver."""
    folder = tmp_path_factory.mktemp("door")
    with (
        Simulator() as simulator,
        Stack(simulator, f"sqlite:///{folder / 'bridge.db'}", folder, CONSOLE) as stack,
    ):
        stack.start_receiver(workers=1)
        yield stack


def webhook(stack: Stack, number: int) -> Json:
    return {
        "resource_url": f"{stack.simulator.url}/shipments?batchId={number}",
        "resource_type": "SHIP_NOTIFY",
    }


class Drip:
    """A connection on which `beginning` goes out, and then a byte now and then until the other side
    has enough."""

    def __init__(self, port: int, beginning: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(beginning.encode())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while not self._stop.wait(0.2):
                self._socket.sendall(b"x")

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


@pytest.mark.parametrize(
    "beginning",
    [HEADERS_FOR_EVER, BODY_FOR_EVER, UNREAD_BODY_FOR_EVER],
    ids=["headers", "body", "unread body"],
)
def test_as_many_slow_senders_as_there_are_threads_do_not_shut_the_others_out(
    door: Stack, beginning: str
) -> None:
    drips = [Drip(door.port, beginning) for _ in range(THREADS + 2)]

    try:
        answers = [door.send(webhook(door, number)) for number in (id(drips), id(drips) + 1)]
        wait_until(
            lambda: all(drip.is_over for drip in drips), 20, "the slow senders to be sent away"
        )
    finally:
        for drip in drips:
            drip.close()

    assert [answer.status for answer in answers] == [202, 202]
    assert not door.processes[0].logged("request_failed_unforeseen")


def test_wrong_tokens_without_end_are_sent_away_unheard_and_a_right_one_from_there_is_taken(
    door: Stack,
) -> None:
    rejections, logged, events = (
        door.metric("bridge_rejections_total"),
        len(door.processes[0].logged("request_refused")),
        len(door.events()),
    )

    guesses = [
        door.post(b"{}", token=f"guess-number-{number}") for number in range(TRIES_PER_MINUTE * 2)
    ]
    right = door.send(webhook(door, 1))

    heard, refused = (
        [answer for answer in guesses if answer.status == status] for status in (401, 429)
    )
    assert len(heard) + len(refused) == len(guesses)
    assert (set(refused[0].json), refused[0].json["error"]) == (
        {"error", "message"},
        "too_many_requests",
    )
    assert int(refused[0].headers["Retry-After"]) == 1
    assert right.status == 202
    assert door.metric("bridge_rejections_total") - rejections == len(guesses)
    assert len(door.processes[0].logged("request_refused")) - logged == len(heard)
    assert len(door.events()) - events == 1


def test_address_that_a_sender_claims_for_itself_counts_for_nothing(door: Stack) -> None:
    claims = [
        {"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"203.0.113.{number}"}
        for number in range(TRIES_PER_MINUTE * 2)
    ]

    assert 429 in [door.post(b"{}", claim, token="a-guess").status for claim in claims]


def test_cookie_of_the_console_is_for_https_alone_behind_a_proxy_on_this_machine_that_speaks_it(
    door: Stack,
) -> None:
    behind_tls, plain = (
        door.ask("GET", "/console/sign-in", headers=sent).headers["Set-Cookie"]
        for sent in ({"X-Forwarded-Proto": "https"}, {})
    )

    assert ("; Secure" in behind_tls, "; Secure" in plain) == (True, False)


def test_name_that_a_sender_gives_our_host_leads_nobody_there(door: Stack) -> None:
    answer = door.ask(
        "GET", "/console/", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    )

    assert (answer.status, answer.headers["Location"]) == (303, "/console/sign-in?next=/console/")
    assert b"evil.example" not in answer.raw


def spoken(stack: Stack, raw: bytes) -> tuple[int, bytes]:
    """The status and the whole answer to these bytes, after which the sender says no more."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.sendall(raw)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split()[1]), answer


def request(path: str, *headers: str, body: str = "") -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", body)
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "header",
    [
        "SCRIPT_NAME: /webhooks/shipstation",
        "script_name: /webhooks/shipstation",
        "SCRIPT-NAME: /webhooks/shipstation",
        "PATH_INFO: /readyz",
        "Path-Info: /readyz",
        "X-Forwarded-Prefix: /webhooks/shipstation",
        "X-Script-Name: /webhooks/shipstation",
        "X-Original-URL: /readyz",
        "X-Rewrite-URL: /readyz",
    ],
)
@pytest.mark.parametrize("page", ["readyz", "metrics", "console/sign-in"])
def test_no_header_moves_a_path(door: Stack, header: str, page: str) -> None:
    name, _, value = header.partition(": ")
    path = f"{WEBHOOKS}/{page}"

    moved = door.ask("GET", path, headers={name: value})

    # 429 where the other cases have asked for so many paths that aren't there.
    assert moved.status in (404, 405, 429)
    assert set(moved.json) == {"error", "message"}


def test_body_that_is_cut_off_is_asked_for_again_and_nothing_is_stored(door: Stack) -> None:
    stored = len(door.events())
    started = request(f"{WEBHOOKS}/{TOKEN}", "Content-Length: 2000", body='{"resource_type": ')
    in_chunks = request(
        f"{WEBHOOKS}/{TOKEN}", "Transfer-Encoding: chunked", body='12\r\n{"resource_type": \r\n'
    )

    answers = [spoken(door, started), spoken(door, in_chunks)]

    assert [status for status, _ in answers] == [408, 408]
    assert len(door.events()) == stored


@pytest.mark.parametrize("path", [f"{WEBHOOKS}/{TOKEN}", "/console/sign-in"])
def test_bad_chunk_is_400_without_a_trace_in_the_log(door: Stack, path: str) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    raw = request(path, form, "Transfer-Encoding: chunked", body="xyz\r\n{}\r\n0\r\n\r\n")
    logged = len(door.processes[0].output())

    status, _answer = spoken(door, raw)

    assert status == 400
    assert "Traceback" not in door.processes[0].output()[logged:]


def test_token_stands_in_no_log_whatever_is_wrong_with_the_request(door: Stack) -> None:
    for raw in (
        f"POST {WEBHOOKS}/{TOKEN} HTTP/9.9\r\n\r\n",
        f"POST  //webhooks//shipstation/{TOKEN}\r\n\r\n",
        f"POST {WEBHOOKS} HTTP/1.1\r\nHost: x\r\nX-Bridge-Token {TOKEN}\r\n\r\n",
        f"POST /webhooks%2Fshipstation/{TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        f"POST /Webhooks//shipstation/{TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        spoken(door, raw.encode())

    assert TOKEN not in door.processes[0].output()


def test_health_is_answered_while_every_thread_is_busy(door: Stack) -> None:
    drips = [Drip(door.port, BODY_FOR_EVER) for _ in range(THREADS * 3)]
    try:
        answer = door.ask("GET", "/healthz")
        still_busy = sum(not drip.is_over for drip in drips)
    finally:
        for drip in drips:
            drip.close()

    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert still_busy > THREADS
