"""What the two simulated parties compute, small enough for thousands of runs a minute, and what must come of it.

Each side has several *editions* of its set: what its file holds now, and what it holds after somebody changed it.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from federated.group_holder import GroupHolder
from federated.holder import Holder
from federated.keys import PaillierPrivateKey
from federated.memory import MemoryGroupSet, MemorySumKeep, MemoryValueSet
from federated.ports import OwnCell
from federated.terms import SumRole, SumTerms, ValueColumn, WindowTerms
from federated.value_holder import ValueHolder
from party.memo import RememberedEngine
from psi.engines import Engine
from psi.memory import MemoryKeep, MemorySet
from psi.participant import Participant
from psi.receiver import Receiver
from psi.results import AudienceResult
from psi.role import ProtocolRole
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.sender import Sender
from psi.suites import RISTRETTO255, X25519_ELL2, Suite
from psi.terms import Kind, Terms
from tests.federated.keys_for_tests import private_key
from tests.federated.pair import BOTH, sum_terms
from tests.federated.test_sum_roles import World, in_the_clear
from tests.fuzz.remembering import RememberedEngine as RememberedPaillier
from tests.psi.pair import Tiers, people
from tests.psi.test_roles import expected_matches, expected_overlap

# Sides are numbers: 0 is the receiver, or the value holder; 1 the sender, or the group holder.
SIDES: Final = (0, 1)
EDITIONS: Final = 3
# What a side has learned: a figure, a list, a table; comparable with `==`.
Learned = Any


class Question(ABC):
    """One thing to compute. Sets are made of a side's seed and edition alone."""

    name: str
    suite: Suite
    # Elements of a chunk.
    chunk: int

    @abstractmethod
    def prepare(self, side: int, seed: bytes, edition: int, engine: Engine) -> Any:
        """Return the side's own set, masked."""

    @abstractmethod
    def role(self, side: int, seed: bytes, own: Any, engine: RememberedEngine) -> ProtocolRole[Any]:
        """Return the side's role."""

    @abstractmethod
    def learned(self, side: int, role: Any, own: Any, edition: int) -> Learned:
        """Return what a role that is done has learned."""

    @abstractmethod
    def truth(self, side: int, editions: Sequence[int]) -> Learned:
        """Return what it must have learned, from plain sets; ``None`` if only a run without faults can tell."""

    @abstractmethod
    def seed(self, side: int, run: int, pick: random.Random) -> bytes:
        """Return the seed of a side's run, counted from 1: another one each time."""


@dataclass
class Match(Question):
    """An overlap or an audience; ``sets[side][edition]`` are the tiers."""

    name: str
    terms: Terms
    sets: Sequence[Sequence[Tiers]]

    @property
    def suite(self) -> Suite:  # type: ignore[override]
        """The suite of the terms."""
        return self.terms.suite

    @property
    def chunk(self) -> int:  # type: ignore[override]
        """Elements of a chunk."""
        return self.terms.chunk_elements

    def seed(self, side: int, run: int, pick: random.Random) -> bytes:
        """Return any 32 bytes."""
        return pick.randbytes(32)

    def prepare(self, side: int, seed: bytes, edition: int, engine: Engine) -> MemorySet:
        """Mask the set of an edition."""
        return MemorySet(self.terms, self._randomness(seed), engine, self.sets[side][edition])

    def role(self, side: int, seed: bytes, own: MemorySet, engine: RememberedEngine) -> Participant:
        """Return a receiver or a sender."""
        part: type[Participant] = Sender if side else Receiver
        return part(self.terms, self._randomness(seed), own, engine, MemoryKeep(self.terms))

    def learned(self, side: int, role: Participant, own: MemorySet, edition: int) -> Learned:
        """Return counts, or the own persons that match with the partner's tier."""
        result = role.result
        if not isinstance(result, AudienceResult):
            return result
        if result.tier_of is None:
            return "withheld"
        given = [identifier for _, members in self.sets[side][edition] for identifier in members]
        found = zip((given[i] for i in own.origin.tolist()), result.tier_of.tolist(), strict=True)
        return {each: result.peer_tiers[tier - 1].label for each, tier in found if tier}

    def truth(self, side: int, editions: Sequence[int]) -> Learned:
        """Intersect plain sets."""
        terms = self.terms
        own, peer = self.sets[side][editions[side]], self.sets[1 - side][editions[1 - side]]
        if side and not terms.both:
            return None
        if terms.kind is Kind.OVERLAP:
            return expected_overlap(own, peer, terms.min_group)
        found = expected_matches(own, peer)
        lists = {len(found)}
        if terms.unmatched:
            lists.add(sum(len(members) for _, members in own) - len(found))
        return "withheld" if lists & set(range(1, terms.min_group)) else found

    def _randomness(self, seed: bytes) -> JobRandomness:
        return JobRandomness(Seed(seed), self.terms.contract)


def draw_match(pick: random.Random) -> Match:
    """Draw a small match of any kind."""
    kind = pick.choice((Kind.OVERLAP, Kind.AUDIENCE, Kind.AUDIENCE))
    both = kind is Kind.AUDIENCE and pick.random() < 0.5
    tiers = [pick.choice((1, 1, 2)) for _ in SIDES]
    least = pick.choice((1, 1, 2))
    terms = Terms(
        contract=pick.randbytes(32),
        suite=pick.choice((X25519_ELL2,) * 5 + (RISTRETTO255,)),
        kind=kind,
        both=both,
        unmatched=kind is Kind.AUDIENCE and pick.random() < 0.3,
        receiver_tiered=tiers[0] > 1,
        sender_tiered=tiers[1] > 1,
        min_group=least,
        chunk_elements=pick.choice((1, 2, 3, 4)),
    )
    sets = [[_tiers(pick, tiers[side], least) for _ in range(EDITIONS)] for side in SIDES]
    name = f"{kind.value}{', both receive' if both else ''}, chunks of {terms.chunk_elements}"
    return Match(name, terms, sets)


def _tiers(pick: random.Random, count: int, least: int) -> Tiers:
    members = people(*pick.sample(range(18), pick.randint(2 * least, 10)))
    if count == 1:
        return [("", members)]
    cut = pick.randint(least, len(members) - least)
    return [("gold", members[:cut]), ("rest", members[cut:])]


# -- grouped sums

_AMOUNT: Final = ValueColumn("amount", 0, 5_000_000)
_V, _G = SumRole.VALUE_HOLDER, SumRole.GROUP_HOLDER
_KEYS: Final = 2
_DAY: Final = 1000


@cache
def paillier() -> RememberedPaillier:
    """Return the engine of all simulated sums: it has done most of their arithmetic before."""
    return RememberedPaillier()


@dataclass
class Sum(Question):
    """A grouped sum over ``worlds[edition]``, of which the value holder has the persons, the other the members."""

    name: str
    terms: SumTerms
    worlds: Sequence[World]
    arms: bool = False

    @property
    def suite(self) -> Suite:  # type: ignore[override]
        """The suite of the terms."""
        return self.terms.suite

    @property
    def chunk(self) -> int:  # type: ignore[override]
        """Elements of a chunk."""
        return self.terms.chunk_elements

    def seed(self, side: int, run: int, pick: random.Random) -> bytes:
        """Return the same in each schedule, so that the arithmetic is mostly known from earlier ones."""
        return hashlib.sha256(b"run %d of side %d" % (run, side)).digest()

    def prepare(self, side: int, seed: bytes, edition: int, engine: Engine) -> Any:
        """Mask the set of an edition."""
        drawn, randomness = self.worlds[edition], self._randomness(seed)
        if side == 0:
            persons = [(who, rows, ()) for who, rows in drawn.persons.items()]
            return MemoryValueSet(self.terms, randomness, engine, persons)
        units: dict[tuple[int, int], list[bytes]] = {}
        for who, place in drawn.members.items():
            units.setdefault(place, []).append(who)
        sizes = [sum(cell == number for cell, _ in drawn.members.values()) for number in range(drawn.cells)]
        cells = [OwnCell(self._label(cell), size, self._scope(cell)) for cell, size in enumerate(sizes)]
        members = [(cell, day, units[cell, day]) for cell, day in sorted(units)]
        first = _DAY if self.terms.window else 0
        return MemoryGroupSet(
            self.terms, randomness, engine, cells, members, first_day=first, days=drawn.days
        )

    def _label(self, cell: int) -> tuple[str, ...]:
        return (self._scope(cell), f"cell {cell}") if self.arms else (f"cell {cell}",)

    def _scope(self, cell: int) -> str:
        return ("test", "control")[cell % 2] if self.arms else ""

    def role(self, side: int, seed: bytes, own: Any, engine: RememberedEngine) -> Holder:
        """Return a value holder, whose key is one of a few that are known, or a group holder."""
        randomness, keep = self._randomness(seed), MemorySumKeep(self.terms)
        if side == 0:
            key = PaillierPrivateKey(private_key(self.terms.key_bits, 1 + seed[0] % _KEYS).reveal())
            return ValueHolder(self.terms, randomness, own, engine, keep, key, paillier())
        return GroupHolder(self.terms, randomness, own, engine, keep, paillier())

    def learned(self, side: int, role: Holder, own: Any, edition: int) -> Learned:
        """Return the result as it is."""
        return role.result

    def truth(self, side: int, editions: Sequence[int]) -> Learned:
        """Return ``None``: the uncut run's result is held against the plain data by :meth:`check`."""
        return None

    def check(self, side: int, result: Learned, editions: Sequence[int]) -> str | None:
        """Say what is wrong with an uncut run's ``result``, against the plain data."""
        role = _G if side else _V
        if result.readable != self.terms.reads(role):
            return "readable by the wrong side"
        if not result.readable or self.terms.epsilon is not None:
            return None
        joint = World(
            self.worlds[editions[0]].persons,
            self.worlds[editions[1]].members,
            self.worlds[editions[1]].cells,
            self.worlds[editions[1]].days,
        )
        plain = {self._label(cell): figures for cell, figures in in_the_clear(self.terms, joint).items()}
        table = {cell.label: cell.figures for cell in result.cells}
        return None if table == plain else "another table than that of the plain data"

    def _randomness(self, seed: bytes) -> JobRandomness:
        return JobRandomness(Seed(seed), self.terms.contract)


@cache
def sums() -> tuple[Sum, ...]:
    """Return the few grouped sums that are simulated."""
    plain: dict[str, Any] = {"values": (_AMOUNT,), "min_converters": 0, "chunk_elements": 4}
    one_reads = {"values": frozenset({_V}), "groups": frozenset({_G})}
    return (
        _sum("measure, both read", plain | {"readers": BOTH}, 1),
        _sum("measure, the value holder reads", plain | {"readers": one_reads["values"]}, 2),
        _sum("measure, the group holder reads", plain | {"readers": one_reads["groups"]}, 3),
        _sum("measure with a window", plain | {"readers": BOTH, "window": WindowTerms(3)}, 4, days=3),
        _sum("measure with noise", plain | {"readers": BOTH, "epsilon": "1/2"}, 5),
        _sum("lift", plain | {"readers": BOTH, "label_parts": 2, "arm_part": 0}, 6, arms=True),
    )


def _sum(name: str, changes: dict[str, Any], seed: int, *, days: int = 1, arms: bool = False) -> Sum:
    contract = hashlib.sha256(b"the contract of simulated sum %d" % seed).digest()
    terms = sum_terms(contract=contract, **changes)
    pick = random.Random(seed)
    return Sum(name, terms, [_world(pick, days) for _ in range(EDITIONS)], arms)


def _world(pick: random.Random, days: int) -> World:
    persons: dict[bytes, list[tuple[int, tuple[int, ...], int]]] = {}
    for who in people(*pick.sample(range(16), 9)):
        rows = pick.choice((0, 1, 2))
        day = _DAY if days > 1 else 0
        persons[who] = [
            (day + pick.randrange(days + 3), (pick.randint(0, 5_000_000),), 0) for _ in range(rows)
        ]
    # Every cell has somebody; units may be missing.
    places = [(cell, pick.randrange(days)) for cell in (0, 1, 2)] * 4
    members = dict(zip(people(*pick.sample(range(16), len(places))), places, strict=True))
    return World(persons, members, 3, days)
