"""ShipStation's four lists of what was shipped: how each is asked for a stretch of time, and how an event points at what it found. Pure.

Traps: V2 says `created_at_start` for labels and `create_date_start` for fulfillments, and ignores the wrong one in silence; V1's dates are
wall-clock time of the US Pacific coast, so that one hour a year comes twice.
V2: https://docs.shipstation.com/openapi/labels, /fulfillments · V1: https://www.shipstation.com/docs/api/shipments/list/, /fulfillments/
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BeforeValidator, Field

from bridge.events import Record
from bridge.shipstation.payloads import Row, Text, record_of

PACIFIC = ZoneInfo("America/Los_Angeles")
AN_HOUR = timedelta(hours=1)
Query = Mapping[str, str]


def _moment(value: object) -> datetime | None:
    """Aware UTC. V2 names its zone, V1 never does. Of the hour that comes twice, the first."""
    with suppress(ValueError):
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=PACIFIC)).astimezone(UTC)
    return None


Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class _Dates(Row):
    created_at: Moment = Field(None, validation_alias=AliasChoices("created_at", "createDate"))
    voided_at: Moment = Field(None, validation_alias=AliasChoices("voided_at", "voidDate"))
    batch_id: Text = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a list: its record, and what only a reader of lists wants to know of it."""

    record: Record
    created_at: datetime | None
    voided_at: datetime | None
    batch_id: str | None


def read(kind: str, row: object) -> Listed:
    """PayloadError for a row that is not of its shape."""
    record, dates = record_of(kind, row), _Dates.model_validate(row)
    return Listed(record, dates.created_at, dates.voided_at, dates.batch_id)


def v2_period(start: datetime, end: datetime) -> tuple[str, str]:
    first, last = (moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") for moment in (start, end))
    return first, last


def v1_period(start: datetime, end: datetime) -> tuple[str, str]:
    """In V1's wall-clock time, never too narrow: where the clocks change nearby, an hour more on each side."""
    changes = (start - 2 * AN_HOUR).astimezone(PACIFIC).utcoffset() != (end + 2 * AN_HOUR).astimezone(PACIFIC).utcoffset()
    spare = AN_HOUR if changes else timedelta(0)
    # An end is cut to its second, and must not cut off what came within it.
    first, last = start.astimezone(PACIFIC) - spare, end.astimezone(PACIFIC) + spare + timedelta(seconds=1)
    return first.strftime("%Y-%m-%d %H:%M:%S"), last.strftime("%Y-%m-%d %H:%M:%S")


Pointers = Iterator[tuple[Query, list[Listed]]]


def _by_batch(rows: Sequence[Listed | None]) -> Pointers:
    """As the webhook of a label does, so that one that comes while ours waits is the same."""
    batches: dict[tuple[str, str], list[Listed]] = {}
    for row in filter(None, rows):
        told = {"batch_id": row.batch_id} | {name: row.record.body[name] for name in ("tracking_number", "shipment_id")}
        batches.setdefault(next((name, value) for name, value in told.items() if value), []).append(row)
    return ((dict([name]), found) for name, found in batches.items())


def _one_by_one(rows: Sequence[Listed | None]) -> Pointers:
    for row in filter(None, rows):
        body = row.record.body
        yield {name: body[name] for name in ("fulfillment_id", "shipment_id") if body[name]}, [row]


def _by_time(names: tuple[str, str], rows: Sequence[Listed | None]) -> Pointers:
    """V1 names no batch in its rows. A run of rows without another between them is one stretch of time, and one call."""
    for is_wanted, run in groupby(rows, key=lambda row: row is not None and row.created_at is not None):
        found = [row for row in run if is_wanted and row is not None]
        moments = [row.created_at for row in found if row.created_at is not None]
        if moments:
            yield dict(zip(names, v1_period(min(moments), max(moments)), strict=True)), found


@dataclass(frozen=True, slots=True)
class Listing:
    """`event_type` is the webhook that should have told. `since` names the filters of a stretch of time; the newest come first, so that
    what is added meanwhile shifts nothing out of sight, and reading can end where it gets too old even if a filter is not heeded."""

    event_type: str
    version: str
    thing: str
    since: tuple[str, str]
    newest_first: Query
    period: Callable[[datetime, datetime], tuple[str, str]]
    pointers: Callable[[Sequence[Listed | None]], Pointers]
    """What an event must ask for to have these rows; None stands for a row between them that it need not have."""
    voided: Query | None = None
    voided_since: tuple[str, str] | None = None

    @property
    def kind(self) -> str:
        return f"{self.version}_{self.thing}"

    def created(self, start: datetime, end: datetime) -> Query:
        return dict(zip(self.since, self.period(start, end), strict=True)) | dict(self.newest_first)

    def voids(self, start: datetime, end: datetime) -> Query | None:
        """What was voided of late, however old it is; None where this list can't tell."""
        if self.voided_since:
            return dict(zip(self.voided_since, self.period(start, end), strict=True)) | dict(self.newest_first)
        return self.voided


_V1_SINCE, _V1_NEWEST = ("createDateStart", "createDateEnd"), {"sortBy": "CreateDate", "sortDir": "DESC"}
_MODIFIED = {"sort_by": "modified_at", "sort_dir": "desc"}
_BY_TIME = partial(_by_time, _V1_SINCE)
# fmt: off
LISTINGS = (
    Listing("LABEL_CREATED_V2", "v2", "label", ("created_at_start", "created_at_end"), {"sort_dir": "desc"}, v2_period, _by_batch,
            voided={"label_status": "voided"} | _MODIFIED),
    Listing("FULFILLMENT_SHIPPED_V2", "v2", "fulfillment", ("create_date_start", "create_date_end"), {"sort_dir": "desc"}, v2_period,
            _one_by_one, voided=_MODIFIED),
    Listing("SHIP_NOTIFY", "v1", "shipment", _V1_SINCE, _V1_NEWEST, v1_period, _BY_TIME, voided_since=("voidDateStart", "voidDateEnd")),
    Listing("FULFILLMENT_SHIPPED", "v1", "fulfillment", _V1_SINCE, _V1_NEWEST, v1_period, _BY_TIME),
)
