"""The key of the console's sessions, and indexes for what is searched and filtered by."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KNOWN = sa.text("reason IS NOT NULL")

# Several columns a line: a table reads as a table.
# fmt: off


def upgrade() -> None:
    op.create_table("secret_keys",
        sa.Column("name", sa.String(length=64), nullable=False), sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secret_keys"),
    )
    for table in ("events", "deliveries"):
        op.create_index(f"ix_{table}_reason", table, ["reason", "id"], sqlite_where=_KNOWN, postgresql_where=_KNOWN)
    op.create_index("ix_deliveries_reference", "deliveries", ["reference"])


def downgrade() -> None:
    op.drop_index("ix_deliveries_reference", "deliveries")
    for table in ("deliveries", "events"):
        op.drop_index(f"ix_{table}_reason", table)
    op.drop_table("secret_keys")
