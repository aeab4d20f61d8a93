"""Recurring jobs: their schedules, who approved them, what happened to them, and each time they were due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "schedules",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("drafter", sa.Text, nullable=False),
        sa.Column("editor", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.Column("next_due", sa.Float),
        sa.Column("drafted", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("schedules_by_state", "schedules", ["state"])
    op.create_table(
        "schedule_approvals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("schedule", sa.Text, sa.ForeignKey("schedules.id"), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("voided", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("schedule_approvals_of", "schedule_approvals", ["schedule"])
    op.create_table(
        "schedule_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("schedule", sa.Text, sa.ForeignKey("schedules.id"), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("schedule_events_of", "schedule_events", ["schedule"])
    op.create_table(
        "schedule_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("schedule", sa.Text, sa.ForeignKey("schedules.id"), nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("missed", sa.Integer, nullable=False),
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id")),
        sa.UniqueConstraint("schedule", "due", name="one_run_per_due"),
        sqlite_autoincrement=True,
    )
