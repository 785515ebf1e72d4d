"""What `run`, `serve` and `work` have in common: options, signals, children."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import click
import structlog

log = structlog.get_logger(__name__)

_RESTART_AFTER = 1.0
_PR_SET_PDEATHSIG = 1

bind_option = click.option("--bind", help="Address of the receiver, host:port.")
workers_option = click.option(
    "--workers", "web_workers", type=click.IntRange(1, 64), help="Processes of the receiver."
)
threads_option = click.option(
    "--threads",
    "worker_threads",
    type=click.IntRange(1, 128),
    help="Threads of the worker: how many jobs at a time.",
)


def on_signals(act: Callable[[], None]) -> None:
    """In a thread: a handler runs inside whatever the main thread is doing, perhaps while it holds
    the very lock that `act` needs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=act).start())


def supervise(*commands: str) -> None:
    """Each is started again when it ends; one SIGTERM or SIGINT stops all of them gently."""
    stopping = threading.Event()
    on_signals(stopping.set)
    children = {name: _start(name) for name in commands}
    while not stopping.wait(0.2):
        for name, child in children.items():
            if child.poll() is not None:
                log.warning(
                    "process_died",
                    process=name,
                    exit_code=child.returncode,
                    restart_after=_RESTART_AFTER,
                )
                if not stopping.wait(_RESTART_AFTER):
                    children[name] = _start(name)
    deadline = time.monotonic() + 30
    for child in children.values():
        child.terminate()
    for child in children.values():
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _start(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "bridge", name],
        preexec_fn=die_with_parent,  # noqa: PLW1509  # our own command
    )


def die_with_parent() -> None:
    """A killed parent leaves nothing behind on Linux.
    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""
    if sys.platform == "linux":
        os.setsid()  # Ctrl-C reaches the parent alone; it stops its children in its own time.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
