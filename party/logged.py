"""What a node does by itself, in its party's log: with its keys, its certificates, its budget."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from audit.entry import Draft
from party.auditlog import note
from party.tables import audit_logs

# Secrets of one job; the job's id follows. An invitation's key is named by what follows from its token.
_JOB, _JOINING = "job/", "join/"


def own_actor(connection: sa.Connection) -> str | None:
    """Return what the log calls its own node, ``None`` where the store has no log."""
    role = connection.execute(
        sa.select(audit_logs.c.role).order_by(audit_logs.c.epoch.desc()).limit(1)
    ).scalar()
    return None if role is None else f"node:{role}"


def note_own(
    connection: sa.Connection, type: str, facts: Mapping[str, Any], at: float, job: str | None = None
) -> None:
    """Append what the own node did, within the caller's transaction; ``at`` is in seconds since 1970 UTC."""
    actor = own_actor(connection)
    if actor is not None:
        note(connection, Draft(type, actor, job, facts), at)


def note_key(connection: sa.Connection, created: bool, name: str, purpose: str, at: float) -> None:
    """Note that the secret ``name`` was sealed, or destroyed. Nothing that follows from it is in the entry."""
    job = name[len(_JOB) :].partition("/")[0] if name.startswith(_JOB) else None
    if name.startswith(_JOINING):
        name = _JOINING.rstrip("/")
    facts = {"key": name, "purpose": purpose or "none"}
    note_own(connection, "key_created" if created else "key_destroyed", facts, at, job)


def note_copied(
    connection: sa.Connection, type: str, actor: str | None, at: float, size: int | None = None
) -> None:
    """Note a backup or a restore by ``actor`` (``None``: nobody says who), with ``size`` entries in the log.

    Without ``size`` it is what the log has now.
    """
    row = connection.execute(
        sa.select(audit_logs.c.size, audit_logs.c.role).order_by(audit_logs.c.epoch.desc()).limit(1)
    ).first()
    if row is not None:
        facts = {"size": row.size if size is None else size}
        note(connection, Draft(type, actor or f"node:{row.role}", None, facts), at)


def certificate_facts(partner: str | None, certificate: x509.Certificate) -> dict[str, Any]:
    """Return what the log says of a certificate: whose it is (``None``: the own), its SHA-256 and its end."""
    return {
        "partner": partner,
        "serial": f"{certificate.serial_number:x}",
        "digest": hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        "until": int(certificate.not_valid_after_utc.timestamp() * 1000),
    }


def dataset_facts(name: str, schema: str, form: str, basis: str | None) -> dict[str, Any]:
    """Return what the log says of a dataset: its name, the fingerprint of its columns, form and consent basis."""
    return {"dataset": name, "schema": schema, "form": form, "basis": basis}


def fraction(value: Fraction) -> str:
    """Return an exact number as the log writes it."""
    return f"{value.numerator}/{value.denominator}"
