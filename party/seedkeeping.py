"""A job's seed sealed to its party's auditor: the auditor's key pair, its file, and the sealing itself.

HPKE in base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. The ``info`` binds a sealed
seed to the side, the job and the contract's hash, so that it opens for nothing else. Only the auditor's public key
is on the node; the private one opens the seeds of every job that was sealed to it, and belongs elsewhere.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from party.spool import disk_error
from psi.errors import UsageError
from psi.secret import SecretBytes, Seed

KEY_BYTES: Final = 32
# Encapsulated key, seed, tag of the AEAD.
SEALED_BYTES: Final = 32 + 32 + 16
_INFO: Final = b"veiljoin/v1/kept-seed\x00"
_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
# More than any PEM file of one key.
_LONGEST_FILE: Final = 4096


class AuditorKey(SecretBytes):
    """The private half of an auditor's X25519 key pair, 32 bytes."""

    __slots__ = ()

    @property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        return X25519PrivateKey.from_private_bytes(self.reveal()).public_key().public_bytes_raw()


def new_auditor_key() -> AuditorKey:
    """Return a fresh key from the operating system's generator."""
    return AuditorKey(X25519PrivateKey.generate().private_bytes_raw())


def public_key(text: str) -> bytes | None:
    """Return the public key that ``text`` is (64 hex digits), ``None`` for anything that nothing can be sealed to."""
    try:
        key = bytes.fromhex(text)
        # A point of small order gives everybody the same secret; the library refuses that one (RFC 7748, 6.1).
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        return None
    return key if text == key.hex() else None


def write_auditor_key(path: Path, key: AuditorKey) -> None:
    """Write the private key to a new file that its owner alone may read: PEM, PKCS #8 (RFC 8410).

    Raises ``UsageError`` if the file is there already or can't be written.
    """
    private = X25519PrivateKey.from_private_bytes(key.reveal())
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already.",
            hint="name a new file: the key in this one may be the only one that opens seeds which were sealed to it",
        ) from None
    except OSError as error:
        raise disk_error(error, path) from None
    try:
        with open(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
    except OSError as error:
        raise disk_error(error, path) from None


def read_auditor_key(path: Path) -> AuditorKey:
    """Read what :func:`write_auditor_key` wrote. Raises ``UsageError`` that names the file."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LONGEST_FILE)
    except FileNotFoundError:
        raise UsageError(
            f"The auditor's key file {path} is not there.", hint="check the path", code="missing_file"
        ) from None
    except OSError as error:
        raise UsageError(
            f"The auditor's key file {path} cannot be read: {error.strerror}.",
            hint="its owner alone may read it",
            code="unreadable_file",
        ) from None
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise UsageError(
            f"{path} is not an auditor's private key.",
            hint="it is the file that veiljoin audit new-key wrote",
            code="bad_format",
        )
    return AuditorKey(key.private_bytes_raw())


def seal(seed: Seed, auditor: bytes, *, job: str, side: str, contract: bytes) -> bytes:
    """Return ``seed`` sealed to the public key ``auditor``; ``contract`` is the contract's hash (32 bytes)."""
    return _SUITE.encrypt(
        seed.reveal(), X25519PublicKey.from_public_bytes(auditor), _info(job, side, contract)
    )


def unseal(sealed: bytes, key: AuditorKey, *, job: str, side: str, contract: bytes) -> Seed:
    """Open what :func:`seal` returned. Raises ``UsageError`` if it was sealed to another key or for another job."""
    private = X25519PrivateKey.from_private_bytes(key.reveal())
    try:
        return Seed(_SUITE.decrypt(sealed, private, _info(job, side, contract)))
    except (InvalidTag, ValueError):
        raise UsageError(
            f"The kept seed of job {job} does not open with this key.",
            hint="it opens with the private key whose public one stood in the policy when the job ran, if nobody "
            "changed the file",
            code="bad_format",
        ) from None


def _info(job: str, side: str, contract: bytes) -> bytes:
    parts = (side.encode(), job.encode(), contract)
    return _INFO + b"".join(struct.pack(">H", len(part)) + part for part in parts)
