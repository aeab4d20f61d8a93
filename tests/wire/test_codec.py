"""One codec both ways: every message survives it, and nothing else than a message gets through."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from psi.errors import PEER_WORDS, PeerViolation
from psi.messages import (
    MAX_CHUNK_BYTES,
    SESSION,
    Announce,
    Chunk,
    Finish,
    Stream,
    StreamEnd,
    Tier,
    TokenCommitment,
    label_fault,
)
from psi.terms import MAX_SET, MAX_TIERS, Role
from veiljoin import codec
from veiljoin.messages import MAX_CONTRACT_BYTES, SIGNATURE_BYTES, Abort, Hello, SignedContract, WireMessage
from veiljoin.v1 import session_pb2 as pb

ID, DIGEST = bytes(range(SESSION)), bytes(range(32))
SAMPLES: list[WireMessage] = [
    Hello(1, "job", "veiljoin 0"),
    SignedContract(b"{}", bytes(SIGNATURE_BYTES)),
    Abort("cancelled"),
    Announce(DIGEST, Role.SENDER, (Tier("gold", 60), Tier("银卡", 70)), DIGEST, DIGEST),
    Chunk(ID, Stream.SENDER_POINTS, 3, b"x" * 64),
    StreamEnd(ID, Stream.RECEIVER_TOKENS, 3, DIGEST),
    TokenCommitment(ID, DIGEST),
    Finish(ID, DIGEST),
]
each_sample = pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)


def decoded(data: bytes) -> WireMessage:
    """Decode what came over the wire."""
    return codec.decode(pb.Envelope.FromString(data))


def wire_messages() -> st.SearchStrategy[WireMessage]:
    """Every message with every field drawn over its whole range (data short)."""
    session, digest = st.binary(min_size=SESSION, max_size=SESSION), st.binary(min_size=32, max_size=32)
    stream, text = st.sampled_from(Stream), st.text(max_size=64)
    any_text = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=16)
    label = any_text.filter(lambda each: not label_fault(each))
    tier = st.builds(Tier, label, st.integers(1, MAX_SET))
    tiers = st.lists(tier, min_size=1, max_size=MAX_TIERS, unique_by=lambda each: each.label).map(tuple)
    alone = st.builds(Tier, st.just(""), st.integers(1, MAX_SET)).map(lambda each: (each,))
    data, number = st.binary(min_size=1, max_size=200), st.integers(0, MAX_SET)
    signature = st.binary(min_size=SIGNATURE_BYTES, max_size=SIGNATURE_BYTES)
    return st.one_of(
        st.builds(Hello, st.integers(0, 2**32 - 1), text, text),
        st.builds(SignedContract, data, signature),
        st.builds(Abort, st.sampled_from(sorted(PEER_WORDS)) | text),
        st.builds(Announce, digest, st.sampled_from(Role), tiers | alone, digest, digest),
        st.builds(Chunk, session, stream, number, data),
        st.builds(StreamEnd, session, stream, st.integers(1, MAX_SET), digest),
        st.builds(TokenCommitment, session, digest),
        st.builds(Finish, session, digest),
    )


@settings(max_examples=400)
@given(wire_messages())
def test_every_message_survives_the_wire(message: WireMessage) -> None:
    data = codec.encode(message).SerializeToString()
    again = decoded(data)
    assert again == message
    assert type(again) is type(message)
    assert codec.encode(again).SerializeToString() == data


def test_there_is_a_sample_of_every_message_on_the_wire() -> None:
    names = {codec.encode(message).WhichOneof("body") for message in SAMPLES}
    assert names == {field.name for field in pb.Envelope.DESCRIPTOR.oneofs_by_name["body"].fields}


def test_the_largest_messages_survive() -> None:
    chunk = Chunk(ID, Stream.SENDER_POINTS, MAX_SET, bytes(MAX_CHUNK_BYTES))
    contract = SignedContract(bytes(MAX_CONTRACT_BYTES), bytes(SIGNATURE_BYTES))
    for message in (chunk, contract):
        assert decoded(codec.encode(message).SerializeToString()) == message


def test_numbers_on_the_wire_are_those_of_the_protocol() -> None:
    for stream in (*Stream, *SumStream):
        assert pb.Stream.Name(int(stream)) == f"STREAM_{stream.name}"
    for role in Role:
        assert pb.Role.Name(int(role)) == f"ROLE_{role.name}"
    assert len(pb.Stream.keys()) == len(Stream) + len(SumStream) + 1
    assert len(pb.Role.keys()) == len(Role) + 1


def test_an_abort_tells_a_word_of_the_list_or_unknown() -> None:
    assert {Abort(word).code for word in PEER_WORDS} == PEER_WORDS
    for said in ("", "row 17 of customers.csv", "unknown", "\x1b[2J"):
        assert decoded(pb.Envelope(abort=pb.Abort(code=said)).SerializeToString()) == Abort("unknown")


# -- what is not a message


def test_an_empty_envelope() -> None:
    for data in (b"", pb.Envelope().SerializeToString()):
        with pytest.raises(PeerViolation, match="empty envelope"):
            decoded(data)


def unknown_field(number: int) -> bytes:
    """Return one length-delimited field of a number that no message has."""
    tag = number << 3 | 2
    return bytes([tag & 0x7F | 0x80, tag >> 7, 6]) + b"hidden"


@each_sample
def test_a_field_that_nobody_knows_beside_a_message(message: WireMessage) -> None:
    with pytest.raises(PeerViolation, match="field that this version does not know") as raised:
        decoded(codec.encode(message).SerializeToString() + unknown_field(99))
    assert "hidden" not in str(raised.value)


@each_sample
def test_a_field_that_nobody_knows_inside_a_message(message: WireMessage) -> None:
    envelope = codec.encode(message)
    name = envelope.WhichOneof("body")
    assert name is not None
    getattr(envelope, name).MergeFromString(unknown_field(99))
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(envelope.SerializeToString())


def test_a_field_that_nobody_knows_inside_a_tier() -> None:
    envelope = codec.encode(SAMPLES[3])
    envelope.announce.tiers[1].MergeFromString(unknown_field(99))
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(envelope.SerializeToString())


def test_a_body_that_a_later_version_might_have() -> None:
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(unknown_field(42))


@pytest.mark.parametrize("number", [0, 9, 99, -1, 2**31 - 1])
def test_a_stream_that_does_not_exist(number: int) -> None:
    any_number: Any = number  # the stubs know the named ones only
    chunk = pb.Chunk(session=ID, stream=any_number, data=b"x")
    end = pb.StreamEnd(session=ID, stream=any_number, count=1, digest=DIGEST)
    for envelope in (pb.Envelope(chunk=chunk), pb.Envelope(stream_end=end)):
        with pytest.raises(PeerViolation, match="stream that does not exist"):
            decoded(envelope.SerializeToString())


@pytest.mark.parametrize("number", [0, 3, 99, -1, 2**31 - 1])
def test_a_role_that_does_not_exist(number: int) -> None:
    announce = pb.Announce(**{**ANNOUNCE, "role": number}, tiers=[pb.Tier(size=50)])
    with pytest.raises(PeerViolation, match="role that does not exist"):
        decoded(pb.Envelope(announce=announce).SerializeToString())


def test_two_bodies_are_read_as_the_last_one() -> None:
    # protobuf's rule for oneof: it cannot carry two, so there is nothing to hide a message behind.
    both = codec.encode(SAMPLES[0]).SerializeToString() + codec.encode(SAMPLES[-1]).SerializeToString()
    assert decoded(both) == SAMPLES[-1]


TIERS: list[dict[str, Any]] = [{"label": f"tier {i}", "size": 50} for i in range(MAX_TIERS + 1)]
ANNOUNCE: dict[str, Any] = {
    "contract": DIGEST,
    "role": 1,
    "seed_commitment": DIGEST,
    "input_commitment": DIGEST,
}
CONTRACT = {"contract": b"{}", "signature": bytes(SIGNATURE_BYTES)}
INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("hello", {"job": "x" * 65}, "greeting is too long"),
    ("hello", {"software": "x" * 65}, "greeting is too long"),
    ("signed_contract", {**CONTRACT, "contract": b""}, "contract has an impossible length"),
    ("signed_contract", {**CONTRACT, "contract": bytes(MAX_CONTRACT_BYTES + 1)}, "impossible length"),
    ("signed_contract", {**CONTRACT, "signature": b""}, "signature has a wrong length"),
    ("signed_contract", {**CONTRACT, "signature": bytes(65)}, "signature has a wrong length"),
    ("announce", {**ANNOUNCE}, "0 tiers"),
    ("announce", {**ANNOUNCE, "tiers": TIERS}, "33 tiers"),
    ("announce", {**ANNOUNCE, "tiers": TIERS[:1] * 2}, "same tier twice"),
    ("announce", {**ANNOUNCE, "tiers": [{"label": "x"}]}, "impossible tier size"),
    ("announce", {**ANNOUNCE, "tiers": [{"size": 2**64 - 1}]}, "impossible tier size"),
    ("announce", {**ANNOUNCE, "tiers": TIERS[:1], "contract": b""}, "wrong length"),
    ("chunk", {"session": ID, "stream": 1}, "impossible length"),
    ("chunk", {"session": ID, "stream": 1, "data": bytes(MAX_CHUNK_BYTES + 1)}, "impossible length"),
    ("chunk", {"session": ID, "stream": 1, "data": b"x", "sequence": 2**64 - 1}, "impossible chunk number"),
    ("chunk", {"stream": 1, "data": b"x"}, "session identifier of a wrong length"),
    ("stream_end", {"session": ID, "stream": 1, "digest": DIGEST}, "impossible element count"),
    ("stream_end", {"session": ID, "stream": 1, "count": 2**64 - 1, "digest": DIGEST}, "impossible element"),
    ("token_commitment", {"session": ID}, "commitment of a wrong length"),
    ("finish", {"session": ID}, "transcript digest of a wrong length"),
    ("finish", {}, "session identifier of a wrong length"),
]


@pytest.mark.parametrize(("name", "fields", "sentence"), INVALID)
def test_a_message_that_is_not_valid(name: str, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PeerViolation, match=sentence):
        decoded(pb.Envelope(**{name: fields}).SerializeToString())


def test_a_flood_of_tiers_is_refused_before_any_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # A message may hold a million of them; building each first would take seconds and hundreds of megabytes.
    built: list[object] = []
    monkeypatch.setattr(codec, "Tier", lambda *arguments: built.append(arguments))
    envelope = pb.Envelope(announce=pb.Announce(**ANNOUNCE, tiers=[pb.Tier(size=1)] * 10_000))
    with pytest.raises(PeerViolation, match="10000 tiers, where 1 to 32 may be"):
        decoded(envelope.SerializeToString())
    assert built == []


# -- whatever bytes arrive: a message, protobuf's own refusal, or a violation


def outcome(data: bytes) -> str:
    """Decode ``data`` and say how that went; any other exception than the two fails the test."""
    try:
        decoded(data)
    except DecodeError:
        return "not protobuf"
    except PeerViolation:
        return "violation"
    return "message"


def mutated(data: bytearray, draw: random.Random) -> bytes:
    """Return ``data`` with a few bytes changed, cut, doubled or put in."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0 if place < len(data):
                data[place] ^= 1 << draw.randrange(8)
            case 1 if place < len(data):
                data[place] = draw.randrange(256)
            case 2:
                del data[place:]
            case 3:
                data[place:place] = data[place : place + draw.randrange(12)]
            case _:
                data[place:place] = draw.randbytes(draw.randrange(1, 6))
    return bytes(data)


def refilled(envelope: pb.Envelope, draw: random.Random) -> bytes:
    """Return ``envelope`` with one field of its body given any value of its type, so that it parses."""
    name = envelope.WhichOneof("body")
    assert name is not None
    body = getattr(envelope, name)
    field = draw.choice(body.DESCRIPTOR.fields)
    numbers = (0, 1, 2, 5, draw.randrange(2**31), 2**31 - 1)
    match field.type:
        case field.TYPE_MESSAGE:
            body.tiers.add(label="x" * draw.randrange(80), size=draw.choice((*numbers, 2**64 - 1)))
        case field.TYPE_BYTES:
            setattr(body, field.name, draw.randbytes(draw.choice((0, 1, 15, 16, 31, 32, 33, 64, 200))))
        case field.TYPE_STRING:
            setattr(body, field.name, draw.choice("x金\n\x00") * draw.randrange(80))
        case _:
            setattr(body, field.name, draw.choice(numbers))
    return envelope.SerializeToString()


def test_twenty_thousand_strings_of_bytes() -> None:
    draw = random.Random(20_000)
    samples = [codec.encode(message) for message in SAMPLES]
    seen = dict.fromkeys(("not protobuf", "violation", "message"), 0)
    for number in range(20_000):
        sample = draw.choice(samples)
        match number % 4:
            case 0:
                data = draw.randbytes(draw.randrange(80))
            case 1 | 2:
                data = mutated(bytearray(sample.SerializeToString()), draw)
            case _:
                copied = pb.Envelope()
                copied.CopyFrom(sample)
                data = refilled(copied, draw)
        seen[outcome(data)] += 1
    # All three happen, or the strings would not reach what they are meant to try.
    assert min(seen.values()) > 1000, seen


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    outcome(data)


@settings(max_examples=300)
@given(wire_messages(), st.randoms(use_true_random=False))
def test_any_message_damaged(message: WireMessage, draw: random.Random) -> None:
    outcome(mutated(bytearray(codec.encode(message).SerializeToString()), draw))
