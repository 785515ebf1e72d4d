"""A process keeps to its budgets: it waits for its turn, comes back later where too many wait,
learns from answers, and stays away."""

import socket
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from bridge.domain.errors import TemporaryError, ThrottledError, UnclearError
from bridge.domain.events import Lane
from bridge.store import rate_limits
from bridge.store.engine.database import Database
from bridge.vendors.http import ApiClient
from bridge.vendors.rate_limit import Budget, WaitingRoom, calls_in, lesson
from tests.support.fakes import Clock, WatchedDatabase

pytest_plugins = ["tests.support.database_fixtures"]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


def budget(
    database: Database,
    *,
    per_minute: int = 60,
    room: WaitingRoom | None = None,
    hurried: bool = True,
) -> Budget:
    """`hurried`: a wait ends at once, as when the worker stops."""
    stopping = threading.Event()
    if hurried:
        stopping.set()
    return Budget(database, "purple_dot", per_minute, stopping, room)


def calls_until_told_to_wait(ours: Budget) -> int:
    for count in range(1000):
        try:
            ours.before_call("order")
        except ThrottledError:
            return count
    return 1000


def test_spent_budget_says_when_to_come_back(database: WatchedDatabase) -> None:
    ours = budget(database)
    assert calls_until_told_to_wait(ours) == 6

    with pytest.raises(ThrottledError) as told:
        ours.before_call("order")
    assert told.value.retry_after is not None
    assert 0 < told.value.retry_after <= 2


def test_high_rate_asks_the_database_once_for_many_calls(database: WatchedDatabase) -> None:
    ours = budget(database, per_minute=60_000)
    for _ in range(100):
        ours.before_call("order")

    with database.read() as connection:
        assert (
            rate_limits.state(
                connection, "purple_dot", per_minute=60_000, now=database.now(connection)
            ).calls_left
            == 5900
        )


def test_full_waiting_room_sends_back_who_has_made_no_call_yet_each_to_a_later_time(
    database: WatchedDatabase,
) -> None:
    ours = budget(database, per_minute=60, room=WaitingRoom(seats=0))
    calls_until_told_to_wait(ours)

    waits = []
    for _ in range(3):
        with calls_in(Lane.LIVE), pytest.raises(ThrottledError, match="too many wait") as told:
            ours.before_call("order")
        waits.append(told.value.retry_after or 0)

    assert waits == sorted(waits)
    assert waits[2] - waits[0] > 3


def test_journey_that_made_calls_already_waits_even_where_the_room_is_full(
    database: WatchedDatabase,
) -> None:
    ours = budget(database, per_minute=60, room=WaitingRoom(seats=0))
    with calls_in(Lane.LIVE):
        ours.before_call("order")
        calls_until_told_to_wait(ours)
        with pytest.raises(
            ThrottledError, match="no budget left"
        ):  # It waited until the worker stopped.
            ours.before_call("order")


def test_each_lane_stands_back_for_the_higher_ones(database: WatchedDatabase) -> None:
    counts = []
    for lane in reversed(Lane):
        with calls_in(lane):
            counts.append(calls_until_told_to_wait(budget(database, per_minute=120)))

    assert counts == [6, 2, 2, 2]


# What answers teach


@pytest.mark.parametrize(
    ("outcome", "headers", "taught"),
    [
        ("ok", {}, (None, None, None)),
        ("throttled", {"Retry-After": "12"}, (12, None, None)),
        ("throttled", {"Retry-After": "Sun, 01 Mar 2026 12:00:20 GMT"}, (20, None, None)),
        ("throttled", {"X-Rate-Limit-Reset": "7"}, (7, None, None)),
        ("throttled", {}, (30, None, None)),
        (
            "ok",
            {
                "X-Rate-Limit-Limit": "40",
                "X-Rate-Limit-Remaining": "39",
                "X-Rate-Limit-Reset": "58",
            },
            (None, 40, None),
        ),
        (
            "ok",
            {"X-Rate-Limit-Limit": "40", "X-Rate-Limit-Remaining": "2", "X-Rate-Limit-Reset": "30"},
            (None, 40, 2),
        ),
        (
            "ok",
            {"X-Rate-Limit-Limit": "40", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "30"},
            (30, 40, None),
        ),
        ("ok", {"X-Rate-Limit-Limit": "-1", "X-Rate-Limit-Remaining": "many"}, (None, None, None)),
        ("ok", {"X-Rate-Limit-Limit": "0"}, (None, None, None)),
    ],
)
def test_lesson_of_an_answer(
    outcome: str, headers: Mapping[str, str], taught: tuple[float | None, int | None, int | None]
) -> None:
    assert lesson(outcome, headers, now=NOW, per_minute=60) == taught


def test_throttled_answer_pauses_every_process(database: WatchedDatabase) -> None:
    budget(database).after_call("order", "throttled", 0.1, {"Retry-After": "44"})

    with pytest.raises(ThrottledError) as told:
        budget(database).before_call("order")
    assert told.value.retry_after == 44


def test_rate_that_the_vendor_allows_is_kept_to_and_raised_again(
    database: WatchedDatabase, clock: Clock
) -> None:
    ours = budget(database, per_minute=600)
    ours.before_call("order")
    ours.after_call("order", "ok", 0.1, {"X-Rate-Limit-Limit": "40"})
    clock.advance(60)
    ours.before_call("order")
    assert ours.allowed == 40

    ours.after_call("order", "ok", 0.1, {"X-Rate-Limit-Limit": "900"})
    clock.advance(60)
    ours.before_call("order")
    assert ours.allowed == 600


# A vendor that fails as a whole


def client(ours: Budget) -> ApiClient:
    return ApiClient(
        system="purple_dot",
        origins={NOBODY}.__contains__,
        before_call=ours.before_call,
        after_call=ours.after_call,
    )


def failing(database: WatchedDatabase, clock: Clock, times: int = 5) -> Budget:
    ours = budget(database)
    for _ in range(times):
        ours.after_call("order", "server_error", 0.1, {})
        clock.advance(20)
    return ours


def test_read_that_fails_while_the_vendor_is_down_costs_no_attempt(
    database: WatchedDatabase, clock: Clock
) -> None:
    api = client(failing(database, clock))

    with pytest.raises(ThrottledError) as told:
        api.get("order", f"{NOBODY}/x")
    assert told.value.retry_after == 15


def test_read_that_fails_before_that_costs_one(database: WatchedDatabase, clock: Clock) -> None:
    api = client(failing(database, clock, times=2))

    with pytest.raises(TemporaryError) as told:
        api.get("order", f"{NOBODY}/x")
    assert not isinstance(told.value, ThrottledError)


def test_write_without_a_clear_answer_stays_unclear_while_the_vendor_is_down(
    database: WatchedDatabase, clock: Clock, deaf_server: Callable[[], str]
) -> None:
    ours, url = failing(database, clock), deaf_server()
    api = ApiClient(
        system="purple_dot",
        origins={url}.__contains__,
        before_call=ours.before_call,
        after_call=ours.after_call,
    )

    with pytest.raises(UnclearError):
        api.send("create_fulfillment", "POST", f"{url}/fulfillment", {})


def test_success_lets_everybody_call_again(database: WatchedDatabase, clock: Clock) -> None:
    ours = failing(database, clock)
    ours.before_call("order")
    ours.after_call("order", "ok", 0.1, {})

    assert calls_until_told_to_wait(budget(database)) > 1


@pytest.mark.parametrize(
    "outcome", ["rejected", "not_found", "credentials", "throttled", "redirect"]
)
def test_vendor_that_answers_at_all_is_not_down(
    database: WatchedDatabase, clock: Clock, outcome: str
) -> None:
    ours = failing(database, clock, times=4)
    ours.after_call("order", outcome, 0.1, {"Retry-After": "0"})
    ours.after_call("order", "server_error", 0.1, {})

    assert calls_until_told_to_wait(ours) > 1


@pytest.fixture
def deaf_server() -> Callable[[], str]:
    """Takes a request and closes the connection without a word."""

    def start() -> str:
        listening = socket.create_server(("127.0.0.1", 0))

        def close_at_once() -> None:
            with listening:
                connection, _address = listening.accept()
                with connection:
                    connection.recv(65_536)

        threading.Thread(target=close_at_once, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    return start


class _VirtualWait(threading.Event):
    """A worker that does not stop, and whose waits take no time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.advance(timeout or 0)
        return self.is_set()


@pytest.mark.parametrize("per_minute", [1, 2, 6, 12])
@pytest.mark.parametrize("lane", Lane)
def test_journey_of_many_calls_ends_however_small_the_budget_is(
    database: WatchedDatabase, clock: Clock, per_minute: int, lane: Lane
) -> None:
    ours = Budget(database, "purple_dot", per_minute, _VirtualWait(clock))
    with calls_in(lane):
        for _ in range(20):
            ours.before_call("order")


def test_journey_that_made_calls_comes_back_after_a_long_pause(database: WatchedDatabase) -> None:
    ours = budget(database, hurried=False)
    with calls_in(Lane.LIVE):
        ours.before_call("order")
        ours.after_call("order", "throttled", 0.1, {"Retry-After": "600"})
        with pytest.raises(ThrottledError, match="no budget left"):
            ours.before_call("order")
