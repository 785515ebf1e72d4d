"""What came in is kept byte for byte, and a pointer that still waits is counted rather than stored
twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.domain.errors import LeaseLostError
from bridge.domain.events import Event, EventStatus, Lane, Record
from bridge.domain.reasons import Reason
from bridge.store import events
from bridge.store.engine.database import Database
from bridge.store.events import Arrival, pointer_of
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import URL, claim_event, claim_events, due_in, end_event, receive, row, rows

pytest_plugins = ["tests.support.database_fixtures"]


def postpone(database: Database, event: object, seconds: float = 600, *, attempts: int = 1) -> None:
    with database.begin() as connection:
        at = database.now() if seconds == 0 else Clock(database.now()).advance(seconds)
        events.postpone(
            connection,
            event,
            owner="worker-1",
            at=at,
            attempts=attempts,
            waits=2,
            detail="d" * 2000,
        )


def finish(database: Database, event: Event, **fields: Any) -> None:
    with database.begin() as connection:
        end_event(connection, event, now=database.now(), **fields)


def test_same_pointer_is_counted_on_the_first_while_that_waits(
    database: WatchedDatabase, clock: Clock
) -> None:
    first, is_duplicate = receive(database)
    clock.advance(3)
    second, was_there = receive(database)

    assert (second, is_duplicate, was_there) == (first, False, True)
    stored = row(database, first)
    assert (stored.duplicates, stored.last_duplicate_at) == (1, clock.now)


@pytest.mark.parametrize(
    "other",
    [
        {"event_type": "ITEM_SHIP_NOTIFY"},
        {"resource_url": "https://ssapi.shipstation.com/shipments?batchId=8"},
    ],
)
def test_another_type_or_place_is_another_event(
    database: WatchedDatabase, other: dict[str, str]
) -> None:
    first, _ = receive(database)
    second, is_duplicate = receive(database, **other)

    assert not is_duplicate
    assert second != first


def test_detail_that_no_database_stores_loses_no_event(database: WatchedDatabase) -> None:
    hostile = "half \ud800 and nothing \0."
    with database.begin() as connection:
        arrival = Arrival("unknown", b"{}")
        rejected = events.store_closed(
            connection,
            arrival,
            status=EventStatus.REJECTED,
            reason=Reason.BAD_SHAPE,
            detail=hostile,
            now=database.now(connection),
        )
    put_off, _ = receive(database)
    event = claim_event(database)
    with database.begin() as connection:
        events.postpone(
            connection,
            event,
            owner="worker-1",
            at=database.now(connection),
            attempts=1,
            waits=0,
            detail=hostile,
        )
    seen = [row(database, rejected).detail, row(database, put_off).detail]

    finish(database, claim_event(database), detail=hostile)

    assert [*seen, row(database, put_off).detail] == ["half ? and nothing ."] * 3


def test_without_a_url_the_bytes_are_the_pointer(database: WatchedDatabase) -> None:
    first, _ = receive(database, resource_url=None, body=b'{"fulfillments": [1]}')

    assert receive(database, resource_url=None, body=b'{"fulfillments": [1]}') == (first, True)
    assert receive(database, resource_url=None, body=b'{"fulfillments": [2]}')[1] is False


def test_dead_event_is_work_again_from_its_first_try_on(
    database: WatchedDatabase, clock: Clock
) -> None:
    event_id, _ = receive(database)
    postpone(database, claim_event(database), 0, attempts=3)
    finish(
        database,
        claim_event(database),
        status=EventStatus.DEAD,
        reason=Reason.SCHEDULE_EXHAUSTED,
        detail="down",
    )
    clock.advance(5)

    with database.begin() as connection:
        assert events.revive(connection, event_id, now=clock.now)

    stored = row(database, event_id)
    assert (stored.status, stored.reason, stored.detail, stored.due_at) == (
        "received",
        None,
        None,
        clock.now,
    )
    assert (stored.attempts, stored.waits, stored.lane, stored.processed_at) == (
        0,
        0,
        Lane.RETRY,
        None,
    )
    assert claim_event(database).id == event_id


@pytest.mark.parametrize("status", [None, EventStatus.PROCESSED, EventStatus.IGNORED])
def test_event_that_is_not_dead_is_not_revived(
    database: WatchedDatabase, status: EventStatus | None
) -> None:
    event_id, _ = receive(database)
    if status is not None:
        finish(database, claim_event(database), status=status)
    before = row(database, event_id)

    with database.begin() as connection:
        assert not events.revive(connection, event_id, now=database.now(connection))

    assert row(database, event_id) == before


def test_once_claimed_the_same_pointer_is_a_new_event(database: WatchedDatabase) -> None:
    first, _ = receive(database)
    claim_event(database)

    second, is_duplicate = receive(database)

    assert not is_duplicate
    assert second != first


def test_pointer_that_waits_for_a_retry_takes_duplicates_and_is_due_at_once(
    database: WatchedDatabase,
) -> None:
    event_id, _ = receive(database)
    postpone(database, claim_event(database))
    assert due_in(database, event_id) == 600

    again = receive(database)

    assert again == (event_id, True)
    assert due_in(database, event_id) == 0


def test_put_off_event_leaves_the_pointer_to_the_newer_one_that_waits(
    database: WatchedDatabase,
) -> None:
    first, _ = receive(database)
    claimed = claim_event(database)
    newer, _ = receive(database)

    postpone(database, claimed)

    assert receive(database) == (newer, True)
    assert row(database, first).duplicates == 0


def test_finished_event_takes_no_duplicates(database: WatchedDatabase) -> None:
    event_id, _ = receive(database)
    finish(database, claim_event(database))

    assert receive(database)[1] is False
    assert row(database, event_id).due_at is None


def test_eight_senders_at_once_make_one_event_and_seven_duplicates(
    opened: Callable[[], Database],
) -> None:
    database, at_once = opened(), Barrier(8)

    def send(_: int) -> tuple[str, bool]:
        at_once.wait(10)
        return receive(database)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))

    assert len({event_id for event_id, _ in answers}) == 1
    assert sorted(is_duplicate for _, is_duplicate in answers) == [False] + [True] * 7
    [stored] = rows(database, "events")
    assert stored.duplicates == 7


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=3000))
def test_stored_bytes_come_back_identical(database: WatchedDatabase, body: bytes) -> None:
    event_id, _ = receive(
        database,
        resource_url=f"https://ssapi.shipstation.com/shipments?n={len(rows(database, 'events'))}",
        body=body,
    )

    assert bytes(row(database, event_id).body) == body
    assert claim_event(database).body == body


@given(st.text(), st.text(), st.binary(), st.binary())
def test_pointer_is_the_type_and_the_url_whatever_the_bytes(
    event_type: str, url: str, body: bytes, other: bytes
) -> None:
    pointers = {pointer_of(event_type, url or "u", body), pointer_of(event_type, url or "u", other)}

    assert len(pointers) == 1
    assert (pointer_of(event_type, None, body) == pointer_of(event_type, None, other)) == (
        body == other
    )


def test_claimed_event_is_what_was_received(database: WatchedDatabase, clock: Clock) -> None:
    event_id, _ = receive(
        database,
        "LABEL_CREATED_V2",
        resource_url="https://api.shipstation.com/v2/labels?batch_id=se-1",
        lane=Lane.SWEEP,
    )

    event = claim_event(database)

    assert (event.id, event.event_type, event.lane, event.received_at) == (
        event_id,
        "LABEL_CREATED_V2",
        Lane.SWEEP,
        clock.now,
    )
    assert (event.attempts, event.waits, event.claim) == (0, 0, 1)


def test_put_off_event_comes_back_with_what_it_spent(
    database: WatchedDatabase, clock: Clock
) -> None:
    event_id, _ = receive(database)
    postpone(database, claim_event(database))
    assert claim_events(database) == []

    clock.advance(600)
    event = claim_event(database)

    assert (event.id, event.attempts, event.waits, event.claim) == (event_id, 1, 2, 2)
    assert len(row(database, event_id).detail) == 1000


def test_finished_event_holds_its_decisions_and_is_never_claimed_again(
    database: WatchedDatabase, clock: Clock
) -> None:
    event_id, _ = receive(database)
    decisions = [{"verdict": "ignored", "reason": Reason.VOIDED}]

    finish(
        database,
        claim_event(database),
        status=EventStatus.IGNORED,
        reason=Reason.VOIDED,
        detail="1 voided",
        decisions=decisions,
    )

    stored = row(database, event_id)
    assert (stored.status, stored.reason, stored.detail, stored.decisions) == (
        "ignored",
        "voided",
        "1 voided",
        decisions,
    )
    assert stored.processed_at == clock.now
    clock.advance(1e6)
    assert claim_events(database) == []


@pytest.mark.parametrize("outcome", [finish, postpone])
def test_late_owner_writes_nothing(
    database: WatchedDatabase, clock: Clock, outcome: Callable[..., None]
) -> None:
    event_id, _ = receive(database)
    late = claim_event(database)
    clock.advance(61)
    claim_event(database, "worker-2")
    before = row(database, event_id)

    with pytest.raises(LeaseLostError, match=event_id):
        outcome(database, late)

    assert row(database, event_id) == before


def test_shelved_body_is_no_work(database: WatchedDatabase, clock: Clock) -> None:
    arrival = Arrival(
        "unknown",
        b"\xff\x00",
        headers={"user-agent": "x"},
        remote_address="192.0.2.1",
        signature="verified",
    )

    with database.begin() as connection:
        shelved = {
            "status": EventStatus.REJECTED,
            "reason": Reason.BAD_JSON,
            "detail": "the body is not JSON",
        }
        event_id = events.store_closed(connection, arrival, now=clock.now, **shelved)

    stored = row(database, event_id)
    assert (stored.status, stored.reason, bytes(stored.body), stored.due_at) == (
        "rejected",
        "bad_json",
        b"\xff\x00",
        None,
    )
    assert (stored.headers, stored.remote_address, stored.signature) == (
        {"user-agent": "x"},
        "192.0.2.1",
        "verified",
    )
    assert claim_events(database) == []


def test_shelving_the_same_body_twice_keeps_both(database: WatchedDatabase, clock: Clock) -> None:
    for _ in range(2):
        with database.begin() as connection:
            arrival = Arrival("unknown", b"nonsense")
            events.store_closed(
                connection,
                arrival,
                status=EventStatus.REJECTED,
                reason=Reason.BAD_JSON,
                detail="",
                now=clock.now,
            )

    assert len(rows(database, "events")) == 2


def test_newer_fetch_replaces_the_records_of_the_older(database: WatchedDatabase) -> None:
    receive(database)
    event = claim_event(database)
    old, new = (
        Record("v2_label", "se-1", {"n": 1}),
        [Record("v2_label", "se-1", {"n": 2}), Record("v2_shipment", "se-9", {"ü": None})],
    )

    for fetched in ([old], new):
        finish(database, event, status=EventStatus.RECEIVED, records=fetched)

    with database.read() as connection:
        assert events.records_of(connection, event.id) == new


def test_empty_page_leaves_no_records(database: WatchedDatabase) -> None:
    receive(database)
    event = claim_event(database)

    finish(database, event, records=[])

    with database.read() as connection:
        assert events.records_of(connection, event.id) == []


def test_event_is_put_off_while_the_same_notification_comes_in(
    database: WatchedDatabase, opened: Callable[[], Database]
) -> None:
    receive(database)
    event, door = claim_event(database), opened()

    def put_off() -> None:
        mine = opened()
        with mine.begin() as connection:
            now = mine.now(connection)
            events.postpone(
                connection, event, owner="worker-1", at=now, attempts=1, waits=0, detail=""
            )

    with ThreadPoolExecutor(1) as pool:
        with door.begin() as connection:
            events.receive(connection, Arrival("SHIP_NOTIFY", b"{}", URL), now=door.now(connection))
            job = pool.submit(put_off)
            wait([job], timeout=0.5)
        job.result(10)

    assert {
        stored.id == event.id: stored.waiting_pointer is None for stored in rows(database, "events")
    } == {True: True, False: False}
