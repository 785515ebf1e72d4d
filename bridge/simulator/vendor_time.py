"""Dates as the vendors write and read them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

# V1 writes and filters in US Pacific time and names no zone: https://www.shipstation.com/docs/api/requirements/
PACIFIC = ZoneInfo("America/Los_Angeles")


def v2_instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def v1_instant(moment: datetime | None) -> str | None:
    """Pacific, no zone, seven decimals."""
    return None if moment is None else moment.astimezone(PACIFIC).strftime("%Y-%m-%dT%H:%M:%S.%f0")


def pacific_date(moment: datetime) -> date:
    return moment.astimezone(PACIFIC).date()


def read_instant(text: str, *, zone: ZoneInfo | None = None) -> datetime:
    """A filter's value, taken as `zone` (or UTC) where it names none; ValueError when it is no date."""
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone or UTC)
