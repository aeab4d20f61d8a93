"""The messages of a private match: frozen, and valid once built (SPEC 4).

A message that exists has passed every check that needs no context: lengths, ranges, label text. What depends
on the contract, the session or the state is checked by the roles before any arithmetic is done.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

from psi.errors import PeerViolation
from psi.terms import CHUNK_ELEMENTS, MAX_LABEL_BYTES, MAX_SET, MAX_TIERS, Role

DIGEST = 32
SESSION = 16
MAX_ELEMENT = 64
MAX_CHUNK_BYTES = CHUNK_ELEMENTS * MAX_ELEMENT
FORMULA_STARTS = ("=", "+", "-", "@")


class Stream(IntEnum):
    """The four streams of elements; the numbers are on the wire and in the transcript."""

    RECEIVER_POINTS = 1
    SENDER_POINTS = 2
    RECEIVER_TOKENS = 3
    SENDER_TOKENS = 4

    @property
    def sent_by(self) -> Role:
        """The role that sends this stream."""
        by_receiver = self in (Stream.RECEIVER_POINTS, Stream.SENDER_TOKENS)
        return Role.RECEIVER if by_receiver else Role.SENDER


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise PeerViolation(f"The partner sent {what}.", hint="both sides need the same version of Veiljoin")


def label_fault(label: str) -> str:
    """Return what keeps ``label`` from being a tier's label, or an empty string (SPEC 4.1)."""
    if len(label.encode()) > MAX_LABEL_BYTES:
        return f"has more than {MAX_LABEL_BYTES} bytes"
    if label and not label.isprintable():
        return "has control characters"
    if label.startswith(FORMULA_STARTS):
        # It stands beside the other side's identifiers in a list that people open in a spreadsheet.
        return f"begins with one of {' '.join(FORMULA_STARTS)}, which a spreadsheet takes for a formula"
    return ""


@dataclass(frozen=True, slots=True)
class Tier:
    """One part of a set: its label ('' for a set without tiers) and its size in persons."""

    label: str
    size: int

    def __post_init__(self) -> None:
        _require(0 < self.size <= MAX_SET, "an impossible tier size")
        fault = label_fault(self.label)
        _require(fault == "", f"a tier label that {fault}")


def check_tier_count(count: int) -> None:
    """Refuse an announcement of ``count`` tiers. Raises ``PeerViolation``."""
    _require(1 <= count <= MAX_TIERS, f"{count} tiers, where 1 to {MAX_TIERS} may be")


@dataclass(frozen=True, slots=True)
class Announce:
    """First message of each side: what it will send, and what it is committed to (SPEC 4.1)."""

    contract: bytes
    role: Role
    tiers: tuple[Tier, ...]
    seed_commitment: bytes
    input_commitment: bytes

    def __post_init__(self) -> None:
        _require(len(self.contract) == DIGEST, "a contract hash of a wrong length")
        _require(len(self.seed_commitment) == DIGEST, "a seed commitment of a wrong length")
        _require(len(self.input_commitment) == DIGEST, "an input commitment of a wrong length")
        check_tier_count(len(self.tiers))
        labels = [tier.label for tier in self.tiers]
        _require(len(set(labels)) == len(labels), "the same tier twice")
        _require(len(labels) == 1 or "" not in labels, "a tier without a label")

    @property
    def size(self) -> int:
        """Persons in the whole set."""
        return sum(tier.size for tier in self.tiers)

    def encode(self) -> bytes:
        """Return the bytes that enter the session identifier (SPEC 4.1)."""
        parts = [self.contract, bytes([self.role, len(self.tiers)])]
        for tier in self.tiers:
            label = tier.label.encode()
            parts.append(struct.pack(">QB", tier.size, len(label)) + label)
        return b"".join((*parts, self.seed_commitment, self.input_commitment))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Elements of one stream, in order (SPEC 4.2). ``data`` is redacted: points are nobody's reading.

    ``stream`` is a member of the protocol's own enumeration; no two protocols share a number.
    """

    session: bytes
    stream: IntEnum
    sequence: int
    data: bytes

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(0 <= self.sequence <= MAX_SET, "an impossible chunk number")
        _require(0 < len(self.data) <= MAX_CHUNK_BYTES, "a chunk of an impossible length")

    def __repr__(self) -> str:
        return f"Chunk({self.stream.name}, sequence={self.sequence}, bytes={len(self.data)})"


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The declared end of a stream (SPEC 4.3): without it a killed sender looks like a finished one."""

    session: bytes
    stream: IntEnum
    count: int
    digest: bytes

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(0 < self.count <= MAX_SET, "an impossible element count")
        _require(len(self.digest) == DIGEST, "a stream digest of a wrong length")


@dataclass(frozen=True, slots=True)
class TokenCommitment:
    """The receiver's promise of its tokens before it is given the sender's (SPEC 5.3)."""

    session: bytes
    digest: bytes

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(len(self.digest) == DIGEST, "a token commitment of a wrong length")


@dataclass(frozen=True, slots=True)
class Finish:
    """Last message of each side: the digest of all that was said (SPEC 4.5)."""

    session: bytes
    transcript: bytes

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(len(self.transcript) == DIGEST, "a transcript digest of a wrong length")


Message = Announce | Chunk | StreamEnd | TokenCommitment | Finish


def fingerprint(message: Message) -> bytes:
    """Return a digest by which an exact copy of ``message`` is known (SPEC 4.4)."""
    match message:
        case Announce():
            body = b"\x01" + message.encode()
        case Chunk(session, stream, sequence, data):
            body = b"\x02" + session + struct.pack(">BQ", stream, sequence) + data
        case StreamEnd(session, stream, count, digest):
            body = b"\x03" + session + struct.pack(">BQ", stream, count) + digest
        case TokenCommitment(session, digest):
            body = b"\x04" + session + digest
        case Finish(session, transcript):
            body = b"\x05" + session + transcript
    return hashlib.sha256(body).digest()
