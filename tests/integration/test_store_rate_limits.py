"""One budget per vendor for all processes: no minute ever sees more calls than allowed, and a pause
stops everyone."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from bridge.domain.events import Lane
from bridge.store import rate_limits
from bridge.store.engine.database import Database
from tests.support.fakes import Clock, WatchedDatabase

pytest_plugins = ["tests.support.database_fixtures"]

GAPS = st.lists(
    st.floats(0, 20, allow_nan=False) | st.sampled_from([0.0, 0.001, 60.0]), min_size=1, max_size=25
)


def take(database: Database, per_minute: int = 60, system: str = "purple_dot") -> float:
    with database.begin() as connection:
        return rate_limits.take(
            connection, system, per_minute=per_minute, now=database.now(connection)
        ).wait


def left(database: Database, per_minute: int = 60, system: str = "purple_dot") -> int:
    with database.read() as connection:
        return rate_limits.state(
            connection, system, per_minute=per_minute, now=database.now(connection)
        ).calls_left


def pause(database: Database, seconds: float, system: str = "purple_dot") -> None:
    with database.begin() as connection:
        rate_limits.pause(connection, system, seconds=seconds, now=database.now(connection))


def busiest_minute(moments: list[float]) -> int:
    return max(
        (sum(start <= moment < start + 60 for moment in moments) for start in moments), default=0
    )


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(per_minute=st.integers(1, 300), gaps=GAPS, impatient=st.booleans())
def test_no_minute_sees_more_calls_than_allowed(
    database: WatchedDatabase, per_minute: int, gaps: list[float], impatient: bool
) -> None:
    clock, calls = Clock(), []
    with Database.begin(database) as connection:
        connection.execute(rate_limits.limits.delete())
        for gap in gaps:
            clock.advance(gap)
            for _ in range(6):
                wait = rate_limits.take(connection, "x", per_minute=per_minute, now=clock.now).wait
                if wait and impatient:
                    break
                if wait:
                    clock.advance(wait)
                else:
                    calls.append(clock.now.timestamp())

    assert busiest_minute(calls) <= per_minute


@pytest.mark.parametrize("per_minute", [1, 2, 3, 10, 40, 200])
def test_patient_caller_is_always_served_in_the_end(
    database: WatchedDatabase, clock: Clock, per_minute: int
) -> None:
    start, calls = clock.now, 0
    with Database.begin(database) as connection:
        while clock.now < start + timedelta(minutes=3):
            wait = rate_limits.take(connection, "x", per_minute=per_minute, now=clock.now).wait
            calls += not wait
            clock.advance(wait)

    assert 3 * per_minute * (0.65 if per_minute < 20 else 0.95) <= calls <= 3 * per_minute


def test_wait_that_is_told_is_long_enough(database: WatchedDatabase, clock: Clock) -> None:
    while not (wait := take(database, 40)):
        pass

    clock.advance(wait + 0.001)

    assert take(database, 40) == 0


def test_refused_call_takes_nothing(database: WatchedDatabase) -> None:
    while not take(database, 10):
        pass
    waits = [take(database, 10) for _ in range(5)]

    assert len(set(waits)) == 1


def test_two_processes_share_one_budget(
    database: WatchedDatabase, opened: Callable[[], Database]
) -> None:
    alone = 0
    while not take(database, 120, "alone"):
        alone += 1

    other, together = opened(), 0
    while not take(database, 120) and not take(other, 120):
        together += 2

    assert alone - 1 <= together <= alone


def test_vendors_have_budgets_of_their_own(database: WatchedDatabase) -> None:
    while not take(database, 10, "shipstation"):
        pass

    assert take(database, 10, "purple_dot") == 0


def test_pause_wins_over_a_full_budget(database: WatchedDatabase, clock: Clock) -> None:
    pause(database, 30)

    assert take(database) == 30
    assert left(database) == 0
    clock.advance(29)
    assert take(database) == 1
    clock.advance(1)
    assert take(database) == 0


def test_longer_pause_stays_when_a_shorter_is_set(database: WatchedDatabase) -> None:
    for seconds in (30, 5, 60, 10):
        pause(database, seconds)

    assert take(database) == 60


@pytest.mark.parametrize("seconds", [301.0, 86_400.0, 1e12])
def test_pause_longer_than_some_minutes_is_probed_by_one_call_at_a_time(
    database: WatchedDatabase, clock: Clock, seconds: float
) -> None:
    pause(database, seconds)

    assert take(database) == rate_limits.LONGEST_PAUSE
    clock.advance(rate_limits.LONGEST_PAUSE)
    assert [take(database) > 0 for _caller in range(3)] == [False, True, True]


def test_person_lifts_a_pause_of_calls_and_of_writes(
    database: WatchedDatabase, clock: Clock
) -> None:
    pause(database, 86_400)
    with database.begin() as connection:
        for _ in range(rate_limits.UNCLEAR_IN_A_ROW):
            rate_limits.write_unclear(connection, "purple_dot", now=clock.now)

        rate_limits.lift(connection, "purple_dot", now=clock.now)

        assert rate_limits.take_write(connection, "purple_dot", now=clock.now).wait == 0
        state = rate_limits.state(connection, "purple_dot", per_minute=60, now=clock.now)
    assert (take(database), state.state) == (0, "ok")


def test_clock_set_back_leaves_nobody_waiting_for_a_pause(
    database: WatchedDatabase, clock: Clock
) -> None:
    pause(database, 200)
    clock.advance(-10 * 86_400)

    assert take(database) == 0


def test_pause_of_one_vendor_stops_no_other(database: WatchedDatabase) -> None:
    pause(database, 30, "shipstation")

    assert take(database) == 0


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    per_minute=st.integers(1, 300),
    gaps=st.lists(st.floats(0, 30, allow_nan=False), max_size=8),
    burst=st.integers(0, 4),
    lane=st.sampled_from(Lane),
)
def test_what_is_left_can_be_taken_and_no_more(
    database: WatchedDatabase, per_minute: int, gaps: list[float], burst: int, lane: Lane
) -> None:
    clock = Clock()
    with Database.begin(database) as connection:
        connection.execute(rate_limits.limits.delete())
        for gap in gaps:
            clock.advance(gap)
            for _ in range(burst):
                rate_limits.take(connection, "x", per_minute=per_minute, now=clock.now)
        promised = rate_limits.state(
            connection, "x", per_minute=per_minute, now=clock.now, lane=lane
        ).calls_left
        taken = 0
        while (
            rate_limits.take(connection, "x", per_minute=per_minute, now=clock.now, lane=lane).wait
            == 0
        ):
            taken += 1

    assert taken == promised


def test_unused_budget_is_whole_and_never_more(database: WatchedDatabase, clock: Clock) -> None:
    whole = left(database, 120)
    take(database, 120)
    clock.advance(3600)

    assert left(database, 120) == whole == 7


# Who goes first


def taken_in(connection: Connection, lane: Lane, clock: Clock, per_minute: int = 120) -> int:
    count = 0
    while (
        rate_limits.take(connection, "x", per_minute=per_minute, now=clock.now, lane=lane).wait == 0
    ):
        count += 1
    return count


def test_lower_lane_leaves_a_part_of_the_burst_to_the_higher(
    database: WatchedDatabase, clock: Clock
) -> None:
    with Database.begin(database) as connection:
        taken = [taken_in(connection, lane, clock) for lane in reversed(Lane)]

    assert taken == [4, 1, 1, 1]


def test_lower_lanes_get_no_turn_while_live_calls_wait_for_theirs(
    database: WatchedDatabase, clock: Clock
) -> None:
    turns: list[Lane] = []
    with Database.begin(database) as connection:
        taken_in(connection, Lane.LIVE, clock)
        for _tick in range(200):
            clock.advance(0.1)
            for lane in (Lane.SWEEP, Lane.REPLAY, Lane.RETRY, Lane.LIVE):
                grant = rate_limits.take(connection, "x", per_minute=120, now=clock.now, lane=lane)
                turns += [lane] * (grant.wait == 0)

    assert set(turns) == {Lane.LIVE}


def test_lowest_lane_has_the_whole_rate_when_nobody_else_calls(
    database: WatchedDatabase, clock: Clock
) -> None:
    calls = 0
    with Database.begin(database) as connection:
        for _second in range(60):
            clock.advance(1)
            calls += taken_in(connection, Lane.SWEEP, clock)

    assert 100 <= calls <= 120


@pytest.mark.parametrize("per_minute", [1, 2, 5])
def test_smallest_budget_serves_every_lane(
    database: WatchedDatabase, clock: Clock, per_minute: int
) -> None:
    with Database.begin(database) as connection:
        for lane in Lane:
            clock.advance(300)
            assert (
                rate_limits.take(
                    connection, "x", per_minute=per_minute, now=clock.now, lane=lane
                ).wait
                == 0
            )


# What a vendor says of its own


def test_vendor_that_has_less_left_than_we_think_is_believed(
    database: WatchedDatabase, clock: Clock
) -> None:
    with Database.begin(database) as connection:
        rate_limits.take(connection, "x", per_minute=120, now=clock.now)
        rate_limits.learn(connection, "x", allowed=None, remaining=3, per_minute=120, now=clock.now)

        assert taken_in(connection, Lane.LIVE, clock) == 3


def test_vendor_that_has_more_left_changes_nothing(database: WatchedDatabase, clock: Clock) -> None:
    with Database.begin(database) as connection:
        rate_limits.take(connection, "x", per_minute=120, now=clock.now)
        rate_limits.learn(
            connection, "x", allowed=None, remaining=90, per_minute=120, now=clock.now
        )

        assert taken_in(connection, Lane.LIVE, clock) == 6


def test_rate_that_the_vendor_allows_is_handed_on(database: WatchedDatabase, clock: Clock) -> None:
    with Database.begin(database) as connection:
        rate_limits.take(connection, "x", per_minute=120, now=clock.now)
        rate_limits.learn(
            connection, "x", allowed=40, remaining=None, per_minute=120, now=clock.now
        )

        assert (
            rate_limits.take(connection, "x", per_minute=120, now=clock.now).allowed_per_minute
            == 40
        )


# A vendor that fails as a whole


def fail(database: Database, clock: Clock, times: int, *, every: float = 20) -> list[float | None]:
    waits = []
    for _ in range(times):
        with database.begin() as connection:
            waits.append(rate_limits.failed(connection, "x", now=clock.now))
        clock.advance(every)
    return waits


def standing(database: Database, clock: Clock) -> str:
    with database.read() as connection:
        return rate_limits.state(connection, "x", per_minute=60, now=clock.now).state


def test_few_failures_or_quick_ones_close_nothing(database: WatchedDatabase, clock: Clock) -> None:
    assert fail(database, clock, 4) == [None] * 4
    assert fail(database, clock, 40, every=0.1)[-1] is not None


def test_hundred_failures_within_a_second_are_not_sustained(
    database: WatchedDatabase, clock: Clock
) -> None:
    assert fail(database, clock, 100, every=0.01) == [None] * 100
    assert standing(database, clock) == "failing"


def test_sustained_failure_stops_all_calls_but_one_probe_at_a_time(
    database: WatchedDatabase, clock: Clock
) -> None:
    fail(database, clock, 5)
    assert standing(database, clock) == "down"

    assert [take(database, system="x") > 0 for _caller in range(3)] == [False, True, True]


def test_probe_that_fails_makes_the_next_one_rarer(database: WatchedDatabase, clock: Clock) -> None:
    fail(database, clock, 4, every=20)
    waits = fail(database, clock, 12, every=200)

    assert waits == sorted(waits, key=float)
    assert waits[0] == 15
    assert waits[-1] == 300


def test_one_success_opens_the_way_for_everyone(database: WatchedDatabase, clock: Clock) -> None:
    fail(database, clock, 6)
    with database.begin() as connection:
        rate_limits.worked(connection, "x")

    assert standing(database, clock) == "ok"
    assert [take(database, system="x") for _caller in range(3)] == [0, 0, 0]


def test_success_in_between_starts_the_count_anew(database: WatchedDatabase, clock: Clock) -> None:
    for _round in range(5):
        assert fail(database, clock, 4) == [None] * 4
        with database.begin() as connection:
            rate_limits.worked(connection, "x")
