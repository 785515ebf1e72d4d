"""The schema, once for SQLite and PostgreSQL. Migrations make it; a test holds the two against each
other."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    column,
    func,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python; `timestamptz` on PostgreSQL, ISO text on SQLite, where text order is
    time order."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        return _utc_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return (
            _utc_moment if dialect.name == "sqlite" else super().result_processor(dialect, coltype)
        )

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002  # the signature is SQLAlchemy's
    ) -> datetime | None:
        return value and value.astimezone(UTC)


def _utc_text(value: datetime | None) -> str | None:
    return (
        value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") if value else None
    )


def _utc_moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if value else None


RESOLVED_EVENT = text(
    "redacted_at IS NULL AND status || '' IN ('processed', 'ignored', 'rejected')"
)
RESOLVED_DELIVERY = text("redacted_at IS NULL AND status || '' IN ('delivered', 'cancelled')")
"""What may be redacted once it is old enough: conditions of partial indexes. `|| ''` keeps the
planners away from the index of statuses, in which everything that was ever redacted stands too."""

_Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column that is exactly INTEGER."""

_KNOWN = text("reason IS NOT NULL")
"""A row without a reason costs an index of reasons nothing."""


def _partial(name: str, column: str, *more: str) -> Index:
    """An index that costs nothing for the rows, nearly all, in which its first column is empty."""
    is_set = text(f"{column} IS NOT NULL")
    return Index(name, column, *more, sqlite_where=is_set, postgresql_where=is_set)


def _searched(table: str, column: str) -> Index:
    """An index for one value and for beginnings. PostgreSQL sorts by the rules of a language, which
    no beginning follows, unless it is asked to compare characters.
    https://www.postgresql.org/docs/current/indexes-opclass.html"""
    name = f"ix_{table}_{column}"
    return Index(name, column, postgresql_ops={column: "text_pattern_ops"})


REPLAY = "replay"
"""The source of an event that takes a stored one through the journey again."""

events = Table(
    "events",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("source", String(32), nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(40)),
    Column("detail", Text),
    Column("received_at", UtcDateTime, nullable=False),
    Column("resource_url", Text),
    Column("body", LargeBinary, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("remote_address", String(64)),
    Column("signature", String(16), nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("waiting_pointer", String(64), unique=True),
    Column("duplicates", Integer, nullable=False),
    Column("last_duplicate_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Column("throttled_by", String(24)),
    Column("owner", String(64)),
    Column("claims", Integer, nullable=False),
    Column("failed_runs", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False),
    Column("waits", Integer, nullable=False),
    Column("processed_at", UtcDateTime),
    Column("decisions", JSON),
    Column("redacted_at", UtcDateTime),
    Column("replay_id", String(32)),
    Column("replayed_event_id", String(32)),
    Column("repair_run_id", String(32)),
    Index("ix_events_due", "lane", "due_at"),
    Index("ix_events_status", "status", "id"),
    Index("ix_events_event_type", "event_type", "id"),
    Index("ix_events_reason", "reason", "id", sqlite_where=_KNOWN, postgresql_where=_KNOWN),
    Index(
        "ix_events_unredacted",
        "processed_at",
        sqlite_where=RESOLVED_EVENT,
        postgresql_where=RESOLVED_EVENT,
    ),
    _partial("ix_events_replay_id", "replay_id", "status"),
    _partial("ix_events_replayed_event_id", "replayed_event_id"),
    _partial("ix_events_repair_run_id", "repair_run_id", "id"),
)
"""`due_at` is both when work may start and until when it is taken: a claim moves it by the lease,
so an expired lease is due again."""

records = Table(
    "records",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("event_id", String(32), ForeignKey("events.id"), nullable=False, index=True),
    Column("fetched_at", UtcDateTime, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("record_id", String, nullable=False),
    Column("body", JSON, nullable=False),
)

fulfillment_orders = Table(
    "fulfillment_orders",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("reference", String, nullable=False),
    Column("reference_key", String, nullable=False, index=True),
    Column("status", String(16)),
    Column("created_at", UtcDateTime),
    Column("purchased_at", UtcDateTime),
    Column("seen_at", UtcDateTime, nullable=False),
)
"""Confirmed orders: the cache of what Purple Dot said, and the row that is locked while an order's
quantities are decided."""

order_lines = Table(
    "order_lines",
    metadata,
    Column(
        "fulfillment_order_id", String(64), ForeignKey("fulfillment_orders.id"), primary_key=True
    ),
    Column("line_item_id", String, primary_key=True, index=True),
    Column("position", Integer, nullable=False),
    Column("sku", String),
    Column("quantity", Integer, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("identity", String, nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("reason", String(40)),
    Column("detail", Text),
    Column("lane", SmallInteger, nullable=False),
    Column("trigger", String(16), nullable=False),
    Column("record_kind", String(24), nullable=False),
    Column("shipstation_record_id", String, nullable=False),
    Column("shipstation_shipment_id", String),
    Column("order_number", String),
    Column("fulfillment_order_id", String(64)),
    Column("reference", String),
    Column("rule", String(40)),
    Column("linked_order_id", String(64)),
    Column("purple_dot_fulfillment_id", String),
    Column("carrier_code", String),
    Column("tracking_number", String),
    Column("tracking_company", String),
    Column("tracking_url", Text),
    Column("all_tracking_numbers", JSON, nullable=False),
    Column("notify_customer", Boolean, nullable=False),
    Column("shipment", JSON, nullable=False),
    Column("due_at", UtcDateTime),
    Column("throttled_by", String(24)),
    Column("owner", String(64)),
    Column("claims", Integer, nullable=False),
    Column("failed_runs", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False),
    Column("looks", Integer, nullable=False),
    Column("posting_at", UtcDateTime),
    Column("unclear_at", UtcDateTime),
    Column("order_seen_at", UtcDateTime),
    Column("label_seen_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    Column("resolved_at", UtcDateTime),
    Column("superseded_by", String(32)),
    Column("contents", JSON),
    Column("left_out", Text),
    Column("redacted_at", UtcDateTime),
    Column("resolved_from", JSON),
    Column("repair_run_id", String(32)),
    _partial("ix_deliveries_repair_run_id", "repair_run_id", "id"),
    _searched("deliveries", "shipstation_shipment_id"),
    _searched("deliveries", "order_number"),
    _searched("deliveries", "fulfillment_order_id"),
    _searched("deliveries", "reference"),
    _searched("deliveries", "tracking_number"),
    Index("ix_deliveries_due", "lane", "due_at"),
    Index("ix_deliveries_status", "status", "id"),
    Index("ix_deliveries_record", "shipstation_record_id", "record_kind"),
    Index("ix_deliveries_reason", "reason", "id", sqlite_where=_KNOWN, postgresql_where=_KNOWN),
    Index(
        "ix_deliveries_unredacted",
        "updated_at",
        sqlite_where=RESOLVED_DELIVERY,
        postgresql_where=RESOLVED_DELIVERY,
    ),
)
"""The mapping log: shipment ↔ fulfillment order ↔ fulfillment. `posting_at` is the intent,
committed before a request leaves."""

delivery_records = Table(
    "delivery_records",
    metadata,
    Column("delivery_id", String(32), ForeignKey("deliveries.id"), primary_key=True),
    Column("record_kind", String(24), primary_key=True),
    Column("record_id", String, primary_key=True),
    Column("record_key", String, nullable=False, index=True),
    Column("order_id", String),
    Column("order_key", String, index=True),
)
"""Every record of ShipStation's, of either API, that spoke of a delivery's parcel. The keys are
equal for both APIs' ids of one label, and of one ShipStation order."""

delivery_numbers = Table(
    "delivery_numbers",
    metadata,
    Column("delivery_id", String(32), ForeignKey("deliveries.id"), primary_key=True),
    Column("number_key", String, primary_key=True, index=True),
)
"""Every tracking number of a delivery's parcel, normalized, also those that were replaced."""

delivery_lines = Table(
    "delivery_lines",
    metadata,
    Column("delivery_id", String(32), ForeignKey("deliveries.id"), primary_key=True),
    Column("line_item_id", String, primary_key=True),
    Column("fulfillment_order_id", String(64), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("sku", String),
    Column("quantity", Integer, nullable=False),
    Index(
        "ix_delivery_lines_sku",
        func.lower(column("sku")).label("lower_sku"),
        "delivery_id",
        postgresql_ops={"lower_sku": "text_pattern_ops"},
    ),
)
"""Units: what each delivery takes of a Purple Dot line. The delivery's status says
whether it counts."""

event_deliveries = Table(
    "event_deliveries",
    metadata,
    Column("event_id", String(32), ForeignKey("events.id"), primary_key=True),
    Column("delivery_id", String(32), ForeignKey("deliveries.id"), primary_key=True, index=True),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("delivery_id", String(32), ForeignKey("deliveries.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("trigger", String(16), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text),
    Column("request", JSON),
    Column("http_status", Integer),
    Column("answer", Text),
)
"""Append-only: one row for each try and each look that decided something."""

marked_shipments = Table(
    "marked_shipments",
    metadata,
    Column("shipment_id", String, primary_key=True),
    Column("tracking_key", String, primary_key=True),
    Column("status", String(16)),
    Column("message", Text),
    Column("file_name", Text, nullable=False),
    Column("sending_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""What `bridge ship` marked in ShipStation. `sending_at` is the intent, committed before a request
leaves; left behind, it was interrupted."""

workers = Table(
    "workers",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),
    Column("stopped_at", UtcDateTime),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("system", String(32), primary_key=True),
    Column("free_at", Float, nullable=False),
    Column("paused_until", Float, nullable=False),
    Column("allowed_per_minute", Integer),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failing_since", Float, nullable=False, server_default="0"),
    Column("opened_at", Float, nullable=False, server_default="0"),
    Column("open_until", Float, nullable=False, server_default="0"),
)
"""One row per vendor, in epoch seconds (0: not so): `free_at` is when the budget would be whole
again if nobody called; the last four say whether it fails, and when the next probe may go."""

periodic_tasks = Table(
    "periodic_tasks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("due_at", UtcDateTime, nullable=False),
    Column("done_at", UtcDateTime),
)
"""What the worker does now and then, and when it is next due."""

audit = Table(
    "audit",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(128), nullable=False, index=True),
    Column("reason", Text),
    Column("outcome", Text),
)
"""Append-only: what a person did, by command or in the console."""

shared_state = Table(
    "shared_state",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("noted_at", UtcDateTime, nullable=False),
)
"""What one process learned and others want to know, such as where the webhooks shall go; never a
secret."""

secret_keys = Table(
    "secret_keys",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String, nullable=False),
)
"""Secrets that we made ourselves, such as the one that signs the console's sessions. Never shown,
never exported."""

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("started_by", String(16), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("looked_back_to", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text),
    Column("counts", JSON, nullable=False),
)
"""One row a sweep. `counts` is {event type: {"listed": …, "missed": …, "finished": …, "voided":
…}}, kept up to date while it runs."""

replays = Table(
    "replays",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("reason", Text),
    Column("as_stored", Boolean, nullable=False),
    Column("notify_customer", Boolean, nullable=False),
    Column("chosen", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("total", Integer, nullable=False),
    Column("finished_at", UtcDateTime),
)
"""A person's wish to take stored events through the journey again; `chosen` is what they were
chosen by. Its events bear its id."""

repair_runs = Table(
    "repair_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("action", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("chosen", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("refused", JSON, nullable=False),
    Column("last_id", String(32), nullable=False),
    Column("finished_at", UtcDateTime),
)
"""One repair of many deliveries and events, which bear its id. `refused` is {a sentence: how
many}; `last_id` says how far the worker has come, in the order of ids."""
