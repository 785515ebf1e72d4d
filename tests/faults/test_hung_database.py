"""A database that does not answer, or is another one than before: the sender hears 503 in time,
/healthz answers, nobody writes into nothing, and afterwards all goes on by itself."""

import http.client
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bridge.simulator import Label, Simulator
from tests.support.balance import balance
from tests.support.link import Link
from tests.support.postgres import Server, running_server
from tests.support.stack import TOKEN, WEBHOOKS, Json, Stack
from tests.support.waiting import wait_until

SENDERS_SECONDS = 20
"""ShipStation waits ten seconds for its answer; twice that, on a machine that does other things
beside. Without a limit of ours, there is no answer for as long as the database hangs."""
SHORT_LEASE = {"BRIDGE_LEASE_SECONDS": "3"}
"""What was left behind is taken up again while a test waits."""
ALIVE_SECONDS = 2
"""What a supervisor grants /healthz, on a machine that does other things beside."""


@pytest.fixture
def server() -> Iterator[Server]:
    """One that may be frozen without disturbing other tests. Its folder is none of pytest's, which
    are for their owner alone: the server may run as somebody else."""
    with (
        tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder,
        running_server(Path(folder)) as server,
    ):
        yield server


@pytest.fixture
def stack(server: Server, tmp_path: Path) -> Iterator[Stack]:
    folder = tmp_path / "stack"
    folder.mkdir()
    with Simulator() as simulator, Stack(simulator, server.url("hung"), folder) as stack:
        yield stack


def parcels_of(stack: Stack, count: int) -> tuple[list[Label], list[Json]]:
    world = stack.world
    labels = []
    for _number in range(count):
        order = world.add_shipstation_order(world.add_order())
        labels += world.buy_labels(order, batch=False)
    return labels, [world.label_created_v2(label) for label in labels]


def status_of(stack: Stack, body: Json) -> tuple[int, str | None]:
    """The answer's status and its wish; TimeoutError where the sender would have left."""
    raw, headers = stack.simulator.webhook(body)
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=SENDERS_SECONDS)
    try:
        path = f"{WEBHOOKS}/{TOKEN}"
        connection.request("POST", path, raw, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Retry-After")
    finally:
        connection.close()


def is_alive(stack: Stack) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=ALIVE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """The processes stand still; the kernel goes on accepting and acknowledging for them."""
    pids = server.processes()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def locked_table(stack: Stack) -> Iterator[None]:
    """As VACUUM FULL, a migration or somebody's psql would hold it."""
    url = stack.database.url
    with psycopg.connect(f"dbname={url.database} host={url.query['host']} user=bridge") as other:
        other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@pytest.mark.postgres
def test_frozen_server_is_503_in_time_and_everything_comes_back_by_itself(
    stack: Stack, server: Server
) -> None:
    receiver, worker = stack.start_receiver(), stack.start_worker()
    labels, bodies = parcels_of(stack, 40)
    with ThreadPoolExecutor(40) as senders:
        # A burst first, so that connections are open and lie idle in the pools.
        assert {
            status for status, _ in senders.map(lambda body: status_of(stack, body), bodies)
        } == {202}
        stack.settle()
        more, later = parcels_of(stack, 40)

        with frozen(server):
            answers = list(senders.map(lambda body: status_of(stack, body), later))
            assert is_alive(stack)
            again = list(senders.map(lambda body: status_of(stack, body), later))

    assert {status for status, _ in answers + again} == {503}
    assert all(int(str(wish)) > 0 for _, wish in answers + again)
    for body in later:
        stack.send_until_accepted(body)
    stack.settle(60)
    assert (receiver.exit_code, worker.exit_code) == (None, None)
    sent = [str(label.tracking_number) for label in labels + more]
    assert balance(stack.world, stack.database, sent).faults() == {}


@pytest.fixture
def link(server: Server) -> Iterator[Link]:
    with Link(server.socket) as link:
        yield link


@pytest.mark.postgres
def test_network_that_swallows_packets_is_503_in_time_and_everything_comes_back_by_itself(
    server: Server, link: Link, tmp_path: Path
) -> None:
    """In the middle of the work of a burst, with connections that are open and know of nothing."""
    url = f"postgresql+psycopg://bridge@127.0.0.1:{link.port}/hung"
    server.url("hung")
    with Simulator() as simulator, Stack(simulator, url, tmp_path, SHORT_LEASE) as stack:
        receiver, worker = stack.start_receiver(), stack.start_worker()
        labels, bodies = parcels_of(stack, 30)
        more, later = parcels_of(stack, 30)
        with ThreadPoolExecutor(30) as senders:
            first = list(senders.map(lambda body: status_of(stack, body), bodies))
            link.cut()
            answers = list(senders.map(lambda body: status_of(stack, body), later))
            assert is_alive(stack)
            again = list(senders.map(lambda body: status_of(stack, body), later))
            link.mend()

        for body in later:
            stack.send_until_accepted(body)
        stack.settle(120)

        assert {status for status, _ in first} == {202}
        assert {status for status, _ in answers + again} == {503}
        assert all(int(str(wish)) > 0 for _, wish in answers + again)
        assert (receiver.exit_code, worker.exit_code) == (None, None)
        sent = [str(label.tracking_number) for label in labels + more]
        assert balance(stack.world, stack.database, sent).faults() == {}


@pytest.mark.postgres
def test_locked_table_is_503_in_time_and_the_next_webhook_after_it_goes_in(stack: Stack) -> None:
    stack.start_receiver()
    labels, bodies = parcels_of(stack, 20)
    assert status_of(stack, bodies[0])[0] == 202

    with locked_table(stack), ThreadPoolExecutor(20) as senders:
        answers = list(senders.map(lambda body: status_of(stack, body), bodies[1:]))
        assert is_alive(stack)

    assert {status for status, _ in answers} == {503}
    assert all(int(str(wish)) > 0 for _, wish in answers)
    for body in bodies[1:]:
        stack.send_until_accepted(body)
    worker = stack.start_worker()
    stack.settle(60)
    assert worker.exit_code is None
    sent = [str(label.tracking_number) for label in labels]
    assert balance(stack.world, stack.database, sent).faults() == {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge.db"


@pytest.fixture
def on_file(file: Path, tmp_path: Path) -> Iterator[Stack]:
    with Simulator() as simulator, Stack(simulator, f"sqlite:///{file}", tmp_path) as stack:
        yield stack


def replace(file: Path) -> None:
    """As a backup is put back while the bridge still runs."""
    copy = file.with_suffix(".copy")
    shutil.copy(file, copy)
    remove(file)
    copy.rename(file)


def remove(file: Path) -> None:
    for suffix in ("-wal", "-shm", ""):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


@pytest.mark.parametrize(("change", "words"), [(replace, "replaced"), (remove, "removed")])
def test_file_that_is_replaced_or_removed_takes_no_webhook_and_ends_the_worker(
    on_file: Stack, file: Path, change: Callable[[Path], None], words: str
) -> None:
    stack = on_file
    receiver, worker = stack.start_receiver(), stack.start_worker()
    _labels, bodies = parcels_of(stack, 8)
    assert status_of(stack, bodies[0])[0] == 202
    stack.settle()

    stack.database.close()
    change(file)

    assert {status_of(stack, body)[0] for body in bodies[1:]} == {503}
    ready = stack.ask("GET", "/readyz")
    assert (ready.status, ready.json["status"]) == (503, "not_ready")
    wait_until(lambda: worker.exit_code is not None, 20, "the worker to end")
    assert worker.exit_code == 1
    assert f"bridge.db was {words}" in worker.output()
    assert receiver.exit_code is None
    assert is_alive(stack)


def test_removed_file_is_not_begun_anew_by_the_next_start(on_file: Stack, file: Path) -> None:
    stack = on_file
    stack.start_worker().stop()
    stack.database.close()
    remove(file)

    worker = stack.start("worker", "work", "--once")

    wait_until(lambda: worker.exit_code is not None, 30, "the worker to refuse")
    assert worker.exit_code == 1
    assert "bridge.db is gone, though the bridge has used it" in worker.output()
    assert not file.exists()


def test_lock_of_another_program_is_503_in_time_for_a_whole_burst(on_file: Stack) -> None:
    stack = on_file
    stack.start_receiver()
    _labels, bodies = parcels_of(stack, 40)
    assert status_of(stack, bodies[0])[0] == 202

    with ThreadPoolExecutor(40) as senders, stack.database.begin():
        answers = list(senders.map(lambda body: status_of(stack, body), bodies[1:]))
        assert is_alive(stack)

    assert {status for status, _ in answers} == {503}
    for body in bodies[1:]:
        stack.send_until_accepted(body)
