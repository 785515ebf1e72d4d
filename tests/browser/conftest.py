"""One Chromium for all tests of a process, and a merchant's week to look at."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from bridge.simulator import Simulator
from tests.support.browser import PASSWORD
from tests.support.seeded_world import seeded_world
from tests.support.stack import Stack

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("chromium and chromedriver are not on this machine")
    options = ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = Chrome(options=options, service=Service(str(programs[1])))
    driver.set_script_timeout(300)  # axe-core looks at thousands of elements on a busy machine.
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def week(
    driver: Chrome,  # noqa: ARG001  # without a browser nobody looks at it
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Simulator, Path]]:
    """700 webhooks: the simulator that they came from, and their database, which stays as it is."""
    folder = tmp_path_factory.mktemp("week")
    with seeded_world(folder) as (simulator, file):
        yield simulator, file


@pytest.fixture(scope="module")
def seeded_stack(
    week: tuple[Simulator, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Receiver and worker on a copy of the week, so that what one file of tests does to it is gone
    in the next."""
    simulator, original = week
    folder = tmp_path_factory.mktemp("copy")
    file = folder / "bridge.db"
    with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(file)) as copy:
        source.backup(copy)
    settings = {"BRIDGE_CONSOLE_PASSWORD": PASSWORD}
    with Stack(simulator, f"sqlite:///{file}", folder, settings) as stack:
        stack.start_both()
        yield stack
