"""What a standing node proves itself with: its identity, its keys and certificates, the authority it trusts.

Private halves are sealed in the vault under a name that follows from the key, before anything certifies it. The
certificate's row comes last, in one transaction, so that a node that is killed has the old key or the new one, whole.
"""

from __future__ import annotations

import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from party.budget import Clock, local_clock
from party.certificates import (
    CLOCK_SKEW,
    PublicKey,
    TlsKey,
    key_digest,
    new_tls_key,
    pem_of,
    public_key,
    uris,
)
from party.identity import TlsMaterial, new_identity
from party.logged import certificate_facts, note_own
from party.partners import Issued, Kind, certified, newest, record, recorded
from party.store import Store
from party.vault import Vault
from psi.errors import PeerViolation, UsageError
from psi.secret import SigningSeed

_IDENTITY: Final = "identity"
_KEY: Final = "tls/"
_JOINING: Final = "join/"
_LINK: Final = "link"
# A certificate is renewed once this share of its life is over; a failure leaves the rest for trying again.
RENEW_AFTER: Final = 2 / 3


class Credentials:
    """A node's own credentials; ``clock`` gives timezone-aware times."""

    def __init__(self, store: Store, vault: Vault, clock: Clock = local_clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    def ensure_identity(self) -> SigningSeed:
        """Make the Ed25519 identity that signs contracts, unless there is one, and return it."""
        if not self.has_identity():
            self._vault.seal(_IDENTITY, new_identity(), purpose="contracts")
        return self.identity()

    def has_identity(self) -> bool:
        """Return whether the identity was made."""
        return _IDENTITY in self._vault.names()

    def identity(self) -> SigningSeed:
        """Return the identity. Raises ``UsageError`` if this node never made one."""
        return self._vault.open(_IDENTITY, SigningSeed, purpose="contracts")

    def new_key(self) -> TlsKey:
        """Return a fresh key of the link that is already sealed."""
        key = new_tls_key()
        self._keep(_KEY + key_digest(public_key(key)), key)
        return key

    def joining_key(self, invitation: str) -> TlsKey:
        """Return the key for ``invitation``: made at the first call, so that a join that was stopped can go on."""
        name = _JOINING + invitation
        if name not in self._vault.names():
            self._keep(name, new_tls_key())
        key = self._vault.open(name, TlsKey, purpose=_LINK)
        kept = _KEY + key_digest(public_key(key))
        if kept not in self._vault.names():
            self._keep(kept, key)
        return key

    def joined(self, invitation: str) -> None:
        """Forget which key was for ``invitation``; the key itself stays."""
        self._vault.destroy(_JOINING + invitation)

    def sealed(self, digest: str) -> TlsKey:
        """Return the key with this digest. Raises ``UsageError`` if it is not ours."""
        return self._vault.open(_KEY + digest, TlsKey, purpose=_LINK)

    def _keep(self, name: str, key: TlsKey) -> None:
        self._vault.seal(name, key, purpose=_LINK, replace=True)

    def adopt(self, name: str, certificate: x509.Certificate, bank: str, authority: x509.Certificate) -> None:
        """Take a certificate of a key of ours, issued to ``name``, into use, and trust ``bank``'s ``authority``.

        Raises ``PeerViolation`` if another authority signed it, its key is not ours, or it is not valid now.
        """
        check_issued(certificate, authority, self._clock())
        digest = key_digest(_key_of(certificate))
        if _KEY + digest not in self._vault.names():
            raise PeerViolation("The certificate is for a key that is not this node's.")
        with self._store.transaction() as connection:
            if certified(connection, key_digest(_key_of(authority))) is None:
                record(connection, Kind.AUTHORITY, bank, authority)
            before = recorded(connection, Kind.OWN)
            if certified(connection, digest) is None:
                record(connection, Kind.OWN, name, certificate)
                what = "certificate_renewed" if before else "certificate_issued"
                facts = certificate_facts(None, certificate)
                note_own(connection, what, facts, self._clock().timestamp())
                before = recorded(connection, Kind.OWN)
        for each in before:
            if each.expires <= self._clock():
                self._vault.destroy(_KEY + key_digest(_key_of(each.certificate)))

    def current(self) -> Issued | None:
        """Return the certificate in use, expired or not."""
        with self._store.reading() as connection:
            return newest(connection, Kind.OWN)

    def authority(self) -> x509.Certificate:
        """Return the authority that signed the certificate in use. Raises ``UsageError`` if there is none."""
        return self._trusted().certificate

    def bank(self) -> str:
        """Return the name of the bank whose authority that is. Raises ``UsageError`` if there is none."""
        return self._trusted().partner

    def _trusted(self) -> Issued:
        with self._store.reading() as connection:
            current = newest(connection, Kind.OWN)
            trusted = recorded(connection, Kind.AUTHORITY)
        if current is not None:
            for each in trusted:
                if _signed_by(current.certificate, each.certificate):
                    return each
        raise _not_enrolled()

    def material(self) -> TlsMaterial:
        """Return what mutual TLS takes. Raises ``UsageError`` if there is no certificate or it has expired."""
        current = self.current()
        if current is None:
            raise _not_enrolled()
        if self._clock() >= current.expires:
            raise UsageError(
                f"The certificate of this node expired on {current.expires:%Y-%m-%d %H:%M} UTC.",
                hint="ask the bank for a new token and run `veiljoin client join TOKEN` over this home, which keeps "
                "its identity, datasets and jobs; a bank's node renews its own when it starts",
            )
        key = self.sealed(key_digest(_key_of(current.certificate)))
        return TlsMaterial(pem_of(self.authority()), pem_of(current.certificate), key)

    def due(self) -> bool:
        """Return whether the certificate should be renewed by now."""
        current = self.current()
        return current is not None and self._clock() >= renewal_time(current.certificate)


def renewal_time(certificate: x509.Certificate) -> datetime.datetime:
    """Return when a certificate is to be renewed: at two thirds of its life."""
    start = certificate.not_valid_before_utc + CLOCK_SKEW
    return start + (certificate.not_valid_after_utc - start) * RENEW_AFTER


def check_issued(certificate: x509.Certificate, authority: x509.Certificate, now: datetime.datetime) -> None:
    """Check that ``authority`` signed ``certificate`` and that it is valid. Raises ``PeerViolation``."""
    if not _signed_by(certificate, authority):
        raise PeerViolation("The certificate is not signed by the bank's authority.")
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise PeerViolation(
            "The certificate is not valid at this machine's time.",
            hint="set this machine's clock; the two may differ by five minutes",
        )


def check_named(certificate: x509.Certificate, san: str) -> None:
    """Check that a certificate names ``san`` and nobody else. Raises ``PeerViolation``."""
    if uris(certificate) != (san,):
        raise PeerViolation("The certificate names somebody else than it should.")


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _key_of(certificate: x509.Certificate) -> PublicKey:
    key = certificate.public_key()
    if not isinstance(key, PublicKey):
        raise PeerViolation("The certificate is not for a P-256 key.")
    return key


def _not_enrolled() -> UsageError:
    return UsageError(
        "This node has no certificate yet.",
        hint="a bank runs `veiljoin server init`, a partner `veiljoin client join TOKEN`",
    )
