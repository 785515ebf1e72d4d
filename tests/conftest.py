"""What holds for every test: no settings from the machine, a folder of its own, and no silent skip
in CI."""

import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from bridge.simulator import Simulator
from bridge.store import rate_limits
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.vendors.http import SYSTEMS
from tests.support.postgres import Server, running_server
from tests.support.stack import Stack

# A law is about values: on a busy machine an example that takes long breaks none.
settings.register_profile("values", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("values")

# What a shell starts in the background ignores Ctrl-C, and so would all that a test starts there.
signal.signal(signal.SIGINT, signal.default_int_handler)

BOTH_DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither BRIDGE_ variables nor a `.env` of the machine reach a test; files it makes by
    relative paths are its own."""
    for name in [name for name in os.environ if name.upper().startswith("BRIDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout's folder."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL of our own, for this process of the test run."""
    with (
        tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder,
        running_server(Path(folder)) as server,
    ):
        yield server


@contextmanager
def _empty_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'bridge.db'}"
        return
    server: Server = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex}"
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=BOTH_DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind: a test that takes it runs on both."""
    with _empty_database(request, tmp_path) as url:
        yield url


@pytest.fixture(scope="module", params=BOTH_DATABASES)
def module_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The same for all tests of a module together."""
    with _empty_database(request, tmp_path_factory.mktemp("database")) as url:
        yield url


@pytest.fixture
def own_database(database_url: str) -> Iterator[Database]:
    """A migrated database of the test's own, under the machine's clock, of each kind."""
    database = Database(database_url)
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """A simulator and a migrated database of each kind; the test starts the processes."""
    with Simulator() as simulator, Stack(simulator, database_url, tmp_path) as stack:
        yield stack


@pytest.fixture(scope="module")
def _running_stack(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with (
        Simulator() as simulator,
        Stack(simulator, module_database_url, tmp_path_factory.mktemp("stack")) as stack,
    ):
        stack.start_receiver()
        stack.start_worker()
        yield stack


@pytest.fixture
def running_stack(_running_stack: Stack) -> Iterator[Stack]:
    """Receiver and worker, started once on each kind of database for all tests of a module; each
    test makes orders of its own."""
    yield _running_stack
    _running_stack.simulator.faults.clear()
    _running_stack.show()
    # What one test made the vendors do must not make the next one wait.
    with _running_stack.database.begin() as connection:
        now = _running_stack.database.now(connection)
        for system in SYSTEMS:
            rate_limits.lift(connection, system, now=now)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """With CI=true everything must be there, so what would be skipped fails with the same
    reason."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped, and CI=true allows no skip: {report.longrepr[-1]}"
        )
    return report
