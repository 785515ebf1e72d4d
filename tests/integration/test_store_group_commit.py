"""Many threads, one commit: nobody hears of it before it is on disk, one's error is one's own, and
nobody is left waiting."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError

from bridge.domain.errors import LeaseLostError, StorageError
from bridge.store import events
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.engine.driver_errors import WaitedTooLongError
from bridge.store.engine.group_commit import GroupCommit
from bridge.store.tables import workers
from tests.support.rows import rows
from tests.support.waiting import wait_until

MOMENT = datetime(2026, 11, 4, tzinfo=UTC)
Work = Callable[[Connection], str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty SQLite database."""
    with closing(Database(f"sqlite:///{tmp_path / 'ledger.db'}")) as database:
        migrate.upgrade(database)
    return tmp_path / "ledger.db"


@pytest.fixture
def sqlite(file: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{file}", patience=5)) as database:
        yield database


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def a_group(database: Database, *, most: int = 64) -> GroupCommit:
    return GroupCommit(database.begin, patience=database.patience, most=most)


def store(name: str, *, then: Exception | None = None) -> Work:
    """One event whose body is `name`; fails after it was written when `then` is given."""

    def work(connection: Connection) -> str:
        arrival = events.Arrival(
            "SHIP_NOTIFY", name.encode(), f"https://ssapi.shipstation.com/shipments?n={name}"
        )
        event_id, _ = events.receive(connection, arrival, now=MOMENT)
        if then:
            raise then
        return event_id

    return work


def stored(database: Database) -> list[str]:
    return sorted(bytes(row.body).decode() for row in rows(database, "events"))


@contextmanager
def held_up(group: GroupCommit, pool: ThreadPoolExecutor) -> Iterator[Future[str]]:
    """A leader in the middle of its work; it goes on at the end of the block."""
    began, go_on = Event(), Event()

    def work(connection: Connection) -> str:
        began.set()
        go_on.wait(10)
        return store("leader")(connection)

    leader = pool.submit(group.run, work)
    assert began.wait(10)
    try:
        yield leader
    finally:
        go_on.set()


def queued(group: GroupCommit, pool: ThreadPoolExecutor, works: list[Work]) -> "list[Future[str]]":
    """Each waits for the next commit, in this order."""
    futures = []
    for work in works:
        before = group.waiting()
        futures.append(pool.submit(group.run, work))
        wait_until(
            lambda before=before: group.waiting() > before, seconds=10, what="a thread to wait"
        )
    return futures


def test_whoever_waits_is_committed_together(sqlite: Database, pool: ThreadPoolExecutor) -> None:
    group, commits = a_group(sqlite), list[str]()
    event.listen(sqlite.engine, "commit", lambda _: commits.append("commit"))

    with held_up(group, pool) as leader:
        others = queued(group, pool, [store(f"w{number}") for number in range(9)])

    ids = {one.result(10) for one in (leader, *others)}
    assert len(commits) == 2
    assert {row.id for row in rows(sqlite, "events")} == ids
    assert len(ids) == 10


def test_group_is_bounded_and_each_is_served_in_its_order(
    sqlite: Database, pool: ThreadPoolExecutor
) -> None:
    group, order = a_group(sqlite, most=2), list[str]()
    event.listen(sqlite.engine, "commit", lambda _: order.append("|"))

    def noted(name: str) -> Work:
        def work(connection: Connection) -> str:
            order.append(name)
            return store(name)(connection)

        return work

    with held_up(group, pool):
        futures = queued(group, pool, [noted(name) for name in "abcde"])

    assert [bool(one.result(10)) for one in futures] == [True] * 5
    assert "".join(order) == "|ab|cd|e|"


def test_every_group_survives_a_power_cut(sqlite: Database, pool: ThreadPoolExecutor) -> None:
    synchronous = dict[str, int]()

    def noted(name: str) -> Work:
        def work(connection: Connection) -> str:
            synchronous[name] = connection.execute(text("PRAGMA synchronous")).scalar_one()
            return name

        return work

    with sqlite.begin(durable=False) as connection:
        noted("claim")(connection)
    assert sqlite.write(noted("alone"))
    group = a_group(sqlite)
    with held_up(group, pool):
        futures = queued(group, pool, [noted("event"), noted("another event")])

    assert all(one.result(10) for one in futures)
    assert synchronous == {"claim": 1, "alone": 2, "event": 2, "another event": 2}


def test_nobody_hears_of_it_before_the_commit(sqlite: Database, pool: ThreadPoolExecutor) -> None:
    group, told = a_group(sqlite), list[bool]()
    with held_up(group, pool):
        futures = queued(group, pool, [store("a"), store("b")])
        event.listen(sqlite.engine, "commit", lambda _: told.extend(one.done() for one in futures))

    assert all(one.result(10) for one in futures)
    assert told[-2:] == [False, False]


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault of ours"), LeaseLostError("taken over"), StorageError("no")]
)
def test_error_of_one_is_its_own_and_undoes_its_writes_only(
    sqlite: Database, pool: ThreadPoolExecutor, error: Exception
) -> None:
    group = a_group(sqlite)

    with held_up(group, pool):
        good, bad, last = queued(
            group, pool, [store("good"), store("bad", then=error), store("last")]
        )

    assert good.result(10) != last.result(10)
    assert type(bad.exception(10)) is type(error)
    assert stored(sqlite) == ["good", "last", "leader"]


def test_error_of_the_database_in_one_is_its_own(
    own_database: Database, pool: ThreadPoolExecutor
) -> None:
    """A value that the schema refuses."""

    def wrong(connection: Connection) -> str:
        connection.execute(
            workers.insert().values(name=None, host="h", pid=1, started_at=None, beat_at=None)
        )
        return ""

    futures = [
        pool.submit(own_database.write, work)
        for work in (store("a"), wrong, store("b"), wrong, store("c"))
    ]

    assert [type(one.exception(10)) for one in futures] == [
        type(None),
        IntegrityError,
        type(None),
        IntegrityError,
        type(None),
    ]
    assert stored(own_database) == ["a", "b", "c"]


def test_single_statement_that_fails_in_a_group_undoes_itself_only(
    sqlite: Database, pool: ThreadPoolExecutor
) -> None:
    row = {"name": "worker-1", "host": "h", "pid": 1, "started_at": MOMENT, "beat_at": MOMENT}
    group = a_group(sqlite)

    def taken(connection: Connection) -> str:
        connection.execute(workers.insert(), row)
        return "worker-1"

    with held_up(group, pool):
        works = (store("a"), taken, store("b"), taken, store("c"))
        futures = [pool.submit(group.run, work) for work in works]
        wait_until(lambda: group.waiting() == len(works), seconds=10, what="all to wait")

    assert sum(isinstance(one.exception(10), IntegrityError) for one in futures) == 1
    assert stored(sqlite) == ["a", "b", "c", "leader"]
    assert len(rows(sqlite, "workers")) == 1


def test_alone_it_is_an_ordinary_transaction(own_database: Database) -> None:
    with pytest.raises(RuntimeError, match="ours"):
        own_database.write(store("bad", then=RuntimeError("a fault of ours")))
    own_database.write(store("good"))

    assert stored(own_database) == ["good"]


class FullAtCommit(Database):
    """Takes every statement, and then can't commit."""

    is_full = True

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Connection]:
        with super().begin(durable=durable) as connection:
            yield connection
            if self.is_full:
                raise StorageError("database or disk is full", retry_after=5)


def test_failed_commit_is_everybodys_error_and_nothing_is_kept(
    file: Path, pool: ThreadPoolExecutor
) -> None:
    database = FullAtCommit(f"sqlite:///{file}")
    group = a_group(database)
    with held_up(group, pool) as leader:
        others = queued(group, pool, [store("a"), store("b", then=RuntimeError("too")), store("c")])

    errors = [one.exception(10) for one in (leader, *others)]

    assert [type(error) for error in errors] == [StorageError] * 4
    assert len({id(error) for error in errors}) == 4
    assert {error.retry_after for error in errors if isinstance(error, StorageError)} == {5}
    assert stored(database) == []
    database.is_full = False
    assert group.run(store("later"))
    database.close()


def test_disk_that_is_full_in_the_middle_leaves_nobody_with_a_false_answer(
    sqlite: Database, pool: ThreadPoolExecutor
) -> None:
    group = a_group(sqlite)

    def too_much(connection: Connection) -> str:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 1}")
        return store("x" * 5_000_000)(connection)

    with held_up(group, pool) as leader:
        futures = dict(
            zip("abc", queued(group, pool, [store("a"), too_much, store("c")]), strict=True)
        )

    assert leader.result(10)
    assert isinstance(futures["b"].exception(10), StorageError)
    assert stored(sqlite) == sorted(
        ["leader", *(name for name, one in futures.items() if one.exception(10) is None)]
    )


def test_locked_database_is_everybodys_storage_error_after_its_timeout(
    file: Path, pool: ThreadPoolExecutor
) -> None:
    with (
        closing(Database(f"sqlite:///{file}", patience=0.2)) as database,
        closing(sqlite3.connect(file, isolation_level=None)) as hog,
    ):
        group = a_group(database)
        hog.execute("BEGIN IMMEDIATE")
        errors = [
            one.exception(10)
            for one in [pool.submit(group.run, store(f"w{number}")) for number in range(8)]
        ]
        hog.execute("ROLLBACK")

        assert [type(error) for error in errors] == [WaitedTooLongError] * 8
        assert group.waiting() == 0
        assert group.run(store("later"))
        assert stored(database) == ["later"]


def test_who_waited_too_long_leaves_and_is_not_written_later(
    file: Path, pool: ThreadPoolExecutor
) -> None:
    with closing(Database(f"sqlite:///{file}", patience=0.1)) as database:
        group = a_group(database)
        with held_up(group, pool) as leader:
            errors = [
                one.exception(10)
                for one in [pool.submit(group.run, store(f"w{number}")) for number in range(3)]
            ]

        assert [type(error) for error in errors] == [WaitedTooLongError] * 3
        assert "another writer of this process" in str(errors[0])
        assert leader.result(10)
        assert stored(database) == ["leader"]


def test_leader_that_is_broken_off_leaves_nobody_waiting(
    sqlite: Database, pool: ThreadPoolExecutor
) -> None:
    group, stopped = a_group(sqlite), list[BaseException]()

    def stop(_: Connection) -> str:
        raise KeyboardInterrupt

    def run_and_stop() -> None:
        try:
            group.run(stop)
        except BaseException as exc:  # noqa: BLE001  # what a signal raises
            stopped.append(exc)

    with held_up(group, pool):
        leading = Thread(target=run_and_stop)
        leading.start()
        wait_until(lambda: group.waiting() == 1, seconds=10, what="the next leader to wait")
        same, _ = queued(group, pool, [store("same group"), store("too")])
    leading.join(10)

    assert isinstance(stopped[0], KeyboardInterrupt)
    assert isinstance(same.exception(10), StorageError)
    assert group.run(store("later"))
    assert stored(sqlite) == ["later", "leader"]


def test_whoever_was_told_is_stored_and_whoever_failed_is_not(
    own_database: Database, pool: ThreadPoolExecutor
) -> None:
    """Twice the same database, as two processes have it, many threads, a third of the work
    failing at
    its end."""
    other, chance = (
        Database(own_database.url.render_as_string(hide_password=False)),
        random.Random(4),
    )
    works = {
        f"w{number}": RuntimeError("a fault") if chance.random() < 1 / 3 else None
        for number in range(200)
    }

    futures = {
        name: pool.submit(
            (own_database, other)[number % 2].write,
            store(name, then=error),
        )
        for number, (name, error) in enumerate(works.items())
    }

    assert {name for name, one in futures.items() if one.exception(30) is None} == {
        name for name, error in works.items() if error is None
    }
    assert stored(own_database) == sorted(name for name, error in works.items() if error is None)
    other.close()
