"""Paillier keys: generation, checks on a received modulus, and the constants that both sides compute with.

Paillier (1999) with g = n + 1: Enc(m, r) = (1 + m n) r^n mod n^2. SPEC section 3.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import gmpy2
from gmpy2 import mpz

from psi.errors import PeerViolation, UsageError
from psi.secret import SecretBytes

KEY_BITS: Final = (2048, 3072)
DEFAULT_BITS: Final = 2048
# SPEC 3.3: no prime factor below alpha; the soundness of the proof rests on it.
ALPHA_BITS: Final = 16
# |m| < 2^(bits - 3) < n / 3: signed plaintexts, also by the convention of `phe`.
PLAINTEXT_MARGIN: Final = 3
# p - 1 = 2 s m with m prime and 2 s below 2^22, so that p - 1 factors by trial division (SPEC 3.1).
_COFACTOR_BITS: Final = 20
_SMOOTH_BOUND: Final = 1 << 22
# Baillie-PSW and 40 rounds of Miller-Rabin, by GMP's counting.
_PRIME_ROUNDS: Final = 64

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class PaillierPublicKey:
    """The modulus n of exactly 2048 or 3072 bits. Raises ``ValueError`` for other lengths and for an even n."""

    n: int

    def __post_init__(self) -> None:
        if self.n.bit_length() not in KEY_BITS or not self.n & 1:
            raise ValueError(f"a Paillier modulus is odd and has one of {KEY_BITS} bits")

    @property
    def bits(self) -> int:
        """Length of n."""
        return self.n.bit_length()

    @property
    def n_bytes(self) -> int:
        """Bytes of an encoded modulus."""
        return self.bits // 8

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of an encoded ciphertext."""
        return self.bits // 4

    @property
    def plaintext_bits(self) -> int:
        """Plaintexts are signed integers of magnitude below 2 to this power."""
        return self.bits - PLAINTEXT_MARGIN

    def encode(self) -> bytes:
        """Return n big-endian (SPEC 3.2)."""
        return self.n.to_bytes(self.n_bytes, "big")


class PaillierPrivateKey(SecretBytes):
    """The primes p and q, each half as long as n, as ``p || q`` big-endian; never printed or pickled."""

    __slots__ = ()

    @classmethod
    def of(cls, p: int, q: int) -> PaillierPrivateKey:
        """Return the key of two different primes. Raises ``ValueError`` when they make no Paillier key."""
        p, q = max(p, q), min(p, q)
        bits = (p * q).bit_length()
        half = bits // 2
        if bits not in KEY_BITS or p.bit_length() != half or q.bit_length() != half:
            raise ValueError(f"the primes must have the same length and make a modulus of {KEY_BITS} bits")
        if p == q or not (gmpy2.is_prime(p, _PRIME_ROUNDS) and gmpy2.is_prime(q, _PRIME_ROUNDS)):
            raise ValueError("a Paillier key is made of two different primes")
        return cls(p.to_bytes(half // 8, "big") + q.to_bytes(half // 8, "big"))

    @property
    def primes(self) -> tuple[mpz, mpz]:
        """The primes, the larger one first."""
        value = self.reveal()
        half = len(value) // 2
        return mpz(int.from_bytes(value[:half], "big")), mpz(int.from_bytes(value[half:], "big"))

    @property
    def public(self) -> PaillierPublicKey:
        """The public half."""
        p, q = self.primes
        return PaillierPublicKey(int(p * q))


def generate_key(bits: int = DEFAULT_BITS, source: RandomBytes = secrets.token_bytes) -> PaillierPrivateKey:
    """Return a fresh key for one job, from the operating system's generator unless told otherwise.

    Raises :class:`~psi.errors.UsageError` for a length that is not offered.
    """
    if bits not in KEY_BITS:
        raise UsageError(
            f"A Paillier key cannot have {bits} bits.",
            hint=f"Set the key length to one of {', '.join(map(str, KEY_BITS))}.",
        )
    p = _prime_with_known_order(bits // 2, source)
    q = _prime_with_known_order(bits // 2, source)
    # The top bits are drawn at random, so a repetition, or a pair as close as Fermat's method needs, is a
    # failure of the source.
    if abs(p - q).bit_length() < bits // 2 - 100:
        raise UsageError(
            "The random source gave two primes that are too close.",
            hint="Check the machine's random generator.",
            code="internal",
        )
    return PaillierPrivateKey.of(int(p), int(q))


def _prime_with_known_order(bits: int, source: RandomBytes) -> mpz:
    """Return a random prime p with its two top bits set, and p - 1 = 2 s m with m prime and s small (SPEC 3.1)."""
    while True:
        size = bits - _COFACTOR_BITS - 1
        m = _random_below_power(size, source) | mpz(1) << (size - 1) | 1
        if not _is_prime(m):
            continue
        # Two top bits set in each prime: then their product has exactly twice the bits.
        low, high = -(-(mpz(3) << (bits - 2)) // (2 * m)), (mpz(1) << bits) // (2 * m)
        for _ in range(1 << 14):
            s = low + _random_below_power(64 + _COFACTOR_BITS, source) % (high - low)
            p = 2 * s * m + 1
            if _is_prime(p):
                return p


def _random_below_power(bits: int, source: RandomBytes) -> mpz:
    length = -(-bits // 8)
    return mpz(int.from_bytes(source(length), "big") >> (8 * length - bits))


def _is_prime(candidate: mpz) -> bool:
    # One gcd spares nine of ten candidates the expensive test.
    coprime = gmpy2.gcd(candidate, _primorial(1 << 12)) == 1
    return bool(coprime and gmpy2.is_prime(candidate, _PRIME_ROUNDS))


@functools.cache
def _primorial(bound: int) -> mpz:
    return gmpy2.primorial(bound - 1)


def generator(p: mpz) -> mpz | None:
    """Return the smallest generator of the multiplicative group mod p, or None when p - 1 cannot be factored.

    It can for keys of :func:`generate_key`: all but one of the prime factors of p - 1 are small (SPEC 3.1).
    """
    factors, rest, smooth = [], p - 1, gmpy2.gcd(p - 1, _primorial(_SMOOTH_BOUND))
    divisor = mpz(2)
    while smooth > 1:
        if smooth % divisor == 0:
            smooth //= divisor
            rest, _ = gmpy2.remove(rest, divisor)
            factors.append(divisor)
        divisor = gmpy2.next_prime(divisor) if divisor * divisor <= smooth else smooth
    if rest > 1:
        if not gmpy2.is_prime(rest, _PRIME_ROUNDS):
            return None
        factors.append(rest)
    candidate = mpz(2)
    while any(gmpy2.powmod(candidate, (p - 1) // factor, p) == 1 for factor in factors):
        candidate += 1
    return candidate


def check_modulus(n: int, bits: int) -> None:
    """Check what can be checked of a partner's modulus without its proof (SPEC 3.3).

    Raises :class:`~psi.errors.PeerViolation`: other length than ``bits``, even, a prime factor below 2^16,
    prime, or a perfect power. Attacks: CVE-2023-33241, moduli under which sums wrap or decrypt for others.
    """
    if bits not in KEY_BITS:
        raise ValueError(f"{bits} is not one of {KEY_BITS}")
    if n.bit_length() != bits:
        raise _refused(f"has {n.bit_length()} bits where the contract says {bits}")
    if not n & 1:
        raise _refused("is even")
    if gmpy2.gcd(n, _primorial(1 << ALPHA_BITS)) != 1:
        raise _refused(f"has a prime factor below 2^{ALPHA_BITS}")
    if gmpy2.is_prime(n, _PRIME_ROUNDS):
        raise _refused("is a prime")
    if gmpy2.is_power(n):
        raise _refused("is a square or another perfect power")


def _refused(why: str) -> PeerViolation:
    return PeerViolation(
        f"The partner's Paillier modulus {why}.",
        hint="Nothing was stored; ask the partner which version of Veiljoin it runs.",
    )
