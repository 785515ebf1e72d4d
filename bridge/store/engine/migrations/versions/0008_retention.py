"""When an event or a delivery was redacted, and an index of what is to be redacted next."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

EVENTS = sa.text("redacted_at IS NULL AND status || '' IN ('processed', 'ignored', 'rejected')")
DELIVERIES = sa.text("redacted_at IS NULL AND status || '' IN ('delivered', 'cancelled')")


def upgrade() -> None:
    op.add_column("events", sa.Column("redacted_at", sa.DateTime(timezone=True)))
    op.add_column("deliveries", sa.Column("redacted_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_events_unredacted",
        "events",
        ["processed_at"],
        sqlite_where=EVENTS,
        postgresql_where=EVENTS,
    )
    op.create_index(
        "ix_deliveries_unredacted",
        "deliveries",
        ["updated_at"],
        sqlite_where=DELIVERIES,
        postgresql_where=DELIVERIES,
    )


def downgrade() -> None:
    op.drop_index("ix_deliveries_unredacted", "deliveries")
    op.drop_index("ix_events_unredacted", "events")
    op.drop_column("deliveries", "redacted_at")
    op.drop_column("events", "redacted_at")
