"""A role that can be cut anywhere and goes on: positions, and playing a journal to a fresh role (SPEC 8.6).

Sans-IO like the roles: the journal and the place for what is held back are brought by whoever drives it. Everything a
party sends follows from its seed, its input and what it received, so the messages of each direction are a fixed
sequence, and a cut run goes on with the number of messages that the other side has.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from psi.errors import LinkLost, PeerViolation
from psi.role import ProtocolRole

FINGERPRINT: Final = 32
_MOST_RECEIVED: Final = 1 << 40

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a side is with a run: fingerprints of both announcements, and how many messages it has received."""

    announced: bytes
    heard: bytes
    received: int

    def __post_init__(self) -> None:
        if len(self.announced) != FINGERPRINT or len(self.heard) not in (0, FINGERPRINT):
            raise PeerViolation("The partner's position has a wrong length.")
        if not 0 <= self.received < _MOST_RECEIVED or (self.received == 0) != (self.heard == b""):
            raise PeerViolation("The partner's position contradicts itself.")

    def goes_with(self, other: Position) -> bool:
        """Whether both are of one run: neither has heard another announcement than the other's."""
        return self.heard in (b"", other.announced) and other.heard in (b"", self.announced)


class Entry(NamedTuple, Generic[M]):
    """A message that was received, how many own messages had been made then, and what the own announcement was."""

    made: int
    message: M
    announced: bytes = b""


class Journal(Protocol[M]):
    """The partner's messages of one run, in order; durable, where the run is to survive its process."""

    def __len__(self) -> int:
        """How many there are."""

    def entries(self) -> Iterator[Entry[M]]:
        """Yield them from the first on."""

    def add(self, entry: Entry[M]) -> None:
        """Add one behind the others; durable once this returns."""

    def hold(self, message: M) -> None:
        """Put an own message aside that the partner lacks; need not outlive the process."""

    def held(self) -> Iterator[M]:
        """Yield what was put aside, in order."""


class MemoryJournal(Generic[M]):
    """A :class:`Journal` in lists, given the entries of an earlier one: for rehearsals in memory and for tests."""

    def __init__(self, entries: Sequence[Entry[M]] = ()) -> None:
        self.kept = list(entries)
        self._held: list[M] = []

    def __len__(self) -> int:
        return len(self.kept)

    def entries(self) -> Iterator[Entry[M]]:
        """Yield the messages from the first on."""
        return iter(self.kept)

    def add(self, entry: Entry[M]) -> None:
        """Add a message."""
        self.kept.append(entry)

    def hold(self, message: M) -> None:
        """Put an own message aside."""
        self._held.append(message)

    def held(self) -> Iterator[M]:
        """Yield what was put aside."""
        return iter(self._held)


class Playback(Generic[M]):
    """Drives a fresh ``role`` of one run over one link; single use.

    Call :meth:`position`, then :meth:`go_on` with the partner's, then :meth:`receive` for what arrives. What is to be
    sent comes as iterators, which are drained by :meth:`draw` alone, each to its end and in the order in which they
    were returned; that may be in another thread than the rest. ``announced`` is called each time when the partner's
    announcement was accepted, before anything is sent that follows from it.
    """

    def __init__(
        self, role: ProtocolRole[M], journal: Journal[M], announced: Callable[[], None] = lambda: None
    ) -> None:
        self.role = role
        self._journal = journal
        self._announced = announced
        self._first = next(role.start())
        self._own = role.fingerprint(self._first)
        # Own messages that were made, and how many of them the partner has.
        self._made = 0
        self._skip = 0

    def position(self) -> Position:
        """Return how far this side is."""
        first = next(iter(self._journal.entries()), None)
        heard = b"" if first is None else self.role.fingerprint(first.message)
        return Position(self._own, heard, len(self._journal))

    def go_on(self, theirs: Position) -> list[Iterator[M]]:
        """Play the journal to the role; returns what is to be sent.

        Raises ``LinkLost`` (``begun_anew``) if the partner's position is of another run, or the journal of another
        announcement of ours, and whatever the role raises for a journal that is not what it accepted before.
        """
        if not self.position().goes_with(theirs):
            raise _begun_anew()
        self._skip = theirs.received
        waiting = deque([iter((self._first,))])
        for entry in self._journal.entries():
            if entry.announced not in (b"", self._own):
                # Our set was lost and prepared again from another file: the seed has served the old one.
                raise _begun_anew()
            self._make(waiting, entry.made)
            answers = self._accept(entry.message)
            if answers is not None:
                waiting.append(answers)
        # The partner may answer at once what it has, and its answer supposes that it was made.
        self._make(waiting, self._skip)
        held = (_Held(self._journal.held()),) if self._made > self._skip else ()
        return [*held, *waiting]

    def receive(self, message: M) -> Iterator[M] | None:
        """Let the role judge ``message`` and keep it; returns the answers, if any. Raises what the role raises."""
        copies = self.role.copies
        answers = self._accept(message)
        if self.role.copies == copies:
            # After the role: what was made until now may have been needed for it. Before any answer leaves, since
            # that follows from this message.
            self._journal.add(Entry(self._made, message, self._own))
        if answers is None or self._made >= self._skip:
            return answers
        # Our journal has lost its end, so the partner is still ahead of us: there is nobody else who draws.
        behind = deque([answers])
        self._make(behind, self._skip)
        return behind[0] if behind else None

    def draw(self, messages: Iterator[M]) -> M | None:
        """Return the next message, ``None`` at the end."""
        return next(messages, None) if isinstance(messages, _Held) else self._next(messages)

    def _make(self, waiting: deque[Iterator[M]], until: int) -> None:
        """Make messages of ``waiting`` until there are so many in all; those that the partner lacks are held."""
        while waiting and self._made < until:
            message = self._next(waiting[0])
            if message is None:
                waiting.popleft()
            elif self._made > self._skip:
                self._journal.hold(message)

    def _next(self, messages: Iterator[M]) -> M | None:
        message = next(messages, None)
        self._made += message is not None
        return message

    def _accept(self, message: M) -> Iterator[M] | None:
        unannounced = not self.role.announced_by_peer
        answers = self.role.receive(message)
        if unannounced and self.role.announced_by_peer:
            self._announced()
        # The first answer is computed here, which is where the work of a message belongs.
        first = next(answers, None)
        return None if first is None else itertools.chain((first,), answers)


def _begun_anew() -> LinkLost:
    return LinkLost(
        "One of both sides has lost what this run had reached, so it begins anew.",
        hint="it is started again by itself, with fresh keys",
        code="begun_anew",
    )


class _Held(Iterator[M]):
    """Messages that were made and counted before."""

    def __init__(self, messages: Iterator[M]) -> None:
        self._messages = messages

    def __next__(self) -> M:
        return next(self._messages)
