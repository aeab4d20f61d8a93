"""Kernel of engine ``sodium``: ristretto255 with libsodium, through the package ``rbcl``."""

from __future__ import annotations

import importlib.util
from typing import Final

from psi.libsodium import ristretto255

SMALLEST: Final = 2048  # points: about 100 ms of work, as a worker takes about as long to start
_SIZE: Final = 32
_ZERO: Final = bytes(_SIZE)


def multiply(points: bytes, secret: bytes) -> bytes:
    """Return ``secret`` times each 32-byte encoding (RFC 9496); zeros for what does not decode or vanishes."""
    scalarmult = ristretto255().multiply
    masks = []
    for start in range(0, len(points), _SIZE):
        try:
            masks.append(scalarmult(secret, points[start : start + _SIZE]))
        except RuntimeError:
            # Does not decode (RFC 9496, section 4.3.1), or gave the identity.
            masks.append(_ZERO)
    return b"".join(masks)


def reason_unusable() -> str | None:
    """Return one sentence that says why this engine cannot run here, or None when it can."""
    if importlib.util.find_spec("rbcl") is None:
        return "the package rbcl is not installed (extra 'node')."
    try:
        ristretto255()
    except (ImportError, OSError):
        return "libsodium in the package rbcl does not load; the temporary folder must allow programs to run."
    return None
