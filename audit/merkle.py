"""The Merkle tree of RFC 6962, section 2.1, over nodes that lie anywhere (SPEC 3).

Only complete subtrees are ever stored: they never change once they are there. Everything else (roots, proofs) is
made from at most two of them per level, which the caller's ``read`` fetches in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

HASH_SIZE: Final = 32

# RFC 6962, 2.1: the hash of an empty tree is that of an empty string.
EMPTY_ROOT: Final = sha256(b"").digest()

# (level, index): the complete subtree over the leaves from index << level up to, not with, (index + 1) << level.
Node = tuple[int, int]
Read = Callable[[Sequence[Node]], Mapping[Node, bytes]]
# Leaves from the first up to, not with, the second.
_Span = tuple[int, int]


class ProofError(ValueError):
    """A proof does not show what it should, or cannot be made for these sizes."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf; the prefix keeps leaves and inner nodes apart (RFC 6962, 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above ``left`` and ``right``."""
    return sha256(b"\x01" + left + right).digest()


def grown(size: int, leaves: Sequence[bytes], read: Read) -> list[tuple[Node, bytes]]:
    """Return every node that becomes complete when ``leaves`` are appended to a tree of ``size``.

    ``leaves`` are leaf hashes; they come back as the nodes of level 0. ``read`` is asked once, for those nodes of
    the tree so far that get a parent: at most one per level. Raises ``ProofError`` for a bad size or hash.
    """
    if any(len(leaf) != HASH_SIZE for leaf in leaves):
        raise ProofError("a leaf hash has not 32 bytes")
    found = _fetch(read, _joined(size, len(leaves)))
    nodes: list[tuple[Node, bytes]] = []
    for level, start, row in _rows(size, b"".join(leaves), found):
        nodes += [
            ((level, start + place), row[place * HASH_SIZE : (place + 1) * HASH_SIZE])
            for place in range(len(row) // HASH_SIZE)
        ]
    return nodes


def frontier(size: int) -> list[Node]:
    """Return the complete subtrees that make up a tree of ``size``, from left to right."""
    _check_size(size)
    return _subtrees((0, size))


def root(size: int, read: Read) -> bytes:
    """Return the root of the tree of the first ``size`` leaves (RFC 6962, 2.1)."""
    if size == 0:
        return EMPTY_ROOT
    nodes = frontier(size)
    return _fold(nodes, _fetch(read, nodes))


def inclusion_proof(index: int, size: int, read: Read) -> list[bytes]:
    """Return the audit path of leaf ``index`` in the tree of the first ``size`` leaves (RFC 6962, 2.1.1)."""
    _check_size(size)
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    path: list[_Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return _hashes(path[::-1], read)


def consistency_proof(old: int, new: int, read: Read) -> list[bytes]:
    """Return the proof that the tree of ``old`` leaves is the start of that of ``new`` (RFC 6962, 2.1.2).

    It is empty for ``old == 0``, which RFC 6962 leaves open: every tree starts with the empty one.
    """
    _check_size(new)
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} leaves does not grow from one of {old}")
    if old in (0, new):
        return []
    path: list[_Span] = []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    if start > 0:  # else the old tree is one complete subtree, whose root the verifier has
        path.append((start, end))
    return _hashes(path[::-1], read)


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that ``leaf``, a leaf hash, is leaf ``index`` of the tree of ``size`` with ``root``.

    Follows RFC 9162, 2.1.3.2. Raises ``ProofError`` unless the proof shows it.
    """
    _check_hashes([leaf, root, *proof])
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    place, last = index, size - 1
    computed = leaf
    for step in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if place & 1 or place == last:
            computed = node_hash(step, computed)
            # Up to the level at which this node is a right child: below, it had no sibling.
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            computed = node_hash(computed, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofError("the inclusion proof is too short")
    if computed != root:
        raise ProofError(f"the inclusion proof of leaf {index} does not lead to the root of size {size}")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree of ``old`` leaves with ``old_root`` is the start of that of ``new`` with ``new_root``.

    Follows RFC 9162, 2.1.4.2. Raises ``ProofError`` unless the proof shows it. An empty tree has ``EMPTY_ROOT``.
    """
    _check_hashes([old_root, new_root, *proof])
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} leaves does not grow from one of {old}")
    for size, claimed in ((old, old_root), (new, new_root)):
        if size == 0 and claimed != EMPTY_ROOT:
            raise ProofError("the root of the empty tree is another")
    if old in (0, new):
        if proof:
            raise ProofError("the consistency proof is too long")
        if old == new and old_root != new_root:
            raise ProofError(f"two trees of {new} leaves have different roots")
        return
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise ProofError("the consistency proof is too short")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old_computed = new_computed = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if place & 1 or place == last:
            old_computed = node_hash(step, old_computed)
            new_computed = node_hash(step, new_computed)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_computed = node_hash(new_computed, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofError("the consistency proof is too short")
    if old_computed != old_root:
        raise ProofError(f"the consistency proof does not lead to the root of size {old}")
    if new_computed != new_root:
        raise ProofError(f"the consistency proof does not lead to the root of size {new}")


class Tree:
    """A tree in memory: 64 bytes per leaf. Roots and proofs of every size up to ``size`` come from it."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf: bytes) -> None:
        """Append one leaf hash. Raises ``ProofError`` unless it has 32 bytes."""
        self.extend((leaf,))

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append leaf hashes: the more at once, the less each costs. Raises ``ProofError`` for a bad one."""
        if any(len(leaf) != HASH_SIZE for leaf in leaves):
            raise ProofError("a leaf hash has not 32 bytes")
        size = self.size
        found = self.read(_joined(size, len(leaves)))
        for level, _, row in _rows(size, b"".join(leaves), found):
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += row

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first ``size`` leaves, of all by default."""
        return root(self.size if size is None else size, self.read)

    def read(self, nodes: Sequence[Node]) -> dict[Node, bytes]:
        """Return the hashes of ``nodes`` (a :data:`Read`). Raises ``ProofError`` for one that is not complete."""
        return {node: self._node(*node) for node in nodes}

    def _node(self, level: int, index: int) -> bytes:
        inside = 0 <= level < len(self._levels) and index >= 0
        found = bytes(self._levels[level][index * HASH_SIZE : (index + 1) * HASH_SIZE]) if inside else b""
        if not found:
            raise ProofError(f"a tree of {self.size} leaves has no complete subtree {index} at level {level}")
        return found


def _joined(size: int, count: int) -> list[Node]:
    """The nodes of a tree of ``size`` that get a parent when ``count`` leaves are appended."""
    return [
        (level, at) for level, at in frontier(size) if (size + count) >> (level + 1) > size >> (level + 1)
    ]


def _rows(size: int, row: bytes, found: Mapping[Node, bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield level, index of the first and hashes, end to end, of the new nodes of every level that has any."""
    level, start = 0, size
    while row:
        yield level, start, row
        if start & 1:  # the left half of the first pair was there before, alone
            start -= 1
            row = found[level, start] + row
        row = b"".join(
            [
                sha256(b"\x01" + row[at : at + 2 * HASH_SIZE]).digest()
                for at in range(0, len(row) - HASH_SIZE, 2 * HASH_SIZE)
            ]
        )
        level, start = level + 1, start >> 1


def _split(count: int) -> int:
    """The largest power of two below ``count`` (RFC 6962, 2.1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtrees(span: _Span) -> list[Node]:
    """The complete subtrees that ``span`` is made of; it starts where one of its length could start."""
    start, end = span
    nodes: list[Node] = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def _fold(nodes: Sequence[Node], found: Mapping[Node, bytes]) -> bytes:
    computed = found[nodes[-1]]
    for node in nodes[-2::-1]:
        computed = node_hash(found[node], computed)
    return computed


def _hashes(spans: Sequence[_Span], read: Read) -> list[bytes]:
    parts = [_subtrees(span) for span in spans]
    found = _fetch(read, [node for nodes in parts for node in nodes])
    return [_fold(nodes, found) for nodes in parts]


def _fetch(read: Read, nodes: Sequence[Node]) -> Mapping[Node, bytes]:
    if not nodes:
        return {}
    found = read(nodes)
    for node in nodes:
        if len(found.get(node, b"")) != HASH_SIZE:
            raise ProofError(f"subtree {node[1]} of level {node[0]} is missing where the tree is kept")
    return found


def _check_size(size: int) -> None:
    if size < 0:
        raise ProofError("a tree has no negative size")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH_SIZE for value in hashes):
        raise ProofError("a hash of a proof has not 32 bytes")
