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
from packaging.requirements import Requirement

import bridge


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


def test_two_builds_give_the_same_bytes(project: Path, built: Path, tmp_path: Path) -> None:
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(project),
        cwd=tmp_path,
    )

    first = {path.name: path.read_bytes() for path in built.iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_nobody_is_sent_to_install_a_name_that_is_not_published(project: Path) -> None:
    texts = [
        *project.glob("*.md"),
        *(project / "docs").glob("*.md"),
        *(project / "deploy").glob("*"),
        *(project / "bridge").rglob("*.py"),
    ]
    named = re.compile(r"(pip|pipx|uvx?|uv tool) (install|run)?[^\n`]*purpledot-shipstation-bridge")

    assert [
        path.name
        for path in texts
        if path.is_file() and named.search(path.read_text(encoding="utf-8"))
    ] == []


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

    assert "\nEverything came out exactly as it must.\n" in shown


# The lock files


def requirements(project: Path) -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for, by the lock file that must hold it."""
    pyproject = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    installed = pyproject["project"]["dependencies"]
    for extra in pyproject["project"]["optional-dependencies"].values():
        installed = [*installed, *extra]
    develops = pyproject["dependency-groups"]["dev"]
    return {
        "deploy/requirements.lock": [Requirement(line) for line in installed],
        "requirements-dev.lock": [Requirement(line) for line in [*installed, *develops]],
    }


def pinned(project: Path, lock: str) -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==([\w.+-]+)", (project / lock).read_text(), re.MULTILINE)
    return dict(lines)


@pytest.mark.parametrize("lock", ["deploy/requirements.lock", "requirements-dev.lock"])
def test_lock_holds_what_pyproject_asks_for(project: Path, lock: str) -> None:
    """`make lock` renews it."""
    versions = pinned(project, lock)

    for requirement in requirements(project)[lock]:
        assert requirement.name in versions, f"{lock}: {requirement} is missing: make lock"
        assert versions[requirement.name] in requirement.specifier, requirement


@pytest.mark.parametrize("lock", ["deploy/requirements.lock", "requirements-dev.lock"])
def test_each_version_in_the_lock_has_its_hashes(project: Path, lock: str) -> None:
    text = (project / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())

    assert len(entries) >= 30
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_both_locks_agree(project: Path) -> None:
    shipped = pinned(project, "deploy/requirements.lock")
    develops = pinned(project, "requirements-dev.lock")

    assert {name: develops[name] for name in shipped} == shipped


def test_what_is_imported_is_declared(project: Path) -> None:
    declared = {
        requirement.name.replace("-", "_")
        for requirement in requirements(project)["deploy/requirements.lock"]
    }
    names = {"python_dotenv": "dotenv"}
    imported = set()
    for path in (project / "bridge").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        imported |= set(re.findall(r"^\s*(?:from|import) ([a-z_0-9]+)", source, re.MULTILINE))

    known = {names.get(name, name) for name in declared} | {"bridge"} | sys.stdlib_module_names
    assert imported - known == {"pydantic_core"}, "pydantic pins that one itself"
