"""How a partner comes to its certificate: invited by one person, confirmed by another, renewed by itself, revoked.

The bank's side, without network. Each step is one transaction, with its line in the history and its entry in the
log. A node that does not
prove its token's secret learns nothing but that; one that does is told how it stands.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from audit.entry import Draft
from party.address import Address, check_name, check_person, same_person
from party.auditlog import note as note_entry
from party.authority import StandingAuthority
from party.budget import Clock, local_clock
from party.certificates import key_digest, partner_uri, pem_of, requested_key
from party.invitation import (
    Invitation,
    check_proof,
    fingerprint,
    new_secret,
    read_fingerprint,
    verifier,
)
from party.logged import certificate_facts
from party.partners import (
    Kind,
    PartnerState,
    certified,
    find,
    invitations,
    moment,
    newest,
    note,
    put,
    revoke_all,
)
from party.refusals import STRANGER, attempt, once_a_minute
from party.store import Store
from psi.errors import PeerViolation, PolicyRefusal, UsageError
from veiljoin.control_messages import EnrolReply, EnrolRequest, EnrolState

# How long a token can be used, and how long a request that used it waits for a person.
TOKEN_LIFETIME: Final = datetime.timedelta(minutes=15)
CONFIRM_WITHIN: Final = datetime.timedelta(hours=24)
# Requests that don't prove the secret, before a token is worth nothing. Guessing is hopeless; this makes it seen.
MAX_FAILURES: Final = 10
# How many of a partner's tokens are remembered to an asker: an old one is told that it was replaced.
_REMEMBERED: Final = 8
# A node that asks for a new certificate again and again is not to fill the store.
_RENEWALS_PER_LIFE: Final = 10

_OPEN, _REQUESTED, _CONFIRMED = "open", "requested", "confirmed"


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for a person. ``source`` is the network address it came from, as the listener saw it."""

    partner: str
    fingerprint: str
    software: str
    source: str
    invited_by: str
    requested: datetime.datetime


class Enrolments:
    """The bank's enrolments under ``authority``; ``clock`` gives timezone-aware times.

    ``identity`` is the bank's Ed25519 public key, ``address`` where its node listens: both go with a certificate.
    """

    def __init__(
        self,
        store: Store,
        authority: StandingAuthority,
        identity: bytes,
        address: Address,
        clock: Clock = local_clock,
    ) -> None:
        self._store = store
        self._authority = authority
        self._identity = identity
        self._address = address
        self._clock = clock

    # -- people at the bank

    def invite(self, partner: str, actor: str, enrol_at: Address) -> Invitation:
        """Make the token of ``partner``, to be used at ``enrol_at``; an unused one is void from now on."""
        check_name(partner, "partner")
        actor, now = check_person(actor), self._now()
        invitation = Invitation(enrol_at, self._authority.pin, partner, new_secret())
        with self._store.transaction() as connection:
            known = find(connection, partner)
            active = known is not None and known.state is PartnerState.ACTIVE
            _close(connection, partner, "replaced", actor, now)
            connection.execute(
                invitations.insert().values(
                    partner=partner,
                    verifier=verifier(invitation.secret),
                    state=_OPEN,
                    invited_by=actor,
                    invited_at=now,
                    expires_at=now + TOKEN_LIFETIME.total_seconds(),
                    failures=0,
                )
            )
            # Who is active stays so: its old certificate is good until the new request is confirmed.
            state = PartnerState.ACTIVE if active else PartnerState.INVITED
            put(connection, partner, self._san(partner), now, state=state.value)
            note(connection, now, actor, partner, "invited")
            _log(connection, "partner_invited", actor, partner, None, now)
        return invitation

    def pending(self) -> list[Pending]:
        """Return the requests that wait for a person, oldest first."""
        query = sa.select(invitations).where(invitations.c.state == _REQUESTED).order_by(invitations.c.id)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [_pending(row) for row in rows if not self._overdue(row)]

    def confirm(self, partner: str, typed: str, actor: str) -> datetime.datetime:
        """Issue the certificate that ``partner`` waits for; returns when it ends.

        ``typed`` is the fingerprint that the partner reads out. The person must be another than who invited. Raises
        ``UsageError`` if nothing waits, ``PolicyRefusal`` for the same person, and ``PeerViolation``
        (``peer_identity``) if the fingerprint is another's.
        """
        actor, now = check_person(actor), self._now()
        given = read_fingerprint(typed)
        with attempt(self._store, self._clock, actor, "confirm") as connection:
            row = self._waiting(connection, partner)
            if same_person(actor, row.invited_by):
                raise PolicyRefusal(
                    f"{actor} invited {partner} and cannot also confirm it.",
                    hint="a second person confirms, after comparing the fingerprint",
                    code="not_allowed",
                )
            matches = given == row.fingerprint
            if not matches:
                note(connection, now, actor, partner, "fingerprint differs")
                _log_refused(connection, partner, "fingerprint_differs", actor, now)
            else:
                # Whoever held the partner's earlier keys has no access any more.
                revoke_all(connection, partner, actor, now)
                issued = self._authority.issue_partner(connection, partner, row.csr)
                until = issued.not_valid_after_utc
                serial = f"{issued.serial_number:x}"
                _decide(connection, row.id, _CONFIRMED, actor, now, serial=serial)
                put(
                    connection,
                    partner,
                    self._san(partner),
                    now,
                    state=PartnerState.ACTIVE.value,
                    identity=row.identity,
                )
                note(connection, now, actor, partner, "confirmed", serial)
                _log(connection, "partner_confirmed", actor, partner, row.identity, now)
                facts = certificate_facts(partner, issued)
                note_entry(connection, Draft("certificate_issued", actor, None, facts), now)
        if not matches:
            raise PeerViolation(
                f"The fingerprint is not that of the request that waits for {partner}.",
                hint="read it again with the partner; if it still differs, somebody else used the token: "
                f"`veiljoin server revoke {partner}`, then invite again",
                code="peer_identity",
            )
        return until

    def refuse(self, partner: str, actor: str) -> None:
        """Refuse the request that waits. Raises ``UsageError`` if none does."""
        actor, now = check_person(actor), self._now()
        with self._store.transaction() as connection:
            row = self._waiting(connection, partner)
            _decide(connection, row.id, "refused", actor, now)
            known = find(connection, partner)
            if known is not None and known.state is not PartnerState.ACTIVE:
                put(connection, partner, known.san, now, state=PartnerState.REVOKED.value)
            note(connection, now, actor, partner, "refused")
            _log(connection, "partner_refused", actor, partner, row.identity, now)

    def revoke(self, partner: str, actor: str) -> int:
        """Take a partner's access away, its open token too; returns how many certificates were revoked.

        A node that is on the line is cut within seconds. Raises ``UsageError`` if there is no such partner.
        """
        actor, now = check_person(actor), self._now()
        with self._store.transaction() as connection:
            known = find(connection, partner)
            if known is None:
                raise UsageError(
                    f"There is no partner {partner!r}.", hint="`veiljoin server partners` lists them"
                )
            count = revoke_all(connection, partner, actor, now)
            _close(connection, partner, "revoked", actor, now)
            put(connection, partner, known.san, now, state=PartnerState.REVOKED.value)
            note(connection, now, actor, partner, "revoked", str(count))
            _log(connection, "partner_revoked", actor, partner, known.identity, now)
        return count

    # -- what a node asks

    def request(self, asked: EnrolRequest, source: str) -> EnrolReply:
        """Answer a node that asks for its certificate; ``source`` is its network address.

        The same keys may ask again and again; other keys find the token used. Raises ``PeerViolation`` if the request
        itself is not sound.
        """
        key = requested_key(asked.csr)
        shown = fingerprint(key, asked.identity, self._authority.pin)
        self._check(asked.identity, asked.identity_proof, asked)
        now = self._now()
        with self._store.reading() as connection:
            # Strangers and nodes that wait ask often, and are not to keep others from the store's lock.
            row = self._proven(connection, asked)
            if row is None and not self._open(connection, asked.partner, now):
                return _refused("unproven")
            if row is not None and row.state != _OPEN and row.fingerprint == shown:
                return self._standing(connection, row)
        with self._store.transaction() as connection:
            row = self._proven(connection, asked)
            if row is None:
                self._count_failure(connection, asked.partner, source, now)
                return _refused("unproven")
            if row.state == _OPEN and now >= row.expires_at:
                return _refused("expired")
            if row.state == _OPEN:
                if certified(connection, key_digest(key)) is not None:
                    raise PeerViolation("The partner asked for a certificate for a key that had one before.")
                self._take(connection, row, asked, shown, source, now)
                return EnrolReply(EnrolState.PENDING)
            if row.fingerprint not in (None, shown):
                note(connection, now, "node", asked.partner, "token used again", source)
                _log_refused(connection, asked.partner, "token_used", f"partner:{asked.partner}", now)
                return _refused("used")
            return self._standing(connection, row)

    def renew(self, partner: str, presented: str, csr: bytes) -> bytes:
        """Return a certificate (PEM) for a new key of ``partner``, whose present one has the serial ``presented``.

        The same request again gets the same certificate, as its answer may have been lost. Raises ``PeerViolation``
        if the partner may not call any more, the key is not new, or it asks too often.
        """
        digest, now = key_digest(requested_key(csr)), self._now()
        with self._store.transaction() as connection:
            known = find(connection, partner)
            held = newest(connection, Kind.PARTNER, partner)
            if known is None or known.state is not PartnerState.ACTIVE or held is None:
                raise PeerViolation(
                    f"{partner} asked for a new certificate and is no active partner.", code="peer_identity"
                )
            before = certified(connection, digest)
            if before is not None and before.revoked is None and before.partner == partner:
                if before.serial == presented:
                    raise PeerViolation(f"{partner} asked for a new certificate for its old key.")
                return pem_of(before.certificate)
            if held.serial != presented:
                raise PeerViolation(
                    f"{partner} asked for a new certificate with one that was renewed before.",
                    hint="unless its node was restored from a backup, somebody else has the old key; invite it again",
                    code="peer_identity",
                )
            pause = self._authority.lifetime / _RENEWALS_PER_LIFE
            if now < (held.certificate.not_valid_after_utc - self._authority.lifetime + pause).timestamp():
                raise PeerViolation(f"{partner} asks for new certificates too often.")
            issued = self._authority.issue_partner(connection, partner, csr)
            note(connection, now, "node", partner, "renewed", f"{issued.serial_number:x}")
            facts = certificate_facts(partner, issued)
            note_entry(connection, Draft("certificate_renewed", f"partner:{partner}", None, facts), now)
        return pem_of(issued)

    # -- parts

    def _now(self) -> float:
        return self._clock().timestamp()

    def _san(self, partner: str) -> str:
        return partner_uri(self._authority.bank, partner)

    def _overdue(self, row: Any) -> bool:
        return bool(self._now() >= row.requested_at + CONFIRM_WITHIN.total_seconds())

    def _check(self, key: bytes, proof: bytes, asked: EnrolRequest) -> None:
        check_proof(key, proof, asked.partner, asked.csr, asked.identity, self._authority.pin)

    def _proven(self, connection: sa.Connection, asked: EnrolRequest) -> Any:
        """Return the partner's invitation whose secret ``asked`` proves, or None."""
        query = (
            sa.select(invitations)
            .where(invitations.c.partner == asked.partner)
            .order_by(invitations.c.id.desc())
            .limit(_REMEMBERED)
        )
        for row in connection.execute(query):
            try:
                self._check(row.verifier, asked.proof, asked)
            except PeerViolation:
                continue  # another of the partner's tokens may be the one
            return row
        return None

    def _open(self, connection: sa.Connection, partner: str, now: float) -> Any:
        """Return the token of a partner that could still be used, or None."""
        query = sa.select(invitations).where(
            invitations.c.partner == partner, invitations.c.state == _OPEN, invitations.c.expires_at > now
        )
        return connection.execute(query).first()

    def _count_failure(self, connection: sa.Connection, partner: str, source: str, now: float) -> None:
        row = self._open(connection, partner, now)
        if row is None:
            return  # nothing is open, so nothing is kept: a stranger doesn't fill the store
        failures = row.failures + 1
        state = "locked" if failures >= MAX_FAILURES else _OPEN
        connection.execute(
            invitations.update().where(invitations.c.id == row.id).values(failures=failures, state=state)
        )
        note(
            connection,
            now,
            "stranger",
            partner,
            "wrong secret" if state == _OPEN else "token locked",
            source,
        )
        # Who it was is not known: anybody can write a partner's name.
        code = "wrong_secret" if state == _OPEN else "token_locked"
        _log_refused(connection, partner, code, STRANGER, now)

    def _take(
        self, connection: sa.Connection, row: Any, asked: EnrolRequest, shown: str, source: str, now: float
    ) -> None:
        connection.execute(
            invitations.update()
            .where(invitations.c.id == row.id)
            .values(
                state=_REQUESTED,
                csr=asked.csr,
                identity=asked.identity,
                software=asked.software,
                source=source,
                requested_at=now,
                fingerprint=shown,
            )
        )
        known = find(connection, asked.partner)
        if known is not None and known.state is not PartnerState.ACTIVE:
            put(connection, asked.partner, known.san, now, state=PartnerState.PENDING.value)
        note(connection, now, "node", asked.partner, "requested", source)
        _log(connection, "partner_asked", f"partner:{asked.partner}", asked.partner, asked.identity, now)

    def _standing(self, connection: sa.Connection, row: Any) -> EnrolReply:
        """Say how a token stands that was used, locked or voided, to the node whose it is."""
        if row.state == _REQUESTED:
            return _refused("expired") if self._overdue(row) else EnrolReply(EnrolState.PENDING)
        if row.state != _CONFIRMED:
            return _refused(row.state)
        held = certified(connection, key_digest(requested_key(row.csr)))
        if held is None or held.revoked is not None:
            return _refused("revoked")
        return EnrolReply(
            EnrolState.ISSUED,
            bank=self._authority.bank,
            identity=self._identity,
            certificate=pem_of(held.certificate),
            address=str(self._address),
        )

    def _waiting(self, connection: sa.Connection, partner: str) -> Any:
        query = (
            sa.select(invitations)
            .where(invitations.c.partner == partner)
            .order_by(invitations.c.id.desc())
            .limit(1)
        )
        row = connection.execute(query).first()
        if row is None or row.state != _REQUESTED:
            raise UsageError(
                f"No request of {partner!r} waits for a person.",
                hint=_WHY_NONE.get("none" if row is None else row.state, ""),
            )
        if self._overdue(row):
            raise UsageError(
                f"The request of {partner!r} waited for more than {CONFIRM_WITHIN.days * 24} hours.",
                hint=f"invite it again: `veiljoin server invite {partner}`",
            )
        return row


_WHY_NONE: Final[Mapping[str, str]] = {
    "none": "invite it first: `veiljoin server invite PARTNER`",
    _OPEN: "the partner has not used its token yet; ask it to run `veiljoin client join TOKEN`",
    _CONFIRMED: "it was confirmed already",
    "refused": "it was refused; invite it again",
    "locked": "its token was locked after wrong secrets; invite it again",
    "revoked": "its access was taken away; invite it again",
}


def _log(
    connection: sa.Connection, what: str, actor: str, partner: str, identity: bytes | None, now: float
) -> None:
    """Note in the party's log what became of ``partner``."""
    facts = {"partner": partner, "identity": None if identity is None else identity.hex()}
    note_entry(connection, Draft(what, actor, None, facts), now)


def _log_refused(connection: sa.Connection, partner: str, code: str, actor: str, now: float) -> None:
    draft = Draft("access_refused", actor, None, {"partner": partner, "code": code})
    note_entry(connection, once_a_minute(draft, now), now)


def _pending(row: Any) -> Pending:
    return Pending(
        row.partner, row.fingerprint, row.software, row.source, row.invited_by, moment(row.requested_at)
    )


def _refused(code: str) -> EnrolReply:
    return EnrolReply(EnrolState.REFUSED, code)


def _decide(
    connection: sa.Connection, invitation: int, state: str, actor: str, now: float, **values: Any
) -> None:
    connection.execute(
        invitations.update()
        .where(invitations.c.id == invitation)
        .values(state=state, decided_by=actor, decided_at=now, **values)
    )


def _close(connection: sa.Connection, partner: str, state: str, actor: str, now: float) -> None:
    """Void the tokens and the waiting requests of a partner."""
    connection.execute(
        invitations.update()
        .where(invitations.c.partner == partner, invitations.c.state.in_((_OPEN, _REQUESTED, "locked")))
        .values(state=state, decided_by=actor, decided_at=now)
    )
