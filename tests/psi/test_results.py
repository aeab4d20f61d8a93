"""Thresholds: what is withheld, and that a total gives no withheld count away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psi.messages import Tier
from psi.results import AudienceResult, Cell, OverlapResult, audience_result, overlap_result

Counts = list[list[int]]


def tiers(count: int) -> tuple[Tier, ...]:
    """Return ``count`` tiers of a size that does not matter here."""
    return tuple(Tier(f"tier {i}" if count > 1 else "", 1000) for i in range(count))


def overlap(counts: Counts, min_group: int) -> OverlapResult:
    """Apply the threshold to a table of counts."""
    table = np.array(counts, dtype=np.int64)
    return overlap_result(table, tiers(table.shape[0]), tiers(table.shape[1]), min_group)


@pytest.mark.parametrize(
    ("counts", "shown", "matched", "complete"),
    [
        pytest.param([[50]], [50], 50, True, id="one count at the threshold"),
        pytest.param([[49]], [None], None, False, id="one below"),
        pytest.param([[0]], [None], None, False, id="nobody is withheld like any small count"),
        pytest.param([[60, 70]], [60, 70], 130, True, id="all released"),
        pytest.param([[60, 7]], [60, None], 60, False, id="one withheld: the total would tell it"),
        pytest.param([[60, 7, 8]], [60, None, None], 60, False, id="two withheld, jointly too small"),
        pytest.param([[60, 25, 25]], [60, None, None], 110, True, id="two withheld, jointly enough"),
        pytest.param([[60, 49, 49]], [60, None, None], 60, False, id="two withheld, but 98 is 49 twice"),
        pytest.param([[60, 48, 49]], [60, None, None], 60, False, id="two withheld, hardly a choice"),
        pytest.param([[60, 49, 49, 1]], [60, None, None, None], 159, True, id="three withheld, and a choice"),
        pytest.param([[25, 24]], [None, None], None, False, id="none released, jointly too small"),
        pytest.param([[25, 25]], [None, None], 50, True, id="none released, jointly enough"),
        pytest.param([[60, 0], [30, 40]], [60, None, None, None], 130, True, id="a table"),
    ],
)
def test_overlap(counts: Counts, shown: list[int | None], matched: int | None, complete: bool) -> None:
    result = overlap(counts, 50)
    assert [cell.matched for cell in result.cells] == shown
    assert (result.matched, result.complete) == (matched, complete)
    assert result.withheld == shown.count(None)


def test_cells_carry_both_labels_row_by_row() -> None:
    result = overlap([[5, 6], [7, 8]], 1)
    assert result.cells == (
        Cell("tier 0", "tier 0", 5),
        Cell("tier 0", "tier 1", 6),
        Cell("tier 1", "tier 0", 7),
        Cell("tier 1", "tier 1", 8),
    )


def possible(total: int, cells: int, min_group: int) -> list[int]:
    """Return what one of ``cells`` withheld counts can be, for all that their total says."""
    others = (cells - 1) * (min_group - 1)
    return [count for count in range(min_group) if 0 <= total - count <= others]


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, 120), min_size=width, max_size=width), min_size=1, max_size=4
        )
    ),
    st.integers(1, 100),
)
def test_no_figure_and_no_difference_of_figures_is_below_the_threshold(
    counts: Counts, min_group: int
) -> None:
    result = overlap(counts, min_group)
    flat = [count for row in counts for count in row]
    shown = [cell.matched for cell in result.cells]
    assert all(told in (None, true) for told, true in zip(shown, flat, strict=True))
    assert all(told >= min_group for told in shown if told is not None)
    released = sum(told for told in shown if told is not None)
    if result.matched is None:
        assert released == 0
        return
    # Whoever subtracts the released counts from the total gets nothing, or persons of several cells.
    hidden = result.matched - released
    if result.complete:
        assert result.matched == sum(flat)
        if result.withheld:
            assert hidden >= min_group
            assert len(possible(hidden, result.withheld, min_group)) > min_group // 2
    else:
        assert hidden == 0


@pytest.mark.parametrize(
    ("unmatched", "matches", "told"),
    [
        *((either, matches, told) for either in (False, True) for matches, told in ((0, True), (1, False))),
        *((either, matches, told) for either in (False, True) for matches, told in ((9, False), (10, True))),
        (False, 20, True),
        (False, 21, True),
        (False, 29, True),
        (True, 20, True),
        (True, 21, False),  # nine do not match, and those are who the list would name
        (True, 29, False),
        (False, 30, True),
        (True, 30, True),  # an empty list names nobody
    ],
)
def test_audience(unmatched: bool, matches: int, told: bool) -> None:
    tier_of = np.array([1 + i % 2 for i in range(matches)] + [0] * (30 - matches), dtype=np.uint8)
    result = audience_result(tier_of, tiers(2), 10, unmatched)
    assert result.peer_tiers == tiers(2)
    if told:
        assert result.matched == matches
        assert result.tier_of is tier_of
    else:
        assert result == AudienceResult(None, None, tiers(2))
