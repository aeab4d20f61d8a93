"""Outcomes per exposure day, against a loop over rows; and the in-memory sets over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.attribution import NO_DAY, Events, outcomes
from federated.memory import (
    Event,
    MemoryGroupSet,
    MemoryPairJoin,
    MemoryRecordShelf,
    MemorySumKeep,
    MemoryValueSet,
)
from federated.ports import OwnCell, Tag, Unit
from federated.terms import (
    CONVERSIONS,
    CONVERTERS,
    MATCHED,
    RETAINED,
    SumRole,
    SumTerms,
    ValueColumn,
    WindowTerms,
)
from psi.engines import open_engine
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.suites import X25519_ELL2

CONTRACT = bytes(range(32))


def terms_for(**changes: Any) -> SumTerms:
    """Return terms with two values and two stages, changed."""
    plain: dict[str, Any] = {
        "contract": CONTRACT,
        "suite": X25519_ELL2,
        "readers": frozenset({SumRole.VALUE_HOLDER}),
        "values": (ValueColumn("amount", -50, 100), ValueColumn("points", 0, 9)),
        "stages": ("bound", "activated"),
        "window": WindowTerms(3),
    }
    return SumTerms(**(plain | changes))


def events_of(persons: list[list[Event]], outcome: list[bool] | None = None, columns: int = 2) -> Events:
    """Return plain rows as arrays."""
    rows = [event for own in persons for event in own]
    return Events(
        offsets=np.cumsum([0, *map(len, persons)]),
        day=np.array([day for day, _, _ in rows], dtype=np.int64),
        stage=np.array([stage for _, _, stage in rows], dtype=np.int64),
        outcome=np.ones(len(rows), np.bool_) if outcome is None else np.array(outcome, dtype=np.bool_),
        values=np.array([list(values) for _, values, _ in rows], dtype=np.int64).reshape(len(rows), columns),
    )


def expected(terms: SumTerms, own: list[Event], exposure: int) -> list[int]:
    """One person's fields for one exposure day, as the contract words them."""
    window = terms.window
    rows = [row for row in own if window is None or 0 <= row[0] - exposure <= window.days]
    figures = [1, int(bool(rows)), len(rows)]
    figures += [
        int(any(stage >= number for _, _, stage in rows)) for number in range(1, len(terms.stages) + 1)
    ]
    if window is not None and window.retention_days is not None:
        first = min((day for day, _, _ in rows), default=None)
        later = [day for day, _, _ in own if first is not None and day - first >= window.retention_days]
        figures.append(int(bool(later)))
    return figures + [sum(values[place] for _, values, _ in rows) for place in range(len(terms.values))]


ROWS = st.tuples(st.integers(-8, 25), st.tuples(st.integers(-50, 100), st.integers(0, 9)), st.integers(0, 2))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(ROWS, max_size=6), max_size=5),
    st.integers(0, 12),
    st.none() | st.integers(0, 9),
    st.integers(-3, 9),
    st.integers(1, 12),
)
def test_outcomes_are_what_a_loop_over_rows_gives(
    persons: list[list[Event]], window: int, retention: int | None, first_day: int, days: int
) -> None:
    terms = terms_for(window=WindowTerms(window, retention))
    found = outcomes(terms, events_of(persons), first_day, days)
    assert found.shape == (len(persons), days, len(terms.outcome_fields))
    assert found.tolist() == [
        [expected(terms, own, first_day + day) for day in range(days)] for own in persons
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(ROWS, max_size=6), max_size=5))
def test_without_a_window_every_row_counts(persons: list[list[Event]]) -> None:
    terms = terms_for(window=None)
    found = outcomes(terms, events_of(persons), 0, 1)
    assert found.tolist() == [[expected(terms, own, 0)] for own in persons]


def test_a_window_is_whole_calendar_days_and_its_ends_count() -> None:
    terms = terms_for(window=WindowTerms(7), values=(), stages=())
    found = outcomes(terms, events_of([[(107, (), 0)]], columns=0), 98, 11)
    assert found[0, :, terms.outcome_fields.index(CONVERTERS)].tolist() == [0, 0, *[1] * 8, 0]


def test_a_stage_counts_all_before_it() -> None:
    terms = terms_for(values=())
    found = outcomes(terms, events_of([[(5, (), 2)], [(5, (), 1)]], columns=0), 5, 1)
    assert found[:, 0, 3:].tolist() == [[1, 1], [1, 0]]


def test_retention_counts_from_the_first_outcome_that_counts() -> None:
    terms = terms_for(window=WindowTerms(2, retention_days=10), values=(), stages=())
    place = terms.outcome_fields.index(RETAINED)
    own: list[Event] = [(0, (), 0), (4, (), 0), (12, (), 0)]
    found = outcomes(terms, events_of([own], columns=0), 0, 6)
    # Exposed on day 0 the first is day 0, and day 12 is late enough; from day 2 on the first is day 4: it isn't.
    assert found[0, :, place].tolist() == [1, 0, 0, 0, 0, 0]


def test_a_row_that_is_no_outcome_counts_for_its_stage_only() -> None:
    terms = terms_for(window=None, values=())
    found = outcomes(terms, events_of([[(NO_DAY, (), 1)]], outcome=[False], columns=0), 0, 1)
    assert dict(zip(terms.outcome_fields, found[0, 0].tolist(), strict=True)) == {
        MATCHED: 1,
        CONVERTERS: 0,
        CONVERSIONS: 0,
        "stage:bound": 1,
        "stage:activated": 0,
    }


def test_nobody_and_people_without_rows() -> None:
    terms = terms_for()
    assert outcomes(terms, events_of([]), 0, 4).shape == (0, 4, 7)
    assert outcomes(terms, events_of([[], []]), 0, 2).tolist() == [[[1, 0, 0, 0, 0, 0, 0]] * 2] * 2


@pytest.mark.parametrize(("window", "days"), [(None, 2), (None, 0), (WindowTerms(3), 0)])
def test_days_that_the_terms_do_not_have(window: WindowTerms | None, days: int) -> None:
    with pytest.raises(ValueError, match="exposure day"):
        outcomes(terms_for(window=window), events_of([[]]), 0, days)


def test_a_part_is_what_the_whole_says() -> None:
    terms = terms_for()
    persons: list[list[Event]] = [[(day, (day, 1), day % 3) for day in range(n)] for n in range(7)]
    events = events_of(persons)
    whole = outcomes(terms, events, 0, 5)
    assert np.array_equal(outcomes(terms, events.part(2, 6), 0, 5), whole[2:6])
    assert "values" not in repr(events)


# -- sets in memory


def randomness() -> JobRandomness:
    """Return the derivations of a fixed seed."""
    return JobRandomness(Seed(bytes(32)), CONTRACT)


def test_a_value_set_in_memory() -> None:
    terms = terms_for(chunk_elements=3, tag_columns=("city", "level"))
    engine = open_engine(X25519_ELL2, "cryptography", 1)
    persons = [
        (b"+861380013800%d" % number, [(number, (number, 0), 0)], ("sh" if number % 2 else "bj", ""))
        for number in range(5)
    ]
    own = MemoryValueSet(terms, randomness(), engine, persons)
    assert own.size == 5
    assert sorted(own.origin.tolist()) == [0, 1, 2, 3, 4]
    assert [len(own.chunk(number)) for number in range(3)] == [96, 64, 0]
    assert own.tags == (Tag("city", "bj"), Tag("city", "sh"))
    assert own.tag_slots(1, 4).tolist() == [[n % 2 == 0, n % 2 == 1] for n in own.origin[1:4].tolist()]
    amounts = own.outcomes(0, 5, 4, 1)[:, 0, -2]
    assert amounts.tolist() == [4 if number == 4 else 0 for number in own.origin.tolist()]
    # The same person has the same point, whoever sends it in whatever order.
    alone = MemoryValueSet(terms, randomness(), engine, persons[:1])
    place = own.origin.tolist().index(0)
    assert (own.chunk(0) + own.chunk(1))[32 * place : 32 * place + 32] == alone.chunk(0)


def test_a_group_set_in_memory() -> None:
    terms = terms_for(chunk_elements=4)
    engine = open_engine(X25519_ELL2, "cryptography", 1)
    cells = [OwnCell(("a",), 4, ""), OwnCell(None, 2, "")]
    people = [b"person %d" % number for number in range(6)]
    own = MemoryGroupSet(
        terms,
        randomness(),
        engine,
        cells,
        [(0, 1, people[:2]), (0, 2, people[2:4]), (1, 0, people[4:])],
        first_day=19000,
        days=3,
    )
    assert own.units == (Unit(0, 1, 2), Unit(0, 2, 2), Unit(1, 0, 2))
    assert [sorted(own.origin[start : start + 2].tolist()) for start in (0, 2, 4)] == [[0, 1], [2, 3], [4, 5]]
    assert [len(own.chunk(number)) for number in range(2)] == [128, 64]
    for members in ([(1, 0, people[:1]), (0, 0, people[1:2])], [(0, 3, people[:1])]):
        with pytest.raises(ValueError, match="unit"):
            MemoryGroupSet(terms, randomness(), engine, cells, members, days=3)


def test_a_pair_join_finds_positions() -> None:
    keep = MemorySumKeep(terms_for())
    join = keep.join()
    join.add_own(b"".join(bytes([n] * 16) for n in (1, 2)))
    join.add_own(bytes([3] * 16))
    join.add_peer(b"".join(bytes([n] * 16) for n in (3, 9, 1)))
    assert join.partners().tolist() == [2, -1, 0]
    assert join.repeated() == (0, 0)
    join.add_own(bytes([3] * 16))
    assert join.repeated() == (1, 0)
    assert isinstance(join, MemoryPairJoin)


def test_a_record_shelf_gives_records_by_position() -> None:
    shelf = MemoryRecordShelf(3, batch_bytes=6)
    shelf.append(b"aaabbb")
    shelf.append(b"ccc")
    assert list(shelf.take([2, 0, 0])) == [b"cccaaa", b"aaa"]
    assert list(shelf.take([])) == []
    with pytest.raises(ValueError, match="position"):
        list(shelf.take([3]))
    with pytest.raises(ValueError, match="3 bytes"):
        shelf.append(b"dd")
