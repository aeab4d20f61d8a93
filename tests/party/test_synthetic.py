"""Synthetic pairs hold what they say, for every kind of identifier."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest

from party.datasets import open_dataset, read_batches
from party.identifiers import TYPES, Normaliser, parse_form
from party.synthetic import canonical, clean_csv, make_pair


def found(path: Path, column: str, form: str) -> tuple[set[bytes], int, int]:
    """(distinct canonical identifiers, accepted rows, rejected rows)."""
    normaliser = Normaliser(parse_form(form))
    people: set[bytes] = set()
    accepted = rejected = 0
    for batch in read_batches(open_dataset(path), [column]):
        result = normaliser(batch.columns[column])
        people.update(result.canonical.drop_null().to_pylist())
        accepted += int((result.reason == 0).sum())
        rejected += int((result.reason != 0).sum())
    return people, accepted, rejected


@pytest.mark.parametrize("form", [*TYPES, "sha256:phone:cn11", "md5:idfa", "sm3:email"])
@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_a_pair_has_the_overlap_it_claims(
    tmp_path: Path, form: str, format_: Literal["csv", "parquet"]
) -> None:
    pair = make_pair(
        tmp_path, form, 1000, overlap=0.3, platform_rows=2000, duplicates=0.1, garbage=0.05, format=format_
    )
    bank, bank_accepted, bank_rejected = found(pair.bank, pair.bank_column, form)
    platform, _, platform_rejected = found(pair.platform, pair.platform_column, form)
    assert (len(bank), len(platform), len(bank & platform)) == (1000, 2000, 300)
    assert (pair.bank_persons, pair.platform_persons, pair.common_persons) == (1000, 2000, 300)
    assert bank_accepted == 1100
    # Garbage is a share of the rows, duplicates included.
    assert (bank_rejected, platform_rejected) == (55, 110)


def test_everything_follows_from_the_seed(tmp_path: Path) -> None:
    written = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        pair = make_pair(tmp_path / name, rows=500, seed=seed)
        written.append((pair.bank.read_bytes(), pair.platform.read_bytes()))
    assert written[0] == written[1]
    assert written[0][0] != written[2][0]


@pytest.mark.parametrize("kind", TYPES)
def test_persons_are_distinct(kind: str) -> None:
    cells = canonical(kind, np.arange(200_000), 1)
    assert len(pa.chunked_array([cells]).unique()) == 200_000


def test_clean_files_overlap_where_their_persons_do(tmp_path: Path) -> None:
    clean_csv(tmp_path / "a.csv", 1000)
    clean_csv(tmp_path / "b.csv", 1000, first_person=900, identifier="sha256:phone:cn11")
    left, accepted, rejected = found(tmp_path / "a.csv", "id", "sha256:phone:cn11")
    right, _, _ = found(tmp_path / "b.csv", "id", "sha256:phone:cn11")
    assert (accepted, rejected, len(left & right)) == (1000, 0, 100)
    assert (tmp_path / "a.csv").read_text().startswith("id\n1")
