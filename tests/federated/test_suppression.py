"""Suppression: each rule at its threshold, and that nothing shown determines what is withheld (brute force)."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.ports import Tag
from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP
from federated.suppression import (
    HiddenCell,
    complete_total,
    count_passes,
    dominated,
    group_passes,
    hidden_counts,
    hidden_in_total,
    hidden_tags,
)
from federated.terms import SumRole, SumTerms, ValueColumn, WindowTerms
from psi.suites import suite_by_id

EPSILON = Fraction(1)


def terms(**changes: Any) -> SumTerms:
    """Return the terms of a job without noise, with ``changes``."""
    plain: dict[str, Any] = {
        "contract": bytes(32),
        "suite": suite_by_id("x25519-ell2"),
        "readers": frozenset({SumRole.VALUE_HOLDER}),
    }
    return SumTerms(**{**plain, **changes})


def figures(converters: int, *stages: int, conversions: int | None = None, **more: int) -> dict[str, int]:
    """Return one cell's figures in which everybody who matched converted."""
    named = {f"stage:s{number}": count for number, count in enumerate(stages)}
    rows = converters if conversions is None else conversions
    return {"matched": converters, "converters": converters, "conversions": rows, **named} | more


def staged(count: int, **changes: Any) -> SumTerms:
    """Return the terms of a job with ``count`` stages."""
    return terms(stages=tuple(f"s{number}" for number in range(count)), **changes)


# Cells


@pytest.mark.parametrize(
    ("changes", "persons", "hits", "reason"),
    [
        ({}, 49, 49, BELOW_MIN_GROUP),
        ({}, 50, 10, None),
        ({}, 50, 9, BELOW_MIN_CONVERTERS),
        ({"customers": True}, 50, 49, BELOW_MIN_GROUP),
        ({"customers": True}, 50, 50, None),
        ({"epsilon": EPSILON}, 49, 49, BELOW_MIN_GROUP),
        # Exact hits decide nothing once the other side reads noised ones: whether a cell comes would tell them.
        ({"epsilon": EPSILON}, 50, 0, None),
        ({"epsilon": EPSILON, "customers": True}, 50, 49, None),
    ],
)
def test_what_the_group_holder_sends(
    changes: dict[str, Any], persons: int, hits: int, reason: str | None
) -> None:
    assert group_passes(terms(**changes), persons, hits) == reason


@pytest.mark.parametrize(
    ("changes", "counts", "reason"),
    [
        ({}, (49, 40, 40), BELOW_MIN_GROUP),
        ({}, (50, 10, 10), None),
        ({}, (50, 40, 9), BELOW_MIN_CONVERTERS),
        ({}, (50, 0, 0), BELOW_MIN_CONVERTERS),
        ({"customers": True}, (90, 49, 20), BELOW_MIN_GROUP),
        ({"customers": True}, (90, 50, 10), None),
        ({"customers": True, "tag_columns": ("age",)}, (90, 50, 0), None),
        ({"epsilon": EPSILON}, (50, -3, -2), BELOW_MIN_CONVERTERS),
        ({"epsilon": EPSILON, "customers": True}, (50, 49, 12), BELOW_MIN_GROUP),
        ({"epsilon": EPSILON}, (50, 60, 55), None),
    ],
)
def test_which_cells_are_read(
    changes: dict[str, Any], counts: tuple[int, int, int], reason: str | None
) -> None:
    assert count_passes(terms(**changes), *counts) == reason


AMOUNT = (ValueColumn("amount", -100, 5000),)


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([10] * 10, False),
        ([10] * 9, True),
        ([1] * 500 + [5000], True),
        ([0] * 40, False),
        ([10] * 10 + [0] * 40, False),
        ([-10] * 10, False),
        ([10] * 20 + [-10] * 20, True),  # the sum says nothing, so it may go
    ],
)
def test_dominance(amounts: list[int], expected: bool) -> None:
    cell = {"sum:amount": sum(amounts), "square:amount": sum(amount**2 for amount in amounts)}
    assert dominated(terms(values=AMOUNT), cell) is expected
    assert not dominated(terms(values=AMOUNT, dominance=0), cell)
    assert not dominated(terms(values=AMOUNT, epsilon=EPSILON), cell)


def test_one_dominated_column_is_enough() -> None:
    both = (*AMOUNT, ValueColumn("fee", 0, 10))
    cell = {"sum:amount": 100, "square:amount": 1000, "sum:fee": 10, "square:fee": 100}
    assert dominated(terms(values=both), cell)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.integers(1, 20))
def test_fewer_persons_than_the_rule_says_always_dominate(amounts: list[int], least: int) -> None:
    cell = {"sum:amount": sum(amounts), "square:amount": sum(amount**2 for amount in amounts)}
    if len(amounts) < least:
        assert dominated(terms(values=AMOUNT, dominance=least), cell)


# Tags


def tags(*columns: int) -> list[Tag]:
    """Return tags of columns with so many values each."""
    return [
        Tag(f"column {column}", f"value {value}")
        for column, values in enumerate(columns)
        for value in range(values)
    ]


@pytest.mark.parametrize(
    ("matched", "counts", "hidden"),
    [
        pytest.param(300, [100, 200], [], id="all large, nobody without a value"),
        pytest.param(300, [100, 120], [], id="many without a value"),
        pytest.param(300, [100, 190], [0], id="ten without a value would follow"),
        pytest.param(300, [10, 100, 190], [0, 1], id="one small: the next smallest covers it"),
        pytest.param(300, [0, 110, 190], [0, 1], id="nobody is like few"),
        pytest.param(300, [30, 30, 240], [0, 1], id="two small that cover each other"),
        pytest.param(300, [49, 49, 202], [0, 1, 2], id="98 is 49 twice, and 300 nothing less"),
        pytest.param(348, [49, 49, 90, 160], [0, 1, 2], id="98 is 49 twice, so one more"),
        pytest.param(300, [5, 6, 289], [0, 1, 2], id="two small, jointly too few"),
        pytest.param(60, [60], [], id="one value that everybody has"),
        pytest.param(60, [20], [0], id="one value that few have"),
        pytest.param(300, [100, 49, 151], [0, 1], id="the large one lies before the small one"),
    ],
)
def test_tags_of_one_column(matched: int, counts: list[int], hidden: list[int]) -> None:
    profile = terms(customers=True, tag_columns=("column 0",))
    assert sorted(hidden_tags(profile, tags(len(counts)), matched, counts)) == hidden


def test_columns_of_tags_stand_alone() -> None:
    profile = terms(customers=True, tag_columns=("column 0", "column 1"))
    assert hidden_tags(profile, tags(2, 3), 300, [100, 200, 10, 100, 190]) == {2, 3}


def test_noised_tags_are_held_to_the_threshold_alone() -> None:
    profile = terms(customers=True, tag_columns=("column 0",), epsilon=EPSILON)
    assert hidden_tags(profile, tags(4), 300, [49, -7, 50, 260]) == {0, 1}


def test_a_threshold_of_one_hides_no_tag() -> None:
    profile = terms(customers=True, tag_columns=("column 0",), min_group=1)
    assert hidden_tags(profile, tags(3), 3, [0, 1, 2]) == frozenset()


@pytest.mark.parametrize(("min_group", "values"), [(2, 2), (3, 2), (4, 2), (5, 2), (3, 3), (4, 3)])
def test_no_small_tag_count_can_be_told_by_who_knows_the_rules(min_group: int, values: int) -> None:
    profile = terms(customers=True, tag_columns=("column 0",), min_group=min_group)
    slots, top = tags(values), (5 if values == 2 else 3) * min_group
    seen: defaultdict[Any, list[tuple[int, ...]]] = defaultdict(list)
    for counts in itertools.product(range(top + 1), repeat=values):
        for rest in range(min_group + 2):
            matched = sum(counts) + rest
            hidden = hidden_tags(profile, slots, matched, counts)
            shown = tuple(None if slot in hidden else count for slot, count in enumerate(counts))
            assert all(count is None or count >= min_group for count in shown)
            if not hidden:
                # The persons without a value follow: none, or enough.
                assert rest == 0 or rest >= min_group
            # The worst case: somebody knows how many have no value. If that is all of them, no rule helps.
            if sum(counts):
                seen[(matched, rest, shown)].append(counts)
    checked = 0
    for (_, _, shown), worlds in seen.items():
        for slot, count in enumerate(shown):
            possible = {world[slot] for world in worlds}
            if count is None and min(possible) < min_group:
                checked += 1
                assert len(possible) > 1, (shown, worlds)
    assert checked > 50


# Stages


@pytest.mark.parametrize(
    ("cell", "hidden"),
    [
        (figures(100, 60, 30), set()),
        (figures(100, 60, 9), {"stage:s1"}),
        (figures(100, 60, 0), set()),
        (figures(100, 100, 100), set()),
        (figures(100, 95, 60), {"stage:s0"}),  # five did not even begin
        (figures(100, 60, 55), {"stage:s1"}),  # five stopped there
        (figures(100, 95, 90), {"stage:s0"}),
        (figures(100, 60, 60), set()),
        (figures(12, 8, 4), {"stage:s0", "stage:s1"}),
        (figures(100, 60, 30, conversions=105), set()),
        (figures(100, 100, 60, matched=105), set()),  # that five did not convert is told by the cell
        (figures(90, 96, 60, matched=105), {"stage:s0"}),  # a stage without an outcome
    ],
)
def test_stages(cell: dict[str, int], hidden: set[str]) -> None:
    assert hidden_counts(staged(2), cell) == hidden


@pytest.mark.parametrize(("retained", "told"), [(0, True), (9, False), (10, True), (95, False), (100, True)])
def test_retained(retained: int, told: bool) -> None:
    funnel = terms(window=WindowTerms(7, 30))
    assert hidden_counts(funnel, figures(100, retained=retained)) == (set() if told else {"retained"})


def test_noised_counts_are_held_to_the_threshold_alone() -> None:
    cell = figures(100, 97, 0, conversions=-4)
    assert hidden_counts(staged(2, epsilon=EPSILON), cell) == {"stage:s1", "conversions"}


def nested(converters: int, stages: int) -> Iterator[tuple[int, ...]]:
    """Yield all nested counts of ``stages`` stages."""
    counts: Iterable[tuple[int, ...]] = [()]
    for _ in range(stages):
        counts = [
            (*each, count) for each in counts for count in range((each[-1] if each else converters) + 1)
        ]
    return iter(counts)


@pytest.mark.parametrize("least", [2, 3, 4, 5])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_no_hidden_stage_can_be_told_by_who_knows_the_rules(least: int, stages: int) -> None:
    funnel = staged(stages, min_converters=least)
    for converters in (max(least, 3), 2 * least + 1, 3 * least):
        seen: defaultdict[Any, list[tuple[int, ...]]] = defaultdict(list)
        for counts in nested(converters, stages):
            hidden = hidden_counts(funnel, figures(converters, *counts))
            shown = tuple(None if f"stage:s{i}" in hidden else count for i, count in enumerate(counts))
            told = [converters, *(count for count in shown if count is not None)]
            steps = [a - b for a, b in itertools.pairwise([*told, 0])]
            assert all(step == 0 or step >= least for step in steps), (converters, counts, shown)
            seen[shown].append(counts)
        for shown, worlds in seen.items():
            for stage, count in enumerate(shown):
                assert count is not None or len({world[stage] for world in worlds}) > 1, (converters, worlds)


# Totals


@pytest.mark.parametrize(
    ("cells", "complete"),
    [
        pytest.param([], True, id="none hidden"),
        pytest.param([(200, 30, 5)], False, id="one: the total would tell it"),
        pytest.param([(200, 30, 5), (200, 9, 4)], False, id="two, jointly too few converters"),
        pytest.param([(200, 30, 5), (200, 9, 5)], True, id="two, jointly enough"),
        pytest.param([(200, 30, 9), (200, 9, 9)], False, id="18 is nine twice"),
        pytest.param([(200, 30, 9), (200, 9, 9), (200, 9, 1)], True, id="three, and a choice"),
        pytest.param([(20, 10, 9), (20, 9, 9), (9, 9, 1)], False, id="jointly too few persons"),
        pytest.param([(50, 50, 5), (50, 50, 5)], False, id="everybody matched"),
        pytest.param([(200, 30, 5), (200, 60, 60)], True, id="one small, one withheld for another reason"),
        pytest.param([(200, 30, 5), (40, 11, 11)], True, id="one small, and one below min_group"),
        pytest.param([(200, 200, 200), (200, 200, 200)], False, id="everybody in both converted"),
    ],
)
def test_totals(cells: list[tuple[int, int, int]], complete: bool) -> None:
    assert complete_total(terms(), [HiddenCell(*cell) for cell in cells]) is complete
    assert complete_total(terms(), [(*cell, None) for cell in cells]) is complete


def test_totals_of_customers_keep_a_range_of_matched_ones() -> None:
    customers = terms(customers=True)
    assert not complete_total(customers, [(90, 49, 10, None), (90, 49, 10, None)])
    assert complete_total(customers, [(90, 30, 10, None), (90, 30, 10, None)])


def test_a_profile_has_no_converters() -> None:
    profile = terms(customers=True, tag_columns=("age",))
    assert complete_total(profile, [(90, 30, 0, None), (90, 30, 0, None)])


def test_joint_dominance() -> None:
    paying = terms(values=AMOUNT)
    even = {"sum:amount": 100, "square:amount": 1000}
    rich = {"sum:amount": 5000, "square:amount": 25_000_000}
    assert complete_total(paying, [(200, 30, 5, even), (200, 30, 5, even)])
    assert not complete_total(paying, [(200, 30, 5, even), (200, 30, 5, rich)])
    # Opened jointly, they are looked at jointly.
    assert complete_total(paying, [(200, 30, 5, even), (200, 30, 5, None)])


def test_noised_totals_need_two_cells_that_jointly_pass() -> None:
    noised = terms(epsilon=EPSILON)
    assert not complete_total(noised, [(200, 60, 30, None)])
    assert complete_total(noised, [(200, 9, 9, None), (200, 9, 9, None)])
    assert not complete_total(noised, [(200, 9, 9, None), (200, -4, -4, None)])


def test_a_hidden_cell_prints_no_count() -> None:
    assert repr(HiddenCell(123, 45, 6)) == "HiddenCell(<withheld>)"


def counted(persons: int, least: int) -> list[tuple[int, int]]:
    """Return all (matched, converters) of a cell that ``min_converters`` withholds."""
    return [(m, c) for m in range(persons + 1) for c in range(min(m, least - 1) + 1)]


@pytest.mark.parametrize(("least", "sizes"), [(3, (6, 6)), (4, (6, 6)), (4, (5, 4, 6)), (5, (7, 5))])
def test_no_hidden_cell_can_be_told_from_a_total(least: int, sizes: tuple[int, ...]) -> None:
    job = terms(min_group=least, min_converters=least)
    seen: defaultdict[tuple[int, int], list[Sequence[tuple[int, int]]]] = defaultdict(list)
    for world in itertools.product(*(counted(persons, least) for persons in sizes)):
        cells = [(persons, m, c, None) for persons, (m, c) in zip(sizes, world, strict=True)]
        if complete_total(job, cells):
            matched, converters = (sum(column) for column in zip(*world, strict=True))
            assert converters >= least
            seen[(matched, converters)].append(world)
    assert seen
    for worlds in seen.values():
        for cell in range(len(sizes)):
            assert len({world[cell][0] for world in worlds}) > least // 2
            assert len({world[cell][1] for world in worlds}) > least // 2


def test_a_total_does_not_show_what_one_cell_hides() -> None:
    funnel = staged(1)
    clear, small, half = figures(100, 50), figures(100, 4), figures(100, 6)
    assert hidden_in_total(funnel, [clear, clear]) == frozenset()
    assert hidden_in_total(funnel, [clear, small]) == {"stage:s0"}
    assert hidden_in_total(funnel, [clear, small, half]) == frozenset()
    assert hidden_in_total(funnel, [clear, figures(100, 1), figures(100, 1)]) == {"stage:s0"}
    assert hidden_in_total(funnel, [clear, figures(100, 95), figures(100, 93)]) == frozenset()
    # Withheld cells jointly are held to the rules of one cell: four of them reached the stage.
    assert hidden_in_total(funnel, [clear], figures(100, 4)) == {"stage:s0"}
    assert hidden_in_total(funnel, [clear], figures(100, 40)) == frozenset()
    assert hidden_in_total(funnel, []) == frozenset()


def test_noised_totals_show_what_noised_cells_do_not() -> None:
    noised = staged(1, epsilon=EPSILON)
    small = figures(60, 4, conversions=-3)
    assert hidden_counts(noised, small) == {"stage:s0", "conversions"}
    assert hidden_in_total(noised, [small, figures(90, 40)]) == frozenset()
    assert hidden_in_total(noised, [small, small]) == {"stage:s0", "conversions"}


@given(
    st.lists(st.lists(st.integers(-40, 300), min_size=6, max_size=6), max_size=4),
    st.integers(1, 12),
)
def test_noised_figures_of_any_kind_are_judged(cells: list[list[int]], least: int) -> None:
    noised = staged(2, epsilon=EPSILON, min_converters=least, window=WindowTerms(7, 30))
    names = ("matched", "converters", "conversions", "stage:s0", "stage:s1", "retained")
    table = [dict(zip(names, cell, strict=True)) for cell in cells]
    total = {name: sum(cell[name] for cell in table) for name in names}
    hidden = hidden_in_total(noised, table)
    if cells and least > 2:
        assert hidden == {name for name in names[2:] if total[name] < least}


def test_a_threshold_of_two_hides_two_as_well() -> None:
    funnel = staged(1, min_converters=2)
    pair = figures(2, 2)
    assert hidden_counts(funnel, pair) == {"stage:s0", "conversions"}
    assert hidden_in_total(funnel, [pair, figures(50, 20)]) == {"stage:s0", "conversions"}


def test_totals_of_tags_need_every_cell() -> None:
    profile = terms(customers=True, tag_columns=("column 0",))
    slots = tags(3)

    def cell(*counts: int) -> dict[str, int]:
        return figures(sum(counts), **{f"tag:{slot}": count for slot, count in enumerate(counts)})

    wide, thin = cell(100, 110, 120), cell(10, 110, 120)
    assert hidden_in_total(profile, [wide, wide], None, slots) == frozenset()
    assert hidden_in_total(profile, [wide, thin], None, slots) == {"tag:0", "tag:1"}
    assert hidden_in_total(profile, [wide, wide], thin, slots) == {"tag:0", "tag:1"}


# Not 3: two cells that hide a stage reach it with one person at least each, and a total below 3 is then 2.
@pytest.mark.parametrize("least", [4, 5])
def test_no_hidden_stage_of_a_cell_can_be_told_from_the_totals(least: int) -> None:
    funnel, sizes = staged(2, min_converters=least), (2 * least, 2 * least + 1)
    seen: defaultdict[Any, list[tuple[tuple[int, ...], ...]]] = defaultdict(list)
    for world in itertools.product(*(list(nested(size, 2)) for size in sizes)):
        cells = [figures(size, *counts) for size, counts in zip(sizes, world, strict=True)]
        hidden = hidden_in_total(funnel, cells)
        shown = [
            None if name in hidden_counts(funnel, cell) else cell[name]
            for cell in cells
            for name in ("stage:s0", "stage:s1")
        ]
        totals = [
            None if name in hidden else sum(cell[name] for cell in cells) for name in ("stage:s0", "stage:s1")
        ]
        seen[(*shown, *totals)].append(world)
    for shown, worlds in seen.items():
        flat = [tuple(itertools.chain(*world)) for world in worlds]
        for place in range(4):
            assert shown[place] is not None or len({world[place] for world in flat}) > 1, (shown, flat)
