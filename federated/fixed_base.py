"""Encryption by the key owner: r^n with uniform r, from fixed-base tables under CRT (SPEC 5.1).

Why this is the textbook distribution. Mod p^2 the units form a cyclic group of order p (p - 1). Raising to
n = p q kills its p-part, and gcd(q, p - 1) = 1, so {r^n mod p^2} is exactly the subgroup of order p - 1, and
each of its elements has equally many r. For r uniform among the units mod n, r mod p and r mod q are
independent, and so are the two residues of r^n. So r^n mod n^2 for uniform r has the distribution of the CRT
join of two independent uniform elements of the subgroups of order p - 1 and q - 1.

A generator g of the units mod p gives h = g^p mod p^2, which generates that subgroup: h = g mod p, so its order
is a multiple of p - 1, and h^(p-1) = g^(p(p-1)) = 1. With a uniform below p - 1, h^a is a uniform element of it: no
smaller subgroup and no short exponent. The exponent is the remainder of a 192 bits longer uniform number, so each
of the two residues is within 2^-192 of uniform, and 2^60 ciphertexts together within 2^-131.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from federated.ciphertexts import encode
from federated.keys import PaillierPrivateKey, generator
from federated.stream import EXCESS_BYTES, KeyStream
from psi.errors import UsageError

# Below this many plaintexts the tables of a key that has none yet take longer than they save.
SMALLEST_FOR_TABLES: Final = 256
# Multiplications per ciphertext and memory per process (2048 bits): 8: 256, 20 MB; 10: 206, 63 MB; 11: 188, 115 MB.
DEFAULT_WINDOW: Final = 10
WINDOWS: Final = range(2, 15)


def check_window(window: int) -> None:
    """Raise :class:`~psi.errors.UsageError` for a window outside 2 to 14."""
    if window not in WINDOWS:
        raise UsageError(
            f"A table window of {window} bits is not possible.",
            hint=f"Choose {WINDOWS.start} to {WINDOWS.stop - 1}; {DEFAULT_WINDOW} suits most machines.",
        )


class _Half:
    """Powers of h = g^p modulo the square of one prime."""

    def __init__(self, p: mpz, window: int) -> None:
        root = generator(p)
        if root is None:
            raise UsageError(
                "This Paillier key was not made by Veiljoin, so the order of its groups is not known.",
                hint="Generate a key here, or encrypt with the program that made it; decrypting works with any key.",
            )
        self.order = p - 1
        self.modulus = p * p
        self.base = gmpy2.powmod(root, p, self.modulus)
        self.width = p.bit_length() // 8 + EXCESS_BYTES
        self._window = window
        self._rows: list[list[mpz]] = []

    def powers(self, records: npt.NDArray[np.uint8]) -> Iterator[mpz]:
        """Return h^a for each row of ``width`` uniform bytes, a being the row modulo the order.

        From the tables where they were built.
        """
        order = int(self.order)
        exponents = [int.from_bytes(record, "big") % order for record in records]
        if not self._rows:
            # powmod_sec wants an exponent above 0; the order does the same as 0.
            return (gmpy2.powmod_sec(self.base, exponent or order, self.modulus) for exponent in exponents)
        return map(self._from_tables, self._digits(exponents))

    def _from_tables(self, digits: list[int]) -> mpz:
        modulus = self.modulus
        product = mpz(1)
        # A digit of 0 multiplies by one like any other: no branch on secret digits.
        for row, digit in zip(self._rows, digits, strict=True):
            product = product * row[digit] % modulus
        return product

    def _digits(self, exponents: list[int]) -> Iterator[list[int]]:
        """Return each exponent in radix 2^window, lowest digit first."""
        length = self.order.bit_length() // 8 + 9  # room for the 8-byte read of the last digit
        encoded = np.frombuffer(
            b"".join([exponent.to_bytes(length, "little") for exponent in exponents]), np.uint8
        )
        digits = np.empty((len(exponents), len(self._rows)), np.uint16)
        mask = np.uint64((1 << self._window) - 1)
        for index in range(len(self._rows)):
            offset, shift = divmod(index * self._window, 8)
            words = np.ndarray((len(exponents),), "<u8", encoded, offset, (length,))
            digits[:, index] = (words >> np.uint64(shift)) & mask
        return (row.tolist() for row in digits)

    def build(self) -> None:
        """Build one row of 2^window powers for every window of the exponent."""
        if self._rows:
            return
        base, modulus = self.base, self.modulus
        for _ in range(-(-self.order.bit_length() // self._window)):
            row = [mpz(1)]
            for _ in range((1 << self._window) - 1):
                row.append(row[-1] * base % modulus)
            self._rows.append(row)
            base = row[-1] * base % modulus


class Encryptor:
    """Encrypts under one private key; ``window`` trades memory for speed and changes no byte of the output.

    Raises :class:`~psi.errors.UsageError` for a key that was not made by
    :func:`~federated.keys.generate_key` and for a window outside 2 to 14.
    """

    def __init__(self, private: PaillierPrivateKey, window: int = DEFAULT_WINDOW) -> None:
        check_window(window)
        p, q = private.primes
        self._public = private.public
        self._halves = _Half(p, window), _Half(q, window)
        self._n = p * q
        self._join = gmpy2.invert(self._halves[1].modulus, self._halves[0].modulus)

    def encrypt(self, plaintexts: Sequence[int], stream: KeyStream, start: int) -> bytes:
        """Return the ciphertexts of signed plaintexts, using records ``start`` and on of ``stream``.

        Record i is used for one ciphertext of a job and never again. Raises ``ValueError`` for a plaintext of
        magnitude 2^plaintext_bits or more.
        """
        limit = 1 << self._public.plaintext_bits
        if any(abs(plaintext) >= limit for plaintext in plaintexts):
            raise ValueError(f"a plaintext has {self._public.plaintext_bits} bits at most")
        if not plaintexts:
            return b""
        if len(plaintexts) >= SMALLEST_FOR_TABLES:
            for half in self._halves:
                half.build()
        one, other = self._halves
        width = one.width + other.width
        raw = stream.read(start * width, len(plaintexts) * width)
        records = np.frombuffer(raw, np.uint8).reshape(len(plaintexts), width)
        pairs = zip(
            plaintexts,
            one.powers(records[:, : one.width]),
            other.powers(records[:, one.width :]),
            strict=True,
        )
        return encode(self._public, itertools.starmap(self._join_halves, pairs))

    def _join_halves(self, plaintext: int, mod_p: mpz, mod_q: mpz) -> mpz:
        one, other = self._halves
        shifted = 1 + self._n * plaintext
        mod_p = mod_p * shifted % one.modulus
        mod_q = mod_q * shifted % other.modulus
        return mod_q + other.modulus * ((mod_p - mod_q) * self._join % one.modulus)
