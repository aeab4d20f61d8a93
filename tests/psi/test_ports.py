"""Shelves and joins in memory and on disk behave alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from party.workspace import DiskKeep, Workspace
from psi.memory import MemoryKeep
from psi.ports import Keep
from psi.secret import Seed
from psi.seed import LABEL_SHUFFLE, JobRandomness
from psi.terms import MAX_TIERS
from tests.psi.pair import CONTRACT, cut, terms_for

TERMS = terms_for(chunk_elements=7)
TOKEN = 16


@pytest.fixture(scope="module", params=["memory", "disk"])
def keep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keep]:
    """One keep for the whole module: its shelves and joins are apart from each other."""
    if request.param == "memory":
        yield MemoryKeep(TERMS)
        return
    with Workspace(Path(tmp_path_factory.mktemp("keep")) / "work", 1) as workspace:
        yield DiskKeep(workspace, TERMS)


def token(number: int) -> bytes:
    """Return a token; those of neighbouring numbers differ in one half only."""
    return (number // 2).to_bytes(8, "little") + (number % 2).to_bytes(8, "big")


def tokens(*numbers: int) -> bytes:
    """Return tokens back to back."""
    return b"".join(map(token, numbers))


def parts(numbers: Sequence[int], sizes: Sequence[int]) -> Iterator[bytes]:
    """Yield ``numbers`` as tokens in batches of ``sizes``, again and again."""
    start = 0
    while start < len(numbers):
        for size in sizes:
            if batch := numbers[start : start + size]:
                yield tokens(*batch)
            start += size


def seeded(seed: int) -> JobRandomness:
    """Return the derivations of a seed."""
    return JobRandomness(Seed(seed.to_bytes(32, "big")), CONTRACT)


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=3)
few = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), sizes)
def test_a_shelf_gives_back_in_order(keep: Keep, numbers: list[int], batches: list[int]) -> None:
    shelf = keep.shelf()
    for part in parts(numbers, batches):
        shelf.append(part)
    chunks = list(shelf.ordered())
    assert b"".join(chunks) == tokens(*numbers)
    # Exactly the chunks that the partner expects: full but for the last.
    assert [len(chunk) // TOKEN for chunk in chunks] == [
        TERMS.chunk_length(len(numbers), i) for i in range(TERMS.chunk_count(len(numbers)))
    ]
    assert list(shelf.ordered()) == chunks


@few
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 99), sizes)
def test_a_shelf_shuffles_by_rank_within_each_tier(
    keep: Keep, groups: list[int], seed: int, batches: list[int]
) -> None:
    numbers = list(range(sum(groups)))
    shelf = keep.shelf()
    for part in parts(numbers, batches):
        shelf.append(part)

    def ranks(start: int, count: int) -> npt.NDArray[np.uint64]:
        return seeded(seed).ranks(LABEL_SHUFFLE, start, count)

    told = list(cut(b"".join(shelf.shuffled(groups, ranks)), TOKEN))
    by_rank = ranks(0, len(numbers)).tolist()
    expected, start = [], 0
    for size in groups:
        members = range(start, start + size)
        expected += sorted(members, key=lambda i: by_rank[i])
        start += size
    assert told == [token(i) for i in expected]


def test_equal_ranks_keep_their_positions(keep: Keep) -> None:
    shelf = keep.shelf()
    shelf.append(tokens(*range(20)))
    told = shelf.shuffled([8, 12], lambda _, count: np.zeros(count, dtype=np.uint64))
    assert b"".join(told) == tokens(*range(20))


@few
@given(
    st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=40),
    st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=40),
    st.lists(st.integers(1, 39), max_size=3),
    sizes,
)
def test_a_join_finds_what_both_have(
    keep: Keep, own: list[int], peer: list[int], cuts: list[int], batches: list[int]
) -> None:
    join = keep.join()
    for part in parts(own, batches):
        join.add_own(part)
    for part in parts(peer, batches[::-1]):
        join.add_peer(part)
    bounds = [0, *sorted({each for each in cuts if each < len(peer)}), len(peer)]
    groups = [end - start for start, end in pairwise(bounds)]
    tier = {number: 1 + sum(peer.index(number) >= bound for bound in bounds[1:]) for number in peer}
    found = join.match(groups)
    assert found.dtype == np.uint8
    assert found.tolist() == [tier.get(number, 0) for number in own]
    assert join.repeated() == (0, 0)


@few
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 9), min_size=1, max_size=30)
)
def test_a_join_counts_copies_on_each_side(keep: Keep, own: list[int], peer: list[int]) -> None:
    join = keep.join()
    join.add_own(tokens(*own))
    join.add_peer(tokens(*peer))
    assert join.repeated() == (len(own) - len(set(own)), len(peer) - len(set(peer)))


def test_tokens_that_share_a_half_are_not_equal(keep: Keep) -> None:
    join = keep.join()
    one, other = bytes(8) + b"\x01" * 8, b"\x01" * 8 + bytes(8)
    join.add_own(one + other)
    join.add_peer(other + bytes(16) + b"\x01" * 16)
    assert join.match([3]).tolist() == [0, 1]
    assert join.repeated() == (0, 0)


def test_as_many_tiers_as_may_be(keep: Keep) -> None:
    join = keep.join()
    join.add_own(tokens(*range(MAX_TIERS)))
    join.add_peer(tokens(*range(MAX_TIERS)))
    assert join.match([1] * MAX_TIERS).tolist() == list(range(1, MAX_TIERS + 1))


def test_an_empty_join_has_no_copies(keep: Keep) -> None:
    assert keep.join().repeated() == (0, 0)


def test_shelves_and_joins_are_apart(keep: Keep) -> None:
    first, second = keep.shelf(), keep.shelf()
    first.append(tokens(1))
    second.append(tokens(2))
    assert list(first.ordered()) == [tokens(1)]
    assert list(second.ordered()) == [tokens(2)]
    one, other = keep.join(), keep.join()
    one.add_own(tokens(1))
    other.add_peer(tokens(1))
    assert one.match([]).tolist() == [0]
