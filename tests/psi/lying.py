"""A partner that lies: rewrites of what an honest role says, consistent enough to pass every earlier check.

A rewritten stream has its chunks numbered and its end recomputed, so that a lie about elements is not found by
mere luck through a digest that no longer fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from psi.errors import PeerViolation
from psi.machine import State
from psi.messages import Announce, Chunk, Message, Stream, StreamEnd
from psi.participant import Participant
from psi.streams import Session, StreamDigest, element_size, match_session
from psi.terms import Role, Terms
from tests.psi.pair import Conversation, cut, party, people

Elements = list[bytes]


@dataclass
class Rewrite:
    """Stands on the line of ``stream`` and says ``change(elements)`` in place of what was said.

    ``count`` is told in the end message instead of the true count. Both announcements pass by here, so the
    session is known.
    """

    terms: Terms
    stream: Stream
    change: Callable[[Elements], Elements]
    count: int | None = None
    _announced: dict[Role, Announce] = field(default_factory=dict)
    _held: list[bytes] = field(default_factory=list)

    def __call__(self, speaker: Role, message: Message) -> Iterable[Message]:
        """Pass on, hold back, or say the rewritten stream."""
        if isinstance(message, Announce):
            self._announced[speaker] = message
        if isinstance(message, Chunk) and message.stream is self.stream:
            self._held.append(message.data)
            return ()
        if isinstance(message, StreamEnd) and message.stream is self.stream:
            return self._retold()
        return (message,)

    def _retold(self) -> Iterator[Message]:
        size = element_size(self.terms, self.stream)
        elements = self.change(list(cut(b"".join(self._held), size)))
        session = match_session(self._announced[Role.RECEIVER], self._announced[Role.SENDER])
        yield from retell(self.terms, session, self.stream, elements, self.count)


def retell(
    terms: Terms, session: Session, stream: Stream, elements: Sequence[bytes], count: int | None = None
) -> Iterator[Message]:
    """Yield ``elements`` as a stream whose numbers and digest are right."""
    running = StreamDigest(session, stream, element_size(terms, stream))
    for sequence, start in enumerate(range(0, len(elements), terms.chunk_elements)):
        data = b"".join(elements[start : start + terms.chunk_elements])
        running.update(data)
        yield Chunk(session.id, stream, sequence, data)
    yield StreamEnd(session.id, stream, running.count if count is None else count, running.digest())


@dataclass
class Replace:
    """Stands on the line and says ``replacement(message)`` for messages that ``which`` picks, all else as is."""

    which: Callable[[Message], bool]
    replacement: Callable[[Message], Iterable[Message]]

    def __call__(self, speaker: Role, message: Message) -> Iterable[Message]:
        """Pass on or replace."""
        return self.replacement(message) if self.which(message) else (message,)


def chunk_of(stream: Stream, sequence: int) -> Callable[[Message], bool]:
    """Pick one chunk."""
    return lambda each: isinstance(each, Chunk) and (each.stream, each.sequence) == (stream, sequence)


def end_of(stream: Stream) -> Callable[[Message], bool]:
    """Pick the end of one stream."""
    return lambda each: isinstance(each, StreamEnd) and each.stream is stream


# 20 and 16 persons, 10 of them the same: three chunks of 7 each way, the last one not full.
RECEIVER_TIERS = [("", people(*range(20)))]
SENDER_TIERS = [("", people(*range(10, 26)))]


def line(
    terms: Terms,
    tamper: Callable[[Role, Message], Iterable[Message]] | None = None,
    *,
    liar: Role,
    part: type[Participant] | None = None,
) -> Conversation:
    """Join an honest role and a liar; the honest one always speaks first, so it gives away all it would."""
    own = {Role.RECEIVER: RECEIVER_TIERS, Role.SENDER: SENDER_TIERS}
    sides = {role: party(role, terms, own[role], part=part if role is liar else None) for role in Role}
    return Conversation(sides[Role.RECEIVER].part, sides[Role.SENDER].part, tamper=tamper, first=liar.other)


def assert_caught(talk: Conversation, liar: Role, sentence: str) -> PeerViolation:
    """Run ``talk``: the honest side must refuse with ``sentence``, close for good and give no result."""
    honest = talk.part(liar.other)
    with pytest.raises(PeerViolation, match=sentence) as raised:
        talk.run()
    assert talk.failed is liar.other
    assert_closed(honest, [message for _, message in talk.said])
    return raised.value


def assert_closed(part: Participant, messages: Iterable[Message]) -> None:
    """Check that ``part`` takes nothing any more, has no result, and dropped its scalar."""
    assert part.state is State.CLOSED
    assert not part.done
    for message in messages:
        with pytest.raises(PeerViolation):
            part.receive(message)
    with pytest.raises(RuntimeError, match="no result"):
        _ = part.result
    assert part.state is State.CLOSED
    with pytest.raises(ValueError, match="destroyed"):
        part._scalar.reveal()
