"""Keys and streams that are the same in every run, and bad moduli of every kind."""

from __future__ import annotations

import functools
import random

import gmpy2

from federated.keys import PaillierPrivateKey, generate_key
from federated.stream import KeyStream, StreamKey

CONTRACT = bytes(range(32))
STREAM_KEY = StreamKey(b"k" * 32)


@functools.cache
def private_key(bits: int = 2048, seed: int = 1) -> PaillierPrivateKey:
    """Return a key made from a seeded generator."""
    return generate_key(bits, random.Random(seed).randbytes)


def stream(seed: int = 0) -> KeyStream:
    """Return a key stream."""
    return KeyStream(StreamKey(random.Random(seed).randbytes(32)))


def prime(bits: int, seed: int = 0) -> int:
    """Return a prime of exactly ``bits`` bits, the two top bits set."""
    start = random.Random(seed).getrandbits(bits) | 3 << bits - 2
    found = int(gmpy2.next_prime(start))
    assert found.bit_length() == bits
    return found


def complete(factor: int, bits: int = 2048) -> tuple[int, int]:
    """Return a modulus of ``bits`` bits that ``factor`` divides, and its other factor, a prime."""
    rest = int(gmpy2.next_prime((3 << bits - 2) // factor))
    assert (rest * factor).bit_length() == bits
    return rest * factor, rest


@functools.cache
def overlapping_modulus() -> tuple[int, int, int]:
    """Return n = p q with p a prime above 2^16 that divides q - 1: x -> x^n is no permutation."""
    p = 65537
    step = 2 * p
    q = (3 << 2046) // p // step * step + 1
    while not gmpy2.is_prime(q):
        q += step
    n = p * q
    assert n.bit_length() == 2048
    return n, p, q
