"""What a worker costs that has nothing to do."""

import time
from pathlib import Path

from bridge.simulator import Simulator
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from tests.benchmarks import servers
from tests.benchmarks.figures import Figure

_ROUNDS = 5
_SECONDS = 3.0


def measure(folder: Path) -> list[Figure]:
    figure = Figure("idle worker on SQLite", "% core", "1")
    url = f"sqlite:///{folder}/idle.db"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    with Simulator() as simulator, servers.worker(simulator, url, folder) as pid:
        time.sleep(_SECONDS)  # It starts.
        for _ in range(_ROUNDS):
            before = cpu_seconds(pid)
            time.sleep(_SECONDS)
            figure.ours.append((cpu_seconds(pid) - before) / _SECONDS * 100)
    return [figure]


def cpu_seconds(pid: int) -> float:
    """Of all its threads that live, to the nanosecond.
    https://docs.kernel.org/scheduler/sched-stats.html"""
    return (
        sum(
            int(task.read_text(encoding="ascii").split()[0])
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )
        / 1e9
    )
