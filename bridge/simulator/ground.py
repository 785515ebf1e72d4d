"""What both vendors of one world share: the lock, the clock, the counter that every id comes from, and the list of calls."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid5

_FAMILY = UUID("6f1f5a3e-6f0f-4f5d-9a55-0b7f5a1f0c11")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Ground:
    """Ids depend only on the order of the verbs, so the same story told twice has the same ids."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        self.lock = threading.RLock()
        self.now = now
        self.origin: str | None = None
        """Where this world is served; None until a simulator serves it."""
        self.calls: list[tuple[str, str]] = []
        """Each call of a client, in order, as (system, operation), such as `("purple_dot", "create_fulfillment")`."""
        self._counters: dict[str, int] = {}

    def count(self, operation: str) -> int:
        """How often an operation was called; `operation` is written `purple_dot.order`, or is a whole system, `purple_dot`."""
        with self.lock:
            return sum(operation in (system, f"{system}.{name}") for system, name in self.calls)

    def record_call(self, operation: str) -> None:
        system, _, name = operation.partition(".")
        with self.lock:
            self.calls.append((system, name or system))

    def next_number(self, kind: str, *, start: int = 1) -> int:
        with self.lock:
            number = self._counters.get(kind, start - 1) + 1
            self._counters[kind] = number
            return number

    def uuid(self, kind: str) -> str:
        return str(uuid5(_FAMILY, f"{kind}:{self.next_number(f'uuid of {kind}')}"))
