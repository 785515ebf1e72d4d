"""Replay runs, and which events they take through the journey again."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# Several columns a line: a table reads as a table.
# fmt: off


def upgrade() -> None:
    op.create_table("replay_runs",
        sa.Column("id", sa.String(length=32), nullable=False), sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False), sa.Column("reason", sa.Text()),
        sa.Column("as_stored", sa.Boolean(), nullable=False), sa.Column("notify_customer", sa.Boolean(), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False), sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False), sa.Column("fed", sa.Integer(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)), sa.PrimaryKeyConstraint("id", name="pk_replay_runs"),
    )
    op.create_table("replay_items",
        sa.Column("run_id", sa.String(length=32), nullable=False), sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(length=32), nullable=False), sa.Column("replay_event_id", sa.String(length=32)),
        sa.ForeignKeyConstraint(["run_id"], ["replay_runs.id"], name="fk_replay_items_run_id_replay_runs"),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name="fk_replay_items_event_id_events"),
        sa.ForeignKeyConstraint(["replay_event_id"], ["events.id"], name="fk_replay_items_replay_event_id_events"),
        sa.PrimaryKeyConstraint("run_id", "position", name="pk_replay_items"),
        sa.UniqueConstraint("replay_event_id", name="uq_replay_items_replay_event_id"),
    )
    op.create_index("ix_replay_items_event_id", "replay_items", ["event_id"])


def downgrade() -> None:
    op.drop_table("replay_items")
    op.drop_table("replay_runs")
