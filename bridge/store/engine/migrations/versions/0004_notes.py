"""What one process found or was told and others want to know."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Several columns a line: a table reads as a table.
# fmt: off


def upgrade() -> None:
    op.create_table("notes",
        sa.Column("name", sa.String(length=64), nullable=False), sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False), sa.PrimaryKeyConstraint("name", name="pk_notes"),
    )


def downgrade() -> None:
    op.drop_table("notes")
