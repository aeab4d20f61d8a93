"""Kernel of engine ``crypto_mb``: X25519 for eight points at once with Intel's crypto_mb library and AVX-512 IFMA.

The library comes in the packages ``ipp-crypto`` and ``intel-cmplr-lib-rt``, as bare shared objects without a
Python module, and runs on any processor with the instructions. ctypes releases the GIL for each call.

The library loses carries where a field element is just below p = 2^255 - 19: with release 2026.2.0 seven
cases of Wycheproof come out wrong. Random points do not get there (wrong masks were seen only for values
whose top 79 bits are all ones, and none in 20 million masks of random points); points that start there are
handed to the exact X25519 of ``cryptography``. What remains: a partner can craft a point whose first few
multiples fall there. It gets a wrong mask for that point and could learn a few leading bits of one job's
scalar: the degree of the equation it must solve grows fourfold with each bit. A job that must not have this
gap forces ``cryptography``.
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

# Points the library may get wrong: the top 31 of 255 bits all ones, which is a wide margin, and 1/2 mod p
# (Wycheproof, tcId 139). Both are rarer than one point in two thousand million.
_DOUBTFUL_TOP: Final = 2**63 - 2**32
_HALF: Final = ((2**255 - 19 + 1) // 2).to_bytes(_SIZE, "little")

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
    masks = _multiply(_load(), points, secret)
    _redo_doubtful(points, secret, masks)
    return masks[: len(points) // _SIZE].tobytes()


def reason_unusable() -> str | None:
    """Return one sentence that says why this engine cannot run here, or None when it can."""
    try:
        _load()
    except _UnusableError as reason:
        return str(reason)
    return None


def _redo_doubtful(points: bytes, secret: bytes, masks: npt.NDArray[np.uint8]) -> None:
    """Overwrite the masks of points that the library may get wrong with exact ones."""
    words = np.frombuffer(points, np.dtype("<u8")).reshape(-1, 4)
    half = np.frombuffer(_HALF, np.dtype("<u8"))
    tops = words[:, 3] & np.uint64(2**63 - 1)  # RFC 7748, section 5: the top bit does not count
    doubtful = tops >= np.uint64(_DOUBTFUL_TOP)
    doubtful |= tops == half[3]  # a chance of 2^-63: comparing one word is enough to ask for a redo
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
def _load() -> ctypes.CDLL:
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
