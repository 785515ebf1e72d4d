"""`bridge demo`: shows the whole journey and checks it. It exits 0 when all came out right, and
only then."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import requests
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.cli.demo import ACTS
from bridge.simulator import Simulator


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it, where settings of another bridge lie around, and temporary
    files can be counted."""
    folder, temporary = tmp_path_factory.mktemp("elsewhere"), tmp_path_factory.mktemp("temporary")
    (folder / ".env").write_text("BRIDGE_HOLD_SECONDS=600\nBRIDGE_BIND=nonsense\n")
    environ = os.environ | {
        "BRIDGE_NOTIFY_CUSTOMER": "true",
        "http_proxy": "http://127.0.0.1:1",
        "TMPDIR": str(temporary),
    }
    command = [sys.executable, "-m", "bridge", "demo"]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert list(temporary.iterdir()) == []
    return done


def test_all_comes_out_right(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "\nEverything came out exactly as it must.\n" in demo.stdout


def test_no_address_is_printed_that_is_gone_already(
    demo: subprocess.CompletedProcess[str],
) -> None:
    assert "/console/" not in demo.stdout
    assert demo.stdout.endswith("make demo KEEP=1, or bridge demo --keep.\n")


def test_nothing_is_written_to_stderr(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.stderr == ""


@pytest.mark.parametrize("number", range(1, len(ACTS) + 1))
def test_each_act_is_shown_with_its_answer_and_what_purple_dot_received(
    demo: subprocess.CompletedProcess[str], number: int
) -> None:
    [shown] = [
        text
        for text in demo.stdout.split("\n\n")
        if text.startswith(f"{number}. {ACTS[number - 1].title}\n")
    ]

    assert f"answered 202; event {ACTS[number - 1].ends[0]}." in shown
    assert shown.count('"fulfillment_order_id": ') == (
        ACTS[number - 1].ends.count("delivered") if "processed" in ACTS[number - 1].ends else 0
    )
    assert ("Purple Dot received nothing." in shown) == ('"fulfillment"' not in shown)


def test_output_fits_100_columns_and_has_no_colours_where_there_is_no_terminal(
    demo: subprocess.CompletedProcess[str],
) -> None:
    assert max(len(line) for line in demo.stdout.splitlines()) <= 100
    assert "\x1b" not in demo.stdout


def test_readme_shows_what_it_really_prints(
    demo: subprocess.CompletedProcess[str], project: Path
) -> None:
    [shown] = re.findall(
        r"```\n(1\. .*?)```", (project / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    printed = iter(_without_port(demo.stdout).splitlines())

    kept = [line for line in _without_port(shown).splitlines() if line.strip() not in ("", "…")]

    assert [
        line for line in kept if line not in printed
    ] == []  # In the same order: the iterator is used up on the way.


def _without_port(text: str) -> str:
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", text)


def test_kept_demo_can_be_looked_at_from_its_folder_until_ctrl_c(tmp_path: Path) -> None:
    environ = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "demo", "--keep"],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        assert process.stdout
        told = _until("likewise", process.stdout)
        [folder], [story] = (
            re.findall(r"^  cd (.+)$", told, re.MULTILINE),
            re.findall(r"^  curl -X POST (\S+)$", told, re.MULTILINE),
        )
        looked = subprocess.run(
            [sys.executable, "-m", "bridge", "deliveries", "--json"],
            cwd=folder,
            capture_output=True,
            check=True,
        )
        shipped = requests.post(story, timeout=20).json()
        process.send_signal(signal.SIGINT)

    assert len(json.loads(looked.stdout)) == 6
    assert [webhook["answers"] for webhook in shipped["webhooks"]] == [[{"status": 202}]]
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def _until(word: str, stream: IO[str]) -> str:
    lines = []
    for line in stream:
        lines.append(line)
        if word in line:
            break
    return "".join(lines)


# When something is wrong


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The command catches them in this process, too."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def shown_by(vendors: Simulator) -> Result:
    """The command with these vendors, in this process."""
    return CliRunner().invoke(main, ["demo"], obj=vendors)


def test_refused_fulfillment_is_told_as_what_differed_and_the_exit_code_is_1() -> None:
    result = shown_by(Simulator(faults=["status:400:purple_dot.create_fulfillment"]))

    _, _, differences = result.output.partition("\nNot everything came out as it must:\n")
    assert result.exit_code == 1
    assert (
        "  A split order leaves in two parcels: ends: "
        "expected ('processed', 'delivered', 'delivered'), got " in differences
    )
    assert "'dead'" in differences


def test_fulfillment_and_email_that_nobody_asked_for_are_noticed() -> None:
    vendors = Simulator()
    order = vendors.world.add_order("PD1/1", [("EXTRA", 1)])
    vendors.world.accept_fulfillment(
        {"fulfillment": {"fulfillment_order_id": order.id, "notify_customer": True}}
    )

    result = shown_by(vendors)

    _, _, differences = result.output.partition("\nNot everything came out as it must:\n")
    assert result.exit_code == 1
    compared = [line for line in differences.splitlines() if ", got" in line]
    assert [line.partition(", got")[0].strip() for line in compared] == [
        "In all: fulfillments: expected 5",
        "In all: emails: expected []",
    ]
