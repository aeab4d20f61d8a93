"""A role that goes on after a cut: positions, playing a journal, and what the partner lacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import pytest

from psi.errors import LinkLost, PeerViolation
from psi.messages import Announce, Chunk, Message
from psi.replay import FINGERPRINT, Entry, MemoryJournal, Playback, Position
from psi.terms import Kind, Role
from tests.psi.pair import Party, party, people, terms_for

SETS = {Role.RECEIVER: [("", people(*range(20)))], Role.SENDER: [("", people(*range(10, 26)))]}
BOTH = terms_for(Kind.AUDIENCE, both=True)
A, B, C = b"a" * FINGERPRINT, b"b" * FINGERPRINT, b"c" * FINGERPRINT


class End:
    """One side of a link: its playback and what it has to say."""

    def __init__(self, role: Role, journal: MemoryJournal[Message], seed: bytes | None = None) -> None:
        self.party: Party = party(role, BOTH, SETS[role], seed=seed)
        self.journal = journal
        self.spent = 0
        self.playback: Playback[Message] = Playback(self.party.part, journal, self._announced)
        self.out: deque[Iterator[Message]] = deque()

    def _announced(self) -> None:
        self.spent += 1

    def go_on(self, theirs: Position) -> None:
        """Play the journal."""
        self.out.extend(self.playback.go_on(theirs))

    def next(self) -> Message | None:
        """Return the next message to be sent."""
        while self.out:
            message = self.playback.draw(self.out[0])
            if message is not None:
                return message
            self.out.popleft()
        return None

    def hear(self, message: Message) -> None:
        """Receive a message."""
        answers = self.playback.receive(message)
        if answers is not None:
            self.out.append(answers)


def connect(ends: dict[Role, End]) -> None:
    """Exchange positions."""
    positions = {role: end.playback.position() for role, end in ends.items()}
    for role, end in ends.items():
        end.go_on(positions[role.other])


def talk(ends: dict[Role, End], most: int = 10_000, hears: Callable[[Role], bool] = lambda _: True) -> int:
    """Carry up to ``most`` messages, one of each side in turn; returns how many were carried."""
    carried = 0
    while carried < most:
        before = carried
        for role, end in ends.items():
            message = end.next() if carried < most else None
            if message is not None:
                carried += 1
                if hears(role.other):
                    ends[role.other].hear(message)
        if carried == before:
            break
    return carried


def fresh(journals: dict[Role, MemoryJournal[Message]]) -> dict[Role, End]:
    """Return both sides as new processes find their runs."""
    ends = {role: End(role, MemoryJournal(journals[role].kept)) for role in Role}
    connect(ends)
    return ends


def empty() -> dict[Role, MemoryJournal[Message]]:
    """Return two empty journals."""
    return {role: MemoryJournal() for role in Role}


def uncut() -> tuple[int, dict[bytes, str], dict[bytes, str]]:
    """Run without a cut: how many messages there are, and what both sides learn."""
    ends = fresh(empty())
    carried = talk(ends)
    return carried, ends[Role.RECEIVER].party.matches(), ends[Role.SENDER].party.matches()


def test_a_run_that_is_cut_anywhere_comes_to_the_same() -> None:
    total, *learned = uncut()
    for cut in range(total + 1):
        ends = fresh(empty())
        assert talk(ends, cut) == cut
        again = fresh({role: end.journal for role, end in ends.items()})
        # What was received is not sent again.
        assert talk(again) == total - cut
        assert [again[role].party.matches() for role in Role] == learned


def test_what_was_lost_on_its_way_is_sent_again_byte_for_byte() -> None:
    _, *learned = uncut()
    ends = fresh(empty())
    said: dict[Role, list[Message]] = {role: [] for role in Role}
    for role, end in ends.items():
        said[role].append(end.next())  # type: ignore[arg-type]
    for role, end in ends.items():
        end.hear(said[role.other][0])
    while (message := ends[Role.RECEIVER].next()) is not None:
        said[Role.RECEIVER].append(message)  # and nobody hears it
    again = fresh({role: end.journal for role, end in ends.items()})
    for expected in said[Role.RECEIVER][1:]:
        message = again[Role.RECEIVER].next()
        assert message == expected
        again[Role.SENDER].hear(message)
    talk(again)
    assert [again[role].party.matches() for role in Role] == learned


def test_the_run_is_spent_before_anything_follows_from_the_announcement() -> None:
    ends = fresh(empty())
    receiver, sender = ends[Role.RECEIVER], ends[Role.SENDER]
    first = sender.next()
    assert isinstance(first, Announce)
    assert receiver.spent == 0
    receiver.hear(first)
    assert receiver.spent == 1
    again = fresh({role: end.journal for role, end in ends.items()})
    # Each process asks once more; the budget tells that it is the same run.
    assert again[Role.RECEIVER].spent == 1


def test_what_the_guard_refuses_is_not_kept() -> None:
    def refuse() -> None:
        raise LinkLost("no")

    journal: MemoryJournal[Message] = MemoryJournal()
    playback: Playback[Message] = Playback(
        party(Role.RECEIVER, BOTH, SETS[Role.RECEIVER]).part, journal, refuse
    )
    announced = next(party(Role.SENDER, BOTH, SETS[Role.SENDER]).part.start())
    playback.go_on(Position(A, b"", 0))
    with pytest.raises(LinkLost):
        playback.receive(announced)
    assert len(journal) == 0


def test_copies_are_ignored_and_not_kept() -> None:
    ends = fresh(empty())
    total = talk(ends, hears=lambda _: True)
    receiver = ends[Role.RECEIVER]
    before = len(receiver.journal)
    assert receiver.playback.receive(receiver.journal.kept[1].message) is None
    assert len(receiver.journal) == before
    assert total == sum(len(end.journal) for end in ends.values())


def test_a_partner_may_answer_at_once_what_it_had_before_the_cut() -> None:
    """Its answer supposes that ours was made, even if nothing was drawn since the link is back."""
    total, *learned = uncut()
    for cut in range(total):
        ends = fresh(empty())
        talk(ends, cut)
        # Everything that is still said is heard by the sender's side, whose journal loses it again.
        kept = {role: list(end.journal.kept) for role, end in ends.items()}
        talk(ends)
        for ahead in Role:
            journals = {ahead: ends[ahead].journal, ahead.other: MemoryJournal(kept[ahead.other])}
            again = fresh(journals)
            while (message := again[ahead].next()) is not None:
                again[ahead.other].hear(message)
            assert again[ahead.other].next() is None
            assert [again[role].party.matches() for role in Role] == learned


def test_a_journal_that_lost_its_end_receives_that_again() -> None:
    _, *learned = uncut()
    ends = fresh(empty())
    talk(ends)
    for keep in range(len(ends[Role.SENDER].journal)):
        journals = {
            Role.RECEIVER: ends[Role.RECEIVER].journal,
            Role.SENDER: MemoryJournal(ends[Role.SENDER].journal.kept[:keep]),
        }
        again = fresh(journals)
        talk(again)
        assert [again[role].party.matches() for role in Role] == learned


@pytest.mark.parametrize("lost", list(Role))
def test_a_side_that_lost_its_seed_ends_the_run_on_both(lost: Role) -> None:
    ends = fresh(empty())
    talk(ends, 6)
    kept = End(lost.other, MemoryJournal(ends[lost.other].journal.kept))
    new = End(lost, MemoryJournal(), seed=b"n" * 32)
    for end, other in ((kept, new), (new, kept)):
        with pytest.raises(LinkLost) as raised:
            end.go_on(other.playback.position())
        assert raised.value.code.name == "begun_anew"


def test_a_partner_that_comes_back_with_another_announcement_gets_nothing() -> None:
    ends = fresh(empty())
    talk(ends, 6)
    receiver = End(Role.RECEIVER, MemoryJournal(ends[Role.RECEIVER].journal.kept))
    # It tells the position of the run, and then announces other points.
    receiver.go_on(End(Role.SENDER, MemoryJournal(ends[Role.SENDER].journal.kept)).playback.position())
    other = party(Role.SENDER, BOTH, [("", people(*range(5)))], seed=b"n" * 32)
    with pytest.raises(PeerViolation):
        receiver.playback.receive(next(other.part.start()))
    session = ends[Role.RECEIVER].party.part.session.id
    sent = [message for messages in receiver.out for message in messages if isinstance(message, Chunk)]
    assert {chunk.session for chunk in sent} <= {session}


def test_a_set_that_was_prepared_anew_of_another_file_does_not_go_on_under_its_seed() -> None:
    ends = fresh(empty())
    for role, end in ends.items():
        message = end.next()
        assert message is not None
        ends[role.other].hear(message)
    # The partner has lost what it heard, so nothing in its position tells.
    partner = End(Role.SENDER, MemoryJournal())
    changed = party(Role.RECEIVER, BOTH, [("", people(*range(5)))])
    playback: Playback[Message] = Playback(changed.part, MemoryJournal(ends[Role.RECEIVER].journal.kept))
    with pytest.raises(LinkLost) as raised:
        playback.go_on(partner.playback.position())
    assert raised.value.code.name == "begun_anew"


def test_a_journal_of_another_run_is_refused() -> None:
    ends = fresh(empty())
    talk(ends, 8)
    # Without a word of what was announced, the messages themselves tell.
    entries = [Entry(entry.made, entry.message) for entry in ends[Role.RECEIVER].journal.kept]
    other = End(Role.RECEIVER, MemoryJournal(entries), seed=b"n" * 32)
    position = other.playback.position()
    with pytest.raises(PeerViolation):
        other.go_on(Position(position.heard, position.announced, 1))


@pytest.mark.parametrize(
    ("announced", "heard", "received"),
    [(A[:-1], B, 1), (A, B[:-1], 1), (A, B, 0), (A, b"", 1), (A, B, -1), (A, B, 1 << 41)],
)
def test_impossible_positions_are_violations(announced: bytes, heard: bytes, received: int) -> None:
    with pytest.raises(PeerViolation):
        Position(announced, heard, received)


@pytest.mark.parametrize(
    ("ours", "theirs", "fits"),
    [
        ((b"", 0), (b"", 0), True),
        ((B, 3), (b"", 0), True),
        ((b"", 0), (A, 2), True),
        ((B, 3), (A, 2), True),
        ((C, 3), (A, 2), False),
        ((B, 3), (C, 2), False),
        ((C, 3), (b"", 0), False),
        ((b"", 0), (C, 1), False),
    ],
)
def test_which_positions_are_of_one_run(
    ours: tuple[bytes, int], theirs: tuple[bytes, int], fits: bool
) -> None:
    first, second = Position(A, *ours), Position(B, *theirs)
    assert first.goes_with(second) is fits
    assert second.goes_with(first) is fits


def test_a_journal_in_memory_keeps_order() -> None:
    messages = [Chunk(b"s" * 16, 1, number, b"x") for number in range(3)]  # type: ignore[arg-type]
    journal: MemoryJournal[Chunk] = MemoryJournal([Entry(1, messages[0])])
    journal.add(Entry(2, messages[1]))
    journal.hold(messages[2])
    assert [entry.made for entry in journal.entries()] == [1, 2]
    assert list(journal.held()) == [messages[2]]
    assert len(journal) == 2
