"""What goes into a measurement statistic and what comes out: arms, estimates, and notes that explain them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from federated.statistics.distributions import normal_quantile
from psi.errors import UsageError

DEFAULT_CONFIDENCE: Final = 0.95
# Exact whole-number arithmetic ends in floats; fourth powers of a figure must still fit one. Real sums stay
# far below: they are bounded by the slot widths of the contract.
_LARGEST_FIGURE: Final = 1 << 200


class Note(StrEnum):
    """Why a figure is missing, open on one side, or to be read with care. Stable words, for every language."""

    EMPTY_ARM = "empty_arm"
    """The arm, or the step before, has no person (or noise left none): no rate, no mean."""
    WITHHELD = "withheld"
    """A count that is needed was suppressed by policy."""
    ZERO_CONTROL = "zero_control"
    """The control arm's figure is zero: nothing to relate a change to."""
    NEGATIVE_CONTROL = "negative_control"
    """The control arm's mean is negative (refunds): a share of it has no meaning."""
    CONTROL_NEAR_ZERO = "control_near_zero"
    """The control arm's figure cannot be told from zero: the relative interval is open above, or on both sides."""
    NO_VARIATION = "no_variation"
    """All persons of an arm have the same value, so the data does not say how far it could vary."""
    ONE_PERSON = "one_person"
    """An arm of one person has no variance."""
    CLAMPED_RATE = "clamped_rate"
    """Noise moved a count below 0 or above its base; the nearest possible rate stands in."""
    CLAMPED_VARIANCE = "clamped_variance"
    """Noise hid the variance (or made it negative); the noise's own size stands in, on the wide side."""
    NOISE_TOO_LARGE = "noise_too_large"
    """The noise on the number of persons leaves no bounded interval."""
    FEW_LARGE_AMOUNTS = "few_large_amounts"
    """Few large amounts make up the total of an arm and the other does not balance it: intervals of means
    are too narrow."""
    TOO_FEW_CONVERSIONS = "too_few_conversions"
    """Fewer conversions than a figure should rest on."""
    NO_EFFECT = "no_effect"
    """No incremental conversions were estimated: a cost per conversion has no meaning."""
    INCLUDES_ZERO = "includes_zero"
    """The interval of the incremental figure reaches zero, so that the cost per conversion is open above."""
    NO_COST = "no_cost"
    """Nothing was spent: no return on spend."""
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    """The arms are not as large as was planned: something other than chance filled them."""
    SAMPLE_RATIO_UNCHECKED = "sample_ratio_unchecked"
    """No planned shares were given, so the sizes of the arms were not checked."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence interval; never infinite, never NaN.

    ``value`` is ``None`` where the figure is undefined, ``low`` or ``high`` where the interval has no bound on
    that side; ``notes`` then says why. The unit is that of the function that made it.
    """

    value: float | None
    low: float | None
    high: float | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class RateArm:
    """One arm, or one cell, as a private sum released it: who could convert, and who did.

    ``persons`` and ``converters`` count persons, each at most once. ``persons_noise`` and ``converters_noise``
    are the variances (persons²) of the privacy noise within them, 0 where none was added. With noise a count
    may be negative, or converters exceed persons. Raises ``UsageError`` for counts that cannot be.
    """

    persons: int
    converters: int
    persons_noise: float = 0.0
    converters_noise: float = 0.0

    def __post_init__(self) -> None:
        check_figures(self.persons, self.converters)
        check_noise(self.persons_noise, self.converters_noise)
        noisy = self.persons_noise > 0 or self.converters_noise > 0
        if not noisy and not 0 <= self.converters <= self.persons:
            raise UsageError(
                "The number of converters is negative or exceeds the number of persons.",
                hint="count each person once, or state the variance of the noise that was added.",
            )


@dataclass(frozen=True, slots=True)
class MeanArm:
    """One arm, or one cell, with the sum of a value over its persons; persons without an outcome count as 0.

    ``persons`` counts all persons of the arm, ``total`` is the sum of their values in some unit (whole
    numbers, such as cents; refunds are negative), ``squares`` the sum of the squares of each *person's* total
    (unit²). ``persons_noise`` (persons²), ``total_noise`` (unit²) and ``squares_noise`` (unit⁴) are the
    variances of the privacy noise within them. Raises ``UsageError`` for figures that cannot be.
    """

    persons: int
    total: int
    squares: int
    persons_noise: float = 0.0
    total_noise: float = 0.0
    squares_noise: float = 0.0

    def __post_init__(self) -> None:
        check_figures(self.persons, self.total, self.squares)
        check_noise(self.persons_noise, self.total_noise, self.squares_noise)
        if self.persons_noise > 0 or self.total_noise > 0 or self.squares_noise > 0:
            return
        # Cauchy and Schwarz: no values have sums like these otherwise.
        if self.persons < 0 or self.squares < 0 or self.total * self.total > self.persons * self.squares:
            raise UsageError(
                "The sum of squares is too small for the sum, or a count is negative.",
                hint="square each person's total, or state the variance of the noise that was added.",
            )


@dataclass(frozen=True, slots=True)
class Lift:
    """Test against control, everybody as assigned (intention to treat).

    ``control`` and ``test`` are shares (rates) or units per assigned person (means); ``absolute`` is test minus
    control in the same unit, ``relative`` the change as a share of control (0.1 is 10 % more). ``p_value`` is
    two-sided, for no difference: below 1 - ``confidence`` exactly when the absolute interval leaves out zero.
    ``notes`` are those of the comparison as a whole; each estimate carries its own.
    """

    control: Estimate
    test: Estimate
    absolute: Estimate
    relative: Estimate
    p_value: float | None
    confidence: float
    notes: tuple[Note, ...] = ()


def undefined(*notes: Note) -> Estimate:
    """Return an estimate without a figure, for the reasons ``notes``."""
    return Estimate(None, None, None, merge(notes))


def merge(*groups: Iterable[Note]) -> tuple[Note, ...]:
    """Return the notes of all ``groups``, each once, in order of appearance."""
    return tuple(dict.fromkeys(note for group in groups for note in group))


def check_figures(*figures: int) -> None:
    """Raise ``UsageError`` for a released figure beyond every slot width."""
    if any(abs(figure) > _LARGEST_FIGURE for figure in figures):
        raise UsageError("A released figure is too large for statistics.", hint="check the declared bounds.")


def check_noise(*variances: float) -> None:
    """Raise ``UsageError`` for a noise variance that is none."""
    if any(not (math.isfinite(variance) and variance >= 0.0) for variance in variances):
        raise UsageError(
            "The variance of the noise is not a number >= 0.", hint="give 0 where there is none."
        )


def check_share(name: str, value: float) -> None:
    """Raise ``UsageError`` unless the setting ``name`` lies strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise UsageError(f"{name} must lie between 0 and 1.", hint=f"for 5 % give {name} = 0.05.")


def two_sided_quantile(confidence: float) -> float:
    """Return z with P(|Z| <= z) = ``confidence``. Raises ``UsageError`` for a confidence that is none."""
    check_share("confidence", confidence)
    return -normal_quantile(0.5 * (1.0 - confidence))
