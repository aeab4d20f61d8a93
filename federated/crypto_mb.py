"""Eight lanes at once with Intel's crypto_mb library and AVX-512 IFMA: powers, and products of many numbers.

Powers are the library's public ``mbx_exp{1024,2048,3072,4096}_mb8``, whose time does not depend on the exponent's
bits. Products use what lies below them, the Montgomery multiplication ``ifma_amm52x79_mb8`` and the conversion
``ifma_BNU_to_mb8``: exported, but in no public header. They are called only in releases that they were tested with
(:data:`_RELEASES_WITH_PRODUCTS`), after they gave right answers in this process; otherwise GMP multiplies, at half
the speed.
"""

from __future__ import annotations

import ctypes
import functools
import random
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Final

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from psi.engines import crypto_mb as _masking
from psi.errors import VeiljoinError

_LANES: Final = 8
SMALLEST_POWERS: Final = 3  # eight lanes cost as much as about two powers with GMP
SMALLEST_PRODUCT: Final = 64  # below, the correction at the end costs more than the lanes save
_POWER_BITS: Final = (1024, 2048, 3072, 4096)

_RELEASES_WITH_PRODUCTS: Final = frozenset({"2026.2.0"})
_PRODUCT_BITS: Final = 4096
_DIGIT_BITS: Final = 52
_DIGITS: Final = 79
_PRODUCT_BLOCK: Final = 256  # numbers whose digits are laid out at once: 162 kB, which stays in the cache

_Words = npt.NDArray[np.uint64]


def can_power(bits: int) -> bool:
    """Return whether :func:`powers` works here for a modulus of ``bits`` bits."""
    bits = _rounded(bits)
    return bits in _POWER_BITS and _masking.reason_unusable() is None and _powers_are_right(bits)


def can_multiply(bits: int) -> bool:
    """Return whether :func:`product` works here for a modulus of ``bits`` bits."""
    return _rounded(bits) == _PRODUCT_BITS and _masking.reason_unusable() is None and _products_are_right()


def _rounded(bits: int) -> int:
    """Return whole bytes: the square of a prime or of a modulus can be a bit shorter than twice its length."""
    return -(-bits // 8) * 8


def powers(bases: Sequence[mpz], exponent: mpz, modulus: mpz) -> list[mpz]:
    """Return ``base ** exponent % modulus`` for each base below ``modulus``.

    ``modulus`` is odd and has 1024, 2048, 3072 or 4096 bits, or up to seven fewer; ``exponent`` is above 0. Raises
    :class:`~psi.errors.VeiljoinError` when the library reports an error.
    """
    bits, exponent_bits = _rounded(modulus.bit_length()), exponent.bit_length()
    size = bits // 8
    count = -(-len(bases) // _LANES) * _LANES
    sources = _aligned(count, size // 8)
    encoded = b"".join([mpz(base).to_bytes(size, "little") for base in bases])
    sources[:, 0] = 1  # lanes to spare
    sources.reshape(-1)[: len(bases) * size // 8] = np.frombuffer(encoded, np.uint64)
    targets = _aligned(count, size // 8)
    exponent_words = -(-exponent_bits // 64)
    secret = np.frombuffer(bytearray(exponent.to_bytes(8 * exponent_words, "little")), np.uint64)
    below = np.frombuffer(modulus.to_bytes(size, "little"), np.uint64)
    power = _power_function(bits)
    scratch = np.zeros(_masking.load_library().mbx_exp_BufferSize(bits), np.uint8)
    # Three arrays of eight pointers, one per lane; those of exponent and modulus are the same for every group.
    source_pointers, target_pointers = _pointers(sources), _pointers(targets)
    secret_pointers = np.full(_LANES, secret.ctypes.data, np.uintp)
    modulus_pointers = np.full(_LANES, below.ctypes.data, np.uintp)
    status = 0
    try:
        for group in range(0, count, _LANES):
            status |= power(
                target_pointers[group:].ctypes.data,
                source_pointers[group:].ctypes.data,
                secret_pointers.ctypes.data,
                exponent_bits,
                modulus_pointers.ctypes.data,
                bits,
                scratch.ctypes.data,
                len(scratch),
            )
    finally:
        # Both held the exponent, which is the key in decryption.
        secret[:] = 0
        scratch[:] = 0
    if status:
        raise VeiljoinError(
            "The crypto_mb library reported an error while computing powers.",
            hint="Uninstall the extra 'accel' to go without it, and report it.",
        )
    raw = targets.tobytes()
    return [mpz.from_bytes(raw[at : at + size], "little") for at in range(0, len(bases) * size, size)]


def product(batch: bytes | memoryview, size: int, modulus: mpz) -> mpz:
    """Return the product of the ``size``-byte big-endian numbers in ``batch``, each below the 4096-bit ``modulus``.

    Each lane multiplies every eighth number into its own running product; a Montgomery multiplication also divides
    by R = 2^(52 x 79), which one power of R mends at the end.
    """
    count = len(batch) // size
    steps = -(-count // _LANES)
    moduli, factor = _moduli(modulus)
    running, scratch = _aligned(_DIGITS, _LANES), _aligned(_DIGITS, _LANES)
    running[0] = 1  # the digits of 1, in each lane
    multiply = _product_functions()[1]
    # Addresses are looked up once: numpy takes as long for that as the library for a lane.
    now, later, mod, k0 = (array.ctypes.data for array in (running, scratch, moduli, factor))
    stride = _DIGITS * _LANES * 8
    digits = _aligned(_PRODUCT_BLOCK // _LANES, _DIGITS, _LANES)
    address = digits.ctypes.data
    for first in range(0, count, _PRODUCT_BLOCK):
        groups = _to_digits(batch[first * size : (first + _PRODUCT_BLOCK) * size], size, digits)
        for at in range(address, address + groups * stride, stride):
            multiply(later, now, at, mod, k0)
            now, later = later, now
    running = scratch if steps % 2 else running
    lanes = mpz(1)
    for number in _from_digits(running):
        lanes = lanes * number % modulus
    # Every step divided each lane by R once.
    mend = gmpy2.powmod(mpz(1) << (_DIGIT_BITS * _DIGITS), steps * _LANES, modulus)
    return lanes * mend % modulus


def _to_digits(block: bytes | memoryview, size: int, digits: _Words) -> int:
    """Write the numbers to ``digits``, shape (groups of eight, digits, lanes), and return how many groups they fill.

    Lanes to spare hold 1.
    """
    count = len(block) // size
    groups = -(-count // _LANES)
    little = np.zeros((groups * _LANES, size // 8), np.uint64)
    little[:count] = np.frombuffer(block, ">u8").reshape(count, size // 8)[:, ::-1]
    little[count:, 0] = 1
    convert, pointers = _product_functions()[0], _pointers(little)
    source, target = pointers.ctypes.data, digits.ctypes.data
    for group in range(groups):
        convert(
            target + group * _DIGITS * _LANES * 8, source + group * _LANES * pointers.itemsize, _PRODUCT_BITS
        )
    return groups


def _from_digits(digits: _Words) -> list[mpz]:
    numbers = [mpz(0)] * _LANES
    for row in reversed(digits.tolist()):
        numbers = [(number << _DIGIT_BITS) + digit for number, digit in zip(numbers, row, strict=True)]
    return numbers


@functools.lru_cache(maxsize=4)
def _moduli(modulus: mpz) -> tuple[_Words, _Words]:
    """Return the modulus in radix 2^52 in each lane, and -1/modulus mod 2^52 in each lane."""
    base = mpz(1) << _DIGIT_BITS
    digits = _aligned(_DIGITS, _LANES)
    for digit in range(_DIGITS):
        digits[digit] = int((modulus >> (_DIGIT_BITS * digit)) % base)
    factor = _aligned(1, _LANES)
    factor[:] = int(-gmpy2.invert(modulus, base) % base)
    return digits, factor


def _aligned(*shape: int) -> _Words:
    """Return zeros that start at a multiple of 64 bytes, as the library's vector loads want them."""
    size = int(np.prod(shape))
    raw = np.zeros(size + 7, np.uint64)
    start = -raw.ctypes.data % 64 // 8
    return raw[start : start + size].reshape(shape)


def _pointers(rows: _Words) -> npt.NDArray[np.uintp]:
    return rows.ctypes.data + np.arange(len(rows), dtype=np.uintp) * np.uintp(rows.strides[0])


@functools.cache
def _power_function(bits: int) -> Callable[..., int]:
    library = _masking.load_library()
    library.mbx_exp_BufferSize.argtypes, library.mbx_exp_BufferSize.restype = [ctypes.c_int], ctypes.c_int
    function = library[f"mbx_exp{bits}_mb8"]
    function.argtypes = [
        *[ctypes.c_void_p] * 3,  # results, bases, exponents
        ctypes.c_int,  # bits of the exponent
        ctypes.c_void_p,  # moduli
        ctypes.c_int,  # bits of the modulus
        ctypes.c_void_p,  # scratch memory
        ctypes.c_int,  # bytes of it
    ]
    function.restype = ctypes.c_uint32
    return function


@functools.cache
def _product_functions() -> tuple[Callable[..., int], Callable[..., None]]:
    """Return the conversion of eight numbers to radix 2^52, and the Montgomery multiplication of eight pairs."""
    library = _masking.load_library()
    convert, multiply = library.ifma_BNU_to_mb8, library[f"ifma_amm{_DIGIT_BITS}x{_DIGITS}_mb8"]
    # digits, eight pointers, bits of a number
    convert.argtypes, convert.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int], ctypes.c_uint8
    # results, first factors, second factors, moduli, -1/moduli mod 2^52
    multiply.argtypes, multiply.restype = [ctypes.c_void_p] * 5, None
    return convert, multiply


@functools.cache
def _powers_are_right(bits: int) -> bool:
    """Return whether the library agrees with GMP here, on numbers drawn the same way each time."""
    modulus, numbers = _known_numbers(bits)
    exponent = mpz(random.Random(bits + 1).getrandbits(bits // 2) | 1)  # noqa: S311 - a test, no secret
    try:
        results = powers(numbers[:9], exponent, modulus)
    except (AttributeError, VeiljoinError):
        # Another release of the library, or one that supports this processor in part only.
        return False
    return bool(results == gmpy2.powmod_base_list(numbers[:9], exponent, modulus))


@functools.cache
def _products_are_right() -> bool:
    """Return whether products can be trusted here: a release they were tested with, and right answers."""
    if metadata.version("ipp-crypto") not in _RELEASES_WITH_PRODUCTS:
        return False
    modulus, numbers = _known_numbers(_PRODUCT_BITS)
    size = _PRODUCT_BITS // 8
    try:
        result = product(b"".join(number.to_bytes(size, "big") for number in numbers), size, modulus)
    except AttributeError:
        return False
    return bool(result == functools.reduce(lambda a, b: a * b % modulus, numbers))


def _known_numbers(bits: int) -> tuple[mpz, list[mpz]]:
    """Return an odd modulus and 21 numbers below it, some of them at its edges and full of equal bits."""
    draw = random.Random(bits)  # noqa: S311 - a test, no secret
    modulus = mpz(draw.getrandbits(bits)) | mpz(1) << (bits - 1) | 1
    edges = [modulus - 1, mpz(1), modulus - (mpz(1) << (bits // 2)), (mpz(1) << (bits - 1)) - 1]
    return modulus, edges + [mpz(draw.getrandbits(bits)) % modulus for _ in range(17)]
