"""Working data of a job: private, gone when the job ends, and silent about what it holds."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from party.prepare import InputFacts, PreparedSet
from party.results import audience_rows
from party.spool import Spool, disk_error
from party.workspace import DiskKeep, Workspace
from psi.errors import UsageError, VeiljoinError
from psi.messages import Tier
from psi.results import AudienceResult
from psi.terms import Role
from tests.psi.pair import match, party, people, terms_for


def mode(path: Path) -> int:
    """Return the permissions of ``path``."""
    return stat.S_IMODE(path.stat().st_mode)


def numbers(*values: int) -> pa.RecordBatch:
    """Return a batch of row numbers and tiers."""
    columns = [pa.array(values, pa.uint64()), pa.array([v % 3 for v in values], pa.uint8())]
    return pa.record_batch(columns, names=["row_number", "tier"])


COLUMNS = "row_number UBIGINT, tier UTINYINT"


# -- the folder


def test_the_folder_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "work space;"
    with Workspace(folder) as workspace:
        workspace.spool().put("own-points", 0, b"x")
        out = folder / "prepared" / "out"
        for path in (folder, folder / "spill", folder / "prepared", out, out / "own-points"):
            assert mode(path) == 0o700
    assert not folder.exists()


def test_a_prepared_set_elsewhere_outlives_the_workspace(tmp_path: Path) -> None:
    with Workspace(tmp_path / "work", None, tmp_path / "run" / "prepared") as workspace:
        workspace.spool().put("own-points", 0, b"x")
        workspace.prepared_file("origin.raw").write_bytes(b"y")
    assert not (tmp_path / "work").exists()
    assert mode(tmp_path / "run" / "prepared") == 0o700
    assert (tmp_path / "run" / "prepared" / "origin.raw").read_bytes() == b"y"


def test_it_is_gone_after_an_error_too(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Workspace(tmp_path / "work") as workspace:
            workspace.table("input", COLUMNS).insert(numbers(1, 2, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=f"folder {tmp_path}/file/work cannot be written") as raised:
        Workspace(tmp_path / "file" / "work").__enter__()
    assert raised.value.code.name == "unwritable"


def test_nothing_but_tokens_and_numbers_is_kept_of_a_match(tmp_path: Path) -> None:
    # Whatever the tables hold may be spilled to the disk.
    terms = terms_for(both=True)
    with Workspace(tmp_path / "work", 1) as workspace:
        side = party(Role.RECEIVER, terms, [("", people(*range(50)))], keep=DiskKeep(workspace, terms))
        said = match(terms, [("", people(*range(50)))], [("", people(*range(25, 80)))]).talk.by(Role.SENDER)
        list(side.part.start())
        for message in said:
            list(side.part.receive(message))
        assert side.part.done
        query = "SELECT DISTINCT column_name FROM information_schema.columns"
        columns = {name for (name,) in workspace.cursor().execute(query).fetchall()}
        assert columns == {"position", "high", "low"}
        assert not list((tmp_path / "work" / "spill").iterdir())


# -- tables


def test_a_table_gives_back_what_was_put_in(tmp_path: Path) -> None:
    with Workspace(tmp_path / "work", 1) as workspace:
        table = workspace.table("input", COLUMNS)
        other = workspace.table("input", COLUMNS)
        assert table.name != other.name
        table.insert(numbers(5, 3))
        table.insert(numbers(4))
        assert table.number("SELECT count(*) FROM {name}") == 3
        assert table.number("SELECT sum(row_number) FROM {name} WHERE row_number > 99") == 0
        assert other.number("SELECT count(*) FROM {name}") == 0
        assert table.pairs("SELECT tier, count(*) FROM {name} GROUP BY tier") == {0: 1, 1: 1, 2: 1}
        rows, tiers = table.rows("SELECT row_number, tier FROM {name} ORDER BY row_number")
        assert (rows.tolist(), tiers.tolist()) == ([3, 4, 5], [0, 1, 2])
        assert [str(each.dtype) for each in (rows, tiers)] == ["uint64", "uint8"]
        empty, none = table.rows("SELECT row_number, tier FROM {name} WHERE false")
        assert (len(empty), len(none), str(empty.dtype)) == (0, 0, "uint64")
        other.fill(f"SELECT row_number + 1, tier FROM {table.name}")
        assert other.number("SELECT max(row_number) FROM {name}") == 6
        other.drop()
        with pytest.raises(VeiljoinError):
            other.number("SELECT count(*) FROM {name}")


def test_one_thread_may_read_while_another_writes(tmp_path: Path) -> None:
    with Workspace(tmp_path / "work", 2) as workspace:
        table = workspace.table("input", COLUMNS)
        table.insert(numbers(*range(1000)))
        failed: list[BaseException] = []

        def write() -> None:
            try:
                for start in range(1000, 21_000, 1000):
                    table.insert(numbers(*range(start, start + 1000)))
            except VeiljoinError as error:
                failed.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        seen = [table.number("SELECT count(*) FROM {name}") for _ in range(30)]
        writer.join()
        assert not failed
        assert seen == sorted(seen)
        assert table.number("SELECT count(*) FROM {name}") == 21_000


def test_a_fault_of_the_database_quotes_no_value(tmp_path: Path) -> None:
    with Workspace(tmp_path / "work", 1) as workspace:
        table = workspace.table("input", "cell VARCHAR")
        table.insert(pa.record_batch([pa.array(["13800138000"])], names=["cell"]))
        failing = "SELECT cell::UTINYINT FROM {name}"
        attempts: list[Any] = [
            lambda: table.number(failing),
            lambda: list(table.batches(failing)),
            lambda: table.pairs(failing),
            lambda: table.fill(failing.format(name=table.name)),
        ]
        for attempt in attempts:
            with pytest.raises(VeiljoinError, match="working database failed") as raised:
                attempt()
            assert "13800138000" not in str(raised.value)
            assert raised.value.__suppress_context__
            assert raised.value.code.name == "internal"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [(duckdb.OutOfMemoryException, "ran out of memory"), (duckdb.IOException, "full or cannot be written")],
)
def test_a_full_disk_is_told_as_one(
    tmp_path: Path, kind: type[duckdb.Error], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        """Stands in for a cursor on a full disk."""

        def __enter__(self) -> Failing:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

        def execute(self, _: str) -> None:
            raise kind("No space left; value 13800138000")

    with Workspace(tmp_path / "work", 1) as workspace:
        table = workspace.table("input", COLUMNS)
        monkeypatch.setattr(workspace, "cursor", Failing)
        with pytest.raises(VeiljoinError, match=sentence) as raised:
            table.drop()
        assert raised.value.code.name == "no_space"
        assert "138" not in str(raised.value)


# -- spools


def test_a_spool_keeps_chunks_by_stream_and_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "in")
    spool.put("own-points", 0, b"first")
    spool.put("own-points", 12, b"thirteenth")
    spool.put("other", 0, b"another")
    assert spool.get("own-points", 0) == b"first"
    assert spool.get("own-points", 12) == b"thirteenth"
    assert spool.get("other", 0) == b"another"
    spool.put("own-points", 0, b"again")
    assert spool.get("own-points", 0) == b"again"
    assert not list(tmp_path.rglob("*.partial"))


def test_a_chunk_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        steps.append("sync")
        real_sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        steps.append("rename")
        real_replace(source, target)

    monkeypatch.setattr("party.spool.os.fsync", sync)
    monkeypatch.setattr("party.spool.os.replace", replace)
    Spool(tmp_path / "in").put("stream", 0, b"data")
    assert steps == ["sync", "rename"]


@pytest.mark.parametrize(
    ("number", "code", "hint"),
    [
        (errno.ENOSPC, "no_space", "free some space"),
        (errno.EDQUOT, "no_space", "free some space"),
        (errno.EACCES, "unwritable", "permissions"),
        (errno.EIO, "unwritable", "permissions"),
    ],
)
def test_a_failed_write_is_told_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str, hint: str
) -> None:
    def sync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("party.spool.os.fsync", sync)
    spool = Spool(tmp_path / "in")
    with pytest.raises(UsageError, match=os.strerror(number)) as raised:
        spool.put("stream", 0, b"data")
    assert raised.value.code.name == code
    assert hint in raised.value.hint
    assert str(tmp_path / "in" / "stream") in raised.value.message
    # What was not durable has no name under which it would be read.
    assert not list(tmp_path.rglob("*.chunk"))


def test_an_error_without_a_text_is_named_by_its_kind(tmp_path: Path) -> None:
    assert "OSError" in disk_error(OSError(), tmp_path).message


# -- from positions back to rows


def test_matched_and_unmatched_rows_are_sorted_and_share_nobody(tmp_path: Path) -> None:
    terms = terms_for()
    done = match(terms, [("", people(*range(30)))], [("x", people(*range(5))), ("y", people(*range(20, 60)))])
    result = done.receiver.part.result
    assert isinstance(result, AudienceResult)
    assert result.tier_of is not None
    prepared = PreparedSet(
        tiers=(Tier("", 30),),
        labels=("",),
        input_commitment=bytes(32),
        # Person i is on row 2 i + 1 of the file.
        origin=np.array([2 * i + 1 for i in done.receiver.own.origin.tolist()], dtype=np.uint64),
        held_back=(np.empty(0, np.uint64), np.empty(0, np.uint8)),
        facts=InputFacts(),
        spool=Spool(tmp_path / "out"),
    )
    matched, tiers = audience_rows(result.tier_of, result.peer_tiers, prepared, "matched")
    unmatched, none = audience_rows(result.tier_of, result.peer_tiers, prepared, "unmatched")
    assert matched.tolist() == [2 * i + 1 for i in [*range(5), *range(20, 30)]]
    assert tiers == ["x"] * 5 + ["y"] * 10
    assert unmatched.tolist() == [2 * i + 1 for i in range(5, 20)]
    assert none == [""] * 15
