"""The partners as this side knows them: their access, their word, how far each vouches for the other's log.

At the bank they are invited, confirmed and revoked here; a platform has one partner, its bank.
"""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from console.access import Visitor
from console.place import Place
from console.presence import heard
from party.catalogue import Catalogue, Told
from party.credentials import renewal_time
from party.enrolment import TOKEN_LIFETIME, Enrolments, Pending
from party.partners import Event, Issued, Kind, Partner, PartnerState, certificates, moment
from party.tables import audit_cosigned, audit_logs, audit_partner_logs, audit_witnessed
from party.version import SOFTWARE
from psi.errors import PolicyRefusal, UsageError

if TYPE_CHECKING:
    from client.doctor import Finding

# What two clocks may differ by before certificates begin to look not yet valid; the doctor says so, too.
SKEW_SECONDS: Final = 120.0
# Certificates live a week and are renewed with more than two days left: less means that renewing fails.
SOON: Final = datetime.timedelta(days=2)

EVENTS: Final[Mapping[str, str]] = {
    "invited": "invited",
    "requested": "its node asked for a certificate, from {note}",
    "confirmed": "confirmed; certificate {note}",
    "renewed": "certificate renewed: {note}",
    "refused": "refused",
    "revoked": "access taken away; certificates revoked: {note}",
    "fingerprint differs": "a fingerprint was typed that is not its node's",
    "token used again": "its token was used again with other keys, from {note}",
    "wrong secret": "somebody asked with a wrong token, from {note}",
    "token locked": "its token was locked after wrong tries, the last from {note}",
}
TROUBLES: Final[Mapping[str, str]] = {
    "fork": "It showed two different logs. Its offers are kept as evidence: compare both parties' bundles.",
    "shorter": "It cosigned more of our log than this store has: the store went back without `veiljoin restore`.",
    "withheld": "It did not cosign in time.",
    "unknown_log": "Its node does not know our log yet.",
}
# The checks of the doctor; those of datasets have a name behind the word.
CHECKS: Final[Mapping[str, str]] = {
    "enrolment": "enrolment",
    "certificate": "certificate",
    "name": "name resolution",
    "port": "port",
    "tls": "TLS",
    "access": "access",
    "version": "version",
    "clock": "clock",
    "disk": "disk",
    "processor": "processor",
    "policy": "policy",
    "dataset": "dataset",
}


class Standing(StrEnum):
    """Where a partner's access stands."""

    INVITED = "invited"
    PENDING = "pending"
    ACTIVE = "active"
    SOON = "soon"  # active, but its certificate should have been renewed by now
    ENDED = "ended"  # active, but its certificate has run out
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. ``replaced`` says that its revocation follows from the use of its successor."""

    serial: str
    start: datetime.datetime
    end: datetime.datetime
    revoked: datetime.datetime | None
    by: str | None
    replaced: bool


@dataclass(frozen=True, slots=True)
class PartnerFacts:
    """One partner. ``until`` is when its certificate ends (at a platform, the own one), ``heard`` a sign of life.

    ``waiting`` is a request that a person has to decide on; ``trouble`` a code of why it doesn't cosign our log.
    """

    partner: Partner
    standing: Standing
    until: datetime.datetime | None
    waiting: Pending | None
    heard: datetime.datetime | None
    told: Told | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Cosigned:
    """How far each vouches for the other: entries of the own log and those of them it cosigned, and of its log.

    ``theirs`` is how much of its log we cosigned, last at ``at``; ``forks`` counts offers that were kept as evidence.
    """

    own: int
    own_cosigned: int
    theirs: int
    at: datetime.datetime | None
    forks: int


@dataclass(frozen=True, slots=True)
class Invited:
    """A fresh invitation; ``token`` is shown once and kept nowhere."""

    partner: str
    token: str = field(repr=False)
    until: datetime.datetime


def all_partners(place: Place, name: str | None = None) -> tuple[PartnerFacts, ...]:
    """Return the partners by name, or only the one that is called ``name``."""
    waiting = {each.partner: each for each in _waiting(place)}
    own = place.node.credentials.current()
    troubles = _troubles(place)
    return tuple(
        _facts(place, each, waiting.get(each.name), own, troubles.get(each.name))
        for each in place.node.partners.all()
        if name in (None, each.name)
    )


def one_partner(place: Place, name: str) -> PartnerFacts | None:
    """Return the partner ``name``, ``None`` if there is none."""
    return next(iter(all_partners(place, name)), None)


def own_certificate(place: Place) -> tuple[datetime.datetime, datetime.datetime] | None:
    """Return when the certificate of this node is renewed and when it ends; ``None`` where it has none."""
    current = place.node.credentials.current()
    return None if current is None else (renewal_time(current.certificate), current.expires)


def history(place: Place, name: str) -> list[Event]:
    """Return what was done to a partner's access, the newest first."""
    return place.node.partners.history(name)[::-1]


def certificates_of(place: Place, name: str) -> tuple[CertificateFacts, ...]:
    """Return the certificates of a partner, at a platform those of this node, the newest first."""
    kind = Kind.PARTNER if place.is_bank else Kind.OWN
    query = (
        sa.select(certificates).where(certificates.c.kind == kind.value).order_by(certificates.c.id.desc())
    )
    if place.is_bank:
        query = query.where(certificates.c.partner == name)
    with place.node.home.store.reading() as connection:
        rows = connection.execute(query).all()
    return tuple(
        CertificateFacts(
            row.serial,
            moment(row.not_before),
            moment(row.not_after),
            None if row.revoked_at is None else moment(row.revoked_at),
            row.revoked_by or None,
            row.revoked_at is not None and not row.revoked_by,
        )
        for row in rows
    )


def cosigned(place: Place, name: str) -> Cosigned | None:
    """Return how far this side and the partner ``name`` cosigned each other's log; ``None`` before there is one."""
    logs = audit_partner_logs
    of_partner = sa.select(logs.c.origin).where(logs.c.partner == name)
    seen = audit_witnessed
    with place.node.home.store.reading() as connection:
        own = connection.execute(sa.select(audit_logs).order_by(audit_logs.c.epoch.desc()).limit(1)).first()
        if own is None:
            return None
        given = connection.scalar(
            sa.select(audit_cosigned.c.size).where(
                audit_cosigned.c.epoch == own.epoch, audit_cosigned.c.partner == name
            )
        )
        theirs = connection.scalar(
            sa.select(logs.c.size).where(logs.c.partner == name).order_by(logs.c.id.desc()).limit(1)
        )
        at = connection.scalar(
            sa.select(sa.func.max(seen.c.at)).where(seen.c.origin.in_(of_partner), seen.c.reason.is_(None))
        )
        forks = connection.scalar(
            sa.select(sa.func.count())
            .select_from(seen)
            .where(seen.c.origin.in_(of_partner), seen.c.reason.is_not(None))
        )
    return Cosigned(own.size, given or 0, theirs or 0, None if at is None else moment(at), forks or 0)


# -- what the bank's administrator does


def invite(visitor: Visitor, partner: str) -> Invited:
    """Make the token of ``partner``. Raises ``UsageError`` for a wrong name, ``PolicyRefusal`` at a platform."""
    node = visitor.place.node
    made = _enrolments(visitor.place).invite(partner, str(visitor.actor), node.ports.enrol_address)
    return Invited(partner, made.token(), node.clock() + TOKEN_LIFETIME)


def confirm(visitor: Visitor, partner: str, fingerprint: str, password: str) -> datetime.datetime:
    """Let a node in that waits; returns when its certificate ends. Raises what ``Enrolments.confirm`` does.

    The password first: without it nobody learns whether a fingerprint is right.
    """
    visitor.prove(password)
    return _enrolments(visitor.place).confirm(partner, fingerprint, str(visitor.actor))


def refuse(visitor: Visitor, partner: str) -> None:
    """Refuse a node that waits. Raises ``UsageError`` if none does."""
    _enrolments(visitor.place).refuse(partner, str(visitor.actor))


def revoke(visitor: Visitor, partner: str, password: str) -> int:
    """Take a partner's access away; returns how many certificates were revoked."""
    visitor.prove(password)
    return _enrolments(visitor.place).revoke(partner, str(visitor.actor))


# -- what a platform's administrator does

_examining: Final = threading.Lock()


def examine(place: Place) -> tuple[Finding, ...]:
    """Make the checks of ``veiljoin client doctor``, which dial the bank, and return what they found.

    Raises ``UsageError`` (``wrong_state``) while they are being made for somebody else.
    """
    if place.is_bank:
        raise PolicyRefusal(
            "These checks are for a partner's node.",
            hint="run `veiljoin client doctor` there",
            code="not_allowed",
        )
    # Not above: it brings the network's library along, which nothing else of the console needs.
    from client.doctor import Doctor

    if not _examining.acquire(blocking=False):
        raise UsageError(
            "The connection is being checked already.", hint="try again in a minute", code="wrong_state"
        )
    try:
        found: list[Finding] = []
        asyncio.run(Doctor(place.node, SOFTWARE).examine(found.append))
    finally:
        _examining.release()
    return tuple(found)


def _enrolments(place: Place) -> Enrolments:
    if not place.is_bank:
        raise PolicyRefusal(
            "Partners are invited and confirmed at the bank.",
            hint="ask the bank for a token; `veiljoin client join TOKEN` uses it",
            code="not_allowed",
        )
    return place.node.enrolments()


def _waiting(place: Place) -> list[Pending]:
    return place.node.enrolments().pending() if place.is_bank else []


def _facts(
    place: Place, partner: Partner, waiting: Pending | None, own: Issued | None, trouble: str | None
) -> PartnerFacts:
    held = place.node.partners.certificate(partner.name) if place.is_bank else own
    until = None if held is None else held.expires
    told = Catalogue(place.node.home.store, place.node.clock).told(partner.name)
    standing = Standing(partner.state.value)
    if partner.state is PartnerState.ACTIVE and until is not None:
        left = until - place.node.clock()
        if left <= datetime.timedelta(0):
            standing = Standing.ENDED
        elif left < SOON:
            standing = Standing.SOON
    return PartnerFacts(partner, standing, until, waiting, heard(place.node, partner.name), told, trouble)


def _troubles(place: Place) -> dict[str, str]:
    newest = sa.select(sa.func.max(audit_logs.c.epoch)).scalar_subquery()
    query = sa.select(audit_cosigned.c.partner, audit_cosigned.c.code).where(
        audit_cosigned.c.epoch == newest, audit_cosigned.c.code.is_not(None)
    )
    with place.node.home.store.reading() as connection:
        return {row.partner: row.code for row in connection.execute(query)}
