"""A virtual bridge whose log is kept from the screen: on an empty database of each kind, or on
SQLite alone where a command is what is tried."""

import logging
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import Clock
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]


@pytest.fixture
def bridges(
    migrated_url: str,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[Callable[..., VirtualBridge]]:
    """Opens a bridge with these settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(VirtualBridge(migrated_url, clock, **settings))


@pytest.fixture
def bridge(bridges: Callable[..., VirtualBridge]) -> VirtualBridge:
    """With the keys of both APIs."""
    return bridges()


@pytest.fixture
def patient(bridges: Callable[..., VirtualBridge]) -> VirtualBridge:
    """Holds each delivery back for ten minutes."""
    return bridges(BRIDGE_HOLD_SECONDS="600")


@pytest.fixture
def sqlite_bridge(
    _migrated_file: Path,
    tmp_path: Path,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[VirtualBridge]:
    """For commands, which set up the log for their own process: that is undone."""
    handlers = list(logging.getLogger().handlers)
    (tmp_path / "bridge.db").write_bytes(_migrated_file.read_bytes())
    with VirtualBridge(f"sqlite:///{tmp_path / 'bridge.db'}", clock) as bridge:
        yield bridge
    logging.getLogger().handlers[:] = handlers
