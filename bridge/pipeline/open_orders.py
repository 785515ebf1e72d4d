"""Purple Dot's orders by the ids of their lines: it can't be asked for a line, but it lists orders
by date, so they are listed once and remembered."""

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.domain.orders import FulfillmentOrder
from bridge.vendors.purple_dot.client import PurpleDot

LOOK_BACK = timedelta(days=90)
LIST_EVERY = timedelta(minutes=1)
"""An order is ready for longer than this before a label is bought for it."""
_OVERLAP = timedelta(hours=1)


@dataclass(slots=True)
class OpenOrders:
    """What was listed so far; shared by the threads of a process."""

    _by_line: dict[str, FulfillmentOrder] = field(default_factory=dict)
    _foreign: set[str] = field(default_factory=set)
    _listed_at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def with_lines(
        self, line_ids: Collection[str], purple_dot: PurpleDot, *, now: datetime
    ) -> list[FulfillmentOrder]:
        """The orders that have these lines (ids in lower case), as they were listed. A line that a
        listing did not show is another system's, and costs no call again. Raises what the client
        raises."""
        with self._lock:
            unknown = set(line_ids) - self._by_line.keys() - self._foreign
            if unknown and self._is_old(now):
                self._list(purple_dot, now)
                self._foreign |= unknown - self._by_line.keys()
            orders = [self._by_line[line_id] for line_id in line_ids if line_id in self._by_line]
        return list({order.id: order for order in orders}.values())

    def _is_old(self, now: datetime) -> bool:
        return self._listed_at is None or now - self._listed_at >= LIST_EVERY

    def _list(self, purple_dot: PurpleDot, now: datetime) -> None:
        """All of the look-back the first time, later only what is new."""
        since = now - LOOK_BACK
        if self._listed_at is not None:
            since = max(since, self._listed_at - _OVERLAP)
        for order in purple_dot.orders_created_since(since):
            for line in order.lines:
                self._by_line[line.id.strip().lower()] = order
        self._listed_at = now
