"""What was told to ShipStation is remembered: nothing is marked twice, and what was interrupted is
unclear, on both databases."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bridge.domain.shipments import RowResult
from bridge.store import marked_shipments
from bridge.store.engine.database import Database

NOW = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)
KEY = ("se-1", "1Z1")
MARKED, REFUSED, UNCLEAR = (
    RowResult("marked"),
    RowResult("refused", "Shipment not found."),
    RowResult("unclear", "no answer"),
)
NOT_SENT = RowResult("not_sent", "busy")


def begin(
    database: Database, key: marked_shipments.Key = KEY, *, again_unclear: bool = False
) -> bool:
    with database.begin() as connection:
        return marked_shipments.begin(
            connection, key, file_name="rows.csv", again_unclear=again_unclear, now=NOW
        )


def end(database: Database, result: RowResult) -> None:
    with database.begin() as connection:
        marked_shipments.end(connection, KEY, result, now=NOW)


def known(database: Database, *keys: marked_shipments.Key) -> dict[marked_shipments.Key, str]:
    with database.read() as connection:
        return {
            key: status
            for key, (status, _) in marked_shipments.known(connection, keys or [KEY]).items()
        }


def send(database: Database, result: RowResult) -> None:
    assert begin(database)
    end(database, result)


def test_what_was_never_sent_is_not_known_and_may_go(own_database: Database) -> None:
    assert known(own_database) == {}
    assert begin(own_database)


@pytest.mark.parametrize(
    ("result", "goes_again", "goes_again_unclear"),
    [(MARKED, False, False), (REFUSED, True, True), (UNCLEAR, False, True), (NOT_SENT, True, True)],
)
def test_what_became_of_a_row_decides_whether_it_goes_again(
    own_database: Database, result: RowResult, goes_again: bool, goes_again_unclear: bool
) -> None:
    send(own_database, result)

    assert known(own_database) == ({} if result is NOT_SENT else {KEY: result.status})
    assert begin(own_database) is goes_again
    end(own_database, result)
    assert begin(own_database, again_unclear=True) is goes_again_unclear


def test_row_found_sending_was_interrupted_and_is_unclear(own_database: Database) -> None:
    begin(own_database)

    assert known(own_database) == {KEY: "unclear"}
    assert not begin(own_database)


@pytest.mark.parametrize("earlier", [begin, lambda own_database: send(own_database, UNCLEAR)])
def test_unclear_row_that_goes_again_and_is_not_sent_is_unclear_still(
    own_database: Database, earlier: Callable[[Database], object]
) -> None:
    earlier(own_database)

    assert begin(own_database, again_unclear=True)
    end(own_database, NOT_SENT)

    assert known(own_database) == {KEY: "unclear"}


def test_refused_row_that_is_sent_again_may_succeed(own_database: Database) -> None:
    send(own_database, REFUSED)

    send(own_database, MARKED)

    assert known(own_database) == {KEY: "marked"}


def test_another_parcel_of_the_shipment_is_another_row(own_database: Database) -> None:
    send(own_database, MARKED)

    assert known(own_database, ("se-1", "1Z2"), ("se-2", "1Z1")) == {}
    assert begin(own_database, ("se-1", "1Z2"))


def test_a_thousand_rows_are_asked_for_at_once(own_database: Database) -> None:
    send(own_database, MARKED)

    assert known(own_database, *((f"se-{number}", "1Z1") for number in range(1000))) == {
        KEY: "marked"
    }
