"""Durations and moments as people write them: `10s`, `5m`, `2h`, `2d` ago, or an ISO date."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}


def read_duration(text: str) -> timedelta:
    """`10s`, `1.5m`, `2h`, `1d`; a plain `0` is none at all. ValueError for what is none, or longer
    than 30 days."""
    found = re.fullmatch(
        r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)",
        "0s" if text.strip() == "0" else text.strip(),
        re.ASCII,
    )
    duration = timedelta(**{_UNITS[found[2]]: float(found[1])}) if found else None
    if duration is None or duration > timedelta(days=30):
        raise ValueError(
            "is not a duration of at most 30 days; write a number with its unit, such as 10s, 5m, 2h or 1d"
        )
    return duration


def read_moment(text: str, *, now: datetime) -> datetime:
    """`2d`, `3h` and so on ago, or an ISO date or time (UTC unless it says otherwise). ValueError
    for anything else."""
    try:
        if ago := re.fullmatch(r"(\d{1,6})([smhdw])", text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as exc:
        raise ValueError(
            f"{text!r} is neither an age such as 2d or 3h nor an ISO date such as 2026-11-02"
        ) from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
