"""The bank's certificate authority that persists: its key sealed in the vault, everything it issued in the store.

Certificates live days, so that what is forgotten ends by itself; whoever is not renewed must be invited again.
"""

from __future__ import annotations

import datetime
from typing import Final

import sqlalchemy as sa
from cryptography import x509

from party.budget import Clock, local_clock
from party.certificates import Issuer, PublicKey, TlsKey, key_digest, pin, public_key, requested_key
from party.credentials import Credentials
from party.logged import certificate_facts, note_own
from party.partners import Kind, certified, newest, record
from party.store import Store
from party.vault import Vault
from psi.errors import PeerViolation, UsageError

LIFETIME: Final = datetime.timedelta(days=7)
# Partners pin the authority; another one means that all of them join again.
AUTHORITY_LIFETIME: Final = datetime.timedelta(days=3_650)
_KEY: Final = "authority/key"
_PURPOSE: Final = "certificates"


class StandingAuthority:
    """The authority of the bank ``bank``; made by :meth:`create`, once per home, and by :meth:`load` after that.

    ``lifetime`` is that of the certificates it issues.
    """

    def __init__(
        self, store: Store, issuer: Issuer, clock: Clock, lifetime: datetime.timedelta = LIFETIME
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._clock = clock
        self.lifetime = lifetime

    @classmethod
    def create(
        cls,
        store: Store,
        vault: Vault,
        bank: str,
        clock: Clock = local_clock,
        lifetime: datetime.timedelta = LIFETIME,
    ) -> StandingAuthority:
        """Make the authority. Raises ``UsageError`` if the store has one."""
        issuer = Issuer.create(bank, AUTHORITY_LIFETIME, clock())
        with store.reading() as connection:
            taken = newest(connection, Kind.AUTHORITY) is not None
        if taken:
            raise UsageError(
                "This home has a certificate authority already.",
                hint="a new one would shut out every partner; use another home for another bank",
            )
        # The key goes first: an authority's row without its key would be one that can't be mended.
        vault.seal(_KEY, issuer.key, purpose=_PURPOSE, replace=True)
        with store.transaction() as connection:
            record(connection, Kind.AUTHORITY, bank, issuer.certificate)
            facts = certificate_facts(None, issuer.certificate)
            note_own(connection, "certificate_issued", facts, clock().timestamp())
        return cls(store, issuer, clock, lifetime)

    @classmethod
    def load(
        cls,
        store: Store,
        vault: Vault,
        clock: Clock = local_clock,
        lifetime: datetime.timedelta = LIFETIME,
    ) -> StandingAuthority:
        """Open the authority of the store. Raises ``UsageError`` if there is none or its key does not fit."""
        with store.reading() as connection:
            found = newest(connection, Kind.AUTHORITY)
        if found is None:
            raise UsageError(
                "This home has no certificate authority.", hint="make one with `veiljoin server init`"
            )
        key = vault.open(_KEY, TlsKey, purpose=_PURPOSE)
        if found.certificate.public_key() != public_key(key):
            raise UsageError(
                "The key of this home's certificate authority does not belong to its certificate.",
                hint="restore node.key and the store from the same backup",
                code="bad_format",
            )
        return cls(store, Issuer(found.partner, found.certificate, key), clock, lifetime)

    @classmethod
    def ensure(cls, store: Store, vault: Vault, bank: str, clock: Clock = local_clock) -> StandingAuthority:
        """Open the authority of ``bank``, or make it. Raises ``UsageError`` if the store has another bank's."""
        with store.reading() as connection:
            found = newest(connection, Kind.AUTHORITY)
        if found is None:
            return cls.create(store, vault, bank, clock)
        if found.partner != bank:
            raise UsageError(
                f"This home has the certificate authority of {found.partner!r} already.",
                hint="use that name, or another home for another bank",
            )
        return cls.load(store, vault, clock)

    @property
    def bank(self) -> str:
        """The bank's name, the trust domain of every SAN."""
        return self._issuer.bank

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own certificate."""
        return self._issuer.certificate

    @property
    def pin(self) -> bytes:
        """Its SHA-256, 32 bytes, as invitations name it."""
        return pin(self._issuer.certificate)

    def issue_partner(self, connection: sa.Connection, partner: str, csr: bytes) -> x509.Certificate:
        """Issue a certificate for the key of a request and record it, within a transaction.

        What the request asks for is ignored. Raises ``PeerViolation`` if its key was certified before, for anybody.
        """
        key = requested_key(csr)
        if certified(connection, key_digest(key)) is not None:
            raise PeerViolation(
                "The partner asked for a certificate for a key that had one before.",
                hint="the partner's node makes a new key for each certificate; update it",
            )
        issued = self._issuer.issue_partner(partner, key, self.lifetime, self._clock())
        record(connection, Kind.PARTNER, partner, issued)
        return issued

    def renew_own(self, credentials: Credentials) -> bool:
        """Issue the bank's own certificate, for a new key, if there is none or it is due; returns whether it did."""
        if credentials.current() is not None and not credentials.due():
            return False
        key: PublicKey = public_key(credentials.new_key())
        issued = self._issuer.issue_bank(key, self.lifetime, self._clock())
        credentials.adopt(self.bank, issued, self.bank, self.certificate)
        return True
