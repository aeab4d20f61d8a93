"""The one codec between messages and protobuf envelopes, used by both gRPC directions.

Decoding is strict: an envelope without a body, an unknown field or an unknown number is a violation, so that
nothing travels beside the messages that the specification lists.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from federated.messages import SumStream
from psi.errors import PeerViolation
from psi.messages import Announce, Chunk, Finish, Stream, StreamEnd, Tier, TokenCommitment, check_tier_count
from psi.replay import Position
from psi.terms import MAX_TIERS, Role
from veiljoin.messages import Abort, Hello, SignedContract, WireMessage
from veiljoin.sum_codec import STREAMS as SUM_STREAMS
from veiljoin.sum_codec import decode_sum, encode_sum
from veiljoin.sum_codec import no_unknown_fields as _no_unknown_fields
from veiljoin.v1 import session_pb2 as pb

_STREAMS: Final[dict[IntEnum, pb.Stream]] = {
    **SUM_STREAMS,
    Stream.RECEIVER_POINTS: pb.STREAM_RECEIVER_POINTS,
    Stream.SENDER_POINTS: pb.STREAM_SENDER_POINTS,
    Stream.RECEIVER_TOKENS: pb.STREAM_RECEIVER_TOKENS,
    Stream.SENDER_TOKENS: pb.STREAM_SENDER_TOKENS,
}
_ROLES: Final = {Role.RECEIVER: pb.ROLE_RECEIVER, Role.SENDER: pb.ROLE_SENDER}


def encode(message: WireMessage) -> pb.Envelope:
    """Return ``message`` as an envelope."""
    match message:
        case Chunk(session, stream, sequence, data):
            return pb.Envelope(
                chunk=pb.Chunk(session=session, stream=_STREAMS[stream], sequence=sequence, data=data)
            )
        case StreamEnd(session, stream, count, digest):
            end = pb.StreamEnd(session=session, stream=_STREAMS[stream], count=count, digest=digest)
            return pb.Envelope(stream_end=end)
        case Announce():
            announce = pb.Announce(
                contract=message.contract,
                role=_ROLES[message.role],
                tiers=[pb.Tier(label=tier.label, size=tier.size) for tier in message.tiers],
                seed_commitment=message.seed_commitment,
                input_commitment=message.input_commitment,
            )
            return pb.Envelope(announce=announce)
        case TokenCommitment(session, digest):
            return pb.Envelope(token_commitment=pb.TokenCommitment(session=session, digest=digest))
        case Finish(session, transcript):
            return pb.Envelope(finish=pb.Finish(session=session, transcript=transcript))
        case Hello(version, job, software):
            return pb.Envelope(hello=pb.Hello(protocol_version=version, job=job, software=software))
        case SignedContract(contract, signature):
            return pb.Envelope(signed_contract=pb.SignedContract(contract=contract, signature=signature))
        case Position(announced, heard, received):
            return pb.Envelope(position=pb.Position(announced=announced, heard=heard, received=received))
        case Abort(code):
            return pb.Envelope(abort=pb.Abort(code=code))
        case _:
            return encode_sum(message)


def decode(envelope: pb.Envelope) -> WireMessage:
    """Return the message in ``envelope``. Raises ``PeerViolation`` for anything but exactly one message."""
    _no_unknown_fields(envelope)
    name = envelope.WhichOneof("body")
    if name is None:
        raise PeerViolation("The partner sent an empty envelope.")
    body = getattr(envelope, name)
    _no_unknown_fields(body)
    match body:
        case pb.Chunk():
            return Chunk(body.session, _stream(body.stream), body.sequence, body.data)
        case pb.StreamEnd():
            return StreamEnd(body.session, _stream(body.stream), body.count, body.digest)
        case pb.Announce():
            check_tier_count(len(body.tiers))  # before any is built: a message has room for a million
            if len(body.tiers) > MAX_TIERS:
                raise PeerViolation("The partner announced too many tiers.")
            for tier in body.tiers:
                _no_unknown_fields(tier)
            return Announce(
                contract=body.contract,
                role=_role(body.role),
                tiers=tuple(Tier(tier.label, tier.size) for tier in body.tiers),
                seed_commitment=body.seed_commitment,
                input_commitment=body.input_commitment,
            )
        case pb.TokenCommitment():
            return TokenCommitment(body.session, body.digest)
        case pb.Finish():
            return Finish(body.session, body.transcript)
        case pb.Hello():
            return Hello(body.protocol_version, body.job, body.software)
        case pb.SignedContract():
            return SignedContract(body.contract, body.signature)
        case pb.Position():
            return Position(body.announced, body.heard, body.received)
        case pb.Abort():
            return Abort(body.code)
    of_sum = decode_sum(body)
    if of_sum is not None:
        return of_sum
    raise PeerViolation("The partner sent a message that this version does not know.")


def _stream(number: int) -> Stream | SumStream:
    try:
        return SumStream(number) if number > max(Stream) else Stream(number)
    except ValueError:
        raise PeerViolation("The partner named a stream that does not exist.") from None


def _role(number: int) -> Role:
    try:
        return Role(number)
    except ValueError:
        raise PeerViolation("The partner named a role that does not exist.") from None
