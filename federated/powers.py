"""Batches of powers and of products modulo one number: eight lanes where the machine has them, else GMP."""

from __future__ import annotations

from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz

from federated import crypto_mb

# Numbers of one width, big-endian, back to back; a view where a copy would cost as much as the work.
Encoded = bytes | memoryview


def powers(bases: Sequence[mpz], exponent: mpz, modulus: mpz, *, secret: bool = False) -> list[mpz]:
    """Return ``base ** exponent % modulus`` for each base below the odd ``modulus``; ``exponent`` is above 0.

    With ``secret``, GMP's even-time algorithm is taken where the eight-lane one, which is even-time, is not there.
    """
    if len(bases) >= crypto_mb.SMALLEST_POWERS and crypto_mb.can_power(modulus.bit_length()):
        return crypto_mb.powers(bases, exponent, modulus)
    power = gmpy2.powmod_sec if secret else gmpy2.powmod
    return [power(base, exponent, modulus) for base in bases]


def product(numbers: list[mpz], modulus: mpz) -> mpz:
    """Return the product of ``numbers`` by a balanced tree; 1 for none."""
    while len(numbers) > 1:
        last = numbers[-1:] if len(numbers) % 2 else []
        numbers = [a * b % modulus for a, b in zip(numbers[::2], numbers[1::2], strict=False)] + last
    return numbers[0] if numbers else mpz(1)


def product_of_encoded(batch: Encoded, size: int, modulus: mpz) -> mpz:
    """Return the product of the ``size``-byte big-endian numbers in ``batch``, each below ``modulus``."""
    if len(batch) // size >= crypto_mb.SMALLEST_PRODUCT and crypto_mb.can_multiply(modulus.bit_length()):
        return crypto_mb.product(batch, size, modulus)
    return product(
        [mpz.from_bytes(batch[start : start + size], "big") for start in range(0, len(batch), size)], modulus
    )
