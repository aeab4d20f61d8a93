"""Targets: the codecs, from the bytes of a gRPC message to a message, and the frames between our processes."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from federated.messages import SumMessage
from federated.messages import fingerprint as sum_fingerprint
from party.passing import SocketStream
from party.transport import MAX_MESSAGE
from psi.errors import PeerViolation
from psi.messages import Message
from psi.messages import fingerprint as match_fingerprint
from tests.fuzz.draws import Draws
from tests.fuzz.mutators import Mutator, plain, protobuf
from tests.fuzz.target import Target, require
from tests.wire.test_codec import SAMPLES
from tests.wire.test_control_codec import SAMPLES as CONTROL_SAMPLES
from tests.wire.test_control_codec import UNARY
from veiljoin import codec, control_codec
from veiljoin.messages import WireMessage
from veiljoin.v1 import control_pb2, session_pb2


def parsed(kind: type[Protobuf], data: bytes) -> Any:
    """Return what gRPC would hand on; it ends the stream itself where the bytes are no message of this kind."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise PeerViolation("not protobuf: gRPC refuses it") from None


def envelopes(messages: Sequence[WireMessage]) -> list[bytes]:
    """Return ``messages`` as they travel."""
    return [codec.encode(message).SerializeToString() for message in messages]


def _session(data: bytes) -> None:
    message = codec.decode(parsed(session_pb2.Envelope, data))
    require(codec.decode(codec.encode(message)) == message, "a message does not survive its own encoding")
    if isinstance(message, SumMessage):
        sum_fingerprint(message)
    if isinstance(message, Message):
        match_fingerprint(message)
    repr(message)


def session() -> Target:
    """Envelope bytes to a message of a job's stream."""
    return Target("session", _session, envelopes(SAMPLES), 3_072, protobuf(session_pb2.Envelope))


def sums() -> Target:
    """The same, from the messages of grouped sums alone: announcements, verdicts, openings, tables."""
    of_sums = [each for each in SAMPLES if isinstance(each, SumMessage) and not isinstance(each, Message)]
    return Target("sums", _session, envelopes(of_sums), 3_072, protobuf(session_pb2.Envelope))


def _control(data: bytes) -> None:
    message = control_codec.decode(parsed(control_pb2.ControlEnvelope, data))
    again = control_codec.decode(control_codec.encode(message))
    require(again == message, "a message does not survive its own encoding")


def control() -> Target:
    """Control envelopes: greetings with catalogues, proposals, answers, states of jobs."""
    seeds = [control_codec.encode(each).SerializeToString() for each in CONTROL_SAMPLES]
    return Target("control", _control, seeds, 3_072, protobuf(control_pb2.ControlEnvelope))


_QUESTIONS: list[tuple[type[Protobuf], Callable[[Any], Any], Callable[[Any], Protobuf]]] = [
    (control_pb2.EnrolRequest, control_codec.decode_enrol, control_codec.encode_enrol),
    (control_pb2.EnrolReply, control_codec.decode_reply, control_codec.encode_reply),
    (control_pb2.CheckRequest, control_codec.decode_check, control_codec.encode_check),
    (control_pb2.CheckReply, control_codec.decode_check_reply, control_codec.encode_check_reply),
]


def _enrolment(data: bytes) -> None:
    kind, decode, encode = _QUESTIONS[data[0] % 4 if data else 0]
    message = decode(parsed(kind, data[1:]))
    require(decode(encode(message)) == message, "a message does not survive its own encoding")


def enrolment() -> Target:
    """What travels before a node has its certificate, and the check of one; the first byte says which of the four."""
    seeds = []
    for message, encode, _ in UNARY:
        body = encode(message)
        number = [kind for kind, _, _ in _QUESTIONS].index(type(body))
        seeds.append(bytes([number]) + body.SerializeToString())
    inner = [protobuf(kind) for kind, _, _ in _QUESTIONS]
    return Target("enrolment", _enrolment, seeds, 4_096, headed(inner))


def headed(inner: list[Mutator]) -> Mutator:
    """Return a mutator for inputs whose first byte says which of ``inner`` the rest is for."""

    def mutate(data: bytes, rng: Any, limit: int) -> bytes:
        if not data or rng.random() < 0.05:
            return plain(data, rng, limit)
        return data[:1] + inner[data[0] % len(inner)](data[1:], rng, limit - 1)

    return mutate


class _Frames:
    """Feeds one end of a socket as a process would that writes any bytes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        weakref.finalize(self, self._loop.close)

    def __call__(self, data: bytes) -> None:
        self._loop.run_until_complete(self._read(data))

    async def _read(self, data: bytes) -> None:
        stream, draws = SocketStream(), Draws(data)
        fed = 0
        while draws.left:
            part = draws.take(1 + draws.below(256))
            fed += len(part)
            stream._reader.feed_data(part)
        stream._reader.feed_eof()
        while (envelope := await stream.read()) is not grpc.aio.EOF:
            fed -= 4 + envelope.ByteSize()
            require(fed > -8, "more came out than went in")
            codec.decode(envelope)


def _framed(data: bytes) -> bytes:
    """Return a frame as one write of the other process, cut as its reader would get it."""
    whole = len(data).to_bytes(4, "big") + data
    parts = (whole[start : start + 256] for start in range(0, len(whole), 256))
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def passing() -> Target:
    """Frames on the socket between a node and the process of a job, in any pieces."""
    short = [each for each in envelopes(SAMPLES) if len(each) < 2_000]
    seeds = [_framed(each) for each in short] + [b"".join(map(_framed, short[:4]))]
    seeds.append(bytes([3]) + (MAX_MESSAGE + 1).to_bytes(4, "big"))
    return Target("passing", _Frames(), seeds, 8_192)
