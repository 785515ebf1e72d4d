"""Receivers and workers as processes of their own, quiet on the terminal, and senders that share no
interpreter with the vendors."""

import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bridge.simulator import Simulator
from tests.support.stack import free_port

TOKEN = "benchmark-token-0123456789"
ROOT = Path(__file__).parents[2]
Request = tuple[bytes, dict[str, str]]


def environ(simulator: Simulator, url: str) -> dict[str, str]:
    """Budgets that stop nobody; everything else as a user has it, the log included."""
    rates = {
        f"BRIDGE_{system}_RATE_PER_MINUTE": "100000"
        for system in ("SHIPSTATION", "SHIPSTATION_V1", "PURPLE_DOT")
    }
    own = {
        "BRIDGE_WEBHOOK_TOKENS": TOKEN,
        "BRIDGE_DATABASE_URL": url,
        "BRIDGE_RECONCILE_EVERY": "0",
        "PYTHONPATH": str(ROOT),
    }
    return (
        {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
        | simulator.env()
        | rates
        | own
    )


@contextmanager
def receiver(simulator: Simulator, url: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Ours under gunicorn: its port and the process id."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "bridge",
        "serve",
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        "2",
    ]
    with running(command, environ(simulator, url), folder) as pid:
        wait_for(port, folder)
        yield port, pid


@contextmanager
def bare(folder: Path) -> Iterator[int]:
    """Flask and one insert, under the same gunicorn."""
    with _flask("tests.benchmarks.bare", dict(os.environ), folder) as (port, _):
        yield port


@contextmanager
def plain(simulator: Simulator, folder: Path) -> Iterator[tuple[int, int]]:
    """The baseline bridge, under the same gunicorn: its port and the process id."""
    variables = dict(os.environ) | simulator.env()
    with _flask("tests.benchmarks.plain", variables, folder) as served:
        yield served


@contextmanager
def _flask(module: str, variables: Mapping[str, str], folder: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        f"{module}:create_app()",
        "--bind",
        f"127.0.0.1:{port}",
    ]
    same = [
        "--workers",
        "2",
        "--worker-class",
        "gthread",
        "--threads",
        "8",
        "--keep-alive",
        "5",
        "--log-level",
        "error",
    ]
    same += ["--worker-tmp-dir", "/dev/shm"] if Path("/dev/shm").is_dir() else []
    own = {"BARE_DATABASE": f"{folder}/bare.db", "PYTHONPATH": str(ROOT)}
    with running([*command, *same], {**variables, **own}, folder) as pid:
        wait_for(port, folder)
        yield port, pid


@contextmanager
def worker(simulator: Simulator, url: str, folder: Path) -> Iterator[int]:
    """Its process id."""
    with running([sys.executable, "-m", "bridge", "work"], environ(simulator, url), folder) as pid:
        yield pid


@contextmanager
def running(command: Sequence[str], variables: Mapping[str, str], folder: Path) -> Iterator[int]:
    """Its lines go to a file, as a service manager's would."""
    with (
        (folder / "log.txt").open("ab") as log,
        subprocess.Popen(command, env=variables, cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            yield process.pid
            if process.poll() is not None:
                raise RuntimeError(
                    f"{command[2]} died: {(folder / 'log.txt').read_text(encoding='utf-8')[-2000:]}"
                )
        finally:
            process.terminate()
            process.wait(40)


def per_second(port: int, requests: Sequence[Request]) -> float:
    """Send all over a few kept connections, from a process of its own; each must be answered
    202."""
    with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
        pickle.dump(requests, file)
        file.flush()
        command = [sys.executable, "-m", "tests.benchmarks.sender", str(port), TOKEN, file.name]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return len(requests) / float(said.stdout)


def wait_for(port: int, folder: Path) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + 60
    while not _is_answering(port):
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"nothing answers: {(folder / 'log.txt').read_text(encoding='utf-8')[-2000:]}"
            )
        time.sleep(0.05)


def _is_answering(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
