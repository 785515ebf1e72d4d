"""The processes that `bridge run` starts: started again when they die, stopped gently together,
given up when they can't live."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from bridge.cli.processes import child_environment, notify_service_manager, on_signals

log = structlog.get_logger(__name__)

WRONG_USE = 2
"""The exit code of a command whose settings or options are wrong: no restart changes that."""

_LONGEST_PAUSE = 30.0
_MOST_QUICK_DEATHS = 6
_QUICK_SECONDS = 20.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after a pause."""

    pause: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End, with this exit code and for this reason."""

    exit_code: int
    reason: str


def after_death(exit_code: int, *, seconds_lived: float, quick_deaths: int) -> Restart | GiveUp:
    """What to do about a process that ended by itself. `quick_deaths` counts the times in a row,
    this one included, that it lived only for seconds."""
    if exit_code == WRONG_USE:
        return GiveUp(WRONG_USE, "its settings are wrong; see above")
    if seconds_lived >= _QUICK_SECONDS:
        return Restart(1.0)
    if quick_deaths >= _MOST_QUICK_DEATHS:
        return GiveUp(1, f"it ended {quick_deaths} times in a row right after its start")
    return Restart(min(_LONGEST_PAUSE, 2.0 ** (quick_deaths - 1)))


@dataclass(slots=True)
class Child:
    """One process, and how it has lived so far."""

    name: str
    command: Sequence[str]
    descriptors: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    quick_deaths: int = 0
    due_at: float | None = 0.0

    def start(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603  # our own command
            self.command,
            env=child_environment(),
            pass_fds=self.descriptors,
            # Ctrl-C reaches the parent alone, which stops its children in its own time.
            start_new_session=True,
        )
        self.started_at = time.monotonic()
        self.due_at = None

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


@dataclass
class Supervisor:
    """`run()` goes on until a signal, or until a child can't live; returns the exit code.

    SIGHUP lets the children take new settings, if `check` says that these are right: those in
    `reloads` by that signal, the others by a restart. `is_ready` is asked until it is true."""

    children: Sequence[Child]
    check: Callable[[], bool]
    is_ready: Callable[[], bool]
    reloads: Mapping[str, signal.Signals] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _reloading: threading.Event = field(default_factory=threading.Event)
    _was_ready: bool = False

    def run(self) -> int:
        on_signals(self._stopping.set)
        on_signals(self._reloading.set, signal.SIGHUP)
        exit_code = 0
        try:
            while not self._stopping.wait(_POLL_SECONDS):
                given_up = self._look_after_children()
                if given_up is not None:
                    exit_code = given_up.exit_code
                    break
                self._note_readiness()
                if self._reloading.is_set():
                    self._reloading.clear()
                    self._reload()
        finally:
            notify_service_manager("STOPPING=1")
            self._stop()
        return exit_code

    def _look_after_children(self) -> GiveUp | None:
        """Start what is due. Returns what can't live."""
        for child in self.children:
            if child.due_at is not None:
                if time.monotonic() >= child.due_at:
                    child.start()
                continue
            exit_code = child.process.poll() if child.process else None
            if exit_code is not None and (given_up := self._note_death(child, exit_code)):
                return given_up
        return None

    @staticmethod
    def _note_death(child: Child, exit_code: int) -> GiveUp | None:
        seconds_lived = time.monotonic() - child.started_at
        child.quick_deaths = child.quick_deaths + 1 if seconds_lived < _QUICK_SECONDS else 0
        decision = after_death(
            exit_code, seconds_lived=seconds_lived, quick_deaths=child.quick_deaths
        )
        death = log.bind(process=child.name, exit_code=exit_code)
        if isinstance(decision, GiveUp):
            death.error("process_given_up", reason=decision.reason)
            return decision
        death.warning("process_died", restart_after=decision.pause)
        child.due_at = time.monotonic() + decision.pause
        return None

    def _note_readiness(self) -> None:
        if not self._was_ready and self.is_ready():
            self._was_ready = True
            notify_service_manager("READY=1")

    def _reload(self) -> None:
        if not self.check():
            return
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notify_service_manager(f"RELOADING=1\nMONOTONIC_USEC={now}")
        for child in self.children:
            number = self.reloads.get(child.name)
            if number is not None:
                child.send(number)
                continue
            # A worker finishes what is in flight, and a new one takes over.
            child.send(signal.SIGTERM)
            if child.process is not None:
                self._wait_for(child.process, time.monotonic() + _STOP_SECONDS)
            child.start()
        log.info("settings_reloaded")
        notify_service_manager("READY=1")

    def _stop(self) -> None:
        for child in self.children:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self.children:
            if child.process is not None:
                self._wait_for(child.process, deadline)

    @staticmethod
    def _wait_for(process: subprocess.Popen[bytes], deadline: float) -> None:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bridge_command(*arguments: str) -> list[str]:
    """This very program, with these arguments."""
    return [sys.executable, "-m", "bridge", *arguments]
