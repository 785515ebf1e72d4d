"""The schema that migrations make is the schema that the code speaks of, on both databases."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from bridge.store import migrate
from bridge.store.database import Database
from bridge.store.tables import metadata


def test_migrated_database_holds_just_the_tables_of_the_code(database: Database) -> None:
    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    assert differences == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate.upgrade(database)

    with database.read() as connection:
        assert migrate.current(connection) == migrate.newest()


def test_downgrade_to_base_leaves_no_table_of_ours(database: Database) -> None:
    migrate.downgrade(database, "base")

    with database.read() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


def test_an_empty_database_has_no_version(database_url: str) -> None:
    empty = Database(database_url)

    with empty.read() as connection:
        assert migrate.current(connection) is None
    empty.close()
