"""Both roles of a grouped sum against a slow version in the clear: every figure, every reader, every window."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from federated.memory import MemoryGroupSet, MemoryValueSet, Person
from federated.ports import OwnCell
from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP, DOMINATED, SumResult
from federated.terms import SumRole, SumTerms, ValueColumn, WindowTerms, square_field, stage_field, sum_field
from tests.federated.pair import BOTH, engine_for, randomness_for, run_sum, sum_terms

V, G = SumRole.VALUE_HOLDER, SumRole.GROUP_HOLDER
AMOUNT, REFUND = ValueColumn("amount", 0, 5_000_000), ValueColumn("refund", -300, 20)


@dataclass(frozen=True)
class World:
    """Made-up persons of both sides: outcome rows by person, and (cell, day) by person."""

    persons: dict[bytes, list[tuple[int, tuple[int, ...], int]]]
    members: dict[bytes, tuple[int, int]]
    cells: int
    days: int


def name(number: int) -> bytes:
    return b"person %d" % number


def world(seed: int, *, cells: int = 3, days: int = 1, values: int = 2, stages: int = 0) -> World:
    """Draw a world: some persons on one side only, some with several rows, some without any."""
    pick = random.Random(seed)
    bounds = [(AMOUNT.low, AMOUNT.high), (REFUND.low, REFUND.high)][:values]
    persons = {}
    for number in range(60):
        if pick.random() < 0.7:
            rows = [
                (
                    1000 + pick.randrange(-3, days + 12),
                    tuple(pick.randint(*bound) for bound in bounds),
                    pick.randint(0, stages),
                )
                for _ in range(pick.choice((0, 1, 1, 2, 4)))
            ]
            persons[name(number)] = rows
    members = {
        name(number): (pick.randrange(cells), pick.randrange(days))
        for number in range(20, 90)
        if pick.random() < 0.8
    }
    return World(persons, members, cells, days)


def run(terms: SumTerms, drawn: World, costs: Mapping[int, int] | None = None) -> tuple[SumResult, SumResult]:
    people: list[Person] = [(who, rows, ()) for who, rows in drawn.persons.items()]
    own_values = MemoryValueSet(terms, randomness_for(V, terms), engine_for(terms.suite), people)
    units: dict[tuple[int, int], list[bytes]] = {}
    for who, place in drawn.members.items():
        units.setdefault(place, []).append(who)
    sizes = [sum(cell == number for cell, _ in drawn.members.values()) for number in range(drawn.cells)]
    cells = [
        OwnCell((f"cell {number}",), size, "", None if costs is None else costs[number])
        for number, size in enumerate(sizes)
    ]
    members = [(cell, day, units[cell, day]) for cell, day in sorted(units)]
    own_groups = MemoryGroupSet(
        terms,
        randomness_for(G, terms),
        engine_for(terms.suite),
        cells,
        members,
        first_day=1000 if terms.window else 0,
        days=drawn.days,
    )
    return run_sum(terms, own_values, own_groups)


def in_the_clear(terms: SumTerms, drawn: World) -> dict[int, dict[str, int]]:
    """Compute every cell's figures from both sides' plain data, one person at a time."""
    figures: dict[int, dict[str, int]] = {}
    for who, (cell, day) in drawn.members.items():
        own = figures.setdefault(cell, dict.fromkeys(_names(terms), 0))
        if who not in drawn.persons:
            continue
        rows = [
            row
            for row in drawn.persons[who]
            if terms.window is None or 0 <= row[0] - 1000 - day <= terms.window.days
        ]
        own["matched"] += 1
        own["converters"] += bool(rows)
        own["conversions"] += len(rows)
        for number, stage in enumerate(terms.stages, start=1):
            own[stage_field(stage)] += any(row[2] >= number for row in rows)
        if "retained" in own and rows and terms.window and terms.window.retention_days is not None:
            first = min(row[0] for row in rows)
            own["retained"] += any(
                row[0] >= first + terms.window.retention_days for row in drawn.persons[who]
            )
        for place, column in enumerate(terms.values):
            total = sum(row[1][place] for row in rows)
            own[sum_field(column.name)] += total
            own[square_field(column.name)] += total * total
    return figures


def _names(terms: SumTerms) -> list[str]:
    counts, values = terms.fields()
    return [field.name for field in (*counts, *values)]


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "3072 bits": {"key_bits": 3072},
    "window": {"window": WindowTerms(7)},
    "window, many days to a ciphertext": {"window": WindowTerms(6), "values": (), "max_rows": 4},
    "stages and retention": {"window": WindowTerms(5, 4), "stages": ("bound", "activated"), "values": ()},
}


@pytest.mark.parametrize("readers", [BOTH, frozenset({V}), frozenset({G})], ids=["both", "values", "groups"])
@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_that_of_the_plain_data(case: str, readers: frozenset[SumRole]) -> None:
    changes = {"values": (AMOUNT, REFUND), "readers": readers, "min_converters": 0} | CASES[case]
    terms = sum_terms(**changes)
    drawn = world(
        len(case), days=9 if terms.window else 1, values=len(terms.values), stages=len(terms.stages)
    )
    expected = in_the_clear(terms, drawn)
    results = dict(zip((V, G), run(terms, drawn), strict=True))
    for role in SumRole:
        assert results[role].readable == (role in readers)
    for role in readers:
        table = {cell.label: cell.figures for cell in results[role].cells}
        assert table == {(f"cell {number}",): figures for number, figures in expected.items()}
        (total,) = results[role].totals
        assert total.complete
        assert total.figures == {key: sum(each[key] for each in expected.values()) for key in expected[0]}
        assert total.persons == len(drawn.members)


def test_a_side_that_does_not_read_has_no_figure() -> None:
    for readers, blind in ((frozenset({V}), 1), (frozenset({G}), 0)):
        result = run(sum_terms(values=(AMOUNT,), readers=readers), world(3, values=1))[blind]
        assert not result.readable
        assert all(cell.figures is None for cell in result.cells)
        assert result.totals == ()


@pytest.mark.parametrize("readers", [frozenset({V}), frozenset({G})], ids=["values", "groups"])
def test_costs_come_with_released_cells_and_totals(readers: frozenset[SumRole]) -> None:
    terms = sum_terms(values=(AMOUNT,), readers=readers)
    results = run(terms, world(5, values=1), {0: 10_000, 1: 25, 2: 0})
    (role,) = readers
    result = results[0 if role is V else 1]
    assert {cell.label: cell.cost for cell in result.cells} == {
        ("cell 0",): 10_000,
        ("cell 1",): 25,
        ("cell 2",): 0,
    }
    assert result.totals[0].cost == 10_025


def fixed(counts: Mapping[int, tuple[int, int]], amounts: Mapping[int, int] | None = None) -> World:
    """Return a world of cells with (persons, converters) each; every converter has ``amounts[cell]``, else 100."""
    persons: dict[bytes, list[tuple[int, tuple[int, ...], int]]] = {}
    members: dict[bytes, tuple[int, int]] = {}
    number = 0
    for cell, (size, converters) in counts.items():
        for place in range(size):
            members[name(number)] = (cell, 0)
            if place < converters:
                persons[name(number)] = [(0, ((amounts or {}).get(cell, 100),), 0)]
            number += 1
    return World(persons, members, len(counts), 1)


@pytest.mark.parametrize("readers", [BOTH, frozenset({V}), frozenset({G})], ids=["both", "values", "groups"])
def test_cells_below_a_threshold_are_withheld_and_totalled_only_jointly(readers: frozenset[SumRole]) -> None:
    terms = sum_terms(values=(AMOUNT,), readers=readers, min_group=20, min_converters=10)
    # One cell of few converters: the total leaves it out.
    alone = run(terms, fixed({0: (30, 12), 1: (30, 9), 2: (40, 20)}))
    # Two that jointly pass, and whose joint count leaves both open: the total covers them.
    jointly = run(terms, fixed({0: (30, 12), 1: (30, 9), 2: (40, 4)}))
    # Two of which each must have 8 or 9, as soon as their joint count is known: it doesn't.
    told = run(terms, fixed({0: (30, 12), 1: (30, 9), 2: (40, 8)}))
    for role in readers:
        result = alone[0 if role is V else 1]
        assert {cell.label for cell in result.cells if cell.figures} == {("cell 0",), ("cell 2",)}
        assert result.withheld == {BELOW_MIN_CONVERTERS: 1}
        (total,) = result.totals
        assert not total.complete
        assert total.figures is not None
        assert (total.persons, total.figures["converters"]) == (70, 32)
        result = jointly[0 if role is V else 1]
        assert {cell.label for cell in result.cells if cell.figures} == {("cell 0",)}
        assert result.withheld == {BELOW_MIN_CONVERTERS: 2}
        (total,) = result.totals
        assert total.complete
        assert total.figures is not None
        assert (total.persons, total.figures["converters"], total.figures["sum:amount"]) == (100, 25, 2500)
        (total,) = told[0 if role is V else 1].totals
        assert (total.complete, total.persons) == (False, 30)


@pytest.mark.parametrize("readers", [BOTH, frozenset({V}), frozenset({G})], ids=["both", "values", "groups"])
def test_customers_below_the_threshold_are_withheld_too(readers: frozenset[SumRole]) -> None:
    terms = sum_terms(values=(AMOUNT,), readers=readers, customers=True, min_group=20, min_converters=5)
    results = run(terms, fixed({0: (30, 25), 1: (30, 19), 2: (40, 30)}))
    for role in readers:
        result = results[0 if role is V else 1]
        assert {cell.label for cell in result.cells if cell.figures} == {("cell 0",), ("cell 2",)}
        assert result.withheld == {BELOW_MIN_GROUP: 1}
        assert not result.totals[0].complete


@pytest.mark.parametrize("readers", [BOTH, frozenset({V}), frozenset({G})], ids=["both", "values", "groups"])
def test_a_cell_that_one_person_dominates_is_withheld(readers: frozenset[SumRole]) -> None:
    terms = sum_terms(values=(AMOUNT,), readers=readers, min_group=20, min_converters=10, dominance=10)
    drawn = fixed({0: (30, 12), 1: (30, 15)})
    rich = next(who for who, place in drawn.members.items() if place[0] == 1)
    drawn.persons[rich][0] = (0, (4_000_000,), 0)
    results = run(terms, drawn)
    for role in readers:
        result = results[0 if role is V else 1]
        cells = {cell.label: cell for cell in result.cells}
        assert cells["cell 1",].figures is None
        assert cells["cell 1",].withheld == DOMINATED
        assert result.withheld == {DOMINATED: 1}
        (total,) = result.totals
        assert not total.complete
        assert total.figures is not None
        assert total.figures["sum:amount"] == 1200
