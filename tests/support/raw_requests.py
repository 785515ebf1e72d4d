"""Requests as bytes on a socket: chunk sizes, lengths, line ends and headers that are almost right.

What gunicorn itself reads is tried here, so a receiver must run. A request is answered with a
status below 500 or the connection is closed; whichever, the next good webhook is accepted.
"""

import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

_PATIENCE = 10.0
_SIZES = (
    b"%x",
    b"0%x",
    b"%X;name=value",
    b" %x",
    b"%x ",
    b"+%x",
    b"-%x",
    b"0x%x",
    b"%x\xff",
    b"%d0000000000000000000000",
)
_TRAILERS = (b"", b"X-Trailer: 1\r\n", b"Content-Length: 5\r\n", b"broken\r\n", b"\x00\r\n")
_HEADERS = (
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 5, 5",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\tchunked",
    b"Expect: 100-continue",
    b"Connection: upgrade",
    b"SCRIPT_NAME: /elsewhere",
    b"X\x00Y: 1",
    b" folded: 1",
    b"no colon",
)
_LINE_ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n")


def raw_request(dice: random.Random, path: bytes, body: bytes) -> bytes:
    """One request with up to three things wrong in it; most are sent in chunks."""
    end = dice.choice(_LINE_ENDS)
    is_chunked = dice.random() < 0.8
    lines = [b"POST %s HTTP/1.1" % path, b"Host: localhost", b"Content-Type: application/json"]
    length = len(body) + dice.choice((0, 0, 1, -1))
    lines.append(b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % length)
    for header in dice.sample(_HEADERS, dice.choice((0, 0, 0, 1, 2))):
        lines.insert(dice.randrange(1, len(lines) + 1), header)
    if dice.random() < 0.1:
        lines[0] = dice.choice((b"POST", b"POST  HTTP/1.1", b"PO\x00ST / HTTP/1.1", b"\xff" * 90))
    head = end.join(lines) + end + end
    return head + (b"".join(_chunks(dice, body)) if is_chunked else body)


def _chunks(dice: random.Random, body: bytes) -> Iterator[bytes]:
    while body:
        length = dice.randint(1, 40)
        piece, body = body[:length], body[length:]
        form = dice.choice(_SIZES) if dice.random() < 0.2 else b"%x"
        size = len(piece) + (dice.choice((1, -1)) if dice.random() < 0.1 else 0)
        yield form % size + b"\r\n" + piece + (b"\r\n" if dice.random() < 0.95 else b"")
    if dice.random() < 0.9:
        yield b"0\r\n" + dice.choice(_TRAILERS) + b"\r\n"


def exchange(port: int, pieces: Sequence[bytes]) -> int | None:
    """The status that a receiver answered to these bytes; None when it only closed the connection.
    TimeoutError when it did neither."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionError):
            while len(answer) < 12 and (received := connection.recv(4096)):
                answer += received
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else None


def in_pieces(dice: random.Random, request: bytes) -> list[bytes]:
    """The same bytes in up to three writes."""
    cuts = sorted(dice.randrange(len(request) + 1) for _ in range(dice.choice((0, 1, 2))))
    places = [0, *cuts, len(request)]
    pairs = pairwise(places)
    return [request[start:end] for start, end in pairs]
