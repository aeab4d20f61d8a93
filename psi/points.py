"""Checks on what the partner sent, and on what masking made of it.

Each check raises :class:`~psi.errors.PeerViolation` with the index of the first bad element within the chunk,
never its bytes. They run over the whole chunk at once with numpy, at a cost far below that of one mask.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from psi.errors import PeerViolation
from psi.suites import Suite

_P: Final = 2**255 - 19

# All x-coordinates of points whose order divides 8, on the curve and on its twist (cr.yp.to/ecdh.html lists
# them; the tests derive them again). A clamped scalar takes each to zero whatever it is (RFC 7748, section
# 6.1), so that a partner could plant hits with them.
LOW_ORDER_X: Final[tuple[int, ...]] = (
    0,  # order 2, on the curve and on its twist; also how the point at infinity is written
    1,  # order 4, on the curve
    _P - 1,  # order 4, on the twist
    325606250916557431795983626356110631294008115727848805560023387167927233504,  # order 8, on the curve
    39382357235489614581723060781553021112529911719440698176882885853963445705823,  # order 8, on the curve
)

# Only elements whose topmost 64 bits are one of these, or at least 2^63 - 1, can fail a check by value.
_LOW_ORDER_TOPS: Final = tuple(sorted({x >> 192 for x in LOW_ORDER_X}))
_FIELD_TOP: Final = _P >> 192

_HINT: Final = "The partner runs other or faulty software, or means harm; check versions before a new job."


def check_elements(suite: Suite, data: bytes) -> None:
    """Refuse a chunk of group elements, n x 32 bytes from the partner, unless each may be masked.

    ``x25519-ell2``: top bit clear, value below p = 2^255 - 19, and none of the five low-order x-coordinates.
    Points of the twist pass: a peer that sends them learns a mask of its own making, the twist is secure
    (RFC 7748, section 7), and telling them apart would cost a Legendre symbol each.

    ``ristretto255``: the encoding is below p and even ("non-negative", RFC 9496, section 4.3.1 steps 1-2) and
    not the identity, which libsodium would accept. Whether it decodes at all is left to the scalar
    multiplication that follows, which decodes anyway: engine ``sodium`` refuses the element there.

    Raises :class:`~psi.errors.PeerViolation`; it names the first bad element by its index in the chunk.
    """
    words = _words(suite, data)
    tops = words[:, 3]
    suspects = tops >= _FIELD_TOP
    if suite.group == "curve25519":
        for top in _LOW_ORDER_TOPS:
            suspects |= tops == top
    else:
        suspects |= tops == 0
        suspects |= words[:, 0] & np.uint64(1) == 1
    for index in np.flatnonzero(suspects).tolist():
        element = data[index * suite.element_size : (index + 1) * suite.element_size]
        fault = _fault(suite, int.from_bytes(element, "little"))
        if fault:
            raise PeerViolation(f"Element {index} of the partner's chunk {fault}.", hint=_HINT)


def check_masked(suite: Suite, data: bytes) -> None:
    """Refuse a chunk of masks, n x 32 bytes, that holds an all-zero one.

    Zero is the mask of a low-order point (RFC 7748, section 6.1) and the identity of ristretto255 (RFC 9496).

    Engines write zeros for an element that cannot be masked, so that this is the one place that refuses it.
    Raises :class:`~psi.errors.PeerViolation`; it names the first such element by its index in the chunk.
    """
    zero = ~_words(suite, data).any(axis=1)
    if zero.any():
        index = int(np.argmax(zero))
        raise PeerViolation(
            f"Element {index} of the chunk is no {suite.group} point that can be masked.", hint=_HINT
        )


def truncate(data: bytes, element_size: int = 32, token_size: int = 16) -> bytes:
    """Return the first ``token_size`` bytes of each ``element_size``-byte element, as one run of bytes.

    Raises ``ValueError`` when ``data`` is not a whole number of elements.
    """
    rows = np.frombuffer(data, np.uint8).reshape(_whole(data, element_size), element_size)
    return rows[:, :token_size].tobytes()


def _whole(data: bytes, element_size: int) -> int:
    count, rest = divmod(len(data), element_size)
    if rest:
        raise ValueError(f"{len(data)} bytes are not a whole number of {element_size}-byte elements")
    return count


def _words(suite: Suite, data: bytes) -> npt.NDArray[np.uint64]:
    if len(data) % suite.element_size:
        raise PeerViolation(
            f"A chunk of {len(data)} bytes is not a whole number of {suite.element_size}-byte elements.",
            hint=_HINT,
        )
    return np.frombuffer(data, np.dtype("<u8")).reshape(-1, 4)


def _fault(suite: Suite, value: int) -> str:
    """Say what is wrong with one element, or return an empty string."""
    if value >= _P:
        return "is not a canonical encoding"
    if suite.group == "curve25519":
        return "has low order" if value in LOW_ORDER_X else ""
    if value & 1:
        return "is not a canonical encoding"
    return "is the identity" if value == 0 else ""
