"""Tables that fit, and text from outside that can't move a terminal or a spreadsheet."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.output import WHOLE, Column, table, write_csv

ROW = {"name": "x" * 30, "status": "held", "message": "why " * 20}


@pytest.mark.parametrize("width", [20, 40, 80])
def test_widest_column_gives_first(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    head, line = table([ROW], ["name", Column("status", 6), "message"])

    assert len(line) <= width
    assert ("held" in line, "…" in line) == (True, True)
    assert head.startswith("name")


def test_what_says_nothing_and_what_is_not_needed_gives_way_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"order": "PD1391279/1", "reason": None, "tracking": "1ZB7X0410300000005", "id": "d" * 28}
    columns = [
        Column("order", 11),
        "reason",
        Column("tracking", 18),
        Column("id", 17, needed=False),
    ]
    monkeypatch.setenv("COLUMNS", "55")
    assert table([row], columns)[0].split() == ["order", "tracking", "id"]

    monkeypatch.setenv("COLUMNS", "40")
    assert table([row], columns)[1] == "PD1391279/1  1ZB7X0410300000005"


def test_sentences_are_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    assert ROW["message"].strip() in table([ROW], ["name", Column("message", WHOLE)])[1]


def test_colors_only_where_a_person_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[33mheld\x1b[0m" in table([ROW], ["status"])[1]

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in table([ROW], ["status"])[1]


def test_nothing_is_cut_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    assert "x" * 30 in table([ROW], ["name", "status"])[1]


@given(st.text(max_size=30))
def test_no_text_moves_a_terminal(text: str) -> None:
    lines = table([{"sku": text}], ["sku"])
    stream = io.StringIO()
    write_csv(stream, ["sku"], [{"sku": text}])

    assert all(line.isprintable() for line in lines)
    assert stream.getvalue().replace("\r\n", "").isprintable()


def test_formula_is_text_in_a_spreadsheet() -> None:
    stream = io.StringIO()
    write_csv(stream, ["sku"], [{"sku": "=1+1"}, {"sku": "\t=1"}, {"sku": -2}])

    rows = list(csv.reader(io.StringIO(stream.getvalue())))
    assert rows == [["sku"], ["'=1+1"], ["'\ufffd=1"], ["-2"]]
