"""From identifiers to group elements, a batch at a time, and from uniform bytes to scalars.

``x25519-ell2`` takes the published map for a reason: SHA-256 output used as an x-coordinate lies on the
curve or on its twist, the masks keep that one bit, and so it would name half of a small audience. Every
x-coordinate from Elligator 2 lies on the curve.

The map runs in the clear over the party's own identifiers before any scalar is used, and not in constant
time: somebody who can time it on this machine can read the identifiers from memory as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import gmpy2
from gmpy2 import mpz

from psi.libsodium import ristretto255
from psi.secret import Scalar
from psi.suites import Suite

_P: Final = mpz(2**255 - 19)
_A: Final = mpz(486662)
_A_SQUARED: Final = _A * _A
_MINUS_A: Final = _P - _A
_ONE: Final = mpz(1)
# chi(-A): -1 is a square mod p, so this is chi(A). See _elligator2.
_CHI_MINUS_A: Final = gmpy2.legendre(_MINUS_A, _P)

# Order of the ristretto255 group (RFC 9496, section 4).
RISTRETTO255_ORDER: Final = 2**252 + 27742317777372353535851937790883648493

_DIGEST: Final = 64  # bytes of SHA-512 output
_BLOCK: Final = 128  # bytes of a SHA-512 input block
_FIELD_BYTES: Final = 48  # RFC 9380, section 5.1: ceil((255 + 128) / 8)
# Identifiers mapped at once: the batched inversion gains little beyond some hundreds, and the
# intermediate integers of this many stay in the processor's cache.
_MAP_BATCH: Final = 1024
UNIFORM_BYTES: Final = 64


def hash_to_group(suite: Suite, dst: bytes, identifiers: Sequence[bytes]) -> bytes:
    """Map n canonical identifiers to n encoded group elements, n x 32 bytes in the order given.

    ``dst`` comes from :func:`psi.suites.domain_separation_tag`. ``x25519-ell2``: RFC 9380 suite
    curve25519_XMD:SHA-512_ELL2_NU_, the x-coordinate before the cofactor is cleared (``Q.x`` of its vectors;
    the clamped scalar clears the cofactor), little-endian. ``ristretto255``: HashToGroup of RFC 9497,
    section 4.1. Raises ``ValueError`` for a ``dst`` over 255 bytes.
    """
    if suite.group == "curve25519":
        parts = []
        for start in range(0, len(identifiers), _MAP_BATCH):
            digests = _expand_each(dst, identifiers[start : start + _MAP_BATCH], _FIELD_BYTES)
            parts.append(_elligator2(_field_elements(digests)))
        return b"".join(parts)
    return b"".join(map(ristretto255().from_hash, _expand_each(dst, identifiers, _DIGEST)))


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """Return ``length`` bytes of expand_message_xmd with SHA-512 (RFC 9380, section 5.3.1).

    Raises ``ValueError`` for a length outside 1 to 16320 and for a ``dst`` that is empty or over 255 bytes:
    the tags of this project are short, so that the RFC's way with long ones (section 5.3.3) has no use here.
    """
    dst_prime = _dst_prime(dst)
    blocks = -(-length // _DIGEST)
    if not 1 <= blocks <= 255:
        raise ValueError(f"length is 1 to {255 * _DIGEST} bytes, not {length}")
    b_0 = hashlib.sha512(bytes(_BLOCK) + message + length.to_bytes(2, "big") + b"\x00" + dst_prime).digest()
    output = b_i = hashlib.sha512(b_0 + b"\x01" + dst_prime).digest()
    for i in range(2, blocks + 1):
        mixed = bytes(x ^ y for x, y in zip(b_0, b_i, strict=True))
        b_i = hashlib.sha512(mixed + bytes([i]) + dst_prime).digest()
        output += b_i
    return output[:length]


def derive_scalar(suite: Suite, uniform: bytes) -> Scalar:
    """Turn 64 uniform secret bytes into a masking scalar, 32 bytes little-endian.

    ``x25519-ell2``: the first 32 bytes, clamped (RFC 7748, section 5). ``ristretto255``: uniform in
    1 .. L-1, as c mod (L-1) + 1 with c little-endian (the extra-random-bits method of FIPS 186), so never
    zero and without a retry that a replay would have to repeat. Raises ``ValueError`` for any other length.
    """
    if len(uniform) != UNIFORM_BYTES:
        raise ValueError(f"a scalar derives from {UNIFORM_BYTES} bytes, not {len(uniform)}")
    if suite.group == "curve25519":
        clamped = bytearray(uniform[:32])
        clamped[0] &= 0xF8
        clamped[31] = clamped[31] & 0x7F | 0x40
        return Scalar(bytes(clamped))
    number = int.from_bytes(uniform, "little") % (RISTRETTO255_ORDER - 1) + 1
    return Scalar(number.to_bytes(32, "little"))


def _dst_prime(dst: bytes) -> bytes:
    if not 1 <= len(dst) <= 255:
        raise ValueError(f"a domain separation tag is 1 to 255 bytes, not {len(dst)}")
    return dst + bytes([len(dst)])


def _expand_each(dst: bytes, identifiers: Sequence[bytes], length: int) -> list[bytes]:
    """Return b_1 of expand_message_xmd for each identifier: 64 bytes, of which ``length`` count."""
    dst_prime = _dst_prime(dst)
    tail_0 = length.to_bytes(2, "big") + b"\x00" + dst_prime
    tail_1 = b"\x01" + dst_prime
    sha512 = hashlib.sha512
    # Z_pad fills one block and is the same for all: hash it once and copy the state.
    padded = sha512(bytes(_BLOCK)).copy
    digests: list[bytes] = []
    append = digests.append
    for identifier in identifiers:
        b_0 = padded()
        b_0.update(identifier + tail_0)
        append(sha512(b_0.digest() + tail_1).digest())
    return digests


def _field_elements(digests: Sequence[bytes]) -> list[mpz]:
    """Return OS2IP of the first 48 bytes of each 64-byte digest, LAST FIRST and not yet reduced.

    One long integer cut into 384-bit limbs is far faster than n conversions; its limbs come out lowest first,
    so the order turns round. The leading 1 is an extra limb that keeps zeros at the top from vanishing.
    """
    joined = b"".join(digest[:_FIELD_BYTES] for digest in digests)
    limbs: list[mpz] = gmpy2.unpack(mpz.from_bytes(b"\x01" + joined, "big"), 8 * _FIELD_BYTES)
    limbs.pop()
    return limbs


def _elligator2(us: Sequence[mpz]) -> bytes:
    """Map integers u, LAST FIRST, to x-coordinates of curve25519 in the right order, 32 bytes each.

    RFC 9380, section 6.7.1, with Z = 2, J = A and K = 1: x1 = -A/d with d = 1 + 2u^2; x = x1 if
    g(x1) = x1^3 + A x1^2 + x1 is a square, else x = -x1 - A. Three facts make it quick:

    - d is never 0: that needs u^2 = -1/2, and 2 is no square mod p while -1 is. (So the exceptional case of
      the RFC does not occur, and one inversion serves the whole batch.)
    - g(x1) = -A (A^2 - A^2 d + d^2) / d^3. Its quadratic character is that of -A d (d^2 - A^2 d + A^2),
      so it is known before, and without, any inversion.
    - g(x1) is never 0: x1 is not 0, and x1^2 + A x1 + 1 has no root since A^2 - 4 is no square.

    So every u is defined. u = 0 alone gives x = 0, a low-order point; SHA-512 reaches it with chance 2^-255.
    """
    if not us:
        return b""
    p, a_squared, minus_a, chi = _P, _A_SQUARED, _MINUS_A, _CHI_MINUS_A
    legendre = gmpy2.legendre
    ds = [(u * u * 2 + 1) % p for u in us]
    squares = [legendre((d * (d - a_squared) + a_squared) * d, p) == chi for d in ds]
    # Montgomery's trick. Invariant of the loop: tail = -A / (ds[0] ... ds[i]) mod p.
    prefixes = list(accumulate(ds, lambda product, d: product * d % p, initial=_ONE))
    tail = gmpy2.invert(prefixes.pop(), p) * minus_a % p
    xs: list[mpz] = []
    append = xs.append
    for d, prefix, square in zip(reversed(ds), reversed(prefixes), reversed(squares), strict=True):
        x = tail * prefix % p
        tail = tail * d % p
        if not square:
            x = minus_a - x
            if x < 0:
                x += p
        append(x)
    encoded: bytes = gmpy2.pack(xs, 256).to_bytes(32 * len(xs), "little")
    return encoded
