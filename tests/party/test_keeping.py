"""A run's seed and folder belong together, and what is reserved for it is given back when it ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from party.guard import Guard
from party.keeping import SEED_PREFIX, Keeping
from party.tables import budget_spent, ledger_sketch
from party.workroom import Workroom
from psi.errors import UsageError
from psi.secret import SecretBytes
from tests.party.enrolments import Clock
from tests.party.jobs import job
from tests.party.standing_pair import Side

JOB, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    """A platform's node."""
    side = Side(tmp_path / "acme", "acme", "platform", Clock())
    yield side
    side.node.close()


@pytest.fixture
def keeping(side: Side) -> Keeping:
    """What it keeps."""
    return Keeping(side.node, Workroom(side.folder))


def room(side: Side) -> Workroom:
    """Return its folders."""
    return Workroom(side.folder)


def test_a_run_goes_on_with_its_seed_in_another_process(side: Side, keeping: Keeping) -> None:
    seed = keeping.seed(JOB)
    (room(side).run(JOB) / "something").touch()
    again = Keeping(side.node, room(side))
    assert again.seed(JOB).reveal() == seed.reveal()
    assert (room(side).run(JOB) / "something").exists()
    assert again.jobs() == (JOB,)
    assert keeping.seed(OTHER).reveal() != seed.reveal()


def test_the_seed_is_on_the_disk_only_sealed(side: Side, keeping: Keeping) -> None:
    seed = keeping.seed(JOB).reveal()
    files = [path for path in side.folder.rglob("*") if path.is_file()]
    assert any(path.name.startswith("store.sqlite") for path in files)
    for path in files:
        content = path.read_bytes()
        for form in (seed, seed.hex().encode()):
            assert form not in content


def test_a_seed_without_its_folder_is_none(side: Side, keeping: Keeping) -> None:
    seed = keeping.seed(JOB).reveal()
    shutil.rmtree(room(side).run(JOB))
    assert keeping.seed(JOB).reveal() != seed
    assert room(side).run(JOB).is_dir()


def test_a_folder_without_its_seed_is_none(side: Side, keeping: Keeping) -> None:
    seed = keeping.seed(JOB).reveal()
    (room(side).run(JOB) / "journal").mkdir()
    side.node.vault.destroy(f"{SEED_PREFIX}{JOB}/seed")
    assert keeping.seed(JOB).reveal() != seed
    # Nobody could tell what it was used for: nothing of the old run is left.
    assert list(room(side).run(JOB).iterdir()) == []


@pytest.mark.parametrize("dies", ["seal", "begin_run"])
def test_a_node_that_dies_between_seed_and_folder_begins_anew(
    side: Side, keeping: Keeping, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    seed = keeping.seed(JOB).reveal()
    shutil.rmtree(room(side).run(JOB))

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(side.node.vault) if dies == "seal" else Workroom, dies, die)
        with pytest.raises(KeyboardInterrupt):
            keeping.seed(JOB)
    assert not room(side).run(JOB).is_dir()
    new = keeping.seed(JOB).reveal()
    assert new != seed
    assert keeping.seed(JOB).reveal() == new


def test_a_secret_that_cannot_be_opened_is_told_and_not_replaced(side: Side, keeping: Keeping) -> None:
    keeping.seed(JOB)
    # Sealed for something else, so that it does not open as a run's seed.
    side.node.vault.seal(f"{SEED_PREFIX}{JOB}/seed", SecretBytes(b"x" * 32), purpose="other", replace=True)
    with pytest.raises(UsageError):
        keeping.seed(JOB)
    assert room(side).run(JOB).is_dir()


def held(side: Side) -> list[bool]:
    """Return, per run that the budget counts, whether it is spent; entries of the ledger are as many."""
    with side.node.home.store.reading() as connection:
        entries = connection.execute(sa.select(ledger_sketch.c.released)).scalars().all()
        spent = list(connection.execute(sa.select(budget_spent.c.spent)).scalars())
    assert sorted(entries) == sorted(spent)
    return spent


def begin(side: Side) -> Guard:
    """Reserve a run and enter its input, and keep both for the next attempt."""
    guard = Guard(side.node.home, job(), "platform", "users", "bank", JOB)
    guard.__enter__()
    guard.sketch.add(guard.sketch.persons([b"one", b"two"]), np.zeros(2, np.uint64))
    guard.admit()
    guard.keep()
    return guard


def test_a_run_that_ends_unspent_gives_back_what_it_held(side: Side, keeping: Keeping) -> None:
    keeping.seed(JOB)
    begin(side).__exit__(None, None, None)
    assert held(side) == [False]
    keeping.end(JOB)
    assert held(side) == []
    assert keeping.jobs() == ()
    assert not room(side).run(JOB).exists()
    keeping.end(JOB)  # a second time changes nothing


def test_a_run_that_was_spent_stays_spent(side: Side, keeping: Keeping) -> None:
    keeping.seed(JOB)
    begin(side).release(10)
    keeping.end(JOB)
    assert held(side) == [True]


def test_the_runs_of_other_jobs_stay(side: Side, keeping: Keeping) -> None:
    seed = keeping.seed(OTHER).reveal()
    keeping.seed(JOB)
    begin(side)
    keeping.end(OTHER)
    assert held(side) == [False]
    assert keeping.jobs() == (JOB,)
    assert keeping.seed(OTHER).reveal() != seed
