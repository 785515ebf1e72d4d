"""When each periodic chore of the worker is due."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Several columns a line: a table reads as a table.
# fmt: off


def upgrade() -> None:
    op.create_table("chores",
        sa.Column("name", sa.String(length=64), nullable=False), sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True)), sa.PrimaryKeyConstraint("name", name="pk_chores"),
    )


def downgrade() -> None:
    op.drop_table("chores")
