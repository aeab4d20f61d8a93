"""Differencing attacks, measured: what thresholds, a budget of runs and noise each leave to a partner that varies its
own input from job to job (Guo et al., USENIX Security 2022; AnonPSI, NDSS 2024).

The attacker is as strong as can be: it knows about every person but the target, and how everything here works.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.noise import discrete_laplace
from federated.ports import Tag
from federated.suppression import count_passes, group_passes, hidden_tags
from federated.terms import SumRole, SumTerms, ValueColumn, WindowTerms
from party.policy import DEFAULT_POLICY
from psi.suites import suite_by_id
from tests.federated.keys_for_tests import stream


def terms(**changes: Any) -> SumTerms:
    """Return the terms of a measurement without values, with ``changes``."""
    plain: dict[str, Any] = {
        "contract": bytes(32),
        "suite": suite_by_id("x25519-ell2"),
        "readers": frozenset({SumRole.VALUE_HOLDER}),
        "max_rows": 1,
    }
    return SumTerms(**{**plain, **changes})


def log_probability(value: int, scale: Fraction) -> float:
    """Return ln P(Y = value) of the discrete Laplace distribution."""
    t = float(scale)
    return math.log(math.tanh(1 / (2 * t))) - abs(value) / t


# What one person can change


@pytest.mark.parametrize(
    ("job", "tags"),
    [
        pytest.param(terms(), 0, id="measure"),
        pytest.param(
            terms(values=(ValueColumn("amount", -5, 900), ValueColumn("fee", 0, 7)), max_rows=3),
            0,
            id="values",
        ),
        pytest.param(terms(stages=("bound", "active"), window=WindowTerms(7, 30)), 0, id="funnel"),
        pytest.param(terms(customers=True, tag_columns=("age", "city"), max_rows=100), 6, id="profile"),
    ],
)
def test_what_one_person_can_change_costs_epsilon_in_all(job: SumTerms, tags: int) -> None:
    epsilon = Fraction(3, 2)
    noised = terms(**{name: getattr(job, name) for name in SHAPE}, epsilon=epsilon)
    counts, values = noised.fields(tags)
    cost = Fraction(0)
    for field in (*counts, *values):
        scale = noised.noise_scale(field.name, field.low, field.high)
        assert scale is not None
        one = Fraction(max(abs(field.low), abs(field.high))) / scale
        # A person has one value of each tag column: of its slots, one changes.
        cost += one / 3 if field.name.startswith("tag:") else one
    assert cost <= epsilon


SHAPE = ("customers", "stages", "values", "tag_columns", "window", "max_rows")


@given(st.fractions(Fraction(1, 20), 20), st.integers(0, 60), st.integers(0, 60))
def test_no_released_count_is_much_likelier_with_a_person_than_without(
    epsilon: Fraction, hits: int, shown: int
) -> None:
    scale = 1 / epsilon
    ratio = log_probability(shown - hits - 1, scale) - log_probability(shown - hits, scale)
    assert abs(ratio) <= float(epsilon) + 1e-9


# With noise: thresholds on noised counts tell no more


@pytest.mark.parametrize("epsilon", [Fraction(1, 4), Fraction(1), Fraction(4)])
@pytest.mark.parametrize("hits", [0, 8, 9, 10, 30])
def test_that_a_cell_is_withheld_tells_no_more_than_its_counts(epsilon: Fraction, hits: int) -> None:
    job = terms(epsilon=epsilon)
    scale = 1 / epsilon
    reach = math.ceil(40 * float(scale)) + 60

    def withheld(true: int) -> float:
        return sum(
            math.exp(log_probability(noise, scale))
            for noise in range(-reach, reach + 1)
            if count_passes(job, 200, true + noise, true + noise) is not None
        )

    with_person, without = withheld(hits + 1), withheld(hits)
    for one, other in ((with_person, without), (1 - with_person, 1 - without)):
        assert one <= math.exp(epsilon) * other + 1e-9
        assert other <= math.exp(epsilon) * one + 1e-9


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.booleans())
def test_what_the_group_holder_sends_does_not_depend_on_hits(
    persons: int, hits: int, others: int, customers: bool
) -> None:
    noised = terms(epsilon=Fraction(1), customers=customers)
    assert group_passes(noised, persons, hits) == group_passes(noised, persons, others)
    # Without noise it does, and a partner that knows nine of ten hits reads the tenth off it.
    assert group_passes(terms(), 200, 9) != group_passes(terms(), 200, 10)


@given(st.lists(st.integers(-100, 400), min_size=3, max_size=3), st.integers(0, 2), st.integers(-100, 400))
def test_whether_one_noised_tag_is_shown_depends_on_it_alone(
    counts: list[int], slot: int, changed: int
) -> None:
    profile = terms(epsilon=Fraction(1), customers=True, tag_columns=("age",))
    slots = [Tag("age", str(value)) for value in range(3)]
    before = hidden_tags(profile, slots, sum(counts), counts)
    counts[slot] = changed
    assert before - {slot} == hidden_tags(profile, slots, 0, counts) - {slot}


# Without noise: only the number of questions stands in the way


def test_thresholds_alone_do_not_stop_two_jobs_from_naming_a_person() -> None:
    # Two sets that differ by the target, both above every threshold: one count less the other is that person.
    for job in (terms(), terms(customers=True)):
        for persons, hits in ((200, 60), (201, 60), (201, 61)):
            assert group_passes(job, persons, hits) is None
            assert count_passes(job, persons, hits, hits) is None


@dataclass
class Partner:
    """Counts exactly how many of those it is asked about are its customers; padding lifts them over min_group."""

    customers: frozenset[int]
    runs: int = 0

    def count(self, asked: frozenset[int]) -> int:
        self.runs += 1
        return len(asked & self.customers)


class BudgetSpent(Exception):
    """The attacker has no run left."""


def bisect(targets: frozenset[int], ask: Callable[[frozenset[int]], int]) -> Iterator[int]:
    """Yield the hits among ``targets`` as they are found, by halving sets whose count is known."""
    pending = [(sorted(targets), ask(targets))]
    while pending:
        members, hits = pending.pop()
        if hits == len(members):
            yield from members
        elif hits:
            half = len(members) // 2
            left = ask(frozenset(members[:half]))
            pending += [(members[:half], left), (members[half:], hits - left)]


def attack(seed: int, budget: int) -> tuple[int, int]:
    """Return how many of five hits among 100 targets are found, and by how many runs."""
    targets = frozenset(range(100))
    partner = Partner(frozenset(random.Random(seed).sample(sorted(targets), 5)))

    def ask(asked: frozenset[int]) -> int:
        if partner.runs == budget:
            raise BudgetSpent
        return partner.count(asked)

    found = 0
    try:
        for _ in bisect(targets, ask):
            found += 1
    except BudgetSpent:
        pass
    return found, partner.runs


def test_without_noise_the_default_budget_is_what_limits_the_attack() -> None:
    unlimited = [attack(seed, 10_000) for seed in range(200)]
    assert all(found == 5 for found, _ in unlimited)
    # About thirty exact counts name all five of a hundred.
    assert 20 < sum(runs for _, runs in unlimited) / 200 < 35
    budgeted = [attack(seed, DEFAULT_POLICY.budget.runs) for seed in range(200)]
    assert not any(found == 5 for found, _ in budgeted)
    assert sum(found for found, _ in budgeted) / 200 < 2


# With noise: the posterior over a whole budget


def log_ratio(counts: tuple[int, ...], hits: int, scales: tuple[Fraction, ...]) -> float:
    """Return ln of how much likelier ``counts`` are with the target, a hit, than without."""
    return sum(
        log_probability(count - hits - 1, scale) - log_probability(count - hits, scale)
        for count, scale in zip(counts, scales, strict=True)
    )


@pytest.mark.parametrize(("epsilon", "runs"), [(Fraction(1, 10), 10), (Fraction(1, 4), 4), (Fraction(1), 3)])
def test_with_noise_the_attackers_posterior_stays_within_the_budget(epsilon: Fraction, runs: int) -> None:
    job = terms(epsilon=epsilon)
    counts, values = job.fields()
    scales = tuple(
        scale
        for field in (*counts, *values)
        if (scale := job.noise_scale(field.name, field.low, field.high)) is not None
    )
    assert len(scales) == 3
    hits, trials = 60, 400
    draws, noise = itertools.count(), stream(71)
    bound = float(runs * epsilon)
    right, extreme = 0, 0.0
    for trial in range(trials):
        target = trial % 2
        evidence = 0.0
        for _ in range(runs):
            shown = tuple(hits + target + discrete_laplace(noise, next(draws), scale) for scale in scales)
            evidence += log_ratio(shown, hits, scales)
        # Whatever was shown, prior odds move by at most e^(runs epsilon).
        assert abs(evidence) <= bound + 1e-9
        extreme = max(extreme, abs(evidence))
        right += (evidence > 0) == (target == 1)
    # The best guess is right no more often than that allows, give or take five standard deviations.
    allowed = math.exp(bound) / (1 + math.exp(bound))
    assert right / trials <= allowed + 5 * math.sqrt(0.25 / trials)
    # And the bound is not idle: the attack does learn something.
    assert extreme > bound / 4
