"""What a database does for each statement that it runs, by its own account."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, event

from bridge.store.engine.database import Database

_PLANNED = ("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")
_GROWING = (
    "events",
    "records",
    "fulfillment_orders",
    "order_lines",
    "deliveries",
    "delivery_lines",
    "event_deliveries",
    "attempts",
)
"""Tables that grow with each parcel."""

Plans = dict[str, list[str]]


@contextmanager
def plans_of(database: Database, driver: Any) -> Iterator[Plans]:
    """The steps of each statement that runs within the block, by its text, as the SQLite of this
    `driver` (`sqlite3` or `pysqlite3`) would take them.

    https://www.sqlite.org/eqp.html"""
    plans: Plans = {}
    with closing(driver.connect(database.url.database, check_same_thread=False)) as planner:

        def explain(
            _connection: Connection, _cursor: Any, statement: str, parameters: Any, *_others: Any
        ) -> None:
            if statement in plans or not statement.lstrip().startswith(_PLANNED):
                return
            values = parameters[0] if isinstance(parameters, list) else parameters
            rows = planner.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans[statement] = [row[3] for row in rows]

        with _listening(database, explain):
            yield plans


@contextmanager
def postgresql_plans_of(database: Database) -> Iterator[Plans]:
    """The same, as the PostgreSQL behind this database would take them.

    https://www.postgresql.org/docs/current/sql-explain.html"""
    plans: Plans = {}

    def explain(
        _connection: Connection, cursor: Any, statement: str, parameters: Any, *_others: Any
    ) -> None:
        if statement in plans or not statement.lstrip().startswith(_PLANNED):
            return
        values = parameters[0] if isinstance(parameters, list) else parameters
        with cursor.connection.cursor() as planner:
            planner.execute(f"EXPLAIN (COSTS OFF) {statement}", values)
            plans[statement] = [row[0].strip().removeprefix("->  ") for row in planner]

    with _listening(database, explain):
        yield plans


@contextmanager
def _listening(database: Database, explain: Callable[..., None]) -> Iterator[None]:
    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)


def reading_through(plans: Plans) -> Plans:
    """Those that read a table that grows, or an index of it, from end to end. So many rows in the
    order of an index, and no more, are no such thing on SQLite."""
    return {
        statement: steps
        for statement, steps in plans.items()
        if any(_reads_through(step) for step in steps) and not _is_limited(statement, steps)
    }


def _reads_through(step: str) -> bool:
    """`SCAN events` is SQLite's word for it, `Seq Scan on events` PostgreSQL's."""
    words = step.split()
    if words[:3] == ["Seq", "Scan", "on"]:
        return words[3] in _GROWING
    return words[0] == "SCAN" and len(words) > 1 and words[1] in _GROWING


def _is_limited(statement: str, steps: list[str]) -> bool:
    is_sorted_first = any("TEMP B-TREE" in step and "ORDER BY" in step for step in steps)
    return "LIMIT" in statement and not is_sorted_first


@contextmanager
def counted_steps(database: Database) -> Iterator[Callable[[], int]]:
    """How many steps SQLite's machine took within the block, to a hundred: what a statement costs,
    however fast the computer. https://www.sqlite.org/c3ref/progress_handler.html"""
    hundreds = 0

    def count() -> int:
        nonlocal hundreds
        hundreds += 1
        return 0

    def begin(connection: Connection, *_others: Any) -> None:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(count, 100)

    event.listen(database.engine, "before_cursor_execute", begin)
    try:
        yield lambda: hundreds * 100
    finally:
        event.remove(database.engine, "before_cursor_execute", begin)
