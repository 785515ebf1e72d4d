"""Times and ages as people write and read them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bridge.domain.durations import format_age, read_timestamp

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=NEW_YORK)
"""The day after New York's clocks went back."""


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("90s", "2026-11-02T14:28:30+00:00"),
        ("3h", "2026-11-02T11:30:00+00:00"),
        ("2d", "2026-10-31T14:30:00+00:00"),
        ("1w", "2026-10-26T14:30:00+00:00"),
        ("today", "2026-11-02T05:00:00+00:00"),
        ("Yesterday", "2026-11-01T04:00:00+00:00"),
        ("2026-11-01", "2026-11-01T04:00:00+00:00"),
        ("2026-11-02T08:00", "2026-11-02T13:00:00+00:00"),
        ("2026-11-02T08:00Z", "2026-11-02T08:00:00+00:00"),
        ("2026-11-02 08:00+01:00", "2026-11-02T07:00:00+00:00"),
    ],
)
def test_time_is_read_in_the_zone_of_now(text: str, utc: str) -> None:
    assert read_timestamp(text, now=NOW) == datetime.fromisoformat(utc)
    assert read_timestamp(text, now=NOW).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "soon", "2x", "2026-13-01", "999999w", "٣d"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="today or yesterday"):
        read_timestamp(text, now=NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "119 min"),
        (7_200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
        (86_400 * 400, "400 d"),
    ],
)
def test_age_has_the_largest_unit_that_fits(seconds: int, text: str) -> None:
    assert format_age(timedelta(seconds=seconds)) == text
