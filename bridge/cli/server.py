"""gunicorn around the receiver's application, without a file of its own."""

from collections.abc import Callable, Mapping
from typing import Any

from gunicorn.app.base import BaseApplication


class Server(BaseApplication):
    """`run()` serves until SIGTERM. https://docs.gunicorn.org/en/stable/custom.html"""

    def __init__(self, make_app: Callable[[], Any], options: Mapping[str, Any]) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        # What an older gunicorn doesn't know yet, it needs not be told to switch off.
        for name in self._options.keys() & self.cfg.settings.keys():
            self.cfg.set(name, self._options[name])

    def load(self) -> Any:
        return self._make_app()
