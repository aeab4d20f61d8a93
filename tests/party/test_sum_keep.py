"""Joins, shelves and records of a grouped sum: in memory and on disk alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federated.memory import MemorySumKeep
from federated.ports import SumKeep
from party.workspace import DiskSumKeep, Workspace
from tests.party.sum_jobs import sum_job
from tests.party.sum_sides import randomness, terms_of

TERMS = terms_of(sum_job("measure"), chunk_elements=7)
ON_BOTH = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=["memory", "disk"])
def keep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SumKeep]:
    """One keep for the whole module: its places are apart from each other."""
    if request.param == "memory":
        yield MemorySumKeep(TERMS)
        return
    with Workspace(Path(tmp_path_factory.mktemp("keep")) / "work", 1) as workspace:
        yield DiskSumKeep(workspace, TERMS)


def tokens(numbers: list[int]) -> bytes:
    """Return tokens, those of neighbouring numbers alike in one half."""
    return b"".join((n // 2).to_bytes(8, "little") + (n % 2).to_bytes(8, "big") for n in numbers)


NUMBERS = st.lists(st.integers(0, 60), max_size=40)


@ON_BOTH
@given(
    st.lists(st.integers(0, 60), max_size=40, unique=True),
    st.lists(st.integers(0, 60), max_size=40, unique=True),
)
def test_partners_are_found(keep: SumKeep, own: list[int], peer: list[int]) -> None:
    join = keep.join()
    join.add_own(tokens(own[:5]))
    join.add_peer(tokens(peer[:3]))
    join.add_own(tokens(own[5:]))
    join.add_peer(tokens(peer[3:]))
    assert join.partners().tolist() == [peer.index(n) if n in peer else -1 for n in own]
    assert join.partners().dtype == np.int64
    assert join.repeated() == (0, 0)


@ON_BOTH
@given(NUMBERS, NUMBERS)
def test_copies_are_counted(keep: SumKeep, own: list[int], peer: list[int]) -> None:
    join = keep.join()
    join.add_own(tokens(own))
    join.add_peer(tokens(peer))
    assert join.repeated() == (len(own) - len(set(own)), len(peer) - len(set(peer)))


@ON_BOTH
@given(st.data(), st.sampled_from([1, 3, 512, 1 << 20]))
def test_records_come_back_by_position(keep: SumKeep, data: st.DataObject, size: int) -> None:
    shelf = keep.records(size)
    records = [bytes([number]) * size for number in range(data.draw(st.integers(1, 6)))]
    shelf.append(b"".join(records[:2]))
    shelf.append(b"".join(records[2:]))
    wanted = data.draw(st.lists(st.integers(0, len(records) - 1), max_size=9))
    assert b"".join(shelf.take(wanted)) == b"".join(records[position] for position in wanted)
    assert b"".join(shelf.take(np.array(wanted, np.int64))) == b"".join(
        records[position] for position in wanted
    )


def test_batches_of_records_are_bounded(keep: SumKeep) -> None:
    shelf = keep.records(512)
    shelf.append(bytes(512 * 5000))
    sizes = [len(batch) for batch in shelf.take(range(5000))]
    assert sum(sizes) == 512 * 5000
    assert max(sizes) <= 1 << 20


@pytest.mark.parametrize("positions", [[2], [-1], [0, 5]])
def test_a_record_that_is_not_there(keep: SumKeep, positions: list[int]) -> None:
    shelf = keep.records(4)
    shelf.append(b"aaaabbbb")
    with pytest.raises(ValueError, match="not one of the 2 records"):
        list(shelf.take(positions))
    with pytest.raises(ValueError, match="4 bytes each"):
        shelf.append(b"ccc")


def test_tokens_are_shuffled_within_more_groups_than_a_byte_counts(keep: SumKeep) -> None:
    sizes = [3] * 400
    numbers = list(range(sum(sizes)))
    shelf = keep.shelf()
    shelf.append(tokens(numbers))
    ranks = randomness()
    data = b"".join(shelf.shuffled(sizes, lambda start, count: ranks.ranks("label", start, count)))
    found = [data[start : start + 16] for start in range(0, len(data), 16)]
    for start in range(0, len(numbers), 3):
        assert set(found[start : start + 3]) == {tokens([n]) for n in numbers[start : start + 3]}
    assert found != [tokens([n]) for n in numbers]


def test_records_are_private_and_go_with_the_workspace(tmp_path: Path) -> None:
    with Workspace(tmp_path / "work", 1) as workspace:
        DiskSumKeep(workspace, TERMS).records(8).append(bytes(16))
        files = [path for path in (tmp_path / "work").iterdir() if path.is_file()]
        assert [path.stat().st_mode & 0o777 for path in files] == [0o600]
    assert not (tmp_path / "work").exists()
