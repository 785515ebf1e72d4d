"""What V2's lists surely show of many webhooks, and what is left to each webhook's own pointer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.vendors.shipstation.bulk import BULK_FROM, Pointer, is_bulk, read_orders, read_rows

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
HOST = "https://api.shipstation.com"


class Lists:
    """ShipStation with these pages of rows, whatever it is asked; it counts the pages it gave."""

    order, order_id = "shipment", "shipment_id"

    def __init__(self, *pages: list[Any]) -> None:
        self.served, self.read = pages, 0

    def list_url(self, thing: str, query: str) -> str:
        return f"{HOST}/v2/{thing}s?{query}"

    def pages(self, *_asked: str) -> Iterator[tuple[Any, ...]]:
        for page in self.served:
            self.read += 1
            yield tuple(page)


def label(number: int, *, batch: int | None = None, age: float = 1) -> dict[str, Any]:
    """A row of a label that was made so many minutes ago."""
    return {
        "label_id": f"se-{number}",
        "status": "completed",
        "shipment_id": f"se-9{number}",
        "batch_id": f"se-{batch or number}",
        "created_at": (NOW - timedelta(minutes=age)).isoformat(),
        "tracking_number": f"1Z{number}",
        "carrier_code": "ups",
    }


def pointers(*batches: int) -> list[Pointer]:
    return [Pointer(f"{HOST}/v2/labels?batch_id=se-{batch}", NOW) for batch in batches]


def batches(lists: Lists, *wanted: int) -> dict[str, list[str]]:
    rows = read_rows(lists, pointers(*wanted), now=NOW)  # type: ignore[arg-type]  # what it uses
    return {
        url.rpartition("se-")[2]: [record.record_id for record in records]
        for url, records in rows.items()
    }


def test_each_batch_has_its_rows_in_the_lists_order() -> None:
    page = [label(5, batch=1), label(4), label(3), label(2), label(1)]

    assert batches(Lists(page), 1, 2, 3, 4) == {
        "1": ["se-5", "se-1"],
        "2": ["se-2"],
        "3": ["se-3"],
        "4": ["se-4"],
    }


def test_few_webhooks_are_not_worth_a_list() -> None:
    lists = Lists([label(1), label(2), label(3)])

    assert batches(lists, 1, 2, 3) == {}
    assert lists.read == 0
    assert BULK_FROM == 4


def test_batch_that_began_before_the_stretch_may_have_more_rows() -> None:
    """The list goes back an hour before the oldest webhook; a batch takes up to half an hour."""
    page = [label(1), label(2), label(3, age=29), label(4, age=31), label(5, age=61)]

    assert set(batches(Lists(page), 1, 2, 3, 4, 5)) == {"1", "2", "3"}


def test_row_of_a_batch_that_can_not_be_read_leaves_the_batch_to_its_pointer() -> None:
    torn = label(9, batch=2) | {"label_id": None}

    assert set(batches(Lists([label(1), torn, label(2), label(3), label(4)]), 1, 2, 3, 4)) == {
        "1",
        "3",
        "4",
    }


def test_row_without_a_date_leaves_its_batch_to_its_pointer() -> None:
    dateless = label(2) | {"created_at": None}

    assert "2" not in batches(Lists([label(1), dateless, label(3), label(4)]), 1, 2, 3, 4)


def test_list_that_is_cut_off_counts_only_well_above_its_last_row() -> None:
    """Two pages for four webhooks: what came before the last row may go on behind it."""
    lists = Lists([label(1), label(2)], [label(3, age=40), label(4, age=45)], [label(5, batch=2)])

    assert set(batches(lists, 1, 2, 3, 4)) == {"1", "2"}
    assert lists.read == 2


def test_list_that_is_not_sorted_counts_only_when_it_was_read_to_its_end() -> None:
    unsorted = [label(1, age=9), label(2, age=1)], [label(3, age=5), label(4, age=2)]

    assert len(batches(Lists(*unsorted, [label(5)]), 1, 2, 3, 4)) == 0
    assert len(batches(Lists(*unsorted, [label(5)]), *range(1, 40))) == 5


def test_rows_that_are_pushed_to_the_next_page_come_once() -> None:
    lists = Lists([label(3), label(2)], [label(2), label(1, age=2)])
    wanted = [*range(1, 26)]

    found = batches(lists, *wanted)

    assert found == {"1": ["se-1"], "2": ["se-2"], "3": ["se-3"]}


def test_reading_ends_where_rows_are_older_than_the_stretch() -> None:
    lists = Lists([label(1), label(2)], [label(3), label(4, age=61)], [label(5, age=99)])

    batches(lists, *range(1, 40))

    assert lists.read == 2


def order(number: int) -> dict[str, Any]:
    return {"shipment_id": f"se-{number}", "shipment_number": f"PD{number}", "items": []}


def test_wanted_orders_are_found_and_reading_ends_with_the_last_of_them() -> None:
    lists = Lists([order(1), order(7)], [order(2), order(3)], [order(4)])
    wanted = [f"se-{number}" for number in (1, 2, 3, 7)] + ["se-3"] * 8

    found = read_orders(lists, wanted, since=NOW)  # type: ignore[arg-type]  # what it uses

    assert set(found) == {"se-1", "se-2", "se-3", "se-7"}
    assert lists.read == 2


def test_orders_are_looked_for_on_no_more_pages_than_single_calls_would_pay() -> None:
    lists = Lists(*([order(number)] for number in range(20)))

    read_orders(lists, ["se-100", "se-101", "se-102", "se-103"], since=NOW)  # type: ignore[arg-type]  # what it uses

    assert lists.read == 1


@pytest.mark.parametrize(
    ("path", "can_be_listed"),
    [
        ("/v2/labels?batch_id=se-1", True),
        ("/v2/labels/?batch_id=se-1", True),
        ("/v2/fulfillments?fulfillment_id=se-1&shipment_id=se-2", True),
        ("/v2/labels?batch_id=se-1&label_status=voided", False),
        ("/v2/labels?batch_id=se-1&batch_id=se-2", False),
        ("/v2/labels/se-1", False),
        ("/v2/labels", False),
        ("/v2/shipments?shipment_id=se-1", False),
        ("/shipments?batchId=1", False),
    ],
)
def test_only_plain_pointers_are_read_from_lists(path: str, can_be_listed: bool) -> None:
    assert is_bulk(HOST + path) is can_be_listed
