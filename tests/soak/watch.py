"""How much each process holds: memory, open files, threads, from /proc; the first quarter against
the last."""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.support.stack import Process

_EVERY = 5.0


@dataclass(frozen=True)
class Sample:
    """Memory that several processes share counts once (PSS)."""

    mebibytes: float
    files: int
    threads: int


def sample(process: Process) -> Sample | None:
    """Of the whole process group, since a receiver is gunicorn and its children; None when it is
    gone."""
    kibibytes = files = threads = 0
    for folder in Path("/proc").iterdir():
        with suppress(OSError, TypeError):
            if folder.name.isdigit() and os.getpgid(int(folder.name)) == process.pid:
                kibibytes += int(
                    re.search(r"Pss:\s+(\d+)", (folder / "smaps_rollup").read_text())[1]
                )
                threads += sum(1 for _ in (folder / "task").iterdir())
                files += sum(1 for _ in (folder / "fd").iterdir())
    return Sample(kibibytes / 1024, files, threads) if threads else None


class Watch:
    """Samples every few seconds until `stopping` is set."""

    def __init__(self, processes: Mapping[str, Callable[[], Process]]) -> None:
        self._processes = processes
        self.samples: dict[str, list[Sample]] = {name: [] for name in processes}
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(_EVERY):
            for name, process in self._processes.items():
                seen = sample(process())
                if seen is not None:
                    self.samples[name].append(seen)

    def quarters(self, name: str) -> tuple[Sample, Sample]:
        """Medians of the first quarter, without its first sixth, in which all is still being
        loaded, and of the last."""
        seen = self.samples[name]
        quarter = max(1, len(seen) // 4)
        return _median(seen[quarter // 6 : quarter]), _median(seen[-quarter:])


def _median(samples: list[Sample]) -> Sample:
    def of(name: str) -> float:
        return float(median(getattr(one, name) for one in samples))

    return Sample(of("mebibytes"), int(of("files")), int(of("threads")))


def clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S" if seconds >= 3600 else "%M:%S", time.gmtime(seconds))
