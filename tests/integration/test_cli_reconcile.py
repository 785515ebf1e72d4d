"""`bridge reconcile` for people and for cron: what it tells, what it writes, and its exit codes."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.simulator import Simulator, World

pytest_plugins = ["tests.support.database_fixtures"]

Run = Callable[..., Result]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Its clock is an hour slow: what is shipped in it is no news any more."""
    with Simulator(World(now=lambda: datetime.now(UTC) - timedelta(hours=1))) as simulator:
        yield simulator


@pytest.fixture
def world(simulator: Simulator) -> World:
    return simulator.world


@pytest.fixture
def run(simulator: Simulator, _migrated_file: Path, tmp_path: Path) -> Iterator[Run]:
    handlers = list(logging.getLogger().handlers)
    (tmp_path / "bridge.db").write_bytes(_migrated_file.read_bytes())
    own = {
        "BRIDGE_WEBHOOK_TOKENS": "a-token-of-the-tests",
        "BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'bridge.db'}",
    }
    with structlog.testing.capture_logs():
        yield lambda *arguments: CliRunner().invoke(main, arguments, env=simulator.env() | own)
    logging.getLogger().handlers[:] = handlers


def test_all_is_well_with_exit_code_0(run: Run) -> None:
    result = run("reconcile")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "All is well."


def test_missed_shipment_goes_in_and_is_delivered_by_the_worker(run: Run, world: World) -> None:
    order = world.add_order()
    world.buy_labels(world.add_shipstation_order(order))

    first = run("reconcile", "--since", "3h")
    run("work", "--once")
    again = run("reconcile", "--since", "3h", "--json")

    assert (first.exit_code, again.exit_code, order.status) == (0, 0, "FULFILLED")
    assert "LABEL_CREATED_V2        1       1       0         0" in first.stdout
    assert "1 event of the sweep" in first.stdout
    assert first.stdout.splitlines()[-1] == "Nothing needs a person so far."
    assert [row["missed"] for row in json.loads(again.stdout)["swept"]] == [0, 0, 0, 0]
    assert (
        "found by the sweep"
        in run("explain", json.loads(run("events", "--json").stdout)[0]["id"]).stdout
    )


def test_commands_close_the_database_when_they_end(run: Run, tmp_path: Path) -> None:
    """SQLite keeps two files beside it for as long as anybody has it open."""
    for command in (["reconcile"], ["work", "--once"], ["replay", "--since", "1d"]):
        run(*command)

        assert [path.name for path in tmp_path.glob("bridge.db*") if path.suffix != ".lock"] == [
            "bridge.db"
        ], command


def test_dry_run_shows_it_and_leaves_it(run: Run, world: World) -> None:
    world.buy_labels(world.add_shipstation_order(world.add_order()))

    told = json.loads(run("reconcile", "--dry-run", "--json").stdout)

    assert (told["dry_run"], [one["event_type"] for one in told["enqueued"]]) == (
        True,
        ["LABEL_CREATED_V2"],
    )
    assert "nothing of it was processed" in run("reconcile", "--dry-run").stdout
    assert json.loads(run("events", "--json").stdout) == []


def test_who_swept_by_hand_is_in_the_audit_list(run: Run) -> None:
    run("reconcile", "--dry-run")
    run("reconcile", "--since", "3h")

    assert [act["action"] for act in json.loads(run("audit", "--json").stdout)] == ["reconcile"]


def test_difference_is_told_with_what_to_do_and_exit_code_1(run: Run, world: World) -> None:
    order = world.add_order(status="FULFILLED")

    result, told = run("reconcile"), run("reconcile", "--json")

    assert (result.exit_code, told.exit_code) == (1, 1)
    assert f"{order.reference} ({order.id})" in result.stdout
    assert "Find out who else posts fulfillments" in result.stdout
    assert [one["what"] for one in json.loads(told.stdout)["differences"]] == [
        "fulfilled_elsewhere"
    ]


def test_what_waits_for_a_person_is_exit_code_1(run: Run, world: World) -> None:
    world.buy_labels(world.add_shipstation_order(world.add_order(), [("OTHER-SKU", 1)]))
    run("reconcile")
    run("work", "--once")

    result = run("reconcile")

    assert (result.exit_code, "1 exception waiting" in result.stdout) == (1, True)


@pytest.mark.parametrize("since", ["soon", "2999-01-01"])
def test_wrong_use_is_exit_code_2(run: Run, since: str) -> None:
    assert run("reconcile", "--since", since).exit_code == 2


def test_vendor_that_fails_is_told_with_exit_code_1(run: Run, simulator: Simulator) -> None:
    simulator.inject("shipstation.labels", "status:503")

    result = run("reconcile")

    assert (
        result.exit_code,
        result.stderr.startswith("Error: ShipStation V2 labels: answered 503"),
    ) == (1, True)


def test_find_looks_a_number_up_at_both_vendors(run: Run, world: World) -> None:
    order = world.add_order("PD940/1", [("TEE", 2)])
    [label] = world.buy_labels(world.add_shipstation_order(order))

    here = run("find", "pd940")
    looked_up = run("find", "pd940", "--look-up")
    value = json.loads(run("find", "pd940", "--look-up", "--json").stdout)

    assert here.exit_code == 1
    assert "All parcels, by order number or reference that begins with #PD940 or PD940" in (
        here.stdout
    )
    assert "`bridge find TEXT --look-up` asks ShipStation and Purple Dot." in here.stdout
    assert looked_up.exit_code == 0
    assert f"A label of order PD940/1: {label.tracking_number}" in looked_up.stdout
    assert "→ No webhook of it came. `bridge reconcile --since 1d`" in looked_up.stdout
    assert [answer["vendor"] for answer in value["vendors"]] == [
        "ShipStation V2",
        "ShipStation V1",
        "Purple Dot",
    ]


def test_find_without_a_look_up_needs_no_vendor(run: Run) -> None:
    assert json.loads(run("find", "PD940", "--json").stdout)["vendors"] is None
