"""What a command begins with: the settings, the options over them, and the ledger, which is closed
however the command ends."""

import getpass
import os
from contextlib import closing
from typing import TYPE_CHECKING

from bridge.settings import Settings
from bridge.store.engine.database import Database

if TYPE_CHECKING:
    from bridge.services import Services


def load_settings(**given: object) -> Settings:
    """The settings, with what options of the command line override (`bind` for BRIDGE_BIND, and so
    on)."""
    os.environ.update(
        {f"BRIDGE_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    )
    return Settings.load()


def opened(settings: Settings | None = None) -> closing[Database]:
    """`with opened() as database`, its schema brought along on SQLite."""
    return closing(open_services(settings).database)


def open_services(settings: Settings | None = None) -> "Services":
    """`with open_services() as services`: everything that the settings wire up."""
    # Its counters look for their folder when they are made, which `serve` must set first.
    from bridge.services import Services

    return Services.open(settings or load_settings())


def who() -> str:
    """Whoever sits at this shell, for the audit list; behind sudo, the one who called it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # A container's user without a name.
        name = f"user {os.getuid()}"
    return f"{name} (shell)"
