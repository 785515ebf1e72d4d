"""Statements of the hot path: made into text once, so that on SQLite what is left is the driver's
own work.

SQLAlchemy's way from a statement to its rows costs several times what SQLite takes for them.
PostgreSQL is asked as everywhere."""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    String,
    Table,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError

Row = Any
"""Its columns are attributes, as with SQLAlchemy's own, which is what it is on PostgreSQL."""


class Prepared:
    """A statement with bind parameters, or what makes one for a dialect. Errors are SQLAlchemy's,
    as everywhere."""

    def __init__(self, statement: Executable | Callable[[Dialect], Executable]) -> None:
        self._make = statement if callable(statement) else lambda _dialect: statement
        self._made: dict[str, Executable] = {}
        self._text: _Text | None = None

    def all(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Row]:
        """The rows that it finds or returns."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._for(connection.dialect), values).all()
        text = self._text_for(connection.dialect)
        return text.rows(
            _driver(
                connection, lambda driver: driver.execute(text.sql, text.bound(values)).fetchall()
            )
        )

    def one_or_none(self, connection: Connection, values: Mapping[str, Any]) -> Row | None:
        """The row, where there is one; there is never a second."""
        rows = self.all(connection, values)
        return rows[0] if rows else None

    def count(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """How many rows it wrote."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._for(connection.dialect), values).rowcount
        text = self._text_for(connection.dialect)
        count: int = _driver(
            connection, lambda driver: driver.execute(text.sql, text.bound(values)).rowcount
        )
        return count

    def many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Once for each of the rows, which may be none."""
        if not rows:
            return
        if connection.dialect.name != "sqlite":
            connection.execute(self._for(connection.dialect), rows)
            return
        text = self._text_for(connection.dialect)
        _driver(
            connection,
            lambda driver: driver.executemany(text.sql, [text.bound(row) for row in rows]),
        )

    def _for(self, dialect: Dialect) -> Executable:
        if dialect.name not in self._made:
            self._made[dialect.name] = self._make(dialect)
        return self._made[dialect.name]

    def _text_for(self, dialect: Dialect) -> "_Text":
        if self._text is None:
            self._text = _Text(self._for(dialect), dialect)
        return self._text


def slots(table: Table, names: Iterable[str] | None = None, prefix: str = "") -> dict[str, Any]:
    """For each of these columns, else for all, a bind parameter of its type, named like it."""
    return {
        name: bindparam(f"{prefix}{name}", type_=table.c[name].type)
        for name in names or table.columns.keys()
    }


def run_on_sqlite(connection: Connection, sql: str) -> None:
    """Straight on the driver."""
    _driver(connection, lambda driver: driver.execute(sql))


def _driver(connection: Connection, work: Callable[[Any], Any]) -> Any:
    errors: Any = connection.dialect.loaded_dbapi.Error
    try:
        return work(connection.connection.driver_connection)
    except errors as exc:
        raise DBAPIError.instance(None, None, exc, errors, dialect=connection.dialect) from exc


class _Text:
    """A statement as SQLite's driver takes it: question marks, and what goes through which of our
    types on its way in and out."""

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # every executable clause has it
        self.sql: str = compiled.string
        self._constants = {
            name: value
            for name, value in compiled.params.items()
            if not compiled.binds[name].required
        }
        processors = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        self._order = [(name, processors.get(name)) for name in compiled.positiontup]
        columns = compiled._result_columns
        row: Any = namedtuple("Row", [column.keyname for column in columns])  # type: ignore[misc]  # they are known only now
        self._row = row._make
        found = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]
        self._processors = [
            (place, processor) for place, processor in enumerate(found) if processor is not None
        ]

    def bound(self, values: Mapping[str, Any]) -> list[Any]:
        """KeyError where a value is missing."""
        given = {**self._constants, **values}
        return [
            given[name] if processor is None else processor(given[name])
            for name, processor in self._order
        ]

    def rows(self, found: Iterable[Sequence[Any]]) -> list[Row]:
        rows = []
        for row in found:
            values = list(row)
            for place, processor in self._processors:
                values[place] = processor(values[place])
            rows.append(self._row(values))
        return rows


def one_of(column: ColumnElement[Any], name: str, dialect: Dialect) -> ColumnElement[bool]:
    """Whether a column is one of the texts, however many, of one bind parameter."""
    if dialect.name == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(String)))
    return column.in_(
        select(func.json_each(bindparam(name, type_=JSON)).table_valued("value").c.value)
    )
