"""A stretch of time is asked for in each API's own words, and never too narrowly, though V1's
clocks change twice a year."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest

from bridge.simulator.shapes import pacific, v1_instant
from bridge.vendors.shipstation.lists import (
    LISTINGS,
    PACIFIC,
    Listed,
    Listing,
    read,
    v1_period,
    v2_period,
)
from bridge.vendors.shipstation.payloads import record_of

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AUTUMN = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
"""Two o'clock in summer time becomes one o'clock."""
SPRING = datetime(2026, 3, 8, 10, 0, tzinfo=UTC)
"""Two o'clock becomes three."""


def wall(moment: datetime) -> str:
    """As V1 writes it, to the second; the simulator has rules of its own for that."""
    return v1_instant(moment)[:19].replace("T", " ")


@pytest.mark.parametrize("change", [AUTUMN, SPRING], ids=["autumn", "spring"])
@pytest.mark.parametrize("length", [timedelta(0), MINUTE, HOUR, 5 * HOUR], ids=str)
def test_v1_stretch_holds_every_moment_of_it_though_the_clocks_change(
    change: datetime, length: timedelta
) -> None:
    for minutes in range(-200, 200, 7):
        start = change + minutes * MINUTE
        first, last = v1_period(start, start + length)

        assert all(first <= wall(start + part * length) <= last for part in (0, 0.25, 0.5, 0.75, 1))


def test_v1_stretch_is_exact_while_no_clock_changes() -> None:
    start = datetime(2026, 7, 10, 20, 15, 30, 400_000, tzinfo=UTC)

    assert v1_period(start, start + HOUR) == ("2026-07-10 13:15:30", "2026-07-10 14:15:31")
    assert v1_period(datetime(2026, 1, 1, 3, tzinfo=UTC), datetime(2026, 1, 1, 9, tzinfo=UTC)) == (
        "2025-12-31 19:00:00",
        "2026-01-01 01:00:01",
    )


def test_v2_stretch_is_utc_whatever_the_zone_it_is_given_in() -> None:
    start = datetime(2026, 7, 10, 15, tzinfo=ZoneInfo("Asia/Tokyo"))

    assert v2_period(start, start + HOUR) == (
        "2026-07-10T06:00:00.000Z",
        "2026-07-10T07:00:00.000Z",
    )


@pytest.mark.parametrize("months", range(12))
def test_pacific_time_is_the_simulators(months: int) -> None:
    moment = datetime(2026, months + 1, 8, 9, 59, tzinfo=UTC)

    assert moment.astimezone(PACIFIC).utcoffset() == pacific(moment).utcoffset()


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-10-14T09:20:40.4400000", datetime(2026, 10, 14, 16, 20, 40, 440_000, tzinfo=UTC)),
        ("2026-01-14T09:20:40", datetime(2026, 1, 14, 17, 20, 40, tzinfo=UTC)),
        ("2026-11-01T01:30:00.0000000", datetime(2026, 11, 1, 8, 30, tzinfo=UTC)),
        ("2026-10-14T16:20:40.44Z", datetime(2026, 10, 14, 16, 20, 40, 440_000, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_moment_is_pacific_where_it_names_no_zone(
    written: str | None, moment: datetime | None
) -> None:
    assert read("v1_shipment", {"shipmentId": 1, "createDate": written}).created_at == moment


def listing(event_type: str) -> Listing:
    return next(one for one in LISTINGS if one.event_type == event_type)


def label(number: int, *, batch: str | None) -> Listed:
    row = {
        "label_id": f"se-{number}",
        "tracking_number": f"1Z{number}",
        "shipment_id": f"se-9{number}",
    }
    return Listed(record_of("v2_label", row), AUTUMN, None, batch)


def test_labels_of_a_batch_are_asked_for_as_their_webhook_does_and_one_without_by_its_number() -> (
    None
):
    first, second, third = label(1, batch="se-7"), label(2, batch=None), label(3, batch="se-7")

    pointed = list(listing("LABEL_CREATED_V2").pointers([first, None, second, third]))

    assert pointed == [("batch_id=se-7", [first, third]), ("tracking_number=1Z2", [second])]


def v1(number: int, minutes: int) -> Listed:
    return Listed(
        record_of("v1_shipment", {"shipmentId": number}),
        datetime(2026, 7, 10, 20, minutes, tzinfo=UTC),
        None,
        None,
    )


def test_run_of_v1_rows_is_one_stretch_and_what_lies_between_ends_it() -> None:
    rows = [v1(1, 40), v1(2, 30), None, v1(4, 10)]

    pointed = list(listing("SHIP_NOTIFY").pointers(rows))

    assert pointed == [
        (
            "createDateStart=2026-07-10%2013%3A30%3A00&createDateEnd=2026-07-10%2013%3A40%3A01",
            rows[:2],
        ),
        (
            "createDateStart=2026-07-10%2013%3A10%3A00&createDateEnd=2026-07-10%2013%3A10%3A01",
            rows[3:],
        ),
    ]


@pytest.mark.parametrize("one", LISTINGS, ids=lambda one: one.event_type)
def test_newest_come_first_so_that_what_is_added_hides_nothing(one: Listing) -> None:
    asked = parse_qs(one.query(SPRING, AUTUMN))

    assert [
        value for name, value in asked.items() if name.lower().replace("_", "") == "sortdir"
    ] in ([["desc"]], [["DESC"]])
    assert len(asked) >= 3
