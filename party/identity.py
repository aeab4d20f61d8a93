"""Identities of the parties: Ed25519 keys that sign contracts, and X.509 certificates for the link.

A contract key is never a TLS key: the first proves who agreed, the second who is on the line.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from psi.errors import PeerViolation
from psi.secret import SecretBytes, SigningSeed

_CONTRACT: Final = b"veiljoin/v1/contract\x00"
# The name that the bank's certificate carries and every partner checks, whatever address it dials.
BANK_HOST: Final = "bank.veiljoin.internal"
_CLOCK_SKEW = datetime.timedelta(minutes=5)


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


def partner_uri(bank: str, partner: str, node: int = 1) -> str:
    """Return the SAN of a partner's node; the bank maps it to one partner."""
    return f"spiffe://{bank}/partner/{partner}/node/{node}"


def bank_uri(bank: str) -> str:
    """Return the SAN of the bank's node."""
    return f"spiffe://{bank}/server"


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What one side brings to mutual TLS, in PEM. The key is redacted in ``repr``."""

    authority: bytes = field(repr=False)
    certificate: bytes = field(repr=False)
    key: SecretBytes


class Authority:
    """A certificate authority whose key lives in memory only; for rehearsals and tests.

    ``bank`` is the trust domain in the SANs it issues.
    """

    def __init__(self, bank: str, lifetime: datetime.timedelta = datetime.timedelta(days=1)) -> None:
        self.bank = bank
        self._lifetime = lifetime
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{bank} veiljoin authority")])
        builder = self._builder(self._name, self._key.public_key(), lifetime).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue_bank(self) -> TlsMaterial:
        """Issue the listening side's certificate."""
        names: list[x509.GeneralName] = [
            x509.DNSName(BANK_HOST),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.UniformResourceIdentifier(bank_uri(self.bank)),
        ]
        return self._issue("bank", names, ExtendedKeyUsageOID.SERVER_AUTH, self._lifetime)

    def issue_partner(self, partner: str, lifetime: datetime.timedelta | None = None) -> TlsMaterial:
        """Issue the certificate of a partner's node."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(partner_uri(self.bank, partner))]
        return self._issue(partner, names, ExtendedKeyUsageOID.CLIENT_AUTH, lifetime or self._lifetime)

    def _issue(
        self,
        name: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        lifetime: datetime.timedelta,
    ) -> TlsMaterial:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(subject, key.public_key(), lifetime)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return TlsMaterial(self.pem, certificate.public_bytes(serialization.Encoding.PEM), SecretBytes(pem))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + lifetime)
        )
