"""Webhooks a second through gunicorn: ours, with token, RSA signature and durable store, beside bare Flask with one durable insert."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bridge.simulator import Simulator
from tests.stack import free_port
from tests.waiting import wait_until

TOKEN = "benchmark-token-0123456789"
_SENDERS = 8
Request = tuple[bytes, dict[str, str]]


@contextmanager
def ours(simulator: Simulator, folder: Path) -> Iterator[int]:
    port = free_port()
    environ = os.environ | simulator.env() | {"BRIDGE_WEBHOOK_TOKENS": TOKEN, "BRIDGE_DATABASE_URL": f"sqlite:///{folder}/ours.db"}
    command = [sys.executable, "-m", "bridge", "serve", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    with _running(command, environ | {"BRIDGE_LOG_LEVEL": "INFO"}, port, folder):
        yield port


@contextmanager
def bare(folder: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "tests.benchmarks.bare:create_app()", "--bind", f"127.0.0.1:{port}"]
    same = ["--workers", "2", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "5", "--log-level", "error"]
    root = str(Path(__file__).parents[2])
    with _running([*command, *same], os.environ | {"BARE_DATABASE": f"{folder}/bare.db", "PYTHONPATH": root}, port, folder):
        yield port


def per_second(port: int, requests: Sequence[Request]) -> float:
    """Send all, over a few kept connections; each must be answered 202."""
    begin = time.perf_counter()
    threads = [threading.Thread(target=_send, args=(port, requests[start::_SENDERS])) for start in range(_SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(requests) / (time.perf_counter() - begin)


def _send(port: int, requests: Sequence[Request]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for body, headers in requests:
        connection.request("POST", f"/webhooks/shipstation/{TOKEN}", body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 202:
            raise RuntimeError(f"answered {answer.status}")
    connection.close()


@contextmanager
def _running(command: list[str], environ: dict[str, str], port: int, folder: Path) -> Iterator[None]:
    process = subprocess.Popen(command, env=environ, cwd=folder)
    try:
        wait_until(lambda: _is_answering(port), seconds=20, what=f"{command[2]} to answer")
        yield
    finally:
        process.terminate()
        process.wait(30)


def _is_answering(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
