"""From the first version to the newest and back, one step at a time, with rows in every table: no
migration loses or bends what is stored.

A migration that is added later is covered without a change here: each step is found, and each new
table gets a row."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    DateTime,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    insert,
    select,
)
from sqlalchemy.types import Integer, TypeEngine

from bridge.operations.explain import explain_event
from bridge.store import reports, tables
from bridge.store.deliveries import load
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.vendors.purple_dot.payloads import fulfillment_body

# An index of what is computed can't be read from a SQLite file as a column's can. It is no part of
# the rows.
pytestmark = pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")

Rows = dict[str, list[dict[str, Any]]]

NOON = datetime(2026, 11, 4, 12, 0, 0, 123456, tzinfo=UTC)
EVENT, DELIVERY = "evt_01a1f0c2a4538ca8a7aeda69", "dlv_01a1f0c2a46f6a3b1fd0a1c2"
ORDER, LINE = "9084de1f-0de8-5636-b10e-d77e3dc811e0", "21277fac-d2fa-5a63-89cf-31fa449812c6"
NUMBER = "1ZB7X0410300000001"
SHIPMENT = {
    "record_kind": "v2_label",
    "record_id": "se-5200301",
    "state": "shipped",
    "shipstation_shipment_id": "se-5200201",
    "order_number": "#PD5200001/1",
    "clues": [{"kind": "reference", "field": "shipment_number", "value": "#PD5200001/1"}],
    "items": [
        {
            "quantity": 2,
            "sku": "ALDER-TEE-S",
            "line_item_id": LINE,
            "order_id": None,
            "name": "Größe S",
        }
    ],
    "tracking_number": NUMBER,
    "all_tracking_numbers": [NUMBER],
    "carrier_code": "ups",
    "carrier_name": None,
    "tracking_url": None,
    "ship_date": "2026-11-04",
    "notify_customer": None,
}
DECISION = {
    "record_kind": "v2_label",
    "record_id": "se-5200301",
    "shipstation_shipment_id": "se-5200201",
    "order_number": "#PD5200001/1",
}
DECISION |= {
    "tracking_number": NUMBER,
    "verdict": "delivery",
    "reason": None,
    "detail": "",
    "rule": "shipment_number",
    "delivery_id": DELIVERY,
}

FIRST: Rows = {
    "events": [
        {
            "id": EVENT,
            "source": "shipstation",
            "event_type": "LABEL_CREATED_V2",
            "status": "processed",
            "received_at": NOON,
        }
        | {
            "resource_url": "https://api.shipstation.com/v2/labels?batch_id=se-1",
            "body": b'{"resource_type": "LABEL_CREATED_V2"}\xc3\xbc',
        }
        | {
            "headers": {"user-agent": "ShipStation"},
            "remote_address": "198.51.100.7",
            "signature": "verified",
            "lane": 0,
        }
        | {
            "duplicates": 1,
            "last_duplicate_at": NOON,
            "claims": 1,
            "attempts": 0,
            "waits": 0,
            "processed_at": NOON,
            "decisions": [DECISION],
        },
        {
            "id": "evt_01a1f0c2a4538ca8a7aeda70",
            "source": "shipstation",
            "event_type": "SHIP_NOTIFY",
            "status": "received",
        }
        | {
            "received_at": NOON,
            "body": b"{}",
            "headers": {},
            "signature": "none",
            "lane": 0,
            "waiting_pointer": "f" * 64,
            "duplicates": 0,
        }
        | {"due_at": NOON, "claims": 0, "attempts": 0, "waits": 0},
    ],
    "records": [
        {
            "event_id": EVENT,
            "fetched_at": NOON,
            "kind": "v2_label",
            "record_id": "se-5200301",
            "body": {"label_id": "se-5200301"},
        }
    ],
    "fulfillment_orders": [
        {
            "id": ORDER,
            "reference": "#PD5200001/1",
            "reference_key": "pd5200001/1",
            "status": "UNFULFILLED",
            "seen_at": NOON,
        }
    ],
    "order_lines": [
        {
            "fulfillment_order_id": ORDER,
            "line_item_id": LINE,
            "position": 0,
            "sku": "ALDER-TEE-S",
            "quantity": 2,
        }
    ],
    "deliveries": [
        {
            "id": DELIVERY,
            "identity": f"{ORDER}:{NUMBER}",
            "status": "delivered",
            "lane": 0,
            "trigger": "live",
            "record_kind": "v2_label",
        }
        | {
            "shipstation_record_id": "se-5200301",
            "shipstation_shipment_id": "se-5200201",
            "order_number": "#PD5200001/1",
        }
        | {
            "fulfillment_order_id": ORDER,
            "reference": "#PD5200001/1",
            "rule": "shipment_number",
            "purple_dot_fulfillment_id": "f-1",
        }
        | {
            "carrier_code": "ups",
            "tracking_number": NUMBER,
            "tracking_company": "UPS",
            "tracking_url": "https://www.ups.com/track",
        }
        | {
            "all_tracking_numbers": [NUMBER],
            "notify_customer": False,
            "shipment": SHIPMENT,
            "claims": 1,
            "attempts": 1,
            "looks": 0,
        }
        | {
            "posting_at": NOON,
            "received_at": NOON,
            "created_at": NOON,
            "updated_at": NOON,
            "delivered_at": NOON,
        }
    ],
    "delivery_lines": [
        {
            "delivery_id": DELIVERY,
            "line_item_id": LINE,
            "fulfillment_order_id": ORDER,
            "position": 0,
            "sku": "ALDER-TEE-S",
            "quantity": 2,
        }
    ],
    "event_deliveries": [{"event_id": EVENT, "delivery_id": DELIVERY}],
    "attempts": [
        {
            "delivery_id": DELIVERY,
            "number": 1,
            "trigger": "live",
            "started_at": NOON,
            "finished_at": NOON,
            "outcome": "delivered",
        }
        | {
            "request": {"fulfillment": {"fulfillment_order_id": ORDER}},
            "http_status": 200,
            "answer": '{"meta":{"result":"success"}}',
        }
    ],
    "marked_shipments": [
        {
            "shipment_id": "se-1",
            "tracking_key": "1Z",
            "status": "marked",
            "file_name": "rows.csv",
            "updated_at": NOON,
        }
    ],
    "workers": [
        {"name": "worker-1", "host": "alder", "pid": 7, "started_at": NOON, "beat_at": NOON}
    ],
    "rate_limits": [{"system": "shipstation", "free_at": 1793793600.5, "paused_until": 0.0}],
}
"""What the first version held, one parcel told and one webhook waiting."""


@pytest.fixture
def first(database_url: str) -> Iterator[Database]:
    """A database of the first version, with rows in each of its tables."""
    database = Database(database_url)
    migrate.upgrade(database, steps()[0])
    with database.begin() as connection:
        there = reflected(connection)
        for name in [table.name for table in tables.metadata.sorted_tables if table.name in FIRST]:
            for row in FIRST[name]:
                connection.execute(insert(there[name]).values(_naive(database, row)))
    fill_new_tables(database)
    yield database
    database.close()


def _naive(database: Database, row: dict[str, Any]) -> dict[str, Any]:
    """SQLite's plain date and time knows no zone."""
    is_moment = (
        {name for name, value in row.items() if isinstance(value, datetime)}
        if database.is_sqlite
        else set()
    )
    return {
        name: value.replace(tzinfo=None) if name in is_moment else value
        for name, value in row.items()
    }


def steps() -> list[str]:
    """Every version, the first one first."""
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def reflected(connection: Connection) -> dict[str, Table]:
    """The tables as they stand in the database, whatever the code says; what others refer to comes
    first."""
    there = MetaData()
    there.reflect(connection)
    return {table.name: table for table in there.sorted_tables if table.name != "alembic_version"}


def contents(database: Database) -> Rows:
    with database.read() as connection:
        found = reflected(connection)
        return {
            name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for name, table in found.items()
        }


def fill_new_tables(database: Database) -> None:
    """A row in each table that has none."""
    with database.begin() as connection:
        for table in reflected(connection).values():
            if connection.execute(select(table).limit(1)).first() is None:
                row = {
                    column.name: _value(connection, column)
                    for column in table.columns
                    if not column.nullable
                }
                connection.execute(insert(table).values(_naive(database, row)))


def _value(connection: Connection, column: Any) -> Any:
    for key in column.foreign_keys:
        return connection.execute(select(key.column).limit(1)).scalar_one()
    kinds: list[tuple[type[TypeEngine[Any]], Any]] = [
        (Boolean, True),
        (Integer, 1),
        (Numeric, 1),
        (DateTime, NOON),
        (JSON, {"a": 1}),
        (LargeBinary, b"a"),
    ]
    return next((value for kind, value in kinds if isinstance(column.type, kind)), "a")


def assert_kept(before: Rows, after: Rows) -> None:
    """Every row of a table that is still there, in every column that is still there."""
    for name in before.keys() & after.keys():
        kept = [
            column
            for column in (before[name] or [{}])[0]
            if not after[name] or column in after[name][0]
        ]
        assert [[row[c] for c in kept] for row in after[name]] == [
            [row[c] for c in kept] for row in before[name]
        ], name


def test_each_step_up_and_down_keeps_every_row(first: Database) -> None:
    at_first = contents(first)
    seen = {steps()[0]: at_first}

    for revision in steps()[1:]:
        before = contents(first)
        migrate.upgrade(first, revision)
        assert_kept(before, contents(first))
        fill_new_tables(first)
        seen[revision] = contents(first)
    for revision in steps()[-2::-1]:
        migrate.downgrade(first, revision)
        assert contents(first).keys() == seen[revision].keys()
        assert_kept(seen[revision], contents(first))

    assert contents(first) == at_first
    assert all(at_first.values())


def test_database_of_the_first_version_is_understood_by_the_newest_software(
    first: Database,
) -> None:
    migrate.upgrade(first)

    with first.read() as connection:
        story = reports.event_story(connection, EVENT)
        [delivery] = load(connection, list(connection.execute(select(tables.deliveries))))
    assert story is not None
    assert (story["status"], story["received_at"], delivery.shipment.items[0].sku) == (
        "processed",
        NOON,
        "ALDER-TEE-S",
    )
    assert fulfillment_body(delivery.action())["fulfillment"]["line_items"] == [
        {"id": LINE, "quantity": 2}
    ]
    assert any(
        "It holds 2 × ALDER-TEE-S, sent with UPS" in sentence for sentence in explain_event(story)
    )


def test_going_up_at_once_from_the_first_version_makes_the_schema_of_the_code(
    first: Database,
) -> None:
    migrate.upgrade(first)

    with first.read() as connection:
        assert migrate.current(connection) == migrate.newest() == steps()[-1]
        there = reflected(connection)
    assert {name: set(table.c.keys()) for name, table in there.items()} == {
        name: set(table.c.keys()) for name, table in tables.metadata.tables.items()
    }


NEXT_VERSION = '''
"""A version of the test's own."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{previous}"


def upgrade() -> None:
    op.add_column("workers", sa.Column("version", sa.String(length=16)))


def downgrade() -> None:
    with op.batch_alter_table("workers") as workers:
        workers.drop_column("version")
'''


def test_a_version_that_is_added_later_is_found_and_run(
    first: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations = tmp_path / "migrations"
    shutil.copytree(migrate._MIGRATIONS, migrations)
    later = NEXT_VERSION.format(previous=steps()[-1])
    (migrations / "versions" / "9999_later.py").write_text(later)
    monkeypatch.setattr(migrate, "_MIGRATIONS", migrations)
    monkeypatch.setattr(migrate, "versions", migrate.versions.__wrapped__)
    migrate.upgrade(first, steps()[-1])
    before = contents(first)

    migrate.upgrade(first)

    after = contents(first)
    assert "version" in after["workers"][0]
    assert_kept(before, after)
    migrate.downgrade(first, steps()[-1])
    assert contents(first) == before
