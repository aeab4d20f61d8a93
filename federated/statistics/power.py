"""Before launch: will a campaign of this size show an effect of this size?

The normal approximation of the test of two proportions with pooled variance under no effect (J. L. Fleiss, B.
Levin, M. C. Paik (2003), Statistical Methods for Rates and Proportions, 4.2), for arms of unequal size, without
continuity correction, as R's ``power.prop.test``; the variance of privacy noise is added to that of each count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from federated.statistics.distributions import normal_probability
from federated.statistics.estimates import check_noise, check_share, two_sided_quantile
from psi.errors import UsageError

DEFAULT_ALPHA: Final = 0.05
DEFAULT_POWER: Final = 0.8
# More persons than anybody has; a plan beyond it is refused.
_MOST_PERSONS: Final = 1e12
_HALVINGS: Final = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """The smallest arms, in persons, that reach ``power`` (a share; never below what was asked for)."""

    control: int
    test: int
    power: float

    @property
    def persons(self) -> int:
        """Persons of both arms."""
        return self.control + self.test


def power(
    baseline: float,
    relative_lift: float,
    control: int,
    test: int,
    *,
    alpha: float = DEFAULT_ALPHA,
    converters_noise: float = 0.0,
) -> float:
    """Return the probability that a two-sided test at ``alpha`` finds the effect.

    ``baseline`` is the control arm's rate, ``relative_lift`` the change as a share of it (0.1 is 10 % more,
    negative for fewer), ``control`` and ``test`` the persons per arm, ``converters_noise`` the variance
    (persons²) of the noise on each arm's converters. Raises ``UsageError`` for settings without meaning.
    """
    _check(baseline, relative_lift, alpha, converters_noise)
    if min(control, test) < 1:
        raise UsageError("An arm has no person.", hint="give the persons of both arms.")
    return _power(baseline, relative_lift, float(control), float(test), alpha, converters_noise)


def plan(
    baseline: float,
    relative_lift: float,
    *,
    test_share: float = 0.5,
    alpha: float = DEFAULT_ALPHA,
    target: float = DEFAULT_POWER,
    converters_noise: float = 0.0,
) -> Plan:
    """Return the persons needed to find ``relative_lift`` with probability ``target``.

    ``test_share`` is the share of persons in the test arm; the rest is as for ``power``. Raises
    ``UsageError`` for settings without meaning and for a lift that no campaign is large enough to show.
    """
    _check(baseline, relative_lift, alpha, converters_noise)
    check_share("test_share", test_share)
    _check_target(target, alpha)

    def reached(persons: float) -> bool:
        arms = persons * (1.0 - test_share), persons * test_share
        return _power(baseline, relative_lift, *arms, alpha, converters_noise) >= target

    if relative_lift == 0.0 or not reached(_MOST_PERSONS):
        raise UsageError(
            "The lift is too small to be shown by any campaign.",
            hint="plan for the smallest lift worth having.",
        )
    persons = _bisect(0.0, _MOST_PERSONS, reached)
    control = max(1, math.ceil(persons * (1.0 - test_share)))
    test = max(1, math.ceil(persons * test_share))
    achieved = _power(baseline, relative_lift, float(control), float(test), alpha, converters_noise)
    return Plan(control, test, achieved)


def minimal_detectable_lift(
    baseline: float,
    control: int,
    test: int,
    *,
    alpha: float = DEFAULT_ALPHA,
    target: float = DEFAULT_POWER,
    converters_noise: float = 0.0,
) -> float | None:
    """Return the smallest relative lift > 0 that is found with probability ``target``.

    ``None`` when not even a conversion of every person in the test arm would be.
    """
    _check(baseline, 0.0, alpha, converters_noise)
    _check_target(target, alpha)
    if min(control, test) < 1:
        raise UsageError("An arm has no person.", hint="give the persons of both arms.")

    def reached(lift: float) -> bool:
        return _power(baseline, lift, float(control), float(test), alpha, converters_noise) >= target

    largest = 1.0 / baseline - 1.0
    return _bisect(0.0, largest, reached) if reached(largest) else None


def _power(
    baseline: float, lift: float, control: float, test: float, alpha: float, converters_noise: float
) -> float:
    changed = min(1.0, baseline * (1.0 + lift))
    pooled = (control * baseline + test * changed) / (control + test)
    noise = converters_noise * (1.0 / control**2 + 1.0 / test**2)
    null = math.sqrt(pooled * (1.0 - pooled) * (1.0 / control + 1.0 / test) + noise)
    spread = math.sqrt(baseline * (1.0 - baseline) / control + changed * (1.0 - changed) / test + noise)
    difference, reach = abs(changed - baseline), two_sided_quantile(1.0 - alpha) * null
    return normal_probability((difference - reach) / spread) + normal_probability(
        (-difference - reach) / spread
    )


def _bisect(low: float, high: float, reached: Callable[[float], bool]) -> float:
    """Return the least point of (``low``, ``high``] from which on ``reached`` holds, as far as a float tells."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _check(baseline: float, lift: float, alpha: float, converters_noise: float) -> None:
    check_share("baseline", baseline)
    check_share("alpha", alpha)
    check_noise(converters_noise)
    if not (math.isfinite(lift) and 0.0 <= baseline * (1.0 + lift) <= 1.0 + 1e-12):
        raise UsageError(
            "relative_lift moves the baseline below 0 or above 1.",
            hint="0.1 means 10 % more than the baseline.",
        )


def _check_target(target: float, alpha: float) -> None:
    check_share("power", target)
    if target <= alpha:
        raise UsageError("power must be larger than alpha.", hint="0.8 is usual.")
