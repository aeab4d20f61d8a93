"""The rejects file: complete or absent, private from the first byte, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import errno
import os
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from party.identifiers import REASONS
from party.rejects import RejectsWriter, guard_formula
from psi.errors import UsageError

EMPTY, CHARACTERS = REASONS.index("empty"), REASONS.index("bad_characters")


def add(writer: RejectsWriter, rows: list[int], cells: list[str | None], reasons: list[int]) -> None:
    writer.add(np.array(rows, np.uint64), pa.array(cells, pa.string()), np.array(reasons, np.uint8))


def content(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_rows_are_numbered_as_people_count(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    with RejectsWriter(path, "手机") as writer:
        add(writer, [0, 1, 2], [None, "13800138000", 'a,"b"\n'], [EMPTY, 0, CHARACTERS])
        add(writer, [70_000], ["x"], [CHARACTERS])
        assert not path.exists()
    assert content(path) == [
        ["row", "reason", "手机"],
        ["1", "empty", ""],
        ["3", "bad_characters", 'a,"b"\n'],
        ["70001", "bad_characters", "x"],
    ]
    assert writer.counts == {"empty": 1, "bad_characters": 2}
    assert writer.commit() == path
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_owner_may_read_it_at_any_time(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with RejectsWriter(tmp_path / "rejects.csv", "id") as writer:
            add(writer, [0], [""], [EMPTY])
            modes = [stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()]
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "rejects.csv").stat().st_mode) == 0o600


def test_no_rejects_no_file_not_even_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    path.write_text("of an earlier run")
    with RejectsWriter(path, "id") as writer:
        add(writer, [0, 1], ["a", "b"], [0, 0])
    assert writer.commit() is None
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    path.write_text("of an earlier run")
    writer = RejectsWriter(path, "id")

    def interrupted() -> None:
        with writer:
            add(writer, [0], [""], [EMPTY])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [file.read_text() for file in tmp_path.iterdir()] == ["of an earlier run"]
    with pytest.raises(ValueError, match="already closed"):
        add(writer, [1], [""], [EMPTY])


def test_a_missing_folder_is_found_at_once(tmp_path: Path) -> None:
    """An output folder that does not exist was found out about only at the end of the run elsewhere."""
    with pytest.raises(UsageError) as caught:
        RejectsWriter(tmp_path / "no" / "rejects.csv", "id")
    assert caught.value.code.name == "unwritable"


def test_a_full_disk_is_named_and_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    writer = RejectsWriter(tmp_path / "rejects.csv", "id")
    add(writer, [0], ["secret"], [CHARACTERS])
    with pytest.raises(UsageError) as caught:
        writer.commit()
    assert caught.value.code.name == "no_space"
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "cell",
    [
        "＝1+1",
        "＠SUM(A1)",
        "＋cmd|' /C calc'!A0",
        "－2+3+cmd",
        "=1+1",
        "@SUM(A1)",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd",
        "\t=1",
        " =1",
        "-A1",
        "\r=1",
        "+A1",
    ],
)
def test_formulas_are_marked_as_text(cell: str) -> None:
    assert guard_formula(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "x", "+86 138-0013", "-", "-5", "me@mail.example", "a=b", "'x", "无"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert guard_formula(cell) == cell
