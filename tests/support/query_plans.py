"""What SQLite does for each statement that a database runs, by its own account."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from bridge.store.engine.database import Database

_PLANNED = ("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")


@contextmanager
def plans_of(database: Database) -> Iterator[dict[str, list[str]]]:
    """The steps of each statement that runs within the block, by its text.

    https://www.sqlite.org/eqp.html"""
    plans: dict[str, list[str]] = {}

    def explain(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, *_others: Any
    ) -> None:
        if statement in plans or not statement.lstrip().startswith(_PLANNED):
            return
        driver: Any = connection.connection.driver_connection
        values = parameters[0] if isinstance(parameters, list) else parameters
        rows = driver.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        plans[statement] = [row[3] for row in rows]

    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)


def reading_through(plans: dict[str, list[str]]) -> dict[str, list[str]]:
    """Those that read a table or an index from end to end."""
    return {
        statement: steps
        for statement, steps in plans.items()
        if any(step.startswith("SCAN") and "CONSTANT ROW" not in step for step in steps)
    }
