"""A process keeps to its budgets: it waits for its turn, comes back later where too many wait,
learns from answers, and stays away; and it uses what the vendor allows."""

import heapq
import socket
import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

import pytest

from bridge.domain.errors import TemporaryError, ThrottledError, UnclearError
from bridge.domain.events import Lane
from bridge.store import rate_limits
from bridge.store.engine.database import Database
from bridge.vendors.http import ApiClient
from bridge.vendors.rate_limit import Budget, Limits, calls_in, parse_limits
from tests.support.fakes import Clock, WatchedDatabase

pytest_plugins = ["tests.support.database_fixtures"]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


def budget(
    database: Database,
    *,
    per_minute: int = 60,
    waiters: int | None = None,
    hurried: bool = True,
) -> Budget:
    """`hurried`: a wait ends at once, as when the worker stops."""
    stopping = threading.Event()
    if hurried:
        stopping.set()
    return Budget(database, "purple_dot", per_minute, stopping, waiters)


def calls_until_told_to_wait(ours: Budget) -> int:
    for count in range(1000):
        try:
            ours.before_call("order")
        except ThrottledError:
            return count
    return 1000


def test_spent_budget_says_when_to_come_back(database: WatchedDatabase) -> None:
    ours = budget(database)
    assert calls_until_told_to_wait(ours) == 4

    with pytest.raises(ThrottledError) as told:
        ours.before_call("order")
    assert told.value.retry_after is not None
    assert 0 < told.value.retry_after <= 2


def test_work_that_made_no_call_yet_is_sent_back_each_to_a_turn_of_its_own(
    database: WatchedDatabase,
) -> None:
    ours = budget(database, per_minute=60, waiters=0)
    calls_until_told_to_wait(ours)

    waits = []
    for _ in range(4):
        with calls_in(Lane.LIVE), pytest.raises(ThrottledError, match="no budget left") as told:
            ours.before_call("order")
        waits.append(told.value.retry_after or 0)

    steps = [later - earlier for earlier, later in pairwise(waits)]
    assert all(0.5 < step < 1.1 for step in steps)


def test_higher_lane_does_not_stand_behind_a_lower_one(database: WatchedDatabase) -> None:
    ours = budget(database, per_minute=60, waiters=0)
    calls_until_told_to_wait(ours)

    def place(lane: Lane) -> float:
        with calls_in(lane), pytest.raises(ThrottledError) as told:
            ours.before_call("order")
        return told.value.retry_after or 0

    sweep = [place(Lane.SWEEP) for _ in range(30)]

    assert place(Lane.LIVE) < 2 < max(sweep)


def test_work_that_made_calls_already_waits_even_where_no_thread_may(
    database: WatchedDatabase,
) -> None:
    ours = budget(database, per_minute=60, waiters=0)
    with calls_in(Lane.LIVE):
        ours.before_call("order")
        calls_until_told_to_wait(ours)
        with pytest.raises(ThrottledError, match="stopped before"):
            ours.before_call("order")


def test_each_lane_stands_back_for_the_higher_ones(database: WatchedDatabase) -> None:
    counts = []
    for lane in reversed(Lane):
        with calls_in(lane):
            counts.append(calls_until_told_to_wait(budget(database, per_minute=120)))

    assert counts == [4, 1, 1, 1]


# What answers teach


COUNTED = {"X-Rate-Limit-Limit": "40", "X-Rate-Limit-Remaining": "2", "X-Rate-Limit-Reset": "30"}


@pytest.mark.parametrize(
    ("outcome", "headers", "limits"),
    [
        ("ok", {}, Limits()),
        ("throttled", {"Retry-After": "12"}, Limits(12)),
        ("throttled", {"Retry-After": "Sun, 01 Mar 2026 12:00:20 GMT"}, Limits(20)),
        ("throttled", {"X-Rate-Limit-Reset": "7"}, Limits(7)),
        ("throttled", {}, Limits(30)),
        ("ok", COUNTED | {"X-Rate-Limit-Remaining": "39"}, Limits(None, 40, None)),
        ("ok", COUNTED, Limits(None, 40, 2)),
        ("ok", COUNTED | {"X-Rate-Limit-Remaining": "0"}, Limits(30, 40)),
        (
            "ok",
            COUNTED | {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1772366400"},
            Limits(60, 40),
        ),
        ("ok", {"X-Rate-Limit-Limit": "-1", "X-Rate-Limit-Remaining": "many"}, Limits()),
        ("ok", {"X-Rate-Limit-Limit": "0"}, Limits()),
    ],
)
def test_what_v1_says_of_its_limits(
    outcome: str, headers: Mapping[str, str], limits: Limits
) -> None:
    assert parse_limits("shipstation_v1", outcome, headers, now=NOW, per_minute=60) == limits


@pytest.mark.parametrize("system", ["shipstation", "purple_dot"])
@pytest.mark.parametrize("remaining", ["0", "2", "39"])
def test_headers_of_v1_mean_nothing_from_any_other_vendor(system: str, remaining: str) -> None:
    headers = COUNTED | {"X-Rate-Limit-Remaining": remaining}

    assert parse_limits(system, "ok", headers, now=NOW, per_minute=60) == Limits()


def test_throttled_answer_pauses_every_process(database: WatchedDatabase) -> None:
    budget(database).after_call("order", "throttled", 0.1, {"Retry-After": "44"})

    with pytest.raises(ThrottledError) as told:
        budget(database).before_call("order")
    assert told.value.retry_after == 44


def test_rate_that_the_vendor_allows_is_kept_to_and_raised_again(
    database: WatchedDatabase, clock: Clock
) -> None:
    ours = Budget(database, "shipstation_v1", 600, threading.Event())
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
    clock.advance(1)

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
def test_work_of_many_calls_ends_however_small_the_budget_is(
    database: WatchedDatabase, clock: Clock, per_minute: int, lane: Lane
) -> None:
    ours = Budget(database, "purple_dot", per_minute, _VirtualWait(clock))
    began, calls = clock.now, 20
    with calls_in(lane):
        for _ in range(calls):
            ours.before_call("order")

    minutes = (clock.now - began).total_seconds() / 60
    assert calls / per_minute - 1 <= minutes <= calls / per_minute + 1


def test_work_that_made_calls_comes_back_after_a_long_pause(database: WatchedDatabase) -> None:
    ours = budget(database, hurried=False)
    with calls_in(Lane.LIVE):
        ours.before_call("order")
        ours.after_call("order", "throttled", 0.1, {"Retry-After": "200"})
        with pytest.raises(ThrottledError, match="no budget left") as told:
            ours.before_call("order")
    assert told.value.retry_after == pytest.approx(200, abs=5)


def test_wish_of_ten_years_is_probed_after_some_minutes(
    database: WatchedDatabase, clock: Clock
) -> None:
    ours = budget(database)
    ours.after_call("order", "throttled", 0.1, {"Retry-After": "315360000"})
    with pytest.raises(ThrottledError) as told:
        ours.before_call("order")
    assert told.value.retry_after == rate_limits.LONGEST_PAUSE

    clock.advance(rate_limits.LONGEST_PAUSE)
    ours.before_call("order")
    with pytest.raises(ThrottledError):
        budget(database).before_call("order")
    ours.after_call("order", "ok", 0.1, {})

    assert calls_until_told_to_wait(budget(database)) > 1


def test_wish_of_no_seconds_is_a_second(database: WatchedDatabase) -> None:
    ours = budget(database)
    ours.after_call("order", "throttled", 0.1, {"Retry-After": "0"})

    with pytest.raises(ThrottledError) as told:
        ours.before_call("order")
    assert told.value.retry_after == rate_limits.SHORTEST_PAUSE


# Writes whose answers are unclear


def write(ours: Budget, *, is_clear: bool) -> None:
    ours.before_write("create_fulfillment")
    ours.after_write("create_fulfillment", is_clear=is_clear)


def test_after_a_few_unclear_writes_the_others_wait_and_one_is_tried(
    database: WatchedDatabase, clock: Clock
) -> None:
    ours = budget(database, per_minute=6000)
    for _ in range(rate_limits.UNCLEAR_IN_A_ROW):
        write(ours, is_clear=False)
    with pytest.raises(ThrottledError, match="gave no clear answer") as told:
        write(budget(database), is_clear=True)

    clock.advance(told.value.retry_after or 0)
    ours.before_write("create_fulfillment")
    with pytest.raises(ThrottledError):
        budget(database).before_write("create_fulfillment")
    ours.after_write("create_fulfillment", is_clear=True)

    for _ in range(5):
        write(budget(database, per_minute=6000), is_clear=True)


def test_write_takes_a_turn_like_any_call(database: WatchedDatabase) -> None:
    reads = calls_until_told_to_wait(budget(database, per_minute=40))
    ours = budget(database, per_minute=40)
    with database.begin() as connection:
        rate_limits.lift(connection, "purple_dot", now=database.now(connection))

    for _ in range(reads):
        write(ours, is_clear=True)

    with pytest.raises(ThrottledError, match="stopped before purple_dot create_fulfillment"):
        ours.before_write("create_fulfillment")


def test_write_that_must_not_leave_takes_no_turn(database: WatchedDatabase) -> None:
    ours = budget(database, per_minute=6000)
    for _ in range(rate_limits.UNCLEAR_IN_A_ROW):
        write(ours, is_clear=False)
    with database.read() as connection:
        before = rate_limits.state(
            connection, "purple_dot", per_minute=6000, now=database.now(connection)
        )

    with pytest.raises(ThrottledError, match="gave no clear answer"):
        ours.before_write("create_fulfillment")

    with database.read() as connection:
        after = rate_limits.state(
            connection, "purple_dot", per_minute=6000, now=database.now(connection)
        )
    assert after.calls_left == before.calls_left


def test_clear_answer_in_between_starts_the_count_anew(database: WatchedDatabase) -> None:
    ours = budget(database, per_minute=6000)
    for _ in range(10):
        write(ours, is_clear=False)
        write(ours, is_clear=False)
        write(ours, is_clear=True)

    with database.read() as connection:
        state = rate_limits.state(
            connection, "purple_dot", per_minute=6000, now=database.now(connection)
        )
    assert state.state == "ok"


def test_reads_that_succeed_do_not_hide_writes_that_are_unclear(
    database: WatchedDatabase, clock: Clock
) -> None:
    ours = budget(database)
    for _ in range(rate_limits.UNCLEAR_IN_A_ROW):
        write(ours, is_clear=False)
        ours.before_call("order")
        ours.after_call("order", "ok", 0.1, {})
        clock.advance(5)

    with database.read() as connection:
        now = database.now(connection)
        state = rate_limits.state(connection, "purple_dot", per_minute=60, now=now)
    assert state.state == "unclear"
    assert state.since is not None
    ours.before_call("order")


# A backlog uses what the vendor allows


@pytest.mark.parametrize("per_minute", [40, 120, 200])
def test_backlog_uses_what_the_vendor_allows_without_a_thread_that_waits(
    database: WatchedDatabase, clock: Clock, per_minute: int
) -> None:
    """Each piece of work makes one call, and whoever is sent away comes back up to a tenth late."""
    ours = Budget(database, "purple_dot", per_minute, threading.Event(), waiters=0)
    random = Random(7)
    start, minutes = clock.now.timestamp(), 3
    due = [start] * (per_minute * minutes)
    calls: list[float] = []
    while due:
        clock.now = datetime.fromtimestamp(heapq.heappop(due), UTC)
        now = clock.now.timestamp()
        try:
            with calls_in(Lane.LIVE):
                ours.before_call("shipments")
            calls.append(now)
        except ThrottledError as exc:
            heapq.heappush(due, now + (exc.retry_after or 0) * (1 + 0.1 * random.random()))

    needed = max((calls[-1] - start) / 60, minutes)
    busiest = max(bisect_left(calls, moment + 60) - place for place, moment in enumerate(calls))
    assert len(calls) / (per_minute * needed) >= 0.95
    assert busiest <= per_minute
