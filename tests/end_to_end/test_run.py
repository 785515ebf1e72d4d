"""`bridge run`: receiver and worker under one supervisor, each started again when it dies, both
stopped gently by one SIGTERM."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
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
