"""Sketches of inputs: what a tag is made of, exact differences, and what each preparation tells of its persons."""

from __future__ import annotations

import hmac
import random
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
from psi.terms import Kind, Role, Terms
from tests.party.jobs import make_job
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
    expected = [b"".join(each.to_bytes(8, "little", signed=True) for each in row) for row in ((-5, 1), (300, 0))]
    assert np.array_equal(sketch.rows(columns), sketch.records(expected))
    assert np.array_equal(sketch.texts(3, ["gold", "银"]), sketch.records([b"\3gold", b"\3" + "银".encode()]))
    assert sketch.rows([np.zeros(0, dtype=np.int64)]).shape == (0,)


def test_a_sketch_is_sorted() -> None:
    parts, whole = LedgerSketch(LedgerKey(SECRET)), LedgerSketch(LedgerKey(SECRET))
    for start, stop in ((250, 500), (250, 250), (0, 250)):
        parts.add(parts.persons(people(start, stop)), np.zeros(stop - start, dtype=np.uint64))
    whole.add(whole.persons(people(0, 500)), np.zeros(500, dtype=np.uint64))
    tags = parts.finish()
    assert (tags.dtype, parts.size) == (np.uint64, 500)
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
        with closing(open_engine(X25519_ELL2, "cryptography", 1)) as engine:
            with Workspace(self.folder / "work", 1) as workspace:
                common = (randomness(), engine, workspace, Progress(lambda _: None), sketch)
                self._preparation(data, common).run(self.folder / "rejects.csv")
        return sketch.finish()

    def _preparation(self, data: Path, common: Any) -> Any:
        own = (self.job, self.side, open_dataset(data))
        if self.job.sums is None:
            return Preparation(*own, Terms(CONTRACT, X25519_ELL2, Kind.AUDIENCE, frozenset(Role), 2), *common)
        values = self.side == self.job.sums.value_holder
        return (ValuePreparation if values else GroupPreparation)(*own, terms_of(self.job), *common)

    def changed(self, rows: Sequence[Sequence[Any]], others: Sequence[Sequence[Any]]) -> int:
        """By how many persons two inputs differ."""
        return difference(self.tags(rows), self.tags(others))
