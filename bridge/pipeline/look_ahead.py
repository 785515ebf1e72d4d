"""Asks Purple Dot for the orders that a label names by itself while ShipStation is asked for the
order behind it: two calls side by side instead of one after the other."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Self

from bridge.domain.events import Record
from bridge.domain.shipments import LOOKED_UP
from bridge.pipeline.find_orders import NO_ANSWERS, KnownAnswers, Resolver
from bridge.vendors.shipstation.shipments import shipment_of

_MOST_THREADS = 32
"""More than a worker has events at a time, by default; the next one waits for a free one."""


def new_threads() -> ThreadPoolExecutor:
    """For all that one process asks ahead; a thread starts when it is first needed."""
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="ahead")


@dataclass(slots=True)
class Ahead:
    """What is asked ahead for one event: `begin` starts it, nothing of it is under way any more
    when the block ends."""

    resolver: Resolver
    threads: ThreadPoolExecutor
    _answer: Future[KnownAnswers] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        if self._answer is not None:
            wait([self._answer])

    def begin(self, rows: Sequence[Record]) -> None:
        """Ask for what these rows name, if anything."""
        shipments = [shipment_of(row) for row in rows]
        named = [shipment for shipment in shipments if shipment.state in LOOKED_UP]
        if self.resolver.names_orders(named):
            # In the event's own lane, and in its lines of log.
            run_in_context = copy_context().run
            self._answer = self.threads.submit(run_in_context, self.resolver.ask_ahead, named)

    def answers(self) -> KnownAnswers:
        """What Purple Dot said; raises what the client raised."""
        return NO_ANSWERS if self._answer is None else self._answer.result()
