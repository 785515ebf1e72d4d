"""What goes wrong meanwhile: vendors, processes and the database, one deed every few seconds, drawn
from a seed."""

import signal
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from random import Random
from sqlite3 import connect

from bridge.simulator.faults import parse_fault
from tests.soak.clocks import JUMPS, MachineClock
from tests.support.postgres import Server
from tests.support.stack import Process, Stack

POST = "purple_dot.create_fulfillment"
_ANY = ("shipstation.*", "shipstation_v1.*", "purple_dot.*", POST)
_BEFORE_IT_IS_DONE = (
    "status:500",
    "status:503",
    "status:408",
    "status:401",
    "drop_before",
    "redirect_login",
    "throttle:1",
    "throttle_date:2",
)
_AFTER_IT_IS_DONE = (
    "error_after_commit",
    "drop_after_commit",
    "not_json",
    "truncated",
    "huge",
    "drip:0",
    "delay:0.3",
)
_FAULTS = (*_BEFORE_IT_IS_DONE, *_AFTER_IT_IS_DONE)
_WISHES = (
    "unavailable:0",
    "unavailable:5",
    "unavailable:20",
    "unavailable_past:60",
    "unavailable_past:315360000",
    "throttle:0",
    "throttle:15",
    "throttle_date:8",
    "spent:5",
    "spent:3600",
)
_LONG_WISHES = ("throttle:3600", "throttle_date:86400", "throttle:315360000", "unavailable:7200")
"""Kept to for minutes, unless an operator lifts the pause."""
_ONLY_THERE = (
    ("empty_first", "shipstation.labels"),
    ("empty_first", "shipstation_v1.shipments"),
    ("commit_late:1", POST),
    ("status:422", POST),
)


class Trouble:
    """The first worker and the first receiver are never killed, so that their growth can be seen;
    `deeds` counts what was done."""

    def __init__(
        self, stack: Stack, ports: tuple[int, ...], chance: Random, server: Server | None
    ) -> None:
        self.stack, self.ports, self.chance, self.server = stack, ports, chance, server
        self.deeds: Counter[str] = Counter()
        self.stopping = threading.Event()
        self.workers: list[Process] = []
        self.receivers: list[Process] = []
        # A SQLite ledger belongs to one machine. Machines that share a PostgreSQL may differ.
        names = ["machine"] if server is None else ["machine-1", "machine-2"]
        self._clocks = [MachineClock(stack.folder / f"{name}.clock") for name in names]

    def begin(self) -> None:
        for port in self.ports:
            started = self.stack.start_receiver(1, port=port, program=self._on_a_machine())
            self.receivers.append(started)
        self.workers = [self.stack.start_worker(program=self._on_a_machine()) for _ in range(3)]

    def _on_a_machine(self) -> Sequence[str]:
        """Whose clock a new process sees."""
        return self.chance.choice(self._clocks).program

    def run(self) -> None:
        """Until `stopping` is set; then the vendors are well again."""
        rare = [
            self._kill_worker,
            self._kill_receiver,
            self._freeze_worker,
            self._break_database,
            self._vendors_down,
            self._header_wish,
            self._posts_fail,
            self._freeze_database,
            self._clock_jumps,
            self._long_wish,
        ]
        weights = [55, 14, 10, 8, 6, 4, 8, 4, 4, 8, 3]
        while not self.stopping.wait(self.chance.uniform(1.5, 4.0)):
            deed = self.chance.choices([self._vendor_fault, *rare], weights=weights)[0]
            deed()
        self.stack.simulator.faults.clear()

    def _vendor_fault(self) -> None:
        often = self.chance.random() < 0.75
        fault, operation = (
            (self.chance.choice(_FAULTS), self.chance.choice(_ANY))
            if often
            else self.chance.choice(_ONLY_THERE)
        )
        self.stack.simulator.inject(operation, fault, self.chance.randint(1, 6))
        self.deeds[f"vendor: {fault.partition(':')[0]}"] += 1

    def _header_wish(self) -> None:
        """A vendor wishes for a pause of any length."""
        wish = self.chance.choice(_WISHES)
        self.stack.simulator.inject(self.chance.choice(_ANY), wish, self.chance.randint(1, 3))
        self.deeds[f"wish: {wish}"] += 1

    def _long_wish(self) -> None:
        """It is kept to for a while, until an operator who knows better lifts the pause."""
        wish, system = (
            self.chance.choice(_LONG_WISHES),
            self.chance.choice(["shipstation.*", "shipstation_v1.*", "purple_dot.*"]),
        )
        self.stack.simulator.inject(system, wish, 1)
        self.stopping.wait(self.chance.uniform(5, 40))
        self.stack.start("doctor", "doctor", "--lift-pauses")
        self.deeds[f"wish: {wish}"] += 1

    def _clock_jumps(self) -> None:
        """Of all processes of one machine, and back again."""
        clock, seconds = self.chance.choice(self._clocks), self.chance.choice(JUMPS)
        clock.set(seconds)
        self.stopping.wait(self.chance.uniform(3, 15))
        clock.set(0)
        self.deeds["clock jumped on" if seconds > 0 else "clock jumped back"] += 1

    def _vendors_down(self) -> None:
        self._fails_for_a_while("status:503:*:always")
        self.deeds["both vendors down"] += 1

    def _posts_fail(self) -> None:
        """Whatever reads is well meanwhile."""
        fault = self.chance.choice(["status:500", "drop_before", "redirect_after_commit:302"])
        self._fails_for_a_while(f"{fault}:{POST}:always")
        self.deeds["only POSTs fail"] += 1

    def _fails_for_a_while(self, fault: str) -> None:
        down = parse_fault(fault)
        self.stack.simulator.faults.append(down)
        self.stopping.wait(self.chance.uniform(5, 15))
        if down in self.stack.simulator.faults:
            self.stack.simulator.faults.remove(down)

    def _kill_worker(self) -> None:
        place = self.chance.randrange(1, len(self.workers))
        self.workers[place].kill()
        self.stopping.wait(self.chance.uniform(0, 5))
        self.workers[place] = self.stack.start("worker", "work", program=self._on_a_machine())
        self.deeds["kill -9 of a worker"] += 1

    def _kill_receiver(self) -> None:
        self.receivers[1].kill()
        self.stopping.wait(self.chance.uniform(0, 3))
        self.receivers[1] = self.stack.start(
            "receiver",
            "serve",
            "--bind",
            f"127.0.0.1:{self.ports[1]}",
            "--workers",
            "1",
            program=self._on_a_machine(),
        )
        self.deeds["kill -9 of a receiver"] += 1

    def _freeze_worker(self) -> None:
        """Past its lease."""
        frozen = self.chance.choice(self.workers)
        frozen.send(signal.SIGSTOP)
        self.stopping.wait(self.chance.uniform(4, 7))
        frozen.send(signal.SIGCONT)
        self.deeds["worker frozen past its lease"] += 1

    def _freeze_database(self) -> None:
        """It neither answers nor refuses; on SQLite a lock that outlasts every patience."""
        if self.server is None:
            self._lock_file(self.chance.uniform(8, 15))
            self.deeds["SQLite locked for long"] += 1
            return
        self.server.freeze()
        self.stopping.wait(self.chance.uniform(3, 12))
        self.server.thaw()
        self.deeds["PostgreSQL frozen"] += 1

    def _break_database(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.stopping.wait(self.chance.uniform(0, 4))
            self.server.start()
            self.deeds["PostgreSQL shut down at once"] += 1
            return
        self._lock_file(self.chance.uniform(2, 8))
        self.deeds["SQLite locked for seconds"] += 1

    def _lock_file(self, seconds: float) -> None:
        path = str(self.stack.database.url.database)
        with closing(connect(path, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.stopping.wait(seconds)
