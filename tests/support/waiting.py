"""Waiting for what another process does: until a condition holds, for so long at most, and no
longer than needed."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

_LOOK_EVERY = 0.02
_PATIENCE = 4
"""How much slower than the writer's a busy machine may be. Only a test that fails waits so long."""


def wait_until(predicate: Callable[[], T], seconds: float, what: str) -> T:
    """The first true answer of `predicate`; the test fails, naming `what` was waited for, when none
    comes within `seconds` of a calm machine."""
    pause, deadline = threading.Event(), time.monotonic() + seconds * _PATIENCE
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s for {what}, in vain")
        pause.wait(_LOOK_EVERY)
    return answer
