"""A whole bridge in virtual time that keeps to the vendors' real limits: what a backlog takes of
the allowed calls, and how long live work waits beside it, whatever the machine."""

import threading
from collections.abc import Mapping
from typing import Any

from bridge.services import Services
from bridge.settings import Settings
from bridge.vendors.http import ApiClient
from bridge.vendors.rate_limit import Budget, calls_in
from tests.support.fakes import Clock
from tests.support.virtual_bridge import VirtualBridge

V2_A_MINUTE, V1_A_MINUTE, PURPLE_DOT_A_MINUTE = 200, 40, 120
"""What the vendors allow, and the settings' defaults."""
LIMITS = {
    "BRIDGE_SHIPSTATION_RATE_PER_MINUTE": str(V2_A_MINUTE),
    "BRIDGE_SHIPSTATION_V1_RATE_PER_MINUTE": str(V1_A_MINUTE),
    "BRIDGE_PURPLE_DOT_RATE_PER_MINUTE": str(PURPLE_DOT_A_MINUTE),
}


class _VirtualWait(threading.Event):
    """A worker that does not stop, and whose waits are virtual."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.advance(timeout or 0)
        return False


class _InItsLane:
    """A job as the worker runs it: each piece of work's calls in its own lane."""

    def __init__(self, job: Any) -> None:
        self.job = job

    def run(self, *task: Any, owner: str) -> Any:
        with calls_in(task[0].lane):
            return self.job.run(*task, owner=owner)


class PacedBridge(VirtualBridge):
    """Work that has made no call yet never waits for its turn, as where all threads that may are
    waiting already: it comes back later. Other work waits, and time passes."""

    def _services(self, settings: Settings) -> Services:
        wait = _VirtualWait(self.clock)
        return Services(settings, self.database, stopping=wait, wrap=_without_waiting)

    def _create_jobs(self, settings: Settings) -> Mapping[Any, Any]:
        jobs = super()._create_jobs(settings)
        return {queue: _InItsLane(job) for queue, job in jobs.items()}


def _without_waiting(api: ApiClient) -> ApiClient:
    budget = getattr(api.before_call, "__self__", None)
    assert isinstance(budget, Budget)
    budget.waiters = 0
    return api
