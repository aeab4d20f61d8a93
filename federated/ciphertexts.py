"""Ciphertexts on the wire: fixed-width big-endian elements, checked before anything is computed (SPEC 4)."""

from __future__ import annotations

from collections.abc import Iterable

import gmpy2
from gmpy2 import mpz

from federated.keys import PaillierPublicKey
from psi.errors import PeerViolation


def count_of(public: PaillierPublicKey, batch: bytes) -> int:
    """Return the number of encoded elements of a batch. Raises ``ValueError`` for a part of one."""
    size = public.ciphertext_bytes
    if len(batch) % size:
        raise ValueError(f"{len(batch)} bytes are not a whole number of {size}-byte ciphertexts")
    return len(batch) // size


def split(public: PaillierPublicKey, batch: bytes) -> list[bytes]:
    """Return the encoded elements of a batch. Raises ``ValueError`` when it holds no whole number of them."""
    size = public.ciphertext_bytes
    count_of(public, batch)
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def decode(public: PaillierPublicKey, batch: bytes) -> list[mpz]:
    """Return the elements of a batch as numbers, unchecked."""
    return [mpz.from_bytes(element, "big") for element in split(public, batch)]


def encode(public: PaillierPublicKey, numbers: Iterable[mpz]) -> bytes:
    """Return the numbers as one batch of fixed-width big-endian elements."""
    size = public.ciphertext_bytes
    return b"".join([number.to_bytes(size, "big") for number in numbers])


def check_ciphertexts(public: PaillierPublicKey, batch: bytes, start: int = 0) -> None:
    """Check a received batch: 0 < c < n^2 and gcd(c, n) = 1 for each (SPEC 4).

    Raises :class:`~psi.errors.PeerViolation` with the number of the first bad element, counted from ``start``.
    Attack: a multiple of p or q makes every later sum a multiple of it, and shows who was added.
    """
    if len(batch) % public.ciphertext_bytes:
        raise PeerViolation(
            f"{len(batch)} bytes are not a whole number of {public.ciphertext_bytes}-byte ciphertexts.",
            hint="Both parties must run the same protocol version.",
        )
    elements = split(public, batch)
    n = mpz(public.n)
    # Big-endian encodings of one width compare like the numbers they stand for.
    limit = int(n * n).to_bytes(public.ciphertext_bytes, "big")
    product = mpz(1)
    for index, element in enumerate(elements):
        if element >= limit:
            raise _refused(start + index, "is out of range")
        product = product * (mpz.from_bytes(element, "big") % n) % n
    # Every factor is coprime to n if and only if the product is: one gcd for the batch.
    if elements and gmpy2.gcd(product, n) != 1:
        for index, element in enumerate(elements):
            number = mpz.from_bytes(element, "big")
            if gmpy2.gcd(number, n) != 1:
                raise _refused(start + index, "shares a factor with the modulus" if number else "is zero")


def _refused(index: int, why: str) -> PeerViolation:
    return PeerViolation(
        f"Ciphertext {index} {why}.",
        hint="The partner sent no valid encryption; nothing was computed with it.",
    )
