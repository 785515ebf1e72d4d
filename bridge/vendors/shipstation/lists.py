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
from typing import Annotated, Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BeforeValidator, Field

from bridge.domain.events import Record
from bridge.vendors.shipstation.payloads import Row, Text, record_of

PACIFIC = ZoneInfo("America/Los_Angeles")
AN_HOUR = timedelta(hours=1)


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
    first, last = (
        moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for moment in (start, end)
    )
    return first, last


def v2_modified_since(start: datetime) -> str:
    """The query of V2's shipments that were touched since then, newest first."""
    first, _ = v2_period(start, start)
    return f"modified_at_start={quote(first)}&{_V2_MODIFIED}"


def v1_period(start: datetime, end: datetime) -> tuple[str, str]:
    """In V1's wall-clock time, never too narrow: where the clocks change nearby, an hour more on
    each side."""
    changes = (start - 2 * AN_HOUR).astimezone(PACIFIC).utcoffset() != (
        end + 2 * AN_HOUR
    ).astimezone(PACIFIC).utcoffset()
    spare = AN_HOUR if changes else timedelta(0)
    # An end is cut to its second, and must not cut off what came within it.
    first, last = (
        start.astimezone(PACIFIC) - spare,
        end.astimezone(PACIFIC) + spare + timedelta(seconds=1),
    )
    return first.strftime("%Y-%m-%d %H:%M:%S"), last.strftime("%Y-%m-%d %H:%M:%S")


Pointers = Iterator[tuple[str, list[Listed]]]
"""Queries, each with the rows for whose sake an event shall ask it."""


def _by_batch(rows: Sequence[Listed | None]) -> Pointers:
    """As the webhook of a label does, so that one that comes while ours waits is the same."""
    batches: dict[str, list[Listed]] = {}
    for row in filter(None, rows):
        names = {"batch_id": row.batch_id} | {
            name: row.record.body[name] for name in ("tracking_number", "shipment_id")
        }
        batches.setdefault(
            next((urlencode({name: value}) for name, value in names.items() if value), ""), []
        ).append(row)
    return ((query, found) for query, found in batches.items() if query)


def _one_by_one(rows: Sequence[Listed | None]) -> Pointers:
    """Likewise for a fulfillment."""
    for row in filter(None, rows):
        body = row.record.body
        yield (
            urlencode(
                {name: body[name] for name in ("fulfillment_id", "shipment_id") if body[name]}
            ),
            [row],
        )


def _by_time(rows: Sequence[Listed | None]) -> Pointers:
    """V1 names no batch in its rows. A run of rows without another between them is one stretch of
    time, and one call."""
    for moment_is_known, run in groupby(
        rows, key=lambda row: row is not None and row.created_at is not None
    ):
        found = [row for row in run if moment_is_known and row is not None]
        moments = [row.created_at for row in found if row.created_at is not None]
        if moments:
            yield _V1_CREATED.format(*map(quote, v1_period(min(moments), max(moments)))), found


@dataclass(frozen=True, slots=True)
class Listing:
    """`event_type` is the webhook that should have told. Queries have places for both ends of a
    stretch of time, and ask for the newest first: so what is added meanwhile pushes nothing out of
    sight, and who reads can end where it gets too old, filter or no filter."""

    event_type: str
    version: str
    thing: str
    period: Callable[[datetime, datetime], tuple[str, str]]
    created: str
    voided: str | None
    """What was voided of late, however old it is; None where this list can't be asked that."""
    pointers: Callable[[Sequence[Listed | None]], Pointers]
    """What an event must ask for to have these rows; None stands for a row between them that it
    need not have."""

    kind = property(lambda listing: f"{listing.version}_{listing.thing}")

    def asking(self, query: str, start: datetime, end: datetime) -> str:
        return query.format(*map(quote, self.period(start, end)))


_V1_CREATED = "createDateStart={0}&createDateEnd={1}"
_V1_NEWEST, _V2_MODIFIED = "&sortBy=CreateDate&sortDir=DESC", "sort_by=modified_at&sort_dir=desc"
_TABLE: tuple[tuple[Any, ...], ...] = (
    ("LABEL_CREATED_V2", "v2", "label", v2_period, "created_at_start={0}&created_at_end={1}&sort_dir=desc",
     f"label_status=voided&{_V2_MODIFIED}", _by_batch),
    ("FULFILLMENT_SHIPPED_V2", "v2", "fulfillment", v2_period, "create_date_start={0}&create_date_end={1}&sort_dir=desc",
     _V2_MODIFIED, _one_by_one),
    ("SHIP_NOTIFY", "v1", "shipment", v1_period, _V1_CREATED + _V1_NEWEST,
     "voidDateStart={0}&voidDateEnd={1}" + _V1_NEWEST, _by_time),
    ("FULFILLMENT_SHIPPED", "v1", "fulfillment", v1_period, _V1_CREATED + _V1_NEWEST, None, _by_time),
)  # fmt: skip
LISTINGS = tuple(Listing(*row) for row in _TABLE)
LISTING_OF = {listing.event_type: listing for listing in LISTINGS}
"""By the event type that should have told."""
