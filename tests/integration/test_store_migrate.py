"""The schema that migrations make is the schema that the code speaks of, on both databases."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.tables import metadata


# SQLite's index of a computed value can't be read back; on PostgreSQL it is compared.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_migrated_database_holds_just_the_tables_of_the_code(own_database: Database) -> None:
    with own_database.read() as connection:
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), metadata
        )

    assert differences == []


def test_migrating_twice_changes_nothing(own_database: Database) -> None:
    migrate.upgrade(own_database)

    with own_database.read() as connection:
        assert migrate.current(connection) == migrate.newest()


def test_downgrade_to_base_leaves_no_table_of_ours(own_database: Database) -> None:
    migrate.downgrade(own_database, "base")

    with own_database.read() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


def test_an_empty_database_has_no_version(database_url: str) -> None:
    empty = Database(database_url)

    with empty.read() as connection:
        assert migrate.current(connection) is None
    empty.close()


def test_versions_are_told_as_alembic_tells_them() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))

    assert migrate.newest() == scripts.get_current_head()


def test_process_that_finds_its_database_up_to_date_never_loads_alembic(
    own_database: Database,
) -> None:
    url = own_database.url.render_as_string(hide_password=False)
    look = f"migrate.upgrade(database.Database({url!r})); print('alembic' in sys.modules)"
    code = f"import sys; from bridge.store.engine import database, migrate; {look}"

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert said.stdout.strip() == "False"
