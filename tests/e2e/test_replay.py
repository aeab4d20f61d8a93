"""Replay: an honest side comes out equal in every kind of job; one that deviated is convicted, and told by what."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from federated.group_holder import GroupHolder
from federated.messages import CellSums, SumStream, SumTable
from federated.slots import Layout
from federated.value_holder import ValueHolder
from party.jobspec import SIDES
from party.replaying import Compared, LoggedRun, Outcome, Replayed, Verdict, replay
from psi.errors import UsageError, VeiljoinError
from psi.hash_to_curve import derive_scalar
from psi.messages import Announce
from psi.receiver import Receiver
from psi.sender import Sender
from tests.e2e.replayable import MATCH_ROWS, SUM_ROWS, Deviation, Kept, match_table, play, sum_table
from tests.party.sum_sides import write_csv


def replayed(
    kept: Kept, side: str, work: Path, *, data: Path | None = None, log: list[Any] | None = None
) -> Replayed:
    """Replay what ``side`` kept, against its own log."""
    shared = kept.logs[side] if log is None else log
    try:
        return replay(
            kept.runs[side], kept.keys[side], data or kept.data[side], LoggedRun(shared), work, threads=1
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def told(result: Replayed, name: str) -> Compared:
    """Return what became of one stream or message."""
    (line,) = [each for each in result.compared if each.name == name]
    return line


CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "overlap": (match_table("overlap"), MATCH_ROWS),
    "audience": (match_table("audience", holdout=0.2, receiver="platform"), MATCH_ROWS),
    "audience for both": (match_table("audience", receiver="both"), MATCH_ROWS),
    "measure": (sum_table("measure"), SUM_ROWS),
    "lift with noise": (sum_table("lift", epsilon=2, max_rows=1), SUM_ROWS),
    "funnel": (sum_table("funnel"), SUM_ROWS),
    "profile": (sum_table("profile"), SUM_ROWS),
}


@pytest.mark.parametrize("case", list(CASES))
def test_an_honest_side_comes_out_equal(case: str, tmp_path: Path) -> None:
    table, rows = CASES[case]
    kept = play(table, rows, tmp_path)
    for side in SIDES:
        result = replayed(kept, side, tmp_path / "again")
        assert (result.verdict, result.first) == (Verdict.EQUAL, None)
        assert {line.outcome for line in result.compared} == {Outcome.EQUAL}
        streams = {line.name for line in result.compared}
        assert streams >= (
            {"value_sums", "group_points", "cell_sums", "openings", "table"}
            if "window" in table or "tags" in table["bank"]
            else {"receiver_points", "sender_points", "receiver_tokens"}
        )
        assert {line.sent for line in result.compared} == {True, False}


def test_the_logs_of_both_sides_say_the_same(tmp_path: Path) -> None:
    kept = play(*CASES["audience for both"], tmp_path)
    assert kept.logs["bank"] == kept.logs["platform"]


# -- deviations: the partner notices nothing, and the replay names what was sent


class ScalarsPerRow:
    """A masked set whose every row went under a scalar of its own on top of the job's."""

    def __init__(self, own: Any, role: Any) -> None:
        self._own = own
        self._role = role

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def chunk(self, sequence: int) -> bytes:
        """Return a chunk, element by element under another scalar."""
        data, masked = self._own.chunk(sequence), []
        for start in range(0, len(data), 32):
            scalar = derive_scalar(self._role.terms.suite, (sequence * 1000 + start).to_bytes(64, "big"))
            masked.append(self._role._engine.mask(data[start : start + 32], scalar))
        return b"".join(masked)


class ScalarPerRowSender(Sender):
    """A sender that can recognise each of its rows later."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._own = ScalarsPerRow(self._own, self)


class ScalarPerRowReceiver(Receiver):
    """A counter that can tell which of its rows the shuffled tokens belong to (psi/SPEC 10.2)."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._own = ScalarsPerRow(self._own, self)


class UnshuffledSender(Sender):
    """A sender that returns tokens in the order in which they came, so that its partner can name who matched."""

    def _shuffle_ranks(self, start: int, count: int) -> npt.NDArray[np.uint64]:
        return np.arange(start, start + count, dtype=np.uint64)


class FalseSumHolder(GroupHolder):
    """A group holder that passes one matched row off as a whole group, to read its values (federated/SPEC 17.2)."""

    def _cell_sums(self, partners: npt.NDArray[np.int64]) -> CellSums:
        hits = np.flatnonzero(partners >= 0)
        repeated = partners.copy()
        repeated[hits] = partners[hits[0]]
        return super()._cell_sums(repeated)


class FalseValuesHolder(ValueHolder):
    """A value holder that encrypts its rows in another order than it masked their persons."""

    def _ciphertexts(self) -> Iterator[bytes]:
        for chunk in super()._ciphertexts():
            size = self._shape(SumStream.VALUE_SUMS).element_bytes
            yield b"".join(chunk[start : start + size] for start in range(len(chunk) - size, -1, -size))


class FalseTableHolder(ValueHolder):
    """A value holder that tells its partner other counts than it read."""

    def _noted(self, table: SumTable) -> SumTable:
        first, *others = table.rows
        changed = replace(first, counts=(first.counts[0], first.counts[1] - 1, *first.counts[2:]))
        return super()._noted(replace(table, rows=(changed, *others)))


class SilentGroups(GroupHolder):
    """A group holder that leaves out its noise."""

    def _noise(self, layout: Layout, place: int) -> tuple[list[int], list[int]]:
        return [0] * len(layout.counts), [0] * len(layout.values)


class SilentValues(ValueHolder):
    """A value holder that leaves out its noise."""

    def _noise(self, layout: Layout, place: int) -> tuple[list[int], list[int]]:
        return [0] * len(layout.counts), [0] * len(layout.values)


NOISED = sum_table("measure", epsilon=2, max_rows=1)
DEVIATIONS: dict[str, tuple[dict[str, Any], Any, Deviation, str]] = {
    "a sender's scalar per row": (
        match_table("audience", receiver="platform"),
        MATCH_ROWS,
        {"bank": ("Sender", ScalarPerRowSender)},
        "sender_points",
    ),
    "a counter's scalar per row": (
        match_table("overlap"),
        MATCH_ROWS,
        {"bank": ("Receiver", ScalarPerRowReceiver)},
        "receiver_points",
    ),
    "tokens that were not shuffled": (
        match_table("overlap", receiver="platform"),
        MATCH_ROWS,
        {"bank": ("Sender", UnshuffledSender)},
        "receiver_tokens",
    ),
    "a false sum": (
        sum_table("measure"),
        SUM_ROWS,
        {"platform": ("GroupHolder", FalseSumHolder)},
        "cell_sums",
    ),
    "false values": (
        sum_table("measure"),
        SUM_ROWS,
        {"bank": ("ValueHolder", FalseValuesHolder)},
        "value_sums",
    ),
    "a false table": (
        sum_table("measure"),
        SUM_ROWS,
        {"bank": ("ValueHolder", FalseTableHolder)},
        "table",
    ),
    "a group holder without noise": (
        NOISED,
        SUM_ROWS,
        {"platform": ("GroupHolder", SilentGroups)},
        "cell_sums",
    ),
    "a value holder without noise": (
        NOISED,
        SUM_ROWS,
        {"bank": ("ValueHolder", SilentValues)},
        "verdict table",
    ),
}


@pytest.mark.parametrize("case", list(DEVIATIONS))
def test_who_deviated_is_convicted(case: str, tmp_path: Path) -> None:
    table, rows, instead, names = DEVIATIONS[case]
    kept = play(table, rows, tmp_path, instead=instead)
    (guilty,) = instead
    result = replayed(kept, guilty, tmp_path / "again")
    assert result.verdict is Verdict.SENT
    assert result.first in names.split()
    line = told(result, str(result.first))
    assert line.sent
    assert line.outcome is Outcome.DIFFERS
    assert line.logged is not None
    assert line.made is not None
    assert line.logged["count"] == line.made["count"]
    assert line.logged["sha256"] != line.made["sha256"]
    # Whatever came before it is as it should be, and so is all of its partner's side.
    before = result.compared[: result.compared.index(line)]
    assert {each.outcome for each in before} <= {Outcome.EQUAL}
    (innocent,) = set(SIDES) - {guilty}
    assert replayed(kept, innocent, tmp_path / "other").verdict is Verdict.EQUAL


# -- what stands in the way of a verdict, or is one of its own


@pytest.fixture(scope="module")
def audience(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """An honest audience for the bank, kept by both sides."""
    return play(match_table("audience"), MATCH_ROWS, tmp_path_factory.mktemp("audience"))


def copied(kept: Kept, side: str, folder: Path) -> Kept:
    """Return ``kept`` with the run of ``side`` in a folder of its own, to be spoilt."""
    target = folder / "1"
    shutil.copytree(kept.runs[side].folder, target)
    return replace(kept, runs={**kept.runs, side: replace(kept.runs[side], folder=target)})


def test_another_input_than_the_one_committed_to(audience: Kept, tmp_path: Path) -> None:
    header, rows = MATCH_ROWS["bank"]
    other = write_csv(tmp_path / "other.csv", header, [*rows[1:], rows[0]])
    result = replayed(audience, "bank", tmp_path / "again", data=other)
    assert (result.verdict, result.first) == (Verdict.ANNOUNCEMENT, "receiver_announce")
    assert result.input_known is None
    kept, key = audience.runs["bank"], audience.keys["bank"]
    log = LoggedRun(audience.logs["bank"], {"0" * 64})
    assert replay(kept, key, other, log, tmp_path / "again", threads=1).input_known is False


class FalseCommitment(Receiver):
    """A receiver that commits to another seed than its own; ``inputs`` are what it committed to beside that."""

    inputs: ClassVar[set[str]] = set()

    def _announce(self) -> Announce:
        honest = super()._announce()
        assert isinstance(honest, Announce)
        self.inputs.add(honest.input_commitment.hex())
        self._announced = replace(honest, seed_commitment=bytes(32))
        return self._announced


def test_a_seed_that_was_not_committed_to(tmp_path: Path) -> None:
    kept = play(
        match_table("audience"), MATCH_ROWS, tmp_path, instead={"bank": ("Receiver", FalseCommitment)}
    )
    log = LoggedRun(kept.logs["bank"], FalseCommitment.inputs)
    result = replay(
        kept.runs["bank"], kept.keys["bank"], kept.data["bank"], log, tmp_path / "again", threads=1
    )
    assert (result.verdict, result.first) == (Verdict.ANNOUNCEMENT, "receiver_announce")
    assert result.input_known


def test_a_log_that_has_nothing_of_the_run(audience: Kept, tmp_path: Path) -> None:
    assert replayed(audience, "bank", tmp_path / "again", log=[]).verdict is Verdict.NOT_LOGGED
    others = [{**each, "session": "0" * 32} for each in audience.logs["bank"]]
    assert replayed(audience, "bank", tmp_path / "again", log=others).verdict is Verdict.NOT_LOGGED


@pytest.mark.parametrize(
    ("name", "verdict"), [("sender_points", Verdict.KEPT), ("receiver_points", Verdict.SENT)]
)
def test_an_entry_that_is_not_there_or_names_something_else(
    name: str, verdict: Verdict, audience: Kept, tmp_path: Path
) -> None:
    log = audience.logs["bank"]
    (entry,) = [each for each in log if each["name"] == name]
    without = [each for each in log if each is not entry]
    other = {**entry, "sha256": "0" * 64}
    for changed in ([*without, other], [*log, other], [*log, {**entry, "count": 1}]):
        result = replayed(audience, "bank", tmp_path / "again", log=changed)
        assert (result.verdict, result.first) == (verdict, name)
    # What is missing is only then a fault when the result was allowed to be written.
    assert replayed(audience, "bank", tmp_path / "again", log=without).verdict is Verdict.EQUAL
    finished = LoggedRun(without, finished={entry["session"]})
    kept, key = audience.runs["bank"], audience.keys["bank"]
    result = replay(kept, key, audience.data["bank"], finished, tmp_path / "again", threads=1)
    assert (result.verdict, result.first) == (verdict, name)
    assert told(result, name).outcome is Outcome.UNLOGGED
    more = [*log, {**entry, "name": "sender_tokens"}]
    result = replayed(audience, "bank", tmp_path / "again", log=more)
    assert (result.verdict, result.first) == (verdict, "sender_tokens")
    assert told(result, "sender_tokens").outcome is Outcome.UNMADE


def test_announcements_need_not_be_in_the_log(audience: Kept, tmp_path: Path) -> None:
    log = [each for each in audience.logs["bank"] if "announce" not in each["name"]]
    result = replayed(audience, "bank", tmp_path / "again", log=log)
    assert result.verdict is Verdict.EQUAL
    assert told(result, "receiver_announce").outcome is Outcome.UNLOGGED


def test_messages_that_are_missing_at_the_end(audience: Kept, tmp_path: Path) -> None:
    kept = copied(audience, "bank", tmp_path / "kept")
    files = sorted(kept.runs["bank"].journal.iterdir())
    for path in files[-3:]:
        path.unlink()
    result = replayed(kept, "bank", tmp_path / "again")
    assert (result.verdict, result.first) == (Verdict.KEPT, "receiver_tokens")


def test_messages_that_are_in_another_order(audience: Kept, tmp_path: Path) -> None:
    kept = copied(audience, "bank", tmp_path / "kept")
    files = sorted(kept.runs["bank"].journal.iterdir())
    second, third = files[1].read_bytes(), files[2].read_bytes()
    files[1].write_bytes(third)
    files[2].write_bytes(second)
    result = replayed(kept, "bank", tmp_path / "again")
    assert result.verdict is Verdict.KEPT


def test_a_message_that_is_not_as_it_was_written(audience: Kept, tmp_path: Path) -> None:
    kept = copied(audience, "bank", tmp_path / "kept")
    path = sorted(kept.runs["bank"].journal.iterdir())[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match=f"{path.name} is not as it was written"):
        replayed(kept, "bank", tmp_path / "again")


def test_a_kept_run_is_not_changed(audience: Kept, tmp_path: Path) -> None:
    folder = audience.runs["bank"].folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    replayed(audience, "bank", tmp_path / "again")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_that_was_cut(tmp_path: Path) -> None:
    kept = play(match_table("audience"), MATCH_ROWS, tmp_path, until=6)
    for side in SIDES:
        result = replayed(kept, side, tmp_path / "again")
        assert result.verdict is Verdict.EQUAL
        # Fewer are in the log than seed, input and what was received would give.
        assert Outcome.EQUAL in {line.outcome for line in result.compared}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"header": ("mobile", "tier", "more")}, "differs from the job on the bank's side in bank.schema"),
        ({"header": ("telephone", "tier")}, "no column"),
    ],
)
def test_a_file_with_other_columns(
    change: dict[str, Any], sentence: str, audience: Kept, tmp_path: Path
) -> None:
    rows = [(*row, "x")[: len(change["header"])] for row in MATCH_ROWS["bank"][1]]
    other = write_csv(tmp_path / "other.csv", change["header"], rows)
    with pytest.raises(VeiljoinError, match=sentence):
        replayed(audience, "bank", tmp_path / "again", data=other)


def test_another_key_than_the_seed_was_sealed_to(audience: Kept, tmp_path: Path) -> None:
    keys = {**audience.keys, "bank": audience.keys["platform"]}
    with pytest.raises(UsageError, match="was sealed to the auditor's key"):
        replayed(replace(audience, keys=keys), "bank", tmp_path / "again")


def test_a_kept_run_without_messages(audience: Kept, tmp_path: Path) -> None:
    kept = copied(audience, "bank", tmp_path / "kept")
    shutil.rmtree(kept.runs["bank"].journal)
    with pytest.raises(UsageError, match="holds no message of the partner"):
        replayed(kept, "bank", tmp_path / "again")
