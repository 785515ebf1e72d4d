"""A name per living worker: two never share one, a dead one's is free at once, and a lost one is
noticed."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

import pytest
from sqlalchemy import text

from bridge.domain.errors import StorageError
from bridge.store import workers
from bridge.store.engine.database import Database
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import rows

pytest_plugins = ["tests.support.database_fixtures"]

Opener = Callable[[], Database]


def last_beat(database: Database) -> datetime | None:
    with database.read() as connection:
        return workers.last_beat(connection)


def beat(database: Database, name: str, clock: Clock) -> None:
    with database.begin() as connection:
        workers.beat(connection, name, started_at=clock.now, now=clock.now)


def cut_all_connections(database: Database) -> None:
    others = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with database.read() as connection:
        connection.execute(text(others)).all()


def test_living_workers_have_names_of_their_own(opened: Opener) -> None:
    held = [workers.take_name(opened()) for _ in range(3)]

    assert [one.name for one in held] == ["worker-1", "worker-2", "worker-3"]
    assert all(one.is_held() for one in held)
    for one in held:
        one.release()


def test_name_that_was_given_back_is_the_next_ones(opened: Opener) -> None:
    first, second = workers.take_name(opened()), workers.take_name(opened())
    first.release()

    third = workers.take_name(opened())

    assert third.name == "worker-1"
    for one in (second, third):
        one.release()


def test_workers_that_start_at_once_never_share_a_name(opened: Opener) -> None:
    databases, at_once = [opened() for _ in range(6)], Barrier(6)

    def start(database: Database) -> workers.WorkerName:
        at_once.wait(10)
        return workers.take_name(database)

    with ThreadPoolExecutor(6) as pool:
        held = list(pool.map(start, databases))

    assert len({one.name for one in held}) == 6
    for one in held:
        one.release()


def test_name_of_a_killed_process_is_free_at_once(migrated_url: str, opened: Opener) -> None:
    program = (
        "import sys\nfrom bridge.store import workers\n"
        "from bridge.store.engine.database import Database\n"
        "name = workers.take_name(Database(sys.argv[1]))\n"
        "print(name.name, flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, migrated_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        taken = other.stdout.readline().strip()
        other.kill()
        other.wait(10)

    mine = workers.take_name(opened())
    for _ in range(200):
        if mine.name == taken:
            break
        mine.release()  # A server needs a moment to see that its client is gone.
        mine = workers.take_name(opened())

    assert mine.name == taken == "worker-1"
    mine.release()


def test_no_name_left_is_a_storage_error(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_MOST_WORKERS", 1)
    held = workers.take_name(opened())

    with pytest.raises(StorageError, match="hold a name already"):
        workers.take_name(opened())
    held.release()


@pytest.mark.postgres
def test_server_that_can_not_be_reached_is_a_storage_error(tmp_path: object) -> None:
    with pytest.raises(StorageError):
        workers.take_name(Database(f"postgresql+psycopg://bridge@/bridge?host={tmp_path}"))


def test_name_whose_connection_broke_is_no_longer_held_however_often_we_ask(opened: Opener) -> None:
    database = opened()
    held = workers.take_name(database)
    if not database.is_sqlite:
        cut_all_connections(opened())

    assert [held.is_held() for _ in range(3)] == [database.is_sqlite] * 3
    held.release()


def test_giving_back_a_name_that_broke_frees_it_all_the_same(opened: Opener) -> None:
    database = opened()
    held = workers.take_name(database)
    if not database.is_sqlite:
        cut_all_connections(opened())

    held.release()

    again = workers.take_name(database)
    assert again.name == "worker-1"
    again.release()


def test_heartbeat_says_who_lives_since_when(database: WatchedDatabase, clock: Clock) -> None:
    started = clock.now
    beat(database, "worker-1", clock)
    clock.advance(5)
    with database.begin() as connection:
        workers.beat(connection, "worker-1", started_at=started, now=clock.now)

    [stored] = rows(database, "workers")
    assert (stored.name, stored.started_at, stored.beat_at, stored.stopped_at) == (
        "worker-1",
        started,
        clock.now,
        None,
    )
    assert stored.pid
    assert stored.host


def test_last_beat_is_the_newest_of_those_that_live(
    database: WatchedDatabase, clock: Clock
) -> None:
    assert last_beat(database) is None
    beat(database, "worker-1", clock)
    living = clock.now
    clock.advance(5)
    beat(database, "worker-2", clock)
    with database.begin() as connection:
        workers.stopped(connection, "worker-2", now=clock.now)

    assert last_beat(database) == living


def test_dead_worker_whose_clock_was_ahead_does_not_seem_to_live(
    database: WatchedDatabase, clock: Clock
) -> None:
    beat(database, "worker-1", clock)
    clock.advance(-3600)

    with database.read() as connection:
        assert not workers.is_alive(connection, now=clock.now)


def test_restarted_worker_lives_again(database: WatchedDatabase, clock: Clock) -> None:
    beat(database, "worker-1", clock)
    with database.begin() as connection:
        workers.stopped(connection, "worker-1", now=clock.now)
    assert last_beat(database) is None

    clock.advance(9)
    beat(database, "worker-1", clock)

    assert last_beat(database) == clock.now
