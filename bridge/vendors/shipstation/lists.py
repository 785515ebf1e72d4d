"""ShipStation's four lists of what was shipped: how each is asked for a stretch of time, and how an
event points at what it found. Pure.

Traps: V2 says `created_at_start` for labels and `create_date_start` for fulfillments, and ignores
the wrong one in silence; V1's dates are wall-clock time of the US Pacific coast, so that one hour a
year comes twice. V2: https://docs.shipstation.com/openapi/labels, /fulfillments · V1:
https://www.shipstation.com/docs/api/shipments/list/, /fulfillments/"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BeforeValidator, Field

from bridge.domain.events import Record
from bridge.vendors.shipstation.fields import Text
from bridge.vendors.shipstation.payloads import Row, record_of

PACIFIC = ZoneInfo("America/Los_Angeles")
AN_HOUR = timedelta(hours=1)
_UNKNOWN = datetime.max.replace(tzinfo=UTC)


def _utc(value: object) -> datetime | None:
    """Aware UTC. V2 names its zone, V1 never does. Of the hour that comes twice, the first."""
    with suppress(ValueError):
        written = datetime.fromisoformat(str(value))
        aware = written if written.tzinfo else written.replace(tzinfo=PACIFIC)
        return aware.astimezone(UTC)
    return None


Time = Annotated[datetime | None, BeforeValidator(_utc)]


class _Dates(Row):
    created_at: Time = Field(None, validation_alias=AliasChoices("created_at", "createDate"))
    voided_at: Time = Field(None, validation_alias=AliasChoices("voided_at", "voidDate"))
    modified_at: Time = None
    batch_id: Text = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a list: its record, and what only a reader of lists wants to know of it."""

    record: Record
    created_at: datetime | None
    voided_at: datetime | None
    batch_id: str | None
    modified_at: datetime | None = None

    @property
    def record_id(self) -> str:
        return self.record.record_id

    def since(self, *, is_voids: bool) -> datetime:
        """When it was made, or voided; what doesn't say counts as new."""
        dates = [self.created_at]
        if is_voids:
            dates.append(self.voided_at)
        return max((date for date in dates if date is not None), default=_UNKNOWN)


def read(kind: str, row: object) -> Listed:
    """PayloadError for a row that is not of its shape."""
    record, dates = record_of(kind, row), _Dates.model_validate(row)
    return Listed(record, dates.created_at, dates.voided_at, dates.batch_id, dates.modified_at)


def v2_period(start: datetime, end: datetime) -> tuple[str, str]:
    """Both ends in UTC, as V2 writes them."""
    return _v2_time(start), _v2_time(end)


def _v2_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def v2_modified_since(start: datetime) -> str:
    """The query of V2's shipments that were touched since then, newest first."""
    first, _ = v2_period(start, start)
    return f"modified_at_start={quote(first)}&{_V2_MODIFIED}"


def v1_period(start: datetime, end: datetime) -> tuple[str, str]:
    """In V1's wall-clock time, never too narrow: where the clocks change nearby, an hour more on
    each side."""
    offset_before = (start - 2 * AN_HOUR).astimezone(PACIFIC).utcoffset()
    offset_after = (end + 2 * AN_HOUR).astimezone(PACIFIC).utcoffset()
    spare = AN_HOUR if offset_before != offset_after else timedelta(0)
    first = start.astimezone(PACIFIC) - spare
    # An end is cut to its second, and must not cut off what came within it.
    last = end.astimezone(PACIFIC) + spare + timedelta(seconds=1)
    return first.strftime("%Y-%m-%d %H:%M:%S"), last.strftime("%Y-%m-%d %H:%M:%S")


Pointers = Iterator[tuple[str, list[Listed]]]
"""Queries, each with the rows for whose sake an event shall ask it."""


def _by_batch(rows: Sequence[Listed | None]) -> Pointers:
    """As the webhook of a label does, so that one that comes while ours waits is the same."""
    batches: dict[str, list[Listed]] = {}
    for row in filter(None, rows):
        query = _label_query(row)
        if query:
            batches.setdefault(query, []).append(row)
    return ((query, batch) for query, batch in batches.items())


def _label_query(row: Listed) -> str:
    names = {"batch_id": row.batch_id}
    for name in ("tracking_number", "shipment_id"):
        names[name] = row.record.body[name]
    for name, value in names.items():
        if value:
            return urlencode({name: value})
    return ""


def _one_by_one(rows: Sequence[Listed | None]) -> Pointers:
    """Likewise for a fulfillment."""
    for row in filter(None, rows):
        body = row.record.body
        ids = {name: body[name] for name in ("fulfillment_id", "shipment_id") if body[name]}
        yield urlencode(ids), [row]


def _by_time(rows: Sequence[Listed | None]) -> Pointers:
    """V1 names no batch in its rows. A run of rows without another between them is one stretch of
    time, and one call."""
    for has_date, run in groupby(rows, key=_has_date):
        if not has_date:
            continue
        batch = list(filter(None, run))
        dates = [row.created_at for row in batch if row.created_at is not None]
        yield _V1_CREATED.format(*map(quote, v1_period(min(dates), max(dates)))), batch


def _has_date(row: Listed | None) -> bool:
    return row is not None and row.created_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`event_type` is the webhook that should have come. Queries have places for both ends of a
    stretch of time, and ask for the newest first: so what is added meanwhile pushes nothing out of
    sight, and who reads can end where it gets too old, filter or no filter."""

    event_type: str
    version: str
    resource: str
    period: Callable[[datetime, datetime], tuple[str, str]]
    created: str
    voided: str | None
    """What was voided of late, however old it is; None where this list can't be asked that."""
    pointers: Callable[[Sequence[Listed | None]], Pointers]
    """What an event must ask for to have these rows; None stands for a row between them that it
    need not have."""

    @property
    def kind(self) -> str:
        return f"{self.version}_{self.resource}"

    def query(self, start: datetime, end: datetime, *, is_voids: bool = False) -> str:
        template = self.voided if is_voids else self.created
        return (template or self.created).format(*map(quote, self.period(start, end)))

    def is_over(self, rows: Sequence[Listed], *, oldest: datetime, is_voids: bool) -> bool:
        """Whether the pages after the one with these `rows` can only be older. V2's voids are
        sorted by their last change, of whatever sort, so a page without a fresh void is no end."""
        if is_voids and self.version == "v2":
            changes = [row.modified_at or _UNKNOWN for row in rows]
            return bool(changes) and max(changes) < oldest
        return not any(row.since(is_voids=is_voids) >= oldest for row in rows)


_V1_CREATED = "createDateStart={0}&createDateEnd={1}"
_V1_NEWEST = "&sortBy=CreateDate&sortDir=DESC"
_V2_MODIFIED = "sort_by=modified_at&sort_dir=desc"
LISTINGS = (
    Listing(
        event_type="LABEL_CREATED_V2",
        version="v2",
        resource="label",
        period=v2_period,
        created="created_at_start={0}&created_at_end={1}&sort_dir=desc",
        voided=f"label_status=voided&{_V2_MODIFIED}",
        pointers=_by_batch,
    ),
    Listing(
        event_type="FULFILLMENT_SHIPPED_V2",
        version="v2",
        resource="fulfillment",
        period=v2_period,
        created="create_date_start={0}&create_date_end={1}&sort_dir=desc",
        voided=_V2_MODIFIED,
        pointers=_one_by_one,
    ),
    Listing(
        event_type="SHIP_NOTIFY",
        version="v1",
        resource="shipment",
        period=v1_period,
        created=_V1_CREATED + _V1_NEWEST,
        voided="voidDateStart={0}&voidDateEnd={1}" + _V1_NEWEST,
        pointers=_by_time,
    ),
    Listing(
        event_type="FULFILLMENT_SHIPPED",
        version="v1",
        resource="fulfillment",
        period=v1_period,
        created=_V1_CREATED + _V1_NEWEST,
        voided=None,
        pointers=_by_time,
    ),
)
LISTS = {(listing.version, listing.resource): listing for listing in LISTINGS}
"""The same by API version and resource."""
