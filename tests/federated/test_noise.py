"""Exact discrete Laplace noise: against its probabilities, against OpenDP, and the same on every replay."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import opendp.prelude as dp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.noise import TAIL_BITS, _Bits, bounded_laplace, discrete_laplace, tail
from tests.federated.keys_for_tests import stream

DRAWS = 6000


def probability(value: int, scale: Fraction) -> float:
    """Return P(Y = value): (e^(1/scale) - 1) / (e^(1/scale) + 1) e^(-|value| / scale)."""
    t = float(scale)
    return math.tanh(1 / (2 * t)) * math.exp(-abs(value) / t)


def bins(scale: Fraction) -> list[int]:
    """Return the values that are expected at least 10 times in DRAWS."""
    return [v for v in range(-400, 401) if DRAWS * probability(v, scale) >= 10]


def limit(degrees: int) -> float:
    """Return a bound of chi-square that chance exceeds about once in a million."""
    return degrees + 5 * math.sqrt(2 * degrees) + 12


def goodness(drawn: list[int], scale: Fraction) -> tuple[float, int]:
    """Return chi-square against the exact probabilities, with the tails as one bin, and its degrees of freedom."""
    values = bins(scale)
    counts = Counter(drawn)
    chi_square, rest_seen, rest_expected = 0.0, len(drawn), float(len(drawn))
    for value in values:
        expected = len(drawn) * probability(value, scale)
        chi_square += (counts[value] - expected) ** 2 / expected
        rest_seen -= counts[value]
        rest_expected -= expected
    if rest_expected >= 5:
        return chi_square + (rest_seen - rest_expected) ** 2 / rest_expected, len(values)
    return chi_square, len(values) - 1


SCALES = [Fraction(1, 3), Fraction(1), Fraction(5, 2), Fraction(10), Fraction(100, 7)]


def draws(scale: Fraction) -> list[int]:
    return [discrete_laplace(stream(11), index, scale) for index in range(DRAWS)]


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_draws_have_the_exact_probabilities(scale: Fraction) -> None:
    chi_square, degrees = goodness(draws(scale), scale)
    assert chi_square < limit(degrees)


def test_the_test_sees_a_scale_that_is_a_tenth_off() -> None:
    chi_square, degrees = goodness(draws(Fraction(5, 2)), Fraction(11, 4))
    assert chi_square > limit(degrees)


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(5, 2)], ids=str)
def test_draws_are_those_of_opendp(scale: Fraction) -> None:
    dp.enable_features("contrib")
    laplace = dp.m.make_laplace(dp.atom_domain(T=int), dp.absolute_distance(T=int), scale=float(scale))
    theirs, ours = Counter(laplace(0) for _ in range(DRAWS)), Counter(draws(scale))
    # Two samples of one size: (a - b)^2 / (a + b) is chi-square distributed.
    values = bins(scale)
    chi_square = sum((ours[v] - theirs[v]) ** 2 / (ours[v] + theirs[v]) for v in values)
    assert chi_square < limit(len(values))
    # And OpenDP's against the probabilities: the formula is theirs too.
    assert goodness(list(theirs.elements()), scale)[0] < limit(len(values))


def test_bernoulli_of_an_exponential_is_exact() -> None:
    for numerator, denominator in ((0, 1), (1, 1), (1, 2), (3, 7), (99, 100)):
        bits = _Bits(stream(12), 0)
        hits = sum(bits.bernoulli_exp(numerator, denominator) for _ in range(4000))
        p = math.exp(-numerator / denominator)
        assert abs(hits - 4000 * p) <= 5 * math.sqrt(4000 * p * (1 - p))


@given(st.integers(1, 1000), st.integers(0, 50))
def test_uniform_integers_stay_below_their_limit(below: int, index: int) -> None:
    bits = _Bits(stream(13), index)
    assert all(0 <= bits.below(below) < below for _ in range(20))


def test_uniform_integers_are_uniform() -> None:
    bits = _Bits(stream(14), 0)
    counts = Counter(bits.below(7) for _ in range(7000))
    assert sum((counts[v] - 1000) ** 2 / 1000 for v in range(7)) < limit(6)


def test_a_draw_replays_alone_and_draws_differ() -> None:
    scale = Fraction(1000)
    whole = [discrete_laplace(stream(15), index, scale) for index in range(40)]
    assert discrete_laplace(stream(15), 17, scale) == whole[17]
    assert len(set(whole)) > 30
    assert whole != [discrete_laplace(stream(16), index, scale) for index in range(40)]


def test_large_and_tiny_scales() -> None:
    big = Fraction(50_000_00 * 14, 1) / Fraction(1, 10)
    sample = [discrete_laplace(stream(17), index, big) for index in range(300)]
    # The mean magnitude of a Laplace variable is its scale.
    assert 0.75 < sum(map(abs, sample)) / 300 / float(big) < 1.25
    assert {discrete_laplace(stream(18), index, Fraction(1, 200)) for index in range(50)} == {0}


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_the_tail_is_as_rare_as_it_says_and_not_much_longer(scale: Fraction) -> None:
    def log2_beyond(bound: int) -> float:
        # P(|Y| > bound) = 2 e^(-(bound + 1) / t) / (1 + e^(-1/t))
        t = float(scale)
        return 1 - (bound + 1) / t / math.log(2) - math.log2(1 + math.exp(-1 / t))

    assert log2_beyond(tail(scale)) < -TAIL_BITS
    assert log2_beyond(tail(scale) * 9 // 10 - 1) > -TAIL_BITS - 1


def test_noise_is_cut_at_the_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    scale = Fraction(3)
    for drawn, kept in ((10**9, tail(scale)), (-(10**9), -tail(scale)), (5, 5)):
        monkeypatch.setattr("federated.noise.discrete_laplace", lambda stream, index, scale, y=drawn: y)
        assert bounded_laplace(stream(), 0, scale) == kept


@pytest.mark.parametrize("scale", [Fraction(0), Fraction(-1, 2)])
def test_scales_are_positive(scale: Fraction) -> None:
    with pytest.raises(ValueError, match="above 0"):
        discrete_laplace(stream(), 0, scale)
    with pytest.raises(ValueError, match="above 0"):
        tail(scale)
