"""The named ways to fail, per operation and count, and the box in which they lie until a call meets them."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Moment: TypeAlias = Literal["slow", "instead", "late", "spoil"]
ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """`moment`: `slow` only delays; `instead` answers and nothing is done; `late` does it later; `spoil` does it and spoils the answer."""

    moment: Moment
    summary: str
    default: float | None = None
    """The argument when none is given; None means that the fault takes no argument."""


FAULTS: dict[str, FaultKind] = {
    "status": FaultKind("instead", "status:CODE answers with that status, nothing done", 500),
    "throttle": FaultKind("instead", "throttle:SECONDS answers 429 with Retry-After in seconds", 1),
    "throttle_date": FaultKind("instead", "throttle_date:SECONDS answers 429 with Retry-After as an HTTP date", 1),
    "delay": FaultKind("slow", "delay:SECONDS waits before doing anything, then goes on as always", 1),
    "drop_before": FaultKind("instead", "closes the connection before anything is done"),
    "drop_after_commit": FaultKind("spoil", "does it, then closes the connection without an answer"),
    "commit_late": FaultKind("late", "commit_late:READS closes at once; done only after so many reads of the order, or by apply_late", 1),
    "error_after_commit": FaultKind("spoil", "does it, then answers 500"),
    "empty_first": FaultKind("spoil", "answers a list without rows"),
    "redirect_login": FaultKind("instead", "redirects to a login page, nothing done"),
    "not_json": FaultKind("spoil", "does it, then answers 200 with a web page"),
    "truncated": FaultKind("spoil", "does it, then breaks off in the middle of the answer"),
    "success_false": FaultKind("instead", "answers 200 with meta.success false, nothing done"),
    "huge": FaultKind("spoil", "does it, then answers with 32 MiB"),
    "drip": FaultKind("spoil", "drip:SECONDS does it, then sends the answer one byte at a time, so far apart", 1),
}


@dataclass(slots=True)
class Fault:
    """One fault lying in wait; `count` None is for ever."""

    name: str
    argument: float
    operation: str
    count: int | None

    @property
    def kind(self) -> FaultKind:
        return FAULTS[self.name]

    def meets(self, operation: str) -> bool:
        return self.operation in ("*", operation, f"{operation.partition('.')[0]}.*")

    def __str__(self) -> str:
        argument = "" if self.kind.default is None else f":{self.argument:g}"
        return f"{self.name}{argument}:{self.operation}:{ALWAYS if self.count is None else self.count}"


def parse_fault(text: str) -> Fault:
    """`NAME[:argument][:operation[:count]]`, where count is a number or `always`; ValueError with a sentence otherwise."""
    name, *rest = text.strip().split(":")
    if name not in FAULTS:
        raise ValueError(f"There is no fault {name!r}; there are: {', '.join(FAULTS)}.")
    argument = FAULTS[name].default
    if argument is not None and rest and _is_number(rest[0]):
        argument = float(rest.pop(0))
    operation, count, *too_much = [*rest, "", ""]
    if any(too_much):
        raise ValueError(f"{text!r} has too many parts; write NAME[:argument][:operation[:count]].")
    return Fault(name, argument or 0.0, operation or "*", _count(count or "1"))


def _count(text: str) -> int | None:
    if text == ALWAYS:
        return None
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"A count is a number from 1 up, or {ALWAYS}; not {text!r}.")
    return int(text)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


class FaultBox:
    """Faults wait in the order in which they were put in; each call uses up one, besides any delay."""

    def __init__(self, faults: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = [parse_fault(text) for text in faults]

    def put(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def waiting(self) -> list[str]:
        with self._lock:
            return [str(fault) for fault in self._faults]

    def take(self, operation: str) -> list[Fault]:
        """The faults that this call meets: every delay, and the first of all others."""
        with self._lock:
            met = [fault for fault in self._faults if fault.meets(operation)]
            delays = [fault for fault in met if fault.kind.moment == "slow"]
            taken = delays + [fault for fault in met if fault.kind.moment != "slow"][:1]
            for fault in taken:
                self._use(fault)
            return taken

    def _use(self, fault: Fault) -> None:
        if fault.count is None:
            return
        fault.count -= 1
        if fault.count == 0:
            # By identity: two equal faults may lie in the box.
            self._faults = [other for other in self._faults if other is not fault]
