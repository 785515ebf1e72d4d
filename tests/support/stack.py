"""The real thing: receiver and worker as processes of their own, between a simulator and a
database."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.domain.events import CLAIMABLE, DeliveryStatus, EventStatus
from bridge.simulator import PurpleDotOrder, Simulator
from bridge.store import reports
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.queries import Query
from tests.support.waiting import wait_until

Json = dict[str, Any]

TOKEN = "a-token-of-the-tests"
WEBHOOKS = "/webhooks/shipstation"
HANGS = 120
"""Seconds after which an answer will not come; a busy machine takes many for a restart."""

SETTINGS = {
    "BRIDGE_WEBHOOK_TOKENS": TOKEN,
    "BRIDGE_RETRY_SCHEDULE": "50ms,100ms,150ms,300ms",
    "BRIDGE_WAIT_SCHEDULE": "50ms,100ms,200ms,3s",
    "BRIDGE_CONFIRM_SCHEDULE": "50ms,50ms,100ms",
    "BRIDGE_SHIPSTATION_RATE_PER_MINUTE": "100000",
    "BRIDGE_SHIPSTATION_V1_RATE_PER_MINUTE": "100000",
    "BRIDGE_PURPLE_DOT_RATE_PER_MINUTE": "100000",
    "BRIDGE_WORKER_THREADS": "4",
    "BRIDGE_RECONCILE_EVERY": "0",
}
"""Schedules in which a test can wait, and budgets that stop nobody."""


@dataclass(frozen=True)
class Answer:
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Json:
        told: Json = json.loads(self.raw)
        return told

    @property
    def event_id(self) -> str:
        assert self.status == 202, f"{self.status}: {self.raw.decode()}"
        return str(self.json["event_id"])


BRIDGE = ("-m", "bridge")


class Process:
    """One command of the bridge, in a process group of its own; what it prints goes to a file.
    `program` is what Python runs for it."""

    def __init__(
        self,
        name: str,
        *arguments: str,
        environ: Mapping[str, str],
        folder: Path,
        program: Sequence[str] = BRIDGE,
    ) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._shown = 0
        with self._log.open("wb") as log:
            command = [sys.executable, *program, *arguments]
            self._child = subprocess.Popen(
                command, env=environ, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def show(self) -> None:
        """Print what is new in the output: pytest shows it beside a test that failed."""
        output = self.output()
        sys.stdout.write(f"----- {self.name}\n{output[self._shown :]}")
        self._shown = len(output)

    def logged(self, event: str) -> list[Json]:
        """The log lines of this event."""
        lines = (
            json.loads(line)
            for line in self.output().splitlines()
            if line.startswith("{") and line.endswith("}")
        )
        return [line for line in lines if line.get("event") == event]

    def send(self, number: signal.Signals) -> None:
        """To each process of the group."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)

    def kill(self) -> None:
        """As a crash of the machine would: the whole group at once, without a word."""
        self.send(signal.SIGKILL)
        self._child.wait()

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM to the process alone, as a service manager does; its exit code."""
        self._child.terminate()
        return self._child.wait(seconds)


@dataclass
class Stack:
    """A simulator, a migrated database, and whichever processes a test starts; all end with the
    `with` block."""

    simulator: Simulator
    database_url: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = self.simulator.world
        self.database = Database(self.database_url)
        migrate.upgrade(self.database)
        self.port = free_port()
        self.processes: list[Process] = []

    def start_receiver(
        self, workers: int = 2, *, port: int | None = None, program: Sequence[str] = BRIDGE
    ) -> Process:
        """gunicorn, until it answers; always on the same port, unless another is named."""
        bind = f"127.0.0.1:{port or self.port}"
        receiver = self.start(
            "receiver", "serve", "--bind", bind, "--workers", str(workers), program=program
        )
        self._wait_for(receiver, partial(self._is_answered, "/healthz", port))
        return receiver

    def start_worker(
        self, *options: str, program: Sequence[str] = BRIDGE, **settings: str
    ) -> Process:
        worker = self.start("worker", "work", *options, program=program, **settings)
        self._wait_for(worker, lambda: worker.logged("worker_started"))
        return worker

    def start_both(self) -> Process:
        """`bridge run`: receiver and worker under one supervisor."""
        supervisor = self.start("run", "run", "--bind", f"127.0.0.1:{self.port}")
        self._wait_for(supervisor, self.is_ready)
        return supervisor

    def is_alive(self) -> bool:
        return self._is_answered("/healthz")

    def is_ready(self) -> bool:
        """/readyz says so: receiver, database and worker."""
        return self._is_answered("/readyz")

    def run_worker_once(self) -> Process:
        """`bridge work --once`, to its end."""
        worker = self.start("worker", "work", "--once")
        wait_until(
            lambda: worker.exit_code is not None, 30, "the worker to have drained what was due"
        )
        return worker

    def start(
        self, name: str, *arguments: str, program: Sequence[str] = BRIDGE, **settings: str
    ) -> Process:
        """Any command of the bridge, not waited for."""
        number = sum(process.name.startswith(name) for process in self.processes) + 1
        environ = self.environ | settings
        process = Process(
            f"{name}-{number}", *arguments, environ=environ, folder=self.folder, program=program
        )
        self.processes.append(process)
        return process

    @property
    def environ(self) -> dict[str, str]:
        """What its processes get."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BRIDGE_", "PROMETHEUS_"))
        }
        own = {"BRIDGE_DATABASE_URL": self.database_url, "TMPDIR": str(self.folder)}
        return kept | self.simulator.env() | SETTINGS | own | dict(self.settings)

    def _wait_for(self, process: Process, is_ready: Callable[[], object]) -> None:
        wait_until(
            lambda: process.exit_code is not None or is_ready(), 60, f"{process.name} to be ready"
        )
        if process.exit_code is not None:
            pytest.fail(f"{process.name} ended with {process.exit_code}:\n{process.output()}")

    def _is_answered(self, path: str, port: int | None = None) -> bool:
        try:
            return self.ask("GET", path, port=port).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
    ) -> Answer:
        """One request on a connection of its own; a body in pieces is sent chunked. OSError or
        HTTPException when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=HANGS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def post(
        self,
        raw: bytes | Iterable[bytes],
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = TOKEN,
        port: int | None = None,
    ) -> Answer:
        """A webhook as these bytes; without a token in its path where `token` is None."""
        path = WEBHOOKS if token is None else f"{WEBHOOKS}/{token}"
        return self.ask(
            "POST", path, raw, {"Content-Type": "application/json"} | dict(headers or {}), port=port
        )

    def send(self, body: Json, *, port: int | None = None) -> Answer:
        """A webhook as ShipStation sends it, signed where it signs."""
        raw, headers = self.simulator.webhook(body)
        return self.post(raw, headers, port=port)

    def send_until_accepted(self, body: Json, *ports: int) -> str:
        """As ShipStation does: what was not answered 2xx is sent again, here to the next port. The
        event it became."""
        doors = cycle(ports or (self.port,))

        def is_accepted() -> str | None:
            try:
                answer = self.send(body, port=next(doors))
            except (OSError, http.client.HTTPException):
                return None
            return answer.event_id if answer.status == 202 else None

        return str(wait_until(is_accepted, 20, "a webhook to be accepted"))

    def travel(self, *bodies: Json) -> list[str]:
        """Send webhooks and wait until nothing of them is left to do; their events' ids."""
        event_ids = [self.send(body).event_id for body in bodies]
        self.settle()
        return event_ids

    def settle(self, seconds: float = 30) -> None:
        """Wait until no event and no delivery is work any more."""
        wait_until(lambda: not self.left(), seconds, "all work to be done")

    def left(self) -> int:
        """How many events and deliveries are still work."""
        with self.database.read() as connection:
            events, deliveries = (
                reports.count_events(connection),
                reports.count_deliveries(connection),
            )
        return events.get(EventStatus.RECEIVED, 0) + sum(
            deliveries.get(status, 0) for status in CLAIMABLE
        )

    def event(self, event_id: str) -> Json:
        """Everything stored about an event."""
        with self.database.read() as connection:
            story = reports.event_story(connection, event_id)
        assert story is not None
        return story

    def events(self) -> list[Json]:
        with self.database.read() as connection:
            return reports.list_events(connection, Query(limit=1000))

    def deliveries(self, order: PurpleDotOrder | None = None) -> list[Json]:
        """All deliveries, or those of one order; the oldest first, each with its attempts."""
        with self.database.read() as connection:
            rows = reports.list_deliveries(
                connection, Query(search=order.id if order else None, limit=1000)
            )
            stories = [reports.delivery_story(connection, row["id"]) for row in reversed(rows)]
        return [story for story in stories if story is not None]

    def delivery(self, order: PurpleDotOrder) -> Json:
        """The only delivery of an order."""
        [only] = self.deliveries(order)
        return only

    def metrics(self, name: str) -> list[Json]:
        """The labels and the value of each row of a metric."""
        return samples(self.ask("GET", "/metrics").raw.decode(), name)

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all rows with these labels."""
        return sum(
            float(row["value"]) for row in self.metrics(name) if labels.items() <= row.items()
        )

    def fulfillments(self, order: PurpleDotOrder) -> list[Json]:
        """The bodies that Purple Dot accepted for an order."""
        accepted = [body["fulfillment"] for body in self.world.fulfillments]
        return [body for body in accepted if body["fulfillment_order_id"] == order.id]

    def show(self) -> None:
        for process in self.processes:
            process.show()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for process in self.processes:
            process.kill()
        self.show()
        self.database.close()


def samples(page: str, name: str) -> list[Json]:
    """The labels and the value of each row of a metric on a page of Prometheus."""
    rows = [
        row
        for family in text_string_to_metric_families(page)
        for row in family.samples
        if row.name == name
    ]
    return [row.labels | {"value": row.value} for row in rows]


def statuses(deliveries: Iterable[Json]) -> list[tuple[DeliveryStatus, str | None]]:
    """(status, reason) of each."""
    return [(DeliveryStatus(delivery["status"]), delivery["reason"]) for delivery in deliveries]


_PORTS_EACH = 750


def _own_ports() -> Iterator[int]:
    """Each process of a test run has ports of its own and takes them in turn, so that none is
    another's between being found free and being listened at. They are below the range from which
    the machine takes ports for outgoing connections, so that a restart finds its own free again."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw15").removeprefix("gw")) % 16
    first = 20_000 + process * _PORTS_EACH
    start = secrets.randbelow(_PORTS_EACH)
    return cycle(first + (start + step) % _PORTS_EACH for step in range(_PORTS_EACH))


_PORTS = _own_ports()


def free_port() -> int:
    """At which nobody listens on 127.0.0.1."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
