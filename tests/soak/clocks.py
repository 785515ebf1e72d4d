"""Wall clocks that jump: `python -m tests.soak.clocks FILE serve …` is the bridge on a machine
whose clock is so many seconds off as FILE says. The monotonic clock goes on as it always does."""

import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import bridge
from bridge.cli import main
from tests.soak import in_use

_HOUR = 3600
JUMPS = (-25 * _HOUR, -2 * _HOUR, -600, -90, 90, 600, 5 * _HOUR, 25 * _HOUR)


class MachineClock:
    """The clock of a machine that runs those of the bridge's processes that were started with
    `program`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    @property
    def program(self) -> Sequence[str]:
        return ("-m", "tests.soak.clocks", str(self._file))

    def set(self, seconds: int) -> None:
        """So many seconds ahead of the true time, from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)


class _LooksLikeTheOriginal(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class _Jumping(datetime, metaclass=_LooksLikeTheOriginal):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(seconds=_seconds_off())


def _seconds_off() -> int:
    return int(_file.read_text())


def _let_clock_jump() -> None:
    true_time = time.time
    time.time = lambda: true_time() + _seconds_off()
    for found in pkgutil.walk_packages(bridge.__path__, "bridge."):
        if "migrations" not in found.name and not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            if getattr(module, "datetime", None) is datetime:
                module.datetime = _Jumping  # type: ignore[attr-defined]


if __name__ == "__main__":
    _file = Path(sys.argv.pop(1))
    _let_clock_jump()
    in_use.note_from_now_on(in_use.file_of(_file.parent, os.getpid()))
    main(prog_name="bridge")
