"""Every command line that the pages show is run, against both vendors' simulators and a
database with a parcel in it."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import main
from tests.project.test_docs import command_lines
from tests.support.commands import COMMANDS
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]

PROCESSES = {
    "run": "end_to_end/test_run.py",
    "serve": "end_to_end/test_run.py",
    "work": "faults/test_kill.py",
    "simulator": "integration/test_simulator.py",
    "demo": "end_to_end/test_demo.py",
    "tail": "integration/test_cli.py",
}
"""They go on until they are stopped, each in tests of its own."""

_SPEAKS_OF_IT = {
    "webhooks",
    "alerts",
    "backup",
    "explain",
    "find",
    "link",
    "replay",
    "resolve",
    "retry",
    "ship",
    "show",
    "webhooks ensure",
}
"""By their bare name: to be run, they need more."""


def lines() -> list[str]:
    split = [(line, shlex.split(line)[1:]) for line in command_lines()]
    return [
        line
        for line, (name, *rest) in split
        if name not in PROCESSES and " ".join([name, *rest]) not in _SPEAKS_OF_IT
    ]


@pytest.fixture
def bridge(sqlite_bridge: VirtualBridge) -> VirtualBridge:
    """A parcel is held: its item stands on no line of its order."""
    bridge = sqlite_bridge
    order = bridge.world.add_order("PD800/1", [("TEE", 1)])
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order, [("SHIRT", 1)]))
    bridge.send(bridge.world.label_created_v2(label))
    bridge.settle()
    return bridge


@pytest.mark.parametrize("line", lines())
def test_command_line_of_the_pages_runs(bridge: VirtualBridge, line: str, tmp_path: Path) -> None:
    [delivery], [event] = bridge.deliveries(), bridge.events()
    (tmp_path / "rows.csv").write_text(
        "shipment_id,tracking_number,carrier_code\nse-404,1ZB7X0410366666666,ups\n"
    )
    file = "rows.csv" if " ship " in line else "copy.db"
    values = {
        "ID": delivery["id"],
        "DELIVERY": delivery["id"],
        "EVENT": event["id"],
        "SHIPMENT": delivery["shipstation_record_id"],
        "FULFILLMENT_ORDER": "PD800/1",
        "VERSION": "0001",
        "URL": "https://bridge.example.com",
        "HOST:PORT": "127.0.0.1:9464",
        "TEXT": "fulfilled by hand",
        "FILE": str(tmp_path / file),
    }
    arguments = [values.get(word.rstrip("…"), word) for word in shlex.split(line)[1:]]

    result = CliRunner().invoke(
        main,
        arguments,
        env=bridge.environ | {"BRIDGE_ALERT_URLS": "json://127.0.0.1:9/"},
        catch_exceptions=False,
    )

    assert result.exit_code in ({0, 1, 2} if arguments[0] == "doctor" else {0, 1}), result.output
    assert result.output.strip() or arguments[0] == "init"


@pytest.mark.parametrize("name", PROCESSES)
def test_process_of_the_pages_has_a_test_that_runs_it(name: str, project: Path) -> None:
    assert name in COMMANDS
    texts = [
        (project / "tests" / file).read_text(encoding="utf-8")
        for file in (PROCESSES[name], "support/stack.py")
    ]
    assert any(f'"{name}"' in text for text in texts)
