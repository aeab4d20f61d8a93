"""The tier column: which label each row gets, in which order tiers are sent, and which rows have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from party.datasets import Batch
from party.identifiers import REASONS
from party.jobfile import SideSpec
from party.tiers import TierColumn
from psi.errors import UsageError
from psi.terms import MAX_LABEL_BYTES, MAX_TIERS

PATH = Path("data/customers.csv")


def column(*declared: str, tier: str | None = "level", used: bool = True) -> TierColumn:
    """Return the collector of a column."""
    return TierColumn(SideSpec("mobile", tier=tier, tiers=declared), used, PATH)


def read(tiers: TierColumn, *cells: str | None, refused: tuple[int, ...] = ()) -> tuple[list[str], list[str]]:
    """Read cells; returns the label of each row and why it was refused ('' if it was not)."""
    batch = Batch(0, {"level": pa.array(cells, pa.string())}, len(cells))
    reason = np.zeros(len(cells), dtype=np.uint8)
    reason[list(refused)] = REASONS.index("empty")
    before = reason.copy()
    numbers, reasons = tiers.read(batch, reason)
    assert reason.tolist() == before.tolist()  # the caller's array is not written to
    assert numbers.dtype == reasons.dtype == np.uint8
    labels = [tiers.labels[n] if not why else "" for n, why in zip(numbers, reasons, strict=True)]
    return labels, [REASONS[why] for why in reasons]


def test_without_tiers_everybody_is_in_the_one_without_a_name() -> None:
    for tiers in (column(tier=None), column(used=False), column("gold", used=False)):
        assert tiers.columns == []
        numbers, reasons = tiers.read(Batch(0, {}, 3), np.array([0, 2, 0], dtype=np.uint8))
        assert numbers.tolist() == [0, 0, 0]
        assert reasons.tolist() == [0, 2, 0]
        assert (tiers.labels, tiers.places()) == ([""], [0])
        assert tiers.ordered() == ("",)


def test_labels_come_from_the_cells() -> None:
    tiers = column()
    assert tiers.columns == ["level"]
    assert read(tiers, "gold", " gold ", "银卡", "gold") == (["gold", "gold", "银卡", "gold"], [""] * 4)
    assert tiers.labels == ["gold", "银卡"]


def test_a_row_without_a_tier_is_refused_and_said_so() -> None:
    labels, reasons = read(column(), "gold", None, "", "   ", "silver")
    assert labels == ["gold", "", "", "", "silver"]
    assert reasons == ["", "no_tier", "no_tier", "no_tier", ""]


def test_a_row_refused_for_its_identifier_keeps_that_reason_and_brings_no_label() -> None:
    tiers = column()
    _, reasons = read(tiers, "gold", "secret plan", None, refused=(1, 2))
    assert reasons == ["", "empty", "empty"]
    assert tiers.labels == ["gold"]


def test_declared_tiers_are_the_only_ones() -> None:
    tiers = column("gold", "silver")
    _, reasons = read(tiers, "silver", "bronze", "Gold", None)
    assert reasons == ["", "unknown_tier", "unknown_tier", "no_tier"]
    assert tiers.ordered() == ("silver",)


def test_batches_agree_on_numbers() -> None:
    tiers = column()
    first, _ = read(tiers, "b", "a")
    second, _ = read(tiers, "c", "a", "b")
    assert (first, second) == (["b", "a"], ["c", "a", "b"])
    assert tiers.labels == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("declared", "cells", "ordered"),
    [
        (
            ("silver", "gold"),
            ("gold", "silver"),
            ("silver", "gold"),
        ),  # as declared, whatever the file has first
        ((), ("9", "10", "2"), ("10", "9", "2")),  # by number
        ((), ("1.5", "0.5", "1e1"), ("1e1", "1.5", "0.5")),
        ((), ("b", "10", "a"), ("b", "a", "10")),  # one is no number: by code point
    ],
)
def test_the_highest_tier_is_first(
    declared: tuple[str, ...], cells: tuple[str, ...], ordered: tuple[str, ...]
) -> None:
    tiers = column(*declared)
    read(tiers, *cells)
    assert tiers.ordered() == ordered
    assert [ordered[place] for place in tiers.places()] == tiers.labels


def test_as_many_tiers_as_may_be_and_not_one_more() -> None:
    tiers = column()
    read(tiers, *(f"tier {i}" for i in range(MAX_TIERS)))
    with pytest.raises(
        UsageError, match=f"'level' of {PATH} has more than {MAX_TIERS} different tiers"
    ) as raised:
        read(tiers, "one more")
    assert "one more" not in str(raised.value)
    assert raised.value.hint
    read(tiers, "tier 3")  # those that are known still are


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ("x" * (MAX_LABEL_BYTES + 1), "has more than 64 bytes"),
        ("金" * 22, "has more than 64 bytes"),
        ("go\x00ld", "has control characters"),
        ("a\nb", "has control characters"),
        ("\x1b[31mred", "has control characters"),
        ("=1+1", "begins with one of"),
        ("-2", "begins with one of"),
    ],
)
def test_a_label_that_cannot_be_told(label: str, fault: str) -> None:
    with pytest.raises(UsageError, match=f"'level' of {PATH} has a tier label that {fault}") as raised:
        read(column(), label)
    assert label not in str(raised.value)
    assert raised.value.hint


def test_a_label_at_the_bound() -> None:
    label = "金" * (MAX_LABEL_BYTES // 3)
    assert read(column(), label)[0] == [label]
