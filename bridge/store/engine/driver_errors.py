"""What the databases' drivers raise, in our words."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bridge.domain.errors import StorageError

_PROGRAM_LIMITS = "54"
"""SQLSTATE class: a value too long for an index, a statement too long.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_TOO_BIG = 18
"""SQLite's SQLITE_TOOBIG. https://www.sqlite.org/rescode.html#toobig"""
_LOCKED_OR_CANCELED = frozenset({"55P03", "57014"})
_BUSY = 5
_UNDEFINED = frozenset({"42P01", "42703"})
"""PostgreSQL's codes for a table and for a column that is not there."""
_UNDEFINED_WORDS = re.compile("no such (table|column)|has no column named")
"""SQLite has only words for it."""


class WaitedTooLongError(StorageError):
    """The database did not answer, or was locked, for as long as anybody waits for it."""


@contextmanager
def storage_errors() -> Iterator[None]:
    """What the driver raises because the database can't take it, as StorageError. What is wrong
    with the values, and a fault of ours, stays what it is: no waiting helps there."""
    try:
        yield
    except (IntegrityError, DataError):
        raise
    except (DBAPIError, PoolTimeoutError, sqlite3.OperationalError) as exc:
        if _is_of_the_values(exc):
            raise
        raise not_taken(exc) from exc


def not_taken(exc: Exception) -> StorageError:
    """In the driver's own words, without the statement and its values."""
    cause = getattr(exc, "orig", None) or exc
    words = (str(cause).splitlines() or [type(cause).__name__])[0][:200]
    if _is_of_another_version(cause):
        words += ". Its tables are not those of this version: run `bridge migrate`"
    kind = WaitedTooLongError if _has_waited(exc, cause) else StorageError
    return kind(f"the database can't take it: {words}", retry_after=5)


def _is_of_another_version(cause: BaseException) -> bool:
    if getattr(cause, "sqlstate", None) in _UNDEFINED:
        return True
    return isinstance(cause, sqlite3.Error) and bool(_UNDEFINED_WORDS.search(str(cause)))


def _is_of_the_values(exc: Exception) -> bool:
    cause = getattr(exc, "orig", None)
    state = getattr(cause, "sqlstate", None) or ""
    code = getattr(cause, "sqlite_errorcode", None)
    return state.startswith(_PROGRAM_LIMITS) or code == _TOO_BIG


def _has_waited(exc: Exception, cause: BaseException) -> bool:
    if isinstance(exc, PoolTimeoutError):
        return True
    if getattr(cause, "sqlstate", None) in _LOCKED_OR_CANCELED:
        return True
    if getattr(cause, "sqlite_errorcode", 0) & 0xFF == _BUSY:
        return True
    return type(cause).__name__ in ("LimitError", "ConnectionTimeout")
