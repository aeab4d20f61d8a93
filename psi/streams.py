"""Streams of elements with a declared end, and the transcript over them (SPEC 4.2 to 4.5)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator

from psi.errors import PeerViolation
from psi.messages import SESSION, Announce, Chunk, Stream, StreamEnd
from psi.terms import Role, Terms

_SESSION = b"veiljoin/v1/psi/session\x00"
_STREAM = b"veiljoin/v1/psi/stream\x00"
_TRANSCRIPT = b"veiljoin/v1/psi/transcript\x00"
_COMMIT_TOKENS = b"veiljoin/v1/psi/commit-tokens\x00"


class Session:
    """Both announcements, bound into one identifier, and the digests of the streams that ended."""

    __slots__ = ("_ended", "digest")

    def __init__(self, receiver: Announce, sender: Announce) -> None:
        # SPEC 4.1: contract, sizes and commitments of both sides enter every later message.
        self.digest = hashlib.sha256(_SESSION + receiver.encode() + sender.encode()).digest()
        self._ended: dict[Stream, tuple[int, bytes]] = {}

    @property
    def id(self) -> bytes:
        """The first 16 bytes of the digest, carried by every message of the session."""
        return self.digest[:SESSION]

    def ended(self, stream: Stream, count: int, digest: bytes) -> None:
        """Record the end of ``stream``."""
        self._ended[stream] = (count, digest)

    def complete(self, both: bool) -> bool:
        """Whether every stream of the session has ended; ``both`` adds the tokens of the sender's points."""
        expected = {Stream.RECEIVER_POINTS, Stream.SENDER_POINTS, Stream.RECEIVER_TOKENS}
        return self._ended.keys() == (expected | {Stream.SENDER_TOKENS} if both else expected)

    def transcript(self, told_by: Role) -> bytes:
        """Return the digest of everything that was said, as ``told_by`` sends it (SPEC 4.5)."""
        # The role enters, so that nobody can pass by sending ours back.
        parts = [_TRANSCRIPT, bytes([told_by]), self.digest]
        for stream in sorted(self._ended):
            count, digest = self._ended[stream]
            parts.append(struct.pack(">BQ", stream, count) + digest)
        return hashlib.sha256(b"".join(parts)).digest()


class StreamDigest:
    """Running count and SHA-256 of one stream, bound to its session (SPEC 4.3)."""

    __slots__ = ("_element", "_hash", "bytes")

    def __init__(self, session: Session, stream: Stream, element: int) -> None:
        self._hash = hashlib.sha256(_STREAM + session.digest + bytes([stream]))
        self._element = element
        self.bytes = 0

    def update(self, data: bytes) -> None:
        """Add the elements of one chunk."""
        self._hash.update(data)
        self.bytes += len(data)

    @property
    def count(self) -> int:
        """Elements so far."""
        return self.bytes // self._element

    def digest(self) -> bytes:
        """Return the digest so far."""
        return self._hash.digest()


def element_size(terms: Terms, stream: Stream) -> int:
    """Return the bytes of one element of ``stream``."""
    points = stream in (Stream.RECEIVER_POINTS, Stream.SENDER_POINTS)
    return terms.suite.element_size if points else terms.suite.token_size


def elements_in(stream: Stream, receiver: int, sender: int) -> int:
    """Return how many elements ``stream`` has, given the sizes of both sets."""
    return receiver if stream in (Stream.RECEIVER_POINTS, Stream.RECEIVER_TOKENS) else sender


def outgoing(
    terms: Terms, session: Session, stream: Stream, chunks: Iterable[bytes]
) -> Iterator[Chunk | StreamEnd]:
    """Yield ``chunks`` as numbered messages of ``stream`` and the end message behind them."""
    running = StreamDigest(session, stream, element_size(terms, stream))
    for sequence, data in enumerate(chunks):
        running.update(data)
        yield Chunk(session.id, stream, sequence, data)
    session.ended(stream, running.count, running.digest())
    yield StreamEnd(session.id, stream, running.count, running.digest())


class Incoming:
    """Checks one stream as it arrives: order, exact chunk lengths, count and digest."""

    def __init__(self, terms: Terms, session: Session, stream: Stream, elements: int) -> None:
        self._terms = terms
        self._session = session
        self._stream = stream
        self._elements = elements
        self._element = element_size(terms, stream)
        self._running = StreamDigest(session, stream, self._element)
        self._next = 0

    @property
    def position(self) -> int:
        """Elements accepted so far, so the position of the next one."""
        return self._running.count

    def take(self, chunk: Chunk) -> bytes:
        """Return the data of the next chunk. Raises ``PeerViolation`` if it is not exactly that."""
        name = self._stream.name.lower()
        if chunk.sequence != self._next:
            # SPEC 4.2: a gap, or a second, different chunk under a number that was used.
            raise PeerViolation(f"The partner sent chunk {chunk.sequence} of {name} instead of {self._next}.")
        expected = self._terms.chunk_length(self._elements, chunk.sequence) * self._element
        if expected == 0:
            raise PeerViolation(f"The partner sent more of {name} than the {self._elements} it announced.")
        if len(chunk.data) != expected:
            raise PeerViolation(
                f"Chunk {chunk.sequence} of {name} has {len(chunk.data)} bytes, not the {expected} agreed."
            )
        self._running.update(chunk.data)
        self._next += 1
        return chunk.data

    def finish(self, end: StreamEnd) -> None:
        """Accept the end of the stream. Raises ``PeerViolation`` on a wrong count or digest."""
        name = self._stream.name.lower()
        if not end.count == self._running.count == self._elements:
            # SPEC 4.3: returned count must equal sent count, and nobody sends less than announced.
            raise PeerViolation(
                f"The partner ended {name} with {end.count} elements after sending {self._running.count} "
                f"of {self._elements}."
            )
        if end.digest != self._running.digest():
            raise PeerViolation(f"The partner's digest of {name} does not fit what arrived.")
        self._session.ended(self._stream, end.count, end.digest)


class TokenDigest:
    """Digest over the receiver's tokens in sending order (SPEC 5.3)."""

    def __init__(self, session: Session) -> None:
        self._hash = hashlib.sha256(_COMMIT_TOKENS + session.digest)

    def update(self, tokens: bytes) -> None:
        """Add tokens."""
        self._hash.update(tokens)

    def digest(self) -> bytes:
        """Return the digest so far."""
        return self._hash.digest()
