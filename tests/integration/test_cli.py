"""The commands as a person calls them: help, tables, JSON, wrong use, wrong settings, and text from
outside that means harm."""

import csv
import io
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import click
import pytest
import structlog
from click.testing import CliRunner, Result
from sqlalchemy import update

from bridge import __version__
from bridge.cli import main
from bridge.domain.reasons import MEANINGS, Reason
from bridge.services import Services
from bridge.settings import Settings
from bridge.simulator import PurpleDotOrder, Simulator, World
from bridge.store.engine.database import Database
from bridge.store.engine.migrate import newest
from bridge.store.tables import events
from bridge.web.app import create_app
from tests.support.commands import COMMANDS
from tests.support.waiting import wait_until

Run = Callable[..., Result]

TOKEN = "token-of-these-tests"
NOBODY_WAITS = {
    "BRIDGE_RETRY_SCHEDULE": "0",
    "BRIDGE_WAIT_SCHEDULE": "0",
    "BRIDGE_CONFIRM_SCHEDULE": "0",
    "BRIDGE_RECONCILE_EVERY": "0",
}
ESCAPES = "\x1b[31m\x1b]0;owned\x07\x9b2J\u202e\r\n\x00"
"""Colours, a window title, a cleared screen, text from right to left, a line of its own."""


@dataclass
class Bridge:
    """A receiver and a worker in this process, between a simulator and a SQLite file; `env` leads
    the commands there."""

    simulator: Simulator
    env: Mapping[str, str]

    def __post_init__(self) -> None:
        self._settings = Settings.load(self.env)
        self._app = create_app(self._settings)
        self._door = self._app.test_client()

    def close(self) -> None:
        self._app.extensions["database"].close()

    @property
    def world(self) -> World:
        return self.simulator.world

    def post(self, raw: bytes, headers: Mapping[str, str]) -> str:
        """The id of the event that was stored, or nothing."""
        answer = self._door.post(
            "/webhooks/shipstation", data=raw, headers={**headers, "X-Bridge-Token": TOKEN}
        )
        return str((answer.json or {}).get("event_id", ""))

    def work(self) -> None:
        with Services.open(self._settings) as services:
            services.worker.run(once=True)

    def ship(self, order: PurpleDotOrder | str, *items: tuple[str, int]) -> str:
        """A label for these items (or the whole order) travels to its end; its event's id."""
        [label] = self.world.buy_labels(self.world.add_shipstation_order(order, items or None))
        event_id = self.post(*self.simulator.webhook(self.world.label_created_v2(label)))
        self.work()
        return event_id


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One parcel delivered, one held, one that is no pre-order, one body that is no JSON."""
    handlers = list(logging.getLogger().handlers)
    url = f"sqlite:///{tmp_path_factory.mktemp('cli') / 'bridge.db'}"
    with Simulator() as simulator:
        bridge = Bridge(
            simulator,
            simulator.env()
            | NOBODY_WAITS
            | {"BRIDGE_DATABASE_URL": url, "BRIDGE_WEBHOOK_TOKENS": TOKEN},
        )
        bridge.ship(bridge.world.add_order("PD700/1", [("TEE", 2)]))
        bridge.ship(bridge.world.add_order("PD700/2", [("CAP", 1)]), ("SCARF", 1))
        bridge.ship("100482")
        bridge.post(b"{", {})
        yield bridge
        bridge.close()
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


@pytest.fixture
def run(bridge: Bridge) -> Run:
    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
        wide = {"COLUMNS": "200"}
        return CliRunner().invoke(
            main, arguments, env=wide | dict(bridge.env if env is None else env)
        )

    return run


def rows(run: Run, *arguments: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(run(*arguments, "--json").stdout)
    return told


# Help


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself_without_any_settings(run: Run, name: str, flag: str) -> None:
    result = run(name, flag, env={})

    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: bridge {name}")
    assert COMMANDS[name].help


def every_command(
    commands: dict[str, click.Command], name: str = ""
) -> Iterator[tuple[str, click.Command]]:
    for part, command in commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command.commands, f"{name}{part} ")
        else:
            yield f"{name}{part}", command


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(*one, id=one[0]) for one in every_command(COMMANDS)]
)
def test_every_command_explains_each_of_its_options_and_prints_json_unless_it_goes_on(
    run: Run, name: str, command: click.Command
) -> None:
    """What README says of `--json`: all but `export`, `init` and the processes."""
    help_text = run(*name.split(), "--help", env={}).output
    options = {
        opt for param in command.params if isinstance(param, click.Option) for opt in param.opts
    }

    goes_on = {"init", "run", "serve", "work", "migrate", "simulator", "demo"}
    assert ("--json" in options) == (name not in goes_on | {"export"})
    assert [opt for opt in options if opt not in help_text] == []


@pytest.mark.parametrize("name", ["events", "deliveries", "audit"])
def test_lists_print_one_json_document_whatever_is_in_them(run: Run, name: str) -> None:
    assert isinstance(rows(run, name), list)
    assert isinstance(rows(run, name, "--since", "2020-01-01", "--limit", "1"), list)


def test_help_names_every_command(run: Run) -> None:
    output = run("--help", env={}).output

    assert [name for name in COMMANDS if f"\n  {name} " not in output] == []


def test_version_is_the_packages(run: Run) -> None:
    assert run("--version", env={}).output == f"bridge, version {__version__}\n"


# Looking


def test_deliveries_are_a_table_for_people(run: Run) -> None:
    head, *lines = run("deliveries").stdout.splitlines()

    assert head.split() == ["age", "status", "reason", "order", "items", "tracking", "number", "id"]
    assert [line.split()[2:5] for line in lines if "PD700/" in line] == [
        ["held", "unknown_line", "PD700/2"],
        ["delivered", "-", "PD700/1"],
    ]


def test_events_are_a_table_for_people(run: Run) -> None:
    shown = run("events", "--limit", "50").stdout.splitlines()
    lines = [line.split()[2:5] for line in shown[-4:]]

    assert lines == [
        ["unknown", "rejected", "bad_json"],
        ["LABEL_CREATED_V2", "ignored", "not_a_purple_dot_order"],
        ["LABEL_CREATED_V2", "processed", "-"],
        ["LABEL_CREATED_V2", "processed", "-"],
    ]
    assert ["PD700/2 held" in shown[-2], "PD700/1 delivered" in shown[-1]] == [True, True]


def test_lists_are_narrowed_and_a_cut_is_told(run: Run) -> None:
    assert {
        row["status"] for row in rows(run, "deliveries", "--status", "delivered", "--since", "1h")
    } == {"delivered"}
    assert rows(run, "deliveries", "--search", "PD700/1")[0]["line_items"][0] | {"id": ""} == {
        "id": "",
        "quantity": 2,
        "sku": "TEE",
    }
    assert rows(run, "events", "--type", "SHIP_NOTIFY") == []
    assert run("events", "--until", "2020-01-01").stdout == "No results.\n"
    assert "--limit shows more" in run("events", "--limit", "1").stderr


@pytest.mark.parametrize(
    "key",
    [
        "id",
        "tracking_number",
        "reference",
        "order_number",
        "fulfillment_order_id",
        "shipstation_shipment_id",
    ],
)
def test_show_finds_a_delivery_by_whatever_a_person_has(run: Run, key: str) -> None:
    [delivery] = rows(run, "deliveries", "--search", "PD700/1")

    told = json.loads(run("show", delivery[key], "--json").stdout)

    assert told["id"] == delivery["id"]
    assert (
        told["attempt_history"][0]["request"]["fulfillment"]["tracking_info"]["number"]
        == delivery["tracking_number"]
    )


def test_show_tells_the_reason_and_what_to_do(run: Run) -> None:
    output = run("show", "PD700/2").stdout

    assert MEANINGS[Reason.UNKNOWN_LINE].sentence in output
    assert MEANINGS[Reason.UNKNOWN_LINE].shell_step in output
    assert "SCARF" in output


@pytest.mark.parametrize("text", ["dlv_0000", "PD9", "nothing"])
def test_what_is_not_there_is_told_with_what_to_do(run: Run, text: str) -> None:
    result = run("show", text)

    assert result.exit_code == 1
    assert "bridge find" in result.stderr


def test_beginning_that_fits_several_is_refused_with_their_ids(run: Run) -> None:
    ids = [row["id"] for row in rows(run, "deliveries")]

    result = run("show", "dlv_")

    assert result.exit_code == 1
    assert all(delivery_id in result.stderr for delivery_id in ids[-2:])


def test_empty_database_is_created_and_has_nothing_to_tell(
    run: Run, bridge: Bridge, tmp_path: Path
) -> None:
    env = {**bridge.env, "BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'new.db'}"}

    name = env["BRIDGE_DATABASE_URL"]
    created = run("migrate", env=env).stdout
    assert created == f"The database {name} went from empty to {newest()}.\n"
    assert run("migrate", env=env).stdout == f"The database {name} is at version {newest()}.\n"
    assert run("deliveries", env=env).stdout == "No results.\n"


READING = {
    "audit": [],
    "deliveries": ["--status", "held"],
    "events": [],
    "exceptions": [],
    "explain": ["x"],
    "export": [],
    "find": ["x"],
    "reopen": ["x", "--reason", "x"],
    "resolve": ["x", "--as", "delivered", "--reason", "x"],
    "restored": [],
    "retry": ["x"],
    "show": ["x"],
    "tail": [],
}
"""What reads the database, or works on what is in it: none of these needs another setting."""


@pytest.mark.parametrize("name", READING)
def test_reading_never_creates_a_database_and_names_the_one_it_looked_for(
    run: Run, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "nowhere" / "bridge.db"
    file.parent.mkdir()

    result = run(name, *READING[name], env={"BRIDGE_DATABASE_URL": f"sqlite:///{file}"})

    assert result.exit_code == 2
    assert f"There is no database at {file}." in result.stderr
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["audit", "deliveries", "events", "export", "show"])
def test_reading_needs_only_the_database(run: Run, bridge: Bridge, name: str) -> None:
    arguments = ["PD700/1"] if name == "show" else []
    env = {
        "BRIDGE_DATABASE_URL": bridge.env["BRIDGE_DATABASE_URL"],
        "BRIDGE_ALERT_URLS": "no url",
        "BRIDGE_HOLD_SECONDS": "soon",
    }

    assert run(name, *arguments, env=env).exit_code == 0


def test_env_file_that_can_not_be_read_stops_who_reads_the_database(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may name another database than the one that is looked at without it."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(b"BRIDGE_DATABASE_URL=\xff\xfe")

    result = run("events", env={})

    assert (result.exit_code, ".env: can't be read" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("error", "installed"),
    [
        (ModuleNotFoundError("No such module", name="apprise"), "apprise"),
        (ModuleNotFoundError("No such module", name="psycopg.rows"), "psycopg[binary]"),
        (ModuleNotFoundError("No such module", name="dotenv"), "python-dotenv"),
        (ZoneInfoNotFoundError("No time zone found"), "tzdata"),
    ],
)
def test_package_that_is_missing_is_named_with_how_to_install_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, installed: str
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr("bridge.cli.audit.open_database", fails)

    result = run("audit")

    assert result.exit_code == 1
    assert "is missing. Install it where the bridge is installed:" in result.stderr
    assert f"-m pip install '{installed}'`" in result.stderr


def test_output_that_is_closed_or_full_is_no_stack_trace(bridge: Bridge) -> None:
    environ = {**os.environ, **bridge.env}
    listing = shlex.join([sys.executable, "-m", "bridge", "deliveries"])

    closed, full = (
        subprocess.run(
            ["sh", "-c", f"{listing} {output}"], env=environ, capture_output=True, check=False
        )
        for output in (">&-", ">/dev/full")
    )

    assert (closed.returncode, closed.stderr) == (0, b"")
    assert full.returncode == 1
    assert full.stderr == b"Error: The disk is full: what it says can't be written.\n"


def test_database_of_another_version_is_not_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()

    result = run("events", env={"BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}"})

    assert result.exit_code == 2
    assert "empty.db is empty" in result.stderr
    assert "`bridge migrate` fills it" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["show"], ["explain"], ["retry"], ["find"], ["deliveries", "--search"], ["events", "--order"]],
)
def test_argument_that_is_no_text_is_refused_in_a_sentence(run: Run, arguments: list[str]) -> None:
    """Python makes such characters of bytes that are no UTF-8."""
    result = run(*arguments, "PD\udcff")

    assert result.exit_code == 2
    assert "An argument holds bytes that are no text in UTF-8." in result.stderr


@pytest.mark.parametrize("bind", ["foo", "127.0.0.1:", "127.0.0.1:http"])
def test_address_without_a_port_is_refused_in_a_sentence(run: Run, bind: str) -> None:
    result = run("work", "--once", "--metrics-bind", bind)

    assert result.exit_code == 2
    assert f"--metrics-bind {bind}: has no port; write a free host:port" in result.stderr


def test_endless_argument_is_cut_in_the_answer(run: Run) -> None:
    result = run("show", "x" * 5_000)

    assert result.exit_code == 1
    assert len(result.output) < 300


# Exceptions


def test_exceptions_are_grouped_by_reason_with_what_to_do(run: Run) -> None:
    result = run("exceptions")

    meaning = MEANINGS[Reason.UNKNOWN_LINE]
    assert result.exit_code == 1
    assert f"{meaning.title}: " in result.stdout
    assert meaning.sentence in result.stdout
    assert "PD700/2" in result.stdout


# The terminal


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", ["events", "deliveries", "audit", "exceptions"])
@pytest.mark.usefixtures("hostile")
def test_tables_fit_the_terminal(run: Run, bridge: Bridge, name: str, width: int) -> None:
    lines = run(name, env={**bridge.env, "COLUMNS": str(width)}).stdout.splitlines()

    too_wide = [line for line in lines if len(line) > width and "  " in line]
    assert too_wide == []


def test_hints_use_the_name_the_command_was_called_by(bridge: Bridge) -> None:
    name = "purpledot-shipstation-bridge"

    result = CliRunner().invoke(main, ["explain", "PD700/2"], env=dict(bridge.env), prog_name=name)

    assert f"`{name} retry" in result.stdout
    assert "`bridge" not in result.stdout


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("eventz", "events"), ("delivery", "deliveries"), ("status", "doctor"), ("retyr", "retry")],
)
def test_command_that_is_none_is_answered_with_what_was_meant(
    run: Run, typed: str, meant: str
) -> None:
    result = run(typed)

    assert result.exit_code == 2
    assert f"Did you mean {meant!r}?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([*name.split(), "--help"] for name in COMMANDS)],
    ids=lambda arguments: arguments[-2] if len(arguments) > 1 else "bridge",
)
def test_help_loads_neither_database_nor_web_server(arguments: list[str]) -> None:
    code = (
        "import sys; from bridge.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "print('LOADED', [name for name in ('sqlalchemy', 'flask', 'pydantic', 'requests')"
        " if name in sys.modules])"
    )

    output = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    ).stdout

    assert "LOADED []" in output


def test_completion_answers_from_the_list_of_commands() -> None:
    output = subprocess.run(
        [sys.executable, "-m", "bridge"],
        env={"_BRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": "bridge ex", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output.split() == ["plain,exceptions", "plain,explain", "plain,export"]


def test_type_that_is_none_is_told(run: Run) -> None:
    assert (
        "No event type is called label; there are LABEL" in run("events", "--type", "label").stdout
    )


def test_until_before_since_is_wrong_use(run: Run) -> None:
    result = run("events", "--since", "1d", "--until", "2d")

    assert (result.exit_code, "--until is before --since" in result.stderr) == (2, True)


def test_server_that_is_not_there_is_told_without_its_password(run: Run, bridge: Bridge) -> None:
    pytest.importorskip("psycopg")
    env = {
        **bridge.env,
        "BRIDGE_DATABASE_URL": "postgresql+psycopg://bridge:very-secret@127.0.0.1:1/bridge",
    }

    results = [run(*arguments, env=env) for arguments in (["migrate"], ["events"])]

    assert [result.exit_code for result in results] == [1, 1]
    assert not any(
        "very-secret" in result.output or "Traceback" in result.output for result in results
    )


# Mending


def test_what_was_mended_in_shipstation_goes_out_on_retry(run: Run, bridge: Bridge) -> None:
    order = bridge.world.add_order("PD701/1", [("TEE", 1)])
    bridge.ship(order, ("SHIRT", 1))
    [held] = rows(run, "deliveries", "--search", "PD701/1")
    shipment = bridge.world.shipstation_orders[-1]
    shipment.items = bridge.world.add_shipstation_order(order).items

    retried = run("retry", held["id"])
    bridge.work()

    assert (retried.exit_code, held["status"], order.status) == (0, "held", "FULFILLED")


def test_delivered_is_not_retried_and_the_exit_code_says_so(run: Run) -> None:
    [delivered] = rows(run, "deliveries", "--search", "PD700/1")

    result = run("retry", delivered["id"], "dlv_nothing", "--json")

    assert result.exit_code == 1
    assert [row["done"] for row in json.loads(result.stdout)] == [False, False]


def test_dead_event_goes_out_on_retry_and_no_other_event_is_tried_again(
    run: Run, bridge: Bridge
) -> None:
    order = bridge.world.add_order("PD711/1", [("TEE", 1)])
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    event_id = bridge.post(*bridge.simulator.webhook(bridge.world.label_created_v2(label)))
    with (
        closing(Database(bridge.env["BRIDGE_DATABASE_URL"])) as database,
        database.begin() as connection,
    ):
        connection.execute(
            update(events)
            .where(events.c.id == event_id)
            .values(status="dead", due_at=None, waiting_pointer=None)
        )

    retried = run("retry", event_id)
    bridge.work()
    again = run("retry", event_id)

    assert (retried.exit_code, order.status, again.exit_code) == (0, "FULFILLED", 1)
    assert f"{event_id}: is tried again now" in retried.output


def test_ambiguous_parcel_goes_out_once_a_person_linked_it(run: Run, bridge: Bridge) -> None:
    first, second = (bridge.world.add_order(f"PD702/{number}", [("TEE", 1)]) for number in (1, 2))
    shipment = bridge.world.add_shipstation_order(
        first, custom_fields=(second.reference, None, None)
    )
    [label] = bridge.world.buy_labels(shipment)
    bridge.post(*bridge.simulator.webhook(bridge.world.label_created_v2(label)))
    bridge.work()
    [held] = rows(run, "deliveries", "--status", "held", "--search", str(label.tracking_number))

    linked = run("link", shipment.shipment_id, second.reference)
    bridge.work()

    assert (held["reason"], linked.exit_code) == ("ambiguous_order", 0)
    assert (first.status, second.status) == ("UNFULFILLED", "FULFILLED")


def test_order_that_purple_dot_does_not_have_is_not_linked(run: Run) -> None:
    [held] = rows(run, "deliveries", "--search", "PD700/2")

    result = run("link", held["id"], "PD999999/9")

    assert (result.exit_code, "Purple Dot has no fulfillment order" in result.stderr) == (1, True)


def test_exception_that_was_mended_outside_is_closed_with_its_why(run: Run, bridge: Bridge) -> None:
    bridge.ship(bridge.world.add_order("PD703/1", [("TEE", 1)]), ("SHIRT", 1))
    [held] = rows(run, "deliveries", "--search", "PD703/1")

    resolved = run("resolve", held["id"], "--as", "cancelled", "--reason", "the parcel came back")

    assert resolved.exit_code == 0
    assert "the parcel came back" in run("explain", held["id"]).stdout
    assert rows(run, "deliveries", "--search", "PD703/1")[0]["status"] == "cancelled"


def test_resolve_is_undone_and_its_first_reason_is_back(run: Run, bridge: Bridge) -> None:
    bridge.ship(bridge.world.add_order("PD707/1", [("TEE", 1)]), ("SHIRT", 1))
    [held] = rows(run, "deliveries", "--search", "PD707/1")
    run("resolve", held["id"], "--as", "cancelled", "--reason", "the wrong one")

    reopened = run("reopen", held["id"], "--reason", "closed by mistake")

    [again] = rows(run, "deliveries", "--search", "PD707/1")
    assert (reopened.exit_code, again["status"], again["reason"]) == (0, "held", "unknown_line")


# Purple Dot's open orders


def test_open_orders_show_what_was_posted_and_what_is_missing(run: Run, bridge: Bridge) -> None:
    order = bridge.world.add_order("PD708/1", [("TEE", 2), ("CAP", 1)])
    bridge.ship(order, ("TEE", 2))

    [shown] = [row for row in rows(run, "orders", "--open") if row["reference"] == "PD708/1"]
    lines = {line["sku"]: (line["posted"], line["missing"]) for line in shown["line_items"]}
    assert lines == {"TEE": (2, 0), "CAP": (0, 1)}
    assert [parcel["status"] for parcel in shown["parcels"]] == ["delivered"]
    assert shown["shipstation_fields"]["external_shipment_id"] == order.id
    assert "2 of 2 x TEE, 0 of 1 x CAP" in run("orders").stdout


def test_order_that_was_posted_whole_is_not_open(run: Run) -> None:
    assert "PD700/1" not in [row["reference"] for row in rows(run, "orders", "--open")]
    assert "PD700/1" in [row["reference"] for row in rows(run, "orders")]


# What happens, as it happens


def test_tail_prints_what_comes_in_until_ctrl_c(bridge: Bridge, tmp_path: Path) -> None:
    output = tmp_path / "tail.log"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "tail", "--last", "2"],
            env=os.environ | dict(bridge.env),
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_until(lambda: output.read_text().count("\n") >= 2, 30, "the last two")
        bridge.ship(bridge.world.add_order("PD709/1", [("TEE", 1)]))
        wait_until(lambda: "PD709/1" in output.read_text(), 30, "the new parcel")
    finally:
        process.send_signal(signal.SIGINT)
        exit_code = process.wait(30)

    text = output.read_text()
    assert (exit_code, "Traceback" in text) == (0, False)
    assert "parcel   delivered    PD709/1  1 x TEE" in text


def test_why_nothing_happened_is_explained(run: Run) -> None:
    [ignored, *_] = rows(run, "events", "--status", "ignored")

    assert MEANINGS[Reason.NOT_A_PURPLE_DOT_ORDER].sentence in run("explain", ignored["id"]).stdout


def test_what_was_ignored_can_be_told_once_more_as_readme_says(run: Run, bridge: Bridge) -> None:
    bridge.ship("100483", ("TEE", 1))
    order, shipment = (
        bridge.world.add_order("PD704/1", [("TEE", 1)]),
        bridge.world.shipstation_orders[-1],
    )
    shipment.shipment_number = order.reference
    pointer = (
        f"{bridge.simulator.url}/shipments?trackingNumber={bridge.world.labels[-1].tracking_number}"
    )
    body = json.dumps({"resource_type": "SHIP_NOTIFY", "resource_url": pointer}).encode()

    bridge.post(body, {"Content-Type": "application/x-www-form-urlencoded"})
    bridge.work()

    assert (order.status, len(rows(run, "deliveries", "--search", "PD704/1"))) == ("FULFILLED", 1)


def test_export_is_a_table_for_spreadsheets(run: Run) -> None:
    exported = list(csv.DictReader(io.StringIO(run("export").stdout)))

    [row] = [row for row in exported if row["reference"] == "PD700/1"]
    assert (row["status"], row["line_items"], row["tracking_company"]) == (
        "delivered",
        "2 x TEE",
        "UPS",
    )


# JSON


@pytest.mark.parametrize(
    "arguments",
    [
        ["events"],
        ["deliveries"],
        ["show", "PD700/1"],
        ["explain", "PD700/2"],
        ["retry", "PD700/1"],
        ["deliveries", "--search", "x"],
    ],
)
def test_json_is_one_document_and_nothing_else(run: Run, arguments: list[str]) -> None:
    result = run(*arguments, "--json")

    assert isinstance(json.loads(result.stdout), list | dict)
    assert result.stdout.endswith(("]\n", "}\n"))


# Wrong use


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["show"],
        ["retry"],
        ["link", "se-1"],
        ["events", "--limit", "0"],
        ["events", "--since", "soon"],
        ["events", "--status", "delivered"],
        ["deliveries", "--status", "lost"],
        ["resolve", "dlv_1", "--as", "lost", "--reason", "x"],
        ["resolve", "dlv_1", "--as", "delivered"],
        ["run", "--workers", "0"],
        ["simulator", "--fault", "nothing"],
    ],
)
def test_wrong_use_exits_2_and_says_what_is_wrong(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Error: " in result.stderr


OFFLINE = {"simulator", "demo", "backup"}
TOLERANT = {"init", "doctor"}
"""They go on with what is right, and have tests of their own."""
WHATEVER = {
    "alerts": ["test"],
    "webhooks": ["list"],
    "ship": [__file__],
    "link": ["x", "y"],
    "replay": ["x"],
}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - OFFLINE - TOLERANT - set(READING)))
def test_all_mistakes_in_the_settings_are_told_at_once_and_no_value(run: Run, name: str) -> None:
    wrong = {
        "BRIDGE_WEBHOOK_TOKENS": "too-short-secret!",
        "BRIDGE_HOLD_SECONDS": "soon",
        "BRIDGE_BINDD": "127.0.0.1:1",
    }

    result = run(name, *WHATEVER.get(name, []), env=wrong)

    assert result.exit_code == 2
    told = [
        f"BRIDGE_{name}" in result.stderr
        for name in (
            "WEBHOOK_TOKENS",
            "HOLD_SECONDS",
            "BINDD",
            "PURPLE_DOT_ACCESS_TOKEN",
            "SHIPSTATION_API_KEY",
        )
    ]
    assert all(told)
    assert "too-short-secret" not in result.output


# Text from outside


@pytest.fixture
def hostile(bridge: Bridge) -> list[str]:
    """Parcels, an order and a body that are full of escapes; their events' ids."""
    sku = f"MUG{ESCAPES}"
    delivered = bridge.ship(
        bridge.world.add_order(f"PD705/{bridge.world.next_number('hostile')}", [(sku, 1)]), (sku, 1)
    )
    held = bridge.ship(
        bridge.world.add_order(f"PD706/{bridge.world.next_number('hostile')}", [("MUG", 1)]),
        (sku, 1),
    )
    unknown = bridge.ship(f"PD{ESCAPES}", (sku, 1))
    bridge.post(f'{{"resource_type": "{ESCAPES}"'.encode(), {"User-Agent": "curl\x9b31m"})
    bridge.post(json.dumps({"resource_type": "SHIP_NOTIFY", "resource_url": ESCAPES}).encode(), {})
    return [delivered, held, unknown]


def test_text_from_outside_can_not_bend_the_terminal(run: Run, hostile: list[str]) -> None:
    ids = [
        *hostile,
        *(
            row["id"]
            for name in ("deliveries", "events")
            for row in rows(run, name, "--limit", "3")
        ),
    ]
    calls = [
        ["events"],
        ["deliveries"],
        ["exceptions", "--limit", "20"],
        ["find", "mug"],
        ["orders"],
        ["audit"],
        *([name, one] for name in ("show", "explain") for one in ids),
    ]

    outputs = {
        " ".join(call): run(*call).output
        for call in [*calls, *([*call, "--json"] for call in calls)]
    }
    outputs["export"] = run("export").output

    bent = {
        call: {char for char in output if not char.isprintable() and char != "\n"}
        for call, output in outputs.items()
    }
    assert {call: chars for call, chars in bent.items() if chars} == {}
    assert any("MUG" in output for output in outputs.values())


@pytest.mark.usefixtures("hostile")
def test_json_keeps_text_from_outside_as_it_is(run: Run) -> None:
    [line] = rows(run, "deliveries", "--status", "delivered", "--limit", "1")[0]["line_items"]

    assert line["sku"].startswith("MUG\x1b[31m\x1b]0;owned\x07\x9b2J\u202e")
