"""gunicorn around the receiver's application, without a file of its own."""

from collections.abc import Callable
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication

from bridge.domain.errors import BridgeError

log = structlog.get_logger(__name__)


class Server(BaseApplication):
    """`run()` serves until SIGTERM. `load` returns the application and gunicorn's options, by the
    settings as they are then; SIGHUP calls it again.
    https://docs.gunicorn.org/en/stable/custom.html"""

    def __init__(self, load: Callable[[], tuple[Any, dict[str, Any]]]) -> None:
        self._load_both = load
        self._application, self._options = load()
        super().__init__()

    def load_config(self) -> None:
        # What an older gunicorn doesn't know yet needs not be switched off.
        for name in self._options.keys() & self.cfg.settings.keys():
            self.cfg.set(name, self._options[name])

    def load(self) -> Any:
        return self._application

    def reload(self) -> None:
        """By new settings; with wrong ones the old go on."""
        try:
            self._application, self._options = self._load_both()
        except BridgeError as exc:
            log.error("reload_refused", error=str(exc))
            return
        self.callable = None
        super().reload()
