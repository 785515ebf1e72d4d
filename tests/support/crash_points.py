"""Runs a command of the bridge that dies, or whose disk fails, at a named point.

The points lie at the database's driver and at the standard library's HTTP, so that they stay where
they are when the bridge's own code is rewritten.

`python crash_points.py die-at POINT COMMAND…` kills the whole process group when it reaches a named
point. `python crash_points.py sick-while FILE COMMAND…` makes SQLite sick for as long as FILE says
how: `full`, as on a full disk (SQLITE_FULL), or `read_only` (SQLITE_READONLY). The errors are
SQLite's own. https://www.sqlite.org/pragma.html#pragma_max_page_count"""

import os
import re
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

Reach = Callable[..., None]
"""(when, what) is reached; on SQLite also the connection on which it is said."""


@dataclass(frozen=True)
class Point:
    """`when` is a statement about to run, the commit of one that ran (before or after it), or a
    request: about to leave, gone, answered. It strikes the nth time."""

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
    "claimed": Point("committed", r"UPDATE events SET.*\bclaims\s*="),
    "fetched": Point("answered", "GET .*/(v2/labels|shipments)", 2),
    "deliveries half written": Point("statement", "INSERT INTO delivery_lines"),
    "deliveries written": Point("committed", "INSERT INTO deliveries"),
    "before POST": Point("leaving", _POST, 2),
    "POST under way": Point("gone", _POST, 2),
    "after POST before record": Point("answered", _POST, 2),
    "record not committed": Point("committing", "INSERT INTO attempts"),
    "after record": Point("committed", "INSERT INTO attempts"),
}
POINTS = RECEIVER | WORKER


class _Transaction(threading.local):
    """What this thread has said since its last commit."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def say(self, reach: Reach, statement: str, connection: Any = None) -> None:
        reach("statement", statement, connection)
        self.statements.append(statement)

    def commit(self, reach: Reach, do: Callable[[], None]) -> None:
        statements, self.statements = self.statements, []
        for when, act in (("committing", do), ("committed", lambda: None)):
            for statement in statements:
                reach(when, statement)
            act()

    def roll_back(self) -> None:
        self.statements = []


def _watch_sqlite(reach: Reach) -> None:
    said = _Transaction()

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *values: Any) -> Any:
            said.say(reach, sql, self.connection)
            return super().execute(sql, *values)

        def executemany(self, sql: str, *values: Any) -> Any:
            said.say(reach, sql, self.connection)
            return super().executemany(sql, *values)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, sql: str, *values: Any) -> Any:
            return self.cursor().execute(sql, *values)

        def executemany(self, sql: str, *values: Any) -> Any:
            return self.cursor().executemany(sql, *values)

        def commit(self) -> None:
            said.commit(reach, super().commit)

        def rollback(self) -> None:
            said.roll_back()
            super().rollback()

    sqlite3.dbapi2.connect = partial(sqlite3.connect, factory=Connection)


def _watch_postgresql(reach: Reach) -> None:
    said, cursor, connection = _Transaction(), psycopg.Cursor, psycopg.Connection
    execute, executemany, commit, rollback = (
        cursor.execute,
        cursor.executemany,
        connection.commit,
        connection.rollback,
    )

    def watched(run: Callable[..., Any]) -> Callable[..., Any]:
        def say_and_run(self: Any, query: Any, *values: Any, **named: Any) -> Any:
            said.say(reach, str(query))
            return run(self, query, *values, **named)

        return say_and_run

    def roll_back(self: Any) -> None:
        said.roll_back()
        rollback(self)

    cursor.execute, cursor.executemany = watched(execute), watched(executemany)  # type: ignore[method-assign]
    connection.commit = lambda self: said.commit(reach, partial(commit, self))  # type: ignore[method-assign]
    connection.rollback = roll_back  # type: ignore[method-assign]


def _watch_requests(reach: Reach) -> None:
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


def die_at(name: str) -> None:
    point, met = POINTS[name], count(1)

    def reach(when: str, what: str, _connection: Any = None) -> None:
        if when == point.when and re.search(point.what, what, re.DOTALL) and next(met) == point.nth:
            os.killpg(0, signal.SIGKILL)

    for watch in (_watch_sqlite, _watch_postgresql, _watch_requests):
        watch(reach)


SICK = {"full": "PRAGMA max_page_count=1", "read_only": "PRAGMA query_only=ON"}
WELL = ("PRAGMA max_page_count=4294967294", "PRAGMA query_only=OFF")


def sick_while(file: str) -> None:
    def reach(when: str, what: str, connection: Any = None) -> None:
        if (when, what) == ("statement", "BEGIN IMMEDIATE"):
            sickness = Path(file).read_text() if Path(file).exists() else ""
            for pragma in [SICK[sickness]] if sickness else WELL:
                connection.execute(pragma)

    _watch_sqlite(reach)


if __name__ == "__main__":
    deed, aim = {"die-at": die_at, "sick-while": sick_while}[sys.argv[1]], sys.argv[2]
    sys.argv = ["bridge", *sys.argv[3:]]
    sys.path.pop(0)  # This folder holds no modules of the bridge.
    deed(aim)
    from bridge.cli import main

    main()
