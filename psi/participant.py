"""What both roles of the private match share, without input or output (SPEC 5).

``psi.receiver`` and ``psi.sender`` add what differs. A role is driven by three calls: ``start()``,
``receive(message)`` and, when ``done``, ``result``. The first two return messages for the partner; those of one
call go out in order and behind all earlier ones. Long answers are lazy, so that a whole set is never in memory.
A role is single-use; any error closes it for good.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from psi import machine
from psi.engines import Engine
from psi.errors import PeerViolation, PolicyRefusal
from psi.machine import Machine, State
from psi.messages import Announce, Chunk, Finish, Message, Stream, StreamEnd, TokenCommitment, fingerprint
from psi.points import check_elements, truncate
from psi.ports import Keep, OwnSet
from psi.results import MatchResult, audience_result, overlap_result
from psi.seed import JobRandomness
from psi.streams import Incoming, Session, elements_in, outgoing
from psi.terms import Kind, Role, Terms

Messages = Iterator[Message]
_NOTHING: tuple[Message, ...] = ()
# Copies come from resuming, a handful each time; without an end to them a partner could hold a job for ever.
MAX_COPIES = 1_000


def _split(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


class Participant(ABC):
    """What both roles share: the announcement, the order of checks, the points, the end."""

    role: Role
    points: Stream

    def __init__(
        self, terms: Terms, randomness: JobRandomness, own: OwnSet, engine: Engine, keep: Keep
    ) -> None:
        self.terms = terms
        self._randomness = randomness
        self._scalar = randomness.scalar(terms.suite)
        self._own = own
        self._engine = engine
        self._keep = keep
        self._join = keep.join()
        self._machine = Machine(machine.table_for(self.role, terms.both))
        self._seen: set[bytes] = set()
        # Messages ignored as exact copies so far.
        self.copies = 0
        self._incoming: Incoming | None = None
        self._announced: Announce | None = None
        self._peer: Announce | None = None
        self._session: Session | None = None
        self._result: MatchResult | None = None
        self._own_prefixes: frozenset[bytes] | None = None

    # -- driven from outside

    def start(self) -> Messages:
        """Return the announcement. Raises ``PolicyRefusal`` if the own set does not keep the terms."""
        if self._announced is not None:
            raise RuntimeError("a role is single-use")
        announce = Announce(
            contract=self.terms.contract,
            role=self.role,
            tiers=self._own.tiers,
            seed_commitment=self._randomness.seed_commitment(),
            input_commitment=self._own.input_commitment,
        )
        self._check_sizes(announce)
        self._announced = announce
        return iter((announce,))

    def receive(self, message: Message) -> Messages:
        """Take one message and return the answers to it.

        Raises ``PeerViolation`` if the message is not what the protocol has here. An exact copy of a message
        that was accepted before is ignored (SPEC 4.4), which is what makes resuming safe.
        """
        if self._announced is None:
            raise RuntimeError("start() comes before receive()")
        mark = fingerprint(message)
        if mark in self._seen and self._machine.state is not State.CLOSED:
            self.copies += 1
            if self.copies > MAX_COPIES:
                self.close()
                raise PeerViolation(f"The partner repeated more than {MAX_COPIES:,} messages.")
            return iter(_NOTHING)
        try:
            following = self._machine.check(machine.event_of(message))
            if not isinstance(message, Announce) and message.session != self.session.id:
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
    def state(self) -> State:
        """What the role waits for."""
        return self._machine.state

    @property
    def done(self) -> bool:
        """Whether the partner's last message was accepted; own answers may still have to go out."""
        return self._machine.state is State.DONE

    @property
    def result(self) -> MatchResult | None:
        """The result of a role that is done; ``None`` for one that learns nothing."""
        if not self.done:
            raise RuntimeError("there is no result before the protocol is done")
        return self._result

    @property
    def announced(self) -> Announce:
        """Our own announcement."""
        if self._announced is None:
            raise RuntimeError("start() comes first")
        return self._announced

    @property
    def peer(self) -> Announce:
        """The partner's announcement."""
        if self._peer is None:
            raise RuntimeError("the partner has not announced itself")
        return self._peer

    @property
    def announced_by_peer(self) -> bool:
        """Whether the partner has announced itself."""
        return self._peer is not None

    @property
    def inbound_elements(self) -> int:
        """Elements that the partner will send in this session."""
        sizes = {self.role: self.announced.size, self.role.other: self.peer.size}
        streams = [stream for stream in Stream if stream.sent_by is self.role.other]
        if not self.terms.both:
            streams = [stream for stream in streams if stream is not Stream.SENDER_TOKENS]
        return sum(elements_in(each, sizes[Role.RECEIVER], sizes[Role.SENDER]) for each in streams)

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

    # -- shared steps

    def _copies_of_ours(self, tokens: bytes) -> bool:
        """Whether any of ``tokens`` is one of our own points cut short (SPEC 5.4).

        Only our first chunk is looked at: whoever returns points unmasked returns those too, and a random
        token equals one of 65,536 with probability 2^-112.
        """
        if self._own_prefixes is None:
            suite = self.terms.suite
            cut = truncate(self._own.chunk(0), suite.element_size, suite.token_size)
            self._own_prefixes = frozenset(_split(cut, suite.token_size))
        return not self._own_prefixes.isdisjoint(_split(tokens, self.terms.suite.token_size))

    def _handle(self, message: Message) -> Iterable[Message]:
        match message:
            case Announce():
                return self._on_announce(message)
            case Chunk():
                return self._on_chunk(message.stream, self._reading(message.stream).take(message))
            case StreamEnd():
                self._reading(message.stream).finish(message)
                self._incoming = None
                return self._on_end(message.stream)
            case TokenCommitment():
                return self._on_commitment(message)
            case Finish():
                return self._on_finish(message)

    def _on_announce(self, announce: Announce) -> Iterable[Message]:
        if announce.contract != self.terms.contract:
            raise PeerViolation("The partner announced another contract than the one that was signed.")
        if announce.role is not self.role.other:
            raise PeerViolation("The partner announced the same role as ours.")
        self._check_sizes(announce)
        ours, theirs = self.announced, announce
        pair = (ours, theirs) if self.role is Role.RECEIVER else (theirs, ours)
        self._peer = announce
        self._session = Session(*pair)
        chunks = (self._own.chunk(i) for i in range(self.terms.chunk_count(ours.size)))
        return outgoing(self.terms, self._session, self.points, chunks)

    def _check_sizes(self, announce: Announce) -> None:
        # SPEC 4.1: sizes are fixed, and held to the contract, before any key is used on them.
        role, mine = announce.role, announce.role is self.role
        fault = PolicyRefusal if mine else PeerViolation
        code = None if not mine else "over_limit"
        whose = "The own set" if mine else "The partner's set"
        limit = self.terms.limit(role)
        if announce.size > limit:
            raise fault(f"{whose} has {announce.size} persons; the contract allows {limit}.", code=code)
        if not self.terms.tiered(role) and any(tier.label for tier in announce.tiers):
            # Even one label is something that the disclosure card did not tell.
            raise fault(f"{whose} is split into tiers, which the contract does not say.", code=code)
        declared = iter(self.terms.labels(role))
        if self.terms.labels(role) and not all(tier.label in declared for tier in announce.tiers):
            # `in` on an iterator goes forward only, so the order counts too.
            raise fault(f"{whose} has other tiers, or another order of them, than the contract.", code=code)
        if any(tier.size < self.terms.min_group for tier in announce.tiers):
            raise fault(
                f"{whose} has a tier of fewer than min_group = {self.terms.min_group} persons.",
                code="too_small" if mine else None,
            )

    def _reading(self, stream: Stream) -> Incoming:
        if self._incoming is None:
            sizes = {self.role: self.announced.size, self.role.other: self.peer.size}
            elements = elements_in(stream, sizes[Role.RECEIVER], sizes[Role.SENDER])
            self._incoming = Incoming(self.terms, self.session, stream, elements)
        return self._incoming

    def _mask_to_tokens(self, data: bytes) -> bytes:
        check_elements(self.terms.suite, data)  # SPEC 5.1: before the scalar touches anything
        masked = self._engine.mask(data, self._scalar)
        return truncate(masked, self.terms.suite.element_size, self.terms.suite.token_size)

    def _learn(self) -> None:
        """Join the tokens and keep what the terms let this side read (SPEC 5.4, 7)."""
        own, peer = self.announced.tiers, self.peer.tiers
        repeated_own, repeated_peer = self._join.repeated()
        if repeated_own or repeated_peer:
            # SPEC 5.4: inputs are unique persons, so nothing can be twice in what comes back or in its set.
            where = f"{repeated_own} of our returned and {repeated_peer} of its own elements"
            raise PeerViolation(f"The partner repeated elements: {where} are copies.")
        tier_of = self._join.match([tier.size for tier in peer])
        if self.terms.kind is Kind.AUDIENCE:
            self._result = audience_result(tier_of, peer, self.terms.min_group, self.terms.unmatched)
            return
        bounds = np.cumsum([tier.size for tier in own])[:-1]
        parts = np.split(tier_of, bounds)
        counts = np.array([np.bincount(part, minlength=len(peer) + 1)[1:] for part in parts], dtype=np.int64)
        self._result = overlap_result(counts, own, peer, self.terms.min_group)

    def _finish_message(self) -> Iterator[Message]:
        yield Finish(self.session.id, self.session.transcript(self.role))

    def _check_transcript(self, message: Finish) -> None:
        if not self.session.complete(self.terms.both):
            # SPEC 4.5: a finish that comes before all was said vouches for nothing.
            raise PeerViolation("The partner finished before everything was said.")
        if message.transcript != self.session.transcript(self.role.other):
            raise PeerViolation("The partner's transcript of this session differs from ours.")

    # -- what differs

    @abstractmethod
    def _on_chunk(self, stream: Stream, data: bytes) -> Iterable[Message]:
        """Take the elements of one chunk, which is in order and of the right length."""

    @abstractmethod
    def _on_end(self, stream: Stream) -> Iterable[Message]:
        """Act on the end of a stream, whose count and digest are right."""

    @abstractmethod
    def _on_commitment(self, message: TokenCommitment) -> Iterable[Message]:
        """Act on the receiver's commitment to its tokens."""

    @abstractmethod
    def _on_finish(self, message: Finish) -> Iterable[Message]:
        """Act on the partner's last message."""
