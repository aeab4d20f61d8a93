"""Own datasets: what was found when each was read for its registration."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "dataset_health",
        sa.Column("dataset", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
    )
