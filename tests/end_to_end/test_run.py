"""`bridge run`: receiver and worker under one supervisor, each started again when it dies, both
stopped gently by one SIGTERM."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.simulator import Simulator
from bridge.store.tables import workers
from tests.support.stack import Process, Stack
from tests.support.waiting import wait_until


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """On SQLite alone: the supervisor knows no database."""
    with (
        Simulator() as simulator,
        Stack(simulator, f"sqlite:///{tmp_path / 'bridge.db'}", tmp_path) as stack,
    ):
        yield stack


@pytest.fixture
def supervisor(stack: Stack) -> Process:
    return stack.start_both()


def _worker_pid(stack: Stack) -> int:
    with stack.database.read() as connection:
        return int(connection.execute(select(workers.c.pid)).scalar_one())


def _receiver_pid(stack: Stack) -> int:
    """gunicorn's arbiter tells its own where it tells its address."""
    [*_, newest] = [
        line for line in stack.processes[0].output().splitlines() if "Listening at" in line
    ]
    return int(newest.partition(" (")[2].partition(")")[0])


def _is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.parametrize("pid_of", [_worker_pid, _receiver_pid], ids=["worker", "receiver"])
def test_process_that_was_killed_is_started_again_and_work_goes_on(
    stack: Stack, supervisor: Process, pid_of: Callable[[Stack], int]
) -> None:
    world, killed = stack.world, pid_of(stack)

    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: supervisor.logged("process_died"), 10, "the death to be noticed")
    wait_until(lambda: pid_of(stack) != killed and stack.is_ready(), 20, "both to be there again")
    order = world.add_order()
    stack.travel(world.label_created_v2(world.buy_labels(world.add_shipstation_order(order))))

    assert len(stack.fulfillments(order)) == 1


def test_one_sigterm_stops_both_gently(stack: Stack, supervisor: Process) -> None:
    children = [_worker_pid(stack), _receiver_pid(stack)]

    exit_code = supervisor.stop()

    assert exit_code == 0
    assert not any(_is_alive(pid) for pid in children)
    assert supervisor.logged("worker_stopped")


def test_killed_supervisor_leaves_nothing_behind(stack: Stack, supervisor: Process) -> None:
    children = [_worker_pid(stack), _receiver_pid(stack)]

    supervisor.kill()

    wait_until(lambda: not any(_is_alive(pid) for pid in children), 20, "the children to end")


# What can't pass


def test_port_in_use_ends_it_with_the_reason(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = stack.start("run", "run", "--bind", address)
        wait_until(lambda: process.exit_code is not None, 60, "it to end")

    assert process.exit_code == 1
    assert f"can't listen at {address}: Address already in use" in process.output()


def test_wrong_carriers_file_ends_it_with_the_reason(stack: Stack) -> None:
    (stack.folder / "carriers.csv").write_text("codes,company\nmy_van,\n")
    process = stack.start("run", "run", BRIDGE_CARRIERS_FILE=str(stack.folder / "carriers.csv"))
    wait_until(lambda: process.exit_code is not None, 60, "it to end")

    assert process.exit_code == 2
    assert "BRIDGE_CARRIERS_FILE: " in process.output()


def test_file_that_is_no_database_ends_it_with_the_reason(stack: Stack) -> None:
    (stack.folder / "letter.db").write_text("Dear Sir or Madam, this is no database. " * 100)
    url = f"sqlite:///{stack.folder / 'letter.db'}"
    process = stack.start("run", "run", BRIDGE_DATABASE_URL=url)
    wait_until(lambda: process.exit_code is not None, 60, "it to end")

    assert process.exit_code == 1
    assert "file is not a database" in process.output()


def test_it_says_where_it_listens_and_where_its_database_is(
    stack: Stack, supervisor: Process
) -> None:
    [line] = supervisor.logged("starting")

    assert line["listens_at"] == f"http://127.0.0.1:{stack.port}"
    assert line["database"] == str(stack.folder / "bridge.db")


# Restarts that refuse nobody


@dataclass
class Load:
    """Webhooks one after the other, each on a connection of its own, until `stop()`."""

    stack: Stack
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        stopping = threading.Event()
        threads = [threading.Thread(target=self._send, args=[stopping]) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    def _send(self, stopping: threading.Event) -> None:
        body = (
            b'{"resource_type": "ORDER_NOTIFY", "resource_url": "https://ssapi.shipstation.com/o"}'
        )
        while not stopping.wait(0.02):
            try:
                answer = self.stack.post(body)
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(repr(exc))
                continue
            if answer.status == 202:
                self.answered += 1
            else:
                self.failures.append(f"{answer.status}: {answer.raw.decode()}")


def test_settings_are_read_again_without_refusing_a_webhook(
    stack: Stack, supervisor: Process
) -> None:
    load = Load(stack)
    with load.running():
        for number in range(3):
            before = load.answered
            worker = _worker_pid(stack)
            os.kill(supervisor.pid, signal.SIGHUP)
            wait_until(
                lambda done=number: len(supervisor.logged("settings_reloaded")) > done,
                60,
                "the reload",
            )
            wait_until(lambda old=worker: _worker_pid(stack) != old, 60, "a new worker")
            wait_until(lambda least=before: load.answered > least + 20, 60, "webhooks after it")

    assert load.failures == []


def test_reload_with_wrong_settings_changes_nothing(stack: Stack, supervisor: Process) -> None:
    worker = _worker_pid(stack)
    (stack.folder / ".env").write_text("BRIDGE_HOLD_SECONDS=soon\n")

    os.kill(supervisor.pid, signal.SIGHUP)
    wait_until(lambda: supervisor.logged("reload_refused"), 30, "the refusal")

    assert supervisor.exit_code is None
    assert _worker_pid(stack) == worker
    assert stack.is_alive()


AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "bridge", "run"])
"""
"""Hands the socket over as systemd does: as descriptor 3, to this very process."""


def test_service_manager_that_holds_the_port_restarts_it_without_refusing_a_webhook(
    stack: Stack, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", stack.port), backlog=2048) as held,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(60)
        environ = stack.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}

        def start() -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-c", AS_SYSTEMD, str(held.fileno())],
                env=environ,
                cwd=stack.folder,
                pass_fds=[held.fileno()],
            )
            assert notified.recv(100) == b"READY=1"
            return process

        load, process = Load(stack), start()
        with load.running():
            for _ in range(3):
                before = load.answered
                process.terminate()
                assert process.wait(60) == 0
                assert notified.recv(100) == b"STOPPING=1"
                process = start()
                wait_until(lambda least=before: load.answered > least + 20, 60, "webhooks after it")
        process.terminate()
        process.wait(60)

    assert load.failures == []
