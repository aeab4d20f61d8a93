"""A partner that lies about a grouped sum: an honest role against a script that was recorded and then changed.

Everything random comes from the tests' seeds, so an honest role meets the same session each time, and what its
partner said in an honest run can be said again, but for the lie. Rewritten streams get right numbers and digests, so
that a lie about elements is not found by mere luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from federated.engine import PaillierEngine
from federated.group_holder import GroupHolder
from federated.holder import Holder
from federated.keys import PaillierPrivateKey, PaillierPublicKey
from federated.memory import MemoryGroupSet, MemoryValueSet, Person
from federated.messages import GroupAnnounce, SumMessage, SumStream, ValueAnnounce
from federated.ports import GroupSet, OwnCell, ValueSet
from federated.proof import prove_modulus, receive_public_key
from federated.slots import Layout
from federated.stream import StreamKey
from federated.terms import SumRole, SumTerms, ValueColumn
from federated.value_holder import ValueHolder
from psi.errors import PeerViolation
from psi.machine import State
from psi.messages import Chunk, StreamEnd
from psi.streams import Session, Shape, outgoing
from tests.federated.pair import (
    SumConversation,
    engine_for,
    group_holder,
    randomness_for,
    sum_terms,
    value_holder,
)

V, G = SumRole.VALUE_HOLDER, SumRole.GROUP_HOLDER
Elements = list[bytes]
Script = list[SumMessage]
AMOUNT = ValueColumn("amount", 0, 1_000)


@dataclass(frozen=True)
class CellPlan:
    """A cell to be made up: its persons, those of them that match, and those of them that have outcomes."""

    persons: int
    hits: int
    converters: int
    label: tuple[str, ...] | None = None
    scope: str = ""
    amounts: Sequence[int] = ()


# Cells 0 and 1 pass; 2 and 3 have too few hits and are sent as the rest of their total; 4 and 5 have hits enough but
# too few converters, and are opened jointly.
CELLS = (
    CellPlan(10, 6, 6),
    CellPlan(9, 5, 4),
    CellPlan(8, 2, 2),
    CellPlan(8, 1, 1),
    CellPlan(9, 5, 2),
    CellPlan(9, 6, 1),
)
REST, JOINT = 6, 7
ARMS = (CellPlan(8, 5, 4, ("control",), "control"), CellPlan(8, 6, 5, ("test",), "test"))


def named(number: int) -> bytes:
    """Name a person."""
    return b"person %d" % number


def world_of(
    terms: SumTerms, plan: Sequence[CellPlan], *, others: int = 7, tags: Sequence[str] = ()
) -> tuple[MemoryValueSet, MemoryGroupSet]:
    """Return the sets of both sides: each cell's first persons match, ``others`` are the value holder's alone."""
    people: list[Person] = []
    members, number = [], 0
    for cell, own in enumerate(plan):
        members.append((cell, 0, [named(number + place) for place in range(own.persons)]))
        for place in range(own.hits):
            amount = own.amounts[place] if place < len(own.amounts) else 100 + place
            rows = [(0, (amount,) if terms.values else (), 0)] if place < own.converters else []
            people.append((named(number + place), rows, tags))
        number += own.persons
    people += [
        (named(number + place), [(0, (5,) if terms.values else (), 0)], tags) for place in range(others)
    ]
    cells = [
        OwnCell((f"cell {cell}",) if own.label is None else own.label, own.persons, own.scope, 7 + cell)
        for cell, own in enumerate(plan)
    ]
    engine = engine_for(terms.suite)
    return (
        MemoryValueSet(terms, randomness_for(V, terms), engine, people),
        MemoryGroupSet(terms, randomness_for(G, terms), engine, cells, members),
    )


def lying_terms(**changes: Any) -> SumTerms:
    """Return terms under which ``CELLS`` have cells of each kind."""
    return sum_terms(**{"values": (AMOUNT,), "min_group": 5, "min_converters": 3, **changes})


class RememberingEngine(PaillierEngine):
    """An engine that does the slow things once: everything is drawn from seeds, so they come out the same."""

    def __init__(self) -> None:
        super().__init__(threads=1, window=6)
        self._known: dict[tuple[object, ...], bytes] = {}

    def encrypt(
        self, private: PaillierPrivateKey, plaintexts: Sequence[int], key: StreamKey, start: int
    ) -> bytes:
        """Return what was encrypted before, or encrypt."""
        asked = private.reveal(), tuple(plaintexts), key.reveal(), start
        if asked not in self._known:
            self._known[asked] = super().encrypt(private, plaintexts, key, start)
        return self._known[asked]

    def rerandomise(self, public: PaillierPublicKey, batch: bytes, key: StreamKey, start: int) -> bytes:
        """Return what was re-randomised before, or do so."""
        asked = public.n, batch, key.reveal(), start
        if asked not in self._known:
            self._known[asked] = super().rerandomise(public, batch, key, start)
        return self._known[asked]


remembering = cache(RememberingEngine)


@pytest.fixture(autouse=True, scope="module")
def proofs_made_once() -> Iterator[None]:
    """Let roles make and check a proof once; one that does not hold is checked each time."""
    made: dict[tuple[bytes, bytes], bytes] = {}

    def prove(private: PaillierPrivateKey, contract: bytes) -> bytes:
        asked = private.reveal(), contract
        if asked not in made:
            made[asked] = prove_modulus(private, contract)
        return made[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("federated.value_holder.prove_modulus", prove)
        patch.setattr("federated.group_holder.receive_public_key", cache(receive_public_key))
        yield


@dataclass
class Setting:
    """One contract with both sides' data; ``scripts`` is what each side says in an honest run."""

    terms: SumTerms
    sets: tuple[ValueSet, GroupSet]
    scripts: Mapping[SumRole, Script] = field(default_factory=dict)

    def part(self, role: SumRole) -> Holder:
        """Return a fresh honest role."""
        own_values, own_groups = self.sets
        values, groups = value_holder, group_holder
        part = values(self.terms, own_values) if role is V else groups(self.terms, own_groups)
        assert isinstance(part, ValueHolder | GroupHolder)
        part._paillier = remembering()
        return part

    def recorded(self) -> Setting:
        """Run both honest roles and keep what they say."""
        talk = SumConversation(self.part(V), self.part(G)).run()
        assert talk.values.done
        assert talk.groups.done
        self.scripts = {role: [each for by, each in talk.said if by is role] for role in SumRole}
        return self

    @property
    def session(self) -> Session:
        """The session of every run of this setting."""
        first, second = (self.scripts[role][0] for role in (V, G))
        return Session("sum", first.encode(), second.encode())  # type: ignore[union-attr]

    @property
    def layout(self) -> Layout:
        """The slots of every run of this setting."""
        values, groups = (self.scripts[role][0] for role in (V, G))
        assert isinstance(values, ValueAnnounce)
        assert isinstance(groups, GroupAnnounce)
        rows, sums = min(values.persons, groups.persons), len(groups.cell_scopes) + groups.scopes
        return self.terms.layout(rows=rows, days=groups.days, tags=len(values.tags), sums=sums)


@cache
def setting(*readers: SumRole) -> Setting:
    """Return the usual setting for these readers; both, if none is named."""
    terms = lying_terms(**({"readers": frozenset(readers)} if readers else {}))
    return Setting(terms, world_of(terms, CELLS)).recorded()


@cache
def arms_setting() -> Setting:
    """Return a setting of two arms."""
    terms = lying_terms(arm_part=0)
    return Setting(terms, world_of(terms, ARMS)).recorded()


def kind(message: SumMessage) -> str:
    """Name a message by its type, and its stream."""
    stream = f" {message.stream.name}" if isinstance(message, Chunk | StreamEnd) else ""
    return type(message).__name__ + stream


# What is given away, in this order; a lie must be noticed before the one that the test names.
RELEASES = {
    V: ["Chunk VALUE_POINTS", "Chunk GROUP_TOKENS", "Verdict", "SumTable", "Finish"],
    G: ["Chunk GROUP_POINTS", "CellSums", "Openings", "Finish"],
}


@dataclass
class Play:
    """An honest role that hears a script; ``said`` is all that it answered."""

    part: Holder
    said: Script = field(default_factory=list)

    def hear(self, script: Iterable[SumMessage]) -> Play:
        """Deliver ``script`` and take every answer at once, so that the role gives away all it would."""
        self.said += self.part.start()
        for message in script:
            self.said += self.part.receive(message)
        return self


def assert_caught(
    where: Setting, liar: SumRole, script: Sequence[SumMessage], sentence: str, *, before: str
) -> PeerViolation:
    """Let the honest partner of ``liar`` hear ``script``: it must refuse with ``sentence``, close, and not have
    released what ``before`` names, or anything behind that."""
    play = Play(where.part(liar.other))
    with pytest.raises(PeerViolation, match=sentence) as raised:
        play.hear(script)
    order = RELEASES[liar.other]
    kept = order[order.index(before) :]
    assert not {kind(each) for each in play.said} & set(kept)
    assert_closed(play.part, script)
    assert raised.value.code.peer == "protocol_violation"
    return raised.value


def assert_closed(part: Holder, script: Iterable[SumMessage]) -> None:
    """Check that ``part`` takes nothing any more, has no result, and dropped its keys."""
    assert part.state is State.CLOSED
    assert not part.done
    for message in list(script)[:3]:
        with pytest.raises(PeerViolation):
            part.receive(message)
    with pytest.raises(RuntimeError, match="no result"):
        _ = part.result
    with pytest.raises(ValueError, match="destroyed"):
        part._scalar.reveal()
    if isinstance(part, ValueHolder):
        with pytest.raises(ValueError, match="destroyed"):
            part._private.reveal()


# -- rewriting


def replaced(
    script: Script, which: Callable[[SumMessage], bool], change: Callable[[Any], Iterable[SumMessage]]
) -> Script:
    """Return ``script`` with ``change(message)`` in place of each message that ``which`` picks, at least one."""
    assert any(map(which, script))
    return [said for each in script for said in (change(each) if which(each) else (each,))]


def is_a(*types: type) -> Callable[[SumMessage], bool]:
    """Pick messages by their type."""
    return lambda each: isinstance(each, types)


def chunk(stream: SumStream, sequence: int) -> Callable[[SumMessage], bool]:
    """Pick one chunk."""
    return lambda each: isinstance(each, Chunk) and (each.stream, each.sequence) == (stream, sequence)


def end(stream: SumStream) -> Callable[[SumMessage], bool]:
    """Pick the end of one stream."""
    return lambda each: isinstance(each, StreamEnd) and each.stream is stream


def shape(where: Setting, stream: SumStream) -> Shape:
    """Return the shape of ``stream``."""
    part = where.part(stream.sent_by.other)
    list(part.start())
    list(part.receive(where.scripts[stream.sent_by][0]))
    return part._shape(stream)


def elements(where: Setting, stream: SumStream) -> Elements:
    """Return the elements of ``stream`` as they are said in an honest run."""
    size = shape(where, stream).element_bytes
    data = b"".join(
        each.data
        for each in where.scripts[stream.sent_by]
        if isinstance(each, Chunk) and each.stream is stream
    )
    return [data[start : start + size] for start in range(0, len(data), size)]


def retold(where: Setting, stream: SumStream, change: Callable[[Elements], Elements]) -> Script:
    """Return the script of the sender of ``stream`` with other elements, their numbers and digest right."""
    told = change(elements(where, stream))
    like = shape(where, stream)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(told), like.chunk_elements):
            yield b"".join(told[start : start + like.chunk_elements])

    instead = list(outgoing(where.session, like, chunks()))

    def change_end(message: StreamEnd) -> Iterable[SumMessage]:
        return instead

    without = [
        each
        for each in where.scripts[stream.sent_by]
        if not (isinstance(each, Chunk) and each.stream is stream)
    ]
    return replaced(without, end(stream), change_end)


def single(where: Setting, wanted: type[SumMessage] | Any) -> Any:
    """Return the one message of a type that is said in an honest run."""
    (found,) = [each for script in where.scripts.values() for each in script if isinstance(each, wanted)]
    return found
