"""The party's log by job and by type: without these, reading it for people goes through every entry."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    op.drop_index("audit_entries_of", "audit_entries")
    op.create_index("audit_entries_of", "audit_entries", ["job", "epoch", "sequence"])
    op.create_index("audit_entries_by_type", "audit_entries", ["epoch", "type", "sequence"])
