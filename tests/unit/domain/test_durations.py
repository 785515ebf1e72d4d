"""Times and ages as people write and read them."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.durations import DailyTime, format_age, read_daily_time, read_timestamp

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


# Each day at a time


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc]  # year, month and so on


def moments(at: DailyTime, since: datetime, count: int) -> list[datetime]:
    found = []
    for _ in range(count):
        since = at.following(since)
        found.append(since)
    return found


def test_time_of_day_comes_once_a_day_in_its_own_zone() -> None:
    at = read_daily_time("08:00 America/New_York")

    assert moments(at, utc(2026, 11, 4, 12, 59), 2) == [utc(2026, 11, 4, 13), utc(2026, 11, 5, 13)]
    assert at.following(utc(2026, 11, 4, 13)) == utc(2026, 11, 5, 13)


def test_time_that_the_clocks_skip_comes_as_much_later_that_day() -> None:
    """On 8 March 2026 New York's clocks go from 2:00 to 3:00."""
    at = DailyTime(time(2, 30), NEW_YORK)

    assert [
        moment.astimezone(NEW_YORK).isoformat() for moment in moments(at, utc(2026, 3, 7), 3)
    ] == [
        "2026-03-07T02:30:00-05:00",
        "2026-03-08T03:30:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]


def test_time_that_the_clocks_show_twice_comes_once() -> None:
    """On 1 November 2026 New York's clocks go from 2:00 back to 1:00."""
    at = DailyTime(time(1, 30), NEW_YORK)

    assert [
        moment.astimezone(NEW_YORK).isoformat() for moment in moments(at, utc(2026, 10, 31), 3)
    ] == ["2026-10-31T01:30:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]


@given(
    st.integers(1_577_836_800, 1_893_456_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
    st.times(),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_next_time_is_ahead_and_within_a_day_and_an_hour_or_two(
    now: datetime, at: time, zone: str
) -> None:
    following = DailyTime(at, ZoneInfo(zone)).following(now)

    assert timedelta(0) < following - now <= timedelta(hours=26)


def test_time_without_a_zone_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")

    assert read_daily_time("8:05") == DailyTime(time(8, 5), ZoneInfo("Asia/Kathmandu"))


@pytest.mark.parametrize(
    "text", ["", "8", "24:00", "08:60", "8am", "08:00 Nowhere/Land", "08:00 ../x"]
)
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time of day; write hours and minutes"):
        read_daily_time(text)
