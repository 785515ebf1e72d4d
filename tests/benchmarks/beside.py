"""Who looks stops nobody: webhooks at a steady pace, while every page, list and plan, `/metrics`
and the export are asked for in turn, with 200,000 events and deliveries in the database."""

import http.client
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import click
from click.testing import CliRunner

from bridge.cli import main as bridge
from bridge.simulator import Simulator
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from tests.benchmarks import history, servers
from tests.benchmarks.figures import Figure
from tests.support.console_client import OPERATOR, PASSWORDS, token_in
from tests.support.postgres import running_server
from tests.support.stack import free_port

_ROWS = int(os.environ.get("ROWS", "200000"))
_ROUNDS = 5
_EVERY = 0.2
_MOST_WEBHOOKS = 1200
"""As many as are sent within the five minutes for which their signatures are good."""
_FILLING_SECONDS = 900.0
_FEW, _MANY = "status:held", "status:delivered"
_AS_STORED = {"as_stored": "1"}
Taken = dict[str, list[float]]
"""Milliseconds of each asking, by what was asked for."""


def measure(folder: Path) -> list[Figure]:
    figures = _on("SQLite", f"sqlite:///{folder}/beside.db", folder)
    with (
        tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as place,
        running_server(Path(place)) as server,
    ):
        return figures + _on("PostgreSQL", server.url("beside"), folder)


def _on(kind: str, url: str, folder: Path) -> list[Figure]:
    _fill(url)
    with Simulator() as simulator, _bridge(simulator, url, folder) as console:
        with _sending(simulator, console.port) as calm:
            time.sleep(20)
        beside: list[float] = []
        taken: Taken = {}
        asked = _asked(console)
        _ask_all(asked, {})  # It warms up.
        for _ in range(_ROUNDS):
            with _sending(simulator, console.port) as sent:
                _ask_all(asked, taken)
            beside += sent
    _show(kind, taken)
    exports = taken.pop("bridge export")
    all_others = [milliseconds for each in taken.values() for milliseconds in each]
    return [
        *_spread(f"{kind}: webhook acknowledged, nobody looks", calm, "50"),
        *_spread(f"{kind}: webhook acknowledged, somebody looks", beside, "50"),
        *_spread(f"{kind}: a page, list or plan", all_others, "300"),
        Figure(f"{kind}: bridge export of all", "ms", "", exports),
    ]


def _ask_all(asked: Mapping[str, Callable[[], object]], taken: Taken) -> None:
    for name, ask in asked.items():
        began = time.perf_counter()
        ask()
        taken.setdefault(name, []).append((time.perf_counter() - began) * 1000)


def _fill(url: str) -> None:
    database = Database(url, patience=_FILLING_SECONDS)
    migrate.upgrade(database)
    history.fill(database, _ROWS, has_due=False)
    history.fill_around(database, _ROWS)
    database.close()


def _spread(what: str, taken: Sequence[float], goal: str) -> Iterator[Figure]:
    spread = {
        "median": statistics.median(taken),
        "95th percentile": statistics.quantiles(taken, n=20)[-1],
        "longest": max(taken),
    }
    for name, value in spread.items():
        yield Figure(f"{what}, {name}", "ms", goal, [value])


def _show(kind: str, taken: Taken) -> None:
    for name, each in sorted(taken.items(), key=lambda item: -statistics.median(item[1])):
        click.echo(f"{kind}: {name:60} {statistics.median(each):7.0f}  {max(each):7.0f}", err=True)


class _Console:
    """Somebody who is signed in."""

    def __init__(self, port: int, environ: Mapping[str, str]) -> None:
        self.port, self.environ = port, environ
        self._cookie = ""
        self._csrf = token_in(self.get("/console/sign-in"))
        self.post("/console/sign-in", password=OPERATOR)
        self._csrf = token_in(self.get("/console/"))

    def get(self, path: str) -> str:
        return self._ask("GET", path)

    def post(self, path: str, **fields: str) -> str:
        return self._ask("POST", path, urlencode({"csrf": self._csrf} | fields))

    def run(self, *arguments: str) -> str:
        """A command of the bridge, without the start of its process."""
        result = CliRunner().invoke(bridge, arguments, env=dict(self.environ), input="n\n")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    def _ask(self, method: str, path: str, body: str | None = None) -> str:
        headers = {"Cookie": self._cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{path} was answered {answer.status}")
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                self._cookie = value.partition(";")[0]
        return text


def _asked(console: _Console) -> dict[str, Callable[[], object]]:
    half = _ROWS // 2
    number, order = f"1Z{half}", f"PD{half}"
    newest = json.loads(console.run("deliveries", "--limit", "1", "--json"))[0]["id"]
    event = json.loads(console.run("events", "--limit", "1", "--json"))[0]["id"]
    pages = [
        "/metrics",
        "/readyz",
        "/console/",
        "/console/?days=90",
        "/console/exceptions",
        "/console/events",
        "/console/events?" + urlencode({"q": "type:LABEL_CREATED_V2 status:processed"}),
        "/console/events?" + urlencode({"q": "status:ignored since:1d"}),
        "/console/deliveries",
        "/console/deliveries?" + urlencode({"q": _FEW}),
        "/console/deliveries?" + urlencode({"q": _MANY}),
        f"/console/deliveries/{newest}",
        f"/console/events/{event}",
        f"/console/search?q={number}",
        f"/console/search?q={order}",
        "/console/search?q=nowhere",
        "/console/replays",
        "/console/activity",
    ]
    commands = [
        ("events",),
        ("events", "--type", "SHIP_NOTIFY", "--status", "ignored"),
        ("deliveries",),
        ("deliveries", "--order", order),
        ("exceptions",),
        ("find", number),
        ("explain", order),
        ("audit",),
        ("replay", "--type", "LABEL_CREATED_V2", "--as-stored", "--reason", "a look"),
        ("export",),
    ]
    forms = {
        "retry, plan for all held": ("/console/many", {"what": "retry", "q": _FEW}),
        "retry, plan for all delivered": ("/console/many", {"what": "retry", "q": _MANY}),
        "replay, plan for the dead": ("/console/replays/plan", _AS_STORED | {"q": "status:dead"}),
        "replay, plan for an hour": (
            "/console/replays/plan",
            _AS_STORED | {"q": "since:2026-10-31T22:00:00Z until:2026-10-31T23:00:00Z"},
        ),
    }
    asked: dict[str, Callable[[], object]] = {}
    for path in pages:
        asked[path.replace(newest, "DELIVERY").replace(event, "EVENT")] = lambda path=path: (
            console.get(path)
        )
    for arguments in commands:
        asked[" ".join(("bridge", *arguments))] = lambda arguments=arguments: console.run(
            *arguments
        )
    for name, (path, fields) in forms.items():
        asked[name] = lambda path=path, fields=fields: console.post(path, all="1", **fields)
    return asked


@contextmanager
def _bridge(simulator: Simulator, url: str, folder: Path) -> Iterator[_Console]:
    port = free_port()
    environ = servers.environ(simulator, url) | PASSWORDS
    command = [sys.executable, "-m", "bridge", "run", "--bind", f"127.0.0.1:{port}"]
    with servers.running(command, environ, folder):
        servers.wait_for(port, folder)
        yield _Console(port, environ)


@contextmanager
def _sending(simulator: Simulator, port: int) -> Iterator[list[float]]:
    """While it lasts, a process of its own sends a webhook each `_EVERY` seconds; the milliseconds
    until each was answered are in the list at the end."""
    world = simulator.world
    parcels = (world.add_shipstation_order(world.add_order()) for _ in range(_MOST_WEBHOOKS))
    labels = [world.buy_labels(parcel) for parcel in parcels]
    requests = [simulator.webhook(world.label_created_v2(label)) for label in labels]
    with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
        pickle.dump(requests, file)
        file.flush()
        command = [sys.executable, "-m", "tests.benchmarks.beside", str(port), file.name]
        taken: list[float] = []
        with subprocess.Popen(
            command, cwd=servers.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as sender:
            yield taken
            said, _ = sender.communicate("")
        taken += json.loads(said)


def _send_until_told(port: int, file: str) -> None:
    import select  # noqa: PLC0415  # for this process alone

    requests = pickle.loads(Path(file).read_bytes())  # noqa: S301  # our own, a moment old
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken: list[float] = []
    for body, headers in requests:
        began = time.perf_counter()
        connection.request("POST", f"/webhooks/shipstation/{servers.TOKEN}", body, headers)
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - began) * 1000)
        if answer.status != 202:
            sys.exit(f"answered {answer.status}")
        rest = max(0.0, _EVERY - (time.perf_counter() - began))
        if select.select([sys.stdin], [], [], rest)[0]:
            break
    json.dump(taken, sys.stdout)


if __name__ == "__main__":
    _send_until_told(int(sys.argv[1]), sys.argv[2])
