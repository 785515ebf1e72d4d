"""What people did by hand: who, when, what, on what, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Several columns a line: a table reads as a table.
# fmt: off

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table("audit",
        sa.Column("id", _Serial, nullable=False), sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=128), nullable=False), sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False), sa.Column("why", sa.Text()), sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"])


def downgrade() -> None:
    op.drop_table("audit")
