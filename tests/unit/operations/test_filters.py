"""The filter line: each qualifier means one thing, and what means nothing is told with what
would."""

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.durations import read_timestamp
from bridge.domain.errors import RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.operations.filters import PERIODS, read_filter, with_period
from bridge.store.queries import Query

NOW = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)


def read(line: str) -> dict[str, Any]:
    """What the line asks for besides the default."""
    query = asdict(read_filter(line, statuses=tuple(DeliveryStatus), now=NOW))
    return {
        name: value
        for name, value in query.items()
        if value != getattr(Query(), name) and name != "scan_since"
    }


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("", {}),
        ("   ", {}),
        ("status:held", {"status": "held"}),
        ("status:needs-review", {"status": "held"}),
        ("status:Failed", {"status": "dead"}),
        ("STATUS:Held reason:AMBIGUOUS_ORDER", {"status": "held", "reason": "ambiguous_order"}),
        ("type:ship_notify", {"event_type": "SHIP_NOTIFY"}),
        ("order:#PD1389447/1", {"order": "#PD1389447/1"}),
        ("tracking:1Z999AA1 PD7", {"tracking": "1Z999AA1", "search": "PD7"}),
        ("id:dlv_01", {"search": "dlv_01"}),
        ("since:2d", {"since": NOW - timedelta(days=2)}),
        ("since:2026-11-02", {"since": datetime(2026, 11, 2, tzinfo=UTC)}),
        ("until:2026-11-03T10:30+02:00", {"until": datetime(2026, 11, 3, 8, 30, tzinfo=UTC)}),
    ],
)
def test_line_asks_for_what_its_words_say(line: str, asked: dict[str, Any]) -> None:
    assert read(line) == asked


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("status:processed", "processed is no status here; there are pending, delivering, "),
        ("reason:because", "because is no reason here; there are not_a_purple_dot_order, "),
        (
            "color:red",
            (
                "color: is no qualifier; there are status, reason, type, order, tracking, id, "
                "since, until"
            ),
        ),
        ("status: held", "status: says nothing; write it like status:…, without a space"),
        ("PD1 PD2", "PD2 comes beside another one"),
        ("status:held status:dead", "status:dead comes beside another one"),
        ("since:soon", "since:'soon' is neither an age such as 2d"),
        ("until:99999999999d", "is neither an age"),
    ],
)
def test_word_that_means_nothing_is_told_with_what_would(line: str, told: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(line)

    assert told in str(refused.value)


def test_parcels_that_were_ignored_are_looked_for_two_weeks_back_or_as_far_as_the_line_says() -> (
    None
):
    assert read_filter("PD1", statuses=(), now=NOW).scan_since == NOW - timedelta(days=14)
    assert read_filter("PD1 since:90d", statuses=(), now=NOW).scan_since == NOW - timedelta(days=90)


@given(st.text(max_size=60))
def test_no_line_does_worse_than_being_refused(line: str) -> None:
    with suppress(RefusedError):
        read(line)


@given(st.text(max_size=20))
def test_no_text_does_worse_than_being_no_moment(text: str) -> None:
    with suppress(ValueError):
        assert read_timestamp(text, now=NOW).tzinfo


# Stretches of time that people ask for most often


@pytest.mark.parametrize(
    ("line", "narrowed"),
    [
        ("", "since:yesterday until:today"),
        ("status:dead", "status:dead since:yesterday until:today"),
        ("since:2d status:dead Until:1d", "status:dead since:yesterday until:today"),
    ],
)
def test_period_takes_the_place_of_another_and_keeps_the_rest(line: str, narrowed: str) -> None:
    assert with_period(line, PERIODS["yesterday"]) == narrowed


@pytest.mark.parametrize("period", PERIODS.values())
def test_every_period_is_a_filter_that_can_be_read(period: str) -> None:
    assert read_filter(period, statuses=[], now=datetime(2026, 11, 4, tzinfo=UTC)).since is not None
