"""Slow, independent versions of the group operations, straight from the RFCs, as an oracle for the fast ones.

Plain Python integers; nothing here is shared with the code under test.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

P = 2**255 - 19
A = 486662
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]  # extended Edwards coordinates X, Y, Z, T


def vectors(name: str) -> dict[str, Any]:
    """Return one file of published vectors."""
    path = Path(__file__).resolve().parents[1] / "vectors" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def is_square(value: int) -> bool:
    """Euler's criterion; 0 counts as a square."""
    return pow(value % P, (P - 1) // 2, P) in (0, 1)


def curve_right_side(x: int) -> int:
    """v^2 of curve25519 for u = x (RFC 7748, section 4.1)."""
    return (x**3 + A * x**2 + x) % P


# RFC 9380 -------------------------------------------------------------------------------------------------


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """Section 5.3.1, steps 1 to 11, with SHA-512."""
    ell = -(-length // 64)
    dst_prime = dst + bytes([len(dst)])
    msg_prime = bytes(128) + message + length.to_bytes(2, "big") + bytes(1) + dst_prime
    b = [hashlib.sha512(msg_prime).digest()]
    b.append(hashlib.sha512(b[0] + bytes([1]) + dst_prime).digest())
    for i in range(2, ell + 1):
        xored = (int.from_bytes(b[0], "big") ^ int.from_bytes(b[i - 1], "big")).to_bytes(64, "big")
        b.append(hashlib.sha512(xored + bytes([i]) + dst_prime).digest())
    return b"".join(b[1:])[:length]


def hash_to_field(message: bytes, dst: bytes) -> int:
    """Section 5.2 for one element of the field of curve25519: L = 48."""
    return int.from_bytes(expand_message_xmd(message, dst, 48), "big") % P


def elligator2(u: int) -> int:
    """Section 6.7.1 with J = 486662, K = 1, Z = 2: the x-coordinate."""
    tv1 = 2 * u * u % P
    if tv1 == P - 1:
        tv1 = 0
    x1 = -A * pow(1 + tv1, -1, P) % P
    return x1 if is_square(curve_right_side(x1)) else (-x1 - A) % P


# RFC 7748 -------------------------------------------------------------------------------------------------


def ladder(k: int, u: int) -> int:
    """Section 5, the Montgomery ladder over 255 bits; returns the u-coordinate, 0 for infinity."""
    x_1, x_2, z_2, x_3, z_3, swap = u, 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x_2, x_3, z_2, z_3 = x_3, x_2, z_3, z_2
        swap = bit
        a, b, c, d = x_2 + z_2, x_2 - z_2, x_3 + z_3, x_3 - z_3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x_3, z_3 = (da + cb) ** 2 % P, x_1 * (da - cb) ** 2 % P
        x_2, z_2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x_2, z_2 = x_3, z_3
    return x_2 * pow(z_2, P - 2, P) % P


def x25519(scalar: bytes, point: bytes) -> bytes:
    """Section 5: decode, clamp, ladder, encode."""
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    u = (int.from_bytes(point, "little") & (1 << 255) - 1) % P
    return ladder(k & (1 << 255) - 1, u).to_bytes(32, "little")


# RFC 9496 -------------------------------------------------------------------------------------------------


def sqrt_ratio_m1(u: int, v: int) -> tuple[bool, int]:
    """Section 4.2."""
    r = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u % P, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, P - r if r & 1 else r


INVSQRT_A_MINUS_D = sqrt_ratio_m1(1, -1 - D)[1]
SQRT_AD_MINUS_ONE = P - sqrt_ratio_m1(-D - 1, 1)[1]  # the odd root, as in section 4.1


def ristretto_decode(data: bytes) -> Point | None:
    """Section 4.3.1; None for an encoding that is not valid."""
    s = int.from_bytes(data, "little")
    if s >= P or s & 1:
        return None
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    was_square, invsqrt = sqrt_ratio_m1(1, v * u2 * u2 % P)
    den_x = invsqrt * u2 % P
    x = 2 * s * den_x % P
    x = P - x if x & 1 else x
    y = u1 * invsqrt * den_x * v % P
    t = x * y % P
    if not was_square or t & 1 or y == 0:
        return None
    return x, y, 1, t


def ristretto_encode(point: Point) -> bytes:
    """Section 4.3.2."""
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, invsqrt = sqrt_ratio_m1(1, u1 * u2 * u2 % P)
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    x, y, den_inv = x0, y0, den2
    if t0 * z_inv % P & 1:
        x, y, den_inv = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    if x * z_inv % P & 1:
        y = -y % P
    s = den_inv * (z0 - y) % P
    return (P - s if s & 1 else s).to_bytes(32, "little")


def edwards_add(p: Point, q: Point) -> Point:
    """RFC 8032, section 5.1.4."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def edwards_multiply(k: int, point: Point) -> Point:
    """Double and add."""
    result: Point = (0, 1, 1, 0)
    while k:
        if k & 1:
            result = edwards_add(result, point)
        point = edwards_add(point, point)
        k >>= 1
    return result


def ristretto_multiply(scalar: bytes, element: bytes) -> bytes | None:
    """Scalar (little-endian, any value) times an encoded element; None where the element is not valid."""
    point = ristretto_decode(element)
    if point is None:
        return None
    return ristretto_encode(edwards_multiply(int.from_bytes(scalar, "little"), point))


def ristretto_map(half: bytes) -> Point:
    """MAP of section 4.3.4 for 32 bytes, whose top bit is ignored."""
    t = int.from_bytes(half, "little") % 2**255 % P
    one_minus_d_sq, d_minus_one_sq = (1 - D * D) % P, (D - 1) ** 2 % P
    r = SQRT_M1 * t * t % P
    u = (r + 1) * one_minus_d_sq % P
    v = (-1 - r * D) * (r + D) % P
    was_square, s = sqrt_ratio_m1(u, v)
    if was_square:
        c = P - 1
    else:
        s_prime = s * t % P
        s, c = (s_prime if s_prime & 1 else P - s_prime) % P, r
    n = (c * (r - 1) * d_minus_one_sq - v) % P
    w0, w1, w2, w3 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P, (1 - s * s) % P, (1 + s * s) % P
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def ristretto_from_hash(uniform: bytes) -> bytes:
    """One-way map of section 4.3.4: the sum of the maps of both halves."""
    return ristretto_encode(edwards_add(ristretto_map(uniform[:32]), ristretto_map(uniform[32:])))
