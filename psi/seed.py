"""One seed per job and side; everything random of that side derives from it (SPEC 3).

The seed is committed to before the first data message, so that a resumed job replays identical bytes and an
auditor whom the owner lets in can recompute everything the owner sent.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from psi.hash_to_curve import derive_scalar
from psi.secret import Scalar, SecretBytes, Seed
from psi.suites import Suite

_AES_BLOCK = 16
_RANK_BYTES = 8

# SPEC 3: labels. Each use has its own, so that no two uses ever share a key.
LABEL_SEED_SALT = "veiljoin/v1/seed-salt"
LABEL_INPUT_SALT = "veiljoin/v1/input-salt"
LABEL_SCALAR = "veiljoin/v1/psi/scalar"
LABEL_ORDER = "veiljoin/v1/psi/order"
LABEL_SHUFFLE = "veiljoin/v1/psi/token-shuffle"
LABEL_HOLDOUT = "veiljoin/v1/psi/holdout"
_COMMIT_SEED = b"veiljoin/v1/commit-seed\x00"
_COMMIT_INPUT = b"veiljoin/v1/commit-input\x00"


def new_seed() -> Seed:
    """Return a fresh seed from the operating system's generator."""
    return Seed(secrets.token_bytes(32))


class JobRandomness:
    """The derivations of one side's seed for the contract with hash ``contract`` (32 bytes)."""

    __slots__ = ("_contract", "_seed")

    def __init__(self, seed: Seed, contract: bytes) -> None:
        self._seed = seed
        self._contract = contract

    def derive(self, label: str, length: int) -> bytes:
        """Return ``length`` bytes of HKDF-SHA256 (RFC 5869): salt = contract hash, info = label."""
        kdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=self._contract, info=label.encode())
        return kdf.derive(self._seed.reveal())

    def scalar(self, suite: Suite) -> Scalar:
        """Return this side's masking scalar for ``suite``."""
        return derive_scalar(suite, self.derive(LABEL_SCALAR, 64))

    def key(self, label: str) -> SecretBytes:
        """Return a 32-byte key for one labelled use."""
        return SecretBytes(self.derive(label, 32))

    def ranks(self, label: str, start: int, count: int) -> npt.NDArray[np.uint64]:
        """Return the secret sort ranks of positions ``start`` to ``start + count - 1``, shape (count,).

        Rank i is the i-th 8-byte little-endian word of the AES-256-CTR key stream under ``label``, counter
        from 0, so any range can be computed alone. Sorting by rank (ties by position) gives the permutation;
        two of n ranks are equal with probability below n^2 / 2^65, 3e-8 for a million.
        """
        first = start * _RANK_BYTES // _AES_BLOCK
        skip = start * _RANK_BYTES - first * _AES_BLOCK
        counter = first.to_bytes(_AES_BLOCK, "big")
        cipher = Cipher(algorithms.AES256(self.derive(label, 32)), modes.CTR(counter)).encryptor()
        stream = cipher.update(bytes(skip + count * _RANK_BYTES))
        return np.frombuffer(stream, dtype="<u8", offset=skip).astype(np.uint64, copy=False)

    def seed_commitment(self) -> bytes:
        """Return the salted commitment to the seed (SPEC 3.2)."""
        salt = self.derive(LABEL_SEED_SALT, 32)
        return hashlib.sha256(_COMMIT_SEED + salt + self._seed.reveal()).digest()

    def input_commitment(self, root: bytes) -> bytes:
        """Return the salted commitment to the input's root (SPEC 3.3)."""
        salt = self.derive(LABEL_INPUT_SALT, 32)
        return hashlib.sha256(_COMMIT_INPUT + salt + root).digest()

    def destroy(self) -> None:
        """Drop the seed at the end of the job."""
        self._seed.destroy()
