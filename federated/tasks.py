"""The work that an engine does in slices, here or in a worker process: bytes in, bytes out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from gmpy2 import mpz

from federated import wire
from federated.ciphertexts import check_ciphertexts
from federated.decrypt import Decryptor
from federated.fixed_base import Encryptor
from federated.keys import PaillierPrivateKey, PaillierPublicKey
from federated.powers import Encoded, powers, product_of_encoded
from federated.stream import KeyStream, StreamKey
from psi.errors import PeerViolation

Fields = Sequence[bytes]
_U64: Final = 8


def u64(value: int) -> bytes:
    """Return an index as a field."""
    return value.to_bytes(_U64, "little")


def plaintext_bytes(private: PaillierPrivateKey) -> int:
    """Return the width of a signed plaintext in a field, big-endian: as long as the modulus."""
    return len(private.reveal())


def encrypt(fields: Fields) -> bytes:
    """Private key, stream key, window, first record, plaintexts -> ciphertexts."""
    private, stream, window, start, plaintexts = fields
    size = len(private)
    numbers = [
        int.from_bytes(plaintexts[at : at + size], "big", signed=True)
        for at in range(0, len(plaintexts), size)
    ]
    encryptor = _encryptor(private, window[0])
    return encryptor.encrypt(numbers, KeyStream(StreamKey(stream)), int.from_bytes(start, "little"))


def decrypt(fields: Fields) -> bytes:
    """Private key, ciphertexts -> plaintexts."""
    private, batch = fields
    numbers = _decryptor(private).decrypt(batch)
    return b"".join([number.to_bytes(len(private), "big", signed=True) for number in numbers])


def raise_to(fields: Fields) -> bytes:
    """Modulus, exponent, bases as long as the modulus -> powers of that length. Nothing here is secret."""
    modulus, exponent, batch = (*map(_number, fields[:2]), fields[2])
    size = len(fields[0])
    bases = [_number(batch[at : at + size]) for at in range(0, len(batch), size)]
    return b"".join([power.to_bytes(size, "big") for power in powers(bases, exponent, modulus)])


def multiply(square: bytes, counts: bytes, numbers: Encoded) -> bytes:
    """Modulus, counts as 8-byte little-endian integers, numbers group by group -> one product per group."""
    modulus, size = _number(square), len(square)
    products, at = [], 0
    whole = memoryview(numbers)
    for count in np.frombuffer(counts, "<u8").tolist():
        group = whole[at : at + count * size]
        products.append(product_of_encoded(group, size, modulus).to_bytes(size, "big"))
        at += count * size
    return b"".join(products)


def check(fields: Fields) -> bytes:
    """Public modulus, ciphertexts -> nothing when each is a unit below n^2, else "x" (the caller finds out which)."""
    try:
        check_ciphertexts(PaillierPublicKey(int(_number(fields[0]))), fields[1])
    except PeerViolation:
        return b"x"
    return b""


TASKS: Final[Mapping[bytes, Callable[[Fields], bytes]]] = MappingProxyType(
    {
        wire.ENCRYPT: encrypt,
        wire.DECRYPT: decrypt,
        wire.POWERS: raise_to,
        wire.PRODUCTS: lambda fields: multiply(*fields),
        wire.CHECK: check,
    }
)


def _number(field: bytes) -> mpz:
    return mpz.from_bytes(field, "big")


# One job, one key: more than one set of tables would only take memory.
@functools.lru_cache(maxsize=1)
def _encryptor(private: bytes, window: int) -> Encryptor:
    return Encryptor(PaillierPrivateKey(private), window)


@functools.lru_cache(maxsize=1)
def _decryptor(private: bytes) -> Decryptor:
    return Decryptor(PaillierPrivateKey(private))


def forget() -> None:
    """Drop tables and keys kept from earlier calls in this process."""
    _encryptor.cache_clear()
    _decryptor.cache_clear()
