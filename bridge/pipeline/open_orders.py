"""Purple Dot's orders as it lists them by date, remembered: it can't be asked for a line; and to
ask for each id that only has the form of its own would cost calls for another shop's parcels."""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.domain.orders import FulfillmentOrder
from bridge.vendors.purple_dot.client import PurpleDot

LOOK_BACK = timedelta(days=90)
LIST_EVERY = timedelta(minutes=1)
"""An order is ready for longer than this before a label is bought for it."""
FOREIGN_FOR = timedelta(days=1)
"""So long the goods of another shop are remembered as such."""
MANY_SKUS = 5
"""A shop of which so many different things left under another system's ids has more of them."""
_OVERLAP = timedelta(hours=1)


@dataclass(slots=True)
class OpenOrders:
    """What was listed so far; shared by the threads of a process."""

    _by_line: dict[str, FulfillmentOrder] = field(default_factory=dict)
    _order_ids: set[str] = field(default_factory=set)
    _foreign: set[str] = field(default_factory=set)
    _denied: set[str] = field(default_factory=set)
    _foreign_skus: dict[str, datetime] = field(default_factory=dict)
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

    def worth_asking(
        self, skus_by_id: Mapping[str, Collection[str]], purple_dot: PurpleDot, *, now: datetime
    ) -> set[str]:
        """Those of these ids (in lower case, each with the goods in its parcel) for which Purple
        Dot must be asked one by one: it lists them, or nothing like their goods left under another
        system's ids lately. Raises what the client raises."""
        with self._lock:
            doubtful = {
                order_id for order_id, skus in skus_by_id.items() if self._are_foreign(skus, now)
            }
            if doubtful - self._order_ids and self._is_old(now):
                self._list(purple_dot, now)
            return set(skus_by_id) - (doubtful - self._order_ids)

    def _are_foreign(self, skus: Collection[str], now: datetime) -> bool:
        lately = {
            sku
            for sku, denied_at in self._foreign_skus.items()
            if abs(now - denied_at) <= FOREIGN_FOR
        }
        return len(lately) >= MANY_SKUS or (bool(lately) and lately.issuperset(skus))

    def note_denied(self, order_id: str, skus: Collection[str], *, now: datetime) -> None:
        """Purple Dot does not show this id. Where it says so a second time, it is another
        system's, and the goods in its parcel may be taken for another shop's."""
        with self._lock:
            if order_id not in self._denied:
                self._denied.add(order_id)
                return
            self._denied.discard(order_id)
            self._foreign_skus |= dict.fromkeys(skus, now)

    def _is_old(self, now: datetime) -> bool:
        return self._listed_at is None or now - self._listed_at >= LIST_EVERY

    def _list(self, purple_dot: PurpleDot, now: datetime) -> None:
        """All of the look-back the first time, later only what is new."""
        since = now - LOOK_BACK
        if self._listed_at is not None:
            since = max(since, self._listed_at - _OVERLAP)
        for order in purple_dot.orders_created_since(since):
            self._order_ids.add(order.id.lower())
            for line in order.lines:
                self._by_line[line.id.strip().lower()] = order
        self._listed_at = now
