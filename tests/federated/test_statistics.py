"""Statistics against scipy, published examples, and the edges where a figure is undefined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from federated.statistics import (
    Estimate,
    Lift,
    MeanArm,
    Note,
    Plan,
    RateArm,
    Stage,
    cost_per_incremental,
    enough_conversions,
    evaluate,
    funnel,
    incremental,
    lift_of_means,
    lift_of_rates,
    mean,
    minimal_detectable_lift,
    plan,
    power,
    rate,
    return_on_spend,
    sample_ratio,
)
from federated.statistics import distributions as own
from psi.errors import UsageError

PRECISION = 1e-10


def logs(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers from ``low`` to ``high``, evenly on a logarithmic scale."""
    return st.floats(math.log10(low), math.log10(high)).map(lambda power: 10.0**power)


# Distributions


@given(t=logs(1e-3, 40.0), freedom=logs(0.5, 1e12))
def test_student_tail_equals_scipy(t: float, freedom: float) -> None:
    expected = 2.0 * scipy.special.stdtr(freedom, -t)
    if expected > 1e-290:  # below, scipy loses digits
        assert own.student_tail(t, freedom) == pytest.approx(expected, rel=PRECISION)
        assert own.student_tail(-t, freedom) == own.student_tail(t, freedom)


@given(tail=logs(1e-12, 0.999), freedom=logs(1.0, 1e12))
def test_student_quantile_has_the_tail_asked_for(tail: float, freedom: float) -> None:
    quantile = own.student_quantile(tail, freedom)
    assert 2.0 * scipy.special.stdtr(freedom, -quantile) == pytest.approx(tail, rel=PRECISION)


@pytest.mark.parametrize("freedom", [1.0, 1.5, 7.0, 99.0, 1e6])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_student_quantile_equals_scipy(freedom: float, confidence: float) -> None:
    expected = scipy.stats.t.ppf(0.5 + 0.5 * confidence, freedom)
    assert own.student_quantile(1.0 - confidence, freedom) == pytest.approx(expected, rel=PRECISION)


@given(statistic=logs(1e-6, 1_000.0), freedom=st.integers(1, 300))
def test_chi_square_tail_equals_scipy(statistic: float, freedom: int) -> None:
    expected = scipy.special.chdtrc(freedom, statistic)
    if expected > 1e-290:
        assert own.chi_square_tail(statistic, freedom) == pytest.approx(expected, rel=PRECISION)


@given(z=st.floats(-37.0, 37.0))
def test_normal_tails_equal_scipy(z: float) -> None:
    assert own.normal_tail(z) == pytest.approx(2.0 * scipy.special.ndtr(-abs(z)), rel=PRECISION)
    assert own.normal_probability(z) == pytest.approx(scipy.special.ndtr(z), rel=PRECISION)


@given(probability=logs(1e-300, 0.5))
def test_normal_quantile_equals_scipy(probability: float) -> None:
    expected = scipy.special.ndtri(probability)
    assert own.normal_quantile(probability) == pytest.approx(expected, rel=PRECISION, abs=1e-12)


def test_tails_at_the_ends() -> None:
    assert own.student_tail(0.0, 3.0) == 1.0
    assert own.chi_square_tail(0.0, 2) == 1.0
    assert own.student_tail(math.inf, 1.0) < 1e-149
    assert own.student_tail(1e200, 1e6) == 0.0


# Rates


@given(data=st.data(), persons=st.integers(1, 10**9), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_rate_is_wilsons_interval(data: st.DataObject, persons: int, confidence: float) -> None:
    converters = data.draw(st.integers(0, persons))
    estimate = rate(converters, persons, confidence=confidence)
    expected = scipy.stats.binomtest(converters, persons).proportion_ci(confidence, method="wilson")
    assert estimate.value == converters / persons
    assert estimate.low == pytest.approx(expected.low, rel=1e-9, abs=1e-15)
    assert estimate.high == pytest.approx(expected.high, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("test", "control", "low", "high"),
    [  # Newcombe (1998), table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_difference_of_rates_equals_the_published_examples(
    test: tuple[int, int], control: tuple[int, int], low: float, high: float
) -> None:
    absolute = lift_of_rates(RateArm(control[1], control[0]), RateArm(test[1], test[0])).absolute
    assert absolute.low == pytest.approx(low, abs=5.1e-5)
    assert absolute.high == pytest.approx(high, abs=5.1e-5)


def test_p_value_of_large_arms_equals_the_chi_square_test() -> None:
    lift = lift_of_rates(RateArm(40_000, 2_000), RateArm(60_000, 3_180))
    table = [[2_000, 38_000], [3_180, 56_820]]
    expected = scipy.stats.chi2_contingency(table, correction=False).pvalue
    assert lift.p_value == pytest.approx(expected, rel=0.02)


@st.composite
def rate_arms(draw: st.DrawFn, *, noisy: bool = True) -> RateArm:
    """Any arm, noisy or not, empty, all or nobody converted included."""
    persons = draw(st.integers(0, 10**6))
    if noisy and draw(st.booleans()):
        converters = draw(st.integers(-1_000, persons + 1_000))
        return RateArm(persons, converters, draw(logs(0.1, 1e8)), draw(logs(0.1, 1e8)))
    return RateArm(persons, draw(st.integers(0, persons)))


@given(control=rate_arms(), test=rate_arms())
def test_rates_are_ordered_finite_and_agree_with_their_p_value(control: RateArm, test: RateArm) -> None:
    lift = lift_of_rates(control, test)
    assert_sound(lift)
    agrees(lift)
    if lift.relative.low is not None and lift.absolute.low is not None and abs(lift.absolute.low) > 1e-12:
        assert (lift.relative.low > 0.0) == (lift.absolute.low > 0.0)
    if lift.relative.high is not None and lift.absolute.high is not None and abs(lift.absolute.high) > 1e-12:
        assert (lift.relative.high < 0.0) == (lift.absolute.high < 0.0)


@given(arm=rate_arms(noisy=False), noise=logs(0.1, 1e6))
def test_noise_widens_intervals_of_rates(arm: RateArm, noise: float) -> None:
    if arm.persons == 0:
        return
    plain = rate(arm.converters, arm.persons)
    for widened in (
        rate(arm.converters, arm.persons, converters_noise=noise),
        rate(arm.converters, arm.persons, persons_noise=noise),
    ):
        assert widened.value == plain.value
        assert bounds(widened)[0] <= bounds(plain)[0] + 1e-15
        assert bounds(widened)[1] >= bounds(plain)[1] - 1e-15


def test_noise_widens_by_its_variance() -> None:
    # Large counts: the interval is near normal, so variances add up.
    estimate = rate(50_000, 100_000, converters_noise=75_000.0)
    spread = math.sqrt((25_000.0 + 75_000.0) / 100_000.0**2)
    assert bounds(estimate)[1] - 0.5 == pytest.approx(1.959964 * spread, rel=1e-3)


def test_edges_of_rates() -> None:
    assert rate(0, 0) == Estimate(None, None, None, (Note.EMPTY_ARM,))
    assert rate(-4, 100, converters_noise=50.0).notes == (Note.CLAMPED_RATE,)
    assert rate(-4, 100, converters_noise=50.0).value == 0.0
    assert rate(104, 100, converters_noise=50.0).value == 1.0
    assert rate(10, 100, persons_noise=1e9) == Estimate(0.1, 0.0, 1.0, (Note.NOISE_TOO_LARGE,))
    nobody, everybody = rate(0, 50), rate(50, 50)
    assert nobody.low == 0.0
    assert everybody.high == 1.0


def test_lift_without_conversions() -> None:
    lift = lift_of_rates(RateArm(100, 0), RateArm(100, 0))
    assert lift.absolute.value == 0.0
    assert lift.p_value == 1.0
    assert lift.relative == Estimate(None, None, None, (Note.ZERO_CONTROL,))


def test_lift_with_everybody_converted() -> None:
    lift = lift_of_rates(RateArm(100, 100), RateArm(100, 100))
    assert (lift.absolute.value, lift.relative.value, lift.p_value) == (0.0, 0.0, 1.0)


def test_lift_of_nobody_over_somebody() -> None:
    lift = lift_of_rates(RateArm(1_000, 100), RateArm(1_000, 0))
    assert (lift.relative.value, lift.relative.low) == (-1.0, -1.0)
    assert lift.p_value is not None
    assert lift.p_value < 1e-20


def test_lift_with_an_empty_arm() -> None:
    lift = lift_of_rates(RateArm(0, 0), RateArm(100, 10))
    assert lift.control.value is None
    assert lift.test.value == 0.1
    assert (lift.absolute.value, lift.relative.value, lift.p_value) == (None, None, None)
    assert lift.notes == (Note.EMPTY_ARM,)


def test_control_that_noise_hides_leaves_the_relative_lift_open_above() -> None:
    relative = lift_of_rates(RateArm(1_000, 3, converters_noise=200.0), RateArm(1_000, 90)).relative
    assert relative.high is None
    assert relative.low is not None
    assert relative.notes == (Note.CONTROL_NEAR_ZERO,)


def test_overwhelming_differences_have_a_p_value_of_zero_not_a_failure() -> None:
    assert lift_of_rates(RateArm(10**9, 10**6), RateArm(10**9, 9 * 10**8)).p_value == 0.0


# Means


def from_values(values: list[int]) -> MeanArm:
    """The sums of ``values``, one per person."""
    return MeanArm(len(values), sum(values), sum(value * value for value in values))


@given(
    control=st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=60),
    test=st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=60),
    confidence=st.sampled_from([0.9, 0.95]),
)
def test_means_equal_welch_in_scipy(control: list[int], test: list[int], confidence: float) -> None:
    if len(set(control)) == 1 or len(set(test)) == 1:
        return
    lift = lift_of_means(from_values(control), from_values(test), confidence=confidence)
    expected = scipy.stats.ttest_ind(test, control, equal_var=False)
    interval = expected.confidence_interval(confidence)
    scale = float(np.std(control) + np.std(test))
    assert lift.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert lift.absolute.low == pytest.approx(interval.low, rel=1e-9, abs=1e-9 * scale)
    assert lift.absolute.high == pytest.approx(interval.high, rel=1e-9, abs=1e-9 * scale)
    alone = scipy.stats.ttest_1samp(test, 0.0).confidence_interval(confidence)
    assert lift.test.low == pytest.approx(alone.low, rel=1e-9, abs=1e-9 * scale)


def test_variance_keeps_its_digits_beside_a_huge_mean() -> None:
    # 10^15 and one more: the squares agree in 15 digits, and the variance is what is left.
    estimate = mean(from_values([10**15, 10**15 + 1] * 50))
    assert bounds(estimate)[1] - 10.0**15 == pytest.approx(0.5 + 0.0997, abs=0.13)
    lift = lift_of_means(from_values([10**15, 10**15 + 1] * 50), from_values([10**15, 10**15 + 3] * 50))
    assert bounds(lift.absolute)[1] - bounds(lift.absolute)[0] == pytest.approx(0.632, abs=0.01)


def test_relative_lift_of_means_solves_fiellers_equation() -> None:
    control, test = from_values([3, 9, 5, 7, 6, 8, 2]), from_values([9, 12, 4, 11, 15, 8])
    lift = lift_of_means(control, test)
    vc, vt = (np.var(v, ddof=1) / len(v) for v in ([3, 9, 5, 7, 6, 8, 2], [9, 12, 4, 11, 15, 8]))
    freedom = (vc + vt) ** 2 / (vc**2 / 6 + vt**2 / 5)
    t = scipy.stats.t.ppf(0.975, freedom)
    for limit in bounds(lift.relative):
        ratio = 1.0 + limit
        gap = test.total / 6 - ratio * control.total / 7
        assert gap**2 == pytest.approx(t**2 * (vt + ratio**2 * vc), rel=1e-9)


@st.composite
def mean_arms(draw: st.DrawFn) -> MeanArm:
    """Any arm: from values, or with sums that noise has made impossible."""
    if draw(st.booleans()):
        return from_values(draw(st.lists(st.integers(-(10**4), 10**4), max_size=30)))
    total, squares = draw(st.integers(-(10**9), 10**9)), draw(st.integers(-(10**12), 10**12))
    return MeanArm(
        draw(st.integers(-10, 10**5)),
        total,
        squares,
        draw(logs(0.1, 1e6)),
        draw(logs(0.1, 1e15)),
        draw(logs(1.0, 1e20)),
    )


@given(control=mean_arms(), test=mean_arms())
def test_means_are_ordered_finite_and_agree_with_their_p_value(control: MeanArm, test: MeanArm) -> None:
    lift = lift_of_means(control, test)
    assert_sound(lift)
    agrees(lift)


@given(
    # With a handful of persons, known noise also adds degrees of freedom, which may outweigh its width.
    values=st.lists(st.integers(-1_000, 1_000), min_size=20, max_size=40).filter(lambda v: len(set(v)) > 1),
    noise=logs(1.0, 1e9),
)
def test_noise_widens_intervals_of_means(values: list[int], noise: float) -> None:
    plain = from_values(values)
    sums = (plain.persons, plain.total, plain.squares)
    low, high = bounds(mean(plain))
    for widened in (
        mean(MeanArm(*sums, persons_noise=noise)),
        mean(MeanArm(*sums, total_noise=noise)),
        mean(MeanArm(*sums, squares_noise=noise)),
    ):
        assert bounds(widened)[0] <= low + 1e-9
        assert bounds(widened)[1] >= high - 1e-9


def test_edges_of_means() -> None:
    some = from_values([1, 2, 3, 4])
    assert mean(MeanArm(0, 0, 0)) == Estimate(None, None, None, (Note.EMPTY_ARM,))
    assert mean(MeanArm(1, 5, 25)) == Estimate(5.0, None, None, (Note.ONE_PERSON,))
    assert mean(MeanArm(1, 5, 25, total_noise=4.0)) == Estimate(5.0, None, None, (Note.ONE_PERSON,))
    assert mean(from_values([7, 7, 7])) == Estimate(7.0, None, None, (Note.NO_VARIATION,))
    nothing = lift_of_means(from_values([0, 0, 0]), from_values([0, 0]))
    assert (nothing.absolute.value, nothing.absolute.low, nothing.p_value) == (0.0, None, None)
    assert nothing.relative.notes == (Note.ZERO_CONTROL,)
    assert lift_of_means(MeanArm(0, 0, 0), some).absolute == Estimate(None, None, None, (Note.EMPTY_ARM,))
    assert lift_of_means(MeanArm(1, 2, 4), some).absolute == Estimate(0.5, None, None, (Note.ONE_PERSON,))
    one_sided = lift_of_means(from_values([0] * 10), some)
    assert Note.NO_VARIATION in one_sided.notes
    assert one_sided.absolute.low is not None


def test_refunds_are_negative_amounts() -> None:
    lift = lift_of_means(from_values([-5, -9, 0, -4]), from_values([3, 8, 0, -1]))
    assert lift.absolute.value == 7.0
    assert lift.relative == Estimate(None, None, None, (Note.NEGATIVE_CONTROL,))


def test_control_mean_near_zero_leaves_the_relative_lift_open() -> None:
    relative = lift_of_means(from_values([-5, 6, -4, 4]), from_values([3, 8, 0, -1])).relative
    assert (relative.low, relative.high, relative.notes) == (None, None, (Note.CONTROL_NEAR_ZERO,))


def test_variance_that_noise_made_negative_is_replaced_and_said() -> None:
    arm = MeanArm(1_000, 5_000, -400, squares_noise=1e8)
    estimate = mean(arm)
    assert Note.CLAMPED_VARIANCE in estimate.notes
    # At least as wide as one standard deviation of the noise as the sum of squares: 1e4 over 999 persons.
    assert bounds(estimate)[1] - 5.0 > 1.96 * math.sqrt(1e4 / 999 / 1_000)


# Sizes of the arms


def test_sample_ratio_equals_chi_square_of_scipy() -> None:
    persons, shares = [5_101, 4_893, 10_306], [1.0, 1.0, 2.0]
    check = sample_ratio(persons, shares)
    expected = scipy.stats.chisquare(persons, [sum(persons) * share / 4 for share in shares])
    assert check.statistic == pytest.approx(expected.statistic, rel=PRECISION)
    assert check.p_value == pytest.approx(expected.pvalue, rel=PRECISION)
    assert check.passed


def test_sample_ratio_finds_a_mismatch_and_noise_explains_one() -> None:
    assert not sample_ratio([10_000, 10_700], [1, 1]).passed
    assert sample_ratio([10_000, 10_700], [1, 1], noise=[50_000.0, 50_000.0]).passed
    assert sample_ratio([1_000, 9_000], [1, 9]).expected == (1_000.0, 9_000.0)


def test_sample_ratio_with_noise_alarms_as_rarely_as_it_says() -> None:
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(2_000):
        control = int(random.binomial(20_000, 0.3))
        sizes = np.array([control, 20_000 - control]) + np.rint(random.normal(0.0, 60.0, 2)).astype(int)
        alarms += not sample_ratio([int(n) for n in sizes], [3, 7], noise=[3_600.0] * 2, alpha=0.05).passed
    assert 0.035 <= alarms / 2_000 <= 0.065


def test_sample_ratio_of_nobody_passes() -> None:
    assert sample_ratio([0, 0], [1, 1]).passed


@pytest.mark.parametrize(
    ("persons", "shares", "noise"),
    [
        ([5], [1.0], None),
        ([5, 6], [1.0], None),
        ([5, 6], [1.0, 0.0], None),
        ([5, -6], [1, 1], None),
        ([5, 6], [1, 1], [1.0]),
    ],
)
def test_sample_ratio_refuses_plans_that_are_none(
    persons: list[int], shares: list[float], noise: list[float] | None
) -> None:
    with pytest.raises(UsageError):
        sample_ratio(persons, shares, noise=noise)


# Numbers and money


def test_incremental_and_return_carry_the_interval() -> None:
    lift = lift_of_means(from_values([0, 100, 0, 300] * 50), from_values([0, 200, 100, 400] * 50))
    added = incremental(lift.absolute, 200)
    low, high = bounds(lift.absolute)
    assert (added.value, added.low, added.high) == (15_000.0, low * 200.0, high * 200.0)
    returned = return_on_spend(added, 5_000)
    assert (returned.value, returned.low) == (pytest.approx(3.0), pytest.approx(low * 200.0 / 5_000.0))


def test_cost_per_conversion() -> None:
    assert cost_per_incremental(600.0, Estimate(60.0, 40.0, 80.0)) == Estimate(10.0, 7.5, 15.0)
    assert cost_per_incremental(0.0, Estimate(60.0, 40.0, 80.0)) == Estimate(0.0, 0.0, 0.0)
    assert cost_per_incremental(600.0, Estimate(60.0, -1.0, 80.0)) == Estimate(
        10.0, 7.5, None, (Note.INCLUDES_ZERO,)
    )
    assert cost_per_incremental(600.0, Estimate(-5.0, -9.0, 80.0)) == Estimate(
        None, 7.5, None, (Note.NO_EFFECT,)
    )
    assert cost_per_incremental(600.0, Estimate(-5.0, -9.0, -1.0)) == Estimate(
        None, None, None, (Note.NO_EFFECT,)
    )
    empty = Estimate(None, None, None, (Note.EMPTY_ARM,))
    assert cost_per_incremental(600.0, empty) == empty
    assert return_on_spend(empty, 600.0) == empty
    assert return_on_spend(Estimate(1.0, 0.0, 2.0), 0.0) == Estimate(None, None, None, (Note.NO_COST,))


@pytest.mark.parametrize("cost", [-1.0, math.nan, math.inf])
def test_cost_must_be_a_number(cost: float) -> None:
    with pytest.raises(UsageError, match="cost"):
        return_on_spend(Estimate(1.0, 0.0, 2.0), cost)


def test_enough_conversions() -> None:
    assert enough_conversions(20, 80)
    assert not enough_conversions(19, 80)
    assert enough_conversions(1, 2, minimum=3)


# Before launch


@pytest.mark.parametrize(
    ("baseline", "changed", "alpha", "target", "persons"),
    [  # the examples of R's power.prop.test, and the usual 10 % against 12 %
        (0.50, 0.75, 0.05, 0.9, 77),
        (0.50, 0.501, 0.001, 0.9, 10_451_937),
        (0.10, 0.12, 0.05, 0.8, 3_841),
    ],
)
def test_plan_equals_published_examples(
    baseline: float, changed: float, alpha: float, target: float, persons: int
) -> None:
    planned = plan(baseline, changed / baseline - 1.0, alpha=alpha, target=target)
    assert (planned.control, planned.test) == (persons, persons)
    assert planned.power >= target


def test_power_equals_the_published_example() -> None:
    assert power(0.5, 0.5, 50, 50) == pytest.approx(0.740, abs=5e-4)


def test_power_without_a_lift_is_alpha() -> None:
    assert power(0.1, 0.0, 500, 900, alpha=0.07) == pytest.approx(0.07)


@given(
    baseline=st.floats(0.001, 0.5),
    lift=st.floats(0.05, 0.9),
    share=st.floats(0.1, 0.9),
    noise=st.sampled_from([0.0, 200.0]),
)
def test_plan_power_and_minimal_lift_are_one_function(
    baseline: float, lift: float, share: float, noise: float
) -> None:
    planned = plan(baseline, lift, test_share=share, converters_noise=noise)
    assert planned.power == power(baseline, lift, planned.control, planned.test, converters_noise=noise)
    assert planned.power >= 0.8
    least = minimal_detectable_lift(baseline, planned.control, planned.test, converters_noise=noise)
    assert least is not None
    assert least <= lift * (1.0 + 1e-9)
    assert planned.persons == planned.control + planned.test


def test_small_arms_detect_nothing() -> None:
    assert minimal_detectable_lift(0.9, 5, 5) is None


def test_noise_costs_persons() -> None:
    assert plan(0.01, 0.2, converters_noise=10_000.0).persons > plan(0.01, 0.2).persons


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"baseline": 0.0}, "baseline"),
        ({"baseline": 1.0}, "baseline"),
        ({"relative_lift": 30.0}, "relative_lift"),
        ({"relative_lift": math.nan}, "relative_lift"),
        ({"relative_lift": 0.0}, "lift"),
        ({"relative_lift": 1e-9}, "lift"),
        ({"test_share": 1.0}, "test_share"),
        ({"alpha": 0.0}, "alpha"),
        ({"target": 0.04}, "power"),
        ({"converters_noise": -1.0}, "variance"),
    ],
)
def test_plans_without_meaning_are_refused(settings: dict[str, float], name: str) -> None:
    chosen = {"baseline": 0.1, "relative_lift": 0.1} | settings
    with pytest.raises(UsageError, match=name) as caught:
        plan(**chosen)
    assert caught.value.hint


def test_power_of_an_empty_arm_is_refused() -> None:
    with pytest.raises(UsageError, match="no person"):
        power(0.1, 0.1, 0, 100)
    with pytest.raises(UsageError, match="no person"):
        minimal_detectable_lift(0.1, 100, 0)


def test_plan_is_a_record() -> None:
    assert Plan(3, 4, 0.8).persons == 7


# Funnel


def test_funnel_steps() -> None:
    first, second, third, fourth = funnel(
        [Stage("exposed", 1_000), Stage("clicked", 200), Stage("bound", None), Stage("active", 20)]
    )
    assert first.of_previous is None
    assert first.of_first is None
    assert second.of_previous == second.of_first == rate(200, 1_000)
    assert third.of_previous == Estimate(None, None, None, (Note.WITHHELD,))
    assert fourth.of_previous == Estimate(None, None, None, (Note.WITHHELD,))
    assert fourth.of_first == rate(20, 1_000)


def test_funnel_with_noise_may_rise_but_says_so() -> None:
    _, step = funnel([Stage("clicked", 100, noise=50.0), Stage("bound", 104, noise=50.0)])
    assert step.of_previous is not None
    assert step.of_previous.value == 1.0
    assert step.of_previous.notes == (Note.CLAMPED_RATE,)


def test_funnel_without_noise_must_not_rise() -> None:
    with pytest.raises(UsageError, match="'bound'"):
        funnel([Stage("clicked", 100), Stage("bound", 104)])


def test_funnel_of_an_empty_first_stage() -> None:
    _, step = funnel([Stage("exposed", 0), Stage("clicked", 0)])
    assert step.of_first == Estimate(None, None, None, (Note.EMPTY_ARM,))
    assert funnel([]) == ()


# A whole campaign


def test_evaluation_puts_the_sizes_of_the_arms_first() -> None:
    result = evaluate(
        RateArm(10_000, 300),
        RateArm(11_000, 420),
        shares=(1, 1),
        values={"amount": (MeanArm(10_000, 30_000, 9_000_000), MeanArm(11_000, 45_000, 12_000_000))},
        cost=10_000,
    )
    assert result.notes == (Note.SAMPLE_RATIO_MISMATCH,)
    assert result.rates.notes[0] == result.values["amount"].lift.notes[0] == Note.SAMPLE_RATIO_MISMATCH
    assert result.sample_ratio is not None
    assert not result.sample_ratio.passed


def test_evaluation_of_a_sound_campaign() -> None:
    control, test = RateArm(10_000, 300), RateArm(10_000, 420)
    amounts = MeanArm(10_000, 30_000, 9_000_000), MeanArm(10_000, 45_000, 12_000_000)
    result = evaluate(control, test, shares=(1, 1), values={"amount": amounts}, cost=12_000)
    assert result.notes == ()
    assert result.enough_conversions
    assert result.rates == lift_of_rates(control, test)
    assert result.added.value == pytest.approx(120.0)
    assert result.cost_per_converter is not None
    assert result.cost_per_converter.value == pytest.approx(100.0)
    value = result.values["amount"]
    assert value.added.value == pytest.approx(15_000.0)
    assert value.return_on_spend is not None
    assert value.return_on_spend.value == pytest.approx(1.25)


def test_evaluation_without_plan_or_cost() -> None:
    result = evaluate(RateArm(100, 10), RateArm(100, 20), shares=None)
    assert result.notes == (Note.SAMPLE_RATIO_UNCHECKED, Note.TOO_FEW_CONVERSIONS)
    assert result.sample_ratio is None
    assert result.cost_per_converter is None
    assert result.values == {}


def test_evaluation_hands_noise_to_the_check_of_sizes() -> None:
    arms = RateArm(10_000, 900, persons_noise=50_000.0), RateArm(10_700, 950, persons_noise=50_000.0)
    assert evaluate(*arms, shares=(1, 1)).notes == ()


# What no arm can be


@pytest.mark.parametrize(
    ("make", "figures", "settings"),
    [
        (RateArm, (10, 13), {}),
        (RateArm, (10, -1), {}),
        (RateArm, (-1, -1), {}),
        (RateArm, (10, 1), {"persons_noise": -1.0}),
        (RateArm, (10, 1), {"converters_noise": math.nan}),
        (RateArm, (1 << 300, 1), {}),
        (MeanArm, (10, 13, 12), {}),
        (MeanArm, (-1, 0, 0), {}),
        (MeanArm, (10, 0, 1), {"squares_noise": math.inf}),
        (rate, (1, 10), {"confidence": 1.0}),
        (mean, (MeanArm(2, 1, 1),), {"confidence": 0.0}),
        (Stage, ("clicked", 1), {"noise": -1.0}),
    ],
)
def test_impossible_figures_are_refused_without_being_repeated(
    make: Callable[..., object], figures: tuple[object, ...], settings: dict[str, float]
) -> None:
    with pytest.raises(UsageError) as caught:
        make(*figures, **settings)
    assert caught.value.hint
    assert "13" not in str(caught.value)


def test_the_largest_figures_still_give_finite_results() -> None:
    huge = 1 << 200
    lift = lift_of_means(
        MeanArm(1_000, huge, huge, 0.0, 1.0, 1.0), MeanArm(1_000, -huge, huge, 0.0, 1.0, 1.0)
    )
    assert_sound(lift)


def bounds(estimate: Estimate) -> tuple[float, float]:
    """The limits of an interval that has both."""
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def floats(result: object) -> Iterator[float]:
    """All floats within a result."""
    if isinstance(result, float):
        yield result
    elif is_dataclass(result):
        for field in fields(result):
            yield from floats(getattr(result, field.name))


def assert_sound(lift: Lift) -> None:
    """Every figure is finite, lies within its interval, or is missing for a reason."""
    assert all(math.isfinite(number) for number in floats(lift))
    for estimate in (lift.control, lift.test, lift.absolute, lift.relative):
        if estimate.value is None:
            assert estimate.notes
            continue
        if estimate.low is None or estimate.high is None:
            assert estimate.notes
        assert estimate.low is None or estimate.low <= estimate.value
        assert estimate.high is None or estimate.value <= estimate.high


def agrees(lift: Lift) -> None:
    """The p-value and the interval of the difference say the same."""
    if lift.p_value is None or abs(lift.p_value - 0.05) < 1e-9:
        return
    low, high = bounds(lift.absolute)
    assert (lift.p_value < 0.05) == (low > 0.0 or high < 0.0)
