"""Engine ``crypto_mb``: X25519 for eight points at once with Intel's crypto_mb library and AVX-512 IFMA.

The library comes in the packages ``ipp-crypto`` and ``intel-cmplr-lib-rt``, as bare shared objects without a
Python module, and runs on any processor with the instructions. ctypes releases the GIL for each call.
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

from psi.engines.slices import Threads, slices
from psi.errors import VeiljoinError
from psi.points import check_masked
from psi.secret import Scalar
from psi.suites import X25519_ELL2

_LANES: Final = 8
_SIZE: Final = 32
_SMALLEST_SLICE: Final = 512  # points: about 3 ms of work, far above the cost of waking a thread
# The runtime must be in the process before the library that needs it, in this order.
_RUNTIME: Final = ("libintlc.so.5", "libirng.so", "libimf.so", "libsvml.so")
_LIBRARY: Final = "libcrypto_mb.so"

# crypto_mb/status.h: one nibble per lane; LOW_ORDER_ERR marks an all-zero result
_LOW_ORDER_NIBBLES: Final = 0x44444444

# RFC 7748, section 5.2, first test vector of X25519: proof that the library was called rightly.
_KNOWN_SCALAR: Final = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"
_KNOWN_POINT: Final = "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"
_KNOWN_RESULT: Final = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


class _UnusableError(Exception):
    """Why the library cannot serve here, as one sentence."""


class CryptoMb:
    """See :class:`psi.engines.Engine`."""

    name = "crypto_mb"

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._library = _load()
        self._pool = Threads(threads)

    def mask(self, points: bytes, scalar: Scalar) -> bytes:
        count, rest = divmod(len(points), _SIZE)
        if rest:
            raise ValueError(f"{len(points)} bytes are not a whole number of {_SIZE}-byte elements")
        if not count:
            return b""
        ranges = slices(count, self.threads, _LANES, _SMALLEST_SLICE)
        masks = np.empty((-(-count // _LANES) * _LANES, _SIZE), np.uint8)
        _multiply(self._library, self._pool, points, scalar, masks, ranges)
        result = masks[:count].tobytes()
        check_masked(X25519_ELL2, result)
        return result

    def close(self) -> None:
        self._pool.close()


def reason_unusable() -> str | None:
    """Return one sentence that says why this engine cannot run here, or None when it can."""
    try:
        _load()
    except _UnusableError as reason:
        return str(reason)
    return None


def create(threads: int) -> CryptoMb:
    """Open the engine on ``threads`` threads."""
    return CryptoMb(threads)


def _multiply(
    library: ctypes.CDLL,
    pool: Threads,
    points: bytes,
    scalar: Scalar,
    masks: npt.NDArray[np.uint8],
    ranges: list[tuple[int, int]],
) -> None:
    """Fill ``masks`` (a whole number of groups of eight) with the products; zeros mark low-order points."""
    padded = np.zeros(masks.shape, np.uint8)
    padded.reshape(-1)[: len(points)] = np.frombuffer(points, np.uint8)
    padded[len(points) // _SIZE :, 0] = 9  # spare lanes take the base point (RFC 7748, section 4.1)
    # The library takes three arrays of eight pointers, one per lane. All of them are laid out beforehand, so
    # that a call costs no more than three integers; the eight scalar pointers are the same for every group.
    offsets = np.arange(len(masks), dtype=np.uintp) * _SIZE
    sources = offsets + np.uintp(padded.ctypes.data)
    targets = offsets + np.uintp(masks.ctypes.data)
    secret = bytearray(scalar.reveal())
    if len(secret) != _SIZE:
        raise ValueError(f"a scalar is {_SIZE} bytes, not {len(secret)}")
    secret_view = (ctypes.c_uint8 * _SIZE).from_buffer(secret)
    keys = np.full(_LANES, ctypes.addressof(secret_view), np.uintp)
    statuses = np.zeros(len(masks) // _LANES, np.uint32)
    stride = _LANES * offsets.itemsize

    def task(start: int, stop: int) -> None:
        first, last = start // _LANES, -(-stop // _LANES)
        source, target = sources.ctypes.data, targets.ctypes.data
        # map with repeat: the loop itself runs in C and only the foreign call is left per group.
        statuses[first:last] = list(
            map(
                library.mbx_x25519_mb8,
                range(target + first * stride, target + last * stride, stride),
                repeat(keys.ctypes.data),
                range(source + first * stride, source + last * stride, stride),
            )
        )

    try:
        pool.run(task, ranges)
    finally:
        ctypes.memset(secret_view, 0, _SIZE)
    if np.bitwise_or.reduce(statuses) & ~np.uint32(_LOW_ORDER_NIBBLES):
        raise VeiljoinError(
            "The crypto_mb library reported an unknown status while masking.",
            hint="Choose the engine 'cryptography', and report it.",
        )


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
    masks = np.zeros((_LANES, _SIZE), np.uint8)
    known = Scalar(bytes.fromhex(_KNOWN_SCALAR))
    try:
        _multiply(library, Threads(1), bytes.fromhex(_KNOWN_POINT) * _LANES, known, masks, [(0, _LANES)])
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
