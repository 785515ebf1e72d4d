"""Years of settled events and deliveries, written in bulk: most of the usual type, and some eighty
exceptions however many rows. With `fill_around`, also what was fetched, decided and answered, in
the size that it really has."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from bridge.store.engine.database import Database

LAST = datetime(2026, 11, 1, tzinfo=UTC)
"""When the newest was received; one came a second."""

_HEADERS = (
    '{"content-type": "application/json", "user-agent": "ShipStation/2.0", '
    '"x-shipengine-timestamp": "2026-10-01T12:00:00Z"}'
)
_SHIPMENT = '{"record_kind": "v2_label", "record_id": "se-1", "state": "shipped"}'
_BODY = (
    '{"resource_url": "https://api.shipstation.com/v2/labels?batch_id=se-1", '
    '"resource_type": "LABEL_CREATED_V2"}'
)

_EVENT = """
INSERT INTO events (id, source, event_type, status, reason, received_at, resource_url, body,
       headers, signature, lane, duplicates, due_at,
                    claims, attempts, waits, processed_at, decisions)
SELECT 'evt_' || {hex} || {low}, 'shipstation',
       CASE WHEN n % {rare} = 7 THEN 'FULFILLMENT_SHIPPED'
       WHEN n % 10 = 3 THEN 'SHIP_NOTIFY' ELSE 'LABEL_CREATED_V2' END,
       CASE WHEN n % {rare} = 5 THEN 'dead' WHEN n % 10 = 1 THEN 'ignored' ELSE 'processed' END,
       NULL, {moment},
       'https://api.shipstation.com/v2/labels?batch_id=se-' || n, {body}, '{headers}',
       'verified', 0, 0, NULL, 1, 0, 0, {moment}, '[]'
FROM numbers"""
_DELIVERY = """
INSERT INTO deliveries (id, identity, status, lane, "trigger", record_kind,
       shipstation_record_id, shipstation_shipment_id, order_number,
                        fulfillment_order_id, reference, carrier_code, tracking_number,
                        all_tracking_numbers, notify_customer, shipment,
                        claims, attempts, looks, received_at, created_at, updated_at, delivered_at)
SELECT 'dlv_' || {hex} || {low}, 'order-' || n || '/1Z' || n,
       CASE WHEN n % {rare} = 5 THEN 'held' ELSE 'delivered' END, 0, 'live', 'v2_label',
       'se-' || n, 'se-' || n, 'PD' || n,
       'order-' || n, '#PD' || n, 'ups', '1Z' || n, '[]', {true}, '{shipment}', 1, 1, 0,
       {moment}, {moment}, {moment}, {moment}
FROM numbers"""
_LINE = """
INSERT INTO delivery_lines (delivery_id, line_item_id, fulfillment_order_id, position, sku,
       quantity)
SELECT 'dlv_' || {hex} || {low}, 'line-' || n, 'order-' || n, 0, 'SKU', 1 FROM numbers"""
_LINK = """
INSERT INTO event_deliveries (event_id, delivery_id) SELECT 'evt_' || {hex} || {low},
       'dlv_' || {hex} || {low} FROM numbers"""

_RECORD = """
INSERT INTO records (event_id, fetched_at, kind, record_id, body)
SELECT 'evt_' || {hex} || {low}, {moment}, 'v2_shipment', 'se-' || n, {record} FROM numbers"""
_ORDER = """
INSERT INTO fulfillment_orders (id, reference, reference_key, status, seen_at)
SELECT 'order-' || n, 'PD' || n, 'PD' || n, 'UNFULFILLED', {moment} FROM numbers"""
_ORDER_LINE = """
INSERT INTO order_lines (fulfillment_order_id, line_item_id, position, sku, quantity)
SELECT 'order-' || n, 'line-' || n, 0, 'SKU', 1 FROM numbers"""
_DELIVERY_RECORD = """
INSERT INTO delivery_records (delivery_id, record_kind, record_id, record_key, order_id, order_key)
SELECT 'dlv_' || {hex} || {low}, 'v2_label', 'se-' || n, 'label:' || n, 'se-' || n, '' || n
FROM numbers"""
_DELIVERY_NUMBER = """
INSERT INTO delivery_numbers (delivery_id, number_key)
SELECT 'dlv_' || {hex} || {low}, '1Z' || n FROM numbers"""
_ATTEMPT = """
INSERT INTO attempts (delivery_id, number, "trigger", started_at, finished_at, outcome, detail,
       http_status)
SELECT 'dlv_' || {hex} || {low}, 1, 'live', {moment}, {moment}, 'delivered', '', 200
FROM numbers"""
_WHOLE_SHIPMENT = """{"record_kind": "v2_label", "record_id": "se-@", "state": "shipped",
 "shipstation_shipment_id": "se-@", "order_number": "PD@", "clues": [{"kind": "reference",
 "field": "shipment_number", "value": "PD@"}], "items": [{"quantity": 1, "sku": "SKU",
 "line_item_id": null, "order_id": null, "order_reference": null, "sales_order_id": null,
 "bundle_sku": null, "unreadable_quantity": null}], "tracking_number": "1Z@",
 "all_tracking_numbers": ["1Z@"], "carrier_code": "ups", "carrier_name": null, "tracking_url":
 "http://wwwapps.ups.com/WebTracking/processRequest?HTMLVersion=5.0&tracknum=1Z@", "ship_date":
 "2026-10-01", "notify_customer": null, "service_code": "ups_ground", "order_is_read": true,
 "merged_ids": [], "problem": null}"""
_DECISIONS = """[{"record_kind": "v2_label", "record_id": "se-@", "shipstation_shipment_id":
 "se-@", "order_number": "PD@", "tracking_number": "1Z@", "verdict": "delivery", "reason": null,
 "detail": "", "rule": "shipment_number", "delivery_id": null, "items": [{"sku": "SKU",
 "bundle_sku": null, "quantity": 1, "fate": "sent", "evidence":
 "it is line line-@ (SKU SKU) of PD@"}]}]"""
_RECORD_BODY = """{"shipment_id": "se-@", "shipment_number": "PD@", "external_shipment_id": null,
 "external_order_id": null, "is_return": false, "items": [{"sku": "SKU", "quantity": 1,
 "bundle_sku": null, "sales_order_id": null, "external_order_id": null,
 "external_order_item_id": null}], "sales_order_ids": ["so-@"], "advanced_options":
 {"custom_field1": null, "custom_field2": null, "custom_field3": null}}"""
"""`@` stands for the row's number."""

_SQLITE = {
    "hex": "printf('%012x', {first} + n * 1000)",
    "low": "printf('%012x', n)",
    "moment": "strftime('%Y-%m-%d %H:%M:%S.000000', {first} / 1000 + n, 'unixepoch')",
    "body": "CAST('{body}' AS BLOB)",
    "true": "1",
}
_POSTGRES = {
    "hex": "lpad(to_hex({first} + n * 1000), 12, '0')",
    "low": "lpad(to_hex(n), 12, '0')",
    "moment": "to_timestamp({first} / 1000 + n)",
    "body": "convert_to('{body}', 'UTF8')",
    "true": "true",
}
_NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS "
    "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})",
    "postgresql": "WITH numbers AS (SELECT n FROM generate_series(1::bigint, {rows}) AS n)",
}


def fill(database: Database, rows: int, *, has_due: bool = True) -> None:
    """So many of each, and a few dozen of each that are due now."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    first = int((LAST - timedelta(seconds=rows)).timestamp()) * 1000
    words = {
        name: form.format(first=first, body=_BODY)
        for name, form in (_SQLITE if database.is_sqlite else _POSTGRES).items()
    }
    with database.begin(durable=False) as connection:
        for statement in (_EVENT, _DELIVERY, _LINE, _LINK):
            insert, _, chosen = statement.format(
                **words, headers=_HEADERS, shipment=_SHIPMENT, rare=max(8, rows // 80)
            ).partition("SELECT")
            numbers = _NUMBERS[kind].format(rows=rows)
            _run(connection, f"{numbers}{insert}SELECT{chosen}")
        for statement in _DUE if has_due else ():
            connection.execute(text(statement))
    with database.begin() as connection:
        connection.execute(text("PRAGMA optimize" if database.is_sqlite else "ANALYZE"))


def fill_around(database: Database, rows: int) -> None:
    """What stands around so many rows of `fill`: two thirds of a database of that age."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    first = int((LAST - timedelta(seconds=rows)).timestamp()) * 1000
    forms = _SQLITE if database.is_sqlite else _POSTGRES
    words = {name: form.format(first=first, body=_BODY) for name, form in forms.items()}
    numbers = _NUMBERS[kind].format(rows=rows)
    record = _numbered(database, _RECORD_BODY, "'' || n")
    with database.begin(durable=False) as connection:
        for statement in _AROUND:
            insert, _, chosen = statement.format(**words, record=record).partition("SELECT")
            _run(connection, f"{numbers}{insert}SELECT{chosen}")
        for table, column, body in (
            ("deliveries", "shipment", _WHOLE_SHIPMENT),
            ("events", "decisions", _DECISIONS),
        ):
            numbered = _numbered(database, body, _NUMBER_OF[table])
            _run(connection, f"UPDATE {table} SET {column} = {numbered}")
    with database.begin() as connection:
        connection.execute(text("PRAGMA optimize" if database.is_sqlite else "ANALYZE"))


_NUMBER_OF = {"deliveries": "substr(tracking_number, 3)", "events": "substr(resource_url, 51)"}
_AROUND = (_RECORD, _ORDER, _ORDER_LINE, _DELIVERY_RECORD, _DELIVERY_NUMBER, _ATTEMPT)


def _numbered(database: Database, body: str, number: str) -> str:
    filled = f"replace('{body}', '@', {number})"
    return filled if database.is_sqlite else f"CAST({filled} AS JSON)"


def _run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement.replace(":", "\\:")))


_DUE = (
    """UPDATE events SET status = 'received', due_at = received_at, processed_at = NULL,
       waiting_pointer = id
       WHERE id IN (SELECT id FROM events ORDER BY id DESC LIMIT 300)""",
    """UPDATE deliveries SET status = 'retrying', due_at = updated_at, delivered_at = NULL
       WHERE id IN (SELECT id FROM deliveries ORDER BY id DESC LIMIT 30)""",
)
"""What waits: three hundred webhooks, thirty deliveries."""
