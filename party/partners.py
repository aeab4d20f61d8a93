"""The other parties and their certificates, as rows: who may call, looked up for every call.

Only certificates that the store holds are accepted, so that a revocation is one update and a certificate that was
issued behind the store's back is worth nothing.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from cryptography import x509

from party.budget import Clock, local_clock
from party.callers import Caller, stranger
from party.certificates import PublicKey, key_digest, load_certificate, pem_of, serial_of
from party.refusals import STRANGER, note_access
from party.store import Store
from party.tables import METADATA
from psi.errors import PeerViolation, UsageError

# How long after its successor was first used a certificate may still begin calls, of jobs that were just given it.
SUPERSEDED_AFTER: Final = datetime.timedelta(hours=1)
# Who revoked a certificate that its successor has superseded: nobody, and no person has an empty name.
_BY_RENEWAL: Final = ""

# Times are seconds since 1970-01-01 UTC.
partners: Final = sa.Table(
    "partners",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("san", sa.Text, nullable=False, unique=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("identity", sa.LargeBinary),
    sa.Column("address", sa.Text),
    sa.Column("at", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)
# Every certificate that this node issued (`partner`), holds (`own`) or trusts (`authority`). A revocation is a time.
certificates: Final = sa.Table(
    "certificates",
    METADATA,
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
    sa.Index("certificates_of", "kind", "partner"),
    sqlite_autoincrement=True,
)
# One row per token. `verifier` is the one-way image of its secret; what follows `failures` is the node's request.
invitations: Final = sa.Table(
    "invitations",
    METADATA,
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
    sa.Index("invitations_of", "partner"),
    sqlite_autoincrement=True,
)
# Who did what to a partner's access, and when.
enrolment_events: Final = sa.Table(
    "enrolment_events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Index("enrolment_events_of", "partner"),
    sqlite_autoincrement=True,
)


class PartnerState(StrEnum):
    """Where a partner stands: only an active one may call."""

    INVITED = "invited"
    PENDING = "pending"
    ACTIVE = "active"
    REVOKED = "revoked"


class Kind(StrEnum):
    """What a certificate is to this node."""

    AUTHORITY = "authority"
    OWN = "own"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True)
class Partner:
    """One partner: ``identity`` is its Ed25519 public key, ``address`` where it listens, if it does."""

    name: str
    san: str
    state: PartnerState
    identity: bytes | None
    address: str | None
    changed: datetime.datetime


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate and, if it was revoked, when."""

    partner: str
    serial: str
    certificate: x509.Certificate
    revoked: datetime.datetime | None

    @property
    def expires(self) -> datetime.datetime:
        """When it ends, UTC."""
        return self.certificate.not_valid_after_utc


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the history of a partner's access."""

    at: datetime.datetime
    actor: str
    partner: str
    event: str
    note: str


class Partners:
    """The rows of partners; ``clock`` gives timezone-aware times. Methods that take a connection join its
    transaction, the others open one."""

    def __init__(self, store: Store, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock

    def all(self) -> list[Partner]:
        """Return the partners by name."""
        with self._store.reading() as connection:
            rows = connection.execute(sa.select(partners).order_by(partners.c.name)).all()
        return [_partner(row) for row in rows]

    def get(self, name: str) -> Partner:
        """Return the partner ``name``. Raises ``UsageError``."""
        with self._store.reading() as connection:
            found = find(connection, name)
        if found is None:
            raise UsageError(f"There is no partner {name!r}.", hint="`veiljoin server partners` lists them")
        return found

    def certificate(self, name: str) -> Issued | None:
        """Return the partner's newest certificate that was not revoked."""
        with self._store.reading() as connection:
            return newest(connection, Kind.PARTNER, name)

    def history(self, name: str | None = None) -> list[Event]:
        """Return what was done to the access of a partner, or of all, oldest first."""
        query = sa.select(enrolment_events).order_by(enrolment_events.c.id)
        if name is not None:
            query = query.where(enrolment_events.c.partner == name)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [Event(moment(row.at), row.actor, row.partner, row.event, row.note) for row in rows]

    def admit(self, caller: Caller) -> str:
        """Return which partner a caller is that begins a call. Raises as :meth:`identify` does.

        A node that comes with its newest certificate no longer needs those before it: ``SUPERSEDED_AFTER`` later they
        begin no call any more, so that a key which was stolen before a renewal is soon worth nothing.
        """
        name, serial = self.identify(caller), serial_of(caller.certificate)
        now = self._clock().timestamp()
        with self._store.reading() as connection:
            ends = connection.scalar(
                sa.select(certificates.c.revoked_at).where(certificates.c.serial == serial)
            )
            held = recorded(connection, Kind.PARTNER, name)
        if ends is not None and now >= ends:
            raise self._refused(
                "superseded",
                name,
                f"The certificate of {name} was renewed, and the old one was used again.",
                "unless its node was restored from a backup, somebody else has the old key; invite it again",
            )
        if len(held) > 1 and held[0].serial == serial:
            old = [issued.serial for issued in held[1:]]
            with self._store.transaction() as connection:
                connection.execute(
                    certificates.update()
                    .where(certificates.c.serial.in_(old), certificates.c.revoked_at.is_(None))
                    .values(revoked_at=now + SUPERSEDED_AFTER.total_seconds(), revoked_by=_BY_RENEWAL)
                )
        return name

    def identify(self, caller: Caller) -> str:
        """Return which partner a caller is. Raises ``PeerViolation`` (``peer_identity``) that says why it is none.

        The certificate must be in the store, not revoked and not expired, and its one SAN that of an active partner.
        """
        with self._store.reading() as connection:
            row = connection.execute(
                sa.select(certificates).where(
                    certificates.c.kind == Kind.PARTNER.value,
                    certificates.c.serial == serial_of(caller.certificate),
                )
            ).first()
            partner = None if row is None else find(connection, row.partner)
        if row is None or partner is None or load_certificate(row.pem.encode()) != caller.certificate:
            raise self._refused("unknown", None, "A caller's certificate is not in the store.")
        name = partner.name
        # One that was only superseded keeps the calls that it has begun: a job does not end with a renewal.
        revoked = row.revoked_at is not None and row.revoked_by != _BY_RENEWAL
        if revoked or partner.state is PartnerState.REVOKED:
            raise self._refused("revoked", name, f"The certificate of {name} was revoked.")
        if self._clock().timestamp() >= row.not_after:
            raise self._refused("expired", name, f"The certificate of {name} has expired.")
        if partner.state is not PartnerState.ACTIVE or caller.names != {partner.san}:
            raise self._refused(
                "not_active", name, f"The certificate of {name} does not name an active partner."
            )
        return name

    def _refused(self, code: str, partner: str | None, message: str, *hint: str) -> PeerViolation:
        """Note in the log that a caller is not let in, and return what is said of it."""
        actor = STRANGER if partner is None else f"partner:{partner}"
        note_access(self._store, partner, code, actor, self._clock().timestamp())
        return stranger(message, *hint)


# -- inside a transaction


def find(connection: sa.Connection, name: str) -> Partner | None:
    """Return the partner ``name``."""
    row = connection.execute(sa.select(partners).where(partners.c.name == name)).first()
    return None if row is None else _partner(row)


def put(connection: sa.Connection, name: str, san: str, now: float, **values: Any) -> None:
    """Insert the partner ``name``, or change ``values`` of it (``state``, ``identity``, ``address``)."""
    changed = connection.execute(
        partners.update().where(partners.c.name == name).values(san=san, at=now, **values)
    )
    if not changed.rowcount:
        connection.execute(partners.insert().values(name=name, san=san, at=now, **values))


def record(connection: sa.Connection, kind: Kind, partner: str, certificate: x509.Certificate) -> None:
    """Add a certificate. A key is certified once: the database refuses another row with it."""
    key = certificate.public_key()
    if not isinstance(key, PublicKey):
        raise TypeError("certificates of the link hold P-256 keys")
    connection.execute(
        certificates.insert().values(
            kind=kind.value,
            partner=partner,
            serial=serial_of(certificate),
            key_digest=key_digest(key),
            pem=pem_of(certificate).decode("ascii"),
            not_before=certificate.not_valid_before_utc.timestamp(),
            not_after=certificate.not_valid_after_utc.timestamp(),
        )
    )


def recorded(connection: sa.Connection, kind: Kind, partner: str | None = None) -> list[Issued]:
    """Return the certificates that were not revoked, of a partner or of all, the last recorded first."""
    query = sa.select(certificates).where(
        certificates.c.kind == kind.value, certificates.c.revoked_at.is_(None)
    )
    if partner is not None:
        query = query.where(certificates.c.partner == partner)
    return [_issued(row) for row in connection.execute(query.order_by(certificates.c.id.desc()))]


def newest(connection: sa.Connection, kind: Kind, partner: str | None = None) -> Issued | None:
    """Return the first of :func:`recorded`."""
    return next(iter(recorded(connection, kind, partner)), None)


def certified(connection: sa.Connection, digest: str) -> Issued | None:
    """Return the certificate of the key with this digest, revoked or not."""
    row = connection.execute(sa.select(certificates).where(certificates.c.key_digest == digest)).first()
    return None if row is None else _issued(row)


def revoke_all(connection: sa.Connection, partner: str, actor: str, now: float) -> int:
    """Revoke what a partner holds; returns how many certificates that were."""
    return connection.execute(
        certificates.update()
        .where(
            certificates.c.kind == Kind.PARTNER.value,
            certificates.c.partner == partner,
            sa.or_(certificates.c.revoked_at.is_(None), certificates.c.revoked_by == _BY_RENEWAL),
        )
        .values(revoked_at=now, revoked_by=actor)
    ).rowcount


def note(connection: sa.Connection, at: float, actor: str, partner: str, event: str, text: str = "") -> None:
    """Add an entry to the history."""
    connection.execute(
        enrolment_events.insert().values(at=at, actor=actor, partner=partner, event=event, note=text)
    )


def moment(seconds: float) -> datetime.datetime:
    """Return a time of the store, UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _partner(row: Any) -> Partner:
    return Partner(row.name, row.san, PartnerState(row.state), row.identity, row.address, moment(row.at))


def _issued(row: Any) -> Issued:
    revoked = None if row.revoked_at is None else moment(row.revoked_at)
    return Issued(row.partner, row.serial, load_certificate(row.pem.encode()), revoked)
