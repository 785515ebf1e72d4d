"""Webhooks a second that one worker carries to Purple Dot (split labels, two shipments each), in outbound calls beside plain POSTs."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import requests

from bridge.simulator import Simulator
from bridge.store import migrate
from bridge.store.database import Database
from bridge.store.events import Arrival, receive

_SPLIT = [[("ALDER-TEE-S", 1)], [("ALDER-CAP", 1)]]


def calls_per_second(simulator: Simulator, folder: Path, webhooks: int, turn: int) -> tuple[float, float]:
    """(outbound calls a second, CPU milliseconds of the worker for each webhook), start-up of the process included in neither."""
    url = f"sqlite:///{folder}/worker-{turn}.db"
    _fill(simulator, url, webhooks)
    before = len(simulator.world.calls)
    environ = os.environ | simulator.env() | settings(url)
    idle = _seconds(environ, folder, drain=False)
    spent = _seconds(environ, folder, drain=True)
    calls = len(simulator.world.calls) - before
    return calls / max(0.001, spent[0] - idle[0]), max(0.0, spent[1] - idle[1]) * 1000 / webhooks


def plain_posts_per_second(simulator: Simulator, posts: int) -> float:
    """One thread, one session, no environment: what `requests` itself can do against the same server."""
    with requests.Session() as session:
        session.trust_env = False
        begin = time.perf_counter()
        for _ in range(posts):
            session.post(f"{simulator.url}/jwks", json={}, timeout=10)
        return posts / (time.perf_counter() - begin)


def settings(url: str) -> Mapping[str, str]:
    """Budgets that stop nobody, and a quiet log."""
    rates = {f"BRIDGE_{system}_RATE_PER_MINUTE": "100000" for system in ("SHIPSTATION", "SHIPSTATION_V1", "PURPLE_DOT")}
    return rates | {"BRIDGE_WEBHOOK_TOKENS": "benchmark-token-0123456789", "BRIDGE_DATABASE_URL": url, "BRIDGE_LOG_LEVEL": "ERROR"}


def _fill(simulator: Simulator, url: str, webhooks: int) -> None:
    database = Database(url)
    migrate.upgrade(database)
    world = simulator.world
    for _ in range(webhooks):
        order = world.add_shipstation_order(world.add_order(lines=[("ALDER-TEE-S", 1), ("ALDER-CAP", 1)]))
        body = world.label_created_v2(world.buy_labels(world.split(order, _SPLIT)))
        with database.begin() as connection:
            arrival = Arrival(body["resource_type"], simulator.webhook(body)[0], body["resource_url"])
            receive(connection, arrival, now=database.now(connection))
    database.close()


def _seconds(environ: Mapping[str, str], folder: Path, *, drain: bool) -> tuple[float, float]:
    """Wall and CPU seconds of `bridge work --once`, or of a start that finds no work."""
    url = environ["BRIDGE_DATABASE_URL"] if drain else f"sqlite:///{folder}/idle.db"
    begin, cpu = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "bridge", "work", "--once"]
    subprocess.run(command, env={**environ, "BRIDGE_DATABASE_URL": url}, cwd=folder, check=True)
    after = os.times()
    used = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    return time.perf_counter() - begin, used
