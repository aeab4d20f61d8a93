"""The witness: a model that keeps what it cosigned, against logs that grow, repeat, shrink, fork and forge."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import EMPTY_ROOT, Tree, consistency_proof, leaf_hash
from audit.note import NoteError, Signer
from audit.witness import Accept, Conflict, Known, Offer, Refused, judge
from psi.secret import SigningSeed

ORIGIN = "veiljoin/bank/bank/0123456789abcdef"
LOG = Signer(ORIGIN, SigningSeed(bytes([5]) * 32))
STRANGER = Signer(ORIGIN, SigningSeed(bytes([6]) * 32))


def leaves(prefix: str, count: int) -> list[bytes]:
    return [leaf_hash(f"{prefix} {number}".encode()) for number in range(count)]


def tree_of(hashes: list[bytes]) -> Tree:
    tree = Tree()
    tree.extend(hashes)
    return tree


HONEST = tree_of(leaves("entry", 40))
# The same up to entry 10, then another history.
FORKED = tree_of([*leaves("entry", 10), *leaves("other", 30)])


def offer(tree: Tree, old: int, size: int, signer: Signer = LOG) -> Offer:
    note = sign_checkpoint(Checkpoint(ORIGIN, size, tree.root(size)), signer)
    proof = consistency_proof(old, size, tree.read) if old <= size else []
    return Offer(note, old, tuple(proof))


def known(tree: Tree, size: int) -> Known:
    return Known(size, tree.root(size))


@pytest.mark.parametrize("size", [0, 1, 40])
def test_a_log_never_seen_is_accepted_from_nothing(size: int) -> None:
    verdict = judge(offer(HONEST, 0, size), None, LOG.verifier)
    assert verdict == Accept(Checkpoint(ORIGIN, size, HONEST.root(size)))


@pytest.mark.parametrize(("old", "size"), [(0, 40), (1, 2), (7, 40), (32, 33), (40, 40)])
def test_a_log_that_grows_is_accepted(old: int, size: int) -> None:
    verdict = judge(offer(HONEST, old, size), known(HONEST, old), LOG.verifier)
    assert verdict == Accept(Checkpoint(ORIGIN, size, HONEST.root(size)))


@pytest.mark.parametrize(("claimed", "size"), [(0, 20), (11, 20), (13, 20), (20, 20)])
def test_another_size_than_the_last_cosigned_is_told_the_right_one(claimed: int, size: int) -> None:
    assert judge(offer(HONEST, claimed, size), known(HONEST, 12), LOG.verifier) == Conflict(12)
    assert judge(offer(HONEST, 5, 20), None, LOG.verifier) == Conflict(0)


def test_a_log_that_shrank_is_not_cosigned() -> None:
    assert judge(offer(HONEST, 12, 11), known(HONEST, 12), LOG.verifier) == Conflict(12)


def test_a_fork_is_refused() -> None:
    assert judge(offer(FORKED, 12, 20), known(HONEST, 12), LOG.verifier) == Refused("fork")
    # With the honest tree's proof it is no better.
    mixed = dataclasses.replace(offer(FORKED, 12, 20), proof=offer(HONEST, 12, 20).proof)
    assert judge(mixed, known(HONEST, 12), LOG.verifier) == Refused("fork")


def test_the_same_size_with_another_root_is_a_fork() -> None:
    assert judge(offer(FORKED, 12, 12), known(HONEST, 12), LOG.verifier) == Refused("fork")


def test_the_same_checkpoint_again_is_accepted_again() -> None:
    assert isinstance(judge(offer(HONEST, 12, 12), known(HONEST, 12), LOG.verifier), Accept)


@pytest.mark.parametrize("proof", [(), (bytes(32),), (b"",), (bytes(32),) * 70])
def test_a_proof_that_shows_nothing_is_refused(proof: tuple[bytes, ...]) -> None:
    changed = dataclasses.replace(offer(HONEST, 12, 20), proof=proof)
    assert judge(changed, known(HONEST, 12), LOG.verifier) == Refused("fork")


def test_a_proof_from_nothing_is_empty() -> None:
    changed = dataclasses.replace(offer(HONEST, 0, 20), proof=(bytes(32),))
    assert judge(changed, None, LOG.verifier) == Refused("fork")


def test_the_empty_log_has_one_root() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG)
    assert judge(Offer(note, 0, ()), None, LOG.verifier) == Refused("fork")
    assert judge(Offer(note, 0, ()), Known(0, EMPTY_ROOT), LOG.verifier) == Refused("fork")


def test_a_signature_of_another_key_is_refused_before_anything_is_told() -> None:
    for claimed in (12, 0):  # not even which size was cosigned
        assert judge(offer(HONEST, claimed, 20, STRANGER), known(HONEST, 12), LOG.verifier) == Refused(
            "bad_signature"
        )
    true_note = offer(HONEST, 12, 20).note
    text, _, signature = true_note.partition(b"\n\n")
    changed = dataclasses.replace(
        offer(HONEST, 12, 20), note=text.replace(b"20", b"21") + b"\n\n" + signature
    )
    assert judge(changed, known(HONEST, 12), LOG.verifier) == Refused("bad_signature")


@pytest.mark.parametrize("note", [b"", b"\n\n", b"veiljoin\n", b"\xff" * 9])
def test_what_is_no_note_is_refused(note: bytes) -> None:
    assert judge(Offer(note, 0, ()), None, LOG.verifier) == Refused("malformed")


def test_a_signed_note_that_is_no_checkpoint_of_the_log_is_refused() -> None:
    for text in (b"hello\n", Checkpoint("veiljoin/bank/other/0123456789abcdef", 1, bytes(32)).text()):
        assert judge(Offer(text + b"\n" + LOG.sign(text), 0, ()), None, LOG.verifier) == Refused("malformed")


def test_a_bad_key_of_the_log_is_the_caller_s_fault() -> None:
    with pytest.raises(NoteError):
        judge(offer(HONEST, 0, 1), None, "not a key")


class Witnessing(RuleBasedStateMachine):
    """A witness that stores what it accepts never holds a tree that is not a continuation of all before."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Known | None = None
        self.history: list[Known] = []
        # As a list of leaves, which a consistency proof knows nothing of.
        self.side: set[str] = {"honest", "forked"}

    def sizes(self) -> int:
        return self.kept.size if self.kept else 0

    @rule(side=st.sampled_from(["honest", "forked"]), size=st.integers(0, 40), data=st.data())
    def offered(self, side: str, size: int, data: Any) -> None:
        tree = HONEST if side == "honest" else FORKED
        old = data.draw(st.just(self.sizes()) | st.integers(0, 40))
        verdict = judge(offer(tree, old, size), self.kept, LOG.verifier)
        if old != self.sizes() or size < self.sizes():
            assert verdict == Conflict(self.sizes())
        elif side in self.side or size <= 10:
            assert isinstance(verdict, Accept)
            self.kept = Known(verdict.checkpoint.size, verdict.checkpoint.root)
            self.history.append(self.kept)
            if size > 10:
                self.side = {side}
        else:
            assert verdict == Refused("fork")

    @invariant()
    def everything_cosigned_is_of_one_history(self) -> None:
        sizes = [entry.size for entry in self.history]
        assert sizes == sorted(sizes)
        assert any(
            all(tree.root(entry.size) == entry.root for entry in self.history) for tree in (HONEST, FORKED)
        )


TestWitnessing = Witnessing.TestCase
TestWitnessing.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
