"""Targets: the roles of both protocols at each of their states, fed with messages that a partner could have sent.

An input is a conversation: which role under which terms, how much of an honest partner's part it hears, and then
messages that are honest ones of this or another run, changed field by field. A role must refuse with a
``VeiljoinError`` and be closed, or go on; it is done only by the honest conversation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import federated.group_holder
import federated.value_holder
from federated.keys import PaillierPrivateKey
from federated.memory import MemorySumKeep
from federated.proof import prove_modulus, receive_public_key
from federated.terms import SumRole, SumTerms
from psi.errors import VeiljoinError
from psi.machine import State
from psi.memory import MemoryKeep, MemorySet
from psi.receiver import Receiver
from psi.role import ProtocolRole
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.sender import Sender
from psi.suites import RISTRETTO255
from psi.terms import Kind, Role, Terms
from tests.federated.keys_for_tests import private_key
from tests.federated.lying import AMOUNT, CellPlan, world_of
from tests.federated.pair import SumConversation, randomness_for, sum_terms
from tests.federated.pair import engine_for as sum_engine_for
from tests.fuzz.draws import Draws
from tests.fuzz.mutators import protobuf
from tests.fuzz.remembering import RememberedEngine
from tests.fuzz.target import Target, require
from tests.fuzz.wire import envelopes, parsed
from tests.psi.pair import RECEIVER_SEED, SENDER_SEED, Conversation, engine_for, people, terms_for
from tests.wire.test_codec import SAMPLES
from veiljoin import codec
from veiljoin.v1 import session_pb2

_MOST_MESSAGES = 6
_CHANGE = protobuf(session_pb2.Envelope)


@dataclass(frozen=True)
class Scene:
    """A role under some terms: ``make`` gives a fresh one, ``script`` is what an honest partner says to it."""

    make: Callable[[], ProtocolRole[Any]]
    script: Sequence[Any]


def _play(scenes: Sequence[Scene], others: Sequence[bytes], data: bytes) -> None:
    draws = Draws(data)
    scene = draws.pick(scenes)
    part = scene.make()
    _drain(part.start())
    heard = draws.below(len(scene.script) + 1)
    for message in scene.script[:heard]:
        _drain(part.receive(message))
    honest = True
    for place in range(heard, heard + _MOST_MESSAGES):
        if not draws.left:
            break
        message = _told(draws, scene, place, others)
        honest = honest and (message in scene.script)
        try:
            answers = part.receive(message)
        except VeiljoinError:
            require(part.state is State.CLOSED, "a role that refused a message stays open")
            raise
        _drain(answers)
    require(not part.done or honest, "a role is done by lies")


def _told(draws: Draws, scene: Scene, place: int, others: Sequence[bytes]) -> Any:
    """Return a message: the honest one at ``place``, any of the script, or any at all, mostly changed."""
    how = draws.number(1)
    if how & 3 == 0 and place < len(scene.script):
        base = codec.encode(scene.script[place]).SerializeToString()
    elif how & 3 == 3:
        base = draws.pick(others)
    else:
        base = codec.encode(draws.pick(scene.script)).SerializeToString()
    if how & 0xC0:
        base = _CHANGE(base, draws.chance(), 1 << 16)
    return codec.decode(parsed(session_pb2.Envelope, base))


def _drain(answers: Iterator[Any]) -> None:
    for _ in answers:
        pass


def _programs(scenes: Sequence[Scene]) -> list[bytes]:
    """Return, per scene and length of its honest part, one input that goes on honestly and one that does not."""
    programs = []
    for number, scene in enumerate(scenes):
        for heard in range(len(scene.script) + 1):
            programs.append(bytes([number, heard, 0xC0, 0, 0, 0, heard]))
            programs.append(bytes([number, heard]) + bytes(len(scene.script) - heard))
    return programs


# -- the private match

_OWN = {Role.RECEIVER: [("", people(*range(6)))], Role.SENDER: [("", people(*range(3, 8)))]}
_TIERED = {
    Role.RECEIVER: [("gold", people(0, 1, 2)), ("银卡", people(3, 4))],
    Role.SENDER: [("a", people(1, 4, 9))],
}


def _match_scenes(terms: Terms, tiers: dict[Role, Any]) -> Iterator[Scene]:
    engine = engine_for(terms.suite)
    seeds = {Role.RECEIVER: RECEIVER_SEED, Role.SENDER: SENDER_SEED}
    randomness = {role: JobRandomness(Seed(seed), terms.contract) for role, seed in seeds.items()}
    own = {role: MemorySet(terms, randomness[role], engine, tiers[role]) for role in Role}

    def make(role: Role) -> ProtocolRole[Any]:
        kind = Receiver if role is Role.RECEIVER else Sender
        return kind(terms, randomness[role], own[role], engine, MemoryKeep(terms))

    talk = Conversation(make(Role.RECEIVER), make(Role.SENDER)).run()  # type: ignore[arg-type]
    for role in Role:
        yield Scene(functools.partial(make, role), talk.by(role.other))


def match() -> Target:
    """Receiver, sender and the two of ``both``, over both suites, with tiers and without."""
    plain = terms_for(chunk_elements=3)
    scenes = [
        *_match_scenes(plain, _OWN),
        *_match_scenes(terms_for(both=True, chunk_elements=3), _TIERED),
        *_match_scenes(terms_for(Kind.OVERLAP, chunk_elements=3), _TIERED),
        *_match_scenes(terms_for(suite=RISTRETTO255, both=True, chunk_elements=4, min_group=2), _OWN),
    ]
    others = envelopes(SAMPLES) + envelopes([each for scene in scenes for each in scene.script])
    return Target("match", functools.partial(_play, scenes, others), _programs(scenes), 64, quick=500)


# -- the grouped sum

_CELLS = (CellPlan(4, 3, 3), CellPlan(3, 2, 2), CellPlan(3, 1, 1), CellPlan(3, 1, 1), CellPlan(3, 2, 1))
_SMALL_ARMS = (
    CellPlan(3, 2, 2, ("control",), "control"),
    CellPlan(3, 3, 2, ("test",), "test"),
)


class _SumStage:
    """Both sides of one grouped sum; the slow arithmetic of the honest run is done once and remembered."""

    def __init__(self, terms: SumTerms, plan: Sequence[CellPlan], tags: Sequence[str] = ()) -> None:
        self.terms = terms
        self.paillier = RememberedEngine()
        self.own = world_of(terms, plan, others=3, tags=tags)
        with _proofs_once():
            talk = SumConversation(self.make(SumRole.VALUE_HOLDER), self.make(SumRole.GROUP_HOLDER)).run()
        self.paillier.remembers = False
        require(talk.values.done and talk.groups.done, "the honest run does not end")
        self.said = talk.said

    def make(self, role: SumRole) -> Any:
        """Return a fresh role."""
        randomness, engine = randomness_for(role, self.terms), sum_engine_for(self.terms.suite)
        keep = MemorySumKeep(self.terms)
        if role is SumRole.VALUE_HOLDER:
            key = PaillierPrivateKey(private_key(self.terms.key_bits).reveal())
            return federated.value_holder.ValueHolder(
                self.terms, randomness, self.own[0], engine, keep, key, self.paillier
            )
        return federated.group_holder.GroupHolder(
            self.terms, randomness, self.own[1], engine, keep, self.paillier
        )

    def scenes(self) -> Iterator[Scene]:
        """Yield both roles."""
        for role in SumRole:
            script = [message for by, message in self.said if by is role.other]
            yield Scene(functools.partial(self.make, role), script)


@functools.cache
def _proof(private: bytes, contract: bytes) -> bytes:
    return prove_modulus(PaillierPrivateKey(private), contract)


# Only what holds is kept: a refusal raises.
_SOUND = functools.cache(receive_public_key)


@contextmanager
def _proofs_once() -> Iterator[None]:
    """Make the honest proof once and check it once; any other is checked each time."""
    with (
        mock.patch.object(
            federated.value_holder, "prove_modulus", lambda key, contract: _proof(key.reveal(), contract)
        ),
        mock.patch.object(federated.group_holder, "receive_public_key", _SOUND),
    ):
        yield


def sum_roles() -> Target:
    """Value holder and group holder: both read, one reads, arms, tags."""
    held = {"values": (AMOUNT,), "min_group": 2, "min_converters": 2, "chunk_elements": 8}
    stages = [
        _SumStage(sum_terms(**held), _CELLS),
        _SumStage(sum_terms(**held, readers=frozenset({SumRole.VALUE_HOLDER})), _CELLS),
        _SumStage(sum_terms(**held, readers=frozenset({SumRole.GROUP_HOLDER})), _CELLS),
        _SumStage(sum_terms(**held, arm_part=0, epsilon="2"), _SMALL_ARMS),
        _SumStage(sum_terms(tag_columns=("age",), min_group=2), _CELLS[:2], ("30-39",)),
    ]
    scenes = [scene for stage in stages for scene in stage.scenes()]
    others = envelopes(SAMPLES) + envelopes([each for scene in scenes for each in scene.script])

    def feed(data: bytes) -> None:
        with _proofs_once():
            _play(scenes, others, data)

    return Target("sumroles", feed, _programs(scenes), 64, quick=300)
