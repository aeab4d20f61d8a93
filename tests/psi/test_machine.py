"""Every state and every message: progress, an ignored copy, or a violation that closes the role; nothing else."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psi import machine
from psi.errors import PeerViolation
from psi.machine import RECEIVER, SENDER, SENDER_OF_BOTH, Machine, State, Table, event_of, table_for
from psi.memory import MemoryKeep, MemorySet
from psi.messages import Announce, Chunk, Finish, Message, Stream, StreamEnd, TokenCommitment
from psi.participant import Participant
from psi.receiver import Receiver
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.sender import Sender
from psi.terms import Kind, Role, Terms
from tests.psi.lying import assert_closed
from tests.psi.pair import (
    OTHER_CONTRACT,
    RECEIVER_SEED,
    SENDER_SEED,
    Tiers,
    engine_for,
    match,
    party,
    people,
    terms_for,
)

EVENTS = [
    machine.ANNOUNCE,
    machine.COMMIT,
    machine.FINISH,
    *(name(stream) for stream in Stream for name in (machine.chunk_of, machine.end_of)),
]
TABLES = {"receiver": RECEIVER, "sender": SENDER, "sender of both": SENDER_OF_BOTH}
# Two chunks in each stream, the second one not full for the sender: enough to be in every state.
MODES = {
    "overlap": terms_for(Kind.OVERLAP, chunk_elements=2),
    "audience": terms_for(chunk_elements=2),
    "both": terms_for(both=True, chunk_elements=2),
}
TIERS: dict[Role, Tiers] = {Role.RECEIVER: [("", people(*range(4)))], Role.SENDER: [("", people(2, 3, 4))]}

every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
every_mode = pytest.mark.parametrize("terms", MODES.values(), ids=MODES)
every_role = pytest.mark.parametrize("role", list(Role))


# -- the tables themselves


@every_table
def test_every_pair_of_state_and_event_is_a_row_or_closes_the_machine(table: Table) -> None:
    for state, event in product(State, EVENTS):
        walking = Machine(table)
        walking.state = state
        following = table.get((state, event))
        if following is None:
            with pytest.raises(PeerViolation, match=f"sent {event} while the protocol was at {state.value}"):
                walking.check(event)
            assert walking.state is State.CLOSED
        else:
            assert walking.check(event) is following
            assert walking.state is state  # checking goes nowhere


@every_table
def test_a_table_leads_from_the_announcement_to_done_and_nowhere_else(table: Table) -> None:
    assert {event for _, event in table} <= set(EVENTS)
    states = {State.ANNOUNCEMENT}
    while (grown := states | {new for (old, _), new in table.items() if old in states}) != states:
        states = grown
    assert states == {old for old, _ in table} | {State.DONE}
    assert State.CLOSED not in states
    # Nothing leaves the last state, and no state is reached twice: only chunks stay where they are.
    onward = [(old, new) for (old, _), new in table.items() if old is not new]
    assert len({new for _, new in onward}) == len(onward)
    assert all(event.endswith(" chunk") for (old, event), new in table.items() if old is new)


def test_each_role_has_its_table() -> None:
    assert table_for(Role.RECEIVER, both=False) is table_for(Role.RECEIVER, both=True) is RECEIVER
    assert table_for(Role.SENDER, both=False) is SENDER
    assert table_for(Role.SENDER, both=True) is SENDER_OF_BOTH


def test_roles_read_only_streams_of_the_other_role() -> None:
    for role, table in ((Role.RECEIVER, RECEIVER), (Role.SENDER, SENDER), (Role.SENDER, SENDER_OF_BOTH)):
        heard = {stream for stream in Stream if machine.chunk_of(stream) in {event for _, event in table}}
        assert {stream.sent_by for stream in heard} == {role.other}
        for stream in heard:
            assert sum(event == machine.end_of(stream) for _, event in table) == 1


def test_every_message_has_an_event() -> None:
    session, digest = bytes(16), bytes(32)
    messages: list[Message] = [
        *(Chunk(session, stream, 0, b"x") for stream in Stream),
        *(StreamEnd(session, stream, 1, digest) for stream in Stream),
        TokenCommitment(session, digest),
        Finish(session, digest),
        *(each for _, each in recording("audience", Role.SENDER)[:1]),
    ]
    assert sorted(map(event_of, messages)) == sorted(EVENTS)


@every_table
def test_the_diagram_has_every_row(table: Table) -> None:
    lines = machine.diagram(table).splitlines()
    assert lines[0] == "stateDiagram-v2"
    rows = {f"    {old.value} --> {new.value}: {event}" for (old, event), new in table.items()}
    assert set(lines[2:-1]) == rows
    assert len(lines) == len(rows) + 3


# -- the roles, with every message that could arrive


@cache
def recording(mode: str, role: Role, seed: int = 0) -> list[tuple[State, Message]]:
    """Return what ``role`` hears in an honest run, each with the state in which it arrives.

    Roles are deterministic in their seeds, so a fresh role that hears the same gets into the same states.
    """
    terms = dataclasses.replace(MODES[mode.split("/")[0]], contract=contract_of(mode))
    seeds = (b"r" * 32, b"s" * 32) if not seed else (b"R" * 32, b"S" * 32)
    said = match(terms, TIERS[Role.RECEIVER], TIERS[Role.SENDER], seeds=seeds).talk.by(role.other)
    fresh = party(role, terms, TIERS[role], seed=seeds[0 if role is Role.RECEIVER else 1]).part
    fresh.start()
    heard = []
    for message in said:
        heard.append((fresh.state, message))
        list(fresh.receive(message))
    return heard


def contract_of(mode: str) -> bytes:
    """Return the contract's hash of a mode; ``mode/other`` means the same under another contract."""
    return OTHER_CONTRACT if mode.endswith("/other") else MODES[mode].contract


@cache
def prepared(terms: Terms, role: Role) -> MemorySet:
    """Return the set of ``role``, which does not change from run to run of the same seed."""
    return party(role, terms, TIERS[role]).own


def started(terms: Terms, role: Role) -> Participant:
    """Return a fresh role that has announced itself."""
    receives = role is Role.RECEIVER
    randomness = JobRandomness(Seed(RECEIVER_SEED if receives else SENDER_SEED), terms.contract)
    build = Receiver if receives else Sender
    part = build(terms, randomness, prepared(terms, role), engine_for(terms.suite), MemoryKeep(terms))
    list(part.start())
    return part


def replayed(terms: Terms, role: Role, heard: list[Message]) -> Participant:
    """Return a fresh role that has heard ``heard`` and answered everything."""
    part = started(terms, role)
    for message in heard:
        list(part.receive(message))
    return part


def variants(message: Message) -> Iterator[Message]:
    """Yield messages like ``message`` with one thing changed each."""
    if isinstance(message, Announce):
        for changed in (
            {"contract": bytes(32)},
            {"role": message.role.other},
            {"input_commitment": bytes(32)},
        ):
            yield dataclasses.replace(message, **changed)
        return
    yield dataclasses.replace(message, session=bytes(16))
    match message:
        case Chunk(data=data):
            yield dataclasses.replace(message, sequence=message.sequence + 1)
            yield dataclasses.replace(message, data=data[:-1])
            yield dataclasses.replace(message, data=data[::-1])
            yield dataclasses.replace(message, data=b"\xff" * len(data))
            for stream in Stream:
                yield dataclasses.replace(message, stream=stream)
        case StreamEnd():
            yield dataclasses.replace(message, count=message.count + 1)
            yield dataclasses.replace(message, digest=bytes(32))
            for stream in Stream:
                yield dataclasses.replace(message, stream=stream)
        case TokenCommitment():
            yield dataclasses.replace(message, digest=bytes(32))
        case Finish():
            yield dataclasses.replace(message, transcript=bytes(32))


@cache
def pool(mode: str) -> list[Message]:
    """Return every message that anybody said or might say in a mode, of this run and of others."""
    messages: dict[str, Message] = {}
    for source, seed in ((mode, 0), (mode, 1), (f"{mode}/other", 0)):
        for role in Role:
            for _, message in recording(source, role, seed):
                for each in (message, *variants(message)):
                    messages[repr(dataclasses.astuple(each))] = each
    return list(messages.values())


def fits(table: Table, state: State, expected: Message | None, message: Message) -> bool:
    """Say whether ``message`` may be taken in ``state``, where an honest partner would say ``expected``.

    Only what carries the partner's own choice may differ from what it would say: a fresh announcement, the
    commitment, elements of its own.
    """
    if (state, event_of(message)) not in table or expected is None:
        return False
    match expected, message:
        case Announce(), Announce():
            return (message.contract, message.role) == (expected.contract, expected.role)
        case Chunk(), Chunk():
            return (message.session, message.stream, message.sequence, len(message.data)) == (
                expected.session,
                expected.stream,
                expected.sequence,
                len(expected.data),
            )
        case TokenCommitment(), TokenCommitment():
            return message.session == expected.session
    return message == expected


@every_role
@pytest.mark.parametrize("mode", MODES)
def test_every_message_in_every_state(mode: str, role: Role) -> None:
    terms, table = MODES[mode], table_for(role, MODES[mode].both)
    heard = recording(mode, role)
    outcomes = {"progress": 0, "ignored": 0, "refused": 0}
    for position in range(len(heard) + 1):
        before = [message for _, message in heard[:position]]
        state, expected = heard[position] if position < len(heard) else (State.DONE, None)
        part = replayed(terms, role, before)
        assert part.state is state
        for message in pool(mode):
            if message in before:
                assert list(part.receive(message)) == []
                assert part.state is state
                outcomes["ignored"] += 1
                continue
            try:
                list(part.receive(message))
            except PeerViolation:
                outcomes["refused"] += 1
                assert message != expected
                assert_closed(part, (message, *before[-1:], *([expected] if expected else [])))
            else:
                outcomes["progress"] += 1
                assert fits(table, state, expected, message)
                assert part.state is table[state, event_of(message)]
            part = replayed(terms, role, before)
    # Each honest message went through once, and for each there was much that did not.
    assert outcomes["progress"] >= len(heard)
    assert outcomes["ignored"] >= len(heard)
    assert outcomes["refused"] > 20 * len(heard)


@settings(max_examples=150)
@given(st.sampled_from(list(MODES)), st.sampled_from(list(Role)), st.randoms(use_true_random=False))
def test_any_sequence_of_messages(mode: str, role: Role, draw: random.Random) -> None:
    """Progress with one of the table's rows, an ignored copy, or a violation after which all is refused."""
    terms, table = MODES[mode], table_for(role, MODES[mode].both)
    part = started(terms, role)
    honest = [message for _, message in recording(mode, role)]
    taken: list[Message] = []
    for _ in range(len(honest) + 8):
        # Mostly what an honest partner says next, so that late states are reached too.
        following = [each for each in honest if each not in taken][:1]
        message = following[0] if following and draw.random() < 0.85 else draw.choice([*pool(mode), *taken])
        state = part.state
        try:
            answers = list(part.receive(message))
        except PeerViolation:
            assert part.state is State.CLOSED
            with pytest.raises(RuntimeError, match="no result"):
                _ = part.result
            continue
        assert state is not State.CLOSED
        if message in taken:
            assert part.state is state
            assert answers == []
        else:
            assert part.state is table[state, event_of(message)]
            taken.append(message)
    assert part.done == (part.state is State.DONE)
    if part.done:
        assert (part.result is None) == (role is Role.SENDER and not terms.both)


@every_role
@every_mode
def test_a_role_that_was_closed_by_its_owner_takes_nothing(terms: Terms, role: Role) -> None:
    mode = next(name for name, each in MODES.items() if each is terms)
    messages = [message for _, message in recording(mode, role)]
    for position in range(len(messages) + 1):
        part = replayed(terms, role, messages[:position])
        part.close()
        assert_closed(part, messages)
