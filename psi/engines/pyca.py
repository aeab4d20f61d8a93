"""Kernel of engine ``cryptography``: X25519 of the package ``cryptography``, which runs everywhere."""

from __future__ import annotations

import importlib.util
from typing import Final

SMALLEST: Final = 2048  # points: about 75 ms of work, as a worker takes about as long to start
_SIZE: Final = 32
_ZERO: Final = bytes(_SIZE)


def multiply(points: bytes, secret: bytes) -> bytes:
    """Return X25519 (RFC 7748, section 5) of ``secret`` and each 32-byte element; zeros for low order."""
    # Imported here, so that the engines can say it when the package is missing.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    exchange = X25519PrivateKey.from_private_bytes(secret).exchange
    load = X25519PublicKey.from_public_bytes
    masks = []
    for start in range(0, len(points), _SIZE):
        element = load(points[start : start + _SIZE])
        try:
            masks.append(exchange(element))
        except ValueError:
            # The one error exchange() has: the result is all zero (RFC 7748, section 6.1).
            masks.append(_ZERO)
    return b"".join(masks)


def reason_unusable() -> str | None:
    """Return one sentence that says why this engine cannot run here, or None when it can."""
    if importlib.util.find_spec("cryptography") is None:
        return "the package cryptography is not installed."
    return None
