"""The first store: budget, ledger, jobs that were run.

It is also what programs before the first migration made by themselves, so stores of theirs are at this revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    version = op.create_table("schema_version", sa.Column("version", sa.Integer, nullable=False))
    op.bulk_insert(version, [{"version": 1}])
    op.create_table(
        "budget_spent",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("epsilon", sa.Text),
        sa.Column("spent", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("budget_of", "budget_spent", ["dataset", "partner"])
    op.create_table(
        "ledger_sketch",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("persons", sa.Integer, nullable=False),
        sa.Column("file", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("released", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("sketches_of", "ledger_sketch", ["partner"])
    op.create_table(
        "jobs_seen",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("own_persons", sa.Integer, nullable=False),
        sa.Column("peer_persons", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_of", "jobs_seen", ["dataset", "partner"])
