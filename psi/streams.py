"""Streams of elements with a declared end, and the transcript over them (SPEC 4.2 to 4.5)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import IntEnum

from psi.errors import PeerViolation
from psi.messages import SESSION, Announce, Chunk, Stream, StreamEnd
from psi.terms import Terms

# The protocol's part of every label that is hashed, so that nothing of one protocol fits another.
MATCH = "psi"
_COMMIT_TOKENS = b"veiljoin/v1/psi/commit-tokens\x00"


@dataclass(frozen=True, slots=True)
class Ended:
    """A stream that has ended, or a single message: how many elements, how many bytes, and its digest."""

    count: int
    size: int
    digest: bytes


class Session:
    """Both announcements, bound into one identifier, and the digests of what was said since.

    ``protocol`` is the protocol's name in the labels, ``first`` and ``second`` are the encoded announcements in
    the order that the protocol's specification gives.
    """

    __slots__ = ("_ended", "_prefix", "digest")

    def __init__(self, protocol: str, first: bytes, second: bytes) -> None:
        self._prefix = f"veiljoin/v1/{protocol}/".encode()
        # SPEC 4.1: contract, sizes and commitments of both sides enter every later message.
        self.digest = hashlib.sha256(self._prefix + b"session\x00" + first + second).digest()
        self._ended: dict[int, Ended] = {}

    @property
    def id(self) -> bytes:
        """The first 16 bytes of the digest, carried by every message of the session."""
        return self.digest[:SESSION]

    def ended(self, stream: int, count: int, digest: bytes, size: int) -> None:
        """Record the end of stream number ``stream``, or a single message under a number of its own."""
        self._ended[stream] = Ended(count, size, digest)

    def said(self) -> dict[int, Ended]:
        """Return what has ended so far, in both directions, by its number."""
        return dict(self._ended)

    def complete(self, expected: AbstractSet[int]) -> bool:
        """Whether exactly the ``expected`` streams have ended."""
        return self._ended.keys() == expected

    def stream_digest(self, stream: int) -> hashlib._Hash:
        """Return the hash that all elements of ``stream`` go into (SPEC 4.3)."""
        return hashlib.sha256(self._prefix + b"stream\x00" + self.digest + bytes([stream]))

    def transcript(self, told_by: int) -> bytes:
        """Return the digest of everything that was said, as the role ``told_by`` sends it (SPEC 4.5)."""
        # The role enters, so that nobody can pass by sending ours back.
        parts = [self._prefix + b"transcript\x00", bytes([told_by]), self.digest]
        for stream in sorted(self._ended):
            ended = self._ended[stream]
            parts.append(struct.pack(">BQ", stream, ended.count) + ended.digest)
        return hashlib.sha256(b"".join(parts)).digest()


def match_session(receiver: Announce, sender: Announce) -> Session:
    """Return the session of a private match (SPEC 4.1)."""
    return Session(MATCH, receiver.encode(), sender.encode())


@dataclass(frozen=True, slots=True)
class Shape:
    """What a stream looks like: how many elements of how many bytes, and how many of them go into a chunk."""

    stream: IntEnum
    elements: int
    element_bytes: int
    chunk_elements: int

    def chunk_bytes(self, sequence: int) -> int:
        """Bytes of chunk ``sequence``; 0 past the end."""
        left = self.elements - sequence * self.chunk_elements
        return max(0, min(self.chunk_elements, left)) * self.element_bytes

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.elements // self.chunk_elements)


class StreamDigest:
    """Running count and SHA-256 of one stream, bound to its session (SPEC 4.3)."""

    __slots__ = ("_element", "_hash", "bytes")

    def __init__(self, session: Session, stream: int, element: int) -> None:
        self._hash = session.stream_digest(stream)
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


def element_size(terms: Terms, stream: IntEnum) -> int:
    """Return the bytes of one element of ``stream`` of a private match."""
    points = stream in (Stream.RECEIVER_POINTS, Stream.SENDER_POINTS)
    return terms.suite.element_size if points else terms.suite.token_size


def elements_in(stream: Stream, receiver: int, sender: int) -> int:
    """Return how many elements ``stream`` has, given the sizes of both sets."""
    return receiver if stream in (Stream.RECEIVER_POINTS, Stream.RECEIVER_TOKENS) else sender


def match_shape(terms: Terms, stream: Stream, receiver: int, sender: int) -> Shape:
    """Return the shape of ``stream`` of a private match, given the sizes of both sets."""
    elements = elements_in(stream, receiver, sender)
    return Shape(stream, elements, element_size(terms, stream), terms.chunk_elements)


def outgoing(session: Session, shape: Shape, chunks: Iterable[bytes]) -> Iterator[Chunk | StreamEnd]:
    """Yield ``chunks`` as numbered messages of a stream and the end message behind them."""
    running = StreamDigest(session, shape.stream, shape.element_bytes)
    for sequence, data in enumerate(chunks):
        running.update(data)
        yield Chunk(session.id, shape.stream, sequence, data)
    session.ended(shape.stream, running.count, running.digest(), running.bytes)
    yield StreamEnd(session.id, shape.stream, running.count, running.digest())


class Incoming:
    """Checks one stream as it arrives: order, exact chunk lengths, count and digest."""

    def __init__(self, session: Session, shape: Shape) -> None:
        self._session = session
        self._shape = shape
        self._running = StreamDigest(session, shape.stream, shape.element_bytes)
        self._next = 0

    @property
    def position(self) -> int:
        """Elements accepted so far, so the position of the next one."""
        return self._running.count

    def take(self, chunk: Chunk) -> bytes:
        """Return the data of the next chunk. Raises ``PeerViolation`` if it is not exactly that."""
        name, elements = self._shape.stream.name.lower(), self._shape.elements
        if chunk.sequence != self._next:
            # SPEC 4.2: a gap, or a second, different chunk under a number that was used.
            raise PeerViolation(f"The partner sent chunk {chunk.sequence} of {name} instead of {self._next}.")
        expected = self._shape.chunk_bytes(chunk.sequence)
        if expected == 0:
            raise PeerViolation(f"The partner sent more of {name} than the {elements} it announced.")
        if len(chunk.data) != expected:
            raise PeerViolation(
                f"Chunk {chunk.sequence} of {name} has {len(chunk.data)} bytes, not the {expected} agreed."
            )
        self._running.update(chunk.data)
        self._next += 1
        return chunk.data

    def finish(self, end: StreamEnd) -> None:
        """Accept the end of the stream. Raises ``PeerViolation`` on a wrong count or digest."""
        name, elements = self._shape.stream.name.lower(), self._shape.elements
        if not end.count == self._running.count == elements:
            # SPEC 4.3: returned count must equal sent count, and nobody sends less than announced.
            raise PeerViolation(
                f"The partner ended {name} with {end.count} elements after sending {self._running.count} "
                f"of {elements}."
            )
        if end.digest != self._running.digest():
            raise PeerViolation(f"The partner's digest of {name} does not fit what arrived.")
        self._session.ended(self._shape.stream, end.count, end.digest, self._running.bytes)


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
