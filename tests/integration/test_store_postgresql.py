"""PostgreSQL, whatever its own settings say: what each connection is set to, how long anything
waits, how many connections stay."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from bridge.domain.errors import StorageError
from bridge.operations.doctor import database_server
from bridge.operations.health import readiness
from bridge.settings import Settings
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.engine.driver_errors import WaitedTooLongError
from bridge.store.engine.postgresql import server_state
from tests.support.postgres import Server

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_server: Server) -> Iterator[str]:
    yield postgres_server.url("limits")
    postgres_server.drop("limits")


def setting(database: Database, name: str) -> str:
    with database.read() as connection:
        return str(connection.execute(text(f"SHOW {name}")).scalar_one())


def other(url: str) -> "psycopg.Connection[tuple[str, ...]]":
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True)


@pytest.mark.parametrize(
    ("name", "careless", "ours"),
    [
        ("synchronous_commit", "off", "on"),
        ("default_transaction_isolation", "serializable", "read committed"),
        ("statement_timeout", "0", "4s"),
        ("lock_timeout", "0", "4s"),
        ("idle_in_transaction_session_timeout", "0", "1min"),
    ],
)
def test_careless_setting_of_the_server_does_not_reach_our_transactions(
    url: str, name: str, careless: str, ours: str
) -> None:
    with other(url) as admin:
        admin.execute(f"ALTER DATABASE limits SET {name} = '{careless}'")

    with closing(Database(url, patience=5)) as database:
        asked = name.replace("default_transaction_isolation", "transaction_isolation")
        assert setting(database, asked) == ours


def test_stricter_durability_of_the_server_stays(url: str) -> None:
    with other(url) as admin:
        admin.execute("ALTER DATABASE limits SET synchronous_commit = 'remote_apply'")

    with closing(Database(url)) as database:
        assert setting(database, "synchronous_commit") == "remote_apply"


def test_what_the_url_says_about_the_connection_stands(url: str) -> None:
    with closing(Database(f"{url}&application_name=ours")) as database:
        assert setting(database, "application_name") == "ours"


def test_locked_row_ends_the_wait_and_the_connection_stays_usable(url: str) -> None:
    with closing(Database(url, patience=0.5)) as database:
        migrate.upgrade(database)
        insert = "INSERT INTO secret_keys VALUES ('a', 'b')"
        with database.begin() as connection:
            connection.execute(text(insert))
        with other(url) as holder, holder.transaction():
            holder.execute("UPDATE secret_keys SET value = 'c'")

            with pytest.raises(WaitedTooLongError), database.begin() as connection:
                connection.execute(text("UPDATE secret_keys SET value = 'd'"))

        with database.begin() as connection:
            connection.execute(text("UPDATE secret_keys SET value = 'd'"))


def test_while_one_waits_in_vain_the_others_fail_at_once_until_one_succeeds(url: str) -> None:
    with closing(Database(url, patience=1)) as database:
        migrate.upgrade(database)

        def write() -> None:
            with database.begin() as connection:
                connection.execute(text("INSERT INTO secret_keys VALUES ('a', 'b')"))

        with other(url) as holder, holder.transaction(), ThreadPoolExecutor(1) as pool:
            holder.execute("LOCK TABLE secret_keys")
            with pytest.raises(WaitedTooLongError):
                write()
            trying = pool.submit(write)
            refused = 0
            while not trying.done():
                with pytest.raises(StorageError):
                    write()
                refused += 1

            assert isinstance(trying.exception(), WaitedTooLongError)
            assert refused > 2

        write()


def test_long_reading_in_small_bits_is_no_long_wait(url: str) -> None:
    with closing(Database(url, patience=0.3)) as database, database.read() as connection:
        bit = text("SELECT 1 FROM pg_sleep(0.1)")
        read = [connection.execute(bit).scalar_one() for _number in range(5)]

    assert read == [1] * 5


def test_a_migration_takes_as_long_as_it_takes(url: str) -> None:
    with (
        closing(Database(url, patience=0.2)) as database,
        database.begin(is_limited=False) as connection,
    ):
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        migrated = connection.execute(text("SELECT 1 FROM pg_sleep(0.6)")).scalar_one()

    assert migrated == 1


def test_of_a_burst_only_the_pool_stays_connected(url: str) -> None:
    together = threading.Barrier(4)
    with closing(Database(url, pool_size=2)) as database:

        def ask(_number: int) -> None:
            with database.read() as connection:
                connection.execute(text("SELECT 1"))
                together.wait(20)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(4)))

        with other(url) as admin:
            open_ones = admin.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = 'limits' AND pid <> pg_backend_pid()"
            ).fetchone()
    assert open_ones is not None
    assert int(open_ones[0]) == 2


def test_value_that_no_index_takes_is_the_rows_fault_and_not_the_databases(url: str) -> None:
    with closing(Database(url)) as database:
        migrate.upgrade(database)
        with database.begin() as connection:
            connection.execute(text("ALTER TABLE secret_keys ALTER name TYPE text"))

        def insert() -> None:
            with database.begin() as connection:
                values = {"name": secrets.token_hex(9000)}
                connection.execute(text("INSERT INTO secret_keys VALUES (:name, 'b')"), values)

        with pytest.raises(OperationalError):
            insert()


def test_database_of_another_version_says_what_to_do(url: str) -> None:
    settings = Settings.load(
        {
            "BRIDGE_WEBHOOK_TOKENS": "a-token-of-the-tests",
            "BRIDGE_SHIPSTATION_API_KEY": "a-key-of-the-tests",
            "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "a-token-of-the-tests",
        }
    )
    with closing(Database(url)) as database:
        ready = readiness(database, settings)
        migrate.upgrade(database)
        with database.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        newer = readiness(database, settings)

    assert (ready["status"], ready["migrations"]) == ("not_ready", "behind")
    assert ready["next_step"] == "run `bridge migrate`"
    assert (newer["status"], newer["migrations"]) == ("not_ready", "newer")
    assert newer["next_step"].startswith("install the newer software")


def test_doctor_names_what_the_server_may_lose_and_how_full_it_is(url: str) -> None:
    with other(url) as admin:
        admin.execute("ALTER DATABASE limits SET synchronous_commit = 'off'")

    with closing(Database(url)) as database, database.read() as connection:
        state = server_state(connection)
    findings = {finding.found: finding.status for finding in database_server(state, is_remote=True)}

    assert f"of {state.most_connections} connections are open" in next(iter(findings))
    assert findings["fsync is off: a power cut may lose what was accepted"] == "fail"
    assert any("the bridge turns it on" in found for found in findings)
    assert findings["the connection to the database is not encrypted"] == "warn"
