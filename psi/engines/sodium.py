"""Engine ``sodium``: ristretto255 scalar multiplication with libsodium, through the package ``rbcl``.

rbcl reaches libsodium through ctypes, which releases the GIL for each multiplication, so threads gain.
"""

from __future__ import annotations

import importlib.util
from typing import Final

from psi.engines.slices import Threads, slices
from psi.libsodium import ristretto255
from psi.points import check_masked
from psi.secret import Scalar
from psi.suites import RISTRETTO255

_SIZE: Final = 32
_SMALLEST_SLICE: Final = 64  # points: about 3 ms of work, far above the cost of waking a thread
_ZERO: Final = bytes(_SIZE)


class Sodium:
    """See :class:`psi.engines.Engine`."""

    name = "sodium"

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._multiply = ristretto255().multiply
        self._pool = Threads(threads)

    def mask(self, points: bytes, scalar: Scalar) -> bytes:
        count, rest = divmod(len(points), _SIZE)
        if rest:
            raise ValueError(f"{len(points)} bytes are not a whole number of {_SIZE}-byte elements")
        secret = scalar.reveal()
        if len(secret) != _SIZE:
            raise ValueError(f"a scalar is {_SIZE} bytes, not {len(secret)}")
        multiply = self._multiply
        masks = [_ZERO] * count

        def task(start: int, stop: int) -> None:
            for index in range(start, stop):
                try:
                    masks[index] = multiply(secret, points[index * _SIZE : (index + 1) * _SIZE])
                except RuntimeError:
                    # Does not decode (RFC 9496, section 4.3.1), or gave the identity: left at zero for
                    # check_masked, which refuses the first such element of the whole batch.
                    continue

        self._pool.run(task, slices(count, self.threads, 1, _SMALLEST_SLICE))
        result = b"".join(masks)
        check_masked(RISTRETTO255, result)
        return result

    def close(self) -> None:
        self._pool.close()


def reason_unusable() -> str | None:
    """Return one sentence that says why this engine cannot run here, or None when it can."""
    if importlib.util.find_spec("rbcl") is None:
        return "the package rbcl is not installed (extra 'node')."
    try:
        ristretto255()
    except (ImportError, OSError):
        return "libsodium in the package rbcl does not load; the temporary folder must allow programs to run."
    return None


def create(threads: int) -> Sodium:
    """Open the engine on ``threads`` threads."""
    return Sodium(threads)
