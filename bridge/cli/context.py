"""What a command begins with: the settings, the database, who is at the shell."""

import getpass
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.domain.errors import MissingDatabaseError, SettingsError

# SQLAlchemy and pydantic are loaded when a command runs, not when it prints its help.
if TYPE_CHECKING:
    from bridge.services import Services
    from bridge.settings import Settings
    from bridge.store.engine.database import Database


def load_settings(**options: object) -> "Settings":
    """All settings, checked. Options of the command line go before them, for this process and the
    ones it starts: `bind` before BRIDGE_BIND, and so on."""
    from bridge.settings import Settings

    for name, value in options.items():
        if value is not None:
            os.environ[f"BRIDGE_{name.upper()}"] = str(value)
    return Settings.load()


def open_services(settings: "Settings | None" = None) -> "Services":
    """`with open_services() as services`: everything that the settings wire up, with a database
    that is created or upgraded where it is SQLite."""
    # Its counters look for their folder when they are made, which `serve` must set first.
    from bridge.services import Services

    return Services.open(settings or load_settings())


def open_database() -> "closing[Database]":
    """`with open_database() as database`, for whoever reads it or works on what is in it.

    Needs no setting but the database's URL, and never creates or upgrades anything. Raises
    MissingDatabaseError, which names the file that was looked for."""
    return closing(_current_database())


def _current_database() -> "Database":
    from bridge.store.engine import migrate

    database = _existing_database()
    try:
        with database.read() as connection:
            version = migrate.current(connection)
        if version != migrate.newest():
            raise MissingDatabaseError(_wrong_version(_name_of(database), version))
    except BaseException:
        database.close()
        raise
    return database


def _wrong_version(name: str, version: str | None) -> str:
    from bridge.store.engine import migrate

    if version is None:
        return f"The database {name} is empty; `bridge migrate` fills it"
    if migrate.is_newer(version):
        return f"The database {name} is at version {version}, of newer software; install that"
    return (
        f"The database {name} is at version {version}, and {migrate.newest()} is needed;"
        " `bridge migrate` upgrades it"
    )


def open_any_database() -> "closing[Database]":
    """Like `open_database`, of whatever version."""
    return closing(_existing_database())


def open_existing_services() -> "Services":
    """`with open_existing_services() as services`, on a database that is there; all settings are
    needed."""
    from bridge.services import Services

    settings = load_settings()
    return Services(settings, _current_database())


def _existing_database() -> "Database":
    from bridge.settings import Settings
    from bridge.store.engine.database import Database

    settings, problems = Settings.load_lenient()
    # A `.env` that can't be read may name another database than the one that is found without it.
    about_database = [
        problem for problem in problems if problem.startswith((".env", "BRIDGE_DATABASE_URL"))
    ]
    if about_database:
        raise SettingsError(about_database)
    database = Database(settings.database_url)
    if database.is_sqlite and not Path(database.url.database or "").is_file():
        raise MissingDatabaseError(
            f"There is no database at {_name_of(database)}. Go to the folder of your .env, or set"
            " BRIDGE_DATABASE_URL; `bridge run` and `bridge migrate` create one"
        )
    return database


def _name_of(database: "Database") -> str:
    """Where it is, for people: the whole path of a file, the URL without its password."""
    if database.is_sqlite:
        return str(Path(database.url.database or "").absolute())
    return database.url.render_as_string(hide_password=True)


def actor() -> str:
    """Whoever sits at this shell, for the list of what people did; behind sudo, who called it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # A container's user without a name.
        name = f"user {os.getuid()}"
    return f"{name} (shell)"
