"""When to try again: a table, and the laws that no figure may break."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import (
    BridgeError,
    CredentialsError,
    NotFoundError,
    PayloadError,
    PermanentError,
    StorageError,
    TemporaryError,
    ThrottledError,
    UnclearError,
)
from bridge.domain.reasons import Reason
from bridge.pipeline.retry import A_DAY, GiveUp, RetryAt, decide, next_look

NOW = datetime(2026, 11, 4, 12, tzinfo=UTC)
SCHEDULE = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 7200))

WAITS = st.timedeltas(timedelta(0), A_DAY)
SCHEDULES = st.lists(WAITS, min_size=1, max_size=8).map(sorted)
WISHES = st.none() | st.floats(allow_nan=True, allow_infinity=True)


def wait(
    error: BridgeError,
    attempt: int = 1,
    *,
    jitter: float = 0.0,
    schedule: tuple[timedelta, ...] = SCHEDULE,
) -> float:
    came = decide(error, attempt=attempt, schedule=schedule, now=NOW, jitter=jitter)
    assert isinstance(came, RetryAt)
    return (came.at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("error", "attempt", "seconds", "spent"),
    [
        (TemporaryError("busy"), 1, 10, True),
        (TemporaryError("busy"), 2, 60, True),
        (TemporaryError("busy"), 3, 7200, True),
        (StorageError("locked"), 1, 10, True),
        (UnclearError("no answer"), 1, 10, True),
        (TemporaryError("busy", retry_after=30), 1, 30, True),
        (TemporaryError("busy", retry_after=3), 3, 7200, True),
        (TemporaryError("busy", retry_after=0), 1, 10, True),
        (TemporaryError("busy", retry_after=-5), 1, 10, True),
        (TemporaryError("busy", retry_after=10**6), 1, 300, True),
        (CredentialsError("refused"), 2, 60, True),
        (ThrottledError("wait", retry_after=30), 1, 30, False),
        (ThrottledError("wait"), 1, 10, False),
        (ThrottledError("wait"), 99, 10, False),
        (ThrottledError("wait", retry_after=0), 99, 1, False),
        (ThrottledError("wait", retry_after=-5), 99, 1, False),
        (ThrottledError("wait", retry_after=10**6), 99, 300, False),
    ],
)
def test_try_again(error: BridgeError, attempt: int, seconds: float, spent: bool) -> None:
    came = decide(error, attempt=attempt, schedule=SCHEDULE, now=NOW, jitter=0.0)

    assert came == RetryAt(NOW + timedelta(seconds=seconds), spent=spent)


@pytest.mark.parametrize(
    ("error", "attempt", "reason"),
    [
        (PermanentError("no"), 1, Reason.REJECTED_BY_PURPLE_DOT),
        (PermanentError("no", reason=Reason.OVER_QUANTITY), 1, Reason.OVER_QUANTITY),
        (NotFoundError("no such order"), 1, Reason.REJECTED_BY_PURPLE_DOT),
        (PayloadError("what is this"), 1, Reason.BAD_SHAPE),
        (TemporaryError("busy"), 4, Reason.SCHEDULE_EXHAUSTED),
        (TemporaryError("busy", retry_after=1), 4, Reason.SCHEDULE_EXHAUSTED),
        (CredentialsError("refused"), 4, Reason.CREDENTIALS_REFUSED),
    ],
)
def test_give_up(error: BridgeError, attempt: int, reason: Reason) -> None:
    assert decide(error, attempt=attempt, schedule=SCHEDULE, now=NOW) == GiveUp(reason)


def test_without_a_schedule_nothing_is_repeated_but_what_we_were_told_to_wait_for() -> None:
    assert decide(TemporaryError("busy"), attempt=1, schedule=(), now=NOW) == GiveUp(
        Reason.SCHEDULE_EXHAUSTED
    )
    assert wait(ThrottledError("wait"), schedule=()) == 300


@given(schedule=SCHEDULES, attempt=st.integers(1, 9))
def test_never_earlier_than_the_schedule(schedule: list[timedelta], attempt: int) -> None:
    came = decide(TemporaryError("busy"), attempt=attempt, schedule=schedule, now=NOW)

    assert isinstance(came, GiveUp) == (attempt > len(schedule))
    if isinstance(came, RetryAt):
        assert (
            NOW + schedule[attempt - 1]
            <= came.at
            <= NOW + schedule[attempt - 1] * 1.1 + timedelta(microseconds=1)
        )


@given(wish=WISHES, schedule=SCHEDULES, attempt=st.integers(1, 9), throttled=st.booleans())
def test_never_before_now_nor_later_than_a_day_and_a_tenth(
    wish: float | None, schedule: list[timedelta], attempt: int, throttled: bool
) -> None:
    error = (ThrottledError if throttled else TemporaryError)("wait", retry_after=wish)

    came = decide(error, attempt=attempt, schedule=schedule, now=NOW)

    assert isinstance(came, GiveUp) or NOW <= came.at <= NOW + A_DAY * 1.1


@given(schedule=SCHEDULES, attempt=st.integers(1, 7), jitter=st.floats(0, 1))
def test_later_tries_wait_no_less(schedule: list[timedelta], attempt: int, jitter: float) -> None:
    moments = [
        came.at
        for number in (attempt, attempt + 1)
        if isinstance(
            came := decide(
                TemporaryError("busy"), attempt=number, schedule=schedule, now=NOW, jitter=jitter
            ),
            RetryAt,
        )
    ]

    assert moments == sorted(moments)


@given(st.floats(0, 86400), st.floats(0, 86400), st.floats(0, 1))
def test_longer_wish_is_never_answered_sooner(one: float, other: float, jitter: float) -> None:
    shorter, longer = sorted((one, other))

    assert wait(TemporaryError("busy", retry_after=shorter), jitter=jitter) <= wait(
        TemporaryError("busy", retry_after=longer), jitter=jitter
    )


@given(jitter=st.floats(0, 1))
def test_crowd_spreads_over_a_tenth(jitter: float) -> None:
    assert 60 <= wait(TemporaryError("busy"), 2, jitter=jitter) <= 66


def test_being_told_to_wait_never_spends_the_schedule() -> None:
    came = [
        decide(ThrottledError("wait"), attempt=attempt, schedule=SCHEDULE, now=NOW, jitter=0.0)
        for attempt in range(1, 30)
    ]

    assert {one.spent for one in came if isinstance(one, RetryAt)} == {False}


@pytest.mark.parametrize(("looks", "seconds"), [(1, 10), (2, 60), (3, 7200), (4, None), (99, None)])
def test_looks_follow_the_schedule_until_it_is_over(looks: int, seconds: float | None) -> None:
    at = next_look(looks=looks, schedule=SCHEDULE, now=NOW)

    assert at == (None if seconds is None else NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 60), (0.5, 63), (1.0, 66)])
def test_wait_is_stretched_by_up_to_a_tenth(jitter: float, seconds: float) -> None:
    assert wait(TemporaryError("busy"), 2, jitter=jitter) == seconds
    assert wait(ThrottledError("wait", retry_after=60), jitter=jitter) == seconds


def test_no_place_in_the_schedule_is_longer_than_a_day() -> None:
    week = (timedelta(days=7),)

    assert wait(TemporaryError("busy"), schedule=week) == A_DAY.total_seconds()
    assert wait(ThrottledError("wait"), schedule=week) == 300


@pytest.mark.parametrize(
    ("wish", "seconds"), [(0.2, 1), (1, 1), (1.5, 1.5), (299, 299), (301, 300)]
)
def test_wish_of_a_vendor_counts_from_a_second_to_five_minutes(wish: float, seconds: float) -> None:
    assert wait(ThrottledError("wait", retry_after=wish)) == seconds


def test_credentials_that_are_refused_are_tried_through_the_schedule() -> None:
    """A person may be about to set them right."""
    refused = CredentialsError("refused", reason=Reason.CREDENTIALS_REFUSED)

    came = [decide(refused, attempt=n, schedule=SCHEDULE, now=NOW, jitter=0.0) for n in range(1, 5)]

    assert [type(one) for one in came] == [RetryAt, RetryAt, RetryAt, GiveUp]


def test_wait_that_a_vendor_asked_for_names_the_vendor() -> None:
    """So that what waits for it can be taken up when its pause is lifted."""
    throttled = ThrottledError("wait", system="purple_dot")
    decisions = [
        decide(error, attempt=1, schedule=SCHEDULE, now=NOW, jitter=0.0)
        for error in (throttled, TemporaryError("busy"))
    ]

    assert decisions == [
        RetryAt(NOW + SCHEDULE[0], spent=False, throttled_by="purple_dot"),
        RetryAt(NOW + SCHEDULE[0], spent=True),
    ]
