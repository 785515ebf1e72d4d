"""One Chromium for all tests of a process, and a merchant's week to look at."""

import shutil
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

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
def seeded_stack(
    driver: Chrome,  # noqa: ARG001  # without a browser nobody looks at it
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Receiver and worker on 700 webhooks."""
    folder = tmp_path_factory.mktemp("week")
    with (
        seeded_world(folder) as (simulator, url),
        Stack(simulator, url, folder, {"BRIDGE_CONSOLE_PASSWORD": PASSWORD}) as stack,
    ):
        stack.start_both()
        yield stack
