"""Exact discrete Laplace noise: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", 2020.

Algorithms 1 and 2 there, in integers and fractions on bits of the job's stream, so that an auditor can recompute
every draw and no rounding of floats can be seen in the output (SPEC 8).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from federated.stream import KeyStream

# Draw i reads the stream from i times this many bytes on: draws don't depend on their order. A draw needs some
# hundred bytes; that one needs more than this has a chance far below 2^-128.
_DRAW_BYTES: Final = 1 << 20
_FILL_BYTES: Final = 256
# The tail of a draw beyond `tail(scale)` has a probability below 2^-80.
TAIL_BITS: Final = 80
# ln 2 rounded up, so that the tail is rounded up.
_LN2_ABOVE: Final = Fraction(6_931_471_806, 10_000_000_000)


class _Bits:
    """Uniform integers from one draw's part of the stream, read in order."""

    def __init__(self, stream: KeyStream, index: int) -> None:
        self._stream = stream
        self._next = index * _DRAW_BYTES
        self._end = self._next + _DRAW_BYTES
        self._store = 0
        self._stored = 0

    def take(self, count: int) -> int:
        """Return ``count`` bits as an integer."""
        while self._stored < count:
            if self._next == self._end:
                raise RuntimeError("a draw of noise ran out of its stream")
            self._store = self._store << 8 * _FILL_BYTES | self._stream.bits(self._next, 8 * _FILL_BYTES)
            self._stored += 8 * _FILL_BYTES
            self._next += _FILL_BYTES
        self._stored -= count
        taken = self._store >> self._stored
        self._store &= (1 << self._stored) - 1
        return taken

    def below(self, limit: int) -> int:
        """Return a uniform integer in [0, limit), by rejection."""
        size = (limit - 1).bit_length()
        while (number := self.take(size)) >= limit:
            pass
        return number

    def bernoulli_exp(self, numerator: int, denominator: int) -> bool:
        """Return True with probability exp(-numerator / denominator), for a quotient in [0, 1] (Algorithm 1)."""
        k = 1
        while self.below(denominator * k) < numerator:
            k += 1
        return k % 2 == 1


def discrete_laplace(stream: KeyStream, index: int, scale: Fraction) -> int:
    """Return draw ``index`` of the stream: y with probability proportional to exp(-|y| / scale), y any integer.

    ``scale`` is sensitivity / epsilon and above 0, else ``ValueError``. The same stream and index give the same
    bits, so a draw MUST be used for one figure only.
    """
    if scale <= 0:
        raise ValueError("the scale of noise is above 0")
    bits = _Bits(stream, index)
    t, s = scale.numerator, scale.denominator
    while True:
        # Algorithm 2: a geometric variable of scale t from a uniform part and whole multiples of t ...
        u = bits.below(t)
        if not bits.bernoulli_exp(u, t):
            continue
        v = 0
        while bits.bernoulli_exp(1, 1):
            v += 1
        # ... coarsened by s, and given a sign so that zero is not counted twice.
        magnitude = (u + t * v) // s
        negative = bits.take(1)
        if negative and magnitude == 0:
            continue
        return -magnitude if negative else magnitude


def tail(scale: Fraction) -> int:
    """Return a bound that a draw exceeds in magnitude with probability below 2^-80: room for it in a slot.

    P(|Y| > T) = 2 e^(-(T+1)/scale) / (1 + e^(-1/scale)) < 2 e^(-T/scale), so T = scale (80 + 1) ln 2 suffices.
    """
    if scale <= 0:
        raise ValueError("the scale of noise is above 0")
    bound = scale * (TAIL_BITS + 1) * _LN2_ABOVE
    return -(-bound.numerator // bound.denominator)


def bounded_laplace(stream: KeyStream, index: int, scale: Fraction) -> int:
    """Return :func:`discrete_laplace` cut at ``+-tail(scale)``, so that a slot can never overflow.

    Costs a delta below 2^-80 per figure in the privacy guarantee.
    """
    bound = tail(scale)
    return max(-bound, min(bound, discrete_laplace(stream, index, scale)))
