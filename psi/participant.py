"""What both roles of the private match share, without input or output (SPEC 5).

``psi.receiver`` and ``psi.sender`` add what differs; ``psi.role`` says how a role is driven.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from psi import machine
from psi.engines import Engine
from psi.errors import PeerViolation, PolicyRefusal
from psi.messages import Announce, Chunk, Finish, Message, Stream, StreamEnd, TokenCommitment, fingerprint
from psi.ports import Keep, OwnSet
from psi.results import MatchResult, audience_result, overlap_result
from psi.role import ProtocolRole
from psi.seed import JobRandomness
from psi.streams import Incoming, Shape, elements_in, match_session, match_shape, outgoing
from psi.terms import Kind, Role, Terms


class Participant(ProtocolRole[Message]):
    """What both roles share: the announcement, the points, the end."""

    role: Role
    points: Stream

    def __init__(
        self, terms: Terms, randomness: JobRandomness, own: OwnSet, engine: Engine, keep: Keep
    ) -> None:
        table = machine.table_for(self.role, terms.both)
        super().__init__(table, terms.suite, randomness.scalar(terms.suite), engine, own)
        self.terms = terms
        self._randomness = randomness
        self._own = own
        self._keep = keep
        self._join = keep.join()
        self._incoming: Incoming | None = None
        self._announced: Announce | None = None
        self._peer: Announce | None = None
        self._result: MatchResult | None = None

    # -- driven from outside

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
    def expected_work(self) -> int:
        """Elements that the partner will send in this session."""
        streams = [stream for stream in Stream if stream.sent_by is self.role.other]
        if not self.terms.both:
            streams = [stream for stream in streams if stream is not Stream.SENDER_TOKENS]
        sizes = self._sizes()
        return sum(elements_in(each, sizes[Role.RECEIVER], sizes[Role.SENDER]) for each in streams)

    def work_of(self, message: Message, *, sent: bool) -> int:
        """Elements of a chunk that arrived."""
        if sent or not isinstance(message, Chunk):
            return 0
        return len(message.data) // self._shape(Stream(message.stream)).element_bytes

    # -- shared steps

    def _announce(self) -> Message:
        announce = Announce(
            contract=self.terms.contract,
            role=self.role,
            tiers=self._own.tiers,
            seed_commitment=self._randomness.seed_commitment(),
            input_commitment=self._own.input_commitment,
        )
        self._check_sizes(announce)
        self._announced = announce
        return announce

    def _event(self, message: Message) -> machine.Event:
        return machine.event_of(message)

    def fingerprint(self, message: Message) -> bytes:
        arrived: object = message  # the wire carries the messages of every protocol
        if not isinstance(arrived, Message):
            self.close()
            raise PeerViolation("The partner sent a message of another protocol than the contract's.")
        return fingerprint(message)

    def _sizes(self) -> dict[Role, int]:
        return {self.role: self.announced.size, self.role.other: self.peer.size}

    def _shape(self, stream: Stream) -> Shape:
        sizes = self._sizes()
        return match_shape(self.terms, stream, sizes[Role.RECEIVER], sizes[Role.SENDER])

    def _handle(self, message: Message) -> Iterable[Message]:
        match message:
            case Announce():
                return self._on_announce(message)
            case Chunk():
                stream = Stream(message.stream)
                return self._on_chunk(stream, self._reading(stream).take(message))
            case StreamEnd():
                stream = Stream(message.stream)
                self._reading(stream).finish(message)
                self._incoming = None
                return self._on_end(stream)
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
        self._session = match_session(*pair)
        shape = self._shape(self.points)
        chunks = (self._own.chunk(i) for i in range(shape.chunks))
        return outgoing(self._session, shape, chunks)

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
            self._incoming = Incoming(self.session, self._shape(stream))
        return self._incoming

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
        expected = {stream for stream in Stream if self.terms.both or stream is not Stream.SENDER_TOKENS}
        if not self.session.complete(expected):
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
