"""How far a job was when it was last cut, and how many attempts in a row brought it no further."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "job_progress",
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("reached", sa.Integer, nullable=False),
        sa.Column("idle", sa.Integer, nullable=False),
    )
