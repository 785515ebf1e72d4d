"""One budget per vendor for all processes: no minute ever sees more calls than allowed, and a pause stops everyone."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.store import budgets
from bridge.store.database import Database
from tests.fakes import Clock, WatchedDatabase

pytest_plugins = ["tests.ledger_fixtures"]

GAPS = st.lists(st.floats(0, 20, allow_nan=False) | st.sampled_from([0.0, 0.001, 60.0]), min_size=1, max_size=25)


def take(database: Database, per_minute: int = 60, system: str = "purple_dot") -> float:
    with database.begin() as connection:
        return budgets.take(connection, system, per_minute=per_minute, now=database.now(connection))


def left(database: Database, per_minute: int = 60, system: str = "purple_dot") -> int:
    with database.read() as connection:
        return budgets.left(connection, system, per_minute=per_minute, now=database.now(connection))


def pause(database: Database, seconds: float, system: str = "purple_dot") -> None:
    with database.begin() as connection:
        budgets.pause(connection, system, seconds=seconds, now=database.now(connection))


def busiest_minute(moments: list[float]) -> int:
    return max((sum(start <= moment < start + 60 for moment in moments) for start in moments), default=0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(per_minute=st.integers(1, 300), gaps=GAPS, impatient=st.booleans())
def test_no_minute_sees_more_calls_than_allowed(ledger: WatchedDatabase, per_minute: int, gaps: list[float], impatient: bool) -> None:
    clock, calls = Clock(), []
    with Database.begin(ledger) as connection:
        connection.execute(budgets.budgets.delete())
        for gap in gaps:
            clock.advance(gap)
            for _ in range(6):
                wait = budgets.take(connection, "x", per_minute=per_minute, now=clock.now)
                if wait and impatient:
                    break
                if wait:
                    clock.advance(wait)
                else:
                    calls.append(clock.now.timestamp())

    assert busiest_minute(calls) <= per_minute


@pytest.mark.parametrize("per_minute", [1, 2, 3, 10, 40, 200])
def test_patient_caller_is_always_served_in_the_end(ledger: WatchedDatabase, clock: Clock, per_minute: int) -> None:
    start, calls = clock.now, 0
    with Database.begin(ledger) as connection:
        while clock.now < start + timedelta(minutes=3):
            wait = budgets.take(connection, "x", per_minute=per_minute, now=clock.now)
            calls += not wait
            clock.advance(wait)

    assert 3 * per_minute * 0.45 <= calls <= 3 * per_minute


def test_wait_that_is_told_is_long_enough(ledger: WatchedDatabase, clock: Clock) -> None:
    while not (wait := take(ledger, 40)):
        pass

    clock.advance(wait + 0.001)

    assert take(ledger, 40) == 0


def test_refused_call_takes_nothing(ledger: WatchedDatabase) -> None:
    while not take(ledger, 10):
        pass
    waits = [take(ledger, 10) for _ in range(5)]

    assert len(set(waits)) == 1


def test_two_processes_share_one_budget(ledger: WatchedDatabase, opened: Callable[[], Database]) -> None:
    alone = 0
    while not take(ledger, 120, "alone"):
        alone += 1

    other, together = opened(), 0
    while not take(ledger, 120) and not take(other, 120):
        together += 2

    assert alone - 1 <= together <= alone


def test_vendors_have_budgets_of_their_own(ledger: WatchedDatabase) -> None:
    while not take(ledger, 10, "shipstation"):
        pass

    assert take(ledger, 10, "purple_dot") == 0


def test_pause_wins_over_a_full_budget(ledger: WatchedDatabase, clock: Clock) -> None:
    pause(ledger, 30)

    assert take(ledger) == 30
    assert left(ledger) == 0
    clock.advance(29)
    assert take(ledger) == 1
    clock.advance(1)
    assert take(ledger) == 0


def test_longer_pause_stays_when_a_shorter_is_set(ledger: WatchedDatabase) -> None:
    for seconds in (30, 5, 60, 10):
        pause(ledger, seconds)

    assert take(ledger) == 60


def test_pause_of_one_vendor_stops_no_other(ledger: WatchedDatabase) -> None:
    pause(ledger, 30, "shipstation")

    assert take(ledger) == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(per_minute=st.integers(1, 300), gaps=st.lists(st.floats(0, 30, allow_nan=False), max_size=8), burst=st.integers(0, 4))
def test_what_is_left_can_be_taken_and_no_more(ledger: WatchedDatabase, per_minute: int, gaps: list[float], burst: int) -> None:
    clock = Clock()
    with Database.begin(ledger) as connection:
        connection.execute(budgets.budgets.delete())
        for gap in gaps:
            clock.advance(gap)
            for _ in range(burst):
                budgets.take(connection, "x", per_minute=per_minute, now=clock.now)
        promised = budgets.left(connection, "x", per_minute=per_minute, now=clock.now)
        taken = 0
        while not budgets.take(connection, "x", per_minute=per_minute, now=clock.now):
            taken += 1

    assert taken == promised


def test_unused_budget_is_whole_and_never_more(ledger: WatchedDatabase, clock: Clock) -> None:
    whole = left(ledger, 120)
    take(ledger, 120)
    clock.advance(3600)

    assert left(ledger, 120) == whole == 12
