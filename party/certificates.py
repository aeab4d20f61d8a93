"""X.509 for the link (RFC 5280): one builder for rehearsals and for standing nodes, and requests for it (RFC 2986).

Nothing here stores anything or reads a clock. What a request asks for, names above all, is ignored: a certificate
says what the authority knows about who asked.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from psi.errors import PeerViolation
from psi.secret import SecretBytes
from veiljoin.control_messages import MAX_CERTIFICATE_BYTES, MAX_CSR_BYTES

# The name that the bank's certificate carries and every partner checks, whatever address it dials.
BANK_HOST: Final = "bank.veiljoin.internal"
# How far the two clocks may be apart before a fresh certificate is not valid yet.
CLOCK_SKEW: Final = datetime.timedelta(minutes=5)
PIN_BYTES: Final = 32

# The one type of key that certificates are issued for: gRPC's TLS does not offer Ed25519.
PublicKey = ec.EllipticCurvePublicKey


class TlsKey(SecretBytes):
    """A private key of the link, PEM (PKCS#8)."""

    __slots__ = ()


def partner_uri(bank: str, partner: str, node: int = 1) -> str:
    """Return the SAN of a partner's node; the bank maps it to one partner."""
    return f"spiffe://{bank}/partner/{partner}/node/{node}"


def bank_uri(bank: str) -> str:
    """Return the SAN of the bank's node."""
    return f"spiffe://{bank}/server"


def new_tls_key() -> TlsKey:
    """Return a fresh P-256 key."""
    return TlsKey(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _private(key: SecretBytes) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.reveal(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError("a key of the link is a P-256 key")
    return loaded


def public_key(key: SecretBytes) -> PublicKey:
    """Return the public half of ``key``."""
    return _private(key).public_key()


def key_digest(key: PublicKey) -> str:
    """Return the SHA-256 of the SubjectPublicKeyInfo of ``key``, in hex."""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def pin(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate's DER, 32 bytes: what an invitation names the authority by."""
    return certificate.fingerprint(hashes.SHA256())


def serial_of(certificate: x509.Certificate) -> str:
    """Return the serial number in hex, as the store keeps it."""
    return f"{certificate.serial_number:x}"


def uris(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the URIs among a certificate's subject alternative names.

    Raises ``PeerViolation`` if its extensions are damaged.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        # Extensions are parsed only now, all of them.
        raise PeerViolation("The partner's certificate cannot be read.") from None
    return tuple(names.get_values_for_type(x509.UniformResourceIdentifier))


def request(key: SecretBytes) -> bytes:
    """Return a certificate signing request for ``key``, DER. Its subject is empty: the bank decides the names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(_private(key), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def requested_key(csr: bytes) -> PublicKey:
    """Return the public key of a request in DER, whose signature proves that the sender holds the private half.

    Raises ``PeerViolation`` if it is no request, is not signed by its key, or the key is not on P-256.
    """
    if not 0 < len(csr) <= MAX_CSR_BYTES:
        raise PeerViolation("The partner's certificate request has an impossible length.")
    try:
        parsed = x509.load_der_x509_csr(csr)
        key, signed = parsed.public_key(), parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion):
        raise PeerViolation("The partner's certificate request cannot be read.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PeerViolation(
            "The partner's certificate request is not for a P-256 key.",
            hint="both sides need the same version of Veiljoin",
        )
    if not signed:
        raise PeerViolation("The partner's certificate request is not signed by its own key.")
    return key


def load_certificate(pem: bytes) -> x509.Certificate:
    """Return the certificate in ``pem``. Raises ``PeerViolation`` if there is not exactly one sound one."""
    if not 0 < len(pem) <= MAX_CERTIFICATE_BYTES:
        raise PeerViolation("The partner's certificate has an impossible length.")
    try:
        found = x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion):
        found = []
    if len(found) != 1:
        raise PeerViolation("The partner sent something else than one certificate.")
    if found[0].serial_number <= 0:
        # RFC 5280, section 4.1.2.2. Certificates are told apart by it.
        raise PeerViolation("The partner's certificate has an impossible serial number.")
    return found[0]


def pem_of(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs certificates as one authority. ``bank`` is the trust domain of the SANs, ``key`` is redacted."""

    bank: str
    certificate: x509.Certificate
    key: TlsKey

    @classmethod
    def create(cls, bank: str, lifetime: datetime.timedelta, now: datetime.datetime) -> Issuer:
        """Make an authority: a P-256 key and a certificate of its own that can sign no further authority."""
        key = new_tls_key()
        private = _private(key)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{bank} veiljoin authority")])
        public = private.public_key()
        builder = (
            _builder(name, name, public, now, now + lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        return cls(bank, builder.sign(private, hashes.SHA256()), key)

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return pem_of(self.certificate)

    def issue_bank(
        self, key: PublicKey, lifetime: datetime.timedelta, now: datetime.datetime
    ) -> x509.Certificate:
        """Issue the listening side's certificate for ``key``."""
        names: list[x509.GeneralName] = [
            x509.DNSName(BANK_HOST),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.UniformResourceIdentifier(bank_uri(self.bank)),
        ]
        return self._issue("bank", key, names, ExtendedKeyUsageOID.SERVER_AUTH, lifetime, now)

    def issue_partner(
        self, partner: str, key: PublicKey, lifetime: datetime.timedelta, now: datetime.datetime
    ) -> x509.Certificate:
        """Issue the certificate of a partner's node for ``key``."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(partner_uri(self.bank, partner))]
        return self._issue(partner, key, names, ExtendedKeyUsageOID.CLIENT_AUTH, lifetime, now)

    def _issue(
        self,
        name: str,
        key: PublicKey,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        lifetime: datetime.timedelta,
        now: datetime.datetime,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        # A certificate that outlives its authority would be shown as valid and be refused.
        until = min(now + lifetime, self.certificate.not_valid_after_utc)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(_private(self.key).public_key())
        return (
            _builder(subject, self.certificate.subject, key, now, until)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(authority, critical=False)
            .sign(_private(self.key), hashes.SHA256())
        )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PublicKey,
    now: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, until) - CLOCK_SKEW)
        .not_valid_after(until)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
