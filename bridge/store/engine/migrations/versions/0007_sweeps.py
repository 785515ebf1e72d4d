"""What each sweep looked at, and what it found."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# Several columns a line: a table reads as a table.
# fmt: off


def upgrade() -> None:
    op.create_table("sweeps",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("started_by", sa.String(length=16), nullable=False), sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("looked_back_to", sa.DateTime(timezone=True), nullable=False), sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.String(length=16), nullable=False), sa.Column("detail", sa.Text()),
        sa.Column("counts", sa.JSON(), nullable=False), sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )


def downgrade() -> None:
    op.drop_table("sweeps")
