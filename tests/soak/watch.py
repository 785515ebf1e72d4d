"""How much each process holds: memory, open files, threads, from /proc, quarter by quarter. And for
how long anything stood still without a sign of it."""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, select

from bridge.domain.errors import StorageError
from bridge.store import rate_limits, workers
from bridge.store.engine.database import Database
from bridge.store.leases import QUEUES
from tests.soak import in_use
from tests.support.stack import Process

_EVERY = 5.0
_MORE_IN_USE = 1.08
"""In half of half an hour: for each webhook that one of three workers takes, four kilobytes or
fifty objects."""
_SILENT_AFTER = 60.0
_LONGEST_WISH = rate_limits.LONGEST_PAUSE * 1.1


@dataclass(frozen=True)
class Sample:
    """Memory that several processes share counts once (PSS). `blocks` and `allocated` are what the
    first of them has in use, of Python's memory and of glibc's (bytes)."""

    mebibytes: float
    files: int
    threads: int
    blocks: int = 0
    allocated: int = 0


def sample(process: Process, folder: Path) -> Sample | None:
    """Of the whole process group, since a receiver is gunicorn and its children; None when it is
    gone."""
    kibibytes = files = threads = 0
    for entry in Path("/proc").iterdir():
        with suppress(OSError, TypeError):
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == process.pid:
                kibibytes += int(
                    re.search(r"Pss:\s+(\d+)", (entry / "smaps_rollup").read_text())[1]
                )
                threads += sum(1 for _ in (entry / "task").iterdir())
                files += sum(1 for _ in (entry / "fd").iterdir())
    blocks = allocated = 0
    with suppress(OSError):
        blocks, allocated = in_use.read(in_use.file_of(folder, process.pid))
    return Sample(kibibytes / 1024, files, threads, blocks, allocated) if threads else None


class Watch:
    """Samples every few seconds until `stopping` is set."""

    def __init__(self, processes: Mapping[str, Callable[[], Process]], folder: Path) -> None:
        self._processes, self._folder = processes, folder
        self.samples: dict[str, list[Sample]] = {name: [] for name in processes}
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(_EVERY):
            for name, process in self._processes.items():
                seen = sample(process(), self._folder)
                if seen is not None:
                    self.samples[name].append(seen)

    def quarters(self, name: str) -> list[Sample]:
        """The median of each, of the first without its first sixth, in which all is still being
        loaded."""
        seen = self.samples[name]
        quarter = max(1, len(seen) // 4)
        first = _median(seen[quarter // 6 : quarter])
        return [first, *(_median(seen[quarter * n : quarter * (n + 1)]) for n in (1, 2, 3))]


def is_leak(quarters: Sequence[Sample]) -> bool:
    """Work comes at an even rate, so a leak goes on once the caches are full, after the first
    quarter."""
    second, last = quarters[1], quarters[-1]
    return (
        last.blocks > second.blocks * _MORE_IN_USE
        or last.allocated > second.allocated * _MORE_IN_USE
    )


class Silence:
    """Watches each piece of open work until `stopping` is set. It may stand still until it is due,
    and for a minute; `silent` are those that stood for longer while no sign said why: each worker
    lived, each vendor was well, the database answered. `longest` are seconds past its time.

    A moment in the ledger is not believed, as clocks jump: the longest wait of the schedules is
    granted to all, and what a vendor wished for no longer than it may be kept to."""

    def __init__(self, database: Database, rates: Mapping[str, int], longest_wait: float) -> None:
        self._database, self._rates, self._longest_wait = database, rates, longest_wait
        self._seen: dict[str, tuple[Any, float]] = {}
        """By row: its state, and when it may be expected to have changed."""
        self._excused_at = time.monotonic()
        self.silent: set[str] = set()
        self.longest = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(1):
            try:
                with self._database.read() as connection:
                    self._look(connection, time.monotonic())
            except StorageError:
                self._excused_at = time.monotonic()

    def _look(self, connection: Connection, now: float) -> None:
        seen_before, self._seen = self._seen, {}
        for queue in QUEUES:
            names = ("id", "status", "due_at", "claims", "attempts")
            is_open = queue.c.due_at.is_not(None)
            rows = select(*(queue.c[name] for name in names)).where(is_open)
            for state in map(tuple, connection.execute(rows)):
                before = seen_before.get(state[0])
                is_same = before is not None and before[0] == state
                expected_at = now + self._granted(state[2])
                self._seen[state[0]] = before if is_same else (state, expected_at)
        if self._says_why(connection):
            self._excused_at = now
        for state, expected_at in self._seen.values():
            late = now - max(expected_at, self._excused_at)
            self.longest = max(self.longest, late)
            if late > _SILENT_AFTER:
                status, due_at = state[1:3]
                self.silent.add(f"{state[0]} ({status}, due at {due_at:%H:%M:%S})")

    def _granted(self, due_at: datetime) -> float:
        planned = (due_at - datetime.now(UTC)).total_seconds()
        return max(self._longest_wait, min(planned, _LONGEST_WISH))

    def _says_why(self, connection: Connection) -> bool:
        """Some sign that a person or a monitor would see."""
        now = datetime.now(UTC)
        states = (
            rate_limits.state(connection, system, per_minute=rate, now=now).state
            for system, rate in self._rates.items()
        )
        return any(state != "ok" for state in states) or not workers.is_alive(connection, now=now)


def _median(samples: list[Sample]) -> Sample:
    def of(name: str) -> float:
        return float(median(getattr(one, name) for one in samples))

    return Sample(
        of("mebibytes"),
        int(of("files")),
        int(of("threads")),
        int(of("blocks")),
        int(of("allocated")),
    )


def clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S" if seconds >= 3600 else "%M:%S", time.gmtime(seconds))
