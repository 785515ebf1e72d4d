"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
HAS_REASON = sa.text("reason IS NOT NULL")
RESOLVED_EVENTS = sa.text(
    "redacted_at IS NULL AND status || '' IN ('processed', 'ignored', 'rejected')"
)
RESOLVED_DELIVERIES = sa.text("redacted_at IS NULL AND status || '' IN ('delivered', 'cancelled')")


def upgrade() -> None:
    _audit()
    _rate_limits()
    _periodic_tasks()
    _deliveries()
    _events()
    _fulfillment_orders()
    _marked_shipments()
    _shared_state()
    _repair_runs()
    _replays()
    _secret_keys()
    _sweeps()
    _workers()
    _attempts()
    _delivery_lines()
    _delivery_numbers()
    _delivery_records()
    _event_deliveries()
    _order_lines()
    _records()


def downgrade() -> None:
    for table in (
        "records",
        "order_lines",
        "event_deliveries",
        "delivery_records",
        "delivery_numbers",
        "delivery_lines",
        "attempts",
        "workers",
        "sweeps",
        "secret_keys",
        "replays",
        "repair_runs",
        "shared_state",
        "marked_shipments",
        "fulfillment_orders",
        "events",
        "deliveries",
        "periodic_tasks",
        "rate_limits",
        "audit",
    ):
        op.drop_table(table)


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"])


def _rate_limits() -> None:
    op.create_table(
        "rate_limits",
        sa.Column("system", sa.String(length=32), nullable=False),
        sa.Column("free_at", sa.Float(), nullable=False),
        sa.Column("paused_until", sa.Float(), nullable=False),
        sa.Column("allowed_per_minute", sa.Integer()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failing_since", sa.Float(), nullable=False, server_default="0"),
        sa.Column("opened_at", sa.Float(), nullable=False, server_default="0"),
        sa.Column("open_until", sa.Float(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("system", name="pk_rate_limits"),
    )


def _periodic_tasks() -> None:
    op.create_table(
        "periodic_tasks",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="pk_periodic_tasks"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=40)),
        sa.Column("detail", sa.Text()),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("trigger", sa.String(length=16), nullable=False),
        sa.Column("record_kind", sa.String(length=24), nullable=False),
        sa.Column("shipstation_record_id", sa.String(), nullable=False),
        sa.Column("shipstation_shipment_id", sa.String()),
        sa.Column("order_number", sa.String()),
        sa.Column("fulfillment_order_id", sa.String(length=64)),
        sa.Column("reference", sa.String()),
        sa.Column("rule", sa.String(length=40)),
        sa.Column("linked_order_id", sa.String(length=64)),
        sa.Column("purple_dot_fulfillment_id", sa.String()),
        sa.Column("carrier_code", sa.String()),
        sa.Column("tracking_number", sa.String()),
        sa.Column("tracking_company", sa.String()),
        sa.Column("tracking_url", sa.Text()),
        sa.Column("all_tracking_numbers", sa.JSON(), nullable=False),
        sa.Column("notify_customer", sa.Boolean(), nullable=False),
        sa.Column("shipment", sa.JSON(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("throttled_by", sa.String(length=24)),
        sa.Column("owner", sa.String(length=64)),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("failed_runs", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("posting_at", sa.DateTime(timezone=True)),
        sa.Column("unclear_at", sa.DateTime(timezone=True)),
        sa.Column("order_seen_at", sa.DateTime(timezone=True)),
        sa.Column("label_seen_at", sa.DateTime(timezone=True)),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("superseded_by", sa.String(length=32)),
        sa.Column("contents", sa.JSON()),
        sa.Column("left_out", sa.Text()),
        sa.Column("redacted_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_from", sa.JSON()),
        sa.Column("repair_run_id", sa.String(length=32)),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("identity", name="uq_deliveries_identity"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["lane", "due_at"])
    for column in (
        "fulfillment_order_id",
        "order_number",
        "reference",
        "shipstation_shipment_id",
        "tracking_number",
    ):
        op.create_index(
            f"ix_deliveries_{column}",
            "deliveries",
            [column],
            postgresql_ops={column: "text_pattern_ops"},
        )
    op.create_index(
        "ix_deliveries_reason",
        "deliveries",
        ["reason", "id"],
        sqlite_where=HAS_REASON,
        postgresql_where=HAS_REASON,
    )
    op.create_index("ix_deliveries_record", "deliveries", ["shipstation_record_id", "record_kind"])
    op.create_index(
        "ix_deliveries_repair_run_id",
        "deliveries",
        ["repair_run_id", "id"],
        sqlite_where=sa.text("repair_run_id IS NOT NULL"),
        postgresql_where=sa.text("repair_run_id IS NOT NULL"),
    )
    op.create_index("ix_deliveries_status", "deliveries", ["status", "id"])
    op.create_index(
        "ix_deliveries_unredacted",
        "deliveries",
        ["updated_at"],
        sqlite_where=RESOLVED_DELIVERIES,
        postgresql_where=RESOLVED_DELIVERIES,
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("event_type", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=40)),
        sa.Column("detail", sa.Text()),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resource_url", sa.Text()),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("remote_address", sa.String(length=64)),
        sa.Column("signature", sa.String(length=16), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("waiting_pointer", sa.String(length=64)),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("last_duplicate_at", sa.DateTime(timezone=True)),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("throttled_by", sa.String(length=24)),
        sa.Column("owner", sa.String(length=64)),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("failed_runs", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("waits", sa.Integer(), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True)),
        sa.Column("decisions", sa.JSON()),
        sa.Column("redacted_at", sa.DateTime(timezone=True)),
        sa.Column("replay_id", sa.String(length=32)),
        sa.Column("replayed_event_id", sa.String(length=32)),
        sa.Column("repair_run_id", sa.String(length=32)),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("waiting_pointer", name="uq_events_waiting_pointer"),
    )
    op.create_index("ix_events_due", "events", ["lane", "due_at"])
    op.create_index("ix_events_event_type", "events", ["event_type", "id"])
    op.create_index(
        "ix_events_reason",
        "events",
        ["reason", "id"],
        sqlite_where=HAS_REASON,
        postgresql_where=HAS_REASON,
    )
    op.create_index(
        "ix_events_repair_run_id",
        "events",
        ["repair_run_id", "id"],
        sqlite_where=sa.text("repair_run_id IS NOT NULL"),
        postgresql_where=sa.text("repair_run_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_replay_id",
        "events",
        ["replay_id", "status"],
        sqlite_where=sa.text("replay_id IS NOT NULL"),
        postgresql_where=sa.text("replay_id IS NOT NULL"),
    )
    op.create_index(
        "ix_events_replayed_event_id",
        "events",
        ["replayed_event_id"],
        sqlite_where=sa.text("replayed_event_id IS NOT NULL"),
        postgresql_where=sa.text("replayed_event_id IS NOT NULL"),
    )
    op.create_index("ix_events_status", "events", ["status", "id"])
    op.create_index(
        "ix_events_unredacted",
        "events",
        ["processed_at"],
        sqlite_where=RESOLVED_EVENTS,
        postgresql_where=RESOLVED_EVENTS,
    )


def _fulfillment_orders() -> None:
    op.create_table(
        "fulfillment_orders",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("reference_key", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16)),
        sa.Column("created_at", sa.DateTime(timezone=True)),
        sa.Column("purchased_at", sa.DateTime(timezone=True)),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fulfillment_orders"),
    )
    op.create_index("ix_fulfillment_orders_reference_key", "fulfillment_orders", ["reference_key"])


def _marked_shipments() -> None:
    op.create_table(
        "marked_shipments",
        sa.Column("shipment_id", sa.String(), nullable=False),
        sa.Column("tracking_key", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16)),
        sa.Column("message", sa.Text()),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("sending_at", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shipment_id", "tracking_key", name="pk_marked_shipments"),
    )


def _shared_state() -> None:
    op.create_table(
        "shared_state",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_shared_state"),
    )


def _repair_runs() -> None:
    op.create_table(
        "repair_runs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("refused", sa.JSON(), nullable=False),
        sa.Column("last_id", sa.String(length=32), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_repair_runs"),
    )


def _replays() -> None:
    op.create_table(
        "replays",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("as_stored", sa.Boolean(), nullable=False),
        sa.Column("notify_customer", sa.Boolean(), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_replays"),
    )


def _secret_keys() -> None:
    op.create_table(
        "secret_keys",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secret_keys"),
    )


def _sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("started_by", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("looked_back_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("request", sa.JSON()),
        sa.Column("http_status", sa.Integer()),
        sa.Column("answer", sa.Text()),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_attempts_delivery_id_deliveries"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
    )
    op.create_index("ix_attempts_delivery_id", "attempts", ["delivery_id"])


def _delivery_lines() -> None:
    op.create_table(
        "delivery_lines",
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("line_item_id", sa.String(), nullable=False),
        sa.Column("fulfillment_order_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String()),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_delivery_lines_delivery_id_deliveries"
        ),
        sa.PrimaryKeyConstraint("delivery_id", "line_item_id", name="pk_delivery_lines"),
    )
    op.create_index(
        "ix_delivery_lines_fulfillment_order_id", "delivery_lines", ["fulfillment_order_id"]
    )
    op.create_index(
        "ix_delivery_lines_sku",
        "delivery_lines",
        [sa.func.lower(sa.column("sku")).label("lower_sku"), "delivery_id"],
        postgresql_ops={"lower_sku": "text_pattern_ops"},
    )


def _delivery_numbers() -> None:
    op.create_table(
        "delivery_numbers",
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("number_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_delivery_numbers_delivery_id_deliveries"
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number_key", name="pk_delivery_numbers"),
    )
    op.create_index("ix_delivery_numbers_number_key", "delivery_numbers", ["number_key"])


def _delivery_records() -> None:
    op.create_table(
        "delivery_records",
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("record_kind", sa.String(length=24), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("record_key", sa.String(), nullable=False),
        sa.Column("order_id", sa.String()),
        sa.Column("order_key", sa.String()),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_delivery_records_delivery_id_deliveries"
        ),
        sa.PrimaryKeyConstraint(
            "delivery_id", "record_kind", "record_id", name="pk_delivery_records"
        ),
    )
    op.create_index("ix_delivery_records_order_key", "delivery_records", ["order_key"])
    op.create_index("ix_delivery_records_record_key", "delivery_records", ["record_key"])


def _event_deliveries() -> None:
    op.create_table(
        "event_deliveries",
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_event_deliveries_delivery_id_deliveries"
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name="fk_event_deliveries_event_id_events"
        ),
        sa.PrimaryKeyConstraint("event_id", "delivery_id", name="pk_event_deliveries"),
    )
    op.create_index("ix_event_deliveries_delivery_id", "event_deliveries", ["delivery_id"])


def _order_lines() -> None:
    op.create_table(
        "order_lines",
        sa.Column("fulfillment_order_id", sa.String(length=64), nullable=False),
        sa.Column("line_item_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String()),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["fulfillment_order_id"],
            ["fulfillment_orders.id"],
            name="fk_order_lines_fulfillment_order_id_fulfillment_orders",
        ),
        sa.PrimaryKeyConstraint("fulfillment_order_id", "line_item_id", name="pk_order_lines"),
    )
    op.create_index("ix_order_lines_line_item_id", "order_lines", ["line_item_id"])


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name="fk_records_event_id_events"),
        sa.PrimaryKeyConstraint("id", name="pk_records"),
    )
    op.create_index("ix_records_event_id", "records", ["event_id"])
