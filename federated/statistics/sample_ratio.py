"""Are the arms as large as planned? To be asked before any other figure is looked at.

A. Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments. KDD '19: a mismatch
means that something other than chance decided who is in an arm, and no figure on that campaign can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from federated.statistics.distributions import chi_square_tail
from federated.statistics.estimates import check_figures, check_noise, check_share
from psi.errors import UsageError

# Strict, because the check runs on every campaign and an alarm discards all of its figures.
DEFAULT_ALPHA: Final = 0.001


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Result of the check: ``passed`` is false for a mismatch, with ``p_value`` below ``alpha``.

    ``statistic`` is chi-square with one degree of freedom less than there are arms; ``expected`` are the
    numbers of persons per arm that the plan would give.
    """

    statistic: float
    p_value: float
    alpha: float
    expected: tuple[float, ...]
    passed: bool


def sample_ratio(
    persons: Sequence[int],
    shares: Sequence[float],
    *,
    noise: Sequence[float] | None = None,
    alpha: float = DEFAULT_ALPHA,
) -> SampleRatio:
    """Compare the ``persons`` assigned to each of two or more arms with the planned ``shares``.

    ``shares`` need not add up to 1 (9 and 1 mean 90 % and 10 %); ``noise`` has the variance (persons²) of the
    privacy noise within each count. No person at all is no mismatch. Raises ``UsageError`` for shares or
    lengths that fit no plan.
    """
    variances = tuple(noise) if noise is not None else (0.0,) * len(persons)
    check_figures(*persons)
    check_noise(*variances)
    check_share("alpha", alpha)
    if not (len(persons) == len(shares) == len(variances) >= 2):
        raise UsageError(
            "The check of the arms' sizes needs one planned share per arm.", hint="name two or more."
        )
    if not all(math.isfinite(share) and share > 0.0 for share in shares):
        raise UsageError("A planned share of an arm is not a number > 0.", hint="9 and 1 mean 90 % and 10 %.")
    if noise is None and min(persons) < 0:
        raise UsageError(
            "The number of persons of an arm is negative.", hint="state the variance of its noise."
        )
    whole, total = sum(shares), float(sum(persons))
    planned = [share / whole for share in shares]
    expected = tuple(max(0.0, total) * share for share in planned)
    # Counts around N x share with variances N x share + noise, N unknown: the least squares over N have the
    # distribution of Pearson's statistic, and are equal to it without noise.
    spread = [size + variance for size, variance in zip(expected, variances, strict=True)]
    if min(spread) <= 0.0:
        return SampleRatio(0.0, 1.0, alpha, expected, passed=True)
    weights = [share / variance for share, variance in zip(planned, spread, strict=True)]
    fitted = sum(w * n for w, n in zip(weights, persons, strict=True)) / sum(
        w * share for w, share in zip(weights, planned, strict=True)
    )
    statistic = sum(
        (n - fitted * share) ** 2 / variance
        for n, share, variance in zip(persons, planned, spread, strict=True)
    )
    p_value = chi_square_tail(statistic, len(persons) - 1)
    return SampleRatio(statistic, p_value, alpha, expected, passed=p_value >= alpha)
