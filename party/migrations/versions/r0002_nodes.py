"""What a standing node remembers: secrets, partners and their certificates, datasets, jobs with their history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and shut out programs that know version 1 only."""
    op.execute("UPDATE schema_version SET version = 2")
    _secrets_and_datasets()
    _partners()
    _jobs()


def _secrets_and_datasets() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "datasets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("form", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


def _partners() -> None:
    op.create_table(
        "partners",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("san", sa.Text, nullable=False, unique=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("identity", sa.LargeBinary),
        sa.Column("address", sa.Text),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "certificates",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("serial", sa.Text, nullable=False, unique=True),
        sa.Column("key_digest", sa.Text, nullable=False, unique=True),
        sa.Column("pem", sa.Text, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("not_after", sa.Float, nullable=False),
        sa.Column("revoked_at", sa.Float),
        sa.Column("revoked_by", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("certificates_of", "certificates", ["kind", "partner"])
    op.create_table(
        "invitations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("verifier", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("invited_by", sa.Text, nullable=False),
        sa.Column("invited_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("csr", sa.LargeBinary),
        sa.Column("identity", sa.LargeBinary),
        sa.Column("software", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("requested_at", sa.Float),
        sa.Column("fingerprint", sa.Text),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", sa.Float),
        sa.Column("serial", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("invitations_of", "invitations", ["partner"])
    op.create_table(
        "enrolment_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("enrolment_events_of", "enrolment_events", ["partner"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("job_table", sa.Text, nullable=False),
        sa.Column("contract", sa.LargeBinary),
        sa.Column("bank_signature", sa.LargeBinary),
        sa.Column("platform_signature", sa.LargeBinary),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("drafter", sa.Text, nullable=False),
        sa.Column("editor", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.Column("expires", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("held_until", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_by_state", "jobs", ["state"])
    op.create_index("jobs_by_partner", "jobs", ["partner"])
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("voided", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("approvals_of", "approvals", ["job"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of", "events", ["job"])
