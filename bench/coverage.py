"""How often a 95 % interval holds the truth: simulated campaigns with a planted lift, statistics alone.

    python -m bench.coverage [CAMPAIGNS]

prints one line per scenario: the coverage of the intervals of `federated.statistics` beside that of the usual
other choices, from the same campaigns. The choices of the library rest on this table.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from federated.statistics import Estimate, Lift, MeanArm, Note, RateArm, lift_of_means, lift_of_rates

DEFAULT_CAMPAIGNS: Final = 1_000
DEFAULT_SEED: Final = 1
_Z: Final = NormalDist().inv_cdf(0.975)
_NORMAL: Final = NormalDist()

Ints = npt.NDArray[np.int64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RateScenario:
    """Arms in persons, the control's rate, the planted relative lift, the scale of the noise (persons)."""

    control: int
    test: int
    baseline: float
    lift: float
    noise_scale: float = 0.0

    @property
    def rates(self) -> tuple[float, float]:
        """True rates of control and test."""
        return self.baseline, self.baseline * (1.0 + self.lift)

    def __str__(self) -> str:
        noise = f", noise {self.noise_scale:g}" if self.noise_scale else ""
        return f"{self.control}/{self.test}, rate {self.baseline:g}, lift {self.lift:+.0%}{noise}"


@dataclass(frozen=True, slots=True)
class MeanScenario:
    """Amounts of converters are log-normal with median 100.00 and ``sigma``, clipped at ``cap``; others have 0.

    ``rate_lift`` and ``amount_lift`` are what the test arm's rate and median gain. With ``epsilon`` every
    released figure of an arm carries discrete Laplace noise of scale (largest change by one person) / epsilon.
    """

    control: int
    test: int
    baseline: float
    sigma: float
    rate_lift: float = 0.0
    amount_lift: float = 0.0
    cap: int = 5_000_000
    epsilon: float | None = None

    def truth(self) -> tuple[float, float]:
        """True means per person of control and test, in cents."""
        return (
            self.baseline * self._amount(10_000.0),
            self.baseline * (1.0 + self.rate_lift) * self._amount(10_000.0 * (1.0 + self.amount_lift)),
        )

    def _amount(self, median: float) -> float:
        """E[min(A, cap)] of a log-normal A."""
        shift = math.log(self.cap / median) / self.sigma
        whole = median * math.exp(0.5 * self.sigma**2) * _NORMAL.cdf(shift - self.sigma)
        return whole + self.cap * _NORMAL.cdf(-shift)

    def __str__(self) -> str:
        noise = f", eps {self.epsilon:g}" if self.epsilon else ""
        lifts = f"rate {self.rate_lift:+.0%} amount {self.amount_lift:+.0%}"
        return f"{self.control}/{self.test}, rate {self.baseline:g}, sigma {self.sigma:g}, {lifts}{noise}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of campaigns whose interval holds the truth, by method; ``undefined`` had no relative lift.

    ``flagged`` is the share with ``Note.FEW_LARGE_AMOUNTS``, ``significant`` that with a p-value below 0.05.
    """

    scenario: RateScenario | MeanScenario
    absolute: dict[str, float]
    relative: dict[str, float]
    undefined: float
    significant: float
    flagged: float


RATE_SCENARIOS: Final = (
    RateScenario(5_000, 5_000, 0.002, 0.5),
    RateScenario(5_000, 5_000, 0.01, 0.1),
    RateScenario(50_000, 50_000, 0.002, 0.2),
    RateScenario(5_000, 5_000, 0.3, 0.1),
    RateScenario(500, 500, 0.9, 0.05),
    RateScenario(200, 200, 0.05, 0.5),
    RateScenario(2_000, 18_000, 0.002, 0.5),
    RateScenario(2_000, 18_000, 0.05, 0.1),
    RateScenario(500, 9_500, 0.05, 0.3),
    RateScenario(5_000, 5_000, 0.02, 0.2, noise_scale=10.0),
    RateScenario(50_000, 50_000, 0.005, 0.1, noise_scale=20.0),
    RateScenario(2_000, 18_000, 0.05, 0.1, noise_scale=10.0),
    RateScenario(500, 500, 0.3, 0.0, noise_scale=20.0),
)
# Noise far larger than the counts, or counts too small to be released: intervals must still not be too narrow.
DROWNED_SCENARIOS: Final = (
    RateScenario(500, 500, 0.002, 0.5),
    RateScenario(5_000, 5_000, 0.002, 0.5, noise_scale=10.0),
    RateScenario(2_000, 18_000, 0.01, 0.1, noise_scale=20.0),
)
MEAN_SCENARIOS: Final = (
    MeanScenario(5_000, 5_000, 0.005, 1.0, rate_lift=0.3),
    MeanScenario(5_000, 5_000, 0.02, 1.0, rate_lift=0.2),
    MeanScenario(5_000, 5_000, 0.1, 1.5, rate_lift=0.2),
    MeanScenario(5_000, 5_000, 0.5, 1.0, amount_lift=0.2),
    MeanScenario(50_000, 50_000, 0.005, 1.0, rate_lift=0.1, amount_lift=0.1),
    MeanScenario(500, 500, 0.3, 0.5, rate_lift=0.2),
    MeanScenario(20_000, 80_000, 0.03, 0.8, rate_lift=0.2),
    MeanScenario(2_000, 18_000, 0.5, 1.0, rate_lift=0.1),
    MeanScenario(20_000, 20_000, 0.05, 1.0, rate_lift=0.2, cap=200_000, epsilon=1.0),
    MeanScenario(50_000, 50_000, 0.02, 1.0, rate_lift=0.2, cap=100_000, epsilon=0.5),
    MeanScenario(5_000, 45_000, 0.2, 0.8, amount_lift=0.1, cap=200_000, epsilon=1.0),
)
# A small control arm and few large amounts: here two moments are not enough, and the note must say so.
SKEWED_SCENARIOS: Final = (
    MeanScenario(2_000, 18_000, 0.02, 1.0, rate_lift=0.3),
    MeanScenario(2_000, 18_000, 0.1, 1.5, rate_lift=0.3),
    MeanScenario(20_000, 180_000, 0.005, 1.0, rate_lift=0.3),
)


def laplace(random: np.random.Generator, scale: float, count: int) -> tuple[Ints, float]:
    """Return ``count`` draws of discrete Laplace noise and its variance; not the exact sampler of the protocol."""
    if scale == 0.0:
        return np.zeros(count, np.int64), 0.0
    stop = -math.expm1(-1.0 / scale)
    noise = random.geometric(stop, count) - random.geometric(stop, count)
    return noise.astype(np.int64), 2.0 * math.exp(-1.0 / scale) / stop**2


def rate_campaigns(scenario: RateScenario, campaigns: int, seed: int) -> Iterator[tuple[RateArm, RateArm]]:
    """Yield (control, test) of ``campaigns`` campaigns."""
    random = np.random.default_rng(seed)
    arms = []
    for persons, rate in zip((scenario.control, scenario.test), scenario.rates, strict=True):
        noise, variance = laplace(random, scenario.noise_scale, campaigns)
        counts = random.binomial(persons, rate, campaigns) + noise
        arms.append([RateArm(persons, int(count), converters_noise=variance) for count in counts])
    yield from zip(*arms, strict=True)


def mean_campaigns(scenario: MeanScenario, campaigns: int, seed: int) -> Iterator[tuple[MeanArm, MeanArm]]:
    """Yield (control, test) of ``campaigns`` campaigns."""
    random = np.random.default_rng(seed)
    arms = []
    for persons, rate, median in (
        (scenario.control, scenario.baseline, 10_000.0),
        (
            scenario.test,
            scenario.baseline * (1.0 + scenario.rate_lift),
            10_000.0 * (1.0 + scenario.amount_lift),
        ),
    ):
        converters = random.binomial(persons, rate, campaigns)
        amounts = random.lognormal(math.log(median), scenario.sigma, int(converters.sum()))
        cents = np.minimum(np.rint(amounts), scenario.cap).astype(np.int64)
        bounds = np.concatenate(([0], np.cumsum(converters)))
        totals = np.diff(np.concatenate(([0], np.cumsum(cents)))[bounds])
        # The running sum may pass 2^63 and wrap; the differences, each below it, are right all the same.
        squares = np.diff(np.concatenate(([0], np.cumsum(cents * cents)))[bounds])
        per_person = 1.0 / scenario.epsilon if scenario.epsilon else 0.0
        sum_noise, sum_variance = laplace(random, scenario.cap * per_person, campaigns)
        square_noise, square_variance = laplace(random, float(scenario.cap) ** 2 * per_person, campaigns)
        arms.append(
            [
                MeanArm(persons, int(s) + int(e), int(q) + int(f), 0.0, sum_variance, square_variance)
                for s, e, q, f in zip(totals, sum_noise, squares, square_noise, strict=True)
            ]
        )
    yield from zip(*arms, strict=True)


def rate_coverage(scenario: RateScenario, campaigns: int, seed: int) -> Coverage:
    """Return the coverage of the library's intervals and of the other candidates for rates."""
    p0, p1 = scenario.rates
    results = [(c, t, lift_of_rates(c, t)) for c, t in rate_campaigns(scenario, campaigns, seed)]
    return _coverage(
        scenario,
        [lift for _, _, lift in results],
        p1 - p0,
        p1 / p0 - 1.0,
        {"Agresti-Caffo": [agresti_caffo(c, t) for c, t, _ in results]},
        {
            "log delta": [log_delta(c, t) for c, t, _ in results],
            "Fieller": [fieller_rates(c, t, lift) for c, t, lift in results],
        },
    )


def mean_coverage(scenario: MeanScenario, campaigns: int, seed: int) -> Coverage:
    """Return the coverage of the library's intervals and of the delta method for means."""
    m0, m1 = scenario.truth()
    lifts = [lift_of_means(c, t) for c, t in mean_campaigns(scenario, campaigns, seed)]
    return _coverage(
        scenario, lifts, m1 - m0, m1 / m0 - 1.0, {}, {"log delta": [log_delta_means(lift) for lift in lifts]}
    )


def agresti_caffo(control: RateArm, test: RateArm) -> Interval:
    """Difference of rates by Agresti and Caffo (2000): one conversion and one other added to each arm."""
    rates, variance = [], 0.0
    for arm in (control, test):
        n = arm.persons + 2
        rates.append((min(arm.persons, max(0, arm.converters)) + 1) / n)
        variance += rates[-1] * (1.0 - rates[-1]) / n + arm.converters_noise / n**2
    reach = _Z * math.sqrt(variance)
    return rates[1] - rates[0] - reach, rates[1] - rates[0] + reach


def log_delta(control: RateArm, test: RateArm) -> Interval:
    """Relative lift by the delta method on the logarithm, one half added to each count (Walter 1975)."""
    logs, variance = [], 0.0
    for arm in (control, test):
        x, n = min(arm.persons, max(0, arm.converters)) + 0.5, arm.persons + 0.5
        logs.append(math.log(x / n))
        variance += max(0.0, 1.0 / x - 1.0 / n) + arm.converters_noise / x**2
    reach = _Z * math.sqrt(variance)
    return _exponential(logs[1] - logs[0] - reach), _exponential(logs[1] - logs[0] + reach)


def fieller_rates(control: RateArm, test: RateArm, lift: Lift) -> Interval:
    """Relative lift of rates by Fieller (1954) with plain variances; unbounded where it has no limits."""
    p0, p1 = lift.control.value or 0.0, lift.test.value or 0.0
    v0, v1 = (
        _Z**2 * (p * (1.0 - p) / arm.persons + arm.converters_noise / arm.persons**2)
        for p, arm in ((p0, control), (p1, test))
    )
    a = p0 * p0 - v0
    if a <= 0.0:
        return -math.inf, math.inf
    root = math.sqrt(max(0.0, v1 * a + p1 * p1 * v0))
    return (p0 * p1 - root) / a - 1.0, (p0 * p1 + root) / a - 1.0


def log_delta_means(lift: Lift) -> Interval:
    """Relative lift of means by the delta method on the logarithm, from the half-widths of the arms."""
    variance, logs = 0.0, []
    for estimate in (lift.control, lift.test):
        if estimate.value is None or estimate.low is None or estimate.value <= 0.0:
            return -math.inf, math.inf
        variance += ((estimate.value - estimate.low) / estimate.value) ** 2
        logs.append(math.log(estimate.value))
    reach = math.sqrt(variance)
    return _exponential(logs[1] - logs[0] - reach), _exponential(logs[1] - logs[0] + reach)


def holds(estimate: Estimate, truth: float) -> bool:
    """Whether the interval holds ``truth``; a missing bound is open."""
    above = estimate.low is None or estimate.low <= truth
    return above and (estimate.high is None or truth <= estimate.high)


def print_coverage(campaigns: int = DEFAULT_CAMPAIGNS, seed: int = DEFAULT_SEED) -> None:
    """Print the coverage of every scenario, in percent of ``campaigns`` simulated campaigns."""
    print(f"Coverage of 95 % intervals in {campaigns} simulated campaigns per line, seed {seed}, in percent.")
    tables: list[tuple[str, Sequence[RateScenario | MeanScenario]]] = [
        ("Rates: absolute | relative", RATE_SCENARIOS),
        ("Rates, counts too small or drowned in noise (too wide is right here)", DROWNED_SCENARIOS),
        ("Means of log-normal amounts with zeros: absolute | relative", MEAN_SCENARIOS),
        ("Means, few large amounts in a small arm (marked by a note)", SKEWED_SCENARIOS),
    ]
    for title, scenarios in tables:
        print(f"\n{title}")
        for scenario in scenarios:
            if isinstance(scenario, RateScenario):
                row = rate_coverage(scenario, campaigns, seed)
            else:
                row = mean_coverage(scenario, campaigns, seed)
            print(f"  {_line(row)}")


def _line(row: Coverage) -> str:
    absolute, relative = (
        ", ".join(f"{name} {share:.1%}" for name, share in methods.items())
        for methods in (row.absolute, row.relative)
    )
    line = f"{row.scenario!s:66} {absolute} | {relative} | p<0.05 {row.significant:.1%}"
    if row.undefined:
        line += f" | no relative lift {row.undefined:.1%}"
    if row.flagged:
        line += f" | flagged {row.flagged:.1%}"
    return line


def _coverage(
    scenario: RateScenario | MeanScenario,
    lifts: list[Lift],
    absolute: float,
    relative: float,
    others_absolute: dict[str, list[Interval]],
    others_relative: dict[str, list[Interval]],
) -> Coverage:
    covered = [holds(lift.absolute, absolute) for lift in lifts]
    flagged = [Note.FEW_LARGE_AMOUNTS in lift.notes for lift in lifts]
    defined = [lift.relative.value is not None for lift in lifts]

    def share(intervals: list[Interval], truth: float, which: list[bool]) -> float:
        return _share(
            [low <= truth <= high for (low, high), use in zip(intervals, which, strict=True) if use]
        )

    everywhere = [True] * len(lifts)
    return Coverage(
        scenario=scenario,
        absolute={"library": _share(covered)}
        | {name: share(intervals, absolute, everywhere) for name, intervals in others_absolute.items()},
        relative={
            "library": _share(
                [holds(lift.relative, relative) for lift, use in zip(lifts, defined, strict=True) if use]
            )
        }
        | {name: share(intervals, relative, defined) for name, intervals in others_relative.items()},
        undefined=1.0 - _share(defined),
        significant=_share([lift.p_value is not None and lift.p_value < 0.05 for lift in lifts]),
        flagged=_share(flagged),
    )


def _share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def _exponential(power: float) -> float:
    return math.expm1(power) if power < 700.0 else math.inf


if __name__ == "__main__":
    print_coverage(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_CAMPAIGNS)
