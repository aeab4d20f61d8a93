"""How a role of a two-party protocol is driven, whatever the protocol: the order of checks, copies, the end.

A role is driven by three calls: ``start()``, ``receive(message)`` and, when ``done``, ``result``. The first two
return messages for the partner; those of one call go out in order and behind all earlier ones. Long answers are
lazy, so that a whole set is never in memory. A role is single-use; any error closes it for good.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from enum import Enum, IntEnum
from typing import Any, Generic, Protocol, TypeVar

from psi.engines import Engine
from psi.errors import PeerViolation
from psi.machine import Event, Machine, State, Table
from psi.points import check_elements, truncate
from psi.secret import Scalar
from psi.streams import Session
from psi.suites import Suite

# Copies come from resuming, a handful each time; without an end to them a partner could hold a job for ever.
MAX_COPIES = 1_000
_NOTHING: tuple[Any, ...] = ()

M = TypeVar("M")


class MaskedSet(Protocol):
    """A party's own set, masked once; the only thing that every protocol asks of it."""

    @property
    def input_commitment(self) -> bytes:
        """Salted commitment to the input (32 bytes)."""

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points, elements back to back."""


class ProtocolRole(ABC, Generic[M]):
    """One side of one run. ``M`` is the union of the protocol's messages."""

    role: IntEnum

    def __init__(self, table: Table, suite: Suite, scalar: Scalar, engine: Engine, own: MaskedSet) -> None:
        self._machine = Machine(table)
        self._suite = suite
        self._scalar = scalar
        self._engine = engine
        self._masked = own
        self._seen: set[bytes] = set()
        # Messages ignored as exact copies so far.
        self.copies = 0
        self._started = False
        self._session: Session | None = None
        self._own_prefixes: frozenset[bytes] | None = None

    # -- driven from outside

    def start(self) -> Iterator[M]:
        """Return the first messages. Raises ``PolicyRefusal`` if the own set does not keep the terms."""
        if self._started:
            raise RuntimeError("a role is single-use")
        first = self._announce()
        self._started = True
        return iter((first,))

    def receive(self, message: M) -> Iterator[M]:
        """Take one message and return the answers to it.

        Raises ``PeerViolation`` if the message is not what the protocol has here. An exact copy of a message
        that was accepted before is ignored (SPEC 4.4), which is what makes resuming safe.
        """
        if not self._started:
            raise RuntimeError("start() comes before receive()")
        mark = self.fingerprint(message)
        if mark in self._seen and self._machine.state is not State.CLOSED:
            self.copies += 1
            if self.copies > MAX_COPIES:
                self.close()
                raise PeerViolation(f"The partner repeated more than {MAX_COPIES:,} messages.")
            return iter(_NOTHING)
        try:
            following = self._machine.check(self._event(message))
            # An announcement is what makes the session, so it carries none.
            told = getattr(message, "session", None)
            if told is not None and told != self.session.id:
                # SPEC 4.1: also a message of another job, of another run, or of the other direction.
                raise PeerViolation("The partner sent a message of another session.")
            answers = self._handle(message)
        except BaseException:
            self.close()
            raise
        self._seen.add(mark)
        self._machine.state = following
        return iter(answers)

    @property
    def state(self) -> Enum:
        """What the role waits for."""
        return self._machine.state

    @property
    def done(self) -> bool:
        """Whether the partner's last message was accepted; own answers may still have to go out."""
        return self._machine.state is State.DONE

    @property
    def announced_by_peer(self) -> bool:
        """Whether the partner has announced itself."""
        return self._session is not None

    @property
    def session(self) -> Session:
        """The session, once both sides have announced themselves."""
        if self._session is None:
            raise RuntimeError("the session begins with the partner's announcement")
        return self._session

    def close(self) -> None:
        """End the role and drop its scalar."""
        self._machine.close()
        self._scalar.destroy()

    # -- progress, for whoever drives the role

    @property
    @abstractmethod
    def expected_work(self) -> int:
        """Elements that :meth:`work_of` will count in this session, once both sides have announced themselves."""

    @abstractmethod
    def work_of(self, message: M, *, sent: bool) -> int:
        """Elements of ``message``, ``sent`` or received, that are worth counting as progress."""

    # -- shared steps

    def _mask_to_tokens(self, data: bytes) -> bytes:
        check_elements(self._suite, data)  # SPEC 5.1: before the scalar touches anything
        masked = self._engine.mask(data, self._scalar)
        return truncate(masked, self._suite.element_size, self._suite.token_size)

    def _copies_of_ours(self, tokens: bytes) -> bool:
        """Whether any of ``tokens`` is one of our own points cut short (SPEC 5.4).

        Only our first chunk is looked at: whoever returns points unmasked returns those too, and a random
        token equals one of 65,536 with probability 2^-112.
        """
        if self._own_prefixes is None:
            cut = truncate(self._masked.chunk(0), self._suite.element_size, self._suite.token_size)
            self._own_prefixes = frozenset(_split(cut, self._suite.token_size))
        return not self._own_prefixes.isdisjoint(_split(tokens, self._suite.token_size))

    # -- what differs

    @abstractmethod
    def _announce(self) -> M:
        """Return the own announcement, checked against the terms."""

    @abstractmethod
    def _handle(self, message: M) -> Iterable[M]:
        """Act on a message that the state table allows here."""

    @abstractmethod
    def _event(self, message: M) -> Event:
        """Name the arrival of ``message``."""

    @abstractmethod
    def fingerprint(self, message: M) -> bytes:
        """Return a digest by which an exact copy of ``message`` is known (SPEC 4.4)."""


def _split(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))
