"""What holds for every test: no settings from the machine, a folder of its own, and no silent skip in CI."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither BRIDGE_ variables nor a `.env` of the machine reach a test; files it makes by relative paths are its own."""
    for name in [name for name in os.environ if name.upper().startswith("BRIDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout's folder."""
    return Path(__file__).parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """With CI=true everything must be there, so what would be skipped fails with the same reason."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and CI=true allows no skip: {report.longrepr[-1]}"
    return report
