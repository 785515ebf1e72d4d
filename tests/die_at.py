"""`python die_at.py POINT COMMAND…`: a command of the bridge that kills its whole process group when it reaches the point.

It hooks only on edges that outlive a rewriting of the insides: a statement that names a table, its commit, a request, its answer.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect


@dataclass(frozen=True)
class Point:
    """`when` is a statement about to run, the commit of one that ran (before or after it), or a request: about to leave, gone, answered.
    It strikes the nth time."""

    when: str
    what: str
    nth: int = 1


_POST = "POST .*/fulfillment$"
RECEIVER = {
    "before it is stored": Point("statement", "INSERT INTO events", 2),
    "stored but not committed": Point("committing", "INSERT INTO events", 2),
    "stored but not answered": Point("committed", "INSERT INTO events", 2),
}
WORKER = {
    "claimed": Point("committed", r"UPDATE events SET.*\bclaims="),
    "fetched": Point("answered", "GET /(v2/labels|shipments)", 2),
    "deliveries half written": Point("statement", "INSERT INTO delivery_lines"),
    "deliveries written": Point("committed", "INSERT INTO deliveries"),
    "before POST": Point("leaving", _POST, 2),
    "POST under way": Point("gone", _POST, 2),
    "after POST before record": Point("answered", _POST, 2),
    "record not committed": Point("committing", "INSERT INTO attempts"),
    "after record": Point("committed", "INSERT INTO attempts"),
}
POINTS = RECEIVER | WORKER


def _die() -> None:
    os.killpg(0, signal.SIGKILL)


class _Reaper:
    def __init__(self, point: Point) -> None:
        self._point, self._met = point, count(1)

    def reach(self, when: str, what: str) -> None:
        is_here = when == self._point.when and re.search(self._point.what, what, re.DOTALL)
        if is_here and next(self._met) == self._point.nth:
            _die()


def _watch_database(reach: Callable[[str, str], None]) -> None:
    told = threading.local()  # What this thread's transaction has said so far.

    def before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        reach("statement", statement)
        told.statements = [*getattr(told, "statements", ()), statement]

    def commit(self: DefaultDialect, connection: Any) -> None:
        statements, told.statements = getattr(told, "statements", ()), []
        for statement in statements:
            reach("committing", statement)
        do_commit(self, connection)
        for statement in statements:
            reach("committed", statement)

    def rollback(self: DefaultDialect, connection: Any) -> None:
        told.statements = []
        do_rollback(self, connection)

    event.listen(Engine, "before_cursor_execute", before)
    do_commit, do_rollback = DefaultDialect.do_commit, DefaultDialect.do_rollback
    DefaultDialect.do_commit, DefaultDialect.do_rollback = commit, rollback  # type: ignore[method-assign]


def _watch_requests(reach: Callable[[str, str], None]) -> None:
    put, get = HTTPConnection.putrequest, HTTPConnection.getresponse

    def putrequest(self: Any, method: str, url: str, *rest: Any, **named: Any) -> None:
        self.told = f"{method} {url}"
        reach("leaving", self.told)
        put(self, method, url, *rest, **named)

    def getresponse(self: Any) -> Any:
        reach("gone", self.told)
        answer = get(self)
        reach("answered", self.told)
        return answer

    HTTPConnection.putrequest, HTTPConnection.getresponse = putrequest, getresponse  # type: ignore[method-assign]


def _run(name: str, *command: str) -> None:
    reaper = _Reaper(POINTS[name])
    _watch_database(reaper.reach)
    _watch_requests(reaper.reach)
    sys.argv = ["bridge", *command]
    sys.path.pop(0)  # This folder holds no modules of the bridge.
    from bridge.cli import main

    main()


if __name__ == "__main__":
    _run(*sys.argv[1:])
