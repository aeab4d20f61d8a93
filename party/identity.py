"""Identities of the parties: Ed25519 keys that sign contracts, and X.509 certificates for the link.

A contract key is never a TLS key: the first proves who agreed, the second who is on the line.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from party.certificates import BANK_HOST as BANK_HOST  # part of this module's interface
from party.certificates import Issuer, new_tls_key, pem_of, public_key
from party.certificates import bank_uri as bank_uri
from party.certificates import partner_uri as partner_uri
from psi.errors import PeerViolation
from psi.secret import SecretBytes, SigningSeed

_CONTRACT: Final = b"veiljoin/v1/contract\x00"


def new_identity() -> SigningSeed:
    """Return a fresh Ed25519 identity."""
    return SigningSeed(Ed25519PrivateKey.generate().private_bytes_raw())


def public_identity(identity: SigningSeed) -> bytes:
    """Return the public half of ``identity``, 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(identity.reveal()).public_key().public_bytes_raw()


def sign_contract(identity: SigningSeed, contract_hash: bytes, side: str) -> bytes:
    """Return the Ed25519 signature (RFC 8032, 64 bytes) over the label, ``side`` and ``contract_hash``."""
    return Ed25519PrivateKey.from_private_bytes(identity.reveal()).sign(_signed(contract_hash, side))


def _signed(contract_hash: bytes, side: str) -> bytes:
    # The side enters, so that a signature sent back to who made it proves nothing.
    return _CONTRACT + side.encode("ascii") + b"\x00" + contract_hash


def verify_contract(public: bytes, contract_hash: bytes, signature: bytes, side: str) -> None:
    """Check a signature over ``contract_hash``. Raises ``PeerViolation`` that names the side."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(contract_hash, side))
    except InvalidSignature:
        raise PeerViolation(
            f"The contract does not carry the {side}'s signature.",
            hint=f"check that the {side} runs the node that was enrolled",
        ) from None


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What one side brings to mutual TLS, in PEM. The key is redacted in ``repr``."""

    authority: bytes = field(repr=False)
    certificate: bytes = field(repr=False)
    key: SecretBytes


class Authority:
    """A certificate authority whose key lives in memory only; for rehearsals and tests.

    ``bank`` is the trust domain in the SANs it issues. That of a standing node is ``party.authority``.
    """

    def __init__(self, bank: str, lifetime: datetime.timedelta = datetime.timedelta(days=1)) -> None:
        self.bank = bank
        self._lifetime = lifetime
        self.issuer = Issuer.create(bank, lifetime, _now())

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.issuer.pem

    def issue_bank(self) -> TlsMaterial:
        """Issue the listening side's certificate."""
        key = new_tls_key()
        issued = self.issuer.issue_bank(public_key(key), self._lifetime, _now())
        return TlsMaterial(self.pem, pem_of(issued), key)

    def issue_partner(self, partner: str, lifetime: datetime.timedelta | None = None) -> TlsMaterial:
        """Issue the certificate of a partner's node."""
        key = new_tls_key()
        issued = self.issuer.issue_partner(partner, public_key(key), lifetime or self._lifetime, _now())
        return TlsMaterial(self.pem, pem_of(issued), key)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
