"""Tails and quantiles of the normal, Student and chi-square distributions.

scipy would add 143 MB to a node, more than its size bar leaves; the tests hold every function here to scipy's
within a relative error of 1e-10. Probabilities are computed as tails, never as one minus a number close to
one, so that a p-value of 1e-200 is still right.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Final

_NORMAL: Final = NormalDist()
# Relative size of the last term of a series or fraction. The error left is of the same order.
_PRECISION: Final = 1e-15
# Terms of a continued fraction; at most 130 were needed where the functions below use them, whatever the freedom.
_MOST_TERMS: Final = 10_000
# t² from which the fraction for the far tail converges well; below it the fraction for the middle does.
_FAR: Final = 3.0
_LARGEST_T: Final = 1e150  # its square is still a float
# From here on ln B(a, 1/2) is taken from its expansion: lgamma(a) would lose digits.
_LARGE_SHAPE: Final = 50.0


def normal_tail(z: float) -> float:
    """Return P(|Z| > |z|) of the standard normal distribution, both sides."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def normal_quantile(probability: float) -> float:
    """Return z with P(Z <= z) = ``probability``, strictly between 0 and 1 (Wichura 1988, AS 241)."""
    return _NORMAL.inv_cdf(probability)


def normal_probability(z: float) -> float:
    """Return P(Z <= z) of the standard normal distribution."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def student_tail(t: float, freedom: float) -> float:
    """Return P(|T| > |t|), both sides, for ``freedom`` > 0 degrees of freedom, which need not be whole.

    The regularised incomplete beta function I_x(freedom/2, 1/2) at x = freedom / (freedom + t²)
    (DLMF 8.17; Abramowitz and Stegun 26.7.1). |t| beyond 1e150 counts as 1e150.
    """
    if t == 0.0:
        return 1.0
    t = min(abs(t), _LARGEST_T)
    shape = 0.5 * freedom
    odds = t * t / freedom  # (1 - x) / x
    # x^shape / B(shape, 1/2), which both fractions share.
    front = math.exp(-shape * math.log1p(odds) - _log_beta_half(shape))
    rest = odds / (1.0 + odds)  # 1 - x, without subtracting near numbers
    if t * t > _FAR:
        return front * _far_fraction(shape, odds) / (shape * math.sqrt(rest))
    return 1.0 - front * _near_fraction(shape, rest) * 2.0 * math.sqrt(rest)


def student_quantile(tail: float, freedom: float) -> float:
    """Return t >= 0 with P(|T| > t) = ``tail``, strictly between 0 and 1.

    Newton's method from the normal quantile, which lies below, on a function that falls and is convex for
    t > 0: every step stays below the root and comes nearer, so that no bracket is needed.
    """
    t = -normal_quantile(0.5 * tail)  # not of 1 - tail/2, which rounds small tails away
    scale = math.exp(-_log_beta_half(0.5 * freedom)) / math.sqrt(freedom)
    while True:
        density = 2.0 * scale * math.exp(-0.5 * (freedom + 1.0) * math.log1p(t * t / freedom))
        step = (student_tail(t, freedom) - tail) / density
        if step <= t * 1e-14:  # at the root; rounding may even have stepped past it
            return t + step
        t += step


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Return P(X > statistic) for a whole number ``freedom`` >= 1 of degrees of freedom.

    The finite sums of Abramowitz and Stegun 26.4.4 and 26.4.5: positive terms only, so nothing cancels.
    """
    if statistic <= 0.0:
        return 1.0
    half = 0.5 * statistic
    odd = freedom % 2
    # Terms half^(i - odd/2) e^(-half) / Gamma(i + 1 - odd/2): i from 1 (odd) or 0 (even) up to freedom/2 - 1.
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    for index in range(odd, (freedom + odd) // 2):
        power = index - 0.5 * odd
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1.0))
    return min(1.0, total)


def _log_beta_half(shape: float) -> float:
    """Return ln B(shape, 1/2).

    For a large shape ln(Gamma(a) / Gamma(a + 1/2)) is taken from its expansion in 1/a (DLMF 5.11.13); the
    difference of two lgamma, each about a ln a, would keep no more than a few digits of it.
    """
    if shape < _LARGE_SHAPE:
        log_ratio = math.lgamma(shape) - math.lgamma(shape + 0.5)
    else:
        inverse = 1.0 / shape
        square = inverse * inverse
        series = 1 / 8 - square * (1 / 192 - square * (1 / 640 - square * (17 / 14336 - square * 31 / 18432)))
        log_ratio = -0.5 * math.log(shape) + inverse * series
    return log_ratio + 0.5 * math.log(math.pi)


def _far_fraction(shape: float, odds: float) -> float:
    """Return F(1, 1/2; shape + 1; -1/odds), Gauss's hypergeometric function, by his continued fraction.

    DLMF 15.7.5 after the transformation 15.8.1 of F(1, shape + 1/2; shape + 1; x): every term is positive,
    so that nothing cancels however large the shape; in the limit it is Laplace's fraction of erfc.
    """

    def terms() -> Iterator[float]:
        for m in itertools.count():
            yield (m + 0.5) * (shape + m) / ((shape + 2 * m) * (shape + 2 * m + 1)) / odds
            yield (m + 1) * (shape + m + 0.5) / ((shape + 2 * m + 1) * (shape + 2 * m + 2)) / odds

    return _continued_fraction(terms())


def _near_fraction(shape: float, rest: float) -> float:
    """Return the continued fraction of I_rest(1/2, shape) (DLMF 8.17.22); fast while rest is below 3/freedom."""

    def terms() -> Iterator[float]:
        for m in itertools.count():
            yield -(m + 0.5) * (m + 0.5 + shape) * rest / ((2 * m + 0.5) * (2 * m + 1.5))
            yield (m + 1) * (shape - m - 1) * rest / ((2 * m + 1.5) * (2 * m + 2.5))

    return _continued_fraction(terms())


def _continued_fraction(terms: Iterator[float]) -> float:
    """Return 1/(1 + t1/(1 + t2/(1 + …))) by the method of Lentz and Thompson (Press et al. 2007, 5.2)."""
    value, c, d = 1.0, 1.0, 0.0
    for term in itertools.islice(terms, _MOST_TERMS):
        d, c = 1.0 / (1.0 + term * d), 1.0 + term / c
        value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            return 1.0 / value
    raise ArithmeticError("A continued fraction did not converge.")
