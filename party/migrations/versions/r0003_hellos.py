"""What a standing node was told by its partners: their catalogues and limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "partner_hellos",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("partner", sa.Text, nullable=False, unique=True),
        sa.Column("software", sa.Text, nullable=False),
        sa.Column("hello", sa.Text, nullable=False),
        sa.Column("skew", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
