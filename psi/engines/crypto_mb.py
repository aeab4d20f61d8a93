"""Kernel of engine ``crypto_mb``: X25519 for eight points at once with Intel's crypto_mb library and AVX-512 IFMA.

The library comes in the packages ``ipp-crypto`` and ``intel-cmplr-lib-rt``, as bare shared objects without a
Python module, and runs on any processor with the instructions. ctypes releases the GIL for each call.

The library is not right for every point. With release 2026.2.0 seven cases of Wycheproof come out wrong, and so
do x = 2^k - 1 for k from 85 to 93; whether some others do depends on the scalar. All that were found, from
crafted values only, have a long run of equal bits, as if carries were lost; none was found in 20 million masks of
random points. So points with such a run are handed to the exact X25519 of ``cryptography``, by a wide margin.
What remains: a partner can craft a point that looks random and meets such a value in the first steps of the
multiplication. Whether its mask is wrong then tells a little of one run's scalar; how much at most is not known.
A party that must not have this gap forces ``cryptography`` (SPEC 10.3).
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from importlib import metadata
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt

from psi.engines.pyca import multiply as multiply_exactly
from psi.errors import VeiljoinError

_LANES: Final = 8
_SIZE: Final = 32
SMALLEST: Final = 4096  # points: about 30 ms of work, well above the cost of waking a worker
# The runtime must be in the process before the library that needs it, in this order.
_RUNTIME: Final = ("libintlc.so.5", "libirng.so", "libimf.so", "libsvml.so")
_LIBRARY: Final = "libcrypto_mb.so"

# Points the library may get wrong hold one of these as an aligned 16-bit word, as every run of 31 equal bits does.
# One random point in two thousand does too, which costs less than a hundredth of the masking.
_DOUBTFUL_WORDS: Final = (0x0000, 0xFFFF)
# The top bit of the encoding does not count (RFC 7748, section 5), so the top word may lack it.
_DOUBTFUL_TOPS: Final = (0x0000, 0x7FFF, 0x8000, 0xFFFF)

# crypto_mb/status.h: one nibble per lane; LOW_ORDER_ERR marks an all-zero result
_LOW_ORDER_NIBBLES: Final = 0x44444444

# RFC 7748, section 5.2, first test vector of X25519: proof that the library was called rightly.
_KNOWN_SCALAR: Final = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"
_KNOWN_POINT: Final = "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"
_KNOWN_RESULT: Final = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


class _UnusableError(Exception):
    """Why the library cannot serve here, as one sentence."""


def multiply(points: bytes, secret: bytes) -> bytes:
    """Return X25519 (RFC 7748, section 5) of ``secret`` and each 32-byte element; zeros for low order."""
    if not points:
        return b""
    masks = _multiply(load_library(), points, secret)
    _redo_doubtful(points, secret, masks)
    return masks[: len(points) // _SIZE].tobytes()


def reason_unusable() -> str | None:
    """Return one sentence that says why this engine cannot run here, or None when it can."""
    try:
        load_library()
    except _UnusableError as reason:
        return str(reason)
    return None


def _redo_doubtful(points: bytes, secret: bytes, masks: npt.NDArray[np.uint8]) -> None:
    """Overwrite the masks of points that the library may get wrong with exact ones."""
    words = np.frombuffer(points, np.dtype("<u2")).reshape(-1, _SIZE // 2)
    doubtful = np.logical_or.reduce([(words == value).any(axis=1) for value in _DOUBTFUL_WORDS])
    doubtful |= np.isin(words[:, -1], _DOUBTFUL_TOPS)
    indices = np.flatnonzero(doubtful)
    if len(indices):
        exact = multiply_exactly(words[indices].tobytes(), secret)
        masks[indices] = np.frombuffer(exact, np.uint8).reshape(-1, _SIZE)


def _multiply(library: ctypes.CDLL, points: bytes, secret: bytes) -> npt.NDArray[np.uint8]:
    """Return the products, padded to a whole number of groups of eight; zeros mark low-order points."""
    padded = np.zeros((-(-len(points) // (_LANES * _SIZE)) * _LANES, _SIZE), np.uint8)
    padded.reshape(-1)[: len(points)] = np.frombuffer(points, np.uint8)
    padded[len(points) // _SIZE :, 0] = 9  # spare lanes take the base point (RFC 7748, section 4.1)
    masks = np.empty_like(padded)
    # The library takes three arrays of eight pointers, one per lane. All of them are laid out beforehand, so
    # that a call costs no more than three integers; the eight scalar pointers are the same for every group.
    offsets = np.arange(len(masks), dtype=np.uintp) * _SIZE
    sources = offsets + np.uintp(padded.ctypes.data)
    targets = offsets + np.uintp(masks.ctypes.data)
    scratch = bytearray(secret)
    secret_view = (ctypes.c_uint8 * _SIZE).from_buffer(scratch)
    keys = np.full(_LANES, ctypes.addressof(secret_view), np.uintp)
    stride = _LANES * offsets.itemsize
    source, target = sources.ctypes.data, targets.ctypes.data
    try:
        # map with repeat: the loop itself runs in C and only the foreign call is left per group.
        statuses = list(
            map(
                library.mbx_x25519_mb8,
                range(target, target + len(masks) // _LANES * stride, stride),
                repeat(keys.ctypes.data),
                range(source, source + len(masks) // _LANES * stride, stride),
            )
        )
    finally:
        ctypes.memset(secret_view, 0, _SIZE)
    if np.bitwise_or.reduce(np.array(statuses, np.uint32)) & ~np.uint32(_LOW_ORDER_NIBBLES):
        raise VeiljoinError(
            "The crypto_mb library reported an unknown status while masking.",
            hint="Choose the engine 'cryptography', and report it.",
        )
    return masks


@functools.cache
def load_library() -> ctypes.CDLL:
    """Load the library once for the process, or raise :class:`_UnusableError`.

    Found through the packages' own lists of files, never by a path or the linker's search, so that only what
    the environment's hashes vouch for is loaded.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "AMD64"):
        raise _UnusableError("it is built for Linux on x86-64 only.")
    runtime = _files("intel-cmplr-lib-rt", _RUNTIME)
    (path,) = _files("ipp-crypto", (_LIBRARY,))
    try:
        for dependency in runtime:
            ctypes.CDLL(dependency, mode=ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(path)
        applicable, multiply = library.mbx_is_crypto_mb_applicable, library.mbx_x25519_mb8
    except (OSError, AttributeError):
        # The text of the linker's error names paths; the sentence is enough to act on.
        raise _UnusableError(
            "its shared library does not load; reinstall ipp-crypto and intel-cmplr-lib-rt."
        ) from None
    applicable.argtypes, applicable.restype = [ctypes.c_uint64], ctypes.c_int
    multiply.argtypes, multiply.restype = [ctypes.c_void_p] * 3, ctypes.c_uint32
    # 0: ask the processor, and whether the operating system saves the registers. Without this check the
    # first call could end the process with an illegal instruction.
    if not applicable(0):
        raise _UnusableError("this processor, or the system on it, lacks AVX-512 IFMA.")
    # Where the library supports the processor in part only, X25519 answers with an error status instead.
    try:
        masks = _multiply(library, bytes.fromhex(_KNOWN_POINT) * _LANES, bytes.fromhex(_KNOWN_SCALAR))
    except VeiljoinError:
        raise _UnusableError("its library has no X25519 for this processor.") from None
    if masks.tobytes() != bytes.fromhex(_KNOWN_RESULT) * _LANES:
        raise _UnusableError("its library gave a wrong answer to a published test vector.")
    return library


def _files(package: str, names: tuple[str, ...]) -> list[str]:
    """Return where the package's own record says that its shared objects lie, in the order of ``names``."""
    try:
        listed = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise _UnusableError(f"the package {package} is not installed (extra 'accel').") from None
    found = {entry.name: str(entry.locate()) for entry in listed}
    missing = [name for name in names if name not in found]
    if missing:
        raise _UnusableError(f"the package {package} does not bring {missing[0]}.")
    return [found[name] for name in names]
