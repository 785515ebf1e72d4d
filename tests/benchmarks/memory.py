"""Memory of receiver and worker over many webhooks: flat, and little."""

import os
from pathlib import Path

from bridge.simulator import Simulator
from tests.benchmarks import servers
from tests.benchmarks.figures import Figure

_WEBHOOKS = int(os.environ.get("WEBHOOKS", "100000"))
_STEPS = 10
_POINTERS = 5000
"""So many lists are pointed to, in turn: what comes while the same pointer waits is counted there,
all else is fetched by the worker."""


def measure(folder: Path) -> list[Figure]:
    most = Figure(f"memory of receiver and worker, {_WEBHOOKS} webhooks (PSS)", "MiB", "200")
    growth = Figure("memory at each tenth / after the first tenth", "MiB", "flat")
    url, step = f"sqlite:///{folder}/memory.db", _WEBHOOKS // _STEPS
    with (
        Simulator() as simulator,
        servers.receiver(simulator, url, folder) as (port, pid),
        servers.worker(simulator, url, folder) as worker,
    ):
        labels = f"{simulator.url}/v2/labels"
        for turn in range(_STEPS):
            bodies = (
                {
                    "resource_url": f"{labels}?batch_id=se-{(turn * step + n) % _POINTERS}",
                    "resource_type": "LABEL_CREATED_V2",
                }
                for n in range(step)
            )
            servers.per_second(port, [simulator.webhook(body) for body in bodies])
            simulator.world.calls.clear()
            most.ours.append(sum(mebibytes(one) for one in [*family(pid), worker]))
    growth.ours, growth.baseline = most.ours, [most.ours[0]] * _STEPS
    return [most, growth]


def mebibytes(pid: int) -> float:
    """What a process holds; a page that several share counts in parts.
    https://docs.kernel.org/filesystems/proc.html"""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = [
        child
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text(encoding="ascii").split()
    ]
    return [pid, *(one for child in children for one in family(int(child)))]
