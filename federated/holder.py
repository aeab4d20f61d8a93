"""What both roles of a grouped sum share, without input or output (SPEC 11 to 15).

``federated.value_holder`` and ``federated.group_holder`` add what differs; ``psi.role`` says how a role is driven.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from federated.machine import event_of, table_for
from federated.messages import (
    SUM,
    CellSums,
    GroupAnnounce,
    Nonce,
    Openings,
    Said,
    SumMessage,
    SumStream,
    SumTable,
    ValueAnnounce,
    Verdict,
    body_digest,
    encode_body,
    fingerprint,
    said,
)
from federated.noise import bounded_laplace
from federated.ports import SumKeep
from federated.results import SumResult
from federated.settlement import impossible
from federated.slots import Layout
from federated.stream import LABEL_NOISE, KeyStream, stream_key
from federated.terms import SumRole, SumTerms
from psi.engines import Engine
from psi.errors import PeerViolation, PolicyRefusal, UsageError
from psi.machine import Event
from psi.messages import Chunk, Finish, StreamEnd
from psi.role import MaskedSet, ProtocolRole
from psi.seed import JobRandomness
from psi.streams import Incoming, Session, Shape

# SPEC 2: the nonce that a side reveals for its partner's noise.
LABEL_NONCE = "veiljoin/v1/nonce"
# Bytes of ciphertexts in one chunk, about: a row of a person is never cut.
CIPHERTEXT_CHUNK_BYTES = 1 << 21


def region_bytes(layout: Layout) -> int:
    """Return the bytes of a cell's value slots, masked or not."""
    return -(-layout.value_bits // 8)


SingleMessage = CellSums | Verdict | Openings | SumTable


class Holder(ProtocolRole[SumMessage]):
    """The announcements, nonces, streams and the end; single use."""

    role: SumRole

    def __init__(
        self,
        terms: SumTerms,
        randomness: JobRandomness,
        own: MaskedSet,
        engine: Engine,
        keep: SumKeep,
    ) -> None:
        table = table_for(self.role, terms.reads(self.role))
        super().__init__(table, terms.suite, randomness.scalar(terms.suite), engine, own)
        self.terms = terms
        self._randomness = randomness
        self._keep = keep
        self._incoming: Incoming | None = None
        self._nonce: bytes | None = None
        self._layout: Layout | None = None
        self._drawn: dict[int, tuple[list[int], list[int]]] = {}
        self._result: SumResult | None = None

    @property
    def result(self) -> SumResult:
        """What this side may read; raises ``RuntimeError`` before the role is done."""
        if not self.done or self._result is None:
            raise RuntimeError("there is no result before the protocol is done")
        return self._result

    @abstractmethod
    def account(self) -> list[dict[str, int]]:
        """Return, per sum or cell, what this side decided on so far: what its party's log commits to.

        Counts below thresholds are among them, so they are for the own log's sealed details alone.
        """

    @property
    @abstractmethod
    def values(self) -> ValueAnnounce:
        """The value holder's announcement."""

    @property
    @abstractmethod
    def groups(self) -> GroupAnnounce:
        """The group holder's announcement."""

    @property
    def layout(self) -> Layout:
        """The slots of this run (SPEC 6): a sum is over no more persons than either side has."""
        if self._layout is None:
            raise RuntimeError("the partner has not announced itself")
        return self._layout

    @property
    def expected_work(self) -> int:
        """Persons of the value holder: their ciphertexts are the long part of a run."""
        return self.values.persons

    def work_of(self, message: SumMessage, *, sent: bool) -> int:
        """Rows of ciphertexts, counted where they are made and where they arrive."""
        if isinstance(message, Chunk) and message.stream is SumStream.VALUE_SUMS:
            return len(message.data) // self._shape(SumStream.VALUE_SUMS).element_bytes
        return 0

    # -- shared steps

    def _event(self, message: SumMessage) -> Event:
        return event_of(message)

    def fingerprint(self, message: SumMessage) -> bytes:
        arrived: object = message  # the wire carries the messages of every protocol
        if not isinstance(arrived, SumMessage):
            self.close()
            raise PeerViolation("The partner sent a message of another protocol than the contract's.")
        return fingerprint(message)

    def _begin(self) -> Nonce:
        """Open the session and return the own nonce (SPEC 13), once it is sure that the figures have room."""
        values, groups = self.values, self.groups
        sums = len(groups.cell_scopes) + groups.scopes
        rows = min(values.persons, groups.persons)
        try:
            self._layout = self.terms.layout(rows=rows, days=groups.days, tags=len(values.tags), sums=sums)
        except UsageError:
            # The contract was checked to fit with every size that it allows. Tags alone are counted only now.
            if self.role is SumRole.VALUE_HOLDER:
                raise UsageError(
                    f"The {len(values.tags)} values of the tag columns do not fit into one number of a "
                    f"{self.terms.key_bits}-bit key.",
                    hint="name fewer tag columns, columns with fewer values, or key_bits = 3072",
                ) from None
            raise PeerViolation(
                "The partner announced more tags than the contract's key has room for."
            ) from None
        self._session = Session(SUM, self.values.encode(), self.groups.encode())
        return self._note_nonce(Nonce(self.session.id, self._randomness.derive(LABEL_NONCE, 32)), self.role)

    def _note_nonce(self, message: Nonce, by: SumRole) -> Nonce:
        mine = by is SumRole.VALUE_HOLDER
        number = Said.NONCE_OF_VALUE_HOLDER if mine else Said.NONCE_OF_GROUP_HOLDER
        self.session.ended(number, 1, message.nonce, len(message.nonce))
        return message

    def _note(self, message: SingleMessage) -> SingleMessage:
        """Let a single message enter the transcript (SPEC 11.4)."""
        self.session.ended(said(message), 1, body_digest(message), len(encode_body(message)))
        return message

    def _shape(self, stream: SumStream) -> Shape:
        suite, chunk = self.terms.suite, self.terms.chunk_elements
        values, groups = self.values.persons, self.groups.persons
        match stream:
            case SumStream.VALUE_POINTS:
                return Shape(stream, values, suite.element_size, chunk)
            case SumStream.GROUP_POINTS:
                return Shape(stream, groups, suite.element_size, chunk)
            case SumStream.GROUP_TOKENS:
                return Shape(stream, groups, suite.token_size, chunk)
            case SumStream.VALUE_SUMS:
                size = self.layout.ciphertexts * self.terms.key_bits // 4
                return Shape(stream, values, size, max(1, min(chunk, CIPHERTEXT_CHUNK_BYTES // size)))

    def _reading(self, stream: SumStream) -> Incoming:
        if self._incoming is None:
            self._incoming = Incoming(self.session, self._shape(stream))
        return self._incoming

    def _handle(self, message: SumMessage) -> Iterable[SumMessage]:
        match message:
            case ValueAnnounce() | GroupAnnounce():
                return self._on_announce(message)
            case Nonce():
                self._nonce = self._note_nonce(message, self.role.other).nonce
                return ()
            case Chunk():
                stream = SumStream(message.stream)
                return self._on_chunk(stream, self._reading(stream).take(message))
            case StreamEnd():
                stream = SumStream(message.stream)
                self._reading(stream).finish(message)
                self._incoming = None
                return self._on_end(stream)
            case Finish():
                return self._on_finish(message)
            case _:
                self._note(message)
                return self._on_single(message)

    def _noise(self, layout: Layout, place: int) -> tuple[list[int], list[int]]:
        """Return the noise of this side on the sum at ``place``: (counts, values); zeros without noise (SPEC 13)."""
        fields = (*layout.counts, *layout.values)
        if self.terms.epsilon is None:
            return [0] * len(layout.counts), [0] * len(layout.values)
        if place in self._drawn:
            return self._drawn[place]
        if self._nonce is None:
            raise RuntimeError("noise is drawn behind the partner's nonce")
        stream = KeyStream(stream_key(self._randomness, LABEL_NOISE, self._nonce))
        draws = []
        for number, each in enumerate(fields):
            scale = self.terms.noise_scale(each.name, each.low, each.high)
            index = place * len(fields) + number
            draws.append(bounded_laplace(stream, index, scale) if scale else 0)
        self._drawn[place] = draws[: len(layout.counts)], draws[len(layout.counts) :]
        return self._drawn[place]

    def _check_all_sent(self, *heard: int) -> None:
        """Refuse an answer to our streams that comes before all of them are out; ``heard`` is what else has ended.

        Streams are made as they are sent: a partner that hurries would meet a role that is still at work on them.
        """
        nonces = {Said.NONCE_OF_VALUE_HOLDER, Said.NONCE_OF_GROUP_HOLDER}
        own = {stream for stream in SumStream if stream.sent_by is self.role}
        if not self.session.complete({*nonces, *own, *heard}):
            raise PeerViolation("The partner answered before it had heard all that its answer is made of.")

    def _by_scope(self, places: Iterable[int]) -> list[list[int]]:
        """Return, per scope, which of ``places`` belong to it, as numbers counted from the first of ``places``."""
        cells = self.groups.cell_scopes
        parts: list[list[int]] = [[] for _ in range(self.groups.scopes)]
        for number, place in enumerate(places):
            parts[cells[place] if place < len(cells) else place - len(cells)].append(number)
        return parts

    def _check_figures(
        self, persons: int, counts: Sequence[int], values: Sequence[int], hidden: Sequence[int] = ()
    ) -> None:
        """Refuse figures that no ``persons`` persons within the contract's bounds can have (SPEC 12.5)."""
        if impossible(self.terms, self.layout, persons, counts, values, hidden):
            raise PeerViolation(
                "The partner's figures of a cell cannot be: its persons within the contract's bounds have others.",
                hint="the partner runs other or faulty software, or means harm",
            )

    def _check_size(self, persons: int, role: SumRole) -> None:
        """Hold an announced set to the terms (SPEC 11.1), our own like the partner's."""
        mine = role is self.role
        fault = PolicyRefusal if mine else PeerViolation
        whose = "The own set" if mine else "The partner's set"
        limit = self.terms.limit(role)
        if persons > limit:
            raise fault(
                f"{whose} has {persons} persons; the contract allows {limit}.",
                code="over_limit" if mine else None,
            )
        if persons < self.terms.min_group:
            raise fault(
                f"{whose} has fewer than min_group = {self.terms.min_group} persons.",
                code="too_small" if mine else None,
            )

    def _check_contract(self, contract: bytes) -> None:
        if contract != self.terms.contract:
            raise PeerViolation("The partner announced another contract than the one that was signed.")

    def _finish_message(self) -> Finish:
        return Finish(self.session.id, self.session.transcript(self.role))

    def _check_transcript(self, message: Finish) -> None:
        both = {SumRole.VALUE_HOLDER, SumRole.GROUP_HOLDER}
        expected: set[int] = {*SumStream, Said.NONCE_OF_VALUE_HOLDER, Said.NONCE_OF_GROUP_HOLDER}
        expected |= {Said.CELL_SUMS, Said.VERDICT}
        readers = both & self.terms.readers
        expected |= {Said.OPENINGS} if SumRole.VALUE_HOLDER in readers else set()
        expected |= {Said.TABLE} if SumRole.GROUP_HOLDER in readers else set()
        if not self.session.complete(expected):
            # psi/SPEC 4.5: a finish that comes before all was said vouches for nothing.
            raise PeerViolation("The partner finished before everything was said.")
        if message.transcript != self.session.transcript(self.role.other):
            raise PeerViolation("The partner's transcript of this session differs from ours.")

    # -- what differs

    @abstractmethod
    def _on_announce(self, announce: ValueAnnounce | GroupAnnounce) -> Iterable[SumMessage]:
        """Check the partner's announcement and begin."""

    @abstractmethod
    def _on_chunk(self, stream: SumStream, data: bytes) -> Iterable[SumMessage]:
        """Take the elements of one chunk, which is in order and of the right length."""

    @abstractmethod
    def _on_end(self, stream: SumStream) -> Iterable[SumMessage]:
        """Act on the end of a stream, whose count and digest are right."""

    @abstractmethod
    def _on_single(self, message: SingleMessage) -> Iterable[SumMessage]:
        """Act on one of the single messages."""

    @abstractmethod
    def _on_finish(self, message: Finish) -> Iterable[SumMessage]:
        """Act on the partner's last message."""
