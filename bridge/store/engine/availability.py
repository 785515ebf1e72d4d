"""Nobody waits behind a wait that is known to be in vain."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.domain.errors import StorageError
from bridge.store.engine.driver_errors import WaitedTooLongError


class Availability:
    """Once a wait ran out, one attempt at a time goes on trying, and the others fail at once, until
    one succeeds. So the threads of a receiver stay free to say that the database does not
    answer."""

    def __init__(self) -> None:
        self._has_failed = False
        self._trying = threading.Lock()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around each transaction. Raises StorageError where it would wait in vain."""
        is_alone = self._has_failed
        if is_alone and not self._trying.acquire(blocking=False):
            raise StorageError(
                "the database can't take it: it does not answer in time", retry_after=5
            )
        try:
            yield
        except WaitedTooLongError:
            self._has_failed = True
            raise
        else:
            self._has_failed = False
        finally:
            if is_alone:
                self._trying.release()
