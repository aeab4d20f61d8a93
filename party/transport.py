"""What both gRPC directions share: channel settings, certificates' names, and the link over one stream.

The traps that shaped it are in docs/transport.md: a killed peer looks like a clean end of stream, so an end
without the protocol's own last message is always a lost link; and mutual TLS is not identity, so the
certificate's SAN is checked on every call.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import grpc

from psi.errors import LinkLost, PeerAborted, VeiljoinError
from psi.messages import MAX_CHUNK_BYTES, Chunk
from veiljoin import codec, control_codec
from veiljoin.control_messages import ControlMessage
from veiljoin.messages import Abort, WireMessage
from veiljoin.v1 import session_pb2 as pb

# One full chunk and its envelope; anything larger is refused before it is buffered.
MAX_MESSAGE: Final = MAX_CHUNK_BYTES + 1024
# gRPC puts a flag and a length of 4 bytes before each message.
_PREFIX: Final = 5
# A cut link is noticed after at most KEEPALIVE_TIME + KEEPALIVE_TIMEOUT: nothing is acknowledged any more.
KEEPALIVE_TIME_MS: Final = 2_000
KEEPALIVE_TIMEOUT_MS: Final = 3_000
# A stopped partner's kernel goes on acknowledging, so that only an unanswered ping tells. gRPC would wait a minute
# for it. A ping queues behind what the kernel still has to send, up to 4 MB: with 20 s a line of 300 kB/s
# holds, with 10 s it is taken for dead.
PING_TIMEOUT_MS: Final = 20_000
# How long the last message of a job may take to leave before the link is dropped anyway.
GOODBYE_SECONDS: Final = 3.0

OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # The listener would otherwise punish the partner's keepalive as too many pings.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Masked points do not compress; trying would only show their number in the time it takes.
    ("grpc.default_compression_algorithm", 0),
)

# What gRPC raises on a stream whose call has ended under it.
_BROKEN: Final = (grpc.RpcError, grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError)


M = TypeVar("M")
# Raises ``PeerViolation`` if the partner may not call any more.
Check = Callable[[], Awaitable[None]]


class EnvelopeStream(Protocol):
    """The part of a gRPC stream that a link uses; server contexts and client calls both have it."""

    async def read(self) -> Any:
        """Return the next envelope, or ``grpc.aio.EOF``."""

    async def write(self, message: Any) -> None:
        """Send an envelope; returns once flow control lets it go."""

    def add_done_callback(self, callback: Any, /) -> None:
        """Call back when the call has ended, for whatever reason."""


@dataclass(slots=True)
class Traffic:
    """Bytes of gRPC messages in each direction, length prefixes included."""

    sent: int = 0
    received: int = 0


class MessageStream(ABC, Generic[M]):
    """One stream to ``partner``, as messages. Created inside a running event loop.

    ``check`` is asked whether the partner may still call: before each message but a chunk is sent, and after it was
    received. Those are the ends of every phase; in between, whoever made the stream looks at the clock.
    """

    def __init__(self, stream: EnvelopeStream, partner: str, check: Check | None = None) -> None:
        self._stream = stream
        self._check = check
        self.partner = partner
        self.traffic = Traffic()
        # Set when the call has ended, so that a party that is busy reading its own file learns of it at once.
        self.ended = asyncio.Event()
        # Why our own side ended the stream, if it did; set before the stream is cut.
        self.fault: VeiljoinError | None = None
        loop = asyncio.get_running_loop()

        def note_end(_: Any) -> None:
            loop.call_soon_threadsafe(self.ended.set)

        stream.add_done_callback(note_end)

    async def send(self, message: M) -> None:
        """Send ``message``. Raises ``LinkLost``, or ``PeerViolation`` if the partner may not call any more."""
        await self._still_allowed(message)
        envelope = self._encode(message)
        try:
            await self._stream.write(envelope)
        except _BROKEN:
            raise self.lost() from None
        self.traffic.sent += envelope.ByteSize() + _PREFIX

    async def receive(self) -> M:
        """Return the next message. Raises ``LinkLost``, ``PeerAborted`` or ``PeerViolation``."""
        try:
            envelope = await self._stream.read()
        except _BROKEN:
            raise self.lost() from None
        if envelope is grpc.aio.EOF:
            # A clean end of stream: also what a killed partner looks like.
            raise self.lost()
        self.traffic.received += envelope.ByteSize() + _PREFIX
        message = self._decode(envelope)
        await self._still_allowed(message)
        return message

    def lost(self) -> VeiljoinError:
        """Return the error of a stream that ended too early: our own reason, or a lost link."""
        return self.fault or LinkLost(
            f"The connection to the {self.partner} ended before the job was done.",
            hint=f"ask the {self.partner} whether its process still runs, then start the job again",
        )

    async def _still_allowed(self, message: M) -> None:
        if self._check is not None and not isinstance(message, Chunk):
            await self._check()

    @abstractmethod
    def _encode(self, message: M) -> Any:
        """Return ``message`` as an envelope."""

    @abstractmethod
    def _decode(self, envelope: Any) -> M:
        """Return the message in ``envelope``. Raises ``PeerViolation``."""


class Link(MessageStream[WireMessage]):
    """One job's stream."""

    def _encode(self, message: WireMessage) -> pb.Envelope:
        return codec.encode(message)

    def _decode(self, envelope: pb.Envelope) -> WireMessage:
        message = codec.decode(envelope)
        if isinstance(message, Abort):
            raise aborted(self.partner, message.code)
        return message


class ControlLink(MessageStream[ControlMessage]):
    """The long-lived stream between two nodes. At the bank, ``serial`` is that of the certificate it came with."""

    def __init__(
        self, stream: EnvelopeStream, partner: str, check: Check | None = None, serial: str = ""
    ) -> None:
        super().__init__(stream, partner, check)
        self.serial = serial

    def _encode(self, message: ControlMessage) -> Any:
        return control_codec.encode(message)

    def _decode(self, envelope: Any) -> ControlMessage:
        return control_codec.decode(envelope)

    def lost(self) -> VeiljoinError:
        """Return the error of a control stream that ended: our own reason, or a lost link."""
        return self.fault or LinkLost(
            f"The connection to the {self.partner}'s node ended.",
            hint="it is dialled again by itself; if it does not come back, ask whether that node runs",
        )


_ABORT_HINTS: Final[Mapping[str, str]] = {
    "setup_failed": "its node could not be set up; its operator sees why",
    "paused": "its disk, store or masking engine is out of reach; between nodes the job goes on by itself",
    "begun_anew": "one side has lost what the run had reached; between nodes it begins anew by itself",
    "input_refused": "its input could not be used; its operator sees the file and the reason",
    "limit_exceeded": "its set is larger than the contract allows; draft the job with a higher limit",
    "policy_refused": "its policy refused, mostly because a set or a tier is too small",
    "contract_refused": "its contract differs; both sides need the same job file",
    "protocol_violation": "it received something that the protocol forbids; compare both versions",
    "identity_refused": "it does not accept our certificate; check the enrolment",
    "cancelled": "a person stopped the job there",
}


def aborted(partner: str, code: str) -> PeerAborted:
    """Return the error for a partner that ended the job with ``code``."""
    return PeerAborted(
        f"The {partner} ended the job with code {code}.",
        peer_code=code,
        hint=_ABORT_HINTS.get(code, "its operator sees the reason"),
    )
