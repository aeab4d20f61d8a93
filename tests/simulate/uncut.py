"""A run without faults and without playback: what every schedule over the same seeds and sets must come to."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

from federated import group_holder, proof, value_holder
from federated.keys import PaillierPrivateKey
from party.memo import RememberedEngine
from tests.psi.pair import engine_for
from tests.simulate.judge import Breach
from tests.simulate.places import DictMemo
from tests.simulate.questions import SIDES, Question, Sum
from veiljoin import codec


@dataclass
class Uncut:
    """Per side: digests of its messages by number, what it learns, and how many elements it computes."""

    messages: list[dict[int, bytes]]
    learned: list[Any]
    computed: list[int]


_known: dict[tuple[Any, ...], Uncut] = {}


def uncut(question: Question, seeds: tuple[bytes, ...], editions: tuple[int, ...]) -> Uncut:
    """Return the uncut run. Those of sums, of which there are few, are remembered, and checked when they are made."""
    if not isinstance(question, Sum):
        return _run(question, seeds, editions)
    asked = (question.name, seeds, editions)
    if asked not in _known:
        plain = _run(question, seeds, editions)
        for side in SIDES:
            wrong = question.check(side, plain.learned[side], editions)
            if wrong is not None:
                raise Breach(f"even without faults: {wrong}")
        _known[asked] = plain
    return _known[asked]


def _run(question: Question, seeds: tuple[bytes, ...], editions: tuple[int, ...]) -> Uncut:
    memos = [(DictMemo(), DictMemo()) for _ in SIDES]
    engines = [RememberedEngine(engine_for(question.suite), *pair) for pair in memos]  # type: ignore[arg-type]
    sets = [question.prepare(side, seeds[side], editions[side], engines[side]) for side in SIDES]
    roles = [question.role(side, seeds[side], sets[side], engines[side]) for side in SIDES]
    messages: list[dict[int, bytes]] = [{}, {}]
    out = [deque([role.start()]) for role in roles]
    while any(out):
        side = 0 if out[0] else 1
        message = next(out[side][0], None)
        if message is None:
            out[side].popleft()
            continue
        encoded = codec.encode(message).SerializeToString(deterministic=True)
        messages[side][len(messages[side])] = hashlib.sha256(encoded).digest()
        out[1 - side].append(roles[1 - side].receive(message))
    learned = [question.learned(side, roles[side], sets[side], editions[side]) for side in SIDES]
    return Uncut(messages, learned, [first.computed + second.computed for first, second in memos])


@contextmanager
def known_proofs() -> Iterator[None]:
    """Prove and check each modulus once: a proof follows from the key and the contract alone, and takes long."""
    keys: dict[bytes, PaillierPrivateKey] = {}

    @cache
    def prove(key: bytes, contract: bytes) -> bytes:
        return proof.prove_modulus(keys[key], contract)

    def prove_known(private: PaillierPrivateKey, contract: bytes) -> bytes:
        keys.setdefault(private.reveal(), PaillierPrivateKey(private.reveal()))
        return prove(private.reveal(), contract)

    with (
        mock.patch.object(value_holder, "prove_modulus", prove_known),
        mock.patch.object(group_holder, "receive_public_key", cache(proof.receive_public_key)),
    ):
        yield
