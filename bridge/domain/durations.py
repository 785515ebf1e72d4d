"""Durations, times and ages as people write them: `10s`, `2d` ago, `yesterday`, an ISO date, each
day at `08:00`."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
"""Every unit of time that a setting, an option or a filter may name."""

_LONGEST = timedelta(days=30)
_DAYS_AGO = {"today": 0, "yesterday": 1}


def local_zone() -> tzinfo:
    """The machine's own time zone, by its name, so that yesterday is right across a change of the
    clocks; UTC where it has none."""
    name = os.environ.get("TZ", "").lstrip(":")
    name = name or str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")[2]
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # Nothing is set, or not the name of a zone.
        return UTC


@dataclass(frozen=True, slots=True)
class DailyTime:
    """Once a day, when the clocks of a zone show this time."""

    at: time
    zone: tzinfo

    def following(self, now: datetime) -> datetime:
        """The next such moment after `now`, in UTC. Where the clocks skip this time, it comes as
        much later; where they show it twice, the first counts."""
        today = now.astimezone(self.zone).date()
        moment = self._on(today)
        while moment <= now:
            today += timedelta(days=1)
            moment = self._on(today)
        return moment

    def _on(self, day: date) -> datetime:
        return datetime.combine(day, self.at, tzinfo=self.zone).astimezone(UTC)


def read_daily_time(text: str) -> DailyTime:
    """`08:00` by the machine's own zone, or `08:00 Europe/Berlin`. ValueError for anything else."""
    match = re.fullmatch(r"([0-2]?\d):([0-5]\d)(?:\s+(\S+))?", text.strip(), re.ASCII)
    try:
        if match is None:
            raise ValueError(text)
        zone = ZoneInfo(match[3]) if match[3] else local_zone()
        return DailyTime(time(int(match[1]), int(match[2])), zone)
    except (KeyError, OSError, ValueError) as exc:
        raise ValueError(
            "is no time of day; write hours and minutes, such as 08:00, and a zone if it is not"
            " this machine's, such as 08:00 America/New_York"
        ) from exc


def read_duration(text: str) -> timedelta:
    """`10s`, `1.5m`, `2h`, `1d`; a plain `0` is none at all. ValueError for anything else, and for
    more than 30 days."""
    if text.strip() == "0":
        return timedelta(0)
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)", text.strip(), re.ASCII)
    duration = float(match[1]) * _UNITS[match[2]] if match else None
    if duration is None or duration > _LONGEST:
        raise ValueError(
            "is not a duration of at most 30 days; write a number with its unit, such as 10s, 5m,"
            " 2h or 1d"
        )
    return duration


def read_timestamp(text: str, *, now: datetime) -> datetime:
    """`2d` or `3h` ago, `today`, `yesterday`, or an ISO date or time; in UTC. What names no zone
    means the zone of `now`. ValueError for anything else."""
    text = text.strip()
    try:
        if text.lower() in _DAYS_AGO:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            timestamp = midnight - timedelta(days=_DAYS_AGO[text.lower()])
        elif match := re.fullmatch(r"(\d{1,6})([smhdw])", text, re.ASCII):
            timestamp = now.astimezone(UTC) - int(match[1]) * _UNITS[match[2]]
        else:
            timestamp = datetime.fromisoformat(text)
            if timestamp.tzinfo is None:
                timestamp = timestamp.replace(tzinfo=now.tzinfo)
        return timestamp.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(
            f"{text!r} is neither an age such as 2d or 3h, nor today or yesterday, nor an ISO date"
            " such as 2026-11-02"
        ) from exc


def format_age(age: timedelta) -> str:
    """The largest unit that fits, such as `45 s`, `12 min`, `3 h` or `5 d`; never negative."""
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        # From two of a unit on: 90 min says more than 1 h.
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
