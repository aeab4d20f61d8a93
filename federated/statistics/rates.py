"""Rates and their differences and ratios, from counts that may carry privacy noise.

One method throughout: Wilson's score interval for each rate, widened by the noise, and the "square-and-add"
combination of two intervals for their difference (Newcombe 1998, method 10) and their ratio (Donner and Zou
2012). Difference and ratio then always agree on whether there is an effect. Against Agresti and Caffo (2000) for
the difference, and the delta method on the logarithm and Fieller's interval for the ratio, it kept closest to
its nominal coverage over small and large base rates, even and uneven arms, with and without noise:
`bench/coverage.py` prints the comparison.

- E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference. JASA 22.
- R. G. Newcombe (1998), Interval estimation for the difference between independent proportions. Stat. Med. 17.
- A. Donner, G. Y. Zou (2012), Closed-form confidence intervals for functions of the normal mean and standard
  deviation. Stat. Methods Med. Res. 21.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from federated.statistics.distributions import normal_tail
from federated.statistics.estimates import (
    DEFAULT_CONFIDENCE,
    Estimate,
    Lift,
    Note,
    RateArm,
    merge,
    two_sided_quantile,
    undefined,
)

# Halvings of the bracket around the p-value's z: its error stays below 1e-12.
_HALVINGS: Final = 48


class _Limits(NamedTuple):
    """A rate with its interval at one z; ``bounded`` is false when noise on the persons left no interval."""

    rate: float
    low: float
    high: float
    bounded: bool = True


def rate(
    converters: int,
    persons: int,
    *,
    converters_noise: float = 0.0,
    persons_noise: float = 0.0,
    confidence: float = DEFAULT_CONFIDENCE,
) -> Estimate:
    """Return ``converters`` / ``persons`` as a share, with Wilson's interval.

    The noise arguments are variances (persons²). Noise is treated as normal; where discrete Laplace noise
    outweighs everything else, a 95 % interval covers about 94 %. Raises ``UsageError`` as ``RateArm`` does.
    """
    return arm_rate(RateArm(persons, converters, persons_noise, converters_noise), confidence)


def arm_rate(arm: RateArm, confidence: float = DEFAULT_CONFIDENCE) -> Estimate:
    """Return the share of an arm's persons who converted, with Wilson's interval."""
    z = two_sided_quantile(confidence)
    if arm.persons <= 0:
        return undefined(Note.EMPTY_ARM)
    limits = _wilson(arm, z)
    notes = []
    if not 0 <= arm.converters <= arm.persons:
        notes.append(Note.CLAMPED_RATE)
    if not limits.bounded:
        notes.append(Note.NOISE_TOO_LARGE)
    return Estimate(limits.rate, limits.low, limits.high, tuple(notes))


def lift_of_rates(control: RateArm, test: RateArm, *, confidence: float = DEFAULT_CONFIDENCE) -> Lift:
    """Compare the shares of converters of two arms; absolute lift as a difference of shares.

    The p-value is the level at which the interval of the difference would just reach zero, so it never
    contradicts the interval. It underflows to 0.0 for differences beyond some 38 standard errors.
    """
    z = two_sided_quantile(confidence)
    shares = arm_rate(control, confidence), arm_rate(test, confidence)
    if control.persons <= 0 or test.persons <= 0:
        nothing = undefined(Note.EMPTY_ARM)
        return Lift(*shares, nothing, nothing, None, confidence, nothing.notes)
    c, t = _wilson(control, z), _wilson(test, z)
    low, high = _difference_limits(c, t, 1.0)
    difference = t.rate - c.rate
    absolute = Estimate(difference, max(-1.0, low), min(1.0, high))
    notes = merge(shares[0].notes, shares[1].notes)
    return Lift(*shares, absolute, _relative(c, t), _p_value(control, test, difference), confidence, notes)


def _wilson(arm: RateArm, z: float) -> _Limits:
    """Return the rate and Wilson's limits: all p with (p̂ - p)² <= z² V(p).

    V(p) = (p (1 - p) persons + converters_noise + p² persons_noise) / persons². Without noise this is Wilson's
    interval. A rate that noise moved outside [0, 1] is first moved to the nearest possible one; that brings
    it closer to every possible p, so no p leaves the interval by it.
    """
    n = float(arm.persons)
    estimate = min(1.0, max(0.0, arm.converters / n))
    k, g, h = z * z / n, z * z * arm.persons_noise / (n * n), z * z * arm.converters_noise / (n * n)
    # The limits are the roots of a p² - b p + c = 0.
    a, b, c = 1.0 + k - g, 2.0 * estimate + k, estimate * estimate - h
    if a <= 0.0:
        return _Limits(estimate, 0.0, 1.0, bounded=False)
    # b² - 4ac, its large terms cancelled by hand; then the stable pair of roots.
    discriminant = k * k + 4.0 * (k * estimate * (1.0 - estimate) + g * estimate * estimate + h * a)
    q = 0.5 * (b + math.sqrt(discriminant))
    return _Limits(estimate, max(0.0, min(estimate, c / q)), min(1.0, max(estimate, q / a)))


def _difference_limits(c: _Limits, t: _Limits, ratio: float) -> tuple[float, float]:
    """Return the limits of test - ``ratio`` x control by squaring and adding the distances to each limit."""
    difference = t.rate - ratio * c.rate
    below = math.hypot(t.rate - t.low, ratio * (c.high - c.rate))
    above = math.hypot(t.high - t.rate, ratio * (c.rate - c.low))
    return difference - below, difference + above


def _relative(c: _Limits, t: _Limits) -> Estimate:
    """Return test / control - 1; its limits are the ratios at which ``_difference_limits`` touches zero."""
    if c.rate == 0.0:
        return undefined(Note.ZERO_CONTROL)
    value = t.rate / c.rate - 1.0
    product = t.rate * c.rate
    # low: (t - L c)² = (t - t.low)² + L² (c.high - c)², the smaller root; c.high (2 c - c.high) may be <= 0.
    spread = t.low * (2.0 * t.rate - t.low) * c.high * (2.0 * c.rate - c.high)
    root = product + math.sqrt(max(0.0, product * product - spread))
    low = t.low * (2.0 * t.rate - t.low) / root if t.low > 0.0 else 0.0
    # high: (U c - t)² = (t.high - t)² + U² (c - c.low)², the larger root; none when c.low is 0.
    quadratic = c.low * (2.0 * c.rate - c.low)
    spread = t.high * (2.0 * t.rate - t.high) * quadratic
    root = product + math.sqrt(max(0.0, product * product - spread))
    high = root / quadratic if quadratic > 0.0 else math.inf
    if math.isinf(high):
        return Estimate(value, min(value, low - 1.0), None, (Note.CONTROL_NEAR_ZERO,))
    return Estimate(value, min(value, low - 1.0), max(value, high - 1.0))


def _p_value(control: RateArm, test: RateArm, difference: float) -> float:
    """Return the two-sided level at which the interval of the difference just reaches zero."""

    def reaches_zero(z: float) -> bool:
        low, high = _difference_limits(_wilson(control, z), _wilson(test, z), 1.0)
        return low <= 0.0 <= high

    if difference == 0.0:
        return 1.0
    below, above = 0.0, 1.0
    while not reaches_zero(above):
        below, above = above, 2.0 * above
        if above > 64.0:  # its tail is no longer a positive float
            return 0.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (below + above)
        below, above = (below, middle) if reaches_zero(middle) else (middle, above)
    return normal_tail(above)
