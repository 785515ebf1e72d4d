"""The project's own promises: what stands at the top, what each make target does, who may import
whom, how the receiver is served."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bridge
from bridge.cli.commands import COMMANDS

ALLOWED_AT_THE_TOP = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "bridge",
    "deploy",
    "pyproject.toml",
    "requirements-dev.lock",
    "tests",
    "wsgi.py",
}
NECESSARY_SETTINGS = {
    "BRIDGE_WEBHOOK_TOKENS": "t0ken-of-the-front-door",
    "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
    "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
}


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
        timeout=120,
    )


@pytest.fixture(scope="session")
def tracked_files(project: Path) -> list[str]:
    if not (project / ".git").exists():
        pytest.skip("not a git checkout, so nothing tells which files belong to the project")
    listing = run("git", "ls-files", cwd=project)
    assert listing.returncode == 0, listing.stderr
    return listing.stdout.splitlines()


@pytest.fixture(scope="session")
def pyproject(project: Path) -> str:
    return (project / "pyproject.toml").read_text()


def planned(project: Path, *arguments: str) -> str:
    """What make would do for a target if nothing were installed yet, whatever the make that runs
    this test was told."""
    plan = run(
        "make",
        "--dry-run",
        "--always-make",
        *arguments,
        cwd=project,
        MAKEFLAGS="",
        PYTHON="python3",
        KEEP="",
    )
    assert plan.returncode == 0, plan.stderr
    return plan.stdout


# What belongs to the project


def test_nothing_unexpected_stands_at_the_top(tracked_files: list[str]) -> None:
    top = {name.split("/")[0] for name in tracked_files}

    assert {name for name in top if not name.startswith(".")} <= ALLOWED_AT_THE_TOP


def test_no_secret_and_no_database_is_tracked(tracked_files: list[str]) -> None:
    assert [name for name in tracked_files if re.search(r"(^|/)\.env$|\.db(-|$)", name)] == []


def test_wsgi_holds_the_wiring_call_and_nothing_else(project: Path) -> None:
    code = (project / "wsgi.py").read_text().split('"""')[2]

    assert code.split() == [
        "from",
        "bridge.web.app",
        "import",
        "create_app",
        "app",
        "=",
        "create_app()",
    ]


def test_docstring_of_the_package_maps_every_module(project: Path) -> None:
    modules = {
        path.stem
        for path in (project / "bridge").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert {
        name
        for name in modules
        if not name.startswith("__") and not re.search(rf"\b{name}\b", bridge.__doc__ or "")
    } == set()


@pytest.mark.parametrize(
    "package",
    [path.parent for path in Path(bridge.__file__).parent.rglob("*/__init__.py")],
    ids=str,
)
def test_docstring_of_each_room_names_every_file_of_it(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    modules = {path.stem for path in package.glob("[a-z]*.py")}
    if package.name == "cli":
        modules -= COMMANDS.keys()

    assert {name for name in modules if not re.search(rf"\b{name}\b", docstring)} == set()


def test_version_of_the_changelog_is_the_packages(project: Path) -> None:
    assert bridge.__version__ in (project / "CHANGELOG.md").read_text()


# The commands of a developer


@pytest.mark.parametrize(
    "target", ["demo", "run", "test", "lint", "format", "bench", "fuzz", "audit"]
)
def test_every_target_makes_its_own_venv_with_plain_python_and_pip(
    project: Path, target: str
) -> None:
    plan = planned(project, target)

    assert "python3 -m venv .venv" in plan
    assert ".venv/bin/python -m pip" in plan


def test_demo_and_run_install_nothing_that_only_develops(project: Path) -> None:
    assert "[dev]" not in planned(project, "demo") + planned(project, "run")


def test_demo_is_kept_running_on_wish(project: Path) -> None:
    assert ".venv/bin/bridge demo --keep" in planned(project, "demo", "KEEP=1")
    assert "--keep" not in planned(project, "demo")


@pytest.mark.parametrize(
    "tool", ["ruff check", "ruff format --check", "mypy", "lint-imports", "bandit", "pytest"]
)
def test_make_test_runs_every_judge(project: Path, tool: str) -> None:
    assert f".venv/bin/{tool}" in planned(project, "test")


def test_missing_python_is_told_with_what_to_do(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "Makefile", tmp_path)
    shutil.copy(project / "pyproject.toml", tmp_path)

    refused = run("make", "demo", "PYTHON=python-that-is-not-there", cwd=tmp_path, MAKEFLAGS="")

    assert refused.returncode != 0
    assert "Install Python 3.11 or later" in refused.stderr


def test_old_python_is_told_with_what_to_do(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "Makefile", tmp_path)
    shutil.copy(project / "pyproject.toml", tmp_path)
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 || exit 1\n')
    old.chmod(0o755)

    refused = run("make", "demo", f"PYTHON={old}", cwd=tmp_path, MAKEFLAGS="")

    assert refused.returncode != 0
    assert "is Python 3.9.2, and 3.11 or later is needed" in refused.stderr


def test_ci_runs_the_tests_where_no_skip_is_allowed(project: Path) -> None:
    script = project / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert run("bash", "-n", str(script), cwd=project).returncode == 0
    assert 'CI=true make "${1:-test}"' in script.read_text()


def test_skip_is_a_failure_in_ci_and_only_there(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_it(): pytest.skip('no browser here')\n"
    )
    pytest_alone = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        # Not the folder of the tests around it: pytest takes it from everybody but its owner.
        "--basetemp",
        str(tmp_path / "inner"),
        str(tmp_path),
    )

    at_home, in_ci = (
        run(*pytest_alone, cwd=tmp_path, CI=""),
        run(*pytest_alone, cwd=tmp_path, CI="true"),
    )

    assert (at_home.returncode, in_ci.returncode) == (0, 1)
    assert "no browser here" in in_ci.stdout


# Rules


def test_imports_keep_to_the_layers(project: Path, tmp_path: Path) -> None:
    lint_imports = Path(sys.executable).parent / "lint-imports"

    checked = run(
        str(lint_imports), "--config", "pyproject.toml", "--cache-dir", str(tmp_path), cwd=project
    )

    assert checked.returncode == 0, checked.stdout


def test_layers_leave_no_module_out(pyproject: str) -> None:
    (layers,) = [
        rule
        for rule in tomllib.loads(pyproject)["tool"]["importlinter"]["contracts"]
        if rule["type"] == "layers"
    ]

    assert layers["exhaustive"] is True
    assert "exhaustive_ignores" not in layers


def test_every_lint_ignore_has_its_reason_on_its_line(project: Path, pyproject: str) -> None:
    rules = re.findall(r'^  "[A-Z]+\d+",.*$', pyproject, re.MULTILINE)
    lines = [
        line
        for path in (project / "bridge").rglob("*.py")
        for line in path.read_text().splitlines()
    ]
    ignores = [line for line in lines if re.search(r"# (noqa|type: ignore)", line)]

    assert [line for line in rules if "  # " not in line] == []
    assert [
        line
        for line in ignores
        if not re.search(r"# (noqa: [A-Z\d, ]+|type: ignore\[[\w, -]+\]) +[#-] \w", line)
    ] == []


# How the receiver is served


def gunicorn(project: Path, tmp_path: Path) -> tuple[str, ...]:
    """The shipped configuration around an application that answers nothing of interest."""
    (tmp_path / "nothing.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('204 No Content', [])\n    return []\n"
    )
    config = project / "deploy" / "gunicorn.conf.py"
    return (
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        str(config),
        "--pythonpath",
        str(tmp_path),
        "nothing:app",
    )


def test_gunicorn_tells_wrong_settings_in_sentences(project: Path, tmp_path: Path) -> None:
    refused = run(*gunicorn(project, tmp_path), "--check-config", cwd=tmp_path)

    assert refused.returncode != 0
    assert "BRIDGE_WEBHOOK_TOKENS: is missing" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_gunicorns_processes_count_into_one_folder(project: Path, tmp_path: Path) -> None:
    command = gunicorn(project, tmp_path)
    told = "from prometheus_client import values\nprint(values.ValueClass.__name__)\n"
    (tmp_path / "nothing.py").write_text(told + (tmp_path / "nothing.py").read_text())
    own = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}

    env = own | NECESSARY_SETTINGS | {"TMPDIR": str(tmp_path)}
    checked = subprocess.run(
        [*command, "--check-config"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout.strip()) == (0, "MmapedValue")
    assert len(list(tmp_path.glob("bridge-metrics-*"))) == 1


def test_gunicorn_serves_as_the_settings_say_and_logs_one_json_line_for_each_event(
    project: Path, tmp_path: Path
) -> None:
    environ = (
        os.environ | NECESSARY_SETTINGS | {"BRIDGE_BIND": "127.0.0.1:0", "BRIDGE_WEB_WORKERS": "1"}
    )
    served = subprocess.Popen(
        gunicorn(project, tmp_path), cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True
    )
    assert served.stderr is not None
    lines = []
    for line in served.stderr:
        lines.append(line)
        if "Booting worker" in line:
            break
    served.terminate()
    _, rest = served.communicate(timeout=30)

    events = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert [event for event in events if "Listening at: http://127.0.0.1:" in event["event"]]
    assert {event["logger"] for event in events} == {"gunicorn.error"}
    assert served.returncode == 0
