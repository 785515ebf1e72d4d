"""The package: built without the network, whole, and at work in a venv where the checkout is out of
reach."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import bridge
from tests.support.lowest_versions import lowest


def run(*command: str, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made of it."""
    folder = tmp_path_factory.mktemp("dist")
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(project),
        cwd=folder,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `bridge` and `python` of a new venv are: it has the wheel, and borrows this one's
    libraries, whose bridge stays unseen."""
    venv = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(venv), cwd=venv.parent)
    python = venv / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
        cwd=venv.parent,
    )
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # A .pth there, as of the editable bridge, is not read.
    return python.parent


def test_version_stands_in_one_place_and_is_the_packages(project: Path, metadata: Message) -> None:
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())

    assert "version" not in pyproject["project"]
    assert metadata["Version"] == bridge.__version__


def test_wheel_holds_every_file_of_the_package_and_nothing_else(project: Path, wheel: Path) -> None:
    here = {
        str(path.relative_to(project))
        for path in (project / "bridge").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert there == here
    assert {
        "bridge/py.typed",
        "bridge/translate/carriers.csv",
        "bridge/web/console/templates/base.html",
    } <= there


def test_sdist_holds_what_it_takes_to_test_and_to_run_it_and_no_secret(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "LICENSE",
        "Makefile",
        "wsgi.py",
        "tests/conftest.py",
        "deploy/Dockerfile",
        "deploy/systemd/bridge.service",
    } <= names
    assert [
        name for name in names if re.search(r"(^|/)(\.env|\.venv|build)(/|$)|\.db(-|$)", name)
    ] == []


def test_extras_are_what_readme_tells_to_install(project: Path, metadata: Message) -> None:
    named = re.findall(
        r"purpledot-shipstation-bridge\[(\w+)\]", (project / "README.md").read_text()
    )

    assert set(named) <= set(metadata.get_all("Provides-Extra", []))


def test_installed_bridge_is_the_wheels_and_knows_its_version(
    programs: Path, tmp_path: Path
) -> None:
    home = run(
        str(programs / "python"), "-c", "import bridge; print(bridge.__file__)", cwd=tmp_path
    )

    assert Path(home.strip()).is_relative_to(programs.parent)
    assert (
        run(str(programs / "bridge"), "--version", cwd=tmp_path)
        == f"bridge, version {bridge.__version__}\n"
    )
    assert "drop_after_commit" in run(
        str(programs / "bridge"), "simulator", "--list-faults", cwd=tmp_path
    )


def test_demo_comes_out_right_from_there(programs: Path, tmp_path: Path) -> None:
    shown = run(str(programs / "bridge"), "demo", cwd=tmp_path)

    assert shown.endswith("Everything came out exactly as it must.\n")


def test_lowest_versions_cover_all_that_is_installed_and_nothing_that_only_develops() -> None:
    extras = {"postgres": ["psycopg[binary]>=3.2.1"], "dev": ["ours[postgres]", "ruff>=0.9"]}

    assert lowest({"dependencies": ["flask>=3.1"], "optional-dependencies": extras}) == [
        "flask==3.1",
        "psycopg==3.2.1",
    ]


@pytest.mark.parametrize("unbound", ["flask", "flask>3", "flask<4,>=3"])
def test_dependency_without_a_plain_lower_bound_is_refused(unbound: str) -> None:
    with pytest.raises(ValueError, match="write it as name>=version"):
        lowest({"dependencies": [unbound], "optional-dependencies": {}})
