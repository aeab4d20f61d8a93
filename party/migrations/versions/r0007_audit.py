"""The party's log: entries, tree, checkpoints, cosignatures, and what was cosigned of the partners' logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audit_logs",
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("origin", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("log_key", sa.Text, nullable=False),
        sa.Column("witness_key", sa.Text, nullable=False),
        sa.Column("proof", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("last_time", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.Text),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_entries",
        sa.Column(
            "epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False
        ),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("job", sa.Text),
        sa.Column("mark", sa.Text),
        sa.Column("entry", sa.LargeBinary, nullable=False),
    )
    op.create_index("audit_entries_of", "audit_entries", ["job"])
    op.create_index("audit_marks", "audit_entries", ["epoch", "mark"], unique=True)
    op.create_table(
        "audit_nodes",
        sa.Column(
            "epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False
        ),
        sa.Column("node", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_details",
        sa.Column(
            "epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False
        ),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("details", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column(
            "epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False
        ),
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "audit_cosigned",
        sa.Column(
            "epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False
        ),
        sa.Column("partner", sa.Text, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Text),
    )
    op.create_table(
        "audit_partner_logs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False, unique=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("log_key", sa.Text, nullable=False),
        sa.Column("witness_key", sa.Text, nullable=False),
        sa.Column("proof", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_logs_of", "audit_partner_logs", ["partner"])
    op.create_table(
        "audit_witnessed",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_witnessed_of", "audit_witnessed", ["origin"])
    op.create_table(
        "audit_policies",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("policy", sa.LargeBinary, nullable=False),
    )
