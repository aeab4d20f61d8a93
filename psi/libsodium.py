"""The two functions of libsodium that suite ``ristretto255`` uses, from the package ``rbcl``.

Loaded when asked for, at a cost that the other suite should not pay: rbcl writes the shared library that it
carries to a file in the temporary folder, loads it from there, and leaves the file behind.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Callable
from typing import NamedTuple


class Ristretto255(NamedTuple):
    """``from_hash``: 64 uniform bytes to an element (RFC 9496, section 4.3.4).

    ``multiply``: scalar and element to element; ``RuntimeError`` for an element that does not decode and for
    a result that is the identity. rbcl's documentation says that the scalar is clamped. It is not: libsodium
    clears its top bit and no more (the tests compare with an independent implementation).
    """

    from_hash: Callable[[bytes], bytes]
    multiply: Callable[[bytes, bytes], bytes]


@functools.cache
def ristretto255() -> Ristretto255:
    """Load libsodium once for the process. Raises ``ImportError`` or ``OSError`` where that fails."""
    rbcl = importlib.import_module("rbcl")
    # A library that is loaded no longer needs its file, except on Windows, where this fails and does no harm.
    with contextlib.suppress(OSError, AttributeError, ImportError):
        os.unlink(importlib.import_module("rbcl._sodium").lib_path)
    return Ristretto255(rbcl.crypto_core_ristretto255_from_hash, rbcl.crypto_scalarmult_ristretto255)
