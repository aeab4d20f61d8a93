"""A prepared set that is kept: what comes back is what was saved, whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from federated.terms import SumTerms
from party import checkpoint as module
from party.checkpoint import PREPARED_FILE, Checkpoint
from party.datasets import open_dataset
from party.groups import GroupPreparation, PreparedGroups
from party.prepare import Preparation, PreparedSet
from party.progress import Progress
from party.runfolder import RunFolder
from party.spool import Spool
from party.values import PreparedValues, ValuePreparation
from party.workspace import Workspace
from psi.engines import open_engine
from psi.errors import UsageError
from psi.suites import X25519_ELL2
from psi.terms import Kind, Terms
from tests.party.jobs import job
from tests.party.sum_jobs import sum_job
from tests.party.sum_sides import CONTRACT, phone, randomness, terms_of, write_csv

MATCH_TERMS = Terms(CONTRACT, X25519_ELL2, Kind.AUDIENCE, min_group=2, chunk_elements=8)


def _prepared(kind: str, folder: Path, run: RunFolder) -> Any:
    """Prepare a set of ``kind`` into the folder of a run; the workspace is gone when this returns."""
    engine = open_engine(X25519_ELL2, "cryptography", 1)
    progress = Progress(lambda _: None)
    run.prepare_again()
    with closing(engine), Workspace(folder / "work", 1, run.prepared) as workspace:
        common = (randomness(), engine, workspace, progress)
        rejects = run.prepared / "rejects.csv"
        if kind == "match":
            rows = [[phone(n), "gold" if n % 3 else "rest"] for n in range(40)]
            path = write_csv(folder / "match.csv", ["mobile", "tier"], rows)
            spec = job(bank__tier="tier", holdout=0.2, policy__min_group=2)
            return Preparation(spec, "bank", open_dataset(path), MATCH_TERMS, *common).run(rejects)
        if kind == "values":
            spec = sum_job("measure", policy__min_group=2)
            path = write_csv(
                folder / "values.csv",
                ["mobile", "converted_at", "amount", "points"],
                [[phone(n), f"2026-03-{1 + n % 9:02d} 10:00:00", n * 10, n % 5] for n in range(40)],
            )
            return ValuePreparation(spec, "bank", open_dataset(path), terms_of(spec, 8), *common).run(rejects)
        spec = sum_job("measure", policy__min_group=2)
        path = write_csv(
            folder / "groups.csv",
            ["phone", "campaign", "creative", "exposed_at", "cost"],
            [[phone(n), "spring", f"c{n % 3}", f"2026-03-{1 + n % 4:02d} 08:00:00", "1.5"] for n in range(40)]
            + [[phone(99), "autumn", "c9", "2026-03-01 08:00:00", "2"]],
        )
        return GroupPreparation(spec, "platform", open_dataset(path), terms_of(spec, 8), *common).run(rejects)


KINDS: dict[str, type] = {"match": PreparedSet, "values": PreparedValues, "groups": PreparedGroups}


def _terms(kind: str) -> SumTerms | None:
    return None if kind == "match" else terms_of(sum_job("measure", policy__min_group=2), 8)


@pytest.fixture(params=list(KINDS))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any, RunFolder]:
    """A set of each kind that was prepared and saved with a few numbers."""
    kind: str = request.param
    run = RunFolder(tmp_path / "run")
    prepared = _prepared(kind, tmp_path, run)
    run.checkpoint(terms=_terms(kind)).save(prepared, {"reservation": 3, "entry": 7, "persons": 40})
    return kind, prepared, run


def same(one: Any, two: Any) -> None:
    """Compare two values field by field."""
    if isinstance(one, np.ndarray):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    elif isinstance(one, tuple | list):
        assert type(one) is type(two)
        for first, second in zip(one, two, strict=True):
            same(first, second)
    elif isinstance(one, Mapping):
        assert dict(one) == dict(two)
    elif isinstance(one, Spool):
        assert isinstance(two, Spool)
    elif dataclasses.is_dataclass(one):
        assert type(one) is type(two)
        for field in dataclasses.fields(one):
            same(getattr(one, field.name), getattr(two, field.name))
    else:
        assert (type(one), one) == (type(two), two)


def test_what_comes_back_is_what_was_saved(kept: tuple[str, Any, RunFolder]) -> None:
    kind, prepared, run = kept
    again = RunFolder(run.prepared.parent).checkpoint(terms=_terms(kind))
    loaded = again.load(KINDS[kind])
    assert loaded is not None
    same(prepared, loaded)
    assert again.extra() == {"reservation": 3, "entry": 7, "persons": 40}
    chunks = -(-len(prepared.origin) // 8)
    assert [loaded.chunk(number) for number in range(chunks)] == [
        prepared.chunk(number) for number in range(chunks)
    ]


def test_it_may_be_saved_once_more_from_what_came_back(kept: tuple[str, Any, RunFolder]) -> None:
    kind, prepared, run = kept
    place = run.checkpoint(terms=_terms(kind))
    loaded = place.load(KINDS[kind])
    place.save(loaded, {})
    same(prepared, run.checkpoint(terms=_terms(kind)).load(KINDS[kind]))
    assert run.checkpoint().extra() == {}


def removed(path: Path) -> None:
    """Remove the file."""
    path.unlink()


def short(path: Path) -> None:
    """Cut it off."""
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    """Leave nothing."""
    path.write_bytes(b"")


def changed(path: Path) -> None:
    """Change the body, but not the digest."""
    outer = json.loads(path.read_text())
    outer["body"] = outer["body"].replace("40", "41")
    path.write_text(json.dumps(outer))


def no_table(path: Path) -> None:
    """Put something else there."""
    path.write_text('["set", "extra"]')


@pytest.mark.parametrize("tear", [removed, short, empty, changed, no_table])
def test_a_file_that_is_not_whole_is_no_set(
    kept: tuple[str, Any, RunFolder], tear: Callable[[Path], None]
) -> None:
    kind, _, run = kept
    tear(run.prepared / PREPARED_FILE)
    place = run.checkpoint(terms=_terms(kind))
    assert place.load(KINDS[kind]) is None
    assert place.extra() is None


@pytest.mark.parametrize("tear", [removed, short, empty])
def test_an_array_that_is_not_whole_is_no_set(
    kept: tuple[str, Any, RunFolder], tear: Callable[[Path], None]
) -> None:
    kind, _, run = kept
    arrays = [path for path in run.prepared.iterdir() if path.is_file() and path.stat().st_size > 40]
    arrays = [path for path in arrays if path.name not in (PREPARED_FILE, "rejects.csv")]
    assert arrays
    for path in arrays:
        content = path.read_bytes()
        tear(path)
        assert run.checkpoint(terms=_terms(kind)).load(KINDS[kind]) is None
        path.write_bytes(content)
    assert run.checkpoint(terms=_terms(kind)).load(KINDS[kind]) is not None


def test_a_preparation_that_begins_again_leaves_nothing_of_the_last(
    kept: tuple[str, Any, RunFolder],
) -> None:
    kind, _, run = kept
    run.prepare_again()
    assert list(run.prepared.iterdir()) == []
    assert run.checkpoint(terms=_terms(kind)).load(KINDS[kind]) is None


def test_a_set_of_another_kind_is_none(kept: tuple[str, Any, RunFolder]) -> None:
    kind, _, run = kept
    for other, cls in KINDS.items():
        if other != kind:
            assert run.checkpoint(terms=_terms(other)).load(cls) is None


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "no_space"), (errno.EIO, "unwritable")])
def test_a_disk_that_fails_is_told_and_leaves_no_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, code: str
) -> None:
    @dataclasses.dataclass
    class Small:
        numbers: npt.NDArray[np.uint64]

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    place = Checkpoint(tmp_path, Spool(tmp_path / "out"))
    monkeypatch.setattr(module.os, step, fail)
    with pytest.raises(UsageError) as raised:
        place.save(Small(np.arange(4, dtype=np.uint64)), {})
    assert raised.value.code.name == code
    assert place.extra() is None


def test_what_has_no_place_is_a_fault_of_the_program(tmp_path: Path) -> None:
    @dataclasses.dataclass
    class Odd:
        what: object

    with pytest.raises(TypeError, match="has no place"):
        Checkpoint(tmp_path, Spool(tmp_path / "out")).save(Odd(object()), {})


def test_an_array_of_another_folder_is_not_reached(tmp_path: Path) -> None:
    @dataclasses.dataclass
    class Small:
        numbers: npt.NDArray[np.uint64]

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    place = Checkpoint(tmp_path / "one", Spool(tmp_path / "one" / "out"))
    place.save(Small(np.arange(4, dtype=np.uint64)), {})
    shutil.copy(tmp_path / "one" / PREPARED_FILE, tmp_path / "two")
    assert Checkpoint(tmp_path / "two", Spool(tmp_path / "two" / "out")).load(Small) is None
