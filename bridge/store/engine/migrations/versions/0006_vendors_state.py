"""Whether a vendor fails as a whole, and what it says that it allows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("budgets", sa.Column("told_per_minute", sa.Integer()))
    op.add_column(
        "budgets", sa.Column("failures", sa.Integer(), nullable=False, server_default="0")
    )
    for name in ("failing_since", "opened_at", "open_until"):
        op.add_column("budgets", sa.Column(name, sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("told_per_minute", "failures", "failing_since", "opened_at", "open_until"):
        op.drop_column("budgets", name)
