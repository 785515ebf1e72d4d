"""`bridge ship`: a file of tracking numbers becomes marks in ShipStation, each once, each mistake
told before anything is sent."""

import csv
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.cli.ship import _checked
from bridge.simulator import Simulator
from bridge.store.engine.database import Database

OPERATION = "shipstation.create_fulfillments"
HEADER = "shipment_id,tracking_number,carrier_code"
Run = Callable[..., Result]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def run(simulator: Simulator, tmp_path: Path) -> Run:
    """`bridge ship rows.csv` with this text in it."""
    env = simulator.env() | {
        "BRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'bridge.db'}",
        "BRIDGE_WEBHOOK_TOKENS": "token-of-these-tests",
    }

    def invoke(
        text: str | bytes, *options: str, file: str = "rows.csv", **more: str | None
    ) -> Result:
        Path("rows.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return CliRunner().invoke(main, ["ship", file, *options], env=env | more)

    return invoke


def orders(simulator: Simulator, count: int) -> list[str]:
    return [
        simulator.world.add_shipstation_order(f"#{1000 + number}").shipment_id
        for number in range(count)
    ]


def sheet(*shipment_ids: str) -> str:
    return "\n".join(
        [
            HEADER,
            *(
                f"{shipment_id},1Z00000{number},ups"
                for number, shipment_id in enumerate(shipment_ids, start=1)
            ),
        ]
    )


def marked(simulator: Simulator) -> list[tuple[str, str | None]]:
    return [
        (shipped.order.shipment_id, shipped.tracking_number)
        for shipped in simulator.world.marked_shipped
    ]


def written(name: str = "rows.csv.results.csv") -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def statuses(rows: list[dict[str, Any]]) -> list[str]:
    return [row["status"] for row in rows]


# Sending


def test_every_row_is_marked_in_chunks_and_told(simulator: Simulator, run: Run) -> None:
    ids = orders(simulator, 5)

    done = run(sheet(*ids), "--chunk", "2")

    assert done.exit_code == 0, done.output
    assert sorted(marked(simulator)) == [
        (shipment_id, f"1Z00000{number}") for number, shipment_id in enumerate(ids, start=1)
    ]
    assert simulator.world.count(OPERATION) == 3
    assert "5 marked. Results: rows.csv.results.csv" in done.stdout
    assert [
        (row["row"], row["shipment_id"], row["shipment_number"], row["status"]) for row in written()
    ] == [
        (str(number + 2), shipment_id, f"#{1000 + number}", "marked")
        for number, shipment_id in enumerate(ids)
    ]


def test_partial_failure_is_told_row_by_row_and_exits_1(simulator: Simulator, run: Run) -> None:
    [first, second] = orders(simulator, 2)

    done = run(f"{HEADER}\n{first},1Z1,ups\nse-404,1Z2,ups\n{second},1Z3,pigeon\n", "--json")

    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["counts"] == {"marked": 1, "refused": 2}
    assert [(row["row"], row["status"], row["message"]) for row in document["rows"]] == [
        (2, "marked", None),
        (3, "refused", "Shipment not found."),
        (4, "refused", "carrier_code does not match a configured carrier."),
    ]
    assert statuses(written()) == statuses(document["rows"])


def test_second_run_sends_only_what_did_not_succeed(simulator: Simulator, run: Run) -> None:
    [first, second] = orders(simulator, 2)
    run(f"{HEADER}\n{first},1ZA00000T031,ups\n{second},1Z2,pigeon\n")

    again = run(f"{HEADER}\n{first},1z a0-0000 t031,ups\n{second},1Z2,fedex\n", "--json")

    assert again.exit_code == 0
    assert statuses(json.loads(again.stdout)["rows"]) == ["already_marked", "marked"]
    assert marked(simulator) == [(first, "1ZA00000T031"), (second, "1Z2")]


def test_run_with_nothing_left_to_do_calls_nobody(simulator: Simulator, run: Run) -> None:
    text = sheet(*orders(simulator, 2))
    run(text)

    again = run(text)

    assert again.exit_code == 0
    assert simulator.world.count(OPERATION) == 1


def test_dry_run_shows_what_would_be_sent_and_skipped_and_does_nothing(
    simulator: Simulator, run: Run
) -> None:
    [first, second] = orders(simulator, 2)
    run(sheet(first))
    Path("rows.csv.results.csv").unlink()

    shown = run(sheet(first, second), "--dry-run", "--json")

    assert shown.exit_code == 0
    assert statuses(json.loads(shown.stdout)["rows"]) == ["already_marked", "would_send"]
    assert marked(simulator) == [(first, "1Z000001")]
    assert not Path("rows.csv.results.csv").exists()


# When ShipStation does not answer


def test_lost_answer_is_unclear_until_a_person_says_otherwise(
    simulator: Simulator, run: Run
) -> None:
    text = sheet(*orders(simulator, 2))
    simulator.inject(OPERATION, "drop_after_commit")

    lost, again, sure = run(text), run(text), run(text, "--again-unclear")

    assert (lost.exit_code, again.exit_code, sure.exit_code) == (1, 1, 1)
    assert "look in ShipStation before you send it again" in lost.stdout
    assert "2 unclear" in again.stdout
    assert "--again-unclear" in again.stdout
    assert "Shipment is already fulfilled." in sure.stdout
    assert simulator.world.count(OPERATION) == 2
    assert len(marked(simulator)) == 2


def test_unclear_row_that_was_not_marked_is_marked_when_a_person_says_so(
    simulator: Simulator, run: Run
) -> None:
    text = sheet(*orders(simulator, 1))
    simulator.inject(OPERATION, "drop_before")
    run(text)

    sure = run(text, "--again-unclear")

    assert sure.exit_code == 0
    assert len(marked(simulator)) == 1


@pytest.mark.parametrize(
    ("fault", "status"),
    [("status:500", "unclear"), ("throttle", "not_sent"), ("status:401", "not_sent")],
)
def test_chunk_of_which_nothing_is_told_ends_the_run(
    simulator: Simulator, run: Run, fault: str, status: str
) -> None:
    ids = orders(simulator, 3)
    simulator.inject(OPERATION, fault)

    stopped = run(sheet(*ids), "--chunk", "1")

    assert stopped.exit_code == 1
    assert statuses(written()) == [status, "not_sent", "not_sent"]
    assert simulator.world.count(OPERATION) == 1


def test_what_was_not_sent_goes_with_the_next_run(simulator: Simulator, run: Run) -> None:
    text = sheet(*orders(simulator, 2))
    simulator.inject(OPERATION, "status:401")
    run(text)

    again = run(text)

    assert again.exit_code == 0
    assert len(marked(simulator)) == 2


def test_ctrl_c_lets_the_chunk_end_and_the_next_run_goes_on(simulator: Simulator, run: Run) -> None:
    text = sheet(*orders(simulator, 3))
    simulator.world.now = _once(lambda: os.kill(os.getpid(), signal.SIGINT), simulator.world.now)

    stopped = run(text, "--chunk", "1")

    assert stopped.exit_code == 1
    assert statuses(written()) == ["marked", "not_sent", "not_sent"]
    assert run(text).exit_code == 0
    assert len(marked(simulator)) == 3


def _once(act: Callable[[], object], then: Callable[[], Any]) -> Callable[[], Any]:
    left = [act]

    def both() -> Any:
        if left:
            left.pop()()
        return then()

    return both


def test_run_that_was_killed_leaves_its_rows_unclear(
    simulator: Simulator, run: Run, tmp_path: Path
) -> None:
    [first] = orders(simulator, 1)
    run(sheet(first))
    database = Database(f"sqlite:///{tmp_path / 'bridge.db'}")
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE marked_shipments SET status = NULL, sending_at = updated_at"
        )
    database.close()

    again = run(sheet(first))

    assert again.exit_code == 1
    assert statuses(written()) == ["unclear"]
    assert simulator.world.count(OPERATION) == 1


# Mistakes


def test_all_mistakes_are_told_at_once_and_nothing_is_sent(simulator: Simulator, run: Run) -> None:
    [first] = orders(simulator, 1)
    rows = [
        f"{HEADER},ship_date,notify_customer",
        f"{first},1Z1,ups,2026-11-04,yes",
        "",
        "se-2,,ups,tomorrow,",
        "se-3,1Z3,,,maybe",
        f"{first},1Z9,ups,,",
        "se-5,1Z5,ups,,,more",
    ]

    refused = run("\n".join(rows))

    assert refused.exit_code == 2
    told = [line.strip() for line in refused.stderr.splitlines()]
    assert "row 4: tracking_number: is missing" in told
    assert "row 4: ship_date: is no ISO date such as 2026-11-04" in told
    assert "row 5: carrier_code: is missing" in told
    assert any(line.startswith("row 5: notify_customer: ") for line in told)
    assert "row 6: shipment_id: is in row 2 already, and ShipStation marks a shipment once" in told
    assert any(line.startswith("row 7: has more cells") for line in told)
    assert simulator.world.count(OPERATION) == 0
    assert not Path("rows.csv.results.csv").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no row in it"),
        ("\n\n", "there is no row in it"),
        (HEADER, "there is no row in it"),
        ("[]", "there is no row in it"),
        (
            "shipment_id,carrier\nse-1,ups",
            "row 1: tracking_number, carrier_code: the column is missing",
        ),
        (
            f"\n{HEADER},carrier_code\n",
            "row 2: carrier_code: the column is missing, or is there twice",
        ),
        (f'{HEADER}\nse-1,"1Z1,ups', "row 2: can't be read as CSV"),
        ('{"rows": []}', "neither a list of rows nor"),
        ('[{"shipment_id": ', "Expecting value"),
        ('["se-1"]', "row 1: is no JSON object"),
        ("[" * 100_000, "recursion"),
        (b"\xe9t\xe9", "it is no text in UTF-8"),
    ],
)
def test_file_that_can_not_be_read_is_told_in_a_sentence(
    run: Run, text: str | bytes, told: str
) -> None:
    refused = run(text)

    assert refused.exit_code == 2
    assert told in refused.stderr
    assert "Traceback" not in refused.output


def test_file_that_is_not_there_is_wrong_use(run: Run) -> None:
    missing = run("", file="other.csv")

    assert missing.exit_code == 2
    assert "does not exist" in missing.stderr


def test_folder_is_wrong_use(run: Run) -> None:
    folder = run("", file=".")

    assert folder.exit_code == 2
    assert "File '.' is no file." in folder.stderr


def test_columns_that_mean_nothing_are_said_and_left_out(simulator: Simulator, run: Run) -> None:
    [first] = orders(simulator, 1)

    done = run(f"weight,{HEADER},note,\n3,{first},1Z1,ups,fragile,\n")

    assert done.exit_code == 0
    assert "Columns that mean nothing here: weight, note" in done.stderr


def test_terminal_is_not_bent_by_a_file(run: Run) -> None:
    refused = run(f"{HEADER},\x1b[31mred\nse-1,,ups,x")

    assert refused.exit_code == 2
    assert "\x1b" not in refused.output


@pytest.mark.parametrize(
    "options", [("--results", "rows.csv"), ("--results", "nowhere/there.csv"), ("--chunk", "0")]
)
def test_wrong_use_is_told_before_anything_is_sent(
    simulator: Simulator, run: Run, options: tuple[str, ...]
) -> None:
    refused = run(sheet(*orders(simulator, 1)), *options)

    assert refused.exit_code == 2
    assert marked(simulator) == []


def test_missing_v2_key_is_wrong_use(simulator: Simulator, run: Run) -> None:
    refused = run(sheet(*orders(simulator, 1)), BRIDGE_SHIPSTATION_API_KEY=None)

    assert refused.exit_code == 2
    assert "BRIDGE_SHIPSTATION_API_KEY is not set" in refused.stderr


# Files as people have them


def rows_of(text: str | bytes) -> list[tuple[int, str, str, str]]:
    path = Path("any-name")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [
        (line.number, line.row.shipment_id, line.row.tracking_number, line.row.carrier_code)
        for line in _checked(path)
    ]


ONE_ROW = [(2, "se-1", "1Z1", "ups")]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\nse-1,1Z1,ups",
        f"{HEADER}\r\nse-1,1Z1,ups\r\n\r\n",
        f"{HEADER}\rse-1,1Z1,ups\r",
        f"\ufeff{HEADER}\nse-1,1Z1,ups\n",
        "shipment_id;tracking_number;carrier_code\nse-1;1Z1;ups\n",
        "Shipment ID\tTracking-Number\tCARRIER CODE\nse-1\t1Z1\tups\n".encode("utf-16"),
        "carrier_code,shipment_id,tracking_number\nups,se-1,1Z1\n,,\n",
        f"{HEADER},ship_date,notify_customer\nse-1, 1Z1 ,ups,,\n",
    ],
)
def test_csv_is_read_however_a_spreadsheet_wrote_it(text: str | bytes) -> None:
    assert rows_of(text) == ONE_ROW


def test_number_of_a_row_is_the_line_on_which_it_begins() -> None:
    text = f'{HEADER},note\nse-1,1Z1,ups,"two\nlines"\n\nse-2,1Z2,ups,\n'

    assert [number for number, *_ in rows_of(text)] == [2, 5]


@pytest.mark.parametrize("wrap", [list, lambda rows: {"fulfillments": rows}])
def test_json_is_a_list_or_the_body_of_the_call(
    wrap: Callable[[list[Mapping[str, Any]]], Any],
) -> None:
    rows = [
        {
            "shipment_id": "se-1",
            "tracking_number": 123456,
            "carrier_code": "ups",
            "ship_date": None,
            "notify_customer": False,
        }
    ]

    assert rows_of(json.dumps(wrap(rows))) == [(1, "se-1", "123456", "ups")]


# The results file


def test_results_go_where_they_are_wanted_and_leave_no_draft(
    simulator: Simulator, run: Run
) -> None:
    Path("results.csv").write_text("what an earlier run left")

    run(sheet(*orders(simulator, 1)), "--results", "results.csv")

    assert statuses(written("results.csv")) == ["marked"]
    assert sorted(
        path.name for path in Path().iterdir() if not path.name.startswith("bridge.db")
    ) == ["results.csv", "rows.csv"]


def test_spreadsheet_runs_nothing_of_the_results(run: Run) -> None:
    run(f"{HEADER}\n=1+1,@SUM(A1),ups\n")

    [row] = written()
    assert (row["shipment_id"], row["tracking_number"]) == ("'=1+1", "'@SUM(A1)")


def test_results_that_can_not_be_written_are_told_after_all(simulator: Simulator, run: Run) -> None:
    ids = orders(simulator, 1)
    simulator.world.now = _once(lambda: Path("results.csv").mkdir(), simulator.world.now)

    done = run(sheet(*ids), "--results", "results.csv")

    assert done.exit_code == 1
    assert "1 marked" in done.stdout
    assert "can't be written" in done.stderr


def test_who_marked_from_which_file_is_in_the_audit_list(run: Run, simulator: Simulator) -> None:
    run(sheet(*orders(simulator, 2)), "--dry-run")
    run(sheet(*orders(simulator, 2)))

    told = CliRunner().invoke(
        main,
        ["audit", "--json"],
        env=simulator.env() | {"BRIDGE_WEBHOOK_TOKENS": "token-of-these-tests"},
    )
    [act] = json.loads(told.stdout)
    assert (act["action"], act["subject"], act["outcome"]) == ("ship", "rows.csv", "2 rows to send")
