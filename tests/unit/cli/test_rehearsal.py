"""What a replay's dry run says of a wait."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.cli.rehearsal import said_while_waiting, wait_of, waiting_line, why_incomplete
from bridge.store.rate_limits import VendorState

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SOON = NOON + timedelta(seconds=40)


def test_wait_is_spoken_of_until_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """The wait ends only once it was spoken of twice."""
    said: list[str] = []
    twice = threading.Event()

    def line() -> str:
        said.append("It waits.")
        if len(said) == 2:
            twice.set()
        return said[-1]

    with said_while_waiting(line, every=0.001):
        assert twice.wait(60)

    assert capsys.readouterr().err.startswith("It waits.\nIt waits.\n")


def test_nothing_to_say_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    asked = threading.Event()

    def line() -> str:
        asked.set()
        return ""

    with said_while_waiting(line, every=0.001):
        assert asked.wait(60)

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (VendorState("shipstation", 12, "ok"), ""),
        (VendorState("purple_dot", 12, "failing"), ""),
        (
            VendorState("shipstation", 0, "throttled", SOON),
            "ShipStation V2 asked us to wait, for another 40 s.",
        ),
        (
            VendorState("purple_dot", 0, "down", SOON),
            "Purple Dot does not answer; it is asked again in 40 s.",
        ),
        (
            VendorState("shipstation_v1", 0, "ok"),
            "ShipStation V1's limit of 40 calls a minute leaves none for a replay now: live work"
            " goes first.",
        ),
    ],
)
def test_vendor_that_can_not_be_called_is_named_with_the_time(
    state: VendorState, said: str
) -> None:
    assert wait_of(state, 40, now=NOON) == said


@pytest.mark.parametrize(
    ("waits", "is_bar_seen", "said"),
    [
        ([], False, "1 of 2. It waits for answers, or for its turn after live work."),
        (["Purple Dot waits."], False, "1 of 2. Purple Dot waits."),
        (["Purple Dot waits."], True, "\nPurple Dot waits."),
        ([], True, ""),
    ],
)
def test_beside_a_bar_only_the_cause_is_said(
    waits: list[str], is_bar_seen: bool, said: str
) -> None:
    assert waiting_line("1 of 2.", waits, is_bar_seen=is_bar_seen) == said


@pytest.mark.parametrize(
    ("errors", "waits", "is_said"),
    [
        (["no budget left", None], ["It waits."], True),
        ([None, None], ["It waits."], False),
        (["no such label", None], [], False),
    ],
)
def test_end_names_the_vendor_only_where_something_could_not_be_looked_at(
    errors: list[str | None], waits: list[str], is_said: bool
) -> None:
    report: dict[str, Any] = {"events": [{"error": error} for error in errors]}

    said = why_incomplete(report, waits)

    assert (said != "") == is_said
    assert not is_said or said.startswith("1 of 2 events could not be looked at")
