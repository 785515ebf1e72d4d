"""An empty database of each kind, under a clock of the test's own. It is migrated once and then
only emptied, so that a test costs milliseconds."""

import shutil
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.store import tables
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from tests.conftest import BOTH_DATABASES
from tests.support.fakes import Clock, FakeFetcher, FakePurpleDot, WatchedDatabase
from tests.support.jobs import Jobs
from tests.support.rows import an_order, v1_label


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "bridge.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _migrated_server(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("postgres_server").url("bridge_tests")
    _migrate(url)
    return url


def _migrate(url: str) -> None:
    database = Database(url)
    migrate.upgrade(database)
    database.close()


@pytest.fixture(params=BOTH_DATABASES)
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind: a test that takes it runs on both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_migrated_file"), tmp_path / "bridge.db")
        return f"sqlite:///{tmp_path / 'bridge.db'}"
    url: str = request.getfixturevalue("_migrated_server")
    database = Database(url)
    with database.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())
    database.close()
    return url


@pytest.fixture
def opened(migrated_url: str, clock: Clock) -> Iterator[Callable[[], Database]]:
    """Opens the database once more, as another process would; safe to use from many threads."""
    with ExitStack() as stack:

        def open_it() -> Database:
            database = Database(migrated_url, clock=clock)
            stack.callback(database.close)
            return database

        yield open_it


@pytest.fixture
def database(migrated_url: str, clock: Clock) -> Iterator[WatchedDatabase]:
    """The database for a test of one thread: every transaction is held against the arrows of
    events.py."""
    watched = WatchedDatabase(migrated_url, clock=clock)
    yield watched
    watched.close()


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, kept instead of printed: a traceback drawn for people costs seconds."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
def jobs(
    database: WatchedDatabase,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Jobs:
    """Purple Dot has one order, ShipStation one label with all of it."""
    return Jobs(database, clock, FakePurpleDot(an_order()), FakeFetcher(v1_label()))
