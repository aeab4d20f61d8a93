"""What a bank hands to a partner so that its node can enrol, and how the node proves it. Sans network and clock.

A token is one line: ``vj1_`` and base64url (RFC 4648, section 5, without padding) of

    version 1 | pin of the authority 32 | secret 16 | length 1, partner | length 2, address | checksum 4

The checksum (the first bytes of a SHA-256) catches typing errors before anything is dialled. The secret itself never
travels: an Ed25519 key is derived from it (HKDF, RFC 5869), the bank keeps the public half, and the node signs its
request with the private one. So neither a reader of the bank's store nor one of the wire can enrol.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from party.address import Address, check_name, parse_address
from party.certificates import PIN_BYTES, PublicKey, key_digest
from psi.errors import PeerViolation, UsageError
from psi.secret import SecretBytes, SigningSeed

SECRET_BYTES: Final = 16
IDENTITY_BYTES: Final = 32
PROOF_BYTES: Final = 64
FINGERPRINT_BYTES: Final = 16
_PREFIX: Final = "vj1_"
_VERSION: Final = 1
_CHECKSUM_BYTES: Final = 4
_HEAD: Final = 1 + PIN_BYTES + SECRET_BYTES
_MAX_TOKEN: Final = 600  # characters; the longest address and name take fewer than 500
_CHECK: Final = b"veiljoin/v1/invitation checksum\x00"
_SECRET: Final = b"veiljoin/v1/invitation secret"
_ENROL: Final = b"veiljoin/v1/enrol\x00"
_FINGERPRINT: Final = b"veiljoin/v1/enrol fingerprint\x00"


class InvitationSecret(SecretBytes):
    """The 128-bit secret of one invitation."""

    __slots__ = ()


def new_secret() -> InvitationSecret:
    """Return a fresh secret."""
    return InvitationSecret(secrets.token_bytes(SECRET_BYTES))


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a token says: where to enrol, under which authority, as whom, and the secret that allows it once."""

    address: Address
    pin: bytes
    partner: str
    secret: InvitationSecret

    def token(self) -> str:
        """Return the one line that a person passes on. It is as secret as what it holds."""
        partner, address = self.partner.encode("ascii"), str(self.address).encode("ascii")
        body = (
            bytes([_VERSION])
            + self.pin
            + self.secret.reveal()
            + len(partner).to_bytes(1, "big")
            + partner
            + len(address).to_bytes(2, "big")
            + address
        )
        return _PREFIX + base64.urlsafe_b64encode(body + _checksum(body)).rstrip(b"=").decode("ascii")


def read_token(text: str) -> Invitation:
    """Return what ``text`` says; line breaks and spaces that pasting brings are ignored.

    Raises ``UsageError`` that never quotes the token.
    """
    joined = re.sub(r"\s+", "", text)
    if not joined.startswith(_PREFIX):
        newer = re.match(r"vj[0-9]+_", joined) is not None
        raise UsageError(
            "The token is of a version that this program does not know." if newer else "This is no token.",
            hint="update this program"
            if newer
            else f"paste the whole line that the bank sent; it begins with {_PREFIX}",
        )
    body = _decoded(joined[len(_PREFIX) :])
    if body is None or len(body) < _HEAD or body[0] != _VERSION:
        raise UsageError(
            "The token is damaged: a character is wrong or missing.",
            hint="paste the whole line again, or ask the bank for a new token",
        )
    partner, rest = _field(body[_HEAD:], 1)
    address, rest = _field(rest, 2)
    if rest:
        raise UsageError("The token holds more than it should.", hint="ask the bank for a new token")
    return Invitation(
        parse_address(address, "The address in the token"),
        body[1 : 1 + PIN_BYTES],
        check_name(partner, "partner"),
        InvitationSecret(body[1 + PIN_BYTES : _HEAD]),
    )


def _decoded(text: str) -> bytes | None:
    """Return the body behind a right checksum, or None."""
    if len(text) > _MAX_TOKEN or re.fullmatch(r"[A-Za-z0-9_-]+", text) is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    # A last character has bits that mean nothing; only one way to write a token is right.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != text:
        return None
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    return body if checksum == _checksum(body) else None


def _field(body: bytes, width: int) -> tuple[str, bytes]:
    length = int.from_bytes(body[:width], "big")
    text, rest = body[width : width + length], body[width + length :]
    return text.decode("ascii", "replace") if len(text) == length else "", rest


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(_CHECK + body).digest()[:_CHECKSUM_BYTES]


def _signing_key(secret: InvitationSecret) -> Ed25519PrivateKey:
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=_SECRET).derive(secret.reveal())
    return Ed25519PrivateKey.from_private_bytes(derived)


def verifier(secret: InvitationSecret) -> bytes:
    """Return what the bank keeps of ``secret``, 32 bytes: enough to check a proof, useless to make one."""
    return _signing_key(secret).public_key().public_bytes_raw()


def _statement(partner: str, csr: bytes, identity: bytes, pin: bytes) -> bytes:
    return _ENROL + hashlib.sha256(csr).digest() + identity + pin + partner.encode("ascii")


def prove(invitation: Invitation, csr: bytes, identity: bytes) -> bytes:
    """Return the proof of the token's secret over the request, the identity and the authority, 64 bytes."""
    return _signing_key(invitation.secret).sign(_statement(invitation.partner, csr, identity, invitation.pin))


def prove_identity(invitation: Invitation, csr: bytes, identity: SigningSeed) -> bytes:
    """Return the identity's own signature over the same, 64 bytes: nobody enrols another's identity key."""
    key = Ed25519PrivateKey.from_private_bytes(identity.reveal())
    public = key.public_key().public_bytes_raw()
    return key.sign(_statement(invitation.partner, csr, public, invitation.pin))


def check_proof(key: bytes, proof: bytes, partner: str, csr: bytes, identity: bytes, pin: bytes) -> None:
    """Check a proof with ``key``, a verifier or an identity. Raises ``PeerViolation`` (``peer_identity``)."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(proof, _statement(partner, csr, identity, pin))
    except (InvalidSignature, ValueError):
        raise PeerViolation(
            "The enrolment request does not prove the token's secret.",
            hint="if it is not an attack, the partner used an old token; invite it again",
            code="peer_identity",
        ) from None


def fingerprint(key: PublicKey, identity: bytes, pin: bytes) -> str:
    """Return what two people compare, 128 bits in hex: the link's key, the identity and the bank's authority.

    The pin enters, so that a partner that was sent to a false bank shows another one, too.
    """
    digest = hashlib.sha256(_FINGERPRINT + bytes.fromhex(key_digest(key)) + identity + pin).digest()
    return digest[:FINGERPRINT_BYTES].hex()


def grouped(hexadecimal: str) -> str:
    """Return a fingerprint in groups of four, as it is read out."""
    return " ".join(hexadecimal[i : i + 4] for i in range(0, len(hexadecimal), 4))


def read_fingerprint(text: str) -> str:
    """Return a fingerprint as typed, in any grouping and case. Raises ``UsageError``."""
    joined = re.sub(r"[\s:.-]+", "", text).lower()
    if re.fullmatch(rf"[0-9a-f]{{{2 * FINGERPRINT_BYTES}}}", joined) is None:
        raise UsageError(
            "This is no fingerprint.",
            hint="type the eight groups of four characters that the partner reads out",
        )
    return joined
