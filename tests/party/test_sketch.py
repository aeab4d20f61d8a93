"""Sketches of inputs: what a tag is made of, exact differences, and what each preparation tells of its persons."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from party.datasets import open_dataset
from party.groups import GroupPreparation
from party.jobspec import Job
from party.prepare import Preparation
from party.progress import Progress
from party.sketch import KEY_BYTES, MARK_BITS, LedgerKey, LedgerSketch, difference
from party.values import ValuePreparation
from party.workspace import Workspace
from psi.engines import open_engine
from psi.suites import X25519_ELL2
from psi.terms import Kind, Terms
from tests.party.jobs import job as match_job
from tests.party.sum_jobs import sum_job
from tests.party.sum_sides import CONTRACT, phone, randomness, terms_of, write_csv

SECRET = bytes(range(KEY_BYTES))


def people(start: int, stop: int) -> list[bytes]:
    """Return canonical phone numbers."""
    return [b"+86138%08d" % number for number in range(start, stop)]


def test_a_tag_is_two_hmacs_cut_short() -> None:
    sketch = LedgerSketch(LedgerKey(SECRET))
    sketch.add(sketch.persons([b"+8613800000000"]), sketch.records([b"gold"]))
    person, row = (
        int.from_bytes(hmac.digest(SECRET, message, "sha256")[:8], "little")
        for message in (b"person\0+8613800000000", b"row\0gold")
    )
    assert sketch.finish().tolist() == [(person >> 20 << 20) | (row >> 44)]
    assert sketch.size == 1


def test_rows_and_texts_are_records() -> None:
    sketch = LedgerSketch(LedgerKey(SECRET))
    columns = [np.array([-5, 300], dtype=np.int32), np.array([True, False])]
    expected = [
        b"".join(each.to_bytes(8, "little", signed=True) for each in row) for row in ((-5, 1), (300, 0))
    ]
    assert np.array_equal(sketch.rows(columns), sketch.records(expected))
    assert np.array_equal(sketch.texts(3, ["gold", "银"]), sketch.records([b"\3gold", b"\3" + "银".encode()]))
    assert sketch.rows([np.zeros(0, dtype=np.int64)]).shape == (0,)


def test_a_sketch_is_sorted() -> None:
    parts, whole = LedgerSketch(LedgerKey(SECRET)), LedgerSketch(LedgerKey(SECRET))
    for start, stop in ((250, 500), (250, 250), (0, 250)):
        parts.add(parts.persons(people(start, stop)), np.zeros(stop - start, dtype=np.uint64))
    whole.add(whole.persons(people(0, 500)), np.zeros(500, dtype=np.uint64))
    tags = parts.finish()
    assert tags.dtype == np.uint64
    assert parts.size == 500
    assert np.array_equal(tags, whole.finish())
    assert bool(np.all(tags[1:] > tags[:-1]))
    assert LedgerSketch(LedgerKey(SECRET)).finish().shape == (0,)


# Persons, some of them likely to be in both, each with one of two marks or both, as two persons with equal numbers.
inputs = st.sets(st.tuples(st.integers(0, 2**44 - 1) | st.integers(0, 40), st.integers(0, 1)), max_size=60)


@given(inputs, inputs, st.none() | st.integers(1, 10), st.integers(1, 7))
def test_the_difference_is_exact(
    first: set[tuple[int, int]], second: set[tuple[int, int]], stop: int | None, block: int
) -> None:
    arrays = [
        np.array(sorted((person << MARK_BITS) | mark for person, mark in each), dtype=np.uint64)
        for each in (first, second)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("party.sketch._BLOCK", block)
        found = difference(arrays[0], arrays[1], stop)
    apart = len({person for person, _ in first} ^ {person for person, _ in second})
    exact = apart or len({person for person, _ in first ^ second})
    if stop is None or apart < stop:
        assert found == exact
    else:
        assert stop <= found <= exact


# What the preparations tell


class Party:
    """One party's folder, key and job, for sketches of several inputs; ``side`` prepares."""

    def __init__(self, folder: Path, job: Job, side: str, header: Sequence[str]) -> None:
        self.folder, self.job, self.side, self.header = folder, job, side, header

    def tags(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """The tags of an input."""
        data = write_csv(self.folder / "data.csv", self.header, rows)
        sketch = LedgerSketch(LedgerKey(SECRET))
        engine, workspace = open_engine(X25519_ELL2, "cryptography", 1), Workspace(self.folder / "work", 1)
        with closing(engine), workspace:
            common = (randomness(), engine, workspace, Progress(lambda _: None), sketch)
            self._preparation(data, common).run(self.folder / "rejects.csv")
        return sketch.finish()

    def _preparation(self, data: Path, common: Any) -> Any:
        own = (self.job, self.side, open_dataset(data))
        if self.job.sums is None:
            return Preparation(*own, Terms(CONTRACT, X25519_ELL2, Kind.AUDIENCE, min_group=2), *common)
        values = self.side == self.job.sums.value_holder
        return (ValuePreparation if values else GroupPreparation)(*own, terms_of(self.job), *common)

    def changed(self, rows: Sequence[Sequence[Any]], others: Sequence[Sequence[Any]]) -> int:
        """By how many persons two inputs differ."""
        return difference(self.tags(rows), self.tags(others))


GROUPS = ("phone", "exposed_at", "campaign", "creative", "cost")
VALUES = ("mobile", "converted_at", "amount", "points")


def groups_of(rows: int) -> list[list[str]]:
    """One exposure of each of some persons, in two campaigns."""
    return [[phone(n), f"2026-03-0{1 + n % 3} 10:00:00", "ab"[n % 2], "video", "1.5"] for n in range(rows)]


def values_of(rows: int) -> list[list[str]]:
    """One outcome of each of some persons."""
    return [[phone(n), "2026-03-05 10:00:00", f"{n}.50", "1"] for n in range(rows)]


@pytest.fixture
def groups(tmp_path: Path) -> Party:
    return Party(tmp_path, sum_job("measure", policy__min_group=2), "platform", GROUPS)


@pytest.fixture
def values(tmp_path: Path) -> Party:
    return Party(tmp_path, sum_job("measure", policy__min_group=2), "bank", VALUES)


@pytest.mark.parametrize(
    ("column", "cell", "counts"),
    [
        (0, phone(900), 2),  # one came and one went
        (1, "2026-03-09 10:00:00", 1),
        (1, "2026-03-01 23:59:59", 0),  # the same day
        (1, "2026-03-01T02:00:00Z", 0),
        (2, "b", 1),
        (2, " a ", 0),
        (3, "", 1),
        (4, "2.5", 0),  # no figure but the group's own cost
    ],
)
def test_what_counts_of_a_group_holders_row(groups: Party, column: int, cell: str, counts: int) -> None:
    rows = groups_of(12)
    others = groups_of(12)
    others[0][column] = cell
    assert groups.changed(rows, others) == counts
    assert groups.changed(others, rows) == counts


def test_only_the_row_that_decides_counts(groups: Party) -> None:
    rows = groups_of(12)
    later = [phone(0), "2026-03-20", "b", "banner", "1"]
    earlier = [phone(0), "2026-02-20", "b", "banner", "1"]
    assert groups.changed(rows, [*rows, later]) == 0
    assert groups.changed(rows, [*rows, earlier]) == 1


def test_everybody_counts_whose_cell_is_too_small(groups: Party) -> None:
    rows = groups_of(12)
    alone = [phone(50), "2026-03-01", "c", "video", "1"]
    assert groups.changed(rows, [*rows, alone]) == 1


def test_the_order_of_a_file_does_not_count(groups: Party, values: Party, tmp_path: Path) -> None:
    rows = [*values_of(12), [phone(3), "2026-03-05 10:00:00", "7", "2"]]
    assert values.changed(rows, rows[::-1]) == 0
    assert groups.changed(groups_of(12), groups_of(12)[::-1]) == 0


@pytest.mark.parametrize(
    ("column", "cell", "counts"),
    [
        (0, phone(900), 2),
        (1, "2026-03-06 10:00:00", 1),
        (1, "2026-03-05 11:00:00", 0),
        (2, "1.51", 1),
        (2, "99999", 1),
        (3, "", 1),
    ],
)
def test_what_counts_of_a_value_holders_row(values: Party, column: int, cell: str, counts: int) -> None:
    rows = values_of(12)
    others = values_of(12)
    others[1][column] = cell
    assert values.changed(rows, others) == counts


def test_a_row_too_many_counts_even_if_it_is_a_copy(values: Party) -> None:
    rows = values_of(12)
    assert values.changed(rows, [*rows, rows[4]]) == 1


def test_who_gains_or_loses_an_outcome_counts(values: Party, tmp_path: Path) -> None:
    rows = values_of(12)
    idle = [phone(40), "", "", ""]
    assert values.changed(rows, [*rows, idle]) == 0  # not sent with base = converters
    assert values.changed([*rows, idle], [*rows, [phone(40), "2026-03-05", "1", "1"]]) == 1
    everybody = sum_job("measure", policy__min_group=2, base="customers")
    assert Party(tmp_path, everybody, "bank", VALUES).changed(rows, [*rows, idle]) == 1


def test_rows_beyond_the_most_of_a_person_do_not_count(tmp_path: Path) -> None:
    party = Party(tmp_path, sum_job("measure", policy__min_group=2, policy__max_rows=1), "bank", VALUES)
    rows = values_of(12)
    assert party.changed(rows, [*rows, [phone(0), "2026-03-07", "9", "9"]]) == 0
    assert party.changed(rows, [*rows, [phone(0), "2026-03-01", "9", "9"]]) == 1


def test_stages_count_on_both_sides(tmp_path: Path) -> None:
    job = sum_job("funnel", policy__min_group=2)
    for side, header in (
        ("bank", ("mobile", "at", "bound", "activated")),
        ("platform", ("phone", "at", "exposed", "clicked", "creative")),
    ):
        party = Party(tmp_path, job, side, header)
        rows = [[phone(n), "2026-03-05", "1", "0", "video"][: len(header)] for n in range(8)]
        others = [list(row) for row in rows]
        others[2][3] = "1"
        assert party.changed(rows, others) == 1


def test_tags_count(tmp_path: Path) -> None:
    party = Party(tmp_path, sum_job("profile", policy__min_group=2), "platform", ("phone", "age", "interest"))
    rows = [[phone(n), "18-25", "cars"] for n in range(8)]
    for column, text in ((1, "26-35"), (2, ""), (2, "18-25")):
        others = [list(row) for row in rows]
        others[5][column] = text
        assert party.changed(rows, others) == 1
    swapped = [*rows[1:], [phone(0), "cars", "18-25"]]
    assert party.changed(rows, swapped) == 1


def test_tiers_count_by_what_they_are_called(tmp_path: Path) -> None:
    job = match_job(bank__tier="tier", policy__min_group=2)
    party = Party(tmp_path, job, "bank", ("mobile", "tier"))
    rows = [[phone(n), "1" if n < 6 else "2"] for n in range(12)]
    assert party.changed(rows, rows[::-1]) == 0
    assert party.changed(rows, [[phone(0), "2"], *rows[1:]]) == 1
    # Of two tiers the highest is the person's.
    assert party.changed(rows, [*rows, [phone(11), "1"]]) == 0
    assert party.changed(rows, [*rows, [phone(12), "1"]]) == 1
