"""The receiver's WSGI application under mutated requests, with secrets planted where senders put
them: `make fuzz`."""

import argparse
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from flask import Flask
from sqlalchemy import select

from bridge.settings import Settings
from bridge.simulator import Simulator
from bridge.store import tables
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.web.app import create_app
from tests.support.raw_requests import exchange, in_pieces, raw_request
from tests.support.stack import TOKEN as STACK_TOKEN
from tests.support.stack import WEBHOOKS, Stack

TOKEN = "t0ken-of-the-front-door"
MARK = "Quillmark-66-secret"
"""Stands in every header that could carry a credential; the token and this must be found nowhere
afterwards."""

NEVER_KEPT = (
    "Authorization",
    "Cookie",
    "Api-Key",
    "X-Purple-Dot-Access-Token",
    "X-Forwarded-For",
    "X-Customer",
)
NAMES = (
    "Content-Type",
    "User-Agent",
    "Content-Length",
    "Content-Encoding",
    "Host",
    "Expect",
    "Range",
    "X-Forwarded-Host",
    "X-HTTP-Method-Override",
)
RAW_PATH = f"{WEBHOOKS}/{STACK_TOKEN}".encode()
FRAGMENTS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\0", b"\xff", b"\xef\xbb\xbf", b"null",
    b"true",
    b"NaN", b"1e999", b"-0",
    b"9" * 5000, b"[" * 3000, b'{"a":' * 2000, b"\\ud800", b"\\u0000",
    b'"resource_type":"LABEL_CREATED_V2",', b'"resource_url":', b"https://",
    b"https://api.shipstation.com/v2/labels", b"@evil.example", b"%2f..%2f", b"..", b"\r\n",
    b"\x1b[2J", b"'", b"=1+1", b"<script>",
    b"A" * 70_000, "\u202e\U0001f4a9".encode(), b'"fulfillments":[{}]', b'"line_items":-1',
    b"LABEL_CREATED_V2", b"SHIP_NOTIFY",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """At `place` (0 to 1) of a text, `length` bytes are replaced by `fill`."""

    place: float
    length: int
    fill: bytes


@dataclass(frozen=True)
class Knock:
    """One request."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    path: bytes = f"/webhooks/shipstation/{TOKEN}".encode()
    method: str = "POST"
    told_length: str | None = None

    def environ(self) -> dict[str, Any]:
        """As gunicorn would make it."""
        environ = {
            "REQUEST_METHOD": self.method, "SCRIPT_NAME": "",
            "PATH_INFO": self.path.decode("latin-1"),
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "203.0.113.5",
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(self.body)) if self.told_length is None else self.told_length,
        }  # fmt: skip
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        if self.told_length == "chunked":
            environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
            del environ["CONTENT_LENGTH"]
        return environ


def changed(raw: bytes, changes: Iterable[Change]) -> bytes:
    for change in changes:
        start = int(change.place * len(raw))
        raw = raw[:start] + change.fill + raw[start + change.length :]
    return raw


def originals(simulator: Simulator) -> list[tuple[bytes, Mapping[str, str]]]:
    """A body of each kind with its headers, signed where ShipStation signs."""
    base, row = (
        simulator.url,
        {"shipment_id": "se-1", "tracking_number": "1ZB7X0410390000001", "carrier_code": "ups"},
    )
    bodies: list[dict[str, Any]] = [
        {"resource_url": f"{base}/v2/labels?batch_id=se-1", "resource_type": "LABEL_CREATED_V2"},
        {
            "resource_url": f"{base}/v2/fulfillments?shipment_id=se-1",
            "resource_type": "FULFILLMENT_SHIPPED_V2",
            "data": {"name": "Ada"},
        },
        {
            "resource_url": f"{base}/shipments?batchId=1&includeShipmentItems=False",
            "resource_type": "SHIP_NOTIFY",
        },
        {
            "resource_url": "https://ssapi12.shipstation.com/orders?orderId=1",
            "resource_type": "ORDER_NOTIFY",
        },
        {
            "fulfillments": [row, row | {"line_items": [{"sku": "TEE", "quantity": 1}]}],
            "notify_order_source": True,
        },
    ]
    return [simulator.webhook(body) for body in bodies]


@dataclass
class Fuzzed:
    """An application of its own on an empty database, what it answered by status, and all that it
    logged."""

    simulator: Simulator
    database_url: str

    def __post_init__(self) -> None:
        own = {
            "BRIDGE_WEBHOOK_TOKENS": TOKEN,
            "BRIDGE_DATABASE_URL": self.database_url,
            "BRIDGE_LOG_LEVEL": "DEBUG",
        }
        self.app: Flask = create_app(
            Settings.load(self.simulator.env() | own | {"BRIDGE_MAX_BODY_BYTES": "65536"})
        )
        migrate.upgrade(self.app.extensions["database"])
        self.answers: Counter[int] = Counter()
        self.leaks = 0

    def knock(self, knock: Knock) -> int:
        """The status; what is logged or answered meanwhile is searched for secrets."""
        heads: list[str] = []
        logged = io.StringIO()
        with redirect_stderr(logged):
            body = b"".join(
                self.app.wsgi_app(
                    knock.environ(), lambda status, headers, *_: heads.append(f"{status} {headers}")
                )
            )  # type: ignore[arg-type, func-returns-value]
        self.leaks += self._holds_a_secret(
            f"{heads}{body.decode(errors='replace')}{logged.getvalue()}".encode()
        )
        status = int(heads[0][:3])
        self.answers[status] += 1
        return status

    def leaked_files(self) -> list[str]:
        """What of the database has a secret in it: the files of SQLite, the tables of
        PostgreSQL."""
        database: Database = self.app.extensions["database"]
        if database.is_sqlite:
            file = Path(str(database.url.database))
            return [
                path.name
                for path in file.parent.glob(f"{file.name}*")
                if self._holds_a_secret(path.read_bytes())
            ]
        with database.read() as connection:
            rows = {
                table.name: connection.execute(select(table)).all()
                for table in tables.metadata.sorted_tables
            }
        return [name for name, told in rows.items() if self._holds_a_secret(repr(told).encode())]

    def _holds_a_secret(self, text: bytes) -> bool:
        return TOKEN.encode() in text or MARK.encode() in text

    def close(self) -> None:
        self.app.extensions["database"].close()


def a_knock(dice: random.Random, seeds: Sequence[tuple[bytes, Mapping[str, str]]]) -> Knock:
    """A good request with up to six things wrong in it; most of them get past the token."""
    body, headers = dice.choice(seeds)
    own = dict(headers) | dict.fromkeys(dice.sample(NEVER_KEPT, 3), f"Bearer {MARK}")
    if dice.random() < 0.8:
        body = changed(body, [_change(dice) for _ in range(dice.randint(1, 6))])
    for name in dice.sample([*NAMES, *headers], dice.randint(0, 2)):
        own[name] = (
            changed(own.get(name, "").encode("latin-1"), [_change(dice)])
            .decode("latin-1")
            .replace("\r", "")
            .replace("\n", "")
        )
    if dice.random() < 0.2:
        own.pop(dice.choice([*own]), None)
    path = Knock.path if dice.random() < 0.9 else changed(Knock.path, [_change(dice)])
    if dice.random() < 0.05:
        path, own["X-Bridge-Token"] = (
            b"/webhooks/shipstation",
            dice.choice([TOKEN, "a-guess", "\xff\xfe", ""]),
        )
    method = (
        "POST"
        if dice.random() < 0.97
        else dice.choice(["GET", "PUT", "HEAD", "OPTIONS", "TRACE", "\xe9"])
    )
    told = (
        None
        if dice.random() < 0.95
        else dice.choice(
            ["chunked", "", "-1", "0", "5", "99999999999999999999", "1e3", "\xb2", "70000"]
        )
    )
    return Knock(body, own, path, method, told)


def _change(dice: random.Random) -> Change:
    fill = dice.choice(FRAGMENTS) if dice.random() < 0.5 else dice.randbytes(dice.randint(0, 12))
    return Change(dice.random(), dice.choice((0, 0, 1, 2, 5, 40)), fill)


def _mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _raw_answers(
    simulator: Simulator, folder: Path, dice: random.Random, count: int
) -> Counter[str]:
    """What a running receiver answered to so many requests as bytes, by status; `000` is a closed
    connection, `999` no word at all."""
    answers: Counter[str] = Counter()
    with Stack(simulator, f"sqlite:///{folder}/raw.db", folder) as stack:
        stack.start_receiver(1)
        for _ in range(count):
            body, _headers = originals(simulator)[2]
            request = raw_request(dice, RAW_PATH, body)
            try:
                status = exchange(stack.port, in_pieces(dice, request))
            except TimeoutError:
                status = 999
            answers[f"{status or 0:03d}"] += 1
    return answers


def main() -> int:
    """0 when no answer was a 500, no secret was found and memory stayed within a tenth of what a
    tenth of the requests took."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument(
        "--raw", type=int, default=2000, help="how many more as bytes on a receiver's socket"
    )
    asked = options.parse_args()
    dice, early, started = random.Random(asked.seed), 0.0, monotonic()
    failed: list[Knock] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, Simulator() as simulator:
        fuzzed, seeds = Fuzzed(simulator, f"sqlite:///{folder}/bridge.db"), originals(simulator)
        for number in range(asked.count):
            if number % 2000 == 0:
                seeds = originals(simulator)  # A signature is good for five minutes.
            knock = a_knock(dice, seeds)
            if fuzzed.knock(knock) in (500, 502, 503):
                failed.append(knock)
            if number == asked.count // 10:
                early = _mebibytes()
        late, files = _mebibytes(), fuzzed.leaked_files()
        fuzzed.close()
        raw = _raw_answers(simulator, Path(folder), dice, asked.raw)
    seconds = monotonic() - started
    raw_failed = sum(count for answer, count in raw.items() if answer >= "500")
    report = {
        "requests": asked.count, "seed": asked.seed, "seconds": round(seconds),
        "answers": dict(sorted(fuzzed.answers.items())),
        "raw answers": dict(sorted(raw.items())),
        "failed": len(failed) + raw_failed, "leaks": fuzzed.leaks,
        "files with a secret": files,
        "MiB after a tenth": round(early, 1), "MiB": round(late, 1),
    }  # fmt: skip
    sys.stdout.write(
        "".join(f"{knock!r:.2000}\n" for knock in failed[:5]) + json.dumps(report, indent=2) + "\n"
    )
    return int(bool(failed or raw_failed or fuzzed.leaks or files or late > early * 1.1))


if __name__ == "__main__":
    sys.exit(main())
