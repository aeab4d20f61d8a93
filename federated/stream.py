"""Random access into the job's key streams, so that any chunk can be replayed alone (SPEC 2)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from psi.secret import SecretBytes
from psi.seed import JobRandomness

# SPEC 2: labels. Each use has its own, so that no two uses ever share a key.
LABEL_PRIMES: Final = "veiljoin/v1/paillier/primes"
LABEL_ENCRYPT: Final = "veiljoin/v1/paillier/encrypt"
LABEL_RERANDOMISE: Final = "veiljoin/v1/paillier/rerandomise"
LABEL_COVER: Final = "veiljoin/v1/paillier/cover"
LABEL_NOISE: Final = "veiljoin/v1/noise"

_BLOCK: Final = 16
_KEY: Final = 32
# What a modulus of b bits needs beyond b, so that the remainder is uniform up to 2^-192.
EXCESS_BYTES: Final = 24


class StreamKey(SecretBytes):
    """The 32-byte AES key of one labelled stream."""

    __slots__ = ()


class KeyStream:
    """The AES-256-CTR key stream under one key, counter from 0, readable from any byte on."""

    __slots__ = ("_key",)

    def __init__(self, key: StreamKey) -> None:
        if len(key.reveal()) != _KEY:
            raise ValueError(f"a stream key is {_KEY} bytes")
        self._key = key

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes ``offset`` to ``offset + length - 1`` of the stream."""
        first, skip = divmod(offset, _BLOCK)
        cipher = Cipher(algorithms.AES256(self._key.reveal()), modes.CTR(first.to_bytes(_BLOCK, "big")))
        return cipher.encryptor().update(bytes(skip + length))[skip:]

    def reader(self) -> Callable[[int], bytes]:
        """Return a function that gives the next so many bytes each time, from the beginning of the stream on."""
        offset = 0

        def read(length: int) -> bytes:
            nonlocal offset
            offset += length
            return self.read(offset - length, length)

        return read

    def residue(self, index: int, modulus: int, width: int) -> int:
        """Return the ``index``-th record of ``width`` bytes, big-endian, modulo ``modulus``.

        Statistically close to uniform: within ``modulus / 2^(8 * width)``.
        """
        return int.from_bytes(self.read(index * width, width), "big") % modulus

    def bits(self, offset: int, count: int) -> int:
        """Return a uniform integer below ``2^count`` from the bytes at ``offset``."""
        length = -(-count // 8)
        return int.from_bytes(self.read(offset, length), "big") >> (8 * length - count)


def stream_key(randomness: JobRandomness, label: str, nonce: bytes = b"") -> StreamKey:
    """Return the key of the job's stream ``label``; with ``nonce``, HMAC-SHA256 of the nonce under that key.

    The nonce is the partner's, revealed after both sides committed to their seeds: neither side alone then
    chooses the stream (SPEC 2).
    """
    key = randomness.derive(label, _KEY)
    return StreamKey(hmac.digest(key, nonce, "sha256") if nonce else key)
