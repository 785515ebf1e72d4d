"""What `run`, `serve` and `work` have in common: options, signals, where they listen, what they say
when they start."""

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import for_people, is_terminal

if TYPE_CHECKING:
    from bridge.settings import Settings

PARENT = "PURPLEDOT_BRIDGE_PARENT"
"""The environment variable by which a child knows whom to follow."""

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8
_ARENAS, _FREE_BYTES_KEPT = 2, 128 * 1024
_FIRST_PASSED_SOCKET = 3
_BACKLOG = 2048


class _Bind(click.ParamType[str]):
    """host:port, read as BRIDGE_BIND is; a mistake names the option."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pydantic import TypeAdapter, ValidationError

        from bridge.settings import Bind

        try:
            address: str = TypeAdapter(Bind).validate_python(value)
        except ValidationError as exc:
            self.fail(f"{value} {exc.errors()[0]['ctx']['error']}", param, ctx)
        return address


bind_option = click.option("--bind", type=_Bind(), help="Address of the receiver, host:port.")
workers_option = click.option(
    "--workers", "web_workers", type=click.IntRange(1, 64), help="Processes of the receiver."
)
threads_option = click.option(
    "--threads",
    "worker_threads",
    type=click.IntRange(1, 128),
    help="Threads of the worker: how many jobs at a time.",
)


def on_signals(act: Callable[[], None], *numbers: signal.Signals) -> None:
    """In a thread: a handler runs inside whatever the main thread is doing, perhaps while it holds
    the very lock that `act` needs. SIGINT and SIGTERM, if no others are named."""
    for number in numbers or (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=act).start())


def follow_parent() -> None:
    """A child ends with its parent, even with one that was killed. On Linux alone.
    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""
    parent = os.environ.pop(PARENT, None)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # It ended before we asked.
        raise SystemExit(0)


def give_memory_back() -> None:
    """glibc keeps eight arenas a core, so that each of a worker's threads gets one, and what a
    batch leaves free in one serves no other thread: after a few backlogs a worker of 80 MiB held
    30 MiB of that. Two arenas, and what is free at their ends goes back; Python runs one thread at
    a time anyway. To be called before threads start; elsewhere than on glibc it does nothing.
    https://man7.org/linux/man-pages/man3/mallopt.3.html"""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_TRIM_THRESHOLD, _FREE_BYTES_KEPT)


def child_environment() -> dict[str, str]:
    """For a process that ends with this one, and that service managers don't know."""
    environ = os.environ | {PARENT: str(os.getpid())}
    environ.pop("NOTIFY_SOCKET", None)
    return environ


def chosen_log_format(settings: "Settings") -> "Settings":
    """The settings with log lines for people, where a person looks at them and has not said
    otherwise. For this process and the ones it starts."""
    if "log_format" in settings.model_fields_set or not is_terminal(sys.stderr):
        return settings
    os.environ["BRIDGE_LOG_FORMAT"] = "console"
    return settings.model_copy(update={"log_format": "console"})


def listen(settings: "Settings", environ: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """The sockets of the receiver: those that systemd passed in place of BRIDGE_BIND, or new ones.
    A connection waits in them while no receiver runs.

    Raises ClickException with the reason, such as a port in use.
    https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html"""
    passed = _passed_sockets(environ)
    sockets = passed or [_bound(settings.bind, "BRIDGE_BIND")]
    if settings.operations_bind is not None:
        port = _host_and_port(settings.operations_bind)[1]
        if port not in [passed_socket.getsockname()[1] for passed_socket in passed]:
            sockets.append(_bound(settings.operations_bind, "BRIDGE_OPERATIONS_BIND"))
    return sockets


def _passed_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environ.get("LISTEN_FDS", "0"))
    # gunicorn, and every child, would take them for its own as well.
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    descriptors = range(_FIRST_PASSED_SOCKET, _FIRST_PASSED_SOCKET + count)
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _bound(address: str, setting: str) -> socket.socket:
    host, port = _host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise click.ClickException(
            f"can't listen at {address}: {reason}. Choose another address in {setting}, or end the"
            " program that has this one."
        ) from exc


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def announce(settings: "Settings", sockets: Sequence[socket.socket] = ()) -> None:
    """Say what is where: in words on a terminal, as one log line elsewhere."""
    import structlog

    facts = {"database": _database_name(settings), "dry_run": settings.dry_run}
    if sockets:
        facts["listens_at"] = ", ".join(map(_address_of, sockets))
        facts["console"] = _console_address(settings, sockets)
    if not is_terminal(sys.stderr):
        structlog.get_logger(__name__).info("starting", **facts)
        return
    if sockets:
        click.echo(f"Webhooks: {facts['listens_at']}/webhooks/shipstation", err=True)
        hint = "off; `bridge init` makes a password, or set BRIDGE_CONSOLE_PASSWORD"
        click.echo(for_people(f"Console:  {facts['console'] or hint}"), err=True)
    click.echo(for_people(f"Database: {facts['database']}"), err=True)
    if settings.dry_run:
        click.secho("Dry run:  nothing is posted, only decided and shown.", err=True, fg="yellow")


def _address_of(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def _console_address(settings: "Settings", sockets: Sequence[socket.socket]) -> str | None:
    if settings.console_password is None:
        return None
    # Where the operations have an address of their own, it is the last one.
    return f"{_address_of(sockets[-1 if settings.operations_bind else 0])}/console/"


def _database_name(settings: "Settings") -> str:
    url = settings.database_url_masked
    return str(Path(url.partition(":///")[2]).absolute()) if url.startswith("sqlite:") else url


def notify_service_manager(state: str) -> None:
    """Tell systemd, where it asked to be told: READY=1, RELOADING=1, STOPPING=1.
    https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html"""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.sendto(state.encode(), address.replace("@", "\0", 1))
