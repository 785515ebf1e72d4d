"""`bridge export` of more than fits a page."""

import csv
import io

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from bridge.cli import main
from bridge.cli.export import PAGE_SIZE, page_by_page
from bridge.store.engine.database import Database
from bridge.store.tables import deliveries
from tests.benchmarks import history
from tests.support.fakes import WatchedDatabase

pytest_plugins = ["tests.support.database_fixtures"]

ROWS = 2 * PAGE_SIZE + 10


@pytest.fixture
def filled(database: WatchedDatabase) -> Database:
    history.fill(database, ROWS, has_due=False)
    return database


def test_each_delivery_comes_once_the_newest_first(filled: Database) -> None:
    url = filled.url.render_as_string(hide_password=False)

    result = CliRunner().invoke(main, ["export"], env={"BRIDGE_DATABASE_URL": url})

    with filled.read() as connection:
        ids = list(
            connection.execute(select(deliveries.c.id).order_by(deliveries.c.id.desc())).scalars()
        )
    exported = [row["id"] for row in csv.DictReader(io.StringIO(result.stdout))]
    assert len(ids) == ROWS
    assert exported == ids


def test_no_more_than_a_page_is_held_at_a_time(filled: Database) -> None:
    rows = page_by_page(filled, None)
    next(rows)
    with filled.begin() as connection:
        connection.execute(update(deliveries).values(tracking_company="changed meanwhile"))

    companies = [row["tracking_company"] for row in rows]

    assert companies == [None] * (PAGE_SIZE - 1) + ["changed meanwhile"] * (ROWS - PAGE_SIZE)
