"""The two keys of a log, the log's name, and the identity that vouches for all three (SPEC 4.2).

Neither key is a TLS key or the identity: who holds the log key can sign checkpoints, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.note import COSIGNATURE_V1, ED25519, PUBLIC_KEY_SIZE, verifier_of
from psi.secret import SigningSeed

WITNESS_SUFFIX: Final = "/witness"
# The name of both parties in the logs of a rehearsal; no node takes it.
REHEARSAL: Final = "rehearsal"

_LABEL: Final = b"veiljoin/v1/log-keys\0"
_ORIGIN: Final = re.compile(
    r"veiljoin/(bank|platform)/((?:[A-Za-z0-9._-]|%[0-9A-F]{2}){1,600})/([0-9a-f]{16})"
)
_ROLES: Final = ("bank", "platform")
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_FIELD_PRIME: Final = 2**255 - 19
# The y-coordinates of Ed25519's points of small order (RFC 8032's curve): 0, 1, -1 and those of order 8. With such
# a key anybody can make signatures, so a log that has one could deny every checkpoint it ever signed.
_Y_OF_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER: Final = frozenset(
    (0, 1, _FIELD_PRIME - 1, _Y_OF_ORDER_8, _FIELD_PRIME - _Y_OF_ORDER_8),
)


class KeysError(ValueError):
    """The keys of a log are not what the party's identity vouched for."""


@dataclass(frozen=True, slots=True)
class LogKeys:
    """A log's name ``origin``, its public keys (32 bytes each) and the identity's signature over them (64 bytes)."""

    origin: str
    log_public: bytes
    witness_public: bytes
    proof: bytes

    @property
    def log_verifier(self) -> str:
        """The verifier key of the log's checkpoints. Raises ``NoteError`` for keys that :func:`check` refuses."""
        return str(verifier_of(self.origin, ED25519, self.log_public))

    @property
    def witness_verifier(self) -> str:
        """The verifier key of this party's cosignatures. Raises ``NoteError`` as ``log_verifier`` does."""
        return str(verifier_of(self.origin + WITNESS_SUFFIX, COSIGNATURE_V1, self.witness_public))


def origin_of(role: str, name: str, identity_public: bytes) -> str:
    """Return the name of the log of the party ``name`` with the identity ``identity_public`` (32 bytes).

    ``role`` is bank or platform. Bytes of the name's UTF-8 that a key's name cannot hold, and some more, are
    percent-encoded. Raises ``KeysError`` for another role, and for no name.
    """
    if role not in _ROLES or not name:
        raise KeysError("a log is named by bank or platform and the node's name")
    escaped = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in name.encode())
    return f"veiljoin/{role}/{escaped}/{_fingerprint(identity_public)}"


def role_of(origin: str) -> str:
    """Return ``bank`` or ``platform``, as ``origin`` says. Raises ``KeysError`` for what no log is named."""
    return _parsed(origin)[1]


def certify(identity: SigningSeed, origin: str, log_public: bytes, witness_public: bytes) -> bytes:
    """Return the signature of ``identity`` over the name and the keys of its log (64 bytes).

    Raises ``KeysError`` for what :func:`check` would refuse.
    """
    key = Ed25519PrivateKey.from_private_bytes(identity.reveal())
    proof = key.sign(_statement(origin, log_public, witness_public))
    check(LogKeys(origin, log_public, witness_public, proof), key.public_key().public_bytes_raw())
    return proof


def check(keys: LogKeys, identity_public: bytes) -> None:
    """Check that ``identity_public`` (32 bytes) vouches for ``keys``.

    Raises ``KeysError`` if the name is not of this identity, a key is of small order or used twice, or the
    signature is wrong.
    """
    for public in (identity_public, keys.log_public, keys.witness_public):
        _check_public(public)
    if len({identity_public, keys.log_public, keys.witness_public}) != 3:
        raise KeysError("the identity, the log key and the witness key are three keys, two here are one")
    if _parsed(keys.origin)[3] != _fingerprint(identity_public):
        raise KeysError("a log has the name of another identity")
    statement = _statement(keys.origin, keys.log_public, keys.witness_public)
    try:
        Ed25519PublicKey.from_public_bytes(identity_public).verify(keys.proof, statement)
    except InvalidSignature:
        raise KeysError("the keys of a log are not signed by the party's identity") from None


def _statement(origin: str, log_public: bytes, witness_public: bytes) -> bytes:
    name = origin.encode()
    return _LABEL + len(name).to_bytes(2, "big") + name + log_public + witness_public


def _parsed(origin: str) -> re.Match[str]:
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise KeysError("this is not the name of a log")
    return match


def _fingerprint(identity_public: bytes) -> str:
    return sha256(identity_public).hexdigest()[:16]


def _check_public(public: bytes) -> None:
    if len(public) != PUBLIC_KEY_SIZE:
        raise KeysError("an Ed25519 public key has 32 bytes, this one has not")
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if y >= _FIELD_PRIME or y in _SMALL_ORDER:
        raise KeysError("an Ed25519 public key is of small order or not in its canonical form")
