"""The two roles as transition tables: (state, what arrived) -> next state (SPEC 6).

A pair that is not in the table is a violation and closes the machine; there is no other way to fail and no
state that is implied by a missing value. The diagrams in SPEC.md are printed from these tables by
``python -m psi.machine``; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Final

from psi.errors import PeerViolation
from psi.messages import Announce, Chunk, Finish, Message, Stream, StreamEnd, TokenCommitment
from psi.terms import Role


class State(Enum):
    """What a role waits for next."""

    ANNOUNCEMENT = "announcement"
    POINTS = "points"
    COMMITMENT = "commitment"
    TOKENS = "tokens"
    FINISH = "finish"
    DONE = "done"
    CLOSED = "closed"


Event = str
ANNOUNCE: Final[Event] = "announce"
COMMIT: Final[Event] = "token commitment"
FINISH: Final[Event] = "finish"


def chunk_of(stream: IntEnum) -> Event:
    """Name the arrival of a chunk of ``stream``."""
    return f"{_spoken(stream)} chunk"


def end_of(stream: IntEnum) -> Event:
    """Name the arrival of the end of ``stream``."""
    return f"{_spoken(stream)} end"


def _spoken(stream: IntEnum) -> str:
    return stream.name.lower().replace("_", " ")


def event_of(message: Message) -> Event:
    """Name the arrival of ``message``."""
    match message:
        case Announce():
            return ANNOUNCE
        case Chunk(stream=stream):
            return chunk_of(stream)
        case StreamEnd(stream=stream):
            return end_of(stream)
        case TokenCommitment():
            return COMMIT
        case Finish():
            return FINISH


# Other protocols bring states of their own; the first and the last two are those of `State`.
Table = Mapping[tuple[Enum, Event], Enum]


def reading(state: Enum, stream: IntEnum, then: Enum) -> dict[tuple[Enum, Event], Enum]:
    """Return the rows for a stream that is read in ``state`` and leads to ``then``."""
    return {(state, chunk_of(stream)): state, (state, end_of(stream)): then}


# The receiver hears the sender's points, then its own points back as tokens. It is the same for one
# receiver and for both: in the latter it speaks in between, which changes nothing in what it may hear.
RECEIVER: Final[Table] = {
    (State.ANNOUNCEMENT, ANNOUNCE): State.POINTS,
    **reading(State.POINTS, Stream.SENDER_POINTS, State.TOKENS),
    **reading(State.TOKENS, Stream.RECEIVER_TOKENS, State.FINISH),
    (State.FINISH, FINISH): State.DONE,
}

SENDER: Final[Table] = {
    (State.ANNOUNCEMENT, ANNOUNCE): State.POINTS,
    **reading(State.POINTS, Stream.RECEIVER_POINTS, State.FINISH),
    (State.FINISH, FINISH): State.DONE,
}

SENDER_OF_BOTH: Final[Table] = {
    (State.ANNOUNCEMENT, ANNOUNCE): State.POINTS,
    **reading(State.POINTS, Stream.RECEIVER_POINTS, State.COMMITMENT),
    (State.COMMITMENT, COMMIT): State.TOKENS,
    **reading(State.TOKENS, Stream.SENDER_TOKENS, State.FINISH),
    (State.FINISH, FINISH): State.DONE,
}


def table_for(role: Role, both: bool) -> Table:
    """Return the table of ``role``."""
    if role is Role.RECEIVER:
        return RECEIVER
    return SENDER_OF_BOTH if both else SENDER


class Machine:
    """Walks one table; single use."""

    __slots__ = ("_table", "state")

    def __init__(self, table: Table) -> None:
        self._table = table
        self.state: Enum = State.ANNOUNCEMENT

    def check(self, event: Event) -> Enum:
        """Return the state that ``event`` leads to, without going there. Raises ``PeerViolation``."""
        following = self._table.get((self.state, event))
        if following is None:
            waiting = self.state.value
            self.close()
            raise PeerViolation(
                f"The partner sent {event} while the protocol was at {waiting}.",
                hint="both sides need the same contract and the same version of Veiljoin",
            )
        return following

    def close(self) -> None:
        """End the machine: nothing is accepted any more."""
        self.state = State.CLOSED


def diagram(table: Table) -> str:
    """Return ``table`` as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.ANNOUNCEMENT.value}"]
    lines += [f"    {old.value} --> {new.value}: {event}" for (old, event), new in table.items()]
    return "\n".join([*lines, f"    {State.DONE.value} --> [*]"])


if __name__ == "__main__":
    for title, table in (("Receiver", RECEIVER), ("Sender", SENDER), ("Sender, both", SENDER_OF_BOTH)):
        print(f"{title}\n\n```mermaid\n{diagram(table)}\n```\n")  # noqa: T201
