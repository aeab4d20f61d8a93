"""Targets: what a partner sends for its log to be cosigned."""

from __future__ import annotations

import contextlib
import random
from typing import Final

from audit.canonical import CanonicalError, decode, encode
from audit.checkpoint import Checkpoint, Cosigner, check_cosignature, sign_checkpoint, with_cosignature
from audit.merkle import HASH_SIZE, Tree, consistency_proof, leaf_hash
from audit.note import NoteError, Signer, join, split
from audit.witness import Accept, Conflict, Known, Offer, Refused, judge
from psi.errors import PeerViolation
from psi.secret import SigningSeed
from tests.fuzz.mutators import plain
from tests.fuzz.target import Target, require

_ORIGIN: Final = "veiljoin/platform/acme/0123456789abcdef"
_LOG: Final = Signer(_ORIGIN, SigningSeed(bytes([1]) * 32))
_WITNESS: Final = Cosigner("veiljoin/bank/bank/fedcba9876543210/witness", SigningSeed(bytes([2]) * 32))
_SIZE: Final = 40
_COSIGNED: Final = 12
_SECONDS: Final = 1_700_000_000


def _tree(changed_from: int) -> Tree:
    tree = Tree()
    tree.extend([leaf_hash(bytes([number, number >= changed_from])) for number in range(_SIZE)])
    return tree


def _packed(sign: int, offer: Offer) -> bytes:
    """How an input holds an offer: the first byte says whether the text is signed again."""
    head = bytes([sign, offer.old_size, len(offer.proof)])
    return head + b"".join(offer.proof) + offer.note


def _unpacked(data: bytes) -> Offer:
    count, body = data[2], data[3:]
    proof = tuple(body[at * HASH_SIZE : (at + 1) * HASH_SIZE] for at in range(count))
    note = body[count * HASH_SIZE :]
    if data[0] & 1:
        # The partner holds its key: whatever note of text it likes is signed.
        text = note.partition(b"\n\n")[0] + b"\n"
        with contextlib.suppress(NoteError):  # no note's text: it comes as it is
            note = join(text, [_LOG.sign(text)])
    return Offer(note, data[1], proof)


def logoffer() -> Target:
    """An offer to a witness: a signed checkpoint and a consistency proof.

    Nothing but a continuation of what was cosigned is accepted, whoever signed it; what is accepted can be cosigned,
    and the cosigned note says the same.
    """
    honest, forked = _tree(_SIZE), _tree(7)
    known = Known(_COSIGNED, honest.root(_COSIGNED))
    true_roots = {size: honest.root(size) for size in range(_SIZE + 1)}

    def offer(tree: Tree, old: int, size: int) -> Offer:
        note = sign_checkpoint(Checkpoint(_ORIGIN, size, tree.root(size)), _LOG)
        return Offer(note, old, tuple(consistency_proof(old, size, tree.read)))

    def feed(data: bytes) -> None:
        if len(data) < 3:
            raise PeerViolation("An offer is too short.")
        made = _unpacked(data)
        verdict = judge(made, known, _LOG.verifier)
        require(verdict == judge(made, known, _LOG.verifier), "two answers to one offer")
        match verdict:
            case Refused() | Conflict():
                require(
                    not isinstance(verdict, Conflict) or verdict.size == _COSIGNED, "another size was told"
                )
                raise PeerViolation("An offer is not cosigned.")
            case Accept(checkpoint):
                require(checkpoint.origin == _ORIGIN, "another log was accepted")
                require(checkpoint.size >= _COSIGNED, "a log that shrank was accepted")
                # A SHA-256 collision aside, only the partner's own later entries can differ from the honest tree's.
                if checkpoint.size == _COSIGNED:
                    require(checkpoint.root == true_roots[_COSIGNED], "a fork was accepted")
                line = _WITNESS.cosign(made.note, _SECONDS)
                note = with_cosignature(made.note, line)
                require(with_cosignature(note, line) == note, "a cosignature was added twice")
                text, _ = split(note)
                require(text == checkpoint.text(), "another text than the accepted one was cosigned")
                require(
                    check_cosignature(text, line, _WITNESS.verifier) == _SECONDS, "another time was signed"
                )

    cosigned = offer(honest, _COSIGNED, 30)
    seeds = [
        *(_packed(sign, offer(honest, _COSIGNED, size)) for sign in (0, 1) for size in (12, 13, 16, 40)),
        _packed(
            0, Offer(with_cosignature(cosigned.note, _WITNESS.cosign(cosigned.note, 1)), 12, cosigned.proof)
        ),
        *(_packed(1, offer(forked, _COSIGNED, size)) for size in (12, 20)),
        _packed(1, offer(honest, 5, 20)),
    ]
    return Target("logoffer", feed, seeds, longest=2_048, quick=2_000)


def _respelled(data: bytes, rng: random.Random, limit: int) -> bytes:
    """Swap pieces of JSON, so that inputs stay close to being canonical."""
    if rng.random() < 0.5:
        return plain(data, rng, limit)
    old, new = rng.choice(
        [(b":1", b":1.5"), (b":1", b":1e5"), (b":1", b":-0"), (b",", b", "), (b'"a"', b'"\\u0061"'), (b'"b"', b'"a"'),
         (b"null", b"[]"), (b"{}", b'{"":{}}'), (b"[]", b"[[]]"), (b":1", b":9007199254740993"), (b"A", "é".encode())]
    )  # fmt: skip
    return data.replace(old, new, rng.choice((1, -1)))[:limit]


def canonical() -> Target:
    """Canonical JSON: what is read is written as the same bytes, and holds no float."""

    def floats(value: object) -> bool:
        if isinstance(value, dict):
            return any(map(floats, value.values()))
        return isinstance(value, float) or (isinstance(value, list) and any(map(floats, value)))

    def feed(data: bytes) -> None:
        try:
            value = decode(data)
        except CanonicalError as error:
            raise PeerViolation(f"An entry is malformed: {error}.") from None
        require(encode(value) == data, "another spelling was read")
        require(not floats(value), "a float was read")

    seeds = [
        encode(value)
        for value in (
            {},
            {"a": 1, "b": [True, False, None, -1, [], {}], "c": {"a": 1, "b": "A"}},
            {"text": 'A \u0000\n\u001f"\\/\u007f\u00e9\uffff\U0001f600', "z": 2**53 - 1},
        )
    ]
    return Target("canonical", feed, seeds, longest=512, mutate=_respelled, quick=3_000)
