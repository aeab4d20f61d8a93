"""The tree against RFC 6962's own recursion, and proofs against every way to spoil them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.merkle import (
    EMPTY_ROOT,
    Node,
    ProofError,
    Tree,
    consistency_proof,
    frontier,
    grown,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(b"entry %d" % number) for number in range(300)]
SIZES = st.integers(0, 300)


# RFC 6962, 2.1, word for word: recursive, and with no notion of a stored node.


def _largest_power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def slow_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _largest_power_below(len(leaves))
    return sha256(b"\x01" + slow_root(leaves[:k]) + slow_root(leaves[k:])).digest()


def slow_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = _largest_power_below(len(leaves))
    if m < k:
        return [*slow_path(m, leaves[:k]), slow_root(leaves[k:])]
    return [*slow_path(m - k, leaves[k:]), slow_root(leaves[:k])]


def slow_subproof(m: int, leaves: Sequence[bytes], known: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if known else [slow_root(leaves)]
    k = _largest_power_below(len(leaves))
    if m <= k:
        return [*slow_subproof(m, leaves[:k], known), slow_root(leaves[k:])]
    return [*slow_subproof(m - k, leaves[k:], False), slow_root(leaves[:k])]


def tree_of(size: int) -> Tree:
    tree = Tree()
    tree.extend(LEAVES[:size])
    return tree


class Kept:
    """Nodes in a dictionary, as a database keeps them; notes which were read."""

    def __init__(self) -> None:
        self.nodes: dict[Node, bytes] = {}
        self.read_nodes: list[Node] = []

    def read(self, nodes: Sequence[Node]) -> Mapping[Node, bytes]:
        self.read_nodes += nodes
        return {node: self.nodes[node] for node in nodes if node in self.nodes}


def complete_nodes(size: int) -> dict[Node, bytes]:
    return {
        (level, index): slow_root(LEAVES[index << level : (index + 1) << level])
        for level in range(size.bit_length())
        for index in range(size >> level)
    }


def test_hashes_keep_leaves_and_nodes_apart() -> None:
    assert sha256(b"").digest() == EMPTY_ROOT
    assert leaf_hash(b"") == sha256(b"\x00").digest()
    assert node_hash(LEAVES[0], LEAVES[1]) == sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()
    assert leaf_hash(b"\x01" + LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])


def test_every_root_to_130_is_the_recursion_s() -> None:
    tree = tree_of(130)
    one_by_one = Tree()
    for size in range(131):
        expected = slow_root(LEAVES[:size])
        assert tree.root(size) == one_by_one.root() == expected
        assert one_by_one.size == size
        if size < 130:
            one_by_one.append(LEAVES[size])


@given(SIZES, SIZES)
def test_growing_gives_each_new_complete_subtree_once_and_reads_only_those_that_get_a_parent(
    first: int, second: int
) -> None:
    old, new = sorted((first, second))
    kept = Kept()
    kept.nodes = complete_nodes(old)
    nodes = grown(old, LEAVES[old:new], kept.read)
    assert len({node for node, _ in nodes}) == len(nodes)
    assert kept.nodes | dict(nodes) == complete_nodes(new)
    assert kept.nodes.keys().isdisjoint(dict(nodes))
    assert set(kept.read_nodes) <= set(frontier(old))
    assert len(kept.read_nodes) == len(set(kept.read_nodes))
    made = dict(nodes)
    assert all((level + 1, index >> 1) in made for level, index in kept.read_nodes)


def test_growing_a_large_tree_costs_its_leaves_and_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    size, asked = 2**40 - 1, []

    def read(nodes: Sequence[Node]) -> Mapping[Node, bytes]:
        asked.append(list(nodes))
        return dict.fromkeys(nodes, bytes(32))

    assert len(grown(size, LEAVES[:1], read)) == 41
    assert asked == [[(level, (size >> level) - 1) for level in range(39, -1, -1)]]
    asked.clear()
    assert len(grown(2**40, LEAVES[:100], read)) == sum(100 >> level for level in range(7))
    assert asked == []


@given(SIZES)
def test_the_frontier_covers_the_tree_from_left_to_right(size: int) -> None:
    covered = [
        leaf for level, index in frontier(size) for leaf in range(index << level, (index + 1) << level)
    ]
    assert covered == list(range(size))
    levels = [level for level, _ in frontier(size)]
    assert levels == sorted(set(levels), reverse=True)


def test_all_inclusion_proofs_to_40_are_the_recursion_s_and_verify() -> None:
    tree = tree_of(40)
    for size in range(1, 41):
        for index in range(size):
            proof = inclusion_proof(index, size, tree.read)
            assert proof == slow_path(index, LEAVES[:size])
            verify_inclusion(index, size, LEAVES[index], proof, tree.root(size))


def test_all_consistency_proofs_to_40_are_the_recursion_s_and_verify() -> None:
    tree = tree_of(40)
    for new in range(41):
        for old in range(new + 1):
            proof = consistency_proof(old, new, tree.read)
            assert proof == (slow_subproof(old, LEAVES[:new], True) if old else [])
            verify_consistency(old, new, proof, tree.root(old), tree.root(new))


@settings(max_examples=60)
@given(st.integers(1, 300), st.data())
def test_proofs_of_random_trees_are_the_recursion_s(size: int, data: st.DataObject) -> None:
    tree = tree_of(300)
    index = data.draw(st.integers(0, size - 1))
    assert inclusion_proof(index, size, tree.read) == slow_path(index, LEAVES[:size])
    old = data.draw(st.integers(1, size))
    assert consistency_proof(old, size, tree.read) == slow_subproof(old, LEAVES[:size], True)


def spoiled(proof: Sequence[bytes], rng: random.Random) -> list[list[bytes]]:
    """Proofs that differ from ``proof`` in one place."""
    other = rng.randbytes(32)
    changed = [[*proof, other], [other, *proof], [*proof, *proof[-1:], other]]
    for place, step in enumerate(proof):
        bit = rng.randrange(256)
        flipped = (int.from_bytes(step, "big") ^ (1 << bit)).to_bytes(32, "big")
        changed += [[*proof[:place], flipped, *proof[place + 1 :]], [*proof[:place], *proof[place + 1 :]]]
        changed += [
            [*proof[:place], step[:31], *proof[place + 1 :]],
            [*proof[:place], b"", *proof[place + 1 :]],
        ]
        if place and proof[place - 1] != step:
            changed.append([*proof[: place - 1], step, proof[place - 1], *proof[place + 1 :]])
    return changed


def test_a_spoiled_inclusion_proof_shows_nothing() -> None:
    tree, rng = tree_of(23), random.Random(6962)
    for size in range(1, 24):
        for index in range(size):
            proof, expected = inclusion_proof(index, size, tree.read), tree.root(size)
            attempts = [(index, size, LEAVES[index], changed, expected) for changed in spoiled(proof, rng)]
            attempts += [
                (other, size, LEAVES[index], proof, expected)
                for other in range(-1, size + 2)
                if other != index
            ]
            attempts.append((index, size, LEAVES[index], proof, LEAVES[-1]))
            attempts.append((index, size, LEAVES[-1], proof, expected))
            for attempt in attempts:
                with pytest.raises(ProofError):
                    verify_inclusion(*attempt)


def test_a_spoiled_consistency_proof_shows_nothing() -> None:
    tree, rng = tree_of(23), random.Random(9162)
    for new in range(24):
        for old in range(new + 1):
            proof, first, second = consistency_proof(old, new, tree.read), tree.root(old), tree.root(new)
            attempts = [(old, new, changed, first, second) for changed in spoiled(proof, rng)]
            attempts += [(old, new, proof, LEAVES[-1], second), (new + 1, new, proof, first, second)]
            attempts += [(-1, new, proof, first, second)]
            if old:  # every tree starts with the empty one
                attempts.append((old, new, proof, first, LEAVES[-1]))
            if old != new:
                attempts.append((new, old, proof, second, first))
            for attempt in attempts:
                with pytest.raises(ProofError):
                    verify_consistency(*attempt)


def test_a_log_that_changed_an_old_entry_has_no_proof() -> None:
    honest, forked = tree_of(20), Tree()
    forked.extend([*LEAVES[:7], LEAVES[-1], *LEAVES[8:20]])
    for old in range(8, 21):
        with pytest.raises(ProofError):
            verify_consistency(
                old, 20, consistency_proof(old, 20, forked.read), honest.root(old), forked.root(20)
            )


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33)])
def test_hashes_of_another_length_are_refused(bad: bytes) -> None:
    tree = tree_of(3)
    with pytest.raises(ProofError, match="32 bytes"):
        tree.append(bad)
    assert tree.size == 3
    with pytest.raises(ProofError, match="32 bytes"):
        grown(3, [LEAVES[3], bad], tree.read)
    with pytest.raises(ProofError, match="32 bytes"):
        verify_inclusion(0, 1, bad, [], bad)
    with pytest.raises(ProofError, match="32 bytes"):
        verify_consistency(1, 1, [], bad, bad)


def test_a_missing_or_incomplete_node_is_named() -> None:
    tree, kept = tree_of(5), Kept()
    with pytest.raises(ProofError, match="no complete subtree 1 at level 2"):
        tree.read([(2, 1)])
    with pytest.raises(ProofError, match="no complete subtree -2 at level 0"):
        tree.read([(0, -2)])
    with pytest.raises(ProofError, match="no complete subtree 0 at level 9"):
        tree.root(512)
    with pytest.raises(ProofError, match="subtree 0 of level 2 is missing"):
        root(5, kept.read)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3), (0, -1)])
def test_no_inclusion_proof_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        inclusion_proof(index, size, tree_of(3).read)


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 3), (0, -1)])
def test_no_consistency_proof_backwards(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        consistency_proof(old, new, tree_of(3).read)


def test_extending_by_nothing_changes_nothing() -> None:
    tree = tree_of(5)
    tree.extend([])
    assert (tree.size, tree.root()) == (5, slow_root(LEAVES[:5]))
