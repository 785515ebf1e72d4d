"""Statements of the hot path: made into text once for each database, so that what is left is the driver's own work."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect
from sqlalchemy.exc import DBAPIError


class Prepared:
    """A statement with bind parameters, built by `make` for a dialect. Rows come back as the driver gives them, without our types."""

    def __init__(self, make: Callable[[Dialect], ClauseElement]) -> None:
        self._make = make
        self._texts: dict[str, _Text] = {}

    def __call__(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Run it within the connection's transaction. Errors are SQLAlchemy's, as everywhere."""
        dialect = connection.dialect
        text = self._texts.get(dialect.name) or self._texts.setdefault(dialect.name, _Text(self._make(dialect), dialect))
        if text.order is None:
            return connection.exec_driver_sql(text.sql, text.processed(values)).all()
        return run_on_sqlite(connection, text.sql, tuple(map(text.processed(values).__getitem__, text.order)))


def run_on_sqlite(connection: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
    """Straight on the driver: a result object of SQLAlchemy's would cost more than the statement."""
    driver: Any = connection.connection.driver_connection
    errors: Any = connection.dialect.loaded_dbapi.Error
    try:
        rows: list[Any] = driver.execute(sql, parameters).fetchall()
    except errors as exc:
        raise DBAPIError.instance(sql, parameters, exc, errors, dialect=connection.dialect) from exc
    return rows


class _Text:
    """`order` are the names behind the question marks; None where the driver takes names."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.sql: str = compiled.string
        self.order: list[str] | None = compiled.positiontup
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        found = ((name, bind.type.dialect_impl(dialect).bind_processor(dialect)) for name, bind in compiled.binds.items())
        self._processors = [(name, processor) for name, processor in found if processor is not None]

    def processed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {**self._constants, **values}
        for name, processor in self._processors:
            given[name] = processor(given[name])
        return given
