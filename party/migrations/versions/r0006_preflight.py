"""Preflights of drafts: each run with both sides' words, and who went without."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "preflights",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("run", sa.Text, unique=True),
        sa.Column("own", sa.Text),
        sa.Column("peer", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("hint", sa.Text),
        sa.Column("wish", sa.Text),
        sa.Column("actor", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("preflights_of", "preflights", ["job"])
    op.create_index("preflights_with", "preflights", ["partner", "at"])
