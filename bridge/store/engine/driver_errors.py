"""What the databases' drivers raise, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bridge.domain.errors import StorageError


@contextmanager
def storage_errors() -> Iterator[None]:
    """What the driver raises because the database can't take it, as StorageError; a fault of ours
    stays what it is."""
    try:
        yield
    except (IntegrityError, DataError):  # The values are wrong, not the database.
        raise
    except (DBAPIError, PoolTimeoutError) as exc:
        raise not_taken(exc) from exc


def not_taken(exc: Exception) -> StorageError:
    """In the driver's own words, without the statement and its values."""
    words = str(getattr(exc, "orig", None) or exc).splitlines()[0][:200]
    return StorageError(f"the database can't take it: {words}", retry_after=5)
